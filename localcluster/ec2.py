"""Fake nodes shaped like EC2 instances: what a user writes, and the Node objects made of it.

`m5.2xlarge:us-east-1a=6,c5.xlarge:us-east-1b=10` means six m5.2xlarge in one zone and ten c5.xlarge
in another; a third part names the capacity type, as in `m5.large:us-east-1a:spot=3`. Allocatable
and pod limits are those of EKS, from the operator's own catalogue, so that what packs here packs
there.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.cloud import allocatable, catalogue, prices
from bayplan.model.nodes import PRICE
from localcluster import kwok

_CAPACITY_TYPES = ("on-demand", "spot")


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """A number of equal nodes: instance type, zone, capacity type."""

    instance_type: str
    zone: str
    count: int
    capacity_type: str = "on-demand"

    @property
    def stem(self) -> str:
        """What the names of these nodes begin with: `m5-2xlarge-us-east-1a`."""
        spot = "" if self.capacity_type == "on-demand" else f"-{self.capacity_type}"
        return f"{self.instance_type.replace('.', '-')}-{self.zone}{spot}"


def shapes(text: str) -> list[Shape]:
    """Read what a user wrote; `ValueError` says which part is wrong and why."""
    return [_shape(part.strip()) for part in text.split(",") if part.strip()]


def node(
    shape: Shape, number: int, address: str, *, version: str, price: str | None = None
) -> dict[str, Any]:
    """A Node as a kubelet on such an instance would register it; kwok makes it Ready.

    `price` are dollars an hour, shown by eks-node-viewer.
    """
    name = f"{shape.stem}-{number}"
    instance_type = catalogue.load()[shape.instance_type]
    usable = allocatable_of(shape.instance_type)
    own = labels(shape, name, price)
    older = {f"beta.{key}": own[key] for key in ("kubernetes.io/os", "kubernetes.io/arch")}
    capacity = usable | {
        "cpu": instance_type.cpu_milli,
        "memory": instance_type.memory_bytes,
        "ephemeral-storage": allocatable.ROOT_VOLUME_BYTES,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": own | older | {kwok.LABEL: kwok.PLAYED}},
        "spec": {"providerID": f"aws:///{shape.zone}/{instance_id(name)}"},
        "status": {
            "capacity": quantities(capacity),
            "allocatable": quantities(usable),
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": instance_type.arch,
                "operatingSystem": "linux",
                "kubeletVersion": version,
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "kwok://",
                "kernelVersion": "",
                "osImage": "played by kwok",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    }


def allocatable_of(instance_type: str) -> dict[str, int]:
    """Resource -> amount that pods may use of such an instance on EKS; cpu milli, bytes, counts."""
    return allocatable.eks_allocatable(catalogue.load()[instance_type])


def labels(shape: Shape, name: str, price: str | None = None) -> dict[str, str]:
    """What EKS, the kubelet and Karpenter would say about such a node."""
    said = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": catalogue.load()[shape.instance_type].arch,
        "node.kubernetes.io/instance-type": shape.instance_type,
        "topology.kubernetes.io/zone": shape.zone,
        "topology.kubernetes.io/region": _region(shape.zone),
        "karpenter.sh/capacity-type": shape.capacity_type,
    }
    return said | ({PRICE: price} if price else {})


def dollars(file: Path) -> dict[str, str]:
    """Instance type -> dollars an hour, from a prices file as the operator reads it."""
    known = prices.from_file(file)
    parts = {name: divmod(known[name].microdollars_per_hour, 10**6) for name in known}
    return {name: f"{whole}.{micro:06}" for name, (whole, micro) in parts.items()}


def instance_id(name: str) -> str:
    """An instance ID in EC2's form, the same for the same name."""
    return "i-" + hashlib.sha256(name.encode()).hexdigest()[:17]


def quantities(amounts: Mapping[str, int]) -> dict[str, str]:
    """Resource -> quantity as a kubelet writes it; cpu in milli, storage and memory in bytes."""
    written = {name: str(amount) for name, amount in amounts.items()}
    written["cpu"] = f"{amounts['cpu']}m"
    for name in ("memory", "ephemeral-storage"):
        written[name] = f"{amounts[name] // 1024}Ki"
    return written


def _shape(part: str) -> Shape:
    what, _, number = part.partition("=")
    number = number or "1"
    words = what.split(":")
    if len(words) not in (2, 3):
        raise ValueError(f"{part!r} is not INSTANCE-TYPE:ZONE[:CAPACITY-TYPE][=COUNT]")
    instance_type, zone, capacity_type = (*words, "on-demand")[:3]
    if instance_type not in catalogue.load():
        raise ValueError(f"{part!r}: {instance_type!r} is not an EC2 instance type")
    if not (zone and zone[-1].isalpha() and _region(zone)[-1:].isdecimal()):
        raise ValueError(f"{part!r}: {zone!r} is not an availability zone such as us-east-1a")
    if capacity_type not in _CAPACITY_TYPES:
        raise ValueError(f"{part!r}: capacity type is not on-demand or spot")
    if not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise ValueError(f"{part!r}: {number!r} is not a count of nodes")
    return Shape(instance_type, zone, int(number), capacity_type)


def _region(zone: str) -> str:
    return zone[:-1]
