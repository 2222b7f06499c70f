"""What pods may use of an instance type on EKS: capacity minus what kernel and kubelet keep.

This is an estimate for types of which no node has been seen yet; a real node's allocatable always
wins. The formulas are those of the EKS images (bootstrap of amazon-eks-ami, `eni_max_pods.go`). For
the memory that firmware and kernel hold back, Karpenter's `VMMemoryOverheadPercent` of 7.5 % is
used.
"""

from bayplan.cloud.catalogue import InstanceType

ROOT_VOLUME_BYTES = 20 << 30  # a managed node group's default
_MIB = 1 << 20
_CPU_STEPS = (  # (from milli, up to milli, reserved in 1/10000): 6 %, 1 %, 0.5 %, then 0.25 %
    (0, 1000, 600),
    (1000, 2000, 100),
    (2000, 4000, 50),
    (4000, 1 << 40, 25),
)
_OVERHEAD_PER_MILLE = 75
_RESERVED_MEMORY_BYTES = 255 * _MIB
_RESERVED_MEMORY_PER_POD_BYTES = 11 * _MIB
_EVICTION_MEMORY_BYTES = 100 * _MIB
RESERVED_STORAGE_BYTES = 1 << 30
EVICTION_STORAGE_PERCENT = 10
_PREFIX_ADDRESSES = 16  # a /28
_SMALL_NODE_CPU_MILLI = 30_000
_PODS_SMALL, _PODS_LARGE = 110, 250  # used if prefixes leave addresses to spare


def max_pods(instance_type: InstanceType, *, prefix_delegation: bool = False) -> int:
    """Pods that get an address: interfaces × (addresses − 1) + 2 that use the node's own.

    With prefix delegation (Nitro only) each address becomes a /28, and the kubelet's recommended
    limit decides: 110 below 30 vCPU, otherwise 250.
    """
    places = instance_type.network_interfaces * (instance_type.addresses_per_interface - 1)
    if not (prefix_delegation and instance_type.nitro):
        return places + 2
    limit = _PODS_SMALL if instance_type.cpu_milli < _SMALL_NODE_CPU_MILLI else _PODS_LARGE
    return min(limit, places * _PREFIX_ADDRESSES + 2)


def reserved_cpu_milli(cpu_milli: int) -> int:
    """kube-reserved: 6 % of the first core, 1 % of the second, 0.5 % of two, then 0.25 %."""
    steps = ((max(0, min(cpu_milli, top) - low), share) for low, top, share in _CPU_STEPS)
    return sum(milli * share for milli, share in steps) // 10_000


def eks_allocatable(
    instance_type: InstanceType,
    max_pods: int | None = None,
    prefix_delegation: bool = False,
    *,
    root_volume_bytes: int = ROOT_VOLUME_BYTES,
    instance_store: bool = False,
) -> dict[str, int]:
    """Allocatable by resource name: cpu in milli, memory and ephemeral-storage in bytes, counts.

    Fewer `max_pods` leave more memory (11 MiB each). With `instance_store` the local disks are the
    nodes' ephemeral storage (RAID 0); otherwise only the root volume counts. Never negative.
    """
    pods = _pods(instance_type, max_pods, prefix_delegation)
    usable = instance_type.memory_bytes * (1000 - _OVERHEAD_PER_MILLE) // 1000
    reserved = _RESERVED_MEMORY_BYTES + _RESERVED_MEMORY_PER_POD_BYTES * pods
    store = instance_type.instance_store_bytes if instance_store else 0
    disk = store or root_volume_bytes
    storage = disk - disk * EVICTION_STORAGE_PERCENT // 100 - RESERVED_STORAGE_BYTES
    return {
        "cpu": instance_type.cpu_milli - reserved_cpu_milli(instance_type.cpu_milli),
        "memory": max(0, usable - reserved - _EVICTION_MEMORY_BYTES),
        "ephemeral-storage": max(0, storage),
        "pods": pods,
        **instance_type.gpus,
    }


def _pods(instance_type: InstanceType, given: int | None, prefix_delegation: bool) -> int:
    by_address = max_pods(instance_type, prefix_delegation=prefix_delegation)
    return by_address if given is None else given
