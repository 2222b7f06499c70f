"""What a consolidation asks and plans, case by case."""

from bayplan.provisioning.consolidation_question import question
from tests.consolidation_scenes import given_back, moves, planned, pool_node, scene, settled


def test_a_node_whose_pods_have_room_elsewhere_is_given_back() -> None:
    """The small node costs more than the two moves."""
    found = planned(
        scene(
            pool_node("big", 8000),
            pool_node("small", 2000),
            settled("a", "big"),
            settled("b", "big"),
            settled("c", "small", 500),
        )
    )

    assert {"small"} == given_back(found)
    assert {"c": "big"} == moves(found)
    (group,) = found.groups
    assert (100_000, 2000) == (group.saving, group.cost)


def test_nothing_to_do_where_every_node_is_full() -> None:
    found = planned(
        scene(
            pool_node("a", 2000),
            pool_node("b", 2000),
            settled("x", "a", 2000),
            settled("y", "b", 2000),
        )
    )

    assert () == found.groups


def test_no_node_no_question() -> None:
    assert question(scene(pool_node("a", ready=False))) is None
