"""The nodes that a Karpenter NodePool makes: their types, zones, labels, taints.

The pool is read from the object as the API server has it (`karpenter.sh/v1`), with the part of its
EC2NodeClass that decides how much pods can use of a node. Requirements are Karpenter's sets; the
operators `Gte` and `Lte` are bounds that include their value.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan import units
from bayplan.inputs import InputError
from bayplan.model import requirements
from bayplan.model.node_pools import NODE_POOL, node_class_of
from bayplan.model.nodes import CAPACITY_TYPE, FORMER, Taint
from bayplan.model.requirements import ANYTHING, Requirement
from bayplan.model.untyped import mapping, sequence

GROUP, KIND = "karpenter.sh", "NodePool"
INITIALIZED = "karpenter.sh/initialized"  # label of a node: it is complete, with its devices
ON_DEMAND, SPOT, RESERVED = "on-demand", "spot", "reserved"
_MOST_DIGITS, _MOST_PODS, _MOST_DISK_BYTES = 18, 10_000, 1 << 50
_UNREAD = ("limits", "replicas", "weight")
_UNREAD_OF_KUBELET = frozenset(
    {"systemReserved", "kubeReserved", "evictionHard", "evictionSoft", "podsPerCore"}
)
# Karpenter reads the former words for a label too; EKS Auto Mode has words of its own.
_NORMAL = {before: now for now, before in FORMER}
_AUTO_MODE, _PROVIDER = "eks.amazonaws.com/instance-", "karpenter.k8s.aws/instance-"


@dataclass(frozen=True, slots=True)
class NodeClass:
    """The fields of an EC2NodeClass that decide the room of a node; None for a field not set."""

    max_pods: int | None = None
    disk_bytes: int | None = None  # of the root volume
    unread: tuple[str, ...] = ()  # fields of its kubelet that change the room and are not looked at


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
    unread: tuple[str, ...] = ()  # fields that bound what it buys, and are not looked at

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
    name = str(mapping(body.get("metadata")).get("name") or "")
    called = f"{KIND} {name or '(without a name)'}"
    whole = mapping(body.get("spec"))
    template = mapping(whole.get("template"))
    spec = mapping(template.get("spec"))
    if not name:
        raise InputError(called, "metadata.name must be the pool's name")
    if not spec:
        raise InputError(called, "spec.template.spec must say what its nodes are")
    labels = {
        str(key): str(value)
        for key, value in mapping(mapping(template.get("metadata")).get("labels")).items()
    }
    labels[NODE_POOL] = name
    wanted: dict[str, Requirement] = {}
    for where, one in _objects(called, spec, "requirements"):
        key, read = _requirement(called, where, one)
        wanted[key] = wanted.get(key, ANYTHING) & read
    for key, value in labels.items():
        wanted[key] = wanted.get(key, ANYTHING) & requirements.requirement("In", [value])
    return NodePool(
        name=name,
        labels=labels,
        taints=tuple(_taint(called, where, one) for where, one in _objects(called, spec, "taints")),
        requirements=wanted,
        node_class=node_class_of(body)[1:],
        unread=tuple(name for name in _UNREAD if whole.get(name) not in (None, {})),
    )


def node_class(body: Mapping[str, Any]) -> NodeClass:
    """The settings of an EC2NodeClass that decide a node's room."""
    spec = mapping(body.get("spec"))
    kubelet = mapping(spec.get("kubelet"))
    most = kubelet.get("maxPods")
    size = mapping(_pods_disk(spec).get("ebs")).get("volumeSize")
    try:
        disk = units.milli(str(size)) // 1000 if size is not None else None
    except units.QuantityError:
        disk = None
    counts = isinstance(most, int) and not isinstance(most, bool) and 0 < most <= _MOST_PODS
    return NodeClass(
        most if counts else None,
        disk if disk is not None and 0 < disk <= _MOST_DISK_BYTES else None,
        tuple(sorted(_UNREAD_OF_KUBELET & kubelet.keys())),
    )


def _pods_disk(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The volume that pods write to, found as the provider does: by its mark or device name."""
    disks = [mapping(one) for one in sequence(spec.get("blockDeviceMappings"))]
    aliases = [str(mapping(one).get("alias")) for one in sequence(spec.get("amiSelectorTerms"))]
    families = [str(spec.get("amiFamily") or ""), *aliases]
    bottlerocket = any(family.lower().startswith("bottlerocket") for family in families)
    device = "/dev/xvdb" if bottlerocket else "/dev/xvda"
    marked = [one for one in disks if one.get("rootVolume")]
    named = [one for one in disks if one.get("deviceName") == device]
    return next(iter((*marked, *named)), {})


def _requirement(called: str, where: str, one: Mapping[str, Any]) -> tuple[str, Requirement]:
    key, operator = str(one.get("key") or ""), str(one.get("operator") or "")
    stated = one.get("values")
    if stated is not None and not isinstance(stated, list):
        raise InputError(called, f"{where}.values must be a list")
    values = [str(value) for value in stated or ()]
    if not key:
        raise InputError(called, f"{where}.key must be a label")
    key = _NORMAL.get(key, key)
    if key.startswith(_AUTO_MODE):
        key = f"{_PROVIDER}{key.removeprefix(_AUTO_MODE)}"
    if operator in {"Gte", "Lte"}:
        operator, values = _including(operator, values)
    found = requirements.requirement(operator, values)
    if found == requirements.NOTHING:
        raise InputError(called, f"{where} ({key} {operator}) accepts no value; correct it")
    return key, found


def _including(operator: str, values: list[str]) -> tuple[str, list[str]]:
    """`Gte 4` becomes `Gt 3`, `Lte 4` becomes `Lt 5`; other values stay and are refused later."""
    strict, step = {"Gte": ("Gt", -1), "Lte": ("Lt", 1)}[operator]
    text = values[0] if values and len(values[0]) <= _MOST_DIGITS else ""
    return strict, [str(int(text) + step)] if text.isascii() and text.isdecimal() else values


def _objects(
    called: str, spec: Mapping[str, Any], field: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a list, each with its path; `InputError` where they are something else."""
    stated = spec.get(field)
    where = f"spec.template.spec.{field}"
    if stated is not None and not isinstance(stated, list):
        raise InputError(called, f"{where} must be a list")
    for index, one in enumerate(stated or ()):
        if not isinstance(one, Mapping):
            raise InputError(called, f"{where}[{index}] must be an object")
        yield f"{where}[{index}]", one


def _taint(called: str, where: str, one: Mapping[str, Any]) -> Taint:
    if not one.get("key"):
        raise InputError(called, f"{where}.key must be the key of a taint")
    return Taint(
        str(one.get("key") or ""),
        str(one.get("value") or ""),
        str(one.get("effect") or "NoSchedule"),
    )
