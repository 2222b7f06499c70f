"""Chunks of lists: what can be read of them, and what cannot."""

import json
from typing import Any

import pytest

from bayplan.cluster import lists
from bayplan.cluster.decode import KINDS


def test_list_of_odd_items() -> None:
    """One object that cannot be read never fails a list; its name is kept where it has one."""
    items = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "spec": 7}, 7]
    body = {"metadata": {"resourceVersion": "5", "continue": "next"}, "items": items}
    found = lists.chunk(KINDS["Node"], json.dumps(body).encode())

    assert ["a"] == [one.name for one in found.seen]
    assert (("", "b"),) == tuple(found.unreadable)
    assert not found.whole
    assert ("5", "next") == (found.version, found.token)


@pytest.mark.parametrize("body", [{}, {"items": None}, {"metadata": {}, "items": []}])
def test_empty_list(body: dict[str, Any]) -> None:
    """An empty list comes in several spellings."""
    assert () == lists.chunk(KINDS["Pod"], json.dumps(body).encode()).seen
