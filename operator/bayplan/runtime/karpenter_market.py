"""Fetches Karpenter's page of metrics, and reads the market on it; bounded in size and time."""

import asyncio

import aiohttp

from bayplan.cloud import karpenter_metrics
from bayplan.cloud.prices import Market

MOST_BYTES = 64 << 20  # 1,000 types in 6 zones are about 10 MB
SECONDS = 20.0
# Karpenter's standby serves a page without prices, and its Service chooses anew for each
# connection. With one standby, as in its chart, one look in 32 meets the standby alone.
TRIES = 5


class MarketError(Exception):
    """There is no market at this address; the message says why."""


async def market_at(url: str) -> Market:
    """The prices and the stock that this page tells."""
    for left in reversed(range(TRIES)):
        page = await _page(url)
        try:
            return await asyncio.to_thread(karpenter_metrics.market, page)
        except ValueError as error:
            if not left:
                raise MarketError(f"{url} has no prices of instance types: {error}") from error
    raise AssertionError("unreachable")


async def _page(url: str) -> str:
    limits = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  HTTP
                raise MarketError(f"{url} answered {response.status}")
            read = bytearray()
            async for part in response.content.iter_chunked(1 << 16):
                read += part
                if len(read) > MOST_BYTES:
                    raise MarketError(f"{url} has more than {MOST_BYTES >> 20} MiB")
            return read.decode(errors="replace")
    except TimeoutError as error:
        raise MarketError(f"{url} did not answer within {SECONDS:.0f} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise MarketError(f"{url}: {str(error) or type(error).__name__}") from error
