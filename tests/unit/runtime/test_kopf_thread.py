"""From kopf's thread into the main loop: the cache is touched in its own loop alone."""

import asyncio
import threading

from bayplan.api import names
from bayplan.cluster import cache
from bayplan.model import state
from bayplan.runtime.kopf_thread import Deliveries
from tests.double import bodies
from tests.double.bell import Bell

WEB = (names.LONGSERVICE, "default", "web")


class Watched(Bell):
    """Remembers in which thread it was rung."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def mark(self, key: tuple[str, str, str]) -> None:
        super().mark(key)
        self.threads.add(threading.get_ident())


def test_deliveries_reach_the_cache_in_its_own_loop() -> None:
    """In the order in which kopf hands them over, whichever thread that is."""
    bell, lists = Watched(), list[int]()
    known = cache.Cache(state.State(), bell)

    async def play() -> None:
        deliveries = Deliveries(known, lambda: lists.append(threading.get_ident()))

        await asyncio.to_thread(deliveries.put, bodies.service(10))
        await asyncio.sleep(0)
        assert {WEB} == known.resources.keys()

        await asyncio.to_thread(deliveries.put, bodies.service(11, generation=2))
        await asyncio.to_thread(deliveries.relisted)
        await asyncio.to_thread(deliveries.drop, WEB, known.resources[WEB].uid)
        await asyncio.sleep(0)

    asyncio.run(play())

    assert not known.resources
    assert {threading.get_ident()} == bell.threads
    assert [threading.get_ident()] == lists


def test_a_late_delete_of_a_former_object_drops_nothing() -> None:
    """Its uid is another one."""
    known = cache.Cache(state.State(), Bell())

    async def play() -> None:
        deliveries = Deliveries(known, lambda: None)
        await asyncio.to_thread(deliveries.put, bodies.service(10))
        await asyncio.to_thread(deliveries.drop, WEB, "a former one")
        await asyncio.sleep(0)

    asyncio.run(play())

    assert {WEB} == known.resources.keys()
