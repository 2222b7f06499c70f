"""The synthetic workloads and menus of the bench, in the product's units (milli, bytes, counts).

Requests are tables of usual sizes; how many of each class comes from a seeded lognormal draw. All
types, shapes and prices are read from the shared EC2 table; nothing of it is stored here.
"""

import csv
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bayplan.model import resources
from bayplan.optimizer.problem import BoolVector, IntMatrix, IntVector, Problem
from bayplan.provisioning.offerings import Offer

GPU = "nvidia.com/gpu"
COLUMNS = (resources.CPU, resources.MEMORY, resources.EPHEMERAL_STORAGE, GPU, resources.PODS)
MIB, GIB = 1 << 20, 1 << 30
DAEMONSETS = np.array([150, 200 * MIB, 0, 0, 4])  # what every node holds already
_SIZES = (50, 100, 250, 500, 1000, 2000, 4000)  # milli-CPU
_RATIOS = (1, 2, 4, 8)  # GiB per CPU
_UNUSUAL = (  # milli-CPU, MiB, GiB of disk, GPUs
    (100, 128, 0.1, 0), (8000, 61440, 10, 0), (8000, 30720, 50, 0), (16000, 122880, 50, 0),
    (4000, 15360, 40, 1), (8000, 30720, 60, 1), (500, 16384, 2, 0), (1000, 32768, 2, 0),
    (3500, 7000, 20, 0), (7000, 14000, 20, 0), (15000, 28000, 20, 0), (300, 700, 0.5, 0),
    (1500, 2500, 5, 0), (2500, 20000, 5, 0), (200, 3000, 1, 0), (6000, 48000, 80, 0),
    (750, 1500, 1, 0), (12000, 24000, 10, 0), (1000, 1000, 60, 0), (100, 64, 0.05, 0),
)  # fmt: skip


def data_directory() -> Path:
    """Where the shared packing data is: BAYPLAN_PACKING_DATA, else beside the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "packing"
    return Path(os.environ.get("BAYPLAN_PACKING_DATA", beside))


@dataclasses.dataclass(frozen=True, slots=True)
class Menu:
    """Node types to choose from: names, room for pods [T, 5], microdollars an hour [T]."""

    names: list[str]
    capacity: IntMatrix
    price: IntVector


def menu(kind: str) -> Menu:
    """`m5x4` one type; `cast` c, m, r of 2–32 vCPU; `cpu` those of any size; `std` with GPUs."""
    with (data_directory() / "ec2" / "ec2_us_east_1.csv").open(newline="") as lines:
        rows = [
            (row["type"], _room(row, kind), _microdollars(row))
            for row in csv.DictReader(lines)
            if row["usd_hour_us_east_1"] and _offered(row, kind)
        ]
    capacity = np.array([room for _, room, _ in rows], np.int64) - DAEMONSETS
    usable = (capacity >= 0).all(axis=1) & (capacity[:, 0] > 0)
    names = [name for (name, _, _), good in zip(rows, usable, strict=True) if good]
    price = np.array([price for _, _, price in rows], np.int64)
    return Menu(names, capacity[usable], price[usable])


def mix(kind: str, pods: int, seed: int = 0) -> tuple[IntVector, IntMatrix]:
    """Demand [K] and request [K, 5] of `seed`, `ec2`, `ec2cpu` (without GPUs) or `cont`."""
    dice = np.random.default_rng(seed)
    if kind == "cont":
        return _each_its_own(pods, dice)
    if kind == "seed":
        table = [(100, 128.0, 0.1, 0), (8000, 61440.0, 10, 0)]
        weight = np.array([0.97, 0.03])
    else:
        table = [(c, max(64, c * ratio * 1.024), 1, 0) for c in _SIZES for ratio in _RATIOS]
        table += _UNUSUAL
        cpu = np.array([row[0] for row in table], float)
        gpus = np.array([row[3] for row in table])
        weight = dice.lognormal(0, 1, len(table)) / cpu**0.55
        weight[gpus > 0] *= 0.3
        if kind == "ec2cpu":
            table = [row for row in table if not row[3]]
            weight = weight[gpus == 0]
    request = np.array(
        [(cpu, int(mib * MIB), int(disk * GIB), gpu, 1) for cpu, mib, disk, gpu in table], np.int64
    )
    return dice.multinomial(pods, weight / weight.sum()), request


def problem(kind: str, menu_kind: str, pods: int) -> Problem:
    """The classes that fit some type of the menu, to be bought from nothing."""
    demand, request = mix(kind, pods)
    chosen = menu(menu_kind)
    fits = _fits(request, chosen.capacity) & (demand > 0)
    return Problem.of(demand[fits], request[fits], chosen.capacity, chosen.price)


def pod_manifests(request: IntMatrix) -> Iterator[dict[str, Any]]:
    """Pods with such requests [N, 5], as somebody writes them down."""
    for number, (cpu, memory, disk, gpus, _) in enumerate(request.tolist()):
        wanted = {"cpu": f"{cpu}m", "memory": str(memory), "ephemeral-storage": str(disk)}
        if gpus:
            wanted[GPU] = str(gpus)
        container = {"name": "main", "image": "x", "resources": {"requests": wanted}}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}"},
            "spec": {"containers": [container]},
        }


def offers(kind: str) -> list[Offer]:
    """A menu as `bayplan simulate` is given it."""
    chosen = menu(kind)
    rooms = (dict(zip(COLUMNS, room, strict=True)) for room in chosen.capacity.tolist())
    return [
        Offer(name, "amd64", resources.Vector(room), price, "EC2's list")
        for name, room, price in zip(chosen.names, rooms, chosen.price.tolist(), strict=True)
    ]


def _fits(request: IntMatrix, capacity: IntMatrix) -> BoolVector:
    fits: BoolVector = np.zeros(len(request), np.bool_)
    for room in capacity:
        fits |= (request <= room).all(axis=1)
    return fits


def _each_its_own(pods: int, dice: np.random.Generator) -> tuple[IntVector, IntMatrix]:
    cpu = np.clip(dice.lognormal(np.log(500), 1.1, pods), 20, 30_000).round()
    per_milli = np.clip(dice.lognormal(np.log(3), 0.8, pods), 0.3, 24)
    mib = np.clip(cpu * per_milli, 32, 240_000).round()
    request = np.zeros((pods, 5), np.int64)
    request[:, 0], request[:, 1], request[:, 2], request[:, 4] = cpu, mib * MIB, GIB, 1
    return np.ones(pods, np.int64), request


def _offered(row: dict[str, str], kind: str) -> bool:
    family = row["family"]
    plain = row["arch"] == "x86_64" and row["metal"] == "0" and row["burst"] == "0"
    general = family[0] in "cmr" and family[1].isdigit() and int(family[1]) >= 5
    general = general and "-flex" not in family
    match kind:
        case "m5x4":
            return row["type"] == "m5.4xlarge"
        case "cast":
            return plain and general and 2000 <= int(row["vcpu_milli"]) <= 32_000
        case "cpu":
            return plain and general
        case "std":
            return plain and (general or family in {"g4dn", "g5", "g6", "g6e"})
    raise ValueError(kind)


def _room(row: dict[str, str], kind: str) -> tuple[int, int, int, int, int]:
    """Allocatable: with prefix delegation on `cast` and `cpu`, limited by addresses else."""
    pods = int(row["max_pods"])
    if kind in {"cast", "cpu"}:
        pods = 110 if int(row["vcpu_milli"]) < 30_000 else 250
    mib = int(int(row["mem_mib"]) * 0.925) - (11 * pods + 255) - 100
    disk = max(500.0, float(row["nvme_gb"]) * 0.93) * 0.9
    return int(row["alloc_cpu_milli"]), mib * MIB, int(disk * GIB), int(row["gpu"]), pods


def _microdollars(row: dict[str, str]) -> int:
    return round(float(row["usd_hour_us_east_1"]) * 1_000_000)
