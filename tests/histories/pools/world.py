"""The virtual-time world with a Pool: Karpenter, ReplicaSets and long-running pods."""

import random
from collections.abc import Mapping
from typing import Any

from bayplan.api import names
from bayplan.api.times import rfc3339
from bayplan.cloud.prices import Market, Price
from tests.histories.pools.api_server import BUDGET, PoolStore
from tests.histories.pools.controllers import Controllers, is_ready, owner, set_ready
from tests.histories.pools.karpenter import OFFERED, POOL, PRICES, ZONES, Karpenter, node_pool_body
from tests.histories.pools.moves import MovesAuditor
from tests.histories.pools.replica import PoolReplica
from tests.histories.replica import Line, Replica
from tests.histories.store import Body, Key, encode, is_terminal
from tests.histories.world import COLLECTED_SECONDS, SPACE, World, key_of, object_of

BROKEN = "app:broken"  # an image whose pods never become ready
_OWNERS = (names.BATCHJOB, names.LONGSERVICE)


class PoolWorld(World):
    """One history's cluster with one Pool, `batch`."""

    auditor: MovesAuditor
    store: PoolStore

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311  a history, not a secret
        self.store = PoolStore(self.now, self._told)
        self.controllers = Controllers(self)
        self.karpenter = Karpenter(self)
        self.auditor = MovesAuditor(self)
        self.store.spent = self.auditor.spent
        self.solver_lost = 0.0  # the chance that an answer of the solver gets lost

    def replica(self, line: Line) -> Replica:
        return PoolReplica(line, self.bend)

    def begin(self, pool: Mapping[str, Any]) -> None:
        """The Pool and its NodePool are there, and Karpenter and the auditor look."""
        self.store.create("NodePool", node_pool_body(), "person")
        body = object_of(names.API_VERSION, "Pool", POOL, "")
        body["spec"] = {"nodePoolRef": {"name": "of-batch"}, **pool}
        self.say(f"add Pool {encode(pool).decode()}")
        self.store.create("Pool", body, "person")
        self.spawn(self.karpenter.provision())
        self.spawn(self.auditor.watch())

    def market(self) -> Market:
        prices = {kind: Price(amount, "test") for kind, amount in PRICES.items()}
        return Market(prices, {}, self.karpenter.market(), frozenset(ZONES))

    def solver_fails(self) -> bool:
        return self.chance.random() < self.solver_lost

    def refusals(self) -> bool:
        """Whether an offering is out for a while, as the Pool's status or Karpenter has it."""
        told = self.store.of("Pool")["", POOL].get("status", {}).get("unavailable")
        return bool(told) or len(self.karpenter.market()) < len(OFFERED)

    def leader(self) -> Line | None:
        """Who holds the lease and lives."""
        return next((one for one in self.lines if self.holds(one)), None)

    # ---- what happens -----------------------------------------------------------------------

    def _told(
        self, kind: str, key: Key, before: Body | None, after: Body | None, verb: str
    ) -> None:
        self.auditor.told(kind, key, before, after, verb)
        match kind:
            case "Pod":
                self.controllers.told(after or before or {})
                self.controllers.count_budgets()
                if after is not None:
                    self._care(after)
                    if owner(after)["kind"] in _OWNERS:
                        self.later(COLLECTED_SECONDS, lambda: self._collect_orphan(key, after))
            case "NodeClaim":
                self.karpenter.told(before, after)
            case "Node" if before is None:
                self.controllers.joined(key[1])
            case "Node" if after is None:
                self.later(COLLECTED_SECONDS, self._collect_lost)
            case "PodDisruptionBudget" if after is not None and verb != "status":
                self.later(0.1, self.controllers.count_budgets)
            case names.BATCHJOB | names.LONGSERVICE if after is None:
                self.later(COLLECTED_SECONDS, lambda: self._collect_of(before))

    def _collect_of(self, resource: Body | None) -> None:
        super()._collect_of(resource)
        uid = resource["metadata"]["uid"] if resource is not None else ""
        for kind in (BUDGET, "ControllerRevision"):
            for key, child in list(self.store.of(kind).items()):
                owners = child["metadata"].get("ownerReferences", ())
                if any(one["uid"] == uid for one in owners):
                    self.store.delete(kind, key, {}, "gc")

    def _collect_orphan(self, key: Key, pod: Body) -> None:
        owners = (one for kind in _OWNERS for one in self.store.of(kind).values())
        if all(one["metadata"]["uid"] != owner(pod)["uid"] for one in owners):
            self._remove(key, pod["metadata"]["uid"], grace=None)

    def lose(self, name: str) -> None:
        """The instance vanishes with all it runs; node, claim and pods are collected later."""
        if ("", name) in self.store.of("Node"):
            self.auditor.trouble(name)
            self.say(f"instance of {name} is lost")
            self.silent.add(name)
            body = self.store.copy("Node", ("", name))
            body["metadata"] |= {"finalizers": [], "deletionGracePeriodSeconds": 0}
            body["metadata"].setdefault("deletionTimestamp", rfc3339(self.now()))
            self.store.replace("Node", ("", name), body, "cloud")
            self.later(10.0, lambda: self.karpenter.lost(name))

    # ---- kubelets ---------------------------------------------------------------------------

    def _care(self, pod: Body) -> None:
        """Runs fare as ever; other pods start, become ready, and stay until they are deleted."""
        if owner(pod)["kind"] == names.BATCHJOB:
            super()._care(pod)
            return
        node, key, uid = pod["spec"].get("nodeName"), key_of(pod), pod["metadata"]["uid"]
        if not node or is_terminal(pod) or node in self.silent:
            return
        if ("", node) not in self.store.of("Node"):
            self.later(COLLECTED_SECONDS * 4, self._collect_lost)
            return
        dice = random.Random(f"{self.seed} {uid}")  # noqa: S311
        start, ready, end = dice.random() * 2, 0.5 + dice.random() * 3, 1 + dice.random() * 3
        if pod["metadata"].get("deletionTimestamp"):
            self.later(end, lambda: self._end(key, uid, 143))
        elif pod["status"]["phase"] == "Pending":
            self.later(start, lambda: self._run(key, uid))
        elif not is_ready(pod) and pod["spec"]["containers"][0].get("image") != BROKEN:
            self.later(ready, lambda: self._become_ready(key, uid))

    def _become_ready(self, key: Key, uid: str) -> None:
        pod = self._alive(key, uid)
        if pod is not None and not is_ready(pod) and not pod["metadata"].get("deletionTimestamp"):
            set_ready(pod, "True", self.now())
            self.store.replace("Pod", key, pod, "kubelet")

    def sicken(self, name: str) -> None:
        """The pod's probe fails for a moment."""
        pod = self.store.of("Pod").get((SPACE, name))
        if pod is not None and is_ready(pod):
            self.say(f"{name} is not ready for a moment")
            body = self.store.copy("Pod", (SPACE, name))
            set_ready(body, "False", self.now())
            self.store.replace("Pod", (SPACE, name), body, "kubelet")

    # ---- people -----------------------------------------------------------------------------

    def add_service(self, name: str, spec: Mapping[str, Any], cpu: int, notes: Body) -> None:
        """A LongService whose instances ask for so much CPU; `notes` are their annotations."""
        requests = {"cpu": f"{cpu}m", "memory": "64Mi"}
        container = {"name": "main", "image": "app", "resources": {"requests": requests}}
        body = object_of(names.API_VERSION, names.LONGSERVICE, name, SPACE)
        template = {"metadata": {"annotations": notes}, "spec": {"containers": [container]}}
        body["spec"] = {**spec, "template": template}
        self.say(f"add {name} of {cpu}m {encode(spec).decode()} {notes or ''}")
        self.store.create(names.LONGSERVICE, body)

    def annotate_node(self, name: str, word: str, text: str) -> None:
        if ("", name) in self.store.of("Node"):
            self.say(f"annotate {name} {word}={text}")
            body = self.store.copy("Node", ("", name))
            body["metadata"].setdefault("annotations", {})[word] = text
            self.store.replace("Node", ("", name), body, "person")

    def cordon(self, name: str, *, on: bool) -> None:
        if ("", name) in self.store.of("Node"):
            self.say(f"{'cordon' if on else 'uncordon'} {name}")
            body = self.store.copy("Node", ("", name))
            body["spec"]["unschedulable"] = on
            self.store.replace("Node", ("", name), body, "person")

    def edit_pool(self, **fields: Any) -> None:
        self.say(f"edit Pool {fields}")
        body = self.store.copy("Pool", ("", POOL))
        body["spec"] |= fields
        self.store.replace("Pool", ("", POOL), body, "person")
