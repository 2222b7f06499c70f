"""A node is given back through the bytes of its writes; the operator dies at each of them.

The server stores nodes and pods, and stands in for the controller and the scheduler of the pods.
"""

import asyncio
import contextlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bayplan.cluster import decode, wire
from bayplan.cluster.transport import Request
from bayplan.model.departures import Move, Vacating
from bayplan.model.intents import CloseNode, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import CLOSING
from bayplan.model.pods import Pod
from bayplan.reconcile.pool.retirement import Seen
from bayplan.reconcile.pool.vacating.machine import step
from bayplan.reconcile.pool.vacating.vacancies import Group, Held, Memory, Now, Proof, Rules
from tests.builders import make_class
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.test_writer import GONE, Desk
from tests.double.transport import Answer, NoAnswer

RULES = Rules(most_draining=1)
KIND = make_class()
NOW = 1_800_000_000
READY = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T06:00:00Z"}]
OWNER = {"kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}


@dataclass
class Server:
    """What is stored. The `dies_at`-th write is the last one: it is `lost`, or its answer is."""

    dies_at: int = 0
    lost: bool = False
    version: int = 100
    writes: int = 0
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("n1", "n2"):
            self.nodes[name] = {
                "kind": "Node",
                "metadata": {"name": name, "uid": f"uid-{name}", "annotations": {}},
                "spec": {"taints": []},
                "status": {"conditions": READY},
            }
        for name, node in (("p1", "n1"), ("p2", "n1"), ("p3", "n2")):
            self.add(name, node)

    def add(self, name: str, node: str) -> None:
        body = bodies.pod(name, node=node, status={"conditions": READY})
        body["metadata"]["ownerReferences"] = [OWNER]
        self.pods[name] = body

    def stored(self, body: dict[str, Any]) -> Answer:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        return Answer(encoded(body))

    def get(self, request: Request) -> Answer:
        return Answer(encoded(self.nodes[_last(request)]))

    def patch(self, request: Request) -> Answer | NoAnswer:
        """A taint or an annotation of a node."""
        body, node = json.loads(request.body or b""), self.nodes[_last(request)]
        if self.dies(before=True):
            return NoAnswer()
        notes = body["metadata"].get("annotations", {})
        kept = {**node["metadata"]["annotations"], **notes}
        node["metadata"]["annotations"] = {key: text for key, text in kept.items() if text}
        node["spec"]["taints"] = body.get("spec", node["spec"])["taints"]
        answer = self.stored(node)
        return NoAnswer() if self.dies(before=False) else answer

    def evict(self, request: Request) -> Answer | NoAnswer:
        """The pod goes, and its successor is on the other node at once."""
        name = request.path.split("/")[-2]
        if name not in self.pods:
            return GONE
        if self.dies(before=True):
            return NoAnswer()
        del self.pods[name]
        self.add(f"{name}-b", "n2")
        return NoAnswer() if self.dies(before=False) else Answer()

    def dies(self, *, before: bool) -> bool:
        if before and self.dead:
            return True
        self.writes += before
        return self.writes == self.dies_at and self.lost is before

    @property
    def dead(self) -> bool:
        return 0 < self.dies_at <= self.writes

    def marks(self) -> tuple[str, list[str]]:
        node = self.nodes["n1"]
        values = [one["value"] for one in node["spec"]["taints"]]
        return node["metadata"]["annotations"].get(CLOSING, ""), values

    def on_n1(self) -> list[str]:
        return [name for name, body in self.pods.items() if body["spec"]["nodeName"] == "n1"]


class Operator(Desk):
    """One life of the operator: it sees what is stored, and decides every second."""

    def __init__(self, server: Server, *, wants: bool) -> None:
        super().__init__()
        self.server, self.wants, self.memory = server, wants, Memory()
        self.double.reply("get", "Node", server.get)
        self.double.reply("taint", "Node", server.patch)
        self.double.reply("close", "Node", server.patch)
        self.double.reply("evict", "Pod", server.evict)
        self.double.reply("get", "Pod", GONE)

    def live(self, seconds: int) -> None:
        tasks: list[asyncio.Task[None]] = []
        self.work(lambda: tasks.append(asyncio.ensure_future(self.decide(seconds))), seconds + 1)
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                task.result()

    async def decide(self, seconds: int) -> None:
        for second in range(seconds):
            self.may_write = not self.server.dead
            if not self.may_write:
                return
            self.watch()
            self.act(NOW + second, 1 + second // 10)
            await asyncio.sleep(1)

    def watch(self) -> None:
        """Lists everything: what is new, and what has gone."""
        for kind, stored in (("Node", self.server.nodes), ("Pod", self.server.pods)):
            for body in stored.values():
                self.server.stored(body)
                self.cache.upsert(kind, decode.KINDS[kind].decode(wire.Raw(encoded(body))))
        listed = {("default", name) for name in self.server.pods}
        self.cache.retain("Pod", listed, self.server.version)

    def act(self, at: int, plan: int) -> None:
        state = self.cache.state
        seen = [
            Seen(
                node,
                NodeClaim(f"c-{name}", f"c-{name}", "b", node=name, initialized=True),
                [*state.on_node.get(name, {}).values()],
            )
            for name, node in state.nodes.items()
        ]
        here = list(seen[0].pods)
        moves = tuple(_move(pod) for pod in here if pod.uid and not pod.terminating)
        groups = [Group("plan-1", (Vacating("n1", "uid-n1", 1, moves),))] if self.wants else []
        now = Now(at, plan, _prove, lambda uid: state.owned(uid).values(), {"n2"})
        found = step(seen, groups, self.memory, RULES, now)
        self.memory = found.memory
        for intent in found.intents:
            if isinstance(intent, CloseNode):
                self.writer.close(intent)
            elif isinstance(intent, TaintNode):
                self.writer.taint(intent)
            else:
                self.writer.evict_pod(intent)


def _last(request: Request) -> str:
    return request.path.rsplit("/", maxsplit=1)[-1]


def _move(pod: Pod) -> Move:
    return Move(pod.key, pod.uid, "rs", KIND, "n2")


def _prove(pods: Sequence[Pod], _held: Held, _without: Collection[str]) -> Proof:
    return Proof(tuple(_move(pod) for pod in pods))


def test_the_whole_way() -> None:
    """The annotation, the taint, one eviction after the other."""
    server = Server()
    Operator(server, wants=True).live(60)

    assert (("plan-1", ["moving"]), []) == (server.marks(), server.on_n1())
    assert 4 == server.writes


@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
@pytest.mark.parametrize("lost", [True, False])
def test_a_death_at_each_write(dies_at: int, lost: bool) -> None:
    """The next operator goes on, although it knows only what is stored."""
    server = Server(dies_at, lost=lost)
    Operator(server, wants=True).live(60)
    assert server.dead
    server.dies_at = 0
    Operator(server, wants=True).live(90)

    assert (("plan-1", ["moving"]), []) == (server.marks(), server.on_n1())
    assert len(server.pods) == 3


@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
@pytest.mark.parametrize("lost", [True, False])
def test_a_death_and_another_plan(dies_at: int, lost: bool) -> None:
    """What was begun is ended; what was not is undone: no mark stays on a node that has pods."""
    server = Server(dies_at, lost=lost)
    Operator(server, wants=True).live(60)
    server.dies_at = 0
    Operator(server, wants=False).live(120)

    closing, taints = server.marks()
    assert [] == server.on_n1() if taints else not closing
