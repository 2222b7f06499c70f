"""Which revision a service is at: identity, names, the stored history.

A revision is the user's template as stored plus the last `restarted-at`; nothing else restarts an
instance. Its ControllerRevision keeps the template, so that a lost instance of it can be made
again, and the `restarted-at`, so that removing the annotation again changes nothing.
"""

import hashlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.model.children import Child
from bayplan.model.intents import ApplyObject, DeleteObject
from bayplan.reconcile.longservice.instances import ordinal

KIND = "ControllerRevision"

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST_NAME = 63  # of a pod's hostname and of a label's value
_LONGEST_ORDINAL = 5  # digits


@dataclass(frozen=True, slots=True)
class Revision:
    """`id` is the label on its pods, `name` its ControllerRevision; `template` None: the spec's.

    `number` counts up with each rollout; 0 while the revision is not stored.
    """

    id: str
    name: str
    template_hash: str
    restarted_at: str = ""
    number: int = 0
    template: Mapping[str, Any] | None = None


def newest(service: Resource, history: Collection[Revision]) -> Revision:
    """The revision that the service asks for now, whether stored or not."""
    hash_ = service.template_hash
    restarted_at = service.annotations.get(names.RESTARTED_AT, "")
    same = [one for one in history if one.template_hash == hash_]
    latest = max(same, key=lambda one: one.number, default=None)
    if not restarted_at:
        restarted_at = latest.restarted_at if latest is not None else ""
    if latest is not None and latest.restarted_at == restarted_at:
        return Revision(latest.id, latest.name, hash_, restarted_at, latest.number)
    # The uid is part of it, so that a service created again never meets names of its former self.
    id_ = _base36(f"{service.uid}/{hash_}/{restarted_at}", 10)
    name = f"{stem(service.name, len(id_) + 1)}-{id_}"
    number = next((one.number for one in history if one.name == name), 0)
    return Revision(id_, name, hash_, restarted_at, number)


def stored(children: Mapping[tuple[str, str], Child]) -> dict[str, Revision]:
    """The readable ControllerRevisions by name."""
    return {
        child.name: Revision(
            id=str(child.body["revision"]),
            name=child.name,
            template_hash=str(child.body.get("templateHash", "")),
            restarted_at=str(child.body.get("restartedAt", "")),
            number=child.revision,
            template=child.body["template"],
        )
        for (kind, _), child in children.items()
        if kind == KIND and "revision" in child.body and "template" in child.body
    }


def kept(
    history: Mapping[str, Revision], update: Revision, current: str, alive: Collection[str]
) -> Revision | None:
    """The revision to make lost instances of while `update` must not or does not run.

    It is the revision last rolled out; before any rollout, the newest that has instances.
    """
    known = history.get(current)
    if known is not None and known.name != update.name:
        return known
    others = [one for one in history.values() if one.id in alive and one.name != update.name]
    return max(others, key=lambda one: one.number, default=None)


def body(
    service: Resource, revision: Revision, number: int, owner: Mapping[str, Any]
) -> dict[str, Any]:
    """The ControllerRevision to store. Its name determines its data; only the number changes."""
    return {
        "apiVersion": "apps/v1",
        "kind": KIND,
        "metadata": {
            "namespace": service.namespace,
            "name": revision.name,
            "labels": {
                names.SERVICE: names.owner_value(service.name),
                names.REVISION: revision.id,
                names.TEMPLATE_HASH: revision.template_hash,
            },
            "annotations": {names.DIGEST: digest(revision, number)},
            "ownerReferences": [owner],
        },
        "data": {
            "revision": revision.id,
            "templateHash": revision.template_hash,
            "restartedAt": revision.restarted_at,
            "template": _template(service, revision),
        },
        "revision": number,
    }


def taken_over(
    service: Resource, children: Mapping[tuple[str, str], Child], owner: Mapping[str, Any]
) -> tuple[ApplyObject, ...]:
    """The revisions that a former service of this name left behind become this one's history."""
    history = stored(children)
    return tuple(
        ApplyObject(body(service, history[name], history[name].number, owner))
        for (kind, name), child in sorted(children.items())
        if kind == KIND and child.orphaned and name in history
    )


def _template(service: Resource, revision: Revision) -> Mapping[str, Any]:
    if revision.template is not None:
        return revision.template
    return service.spec.template if service.spec is not None else {}


def digest(revision: Revision, number: int) -> str:
    return f"{revision.id}-{number}"


def superfluous(
    history: Mapping[str, Revision],
    children: Mapping[tuple[str, str], Child],
    *,
    limit: int,
    needed: Collection[str],
    alive: Collection[str],
    namespace: str,
) -> tuple[DeleteObject, ...]:
    """Old revisions beyond the newest `limit`; never one that is `needed` (names) or has pods."""
    old = sorted(
        (one for one in history.values() if one.name not in needed and one.id not in alive),
        key=lambda one: (-one.number, one.name),
    )
    return tuple(
        DeleteObject(KIND, namespace, one.name, children[KIND, one.name].uid) for one in old[limit:]
    )


def pod_names(service: str, revision: Revision, count: int, taken: Collection[str]) -> list[str]:
    """SERVICE-REV5-N with the `count` next N after the highest N in use. O(count + taken).

    The name of an instance that has just gone is not used again at once: `kubectl drain` repeats a
    refused eviction by name and would evict the replacement on another node. A view that lacks the
    newest pods leads to names that exist, never to more pods. Only after a hundred thousand moves
    in one revision do the smallest free N follow.
    """
    prefix = f"{stem(service, 5 + 2 + _LONGEST_ORDINAL)}-{revision.id[:5]}-"
    used = {ordinal(name) for name in taken if name.startswith(prefix)}
    first = max(used, default=-1) + 1
    if first + count <= 10**_LONGEST_ORDINAL:
        return [f"{prefix}{number}" for number in range(first, first + count)]
    free = (number for number in itertools.count() if number not in used)
    return [f"{prefix}{number}" for number in itertools.islice(free, count)]


def stem(name: str, suffix: int) -> str:
    """The name, cut to leave `suffix` characters of 63; two names that are cut stay different."""
    room = _LONGEST_NAME - suffix
    if len(name) <= room:
        return name
    return f"{name[: room - 6].rstrip('-.')}-{_base36(name, 5)}"


def _base36(text: str, length: int) -> str:
    number = int.from_bytes(
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big"
    )
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(digits)
