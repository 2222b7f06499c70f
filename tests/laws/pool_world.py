"""A small world for the laws of Pools, in virtual time: API server, Karpenter and our operator.

The server holds claims. Karpenter launches, refuses, hangs or is slow, as the script says. The
operator knows what its watch has brought, decides by the functions of `reconcile.pool`, and writes
one thing after the other; it may die before or after any write, and a CREATE that was sent may be
stored long after its sender is gone.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bayplan.model import claim_names
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE
from bayplan.reconcile.pool.limits import Load, Room, largest, room, total
from bayplan.reconcile.pool.refusals import Unavailable, offerings_of
from bayplan.reconcile.pool.stuck import stuck
from tests.builders import NOON, make_vector

POOL, UID, LAUNCH_SECONDS = "b", "uid", 30
LATEST_SECONDS = 3  # until a CREATE that was sent is stored
PRICES = {"small": 1, "middle": 2, "large": 4}  # dollars an hour, and CPUs
MENU = frozenset((kind, zone, "spot") for kind in PRICES for zone in ("a", "b"))


class Died(Exception):  # noqa: N818  an event of the world
    """The operator ends here."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a Pool, as in its spec."""

    nodes: int | None = None
    cpu: str | None = None
    memory: str | None = None
    microdollars_per_hour: int | None = None


def load_of(offering: Offering) -> Load:
    units = PRICES[offering[0]]
    return Load(1, make_vector(units * 1000), units * 1_000_000)


def accepted(claim: NodeClaim) -> frozenset[Offering]:
    """What Karpenter may buy for a claim."""
    return frozenset(one for one in MENU if one[0] in claim.types and one[1] in claim.zones)


def load_of_claim(claim: NodeClaim) -> Load:
    """What it counts: what was got, else the most that it can become."""
    if claim.got is not None:
        return load_of(claim.got)
    return largest(map(load_of, accepted(claim)))


@dataclass
class Server:
    """What is stored; `late` are CREATEs of dead senders that are still on their way."""

    claims: dict[str, NodeClaim] = field(default_factory=dict)
    late: list[tuple[int, NodeClaim]] = field(default_factory=list)  # with when they were sent
    unavailable: list[dict[str, object]] = field(default_factory=list)  # in the Pool's status
    deleted_at: int = 0  # the last time
    uids: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    def create(self, claim: NodeClaim, now: int) -> None:
        """Store it; if there is one of that name, the answer is AlreadyExists."""
        if claim.name in self.claims:
            return
        stored = dataclasses.replace(
            claim, uid=f"u{next(self.uids)}", created_at=now, assumed=False
        )
        self.claims[claim.name] = stored

    def delete(self, wanted: RetireNode, now: int) -> None:
        self.deleted_at = now
        claim = self.claims.get(wanted.claim)
        if claim is not None and claim.uid == wanted.uid:
            self.claims[wanted.claim] = dataclasses.replace(claim, deleting=True)


@dataclass
class Operator:
    """One life of our operator. `dies` is asked around every write, and may raise `Died`."""

    server: Server
    bounds: Bounds
    dies: Callable[[], None]
    seen: dict[str, NodeClaim] = field(default_factory=dict)  # what the watch has brought
    assumed: dict[str, NodeClaim] = field(default_factory=dict)
    memory: Unavailable = field(default_factory=Unavailable)
    launched: set[str] = field(default_factory=set)

    def start(self, now: int) -> None:
        """List everything, and read the memory of the life before."""
        self.seen = dict(self.server.claims)
        self.memory = Unavailable.from_status(self.server.unavailable, now)

    def watch(self, now: int) -> None:
        """All news since the last time."""
        before, self.seen = self.seen, dict(self.server.claims)
        for name, claim in before.items():
            after = self.seen.get(name)
            if (after is None or after.uid != claim.uid) and not claim.provider_id:
                self.memory = self.memory.refused(offerings_of(claim, MENU), now)
        for name, claim in self.seen.items():
            self.assumed.pop(name, None)
            if claim.got is not None and claim.uid not in self.launched:
                self.launched.add(claim.uid)
                self.memory = self.memory.after_success(claim.got, claim.created_at)

    @property
    def known(self) -> dict[str, NodeClaim]:
        return {**self.assumed, **self.seen}

    def step(self, wanted: int, alternatives: int, now: int) -> None:
        """Withdraw what is stuck, then buy until `wanted` nodes exist or are on their way."""
        for retire in stuck(self.seen.values(), LAUNCH_SECONDS, now):
            claim = self.seen[retire.claim]
            self.memory = self.memory.refused(offerings_of(claim, MENU), now)
            self.seen[claim.name] = dataclasses.replace(claim, deleting=True)
            self.dies()
            self.server.delete(retire, now)
            self.dies()
        self.server.unavailable = self.memory.to_status(now)
        self.dies()
        there = self.known
        lacking = wanted - sum(not claim.deleting for claim in there.values())
        left = room(self.bounds, {}, total(map(load_of_claim, there.values())))
        for name in claim_names.fresh(POOL, UID, there, max(lacking, 0)):
            order = self.choose(left, alternatives, now)
            if order is None:
                return
            left = left.minus(load_of_claim(order))
            claim = dataclasses.replace(order, name=name)
            self.assumed[name] = claim
            self.dies()
            self.server.late.append((now, claim))
            self.dies()

    def choose(self, left: Room, alternatives: int, now: int) -> NodeClaim | None:
        """The cheapest types of one zone that may be asked for and are within the limits."""
        open_ = sorted(MENU - self.memory.closed(now), key=lambda one: (PRICES[one[0]], one))
        for _, zone, capacity_type in open_:
            kinds = tuple(kind for kind, place, _ in open_ if place == zone)[:alternatives]
            claim = NodeClaim(
                "", pool=POOL, types=kinds, zones=(zone,), capacity_types=(capacity_type,),
                assumed=True,
            )  # fmt: skip
            if left.takes(load_of_claim(claim)):
                return claim
        return None


@dataclass
class World:
    """Everything, second by second. `fate` says what Karpenter does with a claim, by its uid."""

    bounds: Bounds
    fate: Callable[[NodeClaim], str]
    server: Server = field(default_factory=Server)
    now: int = NOON

    def karpenter(self) -> None:
        """One second of Karpenter."""
        for name, claim in list(self.server.claims.items()):
            age = self.now - claim.created_at
            if age < 1:
                continue
            fate = self.fate(claim)
            if claim.deleting:
                del self.server.claims[name]
            elif claim.provider_id:
                if age >= 5:
                    self.server.claims[name] = dataclasses.replace(
                        claim, registered=True, initialized=age >= 8, node=f"n-{claim.uid}"
                    )
            elif fate == "refuse":
                del self.server.claims[name]
            elif fate == "launch" or (fate == "slow" and age >= 20):
                (kind, zone, capacity), *_ = sorted(accepted(claim))
                self.server.claims[name] = dataclasses.replace(
                    claim,
                    provider_id=f"i-{claim.uid}",
                    labels={INSTANCE_TYPE: kind, ZONE: zone, CAPACITY_TYPE: capacity},
                )

    def store(self, count: int) -> None:
        """The server stores so many of the CREATEs on their way, and all that are old."""
        late = self.server.late
        count = max(count, sum(sent < self.now - LATEST_SECONDS for sent, _ in late))
        for _, claim in late[:count]:
            self.server.create(claim, self.now)
        del late[:count]

    def bury(self) -> None:
        """The operator has died.

        The next one chooses the same names, unless a claim was deleted in the meantime. So a CREATE
        is on its way beyond a life only where none was: a real one takes milliseconds.
        """
        if self.now - self.server.deleted_at <= LATEST_SECONDS + 1:
            self.store(len(self.server.late))

    def load(self) -> Load:
        return total(map(load_of_claim, self.server.claims.values()))
