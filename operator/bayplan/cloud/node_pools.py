"""The nodes that a Karpenter NodePool makes: their types, zones, labels, taints.

The pool is read from the object as the API server has it (`karpenter.sh/v1`), with the part of its
EC2NodeClass that decides how much pods can use of a node. Requirements are Karpenter's sets; the
operators `Gte` and `Lte` are bounds that include their value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan import units
from bayplan.inputs import InputError
from bayplan.model import requirements
from bayplan.model.nodes import CAPACITY_TYPE, Taint
from bayplan.model.requirements import ANYTHING, Requirement

GROUP, KIND = "karpenter.sh", "NodePool"
POOL = "karpenter.sh/nodepool"  # the label of its nodes
ON_DEMAND, SPOT = "on-demand", "spot"


@dataclass(frozen=True, slots=True)
class NodeClass:
    """The fields of an EC2NodeClass that decide the room of a node; None for a field not set."""

    max_pods: int | None = None
    disk_bytes: int | None = None  # of the root volume


@dataclass(frozen=True, slots=True)
class NodePool:
    """`labels` and `taints` are on every node of the pool; startup taints go away by themselves.

    `requirements` are by label; a label that is absent here may have any value. `node_class` is the
    kind and name of the object that holds the other settings.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    requirements: Mapping[str, Requirement] = field(default_factory=dict)
    node_class: tuple[str, str] = ("", "")

    def allows(self, labels: Mapping[str, str], keys: Iterable[str]) -> bool:
        """Whether a node with these labels may belong to the pool, judged by these keys only."""
        return all(self.requirements.get(key, ANYTHING).has(labels.get(key)) for key in keys)

    @property
    def capacity_types(self) -> tuple[str, ...]:
        """On demand, spot or both. A pool without such a requirement may have both."""
        wanted = self.requirements.get(CAPACITY_TYPE, ANYTHING)
        return tuple(each for each in (ON_DEMAND, SPOT) if wanted.has(each))


def node_pool(body: Mapping[str, Any]) -> NodePool:
    """The pool that an object describes; `InputError` names the field that cannot be read."""
    name = str(_mapping(body.get("metadata")).get("name") or "")
    called = f"{KIND} {name or '(without a name)'}"
    template = _mapping(_mapping(body.get("spec")).get("template"))
    spec = _mapping(template.get("spec"))
    if not name:
        raise InputError(called, "metadata.name must be the pool's name")
    if not spec:
        raise InputError(called, "spec.template.spec must say what its nodes are")
    labels = {
        str(key): str(value)
        for key, value in _mapping(_mapping(template.get("metadata")).get("labels")).items()
    }
    labels[POOL] = name
    wanted: dict[str, Requirement] = {}
    for index, one in enumerate(_list(spec.get("requirements"))):
        where = f"spec.template.spec.requirements[{index}]"
        key, read = _requirement(called, where, _mapping(one))
        wanted[key] = wanted.get(key, ANYTHING) & read
    for key, value in labels.items():
        wanted[key] = wanted.get(key, ANYTHING) & requirements.requirement("In", [value])
    reference = _mapping(spec.get("nodeClassRef"))
    return NodePool(
        name=name,
        labels=labels,
        taints=tuple(_taint(_mapping(one)) for one in _list(spec.get("taints"))),
        requirements=wanted,
        node_class=(str(reference.get("kind") or ""), str(reference.get("name") or "")),
    )


def node_class(body: Mapping[str, Any]) -> NodeClass:
    """The settings of an EC2NodeClass that decide a node's room."""
    spec = _mapping(body.get("spec"))
    most = _mapping(spec.get("kubelet")).get("maxPods")
    size = _mapping(_pods_disk(spec).get("ebs")).get("volumeSize")
    try:
        disk = units.milli(str(size)) // 1000 if size is not None else None
    except units.QuantityError:
        disk = None
    return NodeClass(most if isinstance(most, int) and most > 0 else None, disk)


def _pods_disk(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The volume that pods write to, found as the provider does: by its mark or device name."""
    disks = [_mapping(one) for one in _list(spec.get("blockDeviceMappings"))]
    aliases = [str(_mapping(one).get("alias")) for one in _list(spec.get("amiSelectorTerms"))]
    families = [str(spec.get("amiFamily") or ""), *aliases]
    bottlerocket = any(family.lower().startswith("bottlerocket") for family in families)
    device = "/dev/xvdb" if bottlerocket else "/dev/xvda"
    marked = [one for one in disks if one.get("rootVolume")]
    named = [one for one in disks if one.get("deviceName") == device]
    return next(iter((*marked, *named)), {})


def _requirement(called: str, where: str, one: Mapping[str, Any]) -> tuple[str, Requirement]:
    key, operator = str(one.get("key") or ""), str(one.get("operator") or "")
    values = [str(value) for value in _list(one.get("values"))]
    if not key:
        raise InputError(called, f"{where}.key must be a label")
    if operator in {"Gte", "Lte"}:
        operator, values = _including(operator, values)
    found = requirements.requirement(operator, values)
    if found == requirements.NOTHING:
        raise InputError(called, f"{where} ({key} {operator}) accepts no value; correct it")
    return key, found


def _including(operator: str, values: list[str]) -> tuple[str, list[str]]:
    """`Gte 4` becomes `Gt 3`, `Lte 4` becomes `Lt 5`; other values stay and are refused later."""
    strict, step = {"Gte": ("Gt", -1), "Lte": ("Lt", 1)}[operator]
    text = values[0] if values else ""
    return strict, [str(int(text) + step)] if text.isascii() and text.isdecimal() else values


def _taint(one: Mapping[str, Any]) -> Taint:
    return Taint(
        str(one.get("key") or ""),
        str(one.get("value") or ""),
        str(one.get("effect") or "NoSchedule"),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
