"""Who goes when there are too many, and groups that stay even."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model import node as nodes_
from bayplan.reconcile import instances
from tests.builders import NOON, make_node, make_pod
from tests.services import World, make_world

GROUP_BY = {"constraints": [{"key": "zone", "operator": "GroupBy"}]}


def make_zoned(counts: list[int]) -> instances.Instances:
    """Healthy instances, so many in each zone, the later the younger."""
    nodes = {
        f"n{zone}": make_node(f"n{zone}", labels={nodes_.ZONE: f"z{zone}"})
        for zone in range(len(counts))
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
        balance=nodes_.ZONE,
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
        zone = {nodes_.ZONE: f"z{index}"}
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
