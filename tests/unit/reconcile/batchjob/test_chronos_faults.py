"""Faults that Chronos was known for, and what happens here instead.

First those of its scheduler, constraints, dependencies and figures, then the worked cases, each in
the order in which the semantics of the originals are told; the number is that of the section.
"""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run
from bayplan.api.times import rfc3339
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.workloads import PlacementRules, Plan
from bayplan.placement.solve import Policy, solve
from bayplan.reconcile.batchjob import parent_summaries
from bayplan.reconcile.view import Parents, ParentSummary, Success
from bayplan.schedules.parse import parse
from tests.builders import NOON, make_class, make_node, make_snapshot, make_waiting
from tests.jobs import PREFIX, START, World, make_job

HOUR = 3600
DAY = 24 * HOUR
NEW_YEAR = 1_420_070_400  # 2015-01-01T00:00Z
R5 = "R5/2015-01-01T00:00Z/P1D"


def begun(world: World) -> list[str]:
    """The runs that began, each attempt once."""
    return [name.removeprefix(PREFIX).partition("-")[0] for _, name in world.created]


def end(world: World, exit_code: int = 0) -> None:
    world.settle()
    world.finish(exit_code)
    world.settle()


def daily(at: int, **spec: Any) -> World:
    """A job made the evening before, and the operator that comes at `at` for the first time."""
    return World({"schedule": R5, **spec}, now=at, created_at=NEW_YEAR - HOUR)


# --- 2.1 Constraints -----------------------------------------------------------------------------


def test_2_1_an_unknown_operator_is_refused() -> None:
    """Chronos dropped such a constraint without a word, and the job ran anywhere."""
    job = make_job(placement={"constraints": [{"key": "zone", "operator": "NEAR", "value": "a"}]})
    [problem] = job.problems

    assert job.spec is None
    assert "spec.placement.constraints.0.operator" == problem.field


# --- 2.2 When a job runs -------------------------------------------------------------------------


def test_2_2_a_finite_schedule_runs_after_an_outage_longer_than_it() -> None:
    """Chronos filtered the job out, and it never ran. Here: the newest once, the rest told."""
    world = daily(NEW_YEAR + 30 * DAY)
    end(world)
    world.wait(30 * DAY)

    assert [slot_run(NEW_YEAR + 4 * DAY)] == begun(world)
    assert (4, 0) == (world.status["statistics"]["missed"], world.status["remainingRuns"])
    assert ("True", "Finished") == world.condition("Ready")


def test_2_2_a_schedule_does_not_drift() -> None:
    """Chronos moved the start with each launch; here a job of the 31st stays one."""
    monthly = parse("R/2026-01-31T06:00/P1M", "UTC", key="a/b", anchor=0)
    slots = monthly.slots_between(START - 300 * DAY, START + 300 * DAY, 5)

    assert ["01-31", "02-28", "03-31", "04-30", "05-31"] == [rfc3339(at)[5:10] for at in slots]


def test_2_2_a_day_is_not_twenty_four_hours() -> None:
    """P1D keeps the wall clock over a clock change, PT24H the distance."""
    change = "2026-03-28T06:00"  # Berlin's clocks go forward in the night to the 29th
    days = parse(f"R/{change}/P1D", "Europe/Berlin", key="a/b", anchor=0)
    hours = parse(f"R/{change}/PT24H", "Europe/Berlin", key="a/b", anchor=0)
    first, of_days = days.slots_between(0, 2**40, 2)
    _, of_hours = hours.slots_between(0, 2**40, 2)

    assert (23 * HOUR, 24 * HOUR) == (of_days - first, of_hours - first)


def test_2_2_what_becomes_due_during_a_run_is_kept() -> None:
    """Chronos lost the trigger of a dependent job that was running. Here it runs once more."""
    world = World({"parents": [{"name": "a"}]}, parents=Parents({"a": ParentSummary()}))
    for number in range(3):  # the second and third success come while the first run goes on
        world.now += 60
        known = world.parents.known["a"].successes
        world.parents = Parents(
            {"a": ParentSummary((Success(slot_run(number), world.now), *known))}
        )
        world.settle()
    assert 1 == len(world.created)
    end(world)
    end(world)
    world.wait(DAY)

    assert 2 == len(world.created)
    assert [{"name": "a", "run": slot_run(2)}] == world.status["consumed"]


def test_2_2_a_job_that_does_not_fit_delays_no_other() -> None:
    """Chronos ended the round at the first job that did not fit."""
    big = make_waiting(make_class(64_000, labels={"job": "big"}), 1, "big", since=NOON - 30)
    small = make_waiting(make_class(100), 3, "small", since=NOON)
    plan = solve(make_snapshot(make_node(cpu=4000)), [big, small], NOON, Policy())

    assert set(small.keys) == set(plan.placements)
    assert [big.keys] == [refused.keys for refused in plan.refused]


def test_2_2_every_run_has_the_full_budget() -> None:
    """After a run that failed for good Chronos retried none until a success."""
    policy = {"limit": 2, "delaySeconds": 60, "backoffPercent": 0}
    world = World({"schedule": "0 * * * *", "retryPolicy": policy})
    for _ in range(3):
        for _ in range(3):
            end(world, 1)
            world.wait(60)
        world.wait(HOUR - world.now % HOUR)

    assert [slot_run(START + n * HOUR) for n in (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)] == begun(world)
    assert [3, 3, 3] == [one["attempts"] for one in world.status["history"]]


def test_2_2_a_lost_node_takes_its_own_tasks_only() -> None:
    """Chronos kept the lost agent's tasks and forgot all others: duplicates, endless runs."""
    world = World({"tasks": 2})
    world.nodes["n2"] = make_node("n2")
    world.settle()
    first, second = sorted(world.pods.values(), key=lambda pod: pod.name)
    world.pods[second.key] = replace(second, node="n2")
    del world.nodes["n1"]
    world.wait(2)
    [active] = world.status["active"]

    assert {first.name, second.name, first.name.replace("-0-0", "-1-0")} == {
        name for _, name in world.created
    }
    assert (1, "0") == (active["disruptions"], active["tasks"]["retries"][0]["indexes"])


def test_2_2_nothing_lives_in_memory_only() -> None:
    """Chronos lost running tasks, retry timers and counters with its leader.

    Every look here begins from the stored status and the pods: a retry is due whoever looks.
    """
    world = World({"schedule": "@yearly"}, annotations={names.RUN_NOW: "x"})
    end(world, 1)
    stored = dict(world.status)
    other = World(
        world.spec, now=START + 60, status=stored, pods=dict(world.pods), version=world.version
    )
    other.settle()

    assert rfc3339(START + 60) == stored["active"][0]["retryTime"]
    assert ["1"] == [name.rpartition("-")[2] for _, name in other.created]


# --- 2.3 Dependent jobs --------------------------------------------------------------------------


def test_2_3_a_deleted_parent_rewrites_no_child() -> None:
    """Chronos gave its children its schedule and lost their container, environment and rules.

    Here the child waits, says why, and runs on when the parent is back.
    """
    world = World({"parents": [{"name": "a"}]}, parents=Parents({"a": ParentSummary()}))
    world.settle()
    world.parents = Parents()
    spec = dict(world.spec)
    world.settle()
    assert ("False", "ParentMissing") == world.condition("Ready")
    assert spec == world.spec
    world.parents = Parents({"a": ParentSummary((Success(slot_run(START), world.now),))})
    end(world)

    assert 1 == len(world.created)
    assert ("True", "OnParents") == world.condition("Ready")


# --- 2.4 Statistics ------------------------------------------------------------------------------


def test_2_4_figures_mean_what_they_say() -> None:
    """Chronos called the median a mean, and counted the wait for room as run time.

    Here p50 and p95 are times of real runs, and waiting is told apart.
    """
    world = World({"schedule": "0 * * * *"}, nodes={})
    for seconds in (10, 20, 30, 40, 50):
        world.settle()
        [pod] = [pod for pod in world.pods.values() if not pod.terminal]
        begins = world.now + 100  # it finds room only then
        ending = replace(pod.ending, started_at=begins)
        world.nodes = {"n1": make_node("n1")}
        world.pods[pod.key] = replace(pod, node="n1", phase=type(pod.phase).RUNNING, ending=ending)
        world.now = begins + seconds
        end(world)
        world.nodes = {}
        world.now += HOUR - world.now % HOUR
    figures = world.status["statistics"]

    assert (30, 50) == (figures["runSecondsP50"], figures["runSecondsP95"])
    assert (100, 100) == (figures["waitSecondsP50"], figures["waitSecondsP95"])


# --- Worked cases --------------------------------------------------------------------------------


def test_a_unlike_accepts_a_node_without_the_label() -> None:
    """UNLIKE m4.*, attribute absent: Marathon accepted, Chronos refused; here it is accepted."""
    rules = PlacementRules((PlaceConstraint("type", Operator.UNLIKE, "m4.*"),))
    kind = make_class(placement=rules)
    bare, old = make_node("bare"), make_node("old", labels={"type": "m4.large"})
    plan: Plan = solve(make_snapshot(bare, old), [make_waiting(kind, 2)], NOON, Policy())

    assert {"bare"} == set(plan.placements.values())


def test_a_after_an_outage_one_run_at_once() -> None:
    """R5, down for four slots: one run at once, the next on the fifth day.

    Chronos 3 had four repetitions left then, and ran three days too long; here each slot counts.
    """
    world = daily(NEW_YEAR + 3 * DAY + 12 * HOUR)
    end(world)

    assert [slot_run(NEW_YEAR + 3 * DAY)] == begun(world)
    assert rfc3339(NEW_YEAR + 4 * DAY) == world.status["nextSlotTime"]
    assert (3, 1) == (world.status["statistics"]["missed"], world.status["remainingRuns"])


def test_a_what_is_later_than_its_deadline_is_missed() -> None:
    """The same with an epsilon of an hour: four are missed and told, the fifth day's runs."""
    world = daily(NEW_YEAR + 3 * DAY + 12 * HOUR, startingDeadlineSeconds=HOUR)
    world.settle()
    assert [] == begun(world)
    assert (4, ["Missed"]) == (
        world.status["statistics"]["missed"],
        [event.reason for event in world.events],
    )
    world.wait(12 * HOUR)

    assert [slot_run(NEW_YEAR + 4 * DAY)] == begun(world)


@pytest.mark.parametrize("late", [0, 1, DAY])
def test_a_a_launch_moves_no_start(late: int) -> None:
    """R/…-01-31/P1M, launched on time or late: the 28th of February, and the 31st of March."""
    january = parse("R/2026-01-31T00:00Z/P1M", "UTC", key="a/b", anchor=0)
    first = january.next_after(0) or 0
    world = World({"schedule": "R/2026-01-31T00:00Z/P1M"}, now=first + late, created_at=first - DAY)
    end(world)

    assert [slot_run(first)] == begun(world)
    assert "2026-02-28T00:00:00Z" == world.status["nextSlotTime"]


def test_a_the_next_slot_has_its_retries() -> None:
    """Limit 2, delay 60, always failing: attempts 0, 1, 2; the next slot again 0, 1, 2."""
    policy = {"limit": 2, "delaySeconds": 60, "backoffPercent": 0}
    world = World({"schedule": "0 * * * *", "retryPolicy": policy})
    for _ in range(3):
        end(world, 1)
        world.wait(60)
    world.wait(HOUR - 180)
    for _ in range(3):
        end(world, 1)
        world.wait(60)

    assert ["0", "1", "2"] * 2 == [name.rpartition("-")[2] for _, name in world.created]
    assert [0, 60, 120, HOUR, HOUR + 60, HOUR + 120] == [at - START for at, _ in world.created]


class Family:
    """A child of `a` and `b`, and their successes."""

    def __init__(self) -> None:
        parents = [{"name": "a"}, {"name": "b"}]
        known = Parents({name: ParentSummary() for name in "ab"})
        self.world = World({"parents": parents}, parents=known)
        self.world.settle()

    def succeed(self, name: str) -> int:
        """Whether it led to a run, which ends at once."""
        world, before = self.world, len(self.world.created)
        world.now += 60
        known = world.parents.known[name].successes
        after = ParentSummary((Success(slot_run(world.now), world.now), *known))
        world.parents = Parents({**world.parents.known, name: after})
        world.settle()
        if len(world.created) > before:
            end(world)
        return len(world.created) - before


def test_a_parents_of_unlike_pace() -> None:
    """A, A, B: the child runs once at B, on A's newest success; no counter is left over or lost."""
    family = Family()

    assert [0, 0, 1] == [family.succeed(name) for name in "aab"]
    assert [0, 1] == [family.succeed(name) for name in "ba"]


def test_a_each_set_of_successes_once() -> None:
    """A t1, B t2, C t3, A t4: C waits for a B later than t3."""
    family = Family()

    assert [0, 1, 0, 0, 1] == [family.succeed(name) for name in "abaab"]


def test_a_absent_and_circular_parents_are_said() -> None:
    """Chronos took them in, and the jobs were silently absent from its graph (3.x)."""
    world = World({"parents": [{"name": "a"}]}, parents=Parents())
    world.settle()
    jobs = {
        name: make_job(name=name, parents=[{"name": parent}])
        for name, parent in (("report", "a"), ("a", "report"))
    }
    round_ = parent_summaries.parents_of(jobs["report"], jobs.get)
    circle = World({"parents": [{"name": "a"}]}, parents=round_)
    circle.settle()

    assert ("False", "ParentMissing") == world.condition("Ready")
    assert ("True", "ParentCycle") == circle.condition("Stalled")
