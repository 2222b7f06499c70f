"""Looks at the cluster for `bayplan top`: what its tables show, as data."""

from typing import TYPE_CHECKING, Any

from bayplan.cli.jobs.live_job import jobs_as_now
from bayplan.cli.packing import pool_objects
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.model.requirements import Term

_KINDS = {"jobs": "BatchJob", "services": "LongService"}


def looked(cluster: "ApiClient", what: str, sort: str, node_selector: str) -> dict[str, Any]:
    """One look at nodes, jobs, services or pools; `sort` and `node_selector` are for nodes."""
    from bayplan.reports.top import nodes, workloads  # numpy

    if what == "pools":
        from bayplan.reports import pools

        bodies = pool_objects.pools(cluster)
        return {"what": what, what: pools.overview(bodies, pool_objects.site(cluster))}
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


def _term(node_selector: str) -> "Term":
    from bayplan import settings  # pydantic

    try:
        return settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error
