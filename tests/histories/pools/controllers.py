"""What else acts in a cluster: ReplicaSets, the DaemonSet controller, disruption budgets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from bayplan.api import names
from bayplan.api.times import rfc3339
from bayplan.cluster.wire import epoch
from tests.histories.pools.api_server import BUDGET
from tests.histories.pools.karpenter import POOL
from tests.histories.store import Body, Refused, Store, is_terminal

SPACE = "default"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
REPLICA_SET, DAEMON_SET = "ReplicaSet", "DaemonSet"
TOLERATED = [{"key": names.POOL, "operator": "Equal", "value": POOL, "effect": "NoSchedule"}]
_TURN_SECONDS = 0.3


class World(Protocol):
    seed: int
    store: Store

    def now(self) -> int: ...
    def later(self, seconds: float, what: Callable[[], Any]) -> None: ...
    def say(self, words: str) -> None: ...


@dataclass(slots=True)
class ReplicaSet:
    """`notes` are annotations of its pods."""

    name: str
    uid: str
    replicas: int
    cpu: int
    notes: dict[str, str] = field(default_factory=dict)
    made: int = 0
    planned: bool = False


class Controllers:
    """`world` tells of every change of a pod, a node and a budget."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self.sets: dict[str, ReplicaSet] = {}  # by uid
        self._daemons: Body | None = None

    # ---- ReplicaSets ------------------------------------------------------------------------

    def add_set(self, name: str, replicas: int, cpu: int, notes: dict[str, str]) -> None:
        made = ReplicaSet(name, f"rs-{name}", replicas, cpu, notes)
        self.sets[made.uid] = made
        self._world.say(f"add ReplicaSet {name} of {replicas} × {cpu}m {notes or ''}")
        self._plan(made)

    def scale(self, name: str, replicas: int) -> None:
        """Set the wanted number of pods."""
        for one in self.sets.values():
            if one.name == name and one.replicas != replicas:
                self._world.say(f"scale ReplicaSet {name} from {one.replicas} to {replicas}")
                one.replicas = replicas
                self._plan(one)

    def told(self, pod: Body) -> None:
        """A pod has changed."""
        of = self.sets.get(owner(pod)["uid"])
        if of is not None:
            self._plan(of)

    def _plan(self, one: ReplicaSet) -> None:
        if not one.planned:
            one.planned = True
            self._world.later(_TURN_SECONDS, lambda: self._reconcile(one))

    def pods_of(self, uid: str) -> list[Body]:
        """Its pods that neither have ended nor are leaving."""
        return [
            pod
            for pod in self._store.of("Pod").values()
            if owner(pod)["uid"] == uid
            and not is_terminal(pod)
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def _reconcile(self, one: ReplicaSet) -> None:
        one.planned = False
        there = self.pods_of(one.uid)
        for pod in [pod for pod in self._store.of("Pod").values() if owner(pod)["uid"] == one.uid]:
            if is_terminal(pod):
                self._delete(pod)
        for _ in range(one.replicas - len(there)):
            self._create(one)
        surplus = len(there) - one.replicas
        if surplus > 0:
            nodes = [pod["spec"].get("nodeName", "") for pod in there]
            for pod in sorted(there, key=lambda pod: _staying(pod, nodes))[:surplus]:
                self._delete(pod)

    def _delete(self, pod: Body) -> None:
        key = SPACE, pod["metadata"]["name"]
        options = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            self._store.delete("Pod", key, options, "replicaset")
        except Refused:
            return

    def _create(self, one: ReplicaSet) -> None:
        one.made += 1
        labels = {"app": one.name, "pod-template-hash": "1"}
        reference = _reference("apps/v1", REPLICA_SET, one.name, one.uid)
        body = pod_body(f"{one.name}-{one.made}", reference, labels, dict(one.notes), one.cpu)
        body["spec"] |= {"schedulerName": names.SCHEDULER, "nodeSelector": {names.POOL: POOL}}
        self._store.create("Pod", body, "replicaset")

    # ---- DaemonSets -------------------------------------------------------------------------

    def add_daemons(self, cpu: int) -> None:
        container = {"name": "main", "resources": {"requests": {"cpu": f"{cpu}m"}}}
        everywhere = [{"operator": "Exists"}]
        template = {"spec": {"containers": [container], "tolerations": everywhere}}
        self._daemons = {
            "apiVersion": "apps/v1",
            "kind": DAEMON_SET,
            "metadata": {"name": "agent", "namespace": SPACE},
            "spec": {"template": template},
        }
        self._store.create(DAEMON_SET, self._daemons, "person")

    def joined(self, node: str) -> None:
        """A node has joined: it gets its daemon."""
        if self._daemons is None:
            return
        metadata = self._daemons["metadata"]
        reference = _reference("apps/v1", DAEMON_SET, metadata["name"], metadata["uid"])
        container = self._daemons["spec"]["template"]["spec"]["containers"][0]
        cpu = int(container["resources"]["requests"]["cpu"].removesuffix("m"))
        body = pod_body(f"agent-{node}", reference, {"app": "agent"}, {}, cpu)
        body["spec"] |= {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
        self._world.later(1.0, lambda: self._create_daemon(node, body))

    def _create_daemon(self, node: str, body: Body) -> None:
        there = self._store.of("Pod")
        if ("", node) in self._store.of("Node") and (SPACE, f"agent-{node}") not in there:
            self._store.create("Pod", body, "daemonset")

    # ---- budgets ----------------------------------------------------------------------------

    def add_budget(self, name: str, least: int) -> None:
        """Of the ReplicaSet of this name, so many pods have to stay."""
        self._world.say(f"add budget {name}: {least} must stay")
        body = {
            "apiVersion": "policy/v1",
            "kind": BUDGET,
            "metadata": {"name": name, "namespace": SPACE},
            "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": name}}},
        }
        self._store.create(BUDGET, body, "person")

    def count_budgets(self) -> None:
        """Each budget's status says how many of its pods may be evicted now."""
        for key, budget in list(self._store.of(BUDGET).items()):
            status = self._status(budget)
            if budget.get("status") != status:
                body = self._store.copy(BUDGET, key)
                body["status"] = status
                self._store.replace(BUDGET, key, body, "status")

    def _status(self, budget: Body) -> Body:
        covered = list(self._covered(budget))
        healthy = sum(is_ready(pod) for pod in covered)
        spec = budget["spec"]
        if "minAvailable" in spec:
            least = int(spec["minAvailable"])
        else:
            least = len(covered) - int(spec["maxUnavailable"])
        return {
            "disruptionsAllowed": max(healthy - least, 0),
            "currentHealthy": healthy,
            "desiredHealthy": least,
            "expectedPods": len(covered),
            "observedGeneration": budget["metadata"].get("generation", 1),
        }

    def _covered(self, budget: Body) -> Iterator[Body]:
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        for pod in self._store.of("Pod").values():
            labels = pod["metadata"].get("labels", {})
            if all(labels.get(name) == value for name, value in wanted) and not is_terminal(pod):
                yield pod


def pod_body(
    name: str, reference: Body, labels: dict[str, str], notes: dict[str, str], cpu: int
) -> Body:
    requests = {"cpu": f"{cpu}m", "memory": "64Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": SPACE,
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [reference],
        },
        "spec": {
            "containers": [{"name": "main", "image": "app", "resources": {"requests": requests}}],
            "tolerations": TOLERATED,
        },
        "status": {"phase": "Pending"},
    }


def owner(pod: Body) -> Body:
    found: Body = pod["metadata"]["ownerReferences"][0]
    return found


def is_ready(pod: Body) -> bool:
    """Ready, and not about to leave."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def set_ready(pod: Body, status: str, now: int) -> None:
    others = [one for one in pod["status"].get("conditions", ()) if one["type"] != "Ready"]
    mine = {"type": "Ready", "status": status, "lastTransitionTime": rfc3339(now)}
    pod["status"]["conditions"] = [*others, mine]


def _staying(pod: Body, nodes: list[str]) -> tuple[Any, ...]:
    """The order of kube-controller-manager's ActivePodsWithRanks: the first are deleted first."""
    metadata, node = pod["metadata"], pod["spec"].get("nodeName", "")
    cost = int(metadata.get("annotations", {}).get(DELETION_COST, "0"))
    return (
        bool(node),
        {"Pending": 0, "Running": 2}.get(pod["status"]["phase"], 1),
        is_ready(pod),
        cost,
        -nodes.count(node),
        -(epoch(metadata["creationTimestamp"]) or 0),
        metadata["name"],
    )


def _reference(version: str, kind: str, name: str, uid: str) -> Body:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}
