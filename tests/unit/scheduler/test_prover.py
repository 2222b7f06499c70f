"""Where the successors of pods land beside what is held, and where that has no room any more."""

import dataclasses

import pytest

from bayplan.cluster.cache import Cache
from bayplan.model.workloads import NO_BACKLOG, Backlog, PodClass
from bayplan.scheduler.consolidation.prover import Prover
from tests.builders import make_class, make_node, make_pod, make_state
from tests.double.bell import Bell


class _Noon:
    def now(self) -> int:
        return 0


def test_crowded() -> None:
    """Of any resource that a held class asks for; a node that has gone is not crowded."""
    state = make_state(
        make_node("n1", cpu=1000), make_node("n2", cpu=1000, memory=4), make_pod("p", "n2", cpu=600)
    )
    state.set_pod(make_pod("q", "n2", cpu=0, memory=5))  # others have over-committed its memory
    prover = Prover(Cache(state, Bell()), _Noon(), lambda _: {})
    small, big = make_class(cpu=300), make_class(cpu=500, memory=1)

    assert frozenset() == prover.crowded({})
    assert frozenset() == prover.crowded({small: {"n1": 1, "n2": 1}, big: {"n1": 1}})
    assert {"n1"} == prover.crowded({small: {"n1": 2}, big: {"n1": 1}})
    assert {"n2"} == prover.crowded({big: {"n2": 1}})
    assert frozenset() == prover.crowded({big: {"gone": 9}})


@pytest.mark.parametrize("priority", [-1, 0, 1])
@pytest.mark.parametrize("others", ["alike", "of another Pool", "dearer"])
def test_what_is_held_is_for_nobody_else(others: str, priority: int) -> None:
    """Also if the pods are of the same class, or more urgent: `n1` is full with what is held."""
    pod = make_pod("p", "old", cpu=300)
    state = make_state(make_node("n1", cpu=1000), make_node("n2", cpu=1000), pod)
    kind = dataclasses.replace(make_class(cpu=300), priority=priority)
    prover = Prover(Cache(state, Bell()), _Noon(), lambda pods: {one.key: kind for one in pods})
    other = make_class(cpu=300)
    held: dict[PodClass, dict[str, int]] = {other: {"n1": 3}}
    if others == "dearer":
        held = {other: {"n1": 1}, dataclasses.replace(other, priority=2): {"n1": 2}}
    planned = Backlog(held=held).taken() if others == "of another Pool" else NO_BACKLOG
    own = {} if others == "of another Pool" else held

    found = prover.prove([pod], own, {"old"}, targets={pod.key: "n1"}, planned=planned)

    assert ["n2"] == [move.target for move in found.moves]
    nowhere = prover.prove([pod], own, {"old", "n2"}, targets={}, planned=planned)
    assert {pod.key} == nowhere.lacking.keys()
    assert "leaving" in nowhere.lacking[pod.key]
    assert "cooling" not in nowhere.lacking[pod.key]


def test_what_is_planned_is_for_the_pods_themselves() -> None:
    """The room on a node that was bought for them."""
    pod = make_pod("p", "old", cpu=300)
    state = make_state(make_node("new", cpu=300), pod)
    kind = make_class(cpu=300)
    prover = Prover(Cache(state, Bell()), _Noon(), lambda pods: {one.key: kind for one in pods})

    found = prover.prove([pod], {}, {"old"}, targets={}, planned=Backlog(held={kind: {"new": 1}}))

    assert ["new"] == [move.target for move in found.moves]
