"""Finds the workload of `--scale`: NAME, NAMESPACE/NAME, KIND/NAME or KIND/NAMESPACE/NAME."""

from collections.abc import Iterable, Mapping

from bayplan import units
from bayplan.inputs import InputError
from bayplan.manifests import kinds, owners
from bayplan.manifests.documents import Document

Key = tuple[str, str, str]  # kind, namespace, name
_MOST_NAMED = 4


def counts(documents: Iterable[Document], scale: Mapping[str, int]) -> dict[Key, int]:
    """The count of each named workload; a name that two workloads have is refused."""
    workloads = list(documents)
    meant: dict[Key, int] = {}
    for text, count in scale.items():
        found = [one for one in workloads if text.lower() in _names(one)]
        if not found:
            raise InputError("--scale", f"no workload is called {units.shown(text)}")
        if len(found) > 1:
            listed = ", ".join(owners.titled(one) for one in found[:_MOST_NAMED])
            more = " …" if len(found) > _MOST_NAMED else ""
            remedy = "write NAMESPACE/NAME, KIND/NAME or KIND/NAMESPACE/NAME"
            raise InputError("--scale", f"{units.shown(text)} may be {listed}{more}; {remedy}")
        key = kinds.identity(found[0])
        if meant.setdefault(key, count) != count:
            raise InputError("--scale", f"{owners.titled(found[0])} is given two counts")
    return meant


def _names(document: Document) -> frozenset[str]:
    kind, namespace, name = (part.lower() for part in kinds.identity(document))
    return frozenset(
        {name, f"{namespace}/{name}", f"{kind}/{name}", f"{kind}/{namespace}/{name}"}
    )  # fmt: skip
