"""Writes of objects beside pods: claims, Services, disruption budgets, revisions."""

import contextlib

import msgspec

from bayplan.api import names
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import belongings, decode, errors, requests
from bayplan.cluster.budgets import Stored
from bayplan.cluster.owned import Owned
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job
from bayplan.cluster.writes import Writes
from bayplan.model import intents

_CLAIM = "PersistentVolumeClaim"


class Objects:
    """Each method returns at once; a refused write is tried again when `cache.refusals` says so."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self._cache = writes.cache

    def select(self, wanted: intents.SelectNode) -> None:
        """Choose a claim's node; the choice counts at once and is taken back if the write fails."""
        key = wanted.namespace, wanted.claim
        write = Write((_CLAIM, *key), "select", _CLAIM, wanted.claim)
        if not self._cache.refusals.admits(write):
            return
        self._cache.storage.assume_selected(key, wanted.node)

        async def attempt() -> None:
            self._writes.feed(_CLAIM, await self._writes.send(requests.select_node(wanted)))

        def failed(error: errors.ClusterError) -> None:
            self._cache.storage.forget(key)
            self._writes.failed(write, error)

        identity = ("select", key, wanted.uid, wanted.node)
        self._writes.submit(write, Job((_CLAIM, *key), identity, attempt, failed, once=True))

    def claim(self, wanted: intents.ClaimAct, resource: ResourceKey) -> None:
        """Make, hand over or delete a claim of an instance. The answer counts as news.

        A deleted claim still exists until no pod mounts it. If the CREATE of one claim is refused,
        all claims to be made are refused: they wait together.
        """
        match wanted:
            case intents.CreateClaim():
                metadata = wanted.body["metadata"]
                key, about = (metadata["namespace"], metadata["name"]), ""
                verb, request = "create", requests.create_claim(wanted)
            case intents.OwnClaim():
                key, about = (wanted.namespace, wanted.name), str(wanted.owner)
                verb, request = "own", requests.own_claim(wanted)
            case intents.DropClaim():
                key, about = (wanted.namespace, wanted.name), wanted.uid
                drop = intents.DeleteObject(_CLAIM, *key, wanted.uid)
                verb, request = "delete", requests.delete_object(drop)
        write = Write(resource, verb, _CLAIM, "" if verb == "create" else key[1])
        if not self._cache.refusals.admits(write):
            return
        if verb == "delete":
            self._cache.storage.assume_leaving(key)
        done = errors.AlreadyExists if verb == "create" else errors.NotFound

        async def attempt() -> None:
            with contextlib.suppress(done):
                self._writes.feed(_CLAIM, await self._writes.send(request))

        def failed(error: errors.ClusterError) -> None:
            self._cache.storage.forget(key)
            self._writes.failed(write, error, key[1])

        identity = (verb, _CLAIM, key, about)
        self._writes.submit(write, Job((_CLAIM, *key), identity, attempt, failed, urgent=True))

    def apply(self, resource: Resource, wanted: intents.ApplyObject) -> None:
        """Make a child equal to this object, unless another owner's object has its name."""
        kind, metadata = wanted.body["kind"], wanted.body["metadata"]
        key = metadata["namespace"], metadata["name"]
        write = Write(resource.key, "apply", kind, metadata["name"])
        if not self._cache.refusals.admits(write):
            return

        async def attempt() -> None:
            uid = await self._owned_uid(kind, key, resource)
            self._writes.feed(kind, await self._writes.send(requests.apply_object(wanted, uid)))

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        digest = (metadata.get("annotations") or {}).get(names.DIGEST, "")
        subject = ("apply", kind, key, resource.uid)
        identity = (*subject, digest)
        job = Job((kind, *key), identity, attempt, failed, urgent=True, subject=subject)
        self._writes.submit(write, job)

    def drop(self, wanted: intents.DeleteObject, resource: ResourceKey) -> None:
        """Delete a child."""
        kind, key = wanted.kind, (wanted.namespace, wanted.name)
        write = Write(resource, "delete", kind, wanted.name)
        if not self._cache.refusals.admits(write):
            return

        async def attempt() -> None:
            # A 409 to a delete: another object has that name by now.
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self._writes.send(requests.delete_object(wanted))
            self._cache.drop(kind, key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        identity = ("delete", kind, key, wanted.uid)
        job = Job((kind, *key), identity, attempt, failed, urgent=True, once=True)
        self._writes.submit(write, job)

    async def _owned_uid(self, kind: str, key: tuple[str, str], owner: Resource) -> str:
        """The uid of our child of this name; empty when it does not exist yet."""
        try:
            answer = await self._writes.send(requests.get(kind, *key))
        except errors.NotFound:
            return ""
        seen = decode.KINDS[kind].decode(msgspec.Raw(answer))
        owned = _owned(seen.value)
        if owned is None or not belongings.is_for(owned, owner):
            raise errors.Rejected(
                f"a {kind} of this name exists and is not ours: {key[1]}",
                status=409,
                reason="NameTaken",
            )
        if owned.deleting:
            raise errors.Conflict(f"the {kind} is being deleted", status=409)
        return seen.uid


def _owned(value: Owned | Stored | None) -> Owned | None:
    """A child as it was read; a budget is read with more."""
    return value.owned if isinstance(value, Stored) else value
