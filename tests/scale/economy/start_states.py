"""What a cluster holds when half of its pods leave: recorded by the bench, or bought offline.

A start state has the nodes with their types and how many pods of each kind are on each. It is
written as JSON, so that the engine can be asked the same question again without a cluster.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np

from bayplan.cloud import node_pools, prices
from bayplan.model import resources, state
from bayplan.model.pods import Constraints, Owner, Phase, Pod, Toleration
from bayplan.model.workloads import Backlog, PodClass, Waiting
from bayplan.optimizer.problem import Budget
from bayplan.optimizer.purchase import purchase
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning import orders, pool_menu
from bayplan.provisioning.demand import Shop, class_of
from tests.scale.economy import manifests, market

_BATCHES = 4
_BATCH_SECONDS = 2.0
AT_HOME = Constraints(
    selector=((manifests.POOL, manifests.NAME),),
    tolerations=(Toleration(manifests.POOL, "Equal", manifests.NAME, "NoSchedule"),),
)


@dataclass(frozen=True, slots=True)
class Held:
    """A node: its instance type, and how many pods of each kind it holds."""

    name: str
    type: str
    pods: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StartState:
    """All nodes, and the kinds with the number of pods that there are before any leaves."""

    kinds: tuple[market.Kind, ...]
    nodes: tuple[Held, ...]

    @property
    def pods(self) -> int:
        return sum(sum(node.pods.values()) for node in self.nodes)

    @property
    def dollars(self) -> float:
        """What the nodes cost an hour."""
        return market.dollars_of([node.type for node in self.nodes])

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), separators=(",", ":")) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        found = json.loads(file.read_text())
        kinds = tuple(market.Kind(**kind) for kind in found["kinds"])
        return cls(kinds, tuple(Held(**node) for node in found["nodes"]))


def halved(kinds: Sequence[market.Kind]) -> list[market.Kind]:
    """Half of the pods of each kind; of kinds with an odd number every second keeps one more."""
    more = itertools.cycle((0, 1))
    return [
        replace(kind, pods=kind.pods // 2 + (next(more) if kind.pods % 2 else 0)) for kind in kinds
    ]


def shop() -> Shop:
    """What the bench's Pool may buy, as the operator computes it."""
    stored = node_pools.node_pool(manifests.quiet_node_pool())
    with TemporaryDirectory() as folder:
        book = prices.Book(file=prices.from_file(market.prices_file(Path(folder))))
    pools, sold = {manifests.NAME: stored}, prices.Market()
    zones = pool_menu.zones_of(sold, pools.values(), ())
    found = pool_menu.menu(pools, {}, sold, book, closed={}, rooms={}, zones=zones)
    return Shop(found.offers, found.zones, (), {})


def pod_of(kind: market.Kind, number: int, now: int = 0) -> Pod:
    """A pod of a ReplicaSet of this kind that waits for a node of the Pool."""
    cpu, memory = int(kind.requests["cpu"].removesuffix("m")), int(kind.requests["memory"])
    name = f"{kind.name}-{number:05}"
    return Pod(
        namespace=manifests.NAMESPACE,
        name=name,
        uid=f"uid-{name}",
        scheduler="bayplan",
        labels={"app": kind.name},
        request=resources.Vector({"cpu": cpu, "memory": memory, "pods": 1}),
        constraints=AT_HOME,
        owner=Owner("ReplicaSet", kind.name, f"uid-{kind.name}"),
        phase=Phase.PENDING,
        created_at=now,
    )


def bought(pods: int, seed: int, batches: int = _BATCHES) -> StartState:
    """The state in which the operator's own planning ends when pods come in so many batches."""
    kinds = market.demand(pods, seed)
    every = [pod_of(kind, number) for kind in kinds for number in range(kind.pods)]
    order = np.random.default_rng(seed).permutation(len(every))
    offered, book, types = shop(), state.State(), dict[str, str]()
    for batch in np.array_split(order, batches):
        _buy([every[at] for at in sorted(batch.tolist())], offered, book, types)
    held: dict[str, Counter[str]] = {name: Counter() for name in types}
    for pod in book.pods.values():
        held[pod.node][pod.labels["app"]] += 1
    nodes = (Held(name, types[name], dict(sorted(pods.items()))) for name, pods in held.items())
    return StartState(tuple(kinds), tuple(nodes))


def _buy(pods: Sequence[Pod], offered: Shop, book: state.State, types: dict[str, str]) -> None:
    """Buy for these pods what the nodes that exist do not hold, and bind all of them."""
    members: dict[PodClass, list[Pod]] = {}
    for pod in pods:
        members.setdefault(class_of(pod), []).append(pod)
    waiting = [
        Waiting(kind, tuple((pod.namespace, pod.name) for pod in group))
        for kind, group in members.items()
    ]
    before = book.snapshot()
    site = orders.Site(before, waiting, 0)
    left, _ = site.placed()
    asked = orders.question(site, left, offered)
    shares: dict[PodClass, dict[str, int]] = {}
    if asked is not None:
        began = time.perf_counter()
        budget = Budget(_BATCH_SECONDS, spent=lambda: time.perf_counter() - began)
        answer = purchase(asked.problem, budget)
        made = orders.orders(asked, answer, site, offered, lambda _: orders.Terms()).orders
        for order in made:
            name = f"n{len(types):05}"
            types[name] = order.offer.name
            book.set_node(order.offer.node(name, order.zones[0] if order.zones else ""))
            for kind, count in order.pods.items():
                shares.setdefault(kind, {})[name] = count
    planned = Backlog(frozenset(types), shares)
    plan = solve(book.snapshot(), waiting, 0, Policy(), planned=planned)
    assert not plan.refused, "what was bought does not hold the pods"
    for pod in pods:
        node = plan.placements[pod.namespace, pod.name]
        book.set_pod(replace(pod, node=node, phase=Phase.RUNNING))
