"""Marathon's arithmetic in whole percents, and each single step of an update."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice import instances, rollout
from tests.builders import NOON, make_node, make_pod

NEW, OLD = "newnewnewn", "oldoldoldo"


def make_fleet(
    *pods: Pod, order: instances.Order = "YoungestFirst", **nodes: Mapping[str, Any]
) -> instances.Instances:
    """The pods sorted, on a node n1 that is well and the named others."""
    known = {
        "n1": make_node("n1"),
        **{name: make_node(name, **more) for name, more in nodes.items()},
    }
    return instances.surveyed(
        {pod.key: pod for pod in pods},
        known,
        NOON,
        revision=NEW,
        min_ready=0,
        replace_after=60,
        order=order,
    )


def make_instances(
    revision: str, count: int, *, ready: bool = True, node: str = "n1", **more: Any
) -> list[Pod]:
    """Instances R-0, R-1 …, the first the oldest; `ready` or still starting."""
    return [
        make_pod(
            f"{revision[:3]}-{index}",
            node,
            labels={names.REVISION: revision},
            ready=ready,
            ready_since=NOON - 100 if ready else None,
            created_at=NOON - 1000 + index,
            **more,
        )
        for index in range(count)
    ]


def step(
    pods: Sequence[Pod],
    replicas: int,
    minimum: int,
    surge: int,
    *,
    failing: bool = False,
    restorable: bool = False,
    **nodes: Mapping[str, Any],
) -> tuple[int, list[str]]:
    """What an update does next: (started, names of those who go)."""
    limits = rollout.bounds(replicas, minimum, surge)
    change = rollout.rolled(
        make_fleet(*pods, **nodes), NEW, replicas, limits, failing=failing, restorable=restorable
    )
    return change.start, [pod.name for pod, _ in change.leave]


def calm(
    pods: Sequence[Pod],
    replicas: int,
    minimum: int = 100,
    surge: int = 25,
    *,
    order: instances.Order = "YoungestFirst",
    **nodes: Mapping[str, Any],
) -> tuple[int, list[str]]:
    """What is done outside an update: (started, names of those who go)."""
    limits = rollout.bounds(replicas, minimum, surge)
    change = rollout.settled(make_fleet(*pods, order=order, **nodes), replicas, limits)
    return change.start, [pod.name for pod, _ in change.leave]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((1, 100, 100), (1, 2, 0)),
        ((1, 100, 0), (1, 2, 0)),
        ((1, 50, 0), (1, 2, 0)),
        ((1, 0, 0), (0, 1, 1)),
        ((2, 50, 0), (1, 2, 1)),
        ((3, 70, 0), (3, 4, 0)),
        ((3, 50, 20), (2, 3, 1)),
        ((4, 50, 0), (2, 4, 2)),
        ((5, 60, 10), (3, 5, 2)),
        ((9, 50, 50), (5, 13, 4)),
        ((10, 80, 15), (8, 11, 2)),
        ((10, 100, 10), (10, 11, 0)),
        ((10, 100, 0), (10, 11, 0)),
        ((20, 90, 5), (18, 21, 2)),
        ((25, 28, 16), (7, 29, 18)),
        ((50, 14, 0), (7, 50, 43)),
    ],
)
def test_marathons_vectors(given: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    """n, min %, surge % give healthy minimum, capacity and how many old ones go at once."""
    limits = rollout.bounds(*given)
    at_once = len(step(make_instances(OLD, given[0]), *given)[1])

    assert expected == (limits.healthy, limits.instances, at_once)


def test_bounds_are_exact_where_binary_floats_are_not() -> None:
    """For n ≤ 200 and all whole percents the bounds equal those of exact fractions."""
    wrong = [
        (n, percent)
        for n in range(201)
        for percent in range(101)
        if rollout.bounds(n, percent, 100).healthy != ceil(Fraction(n * percent, 100))
        or rollout.bounds(n, 0, percent).instances
        != floor(n * Fraction(100 + percent, 100)) + (n == 0)
    ]

    assert [] == wrong


def test_bounds_leave_a_way_to_begin() -> None:
    """An update can always begin: one may be started beyond n, or one may go."""
    stuck = [
        (n, minimum, surge)
        for n in range(1, 60)
        for minimum in range(101)
        for surge in range(0, 101, 7)
        if rollout.bounds(n, minimum, surge).instances <= rollout.bounds(n, minimum, surge).healthy
    ]

    assert [] == stuck


def test_a_smaller_share_takes_no_healthy_one_below_the_minimum() -> None:
    """Too many of a canary stay while they are what serves; they go when the others recover."""
    new = make_instances(NEW, 2)
    limits = rollout.bounds(4, 50, 25)
    gone = []
    for ready in (False, True):
        pods = [*new, *make_instances(OLD, 3, ready=ready)]
        change = rollout.rolled(
            make_fleet(*pods), NEW, 4, limits, failing=False, restorable=True, goal=1
        )
        gone.append([pod.name for pod, _ in change.leave])

    assert [[], ["new-1"]] == gone


def test_four_at_half_trace() -> None:
    """4, 50 %, 0 %: two go; two start; each new one that is ready lets one old one go."""
    old, new = make_instances(OLD, 4), make_instances(NEW, 4)
    starting = make_instances(NEW, 2, ready=False)
    one_ready = [new[0], starting[1]]

    assert (0, ["old-3", "old-2"]) == step(old, 4, 50, 0)
    assert (2, []) == step(old[:2], 4, 50, 0)
    assert (0, []) == step([*old[:2], *starting], 4, 50, 0)
    assert (0, ["old-1"]) == step([*old[:2], *one_ready], 4, 50, 0)
    assert (1, []) == step([old[0], *one_ready], 4, 50, 0)


def test_three_without_surge_trace() -> None:
    """3, 100 %, 0 %: the surge of one starts one; when it is ready one old one goes."""
    old, new = make_instances(OLD, 3), make_instances(NEW, 3)

    assert (1, []) == step(old, 3, 100, 0)
    assert (0, []) == step([*old, *make_instances(NEW, 1, ready=False)], 3, 100, 0)
    assert (0, ["old-2"]) == step([*old, new[0]], 3, 100, 0)
    assert (1, []) == step([*old[:2], new[0]], 3, 100, 0)


def test_single_instance_stops_before_the_next_starts() -> None:
    """1, 0 %, 0 %: the new one starts only when the old one is gone, not when it is told to go."""
    going = make_instances(OLD, 1, deleted_at=NOON + 30)

    assert (0, ["old-0"]) == step(make_instances(OLD, 1), 1, 0, 0)
    assert (0, []) == step(going, 1, 0, 0)
    assert (1, []) == step([], 1, 0, 0)


def test_terminating_instances_take_room_in_an_update() -> None:
    """What still stops counts towards the maximum: an update never runs more than it may."""
    old, new = make_instances(OLD, 3), make_instances(NEW, 1)
    stopping = make_instances(OLD, 4, deleted_at=NOON + 30)[3]

    assert (0, []) == step([*old, *new, stopping], 4, 100, 0)
    assert (1, []) == step([*old, *new], 4, 100, 0)


@pytest.mark.parametrize(
    "why",
    [
        {"deleted_at": NOON + 30, "disrupted": "EvictionByEvictionAPI"},
        {"deleted_at": NOON - 60},
        {"deleted_at": NOON + 30, "node": "silent"},
        {"deleted_at": NOON + 30, "node": "unknown"},
    ],
    ids=["evicted", "outlives its grace", "node is lost", "node is gone"],
)
def test_terminating_instances_that_block_nothing(why: dict[str, Any]) -> None:
    """An eviction is not our act, and a pod that never stops must not block an update for ever."""
    stopping = make_instances(OLD, 1, **why)

    assert (1, []) == step(
        stopping, 1, 0, 0, silent={"ready": False, "ready_changed_at": NOON - 600}
    )


def test_holes_are_filled_at_once_outside_an_update() -> None:
    """A hole is filled while its former instance still stops."""
    stopping = make_instances(NEW, 3, deleted_at=NOON + 30)[2]

    assert (1, []) == calm([*make_instances(NEW, 2), stopping], 3)


def test_sick_old_instances_go_first() -> None:
    """Old instances without a node, then those that are not ready, go before healthy ones."""
    well = make_instances(OLD, 3)
    sick = make_pod("old-sick", "n1", labels={names.REVISION: OLD}, created_at=NOON - 5000)
    homeless = make_pod("old-homeless", labels={names.REVISION: OLD}, created_at=NOON - 5000)

    assert ["old-homeless", "old-sick", "old-2"] == step([*well, sick, homeless], 4, 50, 0)[1]


def test_bad_minute_does_not_restart_everything() -> None:
    """When no old instance is ready, no more go than the healthy minimum would allow anyway."""
    sick = make_instances(OLD, 10, ready=False)

    assert 5 == len(step(sick, 10, 50, 0)[1])
    assert [] == step(sick, 10, 100, 25)[1]


def test_instances_that_never_become_healthy_do_not_block() -> None:
    """A broken old revision is replaced one by one as new instances become healthy."""
    sick = make_instances(OLD, 3, ready=False)

    assert (1, []) == step(sick, 3, 100, 0)
    assert (0, ["old-2"]) == step([*sick, *make_instances(NEW, 1)], 3, 100, 0)


def test_scaling_down_while_rolling() -> None:
    """Fewer replicas in mid-rollout: surplus new ones and old ones go, the minimum stays."""
    old, new = make_instances(OLD, 5), make_instances(NEW, 6)

    start, gone = step([*old, *new], 4, 100, 25)

    assert 0 == start
    assert {"new-5", "new-4", *(f"old-{index}" for index in range(5))} == set(gone)


def test_scaling_up_while_rolling() -> None:
    """More replicas in mid-rollout: only new ones start, up to the new maximum."""
    assert (8, []) == step([*make_instances(OLD, 2), *make_instances(NEW, 2)], 10, 100, 20)


def test_third_template_in_mid_rollout() -> None:
    """Instances of a template that was never healthy make way for the next one."""
    first, second = make_instances(OLD, 4), make_instances("second", 1, ready=False)

    assert (0, ["sec-0"]) == step([*first, *second], 4, 100, 25)
    assert (1, []) == step(first, 4, 100, 25)


def test_lost_old_instances_count_for_nothing() -> None:
    """An update neither waits for instances on lost nodes nor counts them; they go when it can."""
    lost = make_instances(OLD, 1, ready=False, node="silent")
    silent = {"ready": False, "ready_changed_at": NOON - 600}

    assert (0, ["old-0"]) == step([*lost, *make_instances(NEW, 3)], 3, 100, 0, silent=silent)
    assert (1, []) == step([*lost, *make_instances(NEW, 2)], 3, 100, 0, silent=silent)


def test_failing_update_keeps_the_last_good_revision_at_its_minimum() -> None:
    """While every new instance fails, lost old ones are made again, up to the healthy minimum."""
    limits = rollout.bounds(10, 100, 20)
    failing = make_instances(NEW, 2, ready=False)
    fleet = make_fleet(*make_instances(OLD, 7), *failing)
    change = rollout.rolled(fleet, NEW, 10, limits, failing=True, restorable=True)

    assert (0, 3, ()) == (change.start, change.restore, change.leave)


def test_failing_update_makes_room_for_the_last_good_revision() -> None:
    """New instances that took the room of lost old ones give it back while all of them fail."""
    old, failing = make_instances(OLD, 7), make_instances(NEW, 5, ready=False)

    assert (0, ["new-4", "new-3", "new-2"]) == step(
        [*old, *failing], 10, 100, 20, failing=True, restorable=True
    )


def test_order_of_leaving() -> None:
    """On a silent node, without a node, not ready, just ready, on a leaving node; then by age."""
    pods = [
        *make_instances(NEW, 2),
        make_pod("leaving", "cordoned", labels={names.REVISION: NEW}, ready=True, created_at=1),
        make_pod("starting", "n1", labels={names.REVISION: NEW}, created_at=2),
        make_pod("homeless", labels={names.REVISION: NEW}, created_at=3),
        make_pod("silent", "silent", labels={names.REVISION: NEW}, ready=True, created_at=4),
    ]
    fleet = make_fleet(
        *pods,
        cordoned={"unschedulable": True},
        silent={"ready": False, "ready_changed_at": NOON - 1},
    )

    assert ["silent", "homeless", "starting", "leaving", "new-1", "new-0"] == [
        pod.name for pod in fleet.first_to_go(pods)
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("YoungestFirst", ["new-3", "new-2"]), ("OldestFirst", ["new-0", "new-1"])],
)
def test_age_decides_among_healthy_ones(order: instances.Order, expected: list[str]) -> None:
    """`scaleDown.order` says whether the youngest or the oldest go."""
    assert (0, expected) == calm(make_instances(NEW, 4), 2, order=order)


def test_leaving_node_gets_its_replacement_first() -> None:
    """A cordoned node's instance stays until its replacement is healthy, then it goes."""
    cordoned = {"unschedulable": True}
    moving = make_instances(NEW, 1, node="cordoned")
    others = make_instances(NEW, 3)[1:]
    replacement = make_instances(NEW, 4, ready=False)[3]
    arrived = make_instances(NEW, 4)[3]

    assert (1, []) == calm([*moving, *others], 3, cordoned=cordoned)
    assert (0, []) == calm([*moving, *others, replacement], 3, cordoned=cordoned)
    assert (0, ["new-0"]) == calm([*moving, *others, arrived], 3, cordoned=cordoned)
    assert (0, []) == calm([*others, arrived], 3, cordoned=cordoned)


@pytest.mark.parametrize(("surge", "expected"), [(0, 1), (10, 1), (25, 2), (100, 10)])
def test_moves_are_bounded_by_the_surge(surge: int, expected: int) -> None:
    """Of ten instances on a leaving node the surge moves at once, one at least."""
    moving = make_instances(NEW, 10, node="cordoned")

    assert (expected, []) == calm(moving, 10, 50, surge, cordoned={"unschedulable": True})


def test_uncordon_ends_a_move() -> None:
    """When the node stays after all, the replacement that is not ready yet goes."""
    replacement = make_instances(NEW, 4, ready=False)[3]

    assert (0, ["new-3"]) == calm([*make_instances(NEW, 3), replacement], 3)


def test_single_instance_moves_without_surge() -> None:
    """One instance, surge 0: a drain still starts the replacement first."""
    moving = make_instances(NEW, 1, node="cordoned")

    assert (1, []) == calm(moving, 1, 100, 0, cordoned={"unschedulable": True})


def test_nothing_is_left_at_zero() -> None:
    """0 replicas: everybody goes, also from lost nodes."""
    lost = make_instances(OLD, 1, node="silent")
    silent = {"ready": False, "ready_changed_at": NOON - 600}

    assert {"new-0", "old-0"} == set(calm([*make_instances(NEW, 1), *lost], 0, silent=silent)[1])
