"""Which tasks of each resource have no node, and why; a resource rings where that has changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bayplan.api.resource import Key
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model.workloads import Refused, TaskKey
from bayplan.reconcile.view import NoRoom
from bayplan.scheduler.inbox import Inbox


@dataclass(slots=True, eq=False)
class ExplainStatus:
    """The reasons by resource, from the last cycle in which anything waited."""

    cache: Cache
    inbox: Inbox
    metrics: Metrics
    _known: dict[Key, NoRoom] = field(default_factory=dict)

    def of(self, key: Key) -> NoRoom | None:
        return self._known.get(key)

    def forget(self, key: Key) -> None:
        """The resource has gone."""
        self._known.pop(key, None)

    def explain(self, refusals: Iterable[Refused], owners: Mapping[TaskKey, Key]) -> None:
        """Keep how many tasks of each resource wait and why; a task's first refusal counts.

        `owners` are the owners of tasks without a pod.
        """
        told: dict[Key, NoRoom] = {}
        seen: set[TaskKey] = set()
        for refused in refusals:
            fresh = [key for key in refused.keys if key not in seen]
            seen.update(fresh)
            for key, count in self._counts(fresh, owners).items():
                before = told.get(key)
                told[key] = NoRoom(
                    pending=count + (before.pending if before else 0),
                    since=min(refused.waiting.since, before.since)
                    if before
                    else refused.waiting.since,
                    funnel=before.funnel if before else refused.funnel,
                )
        self.settle(told)

    def _counts(self, keys: Iterable[TaskKey], owners: Mapping[TaskKey, Key]) -> dict[Key, int]:
        """How many of these tasks belong to each of our resources; foreign pods to none."""
        counts: dict[Key, int] = {}
        for key in keys:
            owner = owners.get(key)
            if owner is None:
                pod = self.cache.state.pods.get(key)
                if pod is None or pod.owner is None:
                    continue
                owner = (pod.owner.kind, pod.namespace, pod.owner.name)
            counts[owner] = counts.get(owner, 0) + 1
        return counts

    def settle(self, told: Mapping[Key, NoRoom]) -> None:
        """`told` is all that waits now: replace what was known with it."""
        pending: dict[str, int] = {}
        for key in self._known.keys() | told.keys():
            before, after = self._known.get(key), told.get(key)
            if after is None:
                del self._known[key]
            else:
                self._known[key] = after
                for refusal in after.funnel.ordered[:1]:
                    word = refusal.reason.value
                    pending[word] = pending.get(word, 0) + after.pending
            if before != after and key in self.cache.resources:
                self.inbox.mark(key)
        self.metrics.pending.clear()
        for word, count in pending.items():
            self.metrics.pending.labels(word).set(count)
