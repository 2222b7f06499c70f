"""PodDisruptionBudgets, as stored: which of them lets no pod go now, and which never will."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.model.pods import Pod
from bayplan.model.requirements import Term, requirement
from bayplan.model.untyped import mapping, sequence


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget that lets no pod go now.

    `for_ever`: not even if every pod is ready, since it asks for as many healthy pods as there are.
    """

    namespace: str
    name: str
    pods: Term
    for_ever: bool

    def covers(self, pod: Pod) -> bool:
        return pod.namespace == self.namespace and self.pods.matches(pod.labels)


def spent(bodies: Iterable[Mapping[str, Any]]) -> list[Budget]:
    """The budgets of these that let no pod go now; a budget without a status is left out."""
    found = []
    for body in bodies:
        metadata, status = mapping(body.get("metadata")), mapping(body.get("status"))
        allowed, expected = status.get("disruptionsAllowed"), _number(status.get("expectedPods"))
        if allowed != 0 or not expected:
            continue
        found.append(
            Budget(
                str(metadata.get("namespace") or ""),
                str(metadata.get("name") or ""),
                _term(mapping(body.get("spec")).get("selector")),
                for_ever=_number(status.get("desiredHealthy")) >= expected,
            )
        )
    return found


def named(budgets: Iterable[Budget]) -> Callable[[Pod], str]:
    """For a pod, the name of a budget of these that covers it; empty if none does."""
    known = list(budgets)

    def of(pod: Pod) -> str:
        return next((one.name for one in known if one.covers(pod)), "")

    return of


def _term(selector: object) -> Term:
    """An absent selector selects no pod, an empty selector every pod of the namespace."""
    if not isinstance(selector, Mapping):
        return Term(never=True)
    equal = mapping(selector.get("matchLabels"))
    stated = map(mapping, sequence(selector.get("matchExpressions")))
    return Term(
        (
            *((str(key), requirement("In", [str(value)])) for key, value in equal.items()),
            *(
                (
                    str(one.get("key") or ""),
                    requirement(str(one.get("operator") or ""), _texts(one.get("values"))),
                )
                for one in stated
            ),
        )
    )


def _texts(values: object) -> list[str]:
    return [str(one) for one in sequence(values)]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
