"""What an instance type costs an hour, and the source of that price.

A price never travels without its source. The price on a node itself (`Node.price_microdollars`)
comes first. For a type, `Book` asks in order: a prices file, prices fetched from AWS, and last a
linear model, so that there is always a number and a reader can always see how much to trust it.
Microdollars are integers; text is read exactly.
"""

import contextlib
import csv
import dataclasses
import datetime as dt
import decimal
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from bayplan.cloud.catalogue import InstanceType

_PRICING_REGION = "us-east-1"  # one of the few regions with an endpoint for the price list
_MICRO = 1_000_000
_GIB = 1 << 30
MOST_DOLLARS = 100_000  # an hour; a higher price is a typing error

# Dollars an hour, on demand, Linux, us-east-1, fitted to AWS's published prices of 1,340 types on
# 2026-07-20 (least absolute relative error, no coefficient below 0). Median error 7.8 % over all
# types, 7.7 % over c, m and r, 3.2 % over those with accelerators; nine in ten are within 22 %.
MODEL_SOURCE = "linear model (us-east-1 on demand, 2026-07-20; median error 8 %)"
_DOLLARS_PER_CPU = {  # by manufacturer and generation
    "intel": {4: 0.031552, 5: 0.031337, 6: 0.033446, 7: 0.031358, 8: 0.040324},
    "amd": {5: 0.026194, 6: 0.021479, 7: 0.037459, 8: 0.039656},
    "graviton": {4: 0.013194, 5: 0.020814, 6: 0.018626, 7: 0.022018, 8: 0.028467},
}
_DOLLARS_PER_BURSTABLE_CPU = 0.002192
_DOLLARS_PER_GIB = 0.004227
_DOLLARS_PER_STORE_TERABYTE = 0.059371
_DOLLARS_PER_GIGABIT = 0.012328
_DOLLARS_PER_GPU_GIB = {
    "A100": 0.027877,
    "A10G": 0.031013,
    "B200": 0.066028,
    "B300": 0.052098,
    "H100": 0.058327,
    "H200": 0.03932,
    "L4": 0.013608,
    "L40S": 0.03459,
    "RTX PRO 4500": 0.03971,
    "RTX PRO Server 6000": 0.019137,
    "T4": 0.014315,
    "T4g": 0.01797,
    "V100": 0.092177,
}
_DOLLARS_PER_OTHER_GPU_GIB = 0.0318  # the median of the values above
_DOLLARS_PER_NEURON_CORE = {"inf1": 0.0, "inf2": 0.101848}
_DOLLARS_PER_OTHER_NEURON_CORE = 0.444706  # trn1
_OLDEST, _NEWEST = 4, 8


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """Microdollars an hour, and the source of the number."""

    microdollars_per_hour: int
    source: str


Offering = tuple[str, str, str]  # instance type, zone, capacity type


@dataclasses.dataclass(frozen=True, slots=True)
class Market:
    """What can be had now, and for how much: `on_demand` by type, `spot` by type and zone.

    `there` has every offering that can be had; None where nobody says what cannot. `zones` are all
    in which anything is ever sold, also while it is sold out.
    """

    on_demand: Mapping[str, Price] = dataclasses.field(default_factory=dict)
    spot: Mapping[tuple[str, str], Price] = dataclasses.field(default_factory=dict)
    there: frozenset[Offering] | None = None
    zones: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Book:
    """Prices known so far; a type that is in neither mapping is priced by the model."""

    file: Mapping[str, Price] = dataclasses.field(default_factory=dict)  # instance type -> price
    aws: Mapping[str, Price] = dataclasses.field(default_factory=dict)  # instance type -> price

    def of(self, instance_type: InstanceType) -> Price:
        """The price from the first source that knows it: file, AWS, model."""
        name = instance_type.name
        return self.file.get(name) or self.aws.get(name) or modelled(instance_type)


def from_file(path: Path) -> dict[str, Price]:
    """Prices by instance type: a JSON object, or CSV lines `type,dollars per hour`.

    The first CSV line may be a header. ValueError names file, line and what is wrong.
    """
    source = f"prices file {path.name}"
    pairs: Iterable[tuple[int, str, object]]
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("{"):
        try:
            loaded = json.loads(text, parse_float=str, parse_int=str)
        except json.JSONDecodeError as wrong:
            raise ValueError(f"{path}:{wrong.lineno}:{wrong.colno}: {wrong.msg}") from wrong
        except RecursionError as wrong:
            raise ValueError(f"{path}: nested too deep for a list of prices") from wrong
        pairs = [(1, name, dollars) for name, dollars in loaded.items()]
    else:
        try:
            rows = [(n, row) for n, row in enumerate(csv.reader(text.splitlines()), 1) if row]
        except csv.Error as wrong:
            raise ValueError(f"{path}: {wrong}") from wrong
        if rows and len(rows[0][1]) > 1 and not _is_dollars(rows[0][1][1]):
            rows = rows[1:]
        short = next((n for n, row in rows if len(row) < len(("type", "dollars"))), None)
        if short is not None:
            raise ValueError(f"{path}:{short}: expected `type,dollars per hour`")
        pairs = [(n, row[0].strip(), row[1]) for n, row in rows]
    prices = {}
    for line, name, dollars in pairs:
        try:
            prices[name] = Price(microdollars(str(dollars)), source)
        except ValueError as wrong:
            raise ValueError(f"{path}:{line}: {name}: {wrong}") from wrong
    return prices


def microdollars(dollars: str) -> int:
    """Dollars as text → microdollars, exact; a fraction of a microdollar is rounded up; above 0."""
    if not _is_dollars(dollars):
        raise ValueError(f"`{dollars[:40]}` is not a price in dollars")
    exact = decimal.Decimal(dollars.strip()) * _MICRO
    rounded = int(exact.to_integral_value(rounding=decimal.ROUND_CEILING))
    if not 0 < rounded <= MOST_DOLLARS * _MICRO:
        raise ValueError(f"`{dollars[:40]}` is not between 0 and {MOST_DOLLARS} dollars")
    return rounded


def modelled(instance_type: InstanceType) -> Price:
    """A price estimated from what the type has; its source says that it is an estimate."""
    dollars = _cpu_dollars(instance_type)
    dollars += _DOLLARS_PER_GIB * instance_type.memory_bytes / _GIB
    dollars += _DOLLARS_PER_STORE_TERABYTE * instance_type.instance_store_bytes / 1e12
    dollars += _DOLLARS_PER_GIGABIT * instance_type.network_baseline_mbps / 1000
    per_gib = _DOLLARS_PER_GPU_GIB.get(instance_type.gpu_name, _DOLLARS_PER_OTHER_GPU_GIB)
    dollars += per_gib * instance_type.gpu_memory_bytes / _GIB
    cores = instance_type.gpus.get("aws.amazon.com/neuroncore", 0)
    dollars += cores * _DOLLARS_PER_NEURON_CORE.get(
        instance_type.family, _DOLLARS_PER_OTHER_NEURON_CORE
    )
    return Price(max(1, round(dollars * _MICRO)), MODEL_SOURCE)


def _cpu_dollars(instance_type: InstanceType) -> float:
    cpus = instance_type.cpu_milli / 1000
    if instance_type.burstable:
        return cpus * _DOLLARS_PER_BURSTABLE_CPU
    parts = re.fullmatch(r"([a-z]+)(\d+)([a-z]*)(?:-.*)?", instance_type.family)
    series, generation, traits = parts.groups() if parts else ("", "0", "")
    maker = "intel"
    if instance_type.arch == "arm64":
        maker = "graviton"
    elif "a" in traits and series in {"c", "m", "r", "g", "hpc"}:
        maker = "amd"
    by_generation = _DOLLARS_PER_CPU[maker]
    known = min(max(int(generation), _OLDEST), _NEWEST)
    return cpus * by_generation.get(known, by_generation[5])


def _is_dollars(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,12})?\s*", text) is not None


class PricingClient(Protocol):
    """The part of boto3's `pricing` client that we use."""

    def get_paginator(self, operation_name: str) -> Any: ...


class SpotClient(Protocol):
    """The part of boto3's `ec2` client that we use."""

    def get_paginator(self, operation_name: str) -> Any: ...


def on_demand(client: PricingClient, region: str, today: dt.date) -> dict[str, Price]:
    """Linux on-demand prices of a region by instance type, from AWS's price list."""
    wanted = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": wanted[key]} for key in wanted]
    source = f"AWS price list, {region} on demand, {today.isoformat()}"
    pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    prices = {}
    for page in pages:
        for listed in page["PriceList"]:
            product = json.loads(listed) if isinstance(listed, str) else listed
            name = product["product"]["attributes"].get("instanceType", "")
            for term in product.get("terms", {}).get("OnDemand", {}).values():
                for dimension in term["priceDimensions"].values():
                    dollars = dimension["pricePerUnit"].get("USD", "0")
                    if dimension.get("unit") == "Hrs" and decimal.Decimal(dollars) > 0:
                        prices[name] = Price(microdollars(dollars), source)
    return prices


def spot(client: SpotClient, region: str, now: dt.datetime) -> dict[tuple[str, str], Price]:
    """The present Linux spot price by (instance type, zone)."""
    source = f"AWS spot price history, {region}, {now.date().isoformat()}"
    pages = client.get_paginator("describe_spot_price_history").paginate(
        ProductDescriptions=["Linux/UNIX"], StartTime=now
    )
    latest: dict[tuple[str, str], tuple[dt.datetime, Price]] = {}
    for page in pages:
        for entry in page["SpotPriceHistory"]:
            key = (entry["InstanceType"], entry["AvailabilityZone"])
            price = Price(microdollars(entry["SpotPrice"]), source)
            if key not in latest or latest[key][0] < entry["Timestamp"]:
                latest[key] = (entry["Timestamp"], price)
    return {key: price for key, (_, price) in latest.items()}


def aws_prices(region: str, today: dt.date, cache: Path | None = None) -> dict[str, Price]:
    """On-demand prices of a region from AWS, once a day; cached prices if AWS does not answer.

    Without boto3 (extra `aws`), credentials, network or cache the result is empty. The source names
    the date.
    """
    fresh = f"AWS price list, {region} on demand, {today.isoformat()}"

    def ask(boto: Any) -> dict[str, Price]:
        return on_demand(boto("pricing", _PRICING_REGION), region, today)

    return _once_a_day(cache, fresh, ask)


def aws_spot(
    region: str, now: dt.datetime, cache: Path | None = None
) -> dict[tuple[str, str], Price]:
    """Spot prices by (instance type, zone), fetched and cached like those of `aws_prices`."""
    fresh = f"AWS spot price history, {region}, {now.date().isoformat()}"

    def ask(boto: Any) -> dict[str, Price]:
        found = spot(boto("ec2", region), region, now)
        return {f"{name} {zone}": price for (name, zone), price in found.items()}

    pairs = ((key.partition(" "), price) for key, price in _once_a_day(cache, fresh, ask).items())
    return {(name, zone): price for (name, _, zone), price in pairs}


def _once_a_day(
    cache: Path | None, fresh: str, ask: Callable[[Any], dict[str, Price]]
) -> dict[str, Price]:
    """The cached prices if they are of today, else AWS's answer, else older cached prices."""
    held = _cached(cache)
    if held and all(price.source == fresh for price in held.values()):
        return held
    try:
        import boto3  # noqa: PLC0415  an extra, and slow to import
        from botocore import config, exceptions  # noqa: PLC0415
    except ImportError:
        return held
    short = config.Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 2})
    try:
        fetched = ask(lambda name, where: boto3.client(name, region_name=where, config=short))
    except (exceptions.BotoCoreError, exceptions.ClientError):
        return held
    if cache is not None and fetched:
        rows = {name: dataclasses.astuple(price) for name, price in fetched.items()}
        with contextlib.suppress(OSError):  # no writable home: AWS is asked again next time
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(rows), encoding="utf-8")
    return fetched or held


def _cached(cache: Path | None) -> dict[str, Price]:
    """The prices that an earlier call wrote; a file that cannot be read counts as absent."""
    if cache is None or not cache.exists():
        return {}
    try:
        rows = json.loads(cache.read_text(encoding="utf-8"))
        return {name: Price(int(micro), str(source)) for name, (micro, source) in rows.items()}
    except (ValueError, TypeError, AttributeError, OSError):
        return {}
