"""What PodDisruptionBudgets allow now: frozen values, decoded at the border, and who has which.

A budget is found by a label that its selector demands, so that a look costs what the pod has
labels, however many budgets there are.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from bayplan.model.pods import Pod
from bayplan.model.requirements import Term

_Key = tuple[str, str]  # namespace, name
_Label = tuple[str, str, str]  # namespace, key, value; the last two are empty: any pod there


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many pods the disruption budgets of a pod let go now; `budget` names the tightest.

    `budget` is "namespace/name", or several of them: the Eviction API evicts no pod that has two.
    """

    count: int
    budget: str


@dataclass(frozen=True, slots=True)
class Budget:
    """One PodDisruptionBudget. `allowed` is 0 while its status is older than its spec.

    `owner` is the uid of its controller. `for_ever`: it would let no pod go even if every pod were
    ready, since it asks for as many healthy pods as there are.
    """

    namespace: str
    name: str
    selector: Term
    allowed: int = 0
    owner: str = ""
    for_ever: bool = False

    def binds(self, pod: Pod) -> bool:
        """Whether it counts for this pod.

        The budget that a LongService has made for its own instances does not count for them: it
        replaces them first.
        """
        if pod.namespace != self.namespace or not self.selector.matches(pod.labels):
            return False
        owner = pod.owner.uid if pod.owner is not None else ""
        return not (owner and self.owner == owner)


@dataclass(slots=True, eq=False)
class Budgets:
    """All budgets that are known; `allowed` asks them."""

    _known: dict[_Key, Budget] = field(default_factory=dict)
    _by_label: dict[_Label, dict[_Key, Budget]] = field(default_factory=dict)

    @classmethod
    def of(cls, budgets: Iterable[Budget]) -> Self:
        found = cls()
        for budget in budgets:
            found.set(budget)
        return found

    def allowed(self, pod: Pod) -> Allowance | None:
        """How many pods the budgets of this pod let go now; None if it has none."""
        found = {(one.namespace, one.name): one for one in self._of(pod)}
        if not found:
            return None
        binding = list(found.values())
        names = ", ".join(sorted(f"{one.namespace}/{one.name}" for one in binding))
        return Allowance(binding[0].allowed if len(binding) == 1 else 0, names)

    def spent(self, pod: Pod) -> str:
        """The disruption budget that lets no pod like this go now; empty without any."""
        allowance = self.allowed(pod)
        return allowance.budget if allowance is not None and allowance.count < 1 else ""

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
                if budget.binds(pod):
                    yield budget


@functools.lru_cache(maxsize=4096)
def _labels(budget: Budget) -> tuple[_Label, ...]:
    """Labels of which every pod of the budget has one."""
    for key, wanted in budget.selector.labels:
        if not wanted.complement and not wanted.absent_ok and wanted.values:
            return tuple((budget.namespace, key, value) for value in sorted(wanted.values))
    return ((budget.namespace, "", ""),)
