"""Laws of many distinct requests: every pod once, nothing over room, cost and bound in order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.problem import UNLIMITED, Budget, Problem
from bayplan.optimizer.purchase import FEW_CLASSES, MANY_CLASSES, purchase
from bayplan.optimizer.rightsize import rightsized


def problem(dice: np.random.Generator, classes: int, types: int, most: int = 3) -> Problem:
    """Classes of any size and number, not all on every type, some only so often on a node."""
    request = np.clip(dice.lognormal(3, 1, (classes, 3)), 1, 900).astype(np.int64)
    return Problem.of(
        dice.integers(0, most + 1, classes),
        request,
        dice.integers(50, 800, (types, 3)),
        dice.integers(1, 1000, types) * 1000,
        eligible=dice.random((classes, types)) < dice.choice([0.6, 1.0]),
        per_node=np.where(dice.random(classes) < 0.2, dice.integers(1, 3, classes), UNLIMITED),
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 4))
def test_no_node_holds_more_than_its_type_has(seed: int, classes: int, types: int) -> None:
    """Room, eligibility, caps, prices and the bound are right; a pod without a node fits none."""
    asked = problem(np.random.default_rng(seed), classes, types)
    plan = rightsized(asked, Budget(rounds=3), seed)
    kind = np.repeat(np.arange(classes), asked.demand)
    placed = plan.node >= 0
    counts = np.zeros((len(plan.types), classes), np.int64)
    np.add.at(counts, (plan.node[placed], kind[placed]), 1)

    assert asked.placeable()[kind].tolist() == placed.tolist()
    assert asked.holds(plan.types, counts).all()
    assert counts.any(axis=1).all()
    assert plan.bound <= plan.cost == int(asked.price[plan.types].sum())


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5, FEW_CLASSES, 100, MANY_CLASSES, 300]))
def test_a_purchase_keeps_the_laws_however_many_classes_there_are(seed: int, classes: int) -> None:
    """Every pod that fits some type lands once, on a node that can hold all that is there."""
    asked = problem(np.random.default_rng(seed), classes, 3)
    bought = purchase(asked, Budget(rounds=2), seed)
    counts = np.zeros((len(bought.types), classes), np.int64)
    for node, (of_type, content) in enumerate(bought.contents()):
        assert of_type == bought.types[node]
        for kind, copies in content.items():
            counts[node, kind] = copies

    assert (asked.demand * asked.placeable()).tolist() == counts.sum(axis=0).tolist()
    assert asked.holds(bought.types, counts).all()
    assert bought.bound <= bought.cost == int(asked.price[bought.types].sum())
