"""One run from its trigger to its end: attempts, retries, and what counts.

A run is advanced over the pods of its attempts, always from what the status last said of it. So the
same pods always give the same result, however often and whenever they are read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bayplan.api.batchjob import RetryPolicy
from bayplan.model.backoff import delay_after
from bayplan.model.nodes import Node
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.batchjob import starting
from bayplan.reconcile.batchjob.attempt_outcome import (
    LOST_TO_NODE,
    START_TIMEOUT,
    TEMPLATE_CHANGED,
    AttemptOutcome,
    Standing,
    by_exit_code,
    outcome_of,
)

Trigger = Literal["Schedule", "Once", "RunNow", "Parents", "Backfill", "Retry"]
Outcome = Literal["Succeeded", "Failed", "Cancelled", "Missed"]

BY_PEOPLE: frozenset[Trigger] = frozenset({"RunNow", "Backfill", "Retry"})

TOO_MANY_DISRUPTIONS = "TooManyDisruptions"
VANISHED = "Vanished"
LATE = "Late"
MARKED = "MarkedSuccess"  # a person says that the run has succeeded

MOST_DISRUPTIONS = 20  # per run; with one more the run fails
MOST_INTERRUPTIONS = 400  # the same where the spec says that a run may be interrupted
# Seconds until the attempt after a lost attempt: after the first loss, and at most.
_FIRST_DISRUPTION_DELAY, _LONGEST_DISRUPTION_DELAY = 1, 300
# Seconds for which the node that lost an attempt gets no other: after the first loss, at most.
_FIRST_COOLING, _LONGEST_COOLING = 30, 3600

_OWN_ENDS = frozenset({Standing.SUCCEEDED, Standing.FAILED})
MOST_REPLACED = 300  # attempts of a run; above it, a changed template replaces no attempt
# Reasons of a living attempt, not of the end of an attempt.
OF_LIVE = frozenset({LATE, *starting.HINDERED})
# Reasons that the attempt's node did not cause.
_NO_NODES_DOING = frozenset({VANISHED, TEMPLATE_CHANGED})
_LONGEST_REASON = 64  # characters of a stored reason
# Reasons to give an attempt up that do not hide its own end: that end still counts.
GIVEN_UP = frozenset({LOST_TO_NODE, TEMPLATE_CHANGED})


@dataclass(frozen=True, slots=True)
class Lane:
    """One index of an array; `outcome` is empty until it has ended for good."""

    attempt: int = 0
    failures: int = 0
    disruptions: int = 0
    retry_at: int | None = None
    outcome: str = ""


FRESH = Lane()


@dataclass(frozen=True, slots=True)
class Run:
    """An unfinished run. `attempt` is the one that exists or comes next; times are epoch seconds.

    `failures` and `disruptions` count earlier attempts; `retry_at` is None while an attempt exists
    and before the first. `pod` is the attempt's pod, once it was seen. `parents` are the successes
    that it consumes, each (parent, run); only for a run that the status does not know yet.

    `count` is the number of its tasks. All tasks of a gang belong to one attempt. Otherwise `lanes`
    has the indexes that were tried before or have ended; `attempt` is their highest attempt,
    `failures` and `disruptions` are those of all indexes together, `cause` and `exit_code` those of
    the first index that failed for good.
    """

    id: str
    trigger: Trigger
    slot: int | None
    since: int
    attempt: int = 0
    failures: int = 0
    disruptions: int = 0
    retry_at: int | None = None
    started_at: int | None = None
    pod: str = ""
    node: str = ""
    reason: str = ""
    detail: str = ""  # what a kubelet says, or said, of an attempt that does not start
    parents: tuple[tuple[str, str], ...] = ()
    arguments: str = ""  # that a person gave the run, as JSON
    count: int = 1
    gang: bool = False
    lanes: Mapping[int, Lane] = field(default_factory=dict)
    cause: str = ""
    exit_code: int | None = None

    @property
    def counts(self) -> tuple[int, int, int, int]:
        ended = sum(bool(lane.outcome) for lane in self.lanes.values())
        return self.attempt, self.failures, self.disruptions, ended

    @property
    def begun(self) -> bool:
        """Whether a pod of the run is known to exist or to have existed."""
        return bool(self.attempt or self.pod or self.lanes)

    def lane(self, index: int) -> Lane:
        """How this index stands."""
        if self.gang or self.count == 1:
            return Lane(self.attempt, self.failures, self.disruptions, self.retry_at)
        return self.lanes.get(index, FRESH)

    def ended_as(self, outcome: str) -> list[int]:
        """The indexes that have ended with this outcome."""
        return [index for index, lane in self.lanes.items() if lane.outcome == outcome]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended; `run` is the run as it stood at its end."""

    run: Run
    outcome: Outcome
    reason: str
    ended_at: int
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about attempts, from the job and the cluster."""

    retry: RetryPolicy
    patience_seconds: int
    grace_seconds: int
    expected_seconds: int | None
    nodes: Mapping[str, Node]
    success_codes: tuple[int, ...] = ()
    final_codes: tuple[int, ...] = ()  # exit codes after which there is no retry
    once: bool = False  # a lost attempt that may have begun is not tried again
    most_disruptions: int = MOST_DISRUPTIONS
    start_seconds: int = 0  # within which all main containers have to start; 0: no limit
    template_hash: str = ""  # of the template for new pods; empty: there is none

    def verdict(self, pod: Pod, now: int) -> AttemptOutcome:
        """How the attempt stands by all rules."""
        found, due = self.lives_on(pod, now), self.starts_by(pod)
        if starting.is_asked_about(found, pod, now):
            return AttemptOutcome(Standing.LIVE, at=(found.at or now) + starting.ASKED_SECONDS)
        if found.standing is not Standing.LIVE:
            return starting.with_words(starting.ended_by_timeout(found, pod, due), pod)
        if starting.is_outdated(pod, self.nodes, self.template_hash):
            return AttemptOutcome(Standing.REPLACED, TEMPLATE_CHANGED, at=now, began=False)
        marks = [at for at in (found.at, None if pod.terminating else due) if at is not None]
        return replace(found, at=min(marks, default=None))

    def starts_by(self, pod: Pod) -> int | None:
        """The latest start (epoch seconds); None without a limit, or if it has started."""
        return starting.due_at(pod, self.nodes, self.start_seconds)

    def lives_on(self, pod: Pod, now: int) -> AttemptOutcome:
        """How the pod stands, even if we gave it up: alive while a container may still run."""
        found = outcome_of(pod, self.nodes, self.patience_seconds, self.grace_seconds, now)
        return by_exit_code(found, pod, self.success_codes)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands now. `pod` is its live attempt; `wake_at` is when the clock changes it.

    For a run with several tasks, `pod` is one of the live pods, and `tasks` are the indexes without
    a pod, each as a run of its own.
    """

    run: Run
    finished: Finished | None = None
    pod: Pod | None = None
    wake_at: int | None = None
    tasks: tuple[tuple[int, Run], ...] = ()

    @property
    def owed(self) -> tuple[tuple[int, Run], ...]:
        """The indexes that lack a pod."""
        if self.run.count == 1 and self.pod is None:
            return ((0, self.run),)
        return self.tasks


def advanced(run: Run, pods: Mapping[int, Pod], rules: Rules, now: int) -> RunProgress:
    """The run after everything that its pods (by attempt) show."""
    newest = max(pods, default=-1)
    while True:
        pod = pods.get(run.attempt)
        if pod is None and run.attempt >= newest:
            return _awaited(run, pods.get(run.attempt - 1), rules, now)
        if pod is None:  # removed by force, finalizer included
            found = AttemptOutcome(Standing.LOST, VANISHED, at=now)
        else:
            found = rules.verdict(pod, now)
            if found.standing is Standing.LIVE and run.attempt < newest:
                # The next attempt exists, so this attempt was given up, whatever its node says now.
                found = AttemptOutcome(Standing.LOST, LOST_TO_NODE, at=now)
            late = found.standing is Standing.REPLACED and run.attempt >= MOST_REPLACED
            if found.standing is Standing.LIVE or late:
                return live(run, pod, found, rules, now)
            started_at = _first(run.started_at, pod.ending.started_at)
            run = replace(run, started_at=started_at, node=pod.node, pod=pod.name)
        finished = ended(run, found, rules, now)
        if isinstance(finished, Finished):
            return RunProgress(finished.run, finished)
        run = finished


def _awaited(run: Run, before: Pod | None, rules: Rules, now: int) -> RunProgress:
    """The run while its attempt has no pod; `before` is the pod of the last attempt, if known.

    An attempt that was given up may still run: its pod is being deleted, so not for long, and
    nothing runs beside it. That it was lost with its node, or had begun nothing, is a guess until
    the next attempt exists: nodes come back, also under their old name, and containers start while
    we look. So if the pod then reports an end of its own, that end counts.
    """
    if before is None:
        return RunProgress(run, wake_at=run.retry_at)
    found = rules.lives_on(before, now)
    if found.standing is Standing.LIVE:
        return RunProgress(run, pod=before, wake_at=found.at)
    ends = found.standing in _OWN_ENDS
    if run.reason == TEMPLATE_CHANGED:
        # It began while it was replaced: nobody else has ended it, and it must not begin twice.
        ends = starting.has_begun(before) and (ends or rules.once)
        found = found if found.standing in _OWN_ENDS else replace(found, standing=Standing.LOST)
    if ends and run.reason in GIVEN_UP:
        started_at = _first(run.started_at, before.ending.started_at)
        attempt = run.attempt - 1
        told = replace(
            run, attempt=attempt, started_at=started_at, node=before.node, pod=before.name
        )
        over = ended(told, found, rules, now)
        if isinstance(over, Finished):
            return RunProgress(over.run, over)
        run = over
    return RunProgress(run, wake_at=run.retry_at)


def avoided(
    run: Run, before: Iterable[Pod], rules: Rules, now: int
) -> tuple[frozenset[str], int | None]:
    """The node that lost or refused the last attempt, while it cools down, and until when.

    `before` are the pods of that attempt that still exist. If the attempt ended by itself, or was
    replaced before it began, its node is not avoided.
    """
    if run.retry_at is None or not run.node or not run.disruptions or run.reason in _NO_NODES_DOING:
        return frozenset(), None
    if any(_failed_by_itself(run, pod, rules, now) for pod in before):
        return frozenset(), None
    lost_at = run.retry_at - _disruption_delay(run.disruptions)
    until = lost_at + delay_after(run.disruptions, _FIRST_COOLING, _LONGEST_COOLING)
    return (frozenset({run.node}), until) if now < until else (frozenset(), None)


def _failed_by_itself(run: Run, pod: Pod, rules: Rules, now: int) -> bool:
    """Whether this pod ended the last attempt of the run by a failure of its own."""
    if pod.node != run.node:
        return False
    found = rules.verdict(pod, now)
    # When one pod of a gang is lost, the others fail too, but with another reason.
    decided = not run.gang or found.reason[:_LONGEST_REASON] == run.reason
    return found.standing is Standing.FAILED and decided


def cancelled(run: Run, reason: str, now: int) -> Finished:
    return Finished(run, "Cancelled", reason, now)


def ended(run: Run, found: AttemptOutcome, rules: Rules, now: int) -> Run | Finished:
    """The run after the end of its current attempt."""
    at = now if found.at is None else found.at
    said = run.detail if found.reason == START_TIMEOUT and run.reason in starting.HINDERED else ""
    run = replace(run, detail=said or found.detail)
    match found.standing:
        case Standing.REPLACED:
            return _next(run, found.reason, at)
        case Standing.SUCCEEDED:
            return Finished(run, "Succeeded", found.reason, at, found.exit_code)
        case Standing.CANCELLED:
            return Finished(run, "Cancelled", found.reason, at, found.exit_code)
        case Standing.FAILED:
            if run.failures >= rules.retry.limit or found.exit_code in rules.final_codes:
                return Finished(run, "Failed", found.reason, at, found.exit_code)
            failures = run.failures + 1
            retry_at = at + rules.retry.delay_seconds_before(failures)
            return _next(run, found.reason, retry_at, failures=failures)
        case _:
            disruptions = run.disruptions + 1
            if rules.once and found.began:
                run = replace(run, disruptions=disruptions)
                return Finished(run, "Failed", found.reason, at, found.exit_code)
            if disruptions > rules.most_disruptions:
                run = replace(run, disruptions=disruptions)
                return Finished(run, "Failed", TOO_MANY_DISRUPTIONS, at, found.exit_code)
            retry_at = at + _disruption_delay(disruptions)
            return _next(run, found.reason, retry_at, disruptions=disruptions)


def _next(
    run: Run,
    reason: str,
    retry_at: int,
    *,
    failures: int | None = None,
    disruptions: int | None = None,
) -> Run:
    return replace(
        run,
        attempt=run.attempt + 1,
        failures=run.failures if failures is None else failures,
        disruptions=run.disruptions if disruptions is None else disruptions,
        retry_at=retry_at,
        reason=reason[:_LONGEST_REASON],
        pod="",
    )


def live(run: Run, pod: Pod, found: AttemptOutcome, rules: Rules, now: int) -> RunProgress:
    started_at = pod.ending.started_at
    if started_at is None and pod.phase is Phase.RUNNING:
        started_at = pod.created_at
    reason = "" if run.reason in OF_LIVE or run.attempt == 0 else run.reason
    detail, hindrance = run.detail if reason else "", starting.word(pod)
    if hindrance:
        # Kubelets reword the same hindrance again and again: the first text stays.
        known = (run.reason, run.pod) == (hindrance, pod.name) and run.detail
        reason, detail = hindrance, run.detail if known else starting.detail(pod)
    late_at = None
    if rules.expected_seconds is not None and started_at is not None:
        late_at = started_at + rules.expected_seconds
        if now >= late_at:
            reason, late_at = LATE, None
    run = replace(
        run,
        retry_at=None,
        started_at=_first(run.started_at, started_at),
        pod="" if pod.assumed else pod.name,
        node=pod.node,
        reason=reason,
        detail=detail,
    )
    marks = [mark for mark in (found.at, late_at) if mark is not None]
    return RunProgress(run, pod=pod, wake_at=min(marks, default=None))


def _disruption_delay(disruptions: int) -> int:
    """Seconds after the n-th lost attempt: 1, 2, 4 … 300."""
    return delay_after(disruptions, _FIRST_DISRUPTION_DELAY, _LONGEST_DISRUPTION_DELAY)


def _first(known: int | None, told: int | None) -> int | None:
    return told if known is None else known
