"""Pairs nodes that are given back with nodes that are bought, in groups as small as may be.

The optimiser says how many pods of a row each new node gets, and not from where. A new node that
has pods of many old nodes ties them all together: if one of them cannot be emptied, none is. So a
group takes a new node only once its own pods fill it, takes few old nodes, and gets a node of its
own for what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.optimizer.consolidation.holding import Consolidated
from bayplan.optimizer.problem import IntMatrix, IntVector
from bayplan.provisioning.consolidation.scene import Asked

_PARTS = 1000  # of a whole node: the grid of shares
_MOST_NODES = 12  # in a group that takes more nodes


@dataclass(slots=True)
class Together:
    """Indexes of old nodes, the pods for each bought node (its number), and pods without a node."""

    nodes: list[int]
    bought: list[tuple[int, list[Pod]]] = field(default_factory=list)
    left: list[Pod] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Pairing:
    """`going`: index of an old node -> the pods that move. `row_of` gives the row of a pod.

    `hints` will have the nodes that are there to which pods were planned to go.
    """

    asked: Asked
    answer: Consolidated
    going: Mapping[int, Sequence[Pod]]
    row_of: Mapping[PodKey, int]
    hints: dict[PodKey, str] = field(default_factory=dict)
    _into: dict[int, list[str]] = field(default_factory=dict)  # row -> places on nodes

    def groups(self) -> list[Together]:
        """All nodes that are given back, each in one group."""
        for at, k in zip(*self.answer.into.nonzero(), strict=True):
            places = [self.asked.nodes[at].name] * int(self.answer.into[at, k])
            self._into.setdefault(int(k), []).extend(places)
        found = []
        others: dict[int, dict[int, list[Pod]]] = {}
        for at in sorted(self.going, key=lambda at: (len(self.going[at]), at)):
            rows = self._by_row(self.going[at])
            whole = all(len(each) <= len(self._into.get(k, ())) for k, each in rows.items())
            if whole or not len(self.answer.types):
                self._hint(self.going[at])
                found.append(Together([at]))
            else:
                others[at] = rows
        return [*found, *self._with_bought(others)]

    def _with_bought(self, others: dict[int, dict[int, list[Pod]]]) -> list[Together]:
        """Groups of these nodes, whose pods by row go to bought nodes."""
        size, patterns = self.asked.holding.sizes, self.answer.bought.copy()
        ats = list(others)
        rest = np.zeros((len(ats), patterns.shape[1]), dtype=np.int64)
        for line, at in enumerate(ats):
            for k, each in others[at].items():
                rest[line, k] = len(each)
        mass, free = rest @ size, np.ones(len(ats), dtype=np.bool_)
        found = []
        while free.any():
            line = int(np.argmax(np.where(free, mass, -1)))
            free[line] = False
            group, pool = Together([ats[line]]), rest[line].copy()
            pods = {k: list(alike) for k, alike in others[ats[line]].items()}
            while (number := _best(patterns, pool, size)) is not None:
                lacking = np.maximum(patterns[number] - pool, 0)
                if not lacking.any():
                    group.bought.append((number, _taken(pods, patterns[number])))
                    pool -= patterns[number]
                    patterns[number] = 0
                    continue
                useful = np.where(free, np.minimum(rest, lacking) @ size, 0)
                if len(group.nodes) == _MOST_NODES or not useful.any():
                    break
                line = int(np.argmax(useful))
                free[line] = False
                group.nodes.append(ats[line])
                pool += rest[line]
                for k, more in others[ats[line]].items():
                    pods.setdefault(k, []).extend(more)
            group.left = self._hint([pod for alike in pods.values() for pod in alike])
            found.append(group)
        return found

    def _hint(self, pods: Sequence[Pod]) -> list[Pod]:
        """Take the places on nodes that are there; the pods for which there is none."""
        left = []
        for pod in pods:
            places = self._into.get(self.row_of.get(pod.key, -1))
            if places:
                self.hints[pod.key] = places.pop()
            else:
                left.append(pod)
        return left

    def _by_row(self, pods: Sequence[Pod]) -> dict[int, list[Pod]]:
        rows: dict[int, list[Pod]] = {}
        for pod in pods:
            if pod.key in self.row_of:
                rows.setdefault(self.row_of[pod.key], []).append(pod)
        return rows


def _best(patterns: IntMatrix, pool: IntVector, size: IntVector) -> int | None:
    """The bought node of which these pods fill the largest part; None if they fill none."""
    if not len(patterns):
        return None
    whole = patterns @ size
    part = np.minimum(patterns, pool) @ size
    share = part * _PARTS // np.maximum(whole, 1)
    number = int(np.lexsort((-whole, -share))[0])
    return number if part[number] else None


def _taken(pods: dict[int, list[Pod]], pattern: IntVector) -> list[Pod]:
    """As many pods of each row as the pattern has, taken away."""
    return [pods[k].pop() for k in pattern.nonzero()[0].tolist() for _ in range(int(pattern[k]))]
