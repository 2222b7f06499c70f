"""What only a real API server can say: that it understands our requests as we mean them.

Everything is asked as the operator's own account, under the rights that the chart gives it. The
pods name a scheduler that nobody is, so that they are left alone.
"""

import asyncio
import json
import random
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from bayplan.api.resource import Key, Resource
from bayplan.cluster import (
    cache,
    decode,
    errors,
    informer,
    lease,
    lists,
    pods,
    requests,
    wire,
    writer,
)
from bayplan.cluster.events import of_resource
from bayplan.cluster.refusals import Write
from bayplan.cluster.transport import HttpTransport
from bayplan.model import intents, state
from bayplan.model.pods import Owner, Pod
from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.manifests import make_service
from tests.cluster.under_test import ACCOUNT, NAMESPACE, Site
from tests.double.bell import Bell

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster of our own: no operator on it, two fake nodes.

    The account may read resources and evict here as well: requests that are tried below and that
    the running operator does not send.
    """
    rbac = "rbac.authorization.k8s.io"
    more = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "more"},
        "rules": [
            {"apiGroups": ["bayplan.dev"], "resources": ["*"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        ],
    }
    bound = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "more"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    with Cluster.start(kwok="m5.24xlarge:us-east-1a=2") as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("server")).prepare()
        site.kube.apply(more, bound)
        site.until_allowed(verb="create", resource="pods", subresource="eviction")
        yield site


class Reported:
    def __init__(self) -> None:
        self.stored: list[Pod] = []
        self.refusals: list[tuple[str, int, str]] = []

    def created(self, _key: Key, _planned: Pod, stored: Pod) -> None:
        self.stored.append(stored)

    def refused(self, write: Write, error: errors.ClusterError) -> None:
        self.refusals.append((write.verb, error.status, error.reason))

    def missing(self, key: Key) -> None: ...
    def defect(self, what: str, error: Exception) -> None: ...

    def counted(self, verb: str, kind: str, code: str) -> None: ...


class Desk:
    """The operator's hands and eyes on a fresh namespace, without its head."""

    def __init__(self, server: Site, transport: HttpTransport) -> None:
        self.server = server
        self.transport = transport
        self.namespace = server.namespace()
        self.node = "m5-24xlarge-us-east-1a-1"
        self.cache = cache.Cache(state.State(), Bell())
        self.reports = Reported()
        self.restarts: list[tuple[str, str]] = []
        self.writer = writer.Writer(
            transport,
            self.cache,
            may_write=lambda: True,
            reports=self.reports,
            jitter=random.random,
        )

    def body(self, name: str, node: str = "", **metadata: Any) -> dict[str, Any]:
        container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "10m"}}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": self.namespace, "name": name, **metadata},
            "spec": {
                "schedulerName": "nobody",
                "containers": [container],
                **({"nodeName": node} if node else {}),
            },
        }

    async def create(self, name: str, node: str = "", **metadata: Any) -> Pod:
        """Store a pod, past the writer."""
        answer = await self.transport.send(requests.create_pod(self.body(name, node, **metadata)))
        return pods.pod(answer)

    async def pod(self, name: str) -> dict[str, Any]:
        answer = await self.transport.send(requests.get("Pod", self.namespace, name))
        found: dict[str, Any] = json.loads(answer)
        return found

    async def service(self, name: str = "web", replicas: int = 0) -> Resource:
        """Store a LongService and know it."""
        self.server.kube.apply(make_service(name, self.namespace, replicas=replicas))
        await informer.relist_resources(self.transport, self.cache)
        return self.cache.resources["LongService", self.namespace, name]

    async def idle(self) -> None:
        """Wait until the writer has nothing left to do."""
        async with asyncio.timeout(30):
            while self.writer.sender.waiting:  # noqa: ASYNC110  it rings nobody when it is done
                await asyncio.sleep(0.01)

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not met():  # noqa: ASYNC110  anything may make it so
                await asyncio.sleep(0.01)

    def watch(self, *kinds: str) -> list["asyncio.Task[None]"]:
        """Follow these kinds."""
        return [
            asyncio.ensure_future(
                informer.Informer(
                    decode.KINDS[kind],
                    self.transport,
                    self.cache,
                    jitter=random.random,
                    restarted=lambda kind, cause: self.restarts.append((kind, cause)),
                ).run()
            )
            for kind in kinds
        ]


Act = Callable[[Desk], Awaitable[None]]


def at(server: Site, act: Act) -> None:
    """Do it at the API server, as the operator's account."""

    async def body() -> None:
        path = str(server.account_kubeconfig())
        async with await HttpTransport.connect(path) as transport:
            await act(Desk(server, transport))

    asyncio.run(body())


async def refused(work: Awaitable[object]) -> errors.ClusterError:
    try:
        await work
    except errors.ClusterError as error:
        return error
    raise AssertionError("it was accepted")


def test_dry_run(server: Site) -> None:
    """A dry run answers what would be stored, or why not, and stores nothing."""

    async def act(desk: Desk) -> None:
        answer = await desk.writer.dry_run(desk.body("dry"), strict=True)
        invalid = await refused(
            desk.writer.dry_run({**desk.body("dry"), "spec": {"containers": []}}, strict=True)
        )
        nowhere = {**desk.body("dry"), "metadata": {"namespace": "nowhere", "name": "dry"}}
        absent = await refused(desk.writer.dry_run(nowhere, strict=True))

        assert 10 == answer.request.amount("cpu")
        assert "" == answer.resource_version
        assert any(
            one.key == "node.kubernetes.io/not-ready" for one in answer.constraints.tolerations
        )
        assert isinstance(invalid, errors.Rejected)
        assert (422, "spec.containers: Required value" in str(invalid)) == (invalid.status, True)
        assert isinstance(absent, errors.NotFound)
        assert isinstance(await refused(desk.pod("dry")), errors.NotFound)

    at(server, act)


def test_a_strict_dry_run(server: Site) -> None:
    """It is refused with the path of each field that no pod has; else they are left out."""

    async def act(desk: Desk) -> None:
        wrong = desk.body("dry")
        wrong["spec"]["containers"][0]["imagePulPolicy"] = "Always"
        wrong["spec"]["containers"][0]["resources"]["request"] = {"cpu": "20m"}
        refusal = await refused(desk.writer.dry_run(wrong, strict=True))
        answer = await desk.writer.dry_run(wrong, strict=False)

        assert (400, errors.Rejected) == (refusal.status, type(refusal))
        assert "strict decoding error: unknown field" in str(refusal)
        assert 'unknown field "spec.containers[0].imagePulPolicy"' in str(refusal)
        assert 'unknown field "spec.containers[0].resources.request"' in str(refusal)
        assert 10 == answer.request.amount("cpu")

    at(server, act)


def test_bind(server: Site) -> None:
    """A binding names its pod's uid; a second one is a conflict, to the same node too."""

    async def act(desk: Desk) -> None:
        pod = await desk.create("p")
        wanted = intents.Bind(desk.namespace, "p", pod.uid, desk.node)
        stranger = intents.Bind(desk.namespace, "p", "another-uid", desk.node)

        assert isinstance(
            await refused(desk.transport.send(requests.bind(stranger))), errors.Conflict
        )

        await desk.transport.send(requests.bind(wanted))

        assert isinstance(
            await refused(desk.transport.send(requests.bind(wanted))), errors.Conflict
        )

        desk.writer.bind(wanted)  # as after a lost answer: it looks, and is content
        await desk.idle()

        assert desk.node == (await desk.pod("p"))["spec"]["nodeName"]

    at(server, act)


def test_release(server: Site) -> None:
    """Our finalizer goes, others stay, and never from another pod of that name."""

    async def act(desk: Desk) -> None:
        ours, other = "bayplan.dev/run-tracking", "example.com/other"
        pod = await desk.create("p", desk.node, finalizers=[other, ours])
        stranger = intents.ReleasePod(desk.namespace, "p", "another-uid", ())

        assert isinstance(
            await refused(desk.transport.send(requests.release_pod(stranger))), errors.Conflict
        )

        desk.writer.release(intents.ReleasePod(desk.namespace, "p", pod.uid, (other,)))
        await desk.idle()

        assert [other] == (await desk.pod("p"))["metadata"]["finalizers"]

        await desk.transport.send(
            requests.release_pod(intents.ReleasePod(desk.namespace, "p", pod.uid, (other,)))
        )

        assert [other] == (await desk.pod("p"))["metadata"]["finalizers"]

        desk.server.kube.patch(
            f"/api/v1/namespaces/{desk.namespace}/pods/p", {"metadata": {"finalizers": None}}
        )

    at(server, act)


def test_delete(server: Site) -> None:
    """A delete names the uid; of another pod it is a conflict, of none it is not found."""

    async def act(desk: Desk) -> None:
        pod = await desk.create("p")
        stranger = intents.DeletePod(desk.namespace, "p", "another-uid", "old")
        wanted = intents.DeletePod(desk.namespace, "p", pod.uid, "old", grace_seconds=0)

        assert isinstance(
            await refused(desk.transport.send(requests.delete_pod(stranger))), errors.Conflict
        )

        await desk.transport.send(requests.delete_pod(wanted))

        assert isinstance(
            await refused(desk.transport.send(requests.delete_pod(wanted))), errors.NotFound
        )

    at(server, act)


def test_mark(server: Site) -> None:
    """PodScheduled says why, and which node is held, until none is; a stranger is not marked."""

    async def act(desk: Desk) -> None:
        pod = await desk.create("p")
        seen = wire.Seen(pod.namespace, pod.name, pod.uid, int(pod.resource_version), pod)
        desk.cache.upsert("Pod", seen)
        held = []
        for message, node in (("0/2 nodes", "n1"), ("0/3 nodes", "")):
            desk.writer.mark(intents.MarkUnschedulable(desk.namespace, "p", pod.uid, message, node))
            await desk.idle()
            held.append((await desk.pod("p"))["status"].get("nominatedNodeName"))
        stranger = intents.MarkUnschedulable(desk.namespace, "p", "another-uid", "x")

        assert isinstance(
            await refused(desk.transport.send(requests.mark_unschedulable(stranger, 0))),
            errors.Conflict,
        )

        (condition,) = (await desk.pod("p"))["status"]["conditions"]

        assert ["n1", None] == held
        assert ("PodScheduled", "False", "Unschedulable", "0/3 nodes") == (
            condition["type"],
            condition["status"],
            condition["reason"],
            condition["message"],
        )

    at(server, act)


def test_evict(server: Site) -> None:
    """A spent disruption budget is a conflict, not a server that is busy."""

    async def act(desk: Desk) -> None:
        pod = await desk.create("p", desk.node, labels={"app": "x"})
        desk.server.kube.create(
            f"/apis/policy/v1/namespaces/{desk.namespace}/poddisruptionbudgets",
            {
                "metadata": {"name": "strict"},
                "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "x"}}},
            },
        )
        desk.server.kube.until(
            f"/apis/policy/v1/namespaces/{desk.namespace}/poddisruptionbudgets",
            lambda found: found["strict"].get("status", {}).get("observedGeneration"),
        )
        # No budget protects a pod that has not started yet.
        desk.server.kube.until(read.pods(desk.namespace), read.running)
        error = await refused(desk.transport.send(requests.evict(desk.namespace, "p", pod.uid)))

        assert isinstance(error, errors.Conflict)
        assert "DisruptionBudget" == error.reason

    at(server, act)


def test_status(server: Site) -> None:
    """A status becomes exactly what is wanted, and only on the version it was computed from."""

    async def act(desk: Desk) -> None:
        first = await desk.service()
        for status in (
            {"replicas": 3, "readyReplicas": 1, "selector": "a=b"},
            {"replicas": 3, "selector": "c=d"},
        ):
            desk.writer.write_status(desk.cache.resources[first.key], status)
            await desk.idle()
            await desk.until(lambda wanted=status: desk.cache.resources[first.key].status == wanted)
        stored = json.loads(
            await desk.transport.send(requests.get("LongService", desk.namespace, "web"))
        )

        assert {"replicas": 3, "selector": "c=d"} == stored["status"]
        assert 1 == stored["metadata"]["generation"]

        late = requests.write_status(first.key, first.resource_version, {}, {"replicas": 9})

        assert isinstance(await refused(desk.transport.send(late)), errors.Conflict)

    at(server, act)


def test_missing_status(server: Site) -> None:
    """The status of a resource that has gone is not found, and nothing is made of it."""

    async def act(desk: Desk) -> None:
        first = await desk.service()
        desk.server.kube.delete(
            f"/apis/bayplan.dev/v1alpha1/namespaces/{desk.namespace}/longservices/web"
        )
        desk.writer.write_status(first, {"replicas": 1})
        await desk.idle()

        assert first.key not in desk.cache.resources

    at(server, act)


def test_children(server: Site) -> None:
    """A child is ours to make and change, what we no longer say goes, a stranger's stays."""

    async def act(desk: Desk) -> None:
        web = await desk.service()
        owner = {
            "apiVersion": "bayplan.dev/v1alpha1",
            "kind": "LongService",
            "name": "web",
            "uid": web.uid,
            "controller": True,
        }

        def child(name: str, digest: str, **spec: Any) -> intents.ApplyObject:
            metadata = {
                "namespace": desk.namespace,
                "name": name,
                "annotations": {"bayplan.dev/digest": digest},
                "ownerReferences": [owner],
            }
            ports = [{"port": 80, "protocol": "TCP"}]
            return intents.ApplyObject(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": metadata,
                    "spec": {"ports": ports, **spec},
                }
            )

        desk.server.kube.create(
            f"/api/v1/namespaces/{desk.namespace}/services",
            {"metadata": {"name": "theirs"}, "spec": {"ports": [{"port": 1}]}},
        )
        desk.writer.objects.apply(web, child("web", "one", selector={"a": "b"}))
        await desk.idle()
        desk.writer.objects.apply(web, child("web", "two"))
        desk.writer.objects.apply(web, child("theirs", "x"))
        await desk.idle()
        stored = json.loads(
            await desk.transport.send(requests.get("Service", desk.namespace, "web"))
        )

        assert "selector" not in stored["spec"]
        assert "two" == desk.cache.children(web.uid)["Service", "web"].digest
        assert [("apply", 409, "NameTaken")] == desk.reports.refusals

        desk.writer.objects.drop(
            intents.DeleteObject("Service", desk.namespace, "web", stored["metadata"]["uid"]),
            web.key,
        )
        await desk.idle()

        assert {} == desk.cache.children(web.uid)

    at(server, act)


def test_events(server: Site) -> None:
    """An Event is accepted, found by the object it is about, and counted up."""

    async def act(desk: Desk) -> None:
        web = await desk.service()
        work = asyncio.ensure_future(desk.writer.events.run())
        event = intents.EmitEvent("NoRoom", "0/2 nodes", warning=True)
        desk.writer.events.emit(of_resource(web), event)
        path = f"/apis/events.k8s.io/v1/namespaces/{desk.namespace}/events"
        ((name, body),) = await asyncio.to_thread(
            desk.server.kube.until, path, lambda found: list(found.items())
        )
        counted = await desk.transport.send(
            requests.count_event(desk.namespace, name, 7, "2026-11-23T06:00:00.000000Z")
        )
        work.cancel()

        assert ("web", "Warning") == (body["regarding"]["name"], body["type"])
        assert 7 == json.loads(counted)["series"]["count"]

    at(server, act)


def test_many(server: Site) -> None:
    """Six hundred pods written at once are stored once each; list and watch agree on them."""

    async def act(desk: Desk) -> None:
        web = await desk.service()
        works = desk.watch("Node", "Pod")
        await desk.until(lambda: {"Node", "Pod"} <= desk.cache.synced_kinds)
        for number in range(600):
            planned = Pod(
                desk.namespace, f"p{number}", node=desk.node,
                owner=Owner("LongService", "web", web.uid),
            )  # fmt: skip
            desk.cache.assumptions.assume(planned)
            desk.writer.create(web, planned, desk.body(planned.name, desk.node))
        await desk.idle()
        other = cache.Cache(state.State(), Bell())
        await informer.relist(decode.KINDS["Pod"], desk.transport, other)
        wanted = _versions(other, desk.namespace)
        await desk.until(lambda: _versions(desk.cache, desk.namespace).keys() == wanted.keys())
        for work in works:
            work.cancel()

        assert 600 == len(desk.reports.stored)
        assert 600 == len(wanted)
        assert {} == desk.cache.state.assumed

    at(server, act)


def _versions(known: cache.Cache, namespace: str) -> Mapping[tuple[str, str], str]:
    return {key: pod.uid for key, pod in known.state.pods.items() if key[0] == namespace}


def test_name_taken(server: Site) -> None:
    """A pod of that name that is not ours is a refusal; ours is what we wanted."""

    async def act(desk: Desk) -> None:
        web = await desk.service()
        await desk.create("theirs")
        reference = {
            "apiVersion": "bayplan.dev/v1alpha1", "kind": "LongService", "name": "web",
            "uid": web.uid, "controller": True,
        }  # fmt: skip
        ours = await desk.create("ours", ownerReferences=[reference])
        for name in ("theirs", "ours"):
            planned = Pod(desk.namespace, name, owner=Owner("LongService", "web", web.uid))
            desk.cache.assumptions.assume(planned)
            desk.writer.create(web, planned, desk.body(name))
        await desk.idle()

        assert [("create", 409, "NameTaken")] == desk.reports.refusals
        assert [ours.uid] == [pod.uid for pod in desk.reports.stored]

    at(server, act)


def test_api_server_pauses(server: Site) -> None:
    """Writes that meet a server which does not answer are repeated, and stored once."""
    local = server.local
    assert local is not None

    async def act(desk: Desk) -> None:
        web = await desk.service()
        local.pause_apiserver()
        resumed = threading.Timer(3, local.resume_apiserver)
        resumed.start()
        for number in range(20):
            planned = Pod(desk.namespace, f"p{number}", node=desk.node)
            desk.cache.assumptions.assume(planned)
            desk.writer.create(web, planned, desk.body(planned.name, desk.node))
        await desk.idle()
        resumed.join()

        assert 20 == len({pod.name for pod in desk.reports.stored})
        assert [] == desk.reports.refusals

    at(server, act)


def test_api_server_restarts(server: Site) -> None:
    """Watches that break with the server go on where they stopped, and nothing is missed."""
    local = server.local
    assert local is not None

    async def act(desk: Desk) -> None:
        works = desk.watch("Pod")
        await desk.until(lambda: "Pod" in desk.cache.synced_kinds)
        await asyncio.to_thread(local.restart_apiserver)
        path = f"/api/v1/namespaces/{desk.namespace}/pods"
        await asyncio.to_thread(desk.server.kube.create, path, desk.body("after"))
        await desk.until(lambda: (desk.namespace, "after") in desk.cache.state.pods)
        for work in works:
            work.cancel()

    at(server, act)


def test_too_old(server: Site) -> None:
    """A version that the server has forgotten is `Gone`, whichever way the server says so."""
    local = server.local
    assert local is not None
    local.restart_apiserver()  # its history of watch events begins anew

    async def told(desk: Desk) -> None:
        stream = desk.transport.stream(requests.watch("Pod", "1", seconds=10))
        async for line in informer.lines(stream, 10):
            event = lists.event(line)
            assert "ERROR" == event.type
            raise errors.of_event(bytes(event.object))

    async def act(desk: Desk) -> None:
        assert isinstance(await refused(told(desk)), errors.Gone)

    at(server, act)


def test_lease(server: Site) -> None:
    """The lease goes from one to the next when it is released, and is never held by both."""
    path = str(server.account_kubeconfig())
    gained = {name: threading.Event() for name in ("one", "two")}
    lost: list[str] = []
    one, two = (
        lease.Lease(
            lambda: HttpTransport.connect(path, connections=1),
            namespace=NAMESPACE,
            name="bayplan",  # the one that the rights are about
            identity=name,
            on_gain=gained[name].set,
            on_loss=lambda: lost.append("lost"),
            retry_seconds=0.2,
        )
        for name in ("one", "two")
    )
    one.start()
    assert gained["one"].wait(10)
    two.start()
    held = (one.holding(), two.holding())
    one.stop(10)
    assert gained["two"].wait(10)
    then = (one.holding(), two.holding())
    two.stop(10)
    spec = server.kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/bayplan")[
        "spec"
    ]

    assert ((True, False), (False, True)) == (held, then)
    assert [] == lost
    assert ("", 1) == (spec["holderIdentity"], spec["leaseTransitions"])
