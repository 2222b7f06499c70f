"""Pool: a set of nodes that Bayplan chooses, and orders through Karpenter or from AWS."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from bayplan.api.consolidation import Consolidation
from bayplan.api.meta import Column, Definition, Flag, Integer, Part, cel_text, crd, rule
from bayplan.api.pool_status import PoolStatus
from bayplan.api.template import ResourceQuantity

MOST_NODES = 100_000
DOLLARS_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
_LABEL = cel_text("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = cel_text(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Dollars = Annotated[
    str,
    BeforeValidator(_text),
    Field(pattern=DOLLARS_PATTERN),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maxLength": 16,
            "pattern": DOLLARS_PATTERN,
            **crd(int_or_string=True),
        }
    ),
]


class NodePoolRef(Part):
    """The NodePool of Karpenter that says what the nodes are like."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=crd(
            validations=[
                rule(
                    f"self.matches({_SUBDOMAIN})",
                    "must be the name of a NodePool: lower-case letters, digits, dashes and dots; "
                    "write `batch` or the like",
                )
            ]
        ),
        description="Name of the NodePool.",
    )


class AutoScalingGroups(Part):
    """The Auto Scaling groups of AWS that the nodes are instances of."""

    tag: str = Field(
        default="bayplan.dev/pool",
        min_length=1,
        max_length=128,
        description=(
            "Key of a tag: the groups that have it, with the Pool's name as its value, belong to "
            "the Pool."
        ),
    )


class PoolLimits(Part):
    """What the pool's nodes, those that are ordered included, may never exceed."""

    nodes: Integer | None = Field(
        default=None, ge=0, le=MOST_NODES, description="How many nodes. Absent: no limit."
    )
    cpu: ResourceQuantity | None = Field(
        default=None,
        description='Sum of the CPUs of the nodes, such as "2000". Absent: no limit.',
    )
    memory: ResourceQuantity | None = Field(
        default=None, description="Sum of the memory of the nodes, such as 8Ti. Absent: no limit."
    )
    dollars_per_hour: Dollars | None = Field(
        default=None,
        description=(
            'What the nodes may cost in dollars an hour, such as "300" or "2.50" (quoted, for YAML '
            "reads a fraction as a number). Absent: no limit."
        ),
    )

    @property
    def microdollars_per_hour(self) -> int | None:
        """`dollars_per_hour`, exactly; None without a limit."""
        text = self.dollars_per_hour
        return None if text is None else int(Decimal(text) * 1_000_000)


class Headroom(Part):
    """Room that stays free on the pool's nodes, so that a new pod need not wait for a node."""

    cpu: ResourceQuantity = Field(default="0", description="CPUs. Absent: none.")
    memory: ResourceQuantity = Field(default="0", description="Memory. Absent: none.")


class Fallback(Part):
    """Who may buy a node for a pod that waits too long for a node of the pool."""

    to: Literal["Karpenter", "None"] = Field(
        default="Karpenter",
        description=(
            "Karpenter: the pod becomes Unschedulable, and Karpenter buys a node by its own "
            "choice. None: the pod waits for a node of the pool."
        ),
    )
    after_seconds: Integer = Field(
        default=120,
        ge=10,
        le=3600,
        description="How old a pod without a node is when that happens.",
    )


class Buying(Part):
    """How nodes are ordered, with mode Buy or BuyAndConsolidate."""

    alternatives: Integer = Field(
        default=5,
        ge=1,
        le=20,
        description=(
            "How many instance types one order may name, each with room for all pods planned on "
            "the node. With more types an order finds capacity more often."
        ),
    )
    maximum_premium_percent: Integer = Field(
        default=15,
        ge=0,
        le=100,
        description="How many percent more than the cheapest the dearest of them may cost.",
    )
    launch_seconds: Integer = Field(
        default=30,
        ge=10,
        le=300,
        description=(
            "An order that has no instance after so long is withdrawn, and another is made: while "
            "one order has none, Karpenter buys nothing for anybody."
        ),
    )
    headroom: Headroom = Field(
        default=Headroom(),
        description="Room that stays free on the pool's nodes, for pods to come.",
    )
    fallback: Fallback = Field(
        default=Fallback(),
        description="Who may buy a node for a pod that waits too long for a node of the pool.",
    )


class Retirement(Part):
    """When a node without pods is given back, with mode Buy or BuyAndConsolidate."""

    empty_seconds: Integer = Field(
        default=60,
        ge=0,
        le=86_400,
        description=(
            "A node that has had no pods but those of DaemonSets for so long takes no more pods, "
            "and is given back if none has come in the meantime."
        ),
    )


class PoolSpec(Part):
    """Which nodes the pool has, who buys them, and how much they may cost."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.mode == 'Advise' || has(self.nodePoolRef) || has(self.autoScalingGroups)",
                    "nodePoolRef or autoScalingGroups must be set with mode Buy or "
                    "BuyAndConsolidate, since nodes are bought through a NodePool of Karpenter or "
                    "through Auto Scaling groups; add one of them or set `mode: Advise`",
                    fieldPath=".nodePoolRef",
                ),
                rule(
                    "!(has(self.nodePoolRef) && has(self.autoScalingGroups))",
                    "must be absent beside nodePoolRef, since nodes are bought in one way only; "
                    "remove one of them",
                    fieldPath=".autoScalingGroups",
                ),
            ]
        )
    )

    node_pool_ref: NodePoolRef | None = Field(
        default=None,
        description=(
            "The NodePool of Karpenter that says what the nodes are like: its template carries the "
            "label and the taint bayplan.dev/pool with the Pool's name. Absent, with mode Advise: "
            "all nodes of the cluster that have no such label."
        ),
    )
    auto_scaling_groups: AutoScalingGroups | None = Field(
        default=None,
        description=(
            "Nodes are bought through Auto Scaling groups of AWS, without Karpenter. Each group "
            "has one instance type in one zone; the user data of its launch template gives nodes "
            "the label and the taint bayplan.dev/pool with the Pool's name."
        ),
    )
    mode: Literal["Advise", "Buy", "BuyAndConsolidate"] = Field(
        default="Advise",
        description=(
            "Advise: the status says what would be bought and given back; nothing is written but "
            "the status. Buy: Bayplan orders NodeClaims, and gives empty nodes back. "
            "BuyAndConsolidate: it also empties nodes that need not be there, by moving their pods."
        ),
    )
    default: Flag = Field(
        default=False,
        description=(
            "BatchJobs and LongServices that name no Pool tolerate the taint of this one. At most "
            "one Pool may say so."
        ),
    )
    weight: Integer = Field(
        default=10,
        ge=1,
        le=100,
        description=(
            "Of Pools with the same price for the same pods, the one with the highest weight buys."
        ),
    )
    limits: PoolLimits = Field(
        default=PoolLimits(),
        description=(
            "What orders of Bayplan never exceed: it counts all nodes of the pool and orders on "
            "their way. The limits of the NodePool hold too; Karpenter knows only those."
        ),
    )
    buying: Buying = Field(
        default=Buying(), description="How nodes are ordered, with mode Buy or BuyAndConsolidate."
    )
    retirement: Retirement = Field(
        default=Retirement(),
        description="When a node without pods is given back, with mode Buy or BuyAndConsolidate.",
    )
    consolidation: Consolidation = Field(
        default=Consolidation(),
        description="When pods move so that nodes can be given back, with mode BuyAndConsolidate.",
    )

    @property
    def buys(self) -> bool:
        """Whether Bayplan orders nodes for the Pool and gives empty nodes back."""
        return self.mode != "Advise"

    @property
    def consolidates(self) -> bool:
        """Whether Bayplan also empties nodes of the Pool so that they can be given back."""
        return self.mode == "BuyAndConsolidate"


DEFINITION = Definition(
    description="A set of nodes: what it costs, what it should cost, and who buys it.",
    spec=PoolSpec,
    status=PoolStatus,
    columns=(
        Column("NodePool", ".spec.nodePoolRef.name"),
        Column("Mode", ".spec.mode"),
        Column("Nodes", ".status.nodes", kind="integer"),
        Column("$/h", ".status.dollarsPerHour"),
        Column("Gap", ".status.gapPercent"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Age", ".metadata.creationTimestamp", kind="date"),
        Column("Bound", ".status.boundDollarsPerHour", priority=1),
    ),
    rules=(
        rule(
            f"self.metadata.name.size() <= 63 && self.metadata.name.matches({_LABEL})",
            "`metadata.name` must be at most 63 lower-case letters, digits and dashes, with a "
            "letter or digit first and last, since it becomes a label of nodes; choose such a name",
        ),
    ),
)
