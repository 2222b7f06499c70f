"""What is known of Pools and of the machinery that buys for them, live: a part of the cache.

Informers and the answers to our own writes feed it through `Cache`, which tells news from doubled
and late sights. Claims on their way count at once, as pods do (see `assumptions`), so that the next
decision does not buy the same node again. It decides nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.pool_resource import PoolResource, default_pool, parse_pool
from bayplan.api.resource import Key as ResourceKey
from bayplan.cloud import node_pools, prices
from bayplan.cluster.wire import Seen
from bayplan.inputs import InputError
from bayplan.model.groups import PoolGroups
from bayplan.model.node_claims import NodeClaim
from bayplan.model.untyped import mapping

Key = tuple[str, str]  # namespace (empty), name

POOL, NODE_POOL, NODE_CLAIM = "Pool", "NodePool", "NodeClaim"
KINDS = frozenset({POOL, NODE_POOL, NODE_CLAIM})
MOST_GONE = 1000  # claims in `gone` that nobody has read yet


@dataclass(frozen=True, slots=True)
class StoredNodePool:
    """A NodePool as stored. `read` is None if it could not be read; `problem` then says why."""

    name: str
    uid: str
    body: Mapping[str, Any]
    read: node_pools.NodePool | None = None
    problem: str = ""

    @property
    def annotations(self) -> Mapping[str, Any]:
        return mapping(mapping(self.body.get("metadata")).get("annotations"))

    @property
    def decides(self) -> tuple[object, ...]:
        """What decisions depend on; the status, which counts nodes, is not among it."""
        metadata = mapping(self.body.get("metadata"))
        deleted = metadata.get("deletionTimestamp") is not None
        return self.uid, self.body.get("spec"), metadata.get("labels"), self.annotations, deleted


@dataclass(slots=True, eq=False)
class Pools:
    """`ring` is called when a decision about pools may have changed; `changes` counts the calls.

    `heard` is called before it, for orders that wait until earlier orders have their instances.
    `looked` says whether Karpenter's API has been looked for, `karpenter` whether it is served, and
    `synced` whether all three kinds have been
    listed since then: before that, nothing may be bought. `gone` are the claims that ended before
    they had an instance, and not by our own doing: the cloud had no capacity, or the NodeClass is
    not ready. Whoever buys reads and clears it. `groups` are the Auto Scaling groups by Pool, of
    those Pools whose groups AWS has described; `groups_problem` says why it does not describe them
    now. `node_classes` are by kind and name, and
    `node_class_problems` says why one could not be read. `market` is
    None when no prices and no stock are known that are young enough; `market_at` is in epoch
    seconds, and `market_problem` says why the last look for them failed. `book` holds the prices
    of the prices file.
    """

    ring: Callable[[], None]
    looked: bool = False
    karpenter: bool = False
    listed: set[str] = field(default_factory=set)
    pools: dict[str, PoolResource] = field(default_factory=dict)
    node_pools: dict[str, StoredNodePool] = field(default_factory=dict)
    node_classes: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    node_class_problems: dict[tuple[str, str], str] = field(default_factory=dict)
    claims: dict[str, NodeClaim] = field(default_factory=dict)
    gone: list[NodeClaim] = field(default_factory=list)
    groups: dict[str, PoolGroups] = field(default_factory=dict)
    groups_problem: str = ""
    market: prices.Market | None = None
    market_at: float = 0.0
    market_problem: str = ""
    book: prices.Book = field(default_factory=prices.Book)
    changes: int = 0
    heard: Callable[[], None] = lambda: None
    _leaving: dict[str, str] = field(default_factory=dict)  # claim -> uid, of our own deletes

    @property
    def synced(self) -> bool:
        return self.karpenter and self.listed >= KINDS

    @property
    def known(self) -> bool:
        """Whether it is known which Pools there are, and through what each buys."""
        if POOL not in self.listed or not self.looked:
            return False
        if not (self.groups_problem or all(map(self.ready, self.pools.values()))):
            return False  # others do not wait for AWS if it does not answer
        if not self.karpenter:
            return True
        through = (self.node_pools.get(one.node_pool) for one in self.pools.values())
        return self.synced and all(map(self.knows_class, filter(None, through)))

    def ready(self, pool: PoolResource) -> bool:
        """Whether the groups of a Pool that buys through groups are known."""
        return not pool.groups_tag or pool.name in self.groups

    def knows_class(self, node_pool: StoredNodePool) -> bool:
        """Whether the NodeClass that it names has been looked for."""
        if node_pool.read is None:
            return True
        at = node_pool.read.node_class
        return at in self.node_classes or at in self.node_class_problems

    @property
    def default(self) -> str:
        """The Pool whose nodes are tolerated by workloads that name none; empty: there is none."""
        return default_pool(self.pools.values())

    def changed(self) -> None:
        """Have the pools looked at again."""
        self.changes += 1
        self.heard()
        self.ring()

    def era(self, about: ResourceKey) -> object:
        """What a write about a Pool or a claim is made of: the spec, or the identity."""
        pool, claim = self.pools.get(about[2]), self.claims.get(about[2])
        if about[0] == POOL:
            return (pool.uid, pool.generation) if pool is not None else None
        return claim.uid if claim is not None else ""

    # ---- claims before they are seen ------------------------------------------------------

    def assume(self, claim: NodeClaim) -> NodeClaim:
        """Count on this claim: its CREATE is on its way. A claim that was seen stays.

        Returns the claim that counts.
        """
        if claim.name not in self.claims:
            self.claims[claim.name] = dataclasses.replace(claim, assumed=True)
        return self.claims[claim.name]

    def forget(self, planned: NodeClaim) -> None:
        """The CREATE of this claim has failed; a claim that was seen, and a later plan, stay."""
        if planned.assumed and self.claims.get(planned.name) is planned:
            del self.claims[planned.name]

    def assume_leaving(self, name: str, uid: str) -> None:
        """A delete is decided: the claim is being deleted, even if older news says otherwise."""
        known = self.claims.get(name)
        if known is not None and known.uid == uid:
            self._leaving[name] = uid
            self.claims[name] = dataclasses.replace(known, deleting=True)

    def forget_leaving(self, name: str, uid: str) -> None:
        """The delete was refused: the claim stays."""
        if self._leaving.get(name) == uid:
            del self._leaving[name]
            known = self.claims.get(name)
            if known is not None and known.uid == uid:
                self.claims[name] = dataclasses.replace(known, deleting=False)
                self.changed()

    # ---- instances of Auto Scaling groups --------------------------------------------------

    def set_groups(self, groups: Mapping[str, PoolGroups], problem: str) -> None:
        """What AWS says of the groups of each Pool, and why it says no more."""
        if (groups, problem) != (self.groups, self.groups_problem):
            self.groups, self.groups_problem = dict(groups), problem
            self.changed()

    def put_instance(self, claim: NodeClaim) -> None:
        """Count on this instance as it is decided; `set_instances` tells of it later."""
        self.claims[claim.name] = claim

    def set_instances(self, claims: Mapping[str, NodeClaim]) -> None:
        """These are all instances and orders of Auto Scaling groups, by the names of claims."""
        before = {name: claim for name, claim in self.claims.items() if claim.group}
        if before == claims:
            return
        for name in before.keys() - claims.keys():
            del self.claims[name]
        self.claims.update(claims)
        self.changed()

    # ---- what is seen ---------------------------------------------------------------------

    def sync(self, kind: str) -> None:
        """A list of this kind is complete."""
        if kind not in self.listed:
            self.listed.add(kind)
            self.changed()

    def set_pool(self, seen: Seen) -> None:
        before, read = self.pools.get(seen.name), parse_pool(seen.value)
        self.pools[read.name] = read
        if before is None or (before.uid, before.generation) != (read.uid, read.generation):
            self.changed()  # its status is written by nobody but us

    def drop_pool(self, key: Key) -> None:
        if self.pools.pop(key[1], None) is not None:
            self.changed()

    def set_node_pool(self, seen: Seen) -> None:
        before, found = self.node_pools.get(seen.name), _stored(seen)
        self.node_pools[seen.name] = found
        if before is None or before.decides != found.decides:
            self.changed()

    def drop_node_pool(self, key: Key) -> None:
        if self.node_pools.pop(key[1], None) is not None:
            self.changed()

    def set_claim(self, seen: Seen) -> None:
        claim: NodeClaim = seen.value
        leaves = self._leaving.get(claim.name)
        if leaves == claim.uid:
            claim = dataclasses.replace(claim, deleting=True)
        elif leaves is not None:
            del self._leaving[claim.name]
        if self.claims.get(claim.name) != claim:
            self.claims[claim.name] = claim
            self.changed()

    def drop_claim(self, key: Key) -> None:
        claim = self.claims.pop(key[1], None)
        ours = self._leaving.pop(key[1], None)
        if claim is None:
            return
        if not claim.provider_id and ours is None:
            self.gone.append(claim)
            del self.gone[:-MOST_GONE]
        self.changed()

    def lose_karpenter(self) -> None:
        """Karpenter's API is no longer served: what is known of its objects is void.

        Claims whose CREATE is on its way stay until its answer.
        """
        self.karpenter = False
        self.listed -= {NODE_POOL, NODE_CLAIM}
        self.node_pools.clear()
        self.node_classes.clear()
        self.node_class_problems.clear()
        self.claims = {
            name: claim for name, claim in self.claims.items() if claim.assumed or claim.group
        }
        self._leaving.clear()
        self.changed()


def _stored(seen: Seen) -> StoredNodePool:
    try:
        return StoredNodePool(seen.name, seen.uid, seen.value, node_pools.node_pool(seen.value))
    except InputError as error:
        return StoredNodePool(seen.name, seen.uid, seen.value, problem=str(error))
