"""What the keeper of Pools does once a second, whatever the API server refuses."""

import asyncio
import contextlib
import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bayplan.api import names
from bayplan.api.pool_resource import parse_pool
from bayplan.cluster import errors
from bayplan.cluster.refusals import Write
from bayplan.metrics import Metrics
from bayplan.model.claim_names import fresh
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node
from bayplan.reconcile.pool.facts import Consolidating, Costs, Hands, LeavingNode
from bayplan.reconcile.pool.limits import Limit
from bayplan.scheduler.pools.appraiser import Appraised
from bayplan.scheduler.pools.keeper import Keeper
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.refused import RefusedOfferings
from bayplan.scheduler.pools.teller import Teller
from tests.builders import make_node
from tests.double.loop import run
from tests.unit.cluster.held import Held

(NAME,) = fresh("batch", "uid-batch", (), 1)
OFFERING = ("m5.large", "a", "on-demand")


NO_GROUPS = SimpleNamespace(
    look=lambda: None,
    launches=lambda _pool: (),
    book=SimpleNamespace(serial=lambda _pool: 0),
    refused_write=lambda _pool: "",
)


class Kept:
    """A keeper of the Pool `batch` that has a claim of ours without an instance."""

    def __init__(self) -> None:
        self.held = Held()
        pools = self.held.cache.pools
        pools.pools["batch"] = parse_pool({"metadata": {"name": "batch", "uid": "uid-batch"}})
        made = {"types": ("m5.large",), "zones": ("a",), "capacity_types": ("on-demand",)}
        claim = NodeClaim(NAME, uid="uid-c1", pool="batch", created_at=1000, **cast("Any", made))
        pools.claims[NAME] = claim
        self.retired: list[RetireNode] = []
        self.rings = 0
        self.metrics = Metrics()
        self.refused = RefusedOfferings(self.held.cache)
        menus = SimpleNamespace(offerings=lambda _pool: frozenset({OFFERING}))
        idle = SimpleNamespace(tidy=lambda _now: None, look=lambda _menus, _now: None)
        parts: dict[str, Any] = {
            "writer": SimpleNamespace(retire=self.retired.append),
            "clock": None,
            "menus": SimpleNamespace(current=lambda _now: menus),
            "under_way": idle,
            "buyer": SimpleNamespace(unmet=False, held_back={}, ring=self._ring),
            "retirer": idle,
            "teller": idle,
            "groups": NO_GROUPS,
            "steps": SimpleNamespace(look=lambda: 0, shifts={}),
            "leads": lambda: True,
            "failed": lambda _error: None,
            "measured": PoolMetrics(self.metrics),
        }
        self.keeper = Keeper(cache=self.held.cache, refused=self.refused, **parts)

    def _ring(self) -> None:
        self.rings += 1

    def counted(self, name: str) -> float | None:
        """A counter of the Pool."""
        return self.metrics.registry.get_sample_value(f"bayplan_{name}_total", {"pool": "batch"})


def test_a_stuck_claim_is_put_away_once() -> None:
    """Its delete may be refused for minutes: its offerings are out as after one refusal."""
    kept = Kept()
    for now in range(1035, 1095):
        kept.keeper.look(now)

    assert {"uid-c1"} == {one.uid for one in kept.retired}
    assert (1, 1) == (kept.rings, kept.refused.count("batch", 1095))
    assert {OFFERING} == kept.refused.closed(1100)["batch"]
    assert {} == kept.refused.closed(1037 + 181)  # two seconds for the answer to the delete
    assert (1, None) == (kept.counted("pool_stuck"), kept.counted("pool_refusals"))


def test_taints_are_looked_after_when_the_last_pool_has_gone() -> None:
    """Else the taint of a node that was going back would keep pods away for ever."""
    kept, looked = Kept(), list[int]()
    pools = kept.held.cache.pools
    pools.pools.clear()
    pools.claims.clear()
    pools.karpenter, pools.listed = True, {"Pool", "NodePool", "NodeClaim"}
    keeper = dataclasses.replace(
        kept.keeper,
        clock=cast("Any", SimpleNamespace(now=lambda: 1000)),
        retirer=cast("Any", SimpleNamespace(look=lambda _menus, now: looked.append(now))),
    )

    async def body() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(keeper.run(), 2.5)

    run(body())
    assert [1000, 1000] == looked


def test_a_refused_claim_is_counted() -> None:
    """The cloud had no instance: not the same as an order that takes too long."""
    kept = Kept()
    pools = kept.held.cache.pools
    pools.gone.append(pools.claims.pop(NAME))
    for now in (1001, 1002):
        kept.keeper.look(now)

    assert (None, 1) == (kept.counted("pool_stuck"), kept.counted("pool_refusals"))
    assert {OFFERING} == kept.refused.closed(1002)["batch"]


def test_a_claim_that_is_gone_counts_before_it_is_heard_of() -> None:
    """What is ordered between the end of a claim and the next look asks for something else."""
    kept = Kept()
    pools = kept.held.cache.pools
    pools.gone.append(pools.claims.pop(NAME))

    assert {"batch": frozenset({OFFERING})} == kept.refused.closed(1001)
    kept.keeper.look(1002)
    assert {"batch": frozenset({OFFERING})} == kept.refused.closed(1003)
    assert {} == kept.refused.closed(1002 + 180)


class Told:
    """The statuses that a teller writes for the Pool `batch`, of which nothing is left."""

    def __init__(self, mode: str = "Buy", **limits: Any) -> None:
        self.kept = Kept()
        pools = self.kept.held.cache.pools
        pools.claims.clear()
        spec = {"mode": mode, "nodePoolRef": {"name": "of-batch"}, "limits": limits}
        pools.pools["batch"] = parse_pool({"metadata": {"name": "batch"}, "spec": spec})
        self.status: dict[str, Any] = {}
        self.events: list[tuple[str, Node | None, str]] = []
        self.consolidating: dict[str, Consolidating] = {}
        menus = SimpleNamespace(
            hands=lambda _pool: Hands(),
            node_pool=lambda _pool: SimpleNamespace(body={}),
            offerings=lambda _pool: frozenset(),
            menu=SimpleNamespace(offers=()),
            everything={},
            price=lambda node: node.price_microdollars,
        )
        self.buyer = SimpleNamespace(refused_writes={}, held_back={}, waiting_for=lambda _pool: 2)
        self.appraiser = SimpleNamespace(known={})
        parts: dict[str, Any] = {
            "writer": SimpleNamespace(
                write_pool_status=lambda _pool, it: self.status.update(it),
                tell=lambda pool, node, event: self.events.append((pool.name, node, event.reason)),
            ),
            "menus": menus,
            "buyer": self.buyer,
            "appraiser": self.appraiser,
            "measured": PoolMetrics(self.kept.metrics),
            "groups": NO_GROUPS,
        }
        teller = Teller(
            cache=self.kept.held.cache,
            refused=self.kept.refused,
            consolidating=self.consolidating,
            **parts,
        )
        self.look = lambda now: teller.look(menus, now)  # type: ignore[arg-type]

    def condition(self, kind: str) -> str:
        [found] = [one["reason"] for one in self.status["conditions"] if one["type"] == kind]
        return str(found)


def test_nodes_that_are_to_go_are_told() -> None:
    """In the status as they are, and once each in Events, of the Pool and of the node."""
    told = Told(mode="BuyAndConsolidate")
    node = make_node("n1", labels={names.POOL: "batch"})
    told.kept.held.cache.state.nodes["n1"] = node
    told.consolidating["batch"] = Consolidating()
    told.look(1000)
    told.consolidating["batch"] = Consolidating(closing=(LeavingNode("n1", 190_000),))
    told.look(1010)
    told.look(1020)
    status = dict(told.status)
    told.consolidating.clear()
    told.look(1030)

    assert [("batch", node, "NodeClosing")] == told.events
    assert (1, 0) == (status["closing"], status["draining"])
    assert any("Node n1 closes" in line for line in status["next"])


def test_the_last_pool_that_is_deleted_is_no_longer_shown() -> None:
    """Its numbers are not to stay for ever where nobody is left to tell about."""
    told = Told()
    told.look(1000)
    shown = b'pool="batch"' in told.kept.metrics.page()
    told.kept.held.cache.pools.pools.clear()
    told.look(1010)

    assert shown
    assert b'pool="batch"' not in told.kept.metrics.page()


def test_a_pool_whose_last_node_has_gone_costs_nothing() -> None:
    """At once; what the appraisal of half a minute ago said is no longer told."""
    told = Told()
    told.appraiser.known["batch"] = Appraised(Costs(2_750_000, 2_560_000, 2_600_000))
    told.look(1000)

    assert "0.00" == told.status["dollarsPerHour"]
    assert "boundDollarsPerHour" not in told.status
    told.appraiser.known["batch"] = Appraised(Costs(0, 0, 0))
    told.look(1010)
    assert "0.00" == told.status["boundDollarsPerHour"]


@pytest.mark.parametrize(
    ("limits", "used", "reason"),
    [
        ({"nodes": 1}, 0, "LimitReached"),
        ({"nodes": 2}, 0, "WithinLimits"),  # raised
        ({"nodes": 1}, 1, "WithinLimits"),  # a node has gone
        ({}, 0, "NoLimits"),  # removed
    ],
)
def test_a_limit_that_no_longer_stops_anything(
    limits: dict[str, Any], used: int, reason: str
) -> None:
    """What stopped an order is told until the limit is raised or room was freed."""
    told = Told(**limits)
    told.buyer.held_back["batch"] = Limit("Pool", "nodes", 1, used)
    told.look(1000)

    assert reason == told.condition("LimitReached")


def test_the_status_tells_every_refused_write() -> None:
    """Not only of orders: a node that may not be tainted stays, and costs."""
    kept = Kept()
    parts: dict[str, Any] = {
        "cache": kept.held.cache,
        "refused": kept.refused,
        "buyer": SimpleNamespace(refused_writes={}),
        "groups": NO_GROUPS,
        **dict.fromkeys(("writer", "menus", "appraiser", "measured")),
    }
    teller = Teller(**parts)

    async def body() -> str:
        refusals = kept.held.cache.refusals
        write = Write(("Pool", "", "batch"), "taint", "Node", "n1")
        refusals.refused(write, errors.Rejected("nodes is forbidden", status=403))
        return teller.refused_write("batch")

    assert "nodes is forbidden" == run(body())
    assert "" == teller.refused_write("other")
