"""What PodDisruptionBudgets allow now: frozen values, decoded at the border."""

from dataclasses import dataclass

from bayplan.model.requirements import Term


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

    `owner` is the uid of its controller.
    """

    namespace: str
    name: str
    selector: Term
    allowed: int = 0
    owner: str = ""
