"""Plans of consolidation: makes the question from what is known, and asks the solver process.

An unchanged Pool is not asked about again: the picture of its nodes is compared first, then the
question itself. The question is made anew when a pod or a node has become old enough, and now and
then, for time may change it in other ways too.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bayplan import logs
from bayplan.cluster.cache import Cache
from bayplan.model.backoff import delay_after
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.provisioning.consolidation.plan import plan
from bayplan.provisioning.consolidation.question import question
from bayplan.provisioning.consolidation.ripening import ripens_at
from bayplan.provisioning.consolidation.scene import Asked, Blocked, Plan, Scene
from bayplan.scheduler.consolidation.scenes import Scenes
from bayplan.scheduler.cycle_metrics import Clock

# After so long a question is made anew although nothing seems to have changed: twice as long each
# time, for then nothing has changed indeed.
AGAIN_SECONDS, _LONGEST_SECONDS = 30, 480
# An answer that may cost so much more than the least is asked for again soon, with twice the time:
# a busy machine gives the solver little in a few seconds.
_POOR_PERCENT, _SOON_SECONDS = 5, 10
_UNPROVEN_SECONDS, _LONGEST_UNPROVEN_SECONDS = 120, 3600
_LEAST_SECONDS, _MOST_SECONDS, _PODS_A_SECOND = 2.5, 10.0, 2000  # of the solver
_MOST_LEAVER_SECONDS = 2.5  # of the solver while a scale-down waits
_LEFT_SECONDS = 90  # an answer about who leaves is good for so long for those who move afterwards


class Consolidate(Protocol):
    """The solver process; None if it gave no answer."""

    def __call__(
        self,
        holding: Holding,
        offers: Offers,
        seconds: float,
        *,
        most_moves: int | None = None,
    ) -> Awaitable[Consolidated | None]: ...


@dataclass(frozen=True, slots=True)
class _Unproven:
    """A node whose pods found no room, so many times in a row: not asked about before `until`."""

    until: int = 0  # epoch seconds
    times: int = 0

    def again(self, now: int) -> "_Unproven":
        wait = delay_after(self.times + 1, _UNPROVEN_SECONDS, _LONGEST_UNPROVEN_SECONDS)
        return _Unproven(now + wait, self.times + 1)


@dataclass(slots=True)
class _Known:
    """The last plan of a Pool, and what it was made of; the solver had `seconds` for it.

    `ripens` is when time alone changes the question next; None if it does not. `leaving` was asked
    when a scale-down waited; it is None once the moves that it counts on were planned.
    """

    plan: Plan
    at: int  # epoch seconds
    picture: bytes
    digest: bytes
    unproven: Mapping[str, _Unproven] = field(default_factory=dict)  # by node
    blocked: Sequence[Blocked] = ()
    answer: Consolidated | None = None
    seconds: float = 0.0
    again: int = AGAIN_SECONDS
    ripens: int | None = None
    leaving: Asked | None = None

    @property
    def poor(self) -> bool:
        """Whether the solver may find something much cheaper in more time."""
        if self.answer is None or self.seconds >= _MOST_SECONDS:
            return False
        return self.answer.cost * 100 > self.answer.bound * (100 + _POOR_PERCENT)

    def rests(self, now: int) -> bool:
        """Whether nothing is asked now if nothing seems to have changed."""
        if self.ripens is not None and self.at < self.ripens <= now:
            return False
        return 0 <= now - self.at < (_SOON_SECONDS if self.poor else self.again)


@dataclass(slots=True, eq=False)
class Planner:
    """`ask` asks the solver process."""

    cache: Cache
    clock: Clock
    scenes: Scenes
    ask: Consolidate
    _known: dict[str, _Known] = field(default_factory=dict)  # by Pool
    _ranks: Mapping[str, int] = field(default_factory=dict)

    def ranks(self) -> Mapping[str, int]:
        """The nodes that are given back next, of all Pools: node -> its place."""
        return self._ranks

    def known(self, pool: str) -> Plan | None:
        """The last plan of a Pool."""
        known = self._known.get(pool)
        return known.plan if known is not None else None

    def blocked(self, pool: str) -> Sequence[Blocked]:
        """The nodes of a Pool that would go but for a pod."""
        known = self._known.get(pool)
        return known.blocked if known is not None else ()

    def forget(self, pools: Iterable[str]) -> None:
        """Keep nothing of Pools that are not among these."""
        gone = self._known.keys() - set(pools)
        for pool in gone:
            del self._known[pool]
        self.scenes.forget(pools)
        if gone:
            self._rank()

    async def leaving(self, pool: str) -> Mapping[str, Mapping[str, int]] | None:
        """Who leaves on which node: uid of a service -> node -> how many; None without an answer.

        They are chosen together with those who move afterwards. As soon as they have left, the
        moves of this answer are planned (`moving`): another one would need others to leave.
        """
        scene = self._scene(pool)
        made = question(scene) if scene is not None else None
        if made is None:
            return {}
        found = await self._answered(pool, made, most=_MOST_LEAVER_SECONDS)
        if found is None:
            return None
        self._known[pool].leaving = made
        return found.departures

    async def moving(self, pool: str) -> None:
        """Have a plan for the Pool as it is now in `known`, unless the last one still stands.

        Where no pod may begin to move, nodes go that empty by themselves.
        """
        now, known = self.clock.now(), self._known.get(pool)
        if known is not None and known.leaving is not None and self._moves_after(pool, known, now):
            return
        picture = self.scenes.picture(pool)
        if known is not None and known.picture == picture and known.rests(now):
            return
        scene = self._scene(pool)
        made = question(scene) if scene is not None else None
        digest = _digest(made) if made is not None else b"nothing to ask"
        if known is not None and known.digest == digest and known.poor and made is not None:
            await self._answered(pool, made, (picture, digest), least=2 * known.seconds)
        elif known is not None and known.digest == digest:
            known.again = min(2 * known.again, _LONGEST_SECONDS)
            known.picture, known.at = picture, now
            if scene is not None and made is not None and known.answer is not None:
                # Who keeps a node changes by time too: a pod that was young had no other reason.
                known.blocked = plan(made, known.answer, scene).blocked
        elif made is None:
            self._keep(pool, Plan(), picture, digest)
        else:
            await self._answered(pool, made, (picture, digest))
        if scene is not None and pool in self._known:
            self._known[pool].ripens = self._ripens_at(pool, scene)

    def _moves_after(self, pool: str, known: _Known, now: int) -> bool:
        """Plan the moves of the answer about who leaves; whether there are any."""
        asked, known.leaving = known.leaving, None
        scene = self._scene(pool)
        if asked is None or known.answer is None or scene is None:
            return False
        if not 0 <= now - known.at < _LEFT_SECONDS:
            return False
        found = plan(asked, known.answer, scene)
        if not any(group.moves for group in found.groups):
            return False
        seconds = known.seconds
        self._keep(pool, found, b"", b"")
        self._known[pool].answer, self._known[pool].seconds = known.answer, seconds
        return True

    def _ripens_at(self, pool: str, scene: Scene) -> int | None:
        """When time alone changes the question that was made of this scene."""
        rests = (one.until for one in self._known[pool].unproven.values() if one.until > scene.now)
        return min((at for at in (ripens_at(scene), *rests) if at is not None), default=None)

    def disproved(self, pool: str, nodes: Iterable[str]) -> None:
        """The pods of these nodes could not move after all: not asked about for a while."""
        known = self._known.get(pool)
        if known is not None:
            known.unproven = self._with(known.unproven, nodes)

    async def _answered(
        self,
        pool: str,
        asked: Asked,
        seen: tuple[bytes, bytes] = (b"", b""),
        *,
        least: float = _LEAST_SECONDS,
        most: float = _MOST_SECONDS,
    ) -> Plan | None:
        """Ask, and make a plan from the answer for what is there by then.

        `seen` are the picture and the digest that the plan is kept for. The solver has from `least`
        to `most` seconds.
        """
        pods = int(asked.holding.held.sum())
        seconds = min(max(_LEAST_SECONDS + pods / _PODS_A_SECOND, least), most)
        if asked.rows:
            most_moves = asked.most_moves
            answer = await self.ask(asked.holding, asked.offers, seconds, most_moves=most_moves)
        else:
            answer = _without_pods(asked.holding)
        if answer is None:
            logs.say(logging.WARNING, "the solver gave no answer", pool=pool, pods=pods)
            return None
        current = self._scene(pool)
        if current is None:
            return None
        found = plan(asked, answer, current)
        self._keep(pool, found, *seen)
        self._known[pool].answer, self._known[pool].seconds = answer, seconds
        return found

    def _keep(self, pool: str, found: Plan, picture: bytes, digest: bytes) -> None:
        now, known = self.clock.now(), self._known.get(pool)
        unproven = self._with(known.unproven if known is not None else {}, found.unproven)
        self._known[pool] = _Known(found, now, picture, digest, unproven, blocked=found.blocked)
        self._rank()

    def _with(
        self, before: Mapping[str, _Unproven], nodes: Iterable[str]
    ) -> Mapping[str, _Unproven]:
        """What is known of nodes whose pods found no room, with these nodes."""
        now = self.clock.now()
        kept = {
            node: one
            for node, one in before.items()
            if now < one.until + _LONGEST_UNPROVEN_SECONDS and node in self.cache.state.nodes
        }
        return kept | {node: kept.get(node, _Unproven()).again(now) for node in nodes}

    def _rank(self) -> None:
        self._ranks = {
            node: rank for known in self._known.values() for node, rank in known.plan.ranks.items()
        }

    def _scene(self, pool: str) -> Scene | None:
        now, known = self.clock.now(), self._known.get(pool)
        if known is None:
            return self.scenes.of(pool, Plan(), frozenset())
        unproven = frozenset(node for node, one in known.unproven.items() if now < one.until)
        return self.scenes.of(pool, known.plan, unproven)


def _without_pods(holding: Holding) -> Consolidated:
    """The answer where no pod leaves or moves: nodes that need not stay go."""
    nothing = np.zeros((len(holding.price), 0), np.int64)
    cost = int(holding.price[holding.stays].sum())
    none = np.zeros(0, np.int64)
    return Consolidated(
        holding.stays, nothing, nothing, nothing, none, none.reshape(0, 0), cost, cost
    )


def _digest(asked: Asked) -> bytes:
    """Equal for equal questions."""
    found = hashlib.blake2b(digest_size=16)
    for part in _parts((asked.holding, asked.offers, asked.most_moves)):
        found.update(part)
    return found.digest()


def _parts(value: object) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield repr(value.shape).encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, tuple):
        for one in value:
            yield from _parts(one)
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _parts(getattr(value, one.name))
    else:
        yield repr(value).encode()
