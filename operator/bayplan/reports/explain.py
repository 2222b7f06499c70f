"""Explains why a pod, job or service waits, or why it is where it is."""

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api.times import rfc3339
from bayplan.model import wording
from bayplan.provisioning import demand, offerings, suggestions
from bayplan.provisioning.prices import MODELLED
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
            ServiceReason.ROLLING_OUT,
            ServiceReason.NO_ROOM,
        )
    }
)
_MOST_EVENTS = 8  # of the newest events


def account(
    found: Session, kind: str, body: Mapping[str, Any], events: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Everything that is known about an object, as data; `events` are the events about it."""
    about = body["metadata"]
    namespace, name = about["namespace"], about["name"]
    status = body.get("status") or {}
    told: dict[str, Any] = {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "conditions": [
            {key: one.get(key, "") for key in ("type", "status", "reason", "message")}
            for one in status.get("conditions") or ()
        ],
        "trouble": list(_trouble(kind, status)),
        "pods": _pods(found, kind, namespace, name),
        "waiting": _waiting(found, kind, namespace, name),
        "events": _last(events),
    }
    if kind != "Pod":
        told["next"] = _next(found, (kind, namespace, name))
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


def _pods(found: Session, kind: str, namespace: str, name: str) -> list[dict[str, Any]]:
    rows = []
    for key, pod in sorted(found.cache.state.pods.items()):
        mine = key == (namespace, name) if kind == "Pod" else (
            pod.owner is not None
            and (pod.owner.kind, pod.namespace, pod.owner.name) == (kind, namespace, name)
        )  # fmt: skip
        if mine:
            node = found.cache.state.nodes.get(pod.node)
            labels = node.labels if node is not None else {}
            rows.append(
                {
                    "name": pod.name,
                    "node": pod.node,
                    "nominatedNode": pod.nominated,
                    "zone": labels.get("topology.kubernetes.io/zone", ""),
                    "instanceType": labels.get("node.kubernetes.io/instance-type", ""),
                    "request": _amounts(pod.request),
                }
            )
    return rows


def _amounts(request: Mapping[str, int]) -> dict[str, str]:
    return {name: wording.amount(name, value) for name, value in request.items() if name != "pods"}


def _waiting(found: Session, kind: str, namespace: str, name: str) -> list[dict[str, Any]]:
    """For each class of its waiting tasks: the funnel of refusals, and what would help."""
    told = []
    for refused in found.refused:
        mine = [key for key in refused.keys if _is_of(found, key, kind, namespace, name)]
        if not mine:
            continue
        known = found.cache.state
        zones = offerings.zones_of(known.nodes.values()) or offerings.zones_in()
        store = demand.Shop(offerings.offers((), MODELLED), zones, (), known.claims)
        offer = next((offer for offer, _ in store.more(refused.waiting.kind, 1)), None)
        status = wording.status(len(mine), refused.waiting.since, refused.funnel)
        told.append(
            {
                **status,
                "wouldFit": list(
                    suggestions.hints(known, refused.waiting.kind, refused.funnel, offer, zones)
                ),
            }
        )
    return told


def _is_of(found: Session, key: tuple[str, str], kind: str, namespace: str, name: str) -> bool:
    if kind == "Pod":
        return key == (namespace, name)
    made = found.notes.created.get(key)
    if made is not None:
        return made[0] == (kind, namespace, name)
    pod = found.cache.state.pods.get(key)
    owner = pod.owner if pod is not None else None
    return owner is not None and (owner.kind, key[0], owner.name) == (kind, namespace, name)


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
