"""Reads from a cluster what commands say about Pools: the Pools, their NodePools, the claims."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayplan.api import names
from bayplan.api.kinds import POOL
from bayplan.cli.errors import Negative, NotThere
from bayplan.model.untyped import mapping

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.reports.pools import Site

Body = dict[str, Any]

_WORDS = (POOL.singular, POOL.plural, POOL.short)
# before a `/` on the command line
WORDS = frozenset({*_WORDS, *(f"{word}.{names.GROUP}" for word in _WORDS)})
NONE = (
    "There is no Pool in the cluster. `bayplan plan --pool NODEPOOL` says what a Pool could save."
)
_KARPENTER = "/apis/karpenter.sh/v1"
_UNDEFINED = (
    "the cluster does not know the kind Pool: its definition pools.bayplan.dev is missing; "
    "install the chart bayplan-crds"
)


def is_pool(word: str) -> bool:
    """Whether a word is `pool/NAME`."""
    kind, slash, _ = word.rpartition("/")
    return bool(slash) and kind.lower() in WORDS


def pools(cluster: "ApiClient") -> list[Body]:
    """Every Pool; `NotThere` says plainly where the kind is not defined."""
    try:
        return cluster.listed(POOL.name, "")
    except NotThere as error:
        raise NotThere(_UNDEFINED) from error


def pool(cluster: "ApiClient", name: str) -> Body:
    """The Pool with this name; `Negative` names the Pools that there are."""
    found = cluster.find(POOL.name, name, "")
    if found is not None:
        return found
    known = ", ".join(sorted(one["metadata"]["name"] for one in pools(cluster)))
    raise Negative(f"no Pool {name!r}" + (f"; there are {known}" if known else ": there is none"))


def referred(body: Mapping[str, Any]) -> str:
    """The name of a Pool's NodePool; empty without one."""
    return str(mapping(mapping(body.get("spec")).get("nodePoolRef")).get("name") or "")


def node_pool(cluster: "ApiClient", body: Mapping[str, Any]) -> Body | None:
    """The NodePool of a Pool; None if the cluster has none."""
    name = referred(body)
    return cluster.find("NodePool", name, "") if name else None


def claims(cluster: "ApiClient") -> list[Body]:
    """Every NodeClaim; none where Karpenter is not served."""
    try:
        return cluster.collection(f"{_KARPENTER}/nodeclaims")
    except NotThere:
        return []


def site(cluster: "ApiClient") -> "Site":
    """The nodes and the pods that run on them."""
    from bayplan.manifests import inventory  # slow to import
    from bayplan.manifests.documents import Document
    from bayplan.reports.pools import Site

    bodies = (*cluster.listed("Node", ""), *cluster.listed("Pod", ""))
    documents = [Document("the cluster", body) for body in bodies]
    found = inventory.inventory(documents, {}, lenient=True)
    return Site(found.nodes, found.running)
