"""What there is to buy and what is asked for: the same for Karpenter, Bayplan and the bound.

The menu is `cast`: c, m and r of the fifth generation or later, x86, 2 to 32 vCPU, at EC2's prices.
The room of a node is what the operator computes for EKS. Pods ask for CPU and memory as in the
`ec2cpu` mix; they ask for no disk, since the size of a root volume is not in a menu of Karpenter's
kwok provider. No DaemonSet takes room.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayplan.cloud import allocatable, catalogue
from bayplan.model import resources
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector, Problem
from bayplan.optimizer.provision import provision
from tests.scale.packing import mixes

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
_RESOURCES = (resources.CPU, resources.MEMORY, resources.PODS)
_MIX = "ec2cpu"


@dataclass(frozen=True, slots=True)
class Kind:
    """Pods of one size; `requests` as a manifest has them."""

    name: str
    requests: Mapping[str, str]
    pods: int


@dataclass(frozen=True, slots=True)
class Bound:
    """Dollars an hour: `least` is proven for every algorithm, `plan` was found in some time."""

    least: float
    plan: float
    plan_nodes: int

    def over(self, dollars: float) -> float:
        """By how many percent these dollars exceed the bound."""
        return 100 * (dollars / self.least - 1)


@functools.cache
def prices() -> Mapping[str, int]:
    """Microdollars an hour by instance type."""
    menu = mixes.menu("cast")
    known = catalogue.load()
    priced = zip(menu.names, menu.price.tolist(), strict=True)
    return {name: price for name, price in priced if name in known}


def dollars_of(types: Sequence[str]) -> float:
    """What nodes of these types cost an hour."""
    return sum(prices()[name] for name in types) / 1e6


def prices_file(folder: Path) -> Path:
    """The prices as the operator reads them."""
    file = folder / "prices.csv"
    lines = (f"{name},{price / 1e6:.6f}" for name, price in prices().items())
    file.write_text("\n".join(["type,dollars per hour", *lines]) + "\n")
    return file


def demand(pods: int, seed: int) -> list[Kind]:
    """Pods of the mix, those of equal size together."""
    counts, request = mixes.mix(_MIX, pods, seed)
    return [
        Kind(f"k{number:02}", {"cpu": f"{cpu}m", "memory": str(memory)}, count)
        for number, (count, (cpu, memory, *_)) in enumerate(
            zip(counts.tolist(), request.tolist(), strict=True)
        )
    ]


def bound(kinds: Sequence[Kind], seconds: float) -> Bound:
    """What the pods of these kinds must cost at least."""
    problem = _problem(kinds)
    began = time.perf_counter()
    packing = provision(problem, Budget(seconds, spent=lambda: time.perf_counter() - began))
    assert not packing.unplaced.any()
    return Bound(packing.bound / 1e6, packing.cost / 1e6, packing.node_count)


def _problem(kinds: Sequence[Kind]) -> Problem:
    wanted = [kind for kind in kinds if kind.pods]
    demanded: IntVector = np.array([kind.pods for kind in wanted], np.int64)
    price = np.array(list(prices().values()), np.int64)
    return Problem.of(demanded, requests(wanted), rooms(), price)


def requests(kinds: Sequence[Kind]) -> IntMatrix:
    """What a pod of each kind asks for: milli-CPU, bytes and its place on the node."""
    rows = [
        (int(kind.requests["cpu"].removesuffix("m")), int(kind.requests["memory"]), 1)
        for kind in kinds
    ]
    return np.array(rows, np.int64).reshape(len(rows), len(_RESOURCES))


@functools.cache
def rooms() -> IntMatrix:
    """What a node of each type has for pods, in the order of `prices`."""
    known = catalogue.load()
    rooms = (allocatable.eks_allocatable(known[name]) for name in prices())
    return np.array([[room[what] for what in _RESOURCES] for room in rooms], np.int64)
