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

    A claim ends by itself `ends` seconds after it is stored, as an order that the cloud refuses.
    """

    def __init__(self, desk: Buyer, faults: list[str], lag: float, ends: dict[str, float]) -> None:
        self.desk, self.faults, self.lag, self.ends = desk, faults, lag, ends
        self.objects: dict[str, Any] = {}
        self.version = 100
        self.stored: list[str] = []
        self.shown_to_end: set[str] = set()
        desk.double.reply("create", CLAIM, self.create)
        desk.double.reply("get", CLAIM, self.get)

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
        assert name not in self.shown_to_end, "it was known to have come and gone"
        self.version += 1
        self.stored.append(name)
        about = {"uid": f"uid-{name}-{self.version}", "resourceVersion": str(self.version)}
        made = {**body, "kind": CLAIM, "metadata": {**body["metadata"], **about}}
        self.objects[name] = made
        later = asyncio.get_running_loop().call_later
        later(self.lag, self.desk.see, CLAIM, made)
        if name in self.ends:
            later(self.ends[name], self._end, name, about["uid"])
        return Answer(encoded(made))

    def _end(self, name: str, uid: str) -> None:
        del self.objects[name]
        self.version += 1
        version = self.version

        def show() -> None:
            self.shown_to_end.add(name)
            self.desk.cache.delete(CLAIM, ("", name), uid, version)

        asyncio.get_running_loop().call_later(self.lag, show)


@given(
    st.lists(st.sampled_from(FAULTS), max_size=12),
    st.floats(0, 3),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 5)),
)
def test_each_order_counts_once(faults: list[str], lag: float, ends: dict[str, float]) -> None:
    """In the end we know exactly what is stored, and each order was answered once."""
    desk = Buyer()
    server = Server(desk, faults, lag, ends)
    told: dict[str, list[str | None]] = {name: [] for name in NAMES}

    def act() -> None:
        for name in NAMES:
            labels = {"bayplan.dev/pool": "batch"}
            body = {"metadata": {"name": name, "labels": labels}}
            desk.writer.launch(intents.LaunchNode("batch", body), told[name].append)

    desk.work(act, seconds=600)
    assert dict.fromkeys(NAMES, 1) == {name: len(words) for name, words in told.items()}
    known = {name: one.uid for name, one in desk.pools.claims.items()}
    assert {name: one["metadata"]["uid"] for name, one in server.objects.items()} == known
    assert not any(one.assumed for one in desk.pools.claims.values())
    # One that has ended is handed over for each time that it was stored and seen.
    assert {*NAMES} - server.objects.keys() == {one.name for one in desk.pools.gone}
    assert [] == desk.reports.refusals + desk.reports.defects
    for name in NAMES:
        if name not in ends:
            assert (1, [None]) == (server.stored.count(name), told[name])
