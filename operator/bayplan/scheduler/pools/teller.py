"""Writes the status of each Pool: what it has, what it costs, what hinders it, what comes next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.cluster.cache import Cache
from bayplan.model.intents import EmitEvent
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import INSTANCE_TYPE, Node
from bayplan.model.untyped import mapping
from bayplan.reconcile.pool import turns
from bayplan.reconcile.pool.consolidation import sentences
from bayplan.reconcile.pool.facts import Consolidating, Costs, Facts, Offers
from bayplan.reconcile.pool.limits import Room, room
from bayplan.reconcile.pool.states import NodeState, Row, counts, rows
from bayplan.reconcile.pool.status import status
from bayplan.scheduler.pools import loads
from bayplan.scheduler.pools.appraiser import Appraised, Appraiser
from bayplan.scheduler.pools.buyer import Buyer
from bayplan.scheduler.pools.groups import Groups
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.refused import RefusedOfferings

_EVERY_SECONDS = 5


class StatusWrites(Protocol):
    """The part of the writer that tells of Pools."""

    def write_pool_status(self, pool: PoolResource, status: Mapping[str, Any]) -> None: ...
    def tell(self, pool: PoolResource, node: Node | None, event: EmitEvent) -> None: ...


@dataclass(slots=True, eq=False)
class Teller:
    """Tells every few seconds, and sooner after news about a Pool or a claim.

    `consolidating` has what consolidation does in each Pool that moves pods.
    """

    cache: Cache
    writer: StatusWrites
    menus: MenuKeeper
    refused: RefusedOfferings
    buyer: Buyer
    appraiser: Appraiser
    measured: PoolMetrics
    groups: Groups
    consolidating: Mapping[str, Consolidating] = field(default_factory=dict)  # by Pool
    _changes: int = -1
    _told_at: int = 0
    _leaving: dict[str, turns.Known] = field(default_factory=dict)  # by Pool

    def look(self, menus: Menus, now: int) -> None:
        """Have the statuses written that differ from the stored ones."""
        known = self.cache.pools
        recent = 0 <= now - self._told_at < _EVERY_SECONDS  # the wall clock may have been set back
        if known.changes == self._changes and recent:
            return
        self._changes, self._told_at = known.changes, now
        default = known.default
        told: dict[str, Mapping[str, Any]] = {}
        for pool in known.pools.values():
            found = self._facts(pool, menus, default, now)
            told[pool.name] = status(found, now)
            self.writer.write_pool_status(pool, told[pool.name])
            self._tell_turns(pool)
        self.measured.show(told)

    def _tell_turns(self, pool: PoolResource) -> None:
        """Say what has become of nodes that are to go since the last look."""
        consolidating = self.consolidating.get(pool.name)
        if consolidating is None:
            self._leaving.pop(pool.name, None)
            return
        nodes, before = self.cache.state.nodes, self._leaving.get(pool.name)
        now = self._leaving[pool.name] = turns.known(consolidating, nodes, before)
        if before is not None:
            for name, event in turns.events(before, now, nodes, consolidating.opened):
                self.writer.tell(pool, nodes.get(name), event)

    def _facts(self, pool: PoolResource, menus: Menus, default: str, now: int) -> Facts:
        referred = pool.node_pool
        nodes = self.cache.snapshot().nodes
        found = rows(pool.name, referred, self.cache.pools.claims.values(), nodes)
        appraised = self.appraiser.known.get(pool.name, Appraised())
        consolidating = self.consolidating.get(pool.name)
        held, bounds = self.buyer.held_back.get(pool.name), self._room(pool, referred, menus)
        return Facts(
            pool=pool,
            hands=self.menus.hands(pool.name),
            offers=self._offers(pool.name, menus),
            costs=self._costs(pool.name, found, appraised, menus)
            if found or not (referred or pool.groups_tag)
            else _without_nodes(appraised.costs),
            counts=counts(found),
            room=bounds,
            held_back=(held,) if held is not None and bounds.holds(held) else (),
            unavailable=self.refused.of(pool.name, now),
            refused=self.refused.count(pool.name, now),
            refused_write=self.refused_write(pool.name),
            waiting=self.buyer.waiting_for(pool.name),
            default=default,
            next=(
                *_under_way(found),
                *(sentences(consolidating) if consolidating is not None else ()),
                *appraised.changes,
            ),
            consolidating=consolidating,
            launches=self.groups.launches(pool.name),
            launch_serial=self.groups.book.serial(pool),
        )

    def refused_write(self, pool: str) -> str:
        """What the API server or AWS says to a write that it refuses; empty if none is wrong."""
        told = self.cache.refusals.of((names.POOL_KIND, "", pool))
        lasting = next((one.message for one in told), "")
        known = self.buyer.refused_writes.get(pool, "")
        return known or self.groups.refused_write(pool) or lasting

    def _offers(self, pool: str, menus: Menus) -> Offers:
        known = self.cache.pools
        sources = {offer.source for offer in menus.menu.offers if offer.pool == pool}
        return Offers(
            allowed=len(menus.offerings(pool)),
            # A file stands in for it, and groups need no Karpenter.
            problem="" if known.book.file or self._of_groups(pool) else known.market_problem,
            remembered=known.market is not None,
            sources=tuple(sorted(sources)),
        )

    def _of_groups(self, pool: str) -> bool:
        return bool(self.cache.pools.pools[pool].groups_tag)

    def _costs(self, pool: str, found: Sequence[Row], last: Appraised, menus: Menus) -> Costs:
        """What the nodes cost at this moment, beside the last appraisal."""
        total = 0
        for row in found:
            price = self.menus.price(row.node) if row.node is not None else None
            if price is None and row.claim is not None and row.claim.got is not None:
                offer = menus.everything.get((pool, row.claim.got[0]))
                price = offer.price if offer is not None else None
            if price is None and row.state is not NodeState.REQUESTED:
                return last.costs
            total += price or 0
        if not found:  # the nodes are those that have no Pool
            return last.costs
        return Costs(total, last.costs.bound, last.costs.planned)

    def _room(self, pool: PoolResource, node_pool: str, menus: Menus) -> Room:
        stored = self.menus.node_pool(pool.name)
        if pool.spec is None or (stored is None and not pool.groups_tag):
            return Room()
        bounds = mapping(mapping(stored.body.get("spec")).get("limits")) if stored else {}
        return room(
            pool.spec.limits, bounds, loads.counted(self.cache, pool.name, node_pool, menus)
        )


def _without_nodes(last: Costs) -> Costs:
    """Nothing is paid; the last appraisal counts if it was of no nodes too."""
    return last if last.now == 0 else Costs(0)


_WORDS = {
    NodeState.REQUESTED: "Ordered",
    NodeState.LAUNCHED: "Starting",
    NodeState.REGISTERED: "Joining",
    NodeState.DRAINING: "Being given back, for they are empty",
    NodeState.RETIRING: "Being deleted",
}


def _under_way(found: Sequence[Row]) -> Iterator[str]:
    """What is on its way to or from the Pool, in a sentence for each state."""
    for state, word in _WORDS.items():
        sorts = Counter(_type(row) for row in found if row.state is state)
        if sorts:
            listed = ", ".join(f"{count} × {kind}" for kind, count in sorts.most_common())
            yield f"{word}: {listed}."


def _type(row: Row) -> str:
    if row.node is not None:
        return row.node.labels.get(INSTANCE_TYPE, row.node.labels.get(NODE_POOL, "unknown"))
    if row.claim is None:
        return "unknown"
    return row.claim.got[0] if row.claim.got is not None else " or ".join(row.claim.types)
