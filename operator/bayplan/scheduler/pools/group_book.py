"""What is known of the Auto Scaling groups of Pools, of their instances, and of orders for more."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bayplan.api.pool_resource import PoolResource
from bayplan.api.pool_status import MOST_LAUNCHES
from bayplan.cluster.cache import Cache
from bayplan.model.backoff import delay_after
from bayplan.model.groups import Group, Instance, LaunchFault
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node
from bayplan.reconcile.pool import group_claims, unfit_groups
from bayplan.reconcile.pool.group_claims import Known
from bayplan.reconcile.pool.launches import MOST_INSTANCES, Launch, last_serial, stored
from bayplan.scheduler.cycle_metrics import Clock

FIRST_SECONDS, LONGEST_SECONDS = 5, 300  # until a call is tried again
_SHOWN_SECONDS = 120  # by then AWS describes an instance that it has launched
_RAISED_SECONDS = 300  # by then a group whose size was raised has its instances

Done = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class Queued:
    """An order that is part of no launch yet; `since` is in epoch seconds."""

    pool: str
    group: str
    claim: str
    since: int
    done: Done


@dataclass(slots=True)
class Pending:
    """A launch without an answer. `claims` have no instance yet.

    `raised`: in place of a launch, the group's size was raised. `unsure`: a call has no answer, or
    another process may have made it. `shift` is by how many seconds the clock was set since.
    """

    launch: Launch
    claims: list[str]
    waiting: list[Done] = field(default_factory=list)
    tried_at: int = 0
    tries: int = 0
    raised: bool = False
    unsure: bool = False
    shift: int = 0

    def due(self, now: int) -> bool:
        """Whether its call may be made now."""
        waits = delay_after(self.tries, FIRST_SECONDS, LONGEST_SECONDS) if self.tries else 0
        return not self.raised and now >= self.tried_at + waits

    def over(self, now: int) -> bool:
        """Whether nobody waits for its answer any more."""
        return self.launch.over(now - self.shift)

    def answer(self, why: str | None) -> None:
        """Tell those who have ordered: None, or why there is nothing for them."""
        for done in self.waiting:
            done(why)
        self.waiting.clear()


@dataclass(frozen=True, slots=True)
class Young:
    """An instance that AWS has launched, and not described yet."""

    group: str
    instance: Instance
    since: int


@dataclass(slots=True, eq=False)
class GroupBook:
    """`groups` are by name, as described, with what was done since; `pending` by Pool and serial.

    `known` and `young` are by instance, and so are the instances `going` that are to end. Nothing
    of it outlives the process: what a launch needs is in the status of its Pool.
    """

    cache: Cache
    clock: Clock
    groups: dict[str, Group] = field(default_factory=dict)
    described: frozenset[str] = frozenset()  # the tags whose groups these are
    problem: str = ""
    queue: list[Queued] = field(default_factory=list)
    pending: dict[str, dict[int, Pending]] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)  # Pool's uid -> of its last launch
    known: dict[str, Known] = field(default_factory=dict)
    young: dict[str, Young] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)

    def pools(self) -> list[PoolResource]:
        """The Pools that have groups."""
        return [pool for pool in self.cache.pools.pools.values() if pool.groups_tag]

    def buys(self, pool: str) -> bool:
        """Whether there is a Pool of this name whose mode is to buy."""
        found = self.cache.pools.pools.get(pool)
        return found is not None and found.spec is not None and found.spec.buys

    def tags(self) -> frozenset[str]:
        """The tags of their groups."""
        return frozenset(pool.groups_tag for pool in self.pools())

    def nodes(self) -> dict[str, Node]:
        """The nodes by their instances."""
        nodes = self.cache.state.nodes.values()
        return {node.provider_id: node for node in nodes if node.provider_id}

    def fit(self, pool: str) -> dict[str, Group]:
        """The fit groups of a Pool, by name."""
        known = self.cache.pools.groups.get(pool)
        return {group.name: group for group in known.fit} if known is not None else {}

    def room(self, pool: str) -> dict[str, int]:
        """How many more instances each fit group may have, beside those on their way."""
        coming: Counter[str] = Counter(one.group for one in self.queue)
        for one in self.pending.get(pool, {}).values():
            coming[one.launch.group] += 0 if one.raised else len(one.claims)
        return {
            name: self.groups[name].open - coming[name]
            for name in self.fit(pool)
            if name in self.groups
        }

    def serial(self, pool: PoolResource) -> int:
        """The number of the Pool's last launch."""
        return max(self.serials.get(pool.uid, 0), last_serial(pool.status))

    def order(self, wanted: Queued) -> None:
        """Have this order be a part of the next launch; its claim counts at once."""
        self.queue.append(wanted)
        group = self.fit(wanted.pool)[wanted.group]
        claim = group_claims.requested(wanted.claim, wanted.pool, group, wanted.since)
        self.cache.pools.put_instance(claim)

    def end(self, claim: NodeClaim) -> None:
        """The instance is to end: its claim counts as being deleted at once."""
        self.going.add(claim.uid)
        self.cache.pools.put_instance(dataclasses.replace(claim, deleting=True))

    def clock_set(self, seconds: int) -> None:
        """The wall clock was set by so many seconds: everything waits as long as before."""
        for mine in self.pending.values():
            for one in mine.values():
                one.shift += seconds
                one.tried_at += seconds
        self.queue = [dataclasses.replace(one, since=one.since + seconds) for one in self.queue]
        self.known = {
            id_: dataclasses.replace(one, since=one.since + seconds)
            for id_, one in self.known.items()
        }
        self.young = {
            id_: dataclasses.replace(one, since=one.since + seconds)
            for id_, one in self.young.items()
        }

    # ---- launches ----------------------------------------------------------------------------

    def adopt(self, now: int) -> None:
        """Take over the launches that stand in the status of a Pool that is new to us."""
        for pool in self.pools():
            if pool.uid in self.serials:
                continue
            self.serials[pool.uid] = last_serial(pool.status)
            mine = self.pending.setdefault(pool.name, {})
            for launch in stored(pool.status):
                if not launch.over(now):
                    names = list(launch.claims(pool.name, pool.uid))
                    mine[launch.serial] = Pending(launch, names, unsure=True)

    def form_launches(self, now: int) -> None:
        """Make launches of what is queued: one at a time for each group."""
        waiting: dict[tuple[str, str], list[Queued]] = {}
        for one in self.queue:
            waiting.setdefault((one.pool, one.group), []).append(one)
        self.queue = []
        for (name, group), queued in waiting.items():
            pool, mine = self.cache.pools.pools.get(name), self.pending.setdefault(name, {})
            known = group in self.fit(name) and group in self.groups
            if pool is None or not self.buys(name) or not known:
                for one in queued:
                    one.done(f"nothing is bought in group {group} any more")
                continue
            busy = any(one.launch.group == group for one in mine.values())
            first = [] if busy or len(mine) >= MOST_LAUNCHES else queued[:MOST_INSTANCES]
            self.queue += queued[len(first) :]
            if first:
                serial = self.serials[pool.uid] = self.serial(pool) + 1
                launch = Launch(serial, now, group, len(first), self.groups[group].desired)
                mine[serial] = Pending(
                    launch, [one.claim for one in first], [one.done for one in first]
                )
                self.cache.pools.changed()  # the status is to tell of it at once

    def give_up(self, now: int) -> None:
        """Nobody waits for a launch for ever, nor in a Pool that does not buy any more."""
        for name in list(self.pending):
            if name not in self.cache.pools.pools:
                del self.pending[name]
                continue
            for one in list(self.pending[name].values()):
                if not self.buys(name):
                    one.claims.clear()
                    self.close(name, one, "the Pool buys nothing any more")
                    continue
                late = one.raised and now - one.tried_at >= _RAISED_SECONDS
                if one.over(now) or late:
                    self.sold_out(name, one, LaunchFault("NoInstance", "none has come"))
                    self.close(name, one, "AWS has not answered")

    def close(self, pool: str, one: Pending, why: str | None) -> None:
        """Nothing more comes of this launch."""
        self.pending.get(pool, {}).pop(one.launch.serial, None)
        one.answer(why)

    def sold_out(self, pool: str, one: Pending, fault: LaunchFault) -> None:
        """There are no instances for the claims that a launch has left."""
        group = self.groups.get(one.launch.group)
        if group is not None and group.types and group.zones:
            for name in one.claims:
                claim = group_claims.requested(name, pool, group, self.clock.now())
                self._refused(claim, fault)
        one.claims.clear()

    def _refused(self, claim: NodeClaim, fault: LaunchFault) -> None:
        """The offering of this claim is not asked for again for now."""
        told = f"{fault.code}: {fault.message}" if fault.message else fault.code
        self.cache.pools.gone.append(dataclasses.replace(claim, provider_id="", problem=told))

    def come(self, one: Pending, instances: Iterable[Instance], now: int) -> None:
        """AWS has launched these instances."""
        for instance in instances:
            name = one.claims.pop(0) if one.claims else instance.id
            self.known[instance.id] = Known(name, one.launch.at + one.shift)
            self.young.setdefault(instance.id, Young(one.launch.group, instance, now))

    # ---- descriptions ------------------------------------------------------------------------

    def take(self, found: Iterable[Group], tags: frozenset[str], now: int) -> None:
        """AWS has described the groups that have one of these tags."""
        self.groups = {group.name: group for group in found}
        self.described, self.problem = tags, ""
        there = {one.id for group in self.groups.values() for one in group.instances}
        for id_, young in list(self.young.items()):
            if id_ in there:
                del self.young[id_]
            elif now - young.since >= _SHOWN_SECONDS:
                del self.young[id_]
                self._lost(id_)
        self._bind_raised()
        self.tell()

    def _lost(self, id_: str) -> None:
        """An instance that AWS had launched never became a part of its group."""
        fault = LaunchFault("InstanceLost", f"instance {id_} has gone")
        for claim in list(self.cache.pools.claims.values()):
            if claim.group and claim.uid == id_:
                self._refused(claim, fault)

    def _bind_raised(self) -> None:
        """New instances of groups whose size was raised are those that were ordered."""
        for name, mine in self.pending.items():
            for one in list(mine.values()):
                group = self.groups.get(one.launch.group)
                if not one.raised or group is None:
                    continue
                for instance in group.instances:
                    if one.claims and instance.id not in self.known and not instance.going:
                        self.known[instance.id] = Known(
                            one.claims.pop(0), one.launch.at + one.shift
                        )
                del one.claims[max(group.desired - group.staying, 0) :]
                if not one.claims:
                    self.close(name, one, None)

    def tell(self) -> None:
        """Judge the groups of each Pool, and show everything."""
        nodes = self.nodes()
        found = {
            pool.name: unfit_groups.judged(
                [
                    group
                    for group in self.groups.values()
                    if group.tags.get(pool.groups_tag) == pool.name
                ],
                nodes,
                pool.name,
            )
            for pool in self.pools()
            if pool.groups_tag in self.described
        }
        self.cache.pools.set_groups(found, self.problem)
        self.show(nodes)

    def show(self, nodes: Mapping[str, Node] | None = None) -> None:
        """Show every instance and order as a claim."""
        there = self.nodes() if nodes is None else nodes
        claims = {
            claim.name: claim
            for pool in self.cache.pools.groups
            for group in self.fit(pool).values()
            for claim in self._instances(pool, group, there)
        }
        for one in self.queue:
            self._request(claims, one.pool, one.group, one.claim, one.since)
        for pool, mine in self.pending.items():
            for pending in mine.values():
                for name in pending.claims:
                    launch, since = pending.launch, pending.launch.at + pending.shift
                    self._request(claims, pool, launch.group, name, since)
        described = {one.id for group in self.groups.values() for one in group.instances}
        for gone in self.known.keys() - described - self.young.keys():
            del self.known[gone]
        self.going &= self.known.keys()
        self.cache.pools.set_instances(claims)

    def _request(
        self, claims: dict[str, NodeClaim], pool: str, group: str, name: str, since: int
    ) -> None:
        found = self.fit(pool).get(group)
        if found is not None:
            claims[name] = group_claims.requested(name, pool, found, since)

    def _instances(self, pool: str, group: Group, nodes: Mapping[str, Node]) -> Iterable[NodeClaim]:
        described = {one.id for one in group.instances}
        late = (
            one.instance
            for id_, one in self.young.items()
            if one.group == group.name and id_ not in described
        )
        for instance in (*group.instances, *late):
            node = nodes.get(instance.provider_id)
            before = self.known.get(instance.id) or self._first_seen(instance, node)
            self.known[instance.id] = known = dataclasses.replace(
                before,
                ready=before.ready or group_claims.is_ready(node),
                going=instance.id in self.going,
            )
            yield group_claims.launched(instance, known, pool, group, node)

    def _first_seen(self, instance: Instance, node: Node | None) -> Known:
        now = self.clock.now()
        return Known(instance.id, min(node.created_at or now, now) if node is not None else now)

    def forget(self) -> None:
        """Another process leads: what it does is not known here."""
        if not (self.described or self.pending or self.queue):
            return
        self.described, self.problem = frozenset(), ""
        self.queue.clear()
        for store in (self.groups, self.pending, self.serials, self.known, self.young):
            store.clear()
        self.going.clear()
        self.cache.pools.set_groups({}, "")
        self.cache.pools.set_instances({})
