"""Even spreads and limits per group of nodes, as the optimiser keeps them when pods leave and move.

Pods of the same owner that are in no row count as they stand. What the optimiser cannot be told
(spreads over single nodes, nearness to pods of others) is left to the real filters.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayplan.model.constraints import AtMost, EvenShares
from bayplan.model.nodes import HOSTNAME, Node
from bayplan.model.workloads import PodClass
from bayplan.optimizer.consolidation.holding import Share
from bayplan.optimizer.problem import UNLIMITED, IntVector
from bayplan.provisioning.consolidation.scene import Row
from bayplan.provisioning.offerings import Offer


@dataclass(frozen=True, slots=True)
class _Spread:
    """Pods by the values of `label`: `most` each, or evenly with a difference up to `skew`.

    `groups`: over so many values; 0: over all there are.
    """

    label: str
    most: int = UNLIMITED
    skew: int = 0
    groups: int = 0


def shares(
    rows: Sequence[Row],
    wanted: IntVector,
    nodes: Sequence[Node],
    places: Sequence[tuple[Offer, str]],
    others: Mapping[str, Sequence[Mapping[str, str]]],
) -> list[Share]:
    """The shares of all rows, of which so many pods are `wanted` [K].

    `others` are the pods of each owner that are in no row: the labels of their nodes.
    """
    together: dict[tuple[str, _Spread], list[int]] = {}
    for k, row in enumerate(rows):
        for spread in _spreads(row.kind):
            together.setdefault((_owner(row), spread), []).append(k)
    sold = [offer.node("", zone).labels for offer, zone in places] if together else []
    found = []
    for (owner, spread), kinds in together.items():
        values = [node.labels.get(spread.label) for node in nodes]
        index = {value: at for at, value in enumerate(sorted({*values} - {None}, key=str))}
        counted = Counter(labels.get(spread.label) for labels in others.get(owner, ()))
        there = np.array([counted[value] for value in index], dtype=np.int64)
        total = int(wanted[kinds].sum() + there.sum())
        bounds = _bounds(spread, len(index), total)
        if bounds is None or not index:
            continue
        group = np.array([index.get(value, -1) for value in values], dtype=np.int64)
        now = np.zeros(len(index), dtype=np.int64)
        for k in kinds:
            for at, pods in rows[k].pods.items():
                now[group[at]] += len(pods) if group[at] >= 0 else 0
        least, most = (np.maximum(bound - there, 0) for bound in bounds)
        found.append(
            Share(
                kinds=tuple(kinds),
                group=group,
                least=np.minimum(least, now),
                most=_reachable(most, now, int(wanted[kinds].sum())),
                offered=np.array(
                    [index.get(labels.get(spread.label), -1) for labels in sold], dtype=np.int64
                ),
            )
        )
    return found


def _owner(row: Row) -> str:
    pod = next((pod for pods in row.pods.values() for pod in pods), None)
    return pod.owner.uid if pod is not None and pod.owner is not None else ""


def _spreads(kind: PodClass) -> Iterator[_Spread]:
    """The spreads and limits of a class over groups of several nodes."""
    labels = dict(kind.labels)
    for one in kind.placement.constraints:
        if one.label == HOSTNAME:
            continue
        match one.coupling:
            case AtMost():
                yield _Spread(one.label, most=one.count)
            case EvenShares():
                yield _Spread(one.label, skew=1, groups=one.count)
    for spread in kind.constraints.spread:
        if spread.hard and spread.topology_key != HOSTNAME and spread.selector.matches(labels):
            yield _Spread(spread.topology_key, skew=spread.max_skew)


def _bounds(spread: _Spread, values: int, total: int) -> tuple[int, int] | None:
    """The least and the most pods of each group; None if there is nothing to keep."""
    if not spread.skew:
        return 0, spread.most
    groups = spread.groups or values
    if not groups or not values:
        return None
    # With fewer groups than values, which of them are used is not decided here.
    least = total // groups if groups == values else 0
    exact = spread.groups or spread.skew == 1
    return least, -(-total // groups) if exact else total // groups + spread.skew


def _reachable(most: IntVector, now: IntVector, wanted: int) -> IntVector:
    """The limits, raised until as many pods as are wanted can stay where they are now."""
    while np.minimum(most, now).sum() < min(wanted, now.sum()):
        most = np.where(most < now, most + 1, most)
    return most
