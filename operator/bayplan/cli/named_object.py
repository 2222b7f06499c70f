"""Finds the object that a user names as `web`, `job/web` or `LongService/web`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bayplan.api import kinds
from bayplan.cli.errors import Negative
from bayplan.cli.target import Target

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_KINDS: Mapping[str, str] = {
    **{word: kind.name for kind in kinds.KINDS for word in kind.words},
    **dict.fromkeys(("pod", "pods", "po"), "Pod"),
}


@contextmanager
def connected(target: Target, kind: str, name: str) -> Iterator[tuple["ApiClient", dict[str, Any]]]:
    """The client of the cluster, and the object with this `name` or `kind/name`."""
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        yield cluster, cluster.get(kind, name.rpartition("/")[2])


def kind_of(cluster: "ApiClient", word: str) -> tuple[str, dict[str, Any]]:
    """The kind and the object that `word` names; `Negative` if there is none."""
    named, slash, name = word.rpartition("/")
    if slash:
        kind = _KINDS.get(named.lower())
        if kind is None:
            known = f"{', '.join(kind.word for kind in kinds.KINDS)}, pod, pool or node"
            raise Negative(f"{word!r}: {named!r} is not a known kind; write {known}")
        return kind, cluster.get(kind, name)
    namespace = cluster.target.chosen
    for kind in (*kinds.NAMES, "Pod"):
        found = cluster.find(kind, word, namespace)
        if found is not None:
            return kind, found
    raise Negative(f"no {', '.join(kinds.NAMES)} or Pod {word!r} in namespace {namespace}")
