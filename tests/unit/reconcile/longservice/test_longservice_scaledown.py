"""Who goes when there are too many, and groups that stay even."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model.nodes import ZONE
from bayplan.reconcile.longservice import instances
from tests.builders import NOON, make_node, make_pod
from tests.services import World, make_world

GROUP_BY = {"constraints": [{"key": "zone", "operator": "GroupBy"}]}


def make_zoned(counts: list[int]) -> instances.Instances:
    """Healthy instances, so many in each zone, the later the younger."""
    nodes = {
        f"n{zone}": make_node(f"n{zone}", labels={ZONE: f"z{zone}"}) for zone in range(len(counts))
    }
    pods = [
        make_pod(f"w-{zone}-{index}", f"n{zone}", ready=True, created_at=NOON - 100 + index)
        for zone, count in enumerate(counts)
        for index in range(count)
    ]
    return instances.surveyed(
        {pod.key: pod for pod in pods},
        nodes,
        NOON,
        revision="",
        min_ready=0,
        replace_after=60,
        balance=ZONE,
    )


@given(
    base=st.integers(0, 6), more=st.lists(st.integers(0, 1), min_size=1, max_size=5), data=st.data()
)
@settings(deadline=None)
def test_even_groups_stay_even(base: int, more: list[int], data: st.DataObject) -> None:
    """Groups that differ by one at most still do, however many go."""
    book = make_zoned([base + one for one in more])
    count = data.draw(st.integers(0, len(book.live)))
    gone = {pod.name for pod in book.balanced(book.live, count)}
    left = Counter(pod.node for pod in book.live if pod.name not in gone)
    sizes = [left[f"n{zone}"] for zone in range(len(more))]

    assert count == len(gone)
    assert 1 >= max(sizes) - min(sizes)


def test_the_largest_group_gives_first() -> None:
    """4/2/1: three go from the largest group; at 2/2/1 the order of age and name decides."""
    book = make_zoned([4, 2, 1])

    assert ["w-0-3", "w-0-2", "w-0-1"] == [pod.name for pod in book.balanced(book.live, 3)]


def zoned_world() -> World:
    world = make_world(6, nodes=0, placement=GROUP_BY)
    for index in range(3):
        zone = {ZONE: f"z{index}"}
        world.nodes[f"n{index}"] = replace(make_node(f"n{index}"), labels=zone)
    world.settle()
    return world


def test_scale_down_keeps_zones_even() -> None:
    """6 → 3 over three zones leaves one in each."""
    world = zoned_world()
    world.edit(replicas=3, placement=GROUP_BY)
    world.settle()

    assert {"n0": 1, "n1": 1, "n2": 1} == Counter(pod.node for pod in world.standing())


def test_the_unready_still_go_first() -> None:
    """What serves nobody goes before any balance."""
    world = zoned_world()
    sick = [pod for pod in world.standing() if pod.node == "n0"]
    for pod in sick:
        world.put(replace(pod, ready=False, ready_since=world.now))
    world.hear()
    world.edit(replicas=4, placement=GROUP_BY)
    world.act()

    assert {pod.uid for pod in sick} == {delete.uid for delete in world.last.deletes}
    assert not any(delete.evict for delete in world.last.deletes)


def spread_world(**spec: Any) -> World:
    """Two instances on each of three nodes, of which n1 holds least besides and n2 most."""
    world = make_world(6, nodes=0, **spec)
    world.nodes |= {f"n{index}": make_node(f"n{index}") for index in range(3)}
    world.fullness = {"n0": 500, "n1": 200, "n2": 900}.__getitem__
    world.settle()
    return world


@pytest.mark.parametrize(
    ("replicas", "left"),
    [(5, {"n0": 2, "n1": 1, "n2": 2}), (4, {"n0": 2, "n2": 2}), (2, {"n2": 2}), (1, {"n2": 1})],
)
def test_the_emptiest_node_gets_free(replicas: int, left: dict[str, int]) -> None:
    """EmptiestFirst takes all of one node before any of the next, fuller one."""
    order = {"scaleDown": {"order": "EmptiestFirst"}}
    world = spread_world(**order)
    for pod in world.standing():  # age says the opposite
        world.put(replace(pod, created_at=NOON - 100 - 10 * (pod.node == "n1")))
    world.hear()
    world.edit(replicas=replicas, **order)
    world.settle()

    assert left == Counter(pod.node for pod in world.standing())


def test_of_one_age_the_emptiest_node_gives_first() -> None:
    """YoungestFirst stays what it says; where ages are equal, what is left on the node decides."""
    world = spread_world()
    young = next(pod for pod in world.standing() if pod.node == "n0")
    for pod in world.standing():
        world.put(replace(pod, created_at=NOON - 50 if pod == young else NOON - 100))
    world.hear()
    world.edit(replicas=3)
    world.settle()

    assert young.uid not in {pod.uid for pod in world.standing()}
    assert {"n0": 1, "n2": 2} == Counter(pod.node for pod in world.standing())
