"""`placement` of a resource as rules for the packer, and compiled into its pods.

The packer follows the rules themselves; what is compiled makes an autoscaler's simulation, which
reads pods only, come to the same answer. So the packer looks at a pod without what was compiled
into it (`stripped`): a list of known values on a stored pod must not keep it off a newer node.
MaxPer N gives each pod one of N places that its group has, and pods of one place avoid each other.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bayplan.api import names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.kinds import BY_NAME, KINDS
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model import requirements
from bayplan.model.constraints import Test, accepts, count
from bayplan.model.nodes import HOSTNAME
from bayplan.model.pods import Constraints
from bayplan.model.workloads import (
    EXCLUSIVE,
    FREELY,
    Operator,
    PlaceConstraint,
    PlacementRules,
    Strategy,
)

Values = Callable[[str], Collection[str]]  # node label -> values that are known of it

_ONE_A_NODE = PlaceConstraint("hostname", Operator.UNIQUE)  # what mode PerNode means
_HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def nothing_known(label: str) -> Collection[str]:
    """For who knows no node: patterns then only ask for the label."""
    del label
    return ()


def constraints(resource: Resource) -> tuple[PlaceConstraint, ...]:
    spec = resource.spec
    if spec is None:
        return ()
    stated = [
        PlaceConstraint(one.key, Operator(one.operator), one.value or "")
        for one in spec.placement.constraints
    ]
    return (*stated, _ONE_A_NODE) if per_node(resource) else tuple(stated)


def per_node(resource: Resource) -> bool:
    """Whether it has one instance on each node."""
    return resource.spec is not None and resource.spec.per_node


def _counted_labels(resource: Resource, revision: str) -> dict[str, str]:
    """Labels by which pods count together; with one on each node, those of every template."""
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
    """What the packer follows for pods of this template."""
    spec = resource.spec
    if spec is None:
        return FREELY
    found, strategy = constraints(resource), Strategy(spec.placement.strategy)
    gang = isinstance(spec, BatchJobSpec) and spec.gang
    if not found and strategy is Strategy.BIN_PACK and not gang:
        return FREELY
    labels = _counted_labels(resource, revision)
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
    """A MaxPer: the label that numbers places, the node label of the groups, places a group."""

    label: str
    topology_key: str
    places: int


def caps(resource: Resource) -> tuple[Cap, ...]:
    found = [one for one in constraints(resource) if one.operator is Operator.MAX_PER]
    return tuple(
        Cap(f"{names.PLACE}-{index}" if index else names.PLACE, one.label, count(one.value))
        for index, one in enumerate(found)
    )


def own_labels(resource: Resource) -> dict[str, str]:
    """Labels on every pod by its placement."""
    spec = resource.spec
    exclusive = spec is not None and spec.placement.strategy == Strategy.EXCLUSIVE.value
    return {EXCLUSIVE: "true"} if exclusive else {}


def compile_into(
    pod_spec: dict[str, Any], resource: Resource, revision: str, values: Values
) -> None:
    """Add to a pod's spec what its resource's placement means in Kubernetes' own words."""
    found = constraints(resource)
    on_nodes = [term for one in found if (term := _expression(one, values)) is not None]
    if on_nodes:
        pod_spec["affinity"] = _with_node_terms(pod_spec.get("affinity") or {}, on_nodes)
    labels = _counted_labels(resource, revision)
    for one in found:
        match one.operator:
            case Operator.UNIQUE:
                add_pod_term(pod_spec, "podAntiAffinity", _peer_term(labels, one.label))
            case Operator.CLUSTER if not one.value:
                add_pod_term(pod_spec, "podAffinity", _peer_term(labels, one.label))
            case Operator.GROUP_BY:
                _add_spread(pod_spec, labels, one)
            case _:
                pass
    if own_labels(resource):
        for term in _others(resource):
            add_pod_term(pod_spec, "podAntiAffinity", term)


def add_place(pod_spec: dict[str, Any], labels: Mapping[str, str], cap: Cap) -> None:
    """Keep a pod with these labels off groups where another one has its place."""
    add_pod_term(pod_spec, "podAntiAffinity", _peer_term(labels, cap.topology_key))


def add_pod_term(pod_spec: dict[str, Any], part: str, term: Mapping[str, Any]) -> None:
    """One more required term; what the pod's spec shares with others stays as it is."""
    affinity = pod_spec.get("affinity") or {}
    group = affinity.get(part) or {}
    terms = [*(group.get(_HARD) or []), term]
    pod_spec["affinity"] = {**affinity, part: {**group, _HARD: terms}}


def stripped(stored: Constraints, wanted: PlacementRules) -> Constraints:
    """Constraints of a pod without what `compile_into` added for these rules.

    A pod whose node terms do not end in what would be added today keeps all of them: its resource
    has changed since, and others read the pod as it is.
    """
    if not wanted.constraints:
        return stored

    def keys(operator: Operator) -> set[str]:
        return {one.label for one in wanted.constraints if one.operator is operator}

    unique, cluster, groups = map(keys, (Operator.UNIQUE, Operator.CLUSTER, Operator.GROUP_BY))
    peers = dict(wanted.peers.labels)

    def ours(selector: requirements.Term, key: str, labels: set[str]) -> bool:
        return key in labels and dict(selector.labels) == peers

    return replace(
        stored,
        affinity=_without_node_terms(stored.affinity, wanted.constraints),
        pod_affinity=tuple(
            term
            for term in stored.pod_affinity
            if term.weight or not ours(term.selector, term.topology_key, cluster)
        ),
        pod_anti_affinity=tuple(
            term
            for term in stored.pod_anti_affinity
            if term.weight or not ours(term.selector, term.topology_key, unique)
        ),
        spread=tuple(
            one
            for one in stored.spread
            if not (one.hard and ours(one.selector, one.topology_key, groups))
        ),
    )


def _term(labels: Mapping[str, str]) -> requirements.Term:
    return requirements.Term(
        tuple(
            (key, requirements.requirement("In", [value])) for key, value in sorted(labels.items())
        )
    )


def _expression(one: PlaceConstraint, values: Values) -> dict[str, Any] | None:
    """A node selector requirement; None where the node alone cannot tell or nothing is shut out."""
    accepted = accepts(one)
    if accepted is None:
        return None
    known = values(one.label)
    if one.operator is Operator.UNLIKE:
        shut = sorted(value for value in known if value and not accepted(value))
        return {"key": one.label, "operator": "NotIn", "values": shut} if shut else None
    if one.operator is Operator.LIKE:
        named = {value for value in known if value and accepted(value)}
    else:
        named = {one.value, *(value for value in known if value and accepted(value))}
    if not named:
        return {"key": one.label, "operator": "Exists"}
    return {"key": one.label, "operator": "In", "values": sorted(named)}


def _with_node_terms(
    affinity: Mapping[str, Any], expressions: list[dict[str, Any]]
) -> dict[str, Any]:
    """Every alternative that the template allows, narrowed by ours."""
    node = affinity.get("nodeAffinity") or {}
    terms = (node.get(_HARD) or {}).get("nodeSelectorTerms")
    narrowed = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *expressions]}
        if term.get("matchExpressions") or term.get("matchFields")
        else term  # an empty term matches no node, and must go on matching none
        for term in terms or []
    ]
    if terms is None:
        narrowed = [{"matchExpressions": expressions}]
    return {
        **affinity,
        "nodeAffinity": {**node, _HARD: {"nodeSelectorTerms": narrowed}},
    }


def _without_node_terms(
    stored: tuple[requirements.Term, ...] | None, wanted: tuple[PlaceConstraint, ...]
) -> tuple[requirements.Term, ...] | None:
    if stored is None:
        return None
    found = []
    for term in stored:
        labels = None if term.never else _cut(list(term.labels), wanted)
        found.append(term if labels is None else replace(term, labels=labels))
    empty = requirements.Term()
    return None if found == [empty] else tuple(found)


def _cut(
    labels: list[tuple[str, requirements.Requirement]], wanted: tuple[PlaceConstraint, ...]
) -> tuple[tuple[str, requirements.Requirement], ...] | None:
    """A term's labels without our expressions at its end; None when they are not there."""
    for one in reversed(wanted):
        accepted = accepts(one)
        if accepted is None:
            continue
        label, said = labels[-1] if labels else ("", requirements.NOTHING)
        if label == one.label and _is_ours(one, said, accepted):
            labels.pop()
        elif one.operator is not Operator.UNLIKE:
            return None
    return tuple(labels)


def _is_ours(one: PlaceConstraint, said: requirements.Requirement, accepted: Test) -> bool:
    if one.operator is Operator.UNLIKE:
        return said.complement and bool(said.values) and not any(map(accepted, said.values))
    if said.complement:
        return said == requirements.requirement("Exists") and one.operator is Operator.LIKE
    return bool(said.values) and all(map(accepted, said.values))


def _peer_term(labels: Mapping[str, str], topology_key: str) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": topology_key}


def _add_spread(pod_spec: dict[str, Any], labels: Mapping[str, str], one: PlaceConstraint) -> None:
    """An even spread, unless the template has a hard one over the same label already."""
    stated = pod_spec.get("topologySpreadConstraints") or []
    taken = {
        spread.get("topologyKey")
        for spread in stated
        if spread.get("whenUnsatisfiable") == "DoNotSchedule"
    }
    if one.label in taken:
        return
    spread: dict[str, Any] = {
        "maxSkew": 1,
        "topologyKey": one.label,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": dict(labels)},
    }
    if one.value:
        spread["minDomains"] = count(one.value)
    pod_spec["topologySpreadConstraints"] = [*stated, spread]


def _others(resource: Resource) -> Iterator[dict[str, Any]]:
    """Pods of other BatchJobs and LongServices; foreign ones have no label to know them by."""
    for kind in KINDS:
        key = kind.label
        chosen: list[dict[str, Any]] = [{"key": key, "operator": "Exists"}]
        if kind.name == resource.kind:
            chosen.append(
                {"key": key, "operator": "NotIn", "values": [names.owner_value(resource.name)]}
            )
        yield {
            "labelSelector": {"matchExpressions": chosen},
            "namespaceSelector": {},
            "topologyKey": HOSTNAME,
        }
