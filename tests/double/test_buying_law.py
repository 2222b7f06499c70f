"""Whatever is lost between us and the API server: each order is stored once, and counts once."""

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bayplan.cluster.transport import Request
from bayplan.model import intents
from tests.double.bodies import encoded
from tests.double.test_node_writes import CLAIM, TAKEN, Buyer
from tests.double.test_writer import BUSY, GONE, ODD
from tests.double.transport import Answer, NoAnswer

NAMES = ("c1", "c2", "c3")
FAULTS = ("lost", "lost but stored", "busy", "odd", "")


class Server:
    """Stores claims and shows them `lag` seconds later; `faults` befall its answers in turn.

    The first claim of a name ends by itself `ends` seconds after it is stored, as an order that the
    cloud refuses; the name is used again then.
    """

    def __init__(self, desk: Buyer, faults: list[str], lag: float, ends: dict[str, float]) -> None:
        self.desk, self.faults, self.lag, self.ends = desk, faults, lag, ends
        self.objects: dict[str, Any] = {}
        self.version = 100
        self.stored: list[tuple[str, str]] = []  # name, number of the order
        self.shown_to_end: set[tuple[str, str]] = set()
        self.told: dict[tuple[str, str], list[str | None]] = {}
        desk.double.reply("create", CLAIM, self.create)
        desk.double.reply("get", CLAIM, self.get)

    def order(self, name: str, number: str = "1") -> None:
        told = self.told[name, number] = []
        labels = {"bayplan.dev/pool": "batch", "order": number}
        body = {"metadata": {"name": name, "labels": labels}}
        self.desk.writer.launch(intents.LaunchNode("batch", body), told.append)

    def create(self, request: Request) -> Answer | NoAnswer:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost":
            return NoAnswer(after=1)
        if fault in {"busy", "odd"}:
            return BUSY if fault == "busy" else ODD
        body = json.loads(request.body or b"")
        name = body["metadata"]["name"]
        answer = TAKEN if name in self.objects else self._store(name, body)
        return NoAnswer(after=0.3) if fault else answer

    def get(self, request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        return Answer(encoded(self.objects[name])) if name in self.objects else GONE

    def _store(self, name: str, body: Any) -> Answer:
        order = name, body["metadata"]["labels"]["order"]
        assert order not in self.shown_to_end, "it was known to have come and gone"
        self.version += 1
        self.stored.append(order)
        about = {"uid": f"uid-{name}-{self.version}", "resourceVersion": str(self.version)}
        made = {**body, "kind": CLAIM, "metadata": {**body["metadata"], **about}}
        self.objects[name] = made
        later = asyncio.get_running_loop().call_later
        later(self.lag, self.desk.see, CLAIM, made)
        if name in self.ends:
            later(self.ends.pop(name), self._end, order, about["uid"])
        return Answer(encoded(made))

    def _end(self, order: tuple[str, str], uid: str) -> None:
        name = order[0]
        del self.objects[name]
        self.version += 1
        version = self.version

        def show() -> None:
            self.shown_to_end.add(order)
            self.desk.cache.delete(CLAIM, ("", name), uid, version)
            if name not in self.desk.pools.claims:
                self.order(name, "2")

        asyncio.get_running_loop().call_later(self.lag, show)


@given(
    st.lists(st.sampled_from(FAULTS), max_size=12),
    st.floats(0, 3),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 5)),
)
def test_each_order_counts_once(faults: list[str], lag: float, ends: dict[str, float]) -> None:
    """In the end we know exactly what is stored, and each order was answered once."""
    refused = set(ends)
    desk = Buyer()
    server = Server(desk, faults, lag, ends)

    def act() -> None:
        for name in NAMES:
            server.order(name)

    desk.work(act, seconds=600)
    assert {1} == {len(words) for words in server.told.values()}
    known = {name: one.uid for name, one in desk.pools.claims.items()}
    assert {name: one["metadata"]["uid"] for name, one in server.objects.items()} == known
    assert not any(one.assumed for one in desk.pools.claims.values())
    assert [] == desk.reports.refusals + desk.reports.defects
    assert {one.name for one in desk.pools.gone} <= refused
    for name in {*NAMES} - refused:
        assert (1, [None]) == (server.stored.count((name, "1")), server.told[name, "1"])
    again = [order for order in server.told if order[1] == "2"]
    assert [[None]] * len(again) == [server.told[order] for order in again]
