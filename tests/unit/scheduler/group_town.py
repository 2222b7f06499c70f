"""A town whose nodes are instances of Auto Scaling groups, and an AWS that can do wrong."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.cloud.auto_scaling_errors import (
    RefusedError,
    ThrottledError,
    UnansweredError,
    UnsupportedError,
)
from bayplan.cloud.prices import Book, Market, Price
from bayplan.cluster.requests import merge_patch
from bayplan.model.groups import Group, Instance, Launched, LaunchFault
from bayplan.model.intents import RetireNode
from bayplan.model.nodes import INSTANCE_TYPE, ZONE, Node
from bayplan.provisioning.group_offers import group_offers
from bayplan.reconcile.pool.retirement import ordinary
from bayplan.reconcile.pool.unfit_groups import REBALANCE
from bayplan.scheduler.pools.pool_buying import PoolBuying
from tests.builders import make_node
from tests.unit.scheduler.pool_town import DiedError, Town
from tests.unit.scheduler.test_pool_buying import PRICES, TAINT, ZONES

TAG = "bayplan.dev/pool"
JOIN_SECONDS, GONE_SECONDS = 20, 5


def make_group(kind: str = "m5.large", zone: str = ZONES[0], **more: Any) -> Group:
    """A fit group of Pool `batch`, without instances."""
    stated: dict[str, Any] = {
        "name": f"{kind}-{zone[-1]}",
        "tags": {TAG: "batch"},
        "types": (kind,),
        "sizes": frozenset({(PRICES.get(kind, 1), 1)}),
        "zones": (zone,),
        "most": 50,
        "suspended": frozenset({REBALANCE}),
    }
    return Group(**{**stated, **more})


@dataclass
class FakeAws:
    """Groups with instances. `sold_out` has types without capacity, with the code of the error.

    `troubles` are raised by the next writes, one each: before they do anything, or after it.
    """

    groups: dict[str, Group]
    sold_out: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Launched] = field(default_factory=dict)
    calls: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    troubles: list[tuple[str, Exception | type[BaseException]]] = field(default_factory=list)
    lacks_launch: bool = False
    joins: bool = True
    unreadable: bool = False
    shrunk: list[str] = field(default_factory=list)  # what lowered a desired size
    ended: Counter[str] = field(default_factory=Counter)
    serial: int = 0

    async def describe(self, tags: Collection[str], /) -> Sequence[Group]:
        self.calls.append(("describe", (frozenset(tags),)))
        if self.unreadable:
            raise RefusedError("not authorized to perform autoscaling:DescribeAutoScalingGroups")
        return [group for group in self.groups.values() if set(group.tags) & set(tags)]

    async def launch(self, group: str, count: int, token: str, /) -> Launched:
        self.calls.append(("launch", (group, count, token)))
        if self.lacks_launch:
            raise UnsupportedError("no LaunchInstances")
        self._trouble("before")
        if token not in self.tokens:
            found = self.groups[group]
            if code := self.sold_out.get(found.types[0]):
                self.tokens[token] = Launched((), (LaunchFault(code, "none left"),))
            else:
                number = min(count, found.most - found.desired)
                made = self._more(group, number)
                faults = (LaunchFault("MaxSize"),) if number < count else ()
                self.tokens[token] = Launched(made, faults)
        self._trouble("after")
        return self.tokens[token]

    async def set_desired(self, group: str, size: int, /) -> None:
        self.calls.append(("set_desired", (group, size)))
        self._trouble("before")
        found = self.groups[group]
        if size < found.desired:
            self.shrunk.append(f"{group}: {found.desired} to {size}")
        if size > found.most:
            raise RefusedError("over MaxSize")
        if not self.sold_out.get(found.types[0]):
            self._more(group, size - found.desired)
        self.groups[group] = dataclasses.replace(self.groups[group], desired=size)
        self._trouble("after")

    async def terminate(self, instance: str, /) -> None:
        self.calls.append(("terminate", (instance,)))
        self._trouble("before")
        for group in self.groups.values():
            for one in group.instances:
                if one.id == instance:
                    self.ended[instance] += 1
                    others = tuple(each for each in group.instances if each is not one)
                    self.groups[group.name] = dataclasses.replace(
                        group,
                        desired=group.desired - 1,
                        instances=(*others, dataclasses.replace(one, state="Terminating")),
                    )
                    self._trouble("after")
                    return
        raise RefusedError(f"there is no instance {instance}")

    def _more(self, name: str, count: int) -> tuple[Instance, ...]:
        group, made = self.groups[name], []
        for _ in range(count):
            self.serial += 1
            id_ = f"i-{self.serial:04}"
            made.append(Instance(id_, group.types[0], group.zones[0], "Pending"))
        self.groups[name] = dataclasses.replace(
            group, desired=group.desired + count, instances=(*group.instances, *made)
        )
        return tuple(made)

    def _trouble(self, when: str) -> None:
        if self.troubles and self.troubles[0][0] == when:
            raise self.troubles.pop(0)[1]

    def hasty(self) -> list[str]:
        """The instances that were ended again without a look at the groups in between."""
        asked: set[str] = set()
        found = []
        for operation, about in self.calls:
            if operation == "describe":
                asked.clear()
            elif operation == "terminate":
                found += [str(about[0])] if about[0] in asked else []
                asked.add(str(about[0]))
        return found

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    @property
    def instances(self) -> dict[str, Instance]:
        return {one.id: one for group in self.groups.values() for one in group.instances}


def dying(when: str) -> tuple[str, type[BaseException]]:
    """The operator ends before a write, or after AWS has carried it out."""
    return when, DiedError


def throttled() -> tuple[str, Exception]:
    return "before", ThrottledError("Rate exceeded")


def unanswered(when: str) -> tuple[str, Exception]:
    """A write that times out, before or after AWS has carried it out."""
    return when, UnansweredError("read timeout")


class GroupTown(Town):
    """Pool `batch` buys through groups, one of each type of PRICES in each zone."""

    def __init__(
        self, groups: Sequence[Group] = (), mode: str = "BuyAndConsolidate", **spec: Any
    ) -> None:
        self._mode = mode
        every = groups or [make_group(kind, zone) for kind in PRICES for zone in ZONES]
        self.aws = FakeAws({group.name: group for group in every})
        self._seen_at: dict[str, int] = {}
        self.deaths = 0
        super().__init__(**spec)
        pools = self.cache.pools
        pools.karpenter, pools.market = False, None
        pools.book = Book({kind: Price(n, "test") for kind, n in PRICES.items()})

    def _buying(self) -> PoolBuying:
        self.buying = super()._buying()
        self.buying.groups.cloud = self.aws
        return self.buying

    def pool(self, mode: str = "Buy", name: str = "batch", **spec: Any) -> None:
        del mode  # the town has its own
        self.version += 1
        body = {
            "metadata": {"name": name, "uid": f"uid-{name}", "generation": self.version},
            "spec": {"mode": self._mode, "autoScalingGroups": {}, **spec},
        }
        self._stored = body
        self.see("Pool", name, body, "")

    def write_pool_status(self, pool: PoolResource, status: Mapping[str, Any]) -> None:
        super().write_pool_status(pool, status)
        if merge_patch(pool.status, status):
            self._stored = {**self._stored, "status": dict(status)}
            self.see("Pool", pool.name, self._stored, "")
            self._wrote("status")

    def retire(self, wanted: RetireNode) -> None:
        self.broken.append(f"a claim was deleted: {wanted.claim}")

    def start(self) -> None:
        # The town's wall clock goes in steps: only with this one it is never seen to be set.
        self.buying.keeper.steps.clock = self.clock
        super().start()
        self._running.append(asyncio.create_task(self.buying.groups.run()))

    def buy(self, kind: str, count: int = 1) -> list[str]:
        """Nodes that have been there for long."""
        found = []
        for at in range(count):
            group = f"{kind}-{ZONES[at % 2][-1]}"
            for instance in self.aws._more(group, 1):  # noqa: SLF001  our own double
                self._in_service(instance.id)
                found.append(self._join(instance, self.clock.wall - 7200).name)
        return found

    @property
    def status(self) -> Mapping[str, Any]:
        return self.cache.pools.pools["batch"].status

    def condition(self, kind: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(
            one for one in self.status["conditions"] if one["type"] == kind
        )
        return found

    def replace_operator(self) -> None:
        """The next process knows nothing of groups but what stands in the status."""
        self.cache.pools.set_groups({}, "")
        self.cache.pools.set_instances({})
        self.deaths += 1
        super().replace_operator()

    def _bury(self) -> None:
        """The process may have died in a call to AWS."""
        ended = [task for task in self._running if task.done() and not task.cancelled()]
        if any(isinstance(task.exception(), DiedError) for task in ended):
            self.replace_operator()

    def _cloud(self) -> None:
        """Instances join, and those that end vanish with their nodes."""
        now = self.clock.wall
        self._bury()
        for group in list(self.aws.groups.values()):
            for one in group.instances:
                key = f"{one.id} {one.state}"
                age = now - self._seen_at.setdefault(key, now)
                if one.state == "Pending" and age >= 5:
                    self._in_service(one.id)
                elif one.state == "InService" and age >= JOIN_SECONDS and self.aws.joins:
                    if f"n-{one.id}" not in self.cache.state.nodes:
                        self._join(one, now)
                elif one.going and age >= GONE_SECONDS:
                    there = list(self.cache.state.on_node.get(f"n-{one.id}", {}).values())
                    self._gone(one, there)

    def _gone(self, one: Instance, pods: Sequence[Any]) -> None:
        self.broken += [f"{one.id} was ended with {pod.name}" for pod in ordinary(pods)]
        self.kill(f"n-{one.id}")
        for group in list(self.aws.groups.values()):
            left = tuple(each for each in group.instances if each.id != one.id)
            self.aws.groups[group.name] = dataclasses.replace(group, instances=left)

    def _in_service(self, id_: str) -> None:
        for group in list(self.aws.groups.values()):
            changed = tuple(
                dataclasses.replace(one, state="InService") if one.id == id_ else one
                for one in group.instances
            )
            self.aws.groups[group.name] = dataclasses.replace(group, instances=changed)

    def _join(self, one: Instance, at: int) -> Node:
        group = make_group(one.type, one.zone)
        (offer,) = group_offers("batch", [group], {}, Book(), Market())
        node = dataclasses.replace(
            make_node(
                f"n-{one.id}",
                labels={names.POOL: "batch", INSTANCE_TYPE: one.type, ZONE: one.zone},
                taints=(TAINT,),
            ),
            uid=f"uid-n-{one.id}",
            allocatable=offer.room,
            provider_id=one.provider_id,
            created_at=at,
            price_microdollars=PRICES[one.type],
        )
        self.again(node)
        return node

    def _operate(self, act: Any) -> None:
        super()._operate(act)
        for id_, times in self.aws.ended.items():
            if times > 1:
                self.broken.append(f"{id_} was ended {times} times")
        self.broken += self.aws.shrunk


class Filled(GroupTown):
    """Twelve pods come, and end after some minutes."""

    def __init__(self, prepare: Callable[[FakeAws], None], **more: Any) -> None:
        super().__init__(**more)
        self.prepare = prepare

    async def story(self) -> None:
        self.prepare(self.aws)
        self.pods(12)
        await self.living(300, step=2)
        self.placed = sum(bool(pod.node) for pod in self.cache.state.pods.values())
        self.bought = self.aws.serial
        for pod in list(self.cache.state.pods.values()):
            self._end(pod)
        await self.living(400, step=2)


def filled(prepare: Callable[[FakeAws], None] = lambda _: None, **more: Any) -> Filled:
    town = Filled(prepare, **more)
    town.play(town.story)
    return town
