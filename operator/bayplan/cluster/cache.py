"""What is known of the cluster, live: the only mutable object that outlives a cycle.

Informers, kopf's deliveries and the answers to our own writes feed the cache. A sight of an object
counts only if it is newer than what is known, so that doubled, reordered and late news does no
harm. The cache rings the doorbell when a decision may have changed, and decides nothing itself. It
belongs to one event loop and has no locks.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import kinds, names
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource, parse_resource
from bayplan.cluster import decode, news, policies, wire
from bayplan.cluster.assumptions import Assumptions
from bayplan.cluster.belongings import Belongings
from bayplan.cluster.budgets import Stored
from bayplan.cluster.defaults import Defaults
from bayplan.cluster.dependents import Dependents
from bayplan.cluster.doorbell import Doorbell
from bayplan.cluster.orphans import Orphans, Pods, is_stranded
from bayplan.cluster.owned import Owned
from bayplan.cluster.pools import KINDS, NODE_CLAIM, NODE_POOL, POOL, Pools
from bayplan.cluster.refusals import Refusals
from bayplan.cluster.silent_pods import Silent, SilentPods, Words
from bayplan.cluster.storage import Storage
from bayplan.cluster.versions import Versions
from bayplan.cluster.wire import Seen
from bayplan.model import snapshot, state
from bayplan.model.budgets import Budgets
from bayplan.model.children import Child
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod

Key = tuple[str, str]  # namespace (empty for cluster-wide kinds), name

_BUDGET = "PodDisruptionBudget"
_CHILDREN = ("ControllerRevision", _BUDGET, "Service")


@dataclass(slots=True, eq=False)
class Cache:
    """`state` holds nodes and pods; the other fields hold what reconcile needs beside them."""

    state: state.State
    doorbell: Doorbell
    namespace: str = ""  # the namespace that is served; empty: all
    resources: dict[ResourceKey, Resource] = field(default_factory=dict)
    namespaces_deleting: set[str] = field(default_factory=set)
    synced_kinds: set[str] = field(default_factory=set)
    orphans: Orphans = field(default_factory=Orphans)
    budgets: Budgets = field(default_factory=Budgets)
    silent_pods: SilentPods = field(default_factory=SilentPods)
    refusals: Refusals = field(init=False)
    _versions: dict[str, Versions] = field(default_factory=dict)  # by kind
    _belongings: Belongings = field(default_factory=Belongings)
    _by_uid: dict[str, ResourceKey] = field(default_factory=dict)
    _quotas: dict[Key, policies.Quota] = field(default_factory=dict)
    _dependents: Dependents = field(init=False)
    assumptions: Assumptions = field(init=False)
    storage: Storage = field(init=False)
    pools: Pools = field(init=False)
    defaults: Defaults = field(init=False)
    _set: Mapping[str, Callable[[Seen], None]] = field(init=False)  # by kind
    _drop: Mapping[str, Callable[[Key], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self._ring_about, self._era)
        self._dependents = Dependents(self.resources, self.doorbell)
        self.assumptions = Assumptions(self.state, self.doorbell.mark_placement)
        storage = self.storage = Storage(
            self.state, self.doorbell.mark_placement, self._dependents.ring_claimants
        )
        pools = self.pools = Pools(self.doorbell.mark_placement)
        self.defaults = Defaults(self._admits_anew)
        self._set = {
            "Pod": self._set_pod,
            "Node": self._set_node,
            "DaemonSet": self._set_daemonset,
            "Namespace": self._set_namespace,
            "ResourceQuota": self._set_quota,
            "LimitRange": self.defaults.set_range,
            "PriorityClass": self.defaults.set_priority,
            "PersistentVolumeClaim": storage.set_claim,
            "PersistentVolume": storage.set_volume,
            "StorageClass": storage.set_class,
            "CSINode": storage.set_limits,
            "VolumeAttachment": storage.attachments.set,
            POOL: pools.set_pool,
            NODE_POOL: pools.set_node_pool,
            NODE_CLAIM: pools.set_claim,
            **{kind: functools.partial(self._set_child, kind) for kind in _CHILDREN},
            _BUDGET: self._set_budget,
            **{kind: functools.partial(self._set_resource, kind) for kind in kinds.NAMES},
        }
        self._drop = {
            "Pod": self._drop_pod,
            "Node": self._drop_node,
            "DaemonSet": self._drop_daemonset,
            "Namespace": self._drop_namespace,
            "ResourceQuota": self._drop_quota,
            "LimitRange": self.defaults.drop_range,
            "PriorityClass": self.defaults.drop_priority,
            "PersistentVolumeClaim": storage.drop_claim,
            "PersistentVolume": storage.drop_volume,
            "StorageClass": storage.drop_class,
            "CSINode": storage.drop_limits,
            "VolumeAttachment": storage.attachments.drop,
            POOL: self._drop_pool_resource,
            NODE_POOL: pools.drop_node_pool,
            NODE_CLAIM: self._drop_node_claim,
            **{kind: functools.partial(self._drop_child, kind) for kind in _CHILDREN},
            _BUDGET: self._drop_budget,
            **{kind: functools.partial(self._drop_resource, kind) for kind in kinds.NAMES},
        }

    # ---- what a cycle asks ----------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once; before that, nothing may be decided."""
        return decode.KINDS.keys() <= self.synced_kinds

    def snapshot(self) -> snapshot.Snapshot:
        return self.state.snapshot()

    def children(self, uid: str) -> Mapping[tuple[str, str], Child]:
        """What a resource owns beside pods, by kind and name, except what is being deleted."""
        return self._belongings.of_uid(uid)

    def belongings(self, resource: Resource) -> Mapping[tuple[str, str], Child]:
        """The resource's children, and what a former resource of its name left behind for it."""
        return self._belongings.of(resource)

    def left_behind(self, resource: Resource) -> Pods:
        """The pods that a former service of its name left behind."""
        return self.orphans.of(resource, self.state.pods)

    def foreign(self, resource: Resource) -> frozenset[tuple[str, str]]:
        """Kind and name of objects with the resource's name that are another's or nobody's."""
        key = resource.namespace, resource.name
        return frozenset(
            (kind, resource.name)
            for kind in ("Service", "PodDisruptionBudget")
            if key in self._of(kind).known and not self._belongings.may_have(resource, kind, key)
        )

    def by_uid(self, uid: str) -> Resource | None:
        key = self._by_uid.get(uid)
        return self.resources.get(key) if key is not None else None

    # ---- what informers and answers tell --------------------------------------------------

    def knows(self, kind: str, key: Key, version: int) -> bool:
        """Whether a sight of this version would bring nothing new."""
        known = self._of(kind).known.get(key)
        return known is not None and version <= known[1]

    def upsert(self, kind: str, seen: Seen) -> bool:
        """Take in one sight; False when it brought nothing new."""
        if not self._of(kind).newer(seen):
            return False
        self._set[kind](seen)
        return True

    def delete(self, kind: str, key: Key, uid: str, version: int) -> bool:
        """The object has gone as of this version. An empty uid means any object of that name."""
        if not self._of(kind).ended(key, uid, version):
            return False
        self._drop[kind](key)
        return True

    def retain(self, kind: str, listed: Collection[Key], version: int) -> int:
        """A whole list has been seen: objects that it lacks have gone, unless they are newer."""
        known = self._of(kind).known
        left = [key for key, (_, seen) in known.items() if key not in listed and seen <= version]
        for key in left:
            self.delete(kind, key, known[key][0], version)
        return len(left)

    def sync(self, kind: str) -> None:
        """A list of this kind is complete; the first one may be what a decision waits for."""
        if kind in KINDS:
            self.pools.sync(kind)
        elif kind not in self.synced_kinds:
            self.synced_kinds.add(kind)
            self.doorbell.mark_placement()

    # ---- custom resources, from every source ----------------------------------------------

    def put_resource(self, body: Mapping[str, Any]) -> None:
        """Take in a custom resource as kopf delivers it."""
        metadata = body["metadata"]
        if not self._serves(metadata["namespace"]):
            return
        self.upsert(
            body["kind"],
            Seen(
                metadata["namespace"],
                metadata["name"],
                metadata["uid"],
                wire.version_of(metadata.get("resourceVersion")),
                body,
            ),
        )

    def drop_resource(self, key: ResourceKey, uid: str) -> None:
        """A custom resource has gone: kopf saw its deletion."""
        self.drop(key[0], key[1:], uid)

    def doubt_resource(self, key: ResourceKey, uid: str) -> None:
        """The resource's status answered 404: drop the resource until it is seen again.

        A server that is starting, or that serves a definition anew, answers 404 for resources that
        are still stored.
        """
        versions = self._of(key[0])
        known = versions.known.get(key[1:])
        if known is not None and known[0] == uid:
            del versions.known[key[1:]]
            self._drop[key[0]](key[1:])

    def drop(self, kind: str, key: Key, uid: str) -> None:
        """A write has shown that the object of this uid no longer exists."""
        known = self._of(kind).known.get(key)
        if known is not None and known[0] == uid:
            self.delete(kind, key, uid, known[1])

    # ---- pods and nodes -------------------------------------------------------------------

    def _of(self, kind: str) -> Versions:
        return self._versions.setdefault(kind, Versions())

    def _serves(self, namespace: str) -> bool:
        return not self.namespace or namespace == self.namespace

    def _set_pod(self, seen: Seen) -> None:
        pod = self.assumptions.applied(seen.value)
        serves = self._serves(pod.namespace)
        pod = self.silent_pods.applied(pod) if serves else news.as_load(pod)
        before = self.state.set_pod(pod)
        if serves:
            self.orphans.see(before, pod)
        if before is not None and news.same(before, pod):
            return
        self._ring_owner(pod)
        freed = (
            before is not None
            and before.node
            and not before.terminal
            and (pod.terminal or pod.node != before.node or pod.request != before.request)
        )
        waits = not pod.node and pod.scheduler == self.state.scheduler and not pod.terminal
        if freed or waits:
            self.doorbell.mark_placement()

    def _drop_pod(self, key: Key) -> None:
        self.assumptions.gone(key)
        before = self.state.drop_pod(key)
        if before is None:
            return
        self.silent_pods.gone(before.uid)
        self.orphans.gone(before)
        self.refusals.gone("Pod", key)
        self._ring_owner(before)
        if before.node and not before.terminal:
            self.doorbell.mark_placement()

    def hear(self, one: Silent, words: Words | None) -> None:
        """A kubelet said of a pod what its status does not say, or it says so no more (None)."""
        heard = self.silent_pods.hear(one, words)
        known = self.state.pods.get(one.pod.key)
        if heard is None or known is None or known.uid != heard.uid or known.terminating:
            return
        if heard.ending != known.ending:
            told = dataclasses.replace(known, ending=heard.ending)
            self.state.set_pod(told)
            self._ring_owner(told)

    def _ring_owner(self, pod: Pod) -> None:
        self._dependents.ring_owner(pod)
        if is_stranded(pod, self.by_uid) and self._serves(pod.namespace):
            self.orphans.suspected = True
            self.doorbell.mark_placement()

    def _ring_about(self, about: ResourceKey) -> None:
        """A write that was refused may be tried again, or has been accepted."""
        if about[0] in kinds.BY_NAME:
            self.doorbell.mark(about)
        elif about[0] in {POOL, NODE_CLAIM, "Node"}:
            self.pools.changed()
        else:
            self.orphans.suspected = True
            self.doorbell.mark_placement()

    def _era(self, about: ResourceKey) -> object:
        """What a write is made of: a resource's spec; for any other object, its identity."""
        if about[0] in {POOL, NODE_CLAIM}:
            return self.pools.era(about)
        if about[0] == "Node":
            node = self.state.nodes.get(about[2])
            return node.uid if node is not None else ""
        resource = self.resources.get(about)
        if resource is not None:
            return resource.uid, resource.generation
        pod, claim = self.state.pods.get(about[1:]), self.state.claims.get(about[1:])
        if about[0] == "Pod":
            return pod.uid if pod is not None else ""
        return claim.uid if claim is not None else ""

    def _set_node(self, seen: Seen) -> None:
        node: Node = seen.value
        before = self.state.nodes.get(node.name)
        self.state.set_node(node)
        if before is not None and news.same_node(before, node):
            return
        self.doorbell.mark_placement()
        if before is None or news.moves_pods(before, node):
            self._ring_pods_on(node.name)

    def _drop_node(self, key: Key) -> None:
        name = key[1]
        self.state.drop_node(name)
        self._ring_pods_on(name)
        self.doorbell.mark_placement()

    def _ring_pods_on(self, name: str) -> None:
        for pod in self.state.on_node.get(name, {}).values():
            self._ring_owner(pod)

    def _set_daemonset(self, seen: Seen) -> None:
        if self.state.daemonsets.get(seen.uid) != seen.value:
            self.state.set_daemonset(seen.value)
            self.doorbell.mark_placement()

    def _drop_daemonset(self, key: Key) -> None:
        for uid, daemonset in tuple(self.state.daemonsets.items()):
            if (daemonset.namespace, daemonset.name) == key:
                self.state.drop_daemonset(uid)
                self.doorbell.mark_placement()

    # ---- pools and their claims -----------------------------------------------------------

    def lose_karpenter(self) -> None:
        """Karpenter's API is not served any more: forget its objects, and list anew after that."""
        for kind in (NODE_POOL, NODE_CLAIM):
            self._versions.pop(kind, None)
        self.pools.lose_karpenter()

    def _drop_pool_resource(self, key: Key) -> None:
        self.refusals.forget((POOL, *key))
        self.pools.drop_pool(key)

    def _drop_node_claim(self, key: Key) -> None:
        self.refusals.gone(NODE_CLAIM, key)
        self.pools.drop_claim(key)

    # ---- resources and what they own ------------------------------------------------------

    def _set_resource(self, kind: str, seen: Seen) -> None:
        body: Mapping[str, Any] = seen.value
        metadata = body["metadata"]
        known = self.resources.get((kind, metadata["namespace"], metadata["name"]))
        read = parse_resource({**body, "kind": kind}, known)
        self.resources[read.key] = read
        if known is not None and known.uid != read.uid:
            self._by_uid.pop(known.uid, None)
            self.orphans.suspected = True
        self._by_uid[read.uid] = read.key
        self._dependents.know(read)
        echo = known is not None and news.echoes(known, read)
        if not echo:
            self.doorbell.mark(read.key)
        if kind == names.BATCHJOB:
            self._dependents.ring_descendants(read.key, near=echo)

    def _drop_resource(self, kind: str, key: Key) -> None:
        known = self.resources.pop((kind, *key), None)
        if known is not None:
            self._by_uid.pop(known.uid, None)
            self.refusals.forget(known.key)
            self.orphans.suspected = True
            self.doorbell.mark(known.key)
            self._dependents.ring_descendants(known.key)
            self._dependents.forget(known)

    def _set_child(self, kind: str, seen: Seen) -> None:
        owned: Owned | None = seen.value
        before = self._belongings.set(kind, seen.key, owned)
        self.refusals.freed(kind, seen.namespace)
        if before != owned:
            for one in (before, owned):
                if one is not None:
                    self._dependents.ring_parent(one, seen.namespace)
        elif owned is None:
            self._dependents.ring_namesake(seen.key)

    def _set_budget(self, seen: Seen) -> None:
        stored: Stored = seen.value
        self.budgets.set(stored.budget)
        self._set_child(_BUDGET, dataclasses.replace(seen, value=stored.owned))

    def _drop_budget(self, key: Key) -> None:
        self.budgets.drop(key)
        self._drop_child(_BUDGET, key)

    def _drop_child(self, kind: str, key: Key) -> None:
        before = self._belongings.set(kind, key, None)
        self.refusals.gone(kind, key)
        self.refusals.freed(kind, key[0])
        if before is not None:
            self._dependents.ring_parent(before, key[0])
        else:
            self._dependents.ring_namesake(key)

    # ---- what admission depends on --------------------------------------------------------

    def _set_quota(self, seen: Seen) -> None:
        before = self._quotas.get(seen.key)
        self._quotas[seen.key] = seen.value
        if before is None or seen.value.loosened(before):
            self._admits_anew(seen.namespace)

    def _drop_quota(self, key: Key) -> None:
        self._quotas.pop(key, None)
        self._admits_anew(key[0])

    def _admits_anew(self, namespace: str) -> None:
        """Writes that were refused in this namespace may be accepted now."""
        self.doorbell.mark_namespace(namespace)
        self.refusals.relieve(namespace)

    def _drop_namespace(self, key: Key) -> None:
        self.namespaces_deleting.discard(key[1])
        self.state.namespaces.pop(key[1], None)

    def _set_namespace(self, seen: Seen) -> None:
        found: policies.Namespace = seen.value
        if self.state.namespaces.get(seen.name) != found.labels:
            self.state.namespaces[seen.name] = found.labels
            self.doorbell.mark_placement()  # affinity may select other pods now
        if found.deleting == (seen.name in self.namespaces_deleting):
            return
        self.namespaces_deleting ^= {seen.name}
        self._admits_anew(seen.name)
        self._dependents.ring_namespace(seen.name)
