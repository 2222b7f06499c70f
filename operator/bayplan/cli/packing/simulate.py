"""`bayplan simulate`: the nodes that manifests would need, and their cost. Writes nothing."""

import contextlib
import itertools
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError
from bayplan.model.nodes import OF_ITSELF, with_former

if TYPE_CHECKING:
    from bayplan.cloud.prices import Book, Market
    from bayplan.provisioning.inventory import Inventory
    from bayplan.provisioning.offerings import Offer
    from bayplan.provisioning.result import Result

_DIGITS = 9
_LONG_SECONDS = 3
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_OF_THE_NODE = frozenset(with_former(dict.fromkeys(OF_ITSELF, "")))
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Place manifests on nodes, or on instance types to buy.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER|-]...")
@click.option("-f", "--filename", "more", multiple=True, help="Another FILE; may be repeated.")
@click.option(
    "--instance-type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Buy only this type, or the types of a pattern such as 'm7i.*'. Without this and without "
    "nodes in the input: the types that the NodePools in the input allow, else current c, m and r "
    "types of 2 to 32 vCPU.",
)
@click.option(
    "--scale",
    multiple=True,
    metavar="NAME=N",
    help="As if this workload had N pods; NAMESPACE/NAME or KIND/NAME if NAME is not enough.",
)
@click.option("--remove-node", multiple=True, metavar="NODE", help="As if this node were gone.")
@click.option("--prices", type=_FILE, help="Dollars an hour by type: a JSON object or CSV.")
@click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="ZONE",
    help="Where new nodes may be; by default the zones of the nodes, or else us-east-1.",
)
@click.option(
    "--aws-prices",
    "region",
    metavar="REGION",
    default="",
    help="Use AWS's prices of this region, at most a day old; needs boto3 (extra `aws`).",
)
@click.option(
    "--karpenter-metrics",
    metavar="URL|FILE",
    default="",
    help="Prices and availability as a running Karpenter has them, spot too: its /metrics, such as "
    "http://localhost:8080/metrics of `kubectl port-forward`.",
)
@click.option("--spot", is_flag=True, help="Buy spot at AWS's price; needs --aws-prices.")
@click.option("--max-pods", type=click.IntRange(1, 1000), help="Pods that a new node takes.")
@click.option("--prefix-delegation", is_flag=True, help="The VPC CNI hands out prefixes.")
@click.option(
    "--disk",
    type=click.IntRange(2, 16_384),
    metavar="GIB",
    help="Size of a new node's root volume; by default 20.",
)
@click.option(
    "--node-label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="A label that new nodes get from their pool.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=2.0,
    show_default=True,
    help="How much to search: what a free core does in this time. Steps are counted and not time, "
    "so a busy machine takes longer and gives the same plan.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the optimiser.")
@click.option(
    "--ignore-unknown",
    is_flag=True,
    help="Skip unknown kinds and files that are not manifests, and say so.",
)
@click.option(
    "--compare",
    metavar="NAME,…",
    default="",
    help="Show what re-implementations of kube-scheduler-least, kube-scheduler-most and karpenter "
    "would buy for the same pods.",
)
@click.option("--cluster", is_flag=True, help="Start from the current cluster; only reads it.")
@targeted(
    everywhere=True,
    of_namespace="Namespace of manifests that name none; by default `default`.",
    of_all="All namespaces of the cluster always count; this only implies --cluster.",
    of_cluster=" Implies --cluster.",
)
@click.option(
    "--picture",
    type=_FILE,
    metavar="FILE",
    help="Draw the nodes into an SVG file, or into a PNG with rsvg-convert or ImageMagick.",
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table"
)
@click.pass_context
def simulate(  # noqa: PLR0917  click hands over one parameter for each option
    context: click.Context,
    paths: tuple[str, ...],
    more: tuple[str, ...],
    types: tuple[str, ...],
    scale: tuple[str, ...],
    remove_node: tuple[str, ...],
    prices: Path | None,
    region: str,
    karpenter_metrics: str,
    spot: bool,
    zones: tuple[str, ...],
    max_pods: int | None,
    prefix_delegation: bool,
    disk: int | None,
    labels: tuple[str, ...],
    seconds: float,
    seed: int,
    ignore_unknown: bool,
    compare: str,
    cluster: bool,
    picture: Path | None,
    output: str,
    target: Target,
) -> None:
    """Say which nodes the manifests need, what they cost and how full they are.

    Reads BatchJob, LongService, Deployment, StatefulSet, ReplicaSet, DaemonSet, Job, CronJob, Pod
    and Node, also in lists as kubectl prints them; with --cluster also the objects of the cluster.
    If the input has nodes, their room is used first, and more nodes are bought only with
    --instance-type or if the input has a NodePool of Karpenter: then its types, zones, labels and
    taints are what can be bought. Every job counts as running. Nothing is written to a cluster.

    Exit code: 0 all placed, 1 something has no room, 2 the input is wrong, 3 the cluster refused.
    """
    # Imported here so that --help and wrong options answer at once.
    from bayplan import stdout
    from bayplan.cli.packing import price_options
    from bayplan.inputs import Skipped
    from bayplan.manifests import inventory
    from bayplan.manifests.documents import Document, in_namespace
    from bayplan.manifests.documents import documents as read_documents
    from bayplan.provisioning import offerings, pool_offers, simulation
    from bayplan.provisioning.inventory import without_nodes

    given = (*paths, *more)
    live = cluster or target != Target(target.namespace or None)
    if not (given or live):
        raise click.UsageError("Name a file or folder, - for standard input, or use --cluster.")
    if spot and not region:
        raise InputError("--spot", "only AWS knows these prices: add --aws-prices REGION")
    counts, rivals, given_labels = _counts(scale), _rivals(compare), _labels(labels)
    skipped: list[Skipped] = []
    documents: Iterable[Document] = ()
    if given:
        lenient = skipped if ignore_unknown else None
        documents = read_documents(given, sys.stdin.buffer, lenient)
        documents = in_namespace(documents, target.namespace or "")
    if live:
        from bayplan.cli.packing import live_documents

        documents = itertools.chain(documents, live_documents.documents(target))
    found = inventory.inventory(documents, counts, lenient=ignore_unknown, skipped=skipped)
    had_nodes, zones_there = bool(found.nodes), offerings.zones_of(found.nodes)
    without_nodes(found, remove_node)
    market = price_options.market_of(karpenter_metrics)
    book = price_options.book_of(prices, region, market.on_demand)
    if region and not book.aws:
        click.echo(f"AWS gave no prices for {region}: a linear model stands in", err=True)
    where = tuple(sorted(set(zones))) or zones_there or offerings.zones_in(region)
    offers = []
    if found.node_pools and not types:
        _said_by_pools(max_pods, disk, labels, prefix_delegation)
        where = where if zones else pool_offers.zones_of(found.node_pools, zones_there, where)
        offers = _of_pools(found, book, market, where, region if spot else "")
    elif types or not had_nodes:
        offers = offerings.offers(
            types,
            book,
            max_pods=max_pods,
            prefix_delegation=prefix_delegation,
            disk_bytes=(disk or offerings.DISK_GIB) << 30,
            labels=given_labels,
        )
        if spot:
            offers = offerings.spot_offers(offers, price_options.spot_of(region), where)
    settings = simulation.Settings(seconds, seed, where, rivals, book)
    with _waiting(seconds), stdout.stdout():
        result = simulation.simulate(found, offers, settings)
    click.echo(_printed(result, output), nl=False)
    if picture is not None:
        _draw(result, picture)
    context.exit(1 if result.missing else 0)


def _said_by_pools(*given: object) -> None:
    """NodePools and their classes say how much room a node has, and its labels."""
    options = ("--max-pods", "--disk", "--node-label", "--prefix-delegation")
    for option, value in zip(options, given, strict=True):
        if value:
            raise InputError(option, "NodePools in the input say this; or name --instance-type")


def _of_pools(
    found: "Inventory", book: "Book", market: "Market", zones: tuple[str, ...], spot_region: str
) -> list["Offer"]:
    """What the NodePools of the input may buy; notes go to the inventory."""
    from bayplan.cli.packing import price_options
    from bayplan.provisioning import pool_offers

    spot = {**(price_options.spot_of(spot_region) if spot_region else {}), **market.spot}
    made = pool_offers.pool_offers(
        found.node_pools, found.node_classes, book, zones, spot=spot, there=market.there
    )
    found.notes += made.notes
    return list(made.offers)


def _waiting(seconds: float) -> contextlib.AbstractContextManager[object]:
    """A spinner on a terminal if the search takes long; otherwise nothing."""
    if seconds < _LONG_SECONDS or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"packing for about {seconds:g} s …")


def _printed(result: "Result", output: str) -> str:
    from bayplan.reports.simulation import data, table

    if output in {"table", "wide"}:
        return table(result, wide=output == "wide")
    if output == "json":
        return json.dumps(data(result), indent=2, ensure_ascii=False) + "\n"
    import yaml

    return yaml.safe_dump(data(result), sort_keys=False, allow_unicode=True)


def _draw(result: "Result", file: Path) -> None:
    from bayplan.reports.picture import write

    try:
        written = write(result, file)
    except OSError as error:
        raise InputError(f"--picture {file}", error.strerror or "cannot be written") from error
    if written != file:
        click.echo(f"no converter to PNG was found: the picture is in {written}", err=True)


def _rivals(text: str) -> tuple[str, ...]:
    from bayplan.provisioning import comparison

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in comparison.NAMES:
            known = ", ".join(comparison.NAMES)
            raise InputError("--compare", f"{name!r} is not one of {known}")
    return names


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and _LABEL.fullmatch(key)):
            raise InputError("--node-label", f"{text!r} is not KEY=VALUE, such as team=shop")
        if key in _OF_THE_NODE:
            raise InputError(
                "--node-label", f"{key} is set by the node itself; see --instance-type"
            )
        found[key] = value
    return found


def _counts(scale: tuple[str, ...]) -> dict[str, int]:
    from bayplan.manifests import inventory

    counts = {}
    for text in scale:
        name, equals, number = text.rpartition("=")
        if not (equals and name and number.isascii() and number.isdecimal()):
            raise InputError("--scale", f"{text!r} is not NAME=N, such as web=40")
        if int(number[:_DIGITS]) > inventory.MOST_PODS or len(number) > _DIGITS:
            raise InputError("--scale", f"{name} would have more than {inventory.MOST_PODS} pods")
        counts[name] = int(number)
    return counts
