"""Bugs that are planted into a replica, to see that the judge finds them: at least one per rule.

Each takes a part of the operator and puts a bent one in its place.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bayplan.api.pool_resource import PoolResource
from bayplan.cluster.cache import Cache
from bayplan.model.intents import CloseNode, DeletePod, EvictPod, RetireNode, TaintNode
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import Plan, PodClass, TaskKey
from bayplan.provisioning.demand import Shop
from bayplan.scheduler.commit import Patience
from bayplan.scheduler.pools.menus import Menus
from bayplan.scheduler.pools.pool_buying import PoolBuying
from bayplan.scheduler.pools.pool_nodes import PoolNodes
from tests.histories.replica import Replica

_DEAREST = 480_000  # microdollars an hour: above all that is offered


class Bent:
    """A part whose named methods are replaced; all else is as the real one has it."""

    def __init__(self, real: Any, **instead: Any) -> None:
        self._real = real
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _buying(replica: Replica) -> PoolBuying:
    buying = replica._pool_buying  # noqa: SLF001  the part that is bent
    assert buying is not None
    return buying


def _put(part: Any, **fields: Any) -> None:
    """Give a part other parts: types do not matter to a bug."""
    for name, value in fields.items():
        object.__setattr__(part, name, value)


def forgets_orders(replica: Replica) -> None:
    """What was ordered is ordered again, until it has joined."""
    buyer = _buying(replica).buyer
    _put(buyer, under_way=Bent(buyer.under_way, coming=lambda _: []))


def ignores_limits(replica: Replica) -> None:
    """The buyer does not know the limits of the Pool."""
    buyer = _buying(replica).buyer
    real = buyer.menus.current

    def current(now: int) -> Menus:
        menus = real(now)
        buying = {
            name: spec.model_copy(update={"limits": type(spec.limits)()})
            for name, spec in menus.buying.items()
        }
        return dataclasses.replace(menus, buying=buying)

    _put(buyer, menus=Bent(buyer.menus, current=current))


def insists(replica: Replica) -> None:
    """What was refused is asked for again at once."""
    menus = _buying(replica).menus
    _put(menus, closed=lambda _: {})


def waits_for_ever(replica: Replica) -> None:
    """Claims without an instance are not withdrawn."""
    keeper = _buying(replica).keeper
    writer = keeper.writer

    def retire(wanted: RetireNode) -> None:
        if not wanted.unlaunched:
            writer.retire(wanted)

    _put(keeper, writer=Bent(writer, retire=retire))


def hurries(replica: Replica) -> None:
    """An empty node goes at once: no taint is awaited, and no list is asked for."""
    retirer = _buying(replica).keeper.retirer
    writer, cache = retirer.writer, replica.cache

    def taint(wanted: TaintNode) -> None:
        for claim in cache.pools.claims.values():
            if claim.node == wanted.node and wanted.present:
                writer.retire(RetireNode(claim.name, claim.uid, "at once"))

    _put(retirer, writer=Bent(writer, taint=taint))


def overlooks_pods(replica: Replica) -> None:
    """Nodes with one pod look empty, in the cache and in a fresh list."""
    retirer = _buying(replica).keeper.retirer
    writer = retirer.writer

    async def pods_on(node: str) -> list[Pod]:
        return (await writer.pods_on(node))[2:]

    nodes = PoolNodes(_blind(retirer.cache))  # type: ignore[arg-type]
    _put(retirer, writer=Bent(writer, pods_on=pods_on), nodes=nodes)


def _blind(cache: Cache) -> Bent:
    class Nodes:
        def get(self, node: str, default: Mapping[Any, Pod]) -> Mapping[Any, Pod]:
            there = cache.state.on_node.get(node, default)
            return dict(list(there.items())[2:])

    return Bent(cache, state=Bent(cache.state, on_node=Nodes()))


def leaves_pods_to_others(replica: Replica) -> None:
    """Pods say Unschedulable although a node is bought for them."""
    replica.loop.commit.patience = lambda _: None


def keeps_pods(replica: Replica) -> None:
    """Pods never say Unschedulable, however long they wait for our node."""
    real = replica.loop.commit.patience

    def patience(kind: PodClass) -> Patience | None:
        found = real(kind)
        return found if found is None else dataclasses.replace(found, seconds=None)

    replica.loop.commit.patience = patience


def buys_on(replica: Replica) -> None:
    """A Pool that buys never again only advises."""
    menus = _buying(replica).buyer.menus
    last = [Menus()]

    def current(now: int) -> Menus:
        found = menus.current(now)
        last[0] = found if found.buying else last[0]
        return last[0]

    _put(_buying(replica).buyer, menus=Bent(menus, current=current))


def repeats_itself(replica: Replica) -> None:
    """The Pool's status is another one each time."""
    teller = _buying(replica).keeper.teller
    writer, clock = teller.writer, replica.clock

    def write(pool: PoolResource, status: Mapping[str, Any]) -> None:
        writer.write_pool_status(pool, {**status, "next": [str(clock.now() // 20)]})

    _put(teller, writer=Bent(writer, write_pool_status=write))


# ---- moves -------------------------------------------------------------------------------------


def _on_drain(replica: Replica, act: Callable[[Pod], None]) -> None:
    """Do this to every pod of a node when its pods are to move."""
    consolidator = _buying(replica).consolidator
    writer, cache = consolidator.writer, replica.cache

    def taint(wanted: TaintNode) -> None:
        writer.taint(wanted)
        if wanted.present:
            for pod in tuple(cache.state.on_node.get(wanted.node, {}).values()):
                act(pod)

    _put(consolidator, writer=Bent(writer, taint=taint))


def _is_of(pod: Pod, kind: str) -> bool:
    return pod.owner is not None and pod.owner.kind == kind


def does_not_wait_for_replacements(replica: Replica) -> None:
    """Instances go as soon as their node is to be emptied."""

    def act(pod: Pod) -> None:
        if _is_of(pod, "LongService"):
            replica.writer.delete(DeletePod(pod.namespace, pod.name, pod.uid, "at once"))

    _on_drain(replica, act)


def evicts_all_at_once(replica: Replica) -> None:
    """All pods of a ReplicaSet go as soon as one of their nodes is to be emptied."""

    def act(pod: Pod) -> None:
        if _is_of(pod, "ReplicaSet") and pod.owner is not None:
            for one in tuple(replica.cache.state.owned(pod.owner.uid).values()):
                replica.writer.evict_pod(EvictPod(one.namespace, one.name, one.uid, "at once"))

    _on_drain(replica, act)


def ends_runs(replica: Replica) -> None:
    """Runs on a node that closes are ended."""
    consolidator = _buying(replica).consolidator
    writer, cache = consolidator.writer, replica.cache

    def close(wanted: CloseNode) -> None:
        writer.close(wanted)
        for pod in tuple(cache.state.on_node.get(wanted.node, {}).values()):
            if wanted.plan and _is_of(pod, "BatchJob"):
                replica.writer.delete(DeletePod(pod.namespace, pod.name, pod.uid, "at once"))

    _put(consolidator, writer=Bent(writer, close=close))


def _each_second(replica: Replica, act: Callable[[int], None]) -> None:
    consolidator = _buying(replica).consolidator
    real = consolidator.costs

    def look(pools: Collection[str], now: int) -> None:
        real.look(pools, now)
        act(now)

    _put(consolidator, costs=Bent(real, look=look))


def evicts_without_room(replica: Replica) -> None:
    """A pod of a ReplicaSet is evicted although no other node has room for it."""
    state = replica.cache.state

    def act(now: int) -> None:
        free = {
            name: node.allocatable.get("cpu", 0)
            - sum(pod.request.get("cpu", 0) for pod in state.on_node.get(name, {}).values())
            for name, node in state.nodes.items()
        }
        for pod in tuple(state.pods.values()):
            elsewhere = [room for name, room in free.items() if name != pod.node]
            lacks = all(room < pod.request.get("cpu", 0) for room in elsewhere)
            if now % 10 == 0 and pod.node and lacks and _is_of(pod, "ReplicaSet"):
                replica.writer.evict_pod(EvictPod(pod.namespace, pod.name, pod.uid, "no room"))

    _each_second(replica, act)


def does_not_rest(replica: Replica) -> None:
    """Every half a minute a node closes, and opens again."""

    def act(now: int) -> None:
        for node in tuple(replica.cache.state.nodes.values())[:1]:
            plan = "again" if now // 30 % 2 else ""
            replica.writer.close(CloseNode(node.name, node.uid, plan))

    _each_second(replica, act)


def moves_what_has_just_come(replica: Replica) -> None:
    """What has just come may move: `minimumStaySeconds` counts for nothing."""
    consolidator = _buying(replica).consolidator
    real = consolidator.menus.current

    def current(now: int) -> Menus:
        menus = real(now)
        none = {"minimum_stay_seconds": 0}
        buying = {
            name: spec.model_copy(
                update={"consolidation": spec.consolidation.model_copy(update=none)}
            )
            for name, spec in menus.buying.items()
        }
        return dataclasses.replace(menus, buying=buying)

    menus = Bent(consolidator.menus, current=current)
    _put(consolidator, menus=menus)
    _put(consolidator.planner.scenes, menus=menus)


def confuses_prices(replica: Replica) -> None:
    """What is dear seems cheap to the plans of consolidation, and the other way round."""
    consolidator, state = _buying(replica).consolidator, replica.cache.state
    real = consolidator.menus

    def price(node: Node) -> int | None:
        found = real.price(node)
        return None if found is None else _DEAREST - found

    def current(now: int) -> Menus:
        menus = real.current(now)
        offers = tuple(
            dataclasses.replace(offer, price=_DEAREST - offer.price) for offer in menus.menu.offers
        )
        menu = dataclasses.replace(menus.menu, offers=offers)
        shop = Shop(offers, menu.zones, tuple(state.daemonsets.values()), state.claims)
        return dataclasses.replace(menus, menu=menu, shop=shop)

    menus = Bent(real, price=price, current=current)
    _put(consolidator, menus=menus)
    _put(consolidator.planner.scenes, menus=menus)


def fills_what_empties(replica: Replica) -> None:
    """What waits goes to a node that is being emptied, if there is such a node."""
    commit, state = replica.loop.commit, replica.cache.state

    def carry_out(plan: Plan, *others: Any) -> list[TaskKey]:
        emptying = next((node.name for node in state.nodes.values() if node.drains), "")
        if emptying:
            plan = dataclasses.replace(plan, placements=dict.fromkeys(plan.placements, emptying))
        return commit.carry_out(plan, *others)

    _put(replica.loop, commit=Bent(commit, carry_out=carry_out))


def leaves_taints(replica: Replica) -> None:
    """A taint of ours is never taken off."""
    buying = _buying(replica)
    writer = buying.consolidator.writer

    def taint(wanted: TaintNode) -> None:
        if wanted.present:
            writer.taint(wanted)

    bent = Bent(writer, taint=taint)
    _put(buying.consolidator, writer=bent)
    _put(buying.keeper.retirer, writer=bent)
