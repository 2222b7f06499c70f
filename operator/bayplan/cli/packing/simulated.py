"""A simulation as the options of the command ask for it; with --compare-to they are asked twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bayplan import stdout
from bayplan.cli.packing import price_options
from bayplan.cloud.prices import Book, Market
from bayplan.inputs import InputError, Skipped
from bayplan.manifests import inventory
from bayplan.manifests.documents import Document
from bayplan.provisioning import offerings, pool_offers, simulation
from bayplan.provisioning.inventory import Inventory, without_nodes
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked; `spot` is the region of AWS whose spot prices count, or empty."""

    book: Book
    market: Market
    types: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    remove_node: tuple[str, ...] = ()
    region: str = ""
    spot: str = ""
    zones: tuple[str, ...] = ()
    max_pods: int | None = None
    prefix_delegation: bool = False
    disk: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: float
    seed: int = 0
    rivals: tuple[str, ...] = ()
    lenient: bool = False


def simulated(documents: Iterable[Document], options: Options, skipped: list[Skipped]) -> Result:
    """The nodes for these objects; nothing else is printed meanwhile."""
    found = inventory.inventory(documents, options.counts, lenient=options.lenient, skipped=skipped)
    had_nodes, there = bool(found.nodes), offerings.zones_of(found.nodes)
    without_nodes(found, options.remove_node)
    zones = tuple(sorted(set(options.zones))) or there or offerings.zones_in(options.region)
    offers: list[Offer] = []
    if found.node_pools and not options.types:
        _said_by_pools(options)
        zones = zones if options.zones else pool_offers.zones_of(found.node_pools, there, zones)
        offers = _of_pools(found, options, zones)
    elif options.types or not had_nodes:
        offers = offerings.offers(
            options.types,
            options.book,
            max_pods=options.max_pods,
            prefix_delegation=options.prefix_delegation,
            disk_bytes=(options.disk or offerings.DISK_GIB) << 30,
            labels=options.labels,
        )
        if options.spot:
            offers = offerings.spot_offers(offers, price_options.spot_of(options.spot), zones)
    settings = simulation.Settings(
        options.seconds, options.seed, zones, options.rivals, options.book
    )
    with stdout.stdout():
        return simulation.simulate(found, offers, settings)


def _said_by_pools(options: Options) -> None:
    """NodePools and their classes say how much room a node has, and its labels."""
    given = {
        "--max-pods": options.max_pods,
        "--disk": options.disk,
        "--node-label": options.labels,
        "--prefix-delegation": options.prefix_delegation,
    }
    for option, value in given.items():
        if value:
            raise InputError(option, "NodePools in the input say this; or name --instance-type")


def _of_pools(found: Inventory, options: Options, zones: tuple[str, ...]) -> list[Offer]:
    """What the NodePools of the input may buy; notes go to the inventory."""
    known = price_options.spot_of(options.spot) if options.spot else {}
    made = pool_offers.pool_offers(
        found.node_pools,
        found.node_classes,
        options.book,
        zones,
        spot={**known, **options.market.spot},
        there=options.market.there,
    )
    found.notes += made.notes
    return list(made.offers)
