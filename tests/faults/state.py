"""What is stored in a namespace, in words that two histories with the same outcome share.

Times, uids, nodes and random parts are left out or replaced: a slot becomes its distance from the
beginning of the history, a pod the run and attempt that its labels tell.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from tests.cluster import read
from tests.cluster.kube import Objects

State = Mapping[str, Mapping[str, Any]]  # part -> name -> what is true of it


PARTS: Mapping[str, str] = {
    "jobs": f"{read.API}/namespaces/{{}}/batchjobs",
    "services": f"{read.API}/namespaces/{{}}/longservices",
    "pods": "/api/v1/namespaces/{}/pods",
    "budgets": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "revisions": "/apis/apps/v1/namespaces/{}/controllerrevisions",
}


def told(part: str, objects: Objects, began: int, revisions: Objects) -> Mapping[str, Any]:
    """One part; `began` in epoch seconds, `revisions` by name as stored."""
    match part:
        case "jobs":
            return {name: _job(one, began) for name, one in objects.items()}
        case "services":
            return {name: _service(one) for name, one in objects.items()}
        case "pods":
            return _pods(objects, began, revisions)
        case "budgets":
            return {name: one["spec"].get("minAvailable") for name, one in objects.items()}
        case _:
            return {one["metadata"]["ownerReferences"][0]["name"]: True for one in objects.values()}


def _job(job: Mapping[str, Any], began: int) -> dict[str, Any]:
    status = job.get("status", {})
    statistics = status.get("statistics", {})
    scheduled = "schedule" in job["spec"]  # otherwise its one slot is when it was created

    def since(one: Mapping[str, Any], word: str) -> int | None:
        return _since(one.get(word), began) if scheduled else None

    return {
        "observed": status.get("observedGeneration") == job["metadata"]["generation"],
        "active": [one.get("run") for one in status.get("active", ())],
        "history": [
            [since(one, "slotTime"), one["outcome"], one.get("exitCode"), one["attempts"]]
            for one in status.get("history", ())
        ],
        "counts": {
            word: statistics.get(word, 0)
            for word in ("runs", "successes", "failures", "missed", "lost")
        },
        "last slot": since(status, "lastSlotTime"),
        "remaining": status.get("remainingRuns"),
        "conditions": _conditions(status),
    }


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    status = service.get("status", {})
    return {
        "observed": status.get("observedGeneration") == service["metadata"]["generation"],
        "counts": {
            word: status.get(word, 0)
            for word in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
        },
        "settled": status.get("currentRevision") == status.get("updateRevision"),
        "conditions": _conditions(status),
    }


def _pods(pods: Objects, began: int, revisions: Objects) -> dict[str, Any]:
    """Attempts of runs by name; instances counted by revision, as which one is which is chance."""
    said: dict[str, Any] = {}
    for pod in pods.values():
        metadata = pod["metadata"]
        labels = metadata.get("labels", {})
        owner = metadata.get("ownerReferences", [{}])[0].get("name", "nobody")
        attempt = labels.get("bayplan.dev/attempt")
        if attempt is None:
            mine = revisions.get(f"{owner}-{labels.get('bayplan.dev/revision')}", {})
            newest = max((one["revision"] for one in revisions.values()), default=0)
            is_new = mine.get("revision") == newest
            what = f"{owner} of {'the newest' if is_new else 'an older'} revision"
        else:
            slot = labels.get("bayplan.dev/slot")
            trigger = f"+{int(slot) - began}" if slot and _is_scheduled(pod) else "once"
            what = f"{owner} {trigger} attempt {attempt}"
        one = {
            "phase": pod["status"].get("phase"),
            "leaving": "deletionTimestamp" in metadata,
            "finalizers": metadata.get("finalizers", []),
            "placed": "nodeName" in pod["spec"],
        }
        same = said.setdefault(what, [])
        same.append(one)
        same.sort(key=str)
    return said


def _is_scheduled(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("annotations", {}).get("bayplan.dev/trigger") == "Schedule")


def _conditions(status: Mapping[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status.get("conditions", ())}


def _since(time: str | None, began: int) -> int | None:
    if time is None:
        return None
    return int(dt.datetime.fromisoformat(time).timestamp()) - began
