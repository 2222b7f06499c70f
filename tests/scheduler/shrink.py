"""The smallest cluster that still shows a difference."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

Cluster = dict[str, Any]
Path = tuple[str | int, ...]

_MOST_TRIES = 3000
_KEPT = {"metadata", "name", "namespace", "uid", "resourceVersion"}  # of every object


def shrunk(cluster: Cluster, shows: Callable[[Cluster], bool]) -> Cluster:
    """Take away whatever can go while the cluster `shows` it: objects first, then fields."""
    small, tries, taken = cluster, 0, True
    while taken:
        taken, at = False, 0
        while tries < _MOST_TRIES:
            paths = list(_paths(small, ()))
            if at >= len(paths):
                break
            tries += 1
            smaller = _without(small, paths[at])
            if _shows(smaller, shows):
                small, taken = smaller, True
            else:
                at += 1
    return small


def _shows(cluster: Cluster, shows: Callable[[Cluster], bool]) -> bool:
    try:
        return shows(cluster)
    except Exception:  # noqa: BLE001  cut to what neither side can read: no smaller cluster
        return False


def _paths(value: Any, at: Path) -> Iterator[Path]:
    """What may be taken away, large things before their parts."""
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        parts = [(key, one) for key, one in value.items() if key not in _KEPT]
        kept = [(key, one) for key, one in value.items() if key in _KEPT]
    elif isinstance(value, list):
        parts, kept = list(enumerate(value)), []
    else:
        return
    for key, _ in parts:
        yield (*at, key)
    for key, one in (*parts, *kept):
        yield from _paths(one, (*at, key))


def _without(cluster: Cluster, path: Path) -> Cluster:
    smaller = copy.deepcopy(cluster)
    holder: Any = smaller
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return smaller
