"""Laws of using an existing pool: what each node has is what it gives, and the bound holds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer import existing_nodes, fill
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector

Case = tuple[existing_nodes.Pool, IntVector, IntMatrix, IntVector]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to 12 nodes, alike or all different, some paid anyway; up to 4 classes."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    kinds = dice.integers(5, 40, (3, 2))
    free = kinds[dice.integers(0, 3, nodes)]
    if draw(st.booleans()):
        free = dice.integers(-3, 40, (nodes, 2))
    price = dice.integers(0, 4, nodes) * 1000
    may = dice.random((classes, nodes)) < 0.8 if draw(st.booleans()) else None
    demand, request = dice.integers(0, 20, classes), dice.integers(0, 12, (classes, 2))
    request[:, 1] += 1
    return existing_nodes.Pool(free, price, may), demand, request, dice.integers(1, 6, classes)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_use_keeps_room_eligibility_and_caps(case: Case) -> None:
    """No node gives more than it has or takes whom it may not; every pod is counted once."""
    nodes, demand, request, per_node = case
    use = existing_nodes.used(nodes, demand, request, Budget(rounds=4), per_node=per_node)
    load = use.counts @ request
    touched = use.counts.any(axis=1)

    assert (load[touched] <= np.maximum(nodes.free[touched], 0)).all()
    assert (use.counts <= per_node).all()
    assert nodes.may is None or not (use.counts[~nodes.may.T]).any()
    assert demand.tolist() == (use.counts.sum(axis=0) + use.unplaced).tolist()
    assert int(nodes.price[touched].sum()) == use.cost


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_bound_is_below_every_use(case: Case) -> None:
    """Neither the plan nor the quick fill, where it places the same pods, costs less."""
    nodes, demand, request, per_node = case
    use = existing_nodes.used(nodes, demand, request, Budget(rounds=4), per_node=per_node)
    free = np.maximum(nodes.free, 0)
    quick = fill.placed(free, request, demand, nodes.price, may=nodes.may, per_node=per_node)
    quick_cost = int(nodes.price[quick.any(axis=1)].sum())

    assert use.bound <= use.cost
    if (quick.sum(axis=0) >= demand - use.unplaced).all():
        assert use.bound <= quick_cost
    assert use.unplaced.sum() <= (demand - quick.sum(axis=0)).sum()
