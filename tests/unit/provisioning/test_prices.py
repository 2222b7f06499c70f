"""Prices: exact, in order of trust, and never without their source."""

import csv
import datetime as dt
import json
import os
import statistics
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from bayplan.cloud import catalogue, prices

TODAY = dt.date(2026, 11, 23)
M5 = catalogue.load()["m5.large"]


def shared_prices() -> Path:
    """The published prices beside the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "packing"
    return Path(os.environ.get("BAYPLAN_PACKING_DATA", beside)) / "ec2" / "ec2_us_east_1.csv"


def stubbed(service: str, operation: str, *pages: dict[str, Any]) -> Any:
    """A real client of AWS's SDK that gets these pages as answers and checks what it is asked."""
    nobody = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "x")
    client = boto3.client(service, region_name="us-east-1", **nobody)
    stub = Stubber(client)
    for page in pages:
        stub.add_response(operation, page)
    stub.activate()
    return client


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.096", 96_000), ("24.78", 24_780_000), (" 1 ", 1_000_000), ("0.0000001", 1)],
)
def test_dollars_are_read_exactly(text: str, expected: int) -> None:
    """Decimal text becomes whole microdollars; a fraction of one counts as one."""
    read = prices.microdollars(text)

    assert expected == read


@pytest.mark.parametrize("text", ["", "free", "-1", "0", "1e3", "NaN", "0x10", "1,5", "1000000"])
def test_what_is_no_price_is_refused(text: str) -> None:
    """Signs, exponents, words, zero and the absurd are not prices."""
    with pytest.raises(ValueError, match=r"price|between"):
        prices.microdollars(text)


def test_the_order_of_trust_is_file_aws_model() -> None:
    """Each source answers only where those before it are silent."""
    file, aws = {"m5.large": prices.Price(2, "file")}, {"m5.large": prices.Price(3, "aws")}
    full, later, last = prices.Book(file, aws), prices.Book({}, aws), prices.Book()

    assert ["file", "aws"] == [full.of(M5).source, later.of(M5).source]
    assert prices.MODEL_SOURCE == last.of(M5).source


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"m5.large": 0.096, "c5.large": "0.085"}'),
        ("p.csv", "instance_type,dollars\nm5.large,0.096\nc5.large,0.085\n"),
        ("p.csv", "m5.large,0.096\n\nc5.large, 0.085\n"),
    ],
)
def test_a_prices_file_is_json_or_csv(tmp_path: Path, name: str, text: str) -> None:
    """Both forms, with or without a header, give the same prices."""
    path = tmp_path / name
    path.write_text(text)
    expected = {"m5.large": 96_000, "c5.large": 85_000}

    assert expected == {k: v.microdollars_per_hour for k, v in prices.from_file(path).items()}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("m5.large,0.096\nc5.large,cheap\n", ":2: c5.large"),
        ("m5.large,0.096\nc5.large\n", ":2: expected"),
        ('{"m5.large": 0.096,\n oops}', ":2:2"),
        ('{"m5.large": -1}', ":1: m5.large"),
    ],
)
def test_a_broken_prices_file_says_where(tmp_path: Path, text: str, where: str) -> None:
    """The message carries file and line."""
    path = tmp_path / "p"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{path}{where}"):
        prices.from_file(path)


def test_the_model_is_as_good_as_it_says() -> None:
    """Against the published prices: median error at most 8 %, nine in ten within 23 %."""
    errors = []
    with shared_prices().open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["usd_hour_us_east_1"]:
                published = float(row["usd_hour_us_east_1"]) * 1e6
                own = prices.modelled(catalogue.load()[row["type"]]).microdollars_per_hour
                errors.append(abs(own / published - 1))

    assert statistics.median(errors) <= 0.08
    assert statistics.quantiles(errors, n=10)[-1] <= 0.23


def test_the_price_list_is_read_page_by_page() -> None:
    """Hourly on-demand dollars count; reservations without a price do not."""
    entry = {
        "product": {"attributes": {"instanceType": "m5.large"}},
        "terms": {
            "OnDemand": {
                "a": {"priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": "0.096"}}}}
            }
        },
    }
    free = {**entry, "product": {"attributes": {"instanceType": "c5.large"}}, "terms": {}}
    first = {"PriceList": [json.dumps(entry)], "NextToken": "more"}
    client = stubbed("pricing", "get_products", first, {"PriceList": [json.dumps(free)]})
    expected = prices.Price(96_000, "AWS price list, eu-west-1 on demand, 2026-11-23")

    assert {"m5.large": expected} == prices.on_demand(client, "eu-west-1", TODAY)


def test_the_latest_spot_price_of_a_zone_counts() -> None:
    """Older entries of the same type and zone are history."""
    now = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    entries = [
        {
            "InstanceType": "m5.large",
            "AvailabilityZone": "us-east-1a",
            "SpotPrice": dollars,
            "Timestamp": now - dt.timedelta(hours=hours),
        }
        for dollars, hours in (("0.03", 2), ("0.04", 1), ("0.05", 3))
    ]
    first = {"SpotPriceHistory": entries[:2], "NextToken": "more"}
    last = {"SpotPriceHistory": entries[2:]}
    client = stubbed("ec2", "describe_spot_price_history", first, last)
    found = prices.spot(client, "us-east-1", now)

    assert 40_000 == found["m5.large", "us-east-1a"].microdollars_per_hour


def test_without_aws_the_cache_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials: yesterday's prices with yesterday's date, or nothing without a cache."""
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    cache = tmp_path / "prices.json"
    cache.write_text('{"m5.large": [96000, "AWS price list, yesterday"]}')
    held = {"m5.large": prices.Price(96_000, "AWS price list, yesterday")}

    assert held == prices.aws_prices("us-east-1", TODAY, cache)
    assert {} == prices.aws_prices("us-east-1", TODAY)
