"""The mass-loss brake: when many nodes fall silent at once, the likeliest fault is our own view.

A broken network or control plane looks like a burning data centre; to replace everything would
finish what the fault began (Singularity's disaster detection: 20 % of its agents). Nodes that are
gone from the API are no such case: somebody took them away, and their instances are replaced.
"""

from collections.abc import Iterable

from bayplan.model.nodes import Node

PERCENT = 20  # more than this share of the nodes
FEWEST = 3  # and at least so many
WINDOW_SECONDS = 600  # silent for less long than this; after it, time says that they are lost

_BOOT_SECONDS = 30  # a node that never was ready has lost nobody


def braked_until(nodes: Iterable[Node], now: int) -> int | None:
    """Until when nothing is to be replaced, moved or taken away; None: go on. O(nodes)."""
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
