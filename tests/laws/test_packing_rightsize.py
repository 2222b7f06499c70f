"""Laws of right-sized pods: every pod on one node that can hold it, cost and bound in order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.problem import Budget
from bayplan.optimizer.rightsize import rightsized


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 4))
def test_no_node_holds_more_than_its_type_has(seed: int, pods: int, types: int) -> None:
    """Loads, prices and the bound are right; a pod without a node fits no type."""
    dice = np.random.default_rng(seed)
    request = np.clip(dice.lognormal(3, 1, (pods, 3)), 1, 900).astype(np.int64)
    capacity, price = dice.integers(50, 800, (types, 3)), dice.integers(1, 1000, types) * 1000
    plan = rightsized(request, capacity, price, Budget(rounds=3), seed)
    placed = plan.node >= 0
    load = np.zeros((len(plan.types), 3), np.int64)
    np.add.at(load, plan.node[placed], request[placed])
    fits = (request[:, None, :] <= capacity).all(axis=2).any(axis=1)

    assert fits.tolist() == placed.tolist()
    assert (load <= capacity[plan.types]).all()
    assert load.any(axis=1).all()
    assert plan.bound <= plan.cost == int(price[plan.types].sum())
