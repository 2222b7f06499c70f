"""Explains why a pod, job or service waits, or why it is where it is."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api import names
from bayplan.api.kinds import BY_NAME
from bayplan.api.resource import Key
from bayplan.api.times import rfc3339
from bayplan.model import wording
from bayplan.model.pods import Pod
from bayplan.model.untyped import mapping
from bayplan.model.workloads import TaskKey
from bayplan.provisioning import offerings, suggestions
from bayplan.reconcile.batchjob.conditions import Reason as JobReason
from bayplan.reconcile.longservice.status import Reason as ServiceReason
from bayplan.scheduler.dry_run import Session

# Reasons of Ready=False that a person need not mend, and of a wait that the funnel explains.
_UNDER_WAY = frozenset(
    {
        str(one)
        for one in (
            JobReason.STARTING,
            JobReason.RETRYING,
            ServiceReason.STARTING,
            ServiceReason.STOPPING,
            ServiceReason.CHECKING,
            ServiceReason.ROLLING_OUT,
            ServiceReason.PAUSED,  # these two wait for a person, as was asked for
            ServiceReason.STEP_REACHED,
            ServiceReason.NO_ROOM,
        )
    }
)
_MOST_EVENTS = 8  # of the newest events


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is explained. `controllers`: the uids of what makes its pods, of a foreign workload."""

    kind: str
    namespace: str
    name: str
    controllers: Collection[str] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.namespace, self.name

    def has(self, key: TaskKey, pod: Pod | None) -> bool:
        """Whether a pod is its own, or is it itself."""
        if self.kind == "Pod":
            return key == (self.namespace, self.name)
        owner = pod.owner if pod is not None else None
        if owner is None:
            return False
        return owner.uid in self.controllers or (owner.kind, key[0], owner.name) == self.key


def account(
    found: Session,
    kind: str,
    body: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    controllers: Collection[str] = (),
) -> dict[str, Any]:
    """Everything that is known about an object, as data; `events` are the events about it.

    `controllers`: the uids of what makes its pods, if it is a workload of Kubernetes' own kinds.
    """
    about = body["metadata"]
    namespace, name = about["namespace"], about["name"]
    subject = _Subject(kind, namespace, name, controllers)
    status = body.get("status") or {}
    told: dict[str, Any] = {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "conditions": [
            {key: one.get(key, "") for key in ("type", "status", "reason", "message")}
            for one in status.get("conditions") or ()
        ],
        "trouble": [*_trouble(kind, status), *_failing(status)],
        "pods": _pods(found, subject),
        "waiting": _waiting(found, subject),
        "elsewhere": _elsewhere(found, subject),
        "events": _last(events),
    }
    if kind in BY_NAME:
        told["next"] = _next(found, subject.key)
    elif kind != "Pod":
        told["wanted"], told["ready"] = _counts(body)
    if kind == "LongService":
        told["drifted"] = status.get("driftedReplicas")  # None if it has no constraints
        told["rebalances"] = bool((body.get("spec") or {}).get("rebalance"))
    return told


def _trouble(kind: str, status: Mapping[str, Any]) -> list[str]:
    """What is wrong according to the status, except waiting for room."""
    said = []
    stalled = any(
        (one["type"], one["status"]) == ("Stalled", "True")
        for one in status.get("conditions") or ()
    )
    for one in status.get("conditions") or ():
        bad = (one["type"] in {"Stalled", "Failed"} and one["status"] == "True") or (
            one["type"] in {"LastRunSucceeded", "Available"} and one["status"] == "False"
        )
        if (one["type"], one["status"]) == ("Ready", "False"):
            bad = not stalled and one.get("reason") not in _UNDER_WAY
        if bad:
            said.append(f"{one['type']}: {one.get('reason', '')}: {one.get('message', '')}")
    if kind == "LongService" and status.get("lastFailure"):
        last = status["lastFailure"]
        code = f", exit code {last['exitCode']}" if last.get("exitCode") is not None else ""
        said.append(
            f"last failure at {last.get('time', '?')}: {last.get('reason', '?')}{code} of "
            f"{last.get('pod', '?')}: {last.get('message', '')}"
        )
    return said


def _failing(status: Mapping[str, Any]) -> list[str]:
    """Why a workload of Kubernetes' own kinds has too few pods."""
    return [
        f"{one['type']}: {one.get('reason', '')}: {one.get('message', '')}"
        for one in status.get("conditions") or ()
        if (one["type"], one["status"]) == ("ReplicaFailure", "True")
    ]


def _counts(body: Mapping[str, Any]) -> tuple[int | None, int]:
    """How many pods a workload wants to have ready, None if that cannot be said; how many are."""
    spec, status = mapping(body.get("spec")), mapping(body.get("status"))
    wanted = spec.get("replicas", spec.get("parallelism"))
    ready = status.get("readyReplicas", status.get("ready"))
    return wanted if isinstance(wanted, int) else None, ready if isinstance(ready, int) else 0


def _pods(found: Session, subject: _Subject) -> list[dict[str, Any]]:
    """Its pods; none that the operator would only create. A pod has the node that it is bound to.

    `wouldGo` is the node that it would be bound to now.
    """
    rows = []
    going = {(one.namespace, one.name): one.node for one in found.notes.bound}
    for key, pod in sorted(found.cache.state.pods.items()):
        if key in found.notes.created or not subject.has(key, pod):
            continue
        would = going.get(key, "")
        node = found.cache.state.nodes.get(pod.node)
        labels = node.labels if node is not None and not would else {}
        rows.append(
            {
                "name": pod.name,
                "phase": pod.phase.value,
                "node": "" if would else pod.node,
                "wouldGo": would,
                "nominatedNode": pod.nominated,
                "zone": labels.get("topology.kubernetes.io/zone", ""),
                "instanceType": labels.get("node.kubernetes.io/instance-type", ""),
                "request": _amounts(pod.request),
            }
        )
    return rows


def _elsewhere(found: Session, subject: _Subject) -> list[dict[str, Any]]:
    """Its pods that wait for something else than Bayplan, by what that is."""
    counts: Counter[tuple[str, bool]] = Counter()
    for key, pod in found.cache.state.pods.items():
        waits = not pod.node and not pod.terminal and not pod.terminating
        foreign = pod.scheduler != names.SCHEDULER
        if waits and (foreign or pod.gated) and subject.has(key, pod):
            counts[pod.scheduler or "default-scheduler", pod.gated] += 1
    return [
        {"scheduler": scheduler, "gated": gated, "pods": pods}
        for (scheduler, gated), pods in sorted(counts.items())
    ]


def _amounts(request: Mapping[str, int]) -> dict[str, str]:
    return {name: wording.amount(name, value) for name, value in request.items() if name != "pods"}


def _waiting(found: Session, subject: _Subject) -> list[dict[str, Any]]:
    """For each reason why tasks of it wait: the funnel of refusals, and what would help.

    Classes of tasks with the same answer are told as one.
    """
    told: list[dict[str, Any]] = []
    known = found.cache.state
    for refused in found.refused:
        mine = [key for key in refused.keys if _is_of(found, key, subject)]
        if not mine:
            continue
        kind, funnel = refused.waiting.kind, refused.funnel
        zones = offerings.zones_of(known.nodes.values()) or offerings.zones_in()
        offer = suggestions.offer_for(known, kind, zones)
        helps = suggestions.hints(known, kind, funnel, offer, zones, labelled=True)
        entry = {
            **wording.status(len(mine), refused.waiting.since, funnel),
            "wouldFit": list(helps),
        }
        same = next((one for one in told if _answer(one) == _answer(entry)), None)
        if same is None:
            told.append(entry)
        else:
            same["pendingTasks"] += entry["pendingTasks"]
            same["pendingSince"] = min(same["pendingSince"], entry["pendingSince"])
    return told


def _answer(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = {"pendingTasks", "pendingSince"}
    return {name: value for name, value in entry.items() if name not in own}


def _is_of(found: Session, key: TaskKey, subject: _Subject) -> bool:
    made = found.notes.created.get(key)
    if made is not None and subject.kind != "Pod":
        return made[0] == subject.key
    return subject.has(key, found.cache.state.pods.get(key))


def _next(found: Session, key: tuple[str, str, str]) -> dict[str, Any]:
    """What the operator would do with the object now."""
    outcome = found.notes.outcomes.get(key)
    creates = [pod.name for of, pod in found.notes.created.values() if of == key]
    wake = outcome.wake_at if outcome is not None else None
    return {
        "creates": creates,
        "deletes": [
            {"name": one.name, "why": one.why} for one in (outcome.deletes if outcome else ())
        ],
        "lookedAtAgain": rfc3339(wake) if wake is not None else None,
    }


def _last(events: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    rows = [
        {
            "time": str(
                (one.get("series") or {}).get("lastObservedTime")
                or one.get("eventTime")
                or one.get("deprecatedLastTimestamp")
                or ""
            ),
            "type": str(one.get("type", "")),
            "reason": str(one.get("reason", "")),
            "message": str(one.get("note", "")),
        }
        for one in events
    ]
    return sorted(rows, key=lambda row: row["time"])[-_MOST_EVENTS:]
