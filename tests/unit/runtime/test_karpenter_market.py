"""Karpenter's page of metrics over real HTTP: found, odd, too large, or not there."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bayplan.cloud.karpenter_metrics import SOURCE
from bayplan.cloud.prices import Price
from bayplan.runtime import karpenter_market
from bayplan.runtime.karpenter_market import TRIES, MarketError, market_at

NAME = "karpenter_cloudprovider_instance_type_offering"
OFFER = '{capacity_type="on-demand",instance_type="m5.large",zone="us-east-1a"}'
PAGE = f"# TYPE {NAME}_price_estimate gauge\n{NAME}_price_estimate{OFFER} 0.096\n"
STANDBY = "# TYPE go_goroutines gauge\ngo_goroutines 7\n"


@contextmanager
def serving(*pages: tuple[int, str]) -> Iterator[tuple[str, list[str]]]:
    """A server's URL and the paths that it was asked for; the last page is repeated."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, page = pages[min(len(asked), len(pages) - 1)]
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_karpenter_believes() -> None:
    """Prices and stock by one request."""
    with serving((200, PAGE)) as (url, asked):
        found = asyncio.run(market_at(url))

    assert {"m5.large": Price(96_000, SOURCE)} == found.on_demand
    assert frozenset({("m5.large", "us-east-1a", "on-demand")}) == found.there
    assert ["/metrics"] == asked


def test_the_standby_has_no_prices() -> None:
    """A Service may lead to the replica that does not work: it is asked again, not for ever."""
    with serving((200, STANDBY), (200, STANDBY), (200, PAGE)) as (url, asked):
        assert asyncio.run(market_at(url)).on_demand
        assert 3 == len(asked)

    with serving((200, STANDBY)) as (url, asked):
        with pytest.raises(MarketError, match="has no prices of instance types"):
            asyncio.run(market_at(url))
        assert TRIES == len(asked)


@pytest.mark.parametrize(("status", "told"), [(500, "answered 500"), (302, "answered 302")])
def test_another_answer(status: int, told: str) -> None:
    """It is told, with the address; nobody is led elsewhere."""
    with serving((status, PAGE)) as (url, asked):
        with pytest.raises(MarketError, match=told) as error:
            asyncio.run(market_at(url))
        assert url in str(error.value)
        assert ["/metrics"] == asked


def test_nobody_answers() -> None:
    """The address is told."""
    with serving((200, PAGE)) as (url, _):
        pass
    with pytest.raises(MarketError, match=url):
        asyncio.run(market_at(url))


def test_a_page_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded in size."""
    monkeypatch.setattr(karpenter_market, "MOST_BYTES", 1 << 20)
    with (
        serving((200, "x" * (3 << 20))) as (url, _),
        pytest.raises(MarketError, match="more than 1 MiB"),
    ):
        asyncio.run(market_at(url))
