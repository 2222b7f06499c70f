"""`placement` of a resource compiled into its pods, and taken out of a stored pod again.

What is compiled makes an autoscaler's simulation, which reads pods only, come to the packer's
answer. The packer itself follows the rules and looks at a pod without what was compiled into it
(`stripped`): a list of known values on a stored pod must not keep it off a newer node. Where a
group may hold several pods, each gets one of the group's places, and pods of one place avoid each
other.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bayplan.api import names
from bayplan.api.kinds import KINDS
from bayplan.api.placement_rules import Cap, constraints, counted_labels, own_labels
from bayplan.api.resource import Resource
from bayplan.model import requirements
from bayplan.model.constraints import (
    AllTogether,
    AtMost,
    Coupling,
    EvenShares,
    NodeTest,
    PlaceConstraint,
)
from bayplan.model.label_values import Test
from bayplan.model.nodes import HOSTNAME
from bayplan.model.pods import Constraints
from bayplan.model.workloads import PlacementRules

Values = Callable[[str], Collection[str]]  # node label -> values that are known of it

HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def nothing_known(label: str) -> Collection[str]:
    """For a caller that knows no node: patterns then only ask for the label."""
    del label
    return ()


def compile_into(
    pod_spec: dict[str, Any], resource: Resource, revision: str, values: Values
) -> None:
    """Add to a pod's spec what its resource's placement means in Kubernetes' own words."""
    found = constraints(resource)
    on_nodes = [term for one in found if (term := _expression(one, values)) is not None]
    if on_nodes:
        pod_spec["affinity"] = _with_node_terms(pod_spec.get("affinity") or {}, on_nodes)
    labels = counted_labels(resource, revision)
    for one in found:
        match one.coupling:
            case AtMost(limit=1):
                add_pod_term(pod_spec, "podAntiAffinity", _peer_term(labels, one.label))
            case AllTogether():
                add_pod_term(pod_spec, "podAffinity", _peer_term(labels, one.label))
            case EvenShares():
                _add_spread(pod_spec, labels, one)
            case AtMost() | None:
                pass  # numbered places: `add_place`, pod by pod
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
    terms = [*(group.get(HARD) or []), term]
    pod_spec["affinity"] = {**affinity, part: {**group, HARD: terms}}


def stripped(stored: Constraints, wanted: PlacementRules) -> Constraints:
    """Constraints of a pod without what `compile_into` added for these rules.

    A pod whose node terms do not end in what would be added today keeps all of them: its resource
    has changed since, and others read the pod as it is.
    """
    if not wanted.constraints:
        return stored

    def keys(coupling: Coupling) -> set[str]:
        return {one.label for one in wanted.constraints if one.coupling == coupling}

    alone, together, even = keys(AtMost(1)), keys(AllTogether()), keys(EvenShares())
    peers = dict(wanted.peers.labels)

    def ours(selector: requirements.Term, key: str, labels: set[str]) -> bool:
        return key in labels and dict(selector.labels) == peers

    return replace(
        stored,
        affinity=_without_node_terms(stored.affinity, wanted.constraints),
        pod_affinity=tuple(
            term
            for term in stored.pod_affinity
            if term.weight or not ours(term.selector, term.topology_key, together)
        ),
        pod_anti_affinity=tuple(
            term
            for term in stored.pod_anti_affinity
            if term.weight or not ours(term.selector, term.topology_key, alone)
        ),
        spread=tuple(
            one
            for one in stored.spread
            if not (one.hard and ours(one.selector, one.topology_key, even))
        ),
    )


def _expression(one: PlaceConstraint, values: Values) -> dict[str, Any] | None:
    """A node selector requirement; None where the node alone cannot tell or nothing is shut out."""
    test, accepted = one.node, one.accepts()
    if test is None or accepted is None:
        return None
    known = values(one.label)
    if test.negated:
        shut = sorted(value for value in known if value and not accepted(value))
        return {"key": one.label, "operator": "NotIn", "values": shut} if shut else None
    named = {value for value in known if value and accepted(value)}
    if test.literal:
        named.add(one.value)
    if not named:
        return {"key": one.label, "operator": "Exists"}
    return {"key": one.label, "operator": "In", "values": sorted(named)}


def _with_node_terms(
    affinity: Mapping[str, Any], expressions: list[dict[str, Any]]
) -> dict[str, Any]:
    """Every alternative that the template allows, narrowed by ours."""
    node = affinity.get("nodeAffinity") or {}
    terms = (node.get(HARD) or {}).get("nodeSelectorTerms")
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
        "nodeAffinity": {**node, HARD: {"nodeSelectorTerms": narrowed}},
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
        test, accepted = one.node, one.accepts()
        if test is None or accepted is None:
            continue
        label, said = labels[-1] if labels else ("", requirements.NOTHING)
        if label == one.label and _is_ours(test, said, accepted):
            labels.pop()
        elif not test.negated:
            return None
    return tuple(labels)


def _is_ours(test: NodeTest, said: requirements.Requirement, accepted: Test) -> bool:
    if test.negated:
        return said.complement and bool(said.values) and not any(map(accepted, said.values))
    if said.complement:
        return said == requirements.requirement("Exists") and not test.literal
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
        spread["minDomains"] = one.count
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
