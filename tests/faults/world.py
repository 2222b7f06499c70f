"""A world of its own for each operator under fire: a namespace, two nodes, a door to the server.

Worlds share one API server and one kwok and know nothing of each other, so that many operators are
disturbed at the same time and each history is as if it were alone.
"""

import contextlib
import itertools
import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from localcluster import pki
from localcluster.api import ApiError
from tests.audit.watcher import Watcher
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.under_test import ACCOUNT, NAMESPACE, Site, lease_rights
from tests.faults.nursery import Child, Nursery
from tests.faults.proxy import Host, Proxy
from tests.faults.state import PARTS, State, told

LABEL = "faults.bayplan.dev/lane"
# Of the lease: duration, renew deadline, retry; seconds.
LONG = ("60", "40", "1")  # never lost by a machine that is busy; a restart under one name waits not
SHORT = ("4", "3", "0.5")
REAL = ("15", "10", "2")
MOST_RESTARTS = 20


@dataclass(frozen=True, slots=True)
class Lane:
    """Two nodes that one world after the other uses."""

    name: str
    nodes: Sequence[str]


@dataclass(slots=True, eq=False)
class World:
    """One history: what it is about is in `namespace`, what disturbs it in `proxy`."""

    ground: "Ground"
    lane: Lane
    namespace: str
    proxy: Proxy
    began: int  # epoch seconds; schedules count from here
    children: list[Child] = field(default_factory=list)
    _closing: threading.Event = field(default_factory=threading.Event)
    _keepers: list[threading.Thread] = field(default_factory=list)

    def operator(
        self,
        identity: str = "operator-0",
        *options: str,
        proxy: Proxy | None = None,
        lease: Sequence[str] = LONG,
        clock_ahead: float = 0,
    ) -> Child:
        """Start an operator that is confined to this world."""
        door = proxy or self.proxy
        door.thaw()
        folder = self.ground.site.folder
        kubeconfig = self.ground.kubeconfig(door)
        duration, deadline, retry = lease
        child = self.ground.nursery.start(
            [
                *("--identity", identity, "--kubeconfig", str(kubeconfig)),
                *("--lease-namespace", self.namespace, "--listen-address", "127.0.0.1"),
                *("--metrics-port", "0", "--liveness-port", "0"),
                *("--lease-duration-seconds", duration, "--lease-retry-seconds", retry),
                *("--lease-renew-deadline-seconds", deadline),
                *options,
            ],
            folder / f"{self.namespace}-{identity}.log",
            clock_ahead=clock_ahead,
        )
        self.children.append(child)
        return child

    def keep(self, *options: str, identity: str = "operator-0", **more: Any) -> None:
        """An operator that is started again whenever it ends, as a kubelet would do.

        Not more than `MOST_RESTARTS` times: after that the history stands still and fails.
        """

        def keep() -> None:
            for _ in range(MOST_RESTARTS):
                if self._closing.is_set():
                    return
                self.operator(identity, *options, **more).ended.wait()

        keeper = threading.Thread(target=keep, name=self.namespace, daemon=True)
        self._keepers.append(keeper)
        keeper.start()

    def kill(self) -> None:
        """SIGKILL to the newest operator."""
        self.children[-1].kill()

    def log(self, identity: str = "operator-0") -> str:
        path = self.ground.site.folder / f"{self.namespace}-{identity}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def state(self) -> State:
        """What is stored, in words that are the same in every history that ends alike."""
        found = {part: self.listed(part) for part in PARTS}
        revisions = found["revisions"]
        return {part: told(part, found[part], self.began, revisions) for part in PARTS}

    def listed(self, part: str) -> Objects:
        assert self.ground.site.local is not None
        answer = self.ground.site.local.request("GET", PARTS[part].format(self.namespace))
        return {one["metadata"]["name"]: one for one in answer["items"]}

    def settle(self, wanted: State, *, within: float) -> State:
        """Wait until the state is `wanted`, or time is over; the state."""
        ends = time.monotonic() + within
        while (found := self.state()) != wanted and (left := ends - time.monotonic()) > 0:
            part = next(part for part in PARTS if found[part] != wanted[part])
            revisions = self.listed("revisions")

            def met(objects: Objects, part: str = part, known: Objects = revisions) -> bool:
                return told(part, objects, self.began, known) == wanted[part]

            with contextlib.suppress(AssertionError):  # time is over
                path = PARTS[part].format(self.namespace)
                self.ground.site.kube.until(path, met, within=left)
        return found

    def close(self) -> None:
        self._closing.set()
        while any(keeper.is_alive() for keeper in self._keepers):
            for child in tuple(self.children):
                child.kill()
            for keeper in self._keepers:
                keeper.join(0.05)
        for child in self.children:
            child.kill()
        self.proxy.close()
        assert self.ground.site.local is not None
        ask = self.ground.site.local.request
        ask("DELETE", f"/api/v1/namespaces/{self.namespace}")
        for name, pod in self.listed("pods").items():
            if pod["metadata"].get("finalizers"):  # nobody is left to take it off
                with contextlib.suppress(ApiError):
                    path = f"{read.pods(self.namespace)}/{name}"
                    ask("PATCH", path, {"metadata": {"finalizers": None}})
        for node in self.lane.nodes:
            ask("PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})


class Ground:
    """What worlds stand on: a site without an operator, lanes of nodes, proxies, a nursery."""

    def __init__(
        self, site: Site, host: Host, nursery: Nursery, auditor: Watcher, lanes: int
    ) -> None:
        self.site = site
        self.auditor = auditor
        self.host = host
        self.nursery = nursery
        self.lanes = lanes
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        self._config = yaml.safe_load(site.account_kubeconfig().read_text())
        names = iter(site.nodes(f"m5.4xlarge:us-east-1a={2 * lanes}"))
        for number in range(lanes):
            nodes = tuple(itertools.islice(names, 2))
            lane = Lane(f"lane-{number}", nodes)
            for node in nodes:
                label = {"metadata": {"labels": {LABEL: lane.name}}}
                site.kube.patch(f"/api/v1/nodes/{node}", label)
            self._free.put(lane)

    @property
    def token(self) -> str:
        return str(self._config["users"][0]["user"]["token"])

    @contextlib.contextmanager
    def world(self, *, seed: int = 0) -> Iterator[World]:
        """A fresh world; waits for a lane that is free."""
        lane = self._free.get()
        try:
            namespace = self.site.namespace()
            self.site.kube.apply(*lease_rights(namespace))
            proxy = self.door(namespace, lane, seed=seed)
            world = World(self, lane, namespace, proxy, int(time.time()))
            try:
                yield world
            finally:
                world.close()
        finally:
            self._free.put(lane)

    def door(self, namespace: str, lane: Lane, *, seed: int = 0, **more: Any) -> Proxy:
        """Another door to the same world, for a second operator."""
        label = f"{LABEL}={lane.name}"
        return self.host.proxy(seed=seed, namespace=namespace, node_label=label, **more)

    def guarded(self, world: World) -> Proxy:
        """Another door to this world, by TLS, whose certificate can be renewed."""
        authority = pki.Authority(self.site.folder / f"pki-{world.namespace}")
        numbers = itertools.count()

        def certify() -> tuple[Path, Path]:
            return authority.server(f"server-{next(numbers)}", ["127.0.0.1"])

        proxy = self.door(world.namespace, world.lane, certify=certify)
        self.kubeconfig(proxy, authority=authority.certificate_path)
        return proxy

    def another_token(self) -> str:
        answer = self.site.kube.create(
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token",
            {"spec": {"expirationSeconds": 3600}},
        )
        return str(answer["status"]["token"])

    def kubeconfig(self, proxy: Proxy, *, token: str = "", authority: Path | None = None) -> Path:
        """The operator's own account, by way of this proxy."""
        path = self.site.folder / f"proxy-{proxy.port}.kubeconfig"
        cluster: dict[str, str] = {"server": proxy.url}
        if authority is not None:
            cluster["certificate-authority"] = str(authority)
        if path.exists() and not token and authority is None:
            return path
        named = {"name": "bayplan", "user": {"token": token or self.token}}
        context = {"cluster": "proxied", "user": "bayplan"}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "proxied", "cluster": cluster}],
                    "users": [named],
                    "contexts": [{"name": "proxied", "context": context}],
                    "current-context": "proxied",
                }
            )
        )
        return path


def difference(expected: State, actual: State) -> str:
    """Where two states differ, for a person."""
    lines = []
    for part in expected:
        names = expected[part].keys() | actual[part].keys()
        for name in sorted(names):
            left, right = expected[part].get(name), actual[part].get(name)
            if left != right:
                lines.append(f"{part} {name}: expected {json.dumps(left)}")
                lines.append(f"{part} {name}:      got {json.dumps(right)}")
    return "\n".join(lines)
