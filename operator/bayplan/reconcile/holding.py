"""What holds back a job's runs: a person's suspend, a pause, too many failures in a row.

Nothing is switched: whether a job is held follows from its spec, the stored status and the clock.
What a person asks by annotation is taken into the status, so that removing it changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.api import edits, names
from bayplan.api.times import time_of
from bayplan.reconcile import conditions
from bayplan.reconcile.ledger import counted
from bayplan.reconcile.runs import Finished
from bayplan.reconcile.scene import Scene
from bayplan.reconcile.verbs import heals

SUSPENDED = "Suspended"
PAUSED = "Paused"
TOO_MANY_FAILURES = "TooManyFailures"


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


def resumed(scene: Scene, held: Holding, finished: Iterable[Finished]) -> int | None:
    """Since when slots count again if the job was held till now; None if it was not.

    To the second: a pause ends when it says, what a person ends when it was edited, a row of
    failures when the success ended. Where nothing tells, it is now.
    """
    stored = scene.job.status.get("conditions")
    if held or conditions.status_of(stored, conditions.SUSPENDED) != "True":
        return None
    since = conditions.since_of(stored, conditions.SUSPENDED)
    match conditions.reason_of(stored, conditions.SUSPENDED):
        case word if word == PAUSED:
            return _pause_ended(scene, since)
        case word if word == TOO_MANY_FAILURES:
            return _row_ended(scene, since, finished)
    edits_ = scene.job.edits
    return _edited(scene, edits_.get(edits.SUSPEND, edits_.get(edits.SPEC)), since)


def _pause_ended(scene: Scene, since: int) -> int:
    """When its time came, or when a person put another time in its place that had come."""
    until = scene.stored.paused_until
    told = scene.job.annotations.get(names.PAUSED_UNTIL)
    ended = until if until is not None and until <= scene.now else None
    if told is None or time_of(told) == until:
        return scene.now if ended is None else ended
    asked = scene.job.edits.get(edits.annotation(names.PAUSED_UNTIL))
    moment = _edited(scene, asked, since)
    return moment if ended is None else min(moment, ended)


def _row_ended(scene: Scene, since: int, finished: Iterable[Finished]) -> int:
    """When the spec was mended, a run succeeded, or a person called one a success."""
    if scene.job.status.get("observedGeneration") != scene.job.generation:
        return _edited(scene, scene.job.edits.get(edits.SPEC), since)
    ends = [one.ended_at for one in finished if one.outcome == "Succeeded"]
    if ends:
        return min(max(ends), scene.now)
    return _edited(scene, scene.job.edits.get(edits.annotation(names.MARK_SUCCESS)), since)


def _edited(scene: Scene, told: int | None, since: int) -> int:
    """When an edit ended what held the job since then; `told` is when, by the API server.

    An older moment is of another edit: who made this one owns nothing that is left.
    """
    return scene.now if told is None or told <= since else min(told, scene.now)


def edited(scene: Scene) -> int:
    """When the spec was last edited, as far as that is known; now, where it is not."""
    told = scene.job.edits.get(edits.SPEC)
    return scene.now if told is None else min(max(told, scene.job.created_at), scene.now)


def _forgiven(scene: Scene, failures: int) -> int:
    """Failures that no longer count: an edit of the spec is a new attempt at getting it right.

    What has ended by now began before the edit.
    """
    observed = scene.job.status.get("observedGeneration")
    if isinstance(observed, int) and observed != scene.job.generation:
        return failures
    return scene.stored.forgiven
