"""Events `FailedScheduling` on the pods that wait for a node: `kubectl describe pod` says why.

The sentence is the mark that is stored on the pod. What counts is the cache, not the writing of a
mark, so a pod gets its Event although thousands were marked at once, and after a restart too. A pod
that found a node in the meantime gets none. All these Events go behind other Events.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import NoReturn

from bayplan.cluster.cache import Cache
from bayplan.cluster.events import Events, of_pod
from bayplan.model.intents import EmitEvent
from bayplan.model.pods import DEFECTIVE, UNSCHEDULABLE, WAITING_FOR_NODE, Pod
from bayplan.model.snapshot import PodKey

LOOK_SECONDS = 2.0
MOST_AT_ONCE = 10  # Events in one look: with LOOK_SECONDS, half of the pace of all Events
MOST_SEEN = 1_000  # pods in one look; the next look goes on behind them
FEW = 200  # other Events that wait: then these wait too
CHANGE_SECONDS = 60.0  # between two Events of one pod that differ in their words
REPEAT_SECONDS = 3000.0  # the API server forgets an Event after an hour
_OURS = frozenset({DEFECTIVE, UNSCHEDULABLE, WAITING_FOR_NODE})
_NUMBERS = re.compile(r"[0-9]+")


@dataclass(slots=True, eq=False)
class _Told:
    words: str
    at: float


@dataclass(slots=True, eq=False)
class PendingEvents:
    """What each waiting pod was told; `events` writes it."""

    cache: Cache
    events: Events
    _told: dict[str, _Told] = field(default_factory=dict)  # by the pod's uid
    _round: list[PodKey] = field(
        default_factory=list
    )  # whose turn is still to come, the last first

    async def run(self) -> NoReturn:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.events.may_write():
                self.look()

    @property
    def remembered(self) -> int:
        """The number of pods of which something is remembered."""
        return len(self._told)

    def look(self) -> None:
        """Tell some of the pods whose Event is missing or says something else."""
        now, left = asyncio.get_running_loop().time(), MOST_AT_ONCE
        waiting = self.cache.state.unplaced
        if len(self._told) > len(waiting):
            uids = {pod.uid for pod in waiting.values()}
            self._told = {uid: told for uid, told in self._told.items() if uid in uids}
        if self.events.waiting > FEW:
            return  # what happened goes before what still waits
        for _ in range(min(MOST_SEEN, len(waiting))):
            if not left:
                return
            self._round = self._round or [*reversed(waiting)]
            pod = waiting.get(self._round.pop())
            if pod is not None and self._is_news(pod, now):
                left -= 1
                self._told[pod.uid] = _Told(_words(pod), now)
                self.events.emit(of_pod(pod), _event(pod))

    def _is_news(self, pod: Pod, now: float) -> bool:
        if pod.scheduled_reason not in _OURS or not pod.uid:
            return False
        told = self._told.get(pod.uid)
        if told is None or now - told.at >= REPEAT_SECONDS:
            return True
        return now - told.at >= CHANGE_SECONDS and told.words != _words(pod)


def _event(pod: Pod) -> EmitEvent:
    return EmitEvent("FailedScheduling", pod.scheduled_message, warning=True)


def _words(pod: Pod) -> str:
    """The sentence without its numbers, which change with every node."""
    return _NUMBERS.sub("0", pod.scheduled_message)
