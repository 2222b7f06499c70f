"""How an attempt stands, and what counts against the retry limit."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import FRESH, Ending, Phase, Pod
from bayplan.reconcile.batchjob.attempt_outcome import (
    AttemptOutcome,
    Standing,
    outcome_of,
)
from tests.builders import make_node
from tests.jobs import START, ended, make_run_pod

NODES = {"n1": make_node("n1")}
LATER = START + 1000
PATIENCE, GRACE = 300, 30


def judged(pod: Pod, now: int = LATER, **nodes: Any) -> AttemptOutcome:
    return outcome_of(pod, nodes or NODES, PATIENCE, GRACE, now)


def failed(reason: str = "", **more: Any) -> Pod:
    """A pod that the kubelet ended for this reason; no container tells an exit code."""
    ending = Ending(finished_at=START + 5)
    return make_run_pod("s1", phase=Phase.FAILED, reason=reason, **{"ending": ending, **more})


@pytest.mark.parametrize(
    ("pod", "standing", "reason"),
    [
        (ended(make_run_pod("s1"), START + 5), Standing.SUCCEEDED, "Completed"),
        (ended(make_run_pod("s1"), START + 5, 3), Standing.FAILED, "Error"),
        (
            failed(ending=Ending(exit_code=137, reason="OOMKilled")),
            Standing.FAILED,
            "OOMKilled",
        ),
        (failed("DeadlineExceeded"), Standing.FAILED, "DeadlineExceeded"),
        (failed("OutOfcpu"), Standing.LOST, "OutOfcpu"),
        (failed("OutOfnvidia.com/gpu"), Standing.LOST, "OutOfnvidia.com/gpu"),
        (failed("NodeAffinity"), Standing.LOST, "NodeAffinity"),
        (failed("UnexpectedAdmissionError"), Standing.LOST, "UnexpectedAdmissionError"),
        (failed("NodeShutdown"), Standing.LOST, "NodeShutdown"),
        (
            failed("Terminated", disrupted="TerminationByKubelet"),
            Standing.LOST,
            "TerminationByKubelet",
        ),
        (
            ended(make_run_pod("s1"), START + 5, 137, disrupted="EvictionByEvictionAPI"),
            Standing.LOST,
            "EvictionByEvictionAPI",
        ),
        (
            failed(ending=Ending(exit_code=137, reason="ContainerStatusUnknown")),
            Standing.LOST,
            "ContainerStatusUnknown",
        ),
        (failed("SysctlForbidden"), Standing.FAILED, "SysctlForbidden"),
        (make_run_pod("s1"), Standing.LIVE, ""),
        (make_run_pod("s1", node="", phase=Phase.PENDING), Standing.LIVE, ""),
        (make_run_pod("s1", uid="", node="gone"), Standing.LIVE, ""),
        (make_run_pod("s1", node="gone"), Standing.LOST, "NodeLost"),
    ],
)
def test_ends(pod: Pod, standing: Standing, reason: str) -> None:
    """A node's doing is lost and does not count; the container's doing has failed and counts."""
    found = judged(pod)

    assert (standing, reason) == (found.standing, found.reason)


@pytest.mark.parametrize(
    ("disrupted", "message", "standing"),
    [
        (
            "",
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
            Standing.FAILED,
        ),
        (
            "TerminationByKubelet",
            "Container main was using 20Gi, request is 0, has larger consumption of it. ",
            Standing.FAILED,
        ),
        ("TerminationByKubelet", "The node was low on resource: memory. ", Standing.LOST),
    ],
)
def test_kubelet_evictions(disrupted: str, message: str, standing: Standing) -> None:
    """An eviction for the pod's own excess counts; one within its requests does not."""
    pod = failed("Evicted", disrupted=disrupted, message=message)

    assert standing is judged(pod).standing


def test_a_silent_node_loses_its_attempts_after_a_while() -> None:
    """Lost exactly when the node has been silent for the patience, and the moment is foretold."""
    node = make_node("n1", ready=False, ready_changed_at=LATER)
    before, at = (judged(make_run_pod("s1"), now, n1=node) for now in (LATER + 299, LATER + 300))

    assert (Standing.LIVE, LATER + 300) == (before.standing, before.at)
    assert (Standing.LOST, "NodeLost") == (at.standing, at.reason)


def test_deleting_a_running_pod_cancels() -> None:
    """The container ended within the grace after somebody's delete: neither failed nor lost."""
    deleted = replace(make_run_pod("s1"), deleted_at=LATER + GRACE)
    over = ended(deleted, LATER + 2, 143)

    assert Standing.LIVE is judged(deleted).standing
    assert (Standing.CANCELLED, "Deleted") == (
        judged(over, LATER + 5).standing,
        judged(over).reason,
    )


def test_deleting_an_ended_pod_changes_nothing() -> None:
    """What failed before somebody deleted it has failed."""
    over = replace(ended(make_run_pod("s1"), START + 5, 1), deleted_at=LATER)

    assert Standing.FAILED is judged(over).standing


def test_deleting_a_pod_that_never_ran_loses_the_attempt() -> None:
    """It was owed a run; a writer that takes a CREATE back deletes it too."""
    waiting = make_run_pod("s1", node="", phase=Phase.PENDING, ending=FRESH)
    placed = make_run_pod("s1", phase=Phase.FAILED, ending=FRESH)

    assert Standing.LIVE is judged(waiting).standing
    assert Standing.LOST is judged(replace(waiting, deleted_at=LATER)).standing
    assert Standing.LOST is judged(replace(placed, deleted_at=LATER)).standing


def test_a_drained_pod_is_lost_not_cancelled() -> None:
    """Evictions, taints and pod garbage collection say that they disrupt."""
    deleted = replace(make_run_pod("s1"), deleted_at=LATER, disrupted="DeletionByTaintManager")

    assert Standing.LIVE is judged(deleted).standing
    assert Standing.LOST is judged(ended(deleted, LATER, 143)).standing


@pytest.mark.parametrize(
    ("disrupted", "standing"),
    [("", Standing.CANCELLED), ("EvictionByEvictionAPI", Standing.LOST)],
)
def test_a_pod_that_never_goes(disrupted: str, standing: Standing) -> None:
    """A terminating pod that no kubelet ends is given up after the patience."""
    stuck = replace(make_run_pod("s1"), deleted_at=LATER, disrupted=disrupted)

    assert Standing.LIVE is judged(stuck, LATER + PATIENCE - 1).standing
    assert standing is judged(stuck, LATER + PATIENCE).standing


def test_no_end_lies_in_the_future() -> None:
    """A node whose clock is ahead does not postpone a retry."""
    assert LATER == judged(ended(make_run_pod("s1"), LATER + 900, 1)).at


def leaving(*taints: str, **more: Any) -> Node:
    return make_node("n1", taints=tuple(Taint(key) for key in taints), **more)


CORDONED = leaving(unschedulable=True)


@pytest.mark.parametrize(
    "node",
    [
        None,
        CORDONED,
        leaving(deleting=True),
        leaving(ready=False),
        leaving(ready_changed_at=LATER + 1),  # it was not ready when the pod was deleted
        leaving(created_at=START + 1),  # another machine of that name
        *map(
            leaving,
            (
                "karpenter.sh/disrupted",
                "karpenter.sh/disruption",
                "ToBeDeletedByClusterAutoscaler",
                "node.kubernetes.io/unschedulable",
                "node.kubernetes.io/not-ready",
                "node.kubernetes.io/unreachable",
                "node.kubernetes.io/out-of-service",
                "node.cloudprovider.kubernetes.io/shutdown",
                "aws-node-termination-handler/spot-itn",
                "cloud.google.com/impending-node-termination",
                "bayplan.dev/draining",
            ),
        ),
    ],
)
def test_a_plain_delete_on_a_node_that_is_emptied_loses_the_attempt(
    node: Node | None,
) -> None:
    """Drains without evictions and autoscalers that lose patience delete as a person does."""
    nodes = {"n2": make_node("n2")} if node is None else {"n1": node}
    deleted = replace(make_run_pod("s1"), deleted_at=LATER + GRACE, grace_seconds=GRACE)
    over = ended(deleted, LATER + 2, 143)

    assert (Standing.LOST, "NodeLeaving") == (
        judged(over, LATER + 5, **nodes).standing,
        judged(over, LATER + 5, **nodes).reason,
    )
    assert Standing.LOST is judged(deleted, LATER + GRACE + PATIENCE, **nodes).standing


@pytest.mark.parametrize(
    "node",
    [
        leaving("DeletionCandidateOfClusterAutoscaler"),
        leaving("example.com/gpu"),
        leaving(unschedulable=True, emptying_since=LATER + 11),
        leaving("ToBeDeletedByClusterAutoscaler", emptying_since=LATER + 11),
    ],
)
def test_a_plain_delete_on_a_node_that_stays_cancels(node: Node) -> None:
    """Also where the node was cordoned only afterwards."""
    over = ended(replace(make_run_pod("s1"), deleted_at=LATER, grace_seconds=0), LATER + 2, 143)

    assert Standing.CANCELLED is judged(over, LATER + 60, n1=node).standing


def test_what_was_seen_at_the_delete_stays_true() -> None:
    """The node may be in use again by the time the pod has ended."""
    deleted = replace(make_run_pod("s1"), deleted_at=LATER, grace_seconds=0)

    assert Standing.CANCELLED is judged(ended(deleted, LATER, 143)).standing
    assert Standing.LOST is judged(ended(replace(deleted, uprooted=True), LATER, 143)).standing


@pytest.mark.parametrize(("node", "standing"), [(CORDONED, "LOST"), (NODES["n1"], "CANCELLED")])
def test_whoever_deletes_may_give_more_time(node: Node, standing: str) -> None:
    """The grace of the delete counts, not that of the template."""
    deleted = replace(make_run_pod("s1"), deleted_at=LATER + 300, grace_seconds=300)

    assert standing == judged(ended(deleted, LATER + 200, 143), n1=node).standing.name


@pytest.mark.parametrize(
    ("code", "before", "standing"),
    [(1, 3, "FAILED"), (1, 0, "CANCELLED"), (143, 3, "CANCELLED"), (143, 40, "FAILED")],
)
def test_what_failed_a_moment_before_it_was_deleted(code: int, before: int, standing: str) -> None:
    """It has failed by itself, unless a signal ended it: a node's clock may be behind."""
    deleted = replace(make_run_pod("s1"), deleted_at=LATER, grace_seconds=0)

    assert standing == judged(ended(deleted, LATER - before, code)).standing.name


def test_a_delete_that_may_be_on_its_way_makes_nothing_overdue() -> None:
    """Only what the server knows to be leaving may be lost: until then the attempt may run."""
    decided = replace(make_run_pod("s1"), deleted_at=START, delete_assumed=True)

    assert Standing.LIVE is judged(decided).standing
    assert Standing.CANCELLED is judged(replace(decided, delete_assumed=False)).standing


def test_a_delete_that_the_server_did_not_know_has_ended_nothing() -> None:
    """It ended by itself while our delete was on its way: its exit code counts."""
    over = ended(make_run_pod("s1"), LATER - 5, 1)
    decided = replace(over, deleted_at=LATER - 6, uprooted=True, delete_assumed=True)

    assert (Standing.FAILED, "Error") == (judged(decided).standing, judged(decided).reason)
