"""One instance on each node in the operator's own cycle: the real filters, rules and building."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bayplan.model.nodes import Node, Taint
from bayplan.scheduler import inbox
from tests.unit.scheduler.test_loop import Scene

PER_NODE = {"mode": "PerNode", "replicas": 1}
TEMPLATE = {
    "spec": {
        "nodeSelector": {"role": "web"},
        "tolerations": [{"key": "ours", "operator": "Exists"}],
        "containers": [{"name": "agent", "image": "agent:1"}],
    }
}


def scene_with(*names: str, **spec: Any) -> Scene:
    scene = Scene()
    for name in names:
        scene.node(name, labels={"role": "web"})
    scene.service(**PER_NODE, template=TEMPLATE, **spec)
    scene.look()
    return scene


def hosts(scene: Scene) -> list[str]:
    return sorted(planned.node for planned, _ in scene.notes.created.values())


def only_nodes_rang(scene: Scene) -> None:
    scene.loop.cycle(inbox.Batch(frozenset(), placement=True))


def test_one_is_born_on_each_node_that_its_template_allows() -> None:
    """Selector, affinity and taints are the packer's own filters."""
    scene = Scene()
    for name in ("a", "b"):
        scene.node(name, labels={"role": "web"})
    scene.node("db", labels={"role": "db"})
    taints = (Taint("theirs", "", "NoSchedule"),)
    scene.node("theirs", labels={"role": "web"}, taints=taints)
    scene.node("ours", labels={"role": "web"}, taints=(Taint("ours", "", "NoSchedule"),))
    scene.node("cordoned", labels={"role": "web"}, unschedulable=True)
    scene.service(**PER_NODE, template=TEMPLATE)
    scene.look()

    assert ["a", "b", "ours"] == hosts(scene)
    assert 3 == scene.notes.outcomes[-1].status["desiredReplicas"]  # type: ignore[index]


def test_constraints_say_which_nodes() -> None:
    scene = Scene()
    for name, zone in (("a", "z1"), ("b", "z2")):
        scene.node(name, labels={"role": "web"}, zone=zone)
    wanted = {"constraints": [{"key": "zone", "operator": "Cluster", "value": "z2"}]}
    scene.service(**PER_NODE, template=TEMPLATE, placement=wanted)
    scene.look()

    assert ["b"] == hosts(scene)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("Like", "2.5|10", ["10", "2.5"]),
        ("Unlike", "1|many", ["10", "2.5", "bare"]),
        ("Is", "10.0", ["10"]),
        ("Cluster", "many", ["many"]),
    ],
)
def test_each_node_is_asked_for_its_own_label(
    operator: str, value: str, expected: list[str]
) -> None:
    """The same nodes as `bayplan simulate` tells (test_simulate_constraints.py)."""
    scene = Scene()
    for size in ("1", "2.5", "10", "many"):
        scene.node(size, labels={"role": "web", "size": size})
    scene.node("bare", labels={"role": "web"})
    wanted = {"constraints": [{"key": "size", "operator": operator, "value": value}]}
    scene.service(**PER_NODE, template=TEMPLATE, placement=wanted)
    scene.look()

    assert expected == hosts(scene)


def test_a_new_node_is_noticed_though_nobody_rings_for_the_service() -> None:
    scene = scene_with("a")
    scene.seen_as_created()
    scene.node("b", labels={"role": "web"})
    only_nodes_rang(scene)

    assert ["a", "b"] == hosts(scene)


def test_nothing_is_created_for_a_node_without_room_until_it_has_some() -> None:
    """A pod that exists would have an autoscaler buy a node, which then wants one too."""
    scene = Scene()
    scene.node("a", labels={"role": "web"})
    full = scene.node("b", labels={"role": "web"}, cpu=50)
    scene.service(**PER_NODE, template=TEMPLATE)
    scene.look()
    scene.seen_as_created()
    scene.clock.wall += 60
    scene.look()
    waits = scene.notes.outcomes[-1].status or {}
    before = hosts(scene)
    scene.see("Node", "b", make_larger(full))
    only_nodes_rang(scene)

    assert ["a"] == before
    assert [] == scene.notes.marked
    assert "1 too small for it even when empty (cpu)" in waits["placement"]["message"]
    assert ["a", "b"] == hosts(scene)


def test_waiting_for_room_is_no_reason_to_look_again_and_again() -> None:
    """The same refusal rings for nobody, or the cycle would never rest."""
    scene = scene_with("a")
    scene.seen_as_created()
    scene.node("b", labels={"role": "web"}, cpu=50)
    for _ in range(3):
        only_nodes_rang(scene)
        scene.clock.wall += 1

    async def rung_by_one_more() -> inbox.Batch:
        await scene.loop.inbox.window(scene.clock.monotonic())
        only_nodes_rang(scene)
        return await scene.loop.inbox.window(scene.clock.monotonic())

    assert frozenset() == asyncio.run(rung_by_one_more()).keys


def test_pods_say_to_others_that_no_two_share_a_node() -> None:
    scene = scene_with("a", "b")
    [body, _] = [body for _, body in scene.notes.created.values()]
    [term] = body["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]

    assert "true" == body["metadata"]["annotations"]["bayplan.dev/per-node"]
    assert "kubernetes.io/hostname" == term["topologyKey"]
    assert {"bayplan.dev/service": "web"} == term["labelSelector"]["matchLabels"]


def make_larger(node: Node) -> Node:
    return replace(node, allocatable=node.allocatable + node.allocatable)
