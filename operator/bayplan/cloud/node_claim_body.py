"""The NodeClaim that orders one node through a NodePool, complete.

It has what Karpenter's own provisioner writes for that NodePool (kubernetes-sigs/karpenter v1.14.1,
pkg/controllers/provisioning/scheduling/nodeclaimtemplate.go), so that drift, counts and termination
work for it as for any node. Three things are ours: the claim never expires, Karpenter is asked not
to disrupt it, and no value is chosen at random.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bayplan.api.names import DO_NOT_DISRUPT, POOL
from bayplan.cloud import node_pools
from bayplan.cloud.instance_labels import AWS, KEYS, KWOK
from bayplan.inputs import InputError
from bayplan.model.node_claims import Offering
from bayplan.model.node_pools import NODE_POOL, node_class_of
from bayplan.model.nodes import ARCH, CAPACITY_TYPE, FORMER, HOSTNAME, INSTANCE_TYPE, OS, ZONE
from bayplan.model.requirements import ANYTHING, Requirement
from bayplan.model.untyped import mapping, sequence

API_VERSION, KIND = "karpenter.sh/v1", "NodeClaim"
MOST_REQUIREMENTS = 100
_HASHES = ("karpenter.sh/nodepool-hash", "karpenter.sh/nodepool-hash-version")
_TAINT_FIELDS = ("key", "value", "effect")
_NORMAL = {before: now for now, before in FORMER}
_DOMAINS = frozenset(
    {"kubernetes.io", "node.kubernetes.io", "topology.kubernetes.io", "karpenter.sh"}
    | {"topology.k8s.aws", "eks.amazonaws.com", AWS, KWOK}
)  # whose labels the provider sets itself, from the instance


def body(
    name: str,
    pool: str,
    node_pool: Mapping[str, Any],
    *,
    types: Sequence[str],
    zones: Collection[str],
    capacity_type: str,
    extended: Mapping[str, int] | None = None,
    menu: Collection[Offering] | None = None,
) -> dict[str, Any]:
    """The claim `name` of a Pool, for one node of any of these types and zones (none: any zone).

    `node_pool` is the NodePool as stored; a type, zone or capacity type that it does not allow is
    left out. `extended` are the extended resources that the pods ask for: Karpenter waits for their
    devices. `menu` has the offerings that exist: a type without any of them is left out, because a
    provider may hang on it. `InputError` if nothing is left to ask for.
    """
    read = node_pools.node_pool(node_pool)
    called = f"NodePool {read.name}"
    wanted = _wanted(read, types, zones, capacity_type, menu)
    template = mapping(mapping(node_pool.get("spec")).get("template"))
    spec = mapping(template.get("spec"))
    group, kind, class_name = node_class_of(node_pool)
    labels = {
        **_chosen(read.requirements),
        **read.labels,
        POOL: pool,
        NODE_POOL: read.name,
        f"{group}/{kind.lower()}": class_name,
    }
    made: dict[str, Any] = {
        "expireAfter": "Never",
        "nodeClassRef": {"group": group, "kind": kind, "name": class_name},
        "requirements": _requirements(called, spec, {**wanted, NODE_POOL: [read.name]}),
        "resources": {"requests": {key: str(count) for key, count in (extended or {}).items()}},
    }
    for key in ("taints", "startupTaints"):
        if taints := [_taint(one) for one in map(mapping, sequence(spec.get(key)))]:
            made[key] = taints
    if spec.get("terminationGracePeriod") is not None:
        made["terminationGracePeriod"] = spec["terminationGracePeriod"]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": _annotations(node_pool, template),
            "ownerReferences": [_owner(node_pool, read.name)],
        },
        "spec": made,
    }


def _wanted(
    read: node_pools.NodePool,
    types: Sequence[str],
    zones: Collection[str],
    capacity_type: str,
    menu: Collection[Offering] | None,
) -> dict[str, list[str]]:
    """The values asked for by label: of those given, the ones that NodePool and menu allow."""
    called = f"NodePool {read.name}"

    def allowed(key: str, values: Collection[str]) -> list[str]:
        return [value for value in values if read.requirements.get(key, ANYTHING).has(value)]

    kinds, places = allowed(INSTANCE_TYPE, types), sorted(allowed(ZONE, zones))
    if menu is not None:
        there = [
            (kind, zone)
            for kind, zone, sold in menu
            if sold == capacity_type and (zone in places if zones else allowed(ZONE, [zone]))
        ]
        kinds = [kind for kind in kinds if any(kind == one for one, _ in there)]
        places = [zone for zone in places if any(zone == one for _, one in there)]
    if not kinds:
        raise InputError(called, f"allows none of the instance types {', '.join(types)}")
    if zones and not places:
        raise InputError(called, f"allows none of the zones {', '.join(sorted(zones))}")
    if not allowed(CAPACITY_TYPE, [capacity_type]):
        raise InputError(called, f"does not allow the capacity type {capacity_type}")
    asked = {INSTANCE_TYPE: kinds, CAPACITY_TYPE: [capacity_type]}
    return {**asked, ZONE: places} if places else asked


def _requirements(
    called: str, spec: Mapping[str, Any], asked: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """The NodePool's own requirements, and ours for the labels that we decide.

    Those that the named types meet anyway are left out if there are too many; `minValues` is
    dropped, for it would ask for more types than we name.
    """
    kept = [
        {key: one[key] for key in ("key", "operator", "values") if one.get(key) is not None}
        for one in map(mapping, sequence(spec.get("requirements")))
        if _NORMAL.get(str(one.get("key")), one.get("key")) not in asked
    ]
    ours = [{"key": key, "operator": "In", "values": list(asked[key])} for key in asked]
    if len(kept) + len(ours) > MOST_REQUIREMENTS:
        kept = [one for one in kept if one["key"] not in KEYS - {ARCH, OS}]
    if len(kept) + len(ours) > MOST_REQUIREMENTS:
        raise InputError(
            called,
            f"has {len(kept)} requirements; a NodeClaim can have {MOST_REQUIREMENTS}, and "
            f"{len(ours)} of them are needed for the type and the zone: remove some",
        )
    return [*ours, *kept]


def _chosen(requirements: Mapping[str, Requirement]) -> dict[str, str]:
    """A value for each label of the user's own that a requirement of the NodePool demands.

    Without such a label Karpenter would see the node as drifted from its NodePool.
    """
    chosen = {}
    for key in sorted(requirements):
        domain = key.partition("/")[0] if "/" in key else ""
        known = key in KEYS or key == HOSTNAME or domain in _DOMAINS
        value = None if known or requirements[key].has(None) else _value(requirements[key])
        if value is not None:
            chosen[key] = value
    return chosen


def _value(wanted: Requirement) -> str | None:
    """The first value that a requirement accepts; None if it accepts none."""
    if not wanted.complement:
        return min(filter(wanted.has, wanted.values), default=None)
    # One more number than there are forbidden values: one of them is not forbidden.
    least = 0 if wanted.above is None else wanted.above + 1
    numbers = map(str, range(least, least + len(wanted.values) + 1))
    return next(filter(wanted.has, numbers), None)


def _annotations(node_pool: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, str]:
    own = mapping(mapping(node_pool.get("metadata")).get("annotations"))
    given = mapping(mapping(template.get("metadata")).get("annotations"))
    return {
        **{str(key): str(value) for key, value in given.items()},
        **{key: str(own[key]) for key in _HASHES if key in own},
        DO_NOT_DISRUPT: "true",
    }


def _owner(node_pool: Mapping[str, Any], name: str) -> dict[str, Any]:
    """If the NodePool is deleted, its nodes go with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": node_pools.KIND,
        "name": name,
        "uid": str(mapping(node_pool.get("metadata")).get("uid") or ""),
        "blockOwnerDeletion": True,
    }


def _taint(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one[key] for key in _TAINT_FIELDS if one.get(key) is not None}
