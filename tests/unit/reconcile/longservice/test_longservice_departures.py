"""Instances leave the nodes that a Pool gives back, as the plan for all its services says."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model.departures import Departures
from bayplan.model.nodes import DRAINING, ZONE, Taint
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice import rollout
from bayplan.reconcile.longservice.instances import surveyed
from tests.builders import make_node
from tests.pernode import running_on_each
from tests.services import World, make_world

GROUP_BY = {"constraints": [{"key": "zone", "operator": "GroupBy"}]}


def plan(world: World, until: int | None = None, ranks: Any = (), **counts: int) -> None:
    """What the Pool planned: so many leave on each node; `ranks` names nodes, the first first."""
    world.departures = Departures(
        counts, {name: rank for rank, name in enumerate(ranks)}, undecided_until=until
    )


def spread(replicas: int, nodes: int = 3, **spec: Any) -> World:
    """Healthy instances, evenly on the nodes; the later the younger, n0 has the youngest."""
    world = make_world(replicas, nodes, **spec)
    world.settle()
    for index, pod in enumerate(world.standing()):
        node = f"n{nodes - 1 - index % nodes}"
        world.put(replace(pod, node=node, created_at=world.now - 500 + index))
    world.now += 1000
    world.settle()
    return world


def left(world: World) -> dict[str, int]:
    return dict(Counter(pod.node for pod in world.standing()))


def ages(world: World) -> list[int]:
    return sorted(pod.created_at - world.now for pod in world.standing())


def scale(world: World, replicas: int, **spec: Any) -> None:
    world.edit(replicas=replicas, **spec)
    world.settle()


def test_a_surplus_leaves_where_the_plan_says() -> None:
    """Two on n2 and one on n1, though the youngest are on n0."""
    world = spread(9)
    plan(world, n2=2, n1=1)
    scale(world, 6)

    assert {"n0": 3, "n1": 2, "n2": 1} == left(world)


def test_beyond_the_plan_nodes_that_are_given_back_come_first() -> None:
    """By rank: n1 is given back before n2; on n0 nobody leaves before both are free."""
    world = spread(9)
    plan(world, ranks=["n1", "n2"], n2=1)
    for replicas, expected in (
        (8, {"n0": 3, "n1": 3, "n2": 2}),
        (5, {"n0": 3, "n2": 2}),
        (3, {"n0": 3}),
        (2, {"n0": 2}),
    ):
        scale(world, replicas)
        plan(world, ranks=["n1", "n2"])

        assert expected == left(world)


def test_on_one_node_the_order_of_the_service_decides() -> None:
    """Of the three on n2 the youngest leaves."""
    world = spread(9)
    youngest = max((pod for pod in world.standing() if pod.node == "n2"), key=created)
    plan(world, n2=1)
    scale(world, 8)

    assert youngest.uid not in {pod.uid for pod in world.standing()}


def created(pod: Pod) -> int:
    return pod.created_at


def test_a_plan_of_nodes_that_are_gone_changes_nothing() -> None:
    stale, plain = spread(9), spread(9)
    plan(stale, ranks=["gone", "also"], gone=5)
    for world in (stale, plain):
        scale(world, 5)

    assert ages(plain) == ages(stale)


def test_oldest_first_is_obeyed_before_the_plan() -> None:
    """A person says who leaves; among those of one age the plan decides."""
    oldest = {"scaleDown": {"order": "OldestFirst"}}
    world = spread(9, **oldest)
    gone = sorted(world.standing(), key=created)[:2]
    plan(world, n0=2)
    scale(world, 7, **oldest)

    assert not {pod.uid for pod in gone} & {pod.uid for pod in world.standing()}

    for pod in world.standing():
        world.put(replace(pod, created_at=world.now - 100))
    world.hear()
    scale(world, 5, **oldest)
    assert 1 == left(world)["n0"]


def test_the_plan_comes_before_the_emptiest_node() -> None:
    emptiest = {"scaleDown": {"order": "EmptiestFirst"}}
    world = spread(9, **emptiest)
    world.fullness = {"n0": 1, "n1": 2, "n2": 3}.__getitem__
    plan(world, n2=1)
    scale(world, 7, **emptiest)

    assert {"n0": 2, "n1": 3, "n2": 2} == left(world)


def test_who_is_not_healthy_leaves_before_the_plan() -> None:
    """And counts as one of those that were to leave on its node."""
    world = spread(9)
    sick = [pod for pod in world.standing() if pod.node in {"n0", "n2"}]
    for pod in (sick[0], sick[-1]):
        world.put(replace(pod, ready=False, ready_since=world.now))
    world.hear()
    plan(world, n2=1)
    world.edit(replicas=6)
    world.act()

    gone = {delete.uid for delete in world.last.deletes}
    assert gone >= {sick[0].uid, sick[-1].uid}
    assert 1 == sum(pod.uid in gone and pod.node == "n2" for pod in sick)


def test_one_that_is_not_healthy_leaves_instead_of_a_planned_one() -> None:
    world = spread(9)
    sick = min((pod for pod in world.standing() if pod.node == "n0"), key=created)
    world.put(replace(sick, ready=False, ready_since=world.now))
    world.hear()
    plan(world, ranks=["n2"], n2=1)
    world.edit(replicas=8)

    assert [sick.uid] == [delete.uid for delete in world.act().deletes]


def test_even_shares_come_before_the_plan() -> None:
    """All of the surplus would leave zone a; the zones stay even, each on its ranked node."""
    world = make_world(8, nodes=0, placement=GROUP_BY)
    for index, zone in enumerate("aabb"):
        world.nodes[f"n{index}"] = make_node(f"n{index}", labels={ZONE: zone})
    world.settle()
    for index, pod in enumerate(world.standing()):
        world.put(replace(pod, node=f"n{index % 4}"))
    world.settle()
    plan(world, ranks=["n1", "n3"], n1=2, n0=2)
    world.edit(replicas=4, placement=GROUP_BY)
    world.settle()

    assert {"n0": 2, "n2": 2} == left(world)


class TestWaitingForThePlan:
    def surplus(self, **spec: Any) -> World:
        world = spread(6, **spec)
        plan(world, until=world.now + 5)
        return world

    def test_healthy_instances_wait_and_the_clock_ends_it(self) -> None:
        """Not a second longer; the operator says when to look again."""
        world = self.surplus()
        world.edit(replicas=4)
        world.act()

        assert () == world.last.deletes
        assert world.now + 5 == world.last.wake_at

        world.now += 5
        assert 2 == len(world.act().deletes)

    def test_who_is_not_healthy_leaves_at_once(self) -> None:
        world = self.surplus()
        sick = world.standing()[0]
        world.put(replace(sick, ready=False, ready_since=world.now))
        world.hear()
        world.edit(replicas=4)

        assert [sick.uid] == [delete.uid for delete in world.act().deletes]

    def test_a_service_without_a_surplus_is_not_woken(self) -> None:
        world = self.surplus()
        world.act()

        assert world.last.wake_at is None

    def test_nobody_waits_at_zero(self) -> None:
        world = self.surplus()
        world.edit(replicas=0)

        assert 6 == len(world.act().deletes)

    def test_nobody_waits_in_a_rollout(self) -> None:
        """The old ones leave as fast as ever; the surplus of the rollout too."""
        waiting, plain = self.surplus(), spread(6)
        for world in (waiting, plain):
            world.edit(replicas=4, image="web:2")
            for _ in range(3):
                world.work()
                world.hear()
                world.act()

        assert len(plain.standing()) == len(waiting.standing())
        assert plain.last.deletes or plain.writes == waiting.writes

    @pytest.mark.parametrize(("trouble", "surplus"), [("silent", 4), ("gone", 2)])
    def test_nobody_waits_while_a_node_is_lost(self, trouble: str, surplus: int) -> None:
        world = self.surplus()
        if trouble == "silent":
            world.silence("n1")
            world.hear()
        else:
            world.remove("n1")
        world.edit(replicas=2)

        assert surplus == sum(delete.why == "surplus" for delete in world.act().deletes)

    def test_moves_off_a_leaving_node_go_on(self) -> None:
        """Its instances need no plan; the other surplus waits."""
        world = self.surplus()
        world.cordon("n1")
        world.edit(replicas=2)
        world.act()

        assert {rollout.MOVED} == {delete.why for delete in world.last.deletes}
        assert {"n1"} == {
            pod.node
            for pod in world.pods.values()
            if pod.uid in {delete.uid for delete in world.last.deletes}
        }


def test_a_rollout_takes_old_instances_off_ranked_nodes_first() -> None:
    """Healthy old ones; n2 is free before the oldest or youngest would have made it so."""
    strategy = {"minimumHealthyPercent": 67, "maximumSurgePercent": 0}
    world = spread(9, updateStrategy=strategy)
    plan(world, ranks=["n1", "n2"])
    world.edit(image="web:2", updateStrategy=strategy)
    world.act()
    gone = {delete.uid for delete in world.last.deletes}
    world.hear()

    assert 2 == len(gone)
    assert {"n1"} == {pod.node for pod in world.pods.values() if pod.uid in gone}


def test_a_restart_takes_instances_off_ranked_nodes_first() -> None:
    world = spread(6, updateStrategy={"minimumHealthyPercent": 80, "maximumSurgePercent": 0})
    plan(world, ranks=["n1"])
    world.annotate(**{names.RESTARTED_AT: "t1"})
    world.act()
    gone = {delete.uid for delete in world.last.deletes}

    assert ["n1"] == [pod.node for pod in world.pods.values() if pod.uid in gone]


def test_the_sick_on_ranked_nodes_are_replaced_first() -> None:
    """Although another is sick for longer."""
    rules = {"unhealthy": {"replaceAfterSeconds": 10, "maxConcurrent": 1}}
    world = spread(6, **rules)
    for node, since in (("n0", 90), ("n1", 50)):
        pod = next(pod for pod in world.standing() if pod.node == node)
        world.put(replace(pod, ready=False, ready_since=world.now - since))
    world.hear()

    assert {"n0"} == sick(world)
    plan(world, ranks=["n1"])
    assert {"n1"} == sick(world)


def sick(world: World) -> set[str]:
    """The nodes whose sick instances would be replaced now."""
    book = surveyed(
        world.visible(),
        world.nodes,
        world.now,
        revision="",
        min_ready=0,
        replace_after=60,
        departures=world.departures,
        unhealthy_after=10,
    )
    return {world.visible()[key].node for key in book.longest_sick(1)}


def test_small_steps_of_several_services_free_the_ranked_nodes_together() -> None:
    """HPA takes one instance here and one there; nobody leaves n1 before n3 and n2 are free."""
    order = ["n3", "n2", "n1"]
    services = [spread(20, 4), spread(12, 4), spread(8, 4)]
    for world in services:
        plan(world, ranks=order)
    sizes = [20, 12, 8]
    for step in range(3 * 6):
        which = step % 3
        if sizes[which] > 2:
            sizes[which] -= 1
            services[which].edit(replicas=sizes[which])
            services[which].settle()
        for world, size in zip(services, sizes, strict=True):
            assert size == len(world.standing())
            free = [name for name in order if name not in left(world)]
            assert order[: len(free)] == free

    assert [{"n0": 5, "n1": 5, "n2": 4}, {"n0": 3, "n1": 3}, {"n0": 2}] == [
        left(world) for world in services
    ]


def test_a_scale_down_from_twenty_one_by_one_leaves_the_first_node_first() -> None:
    """n2 has 7 instances: it is free after 7 steps, n1 after 7 more; then age decides."""
    world = spread(20)
    plan(world, ranks=["n2", "n1"])
    first = left(world)
    for replicas in range(19, 5, -1):
        scale(world, replicas)
        used = left(world)
        gone = 20 - replicas
        assert max(0, first["n2"] - gone) == used.get("n2", 0)
        assert min(first["n1"], first["n1"] + first["n2"] - gone) == used.get("n1", 0)


MOVING = (Taint(DRAINING, "moving"),)


class TestNodesThatPodsAreMovedOff:
    """`bayplan.dev/draining=moving` is as any other sign that a node goes."""

    @pytest.mark.parametrize("draining", [["n0"], ["n0", "n1"], ["n0", "n1", "n2"]])
    def test_no_instance_goes_before_its_replacement_is_healthy(self, draining: list[str]) -> None:
        """However many nodes at once: never fewer healthy ones than replicas."""
        world = spread(9)
        world.nodes["n9"] = make_node("n9")
        for name in draining:
            world.nodes[name] = replace(world.nodes[name], taints=MOVING)
        for _ in range(60):
            world.act()
            shown = world.visible().values()
            assert 9 <= sum(pod.ready and not pod.terminating for pod in shown)
            assert all(delete.evict for delete in world.last.deletes)
            world.work()
            world.hear()

        assert 9 == len(world.standing())
        assert not {pod.node for pod in world.standing()} & set(draining)

    def test_instances_with_volumes_stay(self) -> None:
        """Nobody can run beside them; whoever drains the node has to end them."""
        volumes = [
            {
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        ]
        world = make_world(3, volumeClaimTemplates=volumes)
        world.settle()
        self.drained(world)

    def test_instances_of_each_node_stay(self) -> None:
        self.drained(running_on_each(3))

    def drained(self, world: World) -> None:
        before = {pod.uid for pod in world.standing()}
        for name, node in world.nodes.items():
            world.nodes[name] = replace(node, taints=MOVING)
        for _ in range(5):
            world.act()
            assert () == world.last.deletes
            assert () == world.last.tasks
        assert before == {pod.uid for pod in world.standing()}
