"""An attempt whose containers have not started: what hinders them, and when it is given up.

It is given up in two cases. When the template changes, an attempt of which no container ever began
is replaced by an attempt of the new template, which costs the run nothing. And an attempt that has
not started all of its main containers within `startTimeoutSeconds` is deleted, and has failed once
it is over. The time counts from the moment at which it got its node, or from the end of its init
containers, which may work as long as they like. It counts only while that node is ready: a silent
node is another matter.
"""

from collections.abc import Mapping
from dataclasses import replace

from bayplan.api import names
from bayplan.api.batchjob_status import LONGEST_DETAIL
from bayplan.model import kubelet_words
from bayplan.model.nodes import Node
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.batchjob.attempt_outcome import (
    START_TIMEOUT,
    AttemptOutcome,
    Standing,
)

# The API server dates a delete; its clock may be behind our clock, which sets the time limit.
_SKEW_SECONDS = 10

ASKED_SECONDS = 5  # how long the end of an attempt waits for what its kubelet says of it

CANNOT_START = "CannotStart"  # for a kubelet's word that is not in the list below

# A kubelet's words for what keeps a container from starting until somebody mends it; for an image
# that cannot be pulled it alternates between two words.
_WORDS = {
    "CrashLoopBackOff": "CrashLoopBackOff",  # of a sidecar: no other container of a run restarts
    "CreateContainerConfigError": "CreateContainerConfigError",
    "CreateContainerError": "CreateContainerError",
    "ErrImageNeverPull": "ErrImageNeverPull",
    "ErrImagePull": "ImagePullBackOff",
    "ImageInspectError": "ImageInspectError",
    "ImagePullBackOff": "ImagePullBackOff",
    "InvalidImageName": "InvalidImageName",
    "PostStartHookError": "PostStartHookError",
    "RunContainerError": "RunContainerError",
    kubelet_words.UNHEALTHY: kubelet_words.UNHEALTHY,  # of a sidecar: the main containers wait
    **{word: word for word in kubelet_words.OF_STARTING},
}
# Reasons of a living attempt that cannot start …
HINDERED = frozenset({CANNOT_START, *_WORDS.values()})
# … and of the end of an attempt that did not start.
NEVER_STARTED = frozenset({START_TIMEOUT, "StartError", "ContainerCannotRun"})


def has_begun(pod: Pod) -> bool:
    """Whether any container of the pod is known to have run."""
    return pod.ending.began or pod.phase is Phase.RUNNING


def is_complete(pod: Pod) -> bool:
    """Whether all of its main containers have started once."""
    return pod.ending.complete or (pod.phase is Phase.RUNNING and not pod.ending.lacking)


def word(pod: Pod) -> str:
    """What keeps a living attempt from starting; empty when nothing is known to prevent it."""
    if not pod.ending.waiting or is_complete(pod):
        return ""
    return _WORDS.get(pod.ending.waiting, CANNOT_START)


def detail(pod: Pod) -> str:
    """What its kubelet says, as long as it says anything."""
    return pod.ending.said[:LONGEST_DETAIL]


def is_outdated(pod: Pod, nodes: Mapping[str, Node], template_hash: str) -> bool:
    """Whether to replace a live attempt by an attempt of this template (empty: no template)."""
    if pod.assumed or pod.terminating or has_begun(pod):
        return False
    node = nodes.get(pod.node)
    if pod.node and (node is None or not node.ready):
        return False  # a silent kubelet may have started it
    own = pod.labels.get(names.TEMPLATE_HASH, "")
    return bool(own and template_hash) and own != template_hash


def due_at(pod: Pod, nodes: Mapping[str, Node], timeout_seconds: int) -> int | None:
    """The latest start (epoch seconds); None without a limit, or if it has started."""
    node = nodes.get(pod.node)
    if not timeout_seconds or node is None or not node.ready or is_complete(pod):
        return None
    if pod.ending.preparing:
        return None
    placed_at = pod.created_at if pod.placed_at is None else pod.placed_at
    prepared_at = pod.ending.prepared_at or placed_at
    return max(placed_at, prepared_at, node.ready_changed_at) + timeout_seconds


def ended_by_timeout(found: AttemptOutcome, pod: Pod, due: int | None) -> AttemptOutcome:
    """Failed, if the attempt was deleted because it had not started by `due`; else `found`.

    The pod is deleted before its failure is written: if it started in the meantime, it has not
    failed, and its own end counts.
    """
    asked_at = pod.asked_at
    deleted = pod.terminating and not pod.delete_assumed and not pod.disrupted
    ended = pod.phase is Phase.FAILED and deleted
    if not ended or due is None or asked_at < due - _SKEW_SECONDS:
        return found
    return AttemptOutcome(Standing.FAILED, START_TIMEOUT, at=found.at, detail=detail(pod))


def is_asked_about(found: AttemptOutcome, pod: Pod, now: int) -> bool:
    """Whether an attempt has just failed, and its kubelet may still say which probe was the reason.

    What the status says of an attempt's end does not change any more, so it waits for the word.
    """
    unexplained = found.standing is Standing.FAILED and pod.ending.unexplained
    if not unexplained or pod.ending.said or pod.terminating or found.at is None:
        return False
    return now < found.at + ASKED_SECONDS


def with_words(found: AttemptOutcome, pod: Pod) -> AttemptOutcome:
    """The end of a failed attempt, with what is known of it beside its reason and exit code.

    That is why it never started, which init container failed, or which probe failed before its
    kubelet ended it.
    """
    if found.standing is not Standing.FAILED or found.detail:
        return found
    said = pod.ending.said if has_begun(pod) else pod.ending.message
    return replace(found, detail=said.strip()[:LONGEST_DETAIL])
