"""What the cluster cost and held in the last hours, as long as the dashboard has run."""

from collections import deque
from collections.abc import Mapping

from bayplan.reports.board.tables import COLUMNS, Row

EVERY_SECONDS = 10.0
MOST = 2_160  # samples: six hours
SERIES = ("time", "cost", "bound", "stranded", "nodes", "pods", "waiting")


class History:
    """Samples of `SERIES`, the oldest first; money in dollars an hour."""

    def __init__(self, most: int = MOST) -> None:
        self._samples: deque[tuple[float | None, ...]] = deque(maxlen=most)

    def sample(self, now: float, tables: Mapping[str, Mapping[str, Row]]) -> None:
        """Take a sample if the last one is old enough; `now` is in epoch seconds."""
        last = self._samples[-1][0] if self._samples else None
        if last is None or now - last >= EVERY_SECONDS:
            self.take(now, tables)

    def take(self, now: float, tables: Mapping[str, Mapping[str, Row]]) -> None:
        self._samples.append((int(now), *_figures(tables)))

    def columns(self) -> dict[str, list[float | None]]:
        """The series by name, all of the same length."""
        rows = list(zip(*self._samples, strict=True)) or [()] * len(SERIES)
        return {name: list(values) for name, values in zip(SERIES, rows, strict=True)}


def _figures(tables: Mapping[str, Mapping[str, Row]]) -> tuple[float | None, ...]:
    price, node = _column("nodes", "price"), _column("pods", "node")
    cost = sum(row[price] or 0 for row in tables["nodes"].values()) / 1e6
    bounds = [row[_column("pools", "bound")] for row in tables["pools"].values()]
    bound = sum(map(float, bounds)) if bounds and all(bounds) else None
    lost = sum(row[_column("waste", "cost")] for row in tables["waste"].values()) / 1e6
    waiting = sum(1 for row in tables["pods"].values() if not row[node])
    return cost, bound, lost, len(tables["nodes"]), len(tables["pods"]) - waiting, waiting


def _column(table: str, name: str) -> int:
    return COLUMNS[table].index(name)
