"""Lists of the custom kinds: when they are asked for, and what a failure leads to."""

import asyncio

import pytest

from bayplan.api import names
from bayplan.cluster import cache
from bayplan.model import state
from bayplan.runtime.relist import Relister
from tests.double import bodies
from tests.double.bell import Bell
from tests.double.loop import run
from tests.double.transport import Answer, Double, NoAnswer, Reply

INTERVAL = 600.0


def double() -> Double:
    """A server with the LongService `web`, no BatchJobs and no pods of either."""
    transport = Double()
    for kind in (names.BATCHJOB, "Pod"):
        transport.reply("list", kind, Answer(bodies.listed()))
    transport.reply("list", names.LONGSERVICE, Answer(bodies.listed(bodies.service())))
    return transport


def lists_of(transport: Double, kind: str) -> list[float]:
    """When this kind was listed."""
    times = zip(transport.seen, transport.times, strict=True)
    return [time for request, time in times if request.kind == kind]


def played(transport: Double, seconds: float, ask_at: float | None = None) -> cache.Cache:
    """The cache after the relister has run for so long."""
    known = cache.Cache(state.State(), Bell())

    async def play() -> None:
        relister = Relister(transport, known, "", INTERVAL)
        task = asyncio.create_task(relister.run())
        if ask_at is not None:
            asyncio.get_running_loop().call_later(ask_at, relister.ask)
        await asyncio.sleep(seconds)
        task.cancel()

    run(play())
    return known


def test_both_kinds_are_listed_at_the_start_and_at_each_interval() -> None:
    """What kopf missed is known after an interval at the latest."""
    transport = double()

    known = played(transport, 2 * INTERVAL + 1)

    assert {(names.LONGSERVICE, "default", "web")} == known.resources.keys()
    assert [0.0, INTERVAL, 2 * INTERVAL] == lists_of(transport, names.BATCHJOB)
    assert [0.0, INTERVAL, 2 * INTERVAL] == lists_of(transport, names.LONGSERVICE)


def test_who_asks_is_served_after_a_pause() -> None:
    """A moment later, so that the list is no older than kopf's; the next is due after it."""
    transport = double()

    played(transport, INTERVAL + 50, ask_at=100.0)

    assert [0.0, 101.0] == lists_of(transport, names.LONGSERVICE)


def test_a_list_that_fails_is_repeated() -> None:
    """A second later, until it succeeds; the interval begins then."""
    transport = double()
    transport.reply("list", names.BATCHJOB, NoAnswer(), NoAnswer(), Answer(bodies.listed()))

    known = played(transport, INTERVAL)

    assert [0.0, 1.0, 2.0] == lists_of(transport, names.BATCHJOB)
    assert [2.0] == lists_of(transport, names.LONGSERVICE)
    assert known.resources


def test_a_new_leader_sees_the_pods_of_both_kinds_too() -> None:
    """Pods first, by each kind's label; a failure begins it all again."""
    transport = double()
    transport.reply("list", names.LONGSERVICE, NoAnswer(), Answer(bodies.listed()))
    known = cache.Cache(state.State(), Bell())

    async def play() -> float:
        await Relister(transport, known, "", INTERVAL).look_anew()
        return asyncio.get_running_loop().time()

    assert 1.0 == run(play())
    once = ["Pod", "Pod", names.BATCHJOB, names.LONGSERVICE]
    assert once * 2 == [request.kind for request in transport.seen]


CLAIM = {"metadata": {"name": "c1", "uid": "u1", "resourceVersion": "50"}}
FORBIDDEN = Answer(bodies.encoded(bodies.status(403, "Forbidden", "may not list")), 403)
NOT_SERVED = Answer(b"404 page not found\n", 404)


@pytest.mark.parametrize(
    ("first", "claims"),
    [
        (Answer(bodies.listed(CLAIM)), ["c1"]),
        (NoAnswer(), ["c1"]),
        (NOT_SERVED, []),
        (FORBIDDEN, []),
    ],
)
def test_a_new_leader_sees_what_its_predecessor_bought(first: Reply, claims: list[str]) -> None:
    """A claim of the last moment counts before anything is bought; who cannot look still leads."""
    transport = double()
    transport.reply("list", "Pool", Answer(bodies.listed()))
    transport.reply("list", "NodeClaim", first, Answer(bodies.listed(CLAIM)))
    known = cache.Cache(state.State(), Bell())
    run(Relister(transport, known, "", INTERVAL, pools=True).look_anew())

    assert claims == [*known.pools.claims]
    assert {"Pool", "NodeClaim"} < {request.kind for request in transport.seen}
