"""Karpenter as far as a Pool meets it: claims become nodes, and nodes are drained before they go.

It launches the cheapest offering that a claim accepts and the cloud has; a claim for which the
cloud has nothing is deleted; while a claim has no instance, it buys for nobody. For pods that say
Unschedulable it buys by itself, and sometimes it gives a node up for reasons of its own.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Any, Protocol

from bayplan.api import names
from bayplan.api.times import rfc3339
from bayplan.cloud import allocatable, catalogue
from tests.histories.auditor import cpu_of
from tests.histories.pools.api_server import NODE_CLAIM
from tests.histories.store import Body, Key, Refused, Store, is_terminal

POOL, NODE_POOL = "batch", "of-batch"
ZONES = ("us-east-1a", "us-east-1b")
PRICES = {"m5.large": 96_000, "m5.xlarge": 192_000, "m5.2xlarge": 384_000}  # microdollars an hour
Offering = tuple[str, str, str]
OFFERED = frozenset((kind, zone, "on-demand") for kind in PRICES for zone in ZONES)
ROOM = {kind: allocatable.eks_allocatable(catalogue.load()[kind]) for kind in PRICES}
_TYPE, _ZONE = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone"
_CAPACITY = "karpenter.sh/capacity-type"
FINALIZER = "karpenter.sh/termination"
_OUT_SECONDS = 180  # for how long its own cache keeps an offering out of its metrics
_DRAINED_SECONDS = 5.0
_HANGS = ((0.04, 12), (0.08, 90), (1.0, 0))  # of claims up to this share, seconds without a launch
MINE = "karpenter"  # the verb of its writes


class World(Protocol):
    seed: int
    store: Store
    calm: bool
    capacity: dict[str, tuple[int, int]]

    def now(self) -> int: ...
    def time(self) -> float: ...
    def spawn(self, work: Any) -> Any: ...
    def say(self, words: str) -> None: ...


def node_pool_body() -> Body:
    """A quiet NodePool of the Pool, for m5 on demand."""
    requirements = [
        {"key": _TYPE, "operator": "In", "values": list(PRICES)},
        {"key": _CAPACITY, "operator": "In", "values": ["on-demand"]},
    ]
    spec = {
        "nodeClassRef": {"group": "example.com", "kind": "Shape", "name": "plain"},
        "requirements": requirements,
        "terminationGracePeriod": "60s",
        "taints": [{"key": names.POOL, "value": POOL, "effect": "NoSchedule"}],
    }
    template = {"metadata": {"labels": {names.POOL: POOL}}, "spec": spec}
    disruption = {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": NODE_POOL, "annotations": {}},
        "spec": {"disruption": disruption, "template": template},
    }


def accepted(claim: Body) -> frozenset[Offering]:
    """The offerings that a claim leaves to be bought."""
    wanted = {one["key"]: one["values"] for one in claim["spec"]["requirements"]}
    return frozenset(
        (kind, zone, sold)
        for kind, zone, sold in OFFERED
        if kind in wanted.get(_TYPE, PRICES)
        and zone in wanted.get(_ZONE, ZONES)
        and sold in wanted.get(_CAPACITY, ("on-demand",))
    )


def offering_of(claim: Body) -> Offering | None:
    """What was got for a claim."""
    if not claim.get("status", {}).get("providerID"):
        return None
    labels = claim["metadata"]["labels"]
    return labels[_TYPE], labels[_ZONE], labels[_CAPACITY]


class Karpenter:
    """`out` are the offerings that the cloud has not, until when; `hanging` stops all launches."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self.out: dict[Offering, float] = {}
        self.hangs_until = 0.0
        self._known_out: dict[Offering, float] = {}
        self._bought_for: set[str] = set()  # uids of pods
        self._numbers = 0

    def market(self) -> frozenset[Offering]:
        """What its metrics say can be had: without what it was refused lately."""
        now = self._world.time()
        return frozenset(one for one in OFFERED if self._known_out.get(one, 0.0) <= now)

    def told(self, before: Body | None, after: Body | None) -> None:
        """A claim has changed."""
        if after is None:
            return
        name, uid = after["metadata"]["name"], after["metadata"]["uid"]
        if before is None:
            self._world.spawn(self._launch(name, uid))
        elif _deleting(after) and not _deleting(before):
            self._world.spawn(self._terminate(name, uid))

    # ---- a claim's life -------------------------------------------------------------------

    def _stored(self, name: str, uid: str) -> Body | None:
        """The claim, to be changed, while it stays."""
        found = self._store.of(NODE_CLAIM).get(("", name))
        if found is None or found["metadata"]["uid"] != uid or _deleting(found):
            return None
        return self._store.copy(NODE_CLAIM, ("", name))

    def _put(self, claim: Body) -> None:
        self._store.replace(NODE_CLAIM, ("", claim["metadata"]["name"]), claim, MINE)

    async def _launch(self, name: str, uid: str) -> None:
        dice = random.Random(f"{self._world.seed} claim {uid}")  # noqa: S311
        fate, slow = dice.random(), dice.random() * 2
        await asyncio.sleep(0.2 + dice.random() * 0.5)
        claim = self._stored(name, uid)
        if claim is None:
            return
        claim["metadata"]["finalizers"] = [FINALIZER]
        self._put(claim)
        await asyncio.sleep(1.0 + slow)
        hangs_until = self._world.time() + next(for_ for most, for_ in _HANGS if fate < most)
        while self._hangs(hangs_until):  # noqa: ASYNC110  time passes, nobody tells
            await asyncio.sleep(1.0)
        claim = self._stored(name, uid)
        if claim is None:
            return
        now = self._world.time()
        wanted = accepted(claim)
        there = {one for one in wanted if self.out.get(one, 0.0) <= now}
        if not there:
            self._known_out |= dict.fromkeys(wanted, now + _OUT_SECONDS)
            self._world.say(f"karpenter finds no capacity for {name}")
            self._remove(NODE_CLAIM, name, uid)
            return
        # The cloud says which cheaper ones it has not.
        got = min(there, key=lambda one: (PRICES[one[0]], one))
        self._known_out |= {
            one: now + _OUT_SECONDS for one in wanted - there if PRICES[one[0]] <= PRICES[got[0]]
        }
        claim["metadata"]["labels"] |= {_TYPE: got[0], _ZONE: got[1], _CAPACITY: got[2]}
        claim["status"] = {
            "providerID": f"aws:///{got[1]}/i-{uid}",
            "conditions": [_condition("Launched", self._world.now())],
        }
        self._put(claim)
        await self._join(name, uid, dice)

    def _hangs(self, until: float) -> bool:
        return self._world.time() < max(until, self.hangs_until) and not self._world.calm

    async def _join(self, name: str, uid: str, dice: random.Random) -> None:
        await asyncio.sleep(4 + dice.random() * 10)
        claim = self._stored(name, uid)
        if claim is None:
            return
        node = f"ip-{uid}"
        room = ROOM[claim["metadata"]["labels"][_TYPE]]
        self._world.capacity[node] = (room["cpu"], room["pods"])
        labels = claim["metadata"]["labels"] | {
            "kubernetes.io/hostname": node,
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "karpenter.sh/registered": "true",
        }
        self._store.create(
            "Node",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node,
                    "labels": labels,
                    "annotations": dict(claim["metadata"].get("annotations", {})),
                    "finalizers": [FINALIZER],
                },
                "spec": {
                    "providerID": claim["status"]["providerID"],
                    "taints": [
                        *claim["spec"].get("taints", ()),
                        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
                    ],
                },
                "status": {
                    "allocatable": _allocatable(room),
                    "conditions": [_condition("Ready", self._world.now(), "False")],
                },
            },
            MINE,
        )
        claim["status"] |= {"nodeName": node, "allocatable": _allocatable(room)}
        claim["status"]["conditions"].append(_condition("Registered", self._world.now()))
        self._put(claim)
        await asyncio.sleep(1 + dice.random() * 3)
        self._alter_node(node, self._ready)
        await asyncio.sleep(0.5 + dice.random())
        claim = self._stored(name, uid)
        if claim is None:
            return
        self._alter_node(
            node, lambda stored: stored["metadata"]["labels"].update(
                {"karpenter.sh/initialized": "true"}
            )
        )  # fmt: skip
        claim["status"]["conditions"].append(_condition("Initialized", self._world.now()))
        self._put(claim)

    def _ready(self, node: Body) -> None:
        node["status"]["conditions"] = [_condition("Ready", self._world.now())]
        taints = node["spec"]["taints"]
        node["spec"]["taints"] = [
            one for one in taints if one["key"] != "node.kubernetes.io/not-ready"
        ]

    def _alter_node(self, name: str, change: Any) -> None:
        if ("", name) in self._store.of("Node"):
            node = self._store.copy("Node", ("", name))
            change(node)
            self._store.replace("Node", ("", name), node, MINE)

    # ---- its end --------------------------------------------------------------------------

    def give_up(self, node: str, why: str) -> None:
        """Karpenter deletes a claim for reasons of its own, such as an interruption."""
        for key, claim in self._store.of(NODE_CLAIM).items():
            if claim.get("status", {}).get("nodeName") == node and not _deleting(claim):
                self._world.say(f"karpenter gives {node} up: {why}")
                self._store.delete(NODE_CLAIM, key, {}, MINE)
                return

    def lost(self, node: str) -> None:
        """The instance has gone: so goes its claim, a little later."""
        for key, claim in list(self._store.of(NODE_CLAIM).items()):
            if claim.get("status", {}).get("nodeName") == node:
                self._remove(NODE_CLAIM, key[1], claim["metadata"]["uid"])

    async def _terminate(self, name: str, uid: str) -> None:
        claim = self._store.of(NODE_CLAIM).get(("", name))
        if claim is None:
            return
        node = claim.get("status", {}).get("nodeName", "")
        if node and ("", node) in self._store.of("Node"):
            await self._drain(node)
            self._remove("Node", node)
        await asyncio.sleep(0.5)
        self._remove(NODE_CLAIM, name, uid)

    async def _drain(self, node: str) -> None:
        """Evict what is there; when the grace period is over, delete it."""
        with contextlib.suppress(Refused):
            self._store.delete("Node", ("", node), {}, MINE)
        self._alter_node(
            node,
            lambda stored: stored["spec"]["taints"].append(
                {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
            ),
        )
        began = self._world.time()
        while ("", node) in self._store.of("Node"):
            left = list(self.pods_on(node))
            if not left and self._world.time() >= began + _DRAINED_SECONDS:
                return
            late = self._world.time() > began + 60
            for key, uid in left:
                with contextlib.suppress(Refused):
                    if late:
                        options = {"gracePeriodSeconds": 1, "preconditions": {"uid": uid}}
                        self._store.delete("Pod", key, options, MINE)
                    else:
                        self._store.evict(key, uid, MINE)  # type: ignore[attr-defined]
            await asyncio.sleep(1.0)

    def pods_on(self, node: str) -> Iterator[tuple[Key, str]]:
        """What a drain waits for: no DaemonSet's pods, nothing that has ended."""
        for key, pod in list(self._store.of("Pod").items()):
            owner = pod["metadata"]["ownerReferences"][0]["kind"]
            if (
                pod["spec"].get("nodeName") == node
                and owner != "DaemonSet"
                and not is_terminal(pod)
            ):
                yield key, pod["metadata"]["uid"]

    def _remove(self, kind: str, name: str, uid: str = "") -> None:
        """Take the finalizer off, and delete."""
        found = self._store.of(kind).get(("", name))
        if found is None or uid not in {"", found["metadata"]["uid"]}:
            return
        body = self._store.copy(kind, ("", name))
        body["metadata"]["finalizers"] = []
        body["metadata"].setdefault("deletionTimestamp", rfc3339(self._world.now()))
        body["metadata"]["deletionGracePeriodSeconds"] = 0
        self._store.replace(kind, ("", name), body, MINE)

    # ---- its own purchases ------------------------------------------------------------------

    async def provision(self) -> None:
        """For ever: buy for pods that say Unschedulable, while every claim has its instance."""
        while True:
            await asyncio.sleep(3.0)
            claims = self._store.of(NODE_CLAIM).values()
            if all(claim.get("status", {}).get("providerID") for claim in claims):
                self._provision()

    def _provision(self) -> None:
        waiting = [pod for pod in self._store.of("Pod").values() if _provisionable(pod)]
        left = 0
        for pod in waiting:
            uid, cpu = pod["metadata"]["uid"], cpu_of(pod)
            if uid in self._bought_for:
                continue
            self._bought_for.add(uid)
            if cpu <= left:
                left -= cpu
                continue
            kind = next((one for one in PRICES if ROOM[one]["cpu"] >= cpu + 300), None)
            if kind is not None:
                left = ROOM[kind]["cpu"] - cpu - 300
                self._buy(kind)

    def _buy(self, kind: str) -> None:
        self._numbers += 1
        template = node_pool_body()["spec"]["template"]
        requirements = [
            {"key": _TYPE, "operator": "In", "values": [one for one in PRICES if one >= kind]},
            {"key": _CAPACITY, "operator": "In", "values": ["on-demand"]},
        ]
        name = f"{NODE_POOL}-{self._numbers}"
        self._world.say(f"karpenter buys {name}")
        labels = template["metadata"]["labels"] | {"karpenter.sh/nodepool": NODE_POOL}
        body = {
            "apiVersion": "karpenter.sh/v1",
            "kind": NODE_CLAIM,
            "metadata": {"name": name, "labels": labels, "annotations": {}},
            "spec": template["spec"] | {"requirements": requirements},
        }
        self._store.create(NODE_CLAIM, body, MINE)


def _provisionable(pod: Body) -> bool:
    if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
        return False
    status = pod["status"]
    told = {one["type"]: one for one in status.get("conditions", ())}.get("PodScheduled", {})
    return told.get("reason") == "Unschedulable" and not status.get("nominatedNodeName")


def _deleting(body: Body) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))


def _condition(kind: str, now: int, status: str = "True") -> Body:
    return {"type": kind, "status": status, "reason": kind, "lastTransitionTime": rfc3339(now)}


def _allocatable(room: dict[str, int]) -> dict[str, str]:
    return {name: f"{amount}m" if name == "cpu" else str(amount) for name, amount in room.items()}
