"""What nodes are asked for and cost, from values; how jobs and services stand, from objects."""

from typing import Any

from bayplan.reports import top
from tests.builders import make_node, make_pod, make_term
from tests.recorded import make_job, make_service


def nodes(sort: str = "name", deleting: tuple[str, ...] = (), **chosen: str) -> dict[str, Any]:
    there = [make_node("a", cpu=4000), make_node("b", cpu=4000, unschedulable=True)]
    pods = [make_pod("x", "a", cpu=1000), make_pod("y", "b", cpu=3000)]
    return top.nodes(
        there, pods, waiting=2, deleting=deleting, sort=sort, chosen=make_term(**chosen)
    )


def test_nodes_and_their_sum() -> None:
    """Requests against allocatable, per node and in all."""
    told = nodes()

    assert [25.0, 75.0] == [one["fillPercent"]["cpu"] for one in told["nodes"]]
    assert 50.0 == told["fillPercent"]["cpu"]
    assert {"running": 2, "waiting": 2} == told["pods"]
    assert ["Ready", "Cordoned"] == [one["state"] for one in told["nodes"]]


def test_the_fullest_first_and_only_the_chosen() -> None:
    """A sort is by what it names; a node of another term does not count."""
    assert ["b", "a"] == [one["name"] for one in nodes(sort="cpu")["nodes"]]
    assert [] == nodes(pool="other")["nodes"]
    assert "Deleting" == nodes(deleting=("a",))["nodes"][0]["state"]


def test_jobs_and_services_as_rows() -> None:
    """By namespace and name, with what the status says."""
    job = make_job("report", status={"running": 2, "placement": {"pendingTasks": 3}})
    service = make_service("web", replicas=4, status={"readyReplicas": 1})
    [first, second] = top.workloads([service, job])

    assert ("report", 2, 3) == (first["name"], first["running"], first["waiting"])
    assert ("web", 4, 1) == (second["name"], second["wanted"], second["ready"])
