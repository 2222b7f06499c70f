"""The pages of `top`: nodes, pods, jobs, services and Pools, and where their rows lead."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayplan.api import names
from bayplan.cli.jobs.live_job import live_job
from bayplan.cli.packing import looks, pool_objects, pool_table, top_table
from bayplan.cli.printing import now
from bayplan.cli.screen import (
    cost_columns,
    explain_page,
    logs_page,
    node_columns,
    pod_columns,
    run_columns,
    workload_columns,
)
from bayplan.cli.screen.columns import Column, Row
from bayplan.cli.screen.pages import Page, Seen, Sort, by
from bayplan.reports.runs import attempts_of, of_job

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

VIEWS = ("nodes", "pods", "jobs", "services", "pools", "workloads", "namespaces")
_NODE_SORTS = ("price", "waste", "cpu", "memory", "name")
_WORKLOAD = (by("name", "name"), by("waiting", "waiting", falling=True))
_POD_SORTS = (
    by("name", "name"),
    by("state", "state"),
    by("CPU", "cpuMilli", falling=True),
    by("memory", "memoryBytes", falling=True),
    by("restarts", "restarts", falling=True),
    by("youngest", "createdAt", falling=True),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options of the command say; `namespace` is empty for all."""

    namespace: str
    sort: str = "price"
    node_selector: str = ""


def page(what: str, choice: Choice) -> Page:
    """The page of this name, which is one of VIEWS."""
    made: dict[str, Callable[[Choice], Page]] = {
        "nodes": _nodes,
        "pods": _pods,
        "jobs": _jobs,
        "services": _services,
        "pools": _pools,
        "workloads": _workloads,
        "namespaces": _namespaces,
    }
    return made[what](choice)


def _nodes(choice: Choice) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        told = looks.looked(cluster, "nodes", "name", choice.node_selector)
        head = [top_table.headline(told)]
        if told["stranded"]["nodes"]:
            head.append(top_table.stranded(told["stranded"]))
        return Seen(node_columns.COLUMNS, told["nodes"], head, told["fillPercent"])

    first = _NODE_SORTS.index(choice.sort)
    sorts = tuple(map(_node_sort, (*_NODE_SORTS[first:], *_NODE_SORTS[:first])))
    return _of_nodes("nodes", look, sorts)


def _of_nodes(title: str, look: Callable[["ApiClient"], Seen], sorts: tuple[Sort, ...]) -> Page:
    return Page(title, "nodes", look, sorts, enter=_pods_of_node, explain=explain_page.of_node)


def _node_sort(name: str) -> Sort:
    """The order that `--sort` gives; nodes that are equal in it stay in the order of names."""
    from bayplan.reports.top import order

    if name == "name":
        return by("name", "name")
    return Sort(name, lambda row: -order(row, name)[0], falling=True)


def _pods_of_node(row: Row) -> Page:
    name = row["name"]

    def look(cluster: "ApiClient") -> Seen:
        found = looks.pod_rows(cluster, "", fields=f"spec.nodeName={name}")
        shown = [one for one in found if one["node"] == name]
        return Seen(pod_columns.columns(node=False), shown)

    return _of_pods(name, look)


def _pods(choice: Choice) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        found = looks.pod_rows(cluster, choice.namespace)
        return Seen(pod_columns.columns(node=True), found, (_counted(found),))

    return _of_pods("pods", look)


def _of_pods(title: str, look: Callable[["ApiClient"], Seen]) -> Page:
    return Page(
        title, "pods", look, _POD_SORTS,
        enter=logs_page.of_pod, logs=logs_page.of_pod, explain=explain_page.of_kind("Pod"),
    )  # fmt: skip


def _counted(rows: list[dict[str, Any]]) -> str:
    placed = sum(bool(row["node"]) for row in rows)
    return f"{placed} pods have a node, {len(rows) - placed} have none"


def _jobs(choice: Choice) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        told = looks.looked(cluster, "jobs", "name", "", choice.namespace)
        head = (told["behind"],) if "behind" in told else ()
        return Seen(workload_columns.JOBS, told["jobs"], head)

    sorts = (
        *_WORKLOAD,
        by("running", "running", falling=True),
        by("result", "result"),
        by("next", "next"),
    )
    explained = explain_page.of_kind(names.BATCHJOB, choice.node_selector)
    return Page("jobs", "jobs", look, sorts, enter=_runs_of_job, explain=explained)


def _runs_of_job(row: Row) -> Page:
    """The runs of a BatchJob, unfinished ones first, then the newest."""

    def look(cluster: "ApiClient") -> Seen:
        found = live_job(cluster, cluster.get(names.BATCHJOB, row["name"], row["namespace"]))
        rows = of_job(found.bodies[0], found.pods, now())
        return Seen(run_columns.COLUMNS, rows, (found.behind,) if found.behind else ())

    def explained(run: Row) -> Page:
        return explain_page.of_kind(names.BATCHJOB)({**run, "name": run["job"]})

    sorts = (
        Sort("newest", lambda _: 0),  # as they come
        Sort("state", lambda run: str(run["state"])),
        Sort("attempts", lambda run: attempts_of(run) or 0, falling=True),
    )
    return Page(
        f"{row['namespace']}/{row['name']}", "runs", look, sorts,
        enter=_pods_of_run, logs=_logs_of_run, explain=explained,
    )  # fmt: skip


def _pods_of_run(run: Row) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        job = names.owner_value(run["job"])
        selector = f"{names.JOB}={job},{names.RUN}={run['run']}"
        rows = looks.pod_rows(cluster, run["namespace"], selector)
        return Seen(pod_columns.columns(node=True), rows)

    return _of_pods(f"{run['job']} {run['run']}", look)


def _logs_of_run(run: Row) -> Page:
    """The logs of the newest attempt whose pod is left."""
    pods = run.get("logs") or ()
    if pods:
        return logs_page.of_pod({"namespace": run["namespace"], "name": pods[-1]})
    return logs_page.gone(f"{run['job']} {run['run']}")


def _services(choice: Choice) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        rows = looks.looked(cluster, "services", "name", "", choice.namespace)["services"]
        return Seen(workload_columns.services(drifted=any(row["drifted"] for row in rows)), rows)

    def lacking(row: Row) -> int:
        return int(row["wanted"]) - int(row["ready"])

    sorts = (*_WORKLOAD, Sort("not ready", lacking, falling=True))
    explained = explain_page.of_kind(names.LONGSERVICE, choice.node_selector)
    enter = _pods_with(names.SERVICE)
    return Page("services", "services", look, sorts, enter=enter, explain=explained)


def _pods_with(label: str) -> Callable[[Row], Page]:
    """The way from a workload to its pods."""

    def entered(row: Row) -> Page:
        def look(cluster: "ApiClient") -> Seen:
            selector = f"{label}={names.owner_value(row['name'])}"
            return Seen(
                pod_columns.columns(node=True), looks.pod_rows(cluster, row["namespace"], selector)
            )

        return _of_pods(f"{row['namespace']}/{row['name']}", look)

    return entered


def _pools(choice: Choice) -> Page:
    del choice

    def look(cluster: "ApiClient") -> Seen:
        rows = looks.looked(cluster, "pools", "name", "")["pools"]
        head = tuple(pool_table.remarks(rows)) if rows else (pool_objects.NONE,)
        return Seen(pool_table.columns(rows, wide=True), rows, head)

    sorts = (by("name", "name"), by("nodes", "nodes", falling=True))
    return Page("pools", "Pools", look, sorts, enter=_nodes_of_pool, explain=explain_page.of_pool)


def _workloads(choice: Choice) -> Page:
    return _of_costs("workloads", "workload", cost_columns.WORKLOADS, choice)


def _namespaces(choice: Choice) -> Page:
    def enter(row: Row) -> Page:
        return _pods(replace(choice, namespace=row["namespace"]))

    return _of_costs("namespaces", "namespace", cost_columns.NAMESPACES, choice, enter)


def _of_costs(
    what: str,
    name: str,
    columns: tuple[Column, ...],
    choice: Choice,
    enter: Callable[[Row], Page] | None = None,
) -> Page:
    """What each workload or namespace costs."""

    def look(cluster: "ApiClient") -> Seen:
        told = looks.looked(cluster, what, "name", choice.node_selector)
        return Seen(columns, told[what], (top_table.shares(told),))

    sorts = (
        by("$/h", "costMicrodollarsPerHour", falling=True),
        by("pods", "pods", falling=True),
        by("name", name),
    )
    return Page(what, what, look, sorts, enter=enter)


def _nodes_of_pool(row: Row) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        rows = looks.nodes_of_pool(cluster, row["name"])
        return Seen(node_columns.COLUMNS, rows)

    sorts = tuple(map(_node_sort, _NODE_SORTS))
    return _of_nodes(f"Pool {row['name']}", look, sorts)
