"""PodDisruptionBudgets as they are stored; `model.budgets` says which of them a pod has."""

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bayplan.cluster import owned, wire
from bayplan.cluster.owned import Owned
from bayplan.cluster.wire import Seen, Struct
from bayplan.model.budgets import Budget

KIND = "PodDisruptionBudget"


class _Meta(wire.Metadata):
    generation: int | None = None


class _Spec(Struct):
    selector: wire.LabelSelector | None = None


class _Status(Struct):
    disruptions_allowed: int | None = None
    expected_pods: int | None = None
    desired_healthy: int | None = None
    observed_generation: int | None = None


class _Budget(Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


@dataclass(frozen=True, slots=True)
class Stored:
    """A budget, and what it is as a child of one of our resources; None if it is none."""

    budget: Budget
    owned: Owned | None


def seen(raw: Raw) -> Seen:
    stored = wire.read(raw, _Budget)
    child = owned.child(KIND, raw)
    status, controller = stored.status, wire.controller(stored.metadata.owner_references)
    current = (status.observed_generation or 0) >= (stored.metadata.generation or 0)
    budget = Budget(
        child.namespace,
        child.name,
        wire.selector_term(stored.spec.selector),
        max(status.disruptions_allowed or 0, 0) if current else 0,
        controller.uid if controller is not None else "",
        for_ever=current and 0 < (status.expected_pods or 0) <= (status.desired_healthy or 0),
    )
    return Seen(child.namespace, child.name, child.uid, child.version, Stored(budget, child.value))
