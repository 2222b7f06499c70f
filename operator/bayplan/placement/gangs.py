"""Gangs: all pods of a class or none, by a bounded search.

If the ordinary fill finds room for all pods, that result is used; the search begins only if it
falls short. The fill is greedy: it goes to the preferred nodes first and, if all pods must share a
domain, to the domain with the most room. Either choice may use up what another constraint allows,
so each try changes one of them: first the roomiest nodes, then one domain of the rule alone. There
are at most MOST_TRIES fills of one class, whatever the cluster. The search surely finds a place for
any gang without rules between its pods, and for a gang with a `Together` of up to MOST_TRIES - 1
domains and one other rule that caps. With more rules at once it may overlook a way; it never lands
part of a gang. It looks at one class: if the tasks of a run are not alike, the caller must hold
them together.
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

    `fits` are the copies that each node has room for, 0 if the node refuses the pods.
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
