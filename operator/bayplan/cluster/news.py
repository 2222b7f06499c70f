"""Which changes of an object are news: what a look could see, and which resources it concerns."""

import dataclasses
import operator

from bayplan.api import kinds
from bayplan.api.resource import Resource
from bayplan.model.nodes import Node
from bayplan.model.pods import UNSCHEDULABLE, Pod

# Fields that we write ourselves on a waiting pod: their echo is no news, however many pods wait.
_MARK = ("scheduled_reason", "scheduled_message", "nominated")
# The other fields of a pod except its version: what a look could see.
_looks = operator.attrgetter(
    *(
        each.name
        for each in dataclasses.fields(Pod)
        if each.name not in ("resource_version", *_MARK)
    )
)


def same(before: Pod, after: Pod) -> bool:
    """Whether there is nothing to look at: the pod is unchanged, or shows what we wrote on it."""
    return _looks(before) == _looks(after) and not _unmarked(before, after)


def _unmarked(before: Pod, after: Pod) -> bool:
    """Whether somebody removed from the pod what makes autoscalers buy."""
    said = before.scheduled_reason == UNSCHEDULABLE
    return said and after.scheduled_reason != UNSCHEDULABLE


def same_node(before: Node, after: Node) -> bool:
    return before == dataclasses.replace(after, resource_version=before.resource_version)


def moves_pods(before: Node, after: Node) -> bool:
    """Whether the owners of the pods there have to look: readiness, taints, cordon, identity."""
    return (
        before.uid != after.uid
        or before.ready != after.ready
        or before.unschedulable != after.unschedulable
        or before.deleting != after.deleting
        or before.taints != after.taints
    )


def echoes(before: Resource, after: Resource) -> bool:
    """Whether only the status has changed; only we write it."""
    return (
        before.uid == after.uid
        and before.generation == after.generation
        and before.deleting == after.deleting
        and before.labels == after.labels
        and before.annotations == after.annotations
    )


def as_load(pod: Pod) -> Pod:
    """A pod of a namespace that is not served: it takes room and we must not touch it."""
    owner = None if pod.owner is not None and pod.owner.kind in kinds.BY_NAME else pod.owner
    return dataclasses.replace(pod, owner=owner, scheduler="another")
