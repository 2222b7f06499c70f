"""Scenes of consolidation for tests: a Pool's nodes and pods, and the engine that answers."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.api import names
from bayplan.api.consolidation import Consolidation
from bayplan.model import resources
from bayplan.model.movability import Circumstances, verdict
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import DaemonSet
from bayplan.optimizer.consolidation.holding import Consolidated
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.problem import Budget
from bayplan.provisioning.consolidation.plan import plan
from bayplan.provisioning.consolidation.question import question
from bayplan.provisioning.consolidation.scene import Asked, Plan, Scene
from bayplan.provisioning.demand import Shop, class_of
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Terms
from tests.builders import GIB, NOON, make_node, make_pod, make_state

ZONES = ("eu-1a", "eu-1b")
TERMS = Terms(alternatives=2, premium_percent=15)
DAY = 86_400


def pool_node(name: str = "n1", cpu: int = 4000, **more: Any) -> Node:
    """A node of Pool `batch` that is a day old and costs 50 dollars for each 1,000 CPUs an hour."""
    stated = {
        "uid": f"uid-{name}",
        "labels": {names.POOL: "batch"},
        "zone": ZONES[0],
        "price_microdollars": cpu * 50,
        "created_at": NOON - DAY,
    }
    return make_node(name, cpu, 4 * cpu // 1000, **{**stated, **more})


def settled(name: str, node: str, cpu: int = 1000, owner: str = "web", **more: Any) -> Pod:
    """An instance of a LongService that has run for a day."""
    stated = {"owner_uid": owner, "created_at": NOON - DAY, "placed_at": NOON - DAY, "ready": True}
    labels = {"app": owner, **more.pop("labels", {})}
    return make_pod(name, node, cpu, labels=labels, **{**stated, **more})


def offer(name: str, cpu: int, price: int, **more: Any) -> Offer:
    """An offer of Pool `batch`."""
    room = resources.Vector({"cpu": cpu, "memory": 4 * cpu // 1000 * GIB, "pods": 110})
    stated = {"labels": ((names.POOL, "batch"),), "zones": ZONES, **more}
    return Offer(name, "amd64", room, price, "test", **stated)


def scene(
    *things: Node | Pod | DaemonSet,
    menu: Sequence[Offer] = (),
    wanted: Mapping[str, int] | None = None,
    zones: Sequence[str] = ZONES,
    **more: Any,
) -> Scene:
    """What a consolidation sees. Of each LongService in `wanted` so many pods are to stay."""
    book = make_state(*things)
    consolidation = {
        field: more.pop(field) for field in Consolidation.model_fields if field in more
    }
    terms = Consolidation(**consolidation)
    living = Counter(
        pod.owner.uid for pod in book.pods.values() if pod.owner is not None and pod.ready
    )
    around = Circumstances(
        now=NOON,
        minimum_stay_seconds=terms.minimum_stay_seconds,
        living=lambda owner: living[owner.uid],
        interruptible=lambda owner: owner.name.startswith("checkpointed"),
    )
    services = Counter(
        pod.owner.uid
        for pod in book.pods.values()
        if pod.owner is not None and pod.owner.kind == "LongService" and not pod.terminating
    )
    daemonsets = tuple(book.daemonsets.values())
    stated = {
        "snapshot": book.snapshot(),
        "nodes": [node for node in book.nodes.values() if names.POOL in node.labels],
        "wanted": {**services, **(wanted or {})},
        "verdict": functools.partial(verdict, around=around),
        "kinds": class_of,
        "shop": Shop(menu, zones, daemonsets, {}),
        "buying": lambda _: TERMS,
        "price": lambda node: node.price_microdollars,
        "terms": terms,
        "now": NOON,
    }
    return Scene(**{**stated, **more})


def answered(seen: Scene) -> tuple[Asked, Consolidated]:
    """The question of a scene, and the real engine's answer in a few rounds."""
    asked = question(seen)
    assert asked is not None
    answer = consolidated(
        asked.holding, asked.offers, Budget(rounds=4), most_moves=asked.most_moves
    )
    assert answer is not None
    return asked, answer


def planned(seen: Scene) -> Plan:
    """The plan for a scene."""
    return plan(*answered(seen), seen)


def moves(found: Plan) -> dict[str, str]:
    """Name of the pod -> its target."""
    return {
        move.pod[1]: move.target
        for group in found.groups
        for vacating in group.vacatings
        for move in vacating.moves
    }


def given_back(found: Plan) -> set[str]:
    """Names of the nodes of all groups."""
    return {vacating.node for group in found.groups for vacating in group.vacatings}
