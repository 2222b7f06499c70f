"""What both kinds share: the base model, bounded types, times, conditions, placement.

Models parse what the API server stores: unknown fields are ignored (an operator may be older than
its resources), integers are strict (`"3"`, `3.0` and `true` are refused), times are epoch seconds
here and RFC 3339 text on the wire. Lists are tuples, models are frozen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from bayplan.api import names
from bayplan.api.times import epoch_of, rfc3339
from bayplan.model.constraints import Operator, PlaceConstraint, requirement


class Part(BaseModel):
    """Any object of a custom resource; fields are snake_case here, camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        defer_build=True,  # many commands need none of them, and a status is never parsed
    )

    def wire(self) -> dict[str, Any]:
        """The object as JSON for the API server, without fields that are unset or at defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def _from_wire(value: object) -> object:
    return epoch_of(value) if isinstance(value, str) else value


def _cut(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: text if len(text) <= limit else text[: limit - 1] + "…")


def crd(**extensions: object) -> dict[str, Any]:
    """Schema extensions by short name: `list_type="set"` is `x-kubernetes-list-type: set`."""
    return {f"x-kubernetes-{name.replace('_', '-')}": value for name, value in extensions.items()}


def rule(cel: str, message: str, **more: str) -> dict[str, str]:
    """One CEL rule; the message says what must hold, and what to write."""
    return {"rule": cel, "message": message, **more}


def cel_text(text: str) -> str:
    """A raw string of CEL."""
    return f"r'{text}'"


Integer = Annotated[int, Strict()]
Long = Annotated[int, Strict(), Field(json_schema_extra={"format": "int64"})]
Flag = Annotated[bool, Strict()]
Time = Annotated[
    int,
    BeforeValidator(_from_wire),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Name = Annotated[str, _cut(253), Field(json_schema_extra={"maxLength": 253})]
Word = Annotated[str, _cut(64), Field(json_schema_extra={"maxLength": 64})]
Message = Annotated[str, _cut(1024), Field(json_schema_extra={"maxLength": 1024})]
Quantity = Annotated[str, Field(max_length=64)]

# For names that Kubernetes requires to be one part of a DNS name: containers, ports, volumes.
DNS_LABEL_RULE = rule(
    f"self.matches({cel_text('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')})",
    "must be lower-case letters, digits and dashes, with a letter or digit first and last; write "
    "`web-1` or the like",
)
NAME_RULE = rule(
    "self.metadata.name.size() <= 63",
    "`metadata.name` must be no longer than 63 characters, since it becomes a label of the pods; "
    "choose a shorter one",
)


class Condition(Part):
    """One aspect of the resource, in the form that kubectl wait, Flux and Helm read."""

    type: Annotated[str, Field(max_length=64, description="Name of the aspect.")]
    status: Annotated[
        Literal["True", "False", "Unknown"], Field(description="True, False or Unknown.")
    ]
    observed_generation: Annotated[
        Long | None, Field(description="The generation that this was said of.")
    ] = None
    last_transition_time: Annotated[Time, Field(description="When the status last changed.")]
    reason: Annotated[Word, Field(description="One word for the cause; a closed, documented list.")]
    message: Annotated[Message, Field(description="The cause for people, with its numbers.")] = ""


_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


_LENIENT = " and ".join(
    one.value for one in Operator if one.meaning.node is not None and one.meaning.node.negated
)


def _value_rule(operator: Operator) -> Mapping[str, str]:
    """The API server's check of the value of a constraint with this operator."""
    meaning = operator.meaning
    form = meaning.value.form if meaning.value is not None else ""
    good = f"self.value.matches({cel_text(f'^{form}$')})" if form else "size(self.value) > 0"
    if meaning.value is None:
        check = "!has(self.value)"
    elif meaning.optional:
        check = f"!has(self.value) || {good}"
    else:
        check = f"(has(self.value) && {good})"
    return rule(
        f"self.operator != '{operator.value}' || {check}",
        requirement(operator),
        fieldPath=".value",
    )


class PlacementConstraint(Part):
    """One rule on where pods may run, by the value of a node label."""

    model_config = ConfigDict(
        json_schema_extra=crd(validations=[_value_rule(operator) for operator in Operator])
    )

    key: str = Field(
        min_length=1,
        max_length=317,
        description=(
            "A node label, or hostname, zone, region, instance-type for the standard ones. A node "
            f"without the label is refused by all operators but {_LENIENT}."
        ),
        json_schema_extra=crd(
            validations=[
                rule(
                    f"self.matches({cel_text(_LABEL_KEY)})",
                    "must be the key of a node label; write `topology.kubernetes.io/zone`, `zone` "
                    "or the like",
                )
            ]
        ),
    )
    operator: Operator = Field(
        description=(
            f"{' '.join(f'{one.value}: {one.meaning.says}.' for one in Operator)} Pods of the same "
            "workload and template count together."
        )
    )
    value: str | None = Field(
        default=None,
        max_length=256,
        description="What the operator compares with; numbers too are written as text.",
    )

    def read(self) -> PlaceConstraint:
        """The constraint in the form that the scheduler uses."""
        return PlaceConstraint(self.key, self.operator, self.value or "")


class Placement(Part):
    """How pods share nodes."""

    constraints: tuple[PlacementConstraint, ...] = Field(
        default=(),
        max_length=16,
        description="Rules on where the pods may run; all must hold.",
        json_schema_extra=crd(list_type="atomic"),
    )
    strategy: Literal["BinPack", "Spread", "Exclusive"] = Field(
        default="BinPack",
        description=(
            "BinPack: the fewest, cheapest nodes. Spread: evenly over zones, then hosts, as far as "
            "there is room. Exclusive: no pod of another workload on the same node, but for those "
            "of DaemonSets."
        ),
    )
    isolation: Literal["Shared", "Strict"] = Field(
        default="Shared",
        description=(
            "Shared: a request that neither the template nor a LimitRange gives becomes 100m CPU "
            "or 128Mi memory, the memory limit is the request unless set, CPU has no limit. "
            "Strict: limits are set equal to requests (QoS class Guaranteed)."
        ),
    )
    pool: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        json_schema_extra=crd(validations=[DNS_LABEL_RULE]),
        description=(
            "Name of the Pool on whose nodes the pods run: they get the node selector and the "
            f"toleration of the key {names.POOL} with this value. Absent: no Pool is asked for, "
            "and the nodes of the Pool with `default: true`, if there is one, are tolerated."
        ),
    )
    disruption: Literal["Auto", "Protect", "Allow"] = Field(
        default="Auto",
        description=(
            "Whether autoscalers may move these pods. Auto: runs expected to last 600 seconds or "
            "more are protected, all else may move. Protect: never. Allow: always."
        ),
    )


class Refused(Part):
    """How many nodes were refused for one reason."""

    reason: Word = Field(description="The first reason why these nodes were refused.")
    detail: Message | None = Field(
        default=None, description="What exactly: a taint's key, a resource."
    )
    nodes: Integer = Field(ge=0, description="How many nodes.")


class Nearest(Part):
    """The node that came nearest to having room."""

    node: Name = Field(description="Name of the node.")
    lacks: Annotated[str, _cut(256), Field(json_schema_extra={"maxLength": 256})] = Field(
        description="What it lacks, such as 300m cpu."
    )


class PlacementStatus(Part):
    """Why something waits; absent while nothing does."""

    pending_tasks: Integer | None = Field(
        default=None, ge=0, description="Pods that wait for room."
    )
    pending_since: Time | None = Field(
        default=None, description="Since when the oldest of them waits."
    )
    message: Message | None = Field(default=None, description="The answer in one sentence.")
    nodes_considered: Integer | None = Field(
        default=None, ge=0, description="Nodes that were looked at."
    )
    refusals: tuple[Refused, ...] = Field(
        default=(),
        max_length=32,
        description="Nodes refused, by the first reason of each.",
        json_schema_extra=crd(list_type="atomic"),
    )
    nearest: Nearest | None = Field(
        default=None, description="The node that came nearest to having room, and what it lacks."
    )


MOST_UNKNOWN_FIELDS = 16


class EffectiveRequests(Part):
    """What one pod of the template really asks for, learned from the API server."""

    template_hash: Word | None = Field(default=None, description="The template that was asked.")
    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=32,
        description="Requests of one pod after defaults, limit ranges, webhooks and overhead.",
    )
    placement_hash: Word | None = Field(
        default=None,
        description=(
            "Names what else the server said of where a pod may run: where that does not follow "
            "from the template, the server is asked again after a restart."
        ),
    )
    unknown_fields: tuple[Message, ...] = Field(
        default=(),
        max_length=MOST_UNKNOWN_FIELDS,
        description="Fields of the template that the server does not know and leaves out.",
        json_schema_extra=crd(list_type="atomic"),
    )
    checked_time: Time | None = Field(default=None, description="When the server was asked.")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; priority 1 shows under `-o wide` only."""

    name: str
    path: str
    kind: str = "string"
    priority: int = 0


class WorkloadSpec(Part):
    """What the spec of every kind has: the template of its pods, and where they may be.

    Each kind declares these fields itself, with its own description and at its own place among the
    others: definitions show them in this order.
    """

    if TYPE_CHECKING:
        template: dict[str, Any]
        placement: Placement

    @property
    def per_node(self) -> bool:
        """Whether the workload has one pod on each node."""
        return False

    @property
    def owns_volumes(self) -> bool:
        """Whether each of its pods has volumes of its own."""
        return False


Spec_co = TypeVar("Spec_co", bound=Part, covariant=True)


@dataclass(frozen=True, slots=True)
class Definition(Generic[Spec_co]):
    """One custom resource: its models, columns and rules over the whole object."""

    description: str
    spec: type[Spec_co]
    status: type[Part]
    columns: tuple[Column, ...]
    rules: tuple[Mapping[str, str], ...]
    scale: Mapping[str, str] | None = None
