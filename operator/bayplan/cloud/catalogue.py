"""What an EC2 instance type has, before the system takes its part; one parser for every source.

The shapes are those of EC2's `DescribeInstanceTypes`. The same function therefore reads an answer
of boto3 and the published type descriptions in the `moto` package (Apache-2.0), from which
`tools/catalogue.py` builds `catalogue.json.gz`. The catalogue holds facts only and NO prices: a
price has a date, a region and a source, and is in `prices`. `allocatable` computes what a pod may
use of a type.
"""

import dataclasses
import functools
import gzip
import json
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

_MIB = 1 << 20
_GIGABYTE = 10**9
_GPU_RESOURCES = {  # EC2's manufacturer -> the device plugin's resource name
    "NVIDIA": "nvidia.com/gpu",
    "AMD": "amd.com/gpu",
    "Habana": "habana.ai/gaudi",
}
_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}  # EC2's word -> Kubernetes' word


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type; `cpu_milli` and `memory_bytes` are capacity, not allocatable."""

    name: str
    arch: str  # the value of kubernetes.io/arch: amd64 or arm64
    cpu_milli: int
    memory_bytes: int
    network_interfaces: int  # of the default network card: pods get their addresses from these
    addresses_per_interface: int
    gpus: Mapping[str, int]  # extended resource -> devices
    gpu_name: str  # "" without a GPU
    gpu_memory_bytes: int  # all devices together
    instance_store_bytes: int
    network_baseline_mbps: int
    ebs_baseline_mbps: int
    bare_metal: bool
    nitro: bool
    burstable: bool
    current_generation: bool
    spot: bool

    @property
    def family(self) -> str:
        """The part before the dot: `m5` of `m5.large`."""
        return self.name.partition(".")[0]

    @property
    def size(self) -> str:
        """The part after the dot: `large` of `m5.large`."""
        return self.name.partition(".")[2]

    @property
    def capacity(self) -> Mapping[str, int]:
        """CPU in milli, memory in bytes and devices, by resource; nobody's part is taken off."""
        return {"cpu": self.cpu_milli, "memory": self.memory_bytes, **self.gpus}


@functools.cache
def load() -> Mapping[str, InstanceType]:
    """Every type of the packaged catalogue by name, in the order of names; read once."""
    packed = resources.files("bayplan.cloud").joinpath("catalogue.json.gz").read_bytes()
    rows = json.loads(gzip.decompress(packed))["types"]
    types = (InstanceType(**row | {"gpus": MappingProxyType(row["gpus"])}) for row in rows)
    return MappingProxyType({each.name: each for each in types})


def parsed(description: Mapping[str, Any]) -> InstanceType:
    """Read one entry of `DescribeInstanceTypes`, as boto3 or moto returns it.

    Only the default network card's interfaces count: pods get no address from another card.
    """
    network = description["NetworkInfo"]
    default_card = network.get("DefaultNetworkCardIndex", 0)
    cards = {card["NetworkCardIndex"]: card for card in network.get("NetworkCards", ())}
    card = cards.get(default_card, {})
    gpus = description.get("GpuInfo", {}).get("Gpus", [])
    baseline = max((each.get("BaselineBandwidthInGbps", 0) for each in cards.values()), default=0)
    ebs = description.get("EbsInfo", {}).get("EbsOptimizedInfo", {})
    return InstanceType(
        name=description["InstanceType"],
        arch=_architecture(description["ProcessorInfo"]["SupportedArchitectures"]),
        cpu_milli=description["VCpuInfo"]["DefaultVCpus"] * 1000,
        memory_bytes=description["MemoryInfo"]["SizeInMiB"] * _MIB,
        network_interfaces=card.get(
            "MaximumNetworkInterfaces", network["MaximumNetworkInterfaces"]
        ),
        addresses_per_interface=network["Ipv4AddressesPerInterface"],
        gpus=MappingProxyType(_devices(description)),
        gpu_name=gpus[0].get("Name", "") if gpus else "",
        gpu_memory_bytes=description.get("GpuInfo", {}).get("TotalGpuMemoryInMiB", 0) * _MIB,
        instance_store_bytes=(
            description.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0) * _GIGABYTE
        ),
        network_baseline_mbps=round(baseline * 1000),
        ebs_baseline_mbps=round(ebs.get("BaselineBandwidthInMbps", 0)),
        bare_metal=description["BareMetal"],
        nitro=description.get("Hypervisor") == "nitro" or description["BareMetal"],
        burstable=description["BurstablePerformanceSupported"],
        current_generation=description["CurrentGeneration"],
        spot="spot" in description["SupportedUsageClasses"],
    )


def row(instance_type: InstanceType) -> dict[str, Any]:
    """The catalogue file's form of a type; `InstanceType(**row(t))` equals `t`."""
    fields = (field.name for field in dataclasses.fields(instance_type))
    values = {name: getattr(instance_type, name) for name in fields}
    return values | {"gpus": dict(instance_type.gpus)}


def _architecture(supported: list[str]) -> str:
    """The 64-bit architecture if there is a choice; an unknown word is kept as it is."""
    best = next((word for word in supported if word in _ARCHITECTURES), supported[-1])
    return _ARCHITECTURES.get(best, best)


def _devices(description: Mapping[str, Any]) -> dict[str, int]:
    """The extended resources that a device plugin would offer.

    A fraction of a GPU (g6f: `Count` 0, `LogicalGpuCount` 1) is one device to the plugin. Neuron
    shows the same silicon twice, as devices and as cores, and the plugin has both resources, too.
    """
    devices: dict[str, int] = {}
    for gpu in description.get("GpuInfo", {}).get("Gpus", ()):
        resource = _GPU_RESOURCES.get(gpu.get("Manufacturer", ""))
        count = gpu.get("Count", 0) or gpu.get("LogicalGpuCount", 0)
        if resource and count:
            devices[resource] = devices.get(resource, 0) + count
    for neuron in description.get("NeuronInfo", {}).get("NeuronDevices", ()):
        count = neuron.get("Count", 0)
        cores = count * neuron.get("CoreInfo", {}).get("Count", 0)
        for resource, more in (
            ("aws.amazon.com/neuron", count),
            ("aws.amazon.com/neuroncore", cores),
        ):
            if more:
                devices[resource] = devices.get(resource, 0) + more
    return devices
