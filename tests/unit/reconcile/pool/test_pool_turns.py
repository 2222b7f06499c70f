"""Events of nodes that are to go: each turn is told once."""

from typing import Any

from bayplan.model.nodes import Node, Taint
from bayplan.reconcile.pool import turns
from bayplan.reconcile.pool.facts import Consolidating, LeavingNode
from bayplan.reconcile.pool.turns import Known
from tests.builders import make_node

N1 = LeavingNode("n1", 190_000, runs=3, ends_in=240)
MOVING = Taint("bayplan.dev/draining", "moving")
RETIRING = Taint("bayplan.dev/draining", "retiring")
OPEN, CLOSING = Consolidating(), Consolidating(closing=(N1,))
DRAINING = Consolidating(draining=(LeavingNode("n1", 190_000, moves=2),))


def there(**fields: Any) -> dict[str, Node]:
    return {"n1": make_node("n1", **fields)}


def told(*looks: tuple[Consolidating, dict[str, Node]]) -> list[str]:
    """The reasons of the Events of these looks; at the first one nothing is told."""
    found: list[str] = []
    before: Known | None = None
    for consolidating, nodes in looks:
        now = turns.known(consolidating, nodes, before)
        if before is not None:
            found += [event.reason for _, event in turns.events(before, now, nodes, {})]
        before = now
    return found


def test_the_way_of_a_node() -> None:
    """It closes, is emptied, and is given back when it is empty; each is told once."""
    assert ["NodeClosing", "NodeDraining", "NodeGivenBack"] == told(
        (OPEN, there()),
        (CLOSING, there()),
        (CLOSING, there(closing="p1")),
        (DRAINING, there(closing="p1", taints=(MOVING,))),
        (DRAINING, there(closing="p1", taints=(MOVING,))),
        (OPEN, there(closing="p1", taints=(MOVING,))),  # all have moved; it is not yet fenced
        (OPEN, there(closing="p1", taints=(RETIRING,))),
        (OPEN, {}),
    )


def test_a_node_that_empties_by_itself() -> None:
    """No pod of it moves, so nobody hears of moves."""
    empty = Consolidating(draining=(N1,))

    assert ["NodeClosing", "NodeGivenBack"] == told(
        (OPEN, there()), (CLOSING, there(closing="p")), (empty, there(closing="p")), (OPEN, {})
    )


def test_a_node_that_goes_by_itself() -> None:
    """It is deleted, or is just gone."""
    deleted = (OPEN, there()), (CLOSING, there()), (OPEN, there(deleting=True))
    gone: Any = (OPEN, there()), (CLOSING, there()), (OPEN, {})

    assert ["NodeClosing", "NodeGivenBack"] == told(*deleted) == told(*gone)


def test_a_node_that_takes_pods_again() -> None:
    """Whether it closed or was being emptied."""
    for leaving, first in ((CLOSING, "NodeClosing"), (DRAINING, "NodeDraining")):
        looks: Any = (OPEN, there()), (leaving, there(closing="p")), (OPEN, there())

        assert [first, "NodeReopened"] == told(*looks)


def test_why_a_node_takes_pods_again() -> None:
    """The Event says it, for the next plan may come long before somebody looks."""
    [(_, event)] = turns.events(
        turns.known(CLOSING, there(), {}), {}, there(), {"n1": "somebody has cordoned it"}
    )

    assert (
        "Node n1 takes pods again, and is not given back for now: somebody has cordoned it."
        == event.message
    )


def test_a_node_that_dies_while_its_pods_move() -> None:
    """It was not given back, and two of its pods were there."""
    [(name, event)] = turns.events(turns.known(DRAINING, there(), {}), {}, {}, {})

    assert ("n1", "NodeDied", True) == (name, event.reason, event.warning)
    assert "Node n1 has gone while 2 pods still had to move; they start elsewhere." == event.message


def test_after_a_restart_nothing_is_told_again() -> None:
    """What closes already was told by the process before."""
    assert [] == told((CLOSING, there()), (CLOSING, there()))


def test_the_words_name_the_node_and_what_it_saves() -> None:
    """For `kubectl describe` of the Pool and of the node."""
    nodes = there()
    [(name, event)] = turns.events({}, turns.known(CLOSING, nodes, {}), nodes, {})

    assert ("n1", False) == (name, event.warning)
    assert "Node n1 closes: its 3 runs end in about 4 min; that saves $0.19 an hour." == (
        event.message
    )
    [(_, gone)] = turns.events(turns.known(CLOSING, nodes, {}), {}, {}, {})
    assert "Node n1 is given back; that saves $0.19 an hour." == gone.message
