"""What a file holds that `--from` names: a support bundle, a simulation, or a recording."""

import json
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Raw

from bayplan.cluster.wire import DecodeError
from bayplan.dashboard.recording import SCHEMA, Recording, Tables
from bayplan.dashboard.store import KINDS, Store
from bayplan.dashboard.watching import kind_of
from bayplan.inputs import InputError
from bayplan.model.untyped import mapping, sequence
from bayplan.reports.board import plan
from bayplan.reports.board.tables import COLUMNS

_SIMULATION = "bayplan.dev/simulation/v1"


def read(path: Path) -> Recording:
    """What the file shows; an `InputError` says what is wrong with it."""
    try:
        if tarfile.is_tarfile(path):
            return _bundle(path)
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        whole = json.loads(first if _is_recording(first) else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}") from None
    schema = mapping(whole).get("schema")
    if schema == SCHEMA:
        return Recording.read(path)
    if schema == _SIMULATION:
        return Recording(_filled(plan.tables(whole)), int(path.stat().st_mtime))
    raise InputError(
        str(path),
        "is none of: an archive of `bayplan support-bundle`, the output of `bayplan simulate -o "
        "json`, a file that `bayplan dashboard --record` wrote",
    )


def _is_recording(line: str) -> bool:
    return SCHEMA in line[:200]


def _filled(tables: Mapping[str, Mapping[str, Any]]) -> Tables:
    return {name: dict(tables.get(name, {})) for name in COLUMNS}


def _bundle(path: Path) -> Recording:
    made = int(path.stat().st_mtime)
    store = Store(wall=lambda: made, monotonic=time.monotonic)
    files = {f"{kind.lower()}s.json": kind for kind in KINDS}
    found = False
    with tarfile.open(path) as archive:
        for entry in archive:
            kind = files.get(PurePosixPath(entry.name).name)
            content = archive.extractfile(entry) if kind and entry.isfile() else None
            if kind is None or content is None:
                continue
            found = True
            made = int(entry.mtime)
            for body in sequence(json.loads(content.read())):
                try:
                    store.upsert(kind, kind_of(kind).decode(Raw(json.dumps(body).encode())))
                except (DecodeError, ValueError, KeyError, TypeError):
                    store.lack(kind, f"a {kind} of the bundle cannot be read")
    if not found:
        raise InputError(str(path), "is no archive of `bayplan support-bundle`")
    store.refresh()
    return Recording(_filled(store.tables), made)
