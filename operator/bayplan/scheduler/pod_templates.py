"""What the pods of each resource will be, for each template: compiled once, kept while valid.

Of each resource only the present spec is kept (an edit compiles again); of a resource that has gone
nothing is kept.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import pod_builder
from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.model.limits import Limits
from bayplan.model.workloads import PodClass
from bayplan.scheduler import admission


@dataclass(slots=True)
class _Kept:
    """Blueprints of one spec by template hash, each with the version of the nodes it depends on."""

    uid: str
    generation: int
    limits: Limits  # of the namespace
    default_pool: str
    blueprints: dict[str, tuple[int, pod_builder.Blueprint]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class PodTemplates:
    """`catalogue` has, by node label, the values on nodes that can be bought."""

    cache: Cache
    admissions: admission.Admissions
    catalogue: Mapping[str, Collection[str]] = field(default_factory=dict)
    _kept: dict[Key, _Kept] = field(default_factory=dict)
    _timed: bool = True

    def tell_timed(self, *, timed: bool) -> None:
        """Set whether a protection from autoscalers may name its time; blueprints contain it."""
        if timed is not self._timed:
            self._timed = timed
            for kept in self._kept.values():
                kept.blueprints.clear()

    def look(self, resource: Resource) -> _Kept:
        """Use the resource as it is now: what was compiled from its former spec is dropped."""
        kept = self._kept.get(resource.key)
        if kept is not None and kept.uid != resource.uid:
            self.forget(resource.key)
            kept = None
        limits = self.cache.defaults.limits(resource.namespace)
        told = resource.generation, limits, self.cache.pools.default
        if kept is None or (kept.generation, kept.limits, kept.default_pool) != told:
            kept = self._kept[resource.key] = _Kept(resource.uid, *told)
        return kept

    def of(
        self, resource: Resource, template: Mapping[str, Any] | None, template_hash: str
    ) -> tuple[pod_builder.Blueprint, PodClass]:
        """A pod's blueprint and its class; `template` is None for the resource's own template."""
        looked = self.look(resource)
        kept = looked.blueprints
        version, blueprint = kept.get(template_hash, (0, None))
        now = self.cache.state.nodes_version
        if blueprint is None or (blueprint.patterned and version != now):
            blueprint = pod_builder.blueprint(
                resource,
                template,
                revision=template_hash,
                values=self._known_values,
                limits=looked.limits,
                timed=self._timed,
                default_pool=looked.default_pool,
            )
            kept[template_hash] = now, blueprint
        return blueprint, self.admissions.shape(resource, template, template_hash)

    def forget(self, key: Key) -> None:
        """The resource has gone."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.admissions.forget(kept.uid)

    def forget_gone(self) -> None:
        """Forget resources that went while this process did not look. O(resources)."""
        for key in [key for key in self._kept if key not in self.cache.resources]:
            self.forget(key)

    @property
    def size(self) -> int:
        """Number of compiled templates that are kept."""
        return sum(len(kept.blueprints) for kept in self._kept.values())

    def _known_values(self, label: str) -> Collection[str]:
        """The values of a label on existing nodes and on nodes that can be bought."""
        values = set(self.catalogue.get(label, ()))
        for node in self.cache.state.nodes.values():
            value = node.labels.get(label)
            if value is not None:
                values.add(value)
        return values
