"""Why the pods of a Pool do not begin to move now: moves wait while anything else is going on."""

from dataclasses import dataclass, field

from bayplan.api.pool import PoolSpec
from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import Offering
from bayplan.reconcile import mass_loss
from bayplan.reconcile.pool import freezes, windows
from bayplan.reconcile.pool.quiet import Problem
from bayplan.reconcile.pool.vacating.vacancies import Memory
from bayplan.scheduler.pools.buyer import Buyer
from bayplan.scheduler.pools.refused import RefusedOfferings

_HOUR = 3600
_HALTING = frozenset({"ApiDegraded", "NodesSilent"})
_REFUSED_SECONDS = 600  # what was refused is not tried again for moves for so long


@dataclass(slots=True, eq=False)
class Calm:
    """Looks at what the other parts know of a Pool."""

    cache: Cache
    buyer: Buyer
    refused: RefusedOfferings
    _said: dict[str, tuple[str, int]] = field(default_factory=dict)  # Pool -> refusal, since when

    def hindrance(self, pool: str, now: int) -> Problem | None:
        """Why nothing of a plan begins in the Pool; None if nothing hinders it. O(nodes)."""
        if not self.cache.synced:
            return freezes.degraded("not everything was listed yet")
        said = self._refused_lately(pool, now)
        if said:
            return freezes.degraded(said)
        pools = self.cache.pools
        if pools.market is None and not (pools.book.file or pools.book.aws):
            return freezes.unpriced()
        if mass_loss.braked_until(self.cache.state.nodes.values(), now) is not None:
            return freezes.silence()
        waiting = self.buyer.waiting_for(pool)
        return freezes.waiting(waiting) if waiting else None

    def _refused_lately(self, pool: str, now: int) -> str:
        """What the server said to the last order, if that is new; nobody may order again soon."""
        said = self.buyer.refused_writes.get(pool, "")
        before, since = self._said.get(pool, ("", now))
        since = since if before == said else now
        self._said[pool] = said, since
        return said if now - since < _REFUSED_SECONDS else ""

    def halts(self, problem: Problem | None) -> bool:
        """Whether pods of nodes that are being emptied stay for now, too."""
        return problem is not None and problem.reason in _HALTING

    def still(self, spec: PoolSpec, memory: Memory, now: int) -> Problem | None:
        """Why no pod begins to move, although nodes may close and empty by themselves."""
        terms = spec.consolidation
        most = terms.maximum_moves_per_hour
        if not most:
            return freezes.forbidden("maximumMovesPerHour")
        if not terms.draining_nodes(1):
            return freezes.forbidden("maximumDraining")
        if not windows.open_at(terms.windows, now):
            return freezes.outside(windows.opens_at(terms.windows, now))
        return freezes.spent(most) if self.spent(memory, now) >= most else None

    def spent(self, memory: Memory, now: int) -> int:
        """How many pods have begun to move within the last hour."""
        return sum(count for at, count in memory.moves if now < at + _HOUR)

    def shunned(self, pool: str, now: int) -> frozenset[Offering]:
        """The offerings that were refused lately: nothing moves to a node of these."""
        known = self.refused.of(pool, now).known
        return frozenset(each for each, one in known.items() if now - one.since < _REFUSED_SECONDS)
