"""Events of nodes that close, are emptied, take pods again, or are given back.

They follow from what was known of the nodes at the look before. After a restart nothing was known,
and what goes on already is not told again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bayplan.model.intents import EmitEvent
from bayplan.model.nodes import MOVING, Node
from bayplan.reconcile.pool.consolidation import closes, is_emptied
from bayplan.reconcile.pool.facts import Consolidating, LeavingNode
from bayplan.reconcile.pool.money import dollars


@dataclass(frozen=True, slots=True)
class Leaving:
    """A node that was on its way out at the last look."""

    node: LeavingNode
    draining: bool


Known = Mapping[str, Leaving]  # by the name of the node


def known(told: Consolidating, nodes: Mapping[str, Node], before: Known | None) -> Known:
    """The nodes that are on their way out now; `before` are those of the last look.

    A node whose pods have all moved is on its way until it has gone or takes pods again.
    """
    found = {one.node: Leaving(one, draining=False) for one in told.closing}
    found |= {one.node: Leaving(one, draining=True) for one in told.draining}
    for name, last in (before or {}).items():
        node = nodes.get(name)
        if name not in found and node is not None and _marked(node):
            found[name] = last
    return found


def events(
    before: Known, now: Known, nodes: Mapping[str, Node], opened: Mapping[str, str]
) -> Iterator[tuple[str, EmitEvent]]:
    """What has changed between two looks: the node's name, and the Event.

    `opened` says why a node takes pods again, by its name.
    """
    for name, one in now.items():
        last = before.get(name)
        if one.draining and (last is None or not last.draining):
            if one.node.moves:
                yield name, EmitEvent("NodeDraining", is_emptied(one.node))
        elif last is None:
            yield name, EmitEvent("NodeClosing", closes(one.node))
    for name in before.keys() - now.keys():
        node, last = nodes.get(name), before[name]
        if node is None and last.node.moved < last.node.moves:
            left = last.node.moves - last.node.moved
            pods = "1 pod" if left == 1 else f"{left} pods"
            told = f"Node {name} has gone while {pods} still had to move; they start elsewhere."
            yield name, EmitEvent("NodeDied", told, warning=True)
        elif node is None or _goes(node):
            told = f"Node {name} is given back; that saves ${dollars(last.node.saving)} an hour."
            yield name, EmitEvent("NodeGivenBack", told)
        else:
            why = f": {opened[name]}" if name in opened else ""
            told = f"Node {name} takes pods again, and is not given back for now{why}."
            yield name, EmitEvent("NodeReopened", told)


def _marked(node: Node) -> bool:
    """Whether the node itself says that it is on its way out, and is not going back yet."""
    return not _goes(node) and (bool(node.closing or node.drains))


def _goes(node: Node) -> bool:
    return node.deleting or (bool(node.drains) and MOVING not in node.drains)
