"""The Alibaba gpu-v2023 trace with whole GPUs, as Kubernetes counts them: three ways of placing.

A pod that shares a GPU asks for all of it here: an extended resource cannot be cut. Pods arrive one
by one; each is placed when it comes, or never.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from fragmentation import WHOLE
from mixes import GPU
from openb import Trace, arrivals

from bayplan.model import resources
from bayplan.model.nodes import HOSTNAME, Node
from bayplan.model.pods import Pod
from bayplan.model.state import State
from bayplan.model.workloads import PodClass, Waiting
from bayplan.optimizer.problem import FloatVector, IntMatrix, IntVector
from bayplan.placement.solve import Memo, Policy, solve

_MEBIBYTE = 1 << 20
_PODS = 256  # a node takes as many as come
_SCORES = 100
_MANY_NODES = 100  # from here on kube-scheduler looks at a share of them
Rank = Callable[[IntMatrix, IntVector, IntMatrix], FloatVector]  # free, request, room: more first


@dataclasses.dataclass(frozen=True, slots=True)
class Allocated:
    """Per cent of the GPUs in use, when the first pod found no room and when all had come."""

    at_first_failure: float
    in_the_end: float


def whole(loaded: Trace) -> Trace:
    """The same trace, each pod with GPUs asking for whole ones."""
    milli = np.where(loaded.mix.gpus > 0, WHOLE, 0)
    return dataclasses.replace(loaded, mix=dataclasses.replace(loaded.mix, gpu_milli=milli))


def requests(loaded: Trace) -> IntMatrix:
    """[K, 3] milli-CPU, MiB, GPUs."""
    return np.column_stack((loaded.mix.cpu_milli, loaded.mix.memory, loaded.mix.gpus))


def by_solve(loaded: Trace, seed: int) -> Allocated:
    """The operator's own placing: a snapshot and one waiting pod in, a plan out."""
    state, memo = State(), Memo()
    for number, (cpu, memory, gpus) in enumerate(
        zip(loaded.cpu.tolist(), loaded.memory.tolist(), loaded.gpu.tolist(), strict=True)
    ):
        name = f"node-{number:04}"
        room = _vector(cpu, memory, gpus, _PODS)
        state.set_node(Node(name, labels={HOSTNAME: name}, allocatable=room))
    kinds = [PodClass("default", _vector(*row, 1)) for row in requests(loaded).tolist()]
    count = 0

    def put(kind: int) -> bool:
        nonlocal count
        count += 1
        key = ("default", f"pod-{count}")
        plan = solve(state.snapshot(), [Waiting(kinds[kind], (key,))], 0, Policy(), memo)
        node = plan.placements.get(key, "")
        if node:
            state.set_pod(Pod(*key, node=node, request=kinds[kind].request))
        return bool(node)

    return _allocated(loaded, seed, put)


def by_rank(loaded: Trace, seed: int, rank: Rank, *, sampled: bool = False) -> Allocated:
    """The best node by a rank; ties by chance. `sampled`: of as many as kube-scheduler looks at."""
    room = np.column_stack((loaded.cpu, loaded.memory, loaded.gpu))
    free, asked = room.copy(), requests(loaded)
    dice = np.random.default_rng(seed)
    start = 0

    def put(kind: int) -> bool:
        nonlocal start
        able = np.flatnonzero((free >= asked[kind]).all(axis=1))
        if not len(able):
            return False
        if sampled:
            first = np.searchsorted(able, start)
            most = max(_MANY_NODES, len(room) * max(5, 50 - len(room) // 125) // 100)
            able = np.concatenate((able[first:], able[:first]))[:most]
            start = (int(able[-1]) + 1) % len(room)
        score = rank(free[able], asked[kind], room[able])
        free[dice.choice(able[score == score.max()])] -= asked[kind]
        return True

    return _allocated(loaded, seed, put)


def most_allocated(columns: list[int]) -> Rank:
    """kube-scheduler's NodeResourcesFit with MostAllocated of these, and BalancedAllocation."""

    def rank(free: IntMatrix, request: IntVector, room: IntMatrix) -> FloatVector:
        used = (room - free + request)[:, columns]
        there = np.maximum(room[:, columns], 1)
        counted = room[:, columns] > 0
        each = np.where(counted, used * _SCORES // there, 0)
        allocation = each.sum(axis=1) // np.maximum(counted.sum(axis=1), 1)
        share = used[:, :2] / there[:, :2]
        balance = (_SCORES * (1 - np.abs(share[:, 0] - share[:, 1]) / 2)).astype(np.int64)
        score: FloatVector = allocation + balance
        return score

    return rank


def best_fit(free: IntMatrix, request: IntVector, room: IntMatrix) -> FloatVector:
    """The least that would be left, each resource as a share of the largest node's."""
    left: FloatVector = -((free - request) / np.maximum(room.max(axis=0), 1)).sum(axis=1)
    return left


def _allocated(loaded: Trace, seed: int, put: Callable[[int], bool]) -> Allocated:
    used, first = 0, None
    gpus = loaded.mix.gpus.tolist()
    for kind in arrivals(loaded, seed).tolist():
        if put(kind):
            used += gpus[kind]
        elif first is None:
            first = used
    total = int(loaded.gpu.sum()) / 100
    return Allocated((used if first is None else first) / total, used / total)


def _vector(cpu: int, memory: int, gpus: int, pods: int) -> resources.Vector:
    amounts = {resources.CPU: cpu, resources.MEMORY: memory * _MEBIBYTE, resources.PODS: pods}
    return resources.Vector({**amounts, **({GPU: gpus} if gpus else {})})
