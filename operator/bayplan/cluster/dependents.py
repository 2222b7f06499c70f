"""Which resources have to look when a pod, child, claim or parent job changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.api import kinds, names
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource, parent_names
from bayplan.cluster.doorbell import Doorbell
from bayplan.cluster.orphans import is_left
from bayplan.cluster.owned import Owned
from bayplan.model import graph
from bayplan.model.pods import Pod

Key = tuple[str, str]  # namespace, name


@dataclass(slots=True, eq=False)
class Dependents:
    """Rings `doorbell` for those of `resources` that a change concerns."""

    resources: Mapping[ResourceKey, Resource]
    doorbell: Doorbell
    _claimants: set[ResourceKey] = field(default_factory=set)  # services with claim templates
    _lineage: graph.Lineage = field(default_factory=graph.Lineage)

    def know(self, resource: Resource) -> None:
        """Store what a resource depends on, as its spec says now."""
        if resource.spec is not None and resource.spec.owns_volumes:
            self._claimants.add(resource.key)
        else:
            self._claimants.discard(resource.key)
        if resource.kind == names.BATCHJOB:
            self._lineage.link(resource.key, parent_names(resource))

    def forget(self, resource: Resource) -> None:
        """A resource that has gone depends on nothing."""
        self._claimants.discard(resource.key)
        self._lineage.link(resource.key, ())

    def ring_owner(self, pod: Pod) -> None:
        """A pod has changed: its owner looks, or the service that left it behind."""
        owner = pod.owner
        if owner is not None and owner.kind in kinds.BY_NAME:
            self.doorbell.mark((owner.kind, pod.namespace, owner.name))
        elif is_left(pod):
            self._ring_service(pod.namespace, pod.labels[names.SERVICE])

    def ring_parent(self, owned: Owned, namespace: str) -> None:
        """An object beside pods has changed: its owner looks."""
        if owned.owner is None:
            self._ring_service(namespace, owned.left_by)
        else:
            self.doorbell.mark((owned.owner.kind, namespace, owned.owner.name))

    def ring_namesake(self, key: Key) -> None:
        """An object of somebody else has come, changed or gone: it may have been in the way."""
        if (names.LONGSERVICE, *key) in self.resources:
            self.doorbell.mark((names.LONGSERVICE, *key))

    def ring_claimants(self, claim: Key) -> None:
        """A claim has come, gone or changed: the service that owns its instance has to look."""
        for claimant in self._claimants:
            if claimant[1] == claim[0]:
                self.doorbell.mark(claimant)

    def ring_descendants(self, job: ResourceKey, *, near: bool = False) -> None:
        """Ring for jobs that wait for this job; after an edit also for possible circles."""
        for each in self._lineage.descendants(job, near=near):
            self.doorbell.mark(each)

    def ring_namespace(self, namespace: str) -> None:
        """The namespace is being deleted, or is no longer being deleted."""
        for key in self.resources:
            if key[1] == namespace:
                self.doorbell.mark(key)

    def _ring_service(self, namespace: str, label: str) -> None:
        """An object has lost its service; only the value of the service's label is known."""
        for kind, space, name in tuple(self.resources):
            if (kind, space) != (names.LONGSERVICE, namespace):
                continue
            if names.owner_value(name) == label:
                self.doorbell.mark((kind, space, name))
