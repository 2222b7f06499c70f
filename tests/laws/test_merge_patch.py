"""Merge patches: a status after the patch is the status that was wanted."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bayplan.cluster.requests import merge_patch

SCALARS = st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=5)


def patched(old: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_makes_equal(old: dict[str, Any], new: dict[str, Any]) -> None:
    """The patch turns old into new, types of numbers and truth values included."""
    result = patched(old, merge_patch(old, new))

    assert json.dumps(new, sort_keys=True) == json.dumps(result, sort_keys=True)


@given(OBJECTS)
def test_nothing_to_do(status: dict[str, Any]) -> None:
    """Equal statuses need no write; tuples are lists, a null is absence."""
    as_stored = json.loads(json.dumps(status))

    assert {} == merge_patch(as_stored, status)
    assert {} == merge_patch(as_stored, _tuples(status))
    assert {} == merge_patch(as_stored, {**status, "not there": None})


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    return value
