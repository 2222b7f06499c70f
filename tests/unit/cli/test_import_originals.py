"""`bayplan import` against the fields of the originals, read in their sources.

`tests/originals/*.yaml` names each field with its source and its default. Two laws hold for each.
What an object says is never lost: a value changes the manifests or the notes. What it does not say
is what the original took by default: the default itself changes no manifest.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.cli.importers import chronos, marathon

_TABLES = Path(__file__).parents[1].parent / "originals"
_IMAGE = "busybox:1"
_BASES: dict[str, dict[str, Any]] = {
    "marathon-app": {"id": "/a", "container": {"docker": {"image": "a:1"}}},
    "marathon-pod": {"id": "/p", "containers": [{"name": "main", "image": {"id": "a:1"}}]},
    "chronos-job": {
        "name": "j",
        "command": "run",
        "schedule": "R/2030-01-01T00:00:00Z/P1D",
        "container": {"image": "a:1"},
    },
}


def _rows() -> list[Any]:
    return [
        pytest.param(table, row, id=f"{table}-{row['field']}-{number}")
        for table in _BASES
        for number, row in enumerate(yaml.safe_load((_TABLES / f"{table}.yaml").read_text()))
    ]


def outcome(table: str, body: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Manifests, notes and faults."""
    whole: Any = chronos.Import(_IMAGE) if table == "chronos-job" else marathon.Import(_IMAGE)
    whole.read(json.loads(json.dumps(body)))
    return whole.manifests, whole.notes, whole.faults


def merged(one: Any, other: Any) -> Any:
    """Two examples in one; lists are joined place by place."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: merged(one[key], other[key])
            if key in one and key in other
            else (other[key] if key in other else one[key])
            for key in [*one, *(key for key in other if key not in one)]
        }
    if isinstance(one, list) and isinstance(other, list):
        longer = one if len(one) > len(other) else other
        both = [merged(*pair) for pair in zip(one, other, strict=False)]
        return [*both, *longer[len(both) :]]
    return other


def put(path: str, value: Any) -> Any:
    """`a.0.b` as an object that has this value there."""
    for part in reversed(path.split(".")):
        value = [value] if part == "0" else {part: value}
    return value


def without(body: Any, path: str) -> Any:
    """The body without the field; what held it stays, empty."""
    body = copy.deepcopy(body)
    *above, last = path.split(".")
    inner = body
    for part in above:
        inner = inner[int(part)] if part == "0" else inner[part]
    inner.pop(last, None)
    return body


def within(noted: str, path: str) -> bool:
    """Whether a note is about the object that holds the field."""
    return path.startswith(noted.replace("[0]", ".0") + ".")


@pytest.mark.parametrize(("table", "row"), _rows())
def test_no_field_is_lost_and_defaults_are_the_originals(table: str, row: dict[str, Any]) -> None:
    """A value shows in the manifests or the notes; the default changes no manifest."""
    path = row["field"]
    base = merged(_BASES[table], row.get("within", {}))

    def given(value: Any) -> Any:
        return merged(base, put(path, value))

    some = given(row.get("example", row.get("default")))
    absent = outcome(table, without(some, path))

    assert row["source"]
    assert "example" in row or "default" in row or "ours" in row
    if "example" in row:
        shown = outcome(table, some)
        assert [] == shown[2]
        assert absent[:2] != shown[:2] or any(within(note.field, path) for note in shown[1])
    if "default" in row and "ours" not in row:
        assert absent[0] == outcome(table, given(row["default"]))[0]
