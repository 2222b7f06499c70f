"""What is bought for many distinct requests: close to the bound, whatever else the classes ask."""

import dataclasses

import numpy as np

from bayplan.optimizer.bound import hardest
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.provision import provision
from bayplan.optimizer.purchase import FEW_CLASSES, purchase


def many(classes: int, copies: int = 1) -> Problem:
    """Classes of all sizes on three types of node, dearer than in proportion when small."""
    dice = np.random.default_rng(7)
    cpu = np.clip(dice.lognormal(np.log(500), 1.0, classes), 50, 7000)
    memory = np.clip(cpu * dice.lognormal(np.log(3), 0.7, classes), 64, 30_000)
    return Problem.of(
        np.full(classes, copies),
        np.column_stack((cpu, memory)).astype(np.int64),
        np.array([[8_000, 15_000], [8_000, 30_000], [8_000, 62_000]]),
        np.array([340_000, 384_000, 504_000]),
    )


def test_three_hundred_sizes_cost_little_more_than_they_must() -> None:
    """Within 5 % of the bound in a few rounds."""
    bought = purchase(many(300), Budget(rounds=20))

    assert len(bought.node) == 300
    assert bought.cost <= 1.05 * bought.bound


def test_between_few_and_many_the_cheaper_plan_counts() -> None:
    """Never dearer than the patterns, and the bound is the higher one."""
    asked = many(FEW_CLASSES + 6, copies=1)
    bought = purchase(asked, Budget(rounds=2))
    by_patterns = provision(asked, Budget(rounds=2))

    assert bought.bound >= by_patterns.bound
    assert bought.bound <= bought.cost <= by_patterns.cost


def test_few_classes_are_bought_by_patterns() -> None:
    """The same nodes, pod by pod."""
    asked = many(5, copies=40)
    bought, packing = purchase(asked, Budget(rounds=6)), provision(asked, Budget(rounds=6))
    held = [[content[kind] for kind in range(5)] for _, content in bought.contents()]

    assert (packing.cost, packing.bound) == (bought.cost, bought.bound)
    assert np.repeat(packing.patterns, packing.nodes, axis=0).tolist() == held


def test_the_hardest_class_says_what_must_be_paid_at_least() -> None:
    """The largest pod needs a whole node of a type that holds it; what fits none does not count."""
    asked = Problem.of(
        np.array([5, 1, 1, 0]),
        np.array([[1], [7], [90], [8]]),
        np.array([[4], [8], [16]]),
        np.array([10, 18, 40]),
    )

    assert hardest(asked) == 18


def test_many_classes_that_want_nodes_without_their_like_share_them_with_others() -> None:
    """One of each class on a node: kept, and hardly dearer than without it."""
    free = many(200, copies=3)
    asked = dataclasses.replace(free, per_node=np.ones(200, np.int64))
    bought = purchase(asked, Budget(rounds=30))

    assert len(bought.node) == 600
    assert all(max(content.values()) == 1 for _, content in bought.contents())
    assert bought.cost <= 1.1 * bought.bound
