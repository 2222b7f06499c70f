"""Buying through Pools: from the demand of the loop to claims and back, in virtual time."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.api.resource import Key
from bayplan.cloud.prices import Book, Market, Price
from bayplan.cluster import node_claims
from bayplan.cluster.node_writes import Done
from bayplan.cluster.pools import KINDS
from bayplan.model.companions import Companions
from bayplan.model.intents import EmitEvent, LaunchNode, RetireNode, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node, Taint
from bayplan.model.pods import UNSCHEDULABLE, WAITING_FOR_NODE, Constraints, Pod, Toleration
from bayplan.model.workloads import PodClass, TaskKey, Waiting
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.purchase import Purchase, purchase
from bayplan.scheduler.pools.pool_buying import PoolBuying
from tests.builders import make_node, make_pod, make_vector
from tests.double.loop import run
from tests.unit.scheduler.test_loop import EVERYTHING, Scene

ZONES = ("us-east-1a", "us-east-1b")
TAINT = Taint(names.POOL, "batch")
PRICES = {"m5.large": 96_000, "m5.xlarge": 192_000, "m5.2xlarge": 384_000}
OFFERED = frozenset((kind, zone, "on-demand") for kind in PRICES for zone in ZONES)
AT_HOME = Constraints(
    selector=((names.POOL, "batch"),),
    tolerations=(Toleration(names.POOL, "Equal", "batch", "NoSchedule"),),
)


def make_node_pool(pool: str = "batch", **disruption: Any) -> dict[str, Any]:
    """A quiet NodePool for m5 on demand, with the label and the taint of a Pool."""
    stated = {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}], **disruption}
    requirements = [
        {"key": INSTANCE_TYPE, "operator": "In", "values": list(PRICES)},
        {"key": CAPACITY_TYPE, "operator": "In", "values": ["on-demand"]},
    ]
    spec = {
        "nodeClassRef": {"group": "example.com", "kind": "Shape", "name": "plain"},
        "requirements": requirements,
        "taints": [{"key": names.POOL, "value": pool, "effect": "NoSchedule"}],
    }
    template = {"metadata": {"labels": {names.POOL: pool}}, "spec": spec}
    return {
        "metadata": {"name": f"of-{pool}", "uid": f"uid-of-{pool}"},
        "spec": {"disruption": stated, "template": template},
    }


class Shop(Scene):
    """A cluster without nodes, whose Pool `batch` buys. Claims count as stored at once."""

    def __init__(self, mode: str = "Buy", **spec: Any) -> None:
        self.asked: list[Problem] = []
        self.consolidated: list[Holding] = []
        self.launched: dict[str, Mapping[str, Any]] = {}
        self.retired: list[RetireNode] = []
        self.tainted: list[TaintNode] = []
        self.statuses: list[Mapping[str, Any]] = []
        self.events: list[EmitEvent] = []
        self.lists: dict[str, list[Pod]] = {}  # node -> its pods, as the API server has them
        self.answers = True
        self.defects: list[Exception] = []
        super().__init__(buying=self._buying())
        pools = self.cache.pools
        pools.looked, pools.karpenter, pools.listed = True, True, set(KINDS)
        pools.node_class_problems["Shape", "plain"] = "of no known provider"
        pools.market = Market({kind: Price(n, "test") for kind, n in PRICES.items()}, {}, OFFERED)
        self.pool(mode, **spec)
        self.see("NodePool", "of-batch", make_node_pool(), "")

    def _buying(self) -> PoolBuying:
        self.buying = PoolBuying(
            cache=_Late(lambda: self.cache),  # type: ignore[arg-type]
            writer=self,
            clock=_Time(lambda: self.clock.wall),
            ask=self._ask,
            waiting=self._unplaced,
            consolidate=self._consolidate,
            successors=self._successors,
            ring=self._ring,
            leads=lambda: self.leads,
            failed=self.defects.append,
        )
        return self.buying

    def _unplaced(self, now: int) -> list[Waiting]:
        return self.loop.unplaced(now)

    def _successors(self, pods: Iterable[Pod]) -> Mapping[TaskKey, PodClass]:
        return self.loop.successors(pods)

    def _ring(self, key: Key) -> None:
        self.loop.inbox.mark(key)

    async def _ask(self, problem: Problem, seconds: float) -> Purchase | None:
        self.asked.append(problem)
        await asyncio.sleep(seconds)
        ticks = itertools.count()
        budget = Budget(seconds=1, spent=lambda: next(ticks) / 50)
        return purchase(problem, budget) if self.answers else None

    async def _consolidate(
        self, holding: Holding, offers: Offers, seconds: float, *, most_moves: int | None = None
    ) -> Consolidated | None:
        self.consolidated.append(holding)
        await asyncio.sleep(seconds)
        ticks = itertools.count()
        budget = Budget(seconds=1, spent=lambda: next(ticks) / 50)
        answer = consolidated(holding, offers, budget, most_moves=most_moves)
        return answer if self.answers else None

    # ---- what the writer does -------------------------------------------------------------

    def launch(self, wanted: LaunchNode, done: Done) -> None:
        name = wanted.body["metadata"]["name"]
        assert name not in self.cache.pools.claims, "bought twice"
        self.launched[name] = wanted.body
        self.cache.pools.assume(node_claims.planned(wanted.body, self.clock.now()))
        done(None)

    def retire(self, wanted: RetireNode) -> None:
        self.retired.append(wanted)
        self.cache.pools.assume_leaving(wanted.claim, wanted.uid)

    def taint(self, wanted: TaintNode) -> None:
        self.tainted.append(wanted)
        node = self.cache.state.nodes[wanted.node]
        others = tuple(one for one in node.taints if one.key != wanted.key)
        mine = (Taint(wanted.key, wanted.value, wanted.effect),) if wanted.present else ()
        self.again(dataclasses.replace(node, taints=others + mine))

    async def pods_on(self, node: str) -> list[Pod]:
        return self.lists.get(node, [])

    def write_pool_status(self, pool: PoolResource, status: Mapping[str, Any]) -> None:
        del pool
        self.statuses.append(status)

    def tell(self, pool: PoolResource, node: Node | None, event: EmitEvent) -> None:
        del pool, node
        self.events.append(event)

    # ---- what happens ---------------------------------------------------------------------

    def pool(self, mode: str = "Buy", name: str = "batch", **spec: Any) -> None:
        self.version += 1
        body = {
            "metadata": {"name": name, "uid": f"uid-{name}", "generation": self.version},
            "spec": {"mode": mode, "nodePoolRef": {"name": "of-batch"}, **spec},
        }
        self.see("Pool", name, body, "")

    def pods(self, count: int, cpu: int = 1000, name: str = "p", **more: Any) -> None:
        """Pods that only a node of the Pool takes."""
        stated = {"constraints": AT_HOME, "created_at": self.clock.wall, **more}
        for number in range(count):
            pod = make_pod(f"{name}-{number}", cpu=cpu, **stated)
            self.see("Pod", pod.name, pod)

    def claims(self) -> list[NodeClaim]:
        return list(self.cache.pools.claims.values())

    def store(self, **fields: Any) -> None:
        """Every claim that is only assumed is seen, with these fields."""
        for claim in self.claims():
            if claim.assumed:
                self.claim(claim, **{"uid": f"uid-{claim.name}", "assumed": False, **fields})

    def claim(self, claim: NodeClaim, **fields: Any) -> None:
        self.version += 1
        self.see("NodeClaim", claim.name, dataclasses.replace(claim, **fields), "")

    def join(self, claim: NodeClaim) -> Node:
        """The claim's node is there, with what its first type has; pods may be bound to it."""
        kind, zone = claim.types[0], claim.zones[0]
        labels = {**claim.labels, INSTANCE_TYPE: kind, ZONE: zone, CAPACITY_TYPE: "on-demand"}
        order = self.buying.menus.current(self.clock.now()).everything["batch", kind]
        self.claim(
            claim,
            provider_id=f"i-{claim.name}",
            labels=labels,
            node=f"n-{claim.name}",
            registered=True,
            initialized=True,
        )
        node = dataclasses.replace(
            make_node(f"n-{claim.name}", labels=labels, taints=(TAINT,)),
            uid=f"uid-n-{claim.name}",
            allocatable=order.room,
            provider_id=f"i-{claim.name}",
            created_at=self.clock.wall,
            price_microdollars=PRICES[kind],
        )
        self.again(node)
        return node

    def again(self, node: Node) -> None:
        """A newer sight of a node."""
        self.see("Node", node.name, node)

    def cycle(self) -> dict[str, str]:
        """One cycle; returns who was bound where."""
        self.notes.bound.clear()
        self.loop.cycle(EVERYTHING)
        return {one.name: one.node for one in self.notes.bound}

    async def passing(self, seconds: int) -> None:
        """So much time passes; every second the loop and the keeper look."""
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.clock.wall += 1
            self.clock.passed = asyncio.get_running_loop().time()
            self.cycle()
            self.buying.keeper.look(self.clock.now())


@dataclasses.dataclass
class _Time:
    """The wall clock of the scene, and the virtual time of the event loop."""

    wall: Callable[[], int]

    def now(self) -> int:
        return self.wall()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class _Late:
    """Stands for an object that is made later."""

    def __init__(self, found: Any) -> None:
        object.__setattr__(self, "_found", found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)


def played(shop: Shop, story: Any) -> Shop:
    """Play a story while the buyer runs; a defect on the way fails the test."""

    async def whole() -> None:
        parts = shop.buying.buyer.run(), shop.buying.appraiser.run()
        running = [asyncio.create_task(part) for part in parts]
        try:
            await story(shop)
        finally:
            for task in running:
                task.cancel()

    run(whole())
    for defect in shop.defects:
        raise defect
    return shop


def test_what_finds_no_room_is_bought_for_once() -> None:
    """One question for pods that come together; what is under way is not bought again."""

    async def story(shop: Shop) -> None:
        shop.pods(6)
        await shop.passing(20)

    shop = played(Shop(), story)

    assert 1 == len(shop.asked)
    assert 6 == int(shop.asked[0].demand.sum())
    assert set(PRICES.values()) == set(shop.asked[0].price.tolist())  # of the market
    room = sum(PRICES[claim.types[0]] for claim in shop.claims())
    assert 0 < room < 6 * PRICES["m5.xlarge"]


def test_pods_that_come_while_the_window_is_open_are_one_batch() -> None:
    """It closes a second after the last pod, and ten seconds after the first."""

    async def story(shop: Shop) -> None:
        for number in range(5):
            shop.pods(2, name=f"q{number}")
            await shop.passing(1)
        await shop.passing(10)

    shop = played(Shop(), story)

    assert 10 == int(shop.asked[0].demand.sum())


def test_pods_land_on_the_node_that_was_bought_for_them() -> None:
    """Also if another class would have found room there first."""

    async def story(shop: Shop) -> None:
        shop.pods(6)
        await shop.passing(6)
        shop.store()
        for claim in shop.claims():
            shop.join(claim)
        landed.update(shop.cycle())

    landed: dict[str, str] = {}
    played(Shop(), story)

    assert 6 == len(landed)


def test_nothing_is_bought_again_after_a_restart() -> None:
    """A new process finds the claims; it does not know for which pods they are."""

    async def story(shop: Shop) -> None:
        shop.pods(6)
        await shop.passing(6)
        shop.store()
        before.extend(shop.launched)
        shop.buying.under_way._planned.clear()  # noqa: SLF001  what a restart forgets
        shop.buying.buyer.ring()
        await shop.passing(20)

    before: list[str] = []
    shop = played(Shop(), story)

    assert before == list(shop.launched)


def test_a_refused_offering_is_not_asked_for_again() -> None:
    """The claim went before it had an instance: the next one names other types or zones."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        first.append(claim)
        shop.cache.delete("NodeClaim", ("", claim.name), claim.uid, 10**6)
        shop.version = 10**6
        await shop.passing(10)

    first: list[NodeClaim] = []
    shop = played(Shop(buying={"alternatives": 1}), story)
    (claim,) = shop.claims()

    assert claim.types != first[0].types
    assert {"m5.large"} == {one["type"] for one in shop.statuses[-1]["unavailable"]}


def test_a_claim_that_goes_without_an_instance_is_refused_already() -> None:
    """It holds its pods no more, and what it asked for is out before it is gone."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store(deleting=True)
        await shop.passing(15)

    shop = played(Shop(buying={"alternatives": 1}), story)

    assert [("m5.large",), ("m5.xlarge",)] == [claim.types for claim in shop.claims()]


def test_what_is_refused_while_the_solver_works_is_not_ordered() -> None:
    """The answer is for offerings that are out by now: it is planned again without them."""

    class Meanwhile(Shop):
        async def _ask(self, problem: Problem, seconds: float) -> Purchase | None:
            answer = await super()._ask(problem, seconds)
            if len(self.asked) == 1:
                made = NodeClaim(
                    "gone",
                    uid="uid-gone",
                    pool="batch",
                    types=("m5.large",),
                    zones=ZONES,
                    capacity_types=("on-demand",),
                )
                self.cache.pools.gone.append(made)
            return answer

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(10)

    shop = played(Meanwhile(buying={"alternatives": 1}), story)

    assert [("m5.xlarge",)] == [claim.types for claim in shop.claims()]


def test_a_stuck_claim_is_withdrawn() -> None:
    """It stops all buying of Karpenter, and its offerings are put away."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        await shop.passing(40)

    shop = played(Shop(), story)
    stuck = next(iter(shop.launched))

    assert stuck in {one.claim for one in shop.retired}
    assert all(one.why.startswith("no instance after 30 s") for one in shop.retired)
    assert shop.statuses[-1]["unavailable"]


def test_a_claim_that_was_launched_after_all_is_no_refusal() -> None:
    """The watch was late: the writer saw the instance and did not delete the claim."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        while not shop.retired:
            await shop.passing(1)
        shop.join(claim)
        shop.cache.pools.forget_leaving(claim.name, claim.uid or f"uid-{claim.name}")
        await shop.passing(10)

    shop = played(Shop(), story)

    assert shop.retired[0].unlaunched
    assert [] == shop.statuses[-1]["unavailable"]
    assert 1 == len(shop.launched)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"nodes": 1}, "limits.nodes"), ({"dollarsPerHour": "0.40"}, "limits.dollarsPerHour")],
)
def test_limits_hold_and_are_told(limits: Mapping[str, Any], most: str) -> None:
    async def story(shop: Shop) -> None:
        shop.pods(20)
        await shop.passing(30)

    shop = played(Shop(limits=limits), story)
    conditions = {one["type"]: one for one in shop.statuses[-1]["conditions"]}

    assert 1 == len(shop.launched)
    assert ("True", "LimitReached") == tuple(
        conditions["LimitReached"][key] for key in ("status", "reason")
    )
    assert most in conditions["LimitReached"]["message"]


def test_without_an_answer_it_is_asked_again() -> None:
    """The solver process died: pods wait for the next question, not for ever."""

    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(3)
        await shop.passing(5)
        assert not shop.launched
        shop.answers = True
        await shop.passing(20)

    assert played(Shop(), story).launched


def test_a_pod_waits_for_our_node_and_then_for_anybodys() -> None:
    """Karpenter buys for pods that say Unschedulable, so they say so only after the fallback."""

    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(1)
        for _ in range(70):
            await shop.passing(1)
            said.append(shop.notes.marked[-1].reason)

    said: list[str] = []
    played(Shop(buying={"fallback": {"afterSeconds": 60}}), story)

    assert [WAITING_FOR_NODE] * 59 == said[:59]
    assert {UNSCHEDULABLE} == set(said[61:])


def test_a_pod_that_was_left_to_others_is_not_bought_for_at_once() -> None:
    """Karpenter buys a node for it by now; two minutes later, it is ours again too."""

    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(2)
        await shop.passing(65)
        shop.answers = True
        await shop.passing(100)
        assert [] == list(shop.launched)
        await shop.passing(40)

    assert played(Shop(buying={"fallback": {"afterSeconds": 60}}), story).launched


def test_pods_that_waited_before_the_pool_bought_are_left_to_others_first() -> None:
    """They say Unschedulable, and Karpenter may have bought for them."""

    async def story(shop: Shop) -> None:
        shop.pool("Advise")
        shop.pods(2)
        await shop.passing(150)
        shop.pool("Buy")
        await shop.passing(100)
        assert [] == list(shop.launched)
        await shop.passing(40)

    assert played(Shop(), story).launched


def test_without_a_fallback_a_pod_waits_for_our_node() -> None:
    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(1)
        await shop.passing(200)

    shop = played(Shop(buying={"fallback": {"to": "None"}}), story)

    assert {WAITING_FOR_NODE} == {one.reason for one in shop.notes.marked}


@pytest.mark.parametrize(
    "hinder",
    [
        lambda shop: shop.pool("Advise"),
        lambda shop: shop.see("NodePool", "of-batch", make_node_pool(consolidateAfter="0s"), ""),
        lambda shop: setattr(shop.cache.pools, "karpenter", False),
    ],
    ids=["advise", "not quiet", "no Karpenter"],
)
def test_a_pool_that_may_not_buy_leaves_pods_to_others(hinder: Any) -> None:
    """They are Unschedulable at once, and nothing is written but the status."""

    async def story(shop: Shop) -> None:
        hinder(shop)
        shop.pods(3)
        await shop.passing(20)

    shop = played(Shop(), story)

    assert {UNSCHEDULABLE} == {one.reason for one in shop.notes.marked}
    assert [] == [*shop.launched, *shop.retired, *shop.tainted]
    assert shop.statuses


def test_a_pod_that_the_pool_cannot_hold_is_left_to_others() -> None:
    """It does not tolerate the Pool's taint, or is larger than any type."""

    async def story(shop: Shop) -> None:
        shop.pods(1, constraints=Constraints(), name="foreign")
        shop.pods(1, cpu=64_000, name="huge")
        await shop.passing(10)

    shop = played(Shop(), story)

    assert {"foreign-0": UNSCHEDULABLE, "huge-0": UNSCHEDULABLE} == {
        one.name: one.reason for one in shop.notes.marked
    }
    assert not shop.asked


@pytest.mark.parametrize(("weight", "expected"), [(5, "batch"), (20, "spare")])
def test_of_two_pools_at_one_price_the_heavier_buys(weight: int, expected: str) -> None:
    """Both could hold the pods, which name neither."""

    async def story(shop: Shop) -> None:
        shop.pool(name="spare", weight=weight, nodePoolRef={"name": "of-spare"})
        shop.see("NodePool", "of-spare", make_node_pool("spare"), "")
        everywhere = Constraints(tolerations=(Toleration(names.POOL, "Exists", "", ""),))
        shop.pods(5, constraints=everywhere)
        await shop.passing(8)

    shop = played(Shop(), story)

    assert {expected} == {claim.pool for claim in shop.claims()}


def test_an_empty_node_is_given_back() -> None:
    """Taint, look, list afresh, delete; a node with a pod stays."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        node = shop.join(claim)
        await shop.passing(100)
        assert not shop.tainted
        for pod in list(shop.cache.state.pods):
            shop.cache.delete("Pod", pod, "", 10**6)
        shop.version = 10**6
        await shop.passing(90)
        assert [node.name] == [one.node for one in shop.tainted]

    shop = played(Shop(retirement={"emptySeconds": 60}), story)

    assert list(shop.launched) == [one.claim for one in shop.retired]


def test_room_for_companions_is_bought_and_kept() -> None:
    """A node for the driver and one for its executor, which is empty and stays until the end."""
    asked = Companions(1, make_vector(3500, 1))

    async def story(shop: Shop) -> None:
        shop.pods(1, companions=asked)
        await shop.passing(5)
        shop.store()
        nodes = [shop.join(claim) for claim in shop.claims()]
        await shop.passing(5)
        [driver] = shop.cache.state.pods.values()
        assert 2 == len(nodes)
        assert driver.node in {node.name for node in nodes}
        await shop.passing(300)
        assert not shop.tainted
        for pod in list(shop.cache.state.pods):
            shop.cache.delete("Pod", pod, "", 10**6)
        shop.version = 10**6
        await shop.passing(90)
        assert {node.name for node in nodes} == {one.node for one in shop.tainted}

    played(Shop(retirement={"emptySeconds": 60}), story)


def test_a_node_that_has_a_pod_after_all_is_not_given_back() -> None:
    """The fresh list of the API server decides, not what the watches have shown."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        node = shop.join(claim)
        shop.cache.delete("Pod", ("default", "p-0"), "", 10**6)
        shop.version = 10**6
        shop.lists[node.name] = [make_pod("unseen", node=node.name)]
        await shop.passing(150)
        assert shop.tainted

    assert not played(Shop(retirement={"emptySeconds": 30}), story).retired


def test_headroom_is_bought_and_kept() -> None:
    """Two CPUs stay free although no pod waits, and an empty node that has them is not retired."""

    async def story(shop: Shop) -> None:
        shop.buying.buyer.ring()
        await shop.passing(10)
        shop.store()
        for claim in shop.claims():
            shop.join(claim)
        await shop.passing(200)

    shop = played(Shop(buying={"headroom": {"cpu": "2", "memory": "1Gi"}}), story)

    assert shop.launched
    assert not shop.retired


def test_headroom_of_much_memory_is_bought_in_pieces() -> None:
    """No type has 100 GiB; several nodes have."""

    async def story(shop: Shop) -> None:
        shop.buying.buyer.ring()
        await shop.passing(10)

    shop = played(Shop(buying={"headroom": {"memory": "100Gi"}}), story)

    assert len(shop.launched) > 1


def test_a_stuck_claim_of_a_pool_that_is_gone_is_withdrawn() -> None:
    """It stops all buying of Karpenter all the same."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        shop.pool(name="other")
        shop.cache.delete("Pool", ("", "batch"), "", 10**6)
        shop.version = 10**6
        await shop.passing(40)

    shop = played(Shop(), story)

    assert list(shop.launched) == sorted({one.claim for one in shop.retired})


@pytest.mark.parametrize(
    ("file", "degraded"), [({"m5.large": Price(1, "f")}, "False"), ({}, "True")]
)
def test_a_prices_file_stands_in_for_karpenters_metrics(
    file: Mapping[str, Price], degraded: str
) -> None:
    """Who gives one need not have Karpenter's metrics read."""

    async def story(shop: Shop) -> None:
        shop.cache.pools.market = None
        shop.cache.pools.market_problem = "no Service has such a port"
        shop.cache.pools.book = Book(file)
        await shop.passing(10)

    conditions = played(Shop(), story).statuses[-1]["conditions"]

    assert [degraded] == [one["status"] for one in conditions if one["type"] == "Degraded"]


def test_the_status_tells_what_is_on_its_way() -> None:
    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(10)

    told = played(Shop(), story).statuses[-1]

    assert 1 == told["claims"]["requested"]
    assert any(line.startswith("Ordered: 1 × m5.large") for line in told["next"])


def test_a_pool_without_karpenter_advises_on_the_nodes_that_exist() -> None:
    """What they cost, what the least would be, and which nodes a better plan has."""

    async def story(shop: Shop) -> None:
        shop.cache.pools.karpenter = False
        shop.pool("Advise", nodePoolRef=None)
        for number in range(3):
            labels = {INSTANCE_TYPE: "m5.2xlarge", CAPACITY_TYPE: "on-demand"}
            name = f"big-{number}"
            shop.node(name, cpu=8000, memory=30, labels=labels, zone=ZONES[0])
            shop.see("Pod", f"p{number}", make_pod(f"p{number}", node=name, cpu=1000))
        await shop.passing(45)

    shop = played(Shop(), story)
    told = shop.statuses[-1]

    assert ("True", "Advises") == next(
        (one["status"], one["reason"]) for one in told["conditions"] if one["type"] == "Ready"
    )
    assert f"{3 * PRICES['m5.2xlarge'] / 1e6:.2f}" == told["dollarsPerHour"]
    assert float(told["boundDollarsPerHour"]) <= float(told["plannedDollarsPerHour"])
    assert float(told["plannedDollarsPerHour"]) < float(told["dollarsPerHour"])
    assert any(line.startswith("Would give back 3 × m5.2xlarge") for line in told["next"])
    assert [] == [*shop.launched, *shop.retired]
