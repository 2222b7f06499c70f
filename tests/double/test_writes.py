"""How every write leaves and what its answer means, by itself: pods, statuses and objects alike."""

import asyncio

from bayplan.cluster import cache, errors, sender
from bayplan.cluster.events import Events
from bayplan.cluster.refusals import Write
from bayplan.cluster.writes import Writes
from bayplan.model import intents, state
from tests.double import bodies
from tests.double.bell import Bell
from tests.double.loop import run
from tests.double.test_writer import WEB, Reported
from tests.double.transport import Double

REFUSED = errors.Rejected("no", status=422, reason="Invalid")
FIRST, SECOND = (Write(WEB, "apply", "Service", name) for name in ("web", "other"))


class Told(Reported):
    """Also who was to be notified."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: list[intents.Notice] = []

    def notify(self, _resource: object, notice: intents.Notice) -> None:
        self.notices.append(notice)


class Desk:
    """Writes at a server that nobody asks: attempts are scripted."""

    def __init__(self) -> None:
        self.reports = Told()
        self.cache = cache.Cache(state.State(), Bell())
        self.cache.put_resource(bodies.service(10))
        double = Double()
        counted, defect = self.reports.counted, self.reports.defect
        self.writes = Writes(
            sender.Sender(double, lambda: True, counted, defect, jitter=lambda: 1.0),
            Events(double, lambda: True, lambda: 1.8e9, "us", counted),
            self.cache,
            self.reports,
        )
        self.attempts: list[str] = []
        self.failures: list[str] = []

    def job(self, name: str, error: errors.ClusterError | None = None) -> sender.Job:
        async def attempt() -> None:
            self.attempts.append(name)
            if error is not None:
                raise error

        def failed(error: errors.ClusterError) -> None:
            self.failures.append(error.reason)
            self.writes.failed(FIRST, error)

        return sender.Job(WEB, ("apply", name), attempt, failed)


def test_what_was_refused_meanwhile_is_not_sent() -> None:
    """Its like was refused while it waited: it fails without an attempt, and tells nobody."""
    desk = Desk()

    async def play() -> None:
        desk.writes.submit(FIRST, desk.job("first", REFUSED))
        desk.writes.submit(FIRST, desk.job("second"))
        await asyncio.sleep(1)

    run(play())

    assert ["first"] == desk.attempts
    assert ["Invalid", "Held"] == desk.failures
    assert [("apply", 422, "Invalid")] == desk.reports.refusals


def test_a_refusal_holds_its_like_alone() -> None:
    """Another object's write leaves as ever."""
    desk = Desk()

    async def play() -> None:
        desk.writes.failed(FIRST, REFUSED)
        assert not desk.cache.refusals.admits(FIRST)
        assert desk.cache.refusals.admits(SECOND)
        assert desk.writes.submit(SECOND, desk.job("other"))
        await asyncio.sleep(0.1)

    run(play())

    assert ["other"] == desk.attempts


def test_a_lost_lease_is_no_refusal() -> None:
    """Another replica writes it: nothing is held and nobody is told."""
    desk = Desk()

    async def play() -> None:
        desk.writes.failed(FIRST, errors.LeaseLost("may not write", reason="LeaseLost"))
        assert desk.cache.refusals.admits(FIRST)

    run(play())

    assert [] == desk.reports.refusals


def test_a_conflict_is_told_to_nobody() -> None:
    """News that explain it are on their way."""
    desk = Desk()

    async def play() -> None:
        desk.writes.failed(FIRST, errors.Conflict("modified", status=409))
        assert not desk.cache.refusals.admits(FIRST)

    run(play())

    assert [] == desk.reports.refusals


def test_an_answer_is_news_and_a_status_object_is_none() -> None:
    """The object of a write is known at once; `Success` of a delete names none."""
    desk = Desk()
    desk.writes.feed("Pod", bodies.encoded(bodies.pod(version=20, node="n1")))
    desk.writes.feed("Pod", bodies.encoded({"kind": "Status", "metadata": {}, "details": {}}))

    assert [("default", "p1")] == list(desk.cache.state.pods)


def test_notices_go_to_receivers_and_events_to_the_server() -> None:
    """What one status accounts for, each its own way."""
    desk = Desk()
    notice = intents.Notice("hook", "Failed", {})

    async def play() -> None:
        event = intents.EmitEvent("NoRoom", "0/2 nodes", warning=True)
        desk.writes.emit(desk.cache.resources[WEB], (event, notice))

    run(play())

    assert [notice] == desk.reports.notices
    assert 1 == desk.writes.events.waiting
