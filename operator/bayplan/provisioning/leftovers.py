"""Free room that nothing can use: stranded room.

The room of a node is stranded if not one pod like those that run would fit there any more, by its
request alone. Then its fullest resource is what the node is full of. `simulate`, `top` and the
gauge `bayplan_stranded` ask this module, so they agree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bayplan.model import resources
from bayplan.model.snapshot import Snapshot
from bayplan.optimizer.problem import IntMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """The smallest of some requests as rows, to test on every node whether any request still fits.

    A request that asks for at least as much of everything as another one is left out: wherever it
    fits, the other one fits as well.
    """

    columns: tuple[str, ...]
    rows: IntMatrix

    @classmethod
    def of(cls, requests: Iterable[resources.Vector]) -> "Requests":
        vectors = set(requests)
        columns = tuple(sorted({name for vector in vectors for name in vector}))
        rows = sorted(tuple(vector.amount(name) for name in columns) for vector in vectors)
        least = np.zeros((0, len(columns)), dtype=np.int64)
        for row in rows:  # whoever asks for less of everything stands before
            if not (least <= row).all(axis=1).any():
                least = np.vstack([least, np.array([row], dtype=np.int64)])
        return cls(columns, least)

    def strands(self, free: resources.Vector) -> bool:
        """Whether none of them fits into what is free; never if there is no request at all.

        Resources that a request does not name may even be negative.
        """
        room = np.array([free.amount(name) for name in self.columns], dtype=np.int64)
        fits = ((self.rows <= room) | (self.rows == 0)).all(axis=1)
        return bool(len(fits)) and not fits.any()

    def stranded(self, snapshot: Snapshot) -> resources.Vector:
        """All stranded room of the nodes of a snapshot. O(nodes x requests) at worst."""
        order = [snapshot.columns.index(name) if name in snapshot.columns else -1
                 for name in self.columns]  # fmt: skip
        absent = np.array([at < 0 for at in order], dtype=np.bool_)
        free = np.where(absent, 0, snapshot.free[:, order])
        full = np.arange(len(free)) if len(self.rows) else np.zeros(0, dtype=np.int64)
        for row in self.rows:  # most nodes leave with the first
            if not len(full):
                break
            fits = ((row <= free[full]) | (row == 0)).all(axis=1)
            full = full[~fits]
        left = snapshot.free[full].clip(min=0).sum(axis=0)
        return resources.Vector(dict(zip(snapshot.columns, map(int, left), strict=True)))


def positive(free: resources.Vector) -> resources.Vector:
    """What is free, without resources of which too much is asked for."""
    return resources.Vector({name: max(0, amount) for name, amount in free.items()})


def fullest(requested: Mapping[str, int], room: Mapping[str, int]) -> str:
    """The resource of which the largest share is asked for; empty if nothing is."""
    shares = {name: asked / room[name] for name, asked in requested.items() if room.get(name)}
    return max(shares.items(), key=lambda pair: pair[1])[0] if shares else ""
