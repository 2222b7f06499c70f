"""Which pods may move to another node, and why the others may not.

An instance of a LongService is replaced before it leaves. A pod of another controller is evicted,
and its controller makes its successor; that is done only if other pods of the controller go on. A
run is never ended, unless its job says that it may be. What a person, a budget or a volume keeps
where it is stays. Where the pod could go is not considered here.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from bayplan.model.pods import Owner, Pod

PER_NODE = "bayplan.dev/per-node"  # annotation: "true" on pods of a service with mode PerNode

# Controllers that make an equal pod at once when one of theirs is evicted. Others may not: the
# driver of a Spark application is a pod that is lost for good.
_REPLACING = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet", "CloneSet"})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides beside the pod itself.

    `living` says how many pods of a controller run and are not about to go. `spent` names the
    PodDisruptionBudget that lets no pod like this go now, and is empty if there is none.
    `interruptible` says whether the runs of a job may be ended and begun again. `updating` are the
    uids of LongServices whose instances get another template, and so move anyway.
    """

    now: int  # epoch seconds
    minimum_stay_seconds: int
    living: Callable[[Owner], int]
    spent: Callable[[Pod], str] = lambda _: ""
    interruptible: Callable[[Owner], bool] = lambda _: False
    scheduler: str = "bayplan"
    updating: AbstractSet[str] = frozenset()


def of_its_node(pod: Pod) -> bool:
    """Whether the pod comes and goes with its node: of a DaemonSet, static, or one on each node."""
    return pod.resident or pod.annotations.get(PER_NODE) == "true"


def updating(pods: Iterable[Pod], revision: str) -> frozenset[str]:
    """Uids of LongServices with instances of more than one template, which this label names."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        if pod.owner is not None and pod.owner.kind == "LongService" and not pod.terminating:
            found.setdefault(pod.owner.uid, set()).add(pod.labels.get(revision, ""))
    return frozenset(uid for uid, templates in found.items() if len(templates) > 1)


def verdict(pod: Pod, around: Circumstances) -> str:
    """Why a pod may not move, as the end of a sentence that begins with it; empty if it may.

    It is not asked about pods that belong to their node.
    """
    return (
        _kept(pod, around.now)
        or _held_by_controller(pod, around)
        or _held_by_volume(pod)
        or _held_by_budget(pod, around)
        or _young(pod, around)
    )


def young(pod: Pod, minimum_stay_seconds: int, now: int) -> bool:
    """Whether the pod has come to its node too lately to be moved; `now` in epoch seconds."""
    return now < old_at(pod, minimum_stay_seconds)


def old_at(pod: Pod, minimum_stay_seconds: int) -> int:
    """When the pod will have been on its node for long enough to be moved (epoch seconds)."""
    since = pod.created_at if pod.placed_at is None else pod.placed_at
    return since + minimum_stay_seconds


def _kept(pod: Pod, now: int) -> str:
    barred = pod.barred(now)
    return f"must stay because of its {barred}" if barred else ""


def _held_by_controller(pod: Pod, around: Circumstances) -> str:
    owner = pod.owner
    if owner is None:
        return "has no controller that would replace it"
    named = f"{owner.kind} {owner.name}"
    if owner.kind == "Pod":  # the executor of a Spark driver
        return f"works for {named} and is not interrupted"
    if pod.is_run:
        may = owner.kind == "BatchJob" and around.interruptible(owner)
        return "" if may else f"is a run of {named}, which is not interrupted"
    if owner.kind == "LongService":
        return f"is of {named}, which gets another template" if owner.uid in around.updating else ""
    if owner.kind not in _REPLACING:
        return f"belongs to {named}, which may not replace it"
    if pod.scheduler != around.scheduler:
        return f"is placed by the scheduler {pod.scheduler or 'default-scheduler'}"
    if around.living(owner) < 2:  # noqa: PLR2004  the other one goes on meanwhile
        return f"is the only pod of {named}"
    return ""


def _held_by_volume(pod: Pod) -> str:
    wanted = pod.constraints
    if wanted.claims:
        return f"uses the volume claim {wanted.claims[0]}"
    if wanted.disks:
        return f"uses the disk {wanted.disks[0].name}"
    return "uses devices that kube-scheduler allocates" if wanted.devices else ""


def _held_by_budget(pod: Pod, around: Circumstances) -> str:
    if pod.owner is not None and pod.owner.kind == "LongService":
        return ""  # its replacement is ready before it goes
    spent = around.spent(pod)
    return f"may not leave now by PodDisruptionBudget {spent}" if spent else ""


def _young(pod: Pod, around: Circumstances) -> str:
    least = around.minimum_stay_seconds
    early = young(pod, least, around.now)
    return f"has been on its node for less than {least} seconds" if early else ""
