"""The metrics of Pools: what happens to orders is counted, and what a status says is shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.metrics import Metrics
from bayplan.model.claim_names import made_by_us
from bayplan.model.node_claims import ClaimState, NodeClaim
from bayplan.model.untyped import mapping, sequence
from bayplan.reconcile.pool.facts import Cause

_MICRO = 1_000_000
_STATES = ("requested", "launched", "registered", "usable", "retiring")


@dataclass(slots=True, eq=False)
class PoolMetrics:
    """`metrics` is the registry of the process. A Pool that is gone is no longer shown."""

    metrics: Metrics
    _shown: set[str] = field(default_factory=set)  # names of Pools
    _coming: set[str] = field(default_factory=set)  # uids of our claims, seen before their nodes
    _given_back: set[str] = field(default_factory=set)  # uids of claims that are counted

    def ordered(self, pool: str) -> None:
        """The API server has taken a NodeClaim."""
        self.metrics.pool_orders.labels(pool).inc()

    def refused(self, pool: str) -> None:
        """A claim got no instance; it may be a claim that is of no Pool."""
        if pool:
            self.metrics.pool_refusals.labels(pool).inc()

    def withdrawn(self, pool: str) -> None:
        """A claim waited too long for its instance."""
        self.metrics.pool_stuck.labels(pool).inc()

    def given_back(self, pool: str, uid: str) -> None:
        """An empty node goes; a delete that is repeated counts once."""
        if uid not in self._given_back:
            self._given_back.add(uid)
            self.metrics.pool_retired.labels(pool).inc()

    def called(self, operation: str, result: str) -> None:
        """AWS has answered a call, or has not."""
        self.metrics.aws_calls.labels(operation, result).inc()

    def moved(self, pool: str, cause: Cause, count: int = 1) -> None:
        """Pods have left their node for another."""
        self.metrics.pool_moves.labels(pool, cause).inc(count)

    def saved(self, pool: str, microdollars: int) -> None:
        """A plan was carried out: the nodes cost so much less an hour."""
        self.metrics.pool_saved.labels(pool).inc(max(microdollars, 0) / _MICRO)

    def watch(self, claims: Iterable[NodeClaim], now: int) -> None:
        """Measure how long the claims took whose nodes have become usable since the last look.

        Only of claims that were seen before: after a restart, nobody knows when a node that is
        there became usable.
        """
        coming: set[str] = set()
        known: set[str] = set()
        for claim in claims:
            known.add(claim.uid)
            if not (claim.uid and claim.pool) or not made_by_us(claim.name, claim.pool):
                continue
            if claim.state is ClaimState.USABLE:
                if claim.uid in self._coming:
                    took = max(now - claim.created_at, 0)
                    self.metrics.pool_order_to_usable.labels(claim.pool).observe(took)
            elif claim.state is not ClaimState.RETIRING:
                coming.add(claim.uid)
        self._coming = coming
        self._given_back &= known

    def show(self, statuses: Mapping[str, Mapping[str, Any]]) -> None:
        """Show these statuses, by Pool, and no other Pool."""
        for counted in self.metrics.of_pools:
            for gone in self._shown - statuses.keys():
                counted.remove(gone)
            for pool in statuses:
                counted.labels(pool)  # from 0, so that the first one is an increase
        for gone in self._shown - statuses.keys():
            self.metrics.pool_saved.remove(gone)
            self.metrics.pool_moves.remove_by_labels({"pool": gone})
        for gauge in self.metrics.gauges_of_pools:
            gauge.clear()
        self._shown = set(statuses)
        for pool, status in statuses.items():
            self._show(pool, status)

    def _show(self, pool: str, status: Mapping[str, Any]) -> None:
        shown = self.metrics
        claims = mapping(status.get("claims"))
        for state in _STATES:
            shown.pool_nodes.labels(pool, state).set(int(claims.get(state) or 0))
        shown.pool_waiting.labels(pool).set(int(status.get("waitingPods") or 0))
        for gauge, key, unit in (
            (shown.pool_cost, "dollarsPerHour", 1.0),
            (shown.pool_bound, "boundDollarsPerHour", 1.0),
            (shown.pool_gap, "gapPercent", 100.0),
        ):
            told = status.get(key)
            if told is not None:
                gauge.labels(pool).set(float(told) / unit)
        if "moves" in status:
            self._show_consolidation(pool, status)
        for one in map(mapping, sequence(status.get("conditions"))):
            holds = one.get("status") == "True"
            shown.pool_condition.labels(pool, str(one.get("type"))).set(holds)

    def _show_consolidation(self, pool: str, status: Mapping[str, Any]) -> None:
        """What only a Pool has that moves pods; its counters begin at 0."""
        shown = self.metrics
        shown.pool_closing.labels(pool).set(int(status.get("closing") or 0))
        shown.pool_draining.labels(pool).set(int(status.get("draining") or 0))
        shown.pool_promised.labels(pool).set(float(status.get("promisedDollarsPerHour") or 0))
        blocked = map(mapping, sequence(status.get("blocked")))
        shown.pool_blocked.labels(pool).set(
            sum(float(one.get("dollarsPerHour") or 0) for one in blocked)
        )
        shown.pool_saved.labels(pool)
        for cause in Cause:
            shown.pool_moves.labels(pool, cause)
