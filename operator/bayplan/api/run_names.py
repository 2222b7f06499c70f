"""The names of runs and their pods: deterministic, so that a CREATE can be repeated blindly.

A pod's name is `JOB-UID5-TRIGGER-ATTEMPT`, and `-INDEX` if the run has several pods. The trigger is
the run's identity within its job: `s` and its slot, `b` and a slot that the run makes up for, `r`
and a hash of the run-now token or of the run that is tried again, or `p` and a hash of the parents'
successes. The operator reads from a pod's name, which nobody can change, what the pod belongs to,
and NOT from its labels.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

# Characters of the job's name in a pod's name: 63 minus uid, trigger, attempt and index.
LONGEST_JOB = 36
LARGEST_ATTEMPT = 999
MOST_TASKS = 1000

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SLOT_RUN = re.compile(r"s(0|[1-9a-z][0-9a-z]{0,7})")
_BACKFILL_RUN = re.compile(r"b(0|[1-9a-z][0-9a-z]{0,7})")
_TOKEN_RUN = re.compile(r"[pr][0-9a-z]{8}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")


@lru_cache(maxsize=16384)
def prefix(job: str, uid: str) -> str:
    """The beginning of the names of all pods of a job, including the final dash.

    The first characters of the uid distinguish the job from a former job of the same name. A name
    that is too long is cut and dots are replaced; a hash of the name then keeps it unique.
    """
    return f"{_short(job, LONGEST_JOB)}-{uid[:5]}-"


def pod_name(prefix: str, run: str, attempt: int, index: int | None = None) -> str:
    """The name of an attempt's pod; `index` is None for a run that has one pod."""
    name = f"{prefix}{run}-{attempt}"
    return name if index is None else f"{name}-{index}"


def attempt_of(prefix: str, pod: str) -> tuple[str, int, int] | None:
    """Run, attempt and index from a pod's name (0 without an index); None if not of this job."""
    if not pod.startswith(prefix):
        return None
    run, dash, rest = pod[len(prefix) :].partition("-")
    attempt, indexed, index = rest.partition("-")
    if not dash or not is_run(run) or _NUMBER.fullmatch(attempt) is None:
        return None
    if not indexed:
        return run, int(attempt), 0
    return None if _NUMBER.fullmatch(index) is None else (run, int(attempt), int(index))


def slot_run(slot: int) -> str:
    """The run of a slot (epoch seconds)."""
    return f"s{_base36(max(slot, 0))}"


def token_run(token: str) -> str:
    """The run of a run-now token; the token may be any text."""
    return f"r{_hash(token)}"


def again_run(run: str) -> str:
    """The run that tries a finished run again. No annotation can hold the token it is made from."""
    return token_run(f"again\0{run}")


def backfill_run(slot: int) -> str:
    """The run that makes up for a slot (epoch seconds) that passed without one."""
    return f"b{_base36(max(slot, 0))}"


def parents_run(successes: Iterable[tuple[str, str]]) -> str:
    """The run of a set of parents' successes, each (parent, run)."""
    return f"p{_hash(','.join('='.join(one) for one in sorted(successes)))}"


def slot_of(run: str) -> int | None:
    """The slot that a run settles; None if the run has no slot or makes up for one."""
    return int(run[1:], 36) if run.startswith("s") else None


def backfilled(run: str) -> int | None:
    """The slot that a run makes up for; None for all other runs."""
    return int(run[1:], 36) if run.startswith("b") else None


def is_run(text: str) -> bool:
    forms = _SLOT_RUN, _BACKFILL_RUN, _TOKEN_RUN
    return any(form.fullmatch(text) is not None for form in forms)


def _short(name: str, longest: int) -> str:
    if len(name) <= longest and _PLAIN.fullmatch(name):
        return name
    kept = re.sub(r"[^-a-z0-9]", "-", name.lower())[: longest - 9].strip("-")
    return f"{kept}-{_hash(name)}" if kept else f"j{_hash(name)}"


def _hash(text: str) -> str:
    """Eight characters; two texts share them with a chance of one in 2.8 million million."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return _base36(int.from_bytes(digest[:8], "big")).rjust(8, "0")[-8:]


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
