"""Looks at the cluster for `bayplan top`: what its tables show, as data."""

from typing import TYPE_CHECKING, Any

from bayplan.cli.errors import NotThere
from bayplan.cli.jobs.live_job import live_jobs
from bayplan.cli.packing import pool_objects
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.model.requirements import Term

_SHARES = ("workloads", "namespaces")
_KINDS = {"jobs": "BatchJob", "services": "LongService"}


def looked(
    cluster: "ApiClient", what: str, sort: str, node_selector: str, namespace: str | None = None
) -> dict[str, Any]:
    """One look at what `top` can show; `sort` is for nodes, `node_selector` for them and costs.

    `behind` is told where the statuses of jobs may be older than what their pods do.
    `namespace` is that of pods, jobs and services, by default the target's; empty means all.
    """
    from bayplan.reports.top import nodes, workloads  # numpy

    if what == "pools":
        from bayplan.reports import pools

        bodies = pool_objects.pools(cluster)
        return {"what": what, what: pools.overview(bodies, pool_objects.site(cluster))}
    if what == "pods":
        return {"what": what, what: pod_rows(cluster, namespace)}
    if what in _SHARES:
        return {"what": what, **_shares(cluster, what, _term(node_selector))}
    if what != "nodes":
        try:
            bodies = cluster.listed(_KINDS[what], namespace)
        except NotThere as error:
            raise NotThere(
                f"the cluster does not know the kind {_KINDS[what]}: install the chart bayplan-crds"
            ) from error
        if what == "services":
            return {"what": what, what: workloads(bodies)}
        live = live_jobs(cluster, bodies, namespace)
        behind = {"behind": live.behind} if live.behind else {}
        return {"what": what, what: workloads(live.bodies), **behind}
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


def pod_rows(
    cluster: "ApiClient", namespace: str | None = None, selector: str = "", fields: str = ""
) -> list[dict[str, Any]]:
    """Pods as rows, by namespace and name."""
    from bayplan.manifests.admission_defaults import Facts
    from bayplan.manifests.documents import Document
    from bayplan.manifests.pods import pod
    from bayplan.reports.pods import row

    facts = Facts()
    rows = []
    for body in cluster.listed("Pod", namespace, selector, fields):
        try:
            request = pod(Document("the cluster", body, live=True), body, facts).request
        except InputError:
            request = None
        rows.append(row(body, request))
    return sorted(rows, key=lambda one: (one["namespace"], one["name"]))


def nodes_of_pool(cluster: "ApiClient", name: str) -> list[dict[str, Any]]:
    """The nodes of a Pool as rows."""
    from bayplan.api.pool_resource import parse_pool
    from bayplan.reports import pools
    from bayplan.reports.top import nodes

    site = pool_objects.site(cluster)
    pool = parse_pool(pool_objects.pool(cluster, name))
    own = pools.nodes_of(pool, site.nodes)
    told = nodes(
        own,
        site.running,
        waiting=0,
        deleting={node.name for node in own if node.deleting},
        sort="name",
        chosen=_term(""),
    )
    rows: list[dict[str, Any]] = told["nodes"]
    return rows


def _term(node_selector: str) -> "Term":
    from bayplan import settings  # pydantic

    try:
        return settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error
