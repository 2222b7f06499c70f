"""What the operator says to a real API server about Pools, and what it understands of the answers.

Karpenter's own definitions are there and nobody acts on them. Everything is asked as the operator's
account, with the rights of `pool.enabled` and under the policy that confines them.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from bayplan.cloud import node_claim_body
from bayplan.cluster import cache, informer, nodes
from bayplan.cluster.decode import Kind
from bayplan.cluster.transport import HttpTransport
from bayplan.cluster.writer import Writer
from bayplan.model import intents, state
from bayplan.model.node_claims import ClaimState
from bayplan.model.resources import Vector
from bayplan.reconcile.pool import facts, status
from bayplan.runtime import pool_watch
from bayplan.runtime.karpenter_market import MarketError
from bayplan.runtime.pool_watch import PoolWatch
from localcluster import Cluster, karpenter
from tests.cluster.kube import Kube, Objects
from tests.cluster.test_api_server import Reported
from tests.cluster.under_test import GROUP, Site
from tests.double.bell import Bell
from tests.helm import render
from tests.unit.runtime.test_karpenter_market import PAGE, serving
from tools.demo.site import is_established

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it needs a cluster with Karpenter's definitions and nobody who acts on them",
    ),
]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_KARPENTER = "/apis/karpenter.sh/v1"
_CLAIMS = f"{_KARPENTER}/nodeclaims"
NODE_POOLS = f"{_KARPENTER}/nodepools"
CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
_NODE = "m5-2xlarge-us-east-1a-1"
_TAINT = {"key": "bayplan.dev/pool", "value": "batch", "effect": "NoSchedule"}


def make_pool() -> dict[str, Any]:
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": "batch"},
        "spec": {"nodePoolRef": {"name": "of-batch"}, "mode": "Buy"},
    }


def make_node_pool(
    name: str, node_class: str, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A NodePool that Karpenter leaves alone, for the Pool `batch`."""
    requirement = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
    reference = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": node_class}
    spec = {"taints": [_TAINT], "nodeClassRef": reference, "requirements": [requirement]}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "disruption": {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]},
            "template": {
                "metadata": {"labels": {"bayplan.dev/pool": "batch", **(labels or {})}},
                "spec": spec,
            },
        },
    }


def install(kube: Kube) -> None:
    """Karpenter's definitions, a NodePool `of-batch` and its NodeClass."""
    definitions = karpenter.definitions()
    kube.apply(*definitions)

    def served(found: Objects) -> bool:
        names = [one["metadata"]["name"] for one in definitions]
        return all(is_established(found.get(name, {})) for name in names)

    kube.until(_DEFINITIONS, served)
    for path in (_CLAIMS, NODE_POOLS, CLASSES):
        kube.until_served(path)
    about = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass"}
    kube.create(CLASSES, {**about, "metadata": {"name": "plain"}})
    kube.create(NODE_POOLS, make_node_pool("of-batch", "plain"))


def remove(kube: Kube) -> None:
    """Delete Karpenter's definitions, with all objects of theirs."""
    names = [one["metadata"]["name"] for one in karpenter.definitions()]
    kube.kubectl("delete", "crd", *names)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with the Pool `batch` and a fake node."""
    with Cluster.start(kwok="m5.2xlarge:us-east-1a=1") as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("wire")).prepare()
        made = render({"pool": {"enabled": True}})
        site.kube.apply(*(one for one in made if one["metadata"]["name"] == "bayplan-pools"))
        install(site.kube)
        site.kube.create(f"{GROUP}/pools", make_pool())
        yield site


class Buyer:
    """The operator's hands and eyes for Pools, without its head."""

    def __init__(self, site: Site, transport: HttpTransport) -> None:
        self.site, self.kube, self.transport = site, site.kube, transport
        self.cache = cache.Cache(state.State(), Bell())
        self.pools = self.cache.pools
        self.reports = Reported()
        self.told: list[str | None] = []
        self.writer = Writer(
            transport,
            self.cache,
            may_write=lambda: True,
            reports=self.reports,
            jitter=random.random,
        )

    def body(self, name: str, *types: str, node_pool: str = "of-batch") -> dict[str, Any]:
        return node_claim_body.body(
            name,
            "batch",
            self.pools.node_pools[node_pool].body,
            types=types or ("m5.large",),
            zones=["us-east-1a"],
            capacity_type="on-demand",
        )

    def launch(self, body: dict[str, Any]) -> None:
        self.writer.launch(intents.LaunchNode("batch", body), self.told.append)

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not met():  # noqa: ASYNC110  anything may make it so
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def watching(self, **options: Any) -> AsyncIterator[None]:
        """Follow all that the operator follows for Pools."""

        async def nowhere(_: str) -> Any:
            raise MarketError("there is no Karpenter here")

        def informer_of(kind: Kind) -> informer.Informer:
            return informer.Informer(
                kind,
                self.transport,
                self.cache,
                jitter=random.random,
                restarted=lambda _kind, _cause: None,
            )

        more = {"market_at": nowhere, "look_seconds": 0.2, **options}
        watch = PoolWatch(self.transport, self.cache, informer_of, lambda: 0.0, **more)
        task = asyncio.ensure_future(watch.run())
        try:
            await self.until(lambda: self.pools.synced)
            yield
            assert not task.done(), "the operator would end"
        finally:
            task.cancel()
            await asyncio.wait([task])


def at(site: Site, act: Callable[[Buyer], Awaitable[None]]) -> None:
    """Do it at the API server, as the operator's account."""

    async def body() -> None:
        path = str(site.account_kubeconfig())
        async with await HttpTransport.connect(path) as transport:
            await act(Buyer(site, transport))
        # TLS would wait for the server's goodbye on each watch that was cut off.
        for left in [*vars(asyncio.get_running_loop())["_transports"].values()]:
            left.abort()
        await asyncio.sleep(0)

    asyncio.run(body())


def test_the_life_of_a_claim(site: Site) -> None:
    """Ordered, launched, registered, usable, given back: each step as the server shows it."""

    async def act(desk: Buyer) -> None:
        def claim() -> Any:
            return desk.pools.claims.get("batch-life")

        def shown(status: dict[str, Any]) -> None:
            desk.kube.patch(f"{_CLAIMS}/batch-life/status", {"status": status})

        def condition(kind: str, status: str = "True", **words: str) -> dict[str, str]:
            at = {"lastTransitionTime": "2026-11-30T00:00:00Z", "reason": kind, "message": ""}
            return {"type": kind, "status": status, **at, **words}

        async with desk.watching():
            desk.launch(desk.body("batch-life", "m5.large", "c5.xlarge"))
            assert claim().assumed
            await desk.until(lambda: desk.told)
            assert [None] == desk.told
            assert (("m5.large", "c5.xlarge"), ("us-east-1a",)) == (claim().types, claim().zones)
            assert ("batch", "of-batch") == (claim().pool, claim().node_pool)
            assert ClaimState.REQUESTED is claim().state

            shown({"conditions": [condition("Launched", "Unknown", message="no such subnet")]})
            await desk.until(lambda: claim().problem)
            assert "no such subnet" == claim().problem

            got = {"node.kubernetes.io/instance-type": "c5.xlarge"}
            desk.kube.patch(f"{_CLAIMS}/batch-life", {"metadata": {"labels": got}})
            shown(
                {
                    "providerID": "kwok://x",
                    "allocatable": {"cpu": "3920m", "memory": "6Gi"},
                    "conditions": [condition("Launched")],
                }
            )
            await desk.until(lambda: claim().state is ClaimState.LAUNCHED)
            assert "" == claim().problem
            assert "c5.xlarge" == claim().got[0]
            assert Vector({"cpu": 3920, "memory": 6 << 30}) == claim().allocatable

            shown({"nodeName": _NODE, "conditions": [condition("Registered")]})
            await desk.until(lambda: claim().state is ClaimState.REGISTERED)
            assert _NODE == claim().node
            shown({"conditions": [condition("Registered"), condition("Initialized")]})
            await desk.until(lambda: claim().state is ClaimState.USABLE)

            desk.writer.retire(intents.RetireNode("batch-life", claim().uid, "it is empty"))
            assert ClaimState.RETIRING is claim().state
            await desk.until(lambda: claim() is None)
            assert [] == desk.pools.gone + desk.reports.refusals

    at(site, act)


def test_nothing_is_bought_twice(site: Site) -> None:
    """A CREATE whose answer was lost is sent again; the same claim is found, and counts."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            desk.launch(body := desk.body("batch-twice"))
            await desk.until(lambda: desk.told)
            uid = desk.pools.claims["batch-twice"].uid
            unaware = Buyer(site, desk.transport)  # no watch and no answer has shown it
            unaware.launch(body)
            await desk.until(lambda: unaware.told)
            assert ([None], [None]) == (desk.told, unaware.told)
            assert uid == unaware.pools.claims["batch-twice"].uid
            assert [] == unaware.reports.refusals

            desk.writer.retire(intents.RetireNode("batch-twice", uid, "it is empty"))
            await desk.until(lambda: "batch-twice" not in desk.pools.claims)

    at(site, act)


def test_claims_of_others_stay(site: Site) -> None:
    """A name that is taken is told; a uid that is another's deletes nothing."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            foreign = desk.body("batch-taken")
            foreign["metadata"]["labels"].pop("bayplan.dev/pool")
            stored = desk.kube.create(_CLAIMS, foreign)
            unaware = Buyer(site, desk.transport)
            unaware.launch(desk.body("batch-taken"))
            await desk.until(lambda: unaware.told)
            assert "is not of Pool batch" in (unaware.told[0] or "")
            assert [("create", 409, "NameTaken")] == unaware.reports.refusals

            desk.writer.retire(intents.RetireNode("batch-taken", "uid-of-another", "a fault"))
            await desk.until(lambda: not desk.writer.sender.waiting)
            found = desk.kube.listed(_CLAIMS)["batch-taken"]
            assert stored["metadata"]["uid"] == found["metadata"]["uid"]
            desk.kube.delete(f"{_CLAIMS}/batch-taken")

    at(site, act)


def test_what_the_server_refuses_is_told(site: Site) -> None:
    """The field of a wrong claim; the policy's words about a claim of no Pool."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            wrong = desk.body("batch-wrong")
            wrong["spec"]["requirements"].append(
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["x"]}
            )
            desk.launch(wrong)
            await desk.until(lambda: desk.told)
            assert "spec.requirements" in (desk.told[0] or "")
            assert "batch-wrong" not in desk.pools.claims
            (refusal,) = desk.cache.refusals.of(("Pool", "", "batch"))
            assert ("batch-wrong", "Invalid") == (refusal.name, refusal.reason)

    at(site, act)


def test_a_claim_that_nobody_launches_is_refused(site: Site) -> None:
    """Deleted before it has an instance, by somebody else: its order is handed over."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            desk.launch(desk.body("batch-out", "m5.large"))
            await desk.until(lambda: desk.told)
            desk.kube.delete(f"{_CLAIMS}/batch-out")
            await desk.until(lambda: desk.pools.gone)
            (gone,) = desk.pools.gone
            assert ("batch-out", ("m5.large",)) == (gone.name, gone.types)
            assert "batch-out" not in desk.pools.claims

    at(site, act)


def test_a_node_is_tainted_and_freed(site: Site) -> None:
    """Other taints stay; what is on the node is asked freshly."""

    def taints(desk: Buyer) -> list[Any]:
        found: list[Any] = desk.kube.get(f"/api/v1/nodes/{_NODE}")["spec"].get("taints", [])
        return found

    async def act(desk: Buyer) -> None:
        path = f"/api/v1/nodes/{_NODE}"
        other = {"key": "team", "value": "a", "effect": "NoSchedule"}
        labels = {"labels": {"bayplan.dev/pool": "batch"}}
        found = desk.kube.patch(path, {"metadata": labels, "spec": {"taints": [other]}})
        uid = found["metadata"]["uid"]
        wanted = intents.TaintNode(_NODE, uid, "bayplan.dev/draining", "")
        desk.writer.taint(wanted)
        await desk.until(lambda: len(taints(desk)) == 2)
        assert other in taints(desk)
        nodes = desk.cache.state.nodes
        await desk.until(lambda: _NODE in nodes and nodes[_NODE].leaving)

        desk.writer.taint(intents.TaintNode(_NODE, uid, "bayplan.dev/draining", "", present=False))
        await desk.until(lambda: taints(desk) == [other])

        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "there"},
            "spec": {"nodeName": _NODE, "containers": [{"name": "main", "image": "x"}]},
        }
        namespace = desk.site.namespace()
        assert [] == await desk.writer.pods_on(_NODE)
        desk.kube.create(f"/api/v1/namespaces/{namespace}/pods", pod)
        assert ["there"] == [one.name for one in await desk.writer.pods_on(_NODE)]
        assert [] == desk.reports.refusals

    at(site, act)


def test_the_status_of_a_pool(site: Site) -> None:
    """It is stored field by field; after somebody's edit it is computed anew."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            stale = desk.pools.pools["batch"]
            assert stale.spec is not None
            desk.writer.write_pool_status(stale, {"nodes": 3, "dollarsPerHour": "1.25"})
            await desk.until(lambda: desk.pools.pools["batch"].status.get("nodes") == 3)
            stored = desk.kube.get(f"{GROUP}/pools/batch")["status"]
            assert {"nodes": 3, "dollarsPerHour": "1.25"} == stored

            before = desk.pools.changes
            desk.writer.write_pool_status(stale, {"nodes": 4})
            await desk.until(lambda: desk.pools.changes > before)
            assert 3 == desk.kube.get(f"{GROUP}/pools/batch")["status"]["nodes"]
            desk.writer.write_pool_status(desk.pools.pools["batch"], {"nodes": 4})
            await desk.until(lambda: desk.pools.pools["batch"].status.get("nodes") == 4)
            assert "dollarsPerHour" not in desk.kube.get(f"{GROUP}/pools/batch")["status"]

    at(site, act)


def test_the_status_of_a_pool_that_consolidates(site: Site) -> None:
    """What is said of moves is stored as it was written, and the condition too."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            told = facts.Consolidating(
                moves_last_hour=2,
                moves_last_day=3,
                moves_by_cause={facts.Cause.CONSOLIDATION: 3},
                closing=(facts.LeavingNode("n1", 190_000, runs=3, ends_in=240),),
                blocked=(facts.BlockedNode("n2", "a/b", "is the only pod of X", 380_000),),
                promised=190_000,
            )
            stored = desk.pools.pools["batch"]
            assert stored.spec is not None
            spec = stored.spec.model_copy(update={"mode": "BuyAndConsolidate"})
            pool = dataclasses.replace(stored, spec=spec)
            wanted = status.status(facts.Facts(pool, consolidating=told), 1_800_000_000)
            desk.writer.write_pool_status(stored, wanted)
            await desk.until(lambda: "moves" in desk.pools.pools["batch"].status)
            found = desk.kube.get(f"{GROUP}/pools/batch")["status"]

            keys = "moves", "closing", "draining", "blocked", "promisedDollarsPerHour"
            assert {key: wanted[key] for key in keys} == {key: found[key] for key in keys}
            assert "Consolidating" in {one["type"] for one in found["conditions"]}

    at(site, act)


def test_events_of_a_pool_and_its_node(site: Site) -> None:
    """The API server takes Events about objects without a namespace; kubectl finds them."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            work = asyncio.ensure_future(desk.writer.events.run())
            node = nodes.node(json.dumps(desk.kube.get(f"/api/v1/nodes/{_NODE}")).encode())
            event = intents.EmitEvent("NodeClosing", f"Node {_NODE} closes.")
            desk.writer.tell(desk.pools.pools["batch"], node, event)

            def both(found: Objects) -> dict[str, Any]:
                told = [one for one in found.values() if one["reason"] == "NodeClosing"]
                kinds = {one["regarding"]["kind"]: one["regarding"] for one in told}
                return kinds if len(kinds) > 1 else {}

            path = "/apis/events.k8s.io/v1/namespaces/default/events"
            found = await asyncio.to_thread(desk.kube.until, path, both)
            work.cancel()

            assert {"Node": _NODE, "Pool": "batch"} == {
                kind: one["name"] for kind, one in found.items()
            }
            assert node.uid == found["Node"]["uid"]
            assert [] == desk.reports.refusals

    at(site, act)


def test_karpenter_is_removed_under_way(site: Site) -> None:
    """Its definitions go with all claims: nothing breaks, and what comes back is known again."""

    async def act(desk: Buyer) -> None:
        async with desk.watching():
            desk.launch(desk.body("batch-removed"))
            await desk.until(lambda: desk.told)
            await desk.until(lambda: ("KWOKNodeClass", "plain") in desk.pools.node_classes)
            await asyncio.to_thread(remove, desk.kube)
            await desk.until(lambda: not desk.pools.karpenter)
            assert ({}, {}) == (desk.pools.claims, desk.pools.node_pools)

            body = {"metadata": {"name": "x", "labels": {"bayplan.dev/pool": "batch"}}}
            desk.launch({"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", **body})
            await desk.until(lambda: desk.told[1:])
            assert "karpenter.sh/v1 is not served" in (desk.told[1] or "")

            await asyncio.to_thread(install, desk.kube)
            await desk.until(lambda: desk.pools.synced and desk.pools.node_pools)
            assert ["of-batch"] == [*desk.pools.node_pools]
            assert {} == desk.pools.claims

    at(site, act)


def test_the_operator_reads_the_market(site: Site) -> None:
    """The process as users start it asks where it is told to."""
    with (
        serving((200, PAGE)) as (url, asked),
        site.operator("--pools=true", f"--karpenter-metrics={url}") as running,
    ):
        running.until_logged(f"{pool_watch.API} is served", within=60)
        assert _soon(lambda: bool(asked)), running.log()[-2000:]
        assert running.running


def _soon(met: Callable[[], bool], within: float = 30) -> bool:
    """Whether it comes true within this time."""

    async def wait() -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not met():  # noqa: ASYNC110  the other thread rings nobody
                    await asyncio.sleep(0.05)
        return met()

    return asyncio.run(wait())
