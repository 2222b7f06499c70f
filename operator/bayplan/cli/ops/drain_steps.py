"""Empties a node: cordons it, waits for the operator and for runs, and evicts the rest.

The cordon makes the operator start replacements elsewhere and evict an instance when its
replacement is healthy. Pods that are left after their time, and pods of others, are evicted by the
Eviction API, so that disruption budgets hold. No pod is deleted directly; the node stays cordoned.

A pod whose volume exists on this node only has nowhere to go. It goes on, unless `force` is given:
then it is evicted too, and waits until the node lets pods in again.
"""

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.api.kinds import RUNS
from bayplan.cli.client import ApiClient
from bayplan.cli.errors import Changed, NoAnswer, NotThere
from bayplan.cli.ops import local_volumes

_LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 30.0  # an API server may be restarted meanwhile
_FINISHED = ("Succeeded", "Failed")
_MIRROR = "kubernetes.io/config.mirror"


class NeedsForce(Exception):  # noqa: N818  an outcome that the user sees as a line
    """The node has pods that nothing would create again; the message names them."""


@dataclass(frozen=True, slots=True)
class Order:
    """The node, and for how many seconds each kind of pod may leave by itself."""

    node: str
    move_seconds: float  # instances, for their replacements
    run_seconds: float  # runs, for their end
    seconds: float  # for everything
    force: bool = False  # evict pods that nothing would create again, or not on another node


class Kind(enum.Enum):
    INSTANCE = "instance"
    RUN = "run"
    OTHER = "pod"


@dataclass(frozen=True, slots=True)
class RemainingPod:
    """A pod that keeps its node from being empty."""

    namespace: str
    name: str
    uid: str
    kind: Kind
    owned: bool
    terminating: bool
    finished: bool

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Drain:
    """How far the drain is; `seconds` since it began."""

    node: str
    seconds: float = 0.0
    there: list[RemainingPod] = field(default_factory=list)  # now
    seen: dict[str, RemainingPod] = field(default_factory=dict)  # uid -> every pod ever seen there
    evicted: set[str] = field(default_factory=set)  # uids
    blocked: dict[str, str] = field(default_factory=dict)  # uid -> why its eviction was refused
    bound: dict[str, str] = field(
        default_factory=dict
    )  # uid -> its claim that is on this node only

    @property
    def empty(self) -> bool:
        return not self.there

    @property
    def gone(self) -> int:
        return len(self.seen) - len(self.there)

    def left_alone(self, kind: Kind) -> int:
        """How many pods of a kind have gone without an eviction."""
        here = {pod.uid for pod in self.there}
        return sum(
            pod.kind is kind and uid not in here and uid not in self.evicted
            for uid, pod in self.seen.items()
        )

    def why(self, pod: RemainingPod) -> str:
        """Why a pod is still there, in a few words."""
        if pod.terminating:
            return "is being deleted"
        if pod.uid in self.blocked:
            return self.blocked[pod.uid]
        if pod.uid in self.bound:
            return (
                f"stays: the volume of its claim {self.bound[pod.uid]} exists on this node only; "
                "--force evicts it, and it waits until the node is uncordoned"
            )
        return {
            Kind.INSTANCE: "waits for its replacement",
            Kind.RUN: "may finish",
            Kind.OTHER: "is to be evicted",
        }[pod.kind]

    def summary(self) -> str:
        """The pods that are still there, counted by kind and reason."""
        counts = Counter((pod.kind.value, self.why(pod)) for pod in self.there)
        return "; ".join(
            f"{count} {kind}{'' if count == 1 else 's'}: {why}"
            for (kind, why), count in sorted(counts.items())
        )

    def as_json(self) -> Mapping[str, Any]:
        return {
            "node": self.node,
            "empty": self.empty,
            "seconds": round(self.seconds, 1),
            "instancesMoved": self.left_alone(Kind.INSTANCE),
            "runsFinished": self.left_alone(Kind.RUN),
            "evicted": len(self.evicted),
            "remaining": [
                {
                    "namespace": pod.namespace,
                    "name": pod.name,
                    "kind": pod.kind.value,
                    "reason": self.why(pod),
                }
                for pod in self.there
            ],
        }


Shown = Callable[[Drain], None]


def carry_out(order: Order, cluster: ApiClient, shown: Shown) -> Drain:
    """Carry out the order; returns how far it came in its time."""
    began = cluster.monotonic()
    state = Drain(order.node)
    state.there = [pod for pod, _ in _remaining(cluster, order.node)]
    lonely = [pod.label for pod in state.there if not pod.owned]
    if lonely and not order.force:
        raise NeedsForce(f"nothing would create these pods again: {', '.join(sorted(lonely))}")
    cluster.cordon(order.node)
    while True:
        found = _remaining(cluster, order.node)
        state.there = [pod for pod, _ in found]
        if not order.force:
            new = [body for pod, body in found if pod.uid not in state.seen]
            state.bound |= local_volumes.only_here(cluster, order.node, new)
        state.seconds = cluster.monotonic() - began
        state.seen |= {pod.uid: pod for pod in state.there}
        shown(state)
        due = [pod for pod in state.there if state.seconds >= _patience(order, pod)]
        stuck = all(pod.uid in state.bound and not pod.terminating for pod in due)
        if state.empty or state.seconds >= order.seconds or (stuck and len(due) == len(found)):
            return state
        due = [pod for pod in due if pod.uid not in state.bound]
        _evict([pod for pod in due if not pod.terminating], cluster, state)
        cluster.pause(_LOOK_SECONDS)


def _patience(order: Order, pod: RemainingPod) -> float:
    """Seconds for which a pod may leave by itself."""
    by_kind = {Kind.INSTANCE: order.move_seconds, Kind.RUN: order.run_seconds}
    return by_kind.get(pod.kind, 0.0)


def _evict(pods: Sequence[RemainingPod], cluster: ApiClient, state: Drain) -> None:
    """Evict each pod; a pod whose budget is used up is tried again at the next look."""
    answers = cluster.evict([(pod.namespace, pod.name, pod.uid) for pod in pods])
    for pod, error in zip(pods, answers, strict=True):
        match error:
            case NotThere():
                continue
            case Changed() | NoAnswer():
                state.blocked[pod.uid] = f"is not evicted: {error}"
            case None:
                state.blocked.pop(pod.uid, None)
                state.evicted.add(pod.uid)
            case _:
                raise error


def _remaining(cluster: ApiClient, node: str) -> list[tuple[RemainingPod, Mapping[str, Any]]]:
    """Pods that must leave, each as stored too; not the node's own, and no finished pods."""
    bodies = cluster.listed("Pod", "", fields=f"spec.nodeName={node}")
    pods = [(_decoded(body), body) for body in bodies]
    return [(pod, body) for pod, body in pods if pod is not None and not pod.finished]


def _decoded(body: Mapping[str, Any]) -> RemainingPod | None:
    about = body["metadata"]
    owners = [one for one in about.get("ownerReferences") or () if one.get("controller")]
    kinds = {one["kind"]: one for one in owners}
    if "DaemonSet" in kinds or {_MIRROR, names.PER_NODE} & (about.get("annotations") or {}).keys():
        return None  # the node's own pod: it serves the other pods to the end
    ours = {
        kind: one for kind, one in kinds.items() if one["apiVersion"].startswith(f"{names.GROUP}/")
    }
    # An instance with its own volumes gets a replacement only after it has gone.
    replaced = names.LONGSERVICE in ours and names.POD_INDEX not in (about.get("labels") or {})
    kind = Kind.INSTANCE if replaced else Kind.RUN if RUNS & ours.keys() else Kind.OTHER
    return RemainingPod(
        about["namespace"],
        about["name"],
        about["uid"],
        kind,
        owned=bool(owners),
        terminating="deletionTimestamp" in about,
        finished=(body.get("status") or {}).get("phase") in _FINISHED,
    )
