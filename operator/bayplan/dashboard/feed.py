"""Differences for the pages that are open: numbered, coalesced, and kept for a while.

A page that was away for a moment gets what it missed; after a longer absence, or if it is too slow,
it is told to fetch a snapshot.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from bayplan.dashboard.history import History
from bayplan.dashboard.store import MONEY_SECONDS, Store
from bayplan.reports.board.tables import COLUMNS

TICK_SECONDS = 0.5
MOST_KEPT = 240  # differences: two minutes of a busy cluster


@dataclass(frozen=True, slots=True)
class Difference:
    number: int
    data: bytes  # JSON


class Feed:
    """`run_id` names this process: versions of another one mean nothing here."""

    def __init__(
        self, store: Store, history: History, run_id: str, wall: Callable[[], float]
    ) -> None:
        self._store, self._history, self._run_id = store, history, run_id
        self._wall = wall
        self._kept: deque[Difference] = deque(maxlen=MOST_KEPT)
        self._number = 0
        self._changed = asyncio.Event()
        self._grown = asyncio.Condition()
        self.recorder: Callable[[bytes], None] = lambda _data: None

    def note(self) -> None:
        """The store has news."""
        self._changed.set()

    @property
    def version(self) -> str:
        return f"{self._run_id}-{self._number}"

    def snapshot(self, at: int | None = None) -> bytes:
        """Everything that is known, as JSON; a difference that follows is applied to it."""
        del at  # it is always the present
        whole = {
            "version": self.version,
            "columns": COLUMNS,
            "tables": self._store.tables,
            "complete": self._store.complete,
        }
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()

    async def run(self) -> None:
        """Publish what has changed, at most twice a second, until cancelled."""
        while True:
            wait = MONEY_SECONDS if self._store.owes else None
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            await self.publish()
            await asyncio.sleep(TICK_SECONDS)

    async def publish(self) -> None:
        """Bring the tables up to date and tell every page."""
        delta = self._store.refresh()
        self._history.sample(self._wall(), self._store.tables)
        if not delta:
            return
        self._number += 1
        change = {"version": self.version, "tables": delta, "complete": self._store.complete}
        data = json.dumps(change, separators=(",", ":"), ensure_ascii=False).encode()
        self._kept.append(Difference(self._number, data))
        self.recorder(data)
        async with self._grown:
            self._grown.notify_all()

    async def since(self, version: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Differences after a version, as they come: (version, JSON).

        An empty JSON says that the page has to fetch a snapshot; nothing follows it.
        """
        run, _, number = version.rpartition("-")
        at = int(number) if run == self._run_id and number.isdecimal() else -1
        while True:
            if not 0 <= at <= self._number or (self._kept and at < self._kept[0].number - 1):
                yield self.version, b""
                return
            for one in list(self._kept):
                if one.number == at + 1:
                    at = one.number
                    yield f"{self._run_id}-{at}", one.data
            if at == self._number:
                async with self._grown:
                    await self._grown.wait_for(lambda: self._number > at)  # noqa: B023
