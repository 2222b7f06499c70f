"""Counts the pods that a workload wants, by its manifest, its autoscaler and its finished part.

Every job counts as if it ran now: a simulation shows the peak. Work that has ended does not count.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan import units
from bayplan.inputs import InputError
from bayplan.manifests.documents import Document, mapping

MOST_PODS = 1_000_000  # of one workload
_OVER = frozenset({"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"})


def count(document: Document) -> int:
    """The number of pods that a workload wants."""
    spec = mapping(document.body.get("spec"))
    match document.kind:
        case "Job":
            return _of_job(document, spec)
        case "CronJob":
            job = mapping(mapping(spec.get("jobTemplate")).get("spec"))
            return 0 if spec.get("suspend") is True else _parallel(document, job, 0)
        case "BatchJob":
            tasks = _whole(document, "spec.tasks", spec.get("tasks"))
            return 0 if spec.get("suspend") is True else tasks
    return _whole(document, "spec.replicas", spec.get("replicas"))


def _of_job(document: Document, spec: Mapping[str, Any]) -> int:
    """The pods that a Job still needs; 0 if it has ended."""
    status = mapping(document.body.get("status"))
    conditions = status.get("conditions")
    for one in conditions if isinstance(conditions, list) else ():
        if mapping(one).get("type") in _OVER and mapping(one).get("status") == "True":
            return 0
    succeeded = _whole(document, "status.succeeded", status.get("succeeded", 0))
    if succeeded and spec.get("completions") is None and spec.get("parallelism") is not None:
        # A queue of work: after the first success no further pods start.
        return _whole(document, "status.active", status.get("active", 0))
    return _parallel(document, spec, succeeded)


def _parallel(document: Document, spec: Mapping[str, Any], succeeded: int) -> int:
    if spec.get("suspend") is True:
        return 0
    parallel = _whole(document, "parallelism", spec.get("parallelism"))
    stated = spec.get("completions")
    wanted = parallel if stated is None else _whole(document, "completions", stated)
    return min(parallel, max(wanted - succeeded, 0))


def _whole(document: Document, field: str, value: object) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_PODS:
        raise InputError(
            document.called,
            f"{field} is {units.shown(value)}; write a whole number from 0 to {MOST_PODS}",
        )
    return value


# Autoscalers, and the fields of their bounds with the default values.
_BOUNDS: Mapping[str, tuple[tuple[str, int], tuple[str, int]]] = {
    "HorizontalPodAutoscaler": (("minReplicas", 1), ("maxReplicas", MOST_PODS)),
    "ScaledObject": (("minReplicaCount", 0), ("maxReplicaCount", 100)),
}


class Autoscalers:
    """HorizontalPodAutoscalers and KEDA's ScaledObjects, by the workload that they scale."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._known: dict[tuple[str, str, str], Document] = {}
        for one in documents:
            if one.kind in _BOUNDS:
                target = mapping(mapping(one.body.get("spec")).get("scaleTargetRef"))
                kind, name = target.get("kind", "Deployment"), target.get("name")
                self._known[str(kind), one.namespace, str(name)] = one

    def bounded(self, document: Document, wanted: int) -> tuple[int, str]:
        """The count within the bounds of the workload's autoscaler, and a note if it has one.

        A workload that is scaled to 0 stays at 0, because its autoscaler is off.
        """
        one = self._known.get((document.kind, document.namespace, document.name))
        if one is None or wanted == 0:
            return wanted, ""
        spec = mapping(one.body.get("spec"))
        least, most = (
            _whole(one, f"spec.{field}", spec.get(field, unless))
            for field, unless in _BOUNDS[one.kind]
        )
        bounded = max(least, min(wanted, most))
        return bounded, (
            f"{document.kind} {document.namespace}/{document.name}: counted with {bounded}; "
            f"{one.kind} {one.name} scales it from {least} to {most} (--scale sets it)"
        )
