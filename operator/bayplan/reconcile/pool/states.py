"""The nodes of a Pool on their way from an order to an instance, a node, and back.

Claims, nodes and what is only assumed become rows. Nodes that Karpenter itself bought in the Pool's
NodePool belong to the Pool like those that Bayplan ordered.
"""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.api.names import POOL
from bayplan.model.node_claims import ClaimState, NodeClaim
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import MOVING, Node


class NodeState(enum.Enum):
    """Where a node of the Pool stands; the words are those of the status."""

    REQUESTED = "Requested"  # ordered; the cloud has not answered yet
    LAUNCHED = "Launched"  # there is an instance
    REGISTERED = "Registered"  # the node has joined, and is not ready for pods yet
    USABLE = "Usable"  # pods may be bound to it
    MOVING = "Moving"  # its pods are being moved to other nodes; it takes no more
    DRAINING = "Draining"  # empty; it takes no more pods
    RETIRING = "Retiring"  # its claim is being deleted


_BY_CLAIM = {
    ClaimState.REQUESTED: NodeState.REQUESTED,
    ClaimState.LAUNCHED: NodeState.LAUNCHED,
    ClaimState.REGISTERED: NodeState.REGISTERED,
    ClaimState.USABLE: NodeState.USABLE,
    ClaimState.RETIRING: NodeState.RETIRING,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One node of the Pool: its claim, its node, or both.

    A node whose claim is not known is a row without a claim.
    """

    state: NodeState
    claim: NodeClaim | None = None
    node: Node | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nodes exist, and how many rows are in each state.

    Those that take no more pods are retiring.
    """

    nodes: int = 0
    requested: int = 0
    launched: int = 0
    registered: int = 0
    usable: int = 0
    retiring: int = 0


def rows(
    pool: str, node_pool: str, claims: Iterable[NodeClaim], nodes: Iterable[Node]
) -> tuple[Row, ...]:
    """The rows of a Pool which buys through this NodePool (empty: none); claims come first."""
    by_name = {node.name: node for node in nodes}
    found: list[Row] = []
    for claim in claims:
        node = by_name.pop(claim.node, None) if claim.node else None
        if claim.pool == pool or (not claim.pool and claim.node_pool == node_pool != ""):
            found.append(Row(_state(_BY_CLAIM[claim.state], node), claim, node))
    for node in by_name.values():
        if _belongs(node, pool, node_pool):
            state = NodeState.USABLE if node.ready else NodeState.REGISTERED
            found.append(Row(_state(state, node), None, node))
    return tuple(found)


def counts(found: Iterable[Row]) -> Counts:
    """How many rows there are of each state."""
    every = tuple(found)
    number = Counter(row.state for row in every)
    return Counts(
        nodes=sum(row.node is not None for row in every),
        requested=number[NodeState.REQUESTED],
        launched=number[NodeState.LAUNCHED],
        registered=number[NodeState.REGISTERED],
        usable=number[NodeState.USABLE],
        retiring=sum(
            number[state] for state in (NodeState.MOVING, NodeState.DRAINING, NodeState.RETIRING)
        ),
    )


def _state(state: NodeState, node: Node | None) -> NodeState:
    if node is None or state is NodeState.RETIRING:
        return state
    if node.deleting:
        return NodeState.RETIRING
    if not node.drains:
        return state
    return NodeState.MOVING if node.drains == {MOVING} else NodeState.DRAINING


def _belongs(node: Node, pool: str, node_pool: str) -> bool:
    named = node.labels.get(POOL)
    if named is not None:
        return named == pool
    return bool(node_pool) and node.labels.get(NODE_POOL) == node_pool
