"""BatchJob: work that ends. Runs by schedule, or once."""

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, Strict

from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.meta import (
    NAME_RULE,
    Column,
    Definition,
    Flag,
    Integer,
    Long,
    Part,
    Placement,
    WorkloadSpec,
    cel_text,
    crd,
    rule,
)
from bayplan.api.schedule_text import SCHEDULE_RULES, TIME_ZONE_RULES, ScheduleText
from bayplan.api.template import RunTemplate
from bayplan.model.backoff import delay_after

YEAR = 366 * 86_400  # seconds, the longest duration anywhere in a spec


_TIMED = "(has(self.schedule) || (has(self.schedules) && size(self.schedules) > 0))"


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
        return delay_after(
            retry, self.delay_seconds, self.max_delay_seconds, 100 + self.backoff_percent
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
    """How many finished runs and failed attempts keep their pods, and so their logs."""

    successful: Integer = Field(default=3, ge=0, le=100, description="Runs that succeeded.")
    failed: Integer = Field(
        default=3,
        ge=0,
        le=100,
        description="Runs that failed, and as many failed attempts that were tried again.",
    )


Occasion = Literal["Failed", "Cancelled", "Missed", "Late", "Recovered", "Suspended", "CannotStart"]
RECEIVER_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Notification(Part):
    """Whom to tell, and of what."""

    when: tuple[Occasion, ...] = Field(
        min_length=1,
        max_length=len(get_args(Occasion)),
        description=(
            "Failed: a run failed for good. Cancelled: a run was cancelled or replaced, or its pod "
            "deleted by a person. Missed: scheduled times passed without a run. Late: a run takes "
            "longer than expectedDurationSeconds. Recovered: the first success after failures. "
            "Suspended: after suspendAfterFailures. CannotStart: a kubelet cannot start a run's "
            "containers."
        ),
        json_schema_extra=crd(list_type="set"),
    )
    receiver: str = Field(
        min_length=1,
        max_length=63,
        description="Name of a receiver that an administrator has defined for the operator.",
        json_schema_extra=crd(
            validations=[
                rule(
                    f"self.matches({cel_text(RECEIVER_PATTERN)})",
                    "must be lower-case letters, digits and dashes; write `team-a` or the like",
                )
            ]
        ),
    )


class BatchJobSpec(WorkloadSpec):
    """What should run, and when."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "!has(self.schedule) || !has(self.schedules) || size(self.schedules) == 0",
                    "must be absent beside `schedule`; write all of them into `schedules`",
                    fieldPath=".schedules",
                ),
                rule(
                    "!has(self.gang) || !self.gang || (has(self.tasks) && self.tasks > 1)",
                    "must be false or absent with one task; set `tasks` to 2 or more",
                    fieldPath=".gang",
                ),
                rule(
                    f"!has(self.startingDeadlineSeconds) || {_TIMED}",
                    "must be absent without `schedule`: a run without a scheduled time is never "
                    "late; remove it or add `schedule`",
                    fieldPath=".startingDeadlineSeconds",
                ),
                rule(
                    f"!has(self.startWindowSeconds) || self.startWindowSeconds == 0 || {_TIMED}",
                    "must be 0 or absent without `schedule`; remove it or add `schedule`",
                    fieldPath=".startWindowSeconds",
                ),
                rule(
                    f"!has(self.parents) || !{_TIMED} || size(self.parents) == 0",
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
                rule(
                    "!has(self.interruptible) || !self.interruptible || self.onLost != 'Fail'",
                    "must be false or absent with onLost Fail: a run that is ended when its node "
                    "is given back could not begin again; remove one of them",
                    fieldPath=".interruptible",
                ),
                rule(
                    "!has(self.interruptible) || !self.interruptible || !has(self.placement) || "
                    "self.placement.disruption != 'Protect'",
                    "must be false or absent with placement.disruption Protect, which says that "
                    "nobody may end a run; remove one of them",
                    fieldPath=".interruptible",
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
        json_schema_extra=crd(validations=list(SCHEDULE_RULES)),
    )
    schedules: tuple[ScheduleText, ...] = Field(
        default=(),
        max_length=10,
        description=(
            "Several schedules instead of one; a time that two of them name is one run. The names "
            "of runs and startingDeadlineSeconds know no difference between them."
        ),
        json_schema_extra=crd(list_type="set"),
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
        json_schema_extra=crd(validations=list(TIME_ZONE_RULES)),
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
    interruptible: Flag = Field(
        default=False,
        description=(
            "True: a run may be ended and begun again when its node is given back, as when its "
            "work is saved from time to time; such an attempt does not count against "
            "retryPolicy.limit. False: a Pool waits until the run has ended."
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
    start_timeout_seconds: Long = Field(
        default=600,
        ge=0,
        le=YEAR,
        description=(
            "An attempt that has not started all of its main containers within this many seconds "
            "after it got its node, or after its init containers ended, has failed: an image, a "
            "volume or a Secret is missing. 0: it may take as long as it likes."
        ),
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
    notifications: tuple[Notification, ...] = Field(
        default=(),
        max_length=10,
        description="Who is told what, over HTTP; one entry for each receiver.",
        json_schema_extra=crd(list_type="map", list_map_keys=["receiver"]),
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
    tasks: Integer = Field(
        default=1,
        ge=1,
        le=1000,
        description=(
            "Pods of a run, each with its index in BAYPLAN_TASK_INDEX. One that fails is tried "
            "again alone, by retryPolicy; the run has succeeded when all have, and has failed when "
            "all have ended and one has failed for good."
        ),
    )
    gang: Flag = Field(
        default=False,
        description=(
            "True: the tasks of a run are placed all or none, and are one attempt together: when "
            "one fails or is lost, all end, and all are tried again."
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
        """Whether the job has neither schedules nor parents: it runs when it is created."""
        return not self.timetable and not self.parents

    @property
    def timetable(self) -> tuple[str, ...]:
        """The schedules as written; none if the job runs once or on its parents."""
        return self.schedules if self.schedule is None else (self.schedule,)


DEFINITION = Definition(
    description="Work that ends: runs by schedule or once, packed onto the fewest nodes.",
    spec=BatchJobSpec,
    status=BatchJobStatus,
    columns=(
        Column("Schedule", ".spec.schedule"),
        Column("Next", ".status.nextSlotTime"),
        Column("Last", ".status.lastRunTime", kind="date"),
        Column("Result", '.status.conditions[?(@.type=="LastRunSucceeded")].reason'),
        Column("Running", ".status.running", kind="integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason'),
        Column("Suspend", ".spec.suspend", kind="boolean", priority=1),
        Column("Age", ".metadata.creationTimestamp", kind="date"),
        Column("Schedules", ".spec.schedules", priority=1),
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
