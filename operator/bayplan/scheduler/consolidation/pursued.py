"""Groups of nodes that a plan gives back: what they need is ordered first, and waited for."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from bayplan.cluster.cache import Cache
from bayplan.model.departures import Move, Vacating
from bayplan.model.workloads import Backlog, PodClass
from bayplan.provisioning.consolidation.scene import Group
from bayplan.reconcile.pool.retirement import JOINING_SECONDS
from bayplan.reconcile.pool.vacating import vacancies
from bayplan.scheduler.pools.menus import Menus
from bayplan.scheduler.pools.orderer import Orderer
from bayplan.scheduler.pools.under_way import UnderWay

_LETTERS = 10
_COMING_SECONDS = JOINING_SECONDS + 120
_UNUSED_SECONDS = 120


@dataclass(slots=True, eq=False)
class Pursued:
    """A group that is to be carried out. `claims` are those of its orders, once they went out.

    `failed` says why it cannot be carried out; it is empty while it can.
    """

    name: str
    group: Group
    claims: tuple[str, ...] = ()
    ordered_at: int = 0  # epoch seconds
    came_at: int = 0  # when all that was ordered was there
    failed: str = ""

    @classmethod
    def of(cls, group: Group) -> "Pursued":
        """The same nodes have the same name in every plan."""
        uids = ",".join(sorted(one.uid for one in group.vacatings))
        return cls(hashlib.sha256(uids.encode()).hexdigest()[:_LETTERS], group)

    @property
    def nodes(self) -> frozenset[str]:
        """The uids of its nodes."""
        return frozenset(one.uid for one in self.group.vacatings)

    def late(self, now: int) -> bool:
        """Whether what was ordered has been there, or on its way, for too long without a use."""
        if not self.claims:
            return False
        if self.came_at:
            return now - self.came_at >= _UNUSED_SECONDS
        return now - self.ordered_at >= _COMING_SECONDS

    @property
    def buys(self) -> bool:
        """Whether it waits for orders that have not gone out."""
        return bool(self.group.orders) and not self.claims


@dataclass(slots=True, eq=False)
class Targets:
    """Orders the nodes to which pods are to move, and finds them when they have come."""

    cache: Cache
    orderer: Orderer
    under_way: UnderWay

    def order(self, one: Pursued, menus: Menus, now: int) -> None:
        """Order what the group needs, all of it or nothing."""
        orders = one.group.orders
        if not self.orderer.fits(orders, menus):
            one.failed = "the limits of the Pool leave no room for its new nodes"
            return
        one.ordered_at = now
        claims = self.orderer.order(orders, menus, moves=True).claims
        names = {id(order): name for name, order in claims.items()}
        if len(names) < len(orders):
            one.failed = "its new nodes cannot be ordered"
        one.claims = tuple(names[id(order)] for order in orders if id(order) in names)

    def carried(self, one: Pursued, now: int) -> vacancies.Group | None:
        """The group as it can be carried out now; None if it has failed.

        Until all that was ordered for it is usable, its nodes only close.
        """
        if one.failed:
            return None
        vacatings = one.group.vacatings
        if not one.group.orders:
            return vacancies.Group(one.name, vacatings)
        if not one.claims:
            return vacancies.Group(one.name, vacatings, usable=False)
        known = self.cache.pools.claims
        if any(name not in known or known[name].deleting for name in one.claims):
            one.failed = "a node that was ordered for it did not come"
            return None
        nodes = self.under_way.usable(one.claims)
        if len(nodes) < len(one.claims):
            return vacancies.Group(one.name, vacatings, usable=False)
        one.came_at = one.came_at or now
        there = [nodes[name].name for name in one.claims]
        return vacancies.Group(one.name, tuple(_to(each, there) for each in vacatings))

    def keep_only(self, pursued: Iterable[Pursued], begun: Collection[str]) -> None:
        """Hold room on what was ordered for these groups alone.

        For pods of nodes that have `begun` (their uids) room is held in another way.
        """
        held: dict[str, Counter[PodClass]] = {}
        for one in pursued:
            names = {f"~{index}": name for index, name in enumerate(one.claims)}
            for vacating in one.group.vacatings:
                for move in vacating.moves if vacating.uid not in begun else ():
                    if move.target in names:
                        held.setdefault(names[move.target], Counter())[move.kind] += 1
        self.under_way.move_only(held)


def intended(pursued: Iterable[Pursued], begun: Collection[str]) -> Backlog:
    """The room on nodes that are there already to which pods of ordered groups are to move.

    A plan that is made meanwhile must not count on it. For pods of nodes that have `begun` (their
    uids) room is held in another way.
    """
    held: dict[PodClass, Counter[str]] = {}
    for one in pursued:
        for vacating in one.group.vacatings if one.claims else ():
            for move in vacating.moves if vacating.uid not in begun else ():
                if not move.target.startswith("~"):
                    held.setdefault(move.kind, Counter())[move.target] += 1
    return Backlog(held=held)


def _to(vacating: Vacating, nodes: Sequence[str]) -> Vacating:
    """With the names of nodes that have come instead of those of orders."""
    names = {f"~{index}": name for index, name in enumerate(nodes)}
    return replace(vacating, moves=tuple(_moved(move, names) for move in vacating.moves))


def _moved(move: Move, names: dict[str, str]) -> Move:
    return replace(move, target=names[move.target]) if move.target in names else move
