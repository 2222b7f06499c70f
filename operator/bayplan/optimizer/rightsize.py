"""Every pod its own size: the cheapest nodes where no two requests are alike.

Requests are grouped on a grid, fine for large pods and coarse for small ones, and the groups' means
are provisioned on nodes a touch smaller than they are. Then real pods take the places: group by
group, the larger ones on the nodes that lag behind their mean. Where a node overflows, pods are
swapped with those of other nodes until it does not; the few that find no such swap get nodes of
their own. The bound looks at every single pod.

The question that it answers: which nodes would all pods need if the cluster were bought anew? No
command asks it yet; a test of the layout names this module until one does.
"""

import dataclasses

import numpy as np

from bayplan.optimizer.bound import fluid
from bayplan.optimizer.problem import (
    Budget,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    Packing,
    Problem,
    undominated,
)
from bayplan.optimizer.provision import provision

_STEP = 0.08  # grid step of large requests, as a share of the largest node
_FOLD = 1.2  # grid step of small ones, in the logarithm
_SMALLEST = 1e-4  # share below which all are alike
_HELD_BACK = 0.002  # of a node: what the means do not say
_FOR_PLAN, _FOR_SWAPS = 0.8, 0.95  # shares of the time after which the next step begins
_PARTNERS = 80  # nodes looked at for one swap
_TRIES = 3  # looks without a gain before a node is given up
_LEAST_GAIN = 1e-9
_LAST_ROUNDS = 20
_SAFETY = 1e-9


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RightSized:
    """Which node each pod is on, the type of each node, and the proof."""

    node: IntVector  # [N] −1 where a pod fits no type
    types: IntVector  # [M] of each node
    cost: int  # microdollars an hour
    bound: int  # of placing every pod that fits some type

    @property
    def gap(self) -> float:
        """(cost − bound) ÷ bound; 0 where nothing costs anything."""
        return (self.cost - self.bound) / self.bound if self.bound else 0.0


def rightsized(
    request: IntMatrix, capacity: IntMatrix, price: IntVector, budget: Budget, seed: int = 0
) -> RightSized:
    """Cheap nodes for pods of `request` [N, D], on types of `capacity` [T, D] and `price` [T]."""
    nothing = np.zeros(0, np.int64)
    open_ = undominated(Problem.of(nothing, request[:0], capacity, price))
    types = Problem.of(nothing, request[:0], capacity[open_], price[open_])
    fits = np.zeros(len(request), np.bool_)
    for room in types.capacity:
        fits |= (request <= room).all(axis=1)
    pods = np.flatnonzero(fits)
    node = np.full(len(request), -1)
    if not len(pods):
        return RightSized(node, nothing, 0, 0)
    means, group = _grouped(request[pods], types)
    plan = provision(_smaller(means), budget.until(_FOR_PLAN), seed)
    filled = _dealt(plan, means, group, request[pods])
    _swapped(filled, budget.until(_FOR_SWAPS), np.random.default_rng(seed))
    node[pods], chosen = _settled(filled, means, budget, seed)
    cost = int(price[open_[chosen]].sum())
    least = min(cost, _bound(means, request[pods]))
    return RightSized(node=node, types=open_[chosen], cost=cost, bound=least)


def _grouped(request: IntMatrix, types: Problem) -> tuple[Problem, IntVector]:
    """The groups' means (rounded up) as classes, and each pod's group."""
    share = np.maximum(request / np.maximum(types.capacity.max(axis=0), 1), _SMALLEST)
    cell = np.floor(share / _STEP + np.log(share / _SMALLEST) / _FOLD)
    group: IntVector = np.unique(cell, axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(group)
    total = np.zeros((len(count), request.shape[1]), np.int64)
    np.add.at(total, group, request)
    return Problem.of(count, -(-total // count[:, None]), types.capacity, types.price), group


def _smaller(means: Problem) -> Problem:
    """The same on nodes with a little held back, unless a mean needs all of its largest node."""
    held = means.capacity - (means.capacity * _HELD_BACK).astype(np.int64)
    tight = Problem.of(means.demand, means.request, held, means.price)
    return tight if tight.placeable().all() else means


@dataclasses.dataclass(slots=True, eq=False)
class _Filled:
    """Nodes with real pods on them, some perhaps too full."""

    request: IntMatrix  # [N, D]
    room: IntMatrix  # [M, D] of each node's type
    node: IntVector  # [N] −1 for none
    load: IntMatrix  # [M, D]

    @property
    def too_full(self) -> IntVector:
        return np.flatnonzero((self.load > self.room).any(axis=1))

    def put(self, pods: IntVector, nodes: IntVector) -> None:
        """Pods without a node go onto these, one each; a node may be named more than once."""
        self.node[pods] = nodes
        np.add.at(self.load, nodes, self.request[pods])

    def move(self, pod: int, node: int) -> None:
        """From its node to another; −1 is none."""
        if self.node[pod] >= 0:
            self.load[self.node[pod]] -= self.request[pod]
        if node >= 0:
            self.load[node] += self.request[pod]
        self.node[pod] = node


def _dealt(plan: Packing, means: Problem, group: IntVector, request: IntMatrix) -> _Filled:
    """Real pods in the places of their group: large ones where a node lags behind its means."""
    types = np.repeat(plan.types, plan.nodes)
    places = np.repeat(plan.patterns, plan.nodes, axis=0)  # [M, K]
    filled = _Filled(
        request=request,
        room=means.capacity[types],
        node=np.full(len(request), -1),
        load=np.zeros((len(types), request.shape[1]), np.int64),
    )
    weight = 1.0 / np.maximum(means.capacity.max(axis=0), 1)
    size, mean_size = request @ weight, means.request @ weight
    ahead = np.zeros(len(types))
    for k in np.argsort(-mean_size, kind="stable"):
        members = np.flatnonzero(group == k)
        members = members[np.argsort(-size[members], kind="stable")]
        left = places[:, k].copy()
        while len(members) and left.any():
            nodes = np.flatnonzero(left)
            nodes = nodes[np.argsort(ahead[nodes], kind="stable")][: len(members)]
            taken, members = members[: len(nodes)], members[len(nodes) :]
            filled.put(taken, nodes)
            ahead[nodes] += size[taken] - mean_size[k]
            left[nodes] -= 1
    return filled


def _swapped(filled: _Filled, budget: Budget, dice: np.random.Generator) -> None:
    """Swap or move pods between nodes, the best of many each time, until no node is too full.

    What counts is by how much of their room two nodes exceed it together, before and after.
    """
    request = filled.request.astype(np.float64)
    unit = 1.0 / np.maximum(filled.room, 1)
    tries = np.zeros(len(filled.room), np.int64)
    for _ in budget.turns():
        excess = _excess(filled.load, filled.room, unit)
        worst = np.where(tries < _TRIES, excess, 0.0)
        node = int(worst.argmax())
        if worst[node] <= 0:
            return
        count = min(len(tries), _PARTNERS)
        others = dice.choice(len(tries), count, replace=False)
        others = others[others != node]
        own = np.flatnonzero(filled.node == node)
        theirs = np.flatnonzero(np.isin(filled.node, others))
        back = np.concatenate((request[theirs], np.zeros((len(others), request.shape[1]))))
        to = np.concatenate((filled.node[theirs], others))
        change = request[own][:, None, :] - back[None, :, :]
        here = _excess(filled.load[node] - change, filled.room[node], unit[node])
        there = _excess(filled.load[to] + change, filled.room[to], unit[to])
        gain = excess[node] + excess[to] - here - there
        i, j = (int(index) for index in np.unravel_index(int(gain.argmax()), gain.shape))
        if gain[i, j] < _LEAST_GAIN:
            tries[node] += 1
            continue
        tries[node] = tries[to[j]] = 0
        filled.move(int(own[i]), int(to[j]))
        if j < len(theirs):
            filled.move(int(theirs[j]), node)


def _excess(load: FloatMatrix | IntMatrix, room: IntMatrix, unit: FloatMatrix) -> FloatVector:
    over: FloatVector = (np.maximum(load - room, 0.0) * unit).sum(axis=-1)
    return over


def _settled(
    filled: _Filled, means: Problem, budget: Budget, seed: int
) -> tuple[IntVector, IntVector]:
    """Node of each pod and type of each node, nothing too full any more, each type the cheapest."""
    weight = 1.0 / np.maximum(means.capacity.max(axis=0), 1)
    size = filled.request @ weight
    for node in filled.too_full:
        while (filled.load[node] > filled.room[node]).any():
            own = np.flatnonzero(filled.node == node)
            over = filled.load[node] - filled.room[node]
            enough = own[(filled.request[own] >= over).all(axis=1)]
            leaves = enough[size[enough].argmin()] if len(enough) else own[size[own].argmax()]
            filled.move(int(leaves), -1)
    out = np.flatnonzero(filled.node < 0)
    for pod in out[np.argsort(-size[out], kind="stable")]:
        fits = np.flatnonzero((filled.load + filled.request[pod] <= filled.room).all(axis=1))
        if len(fits):
            spare = ((filled.room[fits] - filled.load[fits]) * weight).sum(axis=1)
            filled.move(int(pod), int(fits[spare.argmin()]))
    kept, node = np.unique(filled.node, return_inverse=True)
    own_types = Problem.of(np.zeros(0, np.int64), means.request[:0], means.capacity, means.price)
    loads = filled.load[kept[kept >= 0]]
    types = _cheapest_for(loads, own_types)
    node = node.ravel() - int((kept < 0).any())
    out = np.flatnonzero(filled.node < 0)
    if len(out):
        more = dataclasses.replace(budget, rounds=_LAST_ROUNDS)
        rest = Problem.of(
            np.ones(len(out), np.int64), filled.request[out], means.capacity, means.price
        )
        plan = provision(rest, more, seed)
        for of_type, pattern, count in zip(plan.types, plan.patterns, plan.nodes, strict=True):
            del count  # 1: no two pods are of one class
            node[out[np.flatnonzero(pattern)]] = len(types)
            types = np.append(types, of_type)
    return node, types


def _cheapest_for(loads: IntMatrix, types: Problem) -> IntVector:
    """[M] the cheapest type with room for each load; every load has one."""
    best = np.full(len(loads), -1)
    for of_type in np.argsort(types.price, kind="stable"):
        fits = (best < 0) & (loads <= types.capacity[of_type]).all(axis=1)
        best[fits] = of_type
    return best


def _bound(means: Problem, request: IntMatrix) -> int:
    """Least cost: resource prices of the means' fluid plan, made safe, times every pod's request.

    Prices of a unit per type such that no node holds more than its price; a pod is worth the least
    that any type it fits asks for it. Then a node's pods are worth no more than the node.
    """
    start = fluid(means)
    if start is None:
        return 0
    prices = start.multipliers
    worth = (prices * means.capacity).sum(axis=1) * (1 + _SAFETY)
    prices = prices / np.maximum(worth / means.price, 1.0)[:, None]
    least = np.full(len(request), np.inf)
    for of_type, room in enumerate(means.capacity):
        fits = (request <= room).all(axis=1)
        np.minimum(least, request @ prices[of_type], out=least, where=fits)
    return max(0, int(least.sum() * (1 - _SAFETY)))
