"""Metrics and readiness over HTTP."""

import http.client
from collections.abc import Iterator

import pytest

from bayplan.metrics import Metrics
from bayplan.runtime.http_endpoint import HttpEndpoint


@pytest.fixture
def lacks() -> list[str]:
    """What readiness lacks, to be changed by the test."""
    return [""]


@pytest.fixture
def connection(lacks: list[str]) -> Iterator[http.client.HTTPConnection]:
    metrics = Metrics()
    metrics.leader.set(1)
    served = HttpEndpoint("127.0.0.1", 0, page=metrics.page, ready=lambda: lacks[0])
    served.start()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    yield connection
    connection.close()
    served.stop()


def answer(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_metrics_are_served(connection: http.client.HTTPConnection) -> None:
    """`/metrics` is what Prometheus scrapes."""
    status, text = answer(connection, "/metrics?x=1")

    assert 200 == status
    assert "bayplan_leader 1.0" in text


def test_readiness_says_what_is_lacking(
    connection: http.client.HTTPConnection, lacks: list[str]
) -> None:
    """`/readyz` is 503 with the reason, then 200."""
    lacks[0] = "not synced yet"

    assert (503, "not synced yet\n") == answer(connection, "/readyz")

    lacks[0] = ""

    assert (200, "ready\n") == answer(connection, "/readyz")


def test_other_paths_are_not_found(connection: http.client.HTTPConnection) -> None:
    """Nothing else is served."""
    assert 404 == answer(connection, "/secrets")[0]
