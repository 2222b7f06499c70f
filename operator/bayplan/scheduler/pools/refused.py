"""The offerings that were refused lately, of every Pool: from what happens to the claims."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.reconcile.pool.refusals import LONGEST_SECONDS, Unavailable, offerings_of


@dataclass(slots=True, eq=False)
class RefusedOfferings:
    """What a former process had learned is read from the status of each Pool."""

    cache: Cache
    _known: dict[str, tuple[str, Unavailable]] = field(default_factory=dict)  # Pool -> uid, what
    _when: dict[str, list[int]] = field(default_factory=dict)  # Pool -> times of refusals
    _launched: set[str] = field(default_factory=set)  # uids of claims that have an instance
    _changes: int = -1  # of the Pools, when it was last looked who goes
    _going_now: tuple[NodeClaim, ...] = ()

    def of(self, pool: str, now: int) -> Unavailable:
        """What is known of a Pool."""
        stored = self.cache.pools.pools[pool]
        known = self._known.get(pool)
        if known is None or known[0] != stored.uid:
            told = Unavailable.from_status(stored.status.get("unavailable"), now)
            known = self._known[pool] = stored.uid, told
        return known[1]

    def closed(self, now: int) -> Mapping[str, frozenset[Offering]]:
        """The offerings that may not be asked for now, by Pool.

        A claim that is gone, or goes without ever having had an instance, counts at once, before it
        is heard of: what is ordered in between would ask for the same.
        """
        found = {pool: self.of(pool, now).closed(now) for pool in self.cache.pools.pools}
        for claim in (*self.cache.pools.gone, *self._going()):
            if claim.pool in found:
                found[claim.pool] |= offerings_of(claim, ())
        return {pool: offerings for pool, offerings in found.items() if offerings}

    def _going(self) -> tuple[NodeClaim, ...]:
        """The claims that are being deleted without an instance."""
        pools = self.cache.pools
        if self._changes != pools.changes:
            self._changes = pools.changes
            claims = pools.claims.values()
            self._going_now = tuple(
                claim for claim in claims if claim.deleting and not claim.provider_id
            )
        return self._going_now

    def put_away(self, claim: NodeClaim, menu: Collection[Offering], now: int) -> None:
        """The claim got no instance."""
        if claim.pool in self.cache.pools.pools:
            after = self.of(claim.pool, now).refused(offerings_of(claim, menu), now)
            self._known[claim.pool] = self.cache.pools.pools[claim.pool].uid, after
            self._when.setdefault(claim.pool, []).append(now)

    def clock_set(self, seconds: int) -> None:
        """The wall clock was set by so many seconds: what is out stays out as long as before."""
        self._known = {
            pool: (uid, known.shifted(seconds)) for pool, (uid, known) in self._known.items()
        }
        self._when = {
            pool: [when + seconds for when in times] for pool, times in self._when.items()
        }

    def count(self, pool: str, now: int) -> int:
        """How many claims of a Pool got no instance in the last half hour."""
        recent = [when for when in self._when.get(pool, ()) if now - when < LONGEST_SECONDS]
        self._when[pool] = recent
        return len(recent)

    def hear(self, now: int) -> None:
        """Claims that have an instance by now show what can be had again."""
        claims = self.cache.pools.claims.values()
        for claim in claims:
            got = claim.got
            if got is None or claim.uid in self._launched:
                continue
            self._launched.add(claim.uid)
            if claim.pool in self.cache.pools.pools:
                after = self.of(claim.pool, now).after_success(got, claim.created_at)
                self._known[claim.pool] = self.cache.pools.pools[claim.pool].uid, after
        if len(self._launched) > 2 * len(claims) + 100:
            self._launched &= {claim.uid for claim in claims}
