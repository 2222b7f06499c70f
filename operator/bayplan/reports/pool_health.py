"""Why a Pool does not do what its mode says, from stored objects: in the operator's own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.pool_resource import PoolResource
from bayplan.model.untyped import mapping, sequence
from bayplan.reconcile.pool import hindrances
from bayplan.reconcile.pool.facts import Facts, Hands


@dataclass(frozen=True, slots=True)
class Found:
    """What a Pool buys through, as stored; None for what does not exist.

    `served`: Karpenter's API is there. `looked`: the node class was looked for.
    """

    served: bool
    node_pool: Mapping[str, Any] | None
    node_class: Mapping[str, Any] | None
    looked: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    said: str
    remedy: str


def hindrance(pool: PoolResource, found: Found) -> Trouble | None:
    """What keeps the Pool from doing what its mode says; None if nothing does."""
    hands = Hands(
        served=found.served,
        node_pool=found.node_pool,
        node_class=found.node_class,
        followed=found.looked,
    )
    problem = hindrances.hindrance(Facts(pool, hands))
    return None if problem is None else _trouble(problem.message)


def groups(pool: PoolResource) -> tuple[Trouble | None, Trouble | None]:
    """What keeps a Pool with Auto Scaling groups from buying, and which groups it does not use.

    Only the operator may ask AWS, so it is told from the Pool's status.
    """
    if "observedGeneration" not in pool.status:
        unserved = Trouble(
            "the operator has written no status", "run it with pool.enabled (--pools)"
        )
        return unserved, None
    return _told(pool, "Ready", "False"), _told(pool, "GroupsUnfit", "True")


def degraded(pool: PoolResource) -> Trouble | None:
    """What the operator itself has written into the Pool's status as its trouble."""
    return _told(pool, "Degraded", "True")


def _told(pool: PoolResource, kind: str, status: str) -> Trouble | None:
    """The trouble that a condition tells of, where it has this status."""
    for one in map(mapping, sequence(pool.status.get("conditions"))):
        if (one.get("type"), one.get("status")) == (kind, status):
            return _trouble(str(one.get("message") or one.get("reason") or ""))
    return None


def _trouble(message: str) -> Trouble:
    """The last sentence is the remedy, if there are several."""
    said, _, remedy = message.strip().rstrip(".").rpartition(". ")
    return Trouble(said, remedy) if said else Trouble(remedy, "kubectl describe pool tells more")
