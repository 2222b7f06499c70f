"""What a history is made of: jobs as they were acknowledged, runs as containers lived them.

All times are epoch seconds of one machine's clock. Nothing here knows Bayplan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

FORGIVENESS_SECONDS = 5  # Jepsen's, added to every epsilon


@dataclass(frozen=True, slots=True)
class Term:
    """A schedule and when it held: the first slot, seconds between slots, how many.

    It ended (edit or deletion) somewhere between `end_asked` and `end_told`: slots between them may
    run or not.
    """

    start: int
    interval: int
    count: int
    told: float  # when the API server had acknowledged it
    end_asked: float = inf
    end_told: float = inf

    def slots(self, until: float) -> list[int]:
        """Those that are due before `until`."""
        due = (self.start + k * self.interval for k in range(self.count))
        return [slot for slot in due if slot < until]


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose creation was acknowledged."""

    name: str
    duration: int  # of its body
    epsilon: int  # how late a run may begin
    terms: Sequence[Term]
    deleted: bool = False

    @property
    def window(self) -> int:
        return self.epsilon + FORGIVENESS_SECONDS


@dataclass(frozen=True, slots=True)
class Run:
    """One pod of a job's slot, by its container's own times; no `end`: incomplete."""

    job: str
    slot: int
    attempt: int
    start: int
    end: int | None = None
    succeeded: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What the nemesis did, and from when to when."""

    name: str
    began: float
    healed: float


@dataclass(slots=True, eq=False)
class History:
    """Everything that is judged. `missed` and `successes`: what each living job's status counts."""

    jobs: list[Job] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    missed: Mapping[str, int] = field(default_factory=dict)
    successes: Mapping[str, int] = field(default_factory=dict)
    read: float = 0.0  # when the final reading was made
