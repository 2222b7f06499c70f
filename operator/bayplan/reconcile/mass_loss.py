"""The mass-loss brake: when many nodes fall silent at once, the likeliest fault is our own view.

A broken network or control plane looks like a burning data centre; to replace everything would
complete the damage of the fault (Singularity's disaster detection: 20 % of its agents). Nodes that
are gone from the API do not count: somebody removed them, and their instances are replaced.
"""

from collections.abc import Iterable

from bayplan.model.nodes import Node

PERCENT = 20  # the brake holds for more than this share of the nodes
FEWEST = 3  # and for at least this number of nodes
WINDOW_SECONDS = 600  # counts nodes silent for less than this; after it, a node counts as lost

_BOOT_SECONDS = 30  # a node that was never ready has lost no pods


def braked_until(nodes: Iterable[Node], now: int) -> int | None:
    """Until when nothing may be replaced, moved or removed; None: there is no brake. O(nodes)."""
    total, silent = 0, []
    for node in nodes:
        if node.ready:
            total += 1
        elif (
            now - node.ready_changed_at < WINDOW_SECONDS
            and node.ready_changed_at > node.created_at + _BOOT_SECONDS
        ):
            silent.append(node.ready_changed_at)
    total += len(silent)
    until = None
    for changed_at in sorted(silent):
        left = len(silent)
        if left < FEWEST or left * 100 <= PERCENT * total:
            break
        until = changed_at + WINDOW_SECONDS
        silent = silent[1:]
        total -= 1
    return until
