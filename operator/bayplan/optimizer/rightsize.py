"""Finds the cheapest nodes for many distinct requests, even if no two pods have the same size.

Requests are grouped on a grid, fine for large pods and coarse for small pods. The groups' means are
provisioned on nodes that count a little smaller than they are. Then the real pods take the places,
group by group, the larger pods on the nodes that are furthest below their mean. If a node is too
full, pods are swapped with pods of other nodes until it is not; the few pods without such a swap
get their own nodes. The bound considers every single pod.

Pods of one group may use the same types. Each of the most numerous classes is a group of its own:
its mean is its request. The limit of pods of one class on a node is applied when real pods are
placed.
"""

import dataclasses

import numpy as np

from bayplan.optimizer import work
from bayplan.optimizer.bound import fluid
from bayplan.optimizer.problem import (
    UNLIMITED,
    BoolMatrix,
    BoolVector,
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
_FOLD = 1.2  # grid step of small requests, in the logarithm
_SMALLEST = 1e-4  # share below which all requests are alike
_OWN_GROUPS = 32  # of the most numerous classes
_NUMEROUS = 0.004  # share of all pods: a class with fewer pods shares its group
_HELD_BACK = 0.002  # share of a node that is reserved, because means are not exact
_FOR_PLAN, _FOR_SWAPS = 0.6, 0.95  # shares of the time after which the next step begins
_PARTNERS = 80  # nodes that are tried for a swap
_TRIES = 3  # tries without a gain before a node is given up
_LEAST_GAIN = 1e-9
_LAST_ROUNDS = 20
_SAFETY = 1e-9


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RightSized:
    """The node of each pod, the type of each node, and the proof."""

    node: IntVector  # [N] of the pods class by class; −1 where a pod fits no type
    types: IntVector  # [M] of each node
    cost: int  # microdollars an hour
    bound: int  # of placing every pod that fits some type

    @property
    def gap(self) -> float:
        """(cost − bound) ÷ bound; 0 if nothing costs anything."""
        return (self.cost - self.bound) / self.bound if self.bound else 0.0


def rightsized(problem: Problem, budget: Budget, seed: int = 0) -> RightSized:
    """Cheap nodes for the pods of any number of classes.

    Types are as many as wanted and classes have no conflicts: `provision` knows such limits.
    """
    masks, mask = _masks(problem.eligible)
    nobody = Problem.of(
        np.zeros(len(masks), np.int64),
        np.zeros((len(masks), problem.request.shape[1]), np.int64),
        problem.capacity,
        problem.price,
        eligible=masks,
    )
    types = undominated(nobody)
    capacity, price, open_ = problem.capacity[types], problem.price[types], masks[:, types]
    kind = np.repeat(np.arange(len(problem.demand)), problem.demand)
    node = np.full(len(kind), -1)
    chosen = Problem.of(
        problem.demand,
        problem.request,
        capacity,
        price,
        eligible=open_[mask],
        per_node=problem.per_node,
    )
    pods = np.flatnonzero(chosen.placeable()[kind])
    if not len(pods):
        return RightSized(node, np.zeros(0, np.int64), 0, 0)
    crowd = _Crowd(
        kind=kind[pods],
        request=problem.request[kind[pods]],
        mask=mask[kind[pods]],
        per_node=problem.per_node[kind[pods]],
        open=open_,
    )
    means, group = _grouped(crowd, capacity, price)
    plan = provision(_smaller(means), budget.until(_FOR_PLAN), seed)
    filled = _dealt(plan, means, group, crowd)
    _swapped(filled, budget.until(_FOR_SWAPS), np.random.default_rng(seed))
    node[pods], bought = _settled(filled, means, budget, seed)
    cost = int(price[bought].sum())
    least = min(cost, _bound(means, crowd))
    return RightSized(node=node, types=types[bought], cost=cost, bound=least)


def _masks(eligible: BoolMatrix) -> tuple[BoolMatrix, IntVector]:
    """The distinct rows, and the index of each row among them."""
    number: dict[bytes, int] = {}
    mask = np.array([number.setdefault(row.tobytes(), len(number)) for row in eligible], np.int64)
    return eligible[np.unique(mask, return_index=True)[1]], mask


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Crowd:
    """The pods, one by one; `open` says which types are open to pods of a mask."""

    kind: IntVector  # [N] class
    request: IntMatrix  # [N, D]
    mask: IntVector  # [N]
    per_node: IntVector  # [N] how many pods of its class a node may hold
    open: BoolMatrix  # [S, T]

    @property
    def capped(self) -> BoolVector:
        return self.per_node < UNLIMITED


def _grouped(crowd: _Crowd, capacity: IntMatrix, price: IntVector) -> tuple[Problem, IntVector]:
    """The groups' means (rounded up) as classes, and each pod's group."""
    share = np.maximum(crowd.request / np.maximum(capacity.max(axis=0), 1), _SMALLEST)
    cell = np.floor(share / _STEP + np.log(share / _SMALLEST) / _FOLD)
    number = np.bincount(crowd.kind)
    foremost = np.argsort(-number, kind="stable")[:_OWN_GROUPS]
    numerous = np.zeros(len(number), np.bool_)
    numerous[foremost] = number[foremost] >= max(2, _NUMEROUS * len(crowd.kind))
    own = np.where(numerous[crowd.kind], crowd.kind, -1)
    cell[own >= 0] = 0
    keys = np.column_stack((own, crowd.mask, cell))
    first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
    group = group.ravel()
    count = np.bincount(group)
    total = np.zeros((len(count), crowd.request.shape[1]), np.int64)
    np.add.at(total, group, crowd.request)
    means = Problem.of(
        count,
        -(-total // count[:, None]),
        capacity,
        price,
        eligible=crowd.open[crowd.mask[first]],
        per_node=np.where(keys[first, 0] >= 0, crowd.per_node[first], UNLIMITED),
    )
    return means, group


def _smaller(means: Problem) -> Problem:
    """The problem with slightly smaller nodes, unless a mean needs all of its largest node."""
    held = means.capacity - (means.capacity * _HELD_BACK).astype(np.int64)
    tight = dataclasses.replace(means, capacity=held)
    return tight if tight.placeable().all() else means


@dataclasses.dataclass(slots=True, eq=False)
class _Filled:
    """Nodes with real pods on them; some nodes may be too full."""

    crowd: _Crowd
    types: IntVector  # [M]
    room: IntMatrix  # [M, D] of each node's type
    node: IntVector  # [N] −1 for none
    load: IntMatrix  # [M, D]

    @property
    def too_full(self) -> IntVector:
        return np.flatnonzero((self.load > self.room).any(axis=1))

    def put(self, pods: IntVector, nodes: IntVector) -> None:
        """Put pods without a node on these nodes, one each; a node may be named more than once."""
        self.node[pods] = nodes
        np.add.at(self.load, nodes, self.crowd.request[pods])

    def move(self, pod: int, node: int) -> None:
        """Move a pod to another node; −1 means no node."""
        if self.node[pod] >= 0:
            self.load[self.node[pod]] -= self.crowd.request[pod]
        if node >= 0:
            self.load[node] += self.crowd.request[pod]
        self.node[pod] = node

    def move_out(self, pods: IntVector) -> None:
        """Take these pods off their nodes."""
        np.subtract.at(self.load, self.node[pods], self.crowd.request[pods])
        self.node[pods] = -1

    def takes(self, pod: int) -> BoolVector:
        """[M]: the nodes open to the pod, with room, and with fewer of its class than the cap."""
        crowd = self.crowd
        fits: BoolVector = (self.load + crowd.request[pod] <= self.room).all(axis=1)
        fits &= crowd.open[crowd.mask[pod]][self.types]
        if crowd.capped[pod]:
            there = self.node[(crowd.kind == crowd.kind[pod]) & (self.node >= 0)]
            fits &= np.bincount(there, minlength=len(fits)) < crowd.per_node[pod]
        return fits

    def may(self, pods: IntVector, nodes: IntVector) -> BoolMatrix:
        """[pods, nodes]: which pods may use which nodes, without regard to room."""
        allowed: BoolMatrix = self.crowd.open[np.ix_(self.crowd.mask[pods], self.types[nodes])]
        return allowed


def _dealt(plan: Packing, means: Problem, group: IntVector, crowd: _Crowd) -> _Filled:
    """Put real pods into the places of their group, large pods on nodes far below their means."""
    types = np.repeat(plan.types, plan.nodes)
    places = np.repeat(plan.patterns, plan.nodes, axis=0)  # [M, K]
    filled = _Filled(
        crowd=crowd,
        types=types,
        room=means.capacity[types],
        node=np.full(len(crowd.kind), -1),
        load=np.zeros((len(types), crowd.request.shape[1]), np.int64),
    )
    weight = 1.0 / np.maximum(means.capacity.max(axis=0), 1)
    size, mean_size = crowd.request @ weight, means.request @ weight
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
    filled.move_out(_beyond_cap(filled))
    return filled


def _beyond_cap(filled: _Filled) -> IntVector:
    """Pods of which their node holds too many."""
    crowd = filled.crowd
    pods = np.flatnonzero(crowd.capped & (filled.node >= 0))
    place = crowd.kind[pods] * len(filled.types) + filled.node[pods]
    pods = pods[np.argsort(place, kind="stable")]
    first, count = np.unique(np.sort(place), return_index=True, return_counts=True)[1:]
    rank = np.arange(len(pods)) - np.repeat(first, count)
    return pods[rank >= crowd.per_node[pods]]


def _swapped(filled: _Filled, budget: Budget, dice: np.random.Generator) -> None:
    """Swap or move pods between nodes, the best of many each time, until no node is too full.

    A swap is judged by how much two nodes together exceed their room, before and after. Pods of a
    class with a cap per node go to nodes that hold no pod of their class.
    """
    request = filled.crowd.request.astype(np.float64)
    kind, capped = filled.crowd.kind, filled.crowd.capped
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
        chosen = np.zeros(len(tries) + 1, np.bool_)  # the last is for pods without a node
        chosen[others] = True
        own = np.flatnonzero(filled.node == node)
        theirs = np.flatnonzero(chosen[filled.node])
        back = np.concatenate((request[theirs], np.zeros((len(others), request.shape[1]))))
        to = np.concatenate((filled.node[theirs], others))
        work.did(20, len(own) * len(back) * request.shape[1])
        change = request[own][:, None, :] - back[None, :, :]
        here = _excess(filled.load[node] - change, filled.room[node], unit[node])
        there = _excess(filled.load[to] + change, filled.room[to], unit[to])
        gain = np.where(filled.may(own, to), excess[node] + excess[to] - here - there, 0.0)
        gain[:, : len(theirs)] *= filled.may(theirs, np.array([node])).T
        if capped[own].any():
            alike = capped[own][:, None] & (kind[own][:, None] == kind[theirs])
            there_too = np.zeros((len(own), len(tries)), np.bool_)
            at, of = np.nonzero(alike)
            there_too[at, filled.node[theirs[of]]] = True
            gain[there_too[:, to]] = 0.0
        here_too = capped[theirs] & np.isin(kind[theirs], kind[own])
        gain[:, : len(theirs)][:, here_too] = 0.0
        i, j = (
            (int(index) for index in np.unravel_index(int(gain.argmax()), gain.shape))
            if gain.size
            else (-1, -1)
        )
        if i < 0 or gain[i, j] < _LEAST_GAIN:
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
    """The node of each pod and the cheapest type of each node, with no node too full."""
    weight = 1.0 / np.maximum(means.capacity.max(axis=0), 1)
    crowd, request = filled.crowd, filled.crowd.request
    size = request @ weight
    for node in filled.too_full:
        while (filled.load[node] > filled.room[node]).any():
            own = np.flatnonzero(filled.node == node)
            over = filled.load[node] - filled.room[node]
            enough = own[(request[own] >= over).all(axis=1)]
            leaves = enough[size[enough].argmin()] if len(enough) else own[size[own].argmax()]
            filled.move(int(leaves), -1)
    out = np.flatnonzero(filled.node < 0)
    for pod in out[np.argsort(-size[out], kind="stable")]:
        fits = np.flatnonzero(filled.takes(int(pod)))
        if len(fits):
            spare = ((filled.room[fits] - filled.load[fits]) * weight).sum(axis=1)
            filled.move(int(pod), int(fits[spare.argmin()]))
    kept, node = np.unique(filled.node, return_inverse=True)
    node = node.ravel() - int((kept < 0).any())
    kept = kept[kept >= 0]
    types = _cheapest_for(filled.load[kept], _open_to_all(filled)[kept], means)
    out = np.flatnonzero(filled.node < 0)
    if len(out):
        kinds, first, kind = np.unique(crowd.kind[out], return_index=True, return_inverse=True)
        rest = Problem.of(
            np.bincount(kind.ravel(), minlength=len(kinds)),
            request[out[first]],
            means.capacity,
            means.price,
            eligible=crowd.open[crowd.mask[out[first]]],
            per_node=crowd.per_node[out[first]],
        )
        plan = provision(rest, dataclasses.replace(budget, rounds=_LAST_ROUNDS), seed)
        members = [out[kind.ravel() == k].tolist() for k in range(len(kinds))]
        for of_type, pattern, count in zip(plan.types, plan.patterns, plan.nodes, strict=True):
            for _ in range(int(count)):
                for k in np.flatnonzero(pattern).tolist():
                    for _ in range(int(pattern[k])):
                        node[members[k].pop()] = len(types)
                types = np.append(types, of_type)
    return node, types


def _open_to_all(filled: _Filled) -> BoolMatrix:
    """[M, T]: the types that all pods of a node may use."""
    crowd = filled.crowd
    allowed = np.ones((len(filled.types), crowd.open.shape[1]), np.bool_)
    for mask, open_ in enumerate(crowd.open):
        on = np.unique(filled.node[(crowd.mask == mask) & (filled.node >= 0)])
        allowed[on] &= open_
    return allowed


def _cheapest_for(loads: IntMatrix, allowed: BoolMatrix, means: Problem) -> IntVector:
    """[M] the cheapest allowed type with room for each load; every load has one."""
    best = np.full(len(loads), -1)
    for of_type in np.argsort(means.price, kind="stable"):
        fits = (best < 0) & (loads <= means.capacity[of_type]).all(axis=1) & allowed[:, of_type]
        best[fits] = of_type
    return best


def _bound(means: Problem, crowd: _Crowd) -> int:
    """Least cost: resource prices of the means' fluid plan, made safe, times every pod's request.

    Each type gets unit prices such that no node holds more than its price. A pod's worth is the
    least that any type that it fits asks for it. The pods of a node are then worth no more than the
    node.
    """
    start = fluid(means)
    if start is None:
        return 0
    prices = start.multipliers
    worth = (prices * means.capacity).sum(axis=1) * (1 + _SAFETY)
    prices = prices / np.maximum(worth / means.price, 1.0)[:, None]
    least = np.full(len(crowd.kind), np.inf)
    for of_type, room in enumerate(means.capacity):
        fits = (crowd.request <= room).all(axis=1) & crowd.open[crowd.mask, of_type]
        np.minimum(least, crowd.request @ prices[of_type], out=least, where=fits)
    return max(0, int(least.sum() * (1 - _SAFETY)))
