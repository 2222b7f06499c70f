"""How many volumes of EBS a node attaches, as a resource of nodes."""

from bayplan.cloud import catalogue

# What the CSI driver of EBS tells the kubelet at least: on Nitro 28 places for volumes and network
# interfaces together, one of each taken at the start; elsewhere 39.
_NITRO, _XEN = 26, 39
ATTACHABLE = "attachable-volumes-aws-ebs"
UNKNOWN = 10_000  # a node of which neither type nor CSINode tells


def attachable(instance_type: str) -> int:
    """How many volumes of EBS a node of a type attaches, carefully counted."""
    known = catalogue.load().get(instance_type)
    if known is None:
        return UNKNOWN
    if not known.nitro:
        return _XEN
    return _NITRO - (1 if known.instance_store_bytes else 0)
