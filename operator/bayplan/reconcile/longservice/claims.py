"""The claims of instances with identity: made before the pod, kept or given up as the user asked.

A claim is found by its name, as a StatefulSet finds it. So an instance that comes back, and a
service that is created again, find their data. Only a claim that carries the service's label is
ever changed or deleted. It is deleted only when `persistentVolumeClaimRetentionPolicy` says so and
no pod of its ordinal is stored any more.
"""

from collections.abc import Mapping

from bayplan.api import names, pod_builder
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model.intents import ClaimAct, CreateClaim, DropClaim, OwnClaim
from bayplan.model.pods import Claim
from bayplan.reconcile.longservice.ordinals import Row, name_of

Claims = Mapping[str, Claim]  # of one namespace, by name


def named(service: Resource, spec: LongServiceSpec, number: int) -> tuple[tuple[str, str], ...]:
    """(volume, claim) of each template for one ordinal."""
    pod = name_of(service.name, number)
    volumes = [one.metadata.name for one in spec.volume_claim_templates]
    return tuple((volume, f"{volume}-{pod}") for volume in volumes)


def lacking(
    service: Resource, spec: LongServiceSpec, claims: Claims, number: int
) -> tuple[str, ...]:
    """The claims that the pod of an ordinal has to wait for."""
    return tuple(
        claim
        for _, claim in named(service, spec, number)
        if claim not in claims or claims[claim].deleting
    )


def changes(
    service: Resource, spec: LongServiceSpec, claims: Claims, row: Row, *, braked: bool
) -> tuple[ClaimAct, ...]:
    """Claims to make, to change the owner of, and to give up. None is given up while `braked`."""
    acts: list[ClaimAct] = []
    for number in row.wanted:
        for template, (_, claim) in zip(
            spec.volume_claim_templates, named(service, spec, number), strict=True
        ):
            if claim not in claims:
                body = template.body(service.namespace, claim, service.name)
                if _owned(spec):
                    body["metadata"]["ownerReferences"] = [pod_builder.owner_reference(service)]
                acts.append(CreateClaim(body))
    policy = spec.persistent_volume_claim_retention_policy
    for number, claim in sorted(_ours(service, spec, claims)):
        stored = claims[claim]
        if stored.deleting:
            continue
        beyond = number >= row.replicas and number not in row.pods
        if beyond and policy.when_scaled == "Delete" and not braked:
            acts.append(DropClaim(service.namespace, claim, stored.uid))
        elif (service.uid in stored.owners) != _owned(spec):
            owner = pod_builder.owner_reference(service)
            if not _owned(spec):
                owner = {"$patch": "delete", "uid": service.uid}
            acts.append(OwnClaim(service.namespace, claim, stored.uid, owner))
    return tuple(acts)


def _owned(spec: LongServiceSpec) -> bool:
    """Whether garbage collection deletes the claims with the service."""
    return spec.persistent_volume_claim_retention_policy.when_deleted == "Delete"


def _ours(service: Resource, spec: LongServiceSpec, claims: Claims) -> list[tuple[int, str]]:
    """(ordinal, claim) of claims that have the service's label and a name of its instances."""
    label = names.owner_value(service.name)
    found = []
    for name, claim in claims.items():
        number = name.rpartition("-")[2]
        if claim.service != label or not (number.isascii() and number.isdecimal()):
            continue
        if any(name == mine for _, mine in named(service, spec, int(number))):
            found.append((int(number), name))
    return found
