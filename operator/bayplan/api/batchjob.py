"""BatchJob: work that ends. Runs by schedule, or once."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict

from bayplan.api import names
from bayplan.api.meta import (
    NAME_RULE,
    Column,
    Condition,
    EffectiveRequests,
    Flag,
    Integer,
    Kind,
    Long,
    Name,
    Part,
    Placement,
    PlacementStatus,
    Time,
    Word,
    cel_text,
    crd,
    grown,
    rule,
)
from bayplan.api.template import RunTemplate

YEAR = 366 * 86_400  # seconds, the longest duration anywhere in a spec


# The shape only, in RE2; whether it can ever be due is said by the condition Stalled.
_ALIAS = "@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
_CRON = r"([-0-9A-Za-z*,/#()]+[ \t]+){4}[-0-9A-Za-z*,/#()]+"
_INTERVAL = "R[0-9]*/[-+.,:0-9TZ]*/P[0-9A-Z]+"
SCHEDULE_PATTERN = rf"^[ \t]*({_ALIAS}|{_CRON}|{_INTERVAL})[ \t]*$"
TIME_ZONE_PATTERN = "^[A-Za-z][-+_A-Za-z0-9]*(/[-+_A-Za-z0-9]+)*$"


class RetryPolicy(Part):
    """How often a failed run is tried again, and when."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.delaySeconds <= self.maxDelaySeconds",
                    "delaySeconds must not exceed maxDelaySeconds (3600 unless set); raise "
                    "`maxDelaySeconds`",
                    fieldPath=".delaySeconds",
                )
            ]
        )
    )

    limit: Integer = Field(
        default=2,
        ge=0,
        le=100,
        description=(
            "Further attempts after a failed one, per run. Attempts lost to their node (drained, "
            "gone, preempted, refused by the kubelet) do not count."
        ),
    )
    delay_seconds: Integer = Field(
        default=60, ge=0, le=86_400, description="Seconds before the first retry."
    )
    backoff_percent: Integer = Field(
        default=100,
        ge=0,
        le=1000,
        description=(
            "By how many percent the delay grows with each further retry: 100 doubles it, 0 keeps "
            "it. Retry n waits delaySeconds · ((100 + backoffPercent) / 100)^(n - 1), rounded "
            "down to a second, at most maxDelaySeconds."
        ),
    )
    max_delay_seconds: Integer = Field(
        default=3600, ge=0, le=86_400, description="The longest delay in seconds."
    )

    def delay_seconds_before(self, retry: int) -> int:
        """Seconds to wait before the n-th retry of a run; the first is 1. Exact integers."""
        return grown(
            self.delay_seconds, 100 + self.backoff_percent, retry - 1, self.max_delay_seconds
        )


ExitCode = Annotated[int, Strict(), Field(ge=0, le=255)]


class Unreachable(Part):
    """What happens to an attempt whose node has fallen silent."""

    retry_after_seconds: Integer = Field(
        default=300,
        ge=0,
        le=7 * 86_400,
        description=(
            "An attempt on a node silent for this many seconds counts as lost and is tried "
            "again elsewhere. The old container may still be running."
        ),
    )


class Parent(Part):
    """A BatchJob of the same namespace whose success this one waits for."""

    name: str = Field(
        min_length=1, max_length=63, description="Name of the BatchJob, in the same namespace."
    )
    match: Literal["AnyNewer", "SameSlot"] = Field(
        default="AnyNewer",
        description=(
            "Which success will do. AnyNewer: any since the one that this job last ran on. "
            "SameSlot: one of the same scheduled time as the other parents with SameSlot."
        ),
    )


class History(Part):
    """How many finished runs keep their pods, and so their logs."""

    successful: Integer = Field(default=3, ge=0, le=100, description="Runs that succeeded.")
    failed: Integer = Field(default=3, ge=0, le=100, description="Runs that failed.")


class BatchJobSpec(Part):
    """What should run, and when."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "!has(self.startingDeadlineSeconds) || has(self.schedule)",
                    "must be absent without `schedule`: a run without a scheduled time is never "
                    "late; remove it or add `schedule`",
                    fieldPath=".startingDeadlineSeconds",
                ),
                rule(
                    "!has(self.startWindowSeconds) || self.startWindowSeconds == 0 || "
                    "has(self.schedule)",
                    "must be 0 or absent without `schedule`; remove it or add `schedule`",
                    fieldPath=".startWindowSeconds",
                ),
                rule(
                    "!has(self.parents) || !has(self.schedule) || size(self.parents) == 0",
                    "must be absent beside `schedule`: a job runs by time or on its parents; "
                    "remove one of them",
                    fieldPath=".parents",
                ),
                rule(
                    "!has(self.expectedDurationSeconds) || !has(self.activeDeadlineSeconds) || "
                    "self.expectedDurationSeconds <= self.activeDeadlineSeconds",
                    "must not exceed activeDeadlineSeconds, which ends the run; raise "
                    "`activeDeadlineSeconds` or lower this",
                    fieldPath=".expectedDurationSeconds",
                ),
                rule(
                    "!has(self.successExitCodes) || !has(self.noRetryExitCodes) || "
                    "self.noRetryExitCodes.all(code, !(code in self.successExitCodes))",
                    "must not name a code of successExitCodes: a run cannot succeed and fail; "
                    "remove it from one of them",
                    fieldPath=".noRetryExitCodes",
                ),
            ]
        )
    )

    schedule: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description=(
            "When runs start: five cron fields (minute hour day-of-month month day-of-week; names, "
            "ranges, steps, H for a value hashed from namespace/name), @hourly, @daily, "
            "@midnight, @weekly, @monthly, @yearly, or an ISO 8601 repeating interval "
            "R[n]/[start]/period such as R/2026-01-31T06:00/P1M. Absent: when its parents have "
            "succeeded; without parents one run, at once."
        ),
        json_schema_extra=crd(
            validations=[
                rule(
                    f"self.matches({cel_text(SCHEDULE_PATTERN)})",
                    "must be five cron fields (0 6 * * MON-FRI), @hourly, @daily, @midnight, "
                    "@weekly, @monthly, @yearly, or R[n]/[start]/period (R//PT15M)",
                )
            ]
        ),
    )
    parents: tuple[Parent, ...] = Field(
        default=(),
        max_length=50,
        description=(
            "Jobs whose success starts this one: it runs each time all of them have succeeded "
            "since the successes that it last ran on, once for each set of successes."
        ),
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    time_zone: str = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        description=(
            "IANA time zone of the schedule, such as Europe/Berlin. A daily run happens exactly "
            "once on days with a clock change."
        ),
        json_schema_extra=crd(
            validations=[
                rule(
                    f"self.matches({cel_text(TIME_ZONE_PATTERN)})",
                    "must be an IANA time zone name such as UTC or Europe/Berlin",
                )
            ]
        ),
    )
    suspend: Flag = Field(
        default=False,
        description="True: no scheduled run starts; running ones go on, run-now still works.",
    )
    concurrency_policy: Literal["Forbid", "Allow", "Replace"] = Field(
        default="Forbid",
        description=(
            "When a run is due while another is unfinished. Forbid: it waits, at most one does. "
            "Allow: both run. Replace: the unfinished one is cancelled."
        ),
    )
    starting_deadline_seconds: Long | None = Field(
        default=None,
        ge=10,
        le=YEAR,
        description=(
            "A scheduled run that could not start within this many seconds of its time is missed: "
            "reported, not run. Absent: it may start however late."
        ),
    )
    start_window_seconds: Long = Field(
        default=0,
        ge=0,
        le=86_400,
        description=(
            "A scheduled run starts within so many seconds of its time, at a moment hashed from "
            "namespace/name: always the same for one job, spread over the window for many, so "
            "that full hours need fewer nodes. startingDeadlineSeconds counts from that moment."
        ),
    )
    missed_run_policy: Literal["RunLatest", "RunAll", "Skip"] = Field(
        default="RunLatest",
        description=(
            "After an outage. RunLatest: one run, for the newest time that passed. RunAll: one for "
            "every time that passed, at most 100. Skip: none."
        ),
    )
    retry_policy: RetryPolicy = Field(
        default=RetryPolicy(), description="How often a failed run is tried again, and when."
    )
    unreachable: Unreachable = Field(
        default=Unreachable(),
        description="What happens to an attempt whose node has fallen silent.",
    )
    on_lost: Literal["Retry", "Fail"] = Field(
        default="Retry",
        description=(
            "When an attempt that may have begun was lost to its node. Retry: it is tried again. "
            "Fail: the run has failed; with retryPolicy.limit 0 it begins at most once."
        ),
    )
    success_exit_codes: tuple[ExitCode, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "Exit codes that mean success; absent or empty: 0 alone. What the kernel or the "
            "kubelet ended (OOMKilled, Evicted, DeadlineExceeded) has failed whatever its code."
        ),
        json_schema_extra=crd(list_type="set"),
    )
    no_retry_exit_codes: tuple[ExitCode, ...] = Field(
        default=(),
        max_length=16,
        description="Exit codes after which a failed run is not tried again.",
        json_schema_extra=crd(list_type="set"),
    )
    treat_failure_as_success: Flag = Field(
        default=False,
        description=(
            "True: a run that has failed for good counts as a success for the jobs that name "
            "this one as a parent. Its own status tells the failure."
        ),
    )
    suspend_after_failures: Integer = Field(
        default=0,
        ge=0,
        le=1000,
        description=(
            "After this many failed runs in a row no scheduled run starts, until a run-now "
            "succeeds or the spec is changed. 0: never."
        ),
    )
    active_deadline_seconds: Long | None = Field(
        default=None,
        ge=1,
        le=YEAR,
        description="An attempt that runs longer than this many seconds is ended and has failed.",
    )
    expected_duration_seconds: Long | None = Field(
        default=None,
        ge=1,
        le=YEAR,
        description=(
            "How long a run usually takes. Running longer is reported, and what is expected to "
            "take 600 seconds or more is protected from autoscalers."
        ),
    )
    history: History = Field(
        default=History(), description="How many finished runs keep their pods, and so their logs."
    )
    ttl_seconds_after_finished: Long | None = Field(
        default=None,
        ge=0,
        le=YEAR,
        description=(
            "Pods of finished runs go after this many seconds, also those that `history` would "
            "keep. The status tells of the runs all the same."
        ),
    )
    placement: Placement = Field(default=Placement(), description="How pods share nodes.")
    template: Annotated[dict[str, Any], RunTemplate] = Field(
        description=(
            "The pod of a run, as in a Job; fields not listed here are passed on untouched. "
            "restartPolicy must be absent or Never."
        ),
    )

    @property
    def runs_once(self) -> bool:
        """Whether neither time nor parents start it: it runs when it is created."""
        return self.schedule is None and not self.parents


class Consumed(Part):
    """The success of a parent that this job last ran on."""

    name: Name = Field(description="Name of the parent.")
    run: Word = Field(description="Identity of the parent's run.")


class ActiveRun(Part):
    """A run that has not finished."""

    run: Word = Field(description="Identity of the run within this BatchJob, part of pod names.")
    trigger: Literal["Schedule", "Once", "RunNow", "Parents"] | None = Field(
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
        description="Pods of the current attempt.",
        json_schema_extra=crd(list_type="atomic"),
    )
    reason: Word | None = Field(default=None, description="How the last attempt ended.")
    node: Name | None = Field(default=None, description="Node of the current or last attempt.")
    arguments: str | None = Field(
        default=None,
        max_length=4096,
        description="What the annotation bayplan.dev/run-now-args gave it, as JSON.",
    )


class FinishedRun(Part):
    """A run that has finished, or was missed."""

    run: Word = Field(description="Identity of the run within this BatchJob.")
    slot_time: Time | None = Field(default=None, description="The scheduled time it belonged to.")
    outcome: Literal["Succeeded", "Failed", "Cancelled", "Missed"] = Field(
        description="How it ended."
    )
    reason: Word | None = Field(default=None, description="One word for the cause.")
    exit_code: Integer | None = Field(
        default=None, description="Exit code of the container that decided the outcome."
    )
    node: Name | None = Field(default=None, description="Node of the last attempt.")
    start_time: Time | None = Field(default=None, description="When its first container started.")
    end_time: Time | None = Field(default=None, description="When it ended.")
    attempts: Integer | None = Field(default=None, ge=0, description="How often it was tried.")


class Fulfilled(Part):
    """A run that counts as a success for the jobs that have this one as a parent."""

    run: Word = Field(description="Identity of the run within this BatchJob.")
    end_time: Time | None = Field(default=None, description="When it ended.")


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

    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "Ready, Placed, LastRunSucceeded, Suspended; Complete or Failed without a schedule; "
            "Reconciling and Stalled only while true."
        ),
        json_schema_extra=crd(list_type="map", list_map_keys=["type"]),
    )
    observed_generation: Long | None = Field(
        default=None, description="The generation of the spec that this status answers."
    )
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
    running: Integer | None = Field(default=None, ge=0, description="Runs not finished.")
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
    effective_requests: EffectiveRequests | None = Field(
        default=None, description="What one pod really asks for."
    )
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
    placement: PlacementStatus | None = Field(
        default=None, description="Why something waits; absent while nothing does."
    )


KIND = Kind(
    name=names.BATCHJOB,
    plural="batchjobs",
    short="bj",
    description="Work that ends: runs by schedule or once, packed onto the fewest nodes.",
    spec=BatchJobSpec,
    status=BatchJobStatus,
    columns=(
        Column("Schedule", ".spec.schedule"),
        Column("Next", ".status.nextSlotTime"),
        Column("Last", ".status.lastSlotTime", kind="date"),
        Column("Result", '.status.conditions[?(@.type=="LastRunSucceeded")].reason'),
        Column("Running", ".status.running", kind="integer"),
        Column("Suspend", ".spec.suspend", kind="boolean"),
        Column("Age", ".metadata.creationTimestamp", kind="date"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason', priority=1),
        Column("Waiting", ".status.placement.message", priority=1),
    ),
    rules=(
        NAME_RULE,
        rule(
            "!has(oldSelf.status) || !has(oldSelf.status.lastSlotTime) || (has(self.status) && "
            "has(self.status.lastSlotTime) && "
            "self.status.lastSlotTime >= oldSelf.status.lastSlotTime)",
            "must not go back: a run could be repeated; read the newest status and decide again",
            fieldPath=".status.lastSlotTime",
        ),
    ),
)
