"""What the stored status says of runs, as values; `status_entries` writes them.

Reading never raises: a person may have edited the status, so values that make no sense are left
out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from bayplan.api import run_names
from bayplan.api.batchjob_status import LONGEST_DETAIL
from bayplan.api.times import rfc3339, time_of
from bayplan.reconcile.batchjob import index_ranges
from bayplan.reconcile.batchjob.runs import Lane, Outcome, Run, Trigger
from bayplan.reconcile.view import Success
from bayplan.schedules.gaps import MOST_GAPS, Gap, Gaps, holds, more

MOST_ACTIVE = 100
MOST_HISTORY = 10
MOST_HANDLED = 128
MOST_TOKENS = 20
MOST_PARENTS = 50
MOST_FULFILLED = 10
MOST_BACKFILLED = 100  # scheduled times that one request makes up for
LONGEST_REQUEST = 64
LONGEST_WORD = 64
LARGEST_COUNT = 2**63 - 1
COUNTERS = (
    "runs",
    "successes",
    "failures",
    "cancelled",
    "missed",
    "lost",
    "late",
    "consecutiveFailures",
)

_NEVER = rfc3339(0)  # what older versions stored for a container that never started
# Of a stored attempt. Retries add 100 at most, losses 401, changed templates 300; names hold 999.
_LARGEST_ATTEMPT = 900
_LONGEST_NAME = 253
_COUNTED = ("failures", "disruptions")
_OUTCOMES = frozenset(get_args(Outcome))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backfill:
    """What is left of the scheduled times that a person asked to make up for: at most `left`.

    `request` is the last annotation that asked; a person need not remove it.
    """

    request: str = ""
    first: int = 0
    last: int = -1
    left: int = 0


NO_BACKFILL = Backfill()


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """The runs in the stored status. It is the authority on what was accounted for.

    `last_slot` is -1 when no slot was taken up yet, `last_run` when no run has begun; `since` is
    the floor that an edit or the end of a suspension set. `history`, `handled` and `fulfilled` have
    the newest first.
    """

    last_slot: int = -1
    last_run: int = -1
    schedule_hash: str = ""
    since: int = -1
    active: tuple[Run, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    statistics: Mapping[str, int] = field(default_factory=dict)
    handled: tuple[str, ...] = ()
    forgiven: int = 0
    fulfilled: tuple[Success, ...] = ()
    consumed: Mapping[str, str] = field(default_factory=dict)  # parent -> its run
    paused_until: int | None = None
    gaps: Gaps | None = None  # None: all times before the job was created
    backfill: Backfill = NO_BACKFILL

    def entry(self, run: str) -> Run | None:
        """The unfinished run with this identity; None if there is no such run."""
        return next((one for one in self.active if one.id == run), None)

    def took_up(self, run: str) -> bool:
        """Whether this run was ever taken into the status; if it is not active it has ended."""
        slot = run_names.slot_of(run)
        if slot is not None:
            return slot <= self.last_slot
        made_up_for = run_names.backfilled(run)
        if made_up_for is not None:
            return self.gaps is not None and not holds(self.gaps, made_up_for)
        return run in self.handled or any(one.get("run") == run for one in self.history)

    @property
    def last_finished(self) -> Mapping[str, Any] | None:
        """The newest run that finished; a missed slot does not count."""
        return next((one for one in self.history if one["outcome"] != "Missed"), None)


def read(status: Mapping[str, Any]) -> StoredStatus:
    """The runs of a stored status, whatever the status holds."""
    if not status:
        return StoredStatus()
    active = _runs(status.get("active"))
    history = _each(status.get("history"), _history, MOST_HISTORY)
    return StoredStatus(
        last_slot=_time(status.get("lastSlotTime"), -1),
        last_run=_last_run(status.get("lastRunTime"), active, history),
        schedule_hash=_text(status.get("scheduleHash"), LONGEST_WORD),
        since=_time(status.get("scheduleSinceTime"), -1),
        active=active,
        history=history,
        statistics=_statistics(status.get("statistics")),
        handled=_each(status.get("handledTokens"), _run_id, MOST_HANDLED),
        forgiven=_count(status.get("forgivenFailures"), LARGEST_COUNT),
        fulfilled=fulfilled_of(status),
        consumed=dict(_each(status.get("consumed"), _consumed, MOST_PARENTS)),
        paused_until=time_of(status.get("pausedUntil")),
        gaps=_gaps(status.get("gaps")),
        backfill=_backfill(status.get("backfill")),
    )


def _last_run(told: object, active: Iterable[Run], history: Iterable[Mapping[str, Any]]) -> int:
    """When the newest run began; of a status of an older operator, as far as its runs show it."""
    at = time_of(told)
    if at is not None:
        return at
    begun = [run.since for run in active if run.begun]
    ended = [one for one in history if one["outcome"] != "Missed"]
    begun += [_time(one.get("startTime") or one.get("slotTime"), -1) for one in ended]
    return max(begun, default=-1)


def fulfilled_of(status: Mapping[str, Any]) -> tuple[Success, ...]:
    """The successes in a stored status, for the job's children."""
    return _each(status.get("fulfilled"), _success, MOST_FULFILLED)


def own_slot(run: str) -> int | None:
    """The scheduled time in a run's name, whether the run settles it or makes up for it."""
    slot = run_names.slot_of(run)
    return run_names.backfilled(run) if slot is None else slot


def _runs(value: object) -> tuple[Run, ...]:
    found: dict[str, Run] = {}
    for run in _each(value, _run, MOST_ACTIVE):
        found.setdefault(run.id, run)
    return tuple(found.values())


def _run(value: object) -> Run | None:
    if not isinstance(value, Mapping):
        return None
    run = _run_id(value.get("run"))
    since = time_of(value.get("since"))
    if run is None:
        return None
    slot = own_slot(run)
    slot = time_of(value.get("slotTime")) if slot is None else slot
    trigger = value.get("trigger")
    pods = value.get("pods")
    tasks = value.get("tasks")
    several = _tasks(tasks) if isinstance(tasks, Mapping) else {}
    largest = _LARGEST_ATTEMPT * several.get("count", 1)
    failures, disruptions = (_count(value.get(name), largest) for name in _COUNTED)
    return Run(
        id=run,
        trigger=_trigger(trigger, run),
        slot=slot,
        since=since if since is not None else max(slot or 0, 0),
        attempt=_count(value.get("attempt"), _LARGEST_ATTEMPT),
        failures=failures,
        disruptions=disruptions,
        retry_at=time_of(value.get("retryTime")),
        started_at=time_of(value.get("startTime")) or None,
        pod=_text(pods[0], _LONGEST_NAME) if isinstance(pods, list) and pods else "",
        node=_text(value.get("node"), _LONGEST_NAME),
        reason=_text(value.get("reason"), LONGEST_WORD),
        detail=_text(value.get("detail"), LONGEST_DETAIL),
        arguments=_text(value.get("arguments"), 4096),
        **several,
    )


def _tasks(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run that describe its tasks; empty for a run of one task."""
    count = _count(value.get("count"), run_names.MOST_TASKS)
    if count <= 1:
        return {}
    gang = value.get("gang") is True
    lanes: dict[int, Lane] = {}
    for one in _each(value.get("retries"), _mapping, run_names.MOST_TASKS):
        attempt, failures, disruptions = (
            _count(one.get(name), _LARGEST_ATTEMPT) for name in ("attempt", *_COUNTED)
        )
        lane = Lane(attempt, failures, disruptions, time_of(one.get("retryTime")))
        lanes.update(dict.fromkeys(index_ranges.read(one.get("indexes"), count), lane))
    for outcome in ("Succeeded", "Failed", "Cancelled"):
        ended = index_ranges.read(value.get(outcome.lower()), count)
        lanes.update(dict.fromkeys(ended, Lane(outcome=outcome)))
    exit_code = value.get("exitCode")
    return {
        "count": count,
        "gang": gang,
        "lanes": {} if gang else lanes,
        "cause": _text(value.get("reason"), LONGEST_WORD),
        "exit_code": exit_code if type(exit_code) is int else None,
    }


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _trigger(value: object, run: str) -> Trigger:
    if run.startswith("b"):
        return "Backfill"
    if run.startswith("r"):
        return "Retry" if value == "Retry" else "RunNow"
    if run.startswith("p") or value == "Parents":
        return "Parents"
    return "Once" if value == "Once" else "Schedule"


def _history(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("run"), str):
        return None
    outcome = value.get("outcome")
    if not isinstance(outcome, str) or outcome not in _OUTCOMES:
        return None
    if value.get("startTime") == _NEVER:
        return {name: told for name, told in value.items() if name != "startTime"}
    return value


def _success(value: object) -> Success | None:
    if not isinstance(value, Mapping):
        return None
    run, ended_at = _run_id(value.get("run")), time_of(value.get("endTime"))
    if run is None or ended_at is None:
        return None
    return Success(run, ended_at, time_of(value.get("slotTime")))


def _gaps(value: object) -> Gaps | None:
    if value is None:
        return None
    return more((), _each(value, _gap, MOST_GAPS))


def _gap(value: object) -> Gap | None:
    if not isinstance(value, Mapping):
        return None
    low, high = time_of(value.get("fromTime")), time_of(value.get("toTime"))
    return None if low is None or high is None or low > high else (low, high)


def _backfill(value: object) -> Backfill:
    if not isinstance(value, Mapping):
        return NO_BACKFILL
    request = _text(value.get("request"), LONGEST_REQUEST)
    first, last = time_of(value.get("fromTime")), time_of(value.get("toTime"))
    if first is None or last is None:
        return Backfill(request)
    return Backfill(request, first, last, _count(value.get("left"), MOST_BACKFILLED))


def _consumed(value: object) -> tuple[str, str] | None:
    if not isinstance(value, Mapping):
        return None
    name, run = _text(value.get("name"), _LONGEST_NAME), _run_id(value.get("run"))
    return None if run is None else (name, run)


def _run_id(value: object) -> str | None:
    return value if isinstance(value, str) and run_names.is_run(value) else None


def _statistics(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {name: _count(value.get(name), LARGEST_COUNT) for name in COUNTERS}


def _count(value: object, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return 0
    return min(value, largest)


def _each(value: object, read: Callable[[object], T | None], limit: int) -> tuple[T, ...]:
    if not isinstance(value, list | tuple):
        return ()
    found = (read(one) for one in value[:limit])
    return tuple(one for one in found if one is not None)


def _text(value: object, longest: int) -> str:
    return value[:longest] if isinstance(value, str) else ""


def _time(value: object, absent: int) -> int:
    at = time_of(value)
    return absent if at is None else at
