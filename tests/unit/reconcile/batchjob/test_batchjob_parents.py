"""When a job's parents let it run: Metronome's rule, from stored successes alone."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.run_names import parents_run, slot_run
from bayplan.api.times import rfc3339
from bayplan.model import graph
from bayplan.reconcile.batchjob import parent_summaries
from bayplan.reconcile.view import Parents, ParentSummary, Success
from tests.jobs import PREFIX, START, World, make_job

HOUR = 3600
ON_A = {"parents": [{"name": "a"}]}
ON_BOTH = {"parents": [{"name": "a"}, {"name": "b"}]}
SAME = {"parents": [{"name": name, "match": "SameSlot"} for name in ("a", "b")]}


def succeed(world: World, parent: str, slot: int | None = None) -> str:
    """The parent's run of this slot (now, unless told) has succeeded now."""
    run = slot_run(world.now if slot is None else slot)
    before = world.parents.known.get(parent, ParentSummary())
    after = ParentSummary((Success(run, world.now), *before.successes), once=before.once)
    world.parents = Parents({**world.parents.known, parent: after})
    return run


def child(spec: dict[str, Any], *, parents: str = "ab") -> World:
    """A job whose parents are there and have not succeeded yet."""
    world = World(spec)
    world.parents = Parents({parent: ParentSummary() for parent in parents})
    world.settle()
    return world


def ran(world: World, exit_code: int = 0) -> list[str]:
    """Let the child's live pods end and all come to rest; the runs that it ever had."""
    world.settle()
    for pod in list(world.pods.values()):
        if not pod.terminal:
            world.finish(exit_code, pod.name)
    world.settle()
    return [name.removeprefix(PREFIX).partition("-")[0] for _, name in world.created]


def pairs(**runs: str) -> str:
    return parents_run(runs.items())


def test_a_child_waits_for_its_parent() -> None:
    """Nothing at creation, once when the parent has succeeded, not again for that success."""
    world = child(ON_A)
    before = list(world.created)
    world.now += 100
    run = succeed(world, "a")
    first = ran(world)
    world.wait(100 * HOUR)

    assert ([], [pairs(a=run)]) == (before, first)
    assert 1 == len(world.created)
    assert [{"name": "a", "run": run}] == world.status["consumed"]
    assert ("True", "OnParents") == world.condition("Ready")
    assert ("", "") == world.condition("Complete")


def test_all_parents_must_have_succeeded_since() -> None:
    """A ok, B ok, the child runs; A ok again: it waits for a later success of B."""
    world = child(ON_BOTH)
    world.now += 10
    a1 = succeed(world, "a")
    waits = ran(world)
    world.now += 10
    b1 = succeed(world, "b")
    first = ran(world)
    world.now += 10
    a2 = succeed(world, "a")
    again = ran(world)
    world.now += 10
    a3, b2 = succeed(world, "a"), succeed(world, "b")
    last = ran(world)

    assert [] == waits
    assert [pairs(a=a1, b=b1)] == first == again
    assert [*first, pairs(a=a3, b=b2)] == last, f"on the newest, {a3}, not on {a2}"


def test_successes_while_it_runs_lead_to_one_more_run() -> None:
    """Chronos lost the trigger of a child that was running; here it waits, and is one."""
    world = child(ON_A)
    for _ in range(4):
        world.now += 10
        newest = succeed(world, "a")
        world.settle()
    while_running = len(world.created)
    ran(world)

    assert 1 == while_running
    assert [pairs(a=newest)] == ran(world)[1:]


def test_surplus_successes_of_a_fast_parent_are_kept() -> None:
    """The newest success counts even if it came while the child ran on an older one."""
    world = child(ON_BOTH)
    world.now += 10
    succeed(world, "a")
    succeed(world, "b")
    world.settle()
    world.now += 10
    a2 = succeed(world, "a")
    ran(world)
    world.now += 10
    b2 = succeed(world, "b")

    assert pairs(a=a2, b=b2) == ran(world)[-1]


def test_nothing_is_forgotten_over_a_restart_before_the_status() -> None:
    """The pod tells which successes its run consumes until the status does."""
    world = child(ON_BOTH)
    world.now += 10
    succeed(world, "a")
    succeed(world, "b")
    world.step()  # the CREATE; a young run is not in the status
    [pod] = world.pods.values()
    told = world.status.get("consumed")
    world.now += 10
    succeed(world, "a")
    runs = ran(world)

    assert told is None
    assert {"a", "b"} == {
        part.partition("=")[0] for part in pod.annotations[names.PARENTS].split(",")
    }
    assert 1 == len(runs), "b's success would have been used twice"


def test_a_short_run_on_parents_costs_four_writes() -> None:
    """CREATE, status, finalizer, DELETE, as one by schedule."""
    world = child({**ON_A, "history": {"successful": 0, "failed": 0}})
    world.now += 10
    succeed(world, "a")
    writes = len(world.writes)
    ran(world)

    assert ["create", "status", "release", "delete"] == [
        write.split(" ")[0] for write in world.writes[writes:]
    ]


def test_a_failed_child_does_not_run_again_on_the_same_set() -> None:
    """Its set is consumed when it begins; retries are the run's own."""
    world = child({**ON_A, "retryPolicy": {"limit": 0}})
    world.now += 10
    succeed(world, "a")
    ran(world, exit_code=1)
    world.wait(HOUR)

    assert 1 == len(world.created)
    assert ("False", "Failed") == world.condition("LastRunSucceeded")
    assert ("True", "OnParents") == world.condition("Ready")


def test_what_ended_before_the_child_was_created_is_not_its_business() -> None:
    """But a parent that runs once will not succeed again, so its success counts whenever it was."""
    world = child(ON_A)
    world.parents = Parents({"a": ParentSummary((Success(slot_run(START - HOUR), START - 1),))})
    world.settle()
    before = list(world.created)
    world.parents = Parents(
        {"a": ParentSummary((Success(slot_run(START - HOUR), START - 1),), once=True)}
    )
    world.settle()

    assert ([], 1) == (before, len(world.created))


def test_same_slot_pairs_successes_of_one_time() -> None:
    """Only a time in which all parents have succeeded leads to a run; it is the run's own."""
    world = child(SAME)
    one, two = START + HOUR, START + 2 * HOUR
    world.now = two + 5
    succeed(world, "a", one)
    succeed(world, "b", two)
    apart = ran(world)
    succeed(world, "a", two)
    [run] = ran(world)

    assert [] == apart
    assert slot_run(two) == run
    assert rfc3339(two) == world.status["lastSlotTime"]
    succeed(world, "b", one)

    assert [run] == ran(world), "an older time than the last one run is over"


@pytest.mark.parametrize(("policy", "count"), [("RunLatest", 1), ("RunAll", 3)])
def test_same_slot_catches_up_by_policy(policy: str, count: int) -> None:
    """Of several common times the newest runs, with RunAll each of them, the oldest first."""
    world = child({**SAME, "missedRunPolicy": policy})
    slots = [START + hour * HOUR for hour in (1, 2, 3)]
    world.now = slots[-1] + 5
    for slot in slots:
        succeed(world, "a", slot)
        succeed(world, "b", slot)
    for _ in slots:
        runs = ran(world)

    assert [slot_run(slot) for slot in slots[-count:]] == runs


def test_same_slot_and_any_newer_together() -> None:
    """Both rules hold at once: a common time, and something new of the other."""
    world = child({"parents": [*SAME["parents"], {"name": "c"}]}, parents="abc")
    world.now += HOUR
    for parent in "abc":
        succeed(world, parent)
    first = ran(world)
    world.now += HOUR
    succeed(world, "a")
    succeed(world, "b")
    waits = ran(world)
    succeed(world, "c")

    assert (1, 1, 2) == (len(first), len(waits), len(ran(world)))


def test_suspension_holds_the_child_and_loses_nothing() -> None:
    """When it is resumed it runs once, on the newest successes."""
    world = child({**ON_A, "suspend": True})
    for _ in range(3):
        world.now += 10
        newest = succeed(world, "a")
        world.settle()
    during = list(world.created)
    world.spec = ON_A
    world.generation += 1

    assert [] == during
    assert [pairs(a=newest)] == ran(world)


def test_an_absent_parent_is_said() -> None:
    """Never silence: the condition names it; nothing runs, and it heals when the parent comes."""
    world = child(ON_BOTH, parents="a")
    said = world.condition("Ready"), world.condition("Stalled")
    [message] = [one["message"] for one in world.status["conditions"] if one["type"] == "Ready"]
    world.now += 10
    succeed(world, "a")
    ran(world)
    before = len(world.created)
    succeed(world, "b")
    ran(world)

    assert (("False", "ParentMissing"), ("", "")) == said
    assert "There is no BatchJob b in this namespace." == message
    assert (0, 1) == (before, len(world.created))


def test_a_circle_is_stalled() -> None:
    """Only a person can end it, so kstatus must see a failure; the way round is told."""
    world = World(ON_A, parents=Parents({"a": ParentSummary()}, cycle=("report", "a", "report")))
    world.settle()

    assert ("True", "ParentCycle") == world.condition("Stalled")
    assert [] == world.created


def test_what_holds_a_parent_back_is_said() -> None:
    """A suspended or failing parent is named in the child's condition."""
    world = World(ON_BOTH)
    world.parents = Parents({"a": ParentSummary(suspended=True), "b": ParentSummary(failed=True)})
    world.settle()
    [message] = [one["message"] for one in world.status["conditions"] if one["type"] == "Ready"]

    assert "Runs each time its parents have succeeded; a suspended; b failed last." == message


def test_an_edit_of_the_parents_keeps_what_was_consumed() -> None:
    """A new parent has to succeed; the old one's success is not used a second time."""
    world = child(ON_A)
    world.now += 10
    succeed(world, "a")
    ran(world)
    world.spec = ON_BOTH
    world.generation += 1
    world.now += 10
    succeed(world, "b")
    waits = len(ran(world))
    world.now += 10
    succeed(world, "a")

    assert (1, 2) == (waits, len(ran(world)))
    assert {"a", "b"} == {one["name"] for one in world.status["consumed"]}


def test_run_now_consumes_nothing() -> None:
    """A person's run is beside the parents' successes."""
    world = child(ON_A)
    world.annotations[names.RUN_NOW] = "please"
    ran(world)
    world.now += 10
    succeed(world, "a")

    assert 2 == len(ran(world))


def test_allow_runs_side_by_side_each_on_its_own() -> None:
    """With Allow each new set begins at once, and all are known over a restart."""
    world = child({**ON_A, "concurrencyPolicy": "Allow"})
    for _ in range(30):
        world.now += 10
        succeed(world, "a")
        world.settle()
    alive = len([pod for pod in world.pods.values() if not pod.terminal])
    ran(world)
    BatchJobStatus.model_validate(world.status)

    assert 30 == alive == len(set(world.created))
    assert 30 == world.status["statistics"]["successes"]


def test_two_runs_in_one_second_consume_in_the_order_of_the_successes() -> None:
    """With Allow two successes start two runs, whatever their names; none is counted twice."""
    for offset in range(40):  # names are hashes: in half of these the second sorts first
        world = child({**ON_A, "concurrencyPolicy": "Allow"}, parents="a")
        world.now += 100 + offset
        first = succeed(world, "a")
        world.step()
        second = succeed(world, "a", slot=world.now + 1)
        runs = ran(world)

        assert sorted([pairs(a=first), pairs(a=second)]) == sorted(runs)
        assert 2 == world.status["statistics"]["runs"]
        assert [{"name": "a", "run": second}] == world.status["consumed"]


def test_what_a_stored_parent_tells() -> None:
    """Successes, suspension and failure are read from the stored status alone."""
    status = {
        "fulfilled": [{"run": "s1", "endTime": rfc3339(START)}, {"run": "?"}, 3],
        "conditions": [
            {"type": "Suspended", "status": "True", "reason": "Paused"},
            {"type": "LastRunSucceeded", "status": "False", "reason": "Failed"},
        ],
    }
    told = ParentSummary((Success("s1", START),), once=True, suspended=True, failed=True)
    soft = make_job(status=status, treatFailureAsSuccess=True, schedule="@daily")

    assert told == parent_summaries.summary(make_job(status=status))
    assert ParentSummary(told.successes, suspended=True) == parent_summaries.summary(soft)


GRAPH = {"a": ("b",), "b": ("c", "d"), "c": (), "d": ("b", "e"), "e": ("e",), "f": ("a", "c")}


@pytest.mark.parametrize(
    ("job", "way"),
    [("a", ()), ("b", ("b", "d", "b")), ("d", ("d", "b", "d")), ("e", ("e", "e")), ("f", ())],
)
def test_who_is_in_a_circle(job: str, way: tuple[str, ...]) -> None:
    """A job is in a circle when a way over parents leads back to it, not when it waits on one."""
    assert way == graph.cycle(job, lambda name: GRAPH.get(name, ()))


def test_a_wide_and_deep_graph_is_looked_at_within_bounds() -> None:
    """However large the graph, the search ends."""
    looked: list[str] = []

    def parents(name: str) -> tuple[str, ...]:
        looked.append(name)
        return tuple(f"{name}{letter}" for letter in "abcd")

    assert () == graph.cycle("", parents)
    assert graph.MOST_ANCESTORS >= len(looked)


def test_the_children_of_a_job_are_known() -> None:
    """From the parent's side: children, their children, and nobody once the edges are gone."""
    lineage = graph.Lineage()
    a, b, c = (("BatchJob", "default", name) for name in "abc")
    lineage.link(b, ("a",))
    lineage.link(c, ("b", "a"))
    near, far = lineage.descendants(a, near=True), lineage.descendants(a)
    lineage.link(c, ("b",))
    edited = lineage.descendants(a, near=True), lineage.descendants(a)
    lineage.link(b, ())

    assert {b, c} == near == far
    assert ({b}, {b, c}) == edited
    assert frozenset() == lineage.descendants(a)
