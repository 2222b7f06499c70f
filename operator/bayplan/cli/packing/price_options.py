"""The options that say what instances cost: a file, AWS's list, AWS's spot market."""

import datetime as dt
import os
import re
from pathlib import Path

from bayplan.cloud import prices
from bayplan.inputs import InputError

_REGION = r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}"


def book_of(price_file: Path | None, region: str = "") -> prices.Book:
    """The user's prices, those of AWS in a region if one is named, the model behind them."""
    if region and not re.fullmatch(_REGION, region):
        raise InputError("--aws-prices", f"{region[:40]!r} is no region, such as eu-west-1")
    try:
        file = prices.from_file(price_file) if price_file is not None else {}
    except (OSError, ValueError) as error:
        raise InputError("--prices", str(error)) from error
    today = dt.datetime.now(dt.UTC).date()
    aws = prices.aws_prices(region, today, _cache(f"prices-{region}")) if region else {}
    return prices.Book(file, aws)


def spot_of(region: str) -> dict[tuple[str, str], prices.Price]:
    """AWS's spot prices in a region by type and zone; an error without any: no model knows them."""
    found = prices.aws_spot(region, dt.datetime.now(dt.UTC), _cache(f"spot-{region}"))
    if not found:
        why = "AWS gave no spot prices: are boto3 (extra `aws`), credentials and network there?"
        raise InputError("--spot", why)
    return found


def _cache(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bayplan" / f"{name}.json"
