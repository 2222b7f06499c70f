"""Volumes that exist on one node only: a pod that uses such a volume can run nowhere else.

Local volumes are of this kind, and those of some drivers: their node affinity names the node. A
volume of a zone is not of this kind, because another node of its zone may come.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.cli.client import ApiClient
from bayplan.cli.errors import NoCluster
from bayplan.model.requirements import Term

Body = Mapping[str, Any]


def only_here(cluster: ApiClient, node: str, pods: Sequence[Body]) -> dict[str, str]:
    """Pod's uid -> its claim whose volume no other node can mount; without other pods.

    A cluster that does not show its volumes to this user has none of them.
    """
    mounting = [(pod, list(_claims(pod))) for pod in pods]
    if not any(claims for _, claims in mounting):
        return {}
    try:
        stored = cluster.find("Node", node, "") or {"metadata": {}}
        labels = stored["metadata"].get("labels") or {}
        found = {}
        for pod, claims in mounting:
            for claim in claims:
                terms = _terms(cluster, pod["metadata"]["namespace"], claim)
                if terms and all(term.names_only(labels, node) for term in terms):
                    found[pod["metadata"]["uid"]] = claim
                    break
    except NoCluster:
        return {}
    return found


def _claims(pod: Body) -> Iterator[str]:
    for volume in pod.get("spec", {}).get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume['name']}"


def _terms(cluster: ApiClient, namespace: str, claim: str) -> Sequence[Term]:
    """The node affinity of the volume that a claim is bound to."""
    stored = cluster.find("PersistentVolumeClaim", claim, namespace)
    volume = (stored or {}).get("spec", {}).get("volumeName")
    return cluster.volume_terms(volume) if volume else ()
