"""Where a pod with GPUs hurts the pods to come least: placing on arrival, one at a time.

A node's fragmentation is the GPU room that a typical pod could not use there, averaged over the
typical pods by how often they come (after Weng et al., "Beware of Fragmentation", ATC 2023). A pod
goes where it adds least, with a small preference for nodes that it leaves fuller. GPUs may be
shared in thousandths. A class's scores are kept and renewed for the nodes that changed since.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from bayplan.optimizer.problem import FloatMatrix, FloatVector, IntMatrix, IntVector

WHOLE = 1000  # thousandths of a GPU
_FULLER = 20.0  # thousandths of a GPU of fragmentation that being fuller by a node is worth
_NEVER = -np.inf


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """K kinds of pods: what they ask for and how often they come."""

    cpu_milli: IntVector  # [K]
    memory: IntVector  # [K] in any unit, the fleet's
    gpus: IntVector  # [K] whole ones, or 1 of which `gpu_milli` is asked
    gpu_milli: IntVector  # [K] of each GPU: 1000 where whole
    share: FloatVector  # [K] adds up to 1


class Fleet:
    """Nodes with GPUs and what is free on them; chooses and takes."""

    def __init__(
        self, mix: Mix, cpu_milli: IntVector, memory: IntVector, gpu_milli: IntMatrix
    ) -> None:
        self.mix = mix
        self.cpu, self.memory, self.gpu = cpu_milli.copy(), memory.copy(), gpu_milli.copy()
        self._size = (max(int(cpu_milli.max()), 1), max(int(memory.max()), 1))
        self._gpu_size = max(int(gpu_milli.sum(axis=1).max()), 1)
        wanted = np.column_stack((mix.gpus, mix.gpu_milli))
        kinds, of = np.unique(wanted, axis=0, return_inverse=True)
        self._count, self._milli = kinds[:, 0], kinds[:, 1]  # [S] GPU wishes
        self._with_gpu = self._count > 0
        # how often wish s comes from a pod with at most so much CPU: [S, steps of CPU]
        self._steps = np.unique(mix.cpu_milli)
        often = np.zeros((len(kinds), len(self._steps)))
        np.add.at(often, (of.ravel(), np.searchsorted(self._steps, mix.cpu_milli)), mix.share)
        self._often = np.concatenate((np.zeros((len(kinds), 1)), often.cumsum(axis=1)), axis=1)
        self._scores = np.full((len(mix.share), len(cpu_milli)), _NEVER)
        self._spot = np.zeros(self._scores.shape, np.int64)  # the GPU to share
        self._seen = np.zeros(len(mix.share), np.int64)  # changes known to a kind's scores
        self._changed: list[int] = list(range(len(cpu_milli)))

    def choose(self, kind: int) -> tuple[int, int] | None:
        """The node and, for a share of one, the GPU; None where nothing fits."""
        known = self._seen[kind]
        if known < len(self._changed):
            nodes = np.unique(self._changed[known:])
            self._scores[kind, nodes], self._spot[kind, nodes] = self._rated(kind, nodes)
            self._seen[kind] = len(self._changed)
        node = int(self._scores[kind].argmax())
        if self._scores[kind, node] == _NEVER:
            return None
        return node, int(self._spot[kind, node])

    def take(self, kind: int, node: int, gpu: int) -> int:
        """Put a pod there; returns the thousandths of GPUs it took."""
        mix = self.mix
        self.cpu[node] -= mix.cpu_milli[kind]
        self.memory[node] -= mix.memory[kind]
        self._changed.append(node)
        if mix.gpus[kind] == 1 and mix.gpu_milli[kind] < WHOLE:
            self.gpu[node, gpu] -= mix.gpu_milli[kind]
            return int(mix.gpu_milli[kind])
        whole = np.flatnonzero(self.gpu[node] >= WHOLE)[: mix.gpus[kind]]
        self.gpu[node, whole] -= WHOLE
        return WHOLE * len(whole)

    def _rated(self, kind: int, nodes: IntVector) -> tuple[FloatVector, IntVector]:
        """Score of a kind on each of some nodes, and the GPU that gives it."""
        mix = self.mix
        gpu, cpu = self.gpu[nodes], self.cpu[nodes] - mix.cpu_milli[kind]
        memory = self.memory[nodes] - mix.memory[kind]
        count, milli = int(mix.gpus[kind]), int(mix.gpu_milli[kind])
        fits = (cpu >= 0) & (memory >= 0)
        if count:
            fits &= (gpu >= milli).sum(axis=1) >= count
        usable, stuck = self._split(gpu)
        before = self._fragments(self.cpu[nodes], usable, stuck, gpu.sum(axis=1))
        left = gpu.sum(axis=1) - count * milli
        spot = np.zeros(len(nodes), np.int64)
        if count == 1 and milli < WHOLE:
            after, spot = self._shared(gpu, cpu, milli, usable, stuck)
        else:
            whole = gpu >= WHOLE
            taken = whole & (whole.cumsum(axis=1) <= count)
            usable, stuck = self._split(gpu - WHOLE * taken)
            after = self._fragments(cpu, usable, stuck, left)
        room = cpu / self._size[0] + left / self._gpu_size + 0.5 * memory / self._size[1]
        return np.where(fits, before - after - _FULLER * room, _NEVER), spot

    def _shared(
        self, gpu: IntMatrix, cpu: IntVector, milli: int, usable: IntMatrix, stuck: IntMatrix
    ) -> tuple[FloatVector, IntVector]:
        """Least fragmentation [N] over the GPUs that could be shared, and which one that is."""
        now, then = gpu[:, :, None], gpu[:, :, None] - milli
        wish = self._milli
        could, can = now >= wish, then >= wish
        more = usable[:, None, :] - could + can
        lost = stuck[:, None, :] - np.where(could, 0, now) + np.where(can, 0, then)
        left = gpu.sum(axis=1) - milli
        spread = np.repeat(cpu, gpu.shape[1]), np.repeat(left, gpu.shape[1])
        flat = (more.reshape(-1, len(wish)), lost.reshape(-1, len(wish)))
        after = self._fragments(spread[0], *flat, spread[1]).reshape(gpu.shape)
        after = np.where(gpu >= milli, after, np.inf)
        spot = after.argmin(axis=1)
        return after[np.arange(len(gpu)), spot], spot

    def _split(self, gpu: IntMatrix) -> tuple[IntMatrix, IntMatrix]:
        """[N, S] GPUs that can take a wish's share, and thousandths on those that cannot."""
        could = gpu[:, :, None] >= self._milli
        return could.sum(axis=1), np.where(could, 0, gpu[:, :, None]).sum(axis=1)

    def _fragments(
        self, cpu: IntVector, usable: IntMatrix, stuck: IntMatrix, free: IntVector
    ) -> FloatVector:
        """[N] thousandths of GPUs that a typical pod cannot use.

        A pod without GPUs can use none; one that finds no place can use none; else what is stuck on
        GPUs too full for it.
        """
        served = self._often[:, np.searchsorted(self._steps, cpu, side="right")].T  # [N, S]
        served = served * ((usable >= self._count) & self._with_gpu)
        part: FloatMatrix = served * stuck + (self._often[:, -1] - served) * free[:, None]
        fragments: npt.NDArray[np.float64] = part.sum(axis=1)
        return fragments
