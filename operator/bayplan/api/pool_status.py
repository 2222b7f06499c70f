"""The status of a Pool: what its nodes cost, what the least would be, what is bought next."""

from typing import Annotated

from pydantic import Field

from bayplan.api.meta import Integer, Message, Name, Part, Time, Word, crd
from bayplan.api.status import Conditions, ObservedGeneration

MOST_UNAVAILABLE = 32
MOST_NEXT = 10
MOST_SOURCES = 5
MOST_BLOCKED = 10
MOST_LAUNCHES = 32

Decimal = Annotated[str, Field(max_length=32)]


class ClaimCounts(Part):
    """How many claims of the Pool are in each state."""

    requested: Integer | None = Field(
        default=None, ge=0, description="Ordered; there is no instance yet."
    )
    launched: Integer | None = Field(
        default=None, ge=0, description="There is an instance, and no node yet."
    )
    registered: Integer | None = Field(
        default=None, ge=0, description="The node has joined, and is not ready for pods yet."
    )
    usable: Integer | None = Field(
        default=None, ge=0, description="Pods may be placed on the node."
    )
    retiring: Integer | None = Field(
        default=None, ge=0, description="The node takes no more pods and is being given back."
    )
    refused: Integer | None = Field(
        default=None, ge=0, description="The cloud gave no instance, in the last 30 minutes."
    )


class UnavailableOffering(Part):
    """An instance type in a zone that was refused, and is not asked for again until a time."""

    type: Word = Field(description="Instance type.")
    zone: Word = Field(description="Zone.")
    capacity_type: Word = Field(description="spot, on-demand or reserved.")
    until: Time = Field(description="When it may be asked for again.")
    refusals: Integer = Field(ge=0, description="How often it was refused in a row.")


class LaunchUnderWay(Part):
    """A launch of instances that AWS has not answered yet, written before AWS is asked."""

    serial: Integer = Field(ge=1, description="Number of the launch, from which its token follows.")
    at: Time = Field(description="When it was decided.")
    group: Name = Field(description="Auto Scaling group.")
    count: Integer = Field(ge=1, description="How many instances.")
    desired_before: Integer = Field(ge=0, description="The group's desired size before.")


class Moves(Part):
    """How many pods were moved so that nodes could be given back."""

    last_hour: Integer = Field(default=0, ge=0, description="In the last hour.")
    last_day: Integer = Field(default=0, ge=0, description="In the last 24 hours.")
    by_cause: dict[str, Integer] = Field(
        default_factory=dict,
        max_length=8,
        description=(
            "In the last 24 hours, by cause: Consolidation (the nodes cost less afterwards), "
            "Interruption (the cloud takes the node back)."
        ),
    )


class BlockedNode(Part):
    """A node that would be given back if a pod on it could move."""

    node: Name = Field(description="Name of the node.")
    pod: Message = Field(description="namespace/name of the pod; empty if the node itself is kept.")
    reason: Message = Field(
        description="Why: the end of a sentence that begins with the pod, or with the kept node."
    )
    dollars_per_hour: Decimal = Field(
        description="What the node costs in dollars an hour while it stays."
    )


class PoolStatus(Part):
    """What is known of the pool; written by the operator only."""

    conditions: Conditions = Field(
        default=(),
        description=(
            "Ready, NodePoolQuiet (GroupsUnfit with Auto Scaling groups), Buying, Consolidating, "
            "LimitReached, Degraded."
        ),
    )
    observed_generation: ObservedGeneration = None
    nodes: Integer | None = Field(default=None, ge=0, description="Nodes of the pool that exist.")
    claims: ClaimCounts | None = Field(
        default=None,
        description="NodeClaims of the pool, or instances of its groups, by state.",
    )
    launches: tuple[LaunchUnderWay, ...] = Field(
        default=(),
        max_length=MOST_LAUNCHES,
        description="Launches that AWS has not answered yet; only with Auto Scaling groups.",
        json_schema_extra=crd(list_type="atomic"),
    )
    launch_serial: Integer | None = Field(
        default=None, ge=0, description="Number of the last launch."
    )
    waiting_pods: Integer | None = Field(
        default=None, ge=0, description="Pods that wait for a node that the pool may buy."
    )
    dollars_per_hour: Decimal | None = Field(
        default=None, description="What the pool's nodes cost, in dollars an hour."
    )
    bound_dollars_per_hour: Decimal | None = Field(
        default=None,
        description="No set of nodes can hold the pool's pods for less, in dollars an hour.",
    )
    planned_dollars_per_hour: Decimal | None = Field(
        default=None,
        description="What the best plan found for the same pods costs, in dollars an hour.",
    )
    gap_percent: Decimal | None = Field(
        default=None, description="By how many percent the nodes cost more than the bound."
    )
    saving_dollars_per_month: Decimal | None = Field(
        default=None,
        description="What the best plan would save in 730 hours, in dollars.",
    )
    moves: Moves | None = Field(
        default=None,
        description="Pods that were moved; absent without mode BuyAndConsolidate.",
    )
    closing: Integer | None = Field(
        default=None,
        ge=0,
        description="Nodes that are to be given back; new pods go there last.",
    )
    draining: Integer | None = Field(
        default=None, ge=0, description="Nodes whose pods are being moved."
    )
    blocked: tuple[BlockedNode, ...] = Field(
        default=(),
        max_length=MOST_BLOCKED,
        description="Nodes that cannot be given back because of a pod, the dearest first.",
        json_schema_extra=crd(list_type="atomic"),
    )
    promised_dollars_per_hour: Decimal | None = Field(
        default=None,
        description="What closing and draining nodes save once they have gone, in dollars an hour.",
    )
    saved_dollars_per_hour: Decimal | None = Field(
        default=None,
        description=(
            "By how much plans that were carried out in the last 24 hours lowered the cost, in "
            "dollars an hour."
        ),
    )
    unavailable: tuple[UnavailableOffering, ...] = Field(
        default=(),
        max_length=MOST_UNAVAILABLE,
        description="Offerings that were refused, and are not asked for at present.",
        json_schema_extra=crd(list_type="atomic"),
    )
    next: tuple[Message, ...] = Field(
        default=(),
        max_length=MOST_NEXT,
        description="What the pool does next, or with mode Advise would do, each in a sentence.",
        json_schema_extra=crd(list_type="atomic"),
    )
    sources: tuple[Message, ...] = Field(
        default=(),
        max_length=MOST_SOURCES,
        description="Where the prices and the availability come from.",
        json_schema_extra=crd(list_type="atomic"),
    )
