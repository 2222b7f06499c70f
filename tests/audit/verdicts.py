"""What an auditor found wrong: at once, or when nothing has explained it a moment later."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.audit import readings
from tests.audit.world import LAG, Object


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: which, of what, and what was seen."""

    rule: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}: {self.text}"


@dataclass(slots=True, eq=False)
class _Suspicion:
    at: float
    violation: Violation
    explained: Callable[[float], bool]  # by what was true until then


class Verdicts:
    """Each violation once, in the order in which they became certain."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._told: set[Violation] = set()
        self._suspicions: deque[_Suspicion] = deque()  # the oldest first

    def suspect(
        self, at: float, rule: str, body: Object, text: str, explained: Callable[[float], bool]
    ) -> None:
        """Wrong by all that is known yet: another stream may be behind."""
        self._suspicions.append(
            _Suspicion(at, Violation(rule, readings.name(body), text), explained)
        )

    def settle(self, at: float) -> None:
        """Whatever could explain a suspicion has been heard `LAG` seconds later."""
        while self._suspicions and at - self._suspicions[0].at >= LAG:
            one = self._suspicions.popleft()
            if not one.explained(at):
                self._say(one.violation)

    def wrong(self, rule: str, body: Object, text: str) -> None:
        self._say(Violation(rule, readings.name(body), text))

    def _say(self, violation: Violation) -> None:
        if violation not in self._told:
            self._told.add(violation)
            self.violations.append(violation)

    def of(self, namespaces: Iterable[str]) -> Iterator[Violation]:
        """The violations in these namespaces."""
        wanted = tuple(f"{name}/" for name in namespaces)
        return (one for one in self.violations if one.subject.startswith(wanted))
