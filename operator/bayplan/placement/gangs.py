"""Gangs: all pods of a class or none, by a bounded search.

What the ordinary fill finds is taken as it is; only where it falls short the search begins. The
fill is greedy: it goes to the preferred nodes first and, where all must share a domain, to the one
with the most room. Either may use up what another constraint allows, so each try changes one of
them: the roomiest nodes first, then one domain of the rule alone. At most MOST_TRIES fills of one
class, whatever the cluster. Found for certain: any gang without rules between its pods, and one
with a `Together` of up to MOST_TRIES - 1 domains and one other rule that caps. With more rules at
once it may overlook a way; it never lands part of a gang. It looks at one class: a run whose tasks
are not alike is the caller's to hold together.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bayplan.placement.rules import Rule, Together, distribute

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]

MOST_TRIES = 16


def placed(count: int, fits: IntVector, rules: Callable[[], list[Rule]]) -> IntVector | None:
    """[N]: where all `count` pods go, or None. `rules` makes them anew for each try.

    `fits` are the copies that each node has room for, 0 where it refuses them.
    """
    fresh = rules()
    if not fresh:
        return None  # the fill has used every copy that fits anywhere
    for among in _corners(fits, fresh):
        room = np.where(among, fits, 0)
        if int(np.minimum(room, count).sum()) < count:
            continue
        nodes = distribute(room, room.astype(np.float64), count, rules())
        if int(nodes.sum()) == count:
            return nodes
    return None


def _corners(fits: IntVector, rules: Sequence[Rule]) -> Iterator[BoolVector]:
    """Parts of the cluster to try: all of it, then domains that could be shared, roomiest first."""
    yield np.ones(len(fits), dtype=np.bool_)
    tries = 1
    for rule in rules:
        if not isinstance(rule, Together):
            continue
        room = rule.domains.sums(fits)
        for code in np.argsort(-room, kind="stable"):
            if tries == MOST_TRIES or not room[code]:
                break
            tries += 1
            yield rule.domains.codes == code
