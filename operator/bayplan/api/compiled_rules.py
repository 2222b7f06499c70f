"""`placement` of a resource compiled into its pods, and taken out of a stored pod again.

The compiled part leads an autoscaler's simulation, which reads only pods, to the packer's answer.
The packer itself follows the rules and looks at a pod without the compiled part (`stripped`): a
list of known values on a stored pod must not keep the pod off a newer node. If a group may hold
several pods, each pod gets one of the group's places, and pods with the same place avoid each
other.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bayplan.api import names
from bayplan.api.kinds import KINDS
from bayplan.api.placement_rules import (
    Cap,
    asked_pool,
    constraints,
    counted_labels,
    own_labels,
)
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

Values = Callable[[str], Collection[str]]  # node label -> its known values

HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def nothing_known(label: str) -> Collection[str]:
    """For a caller that knows no nodes: patterns then only require that the label exists."""
    del label
    return ()


def compile_into(
    pod_spec: dict[str, Any], resource: Resource, revision: str, values: Values
) -> None:
    """Add to a pod's spec its resource's placement in Kubernetes' own terms."""
    pool = asked_pool(resource)
    if pool:
        pod_spec["nodeSelector"] = {**(pod_spec.get("nodeSelector") or {}), names.POOL: pool}
        tolerate_pool(pod_spec, pool)
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
                pass  # numbered places: `add_place` adds them pod by pod
    if own_labels(resource):
        for term in _others(resource):
            add_pod_term(pod_spec, "podAntiAffinity", term)


def tolerate_pool(pod_spec: dict[str, Any], pool: str) -> None:
    """Let the pod onto the nodes of a Pool, unless the template says so itself."""
    stated = pod_spec.get("tolerations") or []
    ours = {"key": names.POOL, "operator": "Equal", "value": pool, "effect": "NoSchedule"}
    if ours not in stated:
        pod_spec["tolerations"] = [*stated, ours]


def add_place(pod_spec: dict[str, Any], labels: Mapping[str, str], cap: Cap) -> None:
    """Keep a pod with these labels off groups where another pod has its place."""
    add_pod_term(pod_spec, "podAntiAffinity", _peer_term(labels, cap.topology_key))


def add_pod_term(pod_spec: dict[str, Any], part: str, term: Mapping[str, Any]) -> None:
    """Add one required term; what the pod's spec shares with other pods is not changed."""
    affinity = pod_spec.get("affinity") or {}
    group = affinity.get(part) or {}
    terms = [*(group.get(HARD) or []), term]
    pod_spec["affinity"] = {**affinity, part: {**group, HARD: terms}}


def stripped(stored: Constraints, wanted: PlacementRules) -> Constraints:
    """Constraints of a pod without what `compile_into` added for these rules.

    A pod whose node terms do not end with what would be added today keeps all its node terms: its
    resource has changed since then, and others read the pod as it is.
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
    """A node selector requirement; None if the node alone cannot tell or no value is excluded."""
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
    """The affinity with every alternative of the template narrowed by our expressions."""
    node = affinity.get("nodeAffinity") or {}
    terms = (node.get(HARD) or {}).get("nodeSelectorTerms")
    narrowed = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *expressions]}
        if term.get("matchExpressions") or term.get("matchFields")
        else term  # an empty term matches no node, and must still match none
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
    """A term's labels without our expressions at the end; None if they are not there."""
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
    """Add an even spread, unless the template already has a hard spread over the same label."""
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
    """Terms for pods of other BatchJobs and LongServices; no label identifies foreign pods."""
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
