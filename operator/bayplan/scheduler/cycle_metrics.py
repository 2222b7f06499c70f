"""What the loop counts and times beside its decisions: metrics from what it sees anyway.

Nothing here decides anything. Counters move by what stored statuses gain, so that a restart counts
nothing twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bayplan.api import kinds
from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.pods import Phase
from bayplan.model.snapshot import PodKey
from bayplan.reconcile import mass_loss


class Clock(Protocol):
    def now(self) -> int:
        """Wall clock in whole epoch seconds: slots are due by this clock."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps: waits are measured with it."""


@dataclass(slots=True, eq=False)
class CycleMetrics:
    """`price` gives a node's price in microdollars an hour, or None where it is unknown."""

    clock: Clock
    cache: Cache
    metrics: Metrics
    price: Callable[[Node], int | None]
    _counted: dict[Key, Mapping[str, object]] = field(default_factory=dict)
    starting: dict[Key, dict[PodKey, float]] = field(default_factory=dict)  # when each was placed

    def look(self, resource: Resource) -> None:
        """The loop looks at a resource: count and time what changed."""
        self._count(resource)
        self._time_starts(resource)

    def place(self, resource: Resource, pod: PodKey) -> None:
        """A pod of the resource has been given a node."""
        self.starting.setdefault(resource.key, {})[pod] = self.clock.monotonic()

    def forget(self, key: Key) -> None:
        """The resource has gone."""
        self._counted.pop(key, None)
        self.starting.pop(key, None)

    def _count(self, resource: Resource) -> None:
        """Move the counters by what a stored status has gained since the last look."""
        found = resource.status.get("statistics")
        statistics = found if isinstance(found, Mapping) else {}
        before = self._counted.get(resource.key)
        self._counted[resource.key] = statistics
        if before is None or before is statistics:
            return
        for name, outcome in (("successes", "Succeeded"), ("failures", "Failed"), ("lost", "Lost")):
            self.metrics.runs.labels(outcome).inc(_gained(before, statistics, name))
        self.metrics.slots_missed.inc(_gained(before, statistics, "missed"))
        self.metrics.runs_late.inc(_gained(before, statistics, "late"))

    def _time_starts(self, resource: Resource) -> None:
        """Observe how long the pods that this process placed took until they ran."""
        starting = self.starting.get(resource.key)
        if starting is None:
            return
        pods, pending, now = self.cache.state.pods, Phase.PENDING, self.clock.monotonic()
        begun = [
            key for key in starting if (pod := pods.get(key)) is None or pod.phase is not pending
        ]
        for key in begun:
            placed_at = starting.pop(key)
            if key in pods:
                self.metrics.decision_to_running.observe(now - placed_at)
        if not starting:
            del self.starting[resource.key]

    def measure(self) -> None:
        """Set the gauges that describe the nodes. O(nodes)."""
        frozen = self.cache.snapshot()
        self.metrics.nodes.clear()
        states: dict[str, int] = {}
        for node in frozen.nodes:
            word = "leaving" if node.leaving else "ready" if node.ready else "not-ready"
            states[word] = states.get(word, 0) + 1
        for word, count in states.items():
            self.metrics.nodes.labels(word).set(count)
        self.metrics.companions.set(sum(one.count for one in frozen.awaited))
        braked = mass_loss.braked_until(frozen.nodes, self.clock.now())
        self.metrics.mass_loss.set(braked is not None)
        for index, name in enumerate(frozen.columns):
            scale = 1000 if name == resources.CPU else 1
            allocatable, free = frozen.allocatable[:, index], frozen.free[:, index]
            self.metrics.allocatable.labels(name).set(int(allocatable.sum()) / scale)
            self.metrics.requested.labels(name).set(int((allocatable - free).sum()) / scale)
        prices = [
            self.price(node)
            for node in frozen.nodes
            if any(not pod.resident for pod in frozen.pods_on(node.name))
        ]
        self.metrics.cost.set(sum(price or 0 for price in prices) / 1e6)
        known = [key[0] for key in self.cache.resources]
        for kind in kinds.NAMES:
            self.metrics.resources.labels(kind).set(known.count(kind))


def _gained(before: Mapping[str, object], after: Mapping[str, object], name: str) -> int:
    numbers = [one.get(name, 0) for one in (before, after)]
    old, new = (number if isinstance(number, int) else 0 for number in numbers)
    return max(new - old, 0)
