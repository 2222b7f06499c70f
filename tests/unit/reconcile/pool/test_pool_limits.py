"""Limits of the Pool and of its NodePool hold for everything that exists or is ordered."""

from dataclasses import dataclass
from typing import Any

import pytest

from bayplan.reconcile.pool.limits import Load, largest, room, total
from tests.builders import make_vector


@dataclass(frozen=True)
class Stated:
    """The limits of a Pool, as its spec has them."""

    nodes: int | None = None
    cpu: str | int | None = None
    memory: str | int | None = None
    microdollars_per_hour: int | None = None


def load(nodes: int = 1, cpu: int = 4, memory: int = 16, dollars: float = 1.0) -> Load:
    return Load(nodes, make_vector(cpu * 1000, memory), int(dollars * 1_000_000))


def test_without_limits_everything_fits() -> None:
    assert room(Stated(), {}, load(10**6)).takes(load(10**6))


@pytest.mark.parametrize(
    ("stated", "node_pool", "words"),
    [
        ({"nodes": 2}, {}, "limits.nodes of the Pool (2; 2 in use)"),
        ({"cpu": "8"}, {}, "limits.cpu of the Pool (8; 8 in use)"),
        ({"cpu": 11}, {}, "limits.cpu of the Pool (11; 8 in use)"),
        ({"memory": "40Gi"}, {}, "limits.memory of the Pool (40Gi; 32Gi in use)"),
        (
            {"microdollars_per_hour": 2_500_000},
            {},
            "limits.dollarsPerHour of the Pool ($2.50; $2.00 in use)",
        ),
        ({}, {"cpu": "9500m"}, "limits.cpu of the NodePool (9500m; 8 in use)"),
        ({}, {"nodes": "2"}, "limits.nodes of the NodePool (2; 2 in use)"),
        ({}, {"memory": "nonsense"}, "limits.memory of the NodePool (0; 32Gi in use)"),
    ],
)
def test_a_limit_is_reached(stated: dict[str, Any], node_pool: dict[str, Any], words: str) -> None:
    """Another node does not fit; the limit, whose it is and what is in use are told."""
    left = room(Stated(**stated), node_pool, total([load(), load()]))

    assert not left.takes(load())
    assert [words] == [str(limit) for limit in left.hindering(load())]


def test_exactly_at_the_limit() -> None:
    """What fills a limit fits; the next does not, nor does what uses only another thing stop it."""
    left = room(Stated(nodes=2), {"nvidia.com/gpu": "1"}, load())

    assert left.takes(load())
    assert not left.minus(load()).takes(load())
    gpu = Load(0, make_vector(extended={"nvidia.com/gpu": 1}))
    assert left.minus(load()).takes(gpu)
    assert not left.minus(gpu).takes(gpu)


def test_limits_below_what_exists() -> None:
    """They are named, and nothing more fits."""
    left = room(Stated(nodes=1, cpu="100"), {}, load(3, 12))

    assert ["limits.nodes of the Pool (1; 3 in use)"] == [str(one) for one in left.exceeded]
    assert not left.takes(load())


def test_a_claim_counts_as_its_largest_type() -> None:
    """The dearest and the largest may be two types: both bounds hold."""
    small_dear, large_cheap = load(1, 2, 8, 3.0), load(1, 8, 4, 1.0)

    assert load(1, 8, 8, 3.0) == largest([small_dear, large_cheap])
