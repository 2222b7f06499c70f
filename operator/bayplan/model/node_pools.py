"""What everybody reads of a NodePool of Karpenter as stored, and the label of its nodes."""

from collections.abc import Mapping
from typing import Any

from bayplan.model.untyped import mapping

NODE_POOL = "karpenter.sh/nodepool"  # on nodes and claims: the name of their NodePool


def node_class_of(node_pool: Mapping[str, Any]) -> tuple[str, str, str]:
    """Group, kind and name of the node class that a NodePool names; empty where it names none."""
    spec = mapping(mapping(mapping(node_pool.get("spec")).get("template")).get("spec"))
    reference = mapping(spec.get("nodeClassRef"))
    group, kind, name = (str(reference.get(part) or "") for part in ("group", "kind", "name"))
    return group, kind, name
