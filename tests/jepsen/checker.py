"""The checker of Jepsen's test of Chronos, and what it did not ask.

Jepsen matched due slots to runs by a constraint solver and asked for nothing else. Points against
intervals need none: the slot whose window closes first takes the first run inside it, which finds
a complete matching whenever there is one. Beyond that (P1): no second run of a slot and no run that
is not needed (P2), none before its slot (P3), none beside another of its job (P4), none of a slot
that no schedule has (P7), none by a schedule that was replaced or deleted (P8), all windows kept
once the last fault is over (P9), and a status that counts what happened (P10).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from tests.jepsen.history import History, Job, Run

EDIT_SECONDS = 5  # for news of an edit or a deletion to reach whoever leads
REPORT_SECONDS = 10  # for a status to say that a slot is missed
RECOVERY_SECONDS = 30  # after the last fault


@dataclass(frozen=True, slots=True)
class Window:
    """A due slot and the seconds in which its run may begin, both ends included."""

    slot: int
    opens: int
    closes: int


@dataclass(slots=True, eq=False)
class Report:
    """`wrong`: sentences that begin with the property they break."""

    wrong: list[str] = field(default_factory=list)
    targets: int = 0
    met: int = 0
    runs: int = 0
    late: list[int] = field(default_factory=list)  # seconds from slot to start, of complete runs

    @property
    def valid(self) -> bool:
        return not self.wrong


def solution(windows: Sequence[Window], starts: Sequence[int]) -> dict[int, int | None]:
    """Which run in `starts` each slot has, none twice; as many slots as possible have one.

    Earliest closing first over the starts in order, which is exact for points and intervals.
    """
    found: dict[int, int | None] = {window.slot: None for window in windows}
    waiting = sorted(windows, key=lambda window: window.opens)
    order = sorted(range(len(starts)), key=lambda index: starts[index])
    open_: list[tuple[int, int]] = []  # (closes, slot)
    opened = 0
    for index in order:
        at = starts[index]
        while opened < len(waiting) and waiting[opened].opens <= at:
            heappush(open_, (waiting[opened].closes, waiting[opened].slot))
            opened += 1
        while open_ and open_[0][0] < at:
            heappop(open_)
        if open_:
            found[heappop(open_)[1]] = index
    return found


def check(history: History, *, widened: int = 0) -> Report:
    """Judge a history; while faults are about, windows are `widened` by so many seconds."""
    report = Report(runs=len(history.runs))
    by_job: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(history.runs, key=lambda run: (run.start, run.slot, run.attempt)):
        by_job[run.job].append(run)
    healed = max((fault.healed for fault in history.faults), default=inf)
    calm = healed + RECOVERY_SECONDS
    known = {job.name for job in history.jobs}
    report.wrong += [f"P7 {name}: runs of a job that nobody made" for name in by_job.keys() - known]
    for job in history.jobs:
        runs = by_job[job.name]
        report.late += [run.start - run.slot for run in runs if run.end is not None]
        _complete(report, job, runs, list(_windows(job, history.read, widened, calm)), calm)
        report.wrong += _doubled(job, runs)
        report.wrong += _early(job, runs)
        report.wrong += _overlapping(job, runs)
        report.wrong += _uncalled(job, runs)
        report.wrong += _dishonest(job, runs, history, widened)
    return report


def _windows(job: Job, read: float, widened: int, calm: float) -> Iterator[Window]:
    """Slots that must have run by now, by schedules that were not about to end."""
    for term in job.terms:
        for slot in term.slots(read - job.epsilon - job.duration):
            more = 0 if slot > calm else widened
            if slot + job.window + more + job.duration < min(term.end_asked, read):
                yield Window(slot, slot, slot + job.window + more)


def _complete(
    report: Report, job: Job, runs: Sequence[Run], windows: Sequence[Window], calm: float
) -> None:
    """P1 and P9: a complete run for each window; faults are about until `calm`."""
    complete = [run for run in runs if run.end is not None and run.succeeded]
    found = solution(windows, [run.start for run in complete])
    without = [slot for slot, run in found.items() if run is None]
    report.targets += len(windows)
    report.met += len(windows) - len(without)
    for slot in without:
        rule = "P9" if slot > calm else "P1"
        report.wrong.append(f"{rule} {job.name}: nothing ran for slot {slot} in its window")


def _doubled(job: Job, runs: Sequence[Run]) -> Iterator[str]:
    """P2: a slot succeeds once, and an attempt of it is one pod."""
    for (slot, attempt), count in Counter((run.slot, run.attempt) for run in runs).items():
        if count > 1:
            yield f"P2 {job.name}: attempt {attempt} of slot {slot} ran {count} times"
    for slot, count in Counter(run.slot for run in runs if run.succeeded).items():
        if count > 1:
            yield f"P2 {job.name}: slot {slot} succeeded {count} times"


def _early(job: Job, runs: Sequence[Run]) -> Iterator[str]:
    """P3."""
    for run in runs:
        if run.start < run.slot:
            yield f"P3 {job.name}: slot {run.slot} began {run.slot - run.start} s early"


def _overlapping(job: Job, runs: Sequence[Run]) -> Iterator[str]:
    """P4, by the containers' whole seconds: an end and a beginning may share one."""
    busy, whose = 0, 0
    for run in runs:
        if run.start < busy:
            yield f"P4 {job.name}: slot {run.slot} began while {whose} ran"
        if run.end is not None and run.end > busy:
            busy, whose = run.end, run.slot


def _uncalled(job: Job, runs: Sequence[Run]) -> Iterator[str]:
    """P7 and P8: each run's slot is one of a schedule that held when the slot came."""
    last = {slot: term for term in job.terms for slot in term.slots(inf)}
    for slot in {run.slot for run in runs}:
        term = last.get(slot)
        if term is None:
            yield f"P7 {job.name}: no schedule has slot {slot}"
        elif slot > term.end_told + EDIT_SECONDS:
            yield f"P8 {job.name}: slot {slot} ran {slot - term.end_told:.0f} s after its schedule"


def _dishonest(job: Job, runs: Sequence[Run], history: History, widened: int) -> Iterator[str]:
    """P10: successes as there were; a slot that is due has run or is called missed, no other is."""
    if job.deleted:
        return
    ran, done = {run.slot for run in runs}, {run.slot for run in runs if run.succeeded}
    told = _count(history.successes, job.name)
    if told != len(done):
        yield f"P10 {job.name}: {told} successes told, {len(done)} seen"
    if len(job.terms) == 1:
        [term] = job.terms
        late = history.read - job.window - widened - REPORT_SECONDS
        least, most = (len(set(term.slots(until)) - ran) for until in (late, history.read))
        missed = _count(history.missed, job.name)
        if not least <= missed <= most:
            yield f"P10 {job.name}: {missed} missed slots told, {least} to {most} seen"


def _count(counts: Mapping[str, int], name: str) -> int:
    return counts.get(name, 0)
