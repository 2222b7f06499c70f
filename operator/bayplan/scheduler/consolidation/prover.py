"""Proves by the real filters where the successors of pods that move would land."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayplan.cluster.cache import Cache
from bayplan.model import wording
from bayplan.model.departures import Move
from bayplan.model.pods import Pod
from bayplan.model.reasons import Funnel, Reason, Refusal
from bayplan.model.snapshot import IntVector
from bayplan.model.workloads import Backlog, PodClass, TaskKey
from bayplan.placement.solve import Memo, Policy, solve
from bayplan.provisioning.consolidation.proof import successors, wish
from bayplan.reconcile.pool.vacating.vacancies import Held, Proof
from bayplan.scheduler.cycle_metrics import Clock


@dataclass(slots=True, eq=False)
class Prover:
    """`successors` gives the class of the pod that each pod would be followed by."""

    cache: Cache
    clock: Clock
    successors: Callable[[Iterable[Pod]], Mapping[TaskKey, PodClass]]
    _memo: Memo = field(default_factory=Memo)

    def prove(
        self,
        pods: Sequence[Pod],
        held: Held,
        closed: Collection[str],
        *,
        targets: Mapping[TaskKey, str],
        planned: Backlog,
    ) -> Proof:
        """Where all these successors land together, beside what is `held` and `planned`.

        What is held is for other pods, also if these are of the same class; what is planned is not.
        None lands on a node that is `closed`. They land on their `targets` as far as possible.
        """
        now, kinds = self.clock.now(), self.successors(pods)
        there = [pod for pod in pods if pod.key in kinds]
        shares: dict[PodClass, Counter[str]] = {}
        for pod in there:
            if pod.key in targets:
                shares.setdefault(kinds[pod.key], Counter())[targets[pod.key]] += 1
        found = solve(
            self.cache.snapshot(),
            successors(there, lambda pod: kinds[pod.key], now, frozenset(closed)),
            now,
            Policy(),
            self._memo,
            planned=planned | wish(shares) | Backlog(held=held).taken(),
        )
        moves = tuple(
            Move(pod.key, pod.uid, _owner(pod), kinds[pod.key], found.placements[pod.key])
            for pod in there
            if pod.key in found.placements
        )
        lacking = {
            key: wording.sentence(_leaving(one.funnel)) for one in found.refused for key in one.keys
        }
        lost = {pod.key: "a defect was met" for pod in pods if pod.key not in kinds}
        return Proof(moves, {**lost, **lacking})

    def crowded(self, held: Held) -> frozenset[str]:
        """The nodes where what is held no longer has room together."""
        snapshot = self.cache.snapshot()
        sums: dict[str, IntVector] = {}
        for kind, by in held.items():
            row = snapshot.amounts(kind.request)
            for name, count in by.items():
                sums[name] = sums.get(name, 0 * row) + count * row
        free = snapshot.free
        short = {
            name
            for name, total in sums.items()
            if (here := snapshot.rows.get(name)) is not None
            and np.any((total > free[here]) & (total > 0))
        }
        return frozenset(short)


def _leaving(funnel: Funnel) -> Funnel:
    """The funnel of a successor: the nodes that it must avoid are those that are emptied."""
    count = Counter[tuple[Reason, str]]()
    for one in funnel.refusals:
        reason = Reason.LEAVING if one.reason is Reason.COOLING else one.reason
        count[reason, one.detail] += one.nodes
    refusals = tuple(Refusal(reason, detail, n) for (reason, detail), n in count.items())
    return dataclasses.replace(funnel, refusals=refusals)


def _owner(pod: Pod) -> str:
    return pod.owner.uid if pod.owner is not None else ""
