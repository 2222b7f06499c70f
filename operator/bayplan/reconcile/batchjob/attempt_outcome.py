"""How one attempt of a run stands: alive, succeeded, failed, lost to its node, or cancelled.

Which failures count against the retry limit is decided here and nowhere else. A lost attempt
(drained, preempted, refused by the kubelet, on a node that is gone or silent) does not count.
A kubelet eviction counts when it was for the pod's own excess: over its storage limit (no
DisruptionTarget), or because the node ran short and the kubelet names a container that used more
than it requested; a pod evicted within its requests is a victim and does not count.

A plain delete says nothing of who asked for it: `kubectl drain --disable-eviction` and autoscalers
at the end of their patience delete as a person does. So the pod's node tells: on one that is being
emptied (cordoned, leaving, lost, switched off, replaced) the attempt is lost, on one that stays a
person has cancelled it.
"""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bayplan.model.nodes import Node
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.kubelet_refusals import is_refusal

LOST_TO_NODE = "NodeLost"
LEFT_WITH_NODE = "NodeLeaving"
DELETED = "Deleted"
START_TIMEOUT = "StartTimeout"
TEMPLATE_CHANGED = "TemplateChanged"

_BY_SIGNAL = frozenset({137, 143})  # exit codes after SIGKILL and SIGTERM
# Said by the kubelet of a container that used more than its request when the node ran short.
_OWN_EXCESS = "larger consumption of"


class Standing(enum.Enum):
    LIVE = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    LOST = enum.auto()
    REPLACED = enum.auto()  # it lives, has begun nothing, and is of a template that has changed
    CANCELLED = enum.auto()


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt stands. `at` is when it ended, or when a live one would count as lost.

    `at` is None for a live attempt that nothing threatens. Times are epoch seconds. `began` is
    False when it is certain that no container of a lost attempt ever started. `detail` is what the
    kubelet said of one that did not start.
    """

    standing: Standing
    reason: str = ""
    exit_code: int | None = None
    at: int | None = None
    began: bool = True
    detail: str = ""


def outcome_of(
    pod: Pod,
    nodes: Mapping[str, Node],
    patience_seconds: int,
    grace_seconds: int,
    now: int,
) -> AttemptOutcome:
    """How this attempt stands now.

    `patience_seconds` is how long a node may be silent, or a pod overdue to be gone;
    `grace_seconds` is what the template gives its containers to stop.
    """
    if pod.phase is Phase.SUCCEEDED:
        return AttemptOutcome(
            Standing.SUCCEEDED, "Completed", pod.ending.exit_code, _ended_at(pod, now)
        )
    if pod.phase is Phase.FAILED:
        return _failed(pod, nodes, grace_seconds, now)
    if pod.assumed:
        return AttemptOutcome(Standing.LIVE)
    if pod.terminating and not pod.node:
        # Nothing will ever run it, and no kubelet will say so.
        reason = pod.disrupted or DELETED
        return AttemptOutcome(Standing.LOST, reason, at=_ended_at(pod, now), began=False)
    lost_at = _lost_at(pod, nodes, patience_seconds)
    if lost_at is None or now < lost_at:
        return AttemptOutcome(Standing.LIVE, at=lost_at)
    if _cancelled(pod) and not is_nodes_doing(pod, nodes, grace_seconds):
        return AttemptOutcome(Standing.CANCELLED, DELETED, at=now)
    return AttemptOutcome(Standing.LOST, LOST_TO_NODE, at=now)


def is_nodes_doing(pod: Pod, nodes: Mapping[str, Node], grace_seconds: int) -> bool:
    """Whether a pod that was deleted went because of its node: see above.

    What was seen when it was deleted is remembered on it (`uprooted`). After a restart of ours the
    node as it is tells, and what it tells of the past: it has become ready since, or it is another
    machine of the same name.
    """
    node = nodes.get(pod.node)
    if pod.uprooted or node is None:
        return True
    asked_at = _asked_at(pod, grace_seconds)
    started_at = pod.ending.started_at
    replaced = started_at is not None and node.created_at > started_at
    return replaced or node.took(asked_at) or node.ready_changed_at > asked_at


def _failed(pod: Pod, nodes: Mapping[str, Node], grace_seconds: int, now: int) -> AttemptOutcome:
    ended_at, exit_code = _ended_at(pod, now), pod.ending.exit_code
    if pod.reason == "Evicted" and (not pod.disrupted or _OWN_EXCESS in pod.message):
        return AttemptOutcome(Standing.FAILED, "Evicted", exit_code, ended_at)
    if pod.disrupted:
        return AttemptOutcome(
            Standing.LOST, pod.disrupted, exit_code, ended_at, began=bool(pod.node)
        )
    # The kubelet that refused or ended it knows whether a container of it ever started.
    began = pod.ending.started_at is not None
    if pod.reason == LOST_TO_NODE or is_refusal(pod.reason):
        return AttemptOutcome(Standing.LOST, pod.reason, exit_code, ended_at, began)
    if pod.reason == "DeadlineExceeded":
        return AttemptOutcome(Standing.FAILED, pod.reason, exit_code, ended_at)
    if _ended_by_delete(pod, ended_at, grace_seconds):
        # It ended because somebody deleted it; a pod that never ran was not cancelled but is
        # owed: deletes of our own writer (its node went meanwhile) look the same.
        if not _cancelled(pod):
            return AttemptOutcome(Standing.LOST, DELETED, exit_code, ended_at, began)
        if is_nodes_doing(pod, nodes, grace_seconds):
            return AttemptOutcome(Standing.LOST, LEFT_WITH_NODE, exit_code, ended_at)
        return AttemptOutcome(Standing.CANCELLED, DELETED, exit_code, ended_at)
    if pod.ending.reason == "ContainerStatusUnknown":
        # The kubelet restarted and its container was gone: the node's doing (a reboot).
        return AttemptOutcome(Standing.LOST, "ContainerStatusUnknown", exit_code, ended_at)
    reason = pod.ending.reason if pod.reason in {"", "Error"} else pod.reason
    return AttemptOutcome(Standing.FAILED, reason or "Error", exit_code, ended_at)


def _ended_by_delete(pod: Pod, ended_at: int, grace_seconds: int) -> bool:
    """Whether it ended after somebody had asked it to go, and not by itself before.

    A node's clock may be behind, so an end a little earlier counts too if it is one by a signal. A
    delete of which the server did not know yet has ended nothing.
    """
    if pod.deleted_at is None or pod.delete_assumed:
        return False
    asked_at = _asked_at(pod, grace_seconds)
    by_signal = pod.ending.exit_code is None or pod.ending.exit_code in _BY_SIGNAL
    return ended_at >= asked_at or (by_signal and ended_at >= asked_at - grace_seconds)


def _asked_at(pod: Pod, grace_seconds: int) -> int:
    """When somebody asked it to go; who deletes may give more or less than the template."""
    given = grace_seconds if pod.grace_seconds is None else pod.grace_seconds
    return (pod.deleted_at or 0) - given


def by_exit_code(found: AttemptOutcome, pod: Pod, success: Collection[int]) -> AttemptOutcome:
    """The verdict where `success` are the codes that mean it; none: as Kubernetes has it.

    What the kernel or the kubelet ended did not end by itself, so its code says nothing; nor does
    that of an init container that kept the others from starting.
    """
    if not success or found.exit_code is None:
        return found
    good = found.exit_code in success
    if found.standing is Standing.SUCCEEDED and not good:
        return replace(found, standing=Standing.FAILED, reason="ExitCode")
    own = found.reason == "Error" and pod.ending.started_at is not None
    if found.standing is Standing.FAILED and own and good:
        return replace(found, standing=Standing.SUCCEEDED, reason="Completed")
    return found


def _cancelled(pod: Pod) -> bool:
    """Whether somebody deleted it while it ran. Drains, taints and evictions say so themselves."""
    started = pod.ending.started_at is not None or pod.phase is Phase.RUNNING
    return pod.terminating and not pod.disrupted and started


def _lost_at(pod: Pod, nodes: Mapping[str, Node], patience_seconds: int) -> int | None:
    """When it counts as lost if nothing changes; None while nothing threatens it."""
    overdue_at = pod.overdue_at(patience_seconds)
    if not pod.node:
        return overdue_at
    node = nodes.get(pod.node)
    if node is None:
        return 0
    if node.ready:
        return overdue_at
    silent_at = node.ready_changed_at + patience_seconds
    return silent_at if overdue_at is None else min(silent_at, overdue_at)


def _ended_at(pod: Pod, now: int) -> int:
    """When its containers ended, to be written down; never in the future.

    Other than `Pod.ended_at` an end that nobody tells is that of the deletion, or now: the status
    keeps it. And it is compared with the start, which is of the same clock, to tell how long the
    run took: so it may lie before the creation.
    """
    told = pod.ending.finished_at
    if told is None:
        told = pod.deleted_at
    return now if told is None else min(told, now)
