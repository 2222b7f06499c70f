"""Prices of AWS over HTTP: on demand, spot, kept for a day, and silence that does no harm."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from bayplan.cli.main import main

PRODUCT = {
    "product": {"attributes": {"instanceType": "m7i.large"}},
    "terms": {
        "OnDemand": {
            "a": {"priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": "0.25"}}}}
        }
    },
}
SPOT = """<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<spotPriceHistorySet>{}</spotPriceHistorySet><nextToken/></DescribeSpotPriceHistoryResponse>"""
ITEM = """<item><instanceType>m7i.large</instanceType><productDescription>Linux/UNIX
</productDescription><spotPrice>{}</spotPrice><timestamp>2026-01-01T00:00:00.000Z</timestamp>
<availabilityZone>eu-west-1{}</availabilityZone></item>"""


class Aws(BaseHTTPRequestHandler):
    """AWS's price list and its spot history; `server.asked` counts."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if "X-Amz-Target" in self.headers:
            body = json.dumps({"FormatVersion": "aws_v1", "PriceList": [json.dumps(PRODUCT)]})
        else:
            body = SPOT.format(ITEM.format("0.05", "a") + ITEM.format("0.07", "b"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing: the test says what went wrong."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An AWS on loopback, and what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    calls: list[str] = []
    server.asked = calls  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    alone(tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield calls
    server.shutdown()
    server.server_close()


def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's AWS settings, and a cache of one's own."""
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    for key in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(key, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*options: str, zone: str = "eu-west-1a") -> Result:
    requests = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    container = {"name": "main", "image": "x", "resources": requests}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    words = ["simulate", "--seconds", "0.05", "-o", "json", "--instance-type", "m7i.large"]
    return CliRunner().invoke(main, [*words, "--zone", zone, *options, "-"], input=yaml.dump(pod))


def priced(result: Result) -> tuple[int, str]:
    assert 0 == result.exit_code, result.output

    [kind] = json.loads(result.stdout)["types"]
    return kind["costMicrodollarsPerHour"], kind["priceSource"]


def test_on_demand_prices_are_asked_for_once_a_day(asked: list[str]) -> None:
    """The second question is answered by the cache; the source names list, region and day."""
    first, second = (priced(run("--aws-prices", "eu-west-1")) for _ in range(2))

    assert first == second
    assert 250_000 == first[0]
    assert first[1].startswith("AWS price list, eu-west-1 on demand, 20")
    assert 1 == len(asked)


def test_spot_costs_what_the_dearest_zone_does(asked: list[str]) -> None:
    """One zone: its own price; two: no less than either; and what AWS does not sell is refused."""
    options = ("--aws-prices", "eu-west-1", "--spot")
    one, two = run(*options), run(*options, "--zone", "eu-west-1b")
    none = run(*options, zone="eu-west-1c")

    assert [50_000, 70_000] == [priced(one)[0], priced(two)[0]]
    assert "spot price history, eu-west-1" in priced(one)[1]
    assert 2 == none.exit_code
    assert "AWS has no spot price for any of these types in eu-west-1c" in none.output
    assert 2 == len(asked)


def test_a_silent_aws_is_said_and_replaced_by_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials the model answers and says so; spot has no model."""
    alone(tmp_path, monkeypatch)
    modelled = run("--aws-prices", "eu-west-1")

    assert priced(modelled)[1].startswith("linear model")
    assert "AWS gave no prices for eu-west-1: a linear model stands in" in modelled.stderr
    assert 2 == run("--aws-prices", "eu-west-1", "--spot").exit_code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--spot",), "--spot: only AWS knows these prices: add --aws-prices REGION"),
        (("--aws-prices", "../../etc"), "--aws-prices: '../../etc' is not a region"),
    ],
)
def test_wrong_options(options: tuple[str, ...], said: str) -> None:
    """One line that names the option; nobody is asked."""
    result = run(*options)

    assert 2 == result.exit_code
    assert said in result.output
