"""The Alibaba gpu-v2023 trace: nodes, kinds of pods, and arrivals worth 130 % of its GPUs."""

import csv
import dataclasses
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
from fragmentation import WHOLE, Fleet, Mix

from bayplan.optimizer.problem import IntVector

_ARRIVE = 1.3  # of the GPUs there are


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """Kinds of pods and the kind of each pod of the list; nodes with GPUs."""

    mix: Mix
    pods: IntVector  # [P] kinds
    cpu: IntVector
    memory: IntVector
    gpu: IntVector  # GPUs of each node


def trace(directory: Path, name: str = "default") -> Trace:
    """The pods of a variant of the trace, and the nodes that have GPUs."""
    pods = [_wish(row) for row in _rows(directory / f"openb_pod_list_{name}.csv.gz")]
    kinds = sorted(Counter(pods))
    number = {kind: index for index, kind in enumerate(kinds)}
    chosen = np.array([number[pod] for pod in pods])
    columns = np.array(kinds, np.int64).T
    share = np.bincount(chosen) / len(chosen)
    mix = Mix(columns[0], columns[1], columns[2], columns[3], share)
    nodes = list(_rows(directory / "openb_node_list_gpu_node.csv.gz"))
    cpu, memory, gpu = (
        np.array([int(row[key]) for row in nodes]) for key in ("cpu_milli", "memory_mib", "gpu")
    )
    return Trace(mix, chosen, cpu, memory, gpu)


def arrivals(loaded: Trace, seed: int) -> IntVector:
    """All pods in random order, some dropped or drawn again until they want 130 % of the GPUs."""
    dice = np.random.default_rng(seed)
    size = loaded.mix.gpus * loaded.mix.gpu_milli
    most = _ARRIVE * float(loaded.gpu.sum() * WHOLE)
    kinds = dice.permutation(loaded.pods).tolist()
    wanted = float(size[kinds].sum())
    while wanted > most:
        index = int(dice.integers(len(kinds)))
        wanted -= size[kinds.pop(index)]
    while True:
        kind = int(loaded.pods[dice.integers(len(loaded.pods))])
        if wanted + size[kind] > most:
            return np.array(kinds)
        kinds.append(kind)
        wanted += size[kind]


def allocated_percent(loaded: Trace, seed: int) -> float:
    """Share of the GPUs in use when all have arrived, each placed when it came or never."""
    room = np.where(np.arange(int(loaded.gpu.max())) < loaded.gpu[:, None], WHOLE, 0)
    fleet = Fleet(loaded.mix, loaded.cpu, loaded.memory, room)
    used = 0
    for kind in arrivals(loaded, seed).tolist():
        chosen = fleet.choose(kind)
        if chosen is not None:
            used += fleet.take(kind, *chosen)
    return 100 * used / float(loaded.gpu.sum() * WHOLE)


def _wish(row: dict[str, str]) -> tuple[int, int, int, int]:
    gpus = int(row["num_gpu"])
    share = WHOLE if gpus > 1 else int(float(row["gpu_milli"] or 0))
    return int(row["cpu_milli"]), int(row["memory_mib"]), gpus, share if gpus else 0


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as lines:
        return list(csv.DictReader(lines))
