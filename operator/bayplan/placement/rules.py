"""Constraints that bind the pods of one class to each other, kept while the class is placed.

A rule looks at domains (the values of one label) and at how many pods each has. It answers how many
more pods each domain may take *at once*, in any combination, so that whole classes are placed in a
few vector rounds and any order of nodes is right. Every round fills the most preferred nodes first
within what all rules allow.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model.reasons import Reason
from bayplan.optimizer import fill
from bayplan.placement.node_table import Domains

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Rule(ABC):
    """One constraint, with the pods per domain so far (`counts`, which change as pods land)."""

    reason: Reason
    detail: str
    domains: Domains
    counts: IntVector

    @abstractmethod
    def allowance(self, offer: "Offer") -> IntVector:
        """How many more pods each domain may take in this round, in any combination.

        If a domain that is not full has room in the offer, at least one such domain gets some.
        """

    @abstractmethod
    def full(self) -> BoolVector:
        """Domains that may take no more pods now."""

    def absent_ok(self) -> bool:
        """Whether the rule exempts nodes without the label instead of refusing them."""
        return False

    def refuses(self) -> BoolVector:
        """[N]: nodes that may take no more pods now."""
        return self.domains.of_nodes(self.full(), absent=not self.absent_ok())

    def land(self, nodes: IntVector) -> None:
        self.counts = self.counts + self.domains.sums(nodes)


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """What a rule gets for a round: room and rank per domain, pods left, whether it is alone."""

    room: IntVector  # [V] copies that fit in each domain
    rank: IntVector  # [V] position of its most preferred node; without one, larger than all
    left: int
    alone: bool  # no other rule holds pods back


@dataclass(slots=True, eq=False)
class Cap(Rule):
    """At most `limit` pods per domain: host ports, anti-affinity to itself, `AtMost`."""

    limit: int = 1
    exempt: bool = False  # nodes without the label are exempt

    def allowance(self, offer: Offer) -> IntVector:
        del offer
        return np.maximum(self.limit - self.counts, 0)

    def full(self) -> BoolVector:
        return self.counts >= self.limit

    def absent_ok(self) -> bool:
        return self.exempt


@dataclass(slots=True, eq=False)
class Together(Rule):
    """All pods in one domain, wherever the first lands: affinity to itself, `AllTogether`."""

    def allowance(self, offer: Offer) -> IntVector:
        if self.counts.any():
            return np.where(self.counts > 0, fill.UNBOUNDED, 0)
        allowed = np.zeros(len(self.counts), dtype=np.int64)
        if offer.room.any():
            holds = np.minimum(offer.room, offer.left)
            allowed[np.lexsort((offer.rank, -holds))[0]] = fill.UNBOUNDED
        return allowed

    def full(self) -> BoolVector:
        full: BoolVector = (self.counts == 0) & bool(self.counts.any())
        return full


@dataclass(slots=True, eq=False)
class Even(Rule):
    """Kubernetes' topology spread: a pod may land where count + 1 − minimum ≤ `skew`.

    The minimum is taken over `known` domains, with or without room; it is 0 while there are fewer
    than `least` such domains. `grows`: the placed pods themselves count.
    """

    skew: int = 1
    least: int = 1
    known: BoolVector | None = None
    grows: bool = True

    def allowance(self, offer: Offer) -> IntVector:
        if not self.grows:
            return np.where(self.full(), 0, fill.UNBOUNDED)
        if not offer.alone:
            return np.maximum(self._minimum(self.counts) + self.skew - self.counts, 0)
        # Without other rules the water level can rise in one step: as high as the pods last, but
        # never higher than `skew` above the first domain that is full.
        ceiling = self._minimum(self.counts + offer.room) + self.skew
        low = int(self.counts.min(initial=0))
        high = min(ceiling, int(self.counts.max(initial=0)) + offer.left) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if int(self._rise(middle, offer.room).sum()) <= offer.left:
                low = middle
            else:
                high = middle
        rise = self._rise(low, offer.room)
        return rise if rise.any() else self._rise(min(low + 1, ceiling), offer.room)

    def full(self) -> BoolVector:
        own = 1 if self.grows else 0
        return self.counts + own - self._minimum(self.counts) > self.skew

    def land(self, nodes: IntVector) -> None:
        if self.grows:
            self.counts = self.counts + self.domains.sums(nodes)

    def _minimum(self, counts: IntVector) -> int:
        known = counts if self.known is None else counts[self.known]
        return int(known.min()) if len(known) and len(known) >= self.least else 0

    def _rise(self, level: int, room: IntVector) -> IntVector:
        return np.clip(level - self.counts, 0, room)


@dataclass(slots=True, eq=False)
class Groups(Rule):
    """Marathon's GroupBy: `instances` over `expected` domains, each its floor or ceiling share.

    Any order of filling is right: a domain takes more than the floor only while fewer than
    `instances mod expected` domains do; a new domain is used only while fewer than `expected` are.
    """

    instances: int = 0
    expected: int = 1

    def allowance(self, offer: Offer) -> IntVector:
        each, extra = divmod(self.instances, max(self.expected, 1))
        used = self.counts > 0
        holds = np.minimum(offer.room, each + 1)
        fresh = np.flatnonzero(~used & (offer.room > 0))
        order = fresh[np.lexsort((offer.rank[fresh], -holds[fresh]))]
        usable = used.copy()
        usable[order[: max(self.expected - int(used.sum()), 0)]] = True
        floor = np.where(usable, np.maximum(each - self.counts, 0), 0)
        if np.minimum(floor, offer.room).any():
            return floor
        spare = extra - int(np.maximum(self.counts - each, 0).sum())
        next_ = np.flatnonzero(usable & (self.counts == each) & (offer.room > 0))
        next_ = next_[np.argsort(offer.rank[next_], kind="stable")]
        allowed = np.zeros(len(self.counts), dtype=np.int64)
        allowed[next_[: max(spare, 0)]] = 1
        return allowed

    def full(self) -> BoolVector:
        each, extra = divmod(self.instances, max(self.expected, 1))
        over = int(np.maximum(self.counts - each, 0).sum())
        open_ = (self.counts < each) | ((self.counts == each) & (over < extra))
        if int((self.counts > 0).sum()) >= self.expected:
            open_ &= self.counts > 0
        full: BoolVector = ~open_
        return full


def distribute(
    fits: IntVector, preference: FloatVector, count: int, rules: Sequence[Rule]
) -> IntVector:
    """Pods per node [N]: as many of `count` as the rules let land, most preferred nodes first.

    Changes the counts of the rules. The law: it ends with pods left only if no node with room
    passes every rule any more. O(N log N) and a few rounds; with two or more rules over groups of
    nodes, at most one round per pod and domain.
    """
    groups: list[Rule] = []
    for rule in rules:
        if isinstance(rule, Cap) and rule.domains.alone:
            fits = np.minimum(fits, _per_node(rule))
        else:
            groups.append(rule)
    placed = np.zeros(len(fits), dtype=np.int64)
    if count == 1:
        for rule in groups:
            fits = np.where(rule.refuses(), 0, fits)
        if fits.any():
            open_ = fits > 0
            placed[int(np.argmax(np.where(open_, preference, -np.inf)))] = 1
    elif groups:
        placed = _rounds(fits, preference, count, groups)
    else:
        placed = fill.fill(fits, preference, count)
    for rule in rules:
        if rule not in groups or count == 1:
            rule.land(placed)
    return placed


def _per_node(rule: Cap) -> IntVector:
    room = np.maximum(rule.limit - rule.counts, 0)
    absent = fill.UNBOUNDED if rule.exempt else np.int64(0)
    return np.append(room, absent)[rule.domains.codes]


def _rounds(
    fits: IntVector, preference: FloatVector, count: int, rules: Sequence[Rule]
) -> IntVector:
    candidates = np.flatnonzero(fits > 0)
    ranked = candidates[np.argsort(-preference[candidates], kind="stable")]
    # Caps first: the other rules choose their domains from what the caps leave.
    rules = sorted(rules, key=lambda rule: not isinstance(rule, Cap))
    placed = np.zeros(len(fits), dtype=np.int64)
    left = count
    while left > 0:
        take = np.minimum(fits[ranked] - placed[ranked], left)
        for rule in rules:
            take = np.where(rule.refuses()[ranked], 0, take)
        for rule in rules:
            # Each rule chooses among what the rules before it let through, and lets some of it
            # through: two rules that chose independently could choose domains without a common
            # node.
            codes = rule.domains.codes[ranked]
            allowed = rule.allowance(_offer(rule, codes, take, left, alone=len(rules) == 1))
            allowed = np.append(allowed, fill.UNBOUNDED if rule.absent_ok() else np.int64(0))
            take = _within(take, codes, allowed)
        before = np.cumsum(take) - take
        take = np.clip(left - before, 0, take)
        if not take.any():
            break
        landed = np.zeros(len(fits), dtype=np.int64)
        landed[ranked] = take
        for rule in rules:
            rule.land(landed)
        placed += landed
        left -= int(take.sum())
    return placed


def _offer(rule: Rule, codes: IntVector, room: IntVector, left: int, *, alone: bool) -> Offer:
    values = len(rule.domains.values)
    open_ = (room > 0) & (codes >= 0)
    sums = np.bincount(codes[open_], room[open_], minlength=values).astype(np.int64)
    rank = np.full(values, len(codes), dtype=np.int64)
    positions = np.flatnonzero(open_)[::-1]
    rank[codes[positions]] = positions  # the first position of a domain is written last
    return Offer(sums, rank, left, alone)


def _within(amounts: IntVector, codes: IntVector, allowed: IntVector) -> IntVector:
    """Amounts cut so that each domain's sum stays within its allowance; the first ones are kept.

    Code -1 (no domain) uses the last allowance, separately for each node.
    """
    order = np.argsort(codes, kind="stable")
    sorted_codes, sorted_amounts = codes[order], amounts[order]
    before = np.cumsum(sorted_amounts) - sorted_amounts
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=np.int64(-2)))
    lengths = np.diff(np.append(starts, len(sorted_codes)))
    before -= np.repeat(before[starts], lengths)
    within = np.empty_like(amounts)
    within[order] = np.clip(allowed[sorted_codes] - before, 0, sorted_amounts)
    return within
