"""What on a pod says that it should not be moved to another node: annotations and local volumes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bayplan.api import names
from bayplan.cluster.podvolumes import Volume

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|h|m|s))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST = 10 * 366 * 24 * 3600  # a longer time is no real time
ANNOTATIONS = (names.DO_NOT_DISRUPT, names.SAFE_TO_EVICT, names.MOVE)


@dataclass(frozen=True, slots=True)
class Stay:
    """`why` names the annotation or the volume; it holds for `seconds` (None: for ever)."""

    why: str
    seconds: int | None = None


def stay(
    annotations: Mapping[str, str], volumes: Sequence[Volume] | None, *, ours: bool = False
) -> Stay | None:
    """Why this pod should not be moved; None if nothing on the pod forbids it.

    A `hostPath` volume is on the node itself. Whoever annotates `safe-to-evict: "true"` says that
    its content need not move; on pods that are `ours` nobody has said so, for all have it.
    """
    safe = annotations.get(names.SAFE_TO_EVICT, "")
    disrupt = annotations.get(names.DO_NOT_DISRUPT, "")
    if annotations.get(names.MOVE) == "Never":
        return Stay(f"annotation {names.MOVE}: Never")
    if safe == "false":
        return Stay(f'annotation {names.SAFE_TO_EVICT}: "false"')
    if disrupt not in {"", "false"}:
        return Stay(f'annotation {names.DO_NOT_DISRUPT}: "{disrupt[:20]}"', _seconds(disrupt))
    if safe == "true" and not ours:
        return None
    local = next((one.name for one in volumes or () if _is_local(one)), None)
    return Stay(f"volume {local} (hostPath)") if local is not None else None


def _is_local(volume: Volume) -> bool:
    return bytes(volume.host_path) not in {b"", b"null"}


def _seconds(text: str) -> int | None:
    """The seconds of a duration such as 1h30m; None for any other text, which holds for ever."""
    if not _DURATION.fullmatch(text):
        return None
    total = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
    return int(total) if total <= _LONGEST else None
