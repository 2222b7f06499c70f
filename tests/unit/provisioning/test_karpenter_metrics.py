"""A page of Karpenter's metrics as prices and what is sold out.

The page has the form that Prometheus' own client writes.
"""

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from bayplan.cloud.karpenter_metrics import SOURCE, market
from bayplan.cloud.prices import Price

LABELS = ("instance_type", "capacity_type", "zone")
PREFIX = "karpenter_cloudprovider_instance_type_offering"


def page(
    prices: dict[tuple[str, str, str], float], available: dict[tuple[str, str, str], float]
) -> str:
    registry = CollectorRegistry()
    price = Gauge(f"{PREFIX}_price_estimate", "Dollars an hour.", LABELS, registry=registry)
    there = Gauge(f"{PREFIX}_available", "Whether it can be had.", LABELS, registry=registry)
    Gauge("go_goroutines", "Others.", registry=registry).set(7)
    for labels, value in prices.items():
        price.labels(*labels).set(value)
    for labels, value in available.items():
        there.labels(*labels).set(value)
    return generate_latest(registry).decode()


def test_prices_and_what_is_sold_out() -> None:
    """On demand by type, spot by type and zone; reserved capacity and no price are left out."""
    found = market(
        page(
            {
                ("m5.large", "on-demand", "us-east-1a"): 0.096,
                ("m5.large", "on-demand", "us-east-1b"): 0.096,
                ("m5.large", "spot", "us-east-1a"): 0.0351,
                ("m5.large", "spot", "us-east-1b"): 0.0402,
                ("m5.large", "reserved", "us-east-1b"): 0.0000001,
                ("c5.large", "on-demand", "us-east-1a"): 0.0,
                ("c5.large", "spot", "us-east-1a"): float("nan"),
                ("c5.large", "spot", "us-east-1b"): 1e300,
            },
            {
                ("m5.large", "spot", "us-east-1a"): 0,
                ("m5.large", "on-demand", "us-east-1a"): 1,
            },
        )
    )

    assert {"m5.large": Price(96_000, SOURCE)} == found.on_demand
    assert {
        ("m5.large", "us-east-1a"): Price(35_100, SOURCE),
        ("m5.large", "us-east-1b"): Price(40_200, SOURCE),
    } == found.spot
    assert {
        ("m5.large", "us-east-1a", "on-demand"),
        ("m5.large", "us-east-1b", "on-demand"),
        ("m5.large", "us-east-1b", "spot"),
    } == found.there


@pytest.mark.parametrize("text", ["", "<html>no metrics</html>", "up 1\n", 'a{b="c} 1'])
def test_no_page_of_karpenter(text: str) -> None:
    """An error, not an empty market."""
    with pytest.raises(ValueError):  # noqa: PT011  the parser's own words
        market(text)
