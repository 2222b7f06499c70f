"""Amounts of resources: what a pod requests, what a node has.

Units, fixed for the whole package: `cpu` in milli-CPU, `memory` and `ephemeral-storage` in bytes,
`pods` and every extended resource as counts. All amounts are integers; nothing here is rounded.
`units` reads and writes Kubernetes quantities.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

STANDARD = (CPU, MEMORY, EPHEMERAL_STORAGE, PODS)

# No node has this much of anything; larger amounts count as this (2**53: 1,000 add up in int64).
MOST = 1 << 53


class Vector(Mapping[str, int]):
    """An immutable amount of every resource; a resource that is not named is zero.

    Equal vectors have equal hashes, so that pods can be grouped by request. Zeros are dropped.
    """

    __slots__ = ("_amounts", "_hash")

    def __init__(self, amounts: Mapping[str, int] | None = None) -> None:
        named = amounts or {}
        self._amounts = {name: named[name] for name in sorted(named) if named[name]}
        self._hash = hash(tuple(self._amounts.items()))

    def __getitem__(self, resource: str) -> int:
        return self._amounts[resource]

    def __iter__(self) -> Iterator[str]:
        return iter(self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and self._amounts == other._amounts

    def __repr__(self) -> str:
        return f"Vector({self._amounts})"

    def amount(self, resource: str) -> int:
        """The amount of one resource; zero when it is not named."""
        return self._amounts.get(resource, 0)

    def __add__(self, other: "Vector") -> "Vector":
        names = self._amounts.keys() | other._amounts.keys()
        return Vector({name: self.amount(name) + other.amount(name) for name in names})

    def __sub__(self, other: "Vector") -> "Vector":
        names = self._amounts.keys() | other._amounts.keys()
        return Vector({name: self.amount(name) - other.amount(name) for name in names})

    def __or__(self, other: "Vector") -> "Vector":
        """The larger amount of each resource: the rule for containers that run in turn."""
        names = self._amounts.keys() | other._amounts.keys()
        return Vector({name: max(self.amount(name), other.amount(name)) for name in names})

    def __and__(self, other: "Vector") -> "Vector":
        """The smaller amount of each resource: what either of two is sure to have."""
        return Vector({name: min(amount, other.amount(name)) for name, amount in self.items()})

    def times(self, count: int) -> "Vector":
        return Vector({name: amount * count for name, amount in self._amounts.items()})

    def fits(self, free: "Vector") -> bool:
        """Whether this request finds room in `free`. A resource not asked for is never short."""
        return all(amount <= free.amount(name) for name, amount in self._amounts.items())

    def exceeding(self, free: "Vector") -> "Vector":
        """The part of this request that `free` lacks; empty when the request fits."""
        return Vector(
            {
                name: amount - max(free.amount(name), 0)
                for name, amount in self._amounts.items()
                if amount > max(free.amount(name), 0)
            }
        )

    def dominant_share(self, total: "Vector") -> Fraction:
        """The largest share that this takes of any resource of `total` (DRF, Ghodsi et al. 2011).

        A resource that `total` lacks counts as fully taken (share 1) if this asks for any of it.
        """
        shares = (
            Fraction(amount, total.amount(name)) if total.amount(name) > 0 else Fraction(1)
            for name, amount in self._amounts.items()
        )
        return max(shares, default=Fraction(0))


NOTHING = Vector()
ONE_POD = Vector({PODS: 1})
