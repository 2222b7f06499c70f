"""Law D2: a snapshot with the differences that follow is a fresh snapshot."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.cluster.wire import Seen
from bayplan.dashboard.feed import Feed
from bayplan.dashboard.history import History
from bayplan.dashboard.store import MONEY_SECONDS, MOST_DECISIONS, Store
from bayplan.model.pods import Phase
from bayplan.reports.board.tables import COLUMNS, applied
from tests.builders import NOON, make_node, make_pod

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["pod", "node", "delete", "relist", "refresh", "pass", "refuse"]),
        st.integers(0, 4),
        st.integers(0, 3),
    ),
    max_size=40,
)


def seen(kind: str, name: str, version: int, value: Any) -> Seen:
    return Seen("default" if kind == "Pod" else "", name, f"uid-{name}", version, value)


class World:
    """A store that is told things, and the tables of a page that follows it."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.store = Store(lambda: NOON, lambda: self.clock)
        self.page: Mapping[str, Mapping[str, Any]] = {name: {} for name in COLUMNS}
        self.version = 0

    def act(self, act: str, which: int, how: int) -> None:
        self.version += 1
        name = f"x{which}"
        match act:
            case "pod":
                phase = Phase.SUCCEEDED if how == 3 else Phase.RUNNING
                pod = make_pod(name, f"x{how}" if how else "", phase=phase)
                self.store.upsert("Pod", seen("Pod", name, self.version, pod))
            case "node":
                node = make_node(name, cpu=1000 * (1 + how), price_microdollars=100 * how)
                self.store.upsert("Node", seen("Node", name, self.version, node))
            case "delete":
                kind = ("Pod", "Node")[how % 2]
                key = ("default" if kind == "Pod" else "", name)
                self.store.delete(kind, key, f"uid-{name}", self.version)
            case "relist":
                self.store.retain("Pod", {("default", f"x{one}") for one in range(which)}, 0)
                self.store.sync("Pod")
            case "refuse":
                self.store.lack("Pod", f"no rights {how}", forget=how == 1)
            case "pass":
                self.clock += MONEY_SECONDS
            case "refresh":
                self.refresh()

    def refresh(self) -> None:
        # As the page gets it: through JSON.
        delta = json.loads(json.dumps(self.store.refresh()))
        self.page = applied(self.page, delta)

    def fresh(self) -> Any:
        return json.loads(json.dumps(self.store.tables))


@given(ACTS)
def test_differences_add_up_to_a_fresh_snapshot(acts: list[tuple[str, int, int]]) -> None:
    world = World()
    for act in acts:
        world.act(*act)
    world.clock += MONEY_SECONDS
    world.refresh()

    assert world.fresh() == world.page


@given(ACTS)
def test_the_tables_are_those_of_what_is_there(acts: list[tuple[str, int, int]]) -> None:
    """However it came about: a store that is told only the end has the same tables."""
    world, other = World(), World()
    for act in acts:
        world.act(*act)
    for node in world.store.nodes:
        other.store.upsert("Node", seen("Node", node.name, 1, node))
    pods = [one for one in world.store.pods if not one.terminal]
    for pod in pods:
        other.store.upsert("Pod", seen("Pod", pod.name, 1, pod))
    for one in (world, other):
        one.clock += MONEY_SECONDS
        one.refresh()

    for name in ("nodes", "pods", "waste", "costs"):
        assert other.fresh()[name] == world.fresh()[name], name


def test_what_may_not_be_seen_any_more_costs_nothing() -> None:
    world = World()
    for act in (("node", 1, 1), ("pod", 1, 1), ("refresh", 0, 0), ("refuse", 0, 1), ("pass", 0, 0)):
        world.act(*act)
    world.refresh()

    assert ({}, {}) == (world.page["pods"], world.page["costs"])


def test_an_older_sight_is_no_news() -> None:
    world = World()
    new, old = make_pod("web", "n1"), make_pod("web", "n2")
    world.store.upsert("Pod", seen("Pod", "web", 7, new))

    assert not world.store.upsert("Pod", seen("Pod", "web", 6, old))


@pytest.mark.parametrize("part", ["spec", "status"])
@pytest.mark.parametrize("odd", [None, [], "x", 7, {"conditions": "x", "history": 7}])
def test_an_odd_object_hides_no_other(part: str, odd: Any) -> None:
    """A bundle that somebody edited need not be valid."""
    world = World()
    for number, name in enumerate(("odd", "fine")):
        body = {"metadata": {"namespace": "default", "name": name, "uid": name}, "spec": {}}
        body |= {part: odd} if name == "odd" else {}
        world.store.upsert("BatchJob", Seen("default", name, name, number + 1, body))
    world.refresh()

    assert "default/fine" in world.page["jobs"]
    assert (
        "default/odd" in world.page["jobs"] or "default/odd" in world.page["lacks"]["BatchJob"][1]
    )


def test_the_oldest_decisions_are_forgotten() -> None:
    world = World()
    for number in range(2 * MOST_DECISIONS + 50):
        body = {"regarding": {"kind": "Pool", "name": str(number)}, "reason": "Bought"}
        event = Seen("default", f"e{number}", "", number + 1, body)
        world.store.upsert("Event", event)
    world.refresh()

    names = {row[COLUMNS["decisions"].index("name")] for row in world.page["decisions"].values()}
    assert str(2 * MOST_DECISIONS + 49) in names
    assert MOST_DECISIONS <= len(names) <= 2 * MOST_DECISIONS


async def _changes(feed: Feed, version: str, count: int) -> list[tuple[str, bytes]]:
    found = []
    source = feed.since(version)
    async with asyncio.timeout(5):
        async for one in source:
            found.append(one)
            if len(found) == count:
                break
    await source.aclose()
    return found


def test_a_page_that_was_away_gets_what_it_missed() -> None:
    async def tale() -> None:
        world = World()
        feed = Feed(world.store, History(), "run", lambda: NOON)
        begun = feed.version
        for number in range(3):
            world.act("pod", number, 1)
            await feed.publish()

        assert ["run-1", "run-2", "run-3"] == [one for one, _ in await _changes(feed, begun, 3)]
        assert ["run-3"] == [one for one, _ in await _changes(feed, "run-2", 1)]

    asyncio.run(tale())


def test_a_page_of_another_server_or_of_long_ago_begins_anew() -> None:
    async def tale() -> None:
        world = World()
        feed = Feed(world.store, History(), "run", lambda: NOON)
        for number in range(300):
            world.act("node", number % 5, number % 4)
            await feed.publish()

        for version in ("other-1", "run-2", "run-999", "nonsense", ""):
            assert [b""] == [data for _, data in await _changes(feed, version, 1)], version

    asyncio.run(tale())
