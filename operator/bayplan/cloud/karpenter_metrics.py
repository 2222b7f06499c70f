"""Prices and availability of instance types as a running Karpenter believes them.

The provider for AWS serves two gauges, each by instance type, capacity type and zone:
`karpenter_cloudprovider_instance_type_offering_price_estimate` in dollars an hour, and
`karpenter_cloudprovider_instance_type_offering_available`, which is 0 for a few minutes after EC2
had no capacity (kubernetes-sigs' provider for AWS, pkg/controllers/metrics; so named since 0.36).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.cloud.prices import Price

SOURCE = "Karpenter's metrics"
_PRICE = "karpenter_cloudprovider_instance_type_offering_price_estimate"
_AVAILABLE = "karpenter_cloudprovider_instance_type_offering_available"
_ON_DEMAND, _SPOT = "on-demand", "spot"
_MICRO = 1_000_000

Offering = tuple[str, str, str]  # instance type, zone, capacity type


@dataclass(frozen=True, slots=True)
class Market:
    """`on_demand` by type, `spot` by type and zone; `sold_out`: what Karpenter cannot get now."""

    on_demand: Mapping[str, Price] = field(default_factory=dict)
    spot: Mapping[tuple[str, str], Price] = field(default_factory=dict)
    sold_out: frozenset[Offering] = frozenset()


def market(text: str) -> Market:
    """What a page of metrics says; `ValueError` where it is no such page, or has no price."""
    from prometheus_client.parser import text_string_to_metric_families  # only when needed

    on_demand: dict[str, Price] = {}
    spot: dict[tuple[str, str], Price] = {}
    sold_out: set[Offering] = set()
    for family in text_string_to_metric_families(text):
        if family.name not in {_PRICE, _AVAILABLE}:
            continue
        for sample in family.samples:
            kind, zone = sample.labels.get("instance_type", ""), sample.labels.get("zone", "")
            capacity = sample.labels.get("capacity_type", "")
            if family.name == _AVAILABLE:
                if not sample.value:
                    sold_out.add((kind, zone, capacity))
            elif math.isfinite(sample.value) and sample.value > 0:
                price = Price(round(sample.value * _MICRO), SOURCE)
                if capacity == _ON_DEMAND:
                    on_demand[kind] = price
                elif capacity == _SPOT:
                    spot[kind, zone] = price
    if not on_demand and not spot:
        raise ValueError(f"{_PRICE} is not in it")
    return Market(on_demand, spot, frozenset(sold_out))
