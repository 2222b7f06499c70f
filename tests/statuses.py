"""Statuses in which every field of the schema stands, and which fields of one are looked at."""

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.api.run_names import slot_run, token_run
from bayplan.api.times import rfc3339

Body = dict[str, Any]
Path = tuple[str, ...]  # of fields; items of a list have no step of their own

WAITING: Body = {
    "pendingTasks": 7,
    "pendingSince": "2026-09-21T14:00:00Z",
    "message": "7 tasks wait",
    "nodesConsidered": 10,
    "refusals": [{"reason": "NoRoom", "detail": "cpu", "nodes": 10}],
    "nearest": {"node": "n1", "lacks": "300m cpu"},
}


def _condition(type_: str, at: int) -> Body:
    return {
        "type": type_,
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": rfc3339(at),
        "reason": type_,
        "message": "as it should be",
    }


def _requests(template_hash: str, at: int) -> Body:
    return {
        "templateHash": template_hash,
        "requests": {"cpu": "100m", "memory": "1Gi"},
        "placementHash": "abc",
        "unknownFields": ["spec.template.spec.contaners"],
        "checkedTime": rfc3339(at),
    }


def job_status(now: int, template_hash: str = "") -> Body:
    """Of a job that runs each hour: four runs are active, and each said all that a run can say."""
    hours = [now - 3600 * hour for hour in range(8)]
    times = [rfc3339(hour) for hour in hours]
    tasks = {
        "count": 8,
        "succeeded": "0-1",
        "failed": "2",
        "cancelled": "3",
        "reason": "Error",
        "exitCode": 1,
        "retries": [
            {
                "indexes": "4",
                "attempt": 2,
                "failures": 1,
                "disruptions": 1,
                "retryTime": rfc3339(now + 60),
            }
        ],
    }
    tried: Body = {
        "slotTime": times[1],
        "since": times[1],
        "attempt": 2,
        "failures": 1,
        "disruptions": 1,
        "retryTime": rfc3339(now + 60),
        "startTime": times[1],
        "pods": ["report-a1b2c-1"],
        "reason": "ImagePullBackOff",
        "detail": "container main: not found",
        "node": "n1",
    }
    return {
        "conditions": [_condition(one, now) for one in ("Ready", "Suspended")],
        "observedGeneration": 1,
        "nextSlotTime": rfc3339(now + 3600),
        "lastSlotTime": times[0],
        "lastRunTime": times[1],
        "scheduleHash": "0123456789",
        "scheduleSinceTime": times[7],
        "remainingRuns": 5,
        "running": 4,
        "active": [
            {**tried, "run": slot_run(hours[1]), "trigger": "Schedule"},
            {**tried, "run": token_run("a"), "trigger": "RunNow", "arguments": '{"args":["a"]}'},
            {**tried, "run": slot_run(hours[2]), "trigger": "Schedule", "tasks": tasks},
            {
                **tried,
                "run": slot_run(hours[3]),
                "trigger": "Schedule",
                "tasks": {"count": 2, "gang": True},
            },
        ],
        "history": [
            {
                "run": slot_run(hours[4]),
                "slotTime": times[4],
                "outcome": "Failed",
                "reason": "Error",
                "detail": "container main: not found",
                "exitCode": 1,
                "node": "n1",
                "startTime": times[4],
                "endTime": times[3],
                "attempts": 3,
                "tasks": 4,
                "failedTasks": "2",
                "arguments": "{}",
            },
            {"run": slot_run(hours[5]), "outcome": "Succeeded", "endTime": times[4]},
        ],
        "fulfilled": [
            {"run": slot_run(hours[5]), "endTime": times[4], "slotTime": times[5]},
            {"run": slot_run(hours[6]), "endTime": times[5]},
        ],
        "statistics": {
            "runs": 9,
            "successes": 5,
            "failures": 3,
            "cancelled": 1,
            "missed": 1,
            "lost": 1,
            "late": 1,
            "runSecondsP50": 30,
            "runSecondsP95": 40,
            "waitSecondsP50": 1,
            "waitSecondsP95": 2,
            "usualRunSeconds": 40,
            "consecutiveFailures": 1,
        },
        "samples": {"runSeconds": [30, 30, 30, 30, 40], "waitSeconds": [1, 1, 1, 1, 2]},
        "effectiveRequests": _requests(template_hash, now),
        "forgivenFailures": 1,
        "pausedUntil": rfc3339(now + 600),
        "gaps": [{"fromTime": times[7], "toTime": times[6]}],
        "backfill": {"request": "all", "fromTime": times[7], "toTime": times[6], "left": 2},
        "consumed": [{"name": "parent", "run": slot_run(hours[5])}],
        "handledTokens": [token_run("a")],
        "placement": WAITING,
    }


def service_status(now: int, current: str, update: str, template_hash: str = "") -> Body:
    """Of a service that goes from one revision to another, with all that can go wrong with it."""
    given_up = {"reason": "ProgressDeadlineExceeded", "message": "m", "time": rfc3339(now - 60)}
    return {
        "conditions": [_condition(one, now) for one in ("Ready", "Available", "Progressing")],
        "observedGeneration": 1,
        "desiredReplicas": 5,
        "replicas": 5,
        "readyReplicas": 5,
        "updatedReplicas": 1,
        "availableReplicas": 5,
        "driftedReplicas": 1,
        "recentMoves": [{"pod": "web-1", "uid": "u", "time": rfc3339(now - 60)}],
        "selector": "bayplan.dev/service=web",
        "currentRevision": current,
        "updateRevision": update,
        "rollout": {
            "revision": update,
            "step": 0,
            "stepReachedTime": rfc3339(now),
            "handledPromote": "a",
            "healthy": 1,
            "outdated": 4,
            "waitingSince": rfc3339(now),
            "progressTime": rfc3339(now),
        },
        "pinnedRevision": current,
        "pinnedOver": "another",
        "handledRollback": "a",
        "badRevisions": [{"revision": name, **given_up} for name in (current, "web-other")],
        "effectiveRequests": _requests(template_hash, now),
        "restartBackoff": {
            "revision": update,
            "failures": 2,
            "retryTime": rfc3339(now + 20),
            "failureTime": rfc3339(now - 5),
        },
        "lastFailure": {
            "pod": "web-1",
            "node": "n1",
            "reason": "Error",
            "exitCode": 1,
            "message": "m",
            "time": rfc3339(now - 5),
        },
        "placement": WAITING,
    }


def fields_of(value: object, path: Path = ()) -> Iterator[Path]:
    """Every field that stands in a status."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*path, name)
            yield from fields_of(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from fields_of(inner, path)


class Watched(Mapping[str, Any]):
    """A status, or an object in one, that notes in `asked` which fields somebody asks for."""

    def __init__(self, body: Mapping[str, Any], asked: set[Path], path: Path = ()) -> None:
        self._body, self._asked, self._path = body, asked, path

    def __getitem__(self, name: str) -> Any:
        self._asked.add((*self._path, name))
        return self._watched(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._asked.add((*self._path, name))
        return self._watched(name) if name in self._body else default

    def __contains__(self, name: object) -> bool:
        self._asked.add((*self._path, str(name)))
        return name in self._body

    def __iter__(self) -> Iterator[str]:
        return iter(self._body)

    def changed(self, name: str, value: object) -> "Watched":
        """The same with another value of one field."""
        return Watched({**self._body, name: value}, self._asked, self._path)

    def __len__(self) -> int:
        return len(self._body)

    def _watched(self, name: str) -> Any:
        return _watched(self._body[name], self._asked, (*self._path, name))


def _watched(value: object, asked: set[Path], path: Path) -> object:
    if isinstance(value, Mapping):
        return Watched(value, asked, path)
    if isinstance(value, list | tuple):
        return [_watched(one, asked, path) for one in value]
    return value
