"""A plan becomes writes, and each pod is counted on before its write is known."""

from collections.abc import Mapping
from typing import Any

from bayplan.api.resource import Resource
from bayplan.model.companions import read
from bayplan.model.pods import DEFECTIVE, Pod
from bayplan.model.reasons import Funnel, Reason, Refusal
from bayplan.model.workloads import Plan, Refused, TaskKey, Waiting
from bayplan.scheduler.commit import Patience
from bayplan.scheduler.wanted import Wanted
from tests.builders import make_pod
from tests.unit.scheduler.test_loop import NOON, Notebook, Scene


class Refusing(Notebook):
    """A writer to which nothing can be handed over."""

    def create(self, _: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        raise RuntimeError(f"the writer is broken: {planned.name}, {len(body)}")


def wanted_of(scene: Scene, name: str = "web") -> dict[TaskKey, Wanted]:
    """The tasks that a service's reconcile function asks for."""
    service = scene.service(name, replicas=1)
    return {
        (one.resource.namespace, one.task.name): one
        for one in scene.loop.reconciler.look(service.key, NOON)
    }


def refused(key: TaskKey, wanted: Wanted, reason: Reason) -> Refused:
    funnel = Funnel(1, (Refusal(reason, "", 1),))
    return Refused(Waiting(wanted.kind, (key,)), (key,), funnel)


def test_a_pod_is_counted_on_before_its_write_is_known() -> None:
    scene = Scene()
    scene.node()
    [(key, one)] = wanted_of(scene).items()

    lost = scene.loop.commit.carry_out(Plan({key: "n1"}), {key: one}, (), NOON, 1)

    assert [] == lost
    assert "n1" == scene.cache.state.pods[key].node
    assert [key[1]] == list(scene.notes.created)


def test_what_cannot_be_handed_over_is_not_counted_on() -> None:
    """The key is returned, so that its resource says so; nothing stays assumed."""
    scene = Scene()
    scene.node()
    scene.write_to(Refusing())
    [(key, one)] = wanted_of(scene).items()

    lost = scene.loop.commit.carry_out(Plan({key: "n1"}), {key: one}, (), NOON, 1)

    assert [key] == lost
    assert key not in scene.cache.state.pods


def test_what_has_no_room_is_made_without_a_node() -> None:
    """Autoscalers buy for pods that exist; not for instances that a node of their own brings."""
    scene = Scene()
    [(key, one)] = wanted_of(scene).items()
    plan = Plan(refused=(refused(key, one, Reason.RESOURCES),))

    scene.loop.commit.carry_out(plan, {key: one}, {one.resource.key}, NOON, 1)
    assert not scene.notes.created

    scene.loop.commit.carry_out(plan, {key: one}, (), NOON, 2)
    [(planned, body)] = scene.notes.created.values()
    assert ("", None) == (planned.node, body["spec"].get("nodeName"))


def test_a_class_with_a_defect_gets_no_pods() -> None:
    scene = Scene()
    [(key, one)] = wanted_of(scene).items()

    plan = Plan(refused=(refused(key, one, Reason.DEFECT),))
    scene.loop.commit.carry_out(plan, {key: one}, (), NOON, 1)

    assert not scene.notes.created


def test_a_plain_pod_is_bound_or_told_why_not() -> None:
    scene = Scene()
    scene.node()
    for name in ("lands", "waits"):
        scene.see("Pod", name, make_pod(name))
    [(_, one)] = wanted_of(scene).items()
    waits = ("default", "waits")
    plan = Plan({("default", "lands"): "n1"}, (refused(waits, one, Reason.RESOURCES),))

    scene.loop.commit.carry_out(plan, {}, (), NOON, 1)

    assert [("lands", "n1")] == [(bind.name, bind.node) for bind in scene.notes.bound]
    [mark] = scene.notes.marked
    assert ("waits", "Unschedulable") == (mark.name, mark.reason)
    assert mark.message.startswith("0/1 nodes: 1 insufficient")


def test_an_observer_hands_over_nothing() -> None:
    scene = Scene(acts=False)
    scene.node()
    [(key, one)] = wanted_of(scene).items()

    scene.loop.commit.carry_out(Plan({key: "n1"}), {key: one}, (), NOON, 1)

    assert scene.notes.silent
    assert key not in scene.cache.state.pods


def test_a_pod_stays_as_it_is_while_nobody_knows_who_buys_for_it() -> None:
    """Right after the start it says nothing new; a moment later it is looked at again."""
    scene = Scene()
    scene.node(cpu=50)
    scene.see("Pod", "waits", make_pod("waits", cpu=100))
    scene.loop.commit.patience = lambda _: Patience(unknown=True)
    scene.look()
    unsaid, again_at = list(scene.notes.marked), scene.loop.commit.patience_ends
    scene.loop.commit.patience = lambda _: Patience(None, "Pool b buys a node for it.")
    scene.look()

    assert [] == unsaid
    assert again_at == scene.clock.now() + 1
    assert ["WaitingForNode"] == [one.reason for one in scene.notes.marked]


def test_a_bad_annotation_is_no_call_for_an_autoscaler() -> None:
    """The pod says which field is wrong, with a reason for which nobody buys a node."""
    scene = Scene()
    scene.node()
    bad = read('{"cpu": "1", "memory": "1Gi", "count": 0}')
    scene.cache.state.set_pod(make_pod("driver", companions=bad))
    scene.look()
    [marked] = scene.notes.marked

    assert DEFECTIVE == marked.reason
    assert "annotation bayplan.dev/companions: count must be a whole number" in marked.message
