"""Refused writes: ever more rarely, few in the whole cluster, soon after what refused them went."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bayplan.api.resource import Key
from bayplan.cluster import errors, refusals
from bayplan.cluster.refusals import Refusals, Write
from bayplan.model import intents
from tests.double.bodies import encoded, pod, status
from tests.double.loop import run
from tests.double.test_writer import WEB, Desk
from tests.double.transport import Answer

FULL = errors.Rejected("exceeded quota: few", status=403, reason="Forbidden")
FORBIDDEN = Answer(encoded(status(403, "Forbidden", "exceeded quota: few")), 403)
HOUR = 3600.0


def write(name: str = "web", namespace: str = "default", kind: str = "Service") -> Write:
    return Write(("LongService", namespace, name), "apply", kind, name)


class Server:
    """Refuses everything until told otherwise; each write is tried whenever its owner is rung."""

    def __init__(self, *writes: Write) -> None:
        self.refuses = True
        self.generation = 1
        self.tried: list[tuple[float, Write]] = []
        self.rung: list[Key] = []
        self.writes = writes
        self.of = {one.about: [one] for one in writes}
        self.refusals = Refusals(self._ring, lambda _: self.generation)

    def _ring(self, about: Key) -> None:
        self.rung.append(about)
        asyncio.get_running_loop().call_soon(self.look, about)

    def look(self, about: Key | None = None) -> None:
        """As a reconciliation: asks for all that is wanted of a resource (or of every one)."""
        for one in self.writes if about is None else self.of.get(about, ()):
            if self.refusals.admits(one):
                self.tried.append((asyncio.get_running_loop().time(), one))
                if self.refuses:
                    self.refusals.refused(one, FULL)
                else:
                    self.refusals.accepted(one)

    def times(self, wanted: Write) -> list[float]:
        return [at for at, one in self.tried if one == wanted]

    def play(self, seconds: float, *acts: tuple[float, Callable[[], Any]]) -> None:
        async def body() -> None:
            for at, act in acts:
                asyncio.get_running_loop().call_at(at, act)
            self.look()
            await asyncio.sleep(seconds)

        run(body())


@pytest.mark.parametrize(
    ("times", "seconds"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300), (10_000, 300)]
)
def test_pause(times: int, seconds: float) -> None:
    """A second, twice as long each time, five minutes at most."""
    assert seconds == refusals.pause(times)


def test_a_standing_refusal_costs_few_writes() -> None:
    """In an hour 20 tries, however often somebody looks."""
    one = write()
    server = Server(one)
    server.play(HOUR, *((at / 10, server.look) for at in range(1, 3600)))
    waits = [later - sooner for sooner, later in itertools.pairwise(server.times(one))]

    assert 20 == len(server.tried)
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 300] == [round(wait) for wait in waits[:10]]


def test_relief_is_followed_at_once() -> None:
    """The quota that refused is widened in the middle of a long wait: the next try is then."""
    server = Server(write())

    def widen() -> None:
        server.refuses = False
        server.refusals.relieve("default")

    server.play(700, (600, widen))

    assert 600 == server.tried[-1][0]
    assert () == server.refusals.of(write().about)
    assert write().about == server.rung[-1]


@pytest.mark.parametrize("what", ["quota", "Service"])
def test_constant_relief_is_no_storm(what: str) -> None:
    """A quota that changes every second has a write tried every 5 s, later every 37 s."""
    one = write()
    server = Server(one)

    def change() -> None:
        if what == "quota":
            server.refusals.relieve("default")
        else:
            server.refusals.freed("Service", "elsewhere")

    server.play(HOUR, *((at, change) for at in range(3600)))
    waits = [later - sooner for sooner, later in itertools.pairwise(server.times(one))]

    assert min(waits[2:]) >= 4
    assert waits[-1] == pytest.approx(37.5, abs=1)
    assert len(server.tried) < HOUR / 30


def test_what_other_namespaces_change_relieves_nobody() -> None:
    """Nor another kind of object; but ports and addresses of Services are the whole cluster's."""
    budget = write(kind="PodDisruptionBudget")
    server = Server(budget)

    def change() -> None:
        server.refusals.relieve("elsewhere")
        server.refusals.freed("PodDisruptionBudget", "elsewhere")
        server.refusals.freed("Service", "default")

    server.play(500, (300, change))

    assert 255 == round(server.tried[-1][0])


def test_a_thousand_refused_services_do_not_flood_the_server() -> None:
    """Twenty are tried again a second, and another tenant's is not held up by them."""
    many = [write(f"web-{number}") for number in range(1000)]
    other = write("mine", "other")
    server = Server(*many, other)
    server.play(900)
    again = [at for at, _ in server.tried if at > 0]
    seconds = [sum(start <= at < start + 1 for at in again) for start in range(0, 600, 10)]

    assert max(seconds) <= refusals.PER_SECOND + 1
    assert [1, 3, 7, 15] == [round(at) for at in server.times(other)[1:5]]


def test_an_edit_is_tried_at_once() -> None:
    """Another generation of the resource is another write, and nothing is known of it yet."""
    server = Server(write())

    def edit() -> None:
        server.generation = 2
        server.look()

    server.play(400, (300, edit))

    assert [300, 301, 303] == [round(at) for at, _ in server.tried if at >= 300][:3]


def test_nothing_is_kept_of_what_has_gone() -> None:
    """With its resource, with the object it was to be done to, and where nobody wants it more."""
    gone = Write(WEB, "delete", "Pod", "p1")
    server = Server(write(), gone)

    def go() -> None:
        server.refusals.gone("Pod", ("default", "p1"))
        assert 1 == server.refusals.kept
        server.writes, server.of = (), {}

    server.play(2000, (10, go))

    assert 0 == server.refusals.kept


BUSY = errors.Conflict("the Service is being deleted", status=409)


def test_a_conflict_needs_no_word() -> None:
    """What explains it is on its way: the resource is rung ever more rarely."""
    server = Server()

    def conflict() -> None:
        server.refusals.later(write(), BUSY, holds=False)
        assert server.refusals.admits(write())
        assert () == server.refusals.of(write().about)

    server.play(20, (0, conflict), (5, conflict))

    assert 2 == len(server.rung)


def test_a_conflict_that_lasts_is_told() -> None:
    """After 15 s, while the write waits as one that is refused."""
    server = Server(write())
    told: list[tuple[float, int]] = []

    def look(_: Key | None = None) -> None:
        if server.refusals.admits(write()):
            server.refusals.later(write(), BUSY, holds=True)
        told.append((round(asyncio.get_running_loop().time()), len(server.refusals.of(WEB))))

    server.look = look  # type: ignore[method-assign]
    server.play(40)

    assert {(0, 0), (1, 0), (3, 0), (7, 0), (15, 1), (31, 1)} == set(told)


def test_a_conflict_takes_no_refusal_back() -> None:
    """The one that is tried for all may be overtaken: what is refused is refused still."""
    server = Server()

    def play() -> None:
        server.refusals.refused(write(), FULL)
        asyncio.get_running_loop().call_later(1.5, again)

    def again() -> None:
        assert server.refusals.admits(write())
        server.refusals.later(write(), BUSY, holds=False)
        assert not server.refusals.admits(write())
        assert ["exceeded quota: few"] == [one.message for one in server.refusals.of(WEB)]

    server.play(3, (0, play))


def test_a_spent_budget_is_no_fault() -> None:
    """It is asked again after 5 s at most, and told to nobody."""
    server = Server()
    waits: list[float] = []

    def ask() -> None:
        if server.refusals.admits(write()):
            waits.append(server.refusals.spent(write()))

    server.play(60, *((at / 2, ask) for at in range(100)))

    assert [1, 2, 4, 5, 5] == waits[:5]
    assert () == server.refusals.of(WEB)


def test_a_gang_that_is_tried_again_is_made_whole() -> None:
    """Its pods run together or not at all: none stays behind until the first is accepted."""
    desk = Desk()
    desk.double.reply("create", "Pod", FORBIDDEN)
    bodies_ = [pod(f"p{number}", version=0, node="n1", owner="uid-web") for number in range(3)]

    def gang() -> None:
        for body in bodies_:
            desk.create(body)

    def act() -> None:
        desk.create(bodies_[0])
        asyncio.get_running_loop().call_later(1.5, gang)

    desk.work(act, 1.6)

    assert 1 + 3 == len(desk.double.asked("create"))


class TestClaims:
    """A service with a hundred claims under a quota that is used up, at the writer."""

    def acts(self) -> list[intents.CreateClaim]:
        return [
            intents.CreateClaim(
                {"metadata": {"namespace": "default", "name": f"data-web-{number}"}}
            )
            for number in range(100)
        ]

    def desk(self) -> Desk:
        desk = Desk(in_flight=8)

        def look() -> None:
            for act in self.acts():
                desk.writer.objects.claim(act, WEB)

        desk.look = look
        return desk

    def test_an_hour(self) -> None:
        """At first those in flight together, then one each time: 8 + 19 in an hour."""
        desk = self.desk()
        desk.double.reply("create", "PersistentVolumeClaim", FORBIDDEN)
        desk.work(desk.look, HOUR)

        assert 8 + 19 == len(desk.double.asked("create"))
        assert [("create", 403, "Forbidden")] == desk.reports.refusals[:1]
        told = desk.cache.refusals.of(WEB)
        assert ["exceeded quota: few"] == [one.message for one in told]

    def test_accepted_beside(self) -> None:
        """What left with the refused one and was accepted ends no refusal."""
        desk = self.desk()
        made = Answer(encoded({"metadata": {"namespace": "default", "name": "a", "uid": "u"}}))
        late = Answer(made.body, after=0.5)
        desk.double.reply("create", "PersistentVolumeClaim", FORBIDDEN, late, FORBIDDEN)
        desk.work(desk.look, 8)

        assert [0, 1, 3, 7] == sorted({round(at) for at in desk.double.times})

    def test_relief(self) -> None:
        """Once one is accepted the others follow at once."""
        desk = self.desk()
        made = Answer(
            encoded({"metadata": {"namespace": "default", "name": "data-web-0", "uid": "u"}})
        )
        desk.double.reply("create", "PersistentVolumeClaim", *[FORBIDDEN] * 12, made)

        def act() -> None:
            desk.look()
            loop = asyncio.get_running_loop()
            loop.call_later(20, desk.cache.refusals.relieve, "default")

        desk.work(act, 22)

        assert 112 <= len(desk.double.asked("create"))
        assert () == desk.cache.refusals.of(WEB)
