"""Room that is held for pods which a pod will make: the executors of a Spark driver.

A pod says in the annotation `bayplan.dev/companions` how many companions it cannot do without, and
how large each of them is:

    bayplan.dev/companions: '{"cpu": "1", "memory": "1408Mi", "count": 1}'

Without it, many drivers that are placed one after the other may fill a cluster, and then none of
them has room for an executor: each waits for the others, for ever.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan import units
from bayplan.model import resources

ANNOTATION = "bayplan.dev/companions"
MOST = 100  # companions of one pod
_EXAMPLE = '{"cpu": "1", "memory": "1408Mi", "count": 1}'
_LONGEST_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Companions:
    """What a pod says of its companions: `count` of them, each with this `request`.

    `selector` are the node labels that they need; None: where they may run is as for the pod
    itself. If the annotation is wrong, `problem` says which field and why, and nothing else counts.
    """

    count: int = 0
    request: resources.Vector = resources.NOTHING
    selector: tuple[tuple[str, str], ...] | None = None
    problem: str = ""

    @property
    def words(self) -> str:
        """`2 × 1 cpu, 1408Mi memory`."""
        cpu = units.format_cpus(self.request.amount(resources.CPU))
        memory = units.format_bytes(self.request.amount(resources.MEMORY))
        return f"{self.count} × {cpu} cpu, {memory} memory"


def of(annotations: Mapping[str, str]) -> Companions | None:
    """The companions of a pod with these annotations; None if it names none."""
    text = annotations.get(ANNOTATION)
    return None if text is None else read(text)


@functools.lru_cache(maxsize=1024)  # pods of one template say the same
def read(text: str) -> Companions:
    """Read the annotation's value; what is wrong with it is in `problem`."""
    try:
        return _read(text)
    except ValueError as error:
        return Companions(problem=str(error))


def _read(text: str) -> Companions:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"is no JSON object such as {_EXAMPLE}")  # noqa: TRY004  a user's text
    for name in found:
        if name not in _FIELDS:
            raise ValueError(f"{_shown(name)} is no field of it; there are {', '.join(_FIELDS)}")
    for name in ("cpu", "memory"):
        if name not in found:
            raise ValueError(f"{name} is missing, as in {_EXAMPLE}")
    told = {name: read(found[name]) for name, read in _FIELDS.items() if name in found}
    amounts = {resources.CPU: told["cpu"], resources.MEMORY: told["memory"], resources.PODS: 1}
    return Companions(told.get("count", 1), resources.Vector(amounts), told.get("nodeSelector"))


def _amount(name: str, parse: Callable[[str | int], int]) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = repr(value) if isinstance(value, float) else value
        if not isinstance(text, str | int) or isinstance(text, bool):
            raise ValueError(f"{name} must be a quantity such as {_EXAMPLE}")  # noqa: TRY004
        try:
            amount = parse(text)
        except units.QuantityError as error:
            raise ValueError(f"{name}: {error}") from error
        if not 0 < amount <= resources.MOST:
            raise ValueError(f"{name} must be more than 0, and no more than any node has")
        return amount

    return read


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"count must be a whole number from 1 to {MOST}, not {_shown(value)}")
    return value


def _labels(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("nodeSelector must be an object whose values are strings")
    return tuple(sorted(value.items()))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "cpu": _amount("cpu", units.cpu_milli),
    "memory": _amount("memory", units.memory_bytes),
    "count": _count,
    "nodeSelector": _labels,
}
