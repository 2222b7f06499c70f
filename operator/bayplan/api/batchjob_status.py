"""The status of a BatchJob: its runs, its figures, what it waits for; written by the operator."""

from typing import Annotated, Literal

from pydantic import Field, Strict

from bayplan.api.meta import (
    Flag,
    Integer,
    Long,
    Name,
    Part,
    Time,
    Word,
    crd,
)
from bayplan.api.status import Conditions, ObservedGeneration, RequestsOfOnePod, WaitingPods


class Consumed(Part):
    """The success of a parent that this job last ran on."""

    name: Name = Field(description="Name of the parent.")
    run: Word = Field(description="Identity of the parent's run.")


LONGEST_DETAIL = 512  # characters
_INDEXES = 4096  # characters: enough for every second index of a thousand


class Retries(Part):
    """Indexes of an array that stand alike and were tried before."""

    indexes: str | None = Field(default=None, max_length=_INDEXES, description="Such as 0-3,7.")
    attempt: Integer | None = Field(default=None, ge=0, description="Their current attempt.")
    failures: Integer | None = Field(default=None, ge=0, description="Failed attempts of each.")
    disruptions: Integer | None = Field(default=None, ge=0, description="Lost attempts of each.")
    retry_time: Time | None = Field(default=None, description="When that attempt was due.")


class TasksStatus(Part):
    """Where the tasks of a run stand; those not named run or wait for the first time."""

    count: Integer | None = Field(default=None, ge=0, description="How many the run has.")
    gang: Flag | None = Field(default=None, description="Whether they are placed all or none.")
    succeeded: str | None = Field(
        default=None, max_length=_INDEXES, description="Indexes that succeeded, such as 0-3,7."
    )
    failed: str | None = Field(
        default=None, max_length=_INDEXES, description="Indexes that failed for good."
    )
    cancelled: str | None = Field(
        default=None, max_length=_INDEXES, description="Indexes whose pod a person deleted."
    )
    reason: Word | None = Field(default=None, description="How the first that failed ended.")
    exit_code: Integer | None = Field(default=None, description="Exit code of that one.")
    retries: tuple[Retries, ...] = Field(
        default=(),
        max_length=1000,
        description="Indexes that were tried before and have not ended.",
        json_schema_extra=crd(list_type="atomic"),
    )


class ActiveRun(Part):
    """A run that has not finished."""

    run: Word = Field(description="Identity of the run within this BatchJob, part of pod names.")
    trigger: Literal["Schedule", "Once", "RunNow", "Parents", "Backfill", "Retry"] | None = Field(
        default=None, description="Why it runs."
    )
    slot_time: Time | None = Field(default=None, description="The scheduled time it belongs to.")
    since: Time | None = Field(default=None, description="When it became due and was taken up.")
    attempt: Integer | None = Field(
        default=None, ge=0, description="Number of the current attempt; the first is 0."
    )
    failures: Integer | None = Field(
        default=None, ge=0, description="Failed attempts so far that count against the limit."
    )
    disruptions: Integer | None = Field(
        default=None, ge=0, description="Attempts so far that were lost to their node."
    )
    retry_time: Time | None = Field(
        default=None, description="When the next attempt starts; absent while one exists."
    )
    start_time: Time | None = Field(
        default=None, description="When the first container of the run started."
    )
    pods: tuple[Name, ...] = Field(
        default=(),
        max_length=16,
        description="The pod of the current attempt; of several tasks one of those that live.",
        json_schema_extra=crd(list_type="atomic"),
    )
    reason: Word | None = Field(
        default=None,
        description="What keeps the current attempt from starting, or how the last one ended.",
    )
    detail: str | None = Field(
        default=None,
        max_length=LONGEST_DETAIL,
        description="What the kubelet says, or said, of an attempt that does not start.",
    )
    node: Name | None = Field(default=None, description="Node of the current or last attempt.")
    arguments: str | None = Field(
        default=None,
        max_length=4096,
        description="What the annotation bayplan.dev/run-now-args gave it, as JSON.",
    )
    tasks: TasksStatus | None = Field(default=None, description="Its tasks, where it has several.")


class FinishedRun(Part):
    """A run that has finished, or was missed."""

    run: Word = Field(description="Identity of the run within this BatchJob.")
    slot_time: Time | None = Field(default=None, description="The scheduled time it belonged to.")
    outcome: Literal["Succeeded", "Failed", "Cancelled", "Missed"] = Field(
        description="How it ended."
    )
    reason: Word | None = Field(default=None, description="One word for the cause.")
    detail: str | None = Field(
        default=None,
        max_length=LONGEST_DETAIL,
        description="What the kubelet said of a last attempt that did not start.",
    )
    exit_code: Integer | None = Field(
        default=None, description="Exit code of the container that decided the outcome."
    )
    node: Name | None = Field(default=None, description="Node of the last attempt.")
    start_time: Time | None = Field(default=None, description="When its first container started.")
    end_time: Time | None = Field(default=None, description="When it ended.")
    attempts: Integer | None = Field(default=None, ge=0, description="How often it was tried.")
    tasks: Integer | None = Field(default=None, ge=0, description="How many tasks it had.")
    failed_tasks: str | None = Field(
        default=None, max_length=256, description="Indexes that failed for good, such as 0-3,7."
    )
    arguments: str | None = Field(
        default=None, max_length=4096, description="What a run that did not succeed was given."
    )


class Fulfilled(Part):
    """A run that counts as a success for the jobs that have this one as a parent."""

    run: Word = Field(description="Identity of the run within this BatchJob.")
    end_time: Time | None = Field(default=None, description="When it ended.")
    slot_time: Time | None = Field(
        default=None, description="The scheduled time that it was tried again for."
    )


class Gap(Part):
    """A stretch of time in which no scheduled time led to a run; both ends belong to it."""

    from_time: Time | None = Field(default=None, description="Where it begins.")
    to_time: Time | None = Field(default=None, description="Where it ends.")


class BackfillStatus(Part):
    """What is left of the scheduled times that a person asked to make up for."""

    request: str | None = Field(
        default=None,
        max_length=64,
        description="The annotation that was taken up last; a hash of it if it was no such.",
    )
    from_time: Time | None = Field(default=None, description="None before this is left.")
    to_time: Time | None = Field(default=None, description="None after this is left.")
    left: Integer | None = Field(default=None, ge=0, description="How many at most.")


class Statistics(Part):
    """Counters since creation, which never fall, and times of the last runs."""

    runs: Long | None = Field(default=None, ge=0, description="Runs that finished.")
    successes: Long | None = Field(default=None, ge=0, description="Runs that succeeded.")
    failures: Long | None = Field(default=None, ge=0, description="Runs that failed for good.")
    cancelled: Long | None = Field(default=None, ge=0, description="Runs that were cancelled.")
    missed: Long | None = Field(
        default=None, ge=0, description="Scheduled times that passed without a run."
    )
    lost: Long | None = Field(default=None, ge=0, description="Attempts lost to their node.")
    late: Long | None = Field(
        default=None, ge=0, description="Attempts that ran longer than expectedDurationSeconds."
    )
    run_seconds_p50: Integer | None = Field(
        default=None, ge=0, description="Half of the sampled runs took no longer."
    )
    run_seconds_p95: Integer | None = Field(
        default=None, ge=0, description="19 of 20 sampled runs took no longer."
    )
    wait_seconds_p50: Integer | None = Field(
        default=None,
        ge=0,
        description="From its scheduled time to its start half of the sampled runs took no longer.",
    )
    wait_seconds_p95: Integer | None = Field(
        default=None, ge=0, description="And 19 of 20 took no longer."
    )
    usual_run_seconds: Integer | None = Field(
        default=None,
        ge=0,
        description="What a run is expected to take, learned from five samples or more.",
    )
    consecutive_failures: Long | None = Field(
        default=None, ge=0, description="Failed runs since the last success."
    )


Seconds = Annotated[int, Strict(), Field(ge=0, le=2**31 - 1)]


class Samples(Part):
    """The last twenty runs that succeeded at their first attempt, the newest first."""

    run_seconds: tuple[Seconds, ...] = Field(
        default=(),
        max_length=20,
        description="How long each ran.",
        json_schema_extra=crd(list_type="atomic"),
    )
    wait_seconds: tuple[Seconds, ...] = Field(
        default=(),
        max_length=20,
        description="How long each waited from its scheduled time to its start.",
        json_schema_extra=crd(list_type="atomic"),
    )


class BatchJobStatus(Part):
    """What is known of the job; written by the operator only."""

    conditions: Conditions = Field(
        default=(),
        description=(
            "Ready, Placed, LastRunSucceeded, Suspended; Complete or Failed without a schedule; "
            "Reconciling and Stalled only while true."
        ),
    )
    observed_generation: ObservedGeneration = None
    next_slot_time: Time | None = Field(default=None, description="The next scheduled time.")
    last_slot_time: Time | None = Field(
        default=None,
        description="The newest scheduled time that was taken up or missed; never goes back.",
    )
    schedule_hash: Word | None = Field(
        default=None, description="The schedule and time zone that times are counted by."
    )
    schedule_since_time: Time | None = Field(
        default=None,
        description=(
            "Scheduled times before this do not count: the schedule was changed, or suspension "
            "ended, then."
        ),
    )
    remaining_runs: Long | None = Field(
        default=None, ge=0, description="Scheduled times still to come of a finite schedule."
    )
    last_run_time: Time | None = Field(
        default=None,
        description="When the newest run was taken up; a missed time is no run.",
    )
    running: Integer | None = Field(
        default=None,
        ge=0,
        description="Runs whose containers run now; `active` also has those that wait to start.",
    )
    active: tuple[ActiveRun, ...] = Field(
        default=(),
        max_length=100,
        description="Runs not finished, the oldest first.",
        json_schema_extra=crd(list_type="map", list_map_keys=["run"]),
    )
    history: tuple[FinishedRun, ...] = Field(
        default=(),
        max_length=10,
        description="The last ten runs that finished or were missed, the newest first.",
        json_schema_extra=crd(list_type="atomic"),
    )
    fulfilled: tuple[Fulfilled, ...] = Field(
        default=(),
        max_length=10,
        description=(
            "The last ten runs that count as successes for jobs that name this one as a parent, "
            "the newest first."
        ),
        json_schema_extra=crd(list_type="atomic"),
    )
    statistics: Statistics | None = Field(default=None, description="Counters since creation.")
    samples: Samples | None = Field(
        default=None, description="What the times of `statistics` are computed from."
    )
    effective_requests: RequestsOfOnePod = None
    forgiven_failures: Long | None = Field(
        default=None,
        ge=0,
        description=(
            "How many of consecutiveFailures were before the spec was last changed; "
            "suspendAfterFailures counts those after."
        ),
    )
    paused_until: Time | None = Field(
        default=None,
        description=(
            "No scheduled run starts before this: taken from the annotation "
            "bayplan.dev/paused-until, which may be removed then."
        ),
    )
    gaps: tuple[Gap, ...] | None = Field(
        default=None,
        max_length=20,
        description=(
            "Where no scheduled time led to a run: what bayplan.dev/backfill may make up for. "
            "Absent: all time before the job was created. Of more than 20 the oldest are "
            "forgotten, and count as having run."
        ),
        json_schema_extra=crd(list_type="atomic"),
    )
    backfill: BackfillStatus | None = Field(
        default=None,
        description=("Taken from the annotation bayplan.dev/backfill, which may be removed then."),
    )
    consumed: tuple[Consumed, ...] = Field(
        default=(),
        max_length=50,
        description="The successes of its parents that it last ran on.",
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    handled_tokens: tuple[Word, ...] = Field(
        default=(),
        max_length=128,
        description=(
            "Runs that values of the annotation bayplan.dev/run-now led to, the newest first; a "
            "value stands for the same run for ever, and is never taken up twice. Also runs that "
            "parents led to, as long as a pod of theirs exists."
        ),
        json_schema_extra=crd(list_type="atomic"),
    )
    placement: WaitingPods = None
