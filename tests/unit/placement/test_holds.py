"""No starvation: a large task that small ones would pass for ever starts in bounded time."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model.pods import EXPECTED_SECONDS, Ending, Pod
from bayplan.model.reasons import Reason, Refusal
from bayplan.model.workloads import TaskKey, Waiting
from bayplan.placement.solve import Policy, solve
from tests.builders import NOON, make_class, make_node, make_pod, make_state, make_waiting

LARGE = ("default", "large-0")
RUN_SECONDS = 100
STEP_SECONDS = 10


def run_of(name: str, node: str, cpu: int = 500, **more: Any) -> Pod:
    return make_pod(name, node, cpu, owner_uid="job", owner_kind="BatchJob", **more)


def ending_at(at: int, name: str, node: str, cpu: int = 500) -> Pod:
    """A run that began at noon and is expected to end at a time."""
    expected = {EXPECTED_SECONDS: str(at - NOON)}
    begun = Ending(started_at=NOON)
    return run_of(name, node, cpu, annotations=expected, ending=begun)


def large(since: int = NOON, cpu: int = 4000) -> Waiting:
    return make_waiting(make_class(cpu, labels={"size": "large"}), 1, "large", since=since)


def test_a_node_is_held_after_a_minute_for_who_could_have_it() -> None:
    """Not before 60 s; then the node that lacks least once its runs have ended."""
    frozen = make_state(
        make_node("a", 4000),
        make_node("b", 4000),
        make_node("small", 2000),
        run_of("r1", "a", 2000),
        run_of("r2", "b", 500),
    ).snapshot()
    early = solve(frozen, [large()], NOON + 59, Policy())
    due = solve(frozen, [large()], NOON + 60, Policy())

    assert {} == early.holds
    assert {LARGE: "b"} == due.holds


def test_a_plan_says_when_the_next_hold_may_begin() -> None:
    """Somebody must look then; where no run will give room back, or one has a hold, nobody."""
    node, busy = make_node("a", 4000), run_of("r", "a")
    waits = solve(make_state(node, busy).snapshot(), [large()], NOON + 10, Policy())
    held = solve(make_state(node, busy).snapshot(), [large()], NOON + 60, Policy())
    web = make_state(node, make_pod("web", "a", 500)).snapshot()

    assert NOON + 60 == waits.look_at
    assert held.look_at is None
    assert solve(web, [large()], NOON + 10, Policy()).look_at is None


def test_no_node_is_held_where_nothing_will_end() -> None:
    """A service's pods do not go away: waiting for them would hold a node for ever."""
    frozen = make_state(make_node("a", 4000), make_pod("web", "a", 500)).snapshot()

    assert {} == solve(frozen, [large()], NOON + 600, Policy()).holds


def test_nothing_new_lands_on_a_held_node_but_its_task() -> None:
    """Others are refused with a reason; the held task itself comes as soon as it fits."""
    book = make_state(make_node("a", 4000), run_of("r", "a"))
    small = make_waiting(make_class(100), 1, "small", since=NOON - 900)
    plan = solve(book.snapshot(), [large(), small], NOON, Policy(), holds={LARGE: "a"})
    book.drop_pod(("default", "r"))
    free = solve(book.snapshot(), [large(), small], NOON, Policy(), holds={LARGE: "a"})

    assert {} == plan.placements
    held = next(one for one in plan.refused if one.waiting is small)
    assert (Refusal(Reason.HELD, "", 1),) == held.funnel.refusals
    assert {LARGE: "a"} == free.placements
    assert {} == free.holds


@pytest.mark.parametrize("gone", ["task", "node"])
def test_a_hold_ends_with_its_task_or_node(gone: str) -> None:
    """What is no longer there holds nothing."""
    book = make_state(make_node("b", 4000))
    small = make_waiting(make_class(100), 1, "small")
    waiting = [small] if gone == "task" else [small, large(cpu=9000)]
    holds = {LARGE: "b" if gone == "task" else "a"}
    plan = solve(book.snapshot(), waiting, NOON, Policy(), holds=holds)

    assert "b" == plan.placements[("default", "small-0")]
    assert {} == plan.holds


def test_a_hold_stays_where_it_is() -> None:
    """Another node that looks nearer now does not move it: it would never fill up."""
    book = make_state(
        make_node("a", 4000), make_node("b", 4000), run_of("r1", "a", 2000), run_of("r2", "b", 500)
    )
    plan = solve(book.snapshot(), [large()], NOON + 70, Policy(), holds={LARGE: "a"})

    assert {LARGE: "a"} == plan.holds


def test_few_nodes_are_held_at_once() -> None:
    """One in twenty at most: those who wait longest come first."""
    nodes = [make_node(f"n{index:02}", 4000) for index in range(25)]
    runs = [run_of(f"r{index}", f"n{index:02}") for index in range(25)]
    frozen = make_state(*nodes, *runs).snapshot()
    waiting = [
        make_waiting(make_class(4000, priority=index), 1, f"w{index}", since=NOON - index)
        for index in range(3)
    ]

    assert {("default", "w2-0"): "n00"} == solve(frozen, waiting, NOON + 70, Policy()).holds


@pytest.mark.parametrize(
    ("lasts", "lands"), [(290, True), (291, False), (None, False)], ids=["ends", "stays", "unknown"]
)
def test_what_ends_before_the_task_fits_may_use_a_held_node(lasts: int | None, lands: bool) -> None:
    """Ten seconds after noon the second of two runs needs 290 s more: shorter ones do no harm.

    The third run is not in the task's way, so how long it takes does not matter.
    """
    frozen = make_state(
        make_node("a", 5000),
        ending_at(NOON + 100, "r1", "a", 1500),
        ending_at(NOON + 300, "r2", "a", 1500),
        ending_at(NOON + 900, "r3", "a", 500),
    ).snapshot()
    small = make_waiting(make_class(500), 1, "small", since=NOON, lasts=lasts)
    plan = solve(frozen, [large(), small], NOON + 10, Policy(), holds={LARGE: "a"})

    assert ({("default", "small-0"): "a"} if lands else {}) == plan.placements


@pytest.mark.parametrize("other", ["overdue", "unknown", "nonsense"])
def test_nothing_is_let_in_while_the_task_might_fit_at_any_moment(other: str) -> None:
    """A run that should have ended, or that nobody knows the end of, may end now."""
    run = {
        "overdue": ending_at(NOON + 5, "r", "a"),
        "unknown": run_of("r", "a"),
        "nonsense": run_of("r", "a", annotations={EXPECTED_SECONDS: "-1e9"}),
    }[other]
    frozen = make_state(make_node("a", 4000), run).snapshot()
    small = make_waiting(make_class(500), 1, "small", since=NOON, lasts=1)
    plan = solve(frozen, [large(), small], NOON + 10, Policy(), holds={LARGE: "a"})

    assert {} == plan.placements


@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(1, 10), st.integers(0, 9)), min_size=8, max_size=8),
)
def test_backfill_lets_a_large_task_start_within_the_longest_run_and_a_minute(
    nodes: int, width: int, lengths: list[tuple[int, int]]
) -> None:
    """Small runs of known lengths come without end; some end earlier than expected, none later."""
    book = make_state(*(make_node(f"n{index}", 4000) for index in range(nodes)))
    ends: dict[tuple[str, str], int] = {}
    holds: dict[TaskKey, str] = {}
    asked = large()
    cpu = 4000 // width
    bound = RUN_SECONDS + 60 + 2 * STEP_SECONDS
    for now in range(NOON, NOON + bound + 1, STEP_SECONDS):
        for key in [key for key, end in ends.items() if end <= now]:
            book.drop_pod(key)
            del ends[key]
        small = [
            make_waiting(
                make_class(cpu, priority=5, labels={"length": str(index)}),
                2 * nodes,
                f"s{index}-{now}",
                since=now,
                lasts=RUN_SECONDS * length // 10,
            )
            for index, (length, _) in enumerate(lengths)
        ]
        plan = solve(
            book.snapshot(), [*small, asked] if now > NOON else small, now, Policy(), holds=holds
        )
        holds = dict(plan.holds)
        if LARGE in plan.placements:
            return
        for key, node in sorted(plan.placements.items()):
            length, early = lengths[int(key[1][1])]
            expected = RUN_SECONDS * length // 10
            told = {EXPECTED_SECONDS: str(expected)}
            begun = Ending(started_at=now)
            book.set_pod(run_of(key[1], node, cpu, annotations=told, ending=begun))
            ends[key] = now + max(1, expected - expected * early // 10)
    pytest.fail(f"still waiting after {bound} s")


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 8), st.lists(st.integers(1, 10), min_size=8, max_size=8))
def test_a_large_task_starts_within_the_longest_run_and_a_minute(
    nodes: int, width: int, lengths: list[int]
) -> None:
    """Small runs of higher priority fill all room without end; the large one still starts."""
    book = make_state(*(make_node(f"n{index}", 4000) for index in range(nodes)))
    ends: dict[tuple[str, str], int] = {}
    holds: dict[TaskKey, str] = {}
    asked = large()
    bound = RUN_SECONDS + 60 + 2 * STEP_SECONDS
    for now in range(NOON, NOON + bound + 1, STEP_SECONDS):
        for key in [key for key, end in ends.items() if end <= now]:
            book.drop_pod(key)
            del ends[key]
        small = make_waiting(make_class(4000 // width, priority=5), 8 * nodes, f"s{now}", since=now)
        waiting = [small, asked] if now > NOON else [small]
        plan = solve(book.snapshot(), waiting, now, Policy(), holds=holds)
        holds = dict(plan.holds)
        if LARGE in plan.placements:
            return
        for index, (key, node) in enumerate(sorted(plan.placements.items())):
            pod = run_of(key[1], node, 4000 // width)
            book.set_pod(dataclasses.replace(pod, namespace=key[0]))
            ends[key] = now + RUN_SECONDS * lengths[index % 8] // 10
    pytest.fail(f"still waiting after {bound} s")
