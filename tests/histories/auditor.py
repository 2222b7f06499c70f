"""The judge of a history: it reads what the store is told and shares no code with the product.

Names of rules are those of the fault literature of this project: P1 completeness, P2 no duplicates,
P3 no early run, P4 no overlap, P5 parents, P6 retries, P7 count, P8 edits govern, P9 liveness after
faults, P10 honesty; I1 no over-commit, I4 no orphans, I8 quiescence. A rule that the history's own
faults rule out (an overlap while two leaders are at work) is not asked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tests.histories.store import Body, Key, Store, is_terminal

_JOB, _TRACKING = "BatchJob", "bayplan.dev/run-tracking"
_INTERVAL = re.compile(r"R(\d*)/([^/]*)/PT(\d+)S")
_MINUTES = re.compile(r"\*/(\d+) \* \* \* \*")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_CALM_SECONDS = 3  # of lateness, when nothing is wrong


class World(Protocol):
    store: Store
    silent: set[str]
    capacity: dict[str, tuple[int, int]]

    def now(self) -> int: ...
    def time(self) -> float: ...


@dataclass(slots=True)
class Attempt:
    """A pod that was created, and what became of it."""

    name: str
    run: str
    number: int
    at: float
    wall: int
    node: str = ""
    parents: str = ""
    code: int | None = None  # how it ended by itself
    ended_at: int | None = None


@dataclass(slots=True)
class Book:
    """What is known of one BatchJob, by uid."""

    name: str
    uid: str
    created_at: int
    versions: list[tuple[float, int, Mapping[str, Any]]] = field(default_factory=list)
    deleted_at: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    statuses: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)
    touched: bool = False  # by people, beyond its last suspension
    marked: set[str] = field(default_factory=set)

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.versions[-1][2]


@dataclass(slots=True)
class Auditor:
    """`violations` are sentences that begin with the rule. `delta` is how late news may be."""

    world: World
    delta: float = 3.0
    split: bool = False  # two led at once, or one that had not seen all
    stepped: bool = False  # clocks were set
    latest: float = 0.0  # the latest that any clock ever showed
    writes: int = 0
    violations: list[str] = field(default_factory=list)
    books: dict[str, Book] = field(default_factory=dict)
    troubled: set[str] = field(default_factory=set)  # nodes that fell silent or vanished
    names: set[str] = field(default_factory=set)  # of all pods ever
    born: dict[str, float] = field(default_factory=dict)  # node -> when
    refusals: int = 0
    calm: bool = False

    def broken(self, rule: str, what: str) -> None:
        self.violations.append(f"{rule} at {self.world.time():.1f}: {what}")

    def ended(self, why: str) -> None:
        """A process that nobody killed has ended."""
        self.broken("process", why)

    def defect(self, error: BaseException | None) -> None:
        self.broken("defect", repr(error))

    def trouble(self, node: str) -> None:
        self.troubled.add(node)

    def refused(self, key: Key) -> None:
        """A kubelet had no room for what was placed there."""
        self.refusals += 1
        if not self.split and not self.troubled:
            self.broken("I1", f"a kubelet refused {key[1]}")

    # ---- what happens -----------------------------------------------------------------------

    def told(self, kind: str, key: Key, before: Body | None, after: Body | None, verb: str) -> None:
        self.latest = max(self.latest, self.world.now())
        if kind == "Node" and after is not None and before is None:
            self.born[key[1]] = self.world.time()
        elif kind == _JOB:
            self._job(before, after, verb)
        elif kind == "Pod" and after is not None:
            if before is None:
                self._created(after)
            elif verb == "bind":
                self._bound(after)
            elif verb == "release":
                self._released(after)
            elif is_terminal(after) and not is_terminal(before):
                self._finished(after)
        elif kind == "Pod" and before is not None and verb == "release":
            self._released(before)

    def _job(self, before: Body | None, after: Body | None, verb: str) -> None:
        body = after or before
        assert body is not None
        uid = body["metadata"]["uid"]
        if before is None:
            created = moment(body["metadata"]["creationTimestamp"]) or 0
            self.books[uid] = Book(body["metadata"]["name"], uid, created)
        book = self.books[uid]
        if after is None:
            book.deleted_at = self.world.time()
        elif verb == "status":
            self._status(book, after["status"])
        else:
            book.versions.append((self.world.time(), self.world.now(), after["spec"]))
            asked = after["metadata"].get("annotations", {}).get("bayplan.dev/mark-success")
            if asked:
                book.marked.add(asked)

    def _created(self, pod: Body) -> None:
        name = pod["metadata"]["name"]
        if name in self.names:
            self.broken("P2", f"{name} was created twice")
        self.names.add(name)
        book = self.books[owner_of(pod)]
        run, number = name.rsplit("-", 2)[1:]
        now = self.world.now()
        notes = pod["metadata"].get("annotations", {})
        attempt = Attempt(
            name, run, int(number), self.world.time(), now, pod["spec"].get("nodeName", ""),
            notes.get("bayplan.dev/parents", ""),
        )  # fmt: skip
        self._may_begin(book, attempt)
        book.attempts.append(attempt)
        book.seen.add(run)
        self.fits(pod)

    def _bound(self, pod: Body) -> None:
        self.fits(pod)
        attempt = self._attempt(pod)
        attempt.node = pod["spec"]["nodeName"]
        self._alone(self.books[owner_of(pod)], attempt)

    def _may_begin(self, book: Book, new: Attempt) -> None:
        slot = slot_of(new.run)
        if slot is not None:
            if slot > self.latest + 1:
                self.broken("P3", f"{new.name} began {slot - self.latest:.0f} s early")
            self._governed(book, new, slot)
        twins = {"s": "b", "b": "s"}  # of a scheduled time: its own run, and one made up for later
        twin = twins.get(new.run[0], "") + new.run[1:]
        if any(one.run == twin for one in book.attempts):
            self.broken("P2", f"{new.name}: {twin} was of the same time")
        if book.deleted_at is not None and new.at > book.deleted_at + self.delta:
            self.broken("P8", f"{new.name} began after its job was deleted")
        self._in_turn(book, new, [one for one in book.attempts if one.run == new.run])
        if new.node:
            self._alone(book, new)
        if new.parents:
            self._of_parents(book, new)

    def _alone(self, book: Book, new: Attempt) -> None:
        """P2, P4: what gets a node runs beside nothing that it may not run beside."""
        live = [
            one["metadata"]["name"]
            for one in self.world.store.of("Pod").values()
            if owner_of(one) == book.uid
            and one["metadata"]["name"] != new.name
            and not is_terminal(one)
            and one["spec"].get("nodeName", "lost") not in {*self.troubled, "lost"}
        ]
        twins = [one for one in live if one.rsplit("-", 2)[1] == new.run]
        if not self.split:
            if twins:
                self.broken("P2", f"{new.name} beside {twins}")
            elif live and book.spec.get("concurrencyPolicy", "Forbid") != "Allow":
                self.broken("P4", f"{new.name} beside {live}")

    def _governed(self, book: Book, new: Attempt, slot: int) -> None:
        """P7, P8: the slot is one of the schedule that was in force when it came."""
        if book.spec.get("schedule") is None:
            if not book.spec.get("parents") and slot != book.created_at:
                self.broken("P7", f"{new.name} is of no slot")
            return
        for index, (_, since, spec) in enumerate(book.versions):
            until = book.versions[index + 1][1] if index + 1 < len(book.versions) else None
            grace = self.delta + spec.get("startWindowSeconds", 0)
            early = slot < since - grace and index > 0
            late = until is not None and slot > until + self.delta and not self.stepped
            held = self._held(spec, slot, since, new)
            if not (early or late or held) and is_slot(spec["schedule"], book.created_at, slot):
                return
        self.broken("P8", f"{new.name}: no schedule in force has {slot}")

    def _held(self, spec: Mapping[str, Any], slot: int, since: int, new: Attempt) -> bool:
        return bool(spec.get("suspend")) and new.number == 0 and slot > since + self.delta

    def _in_turn(self, book: Book, new: Attempt, before: list[Attempt]) -> None:
        """P6: in order, after the last one, not too often, not after a success."""
        retry = book.spec.get("retryPolicy", {})
        failures = 0
        for one in before:
            sure = one.node not in self.troubled
            if one.code == 0 and sure:
                self.broken("P6", f"{new.name} after the success of {one.name}")
            if one.code and one.code in book.spec.get("noRetryExitCodes", ()) and sure:
                self.broken("P6", f"{new.name} after {one.name} ended for good")
            failures += bool(one.code) and one.code != 143 and sure
            delayed = one.ended_at is not None and one.code in {1, 7} and sure
            due = (one.ended_at or 0) + retry.get("delaySeconds", 60)
            if delayed and new.wall < due - 1 and not self.stepped:
                self.broken("P6", f"{new.name} {due - new.wall} s before its time")
        if failures > retry.get("limit", 2):
            self.broken("P6", f"{new.name} after {failures} failures")

    def _of_parents(self, book: Book, new: Attempt) -> None:
        """P5: every success that it names is one, and no other run has used it."""
        used = {
            one
            for other in book.attempts
            if other.run != new.run
            for one in other.parents.split(",")
        }
        for one in new.parents.split(","):
            if one in used:
                self.broken("P5", f"{new.name} uses {one} again")
            name, _, run = one.partition("=")
            ended = [
                attempt
                for parent in self.books.values()
                if parent.name == name
                for attempt in parent.attempts
                if attempt.run == run and (attempt.code == 0 or run in parent.marked)
            ]
            if not ended:
                self.broken("P5", f"{new.name} began before {one} had succeeded")

    def fits(self, pod: Body) -> None:
        """I1: the node has room for it."""
        node = pod["spec"].get("nodeName")
        young = self.world.time() - self.born.get(node, 0.0) < self.delta
        if not node or self.split or young or ("", node) not in self.world.store.of("Node"):
            return
        there = [
            one
            for one in self.world.store.of("Pod").values()
            if one["spec"].get("nodeName") == node and not is_terminal(one)
        ]
        cpu = sum(cpu_of(one) for one in there)
        most = self.world.capacity[node]
        if cpu > most[0] or len(there) > most[1]:
            self.broken("I1", f"{len(there)} pods of {cpu}m on {node} of {most}")

    def _attempt(self, pod: Body) -> Attempt:
        name = pod["metadata"]["name"]
        return next(one for one in self.books[owner_of(pod)].attempts if one.name == name)

    def _finished(self, pod: Body) -> None:
        attempt = self._attempt(pod)
        attempt.ended_at = self.world.now()
        status = pod["status"]
        state = (status.get("containerStatuses") or [{}])[0].get("state", {})
        attempt.code = state.get("terminated", {}).get("exitCode")

    def _released(self, pod: Body) -> None:
        """Only what the stored status accounts for may be let go."""
        book = self.books[owner_of(pod)]
        if book.deleted_at is not None:
            return
        attempt = self._attempt(pod)
        for entry in book.status.get("active", []):
            if entry["run"] == attempt.run:
                if attempt.number >= entry["attempt"]:
                    self.broken("P10", f"{attempt.name} was let go before it was told")
                return
        slot = slot_of(attempt.run)
        told = attempt.run in book.status.get("handledTokens", [])
        if slot is not None:
            told = slot <= (moment(book.status.get("lastSlotTime")) or -1)
        elif attempt.run.startswith("b"):
            told = _is_filled(book.status, _number(attempt.run[1:]))
        if not told:
            self.broken("P10", f"{attempt.name} was let go before it was told")

    def _status(self, book: Book, status: Mapping[str, Any]) -> None:
        old, new = book.status.get("statistics", {}), status.get("statistics", {})
        for name in ("runs", "successes", "failures", "cancelled", "missed", "lost"):
            if old.get(name, 0) > new.get(name, 0):
                self.broken("P10", f"{book.name}: {name} fell from {old[name]} to {new.get(name)}")
        ends = sum(new.get(name, 0) for name in ("successes", "failures", "cancelled"))
        if new.get("runs", 0) != ends:
            self.broken("P10", f"{book.name}: {new}")
        for one in status.get("history", []):
            run, outcome = one["run"], one["outcome"]
            before = book.outcomes.setdefault(run, outcome)
            if before != outcome and run not in book.marked and "Missed" not in {before, outcome}:
                self.broken("P10", f"{book.name}: {run} was {before} and is {outcome}")
            book.outcomes[run] = outcome
            if outcome != "Missed":
                book.seen.add(run)
        book.seen |= {one["run"] for one in status.get("active", [])}
        book.status = status
        book.statuses += 1

    # ---- the end ----------------------------------------------------------------------------

    def alive(self) -> Iterator[Book]:
        return (book for book in self.books.values() if book.deleted_at is None)

    def settled(self) -> bool:
        """Nothing runs and nothing is owed."""
        active = any(book.status.get("active") for book in self.alive())
        return not active and all(is_terminal(pod) for pod in self._runs())

    def _runs(self) -> list[Body]:
        """All pods of BatchJobs."""
        return [pod for pod in self.world.store.of("Pod").values() if owner_of(pod) in self.books]

    def judge_calm(self, since: int, until: int) -> None:
        """P1, P9: each slot of a quiet stretch began in time; and it succeeded."""
        for book in self.alive():
            text = book.spec.get("schedule")
            if text is None or book.touched:
                continue
            window = book.spec.get("startWindowSeconds", 0)
            began = {slot_of(one.run): one for one in book.attempts if one.number == 0}
            for slot in slots(text, book.created_at, since, until - window - 10):
                one = began.get(slot)
                if one is None:
                    self.broken("P9", f"{book.name}: nothing began of slot {slot}")
                elif one.wall > slot + window + _CALM_SECONDS:
                    self.broken("P9", f"{one.name} began {one.wall - slot} s late")
                elif one.code != 0 and until - one.wall > 10:
                    self.broken("P1", f"{one.name} ended with {one.code}")

    def judge(self, suspended_at: int) -> None:
        """The rules of the end: all is accounted for, nothing is left."""
        for book in self.alive():
            self._accounts(book, suspended_at)
        for pod in self._runs():
            name, book = pod["metadata"]["name"], self.books[owner_of(pod)]
            if _TRACKING in pod["metadata"].get("finalizers", ()):
                self.broken("P10", f"{name} is held for ever")
            if book.deleted_at is not None:
                self.broken("I4", f"{name} is an orphan")

    def _accounts(self, book: Book, suspended_at: int) -> None:
        status = book.status
        told = status.get("statistics", {})
        if len(book.seen) != told.get("runs", 0):
            self.broken("P10", f"{book.name}: {len(book.seen)} runs, told {told}")
        if status.get("active"):
            self.broken("P9", f"{book.name}: {status['active']} never ended")
        text, of_slots = book.spec.get("schedule"), {slot_of(run) for run in book.seen} - {None}
        if text is None:
            if not book.spec.get("parents") and of_slots != {book.created_at}:
                self.broken("P1", f"{book.name} ran for {of_slots}")
            return
        if book.touched:
            return
        last = moment(status.get("lastSlotTime")) or -1
        due = slots(text, book.created_at, book.created_at, last)
        if len(due) != len(of_slots) + told.get("missed", 0):
            self.broken(
                "P10", f"{book.name}: {len(due)} slots, {len(of_slots)} runs, {told.get('missed')}"
            )
        window = book.spec.get("startWindowSeconds", 0)
        owed = slots(text, book.created_at, last + 1, suspended_at - window - 10)
        if owed and not self.stepped:
            self.broken("P1", f"{book.name}: slots {owed[:3]} are owed")


def moment(text: str | None) -> int | None:
    """Epoch seconds of a time as Kubernetes writes it."""
    return int(datetime.fromisoformat(text).timestamp()) if text else None


def slot_of(run: str) -> int | None:
    """The time that a run is of by its schedule; None for what people or parents asked for."""
    return _number(run[1:]) if run.startswith("s") else None


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = 36 * number + _DIGITS.index(digit)
    return number


def _is_filled(status: Mapping[str, Any], slot: int) -> bool:
    """Whether the status says that this time has had its run."""
    gaps = status.get("gaps")
    return gaps is not None and not any(
        (moment(gap["fromTime"]) or 0) <= slot <= (moment(gap["toTime"]) or 0) for gap in gaps
    )


def _grid(text: str, created_at: int) -> tuple[int, int, int | None]:
    """First slot, period, how many."""
    found = _INTERVAL.fullmatch(text)
    if found is not None:
        count, start, period = found.groups()
        first = int(datetime.fromisoformat(start).timestamp()) if start else created_at
        return first, int(period), int(count) if count else None
    minutes = _MINUTES.fullmatch(text)
    assert minutes is not None, text
    return 0, 60 * int(minutes.group(1)), None


def is_slot(text: str, created_at: int, at: int) -> bool:
    return at in slots(text, created_at, at, at)


def slots(text: str, created_at: int, since: int, until: int) -> list[int]:
    """The slots from `since` to `until`, both included, none before the job was."""
    first, period, count = _grid(text, created_at)
    since = max(since, created_at)
    index = max(-(-(since - first) // period), 0)
    found = []
    while (at := first + index * period) <= until and (count is None or index < count):
        found.append(at)
        index += 1
    return found


def owner_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def cpu_of(pod: Mapping[str, Any]) -> int:
    return int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].removesuffix("m"))
