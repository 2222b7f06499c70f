"""The rows that the dashboard draws, of objects as the API server has them."""

from typing import Any

import pytest

from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import Ending, Phase
from bayplan.reports.board import rows
from bayplan.reports.board.money import paid, waste
from bayplan.reports.board.tables import COLUMNS, Row
from tests.builders import GIB, NOON, make_node, make_pod


def told(table: str, row: Row) -> dict[str, Any]:
    return dict(zip(COLUMNS[table], row, strict=True))


def test_a_node() -> None:
    labels = {
        "node.kubernetes.io/instance-type": "m5.xlarge",
        "karpenter.sh/capacity-type": "spot",
        "bayplan.dev/pool": "batch",
    }
    node = make_node("n1", 4000, 16, zone="us-east-1a", labels=labels, price_microdollars=192_000)
    found = told("nodes", rows.node(node))

    assert ("m5.xlarge", "us-east-1a", "spot", "batch", "Open") == tuple(
        found[name] for name in ("type", "zone", "capacity", "pool", "state")
    )
    assert (192_000, 4000, 16 * GIB) == (found["price"], found["cpu"], found["memory"])


@pytest.mark.parametrize(
    ("node", "state"),
    [
        (make_node(ready=False), "NotReady"),
        (make_node(unschedulable=True), "Cordoned"),
        (make_node(closing="since noon"), "Closing"),
        (make_node(taints=(Taint("bayplan.dev/draining", "moving"),)), "Draining"),
        (make_node(taints=(Taint("karpenter.sh/disrupted"),)), "Leaving"),
        (make_node(deleting=True), "Deleting"),
    ],
)
def test_where_a_node_stands(node: Node, state: str) -> None:
    assert state == told("nodes", rows.node(node))["state"]


def test_a_pod_that_waits_says_why() -> None:
    pod = make_pod("web", scheduled_reason="Unschedulable", scheduled_message="0/3 nodes")
    found = told("pods", rows.pod(pod))
    assert ("Waiting", "Unschedulable", "0/3 nodes") == (
        found["phase"], found["reason"], found["message"],
    )  # fmt: skip


def test_a_pod_that_does_not_start_says_why() -> None:
    ending = Ending(waiting="ImagePullBackOff", said="no such image")
    pod = make_pod("web", "n1", phase=Phase.PENDING, ending=ending, owner_uid="u")
    found = told("pods", rows.pod(pod))
    assert ("Pending", "ImagePullBackOff", "no such image", "LongService u") == (
        found["phase"], found["reason"], found["message"], found["owner"],
    )  # fmt: skip


def test_a_pod_that_is_deleted_is_ending() -> None:
    assert "Ending" == told("pods", rows.pod(make_pod("web", "n1", deleted_at=NOON)))["phase"]


def test_a_text_of_somebody_is_bounded() -> None:
    pod = make_pod("web", scheduled_message="x" * 1_000_000)
    assert rows.MOST_TEXT == len(told("pods", rows.pod(pod))["message"])


JOB = {
    "metadata": {"namespace": "etl", "name": "load", "uid": "u1", "generation": 1},
    "spec": {
        "schedule": "0 2 * * *",
        "timeZone": "Europe/Berlin",
        "template": {"spec": {"containers": [{"name": "m", "image": "x"}]}},
    },
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Scheduled", "message": "fine"},
            {"type": "LastRunSucceeded", "status": "False", "reason": "Failed"},
        ],
        "nextSlotTime": "2026-12-01T01:00:00Z",
        "running": 1,
        "active": [
            {"run": "s2", "since": "2026-11-30T01:00:00Z", "startTime": "2026-11-30T01:00:05Z",
             "attempt": 1, "failures": 1, "node": "n1"},
        ],
        "history": [
            {"run": "s1", "outcome": "Failed", "reason": "Error", "exitCode": 3,
             "startTime": "2026-11-29T01:00:00Z", "endTime": "2026-11-29T01:10:00Z", "attempts": 2},
        ],
        "statistics": {"failures": 4},
    },
}  # fmt: skip


def test_a_job_has_its_runs_and_its_next_times() -> None:
    now = 1_796_083_200  # 2026-12-01T00:00:00Z
    found = told("jobs", rows.job(JOB, now))

    assert ("0 2 * * *", "Europe/Berlin", "Scheduled", "Failed", 4) == tuple(
        found[name] for name in ("schedule", "zone", "status", "result", "failures")
    )
    assert now + 3600 == found["next"]
    # 02:00 in Berlin is 01:00 in UTC in winter.
    assert [now + 3600 + day * 86400 for day in range(5)] == found["upcoming"]
    active, ended = found["runs"]
    assert ["s2", "Running", 2, "n1", True] == [active[at] for at in (0, 1, 7, 6, 9)]
    assert ["s1", "Failed", 3, 2, "Error", True] == [ended[at] for at in (0, 1, 5, 7, 8, 9)]
    assert 600 == ended[4] - ended[3]


def test_a_claim() -> None:
    claim = NodeClaim("c1", pool="batch", types=("m5.large",), problem="no capacity")
    found = told("claims", rows.claim(claim))
    assert ("batch", "m5.large", "Requested", "no capacity") == (
        found["pool"], found["type"], found["state"], found["message"],
    )  # fmt: skip


def test_an_event_of_the_operator() -> None:
    event = {
        "type": "Normal",
        "reason": "NodeBought",
        "note": "for 3 pods",
        "eventTime": "2026-12-01T00:00:00.5Z",
        "series": {"count": 4, "lastObservedTime": "2026-12-01T00:01:00Z"},
        "regarding": {"kind": "Pool", "name": "batch"},
    }
    found = told("decisions", rows.decision(event))
    assert (1_796_083_260, 4, "Pool", "batch") == (
        found["time"], found["count"], found["kind"], found["name"],
    )  # fmt: skip


def test_the_money_adds_up_to_the_price_of_the_nodes() -> None:
    """A node whose CPU is used up: pods pay for theirs, and its memory is stranded."""
    node = make_node("n1", 1000, 16, price_microdollars=100_000)
    pods = [make_pod(f"p{n}", "n1", 500, memory=1, owner_uid="web") for n in range(2)]

    [[_, cpu, memory, full, lost]] = waste([node], pods).values()
    [[_, workload, count, cost, _]] = paid([node], pods).values()

    assert (0, 14 * GIB, "cpu") == (cpu, memory, full)
    assert ("LongService web", 2) == (workload, count)
    assert abs(100_000 - cost - lost) <= 1


def test_a_pool_of_groups_is_known_from_one_without_nodes_of_its_own() -> None:
    """The page counts nodes of no Pool to a Pool that names neither a NodePool nor groups."""
    for spec, groups in (({}, False), ({"autoScalingGroups": {}}, True)):
        found = told("pools", rows.pool({"metadata": {"name": "batch"}, "spec": spec}))
        assert ("", groups) == (found["nodePool"], found["groups"])
