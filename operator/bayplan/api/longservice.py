"""LongService: work that does not end. Instances, updates, a Service and a disruption budget."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from bayplan.api import volume_claims
from bayplan.api.longservice_status import MOST_MOVES, LongServiceStatus
from bayplan.api.meta import (
    NAME_RULE,
    Column,
    Definition,
    Flag,
    Integer,
    Part,
    Placement,
    WorkloadSpec,
    crd,
    rule,
)
from bayplan.api.service import Service
from bayplan.api.template import InstanceTemplate
from bayplan.model.backoff import delay_after
from bayplan.model.constraints import Operator

MAXIMUM_REPLICAS = 10_000
_PER_NODE = "self.mode != 'PerNode'"
# Operators that test a node's own label: always, or only when they have a value.
_ASK_NODES = [one.value for one in Operator if one.meaning.node and not one.meaning.coupling]
_MAY_ASK_NODES = [one.value for one in Operator if one.meaning.node and one.meaning.coupling]
_ON_NODES = f"c.operator in {_ASK_NODES} || (c.operator in {_MAY_ASK_NODES} && has(c.value))"
_TOLD = [*_ASK_NODES, *(f"{one} with a value" for one in _MAY_ASK_NODES)]
_MODE_RULES = [
    rule(
        f"{_PER_NODE} || self.replicas <= 1",
        "replicas must be absent, or 0 to suspend, with mode PerNode, which has one on each node; "
        "remove it",
        fieldPath=".replicas",
    ),
    rule(
        f"{_PER_NODE} || !has(self.volumeClaimTemplates) || self.volumeClaimTemplates.size() == 0",
        "volumeClaimTemplates must be absent with mode PerNode, since a volume may not be mounted "
        "on another node; remove it",
        fieldPath=".volumeClaimTemplates",
    ),
    rule(
        f"{_PER_NODE} || !has(self.rebalance)",
        "rebalance must be absent with mode PerNode, whose instances stand on their nodes; "
        "remove it",
        fieldPath=".rebalance",
    ),
    rule(
        f"{_PER_NODE} || !has(self.placement) || !has(self.placement.constraints) || "
        f"self.placement.constraints.all(c, {_ON_NODES})",
        f"constraints must be {', '.join(_TOLD[:-1])} or {_TOLD[-1]} when mode is PerNode: they "
        "say which nodes; remove the others",
        fieldPath=".placement.constraints",
    ),
]


class Step(Part):
    """A share of the instances that gets the new template first, and what ends the wait."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.manual != has(self.pauseSeconds)",
                    "a step must have either pauseSeconds or `manual: true`; set one of them",
                    fieldPath=".manual",
                )
            ]
        )
    )

    percent: Integer = Field(
        ge=1,
        le=99,
        description="Share of the replicas with the new template, rounded up.",
    )
    pause_seconds: Integer | None = Field(
        default=None,
        ge=1,
        le=7 * 86_400,
        description="The update goes on so many seconds after this share was healthy.",
    )
    manual: Flag = Field(
        default=False,
        description="The update goes on when the annotation bayplan.dev/promote gets a new value.",
    )


class UpdateStrategy(Part):
    """How instances of a new template replace those of the old one."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.progressDeadlineSeconds > self.minReadySeconds",
                    "progressDeadlineSeconds (600 unless set) must exceed minReadySeconds; raise "
                    "`progressDeadlineSeconds`",
                    fieldPath=".progressDeadlineSeconds",
                ),
                rule(
                    "!has(self.steps) || self.steps.map(s, s.percent).isSorted()",
                    "percents of steps must rise; sort them",
                    fieldPath=".steps",
                ),
            ]
        )
    )

    minimum_healthy_percent: Integer = Field(
        default=100,
        ge=0,
        le=100,
        description=(
            "An update never leaves fewer healthy instances than this share of the replicas, "
            "rounded up. With volumeClaimTemplates, mode PerNode or a ReadWriteOncePod claim in "
            "the template one may always be without."
        ),
    )
    maximum_surge_percent: Integer = Field(
        default=25,
        ge=0,
        le=100,
        description=(
            "An update never runs more instances than the replicas and this share of them, rounded "
            "down; one more where the other bound would leave no way to begin. With "
            "volumeClaimTemplates or mode PerNode there is no surge: the old instance goes first."
        ),
    )
    min_ready_seconds: Integer = Field(
        default=0,
        ge=0,
        le=86_400,
        description="How long a new instance must be ready to count as healthy.",
    )
    progress_deadline_seconds: Integer = Field(
        default=600,
        ge=1,
        le=7 * 86_400,
        description=(
            "An update that gets no further for so long has failed; the clock stands still while "
            "it is paused, waits at a step or its template is refused, but for a full quota."
        ),
    )
    auto_rollback: Flag = Field(
        default=True,
        description=(
            "An update that has failed goes back to the template last rolled out; another template "
            "or the annotation bayplan.dev/rollback-to starts the next try."
        ),
    )
    paused: Flag = Field(
        default=False,
        description=(
            "The update stands still: what has the new template keeps it, nothing more gets it. "
            "Scaling and repairs go on."
        ),
    )
    steps: tuple[Step, ...] = Field(
        default=(),
        max_length=16,
        description="Shares of the instances that get the new template first (canary).",
        json_schema_extra=crd(list_type="atomic"),
    )


class RestartBackoff(Part):
    """When the next pod follows one that ended: the kubelet refused it, or it failed for good."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.initialSeconds <= self.maxSeconds",
                    "initialSeconds must not exceed maxSeconds (300 unless set); raise "
                    "`maxSeconds`",
                    fieldPath=".initialSeconds",
                )
            ]
        )
    )

    initial_seconds: Integer = Field(
        default=1, ge=1, le=3600, description="Seconds after the first failure."
    )
    factor_percent: Integer = Field(
        default=115,
        ge=100,
        le=1000,
        description="Each further failure multiplies the delay by this many percent; 100 keeps it.",
    )
    max_seconds: Integer = Field(
        default=300, ge=1, le=86_400, description="The longest delay in seconds."
    )

    def delay_milliseconds_after(self, failures: int) -> int:
        """Milliseconds to wait after the n-th failure in a row; the first is 1. Exact integers."""
        return delay_after(
            failures, self.initial_seconds * 1000, self.max_seconds * 1000, self.factor_percent
        )


class Unreachable(Part):
    """What happens to instances on a node that has fallen silent."""

    replace_after_seconds: Integer = Field(
        default=60,
        ge=0,
        le=7 * 86_400,
        description=(
            "A replacement starts after this many seconds; when the node returns, the surplus "
            "goes. With volumeClaimTemplates the instance is deleted then, and replaced once its "
            "node, or who deletes the pod by force, says that it has gone. With mode PerNode it "
            "is not wanted any more, until its node answers."
        ),
    )


class Unhealthy(Part):
    """What happens to instances that run and do not become ready."""

    replace_after_seconds: Integer | None = Field(
        default=None,
        ge=1,
        le=7 * 86_400,
        description=(
            "An instance that is not ready for so long is replaced: its replacement becomes "
            "healthy first. Absent: it stays, and its kubelet restarts what crashes."
        ),
    )
    max_concurrent: Integer = Field(
        default=1, ge=1, le=100, description="How many are being replaced at once, at most."
    )


class ScaleDown(Part):
    """Which instances go first when there are too many."""

    order: Literal["YoungestFirst", "OldestFirst", "EmptiestFirst"] = Field(
        default="YoungestFirst",
        description=(
            "By age, after those that are lost, without a node or not ready; of one age those on "
            "the emptiest node. EmptiestFirst: those on the emptiest nodes, so that nodes get "
            "free. Where a Pool consolidates, those on nodes that it gives back go before the "
            "others; with OldestFirst only among those of one age. Healthy ones wait some seconds "
            "for the Pool's choice, but never when replicas is 0."
        ),
    )


class Rebalance(Part):
    """Whether instances that break edited constraints move."""

    max_moves_per_hour: Integer = Field(
        ge=1,
        le=MOST_MOVES,
        description="So many instances begin to move in any hour, at most.",
    )


class Dependency(Part):
    """A LongService of the same namespace to wait for."""

    name: str = Field(min_length=1, max_length=253, description="Name of the LongService.")
    timeout_seconds: Integer = Field(
        default=600,
        ge=0,
        le=86_400,
        description="After so long a wait the service goes on without it.",
    )


class LongServiceSpec(WorkloadSpec):
    """What should run, how many of it, and how it is updated and reached."""

    model_config = ConfigDict(
        json_schema_extra=crd(validations=[*volume_claims.RULES, *_MODE_RULES])
    )

    mode: Literal["Replicas", "PerNode"] = Field(
        default="Replicas",
        description=(
            "Replicas: so many instances as `replicas` says. PerNode: one on each node that its "
            "nodeSelector, affinity, tolerations and constraints allow, as nodes come and go."
        ),
    )

    replicas: Integer = Field(
        default=1,
        ge=0,
        le=MAXIMUM_REPLICAS,
        description=(
            "Wanted instances; 0 suspends the service. Autoscalers may write it. With mode PerNode "
            "absent, or 0 to suspend."
        ),
    )
    update_strategy: UpdateStrategy = Field(
        default=UpdateStrategy(),
        description="How instances of a new template replace those of the old one.",
    )
    restart_backoff: RestartBackoff = Field(
        default=RestartBackoff(),
        description="When the next pod follows one that ended; a drained pod is replaced at once.",
    )
    unreachable: Unreachable = Field(
        default=Unreachable(),
        description="What happens to instances on a node that has fallen silent.",
    )
    unhealthy: Unhealthy = Field(
        default=Unhealthy(),
        description="What happens to instances that run and do not become ready.",
    )
    scale_down: ScaleDown = Field(
        default=ScaleDown(), description="Which instances go first when there are too many."
    )
    rebalance: Rebalance | None = Field(
        default=None,
        description=(
            "Instances that break edited placement.constraints move: a replacement becomes healthy "
            "first. Absent: they stay, counted in status.driftedReplicas."
        ),
    )
    depends_on: tuple[Dependency, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "Services that must be ready before the first start and before an update begins, for a "
            "while. A circle is refused."
        ),
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    service: Service | None = Field(
        default=None, description="A Service in front of the ready instances; absent: none."
    )
    disruption_budget: Literal["Auto", "Strict", "None"] = Field(
        default="Auto",
        description=(
            "How many instances a drain may take at once. Auto: one less than the healthy minimum "
            "must stay, a single instance has no budget. Strict: the healthy minimum must stay, "
            "also of one. With volumeClaimTemplates or mode PerNode both: the healthy minimum. "
            "None: no PodDisruptionBudget."
        ),
    )
    volume_claim_templates: tuple[volume_claims.ClaimTemplate, ...] = Field(
        default=(),
        max_length=volume_claims.MOST_TEMPLATES,
        description=(
            "Volumes that each instance has for itself. Its instances have ordinals from 0, stable "
            "names (SERVICE-ORDINAL) and their own claims, never two of one ordinal at a time."
        ),
        json_schema_extra=crd(list_type="atomic"),
    )
    persistent_volume_claim_retention_policy: volume_claims.ClaimRetention = Field(
        default=volume_claims.ClaimRetention(),
        description="What becomes of claims whose instance is no longer wanted.",
    )
    revision_history_limit: Integer = Field(
        default=10, ge=0, le=100, description="How many old templates are kept."
    )
    placement: Placement = Field(default=Placement(), description="How pods share nodes.")
    template: Annotated[dict[str, Any], InstanceTemplate] = Field(
        description=(
            "The pod of an instance, as in a Deployment; fields not listed here are passed on "
            "untouched. Only a change of the template restarts instances. restartPolicy must be "
            "absent or Always."
        ),
    )

    @property
    def per_node(self) -> bool:
        return self.mode == "PerNode"

    @property
    def owns_volumes(self) -> bool:
        return bool(self.volume_claim_templates)


DEFINITION = Definition(
    description="Work that does not end: instances packed onto the fewest nodes.",
    spec=LongServiceSpec,
    status=LongServiceStatus,
    columns=(
        Column("Desired", ".status.desiredReplicas", kind="integer"),
        Column("Ready", ".status.readyReplicas", kind="integer"),
        Column("Updated", ".status.updatedReplicas", kind="integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].reason'),
        Column("Age", ".metadata.creationTimestamp", kind="date"),
        Column("Waiting", ".status.placement.message", priority=1),
    ),
    rules=(
        NAME_RULE,
        rule(
            "!has(self.spec.service) || self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "`metadata.name` must begin with a letter and have no dots when `spec.service` is set, "
            "since the Service has the same name; choose such a name",
        ),
        rule(
            "!has(self.spec.volumeClaimTemplates) || self.spec.volumeClaimTemplates.size() == 0 || "
            "!self.metadata.name.contains('.')",
            "`metadata.name` must have no dots when `spec.volumeClaimTemplates` is set, since "
            "instances have it as host name; choose such a name",
        ),
    ),
    scale={
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
)
