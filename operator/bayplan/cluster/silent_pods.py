"""Pods of ours that do not become ready though their status does not say why.

A kubelet says only in an Event that it cannot mount a volume, make the sandbox, or get a good
answer to a probe. So it does of a container that it ended for a probe: the pod of a run has failed
then, and its status has no more than exit code 137. What the kubelet said is remembered here and
added to each sight of the pod, as though it stood in the pod's status. It is forgotten when the pod
becomes ready or goes.
"""

import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from bayplan.api import kinds
from bayplan.cluster.hindrances import BY_SIGNAL, CRASH_LOOP, NO_MEMORY
from bayplan.model import kubelet_words
from bayplan.model.pods import Ending, Phase, Pod

FIRST_SECONDS = 5.0  # a pod on a node is asked about after this, …
LONGEST_SECONDS = 120.0  # … then after twice as long each time, up to this
ENDED_SECONDS = 2.0  # a pod that has ended is asked about at once, and once more after this
_ENDED_QUESTIONS = 2
_NEVER = float("inf")
OWNER_SECONDS = 2.0  # between two questions about pods of one owner: most wait for the same thing
HARMLESS = "Readiness probe"
_CHANGING = re.compile(r"[0-9a-f]{8,}|[0-9]+")  # ids and numbers


@dataclass(frozen=True, slots=True)
class Words:
    """What a kubelet said of a pod: the reason of its Event, and its sentence."""

    reason: str
    said: str

    @property
    def gist(self) -> tuple[str, str]:
        """What is equal in two sayings of the same thing."""
        return self.reason, _CHANGING.sub("0", self.said)


@dataclass(slots=True, eq=False)
class Silent:
    """One pod whose status says nothing; times are the loop's."""

    pod: Pod  # as it was seen last
    asked: int = 0
    ask_at: float | None = None  # None: it was not looked at yet
    words: Words | None = None

    @property
    def owner(self) -> str:
        return self.pod.owner.uid if self.pod.owner is not None else ""


@dataclass(slots=True, eq=False)
class SilentPods:
    """The silent pods by uid."""

    _pods: dict[str, Silent] = field(default_factory=dict)
    _owners: dict[str, float] = field(default_factory=dict)  # uid of an owner -> when it was asked

    def applied(self, pod: Pod) -> Pod:
        """Return a pod that was seen as it counts: with what its kubelet said elsewhere."""
        known = self._pods.get(pod.uid)
        if is_unexplained(pod):
            return self._ended(pod, known)
        if not is_silent(pod):
            if known is not None:
                del self._pods[pod.uid]
                return _ended(pod, known.words)
            return pod
        if known is None:
            known = self._pods[pod.uid] = Silent(pod)
        known.pod = pod
        return _told(pod, known.words)

    def _ended(self, pod: Pod, known: Silent | None) -> Pod:
        told = _ended(pod, known.words if known is not None else None)
        if known is None or not known.pod.terminal:
            known = self._pods[pod.uid] = Silent(
                pod,
                ask_at=-_NEVER if told is pod else _NEVER,
                words=known.words if known is not None else None,
            )
        known.pod = pod
        return told

    def gone(self, uid: str) -> None:
        """The pod has gone."""
        self._pods.pop(uid, None)

    def due(self, now: float, most: int, resting: Collection[str] = ()) -> Iterator[Silent]:
        """The pods to ask about now, those first that were asked about least often.

        There are none of `resting` namespaces.
        """
        for one in self._pods.values():
            if one.ask_at is None:
                one.ask_at = now + FIRST_SECONDS
        self._owners = {uid: at for uid, at in self._owners.items() if now - at < OWNER_SECONDS}
        waiting = (one for one in self._pods.values() if one.ask_at is not None)
        ready = [one for one in waiting if one.ask_at is not None and one.ask_at <= now]
        for one in sorted(ready, key=lambda one: (one.asked, one.ask_at)):
            rests = one.pod.namespace in resting
            waits = one.owner in self._owners and not one.pod.terminal
            if most and not rests and not waits:
                most -= 1
                self._owners[one.owner] = now
                one.asked += 1
                one.ask_at = _again(one, now)
                yield one

    def hear(self, one: Silent, words: Words | None) -> Pod | None:
        """The pod as it counts from now on; None if nothing is new, or it is not silent now.

        `words` None: nothing keeps it from becoming ready any more, as far as its kubelet says.
        """
        if self._pods.get(one.pod.uid) is not one:
            return None
        if (one.words and one.words.gist) == (words and words.gist):
            return None
        one.words = words
        return _ended(one.pod, words) if one.pod.terminal else _told(one.pod, words)

    @property
    def count(self) -> int:
        return len(self._pods)


def is_silent(pod: Pod) -> bool:
    """Whether a pod of ours is on a node, is not ready, and its status does not say why."""
    if pod.ready or not pod.node or not pod.uid or pod.terminal or pod.terminating:
        return False
    if pod.owner is None or pod.owner.kind not in kinds.BY_NAME:
        return False
    return pod.ending.waiting in {"", CRASH_LOOP} and not pod.unmet_gates


def is_unexplained(pod: Pod) -> bool:
    """Whether a pod of ours has failed, and an Event alone may say that a probe was the reason."""
    ours = pod.owner is not None and pod.owner.kind in kinds.BY_NAME
    ended = pod.phase is Phase.FAILED and bool(pod.uid) and not pod.terminating
    return ours and ended and pod.ending.unexplained


def _again(one: Silent, now: float) -> float:
    """When a pod is asked about again, after it was asked about now."""
    if one.pod.terminal:
        return now + ENDED_SECONDS if one.asked < _ENDED_QUESTIONS else _NEVER
    return now + min(FIRST_SECONDS * 2.0**one.asked, LONGEST_SECONDS)


def _told(pod: Pod, words: Words | None) -> Pod:
    """The pod, with the words in place of what its status does not say."""
    ending = pod.ending
    if words is None:
        return pod
    if words.reason in kubelet_words.OF_STARTING:
        starts = ending.began or ending.waiting
        return pod if starts else _with(pod, waiting=words.reason, said=words.said)
    if not ending.began:
        return pod  # of a former container
    if ending.waiting == CRASH_LOOP or ending.restarts:
        by_itself = ending.exit_code is not None and not _ends(words, ending)
        return pod if by_itself else _with(pod, said=words.said)
    started = pod.phase is Phase.RUNNING and ending.complete
    return _with(pod, said=words.said, waiting="" if started else kubelet_words.UNHEALTHY)


def _ended(pod: Pod, words: Words | None) -> Pod:
    """A pod that is over: if its kubelet ended it after a probe failed, it says so."""
    if words is None or words.reason not in kubelet_words.OF_RUNNING:
        return pod
    by_kubelet = pod.phase is Phase.FAILED and _ends(words, pod.ending)
    return _with(pod, said=words.said) if by_kubelet else pod


def _ends(words: Words, ending: Ending) -> bool:
    """Whether a container that ended so was ended for what its kubelet said.

    A readiness probe ends no container, and the kernel ends one that has no memory left.
    """
    by_kubelet = ending.exit_code in BY_SIGNAL and ending.reason != NO_MEMORY
    return by_kubelet and HARMLESS not in words.said


def _with(pod: Pod, **changes: str) -> Pod:
    ending: Ending = dataclasses.replace(pod.ending, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(pod, ending=ending)
