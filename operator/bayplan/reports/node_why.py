"""Why a node stays or goes, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bayplan.api import names
from bayplan.api.pool import PoolSpec
from bayplan.api.pool_resource import PoolResource
from bayplan.model import resources
from bayplan.model.nodes import LEAVING_TAINTS, MOVING, RETIRING, Node
from bayplan.model.pods import Pod
from bayplan.model.resources import Vector
from bayplan.model.untyped import mapping, sequence
from bayplan.reconcile.pool import consolidation
from bayplan.reconcile.pool.facts import BlockedNode, LeavingNode
from bayplan.reconcile.pool.money import dollars

_HOUR, _MICRO = 3600, 1_000_000
_TOLD = (resources.CPU, resources.MEMORY)


@dataclass(frozen=True, slots=True)
class Guest:
    """A pod on the node. `why` it may not move; in how many seconds it is expected to end.

    `ends`: it is a run that is waited for. `with_node`: it comes and goes with its node.
    """

    pod: Pod
    why: str = ""
    ends_in: int | None = None
    ends: bool = False
    with_node: bool = False


def state(node: Node) -> str:
    """Where a node stands on its way out; `Open` or `NotReady` if it is not on its way."""
    if node.deleting:
        return "Deleting"
    if RETIRING in node.drains:
        return "Retiring"
    if MOVING in node.drains:
        return "Draining"
    if _taken(node):
        return "Leaving"
    if node.closing:
        return "Closing"
    if node.unschedulable:
        return "Cordoned"
    return "Open" if node.ready else "NotReady"


def _taken(node: Node) -> str:
    """The taint by which somebody else takes the node away; empty without any."""
    return next((one.key for one in node.taints if one.key in LEAVING_TAINTS), "")


@dataclass(frozen=True, slots=True)
class Why:
    """A node, its Pool if it has one, its pods, and its price in microdollars an hour.

    `free` is what the other nodes of the Pool that take pods have free in all.
    """

    node: Node
    pool: PoolResource | None
    guests: Sequence[Guest]
    price: int | None
    now: int  # epoch seconds
    known_pools: Sequence[str] = ()
    free: Vector = resources.NOTHING

    def sentences(self) -> Iterator[str]:
        """What holds of the node, the most important first."""
        if self.pool is None:
            yield self._without_pool()
            return
        leaving = self._leaving()
        if leaving:
            yield leaving
            return
        name, spec = self.pool.name, self.pool.spec
        if spec is None:
            yield f"It stays: the spec of Pool {name} cannot be used, and nothing is given back."
        elif not spec.buys:
            yield (
                f"It stays: Pool {name} only advises. Set its spec.mode to Buy to have empty nodes "
                "given back, or to BuyAndConsolidate to have pods moved too."
            )
        elif not spec.consolidates:
            yield (
                f"It stays until it has had no pods for {spec.retirement.empty_seconds} seconds: "
                f"Pool {name} has mode Buy. Set spec.mode to BuyAndConsolidate to have its pods "
                "moved."
            )
        elif self.node.unschedulable:
            yield (
                "It stays: somebody has cordoned it, and Bayplan leaves it to them. `kubectl "
                f"uncordon {self.node.name}` lets the Pool decide.{self._costs()}"
            )
        elif self.node.kept:
            yield (
                f"It stays: it is kept by its annotation {self.node.kept}. Remove the annotation "
                f"to let the Pool decide.{self._costs()}"
            )
        else:
            found = list(self._hindrances(self.pool, spec))
            yield from found or [self._worth(spec)]

    def _without_pool(self) -> str:
        named = self.node.labels.get(names.POOL)
        if named is not None:
            return (
                f"It stays: its label {names.POOL} names Pool {named}, which does not exist. "
                "Bayplan gives back nodes of Pools only."
            )
        there = ", ".join(self.known_pools)
        known = f"There are Pools: {there}." if there else "There is no Pool."
        return (
            "It stays: it is in no Pool, and Bayplan gives back nodes of Pools only. Who made it "
            f"decides when it goes. {known}"
        )

    def _leaving(self) -> str:
        """Why a node goes that is on its way out; empty if it is not."""
        runs = [one.ends_in for one in self.guests if one.pod.passing]
        ends = [each for each in runs if each is not None]
        ends_in = max(ends) if runs and len(ends) == len(runs) else None
        moves = sum(not one.with_node and not one.pod.passing for one in self.guests)
        saves = f"; that saves ${dollars(self.price)} an hour" if self.price is not None else ""
        match state(self.node):
            case "Deleting":
                return f"It goes: it is being deleted{saves}."
            case "Retiring":
                return f"It goes: it is empty and is being given back{saves}."
            case "Draining":
                waits = f"; runs that are waited for: {len(runs)}" if runs else ""
                return f"It goes: pods that have still to move: {moves}{waits}{saves}."
            case "Leaving":
                return (
                    f"It goes: somebody takes it away (taint {_taken(self.node)}); pods that have "
                    f"still to leave: {moves + len(runs)}."
                )
            case "Closing":
                closing = LeavingNode(self.node.name, self.price or 0, len(runs), ends_in)
                return consolidation.closes(closing)
        return ""

    def _hindrances(self, pool: PoolResource, spec: PoolSpec) -> Iterator[str]:
        """What keeps the node, or keeps the Pool from moving its pods."""
        planned = list(_blocked(pool, self.node))
        for one in planned:
            yield f"The last plan would give it back. {consolidation.blocked(one)}"
        staying = sum(bool(one.why) for one in self.guests)
        if staying and not planned:
            yield f"It stays: pods on it may not move ({staying}; see below).{self._costs()}"
        frozen = _condition(pool)
        if frozen:
            yield f"For now no pod of the Pool begins to move: {frozen}"
        least = spec.consolidation.minimum_node_age_seconds
        if self.now - self.node.created_at < least:
            yield (
                f"It stays for now: it is younger than {least} seconds (spec.consolidation."
                "minimumNodeAgeSeconds)."
            )

    def _worth(self, spec: PoolSpec) -> str:
        """Why nobody moves pods that may move."""
        terms = spec.consolidation
        moves = sum(not one.with_node and not one.ends for one in self.guests)
        needed = 3 * moves * terms.move_microdollars // 2
        saved = (self.price or 0) * terms.horizon_seconds // _HOUR
        if not moves:
            return (
                f"It goes when it has had no pods for {spec.retirement.empty_seconds} seconds, "
                "unless pods come that need it."
            )
        if self.price is not None and saved < needed:
            return (
                f"It stays: to give it back saves ${_small(saved)} in {terms.horizon_seconds} "
                f"seconds, and its moves ({moves}) count ${_small(needed)} (half as much again as "
                f"{moves} × spec.consolidation.moveMicrodollars)."
            )
        moving = [one.pod.request for one in self.guests if not one.with_node and not one.ends]
        asked = sum(moving, resources.NOTHING)
        lacking = any(asked.amount(what) > self.free.amount(what) for what in _TOLD)
        room = (
            "the other nodes have no room for them, and what would be bought for them costs as much"
            if lacking
            else "not each of them fits onto another node, or a plan for the whole Pool needs the "
            "room, or the node is cheaper than what would have to stay instead"
        )
        return (
            "It stays: its pods may move, but no plan was found that saves enough by moving them: "
            f"{room}. They ask for {_amounts(asked)}; the other nodes of the Pool have "
            f"{_amounts(self.free)} free in all."
        )

    def _costs(self) -> str:
        if self.price is None:
            return ""
        return f" It costs ${dollars(self.price)} an hour while it stays."


def _amounts(vector: Vector) -> str:
    cpus, memory = (vector.amount(what) for what in _TOLD)
    return f"{cpus / 1000:.1f} CPUs and {memory / 2**30:.1f} GiB"


def _small(microdollars: int) -> str:
    return f"{microdollars / _MICRO:.4f}"


def _blocked(pool: PoolResource, node: Node) -> Iterator[BlockedNode]:
    """What the operator itself says of the node in the Pool's status."""
    for one in map(mapping, sequence(pool.status.get("blocked"))):
        if one.get("node") == node.name:
            pod, reason = str(one.get("pod") or ""), str(one.get("reason") or "")
            yield BlockedNode(
                node.name, pod, reason, consolidation.microdollars(one.get("dollarsPerHour"))
            )


def _condition(pool: PoolResource) -> str:
    """Why the Pool moves nothing now, in its own words; empty if it does."""
    for one in map(mapping, sequence(pool.status.get("conditions"))):
        if one.get("type") == consolidation.CONSOLIDATING and one.get("status") != "True":
            return str(one.get("message") or one.get("reason") or "")
    if "observedGeneration" not in pool.status:
        return "the operator has written no status of it; `bayplan doctor` says more."
    return ""
