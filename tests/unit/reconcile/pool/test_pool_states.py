"""Claims and nodes of a Pool as rows."""

from bayplan.model import claim_names
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node, Taint
from bayplan.reconcile.pool import states
from bayplan.reconcile.pool.states import Counts, NodeState
from tests.builders import make_node

NAMES = claim_names.fresh("b", "uid", (), 7)
LABEL = {"bayplan.dev/pool": "b"}


def claim(index: int, **more: object) -> NodeClaim:
    return NodeClaim(NAMES[index], pool="b", **more)  # type: ignore[arg-type]


def test_the_way_of_a_node() -> None:
    """From an assumed order to a node that leaves, each row is in one state."""
    draining = make_node("n4", taints=(Taint("bayplan.dev/draining", "retiring"),))
    moving = make_node("n6", taints=(Taint("bayplan.dev/draining", "moving"),))
    claims = [
        claim(0, assumed=True),
        claim(1, provider_id="i1"),
        claim(2, provider_id="i2", registered=True, node="n2"),
        claim(3, provider_id="i3", initialized=True, node="n3"),
        claim(6, provider_id="i6", initialized=True, node="n6"),
        claim(4, provider_id="i4", initialized=True, node="n4"),
        claim(5, provider_id="i5", initialized=True, node="n5", deleting=True),
    ]
    nodes = [make_node("n2", ready=False), make_node("n3"), draining, make_node("n5"), moving]

    rows = states.rows("b", "", claims, nodes)

    assert list(NodeState) == [row.state for row in rows]
    assert Counts(5, 1, 1, 1, 1, 3) == states.counts(rows)


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
    assert NodeState.REGISTERED is rows[-1].state


def test_a_node_that_is_deleted_retires() -> None:
    """Also where its claim does not say so yet."""
    (row,) = states.rows("b", "", [claim(0, node="n", initialized=True)], [_deleting()])

    assert NodeState.RETIRING is row.state


def _deleting() -> Node:
    return make_node("n", deleting=True)
