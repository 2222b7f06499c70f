"""`bayplan plan --pool`: what a NodePool's nodes cost and could cost. Nothing is written."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayplan.api.kinds import POOL
from bayplan.cli.packing import pool_objects
from bayplan.cli.printing import data, is_data, plain, table
from bayplan.cli.target import Target
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayplan.cli.client import ApiClient
    from bayplan.cloud.prices import Price
    from bayplan.manifests.documents import Document
    from bayplan.provisioning.advice import Advice

_CLASSES = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses"
_HEADINGS = ("type", "capacity", "now", "plan", "$/h each", "")


def pool_plan(
    target: Target,
    pool: str,
    *,
    prices: Path | None,
    region: str,
    metrics: str,
    seconds: float,
    output: str,
) -> int:
    """Print the advice for a pool; return the exit code: 0, or 1 if the plan lacks room for pods.

    `pool` is a file with a NodePool, or the name of a NodePool or of a Pool in the cluster.
    """
    from bayplan.cli.packing import live_documents, price_options
    from bayplan.cloud.node_pools import SPOT
    from bayplan.manifests import inventory
    from bayplan.provisioning import offerings, pool_offers, simulation
    from bayplan.provisioning.advice import advice, offering

    documents = [*_read(target, pool), *live_documents.documents(target)]
    found = inventory.inventory(documents, {}, lenient=True)
    if len(found.node_pools) != 1:
        why = found.skipped[0].why if found.skipped else "it is no NodePool of karpenter.sh"
        raise InputError("--pool", f"{pool} cannot be read: {why}")
    [named] = found.node_pools
    market = price_options.market_of(metrics)
    book = price_options.book_of(prices, region, market.on_demand)
    if region and not book.aws:
        click.echo(f"AWS gave no prices for {region}: a linear model stands in", err=True)
    zones = pool_offers.zones_of(
        found.node_pools, offerings.zones_of(found.nodes), offerings.zones_in(region)
    )
    spot = market.spot
    if region and SPOT in named.capacity_types and not spot:
        spot = _spot_of(region)
    menu = pool_offers.pool_offers(
        found.node_pools,
        found.node_classes,
        book,
        zones,
        spot=spot,
        there=None if market.there is None else market.there | set(map(offering, found.nodes)),
    )
    settings = simulation.Settings(seconds=seconds, zones=zones, prices=book)
    found.notes += menu.notes
    told = advice(found, named, menu.offers, settings, spot)
    _print(told, output)
    return 1 if told.missing else 0


def _spot_of(region: str) -> "Mapping[tuple[str, str], Price]":
    """AWS's spot prices; without any, the pool's spot nodes are not planned with."""
    from bayplan.cli.packing import price_options

    try:
        return price_options.spot_of(region)
    except InputError as error:
        click.echo(f"without spot prices: {error.message}", err=True)
        return {}


def _read(target: Target, pool: str) -> list["Document"]:
    """The NodePool and its EC2NodeClass, each from the file or from the cluster."""
    from bayplan.manifests.documents import Document, documents

    if Path(pool).is_file():
        read = documents((pool,), io.BytesIO())
        wanted = [one for one in read if one.kind in {"NodePool", "EC2NodeClass"}]
        pools = [one for one in wanted if one.kind == "NodePool"]
        if len(pools) != 1:
            raise InputError("--pool", f"{pool} must have one NodePool in it")
        if len(wanted) == 1:
            wanted += _class_of(target, pools[0].body)
        return wanted
    where = f"cluster {target.context}" if target.context else "the current cluster"
    stored = _stored(target, pool)
    return [Document(where, stored), *_class_of(target, stored)]


def _stored(target: Target, pool: str) -> dict[str, Any]:
    """The NodePool with this name, else that of the Pool with this name or `pool/NAME`."""
    from bayplan.cli import client

    with client.connected(target) as cluster:
        body = None if pool_objects.is_pool(pool) else cluster.find("NodePool", pool, "")
        body = body or _of_pool(cluster, pool)
    return {**body, "apiVersion": "karpenter.sh/v1", "kind": "NodePool"}


def _of_pool(cluster: "ApiClient", word: str) -> dict[str, Any]:
    name = word.rpartition("/")[2]
    found = cluster.find(POOL.name, name, "")
    if found is None:
        raise InputError(
            "--pool",
            f"the cluster has no Pool {name!r}"
            if pool_objects.is_pool(word)
            else f"{word!r} is neither a file nor a NodePool or a Pool of the cluster",
        )
    referred = pool_objects.referred(found)
    if not referred:
        raise InputError(
            "--pool",
            f"Pool {name} names no NodePool (spec.nodePoolRef.name); `bayplan explain pool/{name}` "
            "says what its nodes cost",
        )
    body = cluster.find("NodePool", referred, "")
    if body is None:
        raise InputError(
            "--pool", f"NodePool {referred}, which Pool {name} names, is not in the cluster"
        )
    return body


def _class_of(target: Target, pool: dict[str, Any]) -> list["Document"]:
    """The EC2NodeClass that a NodePool names, if the cluster has it."""
    from bayplan.cli import client
    from bayplan.cli.errors import NoCluster
    from bayplan.cloud.node_pools import node_pool
    from bayplan.manifests.documents import Document

    kind, name = node_pool(pool).node_class
    if kind != "EC2NodeClass" or not name:
        return []
    try:
        with client.connected(target) as cluster:
            shape = cluster.ask("GET", f"{_CLASSES}/{name}", verb="get", kind=kind)
    except NoCluster as error:
        click.echo(f"without EC2NodeClass {name}: {error}", err=True)
        return []
    body = {**shape, "apiVersion": "karpenter.k8s.aws/v1", "kind": kind}
    return [Document("the cluster", body)]


def _print(told: "Advice", output: str) -> None:
    from bayplan.reports import pool_advice

    if is_data(output):
        data(output, "pool-plan", pool_advice.data(told))
        return
    for line in pool_advice.headline(told):
        click.echo(plain(line))
    rows = pool_advice.rows(told)
    if rows:
        click.echo(table(_HEADINGS, rows), nl=False)
    for line in pool_advice.remarks(told):
        click.echo(plain(line))
