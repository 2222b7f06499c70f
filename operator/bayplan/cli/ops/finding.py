"""What a check of an installation finds, and where it looks."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
    """`Fails`: Bayplan does not work; `Doubtful`: it works less well than it could."""

    GOOD = "Good"
    DOUBTFUL = "Doubtful"
    FAILS = "Fails"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    check: str
    verdict: Verdict
    said: str
    remedy: str = ""

    def told(self) -> dict[str, str]:
        return {key: str(value) for key, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """Where the operator is: the namespace and name of its Deployment and of its lease."""

    namespace: str
    name: str
    now: int
