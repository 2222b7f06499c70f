"""How one attempt of a run stands: alive, succeeded, failed, lost to its node, or cancelled.

Only this module decides which failures count against the retry limit. A lost attempt (drained,
preempted, refused by the kubelet, on a node that is gone or silent) does not count. A kubelet
eviction counts when the pod's own excess caused it: the pod was over its storage limit (no
DisruptionTarget), or the node ran short and the kubelet names a container that used more than it
requested. A pod that was evicted within its requests is a victim, and that does not count.

A plain delete does not show who asked for it: `kubectl drain --disable-eviction` and autoscalers
at the end of their patience delete as a person does. So the pod's node decides: on a node that is
being emptied (cordoned, leaving, lost, switched off, replaced) the attempt is lost; on a node that
stays, a person has cancelled it.
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
# The kubelet says this of a container that used more than its request when the node ran short.
_OWN_EXCESS = "larger consumption of"


class Standing(enum.Enum):
    LIVE = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    LOST = enum.auto()
    REPLACED = enum.auto()  # it lives but no container began, and its template has changed since
    CANCELLED = enum.auto()


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt stands. `at` is when it ended, or when a live attempt would count as lost.

    `at` is None for a live attempt that nothing threatens. Times are epoch seconds. `began` is
    False when it is certain that no container of a lost attempt ever started. `detail` is what the
    kubelet said of an attempt that did not start.
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

    `patience_seconds` is how long a node may be silent, or a pod may overrun its removal;
    `grace_seconds` is the time that the template gives its containers to stop.
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
        # No node will ever run it, and no kubelet will report that.
        reason = pod.disrupted or DELETED
        return AttemptOutcome(Standing.LOST, reason, at=_ended_at(pod, now), began=False)
    lost_at = _lost_at(pod, nodes, patience_seconds)
    if lost_at is None or now < lost_at:
        return AttemptOutcome(Standing.LIVE, at=lost_at)
    if _cancelled(pod) and not is_nodes_doing(pod, nodes, grace_seconds):
        return AttemptOutcome(Standing.CANCELLED, DELETED, at=now)
    return AttemptOutcome(Standing.LOST, LOST_TO_NODE, at=now)


def is_nodes_doing(pod: Pod, nodes: Mapping[str, Node], grace_seconds: int) -> bool:
    """Whether a deleted pod went because of its node: see the module's docstring.

    What was seen at the time of the delete is remembered on the pod (`uprooted`). After a restart
    of the operator only the present node can show it: the node has become ready since, or it is
    another machine of the same name.
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
    # The kubelet that refused or ended the pod knows whether a container of it ever started.
    began = pod.ending.started_at is not None
    if pod.reason == LOST_TO_NODE or is_refusal(pod.reason):
        return AttemptOutcome(Standing.LOST, pod.reason, exit_code, ended_at, began)
    if pod.reason == "DeadlineExceeded":
        return AttemptOutcome(Standing.FAILED, pod.reason, exit_code, ended_at)
    if _ended_by_delete(pod, ended_at, grace_seconds):
        # It ended because somebody deleted it. A pod that never ran was not cancelled: it is still
        # owed, because deletes by our own writer (its node went meanwhile) look the same.
        if not _cancelled(pod):
            return AttemptOutcome(Standing.LOST, DELETED, exit_code, ended_at, began)
        if is_nodes_doing(pod, nodes, grace_seconds):
            return AttemptOutcome(Standing.LOST, LEFT_WITH_NODE, exit_code, ended_at)
        return AttemptOutcome(Standing.CANCELLED, DELETED, exit_code, ended_at)
    if pod.ending.reason == "ContainerStatusUnknown":
        # The kubelet restarted and the container was gone: the node caused it (a reboot).
        return AttemptOutcome(Standing.LOST, "ContainerStatusUnknown", exit_code, ended_at)
    reason = pod.ending.reason if pod.reason in {"", "Error"} else pod.reason
    return AttemptOutcome(Standing.FAILED, reason or "Error", exit_code, ended_at)


def _ended_by_delete(pod: Pod, ended_at: int, grace_seconds: int) -> bool:
    """Whether it ended after somebody asked it to go, and not by itself before that.

    A node's clock may be behind, so an end by a signal also counts a little earlier. A delete that
    the server did not know of yet has ended nothing.
    """
    if pod.deleted_at is None or pod.delete_assumed:
        return False
    asked_at = _asked_at(pod, grace_seconds)
    by_signal = pod.ending.exit_code is None or pod.ending.exit_code in _BY_SIGNAL
    return ended_at >= asked_at or (by_signal and ended_at >= asked_at - grace_seconds)


def _asked_at(pod: Pod, grace_seconds: int) -> int:
    """When somebody asked it to go; a delete may give more or less grace than the template."""
    given = grace_seconds if pod.grace_seconds is None else pod.grace_seconds
    return (pod.deleted_at or 0) - given


def by_exit_code(found: AttemptOutcome, pod: Pod, success: Collection[int]) -> AttemptOutcome:
    """The verdict where `success` lists the exit codes of a success; empty: as Kubernetes decides.

    A container that the kernel or the kubelet ended did not end by itself, so its code says
    nothing. Nor does the code of an init container that kept the others from starting.
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
    """Whether somebody deleted it while it ran. Drains, taints and evictions mark their pods."""
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
    """When its containers ended, as the status stores it; never in the future.

    Unlike `Pod.ended_at`, an unreported end is set to the time of the deletion, or to now, because
    the status keeps it. The status also compares it with the start, by the same clock, to get the
    run time: so it may lie before the creation.
    """
    told = pod.ending.finished_at
    if told is None:
        told = pod.deleted_at
    return now if told is None else min(told, now)
