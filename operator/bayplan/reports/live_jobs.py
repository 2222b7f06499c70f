"""BatchJobs as their pods show them now, where the stored status does not say it yet.

The operator writes the start of a run after some seconds, and nothing while it is stopped. Here its
own code computes what the status would be if all were written at once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api import run_names
from bayplan.api.resource import Resource, parse_resource
from bayplan.model.nodes import Node
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.batchjob.known_runs import tracked
from bayplan.reconcile.batchjob.reconcile import status_now
from bayplan.reconcile.view import View

Body = Mapping[str, Any]

# What the pods decide; the rest of a status needs more than pods.
_OF_RUNS = (
    "active",
    "history",
    "lastRunTime",
    "lastSlotTime",
    "nextSlotTime",
    "remainingRuns",
    "running",
    "statistics",
)
_CONDITIONS = frozenset({"LastRunSucceeded", "Complete", "Failed"})


def as_now(bodies: Iterable[Body], pods: Iterable[Pod], now: int) -> list[dict[str, Any]]:
    """These BatchJobs, each with the status that its pods show; `pods` may have others' too."""
    by_owner: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.owner is not None and tracked(pod):  # all others are accounted for
            by_owner.setdefault(pod.owner.uid, []).append(pod)
    return [_now(body, by_owner.get(body["metadata"]["uid"], ()), now) for body in bodies]


def _now(body: Body, pods: Iterable[Pod], now: int) -> dict[str, Any]:
    stored = body.get("status") or {}
    if _is_told(body, stored, pods):
        return dict(body)
    job = parse_resource({**body, "status": stored})
    if not job.deleting:
        return {**body, "status": _merged(job, pods, now)}
    return dict(body)


def _merged(job: Resource, pods: Iterable[Pod], now: int) -> dict[str, Any]:
    there = {pod.key: pod for pod in pods}
    nodes = {pod.node: Node(pod.node) for pod in there.values() if pod.node}
    found = status_now(job, there, View(nodes), now)
    kept = [one for one in job.status.get("conditions") or () if one["type"] not in _CONDITIONS]
    kept += [one for one in found.get("conditions", ()) if one["type"] in _CONDITIONS]
    merged = {name: value for name, value in job.status.items() if name not in _OF_RUNS}
    merged |= {name: found[name] for name in _OF_RUNS if name in found}
    return {**merged, "conditions": kept}


def _is_told(body: Body, stored: Body, pods: Iterable[Pod]) -> bool:
    """Whether the status names exactly these pods of its attempts, and how many runs run."""
    about = body["metadata"]
    prefix = run_names.prefix(about["name"], about["uid"])
    told = {pod: one for one in stored.get("active") or () for pod in one.get("pods") or ()}
    running = set()
    for pod in pods:
        named = run_names.attempt_of(prefix, pod.name)
        if named is not None and (pod.terminal or pod.name not in told):
            return False
        if named is not None and pod.phase is Phase.RUNNING:
            running.add(named[0])
    return len(running) == stored.get("running", 0) and len(told) == len(list(pods))
