"""What the running pods cost and what they should."""

import asyncio

import numpy as np
import pytest

from bayplan.model import state
from bayplan.model.nodes import Node
from bayplan.model.pods import Constraints, Pod
from bayplan.optimizer import existing_nodes
from bayplan.optimizer.problem import Budget
from bayplan.optimizer.provision import provision
from bayplan.provisioning import appraisal
from bayplan.runtime.solver_process import SolverProcess
from tests.builders import make_node, make_pod

HOUR = 100_000  # microdollars


def of(*things: Node | Pod) -> appraisal.Appraisal | None:
    book = state.State()
    for thing in things:
        if isinstance(thing, Node):
            book.set_node(thing)
        else:
            book.set_pod(thing)
    frozen = book.snapshot()
    demand = appraisal.movable(frozen, frozen.nodes)
    return appraisal.appraisal(frozen, demand, lambda node: node.price_microdollars)


def priced(name: str, **more: object) -> Node:
    return make_node(name, price_microdollars=HOUR, **more)


def test_half_empty_nodes_cost_twice_what_they_must() -> None:
    """Two nodes each half full cost two; the bound says that one would do."""
    found = of(priced("n1"), priced("n2"), make_pod("a", "n1", 2000), make_pod("b", "n2", 2000))
    assert found is not None
    answer = provision(found.question, Budget(rounds=3))

    assert (2 * HOUR, HOUR) == (found.cost, answer.bound)


def test_an_empty_node_costs_nothing() -> None:
    """Only nodes in use count: an empty one can go."""
    found = of(priced("n1"), priced("n2"), make_pod("a", "n1", 2000))

    assert found is not None
    assert HOUR == found.cost


def test_daemons_are_room_lost_not_demand() -> None:
    """What a DaemonSet takes is neither movable nor room for others."""
    daemon = make_pod("d", "n1", 500, owner_uid="ds", owner_kind="DaemonSet")
    found = of(priced("n1"), daemon, make_pod("a", "n1", 1000))

    assert found is not None
    assert [1] == found.question.demand.tolist()
    assert 3500 == found.question.capacity[0, 0]


def test_kinds_of_node_are_told_apart_by_labels_not_by_name() -> None:
    """Twins are one type; a pod that selects a label may use only the kind that has it."""
    gpu = priced("n3", labels={"disk": "ssd"})
    picky = make_pod("a", "n3", 1000, constraints=Constraints(selector=(("disk", "ssd"),)))
    found = of(priced("n1"), priced("n2"), gpu, picky, make_pod("b", "n1", 1000))

    assert found is not None
    assert 2 == len(found.question.price)
    assert [1, 2] == sorted(found.question.eligible.sum(axis=1).tolist())


@pytest.mark.parametrize("things", [(), (make_node("n1"),), (make_node(), make_pod("a", "n1"))])
def test_nothing_to_compare_gives_no_answer(things: tuple[Node | Pod, ...]) -> None:
    """No node, no pod or no price: silence is better than a made-up figure."""
    assert of(*things) is None


def test_equal_questions_have_equal_digests() -> None:
    """An unchanged cluster is not asked about again."""
    things = (priced("n1"), make_pod("a", "n1", 1000))
    first, again = of(*things), of(*things)
    other = of(*things, make_pod("b", "n1", 1000))
    assert first
    assert again
    assert other

    assert first.digest == again.digest
    assert first.digest != other.digest


def test_the_worker_answers_and_survives_its_own_death() -> None:
    """Arrays go to the worker process and come back; a killed one is replaced.

    It answers what to buy, and which of the existing nodes to use: here the cheaper of two.
    """
    found = of(priced("n1"), make_pod("a", "n1", 1000))
    assert found is not None

    pool = existing_nodes.Pool(np.array([[2], [2]]), np.array([9, 5]))

    async def asked() -> list[int]:
        worker = SolverProcess()
        try:
            first = await worker.ask(found.question, 0.2)
            worker.end_process()
            lost = await worker.ask(found.question, 0.2)
            again = await worker.ask(found.question, 0.2)
            use = await worker.use(pool, np.array([2]), np.array([[1]]), 0.2)
        finally:
            worker.close()
        assert lost is None
        assert use is not None
        assert [[0], [2]] == use.counts.tolist()
        return [answer.bound for answer in (first, again) if answer]

    assert [HOUR, HOUR] == asyncio.run(asked())
    assert np.int64 is found.question.demand.dtype.type
