"""Volumes as the scheduler sees them: turns claims, volumes and classes into `Claim`.

A claim's verdict depends on all three; it is computed anew whenever one of them changes.
"""

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bayplan.cluster import migrated, volumes
from bayplan.cluster.attachments import Attachments
from bayplan.cluster.wire import Seen
from bayplan.model import state
from bayplan.model.pods import Claim

Key = tuple[str, str]  # namespace (empty for cluster-wide kinds), name

_DELETED = "it is being deleted"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"  # classes whose volumes people make by hand


@dataclass(slots=True, eq=False)
class Storage:
    """Keeps `state.claims` and what nodes attach; `changed` rings when one of them changes.

    `given_back`: claim -> node, for claims from which a provisioner removed the chosen node because
    it could make no volume there. An entry stays until a caller takes note of it.
    """

    state: state.State
    changed: Callable[[], None]
    told: Callable[[Key], None] = lambda _: None  # called with a claim that has changed
    given_back: dict[Key, str] = field(default_factory=dict)
    _claims: dict[Key, volumes.VolumeClaim] = field(default_factory=dict)
    _uids: dict[Key, str] = field(default_factory=dict)
    _volumes: dict[str, volumes.Volume] = field(default_factory=dict)
    _classes: dict[str, volumes.StorageClass] = field(default_factory=dict)
    _bound: dict[str, set[Key]] = field(default_factory=dict)  # volume -> claims bound to it
    attachments: Attachments = field(init=False)

    def __post_init__(self) -> None:
        self.attachments = Attachments(self.state.attached, self._volumes, self.changed)

    def set_claim(self, seen: Seen) -> None:
        self._unbind(seen.key)
        before = self._claims.get(seen.key)
        claim: volumes.VolumeClaim = seen.value
        was = before.selected if before and self._uids[seen.key] == seen.uid else ""
        if was and not (claim.selected or claim.volume):
            self.given_back[seen.key] = was
        self._claims[seen.key] = claim
        self._uids[seen.key] = seen.uid
        if seen.value.volume:
            self._bound.setdefault(seen.value.volume, set()).add(seen.key)
        self._judge((seen.key,))

    def drop_claim(self, key: Key) -> None:
        self._unbind(key)
        self._claims.pop(key, None)
        self._uids.pop(key, None)
        self.given_back.pop(key, None)
        if self.state.claims.pop(key, None) is not None:
            self.changed()
            self.told(key)

    def assume_selected(self, key: Key, node: str) -> None:
        """Assume that this node is written on the claim: no other node is chosen meanwhile."""
        claim = self.state.claims.get(key)
        if claim is not None and claim.unbound:
            self.state.claims[key] = dataclasses.replace(claim, selected=node)

    def assume_leaving(self, key: Key) -> None:
        """Assume that the claim is deleted: no pod is made for it meanwhile."""
        claim = self.state.claims.get(key)
        if claim is not None:
            self.state.claims[key] = _missing(dataclasses.replace(claim, deleting=True), _DELETED)

    def forget(self, key: Key) -> None:
        """The write has failed: the claim counts again as it was seen. Rings nobody."""
        if key in self._claims:
            self.state.claims[key] = self._verdict(key)

    def set_volume(self, seen: Seen) -> None:
        self._volumes[seen.name] = seen.value
        self.attachments.look(seen.name)
        self._judge(self._bound.get(seen.name, ()))

    def drop_volume(self, key: Key) -> None:
        self._volumes.pop(key[1], None)
        self.attachments.look(key[1])
        self._judge(self._bound.get(key[1], ()))

    def set_class(self, seen: Seen) -> None:
        self._classes[seen.name] = seen.value
        self._judge_unbound()

    def drop_class(self, key: Key) -> None:
        self._classes.pop(key[1], None)
        self._judge_unbound()

    def set_limits(self, seen: Seen) -> None:
        told: volumes.CsiNode = seen.value
        before = self.state.attach_limits.get(seen.name), self.state.migrated.get(seen.name)
        self.state.attach_limits[seen.name] = told.limits
        self.state.migrated[seen.name] = told.migrated
        if before != (told.limits, told.migrated):
            self.changed()

    def drop_limits(self, key: Key) -> None:
        self.state.attach_limits.pop(key[1], None)
        self.state.migrated.pop(key[1], None)

    def _unbind(self, key: Key) -> None:
        before = self._claims.get(key)
        if before is not None and before.volume:
            claims = self._bound[before.volume]
            claims.discard(key)
            if not claims:
                del self._bound[before.volume]

    def _judge_unbound(self) -> None:
        self._judge([key for key, one in self._claims.items() if one.volume not in self._volumes])

    def _judge(self, keys: Collection[Key]) -> None:
        """Compute anew where pods with these claims may run."""
        for key in keys:
            claim = self._verdict(key)
            if self.state.claims.get(key) != claim:
                self.state.claims[key] = claim
                self.changed()
                self.told(key)

    def _verdict(self, key: Key) -> Claim:
        stored = self._claims[key]
        known = Claim(
            key[1],
            self._uids[key],
            selected=stored.selected,
            deleting=stored.deleting,
            service=stored.service,
            owners=stored.owners,
            controller=stored.controller,
            alone=stored.alone,
        )
        # A pod that runs with the claim still counts towards its node's limit.
        found = self._with_volume(known, stored) if stored.volume else self._without(known, stored)
        if stored.deleting:
            return _missing(found, _DELETED)
        if stored.phase == "Lost":
            return _missing(found, "its volume is lost")
        return found

    def _without(self, known: Claim, stored: volumes.VolumeClaim) -> Claim:
        """A claim without a volume: the volume is made for its pod if its class does so."""
        storage = self._class_of(stored)
        if isinstance(storage, str):
            return _missing(known, storage)
        known = dataclasses.replace(known, driver=_driver(storage))
        if not storage.waits:  # another controller binds it, to a volume anywhere
            return _missing(known, "it waits for its volume to be made")
        if storage.provisioner == _NO_PROVISIONER:
            return _missing(known, "its StorageClass makes no volumes; name one in volumeName")
        return dataclasses.replace(known, terms=storage.terms, unbound=True)

    def _with_volume(self, known: Claim, stored: volumes.VolumeClaim) -> Claim:
        """A claim that names its volume; it is bound when its phase says so."""
        volume = self._volumes.get(stored.volume)
        binding = stored.phase == "Pending"
        if volume is None and not (binding and stored.selected):
            of = self._classes.get(stored.storage or "")  # a pod with it counts by its class
            driver = _driver(of) if of is not None else ""
            known = dataclasses.replace(known, driver=driver)
            return _missing(known, f"it waits for volume {stored.volume}")
        return dataclasses.replace(
            known,
            terms=volume.terms if volume is not None else (),
            unbound=binding,
            made=True,
            selected=stored.selected if binding else "",
            driver=volume.driver if volume is not None else "",
            handle=volume.handle if volume is not None else "",
            zones=volume.zones if volume is not None else (),
            plugin=volume.plugin if volume is not None else "",
            moved=volume.moved if volume is not None else (),
        )

    def _class_of(self, stored: volumes.VolumeClaim) -> volumes.StorageClass | str:
        """The class of a claim, or the reason why it has none."""
        if stored.storage is None:
            found = next((one for one in self._classes.values() if one.default), None)
            return found or "it names no StorageClass and none is the default"
        if not stored.storage:
            return "it waits for a volume that fits, since its StorageClass is empty"
        return self._classes.get(stored.storage) or f"there is no StorageClass {stored.storage}"


def _missing(claim: Claim, why: str) -> Claim:
    return dataclasses.replace(claim, missing=True, why=why, selected="")


def _driver(storage: volumes.StorageClass) -> str:
    return migrated.DRIVERS.get(storage.provisioner, storage.provisioner)
