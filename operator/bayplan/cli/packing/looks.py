"""Looks at the cluster for `bayplan top`: what its tables show, as data."""

from typing import TYPE_CHECKING, Any

from bayplan.cli.jobs.live_job import jobs_as_now
from bayplan.cli.packing import pool_objects
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.model.requirements import Term

_SHARES = ("workloads", "namespaces")
_KINDS = {"jobs": "BatchJob", "services": "LongService"}


def looked(cluster: "ApiClient", what: str, sort: str, node_selector: str) -> dict[str, Any]:
    """One look at what `top` can show; `sort` is for nodes, `node_selector` for them and costs."""
    from bayplan.reports.top import nodes, workloads  # numpy

    if what == "pools":
        from bayplan.reports import pools

        bodies = pool_objects.pools(cluster)
        return {"what": what, what: pools.overview(bodies, pool_objects.site(cluster))}
    if what in _SHARES:
        return {"what": what, **_shares(cluster, what, _term(node_selector))}
    if what != "nodes":
        bodies = cluster.listed(_KINDS[what])
        bodies = jobs_as_now(cluster, bodies) if what == "jobs" else bodies
        return {"what": what, what: workloads(bodies)}
    from bayplan.manifests import inventory
    from bayplan.manifests.documents import Document

    chosen = _term(node_selector)
    there, pods = cluster.listed("Node", ""), cluster.listed("Pod", "")
    documents = [Document("the cluster", body) for body in (*there, *pods)]
    found = inventory.inventory(documents, {}, lenient=True)
    told = nodes(
        found.nodes,
        found.running,
        waiting=sum(demand.count for demand in found.demands),
        deleting={
            one["metadata"]["name"] for one in there if one["metadata"].get("deletionTimestamp")
        },
        sort=sort,
        chosen=chosen,
    )
    return {"what": what, **told}


def _shares(cluster: "ApiClient", what: str, chosen: "Term") -> dict[str, Any]:
    """What each workload or namespace costs on the nodes that the term selects.

    -n chooses whose rows are shown; the sums are always of all.
    """
    from bayplan.manifests import inventory
    from bayplan.manifests.documents import Document
    from bayplan.reports import costs

    found = inventory.inventory(
        [
            Document("the cluster", body)
            for body in (*cluster.listed("Node", ""), *cluster.listed("Pod", ""))
        ],
        {},
        lenient=True,
    )
    nodes = [node for node in found.nodes if chosen.matches(node.labels, node.name)]
    if what == "workloads":
        told = costs.by_workload(nodes, found.running, found.titles)
    else:
        told = costs.by_namespace(nodes, found.running)
    rows = told.pop("rows")
    where = cluster.target.namespace
    return {**told, what: [row for row in rows if not where or row["namespace"] == where]}


def _term(node_selector: str) -> "Term":
    from bayplan import settings  # pydantic

    try:
        return settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error
