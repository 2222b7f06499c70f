"""Which room a group of nodes needs that waits for what was ordered for it."""

from bayplan.model.departures import Move, Vacating
from bayplan.provisioning.consolidation.scene import Group
from bayplan.scheduler.consolidation.pursued import Pursued, intended
from tests.builders import make_class

KIND = make_class(cpu=300)


def pursued(*claims: str) -> Pursued:
    """Three pods of two nodes move to `big`, to what is ordered, and to `big` again."""
    targets = {"a": ("big", "~0"), "b": ("big",)}
    vacatings = tuple(
        Vacating(
            node,
            f"uid-{node}",
            1000,
            tuple(
                Move(("default", f"{node}{n}"), "u", "o", KIND, to) for n, to in enumerate(there)
            ),
        )
        for node, there in targets.items()
    )
    return Pursued("g", Group(vacatings, (), 1000, 0), claims=claims)


def test_other_plans_do_not_count_on_room_that_a_group_needs() -> None:
    """On nodes that are there; what was ordered is held in another way."""
    assert {KIND: {"big": 2}} == intended([pursued("claim")], ()).held


def test_pods_that_have_begun_to_move_hold_their_room_themselves() -> None:
    assert {KIND: {"big": 1}} == intended([pursued("claim")], {"uid-a"}).held


def test_a_group_that_may_still_be_replaced_keeps_no_room() -> None:
    """Nothing was ordered for it, so that the next plan decides anew."""
    assert {} == intended([pursued()], ()).held
