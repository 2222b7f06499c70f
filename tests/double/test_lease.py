"""One holder at a time, whatever the clocks, the network and the people do."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bayplan.cluster import errors, lease
from bayplan.cluster.transport import Request
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.loop import run


class Server:
    """A Lease at the API server: versions, 404, 409; faults by switch."""

    def __init__(self, holder: str | None = None, **spec: Any) -> None:
        self.version = 1
        self.spec: dict[str, Any] | None = None
        if holder is not None:
            self.spec = {
                "holderIdentity": holder,
                "leaseDurationSeconds": 15,
                "renewTime": "2026-11-23T06:00:00.000000Z",
                "acquireTime": "2026-11-23T05:00:00.000000Z",
                "leaseTransitions": 3,
                **spec,
            }
        self.broken = False
        self.deaf = False  # carries out, and its answer is lost
        self.slow = 0.0  # seconds until an answer
        self.late = 0.0  # seconds until it looks at a request
        self.writes: list[tuple[float, dict[str, Any]]] = []
        self.connections = 0

    async def connect(self) -> "Server":
        self.connections += 1
        return self

    async def close(self) -> None:
        self.connections -= 1

    def touch(self, **spec: Any) -> None:
        """Somebody else writes."""
        assert self.spec is not None
        self.version += 1
        self.spec |= spec

    async def send(self, request: Request) -> bytes:
        if self.broken:
            await asyncio.sleep(request.timeout_seconds)
            raise errors.Unavailable("no answer")
        if self.late:
            await asyncio.sleep(min(self.late, request.timeout_seconds))
            if self.late > request.timeout_seconds:
                raise errors.Unavailable("TimeoutError")
        if request.method == "GET":
            return self._body()
        sent = json.loads(request.body or b"")
        if request.method == "POST":
            if self.spec is not None:
                raise errors.of(409, encoded(bodies.status(409, "AlreadyExists")))
            self.spec = {}
        elif self.spec is None:
            raise errors.of(404)
        elif sent["metadata"]["resourceVersion"] != str(self.version):
            raise errors.of(409)
        self.version += 1
        self.spec |= sent["spec"]
        self.writes.append((asyncio.get_running_loop().time(), dict(self.spec)))
        if self.deaf:
            raise errors.Unavailable("reset")
        await asyncio.sleep(self.slow)
        return self._body()

    def _body(self) -> bytes:
        if self.spec is None:
            raise errors.of(404)
        metadata = {"name": "bayplan", "namespace": "ops", "resourceVersion": str(self.version)}
        return encoded({"metadata": metadata, "spec": self.spec})


class Candidate:
    """A lease of one process; `at` says what happens at which second."""

    def __init__(self, server: Server, identity: str = "me", **more: Any) -> None:
        self.gained: list[float] = []
        self.lost: list[float] = []
        self.skew = 0.0
        self.beats = True
        self.server = server
        self.lease = lease.Lease(
            server.connect,
            namespace="ops",
            name="bayplan",
            identity=identity,
            on_gain=lambda: self.gained.append(self.now()),
            on_loss=lambda: self.lost.append(self.now()),
            monotonic=self.now,
            wall=lambda: 1_800_000_000 + self.now() + self.skew,
            **more,
        )

    @staticmethod
    def now() -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return 0.0

    async def live(self) -> None:
        """Run, with a main loop that beats every second."""
        work = asyncio.ensure_future(self.lease.run())
        while not work.done():
            if self.beats:
                self.lease.beat()
            await asyncio.wait({work}, timeout=1)
        await work


def play(
    *candidates: Candidate, until: float = 60, at: dict[float, Callable[[], object]] | None = None
) -> None:
    """Let them live for this long, with what happens at which second."""

    async def body() -> None:
        works = [asyncio.ensure_future(one.live()) for one in candidates]
        for second, act in (at or {}).items():
            asyncio.get_running_loop().call_later(second, act)
        await asyncio.sleep(until)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    run(body())


def held(candidate: Candidate, noted: list[bool]) -> Callable[[], None]:
    return lambda: noted.append(candidate.lease.holding())


def test_first() -> None:
    """Where there is no lease it is made, and renewed every retry period."""
    server = Server()
    me = Candidate(server)
    play(me, until=21)
    first = server.writes[0][1]

    assert [0.0] == me.gained
    assert ("me", 15, 0) == (
        first["holderIdentity"],
        first["leaseDurationSeconds"],
        first["leaseTransitions"],
    )
    assert "2027-01-15T08:00:00.000000Z" == first["renewTime"]
    assert 11 == len(server.writes)
    assert {first["acquireTime"]} == {spec["acquireTime"] for _, spec in server.writes}


def test_foreign_is_waited_for() -> None:
    """A holder that renews is never disturbed, however far its clock is off."""
    server = Server("other", renewTime="1999-01-01T00:00:00.000000Z")
    me = Candidate(server)
    renewals = {
        float(at): lambda: server.touch(renewTime=f"t{server.version}") for at in range(0, 60, 10)
    }
    play(me, until=60, at=renewals)

    assert [] == me.gained
    assert [] == server.writes


def test_silent_holder() -> None:
    """A holder is dead when its record has not changed for its duration, as seen from here."""
    server = Server("other", renewTime="2999-01-01T00:00:00.000000Z", leaseDurationSeconds=30)
    me = Candidate(server)
    play(me, until=60)

    assert 30 <= me.gained[0] < 33
    assert 4 == server.writes[0][1]["leaseTransitions"]


def test_own_lease() -> None:
    """A restarted process with its own name goes on at once."""
    server = Server("me")
    me = Candidate(server)
    play(me, until=5)

    assert [0.0] == me.gained
    assert 3 == server.writes[0][1]["leaseTransitions"]
    assert "2026-11-23T05:00:00.000000Z" == server.writes[0][1]["acquireTime"]


def test_released() -> None:
    """A lease without a holder is taken at once."""
    server = Server("")
    me = Candidate(server)
    play(me, until=5)

    assert [0.0] == me.gained


def test_release() -> None:
    """Asked to stop, the holder lets go, and the next one has it within a retry period."""
    server = Server()
    me, next_one = Candidate(server), Candidate(server, "next")
    play(me, next_one, until=60, at={20.0: lambda: me.lease.stop(0)})

    assert [] == me.lost
    assert 20 <= next_one.gained[0] <= 22.2
    assert not me.lease.holding()
    assert 1 == server.spec["leaseTransitions"] if server.spec else False


def test_api_away() -> None:
    """Without an answer the right to write ends at the renew deadline, then the process."""
    server = Server()
    me = Candidate(server)
    noted: list[bool] = []
    play(
        me,
        at={
            20.05: lambda: setattr(server, "broken", True),
            29.5: held(me, noted),
            30.2: held(me, noted),
        },
    )

    assert [True, False] == noted
    assert 1 == len(me.lost)
    assert 30 <= me.lost[0] <= 38
    assert 0 == server.connections


def test_slow_answer() -> None:
    """The deadline counts from when a renewal was sent: others have seen it since."""
    server = Server()
    me = Candidate(server)
    noted: list[bool] = []
    play(
        me,
        at={
            21: lambda: setattr(server, "slow", 3.5),
            26: lambda: setattr(server, "broken", True),
            31: held(me, noted),
            33: held(me, noted),
        },
    )

    assert [True, False] == noted


def test_short_outage() -> None:
    """An outage shorter than the deadline costs nothing."""
    server = Server()
    me = Candidate(server)
    play(
        me,
        at={
            20.05: lambda: setattr(server, "broken", True),
            24: lambda: setattr(server, "broken", False),
        },
    )

    assert [] == me.lost
    assert len(server.writes) > 20


def test_a_late_answer_is_waited_for() -> None:
    """A server that needs most of the deadline for one answer has given it in time."""
    server = Server()
    me = Candidate(server)
    play(
        me,
        at={
            20.05: lambda: setattr(server, "late", 7),
            28: lambda: setattr(server, "late", 0),
        },
    )

    assert [] == me.lost
    assert len(server.writes) > 20


@pytest.mark.parametrize("seconds", [2.5, 4.5])
def test_every_answer_is_late(seconds: float) -> None:
    """For minutes: the next try begins soon after an answer, so that one success meets the next."""
    server = Server()
    me = Candidate(server)
    play(me, until=300, at={20.05: lambda: setattr(server, "late", seconds)})

    assert [] == me.lost


def test_pressed() -> None:
    """Others are asked to wait when half of the time is gone, and no more when it is renewed."""
    server = Server()
    me = Candidate(server)
    noted: list[bool] = []
    moments = {float(at): lambda: noted.append(me.lease.pressed()) for at in (21, 24, 26, 29, 31)}
    play(
        me,
        until=60,
        at={
            20.05: lambda: setattr(server, "broken", True),
            **moments,
            29.5: lambda: setattr(server, "broken", False),
        },
    )

    assert [False, False, True, True, False] == noted


def test_lost_answers() -> None:
    """Renewals that are carried out while their answers are lost are recognised as our own."""
    server = Server()
    me = Candidate(server)
    play(
        me,
        at={
            20.05: lambda: setattr(server, "deaf", True),
            25: lambda: setattr(server, "deaf", False),
        },
    )

    assert [] == me.lost
    assert len(server.writes) > 20


def test_stolen() -> None:
    """A record with another holder ends it at the next renewal."""
    server = Server()
    me = Candidate(server)
    play(me, at={20.5: lambda: server.touch(holderIdentity="thief")})

    assert 1 == len(me.lost)
    assert me.lost[0] <= 22.2


def test_namesake() -> None:
    """Two living processes of one identity: the one that was there first ends."""
    server = Server()
    me, twin = Candidate(server), Candidate(server)

    twin_life = twin.live
    twin.live = lambda: _after(20.5, twin_life)  # type: ignore[method-assign]
    play(me, twin)

    assert [20.5] == twin.gained
    assert 1 == len(me.lost)
    assert me.lost[0] <= 22.7
    assert [] == twin.lost


async def _after(seconds: float, work: Callable[[], Any]) -> None:
    await asyncio.sleep(seconds)
    await work()


def test_deleted() -> None:
    """A lease that somebody deletes is made again by its holder."""
    server = Server()
    me = Candidate(server)
    play(me, at={20.5: lambda: setattr(server, "spec", None)})

    assert [] == me.lost
    assert server.spec is not None


def test_stuck_main_loop() -> None:
    """A main loop that has been silent for long loses the lease; another may go on."""
    server = Server()
    me = Candidate(server, stuck_after_seconds=20)
    next_one = Candidate(server, "next")
    play(me, next_one, until=120, at={30.5: lambda: setattr(me, "beats", False)})

    assert 1 == len(me.lost)
    assert 50 < me.lost[0] < 64
    assert 1 == len(next_one.gained)
    assert next_one.gained[0] > me.lost[0]


def test_busy_main_loop() -> None:
    """A main loop that blocks for less than that keeps it."""
    server = Server()
    me = Candidate(server, stuck_after_seconds=20)
    play(
        me,
        until=120,
        at={30.5: lambda: setattr(me, "beats", False), 45: lambda: setattr(me, "beats", True)},
    )

    assert [] == me.lost


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_clock_steps(skew: float) -> None:
    """A step of the wall clock neither loses the lease nor wins one."""
    server = Server()
    me, next_one = Candidate(server), Candidate(server, "next")
    play(
        me,
        next_one,
        until=120,
        at={
            20.0: lambda: setattr(me, "skew", skew),
            40.0: lambda: setattr(next_one, "skew", -skew),
        },
    )

    assert [] == me.lost
    assert [] == next_one.gained


def test_never_two() -> None:
    """Through an outage of one of them, never do two hold at the same moment."""
    server = Server()
    me, next_one = Candidate(server), Candidate(server, "next")
    both: list[float] = []

    def look() -> None:
        if me.lease.holding() and next_one.lease.holding():
            both.append(me.now())

    async def unreachable(request: Request) -> bytes:
        if me.now() > 20:
            await asyncio.sleep(request.timeout_seconds)
            raise errors.Unavailable("partition")
        return await server.send(request)

    class Cut:
        send = staticmethod(unreachable)
        close = server.close

    async def connect() -> Any:
        server.connections += 1
        return Cut

    me.lease._connect = connect  # noqa: SLF001  a partition of one of two
    play(me, next_one, until=90, at={tenth / 10: look for tenth in range(900)})

    assert [] == both
    assert 1 == len(next_one.gained)
    assert next_one.gained[0] - me.lost[0] < 10


def test_no_connection_at_first() -> None:
    """Without a configuration it goes on trying."""
    server = Server()
    me = Candidate(server)
    tries: list[float] = []

    async def connect() -> Server:
        tries.append(me.now())
        if len(tries) < 3:
            raise errors.Unavailable("no usable configuration")
        return await server.connect()

    me.lease._connect = connect  # noqa: SLF001  the first tries fail
    play(me)

    assert 3 == len(tries)
    assert 1 == len(me.gained)


def test_its_own_thread() -> None:
    """It gains, holds and releases from a thread of its own, in real time."""
    server = Server()
    gained = threading.Event()
    lost: list[bool] = []
    mine = lease.Lease(
        server.connect,
        namespace="ops",
        name="bayplan",
        identity="me",
        on_gain=gained.set,
        on_loss=lambda: lost.append(True),
    )
    mine.start()
    gained.wait(10)
    held_then = mine.holding()
    mine.stop(10)

    assert held_then
    assert not mine.holding()
    assert [] == lost
    assert "" == (server.spec or {})["holderIdentity"]
    assert 0 == server.connections
