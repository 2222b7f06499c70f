"""Re-implementations of other schedulers and autoscalers, for comparison only.

They follow the published algorithms, not the binaries; docs and output must say so. `karpenter`
gets the best case for packing (all pods in one batch, no time-out). `kube_scheduler` works with an
ideal autoscaler: a node of one type appears when nothing fits. Both ignore constraints other than
eligibility and resources, which favours them.
"""

import dataclasses

import numpy as np

from bayplan.model import resources
from bayplan.optimizer.problem import BoolMatrix, BoolVector, IntMatrix, IntVector, Packing, Problem

_MANY_NODES = 100  # from this number on kube-scheduler looks only at a share of the nodes
_SCORES = 100
_SCORED = (resources.CPU, resources.MEMORY)  # kube-scheduler's default


def karpenter(problem: Problem) -> Packing:
    """Karpenter's provisioning: first fit over claims, which keep all types that still fit.

    Pods come by CPU, then memory, largest first, and try the claims with the fewest pods first. A
    pod that fits into no claim opens a new claim. In the end each claim becomes the cheapest of its
    remaining types. (After kubernetes-sigs/karpenter, pkg/controllers/provisioning/scheduling.)
    """
    by = problem.columns_of(_SCORED)[::-1]
    keys = [-problem.request[:, column] for column in by]
    classes = np.lexsort(keys) if keys else np.arange(len(problem.demand))
    limits = problem.limits()
    claims = _Claims.none(problem)
    for k in classes:
        open_types = limits[:, k] > 0
        if not open_types.any():
            continue
        claims.closed[:] = False
        for _ in range(int(problem.demand[k])):
            claims.take(int(k), problem, open_types)
    return claims.launched(problem)


def kube_scheduler(problem: Problem, of_type: int, *, most: bool, seed: int = 0) -> Packing:
    """kube-scheduler filling nodes of one type with pods in random order.

    It scores by NodeResourcesFit with LeastAllocated, or MostAllocated with `most`, and by
    BalancedAllocation, each 0–100 on CPU and memory. From 100 nodes on it scores an adaptive share
    of the nodes, starting where it stopped. Ties are decided by chance. Pods that do not fit an
    empty node stay out.
    """
    dice = np.random.default_rng(seed)
    room = problem.capacity[of_type]
    fits = problem.limits()[of_type] > 0
    pods = dice.permutation(np.repeat(np.flatnonzero(fits), problem.demand[fits]))
    free = np.zeros((64, len(room)), np.int64)
    counts = np.zeros((64, len(problem.demand)), np.int64)
    nodes = start = 0
    for k in pods.tolist():
        request = problem.request[k]
        able = np.flatnonzero((free[:nodes] >= request).all(axis=1))
        if nodes and len(able):
            first = np.searchsorted(able, start)
            able = np.concatenate((able[first:], able[:first]))[: _looked_at(nodes)]
            start = (int(able[-1]) + 1) % nodes
            scored = problem.columns_of(_SCORED)
            parts = (free[able][:, scored], request[scored], room[scored])
            score = _score(*parts, most=most)
            node = int(dice.choice(able[score == score.max()]))
        else:
            node, nodes = nodes, nodes + 1
            if nodes > len(free):
                free = np.concatenate((free, np.zeros_like(free)))
                counts = np.concatenate((counts, np.zeros_like(counts)))
            free[node] = room
        free[node] -= request
        counts[node, k] += 1
    types = np.full(nodes, of_type)
    return Packing.of(problem, types, counts[:nodes], np.ones(nodes, np.int64), 0)


@dataclasses.dataclass(slots=True, eq=False)
class _Claims:
    """Nodes that are being bought: what they hold, and which types they can still become."""

    load: IntMatrix  # [C, D]
    counts: IntMatrix  # [C, K]
    types: BoolMatrix  # [C, T]
    pods: IntVector  # [C]
    closed: BoolVector  # [C] cannot take the present class
    count: int

    @classmethod
    def none(cls, problem: Problem) -> "_Claims":
        rows = 64
        return cls(
            load=np.zeros((rows, problem.request.shape[1]), np.int64),
            counts=np.zeros((rows, len(problem.demand)), np.int64),
            types=np.zeros((rows, len(problem.price)), np.bool_),
            pods=np.zeros(rows, np.int64),
            closed=np.zeros(rows, np.bool_),
            count=0,
        )

    def take(self, k: int, problem: Problem, open_types: BoolVector) -> None:
        """Put a pod into the claim with the fewest pods that can hold it, else into a new claim.

        A claim that could not take a pod of this class can never take one later: loads only grow.
        """
        request = problem.request[k]
        while not self.closed[: self.count].all():
            full = np.iinfo(np.int64).max
            claim = int(np.where(self.closed, full, self.pods)[: self.count].argmin())
            left = self.types[claim] & open_types
            left &= (self.load[claim] + request <= problem.capacity).all(axis=1)
            if left.any():
                self._put(claim, k, request, left)
                return
            self.closed[claim] = True
        if self.count == len(self.pods):
            self._grow()
        self.count += 1
        left = open_types & (request <= problem.capacity).all(axis=1)
        self._put(self.count - 1, k, request, left)

    def launched(self, problem: Problem) -> Packing:
        """The nodes: each claim becomes the cheapest of its remaining types."""
        price = np.where(self.types[: self.count], problem.price, np.iinfo(np.int64).max)
        nodes = np.ones(self.count, np.int64)
        return Packing.of(problem, price.argmin(axis=1), self.counts[: self.count], nodes, 0)

    def _put(self, claim: int, k: int, request: IntVector, left: BoolVector) -> None:
        self.load[claim] += request
        self.types[claim] = left
        self.counts[claim, k] += 1
        self.pods[claim] += 1

    def _grow(self) -> None:
        self.load = np.concatenate((self.load, np.zeros_like(self.load)))
        self.counts = np.concatenate((self.counts, np.zeros_like(self.counts)))
        self.types = np.concatenate((self.types, np.zeros_like(self.types)))
        self.pods = np.concatenate((self.pods, np.zeros_like(self.pods)))
        self.closed = np.concatenate((self.closed, np.zeros_like(self.closed)))


def _looked_at(nodes: int) -> int:
    """How many feasible nodes kube-scheduler scores (adaptive percentageOfNodesToScore)."""
    if nodes < _MANY_NODES:
        return nodes
    return max(_MANY_NODES, nodes * max(5, 50 - nodes // 125) // 100)


def _score(free: IntMatrix, request: IntVector, room: IntVector, *, most: bool) -> IntVector:
    """[N] allocation score plus balance, both whole numbers up to 100; of CPU and memory."""
    if not len(room):
        return np.zeros(len(free), np.int64)
    used = room - free + request
    allocated = used if most else room - used
    most_of = np.maximum(room, 1)
    allocation = (allocated * _SCORES // most_of).sum(axis=1) // len(room)
    share = used / most_of
    balance = (_SCORES * (1 - np.abs(share[:, 0] - share[:, -1]) / 2)).astype(np.int64)
    score: IntVector = allocation + balance
    return score
