"""Buying through Pools when nodes go bad, limits are near, and clocks are set, in virtual time."""

import asyncio
import dataclasses
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cloud.karpenter_metrics import market
from bayplan.cloud.node_pools import INITIALIZED
from bayplan.cloud.prices import Market, Price
from bayplan.model import resources
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, ZONE, Node, Taint
from bayplan.model.pods import WAITING_FOR_NODE, Phase, PodTerm
from tests.builders import make_node, make_pod, make_term
from tests.unit.scheduler.test_pool_buying import (
    AT_HOME,
    OFFERED,
    PRICES,
    TAINT,
    ZONES,
    Shop,
    make_node_pool,
    played,
)

GPU = "nvidia.com/gpu"


async def settled(shop: Shop, count: int = 1, cpu: int = 1500) -> list[Node]:
    """So many pods run on the nodes that were bought for them."""
    shop.pods(count, cpu=cpu)
    await shop.passing(6)
    shop.store()
    nodes = [shop.join(claim) for claim in shop.claims()]
    shop.cycle()
    return nodes


def without_pods(shop: Shop) -> None:
    """All pods are deleted."""
    shop.version += 10**6
    for key in list(shop.cache.state.pods):
        shop.cache.delete("Pod", key, "", shop.version)


async def draining(shop: Shop) -> None:
    """The node of the shop has been empty for so long that it is given back."""
    await settled(shop, cpu=1000)
    without_pods(shop)
    for _ in range(200):
        await shop.passing(1)
        if shop.tainted:
            return
    raise AssertionError("no taint")


@pytest.mark.parametrize(
    "trouble",
    [
        {"unschedulable": True},
        {"taints": (TAINT, Taint("karpenter.sh/disrupted"))},
        {"ready": False},
        {"taints": (TAINT, Taint("node.kubernetes.io/unreachable"))},
    ],
)
def test_a_node_that_went_bad_is_no_room_to_come(trouble: Any) -> None:
    """What waits gets another node; a node that is cordoned or lost may stay for days."""

    async def story(shop: Shop) -> None:
        (node,) = await settled(shop)
        shop.again(dataclasses.replace(node, **trouble))
        await shop.passing(65)
        shop.pods(1, cpu=1500, name="later")
        await shop.passing(10)

    assert 2 == len(played(Shop(), story).launched)


def test_a_node_that_is_lost_for_a_moment_is_waited_for() -> None:
    async def story(shop: Shop) -> None:
        (node,) = await settled(shop)
        without_pods(shop)
        shop.again(dataclasses.replace(node, ready=False))
        await shop.passing(5)
        shop.pods(1, cpu=1500, name="later")
        await shop.passing(30)
        shop.again(node)
        await shop.passing(5)

    assert 1 == len(played(Shop(), story).launched)


def test_an_empty_node_opens_again_for_pods_that_come() -> None:
    """It is not given back while another one is bought."""

    async def story(shop: Shop) -> None:
        await draining(shop)
        shop.pods(1, cpu=1500, name="later")
        await shop.passing(10)

    shop = played(Shop(), story)

    assert [True, False] == [one.present for one in shop.tainted]
    assert [] == shop.retired
    assert 1 == len(shop.launched)
    assert not shop.cache.state.unplaced


def test_the_taint_goes_when_the_last_pool_is_deleted() -> None:
    async def story(shop: Shop) -> None:
        await draining(shop)
        shop.cache.delete("Pool", ("", "batch"), "", 10**8)
        keeper = asyncio.create_task(shop.buying.keeper.run())
        await asyncio.sleep(3)
        keeper.cancel()

    assert not played(Shop(), story).tainted[-1].present


def test_a_gpu_node_is_not_bought_twice_while_its_plug_in_starts() -> None:
    """The node is Ready before it has devices; its type has devices all the same."""
    prices = {"g4dn.xlarge": 526_000, "g4dn.2xlarge": 752_000}

    async def story(shop: Shop) -> None:
        body = make_node_pool()
        body["spec"]["template"]["spec"]["requirements"][0]["values"] = list(prices)
        shop.see("NodePool", "of-batch", body, "")
        offered = frozenset((kind, zone, "on-demand") for kind in prices for zone in ZONES)
        found = {kind: Price(price, "test") for kind, price in prices.items()}
        shop.cache.pools.market = Market(found, {}, offered)
        pod = make_pod("p", cpu=1000, constraints=AT_HOME, created_at=shop.clock.wall)
        request = resources.Vector({**pod.request, GPU: 1})
        shop.see("Pod", "p", dataclasses.replace(pod, request=request))
        await shop.passing(6)
        shop.store()
        (claim,) = shop.claims()
        assert "g4dn.xlarge" == claim.types[0]
        offer = shop.buying.menus.current(shop.clock.now()).everything["batch", "g4dn.xlarge"]
        labels = {
            **claim.labels,
            INSTANCE_TYPE: "g4dn.xlarge",
            ZONE: ZONES[0],
            CAPACITY_TYPE: "on-demand",
            NODE_POOL: "of-batch",
        }
        shop.claim(claim, provider_id="i-1", labels=labels, node="n1", registered=True)
        bare = resources.Vector({what: n for what, n in offer.room.items() if what != GPU})
        node = dataclasses.replace(
            make_node("n1", labels=labels, taints=(TAINT,)), allocatable=bare, provider_id="i-1"
        )
        shop.again(node)
        await shop.passing(60)
        assert 1 == len(shop.launched)
        labels = {**labels, INITIALIZED: "true"}
        shop.again(dataclasses.replace(node, labels=labels, allocatable=offer.room))
        assert {"p": "n1"} == shop.cycle()

    played(Shop(), story)


def test_headroom_is_bought_without_pods_and_again_when_pods_take_it() -> None:
    async def story(shop: Shop) -> None:
        await shop.passing(15)
        first = len(shop.launched)
        shop.store()
        for claim in shop.claims():
            shop.join(claim)
        shop.pods(3)
        await shop.passing(30)
        assert not shop.cache.state.unplaced
        counts.extend((first, len(shop.launched)))

    counts: list[int] = []
    played(Shop(buying={"headroom": {"cpu": "3"}}), story)

    assert counts[0] > 0
    assert counts[1] > counts[0]


def test_what_was_learnt_of_a_type_outlives_its_last_node() -> None:
    """Else the same node that does not hold the pod is bought again and again."""
    shop = Shop()
    keeper = shop.buying.menus
    labels = {NODE_POOL: "of-batch", INSTANCE_TYPE: "m5.large", INITIALIZED: "true"}
    shop.again(dataclasses.replace(make_node("n1", cpu=1234, labels=labels)))
    keeper.current(shop.clock.now())
    shop.version += 10
    shop.cache.delete("Node", ("", "n1"), "", shop.version)

    menus = keeper.current(shop.clock.now() + 10)

    assert 1234 == menus.everything["batch", "m5.large"].room.amount(resources.CPU)


def test_a_clock_that_is_set_back_stops_no_buying() -> None:
    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(1)
        await shop.passing(15)
        shop.clock.wall -= 3600
        shop.answers = True
        await shop.passing(15)

    assert 1 == len(played(Shop(), story).launched)


def test_smaller_nodes_are_bought_where_the_limit_forbids_the_best() -> None:
    """Six CPUs on one node would be cheapest, but only four may be had."""

    async def story(shop: Shop) -> None:
        shop.pods(6)
        await shop.passing(40)

    shop = played(Shop(limits={"cpu": "4"}), story)

    assert {"m5.large", "m5.xlarge"} >= {kind for one in shop.claims() for kind in one.types}
    assert shop.claims()
    assert shop.buying.buyer.held_back


def test_the_limit_is_no_longer_told_when_nothing_waits() -> None:
    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(20)
        assert shop.buying.buyer.held_back
        without_pods(shop)
        await shop.passing(3)

    assert not played(Shop(limits={"nodes": 0}), story).buying.buyer.held_back


def test_no_node_is_bought_that_the_settings_exclude() -> None:
    """Bayplan would never fill it."""

    async def story(shop: Shop) -> None:
        shop.cache.state.eligible = lambda node: node.labels.get("team") == "ours"
        shop.pods(1)
        await shop.passing(20)

    assert not played(Shop(), story).launched


class _Compared(Market):
    """A market that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        type(self).times += 1
        return True

    __hash__ = None  # type: ignore[assignment]


def test_an_equal_market_is_compared_once() -> None:
    """It has thousands of entries, and every class that waits asks for the menus in every cycle."""
    shop = Shop()
    keeper = shop.buying.menus
    for _ in range(2):
        found = {kind: Price(price, "test") for kind, price in PRICES.items()}
        shop.cache.pools.market = _Compared(found, {}, OFFERED)
        keeper.current(shop.clock.now())
        _Compared.times = 0
        for _ in range(5):
            keeper.current(shop.clock.now())

    assert 0 == _Compared.times


def test_a_node_that_never_becomes_complete_is_given_up() -> None:
    """After 15 minutes it goes back, and what waits for it gets another one."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(6)
        shop.store()
        (claim,) = shop.claims()
        node = shop.join(claim)
        shop.claim(shop.cache.pools.claims[claim.name], initialized=False)
        shop.again(dataclasses.replace(node, ready=False))
        await shop.passing(870)
        assert 1 == len(shop.launched)
        await shop.passing(120)

    shop = played(Shop(), story)

    assert 2 == len(shop.launched)
    assert 1 == len({one.claim for one in shop.retired})
    assert all(one.present for one in shop.tainted)


def test_pods_that_keep_apart_get_a_node_each_and_no_more() -> None:
    apart = dataclasses.replace(
        AT_HOME,
        pod_anti_affinity=(PodTerm(make_term(app="a"), HOSTNAME),),
    )

    async def story(shop: Shop) -> None:
        shop.pods(5, cpu=200, constraints=apart, labels={"app": "a"})
        await shop.passing(30)
        assert 5 == len(shop.launched)
        shop.store()
        for claim in shop.claims():
            shop.join(claim)
        await shop.passing(60)
        assert not shop.cache.state.unplaced

    assert 5 == len(played(Shop(), story).launched)


@pytest.mark.parametrize("off", [{"gated": True}, {"deleted_at": 1}])
def test_a_pod_that_nobody_may_place_gets_no_node(off: Any) -> None:
    async def story(shop: Shop) -> None:
        shop.pods(1, **off)
        await shop.passing(30)

    assert not played(Shop(), story).launched


def agents(shop: Shop) -> None:
    """A service with one instance on each node of the Pool."""
    container = {"name": "a", "image": "x", "resources": {"requests": {"cpu": "400m"}}}
    spec = {
        "nodeSelector": {names.POOL: "batch"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    shop.service("agent", mode="PerNode", template={"spec": spec})


def test_an_instance_that_each_node_has_keeps_none() -> None:
    """A node with nothing else goes back, as with a DaemonSet."""

    async def story(shop: Shop) -> None:
        await settled(shop, cpu=1000)
        await shop.passing(5)
        (agent,) = [pod for pod in shop.cache.state.pods.values() if pod.owner is not None]
        seen = dataclasses.replace(agent, uid="uid-agent", phase=Phase.RUNNING, ready=True)
        shop.see("Pod", agent.name, seen)
        shop.version += 10**6
        shop.cache.delete("Pod", ("default", "p-0"), "", shop.version)
        shop.lists[agent.node] = [seen]
        await shop.passing(100)

    shop = Shop()
    agents(shop)

    assert list(played(shop, story).launched) == [one.claim for one in shop.retired]


def test_no_node_is_wanted_for_an_instance_that_each_node_has() -> None:
    """That it has no room on a full node does not make pods wait for a node."""

    async def story(shop: Shop) -> None:
        await settled(shop, cpu=1700)
        await shop.passing(30)

    shop = Shop()
    agents(shop)

    assert not played(shop, story).buying.buyer.unmet
    assert 0 == shop.statuses[-1]["waitingPods"]


async def living(shop: Shop, seconds: int) -> None:
    """Claims become nodes after 20 s, pods run where they were put, and what is retired goes."""
    for _ in range(seconds):
        await shop.passing(1)
        shop.store()
        for claim in shop.claims():
            if shop.clock.wall - claim.created_at == 20 and not claim.deleting:
                shop.join(claim)
        for pod in list(shop.cache.state.pods.values()):
            if pod.node and pod.phase is Phase.PENDING:
                uid = pod.uid or f"uid-{pod.name}"
                shop.see("Pod", pod.name, dataclasses.replace(pod, uid=uid, phase=Phase.RUNNING))
        for claim in shop.claims():
            if claim.deleting:
                shop.version += 10
                shop.cache.delete("Node", ("", claim.node), "", shop.version)
                shop.cache.pools.drop_claim(("", claim.name))


def test_room_for_an_instance_that_each_node_has_is_bought_too() -> None:
    """It may be more urgent than the pods: without room for both, nodes were bought for ever."""

    async def story(shop: Shop) -> None:
        shop.pods(1, cpu=1700, priority=-10)
        await living(shop, 300)

    shop = Shop()
    agents(shop)
    played(shop, story)

    assert not shop.cache.state.unplaced
    assert 2 == len(shop.launched)  # nobody knew of the instance before the first node


@pytest.mark.parametrize(
    ("sold_out", "wanted"),
    [(ZONES, {}), (ZONES[:1], {ZONE: ZONES[0]})],
    ids=["everything", "the only zone that suits the pod"],
)
def test_a_pod_waits_for_our_node_while_its_zone_is_sold_out(
    sold_out: tuple[str, ...], wanted: dict[str, str]
) -> None:
    """Karpenter cannot buy there either: only after the fallback it is left to others."""
    lines = []
    for kind, price in PRICES.items():
        for zone in ZONES:
            of = f'{{instance_type="{kind}",zone="{zone}",capacity_type="on-demand"}}'
            told = "karpenter_cloudprovider_instance_type_offering"
            lines.append(f"{told}_price_estimate{of} {price / 1e6}")
            lines.append(f"{told}_available{of} {int(zone not in sold_out)}")

    async def story(shop: Shop) -> None:
        shop.cache.pools.market = market("\n".join(lines) + "\n")
        selector = (*AT_HOME.selector, *wanted.items())
        shop.pods(1, constraints=dataclasses.replace(AT_HOME, selector=selector))
        await shop.passing(20)

    shop = played(Shop(), story)

    assert {WAITING_FOR_NODE} == {one.reason for one in shop.notes.marked}
    assert not shop.launched
