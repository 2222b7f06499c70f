"""A recording of a dashboard: lines of JSON, first a snapshot, then what changed and when."""

import asyncio
import json
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TextIO

from bayplan.dashboard.history import History
from bayplan.inputs import InputError
from bayplan.reports.board.tables import COLUMNS, Row, applied

SCHEMA = "bayplan.dev/dashboard/v1"
_EVERY = 100  # at least so many changes are between two states that are kept whole
MOST_STATES = 500  # in the course of a recording

Tables = dict[str, dict[str, Row]]


class Recorder:
    """Writes a recording; a line is whole on the disk before the next begins."""

    def __init__(self, file: TextIO, wall: Callable[[], float]) -> None:
        self._file, self._wall = file, wall

    def begin(self, snapshot: bytes) -> None:
        head = {"schema": SCHEMA, "time": int(self._wall())}
        self._line({**head, **json.loads(snapshot)})

    def change(self, data: bytes) -> None:
        self._line({"time": int(self._wall()), **json.loads(data)})

    def _line(self, value: Any) -> None:
        self._file.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
        self._file.flush()


class Recording:
    """The states of a recording, by time."""

    def __init__(self, tables: Tables, begun: int, changes: Iterable[tuple[int, Any]] = ()) -> None:
        self._changes = list(changes)
        self.times = [begun, *(at for at, _ in self._changes)]
        self._whole = {0: tables}
        # However long the recording is, its states have to be held in memory.
        self._every = max(_EVERY, -(-len(self._changes) // MOST_STATES))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of `Recorder`; a line that was cut off at the end is left out."""
        # Texts may have what Python takes for ends of lines too, such as U+2028.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        values: list[Any] = []
        for number, line in enumerate(lines, start=1):
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number < len(lines):
                    raise InputError(f"{path}:{number}", f"is no JSON: {error}") from None
        if not values or values[0].get("columns") != {k: list(v) for k, v in COLUMNS.items()}:
            raise InputError(str(path), "is a recording of another version of Bayplan")
        first, *rest = values
        changes = [(int(one["time"]), one["tables"]) for one in rest]
        return cls(_rows(first["tables"]), int(first["time"]), changes)

    def at(self, moment: int) -> Tables:
        """What was known at a time (epoch seconds)."""
        wanted = max(bisect_right(self.times, moment) - 1, 0)
        at = max(one for one in self._whole if one <= wanted)
        tables = self._whole[at]
        while at < wanted:
            tables = applied(tables, self._changes[at][1])
            at += 1
            if at % self._every == 0:
                self._whole[at] = tables
        return tables


class Replay:
    """A recording as the server's source: `snapshot` shows any moment of it, and nothing comes."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def snapshot(self, at: int | None = None) -> bytes:
        last = self._recording.times[-1]
        whole = {
            "version": "",
            "columns": COLUMNS,
            "tables": self._recording.at(last if at is None else at),
            "complete": True,
        }
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()

    async def since(self, version: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Nothing, for ever."""
        await asyncio.Event().wait()
        yield version, b""

    def history(self) -> History:
        """The course of the recording, a sample for each state that it can show."""
        times = self._recording.times
        found = History(MOST_STATES)
        for at in times[:: -(-len(times) // MOST_STATES)]:
            found.take(at, self._recording.at(at))
        return found


def _rows(tables: dict[str, dict[str, list[Any]]]) -> Tables:
    return {name: {key: tuple(row) for key, row in rows.items()} for name, rows in tables.items()}
