"""A run of several tasks: an array retries each of its indexes alone; a gang retries as a whole.

Each index of an array is a run of its own with attempts, budget and end. The array has ended when
all indexes have ended, and has failed if one index has failed. All tasks of a gang make one
attempt: the first task that ends without success ends the attempt for all, and the next attempt
begins when nothing of the last one lives any more.
"""

from collections.abc import Mapping
from dataclasses import replace

from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.batchjob import runs
from bayplan.reconcile.batchjob.attempt_outcome import (
    LOST_TO_NODE,
    AttemptOutcome,
    Standing,
)
from bayplan.reconcile.batchjob.runs import (
    FRESH,
    GIVEN_UP,
    LATE,
    Finished,
    Lane,
    Outcome,
    Rules,
    Run,
    RunProgress,
)

Attempts = Mapping[int, Pod]
Lanes = Mapping[int, Attempts]  # index -> attempt -> pod


def advanced(run: Run, lanes: Lanes, rules: Rules, now: int) -> RunProgress:
    """The run after everything that the pods of its tasks show."""
    if run.count == 1:
        return runs.advanced(run, lanes.get(0, {}), rules, now)
    return (_gang if run.gang else _array)(run, lanes, rules, now)


def _array(run: Run, lanes: Lanes, rules: Rules, now: int) -> RunProgress:
    each: dict[int, RunProgress] = {}
    after = dict(run.lanes)
    missing: list[tuple[int, Run]] = []
    fresh = _view(run, FRESH, {})
    for index in range(run.count):
        lane, attempts = run.lanes.get(index, FRESH), lanes.get(index, {})
        if lane.outcome:
            continue
        if not attempts and lane is FRESH:
            missing.append((index, fresh))
            continue
        one = each[index] = runs.advanced(_view(run, lane, attempts), attempts, rules, now)
        after[index] = _lane(lane, one)
        if one.finished is None and one.pod is None:
            missing.append((index, one.run))
    run = _sum(run, each, {index: lane for index, lane in after.items() if lane != FRESH})
    if len(run.lanes) == run.count and all(lane.outcome for lane in run.lanes.values()):
        finished = _finished(run, each, now)
        return RunProgress(run, finished)
    live = [one.pod for one in each.values() if one.pod is not None]
    known = [pod for pod in live if not pod.assumed]
    run = replace(
        run,
        pod=known[0].name if known else "",
        retry_at=None if live else min((_due(one) for _, one in missing), default=None),
    )
    wake_times = [one.wake_at for one in each.values() if one.wake_at is not None]
    return RunProgress(
        run, pod=_speaker(live), wake_at=min(wake_times, default=None), tasks=(*missing,)
    )


def _view(run: Run, lane: Lane, attempts: Attempts) -> Run:
    """One index as a run of its own."""
    before = attempts.get(lane.attempt - 1)
    reason = run.reason if lane.attempt and run.reason not in runs.OF_LIVE else ""
    if reason in GIVEN_UP and before is not None and before.phase is Phase.FAILED:
        reason = ""  # that reason is another index's: this index's failure is accounted for
    return replace(
        run,
        count=1,
        lanes={},
        attempt=lane.attempt,
        failures=lane.failures,
        disruptions=lane.disruptions,
        retry_at=lane.retry_at,
        started_at=None,
        pod="",
        node="" if before is None else before.node,
        reason=reason,
        detail="",
    )


def _lane(before: Lane, one: RunProgress) -> Lane:
    """The index as the status keeps it; the due time of a living attempt is no news."""
    run = one.run if one.finished is None else one.finished.run
    same = one.pod is not None and run.attempt == before.attempt
    return Lane(
        run.attempt,
        run.failures,
        run.disruptions,
        before.retry_at if same else run.retry_at,
        "" if one.finished is None else one.finished.outcome,
    )


def _sum(run: Run, each: Mapping[int, RunProgress], lanes: Mapping[int, Lane]) -> Run:
    """The whole run: it has the counters of all indexes and the cause of the first failure."""
    ends = [
        (one.finished.ended_at, index, one.finished)
        for index, one in each.items()
        if one.finished is not None and one.finished.outcome == "Failed"
    ]
    if ends and not run.cause:
        first = min(ends, key=lambda end: end[:2])[2]
        run = replace(
            run,
            cause=first.reason[:64],
            exit_code=first.exit_code,
            node=first.run.node,
            detail=first.run.detail,
        )
    known = [one.run if one.finished is None else one.finished.run for one in each.values()]
    starts = [one.started_at for one in (run, *known) if one.started_at is not None]
    reason, detail = _word(run, [one.run for one in each.values() if one.finished is None])
    before = run.lanes
    return replace(
        run,
        lanes=lanes,
        attempt=max([run.attempt, *(lane.attempt for lane in lanes.values())]),
        failures=run.failures + _gain(before, lanes, "failures"),
        disruptions=run.disruptions + _gain(before, lanes, "disruptions"),
        started_at=min(starts, default=None),
        reason=reason,
        detail=detail if reason or not run.cause else run.detail,
    )


def _word(run: Run, tasks: list[Run]) -> tuple[str, str]:
    """The reason and the kubelet's words for all tasks; the words stay while the reason does."""
    words = [one.reason for one in tasks]
    reason = LATE if LATE in words else next((word for word in words if word), "")
    detail = next((one.detail for one in tasks if one.detail and one.reason == reason), "")
    return reason, run.detail if run.detail and run.reason == reason else detail


def _gain(before: Mapping[int, Lane], after: Mapping[int, Lane], name: str) -> int:
    return sum(
        getattr(lane, name) - getattr(before.get(index, FRESH), name)
        for index, lane in after.items()
    )


def _finished(run: Run, each: Mapping[int, RunProgress], now: int) -> Finished:
    ended = {lane.outcome for lane in run.lanes.values()}
    at = max((one.finished.ended_at for one in each.values() if one.finished), default=now)
    outcome: Outcome
    for outcome, reason in (("Failed", run.cause), ("Cancelled", "Deleted")):
        if outcome in ended:
            code = run.exit_code if outcome == "Failed" else None
            return Finished(run, outcome, reason, at, code)
    return Finished(run, "Succeeded", "Completed", at, 0)


def _due(run: Run) -> int:
    return run.since if run.retry_at is None else run.retry_at


def _speaker(pods: list[Pod]) -> Pod | None:
    """The pod that stands for all: a pod whose CREATE may still fail, otherwise the oldest."""
    return min(pods, key=lambda pod: (not pod.assumed, pod.created_at, pod.name), default=None)


def _gang(run: Run, lanes: Lanes, rules: Rules, now: int) -> RunProgress:
    book: dict[int, dict[int, Pod]] = {}  # attempt -> index -> pod
    for index, attempts in lanes.items():
        for attempt, pod in attempts.items() if index < run.count else ():
            book.setdefault(attempt, {})[index] = pod
    newest = max(book, default=-1)
    while True:
        pods = book.get(run.attempt, {})
        if not pods and run.attempt >= newest:
            return _gathering(run, book, rules, now)
        found, speaker = _whole(pods, run.count, rules, now)
        if found.standing is Standing.REPLACED and run.attempt >= runs.MOST_REPLACED:
            found = AttemptOutcome(Standing.LIVE)
        if found.standing is Standing.LIVE and run.attempt < newest:
            found = AttemptOutcome(Standing.LOST, LOST_TO_NODE, at=now)
        if found.standing is Standing.LIVE:
            return _together(run, pods, rules, now)
        starts = [pod.ending.started_at for pod in pods.values()]
        run = replace(
            run,
            started_at=_first(run.started_at, starts),
            node=speaker.node if speaker else "",
            pod=speaker.name if speaker else "",
        )
        ended = runs.ended(run, found, rules, now)
        if isinstance(ended, Finished):
            return RunProgress(ended.run, ended)
        run = ended


def _whole(
    pods: Mapping[int, Pod], count: int, rules: Rules, now: int
) -> tuple[AttemptOutcome, Pod | None]:
    """How the attempt stands, and the pod that decided: the first that ended without success."""
    if not pods:  # removed by force, finalizers and all
        return AttemptOutcome(Standing.LOST, runs.VANISHED, at=now), None
    found = {index: rules.verdict(pod, now) for index, pod in pods.items()}
    if not all(one.standing is Standing.REPLACED for one in found.values()):
        # All pods of an attempt are replaced or none: where one has begun, the others go on too.
        found = {index: _going_on(one) for index, one in found.items()}
    bad = [
        (now if one.at is None else one.at, one.standing is Standing.FAILED, index)
        for index, one in found.items()
        if one.standing not in {Standing.LIVE, Standing.SUCCEEDED}
    ]
    if bad:
        index = min(bad)[2]
        return found[index], pods[index]
    good = [one for one in found.values() if one.standing is Standing.SUCCEEDED]
    if len(good) < count:
        return AttemptOutcome(Standing.LIVE), None
    last = max(found, key=lambda index: (found[index].at or 0, index))
    return found[last], pods[last]


def _going_on(found: AttemptOutcome) -> AttemptOutcome:
    return AttemptOutcome(Standing.LIVE) if found.standing is Standing.REPLACED else found


def _gathering(
    run: Run, book: Mapping[int, Mapping[int, Pod]], rules: Rules, now: int
) -> RunProgress:
    """No pod of the attempt exists; it begins when all pods of earlier attempts have gone."""
    older = [
        rules.lives_on(pod, now)
        for attempt, pods in book.items()
        for pod in pods.values()
        if attempt < run.attempt
    ]
    alive = [one for one in older if one.standing is Standing.LIVE]
    wake_times = [run.retry_at, *(one.at for one in alive)]
    tasks = () if alive else tuple((index, run) for index in range(run.count))
    return RunProgress(
        run, wake_at=min((at for at in wake_times if at is not None), default=None), tasks=tasks
    )


def _together(run: Run, pods: Mapping[int, Pod], rules: Rules, now: int) -> RunProgress:
    """The attempt lives, or some of its pods are still to be made."""
    each = [
        runs.live(run, pod, found, rules, now)
        for pod in pods.values()
        if (found := _going_on(rules.verdict(pod, now))).standing is Standing.LIVE
    ]
    starts = [one.run.started_at for one in each]
    reason, detail = _word(run, [one.run for one in each])
    known = sorted(pod.name for pod in pods.values() if not pod.assumed)
    waiting = tuple((index, run) for index in range(run.count) if index not in pods)
    wake_times = [one.wake_at for one in each if one.wake_at is not None]
    told = replace(
        run,
        retry_at=None,
        started_at=_first(run.started_at, starts),
        pod=known[0] if known else "",
        reason=reason,
        detail=detail,
    )
    speaker = _speaker([one.pod for one in each if one.pod is not None] or [*pods.values()])
    return RunProgress(told, pod=speaker, wake_at=min(wake_times, default=None), tasks=waiting)


def _first(known: int | None, told: list[int | None]) -> int | None:
    return min((at for at in (known, *told) if at is not None), default=None)
