"""The labels by which Karpenter's providers distinguish instance types.

Source: `computeRequirements` of kubernetes-sigs' provider for AWS (pkg/providers/instancetype) and
the labels of the core's kwok provider. Labels that the catalogue does not know (EBS bandwidth, CPU
manufacturer, …) are left out.
"""

import re
from collections.abc import Mapping

from bayplan.cloud.catalogue import InstanceType
from bayplan.model.nodes import ARCH, INSTANCE_TYPE, OS

AWS = "karpenter.k8s.aws"
KWOK = "karpenter.kwok.sh"
_MIB = 1 << 20
_GIGABYTE = 10**9
_NAME = re.compile(r"(?P<category>[a-z]+)(-[0-9]+tb)?(?P<generation>[0-9]+).*\.")
_TOLD = ("family", "size", "cpu", "memory", "category", "generation", "hypervisor", "local-nvme")
_TOLD_OF_GPUS = ("gpu-name", "gpu-manufacturer", "gpu-count", "gpu-memory")
KEYS = frozenset(
    {
        INSTANCE_TYPE,
        ARCH,
        OS,
        *(f"{AWS}/instance-{what}" for what in (*_TOLD, *_TOLD_OF_GPUS)),
        *(f"{KWOK}/instance-{what}" for what in ("family", "size", "cpu", "memory")),
    }
)  # all labels that `labels_of` may return
_MAKERS = {"nvidia.com/gpu": "nvidia", "amd.com/gpu": "amd", "habana.ai/gaudi": "habana"}


def labels_of(one: InstanceType) -> dict[str, str]:
    """The labels of a node of this type, except the labels of its zone and its pool."""
    cores, memory = str(one.cpu_milli // 1000), str(one.memory_bytes // _MIB)
    found = {
        INSTANCE_TYPE: one.name,
        ARCH: one.arch,
        OS: "linux",
        f"{AWS}/instance-family": one.family,
        f"{AWS}/instance-size": one.size,
        f"{AWS}/instance-cpu": cores,
        f"{AWS}/instance-memory": memory,
        f"{KWOK}/instance-family": one.family,
        f"{KWOK}/instance-size": one.size,
        f"{KWOK}/instance-cpu": cores,
        f"{KWOK}/instance-memory": memory,
    }
    name = _NAME.match(one.name)
    if name is not None:
        found[f"{AWS}/instance-category"] = name["category"]
        found[f"{AWS}/instance-generation"] = name["generation"]
    if not one.bare_metal:
        found[f"{AWS}/instance-hypervisor"] = "nitro" if one.nitro else "xen"
    if one.nitro and one.instance_store_bytes:
        found[f"{AWS}/instance-local-nvme"] = str(one.instance_store_bytes // _GIGABYTE)
    return {**found, **_of_gpus(one)}


def _of_gpus(one: InstanceType) -> Mapping[str, str]:
    makers = [(_MAKERS[what], count) for what, count in one.gpus.items() if what in _MAKERS]
    if len(makers) != 1:
        return {}
    ((maker, count),) = makers
    return {
        f"{AWS}/instance-gpu-name": one.gpu_name.lower().replace(" ", "-"),
        f"{AWS}/instance-gpu-manufacturer": maker,
        f"{AWS}/instance-gpu-count": str(count),
        f"{AWS}/instance-gpu-memory": str(one.gpu_memory_bytes // max(count, 1) // _MIB),
    }
