"""What is wrong between Pools, the NodePools that they name, and the workloads that name them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan import units
from bayplan.model.untyped import mapping
from bayplan.reconcile.pool import quiet
from bayplan.reports.consolidation_manifests import doubts

Body = Mapping[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the manifest `body`, at the field `path`; an `error` keeps a Pool from buying."""

    body: Body
    path: Path
    message: str
    error: bool = False


def faults(
    pools: Sequence[Body], node_pools: Sequence[Body], workloads: Sequence[Body]
) -> Iterator[Fault]:
    """The faults of manifests that were read together.

    A Pool or a NodePool that is missing may be elsewhere: it is only told of where the manifests
    have others of its kind.
    """
    known = {_name(one) for one in pools}
    by_name = {_name(one): one for one in node_pools}
    defaults = [one for one in pools if _spec(one).get("default") is True]
    for second in defaults[1:]:
        message = f"Pool {_name(defaults[0])} is the default already; remove one of the two"
        yield Fault(second, ("spec", "default"), message, error=True)
    for pool in pools:
        yield from _limits(pool)
        for path, message in doubts(pool):
            yield Fault(pool, ("spec", "consolidation", *path), message)
        if by_name:
            yield from _node_pool(pool, by_name)
    for one in workloads:
        asked = mapping(_spec(one).get("placement")).get("pool")
        if known and isinstance(asked, str) and asked not in known:
            message = f"no Pool {asked!r} among these manifests; is it elsewhere?"
            yield Fault(one, ("spec", "placement", "pool"), message)


def _limits(pool: Body) -> Iterator[Fault]:
    """Limits that let no node be bought."""
    limits = mapping(_spec(pool).get("limits"))
    for field in ("nodes", "cpu", "memory", "dollarsPerHour"):
        stated = limits.get(field)
        try:
            none = isinstance(stated, str | int) and units.milli(stated) == 0
        except units.QuantityError:
            continue  # the schema says so
        if none:
            message = "is 0, so that no node is ever bought; raise it, remove it or use mode Advise"
            yield Fault(pool, ("spec", "limits", field), message)


def _node_pool(pool: Body, by_name: Mapping[str, Body]) -> Iterator[Fault]:
    """Whether Bayplan could buy through the NodePool; with mode Advise it only looks at it."""
    wanted = mapping(_spec(pool).get("nodePoolRef")).get("name")
    if not isinstance(wanted, str):
        return
    path = ("spec", "nodePoolRef", "name")
    if wanted not in by_name:
        yield Fault(pool, path, f"no NodePool {wanted!r} among these manifests; is it elsewhere?")
        return
    found = quiet.problem(by_name[wanted], _name(pool))
    if found is not None:
        yield Fault(pool, path, found.message, error=_spec(pool).get("mode", "Advise") != "Advise")


def _name(body: Body) -> str:
    return str(mapping(body.get("metadata")).get("name", ""))


def _spec(body: Body) -> Mapping[str, Any]:
    return mapping(body.get("spec"))
