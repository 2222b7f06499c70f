"""Who pays for a node: its price is split over what it has, and pods pay for what they ask for.

CPU and memory are charged in the ratio of their prices on EC2's general purpose types. What a node
with devices costs beyond that is charged to those who ask for the devices. So all pods of a node
and what is free on it together cost exactly its price.
"""

from collections.abc import Mapping

from bayplan.model import resources

# Of general purpose types: a CPU is worth about 7 GiB.
_MICRODOLLARS_PER_CPU_MILLI = 30.0
_MICRODOLLARS_PER_GIB = 4_300.0
_GIB = 1 << 30


def weights(room: resources.Vector, price: int) -> Mapping[str, float]:
    """Microdollars an hour for each resource that a node has; together they are its price."""
    found = {
        resources.CPU: _MICRODOLLARS_PER_CPU_MILLI * room.amount(resources.CPU),
        resources.MEMORY: _MICRODOLLARS_PER_GIB * room.amount(resources.MEMORY) / _GIB,
    }
    devices = [name for name in room if "/" in name and not name.startswith("attachable-volumes")]
    common = sum(found.values())
    if devices and price > common:
        return {**found, **dict.fromkeys(devices, (price - common) / len(devices))}
    return {name: amount * price / common for name, amount in found.items()} if common else {}


def charge(weighed: Mapping[str, float], room: resources.Vector, asked: Mapping[str, int]) -> float:
    """What an amount of a node's room costs, in microdollars an hour."""
    return sum(
        weight * asked.get(name, 0) / room.amount(name)
        for name, weight in weighed.items()
        if room.amount(name)
    )
