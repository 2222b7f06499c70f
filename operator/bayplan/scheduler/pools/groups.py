"""Buys instances of Auto Scaling groups, and ends them: what NodeClaims are with Karpenter.

Orders gather for a second and become launches (`reconcile.pool.launches`). A launch is sent once it
stands in the Pool's stored status. An instance is ended by its own id, together with its place in
the group, and only while AWS says that it is in service; without an answer, only after AWS has
described the group again. A single task makes all calls, one at a time, two a second at most. When
AWS wants fewer calls, all of them rest.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeVar

from bayplan import logs
from bayplan.api.pool_resource import PoolResource
from bayplan.cloud.auto_scaling_errors import (
    BusyError,
    CloudError,
    RefusedError,
    ThrottledError,
    UnansweredError,
    UnsupportedError,
)
from bayplan.cluster import errors
from bayplan.cluster.cache import Cache
from bayplan.model.backoff import delay_after
from bayplan.model.groups import Group, Launched, LaunchFault
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.pods import Pod
from bayplan.provisioning.orders import Order
from bayplan.reconcile.pool.group_claims import chosen
from bayplan.reconcile.pool.launches import Launch, stored
from bayplan.reconcile.pool.retirement import ordinary
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.group_book import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    Done,
    GroupBook,
    Pending,
    Queued,
)
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.pool_nodes import PoolNodes

_T = TypeVar("_T")
DESCRIBE_SECONDS = 60
_NOT_SET_UP = "calls to AWS are not set up"
_TICK_SECONDS = 0.5  # between two calls
_SOON_SECONDS = 10  # by then AWS describes what was written, however much is still to be written


class GroupCloud(Protocol):
    """Calls to AWS; each raises one of `cloud.auto_scaling_errors`."""

    async def describe(self, tags: Collection[str], /) -> Sequence[Group]:
        """The groups that have one of these tags, whatever its value."""
        ...

    async def launch(self, group: str, count: int, token: str, /) -> Launched: ...
    async def set_desired(self, group: str, size: int, /) -> None: ...
    async def terminate(self, instance: str, /) -> None:
        """End an instance, and have its group want one less."""
        ...


class NoCloud:
    """Where nobody calls AWS: every call is refused."""

    async def describe(self, *_: object) -> Sequence[Group]:
        raise RefusedError(_NOT_SET_UP)

    async def launch(self, *_: object) -> Launched:
        raise RefusedError(_NOT_SET_UP)

    async def set_desired(self, *_: object) -> None:
        raise RefusedError(_NOT_SET_UP)

    async def terminate(self, *_: object) -> None:
        raise RefusedError(_NOT_SET_UP)


class Lists(Protocol):
    """The part of the writer that is needed before an instance ends."""

    def pods_on(self, node: str) -> Awaitable[list[Pod]]: ...


@dataclass(slots=True)
class _Ending:
    """An instance that is to end; `sent` once AWS has agreed.

    After a call without an answer, `unsure` is how often AWS had described the groups before. The
    next one waits until `later` (epoch seconds); `tries` have had no answer.
    """

    claim: NodeClaim
    sent: bool = False
    unsure: int | None = None
    tries: int = 0
    later: int = 0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """AWS has refused a write; the next one of its sort waits until then (epoch seconds)."""

    until: int
    times: int
    why: str


@dataclass(slots=True, eq=False)
class Groups:
    """All Pools that buy through groups. `failed` hears of a defect of ours."""

    cache: Cache
    cloud: GroupCloud
    lists: Lists
    clock: Clock
    nodes: PoolNodes
    measured: PoolMetrics
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    hear_of_clocks: Callable[[], None] = lambda: None  # before anything new is dated
    book: GroupBook = field(init=False)
    _described_at: int | None = None  # epoch seconds
    _descriptions: int = 0
    _written_at: int | None = None  # the first write that AWS has not described yet
    _rest_until: int = 0
    _troubles: int = 0  # calls in a row that AWS did not want, or did not answer
    _ending: dict[str, _Ending] = field(default_factory=dict)  # by instance
    _refusals: dict[tuple[str, str], _Refusal] = field(default_factory=dict)  # by Pool and sort
    _without_launch: bool = False  # whether the API lacks LaunchInstances

    def __post_init__(self) -> None:
        self.book = GroupBook(self.cache, self.clock)

    # ---- what the rest of a Pool asks for ----------------------------------------------------

    def launch(self, order: Order, claim: str, done: Done) -> bool:
        """Order an instance; the claim of this name counts at once. False: no group has room."""
        pool, now = order.pool, self.clock.now()
        refusal = self._refused_now(pool, "launch", now)
        if refusal is not None:
            done(refusal.why)
            return False
        open_ = self.book.room(pool)
        wanted = order.types, order.zones, order.capacity_type
        group = chosen(*wanted, self.book.fit(pool).values(), open_=open_)
        if group is None:
            return False
        self.book.order(Queued(pool, group.name, claim, now, done))
        return True

    def retire(self, wanted: RetireNode) -> None:
        """End the instance of a claim; from now on the claim counts as being deleted."""
        claim, now = self.cache.pools.claims.get(wanted.claim), self.clock.now()
        if claim is None or claim.uid != wanted.uid or not claim.provider_id:
            return
        if self._refused_now(claim.pool, "end", now) is not None:
            return  # whoever asks will ask again
        group = self.book.groups.get(claim.group)
        if group is not None and group.desired <= group.least:
            why = f"group {group.name} has its least size, {group.least}; lower its MinSize"
            if self._refused_now(claim.pool, "size", now) is None:
                self._refuse(claim.pool, "size", why, now)
            return
        self._ending.setdefault(claim.uid, _Ending(claim))
        self.book.end(claim)

    def names(self) -> frozenset[str]:
        """The names of claims that are taken, also in groups that are not fit now."""
        pending = (one for mine in self.book.pending.values() for one in mine.values())
        return frozenset(
            (
                *(one.name for one in self.book.known.values()),
                *(one.claim for one in self.book.queue),
                *(name for one in pending for name in one.claims),
            )
        )

    def launches(self, pool: str) -> tuple[Launch, ...]:
        """The launches of a Pool without an answer, for its status."""
        return tuple(one.launch for one in self.book.pending.get(pool, {}).values())

    def refused_write(self, pool: str) -> str:
        """What AWS said to the last write of a Pool, if it has refused one lately."""
        now = self.clock.now()
        found = (self._refusals.get((pool, sort)) for sort in ("launch", "end", "size"))
        recent = (one.why for one in found if one is not None and now < one.until + FIRST_SECONDS)
        return next(recent, "")

    def look(self) -> None:
        """Turn orders into launches, and show what the instances have become."""
        if not self.book.pools():
            self._forget()
            return
        now = self.clock.now()
        self.book.adopt(now)
        self.book.form_launches(now)
        self.book.give_up(now)
        self._keep_of_others()
        self.book.tell()

    def clock_set(self, seconds: int) -> None:
        """The wall clock was set by so many seconds: everything waits as long as before."""
        if self._described_at is not None:
            self._described_at += seconds
        if self._written_at is not None:
            self._written_at += seconds
        if self._rest_until:
            self._rest_until += seconds
        self._refusals = {
            key: dataclasses.replace(one, until=one.until + seconds)
            for key, one in self._refusals.items()
        }
        for ending in self._ending.values():
            ending.later += seconds
        self.book.clock_set(seconds)

    # ---- the calls ---------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Call for ever, one call after the other."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if not self.leads():
                self._forget()
                continue
            if not self.book.pools():
                continue
            try:
                await self.step()
            except Exception as error:  # noqa: BLE001  the cluster is served without groups too
                self.failed(error)

    async def step(self) -> None:
        """Make the call that is due most, if any."""
        self.hear_of_clocks()
        now = self.clock.now()
        if now < self._rest_until:
            return
        try:
            await self._call(now)
        except ThrottledError as error:
            self._rest(error, LONGEST_SECONDS)

    def _rest(self, error: CloudError, longest: int) -> None:
        """No call for a while: AWS wants fewer, or does not describe the groups."""
        self._troubles += 1
        wait = delay_after(self._troubles, FIRST_SECONDS, longest)
        self._rest_until = self.clock.now() + wait
        self.book.problem = str(error)
        logs.say(logging.WARNING, "calls to aws rest", seconds=wait, why=str(error))
        self.book.tell()

    async def _call(self, now: int) -> None:
        written = self._written_at
        if self._described_at is None or (written is not None and now - written >= _SOON_SECONDS):
            await self._describe()
        elif (found := self._due_launch(now)) is not None:
            await self._send(*found)
        elif (ending := self._due_end()) is not None:
            await self._end(ending)
        elif (
            written is not None
            or now - self._described_at >= DESCRIBE_SECONDS
            or not self.book.tags() <= self.book.described
        ):
            await self._describe()

    async def _answer(self, operation: str, call: Awaitable[_T]) -> _T:
        """The answer to a call; every call is counted."""
        try:
            answer = await call
        except CloudError as error:
            self.measured.called(operation, type(error).__name__.removesuffix("Error").lower())
            raise
        finally:
            self.hear_of_clocks()
        self.measured.called(operation, "answered")
        self._troubles = 0
        return answer

    async def _groups(self) -> frozenset[str]:
        """Have the groups described, with all that they have now; returns the tags asked for."""
        tags = self.book.tags()
        found = await self._answer("DescribeAutoScalingGroups", self.cloud.describe(tags))
        now = self.clock.now()
        self._described_at, self._written_at = now, None
        self._descriptions += 1
        self.book.adopt(now)  # before anybody orders: a former process may have launched
        self.book.take(found, tags, now)
        self._ending = {id_: one for id_, one in self._ending.items() if id_ in self.book.going}
        return tags

    async def _describe(self) -> None:
        try:
            await self._groups()
        except ThrottledError:
            raise
        except CloudError as error:
            self._rest(error, DESCRIBE_SECONDS)

    async def _send(self, pool: PoolResource, one: Pending) -> None:
        """Ask for the instances of a launch."""
        one.tried_at, one.tries = self.clock.now(), one.tries + 1
        try:
            if self._without_launch:
                await self._raise_size(one)
            else:
                await self._launch(pool, one)
        except ThrottledError:
            one.tries -= 1
            raise
        except UnsupportedError as error:
            logs.say(logging.WARNING, "no LaunchInstances", why=str(error))
            self._without_launch, one.tries = True, 0
        except BusyError:
            pass
        except UnansweredError:
            one.unsure = True
            self._wrote()
        except RefusedError as error:
            self._refuse(pool.name, "launch", str(error), self.clock.now())
            self.book.close(pool.name, one, str(error))
        else:
            self._refusals.pop((pool.name, "launch"), None)
        self.book.show()

    async def _launch(self, pool: PoolResource, one: Pending) -> None:
        launch = one.launch
        call = self.cloud.launch(launch.group, launch.count, launch.token(pool.uid))
        answer = await self._answer("LaunchInstances", call)
        self._wrote()
        self.book.come(one, answer.instances, self.clock.now())
        self._resize(launch.group, len(answer.instances))
        faults = (*answer.faults, LaunchFault("NoInstance", "AWS gives no reason"))
        self.book.sold_out(pool.name, one, faults[0])
        self.book.close(pool.name, one, None)

    async def _raise_size(self, one: Pending) -> None:
        """Have the group want more instances: its size is read directly before."""
        launch = one.launch
        await self._groups()
        group = self.book.groups.get(launch.group)
        if group is None:
            raise RefusedError(f"group {launch.group} has gone")
        there = max(group.desired, group.staying)
        wanted = there + launch.count
        if one.unsure:  # a call before this one may have been carried out
            wanted = max(launch.before + launch.count, there)
        if wanted > group.desired:
            call = self.cloud.set_desired(group.name, wanted)
            await self._answer("SetDesiredCapacity", call)
            self._resize(group.name, wanted - group.desired)
        one.unsure, one.raised = False, True
        self._wrote()
        one.answer(None)

    async def _end(self, ending: _Ending) -> None:
        """End an instance whose node is still empty."""
        claim = ending.claim
        if not await self._is_empty(claim):
            self._stays(claim)
            return
        try:
            call = self.cloud.terminate(claim.uid)
            await self._answer("TerminateInstanceInAutoScalingGroup", call)
        except ThrottledError:
            raise
        except UnansweredError:
            ending.unsure, ending.tries = self._descriptions, ending.tries + 1
            wait = delay_after(ending.tries, FIRST_SECONDS, LONGEST_SECONDS)
            ending.later = self.clock.now() + wait
        except CloudError as error:
            self._refuse(claim.pool, "end", str(error), self.clock.now())
            self._stays(claim)
        else:
            ending.sent = True
            self._refusals.pop((claim.pool, "end"), None)
            self._resize(claim.group, -1)
        self._wrote()

    def _keep_of_others(self) -> None:
        """What was to end stays in a Pool that does not buy any more."""
        for ending in list(self._ending.values()):
            if not (ending.sent or self.book.buys(ending.claim.pool)):
                self._stays(ending.claim)

    def _stays(self, claim: NodeClaim) -> None:
        self._ending.pop(claim.uid, None)
        self.book.going.discard(claim.uid)
        self.book.show()

    async def _is_empty(self, claim: NodeClaim) -> bool:
        """Whether the node has no pods but those of DaemonSets, in a list asked for just now."""
        node = self.book.nodes().get(claim.provider_id)
        if node is None:
            return True
        if not claim.node or not node.given_back:
            return False  # it has joined at last, or may take pods again
        try:
            pods = await self.lists.pods_on(node.name)
        except errors.ClusterError:
            return False
        return not ordinary(self.nodes.keeping(pods))

    # ---- what is due -------------------------------------------------------------------------

    def _due_launch(self, now: int) -> tuple[PoolResource, Pending] | None:
        """A launch for a fit group that stands in the stored status of its Pool."""
        for name, mine in self.book.pending.items():
            pool = self.cache.pools.pools.get(name)
            if pool is None or not self.book.buys(name):
                continue
            fit, told = self.book.fit(name), stored(pool.status)
            for one in mine.values():
                if one.due(now) and one.launch in told and one.launch.group in fit:
                    return pool, one
        return None

    def _due_end(self) -> _Ending | None:
        """An instance that is to end, and is in service as far as AWS has said since."""
        raising = {
            one.launch.group
            for mine in self.book.pending.values()
            for one in mine.values()
            if self._without_launch  # `before` counts those that end now
        }
        now = self.clock.now()
        for id_, ending in self._ending.items():
            claim = ending.claim
            if ending.sent or claim.group in raising or not self.book.buys(claim.pool):
                continue
            if now < ending.later:
                continue
            if self._refused_now(claim.pool, "end", now) is not None:
                continue
            group = self.book.fit(claim.pool).get(claim.group)
            there = group.instances if group is not None else ()
            serves = any(one.id == id_ and one.in_service for one in there)
            if serves and (ending.unsure is None or self._descriptions > ending.unsure):
                return ending
        return None

    # ---- what is known -----------------------------------------------------------------------

    def _resize(self, name: str, by: int) -> None:
        """The group wants so many more instances than it was described with."""
        group = self.book.groups.get(name)
        if group is not None:
            size = max(group.desired + by, 0)
            self.book.groups[name] = dataclasses.replace(group, desired=size)

    def _wrote(self) -> None:
        """AWS is to describe the groups again soon."""
        if self._written_at is None:
            self._written_at = self.clock.now()

    def _refused_now(self, pool: str, sort: str, now: int) -> _Refusal | None:
        """The refusal for which writes of this sort still wait."""
        known = self._refusals.get((pool, sort))
        return known if known is not None and now < known.until else None

    def _refuse(self, pool: str, sort: str, why: str, now: int) -> None:
        """A write was refused: the next one of this sort waits."""
        before = self._refusals.get((pool, sort))
        lately = before is not None and now < before.until + LONGEST_SECONDS
        times = before.times + 1 if before is not None and lately else 1
        wait = delay_after(times, FIRST_SECONDS, LONGEST_SECONDS)
        self._refusals[pool, sort] = _Refusal(now + wait, times, why)
        logs.say(logging.WARNING, "aws refuses", pool=pool, write=sort, why=why, seconds=wait)
        self.cache.pools.changed()

    def _forget(self) -> None:
        """Another process leads, or there are no groups: nothing here counts any more."""
        if self._described_at is None and not self.book.pending:
            return
        self._described_at = self._written_at = None
        self._rest_until = self._troubles = 0
        self._ending.clear()
        self._refusals.clear()
        self.book.forget()
