"""The status of a LongService: its instances, its update, its failures; written by the operator."""

from typing import Annotated

from pydantic import Field

from bayplan.api.meta import (
    Integer,
    Message,
    Name,
    Part,
    Time,
    Word,
    crd,
)
from bayplan.api.status import Conditions, ObservedGeneration, RequestsOfOnePod, WaitingPods

MOST_MOVES = 60  # per hour and service


class LastFailure(Part):
    """The newest failure of an instance."""

    pod: Name | None = Field(default=None, description="Name of the pod.")
    node: Name | None = Field(default=None, description="Its node.")
    reason: Word | None = Field(default=None, description="One word for the cause.")
    exit_code: Integer | None = Field(default=None, description="Exit code of the container.")
    message: Message | None = Field(default=None, description="The cause for people.")
    time: Time | None = Field(default=None, description="When it happened.")


class RestartBackoffStatus(Part):
    """Where the back-off of the current template stands; absent without failures."""

    revision: Word | None = Field(default=None, description="The template that fails.")
    failures: Integer | None = Field(
        default=None, ge=0, description="Pods that ended, one after the other."
    )
    retry_time: Time | None = Field(default=None, description="When the next pod may start.")
    failure_time: Time | None = Field(default=None, description="When the last pod ended.")


class BadRevision(Part):
    """A template that was given up."""

    revision: Word = Field(description="Name of its ControllerRevision.")
    reason: Word = Field(description="One word for what held it up.")
    message: Message = Field(description="The cause for people.")
    time: Time = Field(description="When it was given up.")


class Move(Part):
    """An instance that moves, or has moved, since it broke constraints."""

    pod: Name = Field(description="Name of the pod.")
    uid: Name = Field(description="Its uid.")
    time: Time = Field(description="When the move began.")


class RolloutStatus(Part):
    """How far the update has come; absent when none is on its way."""

    revision: Word | None = Field(default=None, description="The template that is rolled out.")
    step: Integer | None = Field(
        default=None, ge=0, description="Steps that have passed, of updateStrategy.steps."
    )
    step_reached_time: Time | None = Field(
        default=None, description="Since when the step's share is healthy."
    )
    handled_promote: Name | None = Field(
        default=None, description="The last bayplan.dev/promote that was followed."
    )
    healthy: Integer | None = Field(
        default=None, ge=0, description="The most instances of it that were healthy at once."
    )
    outdated: Integer | None = Field(
        default=None, ge=0, description="The fewest instances of older templates so far."
    )
    waiting_since: Time | None = Field(
        default=None, description="Since when it waits for services that it depends on."
    )
    progress_time: Time | None = Field(
        default=None,
        description="When it last got further; absent while the clock stands still.",
    )


class LongServiceStatus(Part):
    """What is known of the service; written by the operator only."""

    conditions: Conditions = Field(
        default=(),
        description=(
            "Ready, Available, Progressing, Placed; Reconciling and Stalled only while true."
        ),
    )
    observed_generation: ObservedGeneration = None
    desired_replicas: Integer | None = Field(
        default=None,
        ge=0,
        description="Instances that are wanted: `replicas`, or with mode PerNode the nodes for it.",
    )
    replicas: Integer | None = Field(default=None, ge=0, description="Instances that exist.")
    ready_replicas: Integer | None = Field(
        default=None, ge=0, description="Instances that are ready."
    )
    updated_replicas: Integer | None = Field(
        default=None, ge=0, description="Instances of the newest template."
    )
    available_replicas: Integer | None = Field(
        default=None, ge=0, description="Instances ready for minReadySeconds."
    )
    drifted_replicas: Integer | None = Field(
        default=None,
        ge=0,
        description=(
            "Instances of the newest template that would have to go for the others to keep to "
            "placement.constraints and placement.pool as they are now; absent without either."
        ),
    )
    recent_moves: tuple[Move, ...] = Field(
        default=(),
        max_length=MOST_MOVES,
        description="Moves that rebalance began, the newest last; those of the last hour count.",
        json_schema_extra=crd(list_type="atomic"),
    )
    selector: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Label selector of the instances, for autoscalers."
    )
    current_revision: Word | None = Field(
        default=None, description="The template that instances had before the update."
    )
    update_revision: Word | None = Field(
        default=None, description="The template that instances are to have."
    )
    rollout: RolloutStatus | None = Field(
        default=None, description="How far the update has come; absent when none is on its way."
    )
    pinned_revision: Word | None = Field(
        default=None,
        description=(
            "The template that bayplan.dev/rollback-to holds the service at, until the spec's "
            "template changes."
        ),
    )
    pinned_over: Word | None = Field(
        default=None, description="The template of the spec that this was said of."
    )
    handled_rollback: Name | None = Field(
        default=None, description="The last bayplan.dev/rollback-to that was followed."
    )
    bad_revisions: tuple[BadRevision, ...] = Field(
        default=(),
        max_length=10,
        description="Templates that were given up, the newest last.",
        json_schema_extra=crd(list_type="atomic"),
    )
    effective_requests: RequestsOfOnePod = None
    restart_backoff: RestartBackoffStatus | None = Field(
        default=None, description="Where the back-off stands; absent without failures."
    )
    last_failure: LastFailure | None = Field(
        default=None, description="The newest failure of an instance."
    )
    placement: WaitingPods = None
