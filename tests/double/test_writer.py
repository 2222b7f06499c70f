"""What an answer means: nothing twice, nothing lost, nothing written over what others wrote."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.cluster import cache, decode, errors, sender, volumes, wire, writer
from bayplan.cluster.pods import pod_from_dict
from bayplan.cluster.refusals import Write
from bayplan.cluster.transport import Request
from bayplan.model import intents, state
from bayplan.model.pods import Owner, Pod
from tests.double import bodies
from tests.double.bell import Bell
from tests.double.bodies import encoded
from tests.double.loop import run
from tests.double.transport import Answer, Double, NoAnswer, Reply

WEB = ("LongService", "default", "web")
TAKEN = Answer(encoded(bodies.status(409, "AlreadyExists", "pods p1 already exists")), 409)
CONFLICT = Answer(encoded(bodies.status(409, "Conflict", "the object has been modified")), 409)
GONE = Answer(encoded(bodies.status(404, "NotFound", "not found")), 404)
BUSY = Answer(encoded(bodies.status(429, "TooManyRequests")), 429, retry_after=7)
LATE = Answer(encoded(bodies.status(504, "Timeout")), 504)
ODD = Answer(encoded(bodies.status(500, "InternalError", "etcdserver: leader changed")), 500)


class Reported:
    """Records what the writer tells."""

    def __init__(self) -> None:
        self.stored: list[Pod] = []
        self.refusals: list[tuple[str, int, str]] = []
        self.lost: list[tuple[str, str, str]] = []
        self.codes: list[str] = []
        self.defects: list[tuple[str, str]] = []

    def created(self, _key: tuple[str, str, str], _planned: Pod, stored: Pod) -> None:
        self.stored.append(stored)

    def refused(self, write: Write, error: errors.ClusterError) -> None:
        self.refusals.append((write.verb, error.status, error.reason))

    def missing(self, key: tuple[str, str, str]) -> None:
        self.lost.append(key)

    def defect(self, what: str, error: Exception) -> None:
        self.defects.append((what, type(error).__name__))

    def counted(self, verb: str, _kind: str, code: str) -> None:
        self.codes.append(f"{verb} {code}")


class Looking(Bell):
    """A ring has the resource looked at again, as the loop does."""

    def __init__(self, desk: "Desk") -> None:
        super().__init__()
        self.desk = desk

    def mark(self, key: tuple[str, str, str]) -> None:
        super().mark(key)
        self.desk.look()


class Desk:
    """A writer at a scripted server, with the service `web` and whatever pods in the cache."""

    def __init__(self, *pods: Mapping[str, Any], in_flight: int = 48) -> None:
        self.look: Callable[[], None] = lambda: None  # what follows when the doorbell rings
        self.double = Double()
        self.bell = Looking(self)
        self.cache = cache.Cache(state.State(), self.bell)
        self.reports = Reported()
        self.may_write = True
        self.pressed = False
        self.cache.put_resource(bodies.service(10))
        for body in pods:
            read = pod_from_dict(body)
            seen = wire.Seen(read.namespace, read.name, read.uid, int(read.resource_version), read)
            self.cache.upsert("Pod", seen)
        self.bell.keys.clear()
        self.bell.placement = 0
        self._in_flight = in_flight
        self.writer: writer.Writer

    @property
    def web(self) -> Resource:
        return self.cache.resources[WEB]

    def work(self, act: Callable[[], None], seconds: float = 300) -> None:
        """Do it, and let virtual time pass."""

        async def body() -> None:
            self.writer = writer.Writer(
                self.double,
                self.cache,
                may_write=lambda: self.may_write,
                reports=self.reports,
                jitter=lambda: 1.0,
                now=lambda: 1_800_000_000.0,
                in_flight=self._in_flight,
                pressed=lambda: self.pressed,
            )
            telling = asyncio.create_task(self.writer.run())
            act()
            await asyncio.sleep(seconds)
            telling.cancel()
            await asyncio.wait([telling])

        run(body())

    def create(self, body: Mapping[str, Any] | None = None, template: str = "") -> None:
        """Plan the pod p1 on n1 and have it written; `template` is the hash on it."""
        body = body or bodies.pod(version=0, node="n1", owner="uid-web")
        planned = Pod(
            "default", body["metadata"]["name"], node="n1", scheduler="bayplan",
            owner=Owner("LongService", "web", "uid-web"),
            labels={names.TEMPLATE_HASH: template},
        )  # fmt: skip
        self.cache.assumptions.assume(planned)
        self.writer.create(self.web, planned, body)

    def pod(self, name: str = "p1") -> Pod | None:
        return self.cache.state.pods.get(("default", name))


def stored(version: int = 20, **more: Any) -> Answer:
    return Answer(encoded(bodies.pod(version=version, node="n1", **{"owner": "uid-web", **more})))


def test_create() -> None:
    """A CREATE's answer is seen like an event: the pod is known before the watch tells."""
    desk = Desk()
    desk.double.reply("create", "Pod", stored())
    desk.work(desk.create)

    assert ["uid-p1"] == [pod.uid for pod in desk.reports.stored]
    assert desk.pod() == desk.reports.stored[0]
    assert {} == desk.cache.state.assumed


@pytest.mark.parametrize("lost", [NoAnswer(), NoAnswer(None), LATE, ODD])
def test_lost_answer(lost: Reply) -> None:
    """A CREATE whose answer was lost is repeated with the same name; ours counts as success."""
    desk = Desk()
    desk.double.reply("create", "Pod", lost, TAKEN)
    desk.double.reply("get", "Pod", stored())
    desk.work(desk.create)
    names = {
        json.loads(each.body or b"")["metadata"]["name"] for each in desk.double.asked("create")
    }

    assert {"p1"} == names
    assert 2 == len(desk.double.asked("create"))
    assert ["uid-p1"] == [pod.uid for pod in desk.reports.stored]


@pytest.mark.parametrize(
    ("gone", "expected"), [(False, (1, ["uid-p1"], [])), (True, (1, [], [WEB]))]
)
def test_seen_before_it_is_repeated(*, gone: bool, expected: tuple[Any, ...]) -> None:
    """A CREATE whose answer was lost is not repeated when the pod was seen, or has gone since."""
    desk = Desk()
    desk.double.reply("create", "Pod", NoAnswer(0.01))

    def see() -> None:
        there = pod_from_dict(bodies.pod(version=20, node="n1", owner="uid-web"))
        desk.cache.upsert("Pod", wire.Seen("default", "p1", "uid-p1", 20, there))
        if gone:
            desk.cache.delete("Pod", ("default", "p1"), "uid-p1", 21)
        desk.bell.keys.clear()

    def act() -> None:
        desk.create()
        asyncio.get_running_loop().call_later(0.005, see)

    desk.work(act)
    found = [pod.uid for pod in desk.reports.stored]

    assert expected == (len(desk.double.asked("create")), found, desk.bell.keys)


def test_name_used_again_before_the_answer() -> None:
    """Its pod came and went before the answer: the next one of that name is created after it."""
    desk = Desk()
    first = encoded(bodies.pod(version=20, node="n1", owner="uid-web"))
    second = encoded(bodies.pod(version=30, node="n1", owner="uid-web", uid="uid-2"))
    desk.double.reply("create", "Pod", Answer(first, after=5), Answer(second))

    def again() -> None:
        there = pod_from_dict(bodies.pod(version=20, node="n1", owner="uid-web"))
        desk.cache.upsert("Pod", wire.Seen("default", "p1", "uid-p1", 20, there))
        desk.cache.delete("Pod", ("default", "p1"), "uid-p1", 21)
        desk.create()

    def act() -> None:
        desk.create()
        asyncio.get_running_loop().call_later(1, again)

    desk.work(act)

    assert 2 == len(desk.double.asked("create"))
    assert "uid-2" == getattr(desk.pod(), "uid", "")


def test_a_failure_takes_back_its_own_plan_only() -> None:
    """A CREATE that fails late leaves the plan of the next pod of that name."""
    desk = Desk()
    refused = Answer(encoded(bodies.status(422, "Invalid")), 422, after=5)
    desk.double.reply("create", "Pod", refused, Answer(stored().body, after=60))
    counted: list[bool] = []

    def again() -> None:
        there = pod_from_dict(bodies.pod(version=15, node="n1", owner="uid-web"))
        desk.cache.upsert("Pod", wire.Seen("default", "p1", "uid-0", 15, there))
        desk.cache.delete("Pod", ("default", "p1"), "uid-0", 16)
        desk.create(template="another")

    def act() -> None:
        loop = asyncio.get_running_loop()
        desk.create()
        loop.call_later(1, again)
        loop.call_later(10, lambda: counted.append(desk.pod() is not None))

    desk.work(act)

    assert [True] == counted


@pytest.mark.parametrize("seen", [(), (bodies.pod(owner="uid-other"),)])
def test_name_is_foreign(seen: tuple[Mapping[str, Any], ...]) -> None:
    """A name that somebody else's pod has is refused with a reason, and nothing is counted on."""
    desk = Desk(*seen)
    desk.double.reply("create", "Pod", TAKEN)
    desk.double.reply("get", "Pod", stored(owner="uid-other"))
    desk.work(desk.create)

    assert [("create", 409, "NameTaken")] == desk.reports.refusals
    assert [] == desk.reports.stored
    assert {} == desk.cache.state.assumed


def test_name_is_still_leaving() -> None:
    """Our own pod of that name that is being deleted is no success: look again later."""
    desk = Desk()
    desk.double.reply("create", "Pod", TAKEN)
    desk.double.reply("get", "Pod", stored(deleted=True))
    desk.work(desk.create)

    assert [] == desk.reports.stored
    assert desk.pod() is not None
    assert WEB in desk.bell.keys


def test_name_freed_meanwhile() -> None:
    """A name that was taken and is not any more is tried again."""
    desk = Desk()
    desk.double.reply("create", "Pod", TAKEN, stored())
    desk.double.reply("get", "Pod", GONE)
    desk.work(desk.create)

    assert 2 == len(desk.double.asked("create"))
    assert ["uid-p1"] == [pod.uid for pod in desk.reports.stored]


def test_quota_being_counted() -> None:
    """A 409 to a CREATE that is no AlreadyExists is the quota's: the same request again."""
    desk = Desk()
    desk.double.reply("create", "Pod", CONFLICT, stored())
    desk.work(desk.create)

    assert 1 == len(desk.reports.stored)


@pytest.mark.parametrize(
    ("code", "reason"), [(403, "Forbidden"), (422, "Invalid"), (404, "NotFound")]
)
def test_refused_create(code: int, reason: str) -> None:
    """A refusal is told, taken back, and never repeated unchanged."""
    desk = Desk()
    desk.double.reply("create", "Pod", Answer(encoded(bodies.status(code, reason)), code))
    desk.work(desk.create)

    assert [("create", code, reason)] == desk.reports.refusals
    assert 1 == len(desk.double.asked("create"))
    assert desk.pod() is None


def test_retry_after() -> None:
    """After a 429 nothing at all is sent before the time that the server asked for."""
    desk = Desk()
    desk.double.reply("create", "Pod", BUSY, stored())

    def act() -> None:
        desk.create()
        asyncio.get_running_loop().call_later(3, desk.create, bodies.pod("p2", 0))

    desk.work(act)
    first, *later = desk.double.times

    assert 3 == len(desk.double.times)
    assert all(at - first >= 7 for at in later)


def test_gives_up() -> None:
    """A server that never answers is given up on after a while, and nothing stays counted on."""
    desk = Desk()
    desk.double.reply("create", "Pod", NoAnswer())
    desk.work(desk.create)

    assert desk.pod() is None
    assert WEB in desk.bell.keys
    assert len(desk.double.times) < 30


def test_lease_lost_between_tries() -> None:
    """Each try asks anew whether we may write: after the loss nothing more is sent."""
    desk = Desk()

    def lose(_: Request) -> NoAnswer:
        desk.may_write = False
        return NoAnswer(1)

    desk.double.reply("create", "Pod", lose)
    desk.work(desk.create)

    assert 1 == len(desk.double.seen)
    assert desk.pod() is None
    assert [] == desk.reports.refusals


def test_same_write_twice() -> None:
    """The same write decided twice is sent once: while it waits, while it runs, just after."""
    desk = Desk(bodies.pod(node="n1", owner="uid-web"))
    desk.double.reply("delete", "Pod", stored(deleted=True))
    wanted = intents.DeletePod("default", "p1", "uid-p1", "scale down")

    def act() -> None:
        desk.writer.delete(wanted, WEB)
        desk.writer.delete(wanted, WEB)
        asyncio.get_running_loop().call_later(1, desk.writer.delete, wanted, WEB)

    desk.work(act)

    assert 1 == len(desk.double.seen)


def test_delete_counts_at_once() -> None:
    """A pod whose delete is decided counts as terminating, whatever older news says of it."""
    desk = Desk(bodies.pod(node="n1", owner="uid-web"))
    desk.double.reply("delete", "Pod", NoAnswer(), stored(deleted=True))
    noted: list[bool] = []

    def note() -> None:
        pod = desk.pod()
        noted.append(pod is not None and pod.terminating)

    def act() -> None:
        desk.writer.delete(intents.DeletePod("default", "p1", "uid-p1", "old"), WEB)
        note()
        older = pod_from_dict(bodies.pod(version=11, node="n1", owner="uid-web"))
        desk.cache.upsert("Pod", wire.Seen("default", "p1", "uid-p1", 11, older))
        note()

    desk.work(act)
    note()

    assert [True, True, True] == noted


@pytest.mark.parametrize(
    ("answer", "look", "stays"),
    [
        (GONE, None, False),
        (CONFLICT, stored(uid="second"), True),
        (CONFLICT, GONE, False),
        (Answer(encoded(bodies.status(403, "Forbidden")), 403), None, True),
        (Answer(encoded({"kind": "Status", "status": "Success", "metadata": {}})), None, True),
    ],
)
def test_delete_answers(answer: Answer, look: Answer | None, stays: bool) -> None:
    """Gone is gone; another uid is another pod; a refused delete leaves a living pod behind."""
    desk = Desk(bodies.pod(node="n1", owner="uid-web"))
    desk.double.reply("delete", "Pod", answer)
    if look is not None:
        desk.double.reply("get", "Pod", look)
    wanted = intents.DeletePod("default", "p1", "uid-p1", "old", grace_seconds=5)
    desk.work(lambda: desk.writer.delete(wanted, WEB))
    sent = json.loads(desk.double.seen[0].body or b"")
    pod = desk.pod()

    assert {"uid": "uid-p1"} == sent["preconditions"]
    assert 5 == sent["gracePeriodSeconds"]
    assert stays == (pod is not None)
    assert answer.status < 400 or pod is None or not pod.terminating


SPENT = Answer(
    encoded(bodies.status(429, "TooManyRequests", "no", causes=[{"reason": "DisruptionBudget"}])),
    429,
)
TWICE = Answer(
    encoded(bodies.status(500, "", "This pod has more than one PodDisruptionBudget, which …")), 500
)


@pytest.mark.parametrize(
    ("answer", "look", "verbs", "stays"),
    [
        (Answer(), None, ["evict"], True),
        (GONE, GONE, ["evict", "get"], False),
        (GONE, stored(), ["evict", "get"], True),  # the budget's 404
        (SPENT, None, ["evict"], True),
        (CONFLICT, GONE, ["evict", "get"], False),
        (CONFLICT, stored(), ["evict", "get"], True),
        (TWICE, None, ["evict", "delete"], True),
    ],
)
def test_eviction_answers(
    answer: Answer, look: Answer | None, verbs: list[str], stays: bool
) -> None:
    """A spent budget leaves a living pod behind; one of two budgets, which none can evict, goes."""
    desk = Desk(bodies.pod(node="n1", owner="uid-web"))
    desk.double.reply("evict", "Pod", answer)
    desk.double.reply("delete", "Pod", stored(deleted=True))
    if look is not None:
        desk.double.reply("get", "Pod", look)
    wanted = intents.DeletePod("default", "p1", "uid-p1", "moved", evict=True)
    desk.work(lambda: desk.writer.delete(wanted, WEB))
    sent = json.loads(desk.double.seen[0].body or b"")
    pod = desk.pod()

    assert verbs == [request.verb for request in desk.double.seen]
    assert {"uid": "uid-p1"} == sent["deleteOptions"]["preconditions"]
    assert stays == (pod is not None)
    assert pod is None or pod.terminating == (answer is not SPENT and look is None)


def test_a_refused_eviction_is_asked_for_again_as_kubectl_does() -> None:
    """Whoever rings meanwhile: after 1, 2, 4 and then every 5 seconds; the pod lives on."""
    desk = Desk(bodies.pod(node="n1", owner="uid-web"))
    desk.double.reply("evict", "Pod", *[SPENT] * 30)
    wanted = intents.DeletePod("default", "p1", "uid-p1", "moved", evict=True)
    desk.look = lambda: desk.writer.delete(wanted, WEB)

    async def ring() -> None:
        while True:
            desk.look()
            await asyncio.sleep(0.25)

    ringing: list[asyncio.Task[None]] = []
    desk.work(lambda: ringing.append(asyncio.ensure_future(ring())), seconds=30)
    pod = desk.pod()

    assert 3 + 5 <= len(desk.double.seen) <= 3 + 6
    assert pod is not None
    assert not pod.terminating


def test_release() -> None:
    """Only our finalizer is named, and only of the pod with this uid."""
    desk = Desk(bodies.pod(node="n1", finalizers=["bayplan.dev/run-tracking", "other/one"]))
    desk.double.reply("release", "Pod", stored(finalizers=["other/one"]))
    desk.work(lambda: desk.writer.release(intents.ReleasePod("default", "p1", "uid-p1", ())))
    pod = desk.pod()

    assert {
        "metadata": {
            "uid": "uid-p1",
            "$deleteFromPrimitiveList/finalizers": ["bayplan.dev/run-tracking"],
        }
    } == json.loads(desk.double.seen[0].body or b"")
    assert pod is not None
    assert ("other/one",) == pod.finalizers


@pytest.mark.parametrize(
    ("answers", "look", "bound"),
    [
        ([Answer(b'{"kind":"Status"}')], None, True),
        ([NoAnswer(), CONFLICT], stored(owner=None), True),
        ([CONFLICT], stored(owner=None), False),
        ([GONE], None, False),
    ],
)
def test_bind(answers: list[Reply], look: Answer | None, bound: bool) -> None:
    """A bind that met a 409 has succeeded when the pod runs where it should; else not."""
    desk = Desk(bodies.pod())
    desk.double.reply("bind", "Pod", *answers)
    if look is not None:
        body = json.loads(look.body)
        body["spec"]["nodeName"] = "n1" if bound else "n2"
        desk.double.reply("get", "Pod", Answer(encoded(body)))

    def act() -> None:
        before = desk.pod()
        assert before is not None
        desk.cache.assumptions.assume(
            Pod("default", "p1", uid="uid-p1", node="n1", scheduler="bayplan")
        )
        desk.writer.bind(intents.Bind("default", "p1", "uid-p1", "n1"))

    desk.work(act)
    pod = desk.pod()

    assert bound == (pod is not None and pod.node == "n1")


@pytest.mark.parametrize(("answer", "node"), [(None, "n1"), (CONFLICT, "")])
def test_select(answer: Reply | None, node: str) -> None:
    """The claim's node is counted on at once; a refusal, as when it is another claim, ends that."""
    desk = Desk()
    claim = {
        "metadata": {
            "name": "data",
            "namespace": "default",
            "uid": "uid-c",
            "resourceVersion": "9",
        },
        "spec": {"storageClassName": "gp3"},
        "status": {"phase": "Pending"},
    }
    lazy = volumes.StorageClass(waits=True)
    desk.cache.upsert("StorageClass", wire.Seen("", "gp3", "uid-s", 1, lazy))
    desk.cache.upsert(
        "PersistentVolumeClaim",
        decode.KINDS["PersistentVolumeClaim"].decode(msgspec.Raw(encoded(claim))),
    )
    note = {names.SELECTED_NODE: "n1"}
    claim["metadata"] |= {"resourceVersion": "10", "annotations": note}  # type: ignore[operator]
    stored = Answer(encoded(claim)) if answer is None else answer
    desk.double.reply("select", "PersistentVolumeClaim", stored)
    counted_on = []

    def act() -> None:
        desk.writer.select(intents.SelectNode("default", "data", "uid-c", "n1"))
        counted_on.append(desk.cache.state.claims["default", "data"].selected)

    desk.work(act)
    [request] = desk.double.seen

    assert "/api/v1/namespaces/default/persistentvolumeclaims/data" == request.path
    assert {"metadata": {"uid": "uid-c", "annotations": note}} == json.loads(request.body or b"")
    assert (["n1"], node) == (counted_on, desk.cache.state.claims["default", "data"].selected)


class TestClaims:
    """Claims of instances: made once, handed over, deleted as that very object."""

    KEY = "default", "data-web-0"
    BODY: Mapping[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "default", "name": "data-web-0"},
    }

    def stored(self, **more: Any) -> Answer:
        about = {**self.BODY["metadata"], "uid": "uid-c", "resourceVersion": "9", **more}
        return Answer(encoded({"metadata": about}))

    def done(self, act: intents.ClaimAct, verb: str, answer: Reply) -> Desk:
        desk = Desk()
        seen = wire.Seen(*self.KEY, "uid-c", 5, volumes.VolumeClaim("v1", "gp3", "Bound"))
        if not isinstance(act, intents.CreateClaim):
            desk.cache.upsert("PersistentVolumeClaim", seen)
        desk.double.reply(verb, "PersistentVolumeClaim", answer)

        def begin() -> None:
            desk.writer.objects.claim(act, WEB)
            known = desk.cache.state.claims.get(self.KEY)
            assert isinstance(act, intents.DropClaim) == (known is not None and known.deleting)

        desk.work(begin, seconds=5)
        return desk

    def test_made(self) -> None:
        """What the answer shows counts at once."""
        desk = self.done(intents.CreateClaim(self.BODY), "create", self.stored())
        [request] = desk.double.seen

        assert "/api/v1/namespaces/default/persistentvolumeclaims" == request.path
        assert self.BODY == json.loads(request.body or b"")
        assert "uid-c" == desk.cache.state.claims[self.KEY].uid

    def test_there_already(self) -> None:
        """One that exists is left as it is, and no refusal of the template."""
        desk = self.done(intents.CreateClaim(self.BODY), "create", TAKEN)

        assert (1, []) == (len(desk.double.seen), desk.reports.refusals)

    def test_refused(self) -> None:
        """A quota is told as one of the pods is."""
        full = encoded(bodies.status(403, "Forbidden", "exceeded quota: storage"))
        desk = self.done(intents.CreateClaim(self.BODY), "create", Answer(full, 403))

        assert ["create"] == [what for what, _, _ in desk.reports.refusals]

    def test_handed_over(self) -> None:
        """One reference is merged into the others; the uid keeps it off a namesake."""
        owner = {"$patch": "delete", "uid": "uid-web"}
        act = intents.OwnClaim(*self.KEY, "uid-c", owner)
        [request] = self.done(act, "own", self.stored()).double.seen

        assert "application/strategic-merge-patch+json" == request.content_type
        assert {"metadata": {"uid": "uid-c", "ownerReferences": [owner]}} == json.loads(
            request.body or b""
        )

    def test_deleted(self) -> None:
        """It is there until nothing mounts it, and counts as being deleted."""
        answer = self.stored(deletionTimestamp="2026-01-01T00:00:00Z")
        desk = self.done(intents.DropClaim(*self.KEY, "uid-c"), "delete", answer)
        [request] = desk.double.seen

        assert {"uid": "uid-c"} == json.loads(request.body or b"")["preconditions"]
        assert desk.cache.state.claims[self.KEY].deleting

        desk = self.done(intents.DropClaim(*self.KEY, "uid-c"), "delete", CONFLICT)

        assert not desk.cache.state.claims[self.KEY].deleting


def test_bind_of_a_leaving_pod() -> None:
    """A pod that cannot be bound because it is being deleted holds no room."""
    desk = Desk(bodies.pod())
    desk.double.reply("bind", "Pod", CONFLICT)
    desk.double.reply("get", "Pod", Answer(encoded(bodies.pod(version=10))))

    def act() -> None:
        desk.cache.assumptions.assume(
            Pod("default", "p1", uid="uid-p1", node="n1", scheduler="bayplan")
        )
        desk.writer.bind(intents.Bind("default", "p1", "uid-p1", "n1"))

    desk.work(act)

    assert {} == desk.cache.state.assumed


def test_a_late_bind_of_a_pod_that_is_to_go() -> None:
    """A binding that waits for an answer is given up when the pod's end is decided meanwhile."""
    desk = Desk(bodies.pod())
    desk.double.reply("release", "Pod", NoAnswer(), Answer(encoded(bodies.pod(version=11))))
    desk.double.reply("delete", "Pod", Answer(encoded(bodies.pod(version=12))))

    def act() -> None:
        desk.writer.release(intents.ReleasePod("default", "p1", "uid-p1", ()))
        desk.cache.assumptions.assume(
            Pod("default", "p1", uid="uid-p1", node="n1", scheduler="bayplan")
        )
        desk.writer.bind(intents.Bind("default", "p1", "uid-p1", "n1"))
        desk.writer.delete(intents.DeletePod("default", "p1", "uid-p1", "its run is over"))

    desk.work(act)

    assert ["release", "release", "delete"] == [seen.verb for seen in desk.double.seen]
    assert {} == desk.cache.state.assumed


class TestStatus:
    """Statuses are coalesced, and fenced by the version they were computed from."""

    def answer(self, version: int) -> Callable[[Request], Answer]:
        """The stored object after a status write: what a server with our patch would say."""

        def reply(request: Request) -> Answer:
            status = json.loads(request.body or b"")["status"]
            return Answer(encoded(bodies.service(version, **status)), after=0.1)

        return reply

    def versions(self, desk: Desk) -> list[str]:
        return [
            json.loads(each.body or b"")["metadata"]["resourceVersion"]
            for each in desk.double.asked("status")
        ]

    def test_those_that_have_gone_are_forgotten(self) -> None:
        """A thousand resources that come, get a status and go leave next to nothing."""
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(20))
        kept: list[int] = []

        def one(number: int) -> None:
            kept.append(desk.writer.statuses.kept)
            body = bodies.service(10)
            body["metadata"] |= {"name": f"web-{number}", "uid": f"uid-{number}"}
            desk.cache.put_resource(body)
            key = ("LongService", "default", f"web-{number}")
            desk.writer.write_status(desk.cache.resources[key], {"replicas": 1})
            loop = asyncio.get_running_loop()
            loop.call_later(0.5, desk.cache.drop_resource, key, f"uid-{number}")

        def act() -> None:
            for number in range(1000):
                asyncio.get_running_loop().call_later(number * 0.2, one, number)

        desk.work(act)

        assert max(kept) < 100

    def test_first_at_once(self) -> None:
        """The first status is written at once; once stored, the resource is looked at again.

        What waited for the record (finalizers, deletes) may go on then.
        """
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(11))
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}))

        assert [0.0] == desk.double.times
        assert {"replicas": 1} == desk.web.status
        assert "11" == desk.web.resource_version
        assert [WEB] == desk.bell.keys

    def test_coalesced(self) -> None:
        """Within an interval only the newest is written, once, on top of our own last write."""
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(11), self.answer(12))

        wanted = [0]

        def look() -> None:
            desk.writer.write_status(desk.web, {"replicas": wanted[-1]})

        def want(count: int) -> None:
            wanted.append(count)
            look()

        def act() -> None:
            desk.look = look
            loop = asyncio.get_running_loop()
            for at, count in enumerate((1, 2, 3, 4)):
                loop.call_later(at * 0.02, want, count)

        desk.work(act)

        assert [0.0, 1.0] == desk.double.times
        assert ["10", "11"] == self.versions(desk)
        assert {"replicas": 4} == desk.web.status

    def test_what_was_wanted_beside_a_write_is_computed_anew(self) -> None:
        """Computed while another status was on its way, it may contradict that: look again."""
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(11))
        old = desk.web

        def act() -> None:
            desk.writer.write_status(old, {"replicas": 1})
            later = asyncio.get_running_loop().call_later
            later(0.05, desk.writer.write_status, old, {"replicas": 2})

        desk.work(act)

        assert 1 == len(desk.double.asked("status"))
        assert [WEB] == desk.bell.keys

    def test_what_an_older_schema_leaves_out_is_not_written_for_ever(self) -> None:
        """A field that the stored CustomResourceDefinition does not know: once, with its news."""
        desk = Desk()
        stored = Answer(encoded(bodies.service(11, replicas=1)), after=0.1)
        later = Answer(encoded(bodies.service(12, replicas=2)), after=0.1)
        desk.double.reply("status", "LongService", stored, later)
        event = intents.EmitEvent("Told", "once")
        wanted = [1]

        def look() -> None:
            desk.writer.write_status(desk.web, {"replicas": wanted[0], "newer": "a"}, (event,))

        def more() -> None:
            wanted[0] = 2
            look()

        def act() -> None:
            look()
            asyncio.get_running_loop().call_later(60, more)

        desk.look = look
        desk.work(act, 120)

        assert 2 == len(desk.double.asked("status"))
        assert {"replicas": 2} == desk.web.status

    def test_events_come_with_their_status(self) -> None:
        """Events are emitted when the status that accounts for them is accepted, each once."""
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(11), self.answer(12))
        desk.double.reply("create", "Event", Answer(b"{}"), Answer(b"{}"))
        first, second = intents.EmitEvent("Missed", "one"), intents.EmitEvent("Failed", "two")

        def look() -> None:
            told = (first,) if desk.web.status.get("replicas") == 1 else ()
            news = tuple(one for one in (first, second) if one not in told)
            desk.writer.write_status(desk.web, {"replicas": 2}, news)

        def act() -> None:
            desk.writer.write_status(desk.web, {"replicas": 1}, (first,))
            desk.look = look
            asyncio.get_running_loop().call_later(0.02, look)

        desk.work(act)
        told = [json.loads(each.body or b"") for each in desk.double.asked("create")]

        assert ["Missed", "Failed"] == [each["reason"] for each in told]

    def test_events_of_a_refused_status_wait(self) -> None:
        """A status that is not accepted emits nothing: reconcile will say it again."""
        desk = Desk()
        desk.double.reply("status", "LongService", CONFLICT)
        event = intents.EmitEvent("Missed", "one")
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}, (event,)))

        assert [] == desk.double.asked("create")

    def test_equal_is_not_written(self) -> None:
        """A status equal to the stored one is not written, and takes back one that waits."""
        desk = Desk()
        desk.double.reply("status", "LongService", self.answer(11))

        def act() -> None:
            desk.writer.write_status(desk.web, {})
            desk.writer.write_status(desk.web, {"replicas": 1})
            asyncio.get_running_loop().call_later(
                0.2, lambda: desk.writer.write_status(desk.web, {"replicas": 2})
            )
            asyncio.get_running_loop().call_later(
                0.3, lambda: desk.writer.write_status(desk.web, {"replicas": 1})
            )

        desk.work(act)

        assert 1 == len(desk.double.seen)

    def test_outdated(self) -> None:
        """A status computed from an older version than is known is not sent: look again."""
        desk = Desk()
        old = desk.web

        def act() -> None:
            desk.cache.put_resource(bodies.service(15, generation=2))
            desk.bell.keys.clear()
            desk.writer.write_status(old, {"replicas": 1})

        desk.work(act)

        assert [] == desk.double.seen
        assert [WEB] == desk.bell.keys

    def test_conflict(self) -> None:
        """A 409 drops the status and has the resource looked at again, after the news came."""
        desk = Desk()
        desk.double.reply("status", "LongService", CONFLICT)
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}))

        assert 1 == len(desk.double.seen)
        assert [WEB] == desk.bell.keys

    @pytest.mark.parametrize(
        ("seconds", "looks"), [(0.9, 0), (1.1, 1), (2.9, 1), (3.1, 2), (7.1, 3)]
    )
    def test_refused(self, seconds: float, looks: int) -> None:
        """A status that is refused has its resource looked at after 1 s, then 2 s, then 4 s."""
        desk = Desk()
        refused = Answer(b"{}", 422)
        desk.double.reply("status", "LongService", *[refused] * 4)

        desk.look = lambda: desk.writer.write_status(desk.web, {"replicas": 1})
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}), seconds)

        assert [WEB] * looks == desk.bell.keys
        assert 1 + looks == len(desk.double.asked("status"))

    def test_lost_answer(self) -> None:
        """A status whose answer was lost is repeated on the same version; the 409 then ends it."""
        desk = Desk()
        desk.double.reply("status", "LongService", NoAnswer(), CONFLICT)
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}))

        assert ["10", "10"] == self.versions(desk)

    @pytest.mark.parametrize(("stored", "told"), [(1, 1), (3, 0)], ids=["ours", "another"])
    def test_events_of_a_lost_answer(self, stored: int, told: int) -> None:
        """A write whose answer was lost is seen to be stored: what it accounts for is told, once.

        Reconcile will not say it again, since the status says it already.
        """
        desk = Desk()
        desk.double.reply("status", "LongService", NoAnswer(), CONFLICT)
        desk.double.reply("create", "Event", Answer(b"{}"))
        event = intents.EmitEvent("Missed", "one")

        def look() -> None:
            desk.writer.carry_out(desk.web, intents.Outcome())

        def news() -> None:
            body = bodies.service(11)
            desk.cache.put_resource({**body, "status": {"replicas": stored}})
            desk.look()
            desk.look()

        def act() -> None:
            desk.look = look
            desk.writer.write_status(desk.web, {"replicas": 1}, (event,))
            asyncio.get_running_loop().call_later(20, news)

        desk.work(act)

        assert told == len(desk.double.asked("create"))

    def test_missing(self) -> None:
        """A 404 drops the resource and says so, before anything more is created for it."""
        desk = Desk()
        desk.double.reply("status", "LongService", GONE)
        desk.work(lambda: desk.writer.write_status(desk.web, {"replicas": 1}))

        assert [WEB] == desk.reports.lost
        assert {} == desk.cache.resources

    def test_after_a_failure(self) -> None:
        """A failed write does not stop later ones."""
        desk = Desk()
        desk.double.reply("status", "LongService", CONFLICT, self.answer(11))

        def act() -> None:
            desk.writer.write_status(desk.web, {"replicas": 1})
            asyncio.get_running_loop().call_later(
                5, lambda: desk.writer.write_status(desk.web, {"replicas": 2})
            )

        desk.work(act)

        assert {"replicas": 2} == desk.web.status


class TestApply:
    """Children are applied whole, and only where the name is ours or free."""

    BODY: Mapping[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"ports": [{"port": 80}]},
    }

    def stored(self, owner: str | None, **more: Any) -> Answer:
        return Answer(
            encoded(
                {**self.BODY, "metadata": bodies.pod("web", 30, owner=owner, **more)["metadata"]}
            )
        )

    def test_new(self) -> None:
        """A name that is free is applied by force of our field manager."""
        desk = Desk()
        desk.double.reply("get", "Service", GONE)
        desk.double.reply("apply", "Service", self.stored("uid-web"))
        desk.work(lambda: desk.writer.objects.apply(desk.web, intents.ApplyObject(self.BODY)))
        (request,) = desk.double.asked("apply")

        assert (("fieldManager", "bayplan"), ("force", "true")) == request.query
        assert ("Service", "web") in desk.cache.children("uid-web")

    def test_ours(self) -> None:
        """Ours is applied onto that very object."""
        desk = Desk()
        desk.double.reply("get", "Service", self.stored("uid-web"))
        desk.double.reply("apply", "Service", self.stored("uid-web"))
        desk.work(lambda: desk.writer.objects.apply(desk.web, intents.ApplyObject(self.BODY)))
        (request,) = desk.double.asked("apply")

        assert "uid-web" == json.loads(request.body or b"")["metadata"]["uid"]

    @pytest.mark.parametrize("owner", ["uid-other", None])
    def test_foreign(self, owner: str | None) -> None:
        """Somebody else's object, or nobody's, is never overwritten."""
        desk = Desk()
        desk.double.reply("get", "Service", self.stored(owner))
        desk.work(lambda: desk.writer.objects.apply(desk.web, intents.ApplyObject(self.BODY)))

        assert [("apply", 409, "NameTaken")] == desk.reports.refusals
        assert [] == desk.double.asked("apply")

    @pytest.mark.parametrize("last", ["c", "a"])
    def test_the_newest_waits_and_no_other(self, last: str) -> None:
        """While one is under way the next is replaced by a newer one, also by the first again."""
        desk = Desk()
        desk.double.reply("get", "Service", Answer(self.stored("uid-web").body, after=1))
        desk.double.reply("apply", "Service", self.stored("uid-web"))

        def wanted(digest: str) -> intents.ApplyObject:
            metadata = {**self.BODY["metadata"], "annotations": {names.DIGEST: digest}}
            return intents.ApplyObject({**self.BODY, "metadata": metadata})

        def more() -> None:
            for digest in ("b", "b", last, "b", last):
                desk.writer.objects.apply(desk.web, wanted(digest))

        def act() -> None:
            desk.writer.objects.apply(desk.web, wanted("a"))
            asyncio.get_running_loop().call_later(0.5, more)

        desk.work(act)

        assert ["a", last] == [
            json.loads(each.body or b"")["metadata"]["annotations"][names.DIGEST]
            for each in desk.double.asked("apply")
        ]

    def test_leaving(self) -> None:
        """One that is being deleted is waited for."""
        desk = Desk()
        desk.double.reply("get", "Service", self.stored("uid-web", deleted=True))
        desk.work(lambda: desk.writer.objects.apply(desk.web, intents.ApplyObject(self.BODY)))

        assert [] == desk.double.asked("apply")
        assert [WEB] == desk.bell.keys


def test_window_shrinks_and_grows() -> None:
    """Writes in flight never exceed the window, which a failing server halves."""
    desk = Desk(in_flight=8)
    running = most = 0

    class Counting(Double):
        async def send(self, request: Request) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await Double.send(self, request)
            finally:
                running -= 1

    desk.double = Counting()
    desk.double.reply("create", "Pod", Answer(stored().body, after=0.05))
    desk.work(lambda: [desk.create(bodies.pod(f"p{n}", 0)) for n in range(100)] and None)

    assert 8 == most
    assert 100 == len(desk.double.seen)


def test_few_writes_while_the_lease_is_late() -> None:
    """What we write ourselves may be what it waits behind; afterwards all of the window again."""
    desk = Desk(in_flight=48)
    desk.double.reply("create", "Pod", Answer(stored().body, after=1))
    desk.pressed = True

    def act() -> None:
        for number in range(100):
            desk.create(bodies.pod(f"p{number}", 0))
        asyncio.get_running_loop().call_later(2.5, lambda: setattr(desk, "pressed", False))

    desk.work(act)

    assert [4, 4, 4, 48] == [desk.double.times.count(second) for second in (0.0, 1.0, 2.0, 3.0)]


def test_urgent_is_not_starved() -> None:
    """A status passes five thousand creates that wait."""
    desk = Desk(in_flight=10)
    desk.double.reply("create", "Pod", Answer(stored().body, after=0.1))
    desk.double.reply("status", "LongService", TestStatus().answer(11))

    def act() -> None:
        for number in range(5000):
            desk.create(bodies.pod(f"p{number}", 0))
        desk.writer.write_status(desk.web, {"replicas": 1})

    desk.work(act, seconds=60)
    at = next(
        at
        for at, each in zip(desk.double.times, desk.double.seen, strict=True)
        if each.verb == "status"
    )

    assert at <= 0.2
    assert 5001 == len(desk.double.seen)


def test_others_are_not_starved() -> None:
    """A create passes five hundred deletes that wait."""
    pods = [bodies.pod(f"d{number}", node="n1") for number in range(500)]
    desk = Desk(*pods, in_flight=10)
    desk.double.reply("create", "Pod", stored())
    desk.double.reply(
        "delete", "Pod", Answer(encoded(bodies.pod("d0", 11, deleted=True)), after=0.1)
    )

    def act() -> None:
        for number in range(500):
            desk.writer.delete(intents.DeletePod("default", f"d{number}", f"uid-d{number}", "old"))
        desk.create()

    desk.work(act, seconds=60)
    at = next(
        at
        for at, each in zip(desk.double.times, desk.double.seen, strict=True)
        if each.verb == "create"
    )

    assert at <= 0.2


def test_one_in_flight_for_an_object() -> None:
    """Writes to one object go one after the other, in the order in which they were decided."""
    desk = Desk(bodies.pod(node="n1"))
    desk.double.reply("release", "Pod", Answer(stored(version=11).body, after=1))
    desk.double.reply("delete", "Pod", Answer(stored(version=12, deleted=True).body, after=1))

    def act() -> None:
        desk.writer.release(intents.ReleasePod("default", "p1", "uid-p1", ()))
        desk.writer.delete(intents.DeletePod("default", "p1", "uid-p1", "old"))

    desk.work(act)

    assert ["release", "delete"] == [request.verb for request in desk.double.seen]
    assert [0.0, 1.0] == desk.double.times


def test_repeated_first() -> None:
    """A write of unknown outcome is repeated before the many that wait behind it."""
    desk = Desk(in_flight=4)
    desk.double.reply("create", "Pod", NoAnswer(), Answer(stored().body, after=0.1))

    def act() -> None:
        for number in range(200):
            desk.create(bodies.pod(f"p{number}", 0))

    desk.work(act)
    sent = [json.loads(each.body or b"")["metadata"]["name"] for each in desk.double.seen]

    assert 201 == len(sent)
    assert sent[1:].index("p0") < 20


def test_drain() -> None:
    """At the end what is in flight finishes and nothing new begins."""
    desk = Desk(in_flight=2)
    desk.double.reply("create", "Pod", Answer(stored().body, after=1))

    def act() -> None:
        for number in range(5):
            desk.create(bodies.pod(f"p{number}", 0))
        asyncio.get_running_loop().call_later(
            0.5, lambda: asyncio.ensure_future(desk.writer.drain(5))
        )

    desk.work(act)

    assert 2 == len(desk.double.seen)
    assert 2 == len(desk.reports.stored)


def test_a_defect_in_one_write_stops_no_other() -> None:
    """A defect in reading an answer counts as a refusal of that write, and is told."""
    desk = Desk()
    desk.double.reply("create", "Pod", Answer(b"[]"), stored())

    def act() -> None:
        desk.create(bodies.pod("odd", 0))
        desk.create()

    desk.work(act)

    assert [("Pod/default/odd", "DecodeError")] == desk.reports.defects
    assert [("create", 0, "OperatorDefect")] == desk.reports.refusals
    assert 1 == len(desk.reports.stored)
    assert 0 == desk.writer.sender.waiting


def test_waiting_is_counted() -> None:
    """`waiting` counts what is not done, so that its end can be waited for."""
    desk = Desk()
    desk.double.reply("create", "Pod", Answer(stored().body, after=1))
    noted: list[int] = []

    def act() -> None:
        desk.create()
        noted.append(desk.writer.sender.waiting)
        asyncio.get_running_loop().call_later(2, lambda: noted.append(desk.writer.sender.waiting))

    desk.work(act)

    assert [1, 0] == noted
    assert sender.PATIENCE_SECONDS > 60
