"""How far the update of a LongService is, read from its object in the API server."""

from collections.abc import Mapping
from typing import Any

_FAILED = frozenset({"ProgressDeadlineExceeded", "RolledBack"})
_DONE = frozenset({"RolledOut", "ScaledToZero"})


def wanted(body: Mapping[str, Any]) -> int:
    """How many instances a LongService should have, by its spec or by the number of its nodes."""
    if body["spec"].get("mode") == "PerNode":
        return int((body.get("status") or {}).get("desiredReplicas", 0))
    return int(body["spec"].get("replicas", 1))


def standing(body: Mapping[str, Any]) -> dict[str, Any]:
    """`state`: Done, Updating, Paused, Waiting (for a promote) or Failed."""
    status = body.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    progressing = conditions.get("Progressing") or {}
    reason = str(progressing.get("reason", ""))
    seen = status.get("observedGeneration") == body["metadata"].get("generation")
    ready = (conditions.get("Ready") or {}).get("status") == "True"
    bad = [one["revision"] for one in status.get("badRevisions") or ()]
    stalled = (conditions.get("Stalled") or {}).get("status") == "True"
    if seen and (stalled or reason in _FAILED):
        state = "Failed"
    elif seen and reason in _DONE and ready:
        state = "Done"
    else:
        state = {"Paused": "Paused", "StepReached": "Waiting"}.get(reason, "Updating")
    return {
        "state": state,
        "reason": reason,
        "message": str((conditions.get("Stalled") or progressing).get("message", "")),
        "wanted": wanted(body),
        "updated": status.get("updatedReplicas", 0),
        "ready": status.get("readyReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "currentRevision": status.get("currentRevision", ""),
        "updateRevision": status.get("updateRevision", ""),
        "badRevisions": bad,
    }
