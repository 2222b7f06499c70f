"""What a cycle must not plan, because the API server refuses it for now."""

from collections.abc import Iterable
from itertools import chain

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.cluster.refusals import Refusals, Write, binding
from bayplan.model import intents
from bayplan.model.pods import Pod


def creation(resource: Resource, task: intents.Task) -> Write:
    """The CREATE of a task's pod: a refusal of one pod applies to all pods of its template."""
    of_task = task.labels.get(names.TEMPLATE_HASH, resource.template_hash)
    return Write(resource.key, "create", "Pod", of_task)


def allowed(
    refusals: Refusals, resource: Resource, tasks: Iterable[intents.Task]
) -> list[intents.Task]:
    """The tasks whose pods may be made: for a refused template none, one task, or one gang."""
    if not refusals.kept:
        return list(tasks)
    by_write: dict[Write, list[intents.Task]] = {}
    for task in tasks:
        by_write.setdefault(creation(resource, task), []).append(task)
    return list(
        chain.from_iterable(
            some if (most := refusals.allowance(write)) is None else _first(some, most)
            for write, some in by_write.items()
        )
    )


def _first(tasks: list[intents.Task], most: int) -> list[intents.Task]:
    if not most:
        return []
    first = tasks[0]
    return [one for one in tasks if one is first or (first.gang and one.gang == first.gang)]


def bindable(refusals: Refusals, pods: Iterable[Pod]) -> Iterable[Pod]:
    """The pods whose binding was not refused a moment ago."""
    if not refusals.kept:
        return pods
    return [pod for pod in pods if not refusals.stopped(binding(pod, pod.key))]
