"""How long runs take and wait, from samples in the status, so the figures can be recomputed.

A sample is a run that succeeded at its first attempt: retries and failures show other things.
Quantiles are by nearest rank, so each is a time that a run really took.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api import run_names
from bayplan.reconcile.batchjob.runs import MARKED, Finished

MOST_SAMPLES = 20
FEWEST_SAMPLES = 5  # fewer samples teach nothing

_LONGEST = 2**31 - 1  # seconds


@dataclass(frozen=True, slots=True)
class Samples:
    """The last runs' times in seconds, the newest first; both lists are of the same runs."""

    run_seconds: tuple[int, ...] = ()
    wait_seconds: tuple[int, ...] = ()

    def grown(self, finished: Iterable[Finished]) -> "Samples":
        """The samples after these runs, in the order in which they ended."""
        runs, waits = list(self.run_seconds), list(self.wait_seconds)
        for one in sorted(finished, key=lambda one: (one.ended_at, one.run.id)):
            run, started_at = one.run, one.run.started_at
            plain = one.outcome == "Succeeded" and one.reason != MARKED and not run.attempt
            if plain and started_at is not None:
                slot = run_names.slot_of(run.id)
                due_at = run.since if slot is None else slot
                runs.insert(0, _seconds(one.ended_at - started_at))
                waits.insert(0, _seconds(started_at - due_at))
        return Samples(tuple(runs[:MOST_SAMPLES]), tuple(waits[:MOST_SAMPLES]))

    @property
    def usual_seconds(self) -> int | None:
        """What a run may be expected to take: 19 of the last 20 runs took no longer."""
        if len(self.run_seconds) < FEWEST_SAMPLES:
            return None
        return quantile(self.run_seconds, 95)

    @property
    def usual_wait(self) -> int:
        """How long a run usually waits for its start; 0 while nothing is known."""
        return quantile(self.wait_seconds, 95) if len(self.wait_seconds) >= FEWEST_SAMPLES else 0

    def wire(self) -> dict[str, Any] | None:
        """The samples as the status keeps them."""
        if not self.run_seconds:
            return None
        return {"runSeconds": list(self.run_seconds), "waitSeconds": list(self.wait_seconds)}

    def quantiles(self) -> dict[str, int]:
        """The fields of `statistics` that follow from the samples."""
        if not self.run_seconds:
            return {}
        told = {
            "runSecondsP50": quantile(self.run_seconds, 50),
            "runSecondsP95": quantile(self.run_seconds, 95),
            "waitSecondsP50": quantile(self.wait_seconds, 50),
            "waitSecondsP95": quantile(self.wait_seconds, 95),
        }
        usual = self.usual_seconds
        return told if usual is None else {**told, "usualRunSeconds": usual}


def read(stored: object) -> Samples:
    """The samples of a stored status; empty when they make no sense."""
    told = stored if isinstance(stored, Mapping) else {}
    runs, waits = (told.get(name) for name in ("runSeconds", "waitSeconds"))
    if not (isinstance(runs, list) and isinstance(waits, list) and len(runs) == len(waits)):
        return Samples()
    if not all(_is_time(one) for one in (*runs, *waits)):
        return Samples()
    return Samples(tuple(runs[:MOST_SAMPLES]), tuple(waits[:MOST_SAMPLES]))


def quantile(values: Iterable[int], percent: int) -> int:
    """The smallest of the values that at least `percent` of them do not exceed."""
    ranked = sorted(values)
    return ranked[max(-(-len(ranked) * percent // 100) - 1, 0)]


def _seconds(seconds: int) -> int:
    """A time within bounds: the clocks of nodes go wrong, so a negative time becomes 0."""
    return min(max(seconds, 0), _LONGEST)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST
