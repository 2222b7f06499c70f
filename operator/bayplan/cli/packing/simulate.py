"""`bayplan simulate`: the nodes that manifests would need, and their cost. Writes nothing."""

import contextlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError
from bayplan.model.nodes import OF_ITSELF, with_former

if TYPE_CHECKING:
    from bayplan.manifests.documents import Document
    from bayplan.provisioning.result import Result
    from bayplan.reports.cost_change import CostChange

_DIGITS = 9
_LONG_SECONDS = 3
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_OF_THE_NODE = frozenset(with_former(dict.fromkeys(OF_ITSELF, "")))
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Place manifests on nodes, or on instance types to buy.")
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER|-]...", type=click.Path())
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
@click.option(
    "--compare-to",
    metavar="REVISION|FOLDER",
    default="",
    help="Also simulate the same files and folders of another revision of git, such as "
    "origin/main, or another folder or file; and say what the change costs.",
)
@click.option(
    "--max-increase",
    "most_increase",
    type=click.FloatRange(0),
    metavar="PERCENT",
    help="With --compare-to: exit code 1 if the cost grows by more.",
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
    help="Draw the nodes into an SVG file, or into a PNG if its name ends in .png.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml", "markdown"]),
    default="table",
    help="wide has a line for each node; markdown is a comment for a review.",
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
    compare_to: str,
    most_increase: float | None,
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

    Exit code: 0 all placed, 1 something has no room or the cost grows by more than --max-increase,
    2 the input is wrong, 3 the cluster refused.
    """
    # Imported here so that --help and wrong options answer at once.
    from bayplan.cli.packing import price_options
    from bayplan.inputs import Skipped
    from bayplan.manifests.documents import documents as read_documents
    from bayplan.manifests.documents import in_namespace

    given = (*paths, *more)
    live = cluster or target != Target(target.namespace or None)
    if not (given or live):
        raise click.UsageError("Name a file or folder, - for standard input, or use --cluster.")
    if spot and not region:
        raise InputError("--spot", "only AWS knows these prices: add --aws-prices REGION")
    if most_increase is not None and not compare_to:
        raise InputError("--max-increase", "compared with what? Add --compare-to REVISION|FOLDER")
    counts, rivals, given_labels = _counts(scale), _rivals(compare), _labels(labels)
    skipped: list[Skipped] = []
    documents: list[Document] = []
    if given:
        lenient = skipped if ignore_unknown else None
        read = read_documents(given, sys.stdin.buffer, lenient)
        documents = list(in_namespace(read, target.namespace or ""))
    present: list[Document] = []
    if live:
        from bayplan.cli.packing import live_documents

        present = list(live_documents.documents(target))
    market = price_options.market_of(karpenter_metrics)
    book = price_options.book_of(prices, region, market.on_demand)
    if region and not book.aws:
        click.echo(f"AWS gave no prices for {region}: a linear model stands in", err=True)
    from bayplan.cli.packing.simulated import Options, simulated

    options = Options(
        book=book,
        market=market,
        types=types,
        counts=counts,
        remove_node=remove_node,
        region=region,
        spot=region if spot else "",
        zones=zones,
        max_pods=max_pods,
        prefix_delegation=prefix_delegation,
        disk=disk,
        labels=given_labels,
        seconds=seconds,
        seed=seed,
        rivals=rivals,
        lenient=ignore_unknown,
    )
    with _waiting(seconds):
        result = simulated([*documents, *present], options, skipped)
        change = None
        if compare_to:
            from bayplan.cli.packing.simulated_before import simulated_before
            from bayplan.reports.cost_change import CostChange

            then = simulated_before(compare_to, given, target.namespace or "", present, options)
            change = CostChange(compare_to, then, result)
    click.echo(_printed(result, change, output), nl=False)
    if picture is not None:
        _draw(result, picture)
    grew = most_increase is not None and change and change.grew_by_more_than(most_increase)
    context.exit(1 if result.missing or grew else 0)


def _waiting(seconds: float) -> contextlib.AbstractContextManager[object]:
    """A spinner on a terminal if the search takes long; otherwise nothing."""
    if seconds < _LONG_SECONDS or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"packing for about {seconds:g} s …")


def _printed(result: "Result", change: "CostChange | None", output: str) -> str:
    from bayplan.reports import cost_change
    from bayplan.reports.simulation import data, table

    if output == "markdown":
        return cost_change.markdown(result, change)
    if output in {"table", "wide"}:
        told = cost_change.lines(change) if change is not None else ()
        return table(result, wide=output == "wide") + "".join(f"{line}\n" for line in told)
    whole = data(result)
    if change is not None:
        whole["comparedTo"] = cost_change.data(change)
    if output == "json":
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)


def _draw(result: "Result", file: Path) -> None:
    from bayplan.reports.picture import write

    try:
        write(result, file)
    except OSError as error:
        raise InputError(f"--picture {file}", error.strerror or "cannot be written") from error


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
