"""Writes about nodes: claims that are made and deleted, and taints.

A claim's name is chosen before it is sent, so that its CREATE can be repeated until there is an
answer, and buys one node. Each method returns at once except `pods_on`.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from bayplan.api import names
from bayplan.api.resource import Key
from bayplan.cluster import decode, errors, lists, node_claims, requests, wire
from bayplan.cluster.claim_line import ClaimLine
from bayplan.cluster.pools import NODE_CLAIM, POOL
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job
from bayplan.cluster.transport import Request, Transport
from bayplan.cluster.writes import Writes
from bayplan.model import intents
from bayplan.model.node_claims import NodeClaim
from bayplan.model.pods import Pod

Done = Callable[[str | None], None]

_NOT_SERVED = (
    "karpenter.sh/v1 is not served (404): install Karpenter, or set the Pool's mode to Advise"
)
_CHUNK = 500  # pods in one list request


class _Answer(wire.Struct):
    """To a DELETE: the object, or a Status if the object went at once."""

    kind: str = ""


class _Spec(wire.Struct):
    taints: list[dict[str, Any]] | None = None


class _Node(wire.Struct):
    metadata: wire.Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class NodeWrites:
    """A refused write is tried again when `cache.refusals` says so; `now` is in epoch seconds."""

    def __init__(self, writes: Writes, transport: Transport, now: Callable[[], float]) -> None:
        self._writes = writes
        self._cache = writes.cache
        self._pools = writes.cache.pools
        self._transport = transport
        self._now = now
        self._line = ClaimLine(self._pools)

    def held_back(self, pool: str) -> str:
        """Why no claim of this Pool may be written now; empty if it may.

        The Pool is rung when that changes.
        """
        write = _creation(pool)
        allowed = self._cache.refusals.allowance(write)
        return "" if allowed is None or allowed else self._refusal(write)

    def launch(self, wanted: intents.LaunchNode, done: Done) -> None:
        """Create a claim, which counts at once; it is taken back when the CREATE is refused.

        `done` is called once: with None when the claim is stored, else with the reason why not.
        Without an answer the CREATE is repeated until there is one, since nobody knows meanwhile
        whether a node was bought. After a refusal one claim of the Pool is tried first. Many claims
        go out one after the other (`ClaimLine`).
        """
        name = str(wanted.body["metadata"]["name"])
        write = _creation(wanted.pool)
        if not self._cache.refusals.admits(write):
            done(self._refusal(write))
            return
        planned = self._pools.assume(node_claims.planned(wanted.body, int(self._now())))
        request = requests.create_node_claim(wanted.body)

        async def attempt() -> None:
            known = self._pools.claims.get(name)
            if known is None or (known.assumed and known is not planned):
                raise errors.Conflict("the claim has come and gone meanwhile")
            if known.assumed:
                known = await self._created(request, name)
                self._pools.forget(planned)  # unless its sight counts: its end was seen before
            _check(known, wanted.pool)
            done(None)

        def failed(error: errors.ClusterError) -> None:
            if isinstance(error, errors.Unavailable) and self._submit(write, job()):
                return
            self._pools.forget(planned)
            self._writes.failed(write, error, name)
            self._pools.changed()
            done(str(error))

        def job() -> Job:
            # A name is used again when its claim has gone, perhaps before that CREATE is answered.
            identity = ("launch", name, id(planned))
            return Job((NODE_CLAIM, "", name), identity, attempt, failed, urgent=True)

        def cancelled(why: str) -> None:
            self._pools.forget(planned)
            done(why)

        submit = functools.partial(self._submit_late, wanted.pool, cancelled)
        self._line.join(name, lambda waited: submit(write, job(), waited=waited))

    def _submit_late(
        self, pool: str, cancelled: Callable[[str], None], write: Write, job: Job, *, waited: bool
    ) -> None:
        """Send an order that may have waited in line, if it is still wanted."""
        why = self._no_longer(pool) if waited else ""
        if why:
            cancelled(why)
        else:
            self._submit(write, job)

    def _no_longer(self, pool: str) -> str:
        """Why an order that has waited in line is not sent; empty if it is."""
        stored = self._pools.pools.get(pool)
        if stored is None or stored.spec is None or not stored.spec.buys:
            return f"Pool {pool} does not buy any more"
        return self.held_back(pool)

    def retire(self, wanted: intents.RetireNode) -> None:
        """Delete a claim; from now on it counts as being deleted.

        If it is to go for want of an instance, it is read anew first: the watch may be seconds
        late, and pods may run on its node. It counts as being deleted from then on.
        """
        name, uid = wanted.claim, wanted.uid
        claim = self._pools.claims.get(name)
        key = (NODE_CLAIM, "", name)
        write = Write(self._about(claim.pool if claim else "", key), "delete", NODE_CLAIM, name)
        if not self._cache.refusals.admits(write):
            return
        self._count_at_once(wanted)
        request = requests.delete_object(intents.DeleteObject(NODE_CLAIM, "", name, uid))

        async def attempt() -> None:
            if await self._stays(wanted):
                return
            self._pools.assume_leaving(name, uid)
            try:
                answer = await self._writes.send(request)
            except errors.NotFound:
                pass
            except errors.Conflict:
                stored = await self._look(name)
                if stored is not None and stored.uid == uid:
                    raise
            else:
                if wire.read(answer, _Answer).kind != "Status":
                    self._writes.feed(NODE_CLAIM, answer)
                    return
            self._cache.drop(NODE_CLAIM, ("", name), uid)  # it has gone

        def failed(error: errors.ClusterError) -> None:
            self._pools.forget_leaving(name, uid)
            self._writes.failed(write, error)

        identity = ("retire", name, uid)
        self._submit(write, Job(key, identity, attempt, failed, urgent=True, once=True))

    def taint(self, wanted: intents.TaintNode) -> None:
        """Give the node a taint or take it away; other taints stay as they are."""
        key = ("Node", "", wanted.node)
        known = self._cache.state.nodes.get(wanted.node)
        pool = known.labels.get(names.POOL, "") if known is not None else ""
        write = Write(self._about(pool, key), "taint", "Node", wanted.node)
        if not self._cache.refusals.admits(write):
            return

        async def attempt() -> None:
            try:
                stored = await self._tainted(wanted)
            except errors.NotFound:
                stored = None
            except errors.Conflict as error:
                # Somebody else changed the node meanwhile: look at its taints again.
                raise errors.Unavailable(error.message, status=error.status) from error
            if stored is not None:
                self._writes.feed("Node", stored)
            else:
                self._cache.drop("Node", key[1:], wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        subject = ("taint", wanted.node, wanted.uid, wanted.key)
        identity = (*subject, wanted.value, wanted.effect, wanted.present)
        job = Job(key, identity, attempt, failed, urgent=True, subject=subject)
        self._submit(write, job)

    async def pods_on(self, node: str) -> list[Pod]:
        """All pods on this node as they are stored now, whatever the watches have shown.

        An error if there is no complete answer: a caller must not take the node for empty then.
        """
        kind, found, token = decode.KINDS["Pod"], list[Pod](), ""
        while True:
            request = requests.list_chunk(
                "Pod", limit=_CHUNK, token=token, fields=f"spec.nodeName={node}"
            )
            try:
                chunk = lists.chunk(kind, await self._transport.send(request))
            except wire.DecodeError as error:
                raise errors.Unavailable(str(error)) from error
            if chunk.unreadable or not chunk.whole:
                raise errors.Unavailable(f"a pod on node {node} cannot be read")
            for seen in chunk.seen:
                self._cache.upsert("Pod", seen)
                found.append(seen.value)
            token = chunk.token
            if not token:
                return found

    async def _tainted(self, wanted: intents.TaintNode) -> bytes | None:
        """The node as stored, with the taints as wanted; None if another node has its name."""
        stored = await self._writes.send(requests.get("Node", "", wanted.node))
        node = wire.read(stored, _Node)
        if node.metadata.uid != wanted.uid:
            return None
        taints = _taints(node.spec.taints or [], wanted)
        if taints is None:
            return stored
        version = node.metadata.resource_version or ""
        return await self._writes.send(requests.taint_node(wanted, taints, version))

    def _submit(self, write: Write, job: Job) -> bool:
        return self._writes.submit(write, job)

    def _about(self, pool: str, key: Key) -> Key:
        """What a write belongs to: the Pool if it is known, so that it can tell of a refusal."""
        return (POOL, "", pool) if pool in self._pools.pools else key

    def _refusal(self, write: Write) -> str:
        told = self._cache.refusals.of(write.about)
        same = (one.message for one in told if (one.verb, one.kind) == (write.verb, write.kind))
        return next(same, "another claim of this Pool is tried first")

    async def _created(self, request: Request, name: str) -> NodeClaim:
        """The stored claim; whether it is ours is for the caller to see."""
        try:
            return self._fed(await self._writes.send(request))
        except errors.AlreadyExists as taken:
            stored = await self._look(name)
            if stored is None:
                raise errors.Unavailable("the name was taken a moment ago") from taken
            return stored
        except errors.NotFound as error:
            raise errors.NotFound(_NOT_SERVED, status=404, reason=error.reason) from error
        except errors.Conflict as error:
            raise errors.Unavailable(error.message, status=error.status) from error

    def _count_at_once(self, wanted: intents.RetireNode) -> None:
        if not wanted.unlaunched:
            self._pools.assume_leaving(wanted.claim, wanted.uid)

    async def _stays(self, wanted: intents.RetireNode) -> bool:
        """Whether a claim that is to go for want of an instance has one by now."""
        if not wanted.unlaunched:
            return False
        claim = await self._look(wanted.claim)
        return claim is not None and claim.uid == wanted.uid and bool(claim.provider_id)

    async def _look(self, name: str) -> NodeClaim | None:
        """The claim as stored now; None when it does not exist."""
        try:
            return self._fed(await self._writes.send(requests.get(NODE_CLAIM, "", name)))
        except errors.NotFound:
            return None

    def _fed(self, answer: bytes) -> NodeClaim:
        seen = node_claims.seen(msgspec.Raw(answer))
        self._cache.upsert(NODE_CLAIM, seen)
        claim: NodeClaim = seen.value
        return claim


def _taints(before: list[dict[str, Any]], wanted: intents.TaintNode) -> list[dict[str, Any]] | None:
    """The taints that the node is to have; None if it has them."""
    same = [one for one in before if (one.get("key"), one.get("effect")) == _key(wanted)]
    if [one.get("value") or "" for one in same] == ([wanted.value] if wanted.present else []):
        return None
    others = [one for one in before if one not in same]
    if not wanted.present:
        return others
    taint = {"key": wanted.key, "value": wanted.value, "effect": wanted.effect}
    return [*others, {name: value for name, value in taint.items() if value}]


def _key(wanted: intents.TaintNode) -> tuple[str, str]:
    return wanted.key, wanted.effect


def _creation(pool: str) -> Write:
    """The sort of write that makes claims of a Pool: what refuses one of them refuses all."""
    return Write((POOL, "", pool), "create", NODE_CLAIM)


def _check(claim: NodeClaim, pool: str) -> None:
    """Raise an error unless a claim that exists is what was ordered."""
    if claim.pool != pool:
        raise errors.Rejected(
            f"a NodeClaim of this name exists and is not of Pool {pool}: {claim.name}",
            status=409,
            reason="NameTaken",
        )
    if claim.deleting:
        raise errors.Conflict(f"the NodeClaim {claim.name} is being deleted", status=409)
