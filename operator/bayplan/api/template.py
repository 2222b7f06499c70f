"""The pod template: typed only where the packer reads it; everything else passes through as it is.

The models here make the schema (bounds, `kubectl explain`); a spec is NOT parsed into them. A
parsed spec keeps the template as the raw mapping that the API server stored, and the pod is
compiled from that mapping, so that no field of a newer Kubernetes is ever lost. There are no
defaults here either: a default would change the stored template, and so its hash, with an upgrade.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bayplan.api.meta import DNS_LABEL_RULE, Integer, Long, Part, crd, rule

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

QUANTITY_PATTERN = (
    r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"  # no minus
)
ResourceQuantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maxLength": 64,
            "pattern": QUANTITY_PATTERN,
            **crd(int_or_string=True),
        }
    ),
]
Label = Annotated[str, Field(max_length=317)]  # prefix of 253, slash, name of 63
Text = Annotated[str, Field(max_length=253)]
Resources = Annotated[dict[str, ResourceQuantity], Field(max_length=32)]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)]


def template_hash(raw_template: Mapping[str, Any]) -> str:
    """Ten characters that name a template as the user stored it; key order does not matter.

    The hash does not cover what the operator adds to a pod, so equal templates have equal names on
    every version of the operator.
    """
    text = json.dumps(raw_template, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    name = ""
    for _ in range(10):
        number, digit = divmod(number, 36)
        name += _DIGITS[digit]
    return name


class Open(Part):
    """An object whose other fields are stored as they come."""

    model_config = ConfigDict(json_schema_extra=crd(preserve_unknown_fields=True))


class ResourceNeeds(Open):
    """What a container asks for and may use."""

    requests: Resources | None = Field(
        default=None,
        description="What is reserved on the node, such as cpu: 100m, memory: 128Mi.",
    )
    limits: Resources | None = Field(
        default=None, description="The most it may use; a limit without a request is the request."
    )


class ContainerPort(Open):
    """A port that the container listens on."""

    container_port: Integer = Field(ge=1, le=65_535, description="Number on the pod's address.")
    host_port: Integer | None = Field(
        default=None, ge=0, le=65_535, description="Number on the node; one pod a node has it."
    )
    host_ip: Text | None = Field(
        default=None, alias="hostIP", description="Address of the node it is bound to."
    )
    protocol: Literal["TCP", "UDP", "SCTP"] | None = Field(
        default=None, description="TCP unless set."
    )
    name: Annotated[str, Field(max_length=15)] | None = Field(
        default=None, description="Name that services and probes may use."
    )


class Container(Open):
    """A container; fields not listed here are passed on untouched."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=crd(validations=[DNS_LABEL_RULE]),
        description="Name, unique in the pod.",
    )
    image: str | None = Field(default=None, max_length=1024, description="Image reference.")
    restart_policy: Literal["Always", "Never", "OnFailure"] | None = Field(
        default=None, description="Always makes an init container a sidecar."
    )
    resources: ResourceNeeds | None = Field(
        default=None, description="What the container asks for and may use."
    )
    ports: tuple[ContainerPort, ...] | None = Field(
        default=None,
        max_length=64,
        description="Ports that the container listens on.",
        json_schema_extra=crd(list_type="atomic"),
    )


class Requirement(Part):
    """A set of values that one label of a node may have."""

    key: Label = Field(description="Label of the node.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="How the label is compared with the values."
    )
    values: tuple[Text, ...] | None = Field(
        default=None,
        max_length=256,
        description="Values to compare with.",
        json_schema_extra=crd(list_type="atomic"),
    )


class NodeTerm(Open):
    """Requirements that must all hold; matchFields as in Kubernetes."""

    match_expressions: tuple[Requirement, ...] | None = Field(
        default=None,
        max_length=32,
        description="Requirements on labels.",
        json_schema_extra=crd(list_type="atomic"),
    )


class NodeTerms(Part):
    """Alternatives: one of the terms must hold."""

    node_selector_terms: tuple[NodeTerm, ...] = Field(
        min_length=1,
        max_length=16,
        description="The alternatives.",
        json_schema_extra=crd(list_type="atomic"),
    )


class PreferredNodes(Part):
    """A preference with its weight."""

    weight: Integer = Field(ge=1, le=100, description="How much it counts, 1 to 100.")
    preference: NodeTerm = Field(description="The nodes preferred.")


class NodeAffinity(Part):
    """Which nodes must or should be chosen."""

    required: NodeTerms | None = Field(
        default=None,
        alias="requiredDuringSchedulingIgnoredDuringExecution",
        description="What a node must satisfy.",
    )
    preferred: tuple[PreferredNodes, ...] | None = Field(
        default=None,
        alias="preferredDuringSchedulingIgnoredDuringExecution",
        max_length=32,
        description="What is better satisfied.",
        json_schema_extra=crd(list_type="atomic"),
    )


class PodTerm(Open):
    """Pods to be near to or away from; labelSelector and namespaces as in Kubernetes."""

    topology_key: Label = Field(description="Label of nodes that makes them one place.")


class PreferredPods(Part):
    """A preference with its weight."""

    weight: Integer = Field(ge=1, le=100, description="How much it counts, 1 to 100.")
    pod_affinity_term: PodTerm = Field(description="The pods, and what counts as near.")


class PodAffinity(Part):
    """Which pods must or should be near, or away."""

    required: tuple[PodTerm, ...] | None = Field(
        default=None,
        alias="requiredDuringSchedulingIgnoredDuringExecution",
        max_length=16,
        description="What must hold.",
        json_schema_extra=crd(list_type="atomic"),
    )
    preferred: tuple[PreferredPods, ...] | None = Field(
        default=None,
        alias="preferredDuringSchedulingIgnoredDuringExecution",
        max_length=32,
        description="What is better satisfied.",
        json_schema_extra=crd(list_type="atomic"),
    )


class Affinity(Part):
    """Rules about nodes and about other pods, as in Kubernetes."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Rules about nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Pods to be near to.")
    pod_anti_affinity: PodAffinity | None = Field(
        default=None, description="Pods to keep away from."
    )


class Toleration(Open):
    """A taint that does not matter to the pod."""

    key: Label | None = Field(default=None, description="Key of the taint; absent: every key.")
    operator: Text | None = Field(default=None, description="Equal unless set, or Exists.")
    value: Text | None = Field(default=None, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] | None = Field(
        default=None, description="Effect of the taint; absent: every effect."
    )
    toleration_seconds: Long | None = Field(
        default=None, description="How long a NoExecute taint is borne."
    )


class Spread(Open):
    """Pods spread evenly over places; labelSelector and the rest as in Kubernetes."""

    topology_key: Label = Field(description="Label of nodes that makes them one place.")
    max_skew: Integer = Field(ge=1, description="Largest difference between two places.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        description="DoNotSchedule: wait. ScheduleAnyway: a preference."
    )
    min_domains: Integer | None = Field(
        default=None, ge=1, description="Fewer places than this count as an empty one."
    )


class Claim(Open):
    """A volume that a PersistentVolumeClaim gives."""

    claim_name: Text = Field(description="Name of the claim.")


class Volume(Open):
    """A volume of the pod; its sources are passed on untouched."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name, unique in the pod.")
    persistent_volume_claim: Claim | None = Field(
        default=None, description="The claim that gives it."
    )


class PodSpec(Open):
    """The pod; fields not listed here are passed on untouched."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            preserve_unknown_fields=True,
            validations=[
                rule(
                    "!has(self.nodeName)",
                    "must be absent: Bayplan chooses the node; say which nodes will do with "
                    "`nodeSelector` or `affinity`",
                    fieldPath=".nodeName",
                    reason="FieldValueForbidden",
                ),
                rule(
                    "!has(self.schedulerName)",
                    "must be absent: Bayplan places these pods itself; remove `schedulerName`",
                    fieldPath=".schedulerName",
                    reason="FieldValueForbidden",
                ),
                rule(
                    "!has(self.priority)",
                    "must be absent: the API server fills it in; name a PriorityClass in "
                    "`priorityClassName`",
                    fieldPath=".priority",
                    reason="FieldValueForbidden",
                ),
            ],
        )
    )

    containers: tuple[Container, ...] = Field(
        min_length=1,
        max_length=32,
        description="The containers; at least one.",
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    init_containers: tuple[Container, ...] | None = Field(
        default=None,
        max_length=32,
        description="Containers that run before, and sidecars.",
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    restart_policy: Literal["Always", "Never", "OnFailure"] | None = Field(
        default=None, description="Never for runs, Always for instances; may be absent."
    )
    resources: ResourceNeeds | None = Field(
        default=None, description="What the pod as a whole asks for and may use."
    )
    overhead: Resources | None = Field(
        default=None, description="What the pod needs beside its containers."
    )
    node_selector: dict[str, Text] | None = Field(
        default=None, max_length=32, description="Labels that a node must have."
    )
    affinity: Affinity | None = Field(
        default=None, description="Rules about nodes and about other pods."
    )
    tolerations: tuple[Toleration, ...] | None = Field(
        default=None,
        max_length=32,
        description="Taints that do not matter to the pod.",
        json_schema_extra=crd(list_type="atomic"),
    )
    topology_spread_constraints: tuple[Spread, ...] | None = Field(
        default=None,
        max_length=16,
        description="How pods spread over zones, nodes or other places.",
        json_schema_extra=crd(list_type="atomic"),
    )
    priority_class_name: Text | None = Field(default=None, description="Name of a PriorityClass.")
    host_network: bool | None = Field(
        default=None, description="True: the node's network; every port is a host port."
    )
    volumes: tuple[Volume, ...] | None = Field(
        default=None,
        max_length=64,
        description="Volumes; claims decide which zones will do.",
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    termination_grace_period_seconds: Long | None = Field(
        default=None, ge=0, description="Seconds between the request to stop and the end."
    )
    node_name: Text | None = Field(default=None, description="Must be absent.")
    scheduler_name: Text | None = Field(default=None, description="Must be absent.")
    priority: Integer | None = Field(default=None, description="Must be absent.")


class TemplateMetadata(Part):
    """Labels and annotations of the pods."""

    labels: Labels | None = Field(default=None, description="Labels of the pods.")
    annotations: dict[str, Annotated[str, Field(max_length=65_536)]] | None = Field(
        default=None, max_length=64, description="Annotations of the pods."
    )


class PodTemplate(Part):
    """A pod: its labels, annotations and spec."""

    metadata: TemplateMetadata | None = Field(
        default=None, description="Labels and annotations of the pods."
    )
    spec: PodSpec = Field(description="The pod; fields not listed here are passed on untouched.")


@dataclass(frozen=True, slots=True)
class TemplateSchema:
    """Gives a raw mapping the schema of a pod template with a fixed restart policy."""

    restart_policy: str
    why: str

    def __get_pydantic_json_schema__(
        self, _core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        settled = rule(
            f"!has(self.spec.restartPolicy) || self.spec.restartPolicy == '{self.restart_policy}'",
            f"must be absent or {self.restart_policy}: {self.why}; remove it",
            fieldPath=".spec.restartPolicy",
        )
        schema = handler.resolve_ref_schema(handler(PodTemplate.__pydantic_core_schema__))
        return {**schema, **crd(validations=[settled])}


RunTemplate = TemplateSchema("Never", "failed runs are tried again by `retryPolicy`")
InstanceTemplate = TemplateSchema(
    "Always", "instances run until they are told to stop; work that ends is a BatchJob"
)
