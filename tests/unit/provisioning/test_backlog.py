"""A backlog's question, and its answer as a wish of the operator's own placing."""

from collections.abc import Callable

import numpy as np
import pytest

from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import HOSTNAME, ZONE, Node, Taint
from bayplan.model.pods import HostPort, PodTerm, Toleration
from bayplan.model.snapshot import DaemonSet, Snapshot
from bayplan.model.workloads import NO_BACKLOG, Backlog, PlacementRules, Plan, Strategy, Waiting
from bayplan.optimizer import existing_nodes
from bayplan.optimizer.problem import Budget
from bayplan.placement.solve import Memo, Policy, solve
from bayplan.provisioning import backlog
from bayplan.provisioning.prices import price_of
from tests.builders import (
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_vector,
    make_waiting,
)

SHAPES = ((8000, 16, 340_000), (8000, 32, 384_000), (8000, 64, 504_000), (16_000, 64, 768_000))


def cluster(*more: object, **fields: object) -> Snapshot:
    """Empty nodes of four shapes with more room than the backlog needs."""
    nodes = [
        make_node(f"n{index:02}", cpu, memory, price_microdollars=price, **fields)
        for index in range(48)
        for cpu, memory, price in (SHAPES[index % 4],)
    ]
    return make_snapshot(*nodes, *more)  # type: ignore[arg-type]


def waits(**more: object) -> list[Waiting]:
    """Three hundred tasks of five unlike sizes."""
    sizes = ((250, 2), (500, 1), (1000, 1), (1000, 6), (3000, 4))
    counts = (100, 80, 60, 40, 20)
    return [
        make_waiting(make_class(cpu, memory=memory, **more), count, name=f"t{cpu}-{memory}")
        for (cpu, memory), count in zip(sizes, counts, strict=True)
    ]


def asked(
    frozen: Snapshot, waiting: list[Waiting], price: Callable[[Node], int | None] = price_of
) -> backlog.Question | None:
    return (
        backlog.question(frozen, waiting, Memo(), price)
        if backlog.may_pay(frozen, waiting)
        else None
    )


def planned(frozen: Snapshot, waiting: list[Waiting]) -> Backlog:
    found = asked(frozen, waiting)
    assert found is not None
    use = existing_nodes.used(found.pool, found.demand, found.request, Budget(rounds=3))
    wish = found.answered(use)
    assert wish is not None
    return wish


def cost(frozen: Snapshot, plan: Plan) -> int:
    used = set(plan.placements.values())
    return sum(node.price_microdollars or 0 for node in frozen.nodes if node.name in used)


def test_a_planned_backlog_costs_less_than_by_score_alone() -> None:
    """All is placed both times; with the plan on cheaper nodes."""
    frozen, waiting = cluster(), waits()
    plain = solve(frozen, waiting, NOON, Policy())
    better = solve(frozen, waiting, NOON, Policy(), planned=planned(frozen, waiting))

    assert not plain.refused
    assert not better.refused
    assert cost(frozen, better) < cost(frozen, plain)


def test_a_plan_of_nodes_that_are_gone_changes_nothing() -> None:
    """Names that nobody has are no wish."""
    frozen, waiting = cluster(), waits()
    kinds = {group.kind: {"gone": 5} for group in waiting}
    stale = Backlog(frozenset({"gone"}), kinds)

    plain = solve(frozen, waiting, NOON, Policy(), planned=NO_BACKLOG).placements
    assert plain == solve(frozen, waiting, NOON, Policy(), planned=stale).placements


def test_classes_of_one_size_are_one_shape_and_get_their_own_shares() -> None:
    """As many of each class as wait, whichever nodes the shape got."""
    jobs = [
        make_waiting(make_class(500, labels={"job": str(index)}), 2 + index % 3, name=f"j{index}")
        for index in range(120)
    ]
    frozen = cluster()
    found = asked(frozen, jobs)

    assert found is not None
    assert [sum(len(job.keys) for job in jobs)] == found.demand.tolist()
    shares = planned(frozen, jobs).shares
    assert [len(job.keys) for job in jobs] == [sum(shares[job.kind].values()) for job in jobs]


@pytest.mark.parametrize(
    ("waiting", "price"),
    [
        (waits()[3:], price_of),
        (waits(), lambda _: None),
        (waits(extended={"x/gpu": 1}), price_of),
        (waits(selector={ZONE: "nowhere"}), price_of),
        (waits(preferred=((1, make_term(size="1")),)), price_of),
        (waits(host_ports=(HostPort(80),)), price_of),
        (waits(pod_anti_affinity=(PodTerm(make_term(app="x"), HOSTNAME),)), price_of),
        (waits(claims=("disk",)), price_of),
        (waits(placement=PlacementRules(gang=True)), price_of),
        (waits(placement=PlacementRules(strategy=Strategy.SPREAD)), price_of),
        (
            waits(
                placement=PlacementRules(
                    constraints=(PlaceConstraint(HOSTNAME, Operator.MAX_PER, "2"),)
                )
            ),
            price_of,
        ),
        ([make_waiting(make_class(9000, memory=70), 300)], price_of),
        ([make_waiting(make_class(1000), 481)], price_of),
    ],
)
def test_asking_does_not_pay(waiting: list[Waiting], price: Callable[[Node], int | None]) -> None:
    """Few tasks without ties, an unknown price, tasks that no node takes, too little room."""
    assert asked(cluster(), waiting, price) is None


def test_one_size_on_nodes_of_one_kind_is_placed_by_score() -> None:
    """There is nothing to choose; zones make no difference."""
    nodes = [make_node(f"n{i}", zone="ab"[i % 2], price_microdollars=9) for i in range(99)]
    waiting = [make_waiting(make_class(500), 300)]

    assert asked(make_snapshot(*nodes), waiting) is None
    other = make_node("m", 8000, price_microdollars=9)
    assert asked(make_snapshot(*nodes, other), waiting) is not None


def test_few_empty_nodes_are_not_worth_a_question() -> None:
    """Seven could be given back."""
    pods = [make_pod(f"p{index:02}", f"n{index:02}", 16_000) for index in range(48)]

    few = waits()[:2]
    assert asked(cluster(*pods[:40]), few) is not None
    assert asked(cluster(*pods[:41]), few) is None


def test_what_fits_on_nodes_in_use_is_not_worth_a_question() -> None:
    """The score opens no node for it, or two or three."""
    sizes = [make_pod(f"p{index:02}", f"n{index:02}", 100) for index in range(48)]

    assert asked(cluster(*sizes[:30]), waits()) is None
    assert asked(cluster(*sizes[:4]), waits()) is not None


def test_an_answer_that_saves_nothing_is_no_wish() -> None:
    """By score it costs no more."""
    found = asked(cluster(), waits())
    assert found is not None
    dear = np.zeros((len(found.nodes), len(found.demand)), np.int64)
    dear[:, 0] = 1

    assert found.answered(existing_nodes.Use(dear, found.demand - dear.sum(axis=0), 0, 0)) is None


def test_hundreds_of_sizes_are_planned_too() -> None:
    """Similar sizes are asked as one; each class still lands as often as it waits, for less."""
    dice = np.random.default_rng(5)
    waiting = [
        make_waiting(
            make_class(int(dice.integers(100, 2000)), memory=int(dice.integers(1, 6))),
            1,
            f"own{index}",
        )
        for index in range(250)
    ]
    frozen = cluster()
    found = asked(frozen, waiting)
    plain = solve(frozen, waiting, NOON, Policy())
    better = solve(frozen, waiting, NOON, Policy(), planned=planned(frozen, waiting))

    assert found is not None
    assert len(found.demand) <= 32
    assert not better.refused
    assert cost(frozen, better) < cost(frozen, plain)


def test_a_node_in_use_costs_nothing_more() -> None:
    """It is paid in any case, whether its price is known or not."""
    found = asked(cluster(make_pod("p", "n05")), waits())

    assert found is not None
    assert ["n05"] == [
        name for name, price in zip(found.nodes, found.pool.price, strict=True) if not price
    ]


def test_room_of_daemonsets_to_come_is_kept() -> None:
    """The plan must not count on it."""
    found = asked(cluster(DaemonSet("kube-system", "agent", "ds", make_vector(500))), waits())

    assert found is not None
    assert 7500 == found.pool.free[0, 0]


def test_nodes_that_a_task_would_rather_not_have_are_no_part_of_the_question() -> None:
    """A PreferNoSchedule taint: only by score, and last."""
    soft = (Taint("slow", effect="PreferNoSchedule"),)

    assert asked(cluster(taints=soft), waits()) is None
    tolerant = waits(tolerations=(Toleration("slow", "Exists"),))
    assert asked(cluster(taints=soft), tolerant) is not None
