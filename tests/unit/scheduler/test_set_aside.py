"""A defect of ours in any stage of a cycle sets one thing aside; all else is placed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.model import intents, resources, snapshot
from bayplan.model.pods import ANYWHERE, Constraints, Owner, Pod
from bayplan.model.workloads import Backlog, Fault
from bayplan.placement.solve import Policy, solve
from bayplan.scheduler import deciders, inbox, set_aside
from tests.builders import NOON, make_class, make_node, make_pod, make_snapshot, make_waiting
from tests.unit.scheduler.test_loop import Notebook, Scene


class Trap(tuple[Any, ...]):
    """Empty, and whoever looks inside meets an error: a defect planted where it is read."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        raise ZeroDivisionError


class TrapLabels(dict[str, str]):
    def items(self) -> Any:
        raise ZeroDivisionError


class TrapRequest(resources.Vector):
    """An amount that can be placed but not told."""

    def items(self) -> Any:
        raise ZeroDivisionError


class Trapped(Notebook):
    """A writer that trips over whatever is called `bad`."""

    def _look(self, name: str) -> None:
        if name.startswith("bad"):
            raise ZeroDivisionError

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        self._look(resource.name)
        super().create(resource, planned, body)

    def bind(self, wanted: intents.Bind) -> None:
        self._look(wanted.name)
        super().bind(wanted)

    def mark(self, wanted: intents.MarkUnschedulable) -> None:
        self._look(wanted.name)
        super().mark(wanted)


def errors_of(scene: Scene) -> float:
    found = scene.metrics.registry.get_sample_value("bayplan_reconcile_errors_total")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "more",
    [
        {"constraints": Constraints(host_ports=Trap())},
        {"constraints": Constraints(spread=Trap())},
        {"constraints": Constraints(claims=Trap())},
        {"constraints": Constraints(pod_anti_affinity=Trap())},
        {"labels": TrapLabels()},
        {"annotations": None},  # how long it lasts is read from them
        {"request": TrapRequest({"cpu": 9_000_000, "pods": 1})},
    ],
    ids=["ports", "spread", "volumes", "anti-affinity", "labels", "annotations", "explain"],
)
def test_a_pod_at_which_placing_trips_stops_no_other(more: Mapping[str, Any]) -> None:
    """Grouping, filters, rules, volumes, the sentence: the other pod is bound, the cycle ends."""
    scene = Scene()
    scene.node()
    owner = Owner("Job", "j", "j")
    scene.see("Pod", "bad", make_pod("bad", owner=owner, **more))
    scene.see("Pod", "good", make_pod("good"))
    scene.look()

    assert ["good"] == [bound.name for bound in scene.notes.bound]
    assert 1.0 == errors_of(scene)


def test_what_was_set_aside_is_tried_again_after_a_while() -> None:
    """Not in each cycle, which would fill the log; its pod says why, so that no node is bought."""
    scene = Scene()
    scene.node()
    bad = make_pod("bad", constraints=Constraints(host_ports=Trap()))
    scene.see("Pod", "bad", bad)
    for _ in range(3):
        scene.look()

    assert 1.0 == errors_of(scene)
    assert {"SchedulerError"} == {marked.reason for marked in scene.notes.marked}
    assert 1.0 == scene.metrics.registry.get_sample_value("bayplan_set_aside")

    scene.clock.wall += set_aside.DEFECT_SECONDS
    scene.loop.cycle(inbox.Batch(frozenset(), placement=False))  # nothing rang
    assert 2.0 == errors_of(scene)

    scene.see("Pod", "bad", replace(bad, constraints=ANYWHERE))
    scene.clock.wall += set_aside.DEFECT_SECONDS
    scene.look()
    assert ["bad"] == [bound.name for bound in scene.notes.bound]


@pytest.mark.parametrize("planned", [{}, {"n1": 1}, {"n1": 2}])
def test_half_of_a_class_that_trips_is_taken_back(planned: dict[str, int]) -> None:
    """One of two had landed when the sentence for the other tripped: its room is the next one's.

    The same if it had landed by plan.
    """
    bad = replace(
        make_class(priority=9), request=TrapRequest({"cpu": 3000, "memory": 1 << 30, "pods": 1})
    )
    good = make_class(cpu=4000)
    plan = solve(
        make_snapshot(make_node(cpu=4000)),
        [make_waiting(bad, 2, "bad"), make_waiting(good, 1, "good")],
        NOON,
        Policy(),
        planned=Backlog(shares={bad: planned}),
    )

    assert {("default", "good-0"): "n1"} == plan.placements
    assert ["solve"] == [fault.stage for fault in plan.faults]
    assert [True] == [refused.funnel.defect for refused in plan.refused]


def test_a_share_at_which_we_trip_does_not_count() -> None:
    """Its class is placed by score if that works; here it is set aside."""
    bad = replace(make_class(), constraints=Constraints(pod_anti_affinity=Trap()))
    plan = solve(
        make_snapshot(make_node()),
        [make_waiting(bad, 1, "bad"), make_waiting(make_class(), 1, "good")],
        NOON,
        Policy(),
        planned=Backlog(shares={bad: {"n1": 1}}),
    )

    assert {("default", "good-0"): "n1"} == plan.placements
    assert ["share", "solve"] == [fault.stage for fault in plan.faults]


def test_a_daemonset_at_which_we_trip_gets_no_room_and_stops_nothing() -> None:
    """Room for its pods cannot be told; that of the others is kept."""

    def daemons(name: str, cpu: int, constraints: Constraints) -> snapshot.DaemonSet:
        request = resources.Vector({"cpu": cpu, "pods": 1})
        return snapshot.DaemonSet("default", name, f"uid-{name}", request, constraints)

    trap = daemons("bad", 1000, Constraints(selector=Trap()))
    sound = daemons("good", 1000, ANYWHERE)
    made = make_snapshot(make_node(cpu=4000), trap, sound)
    plan = solve(made, [make_waiting(make_class(cpu=1000), 4)], NOON, Policy())

    assert 3 == len(plan.placements)
    assert [("daemonset", "default/bad")] == [(one.stage, one.what) for one in plan.faults]


def test_a_hold_at_which_we_trip_is_given_up() -> None:
    """What else waits is placed."""

    class TrapAmount(resources.Vector):
        def amount(self, resource: str) -> int:
            raise ZeroDivisionError(resource)

    run = make_pod("run", "n1", cpu=3000, owner_kind="Job", owner_uid="j")
    run = replace(run, request=TrapAmount(run.request))
    large = make_waiting(make_class(cpu=4000), 1, "large", since=NOON - 300)
    small = make_waiting(make_class(cpu=100), 1, "small", lasts=60)
    plan = solve(
        make_snapshot(make_node(cpu=4000), run),
        [large, small],
        NOON,
        Policy(),
        holds={("default", "large-0"): "n1"},
    )

    assert {("default", "small-0"): "n1"} == plan.placements
    assert ["hold"] == [fault.stage for fault in plan.faults]


def trips(resource: Resource, *rest: Any) -> intents.Outcome:
    if resource.name == "bad":
        raise ZeroDivisionError
    return deciders.DECIDERS[names.LONGSERVICE](resource, *rest)


def trips_late(resource: Resource, *rest: Any) -> intents.Outcome:
    """What is decided is sound but for the labels of its tasks."""
    outcome = deciders.DECIDERS[names.LONGSERVICE](resource, *rest)
    if resource.name == "good":
        return outcome
    return replace(outcome, tasks=tuple(replace(one, labels=None) for one in outcome.tasks))


@pytest.mark.parametrize("decide", [trips, trips_late])
def test_a_resource_at_which_we_trip_says_so(decide: Callable[..., intents.Outcome]) -> None:
    """Ready is False with the reason; what else its status said stays; others are decided."""
    scene = Scene(deciders={names.LONGSERVICE: decide})
    scene.node()
    scene.service("bad", replicas=1)
    scene.service("good", replicas=1)
    scene.look()
    [told] = [
        one.status["conditions"]
        for one in scene.notes.outcomes
        if one.status is not None and one.status["conditions"][0]["reason"] == "OperatorDefect"
    ]

    assert ["good"] == [
        planned.owner.name for planned, _ in scene.notes.created.values() if planned.owner
    ]
    assert [("Ready", "False")] == [(one["type"], one["status"]) for one in told]
    assert "ZeroDivisionError" in told[0]["message"] or "AttributeError" in told[0]["message"]
    assert 1.0 == errors_of(scene)


@pytest.mark.parametrize("room", [4000, 0], ids=["placed", "no-room"])
def test_a_pod_whose_write_trips_stops_no_other(room: int) -> None:
    """Creates, bindings and marks: one at a time, and the resource says what became of its pod."""
    scene = Scene()
    scene.write_to(Trapped())
    scene.node(cpu=room)
    for name in ("bad", "good"):
        scene.service(name, replicas=1)
        scene.see("Pod", f"{name}-guest", make_pod(f"{name}-guest"))
    scene.look()
    owners = {planned.owner.name for planned, _ in scene.notes.created.values() if planned.owner}
    scene.clock.wall += 15
    scene.look()
    told = [
        one.status["placement"]["refusals"][0]["reason"]
        for one in scene.notes.outcomes
        if one.status is not None and one.status.get("placement")
    ]

    assert {"good"} == owners
    assert {"good-guest"} == {one.name for one in (*scene.notes.bound, *scene.notes.marked)}
    assert 2.0 == errors_of(scene)
    assert "OperatorDefect" in told
    assert not any(key[1].startswith("bad") for key in scene.cache.state.assumed)


def test_a_cycle_that_trips_as_a_whole_is_done_again() -> None:
    """No one thing is to blame: nothing is decided, the process lives, all is tried again."""
    scene = Scene()
    scene.node()
    good = True

    def eligible(_: object) -> bool:
        if not good:
            raise ZeroDivisionError
        return True

    scene.cache.state.eligible = eligible
    scene.service("web", replicas=1)
    good = False
    scene.look()

    assert not scene.notes.created
    assert 1.0 == errors_of(scene)

    good = True
    scene.clock.wall += set_aside.DEFECT_SECONDS
    scene.loop.cycle(inbox.Batch(frozenset(), placement=False))
    assert 1 == len(scene.notes.created)


def test_an_edited_resource_is_tried_at_once() -> None:
    """What a class is set aside for may be gone in the next generation."""
    scene = Scene()
    found = set_aside.SetAside(scene.cache, scene.metrics)
    service = scene.service("web", replicas=1)
    kind = replace(make_class(), workload=f"{names.LONGSERVICE}/default/web")
    waiting = make_waiting(kind)
    found.put([Fault("solve", "x", ZeroDivisionError(), waiting)], NOON)

    assert ([], [waiting]) == found.parted([waiting], NOON)
    scene.cache.resources[service.key] = replace(service, generation=service.generation + 1)
    assert ([waiting], []) == found.parted([waiting], NOON)
