"""What the dashboard knows of the cluster, and the tables that it makes of that.

A `Store` is the sink of informers. `refresh` makes new rows of what has changed since the last
time, so a change of one pod costs one row.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.cluster.wire import Seen
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.reports.board import money, rows
from bayplan.reports.board.tables import COLUMNS, Delta, Row, difference

MONEY_SECONDS = 5.0  # between two computations of what is stranded and who pays
_TABLES = {
    "Node": "nodes",
    "Pod": "pods",
    "BatchJob": "jobs",
    "LongService": "services",
    "Pool": "pools",
    "NodeClaim": "claims",
    "Event": "decisions",
}
KINDS = tuple(_TABLES)
MOST_DECISIONS = 1_000

Key = tuple[str, str]


@dataclass(slots=True)
class _Known:
    """The newest sight of each object of a kind, and which of them changed since the refresh."""

    seen: dict[Key, Seen] = field(default_factory=dict)
    versions: dict[Key, int] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    synced: bool = False


class Store:
    """`wall` gives epoch seconds, `monotonic` seconds; `changed` is called after each change."""

    def __init__(
        self,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._wall, self._monotonic, self.changed = wall, monotonic, changed
        self._kinds = {kind: _Known() for kind in _TABLES}
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in COLUMNS}
        self._counted_at = float("-inf")
        self._uncounted = True
        self._counted_whole = False  # since everything was listed once
        self._lacks: dict[str, str] = {}

    @property
    def tables(self) -> Mapping[str, Mapping[str, Row]]:
        """As of the last `refresh`."""
        return self._tables

    @property
    def nodes(self) -> list[Node]:
        return [seen.value for seen in self._kinds["Node"].seen.values()]

    @property
    def pods(self) -> list[Pod]:
        """The pods that have not ended."""
        return [seen.value for seen in self._kinds["Pod"].seen.values()]

    @property
    def running(self) -> list[Pod]:
        """The pods that hold room on a node."""
        return [pod for pod in self.pods if pod.node]

    @property
    def complete(self) -> bool:
        """Whether every kind was listed once, or cannot be."""
        return all(known.synced or kind in self._lacks for kind, known in self._kinds.items())

    def lack(self, kind: str, why: str, *, forget: bool = False) -> None:
        """Tell what is not seen of a kind; an empty reason takes that back.

        `forget`: nothing that was known of the kind is shown any more.
        """
        known = self._kinds[kind]
        if forget:
            known.changed.update(known.seen)
            known.seen.clear()
            known.versions.clear()
            self._uncounted = self._uncounted or kind in {"Node", "Pod"}
        if self._lacks.get(kind, "") != why:
            self._lacks[kind] = why
            if not why:
                del self._lacks[kind]
        self.changed()

    # The sink of informers

    def knows(self, kind: str, key: Key, version: int) -> bool:
        known = self._kinds[kind].versions.get(key)
        return known is not None and version <= known

    def upsert(self, kind: str, seen: Seen) -> bool:
        known = self._kinds[kind]
        if self.knows(kind, seen.key, seen.version):
            return False
        known.versions[seen.key] = seen.version
        if kind == "Event" and len(known.seen) >= 2 * MOST_DECISIONS:
            self._drop_oldest()
        if kind != "Pod" or not seen.value.terminal:  # pods that have ended hold no room
            known.seen[seen.key] = seen
            self._note(kind, seen.key)
        elif known.seen.pop(seen.key, None) is not None:
            self._note(kind, seen.key)
        return True

    def _drop_oldest(self) -> None:
        events = self._kinds["Event"]
        by_age = sorted(events.seen, key=lambda key: events.versions[key])
        for key in by_age[:-MOST_DECISIONS]:
            self.delete("Event", key, "", 0)

    def delete(self, kind: str, key: Key, uid: str, version: int) -> bool:
        del uid, version
        self._kinds[kind].versions.pop(key, None)
        if self._kinds[kind].seen.pop(key, None) is None:
            return False
        self._note(kind, key)
        return True

    def retain(self, kind: str, listed: Collection[Key], version: int) -> int:
        del version
        known = self._kinds[kind]
        gone = [key for key in known.versions if key not in listed]
        for key in gone:
            self.delete(kind, key, "", 0)
        return len(gone)

    def sync(self, kind: str) -> None:
        self._kinds[kind].synced = True
        self.changed()

    def _note(self, kind: str, key: Key) -> None:
        self._kinds[kind].changed.add(key)
        if kind in {"Node", "Pod"}:
            self._uncounted = True
        self.changed()

    # Tables

    def refresh(self) -> Delta:
        """Bring the tables up to date; what has changed in them."""
        found: Delta = {}
        for kind, known in self._kinds.items():
            if not known.changed:
                continue
            name, table = _TABLES[kind], self._tables[_TABLES[kind]]
            changed: dict[str, Row] = {}
            gone: list[str] = []
            for key in known.changed:
                word = "/".join(filter(None, key))
                seen = known.seen.get(key)
                row = self._shown(kind, word, seen.value) if seen is not None else None
                if row is None:
                    if table.pop(word, None) is not None:
                        gone.append(word)
                elif table.get(word) != row:
                    table[word] = changed[word] = row
            known.changed.clear()
            if changed or gone:
                found[name] = {"set": changed, "gone": gone}
        lacks = {kind: (kind, why) for kind, why in self._lacks.items()}
        found.update(self._replaced("lacks", lacks))
        now, first = self._monotonic(), self.complete and not self._counted_whole
        if first or (self._uncounted and now - self._counted_at >= MONEY_SECONDS):
            self._counted_at, self._uncounted = now, False
            self._counted_whole = self._counted_whole or first
            nodes, running = self.nodes, self.running
            found.update(self._replaced("waste", dict(money.waste(nodes, running))))
            found.update(self._replaced("costs", dict(money.paid(nodes, running))))
        return found

    @property
    def owes(self) -> bool:
        """Whether a later `refresh` has something to compute that this one put off."""
        return self._uncounted

    def _replaced(self, name: str, rows_now: dict[str, Row]) -> Delta:
        delta = difference({name: self._tables[name]}, {name: rows_now})
        self._tables[name] = rows_now
        return delta

    def _shown(self, kind: str, name: str, value: Any) -> Row | None:
        """The row of an object; None, and a word about it, if it cannot be made sense of."""
        try:
            return self._row(kind, value)
        except Exception as error:  # noqa: BLE001  whoever may write an object may find a defect
            self._lacks[kind] = f"{name} cannot be shown: {error!r}"[: rows.MOST_TEXT]
            return None

    def _row(self, kind: str, value: Any) -> Row:
        match kind:
            case "Node":
                return rows.node(value)
            case "Pod":
                return rows.pod(value)
            case "BatchJob":
                return rows.job(value, int(self._wall()))
            case "LongService":
                return rows.service(value)
            case "Pool":
                return rows.pool(value)
            case "NodeClaim":
                return rows.claim(value)
        return rows.decision(value)
