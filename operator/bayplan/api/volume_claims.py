"""Templates of claims for volumes that belong to an instance of a LongService, not to a pod."""

from typing import Annotated, Any, Literal

from pydantic import Field

from bayplan.api import names
from bayplan.api.meta import DNS_LABEL_RULE, Part, crd, rule
from bayplan.api.template import Labels, ResourceQuantity, Text

MOST_TEMPLATES = 8


class ClaimMetadata(Part):
    """Name, labels and annotations of the claims made of a template."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=crd(validations=[DNS_LABEL_RULE]),
        description=(
            "Name of the volume that containers mount, unique among the templates; claims are "
            "named NAME-SERVICE-ORDINAL."
        ),
    )
    labels: Labels | None = Field(default=None, description="Labels of the claims.")
    annotations: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=4096)]],
            Field(max_length=32),
        ]
        | None
    ) = Field(default=None, description="Annotations of the claims.")


class ClaimRequests(Part):
    """How large a volume is asked for."""

    storage: ResourceQuantity = Field(description="Size of the volume, such as 150Gi.")


class ClaimResources(Part):
    """What a volume must offer."""

    requests: ClaimRequests = Field(description="How large a volume is asked for.")


class ClaimSpec(Part):
    """The volume to ask for."""

    access_modes: tuple[
        Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"], ...
    ] = Field(
        min_length=1,
        max_length=4,
        description="How the volume is mounted; ReadWriteOnce for a disk such as EBS.",
        json_schema_extra=crd(list_type="set"),
    )
    storage_class_name: Text | None = Field(
        default=None, description="StorageClass of the volume; absent: the cluster's default."
    )
    resources: ClaimResources = Field(description="What the volume must offer.")


class ClaimTemplate(Part):
    """A claim that every instance has of its own."""

    metadata: ClaimMetadata = Field(description="Name, labels and annotations of the claims.")
    spec: ClaimSpec = Field(description="The volume to ask for.")

    def body(self, namespace: str, name: str, service: str) -> dict[str, Any]:
        """A PersistentVolumeClaim of this name, with the label that names its LongService."""
        labels = {**(self.metadata.labels or {}), names.SERVICE: names.owner_value(service)}
        metadata: dict[str, Any] = {"namespace": namespace, "name": name, "labels": labels}
        if self.metadata.annotations:
            metadata["annotations"] = dict(self.metadata.annotations)
        spec: dict[str, Any] = {
            "accessModes": list(self.spec.access_modes),
            "resources": {"requests": {"storage": self.spec.resources.requests.storage}},
        }
        if self.spec.storage_class_name is not None:
            spec["storageClassName"] = self.spec.storage_class_name
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": spec,
        }


class ClaimRetention(Part):
    """What becomes of the claims of instances that are no longer wanted."""

    when_deleted: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="Delete: the claims go with the LongService. Retain: they stay.",
    )
    when_scaled: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description=(
            "Delete: the claims of an instance go once it has gone by a smaller `replicas`. "
            "Retain: they stay, and it finds its data when it comes back."
        ),
    )


_UNIQUE = (
    "!has(self.volumeClaimTemplates) || self.volumeClaimTemplates.all(t, "
    "self.volumeClaimTemplates.exists_one(u, u.metadata.name == t.metadata.name))"
)
_NONE = "!has(self.volumeClaimTemplates) || self.volumeClaimTemplates.size() == 0"
_SAME = (
    f"({_NONE}) == ({_NONE.replace('self', 'oldSelf')}) && "
    f"({_NONE} || self.volumeClaimTemplates == oldSelf.volumeClaimTemplates)"
)
RULES = [
    rule(
        _UNIQUE,
        "names of volumeClaimTemplates must differ; rename one of them",
        fieldPath=".volumeClaimTemplates",
    ),
    rule(
        _SAME,
        "volumeClaimTemplates must stay as they are, since the volumes exist; enlarge a volume by "
        "its claim, or delete the LongService (its claims stay) and create it anew",
        fieldPath=".volumeClaimTemplates",
    ),
    rule(
        f"{_NONE} || !has(self.rebalance)",
        "rebalance must be absent with volumeClaimTemplates, whose instances have no replacement "
        "first; remove it",
        fieldPath=".rebalance",
    ),
    rule(
        f"{_NONE} || !has(self.scaleDown) || self.scaleDown.order == 'YoungestFirst'",
        "scaleDown.order must be absent with volumeClaimTemplates, since the highest ordinals go "
        "first; remove it",
        fieldPath=".scaleDown",
    ),
]
