"""What of a new sight of an object is news: what a look could see, and whom it concerns."""

import dataclasses
import operator

from bayplan.api import names
from bayplan.api import resource as resources_
from bayplan.model import node as nodes_
from bayplan.model import pod as pods_

OURS = (names.BATCHJOB, names.LONGSERVICE)

# All of a pod but its version: what a look could see.
looks = operator.attrgetter(
    *(each.name for each in dataclasses.fields(pods_.Pod) if each.name != "resource_version")
)


def same_node(before: nodes_.Node, after: nodes_.Node) -> bool:
    return before == dataclasses.replace(after, resource_version=before.resource_version)


def moves_pods(before: nodes_.Node, after: nodes_.Node) -> bool:
    """Whether the owners of the pods there have to look: readiness, taints, cordon, identity."""
    return (
        before.uid != after.uid
        or before.ready != after.ready
        or before.unschedulable != after.unschedulable
        or before.deleting != after.deleting
        or before.taints != after.taints
    )


def echoes(before: resources_.Resource, after: resources_.Resource) -> bool:
    """Whether nothing but the status has changed, which is ours alone to write."""
    return (
        before.uid == after.uid
        and before.generation == after.generation
        and before.deleting == after.deleting
        and before.labels == after.labels
        and before.annotations == after.annotations
    )


def as_load(pod: pods_.Pod) -> pods_.Pod:
    """A pod of a namespace that is not served: it takes room and is not ours to touch."""
    owner = None if pod.owner is not None and pod.owner.kind in OURS else pod.owner
    return dataclasses.replace(pod, owner=owner, scheduler="another")
