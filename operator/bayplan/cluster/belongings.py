"""What our resources own beside pods, and what a deleted service has left behind.

`kubectl delete --cascade=orphan` removes the owner and keeps the object. A new service of the same
name takes the object over; until then the object belongs to nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.cluster.owned import Owned
from bayplan.model.children import Child

Key = tuple[str, str]  # namespace, name
ChildKey = tuple[str, str]  # kind, name

_NOTHING: Mapping[ChildKey, Child] = {}


@dataclass(slots=True, eq=False)
class Belongings:
    """Children by the uid of their owner; orphans by namespace and the label of their service."""

    _owned: dict[tuple[str, Key], Owned] = field(default_factory=dict)  # (kind, key)
    _children: dict[str, dict[ChildKey, Child]] = field(default_factory=dict)
    _left: dict[Key, dict[ChildKey, Child]] = field(default_factory=dict)

    def of_uid(self, uid: str) -> Mapping[ChildKey, Child]:
        """The children of this owner, except those that are being deleted."""
        return self._children.get(uid, _NOTHING)

    def of(self, resource: Resource) -> Mapping[ChildKey, Child]:
        """The children that the resource owns, and those that it takes over."""
        owned = self.of_uid(resource.uid)
        left = self._left.get((resource.namespace, names.owner_value(resource.name)))
        if left is None or resource.kind != names.LONGSERVICE:
            return owned
        return {**left, **owned}

    def may_have(self, resource: Resource, kind: str, key: Key) -> bool:
        """Whether the object of this key is the resource's, or may be taken over by it."""
        return is_for(self._owned.get((kind, key)), resource)

    def set(self, kind: str, key: Key, owned: Owned | None) -> Owned | None:
        """Store what is known of the object from now on; return what was known before."""
        at = kind, key
        before = self._owned.pop(at, None)
        if before is not None:
            self._unlink(before, key[0])
        if owned is not None:
            self._owned[at] = owned
            if not owned.deleting:
                self._home(owned, key[0])[kind, key[1]] = owned.child
        return before

    def _home(self, owned: Owned, namespace: str) -> dict[ChildKey, Child]:
        if owned.owner is None:
            return self._left.setdefault((namespace, owned.left_by), {})
        return self._children.setdefault(owned.owner.uid, {})

    def _unlink(self, owned: Owned, namespace: str) -> None:
        home = self._home(owned, namespace)
        home.pop((owned.child.kind, owned.child.name), None)
        if home:
            return
        if owned.owner is None:
            del self._left[namespace, owned.left_by]
        else:
            del self._children[owned.owner.uid]


def is_for(owned: Owned | None, resource: Resource) -> bool:
    """Whether an object belongs to this resource, or was left behind by a service of its name."""
    if owned is None:
        return False
    if owned.owner is not None:
        return owned.owner.uid == resource.uid
    return resource.kind == names.LONGSERVICE and owned.left_by == names.owner_value(resource.name)
