"""What holds back a job's runs: a person's suspend, a pause, too many failures in a row.

Nothing is switched: whether a job is held follows from its spec, the stored status and the clock.
What a person asks by annotation is taken into the status, so that removing it changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.api import names
from bayplan.reconcile import conditions
from bayplan.reconcile.ledger import counted, time_of
from bayplan.reconcile.runs import Finished
from bayplan.reconcile.scene import Scene
from bayplan.reconcile.verbs import heals

SUSPENDED = "Suspended"
PAUSED = "Paused"
TOO_MANY_FAILURES = "TooManyFailures"

# An edit is seen, and its status written, within seconds; a slot of the new schedule that falls
# in between must not be lost.
EDIT_GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Holding:
    """Why no scheduled run starts (empty: they do), and what the status keeps of that.

    `until` is when a pause ends (epoch seconds), `unread` a pause that is no time. `failures` are
    those in a row, `forgiven` of them were before the last edit of the spec.
    """

    word: str = ""
    until: int | None = None
    failures: int = 0
    forgiven: int = 0
    unread: bool = False

    def __bool__(self) -> bool:
        return bool(self.word)


def holding(scene: Scene, finished: Iterable[Finished]) -> Holding:
    """What holds the job back now, the runs that end now counted in."""
    told = scene.job.annotations.get(names.PAUSED_UNTIL)
    until = scene.stored.paused_until if told is None else time_of(told)
    paused = until is not None and until > scene.now
    failures = counted(scene.stored.statistics, tuple(finished), 0, 0)["consecutiveFailures"]
    failures = 0 if heals(scene) else failures
    forgiven = min(_forgiven(scene, failures), failures)
    limit = scene.spec.suspend_after_failures
    word = ""
    if scene.spec.suspend:
        word = SUSPENDED
    elif limit and failures - forgiven >= limit:
        word = TOO_MANY_FAILURES
    elif paused:
        word = PAUSED
    return Holding(
        word=word,
        until=until if paused else None,
        failures=failures,
        forgiven=forgiven,
        unread=bool(told) and until is None,
    )


def resumed(scene: Scene, held: Holding) -> int | None:
    """Since when slots count again if the job was held till now; a pause ends to the second."""
    stored = scene.job.status.get("conditions")
    if held or conditions.status_of(stored, conditions.SUSPENDED) != "True":
        return None
    until = scene.stored.paused_until
    paused = conditions.reason_of(stored, conditions.SUSPENDED) == PAUSED
    if paused and until is not None and until <= scene.now:
        return until
    return scene.now - EDIT_GRACE_SECONDS


def _forgiven(scene: Scene, failures: int) -> int:
    """Failures that no longer count: an edit of the spec is a new attempt at getting it right.

    What has ended by now began before the edit.
    """
    observed = scene.job.status.get("observedGeneration")
    if isinstance(observed, int) and observed != scene.job.generation:
        return failures
    return scene.stored.forgiven
