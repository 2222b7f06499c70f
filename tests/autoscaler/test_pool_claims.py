"""Claims of our own at the real Karpenter core: what becomes of them is understood."""

from collections.abc import Iterator
from typing import Any

import pytest

from bayplan.model import intents
from bayplan.model.node_claims import ClaimState
from localcluster import karpenter
from tests.cluster.kube import Kube
from tests.cluster.test_pool_wire import CLASSES, NODE_POOLS, Buyer, at, make_node_pool, make_pool
from tests.cluster.under_test import GROUP, Site, pool_rights

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

_POOLS = f"{GROUP}/pools"


@pytest.fixture(scope="module")
def market(site: Site) -> Iterator[Site]:
    """The Pool `batch` with a quiet NodePool, and a second NodePool whose NodeClass is missing."""
    kube = site.kube
    kube.apply(*pool_rights())
    for kind, body in (
        (CLASSES, _class("plain")),
        (NODE_POOLS, make_node_pool("of-batch", "plain", karpenter.NODE_LABELS)),
        (NODE_POOLS, make_node_pool("sold-out", "missing", karpenter.NODE_LABELS)),
        (_POOLS, make_pool()),
    ):
        kube.create(kind, body)
    kube.until(NODE_POOLS, lambda found: _hashed(found.get("of-batch", {})))
    yield site
    _remove(kube)


def _class(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": name},
        "spec": {"nodeRegistrationDelay": "1s"},
    }


def _hashed(node_pool: Any) -> bool:
    return "karpenter.sh/nodepool-hash" in node_pool.get("metadata", {}).get("annotations", {})


def _remove(kube: Kube) -> None:
    kube.delete(f"{_POOLS}/batch")
    for name in ("of-batch", "sold-out"):
        kube.delete(f"{NODE_POOLS}/{name}")


def test_a_claim_becomes_a_node_and_goes(market: Site) -> None:
    """The cheapest of its types, with our taint and label; given back, node and all."""

    async def act(desk: Buyer) -> None:
        def state() -> ClaimState | None:
            known = desk.pools.claims.get("batch-good")
            return known.state if known is not None else None

        async with desk.watching():
            desk.launch(desk.body("batch-good", "m5.xlarge", "c5.large"))
            await desk.until(lambda: state() is ClaimState.USABLE)
            claim = desk.pools.claims["batch-good"]
            assert ([None], "") == (desk.told, claim.problem)
            assert ("c5.large", "us-east-1a", "on-demand") == claim.got
            assert claim.allocatable["cpu"] > 1500
            node = desk.kube.get(f"/api/v1/nodes/{claim.node}")
            assert claim.provider_id == node["spec"]["providerID"]
            assert "batch" == node["metadata"]["labels"]["bayplan.dev/pool"]
            assert "bayplan.dev/pool" in [one["key"] for one in node["spec"]["taints"]]
            assert [] == await desk.writer.pods_on(claim.node)

            desk.writer.retire(intents.RetireNode("batch-good", claim.uid, "it is empty"))
            await desk.until(lambda: state() is None)
            assert [] == desk.pools.gone
            assert claim.node not in desk.kube.listed("/api/v1/nodes")

    at(market, act)


def test_a_claim_that_the_cloud_refuses(market: Site) -> None:
    """It is deleted before it has an instance: its order is handed over."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            await desk.until(lambda: "sold-out" in desk.pools.node_pools)
            desk.launch(desk.body("batch-out", "m5.large", node_pool="sold-out"))
            await desk.until(lambda: desk.pools.gone)
            (gone,) = desk.pools.gone
            assert ("batch-out", ("m5.large",)) == (gone.name, gone.types)
            assert ("on-demand",) == gone.capacity_types
            assert "batch-out" not in desk.pools.claims

    at(market, act)


def test_a_claim_that_is_stuck(market: Site) -> None:
    """The provider's words are its problem; deleted by us, it does not count as refused."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            desk.launch(desk.body("batch-stuck", "m9.nothing"))
            await desk.until(
                lambda: (
                    desk.pools.claims.get("batch-stuck")
                    and desk.pools.claims["batch-stuck"].problem
                )
            )
            claim = desk.pools.claims["batch-stuck"]
            assert ClaimState.REQUESTED is claim.state
            desk.writer.retire(intents.RetireNode("batch-stuck", claim.uid, "it is stuck"))
            await desk.until(lambda: "batch-stuck" not in desk.pools.claims)
            assert [] == desk.pools.gone

    at(market, act)
