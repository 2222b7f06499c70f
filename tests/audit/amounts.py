"""What pods ask for and nodes have, in whole thousandths of a unit. Shares no code with Bayplan."""

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

Object = Mapping[str, Any]

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{letter: Fraction(1000) ** (power + 1) for power, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Fraction(1024) ** (power + 1) for power, letter in enumerate("KMGTPE")},
}


def amount(text: str | int) -> Fraction:
    """A Kubernetes quantity, exactly: `100m`, `1.5Gi`, `2`, `1e3`."""
    words = str(text)
    for length in (2, 1):
        suffix = words[-length:]
        if suffix in _SUFFIXES:
            return Fraction(words[:-length]) * _SUFFIXES[suffix]
    return Fraction(words)


def asked(pod: Object) -> Counter[str]:
    """What a node must have free for this pod, rounded up.

    Containers together, or the largest step of the init containers; sidecars (init containers that
    always restart) stay, and count in every step after them. Overhead on top. One pod of `pods`.
    """
    spec = pod["spec"]
    steady = _sum(spec["containers"])
    most: dict[str, Fraction] = {}
    sidecars: dict[str, Fraction] = {}
    for container in spec.get("initContainers", ()):
        step = _plus(sidecars, _requests(container))
        if container.get("restartPolicy") == "Always":
            sidecars = step
        most = _larger(most, step)
    total = _larger(_plus(steady, sidecars), most)
    overhead = {name: amount(text) for name, text in spec.get("overhead", {}).items()}
    total = _plus(total, overhead)
    return Counter({**{n: ceil(value * 1000) for n, value in total.items()}, "pods": 1000})


def offered(node: Object) -> Counter[str]:
    """Allocatable, rounded down."""
    allocatable = node.get("status", {}).get("allocatable", {})
    return Counter({name: floor(amount(text) * 1000) for name, text in allocatable.items()})


def _requests(container: Object) -> dict[str, Fraction]:
    """Requests; where there is none, the limit, as the API server defaults it."""
    resources = container.get("resources", {})
    words = {**resources.get("limits", {}), **resources.get("requests", {})}
    return {name: amount(text) for name, text in words.items()}


def _sum(containers: Iterable[Object]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for container in containers:
        total = _plus(total, _requests(container))
    return total


def _plus(one: Mapping[str, Fraction], two: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {name: one.get(name, Fraction(0)) + two.get(name, Fraction(0)) for name in {*one, *two}}


def _larger(one: Mapping[str, Fraction], two: Mapping[str, Fraction]) -> dict[str, Fraction]:
    zero = Fraction(0)
    return {name: max(one.get(name, zero), two.get(name, zero)) for name in {*one, *two}}
