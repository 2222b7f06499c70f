"""The checker of the Jepsen profile sees what is wrong: one planted fault each."""

import random
from dataclasses import replace
from itertools import permutations

import pytest

from tests.jepsen import generator
from tests.jepsen.checker import Report, Window, check, solution
from tests.jepsen.history import Fault, History, Job, Run, Term

T0 = 1_000_000
JOB = Job("a", 4, 10, [Term(T0, 30, 5, T0 - 10)])


def make_history(*runs: Run, job: Job = JOB, missed: int = 0) -> History:
    """A history whose status counts what ran."""
    done = len({run.slot for run in runs if run.succeeded})
    return History([job], list(runs), [], {"a": missed}, {"a": done}, T0 + 500)


def make_run(number: int, *, late: int = 1, lasts: int = 4, attempt: int = 0) -> Run:
    slot = T0 + 30 * number
    return Run("a", slot, attempt, slot + late, slot + late + lasts, succeeded=True)


RIGHT = tuple(make_run(number) for number in range(5))


def rules(report: Report) -> list[str]:
    return sorted({one.split()[0] for one in report.wrong})


def test_a_right_history_is_valid() -> None:
    """Five slots, five runs, the last second of a window included."""
    report = check(make_history(make_run(0, late=15), *RIGHT[1:]))

    assert ([], 5, 5, [15, 1, 1, 1, 1]) == (report.wrong, report.targets, report.met, report.late)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (RIGHT[:2] + RIGHT[3:], ["P1", "P10"]),
        ((make_run(0, late=16), *RIGHT[1:]), ["P1"]),
        ((replace(RIGHT[0], end=None, succeeded=False), *RIGHT[1:]), ["P1"]),
        ((*RIGHT, make_run(1, late=9)), ["P2"]),
        ((*RIGHT, make_run(1, late=9, attempt=1)), ["P2"]),
        ((make_run(0, late=-1), *RIGHT[1:]), ["P1", "P3"]),
        ((make_run(0, lasts=40), *RIGHT[1:]), ["P4"]),
        ((*RIGHT, make_run(5)), ["P7"]),
        ((*RIGHT, replace(make_run(5), slot=T0 + 151)), ["P7"]),
    ],
    ids=["dropped", "late", "incomplete", "doubled", "again", "early", "overlap", "more", "other"],
)
def test_a_planted_fault_is_seen(runs: tuple[Run, ...], expected: list[str]) -> None:
    """A dropped slot, a doubled run, an early start, an overlap, a run that nobody asked for."""
    assert expected == rules(check(make_history(*runs)))


def test_a_missed_slot_is_told() -> None:
    """P10 asks only that it is told; that nothing ran is P1's."""
    assert ["P1"] == rules(check(make_history(*RIGHT[1:], missed=1)))


def test_a_miss_that_was_none_is_seen() -> None:
    """P10."""
    assert ["P10"] == rules(check(make_history(*RIGHT, missed=1)))


def test_a_success_that_is_not_counted_is_seen() -> None:
    """P10."""
    history = make_history(*RIGHT)
    history.successes = {"a": 4}

    assert ["P10"] == rules(check(history))


def test_windows_are_wider_only_while_faults_are_about() -> None:
    """A late run is forgiven before the last fault and half a minute beyond it, not after (P9)."""
    runs = (make_run(0, late=20), *RIGHT[1:3], make_run(3, late=20), RIGHT[4])
    history = make_history(*runs)
    history.faults = [Fault("kill", T0, T0 + 5)]
    report = check(history, widened=10)

    assert ["P9"] == rules(report)
    assert (5, 4) == (report.targets, report.met)


def test_slots_about_an_edit_may_run_or_not() -> None:
    """P8: due long before it they must run, long after it they must not, between they may."""
    asked = T0 + 62.0
    terms = [replace(JOB.terms[0], end_asked=asked, end_told=asked + 1)]
    job = replace(JOB, terms=[*terms, Term(T0 + 75, 30, 1, asked)])
    newer = Run("a", T0 + 75, 0, T0 + 76, T0 + 80, succeeded=True)
    for between in ([], [RIGHT[2]]):
        assert [] == check(make_history(*RIGHT[:2], *between, newer, job=job)).wrong

    assert ["P8"] == rules(check(make_history(*RIGHT[:2], newer, RIGHT[3], job=job)))


def test_a_deleted_job_runs_no_more() -> None:
    """P8, and its counts are gone with it."""
    terms = [replace(JOB.terms[0], end_asked=T0 + 62.0, end_told=T0 + 63.0)]
    history = make_history(*RIGHT, job=replace(JOB, terms=terms, deleted=True))
    history.successes = {}

    assert ["P8"] == rules(check(history))


def test_runs_of_nobody_are_seen() -> None:
    """P7."""
    assert ["P7"] == rules(check(make_history(*RIGHT, replace(RIGHT[0], job="b"))))


def test_the_matching_is_as_large_as_any() -> None:
    """Against every assignment, small windows that overlap and runs in a random order."""
    dice = random.Random(7)  # noqa: S311
    for _ in range(300):
        windows = [
            Window(number, opens, opens + dice.randrange(6))
            for number, opens in enumerate(dice.randrange(12) for _ in range(dice.randrange(5)))
        ]
        starts = [dice.randrange(16) for _ in range(dice.randrange(6))]
        padded = [*range(len(starts)), *[None] * len(windows)]
        best = max(
            sum(
                index is not None and window.opens <= starts[index] <= window.closes
                for window, index in zip(windows, order, strict=False)
            )
            for order in set(permutations(padded, len(windows)))
        )
        found = solution(windows, starts)
        used = [index for index in found.values() if index is not None]

        assert (best, len(set(used))) == (len(used), len(used))
        for window in windows:
            index = found[window.slot]
            assert index is None or window.opens <= starts[index] <= window.closes


def test_requests_are_jepsens_and_come_from_the_seed() -> None:
    """Its constants: no two runs of a job can meet; a seed says the same twice."""
    made = [one for seed in range(50) for one in generator.requests(seed, 450)]
    jobs = [one for one in made if one.verb == "create"]

    assert list(generator.requests(3, 450)) == list(generator.requests(3, 450))
    assert {"create", "edit", "delete"} == {one.verb for one in made}
    assert 10 <= len(made) / 50 <= 20
    for one in jobs:
        assert 0 <= one.duration <= 9
        assert 10 <= one.epsilon <= 29
        assert 0 <= one.interval - (1 + one.duration + one.epsilon + 5) <= 29
        assert 1 <= one.count <= 99
