"""Reads the options for prices of instances: a file, AWS's list, AWS's spot market."""

import datetime as dt
import http.client
import os
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bayplan.cloud import prices
from bayplan.cloud.prices import Market
from bayplan.inputs import InputError

_TIMEOUT_SECONDS = 10.0
_MOST_METRICS = 256 << 20  # bytes
_REGION = r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}"


def market_of(where: str) -> Market:
    """The market in Karpenter's metrics; `where` is a URL or a file, empty for no market."""
    if not where:
        return Market()
    from bayplan.cloud import karpenter_metrics  # loads prometheus_client

    try:
        if where.startswith(("http://", "https://")):
            with urllib.request.urlopen(where, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                text = answer.read(_MOST_METRICS).decode(errors="replace")
        else:
            text = Path(where).read_text(encoding="utf-8")
        return karpenter_metrics.market(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError("--karpenter-metrics", f"{where}: {error}") from error


def book_of(
    price_file: Path | None, region: str = "", believed: Mapping[str, prices.Price] | None = None
) -> prices.Book:
    """Prices of the user's file, of Karpenter, of AWS if `region` is set, then of the model."""
    if region and not re.fullmatch(_REGION, region):
        raise InputError("--aws-prices", f"{region[:40]!r} is not a region, such as eu-west-1")
    try:
        file = prices.from_file(price_file) if price_file is not None else {}
    except (OSError, ValueError) as error:
        raise InputError("--prices", str(error)) from error
    today = dt.datetime.now(dt.UTC).date()
    aws = prices.aws_prices(region, today, _cache(f"prices-{region}")) if region else {}
    return prices.Book(file, {**aws, **(believed or {})})


def spot_of(region: str) -> dict[tuple[str, str], prices.Price]:
    """AWS's spot prices in a region by type and zone; an error if there are none.

    No model can stand in for spot prices.
    """
    found = prices.aws_spot(region, dt.datetime.now(dt.UTC), _cache(f"spot-{region}"))
    if not found:
        why = "AWS gave no spot prices: are boto3 (extra `aws`), credentials and network there?"
        raise InputError("--spot", why)
    return found


def _cache(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bayplan" / f"{name}.json"
