"""Events are few, bounded, and never in anybody's way."""

import asyncio
import json
from collections.abc import Callable

from bayplan.api.pool_resource import PoolResource
from bayplan.api.resource import Resource
from bayplan.cluster.events import Events, of_node, of_pool, of_resource
from bayplan.model.intents import EmitEvent
from tests.builders import make_node
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.loop import run
from tests.double.transport import Answer, Double, Reply

WEB = Resource("LongService", "default", "web", "uid-web")
STORED: Reply = Answer(b"{}")


class Said:
    """Events against a script."""

    def __init__(self, act: Callable[["Said"], None], *, seconds: float = 3600) -> None:
        self.double = Double()
        self.double.reply("create", "Event", STORED)
        self.double.reply("patch", "Event", STORED)
        self.may_write = True
        self.codes: list[str] = []
        run(self._live(act, seconds))

    async def _live(self, act: Callable[["Said"], None], seconds: float) -> None:
        self.events = Events(
            self.double,
            lambda: self.may_write,
            lambda: 1_800_000_000 + asyncio.get_running_loop().time(),
            "bayplan-1",
            lambda verb, _, code: self.codes.append(f"{verb} {code}"),
        )
        work = asyncio.ensure_future(self.events.run())
        act(self)
        await asyncio.sleep(seconds)
        work.cancel()

    def emit(
        self,
        message: str = "placed",
        reason: str = "Placed",
        uid: str = "uid-web",
        *,
        warning: bool = False,
    ) -> None:
        web = of_resource(Resource("LongService", "default", "web", uid))
        self.events.emit(web, EmitEvent(reason, message, warning=warning))

    def each(self, seconds: float, until: float) -> None:
        """The same thing, said again and again."""
        for at in range(int(until / seconds)):
            asyncio.get_running_loop().call_later(at * seconds, self.emit)


def test_first() -> None:
    """The first time an Event is made at once, with all that `kubectl describe` shows."""

    def act(said: Said) -> None:
        said.events.emit(of_resource(WEB), EmitEvent("NoRoom", "0/3 nodes", warning=True))

    said = Said(act)
    body = json.loads(said.double.seen[0].body or b"")

    assert [0.0] == said.double.times
    assert ("NoRoom", "0/3 nodes", "Warning", "bayplan.dev", "bayplan-1") == (
        body["reason"],
        body["note"],
        body["type"],
        body["reportingController"],
        body["reportingInstance"],
    )
    assert ("LongService", "web", "uid-web") == (
        body["regarding"]["kind"],
        body["regarding"]["name"],
        body["regarding"]["uid"],
    )
    assert "2027-01-15T08:00:00.000000Z" == body["eventTime"]


def test_of_a_node_and_a_pool() -> None:
    """What has no namespace is told in the namespace that the API server asks for."""

    def act(said: Said) -> None:
        event = EmitEvent("NodeClosing", "Node n1 closes.")
        said.events.emit(of_node(make_node("n1")), event)
        said.events.emit(of_pool(PoolResource("batch", "uid-p")), event)

    made = Said(act).double.asked("create")
    node, pool = (json.loads(one.body or b"") for one in made)

    assert all(one.path == "/apis/events.k8s.io/v1/namespaces/default/events" for one in made)
    assert {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": make_node("n1").uid} == (
        node["regarding"]
    )
    assert {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "name": "batch",
        "uid": "uid-p",
    } == pool["regarding"]


def test_another_subject_is_another_event() -> None:
    """Names of nodes often differ in their numbers alone."""

    def act(said: Said) -> None:
        for node in ("n1", "n2", "n1"):
            message = f"Node {node} closes."
            pool = of_pool(PoolResource("batch", "uid-p"))
            said.events.emit(pool, EmitEvent("NodeClosing", message), subject=message)

    assert 2 == len(Said(act).double.asked("create"))


def test_what_would_be_a_new_event_is_not_remembered() -> None:
    """What is said once of many things, as of runs, does not pile up."""

    def act(said: Said) -> None:
        for number in range(1300):
            asyncio.get_running_loop().call_later(
                number, lambda uid=f"uid-{number}": said.emit(uid=uid)
            )

    assert 600 == Said(act).events.remembered


def test_again() -> None:
    """The same thing said every second is one Event, counted up once a minute."""
    said = Said(lambda said: said.each(1, 200), seconds=300)
    counts = [
        json.loads(request.body or b"")["series"]["count"] for request in said.double.asked("patch")
    ]

    assert 1 == len(said.double.asked("create"))
    assert [61, 121, 181] == counts


def test_numbers_do_not_matter() -> None:
    """A message that differs in its numbers alone is the same thing; other words are not."""

    def act(said: Said) -> None:
        for message in ("placed 3 of 5", "placed 4 of 5", "moved 4 of 5"):
            said.emit(message)

    assert 2 == len(Said(act).double.asked("create"))


def test_much_later() -> None:
    """After a long silence it is a new Event."""

    def act(said: Said) -> None:
        said.emit()
        asyncio.get_running_loop().call_later(601, said.emit)

    assert 2 == len(Said(act).double.asked("create"))


def test_pace() -> None:
    """A burst is written at a bounded pace; what exceeds the queue is dropped and counted."""

    def act(said: Said) -> None:
        for number in range(2000):
            said.emit(uid=f"uid-{number}", warning=True)

    said = Said(act)

    assert 1000 == len(said.double.seen)
    assert 1000 == said.codes.count("create dropped")
    assert 50 == sum(at == 0 for at in said.double.times)
    assert 95 <= said.double.times[-1] <= 96


def test_a_failure_is_told_although_many_runs_start() -> None:
    """Starts and successes fill a tenth of the queue; the rest of it is for warnings."""

    def act(said: Said) -> None:
        for number in range(500):
            said.emit(uid=f"uid-{number}", reason="RunStarted")
        said.emit(reason="RunFailed", warning=True)

    said = Said(act)
    reasons = [json.loads(one.body or b"")["reason"] for one in said.double.seen]

    assert (100, 1) == (reasons.count("RunStarted"), reasons.count("RunFailed"))
    assert 400 == said.codes.count("create dropped")


def test_refusal_is_no_matter() -> None:
    """An Event that cannot be written is dropped; the next one is tried."""

    def act(said: Said) -> None:
        said.double.reply(
            "create", "Event", Answer(encoded(bodies.status(403, "Forbidden")), 403), STORED
        )
        said.emit("one")
        said.emit("two")

    assert ["create 403", "create 2xx"] == Said(act).codes


def test_not_without_the_lease() -> None:
    """Who may not write says nothing."""

    def act(said: Said) -> None:
        said.may_write = False
        said.emit()

    assert [] == Said(act).double.seen


def test_long_note() -> None:
    """A note is at most as long as the API server takes."""
    body = json.loads(Said(lambda said: said.emit("x" * 5000)).double.seen[0].body or b"")

    assert 1024 == len(body["note"])
