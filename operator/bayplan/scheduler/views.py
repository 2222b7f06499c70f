"""Builds from the cache the part of the cluster that a reconcile function gets to see.

It also finds the finished pods of runs that are too many in the whole cluster: no single job can
know that.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bayplan.api import kinds, names
from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.model import intents
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.model.pods import Claim
from bayplan.reconcile.batchjob import parent_summaries, retention
from bayplan.reconcile.longservice import dependencies
from bayplan.reconcile.view import EligibleNodesOf, Mark, NoRoom, View
from bayplan.scheduler import admission


@dataclass(slots=True, eq=False)
class Views:
    """`receivers` are the places where notices can go; `timed` is as in `View`.

    `departures` says which instances of a resource leave first.
    """

    cache: Cache
    admissions: admission.Admissions
    receivers: frozenset[str] = frozenset()
    most_finished: int = retention.MOST_FINISHED
    timed: bool = True
    departures: Callable[[Resource], Departures] = lambda _: ANY_DEPARTURE
    _last_to_go: Mark | None = None

    def of(self, resource: Resource, placement: NoRoom | None, homes: EligibleNodesOf) -> View:
        cache, namespace = self.cache, resource.namespace
        return View(
            nodes=cache.state.nodes,
            admission=self.admissions.of(resource),
            placement=placement,
            children=cache.belongings(resource),
            namespace_deleting=namespace in cache.namespaces_deleting,
            foreign=cache.foreign(resource),
            parents=parent_summaries.parents_of(
                resource, functools.partial(self._stored, names.BATCHJOB, namespace)
            ),
            dependencies=dependencies.of(
                resource, functools.partial(self._stored, names.LONGSERVICE, namespace)
            ),
            fullness=cache.state.fullness,
            receivers=self.receivers,
            timed=self.timed,
            last_to_go=self._last_to_go,
            claims=self._claims(resource),
            claim_of=lambda name: cache.state.claims.get((namespace, name)),
            homes=homes,
            refusals=self._refusals(resource),
            departures=self.departures(resource),
        )

    def _refusals(self, resource: Resource) -> tuple[intents.RefusedWrite, ...]:
        found = self.cache.refusals.of(resource.key)
        return tuple(one for one in found if one.template != resource.template_hash)

    def _claims(self, resource: Resource) -> Mapping[str, Claim]:
        spec = resource.spec
        if spec is None or not spec.owns_volumes:
            return {}
        return {
            name: claim
            for (namespace, name), claim in self.cache.state.claims.items()
            if namespace == resource.namespace
        }

    def overfull(self, now: int) -> frozenset[Key]:
        """The jobs that have finished pods above the limit from now on; costs nothing below it."""
        finished = self.cache.state.finished
        self._last_to_go = None
        if len(finished) <= self.most_finished:
            return frozenset()
        ours = [
            pod
            for pod in finished.values()
            if pod.owner is not None and pod.owner.kind in kinds.RUNS
        ]
        last = self._last_to_go = retention.last_to_go(ours, now, self.most_finished)
        if last is None:
            return frozenset()
        return frozenset(
            (pod.owner.kind, pod.namespace, pod.owner.name)
            for pod in ours
            if pod.owner is not None and retention.mark_of(pod, now) <= last
        )

    def _stored(self, kind: str, namespace: str, name: str) -> Resource | None:
        return self.cache.resources.get((kind, namespace, name))
