"""Prices and availability of instance types as a running Karpenter believes them.

The provider for AWS serves two gauges, each by instance type, capacity type and zone:
`karpenter_cloudprovider_instance_type_offering_price_estimate` in dollars an hour, and
`karpenter_cloudprovider_instance_type_offering_available`, which is 0 for a few minutes after EC2
had no capacity (kubernetes-sigs' provider for AWS, pkg/controllers/metrics; so named since 0.36).
"""

from prometheus_client.parser import text_string_to_metric_families

from bayplan.cloud.node_pools import ON_DEMAND, SPOT
from bayplan.cloud.prices import MOST_DOLLARS, Market, Offering, Price

SOURCE = "Karpenter's metrics"
_OFFERING = "karpenter_cloudprovider_instance_type_offering"
_PRICE = f"{_OFFERING}_price_estimate"
_AVAILABLE = f"{_OFFERING}_available"
_MICRO = 1_000_000
_LEAST = 1 / _MICRO  # dollars: cheaper offerings have no price that counts


def market(text: str) -> Market:
    """The market on a page of metrics; `ValueError` if it is no such page or has no price."""
    on_demand: dict[str, Price] = {}
    spot: dict[tuple[str, str], Price] = {}
    sold_out: set[Offering] = set()
    listed: set[Offering] = set()
    # Most of the page of a large cluster is about its nodes: that is not worth reading.
    ours = "\n".join(line for line in text.split("\n") if _OFFERING in line)
    for family in text_string_to_metric_families(ours):
        if family.name not in {_PRICE, _AVAILABLE}:
            continue
        for sample in family.samples:
            kind, zone = sample.labels.get("instance_type", ""), sample.labels.get("zone", "")
            capacity = sample.labels.get("capacity_type", "")
            if family.name == _AVAILABLE:
                if not sample.value:
                    sold_out.add((kind, zone, capacity))
            elif _LEAST <= sample.value <= MOST_DOLLARS:
                listed.add((kind, zone, capacity))
                price = Price(round(sample.value * _MICRO), SOURCE)
                if capacity == ON_DEMAND:
                    on_demand[kind] = price
                elif capacity == SPOT:
                    spot[kind, zone] = price
    if not on_demand and not spot:
        raise ValueError(f"{_PRICE} is not in it")
    zones = frozenset(zone for _, zone, _ in listed)
    return Market(on_demand, spot, frozenset(listed - sold_out), zones)
