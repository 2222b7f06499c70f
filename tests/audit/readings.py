"""What the auditor reads from single objects, by Kubernetes' documentation and the user guide."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Any

from tests.audit import amounts, rules, targets

Object = Mapping[str, Any]

_GROUP = "bayplan.dev"


def uid(body: Object) -> str:
    uid: str = body["metadata"]["uid"]
    return uid


def name(body: Object) -> str:
    return f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"


def owner(pod: Object) -> Object | None:
    """The BatchJob or LongService that controls a pod."""
    for one in pod["metadata"].get("ownerReferences", ()):
        if one.get("controller") and one["apiVersion"].startswith(f"{_GROUP}/"):
            found: Object = one
            return found
    return None


def differ_in_status(before: Object, after: Object) -> bool:
    """Whether nothing but the status has changed."""

    def rest(body: Object) -> tuple[Any, ...]:
        metadata = {**body["metadata"], "managedFields": None, "resourceVersion": None}
        return body["spec"], metadata

    return rest(before) == rest(after)


def same_node(before: Object, after: Object) -> bool:
    """Whether a node offers the same to the same pods, and is as ready as before."""

    def rest(node: Object) -> tuple[Any, ...]:
        metadata = node["metadata"]
        offered = node.get("status", {}).get("allocatable")
        leaving = metadata.get("deletionTimestamp")
        return node["spec"], metadata.get("labels"), leaving, offered, condition(node, "Ready")

    return rest(before) == rest(after)


def is_closed(node: Object) -> bool:
    """Whether its pods are to move: it leaves, is cordoned or keeps new ones away."""
    taints = node["spec"].get("taints", ())
    away = any(taint["effect"] in {"NoSchedule", "NoExecute"} for taint in taints)
    return is_leaving(node) or bool(node["spec"].get("unschedulable")) or away


def is_ours(pod: Object) -> bool:
    return owner(pod) is not None or pod["spec"].get("schedulerName") == "bayplan"


def is_simple(pod: Object) -> bool:
    """Whether nothing but size, selector, node affinity and taints decides where it may be."""
    spec = pod["spec"]
    between = {"podAffinity", "podAntiAffinity"} & spec.get("affinity", {}).keys()
    volumes = any("persistentVolumeClaim" in one for one in spec.get("volumes", ()))
    return not (between or volumes or spec.get("topologySpreadConstraints") or rules.ports(pod))


def is_leaving(body: Object) -> bool:
    return "deletionTimestamp" in body["metadata"]


def condition(body: Object, kind: str) -> str:
    found = body.get("status", {}).get("conditions", ())
    return next((one["status"] for one in found if one["type"] == kind), "")


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready") == "True"


def has_ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def has_begun(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return any(one.get("state", {}).keys() & {"running", "terminated"} for one in statuses)


def run_of(pod: Object) -> tuple[str, int, int | None]:
    """(run and task, attempt, slot) by its labels."""
    labels = pod["metadata"].get("labels", {})
    run, task = labels.get(f"{_GROUP}/run", ""), labels.get(f"{_GROUP}/task-index", "")
    slot = labels.get(f"{_GROUP}/slot", "")
    attempt = labels.get(f"{_GROUP}/attempt", "0")
    return run + (f"/{task}" if task else ""), int(attempt), int(slot) if slot.isdecimal() else None


def whole_run(pod: Object) -> str:
    """The run, whatever the task."""
    return run_of(pod)[0].partition("/")[0]


def trigger(pod: Object) -> str:
    trigger: str = pod["metadata"].get("annotations", {}).get(f"{_GROUP}/trigger", "")
    return trigger


def is_scheduled(pod: Object) -> bool:
    return trigger(pod) == "Schedule"


def is_of_parents(pod: Object) -> bool:
    return trigger(pod) == "Parents"


def is_lenient(job: Object) -> bool:
    """Whether more than an exit with 0 may be called a success."""
    spec, annotations = job["spec"], job["metadata"].get("annotations", {})
    unusual = spec.get("successExitCodes") or spec.get("treatFailureAsSuccess")
    return bool(unusual) or f"{_GROUP}/mark-success" in annotations


def counts_as_failure(pod: Object) -> bool:
    """Whether an attempt failed by itself: its containers ended with an error, undisturbed."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or condition(pod, "DisruptionTarget") == "True":
        return False
    codes = [
        one.get("state", {}).get("terminated", {}).get("exitCode")
        for one in status.get("containerStatuses", ())
    ]
    return any(code not in {None, 0} for code in codes) and not is_leaving(pod)


def ended_at(pod: Object) -> int | None:
    ends = [
        seconds(one["state"]["terminated"]["finishedAt"])
        for one in pod.get("status", {}).get("containerStatuses", ())
        if one.get("state", {}).get("terminated", {}).get("finishedAt")
    ]
    return max(ends, default=None)


def seconds(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())


def due(spec: Object, born: int, until: int) -> set[int] | None:
    if not spec.get("schedule"):
        return None
    return targets.targets(spec["schedule"], born, until, spec.get("timeZone", "UTC"))


def beyond(total: Counter[str], room: Counter[str], pod: Object) -> str:
    """What is asked beyond the room, of the things that this pod asks for."""
    mine = amounts.asked(pod)
    return ", ".join(
        f"{name} {total[name]} of {room[name]} (thousandths)"
        for name in sorted(total)
        if mine[name] and total[name] > room[name]
    )


def in_words(pod: Object) -> str:
    """Which pod, how much CPU it asks for in thousandths, how long it has been leaving."""
    metadata = pod["metadata"]
    words = f"{metadata['namespace']}/{metadata['name']} {amounts.asked(pod)['cpu']}"
    since = metadata.get("deletionTimestamp")
    return f"{words} leaving by {since}" if since else words


def least_healthy(spec: Object) -> int:
    """Healthy instances that an update keeps; of those with volumes of their own one may lack.

    Not judged with one instance on each node: how many those are, no spec says.
    """
    if is_per_node(spec):
        return 0
    strategy = spec.get("updateStrategy", {})
    replicas = int(spec.get("replicas", 1))
    least = ceil(replicas * int(strategy.get("minimumHealthyPercent", 100)) / 100)
    return min(least, replicas - 1) if spec.get("volumeClaimTemplates") else least


def is_per_node(spec: Object) -> bool:
    return bool(spec.get("mode") == "PerNode")


def most_live(spec: Object) -> int:
    """Live instances that an update may have; while sick ones are replaced, some more."""
    strategy = spec.get("updateStrategy", {})
    replicas = int(spec.get("replicas", 1))
    if spec.get("volumeClaimTemplates"):
        return replicas  # the old one goes first
    most = replicas * (100 + int(strategy.get("maximumSurgePercent", 25))) // 100
    if most == least_healthy(spec):
        most += 1
    sick = spec.get("unhealthy", {})
    return most + (int(sick.get("maxConcurrent", 1)) if sick.get("replaceAfterSeconds") else 0)


def most_moves(spec: Object) -> int:
    """How many instances `rebalance` may begin to move in an hour."""
    return int(spec.get("rebalance", {}).get("maxMovesPerHour", 0))
