"""Makes the question of a consolidation: which nodes of a Pool could be given back, and how.

Pods that may neither move nor leave keep their node. Runs that end soon do not keep it, but their
room is not free. Pods of a LongService that has more than it is to have may leave from any node.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.workloads import PodClass, Strategy, Waiting
from bayplan.optimizer.consolidation.holding import Holding, Offers
from bayplan.optimizer.problem import BoolMatrix, IntMatrix, IntVector
from bayplan.placement import daemonsets, filters
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning import demand
from bayplan.provisioning.consolidation.pods import SortedPods, lost_work
from bayplan.provisioning.consolidation.scene import (
    HOUR,
    Asked,
    Row,
    Scene,
    overlap_cost,
    with_margin,
)
from bayplan.provisioning.consolidation.shares import shares
from bayplan.provisioning.offerings import Offer

_LEAN_PARTS = 50  # a node that was to go before counts this part of its price more
_LOWEST = -(1 << 31)  # priority
_NO_POD = Row(PodClass("", resources.ONE_POD), "", {})  # the optimiser asks for a class at least
_Guests = Sequence[tuple[Waiting, Counter[int]]]  # expected pods, and how many are on which node


def question(scene: Scene) -> Asked | None:
    """The question; None if no node takes part."""
    nodes = tuple(node for node in scene.nodes if counts(node, scene))
    if not nodes:
        return None
    found = SortedPods.of(scene, nodes)
    guests = [] if scene.leavers_only else _guests(scene, nodes)
    rows = (*(found.rows() or [_NO_POD]), *(Row(group.kind, "", {}) for group, _ in guests))
    real = len(rows) - len(guests)
    held, movable = _held(rows, found, guests)
    wanted = held.sum(axis=0) - np.array(found.leavers(rows), dtype=np.int64)
    columns = tuple(
        sorted(
            {resources.CPU, resources.MEMORY, *(name for row in rows for name in row.kind.request)}
        )
    )
    request = _matrix([row.kind.request for row in rows], columns)
    places = _places(rows, scene)
    table = scene.memo.table(scene.snapshot)
    price = np.array([scene.price(node) or 0 for node in nodes], dtype=np.int64)
    going = np.array([node.name in scene.given_back for node in nodes], dtype=np.bool_)
    holding = Holding.of(
        price=price,
        room=_free(scene, nodes, columns, table) + held[:, :real] @ request[:real],
        held=held,
        wanted=wanted,
        request=request,
        lean=np.where(going, price // _LEAN_PARTS, 0),
        stays=np.array([node.name in found.pins for node in nodes], dtype=np.bool_),
        open=_open(rows, nodes, scene, table),
        move_price=_move_prices(rows[:real], nodes, scene, len(guests)),
        per_node=np.array([demand.most_per_node(row.kind) for row in rows], dtype=np.int64),
        movable=movable,
        shares=shares(rows, wanted, nodes, places, found.others),
        former=~going,
    )
    return Asked(
        holding=holding,
        offers=_offers(rows, places, scene, len(columns)),
        most_moves=0 if scene.leavers_only else scene.most_moves,
        nodes=nodes,
        rows=rows,
        places=tuple(places),
        guests=tuple(group for group, _ in guests),
    )


def counts(node: Node, scene: Scene) -> bool:
    """Whether a node takes part: others neither take pods nor are given back by a plan."""
    there = node.name in scene.snapshot.rows
    return there and node.ready and not node.leaving and scene.price(node) is not None


def _guests(scene: Scene, nodes: Sequence[Node]) -> _Guests:
    """The expected pods that find room on these nodes now, and where they do."""
    if not scene.expected:
        return []
    index = {node.name: at for at, node in enumerate(nodes)}
    placed = solve(
        scene.snapshot, scene.expected, scene.now, Policy(), scene.memo, planned=scene.planned
    ).placements
    found = []
    for group in scene.expected:
        here = tuple(key for key in group.keys if placed.get(key) in index)
        if here:
            there = Counter(index[placed[key]] for key in here)
            found.append((replace(group, keys=here), there))
    return found


def _held(rows: Sequence[Row], found: SortedPods, guests: _Guests) -> tuple[IntMatrix, IntMatrix]:
    """[N, K]: how many pods are held, and how many of them may move."""
    held = np.zeros((len(found.nodes), len(rows)), dtype=np.int64)
    for k, row in enumerate(rows):
        for at, pods in row.pods.items():
            held[at, k] = len(pods)
    for k, (_, there) in enumerate(guests, start=len(rows) - len(guests)):
        for at, count in there.items():
            held[at, k] = count
    movable = held.copy()
    for at, k, count in found.fixed():
        movable[at, k] -= count
    return held, movable


def _free(
    scene: Scene, nodes: Sequence[Node], columns: Sequence[str], table: NodeTable
) -> IntMatrix:
    """[N, D]: what is free on the nodes beside DaemonSets and pods that are on their way."""
    snapshot = scene.snapshot
    occupancy = Occupancy.of(snapshot, table)
    daemonsets.keep_room(occupancy)
    free = occupancy.free_for(_LOWEST)
    found = np.zeros((len(nodes), len(columns)), dtype=np.int64)
    rows = [snapshot.rows[node.name] for node in nodes]
    for at, column in enumerate(columns):
        if column in snapshot.columns:
            found[:, at] = free[rows, snapshot.columns.index(column)]
    index = {node.name: at for at, node in enumerate(nodes)}
    for planned in (scene.planned.shares, scene.planned.held):
        for kind, there in planned.items():
            request = _matrix([kind.request], columns)[0]
            for name, count in there.items():
                if name in index:
                    found[index[name]] -= request * count
    return found


def _open(rows: Sequence[Row], nodes: Sequence[Node], scene: Scene, table: NodeTable) -> BoolMatrix:
    """[K, N]: to which nodes pods of a row may come."""
    snapshot = scene.snapshot
    at = [snapshot.rows[node.name] for node in nodes]
    shared, empty = snapshot.exclusive()[at] == 0, snapshot.busy[at] == 0
    open_ = np.zeros((len(rows), len(nodes)), dtype=np.bool_)
    for k, row in enumerate(rows):
        alone = row.kind.placement.strategy is Strategy.EXCLUSIVE
        open_[k] = filters.of_nodes(row.kind, table).open[at] & (empty if alone else shared)
    return open_


def _move_prices(
    rows: Sequence[Row], nodes: Sequence[Node], scene: Scene, guests: int
) -> IntVector:
    """[K]: what a move costs in each hour of the horizon, with the margin; 0 for guests."""
    prices = []
    for row in rows:
        lost = [
            lost_work(pod, nodes[at], scene.price(nodes[at]) or 0, scene.now)
            for at, pods in row.pods.items()
            for pod in pods
        ]
        cost = scene.terms.move_microdollars + sum(lost) // max(len(lost), 1)
        prices.append(with_margin(cost) * HOUR // scene.terms.horizon_seconds)
    return np.array([*prices, *([0] * guests)], dtype=np.int64)


def _places(rows: Sequence[Row], scene: Scene) -> list[tuple[Offer, str]]:
    """What may be bought; by zone if any pod cares about zones."""
    shop = scene.shop
    if scene.leavers_only or not (shop.menu and rows):
        return []
    if not any(demand.tied(row.kind) for row in rows):
        return shop.places([demand.Row(row.kind) for row in rows])
    return [
        (offer, zone)
        for offer, sold in zip(shop.menu, shop.sold.tolist(), strict=True)
        for zone, there in zip(shop.zones, sold, strict=True)
        if there
    ]


def _offers(
    rows: Sequence[Row], places: Sequence[tuple[Offer, str]], scene: Scene, columns: int
) -> Offers:
    """The places as offers; the price includes what is paid while old and new are there."""
    if not places:
        none = np.zeros((len(rows), 0), dtype=np.bool_)
        return Offers(np.zeros(0, np.int64), np.zeros((0, columns), np.int64), none)
    problem = scene.shop.problem([demand.Row(row.kind, count=1) for row in rows], places)
    overlap = [with_margin(overlap_cost(offer.price)) for offer, _ in places]
    hourly = np.array(overlap, dtype=np.int64) * HOUR // scene.terms.horizon_seconds
    return Offers(problem.price + hourly, problem.capacity, problem.eligible)


def _matrix(vectors: Sequence[resources.Vector], columns: Sequence[str]) -> IntMatrix:
    lines = [[vector.amount(column) for column in columns] for vector in vectors]
    return np.array(lines, dtype=np.int64).reshape(len(vectors), len(columns))
