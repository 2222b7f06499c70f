"""How many EBS volumes a node attaches, as a resource of nodes."""

from bayplan.cloud import catalogue

# The least that the CSI driver of EBS reports to the kubelet: on Nitro 28 places for volumes and
# network interfaces together, of which each takes one at the start; elsewhere 39.
_NITRO, _XEN = 26, 39
ATTACHABLE = "attachable-volumes-aws-ebs"
UNKNOWN = 10_000  # for a node of unknown type without a CSINode


def attachable(instance_type: str) -> int:
    """How many EBS volumes a node of a type attaches, as a cautious estimate."""
    known = catalogue.load().get(instance_type)
    if known is None:
        return UNKNOWN
    if not known.nitro:
        return _XEN
    return _NITRO - (1 if known.instance_store_bytes else 0)
