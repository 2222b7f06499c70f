"""PodDisruptionBudgets as stored, and which of them a pod has.

A budget is found by a label that its selector demands, so that a look costs what the pod has
labels, however many budgets there are.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from bayplan.cluster import owned, wire
from bayplan.cluster.owned import Owned
from bayplan.cluster.wire import Seen, Struct
from bayplan.model.budgets import Allowance, Budget
from bayplan.model.pods import Pod

KIND = "PodDisruptionBudget"

_Key = tuple[str, str]  # namespace, name
_Label = tuple[str, str, str]  # namespace, key, value; the last two are empty: any pod there


class _Meta(wire.Metadata):
    generation: int | None = None


class _Spec(Struct):
    selector: wire.LabelSelector | None = None


class _Status(Struct):
    disruptions_allowed: int | None = None
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
    )
    return Seen(child.namespace, child.name, child.uid, child.version, Stored(budget, child.value))


@dataclass(slots=True, eq=False)
class Budgets:
    """All budgets that are known; `allowed` asks them."""

    _known: dict[_Key, Budget] = field(default_factory=dict)
    _by_label: dict[_Label, dict[_Key, Budget]] = field(default_factory=dict)

    def allowed(self, pod: Pod) -> Allowance | None:
        """How many pods the budgets of this pod let go now; None if it has none.

        The budget that a LongService has made for its own instances does not count for them: it
        replaces them first.
        """
        owner = pod.owner.uid if pod.owner is not None else ""
        found = {(one.namespace, one.name): one for one in self._of(pod)}
        binding = [one for one in found.values() if not (owner and one.owner == owner)]
        if not binding:
            return None
        names = ", ".join(sorted(f"{one.namespace}/{one.name}" for one in binding))
        return Allowance(binding[0].allowed if len(binding) == 1 else 0, names)

    def set(self, budget: Budget) -> None:
        key = budget.namespace, budget.name
        self.drop(key)
        self._known[key] = budget
        for label in _labels(budget):
            self._by_label.setdefault(label, {})[key] = budget

    def drop(self, key: _Key) -> None:
        before = self._known.pop(key, None)
        for label in _labels(before) if before is not None else ():
            there = self._by_label[label]
            del there[key]
            if not there:
                del self._by_label[label]

    def _of(self, pod: Pod) -> Iterator[Budget]:
        labels = [(pod.namespace, *label) for label in pod.labels.items()]
        for label in ((pod.namespace, "", ""), *labels):
            for budget in self._by_label.get(label, {}).values():
                if budget.selector.matches(pod.labels):
                    yield budget


@functools.lru_cache(maxsize=4096)
def _labels(budget: Budget) -> tuple[_Label, ...]:
    """Labels of which every pod of the budget has one."""
    for key, wanted in budget.selector.labels:
        if not wanted.complement and not wanted.absent_ok and wanted.values:
            return tuple((budget.namespace, key, value) for value in sorted(wanted.values))
    return ((budget.namespace, "", ""),)
