"""Keeps what is known of Pools up to date: Karpenter's kinds, its NodeClasses, prices and stock.

Karpenter may be installed and removed while we run: its API is looked for every minute, and its
objects are watched while it is served.
"""

import asyncio
import datetime as dt
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bayplan import logs
from bayplan.cloud import prices
from bayplan.cluster import decode, errors, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.decode import Kind
from bayplan.cluster.informer import Informer
from bayplan.cluster.pools import NODE_CLAIM, NODE_POOL, POOL
from bayplan.cluster.transport import Request, Transport
from bayplan.model.node_pools import node_class_of
from bayplan.model.untyped import mapping, sequence
from bayplan.runtime.karpenter_market import MarketError, market_at

API = "/apis/karpenter.sh/v1"
LOOK_SECONDS = 60.0
CURRENT_SECONDS = 600.0  # a market that is older is not believed any more
_HOUR_SECONDS, _DAY_SECONDS = 3600.0, 86_400.0
_TURN_SECONDS = 1.0  # how soon a NodeClass that is newly named is looked at
_LABEL = "app.kubernetes.io/name=karpenter"
_PORT = "http-metrics"
_NO_SERVICE = (
    f"no Service with the label {_LABEL} has a port {_PORT}; set --karpenter-metrics to the URL of "
    "Karpenter's metrics"
)

_Class = tuple[str, str, str]  # group, kind, name


class PoolWatch:
    """`informer` makes the informer of a kind; `now` is in epoch seconds.

    `metrics_url` is empty if Karpenter's Service is to be found.
    """

    def __init__(
        self,
        transport: Transport,
        cache: Cache,
        informer: Callable[[Kind], Informer],
        now: Callable[[], float],
        *,
        metrics_url: str = "",
        prices_file: Path | None = None,
        look_seconds: float = LOOK_SECONDS,
        market_at: Callable[[str], Awaitable[prices.Market]] = market_at,
        aws_prices: Callable[[str, dt.date], Awaitable[Mapping[str, prices.Price]]] | None = None,
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._pools = cache.pools
        self._informer = informer
        self._now = now
        self._metrics_url = metrics_url
        self._prices_file = prices_file
        self._prices_at = (0, 0)  # the file's time and size when it was read
        self._look_seconds = look_seconds
        self._market_at = market_at
        self._aws_prices = aws_prices or _in_thread
        self._ask_aws_at = 0.0  # epoch seconds
        self._watching: list[asyncio.Task[Any]] = []
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Watch for ever. It raises only what must end the process, as any informer does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer(decode.kind_of(POOL)).run())
            group.create_task(self._watch_karpenter(group))
            group.create_task(self._watch_market())

    # ---- Karpenter's kinds ----------------------------------------------------------------

    async def _watch_karpenter(self, group: asyncio.TaskGroup) -> None:
        while True:
            served = await self._is_served()
            if served and not self._watching:
                self._pools.karpenter = True
                for kind in (NODE_POOL, NODE_CLAIM):
                    informer = self._informer(decode.kind_of(kind))
                    self._watching.append(group.create_task(informer.run()))
            elif served is False and self._watching:
                for task in self._watching:
                    task.cancel()
                await asyncio.wait(self._watching)
                self._watching.clear()
                self._cache.lose_karpenter()
            if served is not None:
                self._say("karpenter", f"{API} is {'' if served else 'not '}served")
                if not self._pools.looked:
                    self._pools.looked = True
                    self._pools.changed()
            await asyncio.sleep(self._look_seconds if self._pools.looked else _TURN_SECONDS)

    async def _is_served(self) -> bool | None:
        """Whether the API server serves Karpenter's API; None without an answer."""
        try:
            found = json.loads(await self._asked(Request("GET", API, verb="get", kind="Karpenter")))
        except errors.NotFound:
            return False
        except (errors.ClusterError, ValueError):
            return None
        plurals = {mapping(one).get("name") for one in sequence(mapping(found).get("resources"))}
        return {"nodepools", "nodeclaims"} <= plurals

    # ---- NodeClasses, prices and stock ----------------------------------------------------

    async def _watch_market(self) -> None:
        """Look every minute, and at once for a NodeClass that no look has asked for."""
        looked, due = frozenset[_Class](), 0.0
        running = asyncio.get_running_loop()
        while True:
            named = self._named()
            if running.time() >= due or named - looked:
                looked, due = named, running.time() + self._look_seconds
                try:
                    await self._look(named)
                except Exception as error:  # noqa: BLE001  prices are not worth the process
                    self._say("market", repr(error))
            await asyncio.sleep(_TURN_SECONDS)

    def _named(self) -> frozenset[_Class]:
        """The NodeClasses of the NodePools that Pools name."""
        found = set()
        for pool in self._pools.pools.values():
            stored = self._pools.node_pools.get(pool.node_pool)
            if stored is not None:
                found.add(node_class_of(stored.body))
        return frozenset(found)

    async def _look(self, named: frozenset[_Class]) -> None:
        self._read_prices()
        if any(pool.groups_tag for pool in self._pools.pools.values()):
            await self._ask_aws_for_prices()
        await self._read_classes(named)
        if self._pools.karpenter and self._pools.pools:
            await self._read_market()

    def _read_prices(self) -> None:
        """Read the prices file when it has changed; the last prices stay if it cannot be read."""
        if self._prices_file is None:
            return
        try:
            now = self._prices_file.stat()
            if (now.st_mtime_ns, now.st_size) == self._prices_at:
                return
            file = prices.from_file(self._prices_file)
        except (OSError, ValueError) as error:
            self._say("prices file", str(error))
            return
        self._said.pop("prices file", None)
        self._prices_at = now.st_mtime_ns, now.st_size
        self._pools.book = prices.Book(file=file, aws=self._pools.book.aws)
        self._pools.changed()

    async def _ask_aws_for_prices(self) -> None:
        """Have the price list of AWS once a day; without it the prices file and estimates count."""
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        if not region or self._now() < self._ask_aws_at:
            return
        today = dt.datetime.fromtimestamp(self._now(), dt.UTC).date()
        found = await self._aws_prices(region, today)
        self._ask_aws_at = self._now() + (_DAY_SECONDS if found else _HOUR_SECONDS)
        if found and found != self._pools.book.aws:
            self._pools.book = prices.Book(file=self._pools.book.file, aws=found)
            self._pools.changed()

    async def _read_classes(self, named: frozenset[_Class]) -> None:
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        problems: dict[tuple[str, str], str] = {}
        for group, kind, name in sorted(named):
            if not _is_known(group, kind):
                problems[kind, name] = f"{kind} of {group or 'no group'} is of no known provider"
                continue
            try:
                body = json.loads(await self._asked(requests.get(kind, "", name)))
            except errors.NotFound:
                problems[kind, name] = f"{kind} {name} does not exist"
            except (errors.ClusterError, ValueError) as error:
                problems[kind, name] = str(error)
                before = self._pools.node_classes.get((kind, name))
                if before is not None:
                    found[kind, name] = before
            else:
                found[kind, name] = mapping(body)
        news = {key: _content(body) for key, body in found.items()}
        known = {key: _content(body) for key, body in self._pools.node_classes.items()}
        changed = (news, problems) != (known, self._pools.node_class_problems)
        self._pools.node_classes, self._pools.node_class_problems = found, problems
        if changed:
            self._pools.changed()

    async def _read_market(self) -> None:
        """A failure keeps the last market for some minutes."""
        pools = self._pools
        before = pools.market, pools.market_problem
        try:
            url = self._metrics_url or await self._service()
            pools.market = await self._market_at(url)
        except (MarketError, errors.ClusterError) as error:
            pools.market_problem = str(error)
            self._say("market", pools.market_problem)
            if self._now() - pools.market_at > CURRENT_SECONDS:
                pools.market = None
        else:
            pools.market_at, pools.market_problem = self._now(), ""
            self._said.pop("market", None)
        if (pools.market, pools.market_problem) != before:
            pools.changed()

    async def _service(self) -> str:
        """The URL of the metrics of Karpenter's Service, by its name within the cluster."""
        answer = await self._asked(requests.list_chunk("Service", limit=10, selector=_LABEL))
        for item in sequence(mapping(json.loads(answer)).get("items")):
            metadata, spec = mapping(item.get("metadata")), mapping(item.get("spec"))
            for port in sequence(spec.get("ports")):
                if port.get("name") == _PORT:
                    host = f"{metadata.get('name')}.{metadata.get('namespace')}.svc"
                    return f"http://{host}:{port.get('port')}/metrics"
        raise MarketError(_NO_SERVICE)

    async def _asked(self, request: Request) -> bytes:
        return await self._transport.send(request)

    def _say(self, what: str, words: str) -> None:
        """Log it, unless it was the last thing said about this."""
        if self._said.get(what) != words:
            self._said[what] = words
            logs.say(logging.INFO, "pools", what=what, state=words)


async def _in_thread(region: str, today: dt.date) -> Mapping[str, prices.Price]:
    return await asyncio.to_thread(prices.aws_prices, region, today)


def _is_known(group: str, kind: str) -> bool:
    prefix = requests.PATHS.get(kind, ("", "", False))[0]
    return bool(group) and prefix.startswith(f"/apis/{group}/")


def _content(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What of a NodeClass matters; its versions and writers do not."""
    return mapping(body.get("metadata")).get("uid"), body.get("spec"), body.get("status")
