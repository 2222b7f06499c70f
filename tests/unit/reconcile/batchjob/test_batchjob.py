"""What should run of a BatchJob: triggers, concurrency, status."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run, token_run
from bayplan.api.times import rfc3339
from bayplan.model import intents
from bayplan.model.pods import Phase
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.reconcile.batchjob import reconcile
from bayplan.reconcile.view import NoRoom
from tests.builders import make_node
from tests.jobs import PREFIX, START, World, make_admission, make_job, make_run_pod, make_view

MINUTE, HOUR, DAY = 60, 3600, 86_400
HOURLY = {"schedule": "30 * * * *"}
SLOT = START + HOUR // 2  # the first of HOURLY


def first_run(world: World) -> World:
    """The job's first slot has come and its pod runs."""
    world.wait(SLOT - world.now)
    return world


def names_of(world: World) -> list[str]:
    return [name.removeprefix(PREFIX) for _, name in world.created]


def test_a_job_without_a_schedule_runs_once_ever() -> None:
    """One run at creation; not again when it has ended, nor after days."""
    world = World({})
    world.settle()
    created = list(world.created)
    world.now += 5
    world.finish()
    world.wait(3 * DAY)

    assert [(START, f"{PREFIX}{slot_run(START)}-0")] == created == world.created
    assert ("True", "Complete") == world.condition("Complete")
    assert ("True", "Complete") == world.condition("Ready")
    assert ("", "") == world.condition("Reconciling")


def test_a_job_that_runs_once_is_in_progress_until_it_has_a_node() -> None:
    """Tools that wait see progress first, then Ready."""
    world = World({}, nodes={})
    world.settle()
    before = world.condition("Ready"), world.condition("Reconciling")
    world.nodes["n1"] = make_node("n1")
    world.pods[world.live().key] = replace(world.live(), node="n1")
    world.wait(20)

    assert (("False", "Starting"), ("True", "Starting")) == before
    assert (("True", "Running"), ("", "")) == (
        world.condition("Ready"),
        world.condition("Reconciling"),
    )


def test_a_failed_one_shot_is_stalled() -> None:
    """Nothing but a person heals it; a run-now does."""
    world = World({"retryPolicy": {"limit": 0}})
    world.settle()
    world.finish(exit_code=3)
    world.settle()
    failed = world.condition("Failed"), world.condition("Stalled")
    world.annotations[names.RUN_NOW] = "again"
    world.settle()
    world.finish()
    world.settle()

    assert (("True", "RunFailed"), ("True", "RunFailed")) == failed
    assert [("", ""), ("", ""), ("True", "Complete")] == [
        world.condition(type_) for type_ in ("Failed", "Stalled", "Complete")
    ]


def test_a_slot_starts_at_its_time_and_not_before() -> None:
    """The operator asks to be woken at the slot; the pod carries what the run is."""
    world = World(HOURLY)
    world.settle()

    assert [] == world.created
    assert SLOT == world.outcome.wake_at
    world.now = SLOT
    [task] = world.step().tasks

    assert f"{PREFIX}{slot_run(SLOT)}-0" == task.name
    assert {
        names.JOB: "report",
        names.RUN: slot_run(SLOT),
        names.SLOT: str(SLOT),
        names.ATTEMPT: "0",
        names.TEMPLATE_HASH: world.job.template_hash,
    } == task.labels
    assert {
        "BAYPLAN_JOB": "report",
        "BAYPLAN_SLOT": "2026-09-21T14:30:00Z",
        "BAYPLAN_RUN": slot_run(SLOT),
        "BAYPLAN_ATTEMPT": "0",
        "BAYPLAN_TASK_INDEX": "0",
        "BAYPLAN_TASKS": "1",
    } == task.environment
    assert SLOT == task.since


def test_a_short_run_costs_four_writes() -> None:
    """CREATE, status, finalizer; and the DELETE once history is full."""
    world = World({**HOURLY, "history": {"successful": 0, "failed": 0}})
    first_run(world)
    before = len(world.writes) - 1  # its CREATE
    world.now += 9
    world.finish()
    world.settle()

    assert ["create", "status", "release", "delete"] == [
        write.split(" ")[0] for write in world.writes[before:]
    ]
    assert {} == world.pods


def test_a_long_run_is_in_the_status_after_ten_seconds() -> None:
    """Not when it starts: most end sooner."""
    world = first_run(World(HOURLY))
    writes = len(world.writes)
    world.wait(9)

    assert writes == len(world.writes)
    assert 0 == world.status["running"]
    world.wait(1)

    assert 1 == world.status["running"]
    assert rfc3339(SLOT) == world.status["lastSlotTime"]
    assert rfc3339(SLOT + HOUR) == world.status["nextSlotTime"]
    assert [
        {
            "run": slot_run(SLOT),
            "trigger": "Schedule",
            "slotTime": rfc3339(SLOT),
            "since": rfc3339(SLOT),
            "attempt": 0,
            "startTime": rfc3339(SLOT),
            "pods": [f"{PREFIX}{slot_run(SLOT)}-0"],
            "node": "n1",
        }
    ] == world.status["active"]


def test_a_finished_run_is_told_in_full() -> None:
    """History, counters and the condition come in one write."""
    world = first_run(World(HOURLY))
    world.now += 5
    world.finish()
    world.settle()

    assert [
        {
            "run": slot_run(SLOT),
            "slotTime": rfc3339(SLOT),
            "outcome": "Succeeded",
            "reason": "Completed",
            "exitCode": 0,
            "node": "n1",
            "startTime": rfc3339(SLOT),
            "endTime": rfc3339(SLOT + 5),
            "attempts": 1,
        }
    ] == world.status["history"]
    assert 1 == world.status["statistics"]["runs"] == world.status["statistics"]["successes"]
    assert ("True", "Succeeded") == world.condition("LastRunSucceeded")


def test_the_first_status_answers_the_generation() -> None:
    """Before the template is known tools must wait: unknown, reconciling, generation named."""
    world = World(HOURLY, admitted=False)
    outcome = world.step()

    assert outcome.probe
    assert () == outcome.tasks
    assert 1 == world.status["observedGeneration"]
    assert ("Unknown", "Checking") == world.condition("Ready")
    assert ("True", "Checking") == world.condition("Reconciling")


def test_a_restart_does_not_unsay_what_was_ready() -> None:
    """An operator that has not asked again yet leaves the conditions of this generation."""
    world = World(HOURLY)
    world.settle()
    world.admitted = False
    again = world.step()
    world.generation += 1
    world.step()

    assert (None, True) == (again.status, again.probe)
    assert ("Unknown", "Checking") == world.condition("Ready")


def test_an_answer_is_renewed_when_it_is_used_and_an_hour_old() -> None:
    """An idle job asks nothing; a run asks again beside its CREATE."""
    job = make_job(status=World(HOURLY).status, **HOURLY)
    old = make_view(job, admission=make_admission(job, checked_at=SLOT - HOUR))
    idle = reconcile.reconcile(job, {}, old, SLOT - 1)
    due = reconcile.reconcile(job, {}, old, SLOT)

    assert (False, True) == (idle.probe, due.probe)
    assert 1 == len(due.tasks)


@pytest.mark.parametrize(
    ("refusal", "conditions"),
    [
        ("InvalidTemplate", (("False", "InvalidTemplate"), ("True", "InvalidTemplate"))),
        ("TemplateRefused", (("False", "TemplateRefused"), ("", ""))),
        ("QuotaExceeded", (("False", "QuotaExceeded"), ("", ""))),
    ],
)
def test_refusals(refusal: str, conditions: tuple[tuple[str, str], ...]) -> None:
    """Only what the user must mend is stalled; the rest is tried again at its time."""
    world = World(HOURLY)
    world.refusal = make_admission(
        world.job, refusal=refusal, message="no such thing", retry_at=SLOT + 7
    )
    world.settle()
    world.now = SLOT
    early = world.step()
    world.now = SLOT + 7
    late = world.step()

    assert conditions == (world.condition("Ready"), world.condition("Stalled"))
    assert () == early.tasks == late.tasks
    final = refusal == "InvalidTemplate"
    assert [False, not final] == [early.probe, late.probe]
    assert (SLOT + HOUR if final else SLOT + 7) == early.wake_at


def test_what_is_wrong_with_a_spec_is_said_and_nothing_starts() -> None:
    """Stalled with field and remedy; the live run goes on and is accounted for."""
    world = first_run(World(HOURLY))
    world.spec = {"schedule": "61 * * * *"}
    world.generation += 1
    world.wait(DAY)
    [condition] = [one for one in world.status["conditions"] if one["type"] == "Stalled"]

    assert 1 == len(world.created)
    assert "InvalidSchedule" == condition["reason"]
    assert condition["message"].startswith("spec.schedule: ")
    world.finish()
    world.settle()

    assert [(slot_run(SLOT), "Succeeded")] == world.history()
    assert not any(pod.finalizers for pod in world.pods.values())


def test_an_unreadable_spec_leaves_the_runs_alone() -> None:
    """Only conditions change; healed, all goes on."""
    world = first_run(World(HOURLY))
    world.wait(20)
    before = dict(world.status)
    world.spec = {"schedule": 5}
    world.generation += 1
    world.finish()
    world.settle()
    stalled = dict(world.status)
    world.spec = dict(HOURLY)
    world.generation += 1
    world.settle()

    assert {**before, "conditions": 0, "observedGeneration": 2} == {**stalled, "conditions": 0}
    assert (
        "InvalidSpec"
        == next(one for one in stalled["conditions"] if one["type"] == "Stalled")["reason"]
    )
    assert [(slot_run(SLOT), "Succeeded")] == world.history()
    assert ("", "") == world.condition("Stalled")


def test_a_resource_that_is_going_gets_nothing_new() -> None:
    """No pod, no status; its pods are released, so that garbage collection ends."""
    world = first_run(World(HOURLY))
    world.deleting = True
    outcome = world.step()
    pod = world.live()
    gone = replace(world.view(), namespace_deleting=True)
    namespace = reconcile.reconcile(make_job(**HOURLY), {}, gone, SLOT)

    assert (intents.ReleasePod("default", pod.name, pod.uid, ()),) == outcome.releases
    assert intents.Outcome(releases=outcome.releases) == outcome
    assert intents.Outcome() == namespace


def test_orphans_are_released_of_our_finalizer_only() -> None:
    """Others' finalizers stay; a pod that has none of ours is left alone."""
    held = make_run_pod("s1", finalizers=("other/one", names.RUN_TRACKING))
    free = make_run_pod("s2", finalizers=())

    assert (
        intents.ReleasePod("default", held.name, held.uid, ("other/one",)),
    ) == reconcile.release_orphans([free, held])


# --- Missed slots -----------------------------------------------------------------------------


def outage(spec: dict[str, Any], hours: int) -> World:
    """The operator is away from just before the first slot for so many hours."""
    world = World({**HOURLY, **spec})
    world.settle()
    world.now = SLOT + hours * HOUR + 90
    world.settle()
    return world


def test_after_an_outage_the_newest_slot_runs() -> None:
    """RunLatest: one run, all the others are reported as missed, once."""
    world = outage({}, 4)
    world.finish()
    world.wait(10)

    assert [f"{slot_run(SLOT + 4 * HOUR)}-0"] == names_of(world)
    assert 4 == world.status["statistics"]["missed"]
    assert ["Missed", "RunSucceeded"] == [event.reason for event in world.events]
    assert "4 scheduled times passed without a run, the newest 2026-09-21T17:30:00Z" in (
        world.events[0].message
    )
    assert [
        (slot_run(SLOT + 4 * HOUR), "Succeeded"),
        (slot_run(SLOT + 3 * HOUR), "Missed"),
    ] == world.history()


def test_after_an_outage_skip_runs_nothing() -> None:
    """Skip: all are missed, the next comes at its time."""
    world = outage({"missedRunPolicy": "Skip"}, 4)

    assert [] == world.created
    assert 5 == world.status["statistics"]["missed"]
    assert rfc3339(SLOT + 5 * HOUR) == world.status["nextSlotTime"]
    world.wait(HOUR)

    assert [f"{slot_run(SLOT + 5 * HOUR)}-0"] == names_of(world)


def test_after_an_outage_run_all_runs_each_in_turn() -> None:
    """RunAll under Forbid: one after the other, the oldest first."""
    world = outage({"missedRunPolicy": "RunAll"}, 3)
    for _ in range(4):
        world.now += 5
        world.finish()
        world.settle()

    assert [f"{slot_run(SLOT + hour * HOUR)}-0" for hour in range(4)] == names_of(world)
    assert 0 == world.status["statistics"]["missed"]


def test_run_all_keeps_a_hundred() -> None:
    """What lies further back is missed and counted."""
    world = World({"schedule": "* * * * *", "missedRunPolicy": "RunAll"})
    world.settle()
    world.finish()
    world.settle()
    world.now = START + 1000 * MINUTE
    world.settle()

    assert f"{slot_run(START + 901 * MINUTE)}-0" == names_of(world)[-1]
    assert 900 == world.status["statistics"]["missed"]


def test_a_slot_beyond_its_starting_deadline_is_missed() -> None:
    """Late by the deadline it still runs, a second later not."""
    on_time = World({**HOURLY, "startingDeadlineSeconds": 600})
    late = World({**HOURLY, "startingDeadlineSeconds": 600})
    for world, seconds in ((on_time, 600), (late, 601)):
        world.settle()
        world.now = SLOT + seconds
        world.settle()

    assert ([f"{slot_run(SLOT)}-0"], []) == (names_of(on_time), names_of(late))
    assert 1 == late.status["statistics"]["missed"]
    assert [(slot_run(SLOT), "Missed")] == late.history()
    assert "StartingDeadline" == late.status["history"][0]["reason"]


def test_a_row_of_misses_is_one_entry() -> None:
    """Misses do not push the runs out of the history."""
    world = outage({"missedRunPolicy": "Skip"}, 2)
    world.now += 5 * HOUR
    world.settle()

    assert [(slot_run(SLOT + 7 * HOUR), "Missed")] == world.history()
    assert 8 == world.status["statistics"]["missed"]


def test_no_slot_before_creation() -> None:
    """A job made a second after a slot waits for the next one, whatever the policy."""
    for policy in ("RunLatest", "RunAll", "Skip"):
        world = World({"schedule": "59 13 * * *", "missedRunPolicy": policy})
        world.settle()

        assert [] == world.created
        assert "statistics" not in world.status


def test_a_finite_schedule_comes_to_its_end() -> None:
    """R3 counts slots, handled or missed; then the job is finished and Ready."""
    world = World({"schedule": "R3/2026-09-21T14:30:00Z/PT1H"})
    remaining = []
    for _ in range(4):
        world.wait(HOUR)
        for pod in [pod for pod in world.pods.values() if not pod.terminal]:
            world.finish(name=pod.name)
        world.settle()
        remaining.append(world.status["remainingRuns"])

    assert [2, 1, 0, 0] == remaining
    assert 3 == len(world.created)
    assert ("True", "Finished") == world.condition("Ready")
    assert "nextSlotTime" not in world.status


# --- Edits and suspension ---------------------------------------------------------------------


def test_an_edited_schedule_runs_nothing_that_lay_before_the_edit() -> None:
    """At 14:40 the schedule becomes 14:10 daily: the next run is tomorrow."""
    world = World({"schedule": "0 20 * * *"})
    world.settle()
    world.now = START + 40 * MINUTE
    world.spec = {"schedule": "10 14 * * *"}
    world.generation += 1
    world.wait(HOUR)

    assert [] == world.created
    assert rfc3339(START + DAY + 10 * MINUTE) == world.status["nextSlotTime"]


def test_an_edit_is_not_forgotten_over_a_restart() -> None:
    """The floor is stored: later looks do not see the old slot as missed."""
    world = World({"schedule": "0 20 * * *", "missedRunPolicy": "RunAll"})
    world.settle()
    world.now = START + 41 * MINUTE
    world.spec = {**world.spec, "schedule": "*/5 * * * *"}
    world.generation += 1
    world.settle()
    world.now = START + 46 * MINUTE
    world.settle()

    assert [f"{slot_run(START + 45 * MINUTE)}-0"] == names_of(world)


def test_a_slot_is_not_repeated_under_another_schedule() -> None:
    """14:30 has run hourly; daily at 14:30, edited at once, waits for tomorrow."""
    world = first_run(World(HOURLY))
    world.finish()
    world.settle()
    world.spec = {"schedule": "30 14 * * *"}
    world.generation += 1
    world.wait(HOUR)

    assert 1 == len(world.created)


def test_a_suspended_job_starts_nothing_and_owes_nothing() -> None:
    """Slots that pass meanwhile are not made up for; their number is told once."""
    world = World({**HOURLY, "suspend": True})
    world.wait(5 * HOUR)
    suspended = world.condition("Suspended"), world.condition("Ready")
    assert "nextSlotTime" not in world.status
    world.spec = {**HOURLY}
    world.generation += 1
    world.wait(HOUR - 1)

    assert (("True", "Suspended"), ("True", "Suspended")) == suspended
    assert ("False", "NotSuspended") == world.condition("Suspended")
    assert [f"{slot_run(SLOT + 5 * HOUR)}-0"] == names_of(world)
    assert ["5 scheduled times passed while suspended."] == [one.message for one in world.events]


def test_the_floor_of_an_edit_never_goes_back() -> None:
    """An edit seen by a clock that was set back does not uncover slots that were passed over."""
    floor = START + 6 * HOUR
    status = {"scheduleHash": "other", "scheduleSinceTime": rfc3339(floor)}
    job = make_job(status=status, **HOURLY)
    outcome = reconcile.reconcile(job, {}, make_view(job), START + HOUR)

    assert () == outcome.tasks
    assert outcome.status is not None
    assert rfc3339(floor) == outcome.status["scheduleSinceTime"]


def test_running_ones_go_on_while_suspended() -> None:
    """Retries too: the run was taken up before."""
    world = first_run(World({**HOURLY, "retryPolicy": {"delaySeconds": 60}}))
    world.spec = {**world.spec, "suspend": True}
    world.generation += 1
    world.finish(exit_code=1)
    world.wait(60)

    assert [f"{slot_run(SLOT)}-0", f"{slot_run(SLOT)}-1"] == names_of(world)


def test_a_person_may_run_a_suspended_job() -> None:
    """run-now starts one run of a suspended job, and no second for the same token."""
    world = World({**HOURLY, "suspend": True}, annotations={names.RUN_NOW: "by-hand"})
    world.settle()
    world.finish()
    world.wait(5 * HOUR)

    assert [f"{token_run('by-hand')}-0"] == names_of(world)


def test_a_run_held_by_suspension_does_not_hold_a_persons() -> None:
    """A slot that was taken up but never got its pod waits; run-now passes it."""
    taken = {"run": slot_run(SLOT), "since": rfc3339(SLOT), "attempt": 0}
    status = {"lastSlotTime": rfc3339(SLOT), "active": [taken]}
    job = make_job(status=status, annotations={names.RUN_NOW: "a"}, suspend=True, **HOURLY)
    [task] = reconcile.reconcile(job, {}, make_view(job), SLOT).tasks

    assert f"{PREFIX}{token_run('a')}-0" == task.name


def test_a_suspended_one_shot_runs_when_it_is_resumed() -> None:
    """As a suspended Job does."""
    world = World({"suspend": True})
    world.wait(HOUR)
    before = list(world.created)
    world.spec = {}
    world.generation += 1
    world.settle()

    assert ([], 1) == (before, len(world.created))


# --- Concurrency ------------------------------------------------------------------------------


def test_forbid_keeps_one_trigger_waiting() -> None:
    """While a run goes on for three slots, the newest of them waits; it starts at the end."""
    world = first_run(World(HOURLY))
    world.wait(3 * HOUR + 60)
    assert 1 == len(world.created)
    world.finish()
    world.settle()

    assert [f"{slot_run(SLOT)}-0", f"{slot_run(SLOT + 3 * HOUR)}-0"] == names_of(world)
    assert 2 == world.status["statistics"]["missed"]


def test_a_blocked_schedule_costs_no_writes() -> None:
    """Slots that wait for a long run are not written one by one."""
    world = first_run(World({"schedule": "* * * * *"}))
    world.wait(60)
    writes = len(world.writes)
    world.wait(HOUR)

    assert writes == len(world.writes)


def test_forbid_waits_for_retries_too() -> None:
    """A run between two attempts is unfinished."""
    world = first_run(
        World({**HOURLY, "retryPolicy": {"delaySeconds": 7200, "maxDelaySeconds": 7200}})
    )
    world.finish(exit_code=1)
    world.wait(HOUR + 60)

    assert [f"{slot_run(SLOT)}-0"] == names_of(world)


def test_allow_runs_side_by_side() -> None:
    """Each slot has its own run."""
    world = first_run(World({**HOURLY, "concurrencyPolicy": "Allow"}))
    world.wait(2 * HOUR + 10)

    assert [f"{slot_run(SLOT + hour * HOUR)}-0" for hour in range(3)] == names_of(world)
    assert 3 == len(world.status["active"])


def test_allow_creates_slots_in_order() -> None:
    """A later slot's pod is not made while an earlier one's CREATE may still fail."""
    job = make_job(concurrencyPolicy="Allow", missedRunPolicy="RunAll", **HOURLY)
    unseen = make_run_pod(slot_run(SLOT), uid="", created_at=SLOT)
    seen = replace(unseen, uid="u1")
    now = SLOT + HOUR
    held, going = (
        reconcile.reconcile(job, {pod.key: pod}, make_view(job), now) for pod in (unseen, seen)
    )

    assert () == held.tasks
    assert [f"{PREFIX}{slot_run(SLOT + HOUR)}-0"] == [task.name for task in going.tasks]


def test_allow_ends_at_a_hundred_unfinished_runs() -> None:
    """The hundred and first waits until one has ended."""
    world = World({"schedule": "* * * * *", "concurrencyPolicy": "Allow"})
    world.wait(120 * MINUTE)
    assert 100 == len(world.status["active"]) == len(world.created)
    world.finish(name=world.created[0][1])
    world.settle()

    assert 101 == len(world.created)


def test_replace_ends_the_running_one_first() -> None:
    """Status, then delete, then the new run: never both alive."""
    world = first_run(World({**HOURLY, "concurrencyPolicy": "Replace"}))
    world.wait(HOUR)
    while_stopping = list(names_of(world))
    old = world.pods["default", f"{PREFIX}{slot_run(SLOT)}-0"]
    world.now += 10
    world.stop()
    world.settle()

    assert [f"{slot_run(SLOT)}-0"] == while_stopping
    assert old.terminating
    assert [f"{slot_run(SLOT)}-0", f"{slot_run(SLOT + HOUR)}-0"] == names_of(world)
    assert [(slot_run(SLOT), "Cancelled")] == world.history()
    assert "Replaced" == world.status["history"][0]["reason"]
    assert 0 == world.status["statistics"]["missed"]


@pytest.mark.parametrize(
    ("word", "ended"),
    [("QuotaExceeded", True), ("TemplateRefused", False), ("InvalidTemplate", False)],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_replace_under_a_full_quota(word: str, ended: bool, by_hand: bool) -> None:
    """The run that is to be replaced is what fills it: it goes first, once; nobody else does."""
    world = first_run(World({**HOURLY, "concurrencyPolicy": "Replace"}))
    world.refusal = make_admission(world.job, refusal=word, message="no", retry_at=SLOT + 9 * HOUR)
    if by_hand:
        world.annotations[names.RUN_NOW] = "a"
    world.wait(60 if by_hand else HOUR)
    stopping = [pod.name for pod in world.pods.values() if pod.terminating]
    world.stop()
    world.settle()
    history = world.history()
    world.refusal = None
    world.settle()
    second = token_run("a") if by_hand else slot_run(SLOT + HOUR)

    assert ([f"{PREFIX}{slot_run(SLOT)}-0"] if ended else []) == stopping
    assert ([(slot_run(SLOT), "Cancelled")] if ended else []) == history
    if ended:
        assert [f"{slot_run(SLOT)}-0", f"{second}-0"] == names_of(world)


# --- Run now ----------------------------------------------------------------------------------


def test_run_now_runs_once_a_token() -> None:
    """A new token a new run; the same again, or none, nothing."""
    world = World(HOURLY)
    world.settle()
    for token in ("a", "a", "", "b", "a"):
        world.annotations[names.RUN_NOW] = token
        world.settle()
        for pod in [pod for pod in world.pods.values() if not pod.terminal]:
            world.finish(name=pod.name)
        world.wait(60)

    assert [f"{token_run('a')}-0", f"{token_run('b')}-0"] == names_of(world)
    assert [token_run("b"), token_run("a")] == world.status["handledTokens"]
    assert "lastSlotTime" not in world.status


def test_run_now_under_forbid_waits_and_survives_the_loss_of_its_annotation() -> None:
    """The token is taken into the status at once; one waits, a further one is refused."""
    world = first_run(World(HOURLY))
    world.annotations[names.RUN_NOW] = "a"
    world.settle()
    world.annotations[names.RUN_NOW] = "b"
    world.settle()
    world.annotations.clear()
    world.wait(60)
    assert 1 == len(world.created)
    world.finish()
    world.settle()

    assert [f"{slot_run(SLOT)}-0", f"{token_run('a')}-0"] == names_of(world)
    assert ["RunNowRefused", "RunSucceeded"] == [event.reason for event in world.events]


def test_a_forgotten_token_whose_pod_is_kept_does_not_run_again() -> None:
    """The status remembers twenty tokens; the pod's name remembers its own for as long as it is."""
    kept = make_run_pod(token_run("a"), finalizers=(), phase=Phase.SUCCEEDED)
    job = make_job(annotations={names.RUN_NOW: "a"}, **HOURLY)
    outcome = reconcile.reconcile(job, {kept.key: kept}, make_view(job), START)

    assert () == outcome.tasks
    assert outcome.status is not None
    assert "statistics" not in outcome.status


def test_run_now_under_replace_replaces() -> None:
    """As a slot does."""
    world = first_run(World({**HOURLY, "concurrencyPolicy": "Replace"}))
    world.annotations[names.RUN_NOW] = "a"
    world.settle()
    world.now += 5
    world.stop()
    world.settle()

    assert [f"{slot_run(SLOT)}-0", f"{token_run('a')}-0"] == names_of(world)
    assert [(slot_run(SLOT), "Cancelled")] == world.history()


# --- History and deletion order ---------------------------------------------------------------


def test_history_keeps_so_many_pods() -> None:
    """The newest of each kind stay, without our finalizer; older ones go."""
    world = World(
        {**HOURLY, "history": {"successful": 2, "failed": 1}, "retryPolicy": {"limit": 0}}
    )
    for hour in range(6):
        world.wait(SLOT + hour * HOUR - world.now)
        world.now += 5
        world.finish(exit_code=hour % 2)
        world.settle()

    assert {f"{PREFIX}{slot_run(SLOT + hour * HOUR)}-0" for hour in (2, 4, 5)} == {
        name for _, name in world.pods
    }
    assert not any(pod.finalizers for pod in world.pods.values())
    assert 6 == len(world.status["history"])


def test_nothing_goes_before_its_status_is_read_back() -> None:
    """As long as the stored status does not tell of its end, a pod keeps finalizer and life."""
    world = first_run(World({**HOURLY, "history": {"successful": 0, "failed": 0}}))
    world.finish()
    world.lost_status = True
    for _ in range(3):
        outcome = world.step()

        assert ((), ()) == (outcome.releases, outcome.deletes)
    world.lost_status = False
    world.settle()

    assert {} == world.pods


def test_a_status_that_equals_the_stored_is_not_written() -> None:
    """A steady job costs nothing."""
    world = World(HOURLY)
    world.settle()
    for _ in range(5):
        world.now += 60

        assert intents.Outcome(wake_at=SLOT) == world.step()


# --- Waiting for room -------------------------------------------------------------------------


def test_why_a_run_waits_is_told_after_ten_seconds() -> None:
    """Placed is False and the funnel is in the status, the largest refusal first."""
    job = make_job(**HOURLY)
    funnel = Funnel(
        considered=3,
        refusals=(Refusal(Reason.TAINT, "a", 1), Refusal(Reason.TAINT, "b", 2)),
        nearest=Nearest("n3", {"cpu": 300}),
    )
    view = make_view(job, placement=NoRoom(pending=1, since=SLOT, funnel=funnel))
    early = reconcile.reconcile(job, {}, view, SLOT + 9)
    told = reconcile.reconcile(job, {}, view, SLOT + 10).status

    assert early.wake_at == SLOT + 10
    assert early.status is not None
    assert "placement" not in early.status
    assert told is not None
    assert [
        {"reason": "Taint", "nodes": 2, "detail": "b"},
        {"reason": "Taint", "nodes": 1, "detail": "a"},
    ] == told["placement"]["refusals"]
    assert {"node": "n3", "lacks": "300m cpu"} == told["placement"]["nearest"]
    assert "NoRoom" in [one["reason"] for one in told["conditions"]]


def test_small_changes_of_why_are_no_news() -> None:
    """The same top reason and nearest node, other numbers: the stored text stays."""
    job = make_job(**HOURLY)
    nearest = Nearest("n3", {"cpu": 300})
    funnels = [
        Funnel(count, (Refusal(Reason.RESOURCES, "cpu", count),), nearest) for count in (3, 4)
    ]
    views = [make_view(job, placement=NoRoom(1, START, funnel)) for funnel in funnels]
    first = reconcile.reconcile(job, {}, views[0], START + 60).status
    again = reconcile.reconcile(make_job(status=first, **HOURLY), {}, views[1], START + 90)

    assert None is again.status


# --- Clocks -----------------------------------------------------------------------------------


def test_a_clock_set_back_repeats_nothing() -> None:
    """The highest slot never goes back."""
    world = first_run(World(HOURLY))
    world.finish()
    world.settle()
    world.now -= 2 * HOUR
    world.wait(2 * HOUR + 60)

    assert 1 == len(world.created)
    world.wait(HOUR)

    assert 2 == len(world.created)


def test_a_clock_set_forward_catches_up_by_policy() -> None:
    """As after an outage."""
    world = first_run(World(HOURLY))
    world.finish()
    world.now += DAY
    world.settle()

    assert [f"{slot_run(SLOT)}-0", f"{slot_run(SLOT + DAY)}-0"] == names_of(world)
    assert 23 == world.status["statistics"]["missed"]
