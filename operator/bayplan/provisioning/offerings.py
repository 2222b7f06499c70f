"""The instance types that a simulation may buy: their room for pods and their price."""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence

from bayplan.api import names
from bayplan.cloud import allocatable, catalogue, prices
from bayplan.inputs import InputError
from bayplan.model import resources
from bayplan.model.nodes import (
    ARCH,
    CAPACITY_TYPE,
    HOSTNAME,
    INSTANCE_TYPE,
    OS,
    REGION,
    ZONE,
    Node,
    Taint,
    with_former,
)

DISK_GIB = allocatable.ROOT_VOLUME_BYTES >> 30
SpotPrices = Mapping[tuple[str, str], prices.Price]  # (type, zone) -> price
_SMALLEST_CPU_MILLI, _LARGEST_CPU_MILLI = 2_000, 32_000


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """An instance type to buy; `price` in microdollars an hour, from `source`."""

    name: str
    arch: str
    room: resources.Vector
    price: int
    source: str
    spot: bool = False
    labels: tuple[tuple[str, str], ...] = ()  # that its pool gives nodes
    taints: tuple[Taint, ...] = ()  # likewise
    zones: tuple[str, ...] = ()  # that its pool allows; empty: any
    on_request: bool = False  # only for pods that name its capacity type
    learnt: bool = False  # whether a real node of its pool has shown its room
    bare: bool = False  # whether its nodes lack the label for their capacity type

    @property
    def pool(self) -> str:
        """The Pool that the node would belong to; empty without one."""
        return dict(self.labels).get(names.POOL, "")

    def node(self, name: str, zone: str) -> Node:
        """A node of this type as it would join the cluster."""
        return Node(
            name=name,
            labels=with_former(
                {
                    **({} if self.bare else {CAPACITY_TYPE: "spot" if self.spot else "on-demand"}),
                    **dict(self.labels),
                    HOSTNAME: name,
                    INSTANCE_TYPE: self.name,
                    ZONE: zone,
                    REGION: zone.rstrip("abcdefghijklmnopqrstuvwxyz"),
                    ARCH: self.arch,
                    OS: "linux",
                }
            ),
            taints=self.taints,
            allocatable=self.room,
            price_microdollars=self.price,
        )


def zones_in(region: str = "") -> tuple[str, ...]:
    """Three zones of a region by AWS's names; by default of us-east-1."""
    return tuple(f"{region or 'us-east-1'}{letter}" for letter in "abc")


def spot_offers(
    menu: Iterable[Offer],
    spot: SpotPrices,
    zones: Collection[str],
) -> list[Offer]:
    """The offers that are sold as spot in all these zones, at the highest price of the zones."""
    found = []
    for offer in menu:
        each = [spot.get((offer.name, zone)) for zone in zones]
        known = [price for price in each if price is not None]
        if known and len(known) == len(each):
            dearest = max(known, key=lambda price: price.microdollars_per_hour)
            found.append(
                dataclasses.replace(
                    offer,
                    price=dearest.microdollars_per_hour,
                    source=f"{dearest.source}, dearest zone",
                    spot=True,
                )
            )
    if not found:
        shown = ", ".join(zones)
        raise InputError("--spot", f"AWS has no spot price for any of these types in {shown}")
    return found


def zones_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The zones that nodes are in, in order."""
    return tuple(sorted({node.labels.get(ZONE, "") for node in nodes} - {""}))


def offers(
    wanted: Sequence[str],
    book: prices.Book,
    *,
    max_pods: int | None = None,
    prefix_delegation: bool = False,
    disk_bytes: int = allocatable.ROOT_VOLUME_BYTES,
    labels: Mapping[str, str] | None = None,
) -> list[Offer]:
    """Types by name or pattern (`m7i.*`); without any, current c, m and r of 2 to 32 vCPU."""
    known = catalogue.load()
    chosen: dict[str, catalogue.InstanceType] = {}
    for pattern in wanted:
        exact = pattern in known
        found = [pattern] if exact else [n for n in known if fnmatch.fnmatchcase(n, pattern)]
        if not found:
            raise InputError("--instance-type", f"no instance type is called {pattern!r}")
        chosen.update((name, known[name]) for name in found)
    if not wanted:
        chosen = {name: one for name, one in known.items() if _usual(one)}
    given = tuple(sorted((labels or {}).items()))
    made = []
    for one in chosen.values():
        room = resources.Vector(
            allocatable.eks_allocatable(
                one, max_pods, prefix_delegation, root_volume_bytes=disk_bytes
            )
        )
        price = book.of(one)
        amount, source = price.microdollars_per_hour, price.source
        made.append(Offer(one.name, one.arch, room, amount, source, labels=given))
    return made


def ladder_of(arch: str) -> list[list[str]]:
    """Types to try after the usual types: general types of this architecture, then `ladder`."""
    general, *rest = ladder()
    types = catalogue.load()
    return [[name for name in general if types[name].arch == arch], general, *rest]


def ladder(known: Iterable[str] = ()) -> list[list[str]]:
    """Types to try after the `known` types: general types of any architecture, then all types."""
    rest = {name: one for name, one in catalogue.load().items() if name not in set(known)}
    general = [name for name, one in rest.items() if _general(one)]
    return [general, [name for name, one in rest.items() if not one.bare_metal], list(rest)]


def disk_for(storage_bytes: int) -> int:
    """The size in GiB of a root volume that leaves pods this much ephemeral storage."""
    reserved = storage_bytes + allocatable.RESERVED_STORAGE_BYTES
    share = 100 - allocatable.EVICTION_STORAGE_PERCENT
    return -(-reserved * 100 // (share << 30))


def _usual(one: catalogue.InstanceType) -> bool:
    """Whether a general pool of the default architecture would have this type."""
    return _general(one) and one.arch == "amd64" and one.cpu_milli <= _LARGEST_CPU_MILLI


def _general(one: catalogue.InstanceType) -> bool:
    """Whether it is not an accelerator, burstable, bare-metal or flex type."""
    return (
        one.family[0] in "cmr"
        and one.family[1:2].isdigit()
        and one.current_generation
        and "-flex" not in one.family
        and not one.bare_metal
        and not one.gpus
        and one.cpu_milli >= _SMALLEST_CPU_MILLI
    )
