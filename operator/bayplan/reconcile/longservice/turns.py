"""Whose turn it is to leave, by the plan of a Pool that gives nodes back.

The plan knows all services of a Pool, so it says what no service can see alone: which nodes need
not stay if each service leaves the right ones. It may be older than what is seen now; names of
nodes that are gone count for nothing.
"""

from collections.abc import Callable, Iterable

from bayplan.model.departures import Departures
from bayplan.model.pods import Pod

Turn = Callable[[Pod], tuple[int, ...]]


def turns(ordered: Iterable[Pod], departures: Departures) -> Turn:
    """A key for sorting: pods that the plan lets go first, then pods by the rank of their node.

    `ordered` are pods of one service, those that go first anyway in front: of each node as many are
    planned as `departures.counts` says.
    """
    counts, ranks = dict(departures.counts), departures.ranks
    if not counts and not ranks:
        return lambda _pod: ()
    planned = set()
    for pod in ordered if counts else ():
        if counts.get(pod.node, 0) > 0:
            counts[pod.node] -= 1
            planned.add(pod.key)
    last = max(ranks.values(), default=0) + 1
    return lambda pod: (pod.key not in planned, ranks.get(pod.node, last))
