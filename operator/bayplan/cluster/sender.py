"""How writes leave: bounded parallelism, order per object, one retry policy.

`writer` decides what the writes mean. The window of writes in flight shrinks by half when the
server says 429, fails or is slow. It grows by one after each window of good answers (AIMD, as in
TCP). Urgent jobs (statuses, deletes, finalizers) and the other jobs each get half of the window
while both wait, so that neither starves behind the other. The last lane (marks of waiting pods)
leaves a quarter of the window free for new jobs, and has a single place while other jobs wait:
autoscalers hear of a few pods even then.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from bayplan import logs
from bayplan.cluster import errors
from bayplan.cluster.transport import Request, Transport
from bayplan.model.backoff import delay_after

Key = tuple[str, str, str]  # kind, namespace, name

_FIRST_RETRY_MILLISECONDS = 200
_LONGEST_RETRY_MILLISECONDS = 15_000
LONGEST_PAUSE_SECONDS = 60.0  # the limit for a server's Retry-After
PATIENCE_SECONDS = 120.0  # a write is given up this long after its first attempt
SLOW_SECONDS = 5.0  # an answer that takes longer says that the server is busy
REMEMBER_SECONDS = 5.0  # how long a write that was done is not repeated
_SMALLEST_WINDOW = 4.0


@dataclass(slots=True, eq=False)
class Job:
    """One thing to write. `attempt` sends and reads the answer; it may run several times.

    `attempt` raises `Unavailable` to be run again later. It raises any other `ClusterError` when
    the write has failed for good; then `failed` is called. Any other exception is a defect of ours;
    it counts as a refusal and stops no other job. Jobs of one key run one after the other. A job is
    dropped if its identity is waiting or running already, and with `once` also if its identity was
    done a moment ago. A job that has not begun gives its place to a newer job of its `subject`. The
    first word of the identity says what kind of write it is.
    """

    key: Key
    identity: tuple[Hashable, ...]
    attempt: Callable[[], Awaitable[None]]
    failed: Callable[[errors.ClusterError], None]
    urgent: bool = False
    last: bool = False
    once: bool = False
    subject: Hashable = None
    attempts: int = 0
    first_at: float = 0.0


@dataclass(slots=True, eq=False)
class Sender:
    """`may_write` is asked before every single request; `jitter` returns 0 … 1.

    While `pressed` is true the window is the smallest: the lease is late at this server, perhaps
    because of our writes.
    """

    transport: Transport
    may_write: Callable[[], bool]
    counted: Callable[[str, str, str], None]  # verb, kind, code
    defect: Callable[[str, Exception], None]  # the write, and the exception raised
    jitter: Callable[[], float]
    most_in_flight: int = 48
    pressed: Callable[[], bool] = lambda: False
    _window: float = field(init=False)
    _urgent: deque[Job] = field(default_factory=deque)
    _others: deque[Job] = field(default_factory=deque)
    _last: deque[Job] = field(default_factory=deque)
    _behind: dict[Key, deque[Job]] = field(default_factory=dict)  # busy key -> jobs behind
    _known: set[Hashable] = field(default_factory=set)  # identities waiting or running
    _newest: dict[Hashable, Job] = field(default_factory=dict)  # subject -> job not begun
    _kinds: Counter[Hashable] = field(default_factory=Counter)  # of writes not done yet
    _done: dict[Hashable, float] = field(default_factory=dict)  # identity -> time of completion
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _urgent_in_flight: int = 0
    _last_in_flight: int = 0
    _paused_until: float = 0.0
    _shrunk_at: float = float("-inf")
    _wakes_at: float | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        self._window = float(self.most_in_flight)

    @property
    def waiting(self) -> int:
        """The number of jobs that are not done yet, including jobs in flight."""
        return len(self._known)

    @property
    def backlog(self) -> Mapping[str, int]:
        """The same number by kind of write; a kind that has occurred once stays, with 0."""
        return {str(kind): count for kind, count in self._kinds.items()}

    async def run(self) -> NoReturn:
        """Wait for ever: jobs run without it."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    def submit(self, job: Job) -> bool:
        """Queue a job; False when it is a duplicate or the sender takes no more jobs."""
        now = _now()
        before = self._newest.get(job.subject)
        same = before.identity == job.identity if before else job.identity in self._known
        if self._closed or same:
            return False
        if job.once and now - self._done.get(job.identity, float("-inf")) < REMEMBER_SECONDS:
            return False
        self._known.add(job.identity)
        if before is not None:
            self._known.discard(before.identity)
            before.identity, before.attempt, before.failed = job.identity, job.attempt, job.failed
            return True
        if job.subject is not None:
            self._newest[job.subject] = job
        self._kinds[job.identity[0]] += 1
        behind = self._behind.get(job.key)
        if behind is not None:
            behind.append(job)
        else:
            self._behind[job.key] = deque()
            self._queue(job)
        return True

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, let jobs in flight finish, drop the rest."""
        self._closed = True
        for lane in (self._urgent, self._others, self._last):
            lane.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def send(self, request: Request) -> bytes:
        """Send one request now, if we still may write."""
        if not self.may_write():
            raise errors.LeaseLost("may not write", reason="LeaseLost")
        started = _now()
        try:
            body = await self.transport.send(request)
        except errors.ClusterError as error:
            self.counted(request.verb, request.kind, str(error.status or "none"))
            if isinstance(error, errors.Unavailable):
                self._shrink(_wanted_pause(error))
            raise
        self.counted(request.verb, request.kind, "2xx")
        if _now() - started > SLOW_SECONDS:
            self._shrink(0.0)
        else:
            self._window = min(self._window + 1 / self._window, self.most_in_flight)
        return body

    def _shrink(self, pause_seconds: float) -> None:
        """Halve the window, once for all answers of a second; pause when the server asks for it."""
        now = _now()
        if now - self._shrunk_at >= 1.0:
            self._shrunk_at = now
            self._window = max(self._window / 2, _SMALLEST_WINDOW)
        if pause_seconds:
            # Jitter, so that not all refused writes come back in the same moment.
            until = now + pause_seconds * (1.0 + 0.1 * self.jitter())
            self._paused_until = max(self._paused_until, until)

    def _queue(self, job: Job, *, first: bool = False) -> None:
        lane = self._urgent if job.urgent else self._last if job.last else self._others
        if first:
            lane.appendleft(job)
        else:
            lane.append(job)
        self._pump()

    def _pump(self) -> None:
        """Start what the window allows."""
        if self._closed:
            return
        now = _now()
        if now < self._paused_until:
            self._wake_at(self._paused_until)
            return
        window = min(self._window, _SMALLEST_WINDOW) if self.pressed() else self._window
        while len(self._tasks) < int(window) and (job := self._next(window)) is not None:
            self._urgent_in_flight += job.urgent
            self._last_in_flight += job.last
            task = asyncio.get_running_loop().create_task(self._run(job))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _next(self, window: float) -> Job | None:
        """While two lanes wait, each gets half of the window; the last lane gets one place."""
        half = max(window / 2, 1.0)
        others = self._urgent or self._others
        if self._last and self._last_in_flight < (1 if others else int(window * 3 / 4)):
            return self._last.popleft()
        if self._urgent and (not self._others or self._urgent_in_flight < half):
            return self._urgent.popleft()
        return self._others.popleft() if self._others else None

    def _wake_at(self, when: float) -> None:
        if self._wakes_at is None or when < self._wakes_at:
            self._wakes_at = when
            asyncio.get_running_loop().call_at(when, self._wake)

    def _wake(self) -> None:
        self._wakes_at = None
        self._pump()

    async def _run(self, job: Job) -> None:
        job.attempts += 1
        if job.attempts == 1:
            job.first_at = _now()
            if job.subject is not None:
                del self._newest[job.subject]
        try:
            await job.attempt()
        except errors.Unavailable as error:
            if not self._retry(job, error):
                self._end(job)
                job.failed(error)
        except errors.ClusterError as error:
            self._end(job)
            job.failed(error)
        except Exception as error:  # noqa: BLE001  one write must not stop all the others
            self._end(job)
            self.defect("/".join(job.key), error)
            job.failed(errors.Rejected(f"a defect of Bayplan: {error!r}", reason="OperatorDefect"))
        else:
            self._end(job)
            if job.once:
                self._remember(job)
        finally:
            self._urgent_in_flight -= job.urgent
            self._last_in_flight -= job.last

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        defect = task.exception()
        if isinstance(defect, Exception):  # defect of ours in reporting the failure
            self.defect("the end of a write", defect)
        self._pump()

    def _retry(self, job: Job, error: errors.Unavailable) -> bool:
        """Plan the next attempt: later each time, and not before the time that the server gives."""
        now = _now()
        if self._closed or now - job.first_at > PATIENCE_SECONDS:
            return False
        longest = delay_after(job.attempts, _FIRST_RETRY_MILLISECONDS, _LONGEST_RETRY_MILLISECONDS)
        delay = max(longest / 1000 * (0.5 + 0.5 * self.jitter()), _wanted_pause(error))
        logs.say(
            logging.INFO,
            "write again",
            verb="/".join(job.key),
            delay_seconds=round(delay, 1),
            error=error,
        )
        asyncio.get_running_loop().call_later(delay, self._again, job)
        return True

    def _again(self, job: Job) -> None:
        self._queue(job, first=True)

    def _end(self, job: Job) -> None:
        """Start the next job of this key."""
        self._known.discard(job.identity)
        self._kinds[job.identity[0]] -= 1
        behind = self._behind[job.key]
        if behind:
            self._queue(behind.popleft())
        else:
            del self._behind[job.key]

    def _remember(self, job: Job) -> None:
        now = _now()
        for identity, when in tuple(self._done.items()):  # in the order in which they were done
            if now - when < REMEMBER_SECONDS:
                break
            del self._done[identity]
        self._done.pop(job.identity, None)
        self._done[job.identity] = now


def _wanted_pause(error: errors.Unavailable) -> float:
    return min(error.retry_after_seconds or 0.0, LONGEST_PAUSE_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
