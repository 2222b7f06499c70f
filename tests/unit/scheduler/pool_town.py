"""A town in virtual time: kubelets, ReplicaSets and a cloud around the loop and its Pool.

Every second everybody acts once, and every promise to users is looked at. Nothing is random.
"""

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.cluster import decode
from bayplan.cluster.refusals import Write
from bayplan.model.intents import CloseNode, EvictPod, PriceDeletion, RetireNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.pool.retirement import ordinary
from bayplan.scheduler import inbox
from tests.builders import make_pod
from tests.double.loop import run
from tests.services import make_body
from tests.unit.scheduler.test_pool_buying import AT_HOME, ZONES, Shop

GRACE_SECONDS, START_SECONDS, LAUNCH_SECONDS, GONE_SECONDS = 2, 3, 20, 3
OLD_SECONDS = 7200


class DiedError(BaseException):
    """The process of the operator has ended, as a kill ends it: no handler sees to it."""


class Town(Shop):
    """A Pool `batch` that consolidates. `writes` counts what was written, by kind."""

    def __init__(self, consolidation: Mapping[str, Any] | None = None, **spec: Any) -> None:
        self.writes: Counter[str] = Counter()
        self.evicted: list[EvictPod] = []
        self.sets: dict[str, tuple[int, dict[str, Any]]] = {}  # ReplicaSet -> replicas, its pods
        self.budgets: Callable[[Pod], bool] = lambda _: True  # whether a pod may be evicted now
        self.starts: Callable[[Pod], bool] = lambda _: True  # whether a pod ever becomes Ready
        self.stocked: Callable[[NodeClaim], bool] = lambda _: True  # whether the cloud has it
        self.broken: list[str] = []  # promises
        self._due: dict[tuple[str, str], int] = {}  # pod -> when it is ready, or gone
        self._serial = 0
        self._going: set[tuple[str, str]] = set()  # pods whose delete was carried out
        self._reached: set[tuple[str, str, str]] = set()  # services that had their minimum
        self._specs: dict[str, dict[str, Any]] = {}
        self.grace = GRACE_SECONDS  # that a pod takes to end
        self.lenient = False  # a fault of the story, not ours, takes instances
        self._running: list[asyncio.Task[Any]] = []
        self.slow = False  # consolidation acts when everybody does, not every second
        self.dies_after: int | None = None  # so many more writes, then the operator is gone
        stated = {"retirement": {"emptySeconds": 0}, "consolidation": dict(consolidation or {})}
        super().__init__("BuyAndConsolidate", **{**stated, **spec})
        self.cache.synced_kinds.update(decode.KINDS)

    # ---- what the writer does -------------------------------------------------------------

    def launch(self, wanted: Any, done: Any) -> None:
        super().launch(wanted, done)
        self._wrote("launch")

    def taint(self, wanted: Any) -> None:
        super().taint(wanted)
        self._wrote("taint")

    def retire(self, wanted: RetireNode) -> None:
        super().retire(wanted)
        claim = self.cache.pools.claims[wanted.claim]
        for pod in ordinary(list(self.cache.state.on_node.get(claim.node, {}).values())):
            self.broken.append(f"{claim.node} was given back with {pod.name}")
        self._wrote("retire")

    def close(self, wanted: CloseNode) -> None:
        node = self.cache.state.nodes[wanted.node]
        self.again(dataclasses.replace(node, closing=wanted.plan))
        self._wrote("close")

    def evict_pod(self, wanted: EvictPod) -> None:
        self.evicted.append(wanted)
        pod = self.cache.state.pods.get((wanted.namespace, wanted.name))
        if pod is not None and pod.uid == wanted.uid:
            if self.budgets(pod):
                self._end(pod)
            else:
                self._refuse_eviction(wanted)
        self._wrote("evict")

    def _refuse_eviction(self, wanted: EvictPod) -> None:
        """What the writer does with a 429."""
        self.cache.refusals.spent(
            Write(("Pod", wanted.namespace, wanted.name), "evict", "Pod", wanted.name)
        )

    def price_deletion(self, wanted: PriceDeletion) -> None:
        pod = self.cache.state.pods.get((wanted.namespace, wanted.name))
        if pod is not None and pod.uid == wanted.uid:
            keys = names.DELETION_COST, names.PRICED
            others = {key: value for key, value in pod.annotations.items() if key not in keys}
            mine = {} if wanted.cost is None else dict.fromkeys(keys, str(wanted.cost))
            self.see("Pod", pod.name, dataclasses.replace(pod, annotations={**others, **mine}))
        self._wrote("price")

    async def pods_on(self, node: str) -> list[Pod]:
        return list(self.cache.state.on_node.get(node, {}).values())

    # ---- what a person does ---------------------------------------------------------------

    def buy(self, kind: str, count: int = 1) -> list[str]:
        """Nodes that have been there for long."""
        found = []
        for _ in range(count):
            self._serial += 1
            claim = NodeClaim(
                f"old-{self._serial}",
                uid=f"uid-old-{self._serial}",
                pool="batch",
                node_pool="of-batch",
                types=(kind,),
                zones=(ZONES[self._serial % 2],),
                capacity_types=("on-demand",),
                labels={names.POOL: "batch", NODE_POOL: "of-batch"},
                created_at=self.clock.wall - OLD_SECONDS,
            )
            self.claim(claim)
            node = self.join(self.cache.pools.claims[claim.name])
            self.again(dataclasses.replace(node, created_at=self.clock.wall - OLD_SECONDS))
            found.append(node.name)
        return found

    def serve(self, name: str, replicas: int, cpu: str = "500m", **spec: Any) -> None:
        """A LongService whose template the API server has accepted; not inside of a story."""
        self.service(name, **self._spec(replicas, cpu, **spec))

    def scale(self, name: str, replicas: int) -> None:
        """Change the replicas of a LongService or a ReplicaSet."""
        if name in self.sets:
            self.sets[name] = replicas, self.sets[name][1]
            return
        before = self.cache.resources[names.LONGSERVICE, "default", name]
        assert isinstance(before.spec, LongServiceSpec)
        self.version += 1
        self._reached.discard(before.key)
        body = {**make_body(name), "kind": names.LONGSERVICE, "status": dict(before.status)}
        body["spec"] = {**self._specs[name], "replicas": replicas}
        body["metadata"] = {
            **body["metadata"],
            "generation": before.generation + 1,
            "resourceVersion": str(self.version),
        }
        self.cache.put_resource(body)

    def replica_set(
        self, name: str, replicas: int, cpu: int = 500, *, first: str = "", **more: Any
    ) -> None:
        """A ReplicaSet of somebody else, whose pods Bayplan places; the first stand on a node."""
        self.sets[name] = replicas, {"cpu": cpu, **more}
        for _ in range(replicas if first else 0):
            self._replica(name, node=first)

    def _spec(self, replicas: int, cpu: str, **spec: Any) -> dict[str, Any]:
        container = {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}
        return {
            "replicas": replicas,
            "template": {"spec": {"containers": [container]}},
            "placement": {"pool": "batch"},
            **spec,
        }

    def service(self, name: str = "web", **spec: Any) -> Any:
        self._specs[name] = spec
        return super().service(name, **spec)

    # ---- what happens ---------------------------------------------------------------------

    async def living(self, seconds: int, step: int = 1) -> None:
        """So much time passes; every `step` seconds everybody acts once."""
        for _ in range(seconds // step):
            await asyncio.sleep(step)
            self.clock.wall += step
            self.clock.passed = asyncio.get_running_loop().time()
            everything = inbox.Batch(frozenset(self.cache.resources), placement=True)
            self.loop.cycle(everything)
            self._kubelets()
            self._controllers()
            self._cloud()
            self._operate(lambda: self.buying.keeper.look(self.clock.now()))
            if self.slow:
                self._operate(lambda: self.buying.consolidator.look(self.clock.now()))
                await self.buying.consolidator.plan()
            self._judge()

    def _operate(self, act: Callable[[], None]) -> None:
        """Something that the operator does; it may die in it, and another takes its place."""
        try:
            act()
        except DiedError:
            self.replace_operator()

    def replace_operator(self) -> None:
        """A new process, which knows what the API server has and nothing else."""
        self.dies_after = None
        for key in list(self.cache.state.assumed):
            self.cache.state.forget(key)
        self.build_loop(buying=self._buying())
        self.stop()
        self.start()

    def start(self) -> None:
        """The parts of the operator that run by themselves begin."""
        buying = self.buying
        parts = [buying.buyer.run(), buying.leavers.run()]
        if not self.slow:
            parts += [buying.appraiser.run(), buying.consolidator.run()]
        self._running = [asyncio.create_task(part) for part in parts]

    def stop(self) -> None:
        for task in self._running:
            task.cancel()

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Play a story in a town that has been as it is for long; a defect of ours fails it."""

        async def whole() -> None:
            self.start()
            try:
                await self.settled()
                self.writes.clear()
                await story()
            finally:
                self.stop()

        run(whole())
        for defect in self.defects:
            raise defect

    def _wrote(self, kind: str) -> None:
        """A write is stored; if it was the last one of this process, nothing more comes of it."""
        self.writes[kind] += 1
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise DiedError

    async def settled(self) -> None:
        """What was ordered is there, and it has all been there for long."""
        await self.living(60)
        self.clock.wall += OLD_SECONDS
        for pod in list(self.cache.state.pods.values()):
            old = self.clock.wall - OLD_SECONDS
            self.see("Pod", pod.name, dataclasses.replace(pod, created_at=old, ready_since=old))

    def cost(self) -> int:
        """What the nodes cost, in microdollars an hour."""
        return sum(node.price_microdollars or 0 for node in self.cache.state.nodes.values())

    def running(self, owner: str) -> list[Pod]:
        """The pods of a LongService or ReplicaSet that are ready and stay."""
        return [pod for pod in self.pods_of(owner) if pod.ready and not pod.terminating]

    def pods_of(self, owner: str) -> list[Pod]:
        pods = self.cache.state.pods.values()
        return [pod for pod in pods if pod.owner is not None and pod.owner.name == owner]

    def see_revision(self, name: str) -> None:
        """One instance of a service gets another template's label, as in an update."""
        pod = min(self.pods_of(name), key=lambda pod: pod.name)
        labels = {**pod.labels, names.REVISION: "another"}
        self.see("Pod", pod.name, dataclasses.replace(pod, labels=labels))

    def kill(self, node: str) -> None:
        """A node and its claim vanish with all pods."""
        for pod in list(self.cache.state.on_node.get(node, {}).values()):
            self._drop("Pod", pod.key)
        for claim in self.claims():
            if claim.node == node:
                self._drop("NodeClaim", ("", claim.name))
        self._drop("Node", ("", node))

    def _drop(self, kind: str, key: tuple[str, str]) -> None:
        self.version += 1
        self.cache.delete(kind, key, "", self.version)

    def _end(self, pod: Pod) -> None:
        if not pod.terminating:
            gone_at = self.clock.wall + self.grace
            self._due[pod.key] = gone_at
            going = dataclasses.replace(pod, deleted_at=gone_at, grace_seconds=self.grace)
            self.see("Pod", pod.name, going)

    def _kubelets(self) -> None:
        now = self.clock.wall
        self._take_writes(now)
        for pod in list(self.cache.state.pods.values()):
            due = self._due.get(pod.key)
            if pod.terminating:
                if due is not None and due <= now:
                    self._drop("Pod", pod.key)
                    self._going.discard(pod.key)
                    del self._due[pod.key]
            elif pod.node and not pod.ready and self.starts(pod):
                if due is None:
                    self._due[pod.key] = now + START_SECONDS
                elif due <= now:
                    del self._due[pod.key]
                    ready = {"ready": True, "ready_since": now, "phase": Phase.RUNNING}
                    self.see("Pod", pod.name, dataclasses.replace(pod, **ready))

    def _take_writes(self, now: int) -> None:
        """What the loop has written is stored."""
        created, self.notes.created = self.notes.created, {}
        self.writes["create"] += len(created)
        for planned, _ in created.values():
            stored = dataclasses.replace(planned, uid=f"uid-{planned.name}", created_at=now)
            self.see("Pod", planned.name, stored, planned.namespace)
        bound, self.notes.bound = self.notes.bound, []
        self.writes["bind"] += len(bound)
        for one in bound:
            pod = self.cache.state.pods.get((one.namespace, one.name))
            if pod is not None:
                self.see("Pod", pod.name, dataclasses.replace(pod, node=one.node))
        deleted, self.notes.deleted = self.notes.deleted, []
        outcomes, self.notes.outcomes = self.notes.outcomes, []
        for gone in (*deleted, *(each for one in outcomes for each in one.deletes)):
            pod = self.cache.state.pods.get((gone.namespace, gone.name))
            if pod is not None and pod.uid == gone.uid and pod.key not in self._going:
                self.writes["delete"] += 1
                self._going.add(pod.key)
                self._end(dataclasses.replace(pod, deleted_at=None))

    def _controllers(self) -> None:
        for name, (replicas, _) in self.sets.items():
            live = [pod for pod in self.pods_of(name) if not pod.terminating]
            for _ in range(replicas - len(live)):
                self._replica(name)
            for pod in sorted(live, key=self._first_to_go)[: max(len(live) - replicas, 0)]:
                self._end(pod)

    def _replica(self, name: str, node: str = "") -> None:
        self._serial += 1
        pod = make_pod(
            f"{name}-{self._serial}",
            node=node,
            owner_uid=name,
            owner_kind="ReplicaSet",
            labels={"app": name},
            created_at=self.clock.wall,
            **{"constraints": AT_HOME, **self.sets[name][1]},
        )
        self.see("Pod", pod.name, pod)

    def _first_to_go(self, pod: Pod) -> tuple[Any, ...]:
        """Kubernetes' order in short, with a name that is as good as chance for the rest."""
        cost = int(pod.annotations.get(names.DELETION_COST, "0"))
        return bool(pod.node), pod.ready, cost, hash_of(pod.name)

    def _cloud(self) -> None:
        now = self.clock.wall
        for claim in self.claims():
            if claim.assumed:
                self.claim(claim, uid=f"uid-{claim.name}", assumed=False)
            elif claim.deleting:
                gone_at = self._due.setdefault(("", claim.name), now + GONE_SECONDS)
                if gone_at <= now:
                    del self._due["", claim.name]
                    self.kill(claim.node)
                    self._drop("NodeClaim", ("", claim.name))
            elif not claim.provider_id:
                if not self.stocked(claim):
                    self._drop("NodeClaim", ("", claim.name))
                elif now - claim.created_at >= LAUNCH_SECONDS:
                    self.join(claim)

    def _judge(self) -> None:
        """No LongService is below its minimum once it was there, whatever we do."""
        for key, resource in self.cache.resources.items():
            spec = resource.spec
            if key[0] != names.LONGSERVICE or not isinstance(spec, LongServiceSpec):
                continue
            least = math.ceil(spec.replicas * spec.update_strategy.minimum_healthy_percent / 100)
            up = len(self.running(key[2]))
            if up >= least:
                self._reached.add(key)
            elif key in self._reached and not self.lenient:
                self.broken.append(f"{self.clock.wall}: {key[2]} has {up} of {least}")


def hash_of(name: str) -> int:
    """The same in every process, and without a pattern."""
    return sum(ord(letter) * 31**at for at, letter in enumerate(name)) * 2654435761 % 1000003
