"""Marks on waiting pods, on their way: the newest mark of each pod, at a bounded pace.

A pod's first mark goes out at once, because autoscalers buy nodes upon it. So does a mark that
changes the node held for the pod, because a restart reads holds back from there. Changes of words
alone come with every new node and are for people. They are written at most once a minute for one
pod and at most twenty times a second in the whole cluster, and only after the words have stood
still for a while. What was held back is written later, although nothing rings. All marks go behind
other writes, and a mark is dropped if the pod has a place by then.

A mark names the version of the pod that it was made for, so that it cannot undo a binding that is
on its way beside it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bayplan import logs
from bayplan.cluster import errors, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.sender import Job, Sender
from bayplan.model import intents
from bayplan.model.backoff import delay_after
from bayplan.model.pods import Pod

WORDS_SECONDS = 60.0  # between two marks of one pod that differ in words alone
STILL_SECONDS = 15.0  # words must stand for this long to be worth a write …
LONGEST_SECONDS = 300.0  # … unless the pod has said something else for this long
PER_SECOND = 20  # changes of words, and second tries, in the whole cluster
_FIRST_REFUSED_SECONDS = 1  # a failed mark of a pod is tried again after this, …
_LONGEST_REFUSED_SECONDS = 300  # … then after twice as long each time, up to this
_LOOK_SECONDS = 0.5
_FEW = 64  # below this, it is not worth looking for pods that have gone

_Key = tuple[str, str]  # namespace, name


@dataclass(slots=True, eq=False)
class _Mark:
    """One pod's mark: the newest wanted mark, and when one was last sent. Times are the loop's."""

    wanted: intents.MarkUnschedulable
    changed_at: float  # since when these words are wanted
    late_since: float  # since when the pod has said something else
    written_at: float = float("-inf")  # the last try
    told: str = ""  # the reason of the mark that was stored last
    not_before: float = float("-inf")
    refused: int = 0  # refusals in a row
    queued: bool = False


class Marks:
    """`now` returns epoch seconds; `feed` takes an answer in as news."""

    def __init__(
        self,
        sender: Sender,
        cache: Cache,
        now: Callable[[], float],
        feed: Callable[[str, bytes], None],
    ) -> None:
        self._sender = sender
        self._cache = cache
        self._now = now
        self._feed = feed
        self._marks: dict[_Key, _Mark] = {}
        self._late: dict[_Key, _Mark] = {}  # marks that wait for their moment, in turn
        self._looks: asyncio.TimerHandle | None = None

    @property
    def kept(self) -> int:
        """The number of pods of which something is remembered."""
        return len(self._marks)

    def want(self, wanted: intents.MarkUnschedulable) -> None:
        """Make the pod say this as soon as it may; an older wanted mark of the pod is forgotten."""
        key, now = (wanted.namespace, wanted.name), asyncio.get_running_loop().time()
        mark = self._marks.get(key)
        if mark is None or mark.wanted.uid != wanted.uid:
            self._forget_gone()
            self._late.pop(key, None)
            mark = self._marks[key] = _Mark(wanted, changed_at=now, late_since=now)
        elif mark.wanted.message != wanted.message:
            mark.changed_at = now
        mark.wanted = wanted
        self._plan(key, mark)

    def _plan(self, key: _Key, mark: _Mark) -> None:
        """Queue the mark, let it wait for its moment, or drop it when the pod says so already."""
        if mark.queued:
            return  # the sender takes the newest mark when its turn comes
        pod = self._pod(mark)
        if pod is None or _said(pod, mark.wanted):
            self._late.pop(key, None)
        elif not (mark.refused or _words_alone(pod, mark)):
            self._submit(key, mark)
        elif key not in self._late:
            mark.late_since = asyncio.get_running_loop().time()
            self._late[key] = mark
            self._look_soon()

    def _pod(self, mark: _Mark) -> Pod | None:
        """The pod as it is known, while it has no node and none is decided for it."""
        pod = self._cache.state.pods.get((mark.wanted.namespace, mark.wanted.name))
        if pod is None or pod.uid != mark.wanted.uid:
            return None
        return None if pod.node or pod.terminating or pod.terminal else pod

    @staticmethod
    def _due(pod: Pod, mark: _Mark) -> float:
        if not _words_alone(pod, mark):
            return mark.not_before
        still = min(mark.changed_at + STILL_SECONDS, mark.late_since + LONGEST_SECONDS)
        return max(mark.written_at + WORDS_SECONDS, still, mark.not_before)

    def _look_soon(self) -> None:
        if self._looks is None:
            loop = asyncio.get_running_loop()
            self._looks = loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Queue marks whose moment has come; words and second tries no faster than the pace."""
        self._looks = None
        now, left = asyncio.get_running_loop().time(), int(PER_SECOND * _LOOK_SECONDS)
        for key, mark in tuple(self._late.items()):
            pod = self._pod(mark)
            if pod is None or _said(pod, mark.wanted):
                del self._late[key]
            elif self._due(pod, mark) <= now:
                if mark.refused or _words_alone(pod, mark):
                    if not left:
                        continue
                    left -= 1
                self._submit(key, mark)
        if self._late:
            self._look_soon()

    def _submit(self, key: _Key, mark: _Mark) -> None:
        self._late.pop(key, None)
        mark.queued = True

        async def attempt() -> None:
            pod, sent = self._pod(mark), mark.wanted
            if pod is not None and not _said(pod, sent):
                mark.written_at = asyncio.get_running_loop().time()
                try:
                    since = None if pod.scheduled_reason else int(self._now())
                    request = requests.mark_unschedulable(sent, since, pod.resource_version)
                    self._feed("Pod", await self._sender.send(request))
                    mark.told = sent.reason
                except errors.NotFound:
                    self._cache.drop("Pod", key, sent.uid)
            mark.refused = 0
            done()

        def failed(error: errors.ClusterError) -> None:
            logs.say(logging.INFO, "write failed", verb="mark", pod="/".join(key), error=error)
            mark.refused += 1
            pause = delay_after(mark.refused, _FIRST_REFUSED_SECONDS, _LONGEST_REFUSED_SECONDS)
            mark.not_before = asyncio.get_running_loop().time() + pause
            done()

        def done() -> None:
            """A newer mark may be wanted by now; the sender takes it after this job."""
            mark.queued = False
            asyncio.get_running_loop().call_soon(self._plan, key, mark)

        # Not in line with other writes of the pod: its binding need not wait for words.
        job = Job(("Mark", *key), ("mark", key, mark.wanted.uid), attempt, failed, last=True)
        self._sender.submit(job)

    def _forget_gone(self) -> None:
        """Keep at most twice as many marks as there are waiting pods."""
        waiting = self._cache.state.unplaced
        if len(self._marks) > 2 * len(waiting) + _FEW:
            self._marks = {
                key: mark for key, mark in self._marks.items() if key in waiting or mark.queued
            }


def _said(pod: Pod, wanted: intents.MarkUnschedulable) -> bool:
    return pod.says(wanted.message, wanted.held, wanted.reason)


def _words_alone(pod: Pod, mark: _Mark) -> bool:
    """Whether only a sentence would change, or somebody has undone our write."""
    told = mark.wanted.reason in {mark.told, pod.scheduled_reason}
    return told and pod.nominated == mark.wanted.held
