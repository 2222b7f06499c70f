"""Checks of Pools: Karpenter, NodePool and NodeClass of each, and what its status complains of."""

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.api.pool_resource import PoolResource, parse_pool
from bayplan.cli.client import ApiClient
from bayplan.cli.errors import NotThere
from bayplan.cli.ops.finding import Finding, Verdict
from bayplan.cli.packing import pool_objects
from bayplan.model.node_pools import node_class_of
from bayplan.model.untyped import mapping, sequence
from bayplan.reports import pool_health
from bayplan.reports.pool_health import Found, Trouble

_KARPENTER = "/apis/karpenter.sh/v1"


def bought_through(server: ApiClient) -> frozenset[str]:
    """The names of the NodePools through which Pools buy."""
    found = map(parse_pool, _pools(server))
    return frozenset(
        pool.node_pool
        for pool in found
        if pool.node_pool and pool.spec is not None and pool.spec.buys
    )


def pools(server: ApiClient, *, serves: bool) -> Iterator[Finding]:
    """What is wrong with each Pool; `serves` says whether the operator was told to serve them."""
    found = _pools(server)
    if found and not serves:
        said = f"Pools exist ({len(found)}), and the operator does not serve them"
        yield Finding("pools", Verdict.FAILS, said, "helm upgrade with pool.enabled=true")
    known = _node_pools(server) if found else None
    for body in found:
        yield from _findings(server, body, known)


def _findings(
    server: ApiClient, body: Mapping[str, Any], known: Mapping[str, Any] | None
) -> Iterator[Finding]:
    pool = parse_pool(body)
    yield from _of_groups(pool) if pool.groups_tag else _of_karpenter(server, pool, known)
    check = f"pool {pool.name}"
    for one in _blocks(server, pool):
        yield Finding(check, Verdict.DOUBTFUL, one.said, one.remedy)
    trouble = pool_health.degraded(pool)
    if trouble is not None:
        yield Finding(check, Verdict.DOUBTFUL, trouble.said, trouble.remedy)


def _of_groups(pool: PoolResource) -> Iterator[Finding]:
    check, buys = f"pool {pool.name}", pool.spec is not None and pool.spec.buys
    wrong, unfit = pool_health.groups(pool)
    if wrong is not None:
        verdict = Verdict.FAILS if buys else Verdict.DOUBTFUL
        yield Finding(check, verdict, wrong.said, wrong.remedy)
    elif pool.spec is not None:
        said = f"mode {pool.spec.mode}, by Auto Scaling groups with the tag {pool.groups_tag}"
        yield Finding(check, Verdict.GOOD, said)
        if unfit is not None:
            yield Finding(check, Verdict.DOUBTFUL, unfit.said, unfit.remedy)


def _of_karpenter(
    server: ApiClient, pool: PoolResource, known: Mapping[str, Any] | None
) -> Iterator[Finding]:
    spec, check, name = pool.spec, f"pool {pool.name}", pool.node_pool
    node_pool = (known or {}).get(name)
    node_class, looked = None, False
    if node_pool is not None:
        node_class, looked = _node_class(server, *node_class_of(node_pool))
    wrong = pool_health.hindrance(
        pool, Found(known is not None, node_pool, node_class, looked=looked)
    )
    if wrong is not None:
        advises = spec is not None and not spec.buys
        verdict = Verdict.DOUBTFUL if advises else Verdict.FAILS
        yield Finding(check, verdict, wrong.said, wrong.remedy)
    elif spec is not None and name:
        quiet = ", which Karpenter leaves alone" if spec.buys else ""
        yield Finding(check, Verdict.GOOD, f"mode {spec.mode}, by NodePool {name}{quiet}")
    else:
        yield Finding(check, Verdict.GOOD, "advises on the nodes that exist")


def _blocks(server: ApiClient, pool: PoolResource) -> list[Trouble]:
    """What keeps a Pool that consolidates from giving nodes back."""
    if pool.spec is None or not pool.spec.consolidates:
        return []
    from bayplan.manifests import disruption_budgets
    from bayplan.reports import pool_blocks  # slow to import

    budgets = disruption_budgets.read(server.listed("PodDisruptionBudget", ""))
    return list(pool_blocks.troubles(pool, pool_objects.site(server), budgets))


def _pools(server: ApiClient) -> list[Mapping[str, Any]]:
    try:
        return [*server.listed("Pool", "")]
    except NotThere:
        return []  # the definition is missing: another check tells that


def _node_pools(server: ApiClient) -> Mapping[str, Mapping[str, Any]] | None:
    """The NodePools by name; None where Karpenter is not served."""
    try:
        found = server.collection(f"{_KARPENTER}/nodepools")
    except NotThere:
        return None
    return {one["metadata"]["name"]: one for one in found}


def _node_class(
    server: ApiClient, group: str, kind: str, name: str
) -> tuple[Mapping[str, Any] | None, bool]:
    """The node class, found as its group serves it; and whether it could be looked for."""
    try:
        version = server.ask("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
        served = sequence(server.ask("GET", f"/apis/{version}").get("resources"))
        plural = next(
            one["name"]
            for one in map(mapping, served)
            if one.get("kind") == kind and "/" not in one["name"]
        )
    except (NotThere, KeyError, StopIteration):
        return None, False
    try:
        return server.ask("GET", f"/apis/{version}/{plural}/{name}"), True
    except NotThere:
        return None, True
