"""Which runs a job has: the stored status tells of them, or their pods alone."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.run_names import (
    LARGEST_ATTEMPT,
    MOST_TASKS,
    again_run,
    backfill_run,
    parents_run,
    slot_run,
    token_run,
)
from bayplan.api.times import LAST_TIME, rfc3339
from bayplan.model.pods import Pod
from bayplan.reconcile.batchjob import known_runs
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.reconcile import context_of
from bayplan.reconcile.batchjob.requests import LONGEST_ARGUMENTS
from bayplan.reconcile.batchjob.runs import Run
from tests.jobs import PREFIX, START, World, make_run_pod

HOURLY = {"schedule": "0 * * * *"}
NOW = START + 600
ASKED, OTHER = token_run("please"), token_run("once more")
PARENTS = parents_run([("fetch", slot_run(START))])


def context(*pods: Pod, spec: dict[str, Any] | None = None, **status: Any) -> JobContext:
    """A job with these pods and this stored status."""
    world = World(spec if spec is not None else HOURLY, now=NOW, status=status)
    world.pods = {pod.key: pod for pod in pods}
    world.look()
    read = world.job.spec
    assert isinstance(read, BatchJobSpec)
    return context_of(world.job, read, world.pods, world.view(), NOW)


def runs(*pods: Pod, spec: dict[str, Any] | None = None, **status: Any) -> list[Run]:
    return known_runs.known_runs(context(*pods, spec=spec, **status))


def active(run: str, **more: Any) -> dict[str, Any]:
    """An entry of the stored status."""
    return {"run": run, "trigger": "Schedule", "since": rfc3339(START), **more}


# ---- pods by run --------------------------------------------------------------------------------


def test_pods_are_sorted_by_their_names() -> None:
    """Run, index and attempt stand in the name; labels, which anybody can change, tell nothing."""
    run = slot_run(START)
    pods = [
        make_run_pod(run, 0, labels={"bayplan.dev/run": "another"}),
        make_run_pod(run, 1),
        make_run_pod(ASKED, 0, name=f"{PREFIX}{ASKED}-2-7"),
    ]
    found = known_runs.pods_by_run(PREFIX, {pod.key: pod for pod in pods})

    assert {run: {0: {0: pods[0], 1: pods[1]}}, ASKED: {7: {2: pods[2]}}} == found


@pytest.mark.parametrize(
    "name",
    [
        "stranger",
        PREFIX,
        f"{PREFIX}{slot_run(START)}",
        f"{PREFIX}{slot_run(START)}-",
        f"{PREFIX}{slot_run(START)}-01",
        f"{PREFIX}{slot_run(START)}-0-x",
        f"{PREFIX}{slot_run(START)}-{LARGEST_ATTEMPT + 1}",
        f"{PREFIX}unknown-0",
        f"former-{PREFIX}{slot_run(START)}-0",
    ],
)
def test_a_pod_without_a_name_of_ours_is_nobodys(name: str) -> None:
    """Whatever its labels and its owner say."""
    pod = make_run_pod(slot_run(START), name=name)

    assert {} == known_runs.pods_by_run(PREFIX, {pod.key: pod})
    assert [] == runs(pod)


# ---- which runs there are -----------------------------------------------------------------------


def test_runs_of_the_status_come_first_and_once() -> None:
    """A pod of theirs makes no second one, and nothing of what is stored is lost."""
    first, second = slot_run(START), slot_run(START + 60)
    known = runs(
        make_run_pod(OTHER),
        make_run_pod(second, 3),
        active=[active(second, attempt=2, failures=1), active(first)],
        lastSlotTime=rfc3339(START + 60),
    )

    assert [second, first, OTHER] == [run.id for run in known]
    assert (2, 1) == (known[0].attempt, known[0].failures)


def test_a_run_of_the_status_is_known_whatever_else_the_status_lacks() -> None:
    """Its token may have been pushed out of `handledTokens` by newer ones."""
    assert [ASKED] == [run.id for run in runs(make_run_pod(ASKED), active=[active(ASKED)])]


def test_a_pod_alone_tells_of_a_run() -> None:
    """Its CREATE was answered and the status was not: nothing is made twice."""
    [run] = runs(make_run_pod(slot_run(START), created_at=START + 3))

    assert (slot_run(START), "Schedule", START, START + 3) == (
        run.id,
        run.trigger,
        run.slot,
        run.since,
    )
    assert (1, False, "", ()) == (run.count, run.gang, run.arguments, run.parents)


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (slot_run(START), {"lastSlotTime": rfc3339(START)}),
        (slot_run(START), {"lastSlotTime": rfc3339(START + 3600)}),
        (ASKED, {"handledTokens": [ASKED]}),
        (
            ASKED,
            {
                "history": [
                    {"run": ASKED, "outcome": "Succeeded", "endTime": rfc3339(START)},
                ]
            },
        ),
    ],
)
def test_what_the_status_took_up_and_ended_is_no_run_any_more(
    run: str, status: dict[str, Any]
) -> None:
    """Its pod is still there to be released or kept."""
    assert [] == runs(make_run_pod(run), **status)


@pytest.mark.parametrize(
    ("run", "finalizers", "known"),
    [
        (ASKED, (names.RUN_TRACKING,), True),
        (ASKED, (), False),
        (ASKED, ("somebody/else",), False),
        (slot_run(START), (), True),
    ],
)
def test_a_run_that_the_status_has_forgotten(
    run: str, finalizers: tuple[str, ...], known: bool
) -> None:
    """Without our finalizer it was accounted for long ago; a slot is told by `lastSlotTime`."""
    assert known is bool(runs(make_run_pod(run, finalizers=finalizers)))


def test_one_tracked_pod_is_enough() -> None:
    """Of a run with several attempts some are released before the others."""
    released = make_run_pod(ASKED, 0, finalizers=())

    assert [ASKED] == [run.id for run in runs(released, make_run_pod(ASKED, 1))]


def test_a_run_is_since_its_oldest_pod() -> None:
    """And since now while no pod of it has been seen yet."""
    [seen] = runs(
        make_run_pod(ASKED, 1, created_at=START + 90), make_run_pod(ASKED, 0, created_at=START + 30)
    )
    [planned] = runs(make_run_pod(ASKED, uid="", created_at=0))

    assert (START + 30, NOW) == (seen.since, planned.since)


def test_runs_that_pods_tell_of_are_in_the_order_of_their_time() -> None:
    """That of a slot is the slot, that of others their first pod; then by identity."""
    late, early = slot_run(START + 120), slot_run(START + 60)
    known = runs(
        make_run_pod(late, created_at=START),
        make_run_pod(ASKED, created_at=START + 90),
        make_run_pod(early, created_at=START + 200),
        make_run_pod(OTHER, created_at=START + 90),
    )

    assert [early, *sorted([ASKED, OTHER]), late] == [run.id for run in known]


# ---- what pods tell of a run --------------------------------------------------------------------


def test_the_first_attempt_tells_of_the_run() -> None:
    """The tenth pod is no earlier than the second, though its name sorts before."""
    told = {
        names.RUN_NOW_ARGS: '{"args": ["-v"]}',
        names.PARENTS: f"fetch={slot_run(START)},odd,=x,rates={ASKED}",
        names.TASKS: "50",
        names.GANG: "true",
        names.TRIGGER: "Retry",
    }
    [run] = runs(make_run_pod(ASKED, 10), make_run_pod(ASKED, 2, annotations=told))

    assert '{"args": ["-v"]}' == run.arguments
    assert (("fetch", slot_run(START)), ("rates", ASKED)) == run.parents
    assert (50, True, "Retry") == (run.count, run.gang, run.trigger)


def test_arguments_have_a_longest_length() -> None:
    """An annotation may hold 256 KiB; the status keeps no more than a person could ask for."""
    told = {names.RUN_NOW_ARGS: "x" * (LONGEST_ARGUMENTS + 1)}
    [run] = runs(make_run_pod(ASKED, annotations=told))

    assert "x" * LONGEST_ARGUMENTS == run.arguments


@pytest.mark.parametrize(
    ("run", "label", "slot"),
    [
        (slot_run(START), str(START + 60), START),
        (backfill_run(START - 3600), "", START - 3600),
        (again_run(slot_run(START)), str(START), START),
        (ASKED, "", None),
        (ASKED, "soon", None),
        (ASKED, "-5", None),
        (ASKED, "9" * 40, LAST_TIME),
    ],
)
def test_the_scheduled_time_of_a_run(run: str, label: str, slot: int | None) -> None:
    """Its name says it; where the name has none, the label of its pod does."""
    labels = {names.SLOT: label} if label else {}
    [known] = runs(make_run_pod(run, labels=labels))

    assert slot == known.slot


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ("", 1),
        ("1", 1),
        ("50", 50),
        (str(MOST_TASKS), MOST_TASKS),
        ("9999", MOST_TASKS),
        ("0", 1),
        ("-3", 1),
        ("many", 1),
        ("5.5", 1),
        ("٣", 1),
        ("9" * 5000, 1),
    ],
)
def test_how_many_tasks_a_run_has(told: str, count: int) -> None:
    """Never more than a run may have; what is no number of them is one."""
    assert count == known_runs.count_of(told)


@pytest.mark.parametrize(
    ("run", "told", "trigger"),
    [
        (slot_run(START), "", "Schedule"),
        (slot_run(START), "Retry", "Schedule"),
        (backfill_run(START), "", "Backfill"),
        (ASKED, "", "RunNow"),
        (ASKED, "RunNow", "RunNow"),
        (ASKED, "Retry", "Retry"),
        (ASKED, "Schedule", "RunNow"),
        (PARENTS, "", "Parents"),
    ],
)
def test_why_a_run_is(run: str, told: str, trigger: str) -> None:
    """Its name decides; the pod's annotation tells a retry from a run-now, and no more."""
    assert trigger == known_runs.trigger_of(context(), run, told)


def test_the_spec_tells_why_a_slot_has_a_run() -> None:
    """A job without a schedule runs once, or for its parents."""
    run = slot_run(START)

    assert "Once" == known_runs.trigger_of(context(spec={}), run)
    assert "Parents" == known_runs.trigger_of(context(spec={"parents": [{"name": "fetch"}]}), run)
