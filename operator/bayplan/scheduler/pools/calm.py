"""Why the pods of a Pool do not begin to move now: moves wait while anything else is going on."""

from dataclasses import dataclass

from bayplan.api.pool import PoolSpec
from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import Offering
from bayplan.reconcile import mass_loss
from bayplan.reconcile.pool import freezes, windows
from bayplan.reconcile.pool.quiet import Problem
from bayplan.scheduler.pools.buyer import Buyer
from bayplan.scheduler.pools.refused import RefusedOfferings

_REFUSED_SECONDS = 600  # an offering that was refused is bought for no move for so long


@dataclass(slots=True, eq=False)
class Calm:
    """Looks at what the other parts know of a Pool."""

    cache: Cache
    buyer: Buyer
    refused: RefusedOfferings

    def hindrance(self, pool: str, spec: PoolSpec, now: int) -> Problem | None:
        """Why no pod of the Pool begins to move; None if nothing hinders it. O(nodes)."""
        terms = spec.consolidation
        if not terms.maximum_moves_per_hour:
            return freezes.forbidden("maximumMovesPerHour")
        if not terms.draining_nodes(len(self.cache.state.nodes)):
            return freezes.forbidden("maximumDraining")
        if not windows.open_at(terms.windows, now):
            return freezes.outside(windows.opens_at(terms.windows, now))
        if not self.cache.synced:
            return freezes.degraded("not everything was listed yet")
        said = self.buyer.refused_writes.get(pool, "")
        if said:
            return freezes.degraded(said)
        if self.cache.pools.market is None and not self.cache.pools.book.file:
            return freezes.unpriced()
        waiting = self.buyer.waiting_for(pool)
        if waiting:
            return freezes.waiting(waiting)
        if mass_loss.braked_until(self.cache.state.nodes.values(), now) is not None:
            return freezes.silence()
        return None

    def shunned(self, pool: str, now: int) -> frozenset[Offering]:
        """The offerings that were refused lately: nothing moves to a node of these."""
        known = self.refused.of(pool, now).known
        return frozenset(each for each, one in known.items() if now - one.since < _REFUSED_SECONDS)
