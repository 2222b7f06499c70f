"""Chooses who leaves when LongServices have too many instances, for a whole Pool at once.

Which nodes a Pool can give back depends on who leaves in all its services together, so a surplus
waits a moment: until no more has come for a second, at most ten seconds, and until the solver
process has answered. If there is no answer in time, instances leave by the ranks of the nodes. What
is planned for a service stays its plan until the surplus is gone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.batch_window import BatchWindow
from bayplan.scheduler.pools.menus import MenuKeeper

_PATIENCE_SECONDS = 20  # that a surplus waits: the longest window and a long answer
_LEAVING_SECONDS = 60  # by then all of a surplus has left, or will not leave soon
_LONGEST_SECONDS = 40  # also if it grows again and again
_FEW = 300  # of so many pods, one more or less changes no plan

Leaving = Mapping[str, Mapping[str, int]]  # uid of a service -> node -> how many leave there


class Plans(Protocol):
    """Who plans with the solver process."""

    async def leaving(self, pool: str) -> Leaving | None:
        """Who leaves on which node of the Pool; None without an answer."""

    def ranks(self) -> Mapping[str, int]:
        """The nodes that go next: node -> its place."""


@dataclass(slots=True)
class _Surplus:
    """A service with `count` instances too many, which nobody has planned for before `until`.

    `stay`: how many instances remain on each node by the plan; None while there is none.
    """

    key: Key
    count: int
    since: int
    until: int
    stay: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class _There:
    """The healthy instances of a service that would stay: how many, and how many on each node."""

    count: int
    on_nodes: Mapping[str, int]  # of Pools that consolidate
    rolling: bool


@dataclass(slots=True, eq=False)
class Leavers:
    """`ring` has a resource looked at again; `failed` hears of a defect of ours."""

    cache: Cache
    clock: Clock
    menus: MenuKeeper
    plans: Plans
    ring: Callable[[Key], None]
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    _surplus: dict[str, _Surplus] = field(default_factory=dict)  # by the uid of the service
    _window: BatchWindow = field(init=False)
    _pools: frozenset[str] = frozenset()  # that consolidate
    _looked_at: int = -1

    def __post_init__(self) -> None:
        self._window = BatchWindow(self.clock)

    def departures(self, resource: Resource) -> Departures:
        """Which instances of the resource leave first. O(its pods) where a Pool consolidates."""
        spec = resource.spec
        if not isinstance(spec, LongServiceSpec) or spec.mode == "PerNode" or spec.owns_volumes:
            return ANY_DEPARTURE
        if not self._consolidating():
            self._surplus.clear()
            return ANY_DEPARTURE
        there = self._there(resource.uid)
        if not there.on_nodes:
            self._surplus.pop(resource.uid, None)
            return ANY_DEPARTURE
        ranks = self.plans.ranks()
        surplus = there.count - spec.replicas
        if surplus <= 0 or not spec.replicas or there.rolling:
            self._surplus.pop(resource.uid, None)
            return Departures(ranks=ranks)
        known = self._known(resource, surplus)
        if known.stay is None:
            until = known.until if self.clock.now() < known.until else None
            return Departures(ranks=ranks, undecided_until=until)
        counts = {
            node: count - known.stay.get(node, count)
            for node, count in there.on_nodes.items()
            if count > known.stay.get(node, count)
        }
        return Departures(counts, ranks)

    def unsettled(self) -> bool:
        """Whether many instances are leaving, or are about to: who moves is decided afterwards."""
        recent = self.clock.now() - _LEAVING_SECONDS
        return sum(one.count for one in self._surplus.values() if one.since > recent) > self._most

    async def run(self) -> NoReturn:
        """Plan for every surplus, batch by batch, until cancelled."""
        while True:
            await self._window.opened()
            await self._window.settled()
            self._window.close()
            if not self.leads():
                continue
            asked = {uid: known.count for uid, known in self._surplus.items()}
            for pool in () if self._few() else sorted(self._consolidating()):
                try:
                    await self._plan(pool, asked)
                except Exception as error:  # noqa: BLE001  without a plan they leave by ranks
                    self.failed(error)
            self._decide_the_rest(asked)

    def _consolidating(self) -> Collection[str]:
        now = self.clock.now()
        if now != self._looked_at:
            self._looked_at = now
            buying = self.menus.current(now).buying
            self._pools = frozenset(name for name, spec in buying.items() if spec.consolidates)
        return self._pools

    def _known(self, resource: Resource, surplus: int) -> _Surplus:
        """What is known of the surplus; a new or larger surplus is to be planned for."""
        now, known = self.clock.now(), self._surplus.get(resource.uid)
        if known is not None and surplus <= known.count:
            return known
        since = known.since if known is not None else now
        until = min(now + _PATIENCE_SECONDS, since + _LONGEST_SECONDS)
        made = self._surplus[resource.uid] = _Surplus(resource.key, surplus, since, until)
        if until > now:
            self._window.ring()
        return made

    @property
    def _most(self) -> int:
        """How many instances may leave without a plan for them."""
        return max(len(self.cache.state.pods) // _FEW, 1)

    def _few(self) -> bool:
        """Whether so few instances leave that the ranks of the nodes decide as well as a plan."""
        undecided = sum(one.count for one in self._surplus.values() if one.stay is None)
        return bool(self.plans.ranks()) and undecided <= self._most

    async def _plan(self, pool: str, asked: Mapping[str, int]) -> None:
        """Ask for a plan of a Pool, and give each service its part."""
        before = {uid: self._there(uid).on_nodes for uid in asked}
        if not any(any(self._in_pool(there, pool)) for there in before.values()):
            return
        planned = await self.plans.leaving(pool)
        for uid, leave in (planned or {}).items():
            resource = self.cache.by_uid(uid)
            if resource is not None:
                there = before.get(uid) or self._there(uid).on_nodes
                stay = {at: there[at] - leave.get(at, 0) for at in self._in_pool(there, pool)}
                self._give(resource, stay, asked.get(uid, sum(leave.values())))

    def _give(self, resource: Resource, stay: Mapping[str, int], count: int) -> None:
        """A service has a plan for so many; if it has more too many by now, it is asked again."""
        known = self._surplus.get(resource.uid)
        if known is None:
            now = self.clock.now()
            known = self._surplus[resource.uid] = _Surplus(resource.key, count, now, now)
        if known.count <= count:
            known.stay = {**(known.stay or {}), **stay}
            self.ring(resource.key)

    def _decide_the_rest(self, asked: Mapping[str, int]) -> None:
        """Services that were asked about and have no plan wait no longer."""
        for uid, count in asked.items():
            known = self._surplus.get(uid)
            if known is None or self.cache.by_uid(uid) is None:
                self._surplus.pop(uid, None)
            elif known.stay is None and known.count <= count:
                known.stay = {}
                self.ring(known.key)

    def _in_pool(self, on_nodes: Iterable[str], pool: str) -> Iterator[str]:
        nodes = self.cache.state.nodes
        for name in on_nodes:
            if name in nodes and nodes[name].labels.get(names.POOL) == pool:
                yield name

    def _there(self, uid: str) -> _There:
        nodes, pools = self.cache.state.nodes, self._pools
        count, on_nodes, revisions = 0, Counter[str](), set()
        for pod in self.cache.state.owned(uid).values():
            if pod.terminal or pod.terminating:
                continue
            revisions.add(pod.labels.get(names.REVISION, ""))
            node = nodes.get(pod.node)
            if node is None or node.leaving or not (pod.ready and node.ready):
                continue
            count += 1
            if node.labels.get(names.POOL) in pools:
                on_nodes[node.name] += 1
        return _There(count, on_nodes, len(revisions) > 1)
