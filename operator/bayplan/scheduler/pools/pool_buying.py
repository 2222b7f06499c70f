"""Everything about Pools that the loop and the process see: one object for both."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model.budgets import Allowance
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.model.pods import Pod
from bayplan.model.workloads import Backlog, Plan, PodClass, TaskKey, Waiting
from bayplan.scheduler.commit import Patience
from bayplan.scheduler.consolidation.calm import Calm
from bayplan.scheduler.consolidation.consolidator import Consolidator
from bayplan.scheduler.consolidation.deletion_costs import DeletionCosts
from bayplan.scheduler.consolidation.leavers import Leavers
from bayplan.scheduler.consolidation.planner import Consolidate, Planner
from bayplan.scheduler.consolidation.prover import Prover
from bayplan.scheduler.consolidation.pursued import Targets
from bayplan.scheduler.consolidation.records import Records
from bayplan.scheduler.consolidation.scenes import Scenes
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.appraiser import Appraiser
from bayplan.scheduler.pools.buyer import Ask, Buyer
from bayplan.scheduler.pools.clock_steps import ClockSteps
from bayplan.scheduler.pools.groups import GroupCloud, Groups, NoCloud
from bayplan.scheduler.pools.keeper import Keeper, PoolWrites
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.orderer import Orderer
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.pool_nodes import PoolNodes
from bayplan.scheduler.pools.refused import RefusedOfferings
from bayplan.scheduler.pools.retirer import Retirer
from bayplan.scheduler.pools.teller import Teller
from bayplan.scheduler.pools.under_way import UnderWay

_TO_KARPENTER = "Karpenter"
_LISTED_SECONDS = 30.0  # then pods are left to autoscalers
_UNKNOWN = Patience(unknown=True)


@dataclass(slots=True, eq=False)
class PoolBuying:
    """Buys for what finds no room, and keeps the Pools in order; a `NodeBuying` of the loop.

    `waiting` gives what waits now, by class, and `successors` the class of the pod that each pod
    would be followed by. `consolidate` asks the solver process which nodes a Pool gives back.
    `ring` has a resource looked at again. `acts` is False where nothing is to be written. `failed`
    hears of a defect of ours. `cloud` makes calls to EC2 Auto Scaling.
    """

    cache: Cache
    writer: PoolWrites
    clock: Clock
    ask: Ask
    waiting: Callable[[int], Sequence[Waiting]]
    consolidate: Consolidate
    successors: Callable[[Iterable[Pod]], Mapping[TaskKey, PodClass]]
    ring: Callable[[Key], None]
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    acts: bool = True
    metrics: Metrics = field(default_factory=Metrics)
    cloud: GroupCloud = field(default_factory=NoCloud)
    groups: Groups = field(init=False)
    menus: MenuKeeper = field(init=False)
    under_way: UnderWay = field(init=False)
    buyer: Buyer = field(init=False)
    appraiser: Appraiser = field(init=False)
    keeper: Keeper = field(init=False)
    leavers: Leavers = field(init=False)
    consolidator: Consolidator = field(init=False)
    _unknown_since: float | None = None  # monotonic
    _menus: Menus = field(default_factory=Menus)  # of this cycle

    def __post_init__(self) -> None:
        refused = RefusedOfferings(self.cache)
        measured = PoolMetrics(self.metrics)
        nodes = PoolNodes(self.cache)
        self.menus = MenuKeeper(self.cache, refused.closed)
        self.under_way = UnderWay(self.cache)
        self.groups = Groups(
            cache=self.cache,
            cloud=self.cloud,
            lists=self.writer,
            clock=self.clock,
            nodes=nodes,
            measured=measured,
            leads=self._may_buy,
            failed=self.failed,
        )
        orderer = Orderer(
            self.cache, self.writer, self.groups, self.menus, self.under_way, measured
        )
        self.buyer = Buyer(
            cache=self.cache,
            clock=self.clock,
            menus=self.menus,
            under_way=self.under_way,
            orderer=orderer,
            ask=self.ask,
            waiting=self.waiting,
            leads=self._may_buy,
            failed=self.failed,
            moving=self._moving,
        )
        self.appraiser = Appraiser(
            cache=self.cache,
            menus=self.menus,
            ask=self.ask,
            leads=self._may_buy,
            failed=self.failed,
        )
        self._build_consolidator(orderer, nodes, refused, measured)
        self.keeper = Keeper(
            cache=self.cache,
            writer=self.writer,
            clock=self.clock,
            menus=self.menus,
            under_way=self.under_way,
            refused=refused,
            steps=ClockSteps(self.cache, self.clock),
            buyer=self.buyer,
            retirer=Retirer(
                cache=self.cache,
                writer=self.writer,
                clock=self.clock,
                menus=self.menus,
                under_way=self.under_way,
                nodes=nodes,
                measured=measured,
                groups=self.groups,
                moving=self._moving,
            ),
            teller=Teller(
                cache=self.cache,
                writer=self.writer,
                menus=self.menus,
                refused=refused,
                buyer=self.buyer,
                appraiser=self.appraiser,
                measured=measured,
                groups=self.groups,
                consolidating=self.consolidator.records.told,
            ),
            leads=self._may_buy,
            failed=self.failed,
            measured=measured,
            groups=self.groups,
        )
        self.groups.hear_of_clocks = self.keeper.hear_of_clocks

    def _build_consolidator(
        self, orderer: Orderer, nodes: PoolNodes, refused: RefusedOfferings, measured: PoolMetrics
    ) -> None:
        """Build what chooses who leaves and who moves."""
        calm = Calm(self.cache, self.buyer, refused)
        scenes = Scenes(
            cache=self.cache,
            clock=self.clock,
            menus=self.menus,
            orderer=orderer,
            successors=self.successors,
            planned=self._planned_moves,
            shunned=calm.shunned,
            moves=self._moves,
            moved=self._moved,
            going=self._going,
        )
        planner = Planner(self.cache, self.clock, scenes, self.consolidate)
        self.leavers = Leavers(
            cache=self.cache,
            clock=self.clock,
            menus=self.menus,
            plans=planner,
            ring=self.ring,
            leads=self._may_buy,
            failed=self.failed,
        )
        self.consolidator = Consolidator(
            cache=self.cache,
            writer=self.writer,
            clock=self.clock,
            menus=self.menus,
            under_way=self.under_way,
            nodes=nodes,
            scenes=scenes,
            planner=planner,
            prover=Prover(self.cache, self.clock, self.successors),
            targets=Targets(self.cache, orderer, self.under_way),
            calm=calm,
            records=Records(self.cache, self.menus.price, measured),
            costs=DeletionCosts(self.cache, self.writer, planner.ranks),
            allowed=self._allowed,
            surplus=self.leavers.unsettled,
            leads=self._may_buy,
            failed=self.failed,
        )

    async def run(self) -> None:
        """Buy, withdraw, consolidate, give back and tell, until cancelled."""
        await asyncio.gather(
            self.buyer.run(),
            self.keeper.run(),
            self.groups.run(),
            self.appraiser.run(),
            self.leavers.run(),
            self.consolidator.run(),
        )

    def planned(self) -> Backlog:
        """Which pods the nodes were bought for that have joined lately; asked first in a cycle.

        Also the room that is held for pods that move, and the nodes that close.
        """
        self.keeper.hear_of_clocks()
        self._menus = self.menus.current(self.clock.now())
        return self.under_way.planned(coming=False) | self._moving()

    def departures(self, resource: Resource) -> Departures:
        """Which instances of a LongService leave first."""
        return self.leavers.departures(resource) if self.acts else ANY_DEPARTURE

    def patience(self, kind: PodClass) -> Patience | None:
        """How long pods of a class wait for a node that is bought; None if none is bought."""
        if not self._known():
            return _UNKNOWN
        menus = self._menus
        pools = menus.pools_for(kind)
        if not pools:
            return None
        fallbacks = [menus.buying[pool].buying.fallback for pool in pools]
        ends = [one.after_seconds for one in fallbacks if one.to == _TO_KARPENTER]
        named = f"Pool {pools[0]}" if len(pools) == 1 else f"Pools {', '.join(pools)}"
        verb = "buys" if len(pools) == 1 else "buy"
        sentence = f"{named} {verb} a node for it."
        return Patience(min(ends, default=None), sentence, pools, shifts=self.keeper.steps.shifts)

    def see(self, waiting: Sequence[Waiting], plan: Plan | None) -> None:
        """A cycle has ended: what waited, and its plan. The plan is None if nothing waited."""
        if plan is not None:
            self.under_way.land(waiting, plan)
            self.consolidator.land(waiting, plan)
        self.buyer.look(plan)

    def _known(self) -> bool:
        """Whether the Pools are known, or should be by now: others must not wait for ever."""
        if self.cache.pools.known:
            self._unknown_since = None
            return True
        now = self.clock.monotonic()
        if self._unknown_since is None:
            self._unknown_since = now
        return now - self._unknown_since > _LISTED_SECONDS

    def _allowed(self, pod: Pod) -> Allowance | None:
        return self.cache.budgets.allowed(pod)

    def _moving(self) -> Backlog:
        return self.consolidator.held()

    def _moves(self, pool: str, now: int) -> int:
        return self.consolidator.moves(pool, now)

    def _moved(self, pool: str) -> int:
        return self.consolidator.moved(pool)

    def _going(self, pool: str) -> frozenset[str]:
        return self.consolidator.going(pool)

    def _planned_moves(self) -> Backlog:
        """What is planned for nodes that are there and for those that come."""
        others = self.consolidator.intended().taken()
        return self.under_way.planned(coming=True) | self._moving() | others

    def _may_buy(self) -> bool:
        return self.acts and self.leads()
