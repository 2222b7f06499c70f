"""What the cache knows of Pools, NodePools and NodeClaims, whatever the order of the news."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.cluster import decode
from bayplan.cluster.pools import MOST_GONE, NODE_CLAIM, NODE_POOL, POOL
from bayplan.model.node_claims import ClaimState, NodeClaim
from tests.unit.cluster.held import Held


def pool_body(version: int = 10, generation: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {"name": "batch", "uid": "uid-batch", "generation": generation}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Pool",
        "metadata": {**metadata, "resourceVersion": str(version)},
        "spec": {"nodePoolRef": {"name": "of-batch"}},
        "status": status,
    }


def node_pool_body(cpu: str = "0", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "of-batch", "annotations": {"karpenter.sh/nodepool-hash": "7"}},
        "spec": {"template": {"spec": {"requirements": [], **spec}}},
        "status": {"resources": {"cpu": cpu}},
    }


class Karpenter(Held):
    """A cache that has been told that Karpenter is there."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = self.cache.pools
        self.pools.karpenter = True

    def claim(self, version: int = 10, name: str = "c1", **more: Any) -> None:
        claim = NodeClaim(name, **{"uid": f"uid-{name}", "pool": "batch", **more})
        self.put(NODE_CLAIM, name, claim, version, namespace="")

    def ended(self, name: str = "c1", version: int = 99) -> bool:
        return self.gone(NODE_CLAIM, name, version, namespace="")

    def node_pool(self, body: Any, version: int = 10) -> None:
        self.put(NODE_POOL, "of-batch", body, version, namespace="")

    def pool(self, body: Any, version: int = 10) -> None:
        self.put(POOL, "batch", body, version, namespace="")

    @property
    def rings(self) -> int:
        """How often decisions were asked for since this was last read."""
        rung, self.bell.placement = self.bell.placement, 0
        return rung


class TestPools:
    def test_a_status_rings_nobody(self) -> None:
        """Only we write it; another spec is looked at."""
        held = Karpenter()
        held.pool(pool_body())
        assert 1 == held.rings
        held.pool(pool_body(11, nodes=3), 11)
        assert (0, {"nodes": 3}, "11") == (
            held.rings,
            held.pools.pools["batch"].status,
            held.pools.pools["batch"].resource_version,
        )
        held.pool(pool_body(12, 2), 12)
        assert 1 == held.rings
        assert held.gone(POOL, "batch", namespace="")
        assert (1, {}) == (held.rings, held.pools.pools)

    def test_an_unreadable_spec_says_why(self) -> None:
        """The Pool stays, for its condition."""
        held = Karpenter()
        held.pool({**pool_body(), "spec": {"mode": "Sell"}})
        found = held.pools.pools["batch"]

        assert found.spec is None
        assert "mode" in found.problems[0].field


class TestNodePools:
    def test_counting_its_nodes_rings_nobody(self) -> None:
        """Karpenter counts in its status; another spec or hash is looked at."""
        held = Karpenter()
        held.node_pool(node_pool_body())
        assert 1 == held.rings
        held.node_pool(node_pool_body("64"), 11)
        assert 0 == held.rings
        found = held.pools.node_pools["of-batch"]
        assert "64" == found.body["status"]["resources"]["cpu"]
        assert {"karpenter.sh/nodepool-hash": "7"} == found.annotations
        held.node_pool(node_pool_body(expireAfter="Never"), 12)
        assert 1 == held.rings

    def test_a_wrong_field_is_named(self) -> None:
        """What cannot be read is a problem, not a defect."""
        held = Karpenter()
        held.node_pool(node_pool_body(taints=[{"value": "x"}]))
        found = held.pools.node_pools["of-batch"]

        assert found.read is None
        assert "spec.template.spec.taints[0].key" in found.problem


class TestClaims:
    def test_assumed_then_seen(self) -> None:
        """A claim on its way counts at once; what is seen of it takes its place."""
        held = Karpenter()
        planned = held.pools.assume(NodeClaim("c1", pool="batch"))
        assert held.pools.claims["c1"].assumed
        held.claim()
        held.pools.forget(planned)

        assert ("uid-c1", False) == (held.pools.claims["c1"].uid, held.pools.claims["c1"].assumed)

    def test_forgotten(self) -> None:
        """A CREATE that failed counts no more."""
        held = Karpenter()
        held.pools.forget(held.pools.assume(NodeClaim("c1")))

        assert ({}, []) == (held.pools.claims, held.pools.gone)

    def test_a_later_plan_stays(self) -> None:
        """The name is used again before the former CREATE has failed for good."""
        held = Karpenter()
        former = held.pools.assume(NodeClaim("c1", types=("m5.large",)))
        held.claim()
        held.ended()
        held.pools.assume(NodeClaim("c1", types=("c5.large",)))
        held.pools.forget(former)

        assert ("c5.large",) == held.pools.claims["c1"].types

    def test_a_claim_that_was_seen_is_not_assumed(self) -> None:
        """Its name was taken."""
        held = Karpenter()
        held.claim(provider_id="i-1")
        held.pools.assume(NodeClaim("c1"))

        assert "i-1" == held.pools.claims["c1"].provider_id

    def test_refused(self) -> None:
        """A claim that ended before it had an instance is handed over, once."""
        held = Karpenter()
        held.claim(types=("m5.large",))
        held.claim(11, types=("m5.large",), deleting=True)
        assert held.ended()
        assert not held.ended()

        assert [("c1", ("m5.large",))] == [(one.name, one.types) for one in held.pools.gone]

    def test_refused_unseen(self) -> None:
        """A whole list shows it as well: the watch was broken meanwhile."""
        held = Karpenter()
        held.claim()
        held.claim(name="c2", provider_id="i-2")
        held.cache.retain(NODE_CLAIM, (), 50)

        assert ["c1"] == [one.name for one in held.pools.gone]
        assert {} == held.pools.claims

    def test_retired_by_us(self) -> None:
        """A stuck claim that we delete ourselves was not refused."""
        held = Karpenter()
        held.claim()
        held.pools.assume_leaving("c1", "uid-c1")
        assert ClaimState.RETIRING is held.pools.claims["c1"].state
        held.claim(11, problem="no such type")  # older news: the delete is still on its way
        assert ClaimState.RETIRING is held.pools.claims["c1"].state
        held.ended()

        assert [] == held.pools.gone

    def test_the_delete_was_refused(self) -> None:
        """It is a claim like others again."""
        held = Karpenter()
        held.claim()
        held.pools.assume_leaving("c1", "uid-other")
        assert ClaimState.REQUESTED is held.pools.claims["c1"].state
        held.pools.assume_leaving("c1", "uid-c1")
        held.pools.forget_leaving("c1", "uid-c1")
        assert ClaimState.REQUESTED is held.pools.claims["c1"].state
        held.ended()

        assert ["c1"] == [one.name for one in held.pools.gone]

    def test_a_namesake_is_not_leaving(self) -> None:
        """A new claim of the same name has nothing to do with the delete of the former."""
        held = Karpenter()
        held.claim()
        held.pools.assume_leaving("c1", "uid-c1")
        held.claim(20, uid="uid-new")

        assert ClaimState.REQUESTED is held.pools.claims["c1"].state

    def test_nobody_reads_what_was_refused(self) -> None:
        """The newest are kept."""
        held = Karpenter()
        for number in range(MOST_GONE + 5):
            held.claim(name=f"c{number}")
            held.ended(f"c{number}")

        assert MOST_GONE == len(held.pools.gone)
        assert f"c{MOST_GONE + 4}" == held.pools.gone[-1].name

    @given(st.permutations(range(1, 6)), st.lists(st.integers(0, 4), max_size=5))
    def test_the_newest_sight_counts(self, order: list[int], again: list[int]) -> None:
        """Doubled, late and reordered news does no harm, before and after the end."""
        held = Karpenter()
        sights = [*order, *(order[index] for index in again)]
        for version in sights:
            held.claim(version, node=f"n{version}")
        assert "n5" == held.pools.claims["c1"].node

        assert held.ended(version=6)
        for version in sights:
            held.claim(version, node=f"n{version}")
        assert {} == held.pools.claims
        assert ["n5"] == [one.node for one in held.pools.gone]


class TestKarpenter:
    def test_optional_kinds_hold_nothing_up(self) -> None:
        """A cluster without Karpenter is served; and nothing is bought before all is listed."""
        held = Held()
        for kind in decode.KINDS:
            held.cache.sync(kind)
        assert held.cache.synced
        pools = held.cache.pools
        pools.karpenter = True
        for kind in (POOL, NODE_POOL, NODE_CLAIM):
            assert not pools.synced
            held.cache.sync(kind)
        assert pools.synced

    def test_until_it_is_known_who_buys(self) -> None:
        """Pools, whether Karpenter is there, its objects, and the NodeClasses that they name."""
        held = Held()
        pools = held.cache.pools
        held.cache.sync(POOL)
        assert not pools.known
        pools.looked = True
        assert pools.known
        pools.karpenter = True
        assert not pools.known
        held.put(POOL, "batch", pool_body(), 10, namespace="")
        reference = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c"}
        body = node_pool_body(nodeClassRef=reference)
        held.put(NODE_POOL, "of-batch", body, 10, namespace="")
        held.cache.sync(NODE_POOL)
        held.cache.sync(NODE_CLAIM)
        assert pools.synced
        assert not pools.known
        pools.node_class_problems["EC2NodeClass", "c"] = "does not exist"
        assert pools.known
        pools.node_class_problems.clear()
        pools.node_classes["EC2NodeClass", "c"] = {}
        assert pools.known

    def test_it_vanishes_and_comes_back(self) -> None:
        """Its objects are void then, nothing was refused; the same objects count when served."""
        held = Karpenter()
        for kind in (POOL, NODE_POOL, NODE_CLAIM):
            held.cache.sync(kind)
        held.pool(pool_body())
        held.node_pool(node_pool_body())
        held.claim()
        held.pools.assume(NodeClaim("c2"))
        held.cache.lose_karpenter()

        assert not held.pools.synced
        assert ({}, ["c2"], []) == (
            held.pools.node_pools,
            [*held.pools.claims],
            held.pools.gone,
        )
        assert ["batch"] == [*held.pools.pools]

        held.pools.karpenter = True
        held.node_pool(node_pool_body())
        held.claim()
        held.cache.sync(NODE_POOL)
        held.cache.sync(NODE_CLAIM)
        assert held.pools.synced
        assert {"c1", "c2"} == held.pools.claims.keys()


@pytest.mark.parametrize("kind", sorted(decode.FOR_POOLS))
def test_a_kind_is_found_by_its_name(kind: str) -> None:
    """Those for pools are no less kinds."""
    assert kind == decode.kind_of(kind).name
    assert kind not in decode.KINDS
