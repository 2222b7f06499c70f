"""Karpenter comes and goes; its NodeClasses, prices and stock are looked at every minute."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cloud.prices import Market, Price
from bayplan.cluster import cache
from bayplan.cluster.decode import Kind
from bayplan.cluster.informer import Informer
from bayplan.cluster.transport import Request
from bayplan.model import state
from bayplan.runtime.karpenter_market import MarketError
from bayplan.runtime.pool_watch import CURRENT_SECONDS, LOOK_SECONDS, PoolWatch
from tests.double import bodies
from tests.double.bell import Bell
from tests.double.bodies import encoded
from tests.double.loop import run
from tests.double.transport import Answer, Double, NoAnswer, Reply

SERVED = Answer(encoded({"resources": [{"name": "nodepools"}, {"name": "nodeclaims"}]}))
HALF = Answer(encoded({"resources": [{"name": "nodepools"}]}))
ABSENT = Answer(b"404 page not found\n", 404)
FORBIDDEN = Answer(encoded(bodies.status(403, "Forbidden", "may not get")), 403)
MARKET = Market({"m5.large": Price(96_000, "a test")})
CLASS = "KWOKNodeClass"


def metadata(name: str, version: int = 10) -> dict[str, Any]:
    return {"name": name, "uid": f"uid-{name}", "generation": 1, "resourceVersion": str(version)}


POOL = {
    "apiVersion": names.API_VERSION,
    "kind": "Pool",
    "metadata": metadata("batch"),
    "spec": {"nodePoolRef": {"name": "of-batch"}},
}
REFERENCE = {"group": "karpenter.kwok.sh", "kind": CLASS, "name": "plain"}
CLAIM = {"metadata": {**metadata("c1"), "labels": {names.POOL: "batch"}}}
SERVICE = {
    "metadata": {"name": "karpenter", "namespace": "kube-system"},
    "spec": {"ports": [{"name": "webhook", "port": 8443}, {"name": "http-metrics", "port": 8080}]},
}


def node_pool(**reference: str) -> dict[str, Any]:
    spec = {"requirements": [], "nodeClassRef": {**REFERENCE, **reference}}
    return {"metadata": metadata("of-batch"), "spec": {"template": {"spec": spec}}}


def node_class(version: int = 10, ready: str = "True") -> Answer:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return Answer(encoded({"metadata": metadata("plain", version), "status": status}))


class Watched:
    """A watch on a server with the Pool `batch`, its NodePool, and a claim."""

    def __init__(self, **options: Any) -> None:
        self.double = Double()
        self.bell = Bell()
        self.cache = cache.Cache(state.State(), self.bell)
        self.pools = self.cache.pools
        self.urls: list[tuple[float, str]] = []
        self.market: Callable[[], Market] = lambda: MARKET
        self.options = options
        self.reply("get", "Karpenter", SERVED)
        self.reply("list", "Pool", Answer(bodies.listed(POOL)))
        self.reply("list", "NodePool", Answer(bodies.listed(node_pool())))
        self.reply("list", "NodeClaim", Answer(bodies.listed(CLAIM)))
        self.reply("get", CLASS, node_class())
        self.reply("list", "Service", Answer(bodies.listed(SERVICE)))

    def reply(self, verb: str, kind: str, *answers: Reply) -> None:
        self.double.reply(verb, kind, *answers)

    def play(self, seconds: float, *acts: tuple[float, Callable[[], Any]]) -> None:
        async def market_at(url: str) -> Market:
            self.urls.append((asyncio.get_running_loop().time(), url))
            return self.market()

        async def play() -> None:
            running = asyncio.get_running_loop()
            watch = PoolWatch(
                self.double,
                self.cache,
                self._informer,
                lambda: 1_000_000 + running.time(),
                market_at=market_at,
                **self.options,
            )
            for at, act in acts:
                running.call_at(at, act)
            task = asyncio.create_task(watch.run())
            await asyncio.sleep(seconds)
            assert not task.done(), "the operator would end"
            task.cancel()
            await asyncio.wait([task])

        run(play())

    def _informer(self, kind: Kind) -> Informer:
        return Informer(
            kind, self.double, self.cache, jitter=lambda: 1.0, restarted=lambda _kind, _cause: None
        )

    def asked(self, kind: str, verb: str = "list") -> list[float]:
        """When this was asked."""
        both = zip(self.double.seen, self.double.times, strict=True)
        return [at for one, at in both if (one.verb, one.kind) == (verb, kind)]


class TestKarpenter:
    def test_served(self) -> None:
        """All three kinds are known at once."""
        watched = Watched()
        watched.play(5)

        assert watched.pools.synced
        assert (["batch"], ["of-batch"], ["c1"]) == (
            [*watched.pools.pools],
            [*watched.pools.node_pools],
            [*watched.pools.claims],
        )

    def test_absent(self) -> None:
        """It is looked for every minute, and Pools are known all the while, for their status."""
        watched = Watched()
        watched.reply("get", "Karpenter", ABSENT)
        watched.play(10 * LOOK_SECONDS + 1)

        assert 11 == len(watched.asked("Karpenter", "get"))
        assert [] == watched.asked("NodePool") + watched.asked("NodeClaim")
        assert not watched.pools.karpenter
        assert ["batch"] == [*watched.pools.pools]
        assert [] == watched.urls

    @pytest.mark.parametrize("first", [ABSENT, HALF, NoAnswer(), Answer(b"[]"), Answer(b"odd")])
    def test_installed_later(self, first: Reply) -> None:
        """Within a minute."""
        watched = Watched()
        watched.reply("get", "Karpenter", first, SERVED)
        watched.play(LOOK_SECONDS + 5)

        assert watched.pools.synced

    def test_removed_and_installed_again(self) -> None:
        """Its definitions are deleted under way: nothing breaks, and all is known again after."""
        watched = Watched()
        watched.reply("get", "Karpenter", SERVED, ABSENT, ABSENT, SERVED)
        watched.reply("list", "NodeClaim", Answer(bodies.listed(CLAIM)))
        between: list[Any] = []

        def look() -> None:
            between.append(
                (watched.pools.karpenter, watched.pools.synced, {**watched.pools.claims})
            )

        watched.play(3 * LOOK_SECONDS + 5, (2.5 * LOOK_SECONDS, look))
        assert [(False, False, {})] == between
        assert watched.pools.synced
        assert ["c1"] == [*watched.pools.claims]
        assert [] == watched.pools.gone

    @pytest.mark.parametrize("answer", [NoAnswer(), FORBIDDEN, Answer(b"odd")])
    def test_no_answer_changes_nothing(self, answer: Reply) -> None:
        """Only a clear answer says that it has gone."""
        watched = Watched()
        watched.reply("get", "Karpenter", SERVED, answer)
        watched.play(80)  # less than a watch may be silent

        assert 2 == len(watched.asked("Karpenter", "get"))
        assert watched.pools.synced
        assert 1 == len(watched.asked("NodeClaim"))

    def test_its_kinds_answer_404(self) -> None:
        """A definition that is going is no reason to end."""
        watched = Watched()
        watched.reply("list", "NodeClaim", ABSENT)
        watched.reply("list", "Pool", ABSENT)
        watched.play(20 * LOOK_SECONDS)

        assert not watched.pools.synced


class TestNodeClasses:
    def test_looked_at_every_minute(self) -> None:
        """At once when a Pool's NodePool names it, and again every minute; news ring."""
        watched = Watched()
        watched.reply("get", CLASS, node_class(), node_class(11), node_class(12, "False"))
        rings: list[int] = []

        def count() -> None:
            rings.append(watched.pools.changes)

        watched.play(
            LOOK_SECONDS * 3,
            *((LOOK_SECONDS * part, count) for part in (0.5, 1.5, 2.5)),
        )
        first, *others = watched.asked(CLASS, "get")
        assert first <= 2
        assert 2 == len(others)
        assert rings[0] == rings[1] < rings[2]
        (found,) = watched.pools.node_classes.values()
        assert "False" == found["status"]["conditions"][0]["status"]

    @pytest.mark.parametrize(
        ("answer", "told", "kept"),
        [
            (ABSENT, "KWOKNodeClass plain does not exist", False),
            (FORBIDDEN, "may not get", True),
            (NoAnswer(), "no answer", True),
        ],
    )
    def test_a_problem(self, answer: Reply, told: str, kept: bool) -> None:
        """It is told; what was known stays unless it is known to have gone."""
        watched = Watched()
        watched.reply("get", CLASS, node_class(), answer)
        watched.play(LOOK_SECONDS * 2)

        assert {(CLASS, "plain"): told} == watched.pools.node_class_problems
        assert kept is ((CLASS, "plain") in watched.pools.node_classes)

    @pytest.mark.parametrize("reference", [{"kind": "Other"}, {"group": "x.io"}, {"group": ""}])
    def test_an_unknown_provider(self, reference: dict[str, str]) -> None:
        """It is not guessed where its objects are."""
        watched = Watched()
        watched.reply("list", "NodePool", Answer(bodies.listed(node_pool(**reference))))
        watched.play(5)

        (problem,) = watched.pools.node_class_problems.values()
        assert "is of no known provider" in problem


class TestMarket:
    def test_found_by_its_service(self) -> None:
        """Once a minute, at the port for metrics."""
        watched = Watched()
        watched.play(10 * LOOK_SECONDS)

        assert {"http://karpenter.kube-system.svc:8080/metrics"} == {url for _, url in watched.urls}
        assert 10 <= len(watched.urls) <= 11
        assert (MARKET, "") == (watched.pools.market, watched.pools.market_problem)
        (query,) = {request.query for request in watched.double.seen if request.kind == "Service"}
        assert ("labelSelector", "app.kubernetes.io/name=karpenter") in query

    def test_at_the_url_that_is_set(self) -> None:
        """Nobody is asked for a Service then."""
        watched = Watched(metrics_url="http://there/metrics")
        watched.play(LOOK_SECONDS)

        assert {"http://there/metrics"} == {url for _, url in watched.urls}
        assert [] == watched.asked("Service")

    @pytest.mark.parametrize(
        "item", [None, {"metadata": SERVICE["metadata"]}, {**SERVICE, "spec": {"ports": [{}]}}]
    )
    def test_no_service(self, item: Any) -> None:
        """What to do is told."""
        watched = Watched()
        watched.reply("list", "Service", Answer(bodies.listed(*([item] if item else []))))
        watched.play(LOOK_SECONDS)

        assert watched.pools.market is None
        assert "--karpenter-metrics" in watched.pools.market_problem

    def test_groups_have_the_price_list_of_aws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once a day; every hour while AWS gives none. Nobody asks for Pools without groups."""
        asked: list[str] = []

        async def listed(region: str, _: object) -> dict[str, Price]:
            asked.append(region)
            return {} if len(asked) == 1 else {"m5.large": Price(90_000, "AWS")}

        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        watched = Watched(aws_prices=listed)
        watched.play(7300)
        none = list(asked)
        pool = {**POOL, "spec": {"autoScalingGroups": {}}}
        watched = Watched(aws_prices=listed)
        watched.reply("list", "Pool", Answer(bodies.listed(pool)))
        watched.play(7300)

        assert ([], ["eu-west-1"] * 2) == (none, asked)
        assert 90_000 == watched.pools.book.aws["m5.large"].microdollars_per_hour

    def test_no_pool_no_look(self) -> None:
        """Where nobody has a Pool, nobody is asked for prices."""
        watched = Watched()
        watched.reply("list", "Pool", Answer(bodies.listed()))
        watched.play(3 * LOOK_SECONDS)

        assert [] == watched.urls

    def test_a_failure_keeps_it_for_a_while(self) -> None:
        """Ten minutes; then no price is believed. The reason is told at once."""
        watched = Watched()
        seen: list[tuple[bool, str]] = []

        def fail() -> Market:
            raise MarketError("it is down")

        def break_down() -> None:
            watched.market = fail

        def look() -> None:
            seen.append((watched.pools.market is MARKET, watched.pools.market_problem))

        watched.play(
            100 + CURRENT_SECONDS + 2 * LOOK_SECONDS,
            (100, break_down),
            (100 + LOOK_SECONDS + 1, look),
            (CURRENT_SECONDS, look),
            (99 + CURRENT_SECONDS + 2 * LOOK_SECONDS, look),
        )
        assert [(True, "it is down"), (True, "it is down"), (False, "it is down")] == seen

    def test_it_comes_back(self) -> None:
        """The problem goes with it."""
        watched = Watched()

        def fail() -> Market:
            raise MarketError("it is down")

        watched.market = fail
        watched.play(3 * LOOK_SECONDS, (100, lambda: setattr(watched, "market", lambda: MARKET)))

        assert (MARKET, "") == (watched.pools.market, watched.pools.market_problem)

    def test_a_defect_ends_nothing(self) -> None:
        """Prices are not worth the process."""
        watched = Watched()

        def fail() -> Market:
            raise KeyError("a defect")

        watched.market = fail
        watched.play(3 * LOOK_SECONDS)
        assert 3 <= len(watched.urls) <= 4

    def test_the_same_market_rings_nobody(self) -> None:
        """An hour of the same prices is no news."""
        watched = Watched()
        counted: list[int] = []
        watched.play(
            3600,
            (10, lambda: counted.append(watched.pools.changes)),
            (3599, lambda: counted.append(watched.pools.changes)),
        )
        assert counted[0] == counted[1]


def test_the_prices_file_is_read_again(tmp_path: Path) -> None:
    """A ConfigMap that is changed counts within a minute; a wrong one is not taken."""
    file = tmp_path / "prices.csv"
    file.write_text("m5.large,0.1\n")
    watched = Watched(prices_file=file)
    seen: list[dict[str, int]] = []

    def write(text: str) -> None:
        file.write_text(text)
        os.utime(file, (len(text), len(text)))

    def look() -> None:
        book = watched.pools.book.file
        seen.append({name: price.microdollars_per_hour for name, price in book.items()})

    watched.play(
        4 * LOOK_SECONDS,
        (5, look),
        (6, lambda: write("m5.large,0.25\n")),
        (LOOK_SECONDS + 5, look),
        (LOOK_SECONDS + 6, lambda: write("m5.large,dear\n")),
        (2 * LOOK_SECONDS + 5, look),
        (2 * LOOK_SECONDS + 6, file.unlink),
        (3 * LOOK_SECONDS + 5, look),
    )
    assert [{"m5.large": 100_000}, *[{"m5.large": 250_000}] * 3] == seen


def test_its_requests_are_few() -> None:
    """An hour costs the API server three requests a minute, and no writes."""
    watched = Watched()
    watched.play(3600)
    asked: list[Request] = [
        one for one in watched.double.seen if one.kind in {"Karpenter", CLASS, "Service"}
    ]

    assert len(asked) <= 60 * 3 + 3
    assert {"GET"} == {one.method for one in watched.double.seen}
