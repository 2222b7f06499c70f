"""Why not, in words and in a status."""

import numpy as np
import pytest

from bayplan.model import resources, wording
from bayplan.model.nodes import ZONE, Node
from bayplan.model.pods import Pod, Spread
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.model.workloads import PodClass
from bayplan.placement import explain
from bayplan.placement.node_table import NodeTable, Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.solve import Policy, solve
from tests.builders import (
    GIB,
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_waiting,
)

FUNNEL = Funnel(
    214,
    (
        Refusal(Reason.TAINT, "dedicated", 60),
        Refusal(Reason.CONSTRAINT, "zone", 34),
        Refusal(Reason.RESOURCES, "cpu", 120),
    ),
    Nearest("ip-10-0-3-7", {"cpu": 300}, Reason.RESOURCES, "cpu"),
)


def test_the_sentence_names_the_most_frequent_reason_first() -> None:
    """Numbers by size, then the nearest node and what it lacks."""
    assert (
        "0/214 nodes: 120 insufficient cpu, 60 taint dedicated, 34 constraint zone; "
        "nearest ip-10-0-3-7 lacks 300m cpu"
    ) == wording.sentence(FUNNEL)


def test_a_nearest_node_that_lacks_nothing_tells_its_reason() -> None:
    """Where no resource is short, the sentence says what the nearest node holds against it."""
    funnel = Funnel(
        2,
        (Refusal(Reason.CORDONED, "", 1), Refusal(Reason.TAINT, "gpu", 1)),
        Nearest("n2", reason=Reason.TAINT, detail="gpu"),
    )

    assert "0/2 nodes: 1 cordoned, 1 taint gpu; nearest n2: taint gpu" == wording.sentence(funnel)


def test_a_node_that_neither_refuses_nor_lacks_is_a_defect_and_is_told() -> None:
    """It should have taken a pod; whoever reads the sentence learns of it, and nothing raises."""
    frozen = make_snapshot(make_node("n1", cpu=4000), make_node("n2", cpu=100))
    occupancy = Occupancy.of(frozen, NodeTable(frozen.nodes, 0))
    for request in (make_class(cpu=1000).request, make_class(cpu=1).request, resources.NOTHING):
        funnel = explain.funnel(request, (), occupancy)

        assert 2 == sum(refusal.nodes for refusal in funnel.refusals)
        assert Reason.DEFECT in {refusal.reason for refusal in funnel.refusals}
        assert "a defect of Bayplan" in wording.sentence(funnel)


def test_no_nodes_at_all() -> None:
    """An empty cluster is said in four words and no colon."""
    assert "0/0 nodes: there is no node that Bayplan fills" == wording.sentence(Funnel(0))


def test_the_status_is_the_funnel_in_the_words_of_the_api() -> None:
    """status.placement holds counts by reason, RFC 3339 time, the nearest node."""
    assert {
        "pendingTasks": 7,
        "pendingSince": "2026-09-21T14:13:20Z",
        "message": wording.sentence(FUNNEL),
        "nodesConsidered": 214,
        "refusals": [
            {"reason": "InsufficientResources", "detail": "cpu", "nodes": 120},
            {"reason": "Taint", "detail": "dedicated", "nodes": 60},
            {"reason": "Constraint", "detail": "zone", "nodes": 34},
        ],
        "nearest": {"node": "ip-10-0-3-7", "lacks": "300m cpu"},
    } == wording.status(7, NOON, FUNNEL)


def test_amounts_carry_their_units() -> None:
    """CPUs, or thousandths of one; memory in powers of two, the rest as counts."""
    lacks = {"cpu": 1500, "memory": 3 * GIB // 2, "pods": 1, "nvidia.com/gpu": 2}

    assert "1.5 cpu, 1.5Gi memory, 1 pods, 2 nvidia.com/gpu" == wording.lacking(lacks)


def refusal_of(kind: PodClass, *things: Node | Pod) -> str:
    plan = solve(make_snapshot(*things), [make_waiting(kind)], NOON, Policy())
    return wording.sentence(plan.refused[0].funnel)


def test_the_nearest_lacks_least_by_share_of_the_request() -> None:
    """200m short of 2 CPU is nearer than 1 GiB short of 2 GiB."""
    full = (make_node("a", 9000, 3), make_pod("p", "a", memory=2))
    nearer = (make_node("b", 2000, 8), make_pod("q", "b", 200))

    assert (
        "0/2 nodes: 1 insufficient cpu, 1 insufficient memory; nearest b lacks 200m cpu"
    ) == refusal_of(make_class(2000, memory=2), *full, *nearer)


def test_too_big_for_a_node_is_told_apart_from_too_full() -> None:
    """A node without the size says so; a resource that no node has is named."""
    kind = make_class(2000, extended={"nvidia.com/gpu": 1})

    assert (
        "0/1 nodes: 1 too small for it even when empty (nvidia.com/gpu); "
        "nearest a lacks 1 nvidia.com/gpu"
    ) == refusal_of(kind, make_node("a", 4000))


def test_what_is_lacking_comes_before_a_constraint_that_follows_from_it() -> None:
    """The spread refuses most nodes, because the zone whose turn it is has no room."""
    spread = Spread(ZONE, make_term(app="web"))
    kind = make_class(3000, labels={"app": "web"}, spread=(spread,))
    full = (make_node("a", 4000, zone="a"), make_pod("x", "a", 2000))
    taken = [make_node(f"b{at}", 4000, zone="b") for at in (1, 2)]
    mate = make_pod("web-0", "b1", 3000, labels={"app": "web"})

    assert refusal_of(kind, *full, *taken, mate).startswith(
        "0/3 nodes: 1 insufficient cpu, 2 topology spread topology.kubernetes.io/zone; nearest a "
    )


def test_a_claim_that_is_missing_is_told_before_every_node() -> None:
    """No node can mend it, so that no node is counted for anything else."""
    kind = make_class(claims=("data",), selector=(("disk", "ssd"),))

    assert refusal_of(
        kind, make_node("a"), make_node("b", unschedulable=True), make_node("c")
    ).startswith("0/3 nodes: 3 volume claim not ready data: there is no such claim")


def test_a_node_that_is_too_small_is_not_counted_for_where_other_pods_are() -> None:
    """An instance of the old template stands on it; the new one would not fit there either way."""
    frozen = make_snapshot(make_node("a", 1000))
    occupancy = Occupancy.of(frozen, NodeTable(frozen.nodes, 0))
    unique = Refusing(Reason.CONSTRAINT, "hostname Unique", np.array([True]))
    found = explain.funnel(make_class(2000).request, [unique], occupancy)

    assert (Refusal(Reason.TOO_BIG, "cpu", 1),) == found.refusals
    assert Nearest("a", {"cpu": 1000}, Reason.TOO_BIG, "cpu") == found.nearest


@pytest.mark.parametrize("reason", Reason)
def test_constraints_come_after_what_nodes_lack(reason: Reason) -> None:
    """However many nodes say so; what is no constraint comes by its number of nodes."""
    lacks, many = Refusal(Reason.RESOURCES, "cpu", 1), Refusal(reason, "", 5)
    first = Funnel(6, (many, lacks)).ordered[0]

    assert (lacks if reason.constrains else many) == first
