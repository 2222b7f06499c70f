"""What tests of Pools stand on: a real Karpenter, a proxy that kills operators, another customer.

Each test has a Pool of its own, with its NodePool and node class, and an operator that runs through
the proxy and is started again whenever it dies. Meanwhile pods for another NodePool, with which
Bayplan has nothing to do, go on to get nodes from Karpenter, or do not: that is measured.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from aiohttp import web

from localcluster import karpenter
from tests.autoscaler.shop import CLAIMS
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import SLEEPER
from tests.cluster.under_test import GROUP, Site, lease_rights
from tests.faults.nursery import Child, Nursery
from tests.faults.proxy import (
    Call,
    Exchange,
    Host,
    Proxy,
    Rule,
    kill_answered,
    kill_unanswered,
    writes,
)

T = TypeVar("T")

LABEL = "bayplan.dev/pool"
NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
POOLS = f"{GROUP}/pools"
NODES = "/api/v1/nodes"
ONE_EACH = {"cpu": "1500m", "memory": "1Gi"}  # an m5.large holds one pod of these, not two
MOST_LIVES = 150
_LEASE = ("60", "40", "1")  # never lost; a restart under the same name does not wait
_DEATHS_BY_STATUS = 5
_DEATHS_BY_SORT = 2
_OTHER = "other"
_EVERY_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Ground:
    """The cluster with Karpenter; nobody places pods on it until a test starts an operator."""

    site: Site
    host: Host
    nursery: Nursery
    numbers: Iterator[int]

    @property
    def kube(self) -> Kube:
        return self.site.kube

    @contextlib.contextmanager
    def pool(
        self, *, types: Sequence[str] = ("m5.large",), words: Sequence[str] = (), **spec: Any
    ) -> Iterator["PoolUnderTest"]:
        """A Pool in mode Buy through a NodePool that allows these types, and its operator.

        `words` are more words of its command line.
        """
        made = PoolUnderTest(self, f"pool-{next(self.numbers)}", self.site.namespace(), words)
        kube = self.kube
        kube.apply(*lease_rights(made.namespace))
        kube.create(CLASSES, node_class(made.name))
        kube.create(NODE_POOLS, node_pool(made.name, types, ours=True))
        kube.until(NODE_POOLS, lambda found: is_ready(found[made.name]))
        body = {"nodePoolRef": {"name": made.name}, "mode": "Buy", **spec}
        kube.create(POOLS, {**typed(f"{GROUP[6:]}", "Pool", made.name), "spec": body})
        try:
            yield made
        finally:
            made.close()


def typed(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def node_class(name: str) -> dict[str, Any]:
    kind = typed("karpenter.kwok.sh/v1alpha1", "KWOKNodeClass", name)
    return {**kind, "spec": {"nodeRegistrationDelay": "1s"}}


def node_pool(name: str, types: Sequence[str], *, ours: bool) -> dict[str, Any]:
    """A NodePool that Karpenter leaves alone; `ours` adds the label and the taint of the Pool."""
    required = {
        "karpenter.sh/capacity-type": ["on-demand"],
        "node.kubernetes.io/instance-type": list(types),
        "topology.kubernetes.io/zone": ["us-east-1a", "us-east-1b"],
    }
    spec: dict[str, Any] = {
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": name},
        "requirements": [
            {"key": key, "operator": "In", "values": values} for key, values in required.items()
        ],
        "expireAfter": "Never",
    }
    if ours:
        spec["taints"] = [{"key": LABEL, "value": name, "effect": "NoSchedule"}]
    labels = {**karpenter.NODE_LABELS, **({LABEL: name} if ours else {})}
    quiet = {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]}
    return {
        **typed("karpenter.sh/v1", "NodePool", name),
        "spec": {
            "disruption": quiet,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def is_ready(one: Mapping[str, Any]) -> bool:
    return read.condition(one, "Ready").get("status") == "True"


@dataclass(slots=True, eq=False)
class PoolUnderTest:
    """One Pool, its pods in `namespace`, and what its operator has asked the server: `proxy`."""

    ground: Ground
    name: str
    namespace: str
    words: Sequence[str] = ()
    proxy: Proxy = field(init=False)
    children: list[Child] = field(default_factory=list)
    _closing: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.proxy = self.ground.host.proxy()

    @property
    def kube(self) -> Kube:
        return self.ground.kube

    # ---- the operator -----------------------------------------------------------------------

    def keep(self) -> None:
        """Run an operator, and start it again whenever it ends."""

        def lives() -> None:
            for _ in range(MOST_LIVES):
                if self._closing.is_set():
                    return
                self._start().ended.wait()

        self._keeper = threading.Thread(target=lives, name=self.name, daemon=True)
        self._keeper.start()

    def dies_by_first_write(self, *, answered: bool) -> Rule:
        """Each life ends when the server has done its first write.

        With `answered` it hears of that, and dies before it writes anything else. After the first
        lives it survives writes of the Pool's status, since every life begins with them.
        """
        struck: set[int] = set()

        async def act(exchange: Exchange) -> web.StreamResponse:
            life = len(self.children)
            if life in struck:
                return exchange.cut()
            struck.add(life)
            kill = self.children[-1].kill
            strike = kill_answered(kill) if answered else kill_unanswered(kill)
            return await strike(exchange)

        def strikes(call: Call) -> bool:
            status = call.kind == "status"
            return writes(call) and not (status and len(self.children) > _DEATHS_BY_STATUS)

        return Rule(strikes, act)

    def dies_by(self, sort: Callable[[Call], str], struck: Counter[str]) -> Rule:
        """A life ends with a write of a sort that has ended fewer than two: `struck` counts them.

        The first of each sort is stored and never answered; after the second, the answer is heard.
        """
        over: set[int] = set()

        async def act(exchange: Exchange) -> web.StreamResponse:
            life, found = len(self.children), sort(exchange.call)
            if life in over:
                return exchange.cut()
            over.add(life)
            struck[found] += 1
            kill = self.children[-1].kill
            strike = kill_unanswered(kill) if struck[found] == 1 else kill_answered(kill)
            return await strike(exchange)

        def strikes(call: Call) -> bool:
            found = sort(call)
            return bool(found) and struck[found] < _DEATHS_BY_SORT

        return Rule(strikes, act)

    def log(self) -> str:
        path = self._folder / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _start(self) -> Child:
        self.proxy.thaw()
        duration, deadline, retry = _LEASE
        words = [
            *("--identity", "operator-0", "--kubeconfig", str(self._kubeconfig())),
            *("--lease-namespace", self.namespace, "--listen-address", "127.0.0.1"),
            *("--metrics-port", "0", "--liveness-port", "0", "--pools"),
            *("--lease-duration-seconds", duration, "--lease-retry-seconds", retry),
            *("--lease-renew-deadline-seconds", deadline),
            *self.words,
        ]
        child = self.ground.nursery.start(words, self._folder / f"{self.name}.log")
        self.children.append(child)
        return child

    @property
    def _folder(self) -> Path:
        return self.ground.site.folder

    def _kubeconfig(self) -> Path:
        path = self._folder / f"{self.name}.kubeconfig"
        if not path.exists():
            config = yaml.safe_load(self.ground.site.account_kubeconfig().read_text())
            for cluster in config["clusters"]:
                cluster["cluster"] = {"server": self.proxy.url}
            path.write_text(yaml.safe_dump(config))
        return path

    def close(self) -> None:
        self._closing.set()
        while self._keeper is not None and self._keeper.is_alive():
            for child in tuple(self.children):
                child.kill()
            self._keeper.join(0.05)
        self.proxy.close()
        kube = self.kube
        kube.kubectl("delete", "pods", "--all", "-n", self.namespace, "--grace-period=0", "--force")
        kube.kubectl("delete", "pool", self.name, "--wait=false")
        kube.kubectl("delete", "nodepool", self.name, "--wait=false", "--ignore-not-found")
        kube.kubectl("delete", "nodeclaims", "-l", f"{LABEL}={self.name}", "--wait=false")
        kube.until(NODES, lambda found: not self.mine(found), within=120)

    # ---- what is there ----------------------------------------------------------------------

    def mine(self, objects: Objects) -> Objects:
        """Nodes or claims of this Pool."""
        return {
            name: one
            for name, one in objects.items()
            if one["metadata"].get("labels", {}).get(LABEL) == self.name
        }

    def claims(self) -> Objects:
        return self.mine(self.kube.listed(CLAIMS))

    def create_pods(self, count: int) -> None:
        """Pods for this Pool, each of which needs a node to itself."""
        for number in range(count):
            spec = {
                "schedulerName": "bayplan",
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {LABEL: self.name},
                "tolerations": [
                    {"key": LABEL, "value": self.name, "effect": "NoSchedule"},
                ],
                "containers": [{**SLEEPER, "resources": {"requests": ONE_EACH}}],
            }
            body = {**typed("v1", "Pod", f"p{number}"), "spec": spec}
            self.kube.create(read.pods(self.namespace), body)

    def until_placed(self, count: int, within: float) -> None:
        with self._telling():
            self.kube.until(
                read.pods(self.namespace),
                lambda found: len(_placed(found)) == count,
                within=within,
            )

    def until_claims(self, met: Callable[[Objects], T], within: float) -> T:
        with self._telling():
            return self.kube.until(CLAIMS, lambda found: met(self.mine(found)), within=within)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What stands still is told with the last writes of the operators, and their log."""
        try:
            yield
        except AssertionError as error:
            written = [f"{one.label} {one.stored}" for one in self.proxy.calls if writes(one)][-30:]
            raise AssertionError(
                f"{str(error)[:1000]}\n{len(self.children)} lives; last writes: {written}\n"
                f"{self.log()[-3000:]}"
            ) from None

    def calls(self, method: str, path: str) -> list[Call]:
        """What the operators asked for under a path, and the server did."""
        return [
            one
            for one in self.proxy.calls
            if one.method == method and one.path.startswith(path) and 200 <= one.stored < 300
        ]


def _placed(pods: Objects) -> list[str]:
    return [name for name, pod in pods.items() if pod["spec"].get("nodeName")]


@dataclass(slots=True, eq=False)
class Customer:
    """Somebody else, whose pods need nodes of another NodePool all the while.

    `waits` are the seconds from each pod to its claim; `late` says since when one waits in vain.
    """

    kube: Kube
    namespace: str
    waits: list[float] = field(default_factory=list)
    failed: str = ""
    _closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def settle(cls, site: Site) -> Self:
        """Give it its NodePool."""
        site.kube.create(CLASSES, node_class(_OTHER))
        site.kube.create(NODE_POOLS, node_pool(_OTHER, ["m5.large"], ours=False))
        site.kube.until(NODE_POOLS, lambda found: is_ready(found[_OTHER]))
        return cls(site.kube, site.namespace())

    def __enter__(self) -> Self:
        self.waits.clear()
        self.failed = ""
        self._closing.clear()
        self._thread = threading.Thread(target=self._shop, name="customer", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        assert self._thread is not None
        self._thread.join(120)

    def _shop(self) -> None:
        while not self._closing.wait(_EVERY_SECONDS):
            try:
                self._buy()
            except AssertionError as error:
                self.failed = str(error)[:500]
                return

    def _buy(self) -> None:
        """One pod: its claim comes, and it goes again; its node stays full for Karpenter."""
        name = f"c-{len(self.waits)}-{time.monotonic_ns()}"
        before = self._claims(self.kube.listed(CLAIMS))
        spec = {
            "schedulerName": "nobody",
            "nodeSelector": {"karpenter.sh/nodepool": _OTHER},
            "containers": [{**SLEEPER, "resources": {"requests": ONE_EACH}}],
        }
        self.kube.create(read.pods(self.namespace), {**typed("v1", "Pod", name), "spec": spec})
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        path = f"{read.pods(self.namespace)}/{name}"
        self.kube.patch(f"{path}/status", {"status": {"conditions": [told]}})
        began = time.monotonic()
        self.kube.until(CLAIMS, lambda found: self._claims(found) - before, within=100)
        self.waits.append(time.monotonic() - began)

    @staticmethod
    def _claims(found: Objects) -> frozenset[str]:
        return frozenset(name for name in found if name.startswith(f"{_OTHER}-"))
