"""`placement` of a resource as rules for the packer, and the labels by which its pods count."""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.api import names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.kinds import BY_NAME
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model import requirements
from bayplan.model.constraints import AtMost, Operator, PlaceConstraint
from bayplan.model.workloads import EXCLUSIVE, FREELY, PlacementRules, Strategy

_ONE_A_NODE = PlaceConstraint("hostname", Operator.UNIQUE)  # what mode PerNode means


def constraints(resource: Resource) -> tuple[PlaceConstraint, ...]:
    """The constraints that its spec states and the constraint that its mode means."""
    spec = resource.spec
    if spec is None:
        return ()
    stated = [one.read() for one in spec.placement.constraints]
    return (*stated, _ONE_A_NODE) if per_node(resource) else tuple(stated)


def asked_pool(resource: Resource) -> str:
    """The Pool on whose nodes its pods must run; empty if the spec names none."""
    return "" if resource.spec is None else resource.spec.placement.pool or ""


def constraints_and_pool(resource: Resource) -> tuple[PlaceConstraint, ...]:
    """The constraints, and the Pool that it asks for as one more: a test of a node's label."""
    pool = asked_pool(resource)
    of_pool = (PlaceConstraint(names.POOL, Operator.CLUSTER, pool),) if pool else ()
    return (*constraints(resource), *of_pool)


def per_node(resource: Resource) -> bool:
    """Whether the resource has one instance on each node."""
    return resource.spec is not None and resource.spec.per_node


def counted_labels(resource: Resource, revision: str) -> dict[str, str]:
    """Labels by which pods count together; with one pod on each node, across all templates."""
    labels = peer_labels(resource, revision)
    if per_node(resource):
        del labels[names.TEMPLATE_HASH]
    return labels


def peer_labels(resource: Resource, revision: str) -> dict[str, str]:
    """Labels that every pod of a template has: its workload, its template."""
    return {
        BY_NAME[resource.kind].label: names.owner_value(resource.name),
        names.TEMPLATE_HASH: revision,
    }


def rules(resource: Resource, revision: str) -> PlacementRules:
    """The rules that the packer follows for pods of this template."""
    spec = resource.spec
    if spec is None:
        return FREELY
    found, strategy = constraints(resource), Strategy(spec.placement.strategy)
    gang = isinstance(spec, BatchJobSpec) and spec.gang
    if not found and strategy is Strategy.BIN_PACK and not gang:
        return FREELY
    labels = counted_labels(resource, revision)
    mates = {key: value for key, value in labels.items() if key != names.TEMPLATE_HASH}
    return PlacementRules(
        constraints=found,
        strategy=strategy,
        gang=gang,
        peers=_term(labels),
        mates=_term(mates),
        instances=spec.replicas if isinstance(spec, LongServiceSpec) else 0,
    )


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `places` pods per value of `topology_key`; `label` numbers the pods' places."""

    label: str
    topology_key: str
    places: int


def caps(resource: Resource) -> tuple[Cap, ...]:
    """Constraints whose groups hold several pods; each pod gets a numbered place in its group."""
    found = [
        one
        for one in constraints(resource)
        if isinstance(one.coupling, AtMost) and one.coupling.numbered
    ]
    return tuple(
        Cap(f"{names.PLACE}-{index}" if index else names.PLACE, one.label, one.count)
        for index, one in enumerate(found)
    )


def own_labels(resource: Resource) -> dict[str, str]:
    """Labels that the placement of a resource puts on each of its pods."""
    spec = resource.spec
    exclusive = spec is not None and spec.placement.strategy == Strategy.EXCLUSIVE.value
    return {EXCLUSIVE: "true"} if exclusive else {}


def _term(labels: Mapping[str, str]) -> requirements.Term:
    return requirements.Term(
        tuple(
            (key, requirements.requirement("In", [value])) for key, value in sorted(labels.items())
        )
    )
