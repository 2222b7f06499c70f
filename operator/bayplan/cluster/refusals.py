"""Writes that the API server refused: how long each waits, and how many are tried again in all.

A refusal may stand for ever, and no event of ours ends it. After the n-th refusal in a row the same
write waits min(1 s * 2^(n-1), 300 s). When something that may have refused it changes (a quota, a
LimitRange, the namespace, a Service), it waits at most 5 s, or an eighth of its wait if that is
longer: a quota changes with every write of its namespace. In the whole cluster 20 writes a second
are tried again, one namespace after the other, so that no tenant holds up the rest. Of the pods or
claims that one resource lacks, one is tried, and the others follow when it is accepted.

Nothing of this is stored: a new leader tries all of them again. It belongs to one event loop.
"""

import asyncio
import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from bayplan.api import kinds
from bayplan.api.resource import Key
from bayplan.cluster import errors
from bayplan.model import intents
from bayplan.model.backoff import delay_after
from bayplan.model.pods import Pod

K = TypeVar("K")

FIRST_SECONDS = 1
LONGEST_SECONDS = 300
EVICTION_SECONDS = 5  # the longest wait for a disruption budget, as in `kubectl drain`
RELIEF_SECONDS = 5.0
PER_SECOND = 20.0
_LASTING = 4  # conflicts in a row that are not reported: 15 s
# A write that may be tried again is forgotten if nobody asks for it in this time.
_FORGET_SECONDS = 2 * LONGEST_SECONDS


@dataclass(frozen=True, slots=True)
class Write:
    """One thing to write: `verb` is done to `name` of `kind`, in the namespace of `about`.

    `about` is the resource of ours that the write belongs to, or the pod or claim itself. For pods
    to be created `name` is the hash of their template, for claims it is empty: what refuses one of
    them refuses all.
    """

    about: Key
    verb: str
    kind: str
    name: str = ""


def binding(pod: Pod | None, key: tuple[str, str]) -> Write:
    """The binding of a pod: a refusal is reported on its resource; for a foreign pod, nowhere."""
    owner = pod.owner if pod is not None else None
    ours = owner is not None and owner.kind in kinds.BY_NAME
    about = (owner.kind, key[0], owner.name) if owner is not None and ours else ("Pod", *key)
    return Write(about, "bind", "Pod", key[1])


class _State(enum.Enum):
    WAITS = enum.auto()
    QUEUED = enum.auto()  # its time has come
    OPEN = enum.auto()  # it may be tried, and the resource that wants it was rung
    UNDER_WAY = enum.auto()


@dataclass(slots=True, eq=False)
class _Entry:
    """`era` is what the write was made of; if that differs, nothing is known of the write yet."""

    era: Hashable
    refusal: intents.RefusedWrite | None  # None: a conflict, which is not reported
    holds: bool
    times: int = 0
    tried_at: float = 0.0
    wait: float = 0.0
    due_at: float = 0.0
    state: _State = _State.WAITS
    timer: asyncio.TimerHandle | None = None

    @property
    def stopped(self) -> bool:
        return self.holds and self.state in {_State.WAITS, _State.QUEUED}


def _told(write: Write, error: errors.ClusterError, name: str) -> intents.RefusedWrite:
    return intents.RefusedWrite(
        verb=write.verb,
        kind=write.kind,
        name=name or write.name,
        message=str(error),
        reason=error.reason,
        template=write.name if (write.verb, write.kind) == ("create", "Pod") else "",
    )


def pause(times: int, longest: int = LONGEST_SECONDS) -> float:
    """Seconds to wait after so many refusals in a row."""
    return delay_after(times, FIRST_SECONDS, longest)


def relief(paused: float) -> float:
    """Seconds after the last try at which a change of the refusing object takes effect."""
    return min(paused, max(RELIEF_SECONDS, paused / 8))


@dataclass(slots=True, eq=False)
class Refusals:
    """`ring` makes the resource look again; `era` returns what makes an old refusal void."""

    ring: Callable[[Key], None]
    era: Callable[[Key], Hashable] = lambda _: None
    _entries: dict[Write, _Entry] = field(default_factory=dict)
    _about: dict[Key, dict[Write, None]] = field(default_factory=dict)
    _in: dict[str, dict[Write, None]] = field(default_factory=dict)  # by namespace
    _queue: OrderedDict[str, deque[Write]] = field(default_factory=OrderedDict)  # by namespace
    _next_at: float = 0.0
    _pumps: bool = False

    # ---- what is asked --------------------------------------------------------------------

    def allowance(self, write: Write) -> int | None:
        """How many writes of this sort may be sent now; None: no limit."""
        entry = self._current(write)
        if entry is None or not entry.holds:
            return None
        return 1 if entry.state is _State.OPEN else 0

    def admits(self, write: Write, *, counted: bool = False) -> bool:
        """Whether the write may be sent now; a caller that gets True has to send it.

        `counted`: the caller has asked how many there may be. Then further writes of the same sort
        follow the first, as the pods of a gang do.
        """
        entry = self._current(write)
        if entry is None or not entry.holds:
            return True
        if entry.state is _State.OPEN:
            entry.state = _State.UNDER_WAY
            return True
        return counted and entry.state is _State.UNDER_WAY

    def stopped(self, write: Write) -> bool:
        """Whether a write of the same sort was refused after this write was admitted."""
        entry = self._current(write)
        return entry is not None and entry.stopped

    def of(self, about: Key) -> tuple[intents.RefusedWrite, ...]:
        """What is refused of a resource, except its status, in a fixed order."""
        writes = [one for one in self._about.get(about, ()) if one.verb != "status"]
        found = map(self._current, writes)
        told = [entry.refusal for entry in found if entry and entry.refusal]
        return tuple(sorted(told, key=lambda one: (one.kind, one.name, one.verb)))

    @property
    def kept(self) -> int:
        """The number of writes that are remembered."""
        return len(self._entries)

    # ---- what became of a write -----------------------------------------------------------

    def accepted(self, write: Write) -> None:
        """The write succeeded: others of its sort may follow unless one was refused since."""
        entry = self._entries.get(write)
        if entry is not None and not entry.stopped:
            self._end(write, entry)

    def refused(self, write: Write, error: errors.ClusterError, name: str = "") -> float:
        """The server refuses the write; seconds until the next try. `name` is the object's."""
        told = _told(write, error, name)
        return self._put(write, told, holds=True, longest=LONGEST_SECONDS)

    def later(
        self, write: Write, error: errors.ClusterError, *, holds: bool, name: str = ""
    ) -> float:
        """The write met a conflict; news that explains it is on its way. A lasting one is reported.

        An example is a deleted Service that somebody else's finalizer keeps.
        """
        entry = self._current(write)
        lasts = holds and entry is not None and entry.times >= _LASTING
        told = _told(write, error, name) if lasts else None
        return self._put(write, told, holds=holds, longest=LONGEST_SECONDS)

    def spent(self, write: Write) -> float:
        """A disruption budget allows nothing now: this is no fault and is not reported."""
        return self._put(write, None, holds=True, longest=EVICTION_SECONDS)

    # ---- what changes the answer ----------------------------------------------------------

    def relieve(self, namespace: str) -> None:
        """A quota, a LimitRange or the namespace itself has changed."""
        self._relieve(self._in.get(namespace, ()))

    def freed(self, kind: str, namespace: str) -> None:
        """An object has gone or changed. Services' ports and addresses are the whole cluster's.

        For a pod only its namespace's quota could change, and the quota itself brings that news.
        """
        there = self._entries if kind == "Service" else self._in.get(namespace, ())
        self._relieve(write for write in there if write.kind == kind)

    def gone(self, kind: str, key: tuple[str, str]) -> None:
        """An object has gone: no write to it remains."""
        for write in tuple(self._in.get(key[0], ())):
            same = (write.kind, write.name) == (kind, key[1])
            if same and write.verb not in {"create", "apply"}:
                self._end(write, self._entries[write])

    def forget(self, about: Key) -> None:
        """The resource has gone."""
        for write in tuple(self._about.get(about, ())):
            self._forget(write)

    # ---- how -------------------------------------------------------------------------------

    def _current(self, write: Write) -> _Entry | None:
        entry = self._entries.get(write)
        if entry is not None and entry.era != self.era(write.about):
            self._forget(write)
            return None
        return entry

    def _put(
        self, write: Write, told: intents.RefusedWrite | None, *, holds: bool, longest: int
    ) -> float:
        entry = self._current(write)
        if entry is None:
            entry = self._entries[write] = _Entry(self.era(write.about), told, holds)
            self._about.setdefault(write.about, {})[write] = None
            self._in.setdefault(write.about[1], {})[write] = None
        elif entry.stopped:  # others of its sort were under way
            return entry.due_at - _now()
        before = entry.refusal
        if told is not None or before is None:  # a conflict does not say what was refused
            entry.refusal, entry.holds = told, holds
        entry.times += 1
        entry.tried_at = _now()
        entry.wait = wait = pause(entry.times, longest)
        self._plan(write, entry, entry.tried_at + wait)
        if told is not None and before != told and write.verb != "status":
            self.ring(write.about)  # it shows this in its conditions; the write itself waits
        return wait

    def _plan(self, write: Write, entry: _Entry, due_at: float) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.due_at, entry.state = due_at, _State.WAITS
        entry.timer = asyncio.get_running_loop().call_at(due_at, self._due, write, entry)

    def _relieve(self, writes: Iterable[Write]) -> None:
        for write in tuple(writes):
            entry = self._entries[write]
            if entry.state is _State.WAITS:
                due_at = max(entry.tried_at + relief(entry.wait), _now())
                if due_at < entry.due_at:
                    self._plan(write, entry, due_at)

    def _due(self, write: Write, entry: _Entry) -> None:
        if self._entries.get(write) is not entry:
            return
        entry.timer, entry.state = None, _State.QUEUED
        self._queue.setdefault(write.about[1], deque()).append(write)
        self._pump()

    def _pump(self) -> None:
        """Let some writes be tried, one of each namespace in turn."""
        if self._pumps:
            return
        loop = asyncio.get_running_loop()
        while self._queue and self._next_at <= loop.time():
            namespace, waiting = self._queue.popitem(last=False)
            write = waiting.popleft()
            if waiting:
                self._queue[namespace] = waiting
            entry = self._entries.get(write)
            if entry is None or entry.state is not _State.QUEUED:
                continue
            self._next_at = loop.time() + 1 / PER_SECOND
            entry.state = _State.OPEN
            entry.timer = loop.call_later(_FORGET_SECONDS, self._expire, write, entry)
            self.ring(write.about)
        if self._queue:
            self._pumps = True
            loop.call_at(self._next_at, self._pump_again)

    def _pump_again(self) -> None:
        self._pumps = False
        self._pump()

    def _expire(self, write: Write, entry: _Entry) -> None:
        if self._entries.get(write) is entry and not entry.stopped:
            self._end(write, entry)

    def _end(self, write: Write, entry: _Entry) -> None:
        """The write is no longer refused: forget it, and ring if it was held."""
        self._forget(write)
        if entry.holds:
            self.ring(write.about)

    def _forget(self, write: Write) -> None:
        entry = self._entries.pop(write, None)
        if entry is None:
            return
        if entry.timer is not None:
            entry.timer.cancel()
        _unlink(self._about, write.about, write)
        _unlink(self._in, write.about[1], write)


def _unlink(index: dict[K, dict[Write, None]], key: K, write: Write) -> None:
    del index[key][write]
    if not index[key]:
        del index[key]


def _now() -> float:
    return asyncio.get_running_loop().time()
