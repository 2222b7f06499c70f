"""Claims and nodes of a Pool as rows, and what the rows count against its limits."""

import dataclasses

from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.model.nodes import INSTANCE_TYPE, Node, Taint
from bayplan.reconcile.pool import claim_names, states
from bayplan.reconcile.pool.footprint import footprint
from bayplan.reconcile.pool.headroom import Spare, kept
from bayplan.reconcile.pool.limits import Load
from bayplan.reconcile.pool.states import Counts, NodeState, Row
from tests.builders import make_node, make_vector

NAMES = claim_names.fresh("b", "uid", (), 6)
LABEL = {"bayplan.dev/pool": "b"}


def claim(index: int, **more: object) -> NodeClaim:
    return NodeClaim(NAMES[index], pool="b", **more)  # type: ignore[arg-type]


def test_the_way_of_a_node() -> None:
    """From an assumed order to a node that leaves, each row is in one state."""
    draining = make_node("n4", taints=(Taint("bayplan.dev/draining", "retiring"),))
    claims = [
        claim(0, assumed=True),
        claim(1, provider_id="i1"),
        claim(2, provider_id="i2", registered=True, node="n2"),
        claim(3, provider_id="i3", initialized=True, node="n3"),
        claim(4, provider_id="i4", initialized=True, node="n4"),
        claim(5, provider_id="i5", initialized=True, node="n5", deleting=True),
    ]
    nodes = [make_node("n2", ready=False), make_node("n3"), draining, make_node("n5")]

    rows = states.rows("b", "", claims, nodes)

    assert list(NodeState) == [row.state for row in rows]
    assert [True, True, True, False, False, False] == [row.under_way for row in rows]
    assert Counts(4, 1, 1, 1, 1, 2) == states.counts(rows)


def test_adopted_nodes() -> None:
    """What Karpenter bought in this NodePool, label or not, and nodes without a known claim."""
    claims = [
        NodeClaim("np-x7k2p", pool="b", node_pool="np", node="n1"),
        NodeClaim("np-aaaaa", node_pool="np"),
        NodeClaim("other-1", pool="other", node_pool="np", node="n2"),
        NodeClaim("other-2", node_pool="x"),
    ]
    nodes = [
        make_node("n1"),
        make_node("n2", labels=LABEL),
        make_node("n3", labels=LABEL),
        make_node("n4", labels={"karpenter.sh/nodepool": "np"}, ready=False),
        make_node("n5", labels={"bayplan.dev/pool": "other", "karpenter.sh/nodepool": "np"}),
    ]

    rows = states.rows("b", "np", claims, nodes)

    assert [("np-x7k2p", "n1"), ("np-aaaaa", ""), ("", "n3"), ("", "n4")] == [
        (row.claim.name if row.claim else "", row.node.name if row.node else "") for row in rows
    ]
    assert all(row.adopted for row in rows)
    assert NodeState.REGISTERED is rows[-1].state


def test_a_node_that_is_deleted_retires() -> None:
    """Also where its claim does not say so yet."""
    (row,) = states.rows("b", "", [claim(0, node="n", initialized=True)], [_deleting()])

    assert NodeState.RETIRING is row.state


def _deleting() -> Node:
    return make_node("n", deleting=True)


def load_of(offering: Offering) -> Load | None:
    """Two types: the small one is the dearer."""
    sizes = {"small": (2, 3), "large": (8, 1)}
    if offering[0] not in sizes:
        return None
    cpu, dollars = sizes[offering[0]]
    return Load(1, make_vector(cpu * 1000), dollars * 10**6)


def test_what_counts_against_limits() -> None:
    """A claim on its way counts as its largest and dearest type, a launched one as what it got."""
    menu = {("small", "a", "spot"), ("large", "a", "spot")}
    waiting = Row(NodeState.REQUESTED, claim(0, types=("small", "large")))
    got = Row(
        NodeState.LAUNCHED,
        claim(1, types=("small", "large"), provider_id="i", labels={INSTANCE_TYPE: "large"}),
    )

    assert Load(1, make_vector(8000), 3 * 10**6) == footprint([waiting], menu, load_of)
    assert Load(1, make_vector(8000), 3 * 10**6) == footprint([waiting], (), load_of)
    assert Load(1, make_vector(8000), 10**6) == footprint([got], menu, load_of)
    assert Load(2, make_vector(16000, pods=2), 4 * 10**6) == footprint(
        [waiting, got], menu, load_of
    )


def test_what_nobody_knows_counts_as_what_it_has() -> None:
    """Nodes and claims of unknown types count by their own amounts, and always as nodes."""
    node = make_node("n", 4000, labels={INSTANCE_TYPE: "odd"}, price_microdollars=5)
    rows = [
        Row(NodeState.USABLE, None, node),
        Row(NodeState.REQUESTED, claim(0, types=("odd",))),
        Row(NodeState.LAUNCHED, dataclasses.replace(claim(1), provider_id="i")),
        Row(NodeState.USABLE, None, make_node("plain", 1000)),
    ]

    found = footprint(rows, (), load_of)

    assert (4, 5000, 5) == (found.nodes, found.capacity.amount("cpu"), found.microdollars)


def test_headroom_keeps_the_cheapest_empty_nodes() -> None:
    """Only as many as the free room of used nodes does not cover."""
    used = Spare("used", make_vector(1000), empty=False)
    empty = [Spare(f"n{n}", make_vector(4000), empty=True, microdollars=10 - n) for n in range(3)]

    assert frozenset() == kept([used, *empty], make_vector(1000))
    assert {"n2"} == kept([used, *empty], make_vector(2000))
    assert {"n2", "n1"} == kept([used, *empty], make_vector(9000))
    assert {"n0", "n1", "n2"} == kept([used, *empty], make_vector(99_000))
    assert frozenset() == kept([used, *empty], make_vector(0, 1))
