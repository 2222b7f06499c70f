"""Instances with identity: of a service with `volumeClaimTemplates` each has an ordinal of its own.

Ordinals are 0 … n-1, and a pod's name contains its ordinal. That keeps two pods from using one
instance's volumes: a successor has its predecessor's name, so the API server refuses it as long as
the predecessor is stored, whatever we have seen. And we ask for it only once no pod of that name
is there, running, terminating or ended. On a silent node a pod may be stored, and run, for ever: a
person who knows more deletes the pod by force, or the node.

So an update deletes first, ordinal by ordinal (`in_place`): the highest ordinals go first, but
instances that are not healthy anyway go before them.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice import in_place
from bayplan.reconcile.longservice.instances import Instances, ordinal
from bayplan.reconcile.longservice.revisions import stem

SILENT = "its node does not answer"
_DIGITS = 5

Ready = Callable[[int], bool]  # whether the claims of an ordinal are there


@dataclass(frozen=True, slots=True)
class Row:
    """Every stored pod of a service by its ordinal, and the pods that have no ordinal."""

    replicas: int
    pods: dict[int, Pod]
    strays: tuple[Pod, ...] = ()

    @property
    def wanted(self) -> range:
        return range(self.replicas)


def name_of(service: str, number: int) -> str:
    """SERVICE-N; the name never changes."""
    return f"{stem(service, 1 + _DIGITS)}-{number}"


def row(service: str, pods: Collection[Pod], replicas: int) -> Row:
    numbered: dict[int, Pod] = {}
    strays: list[Pod] = []
    for pod in pods:
        number = ordinal(pod.name)
        if number >= 0 and pod.name == name_of(service, number):
            numbered[number] = pod
        else:
            strays.append(pod)
    return Row(replicas, numbered, tuple(strays))


def places(
    row: Row, instances: Instances, ready: Ready, stranded: Collection[PodKey] = ()
) -> in_place.Places:
    """The ordinals, the highest first; `ready` says which ordinals have their claims.

    No update ends the instances that are `stranded`.

    While an ordinal is vacant no sick instance is replaced.
    """
    here = {pod.key: number for number, pod in row.pods.items() if number < row.replicas}
    live = [pod for pod in instances.live if pod.key in here]
    vacant = tuple(n for n in reversed(row.wanted) if n not in row.pods and ready(n))
    return in_place.Places(
        live=live,
        leave=_leaving(row, instances),
        turn=lambda pod: (-here[pod.key],),
        vacant=len(vacant),
        numbers=vacant,
        settled=len(live) == row.replicas,
        stranded=stranded,
    )


def _leaving(row: Row, instances: Instances) -> in_place.Leave:
    """Pods that go whatever their revision: beyond `replicas`, strays, too long on a silent node.

    Highest ordinals first.
    """
    lost = {pod.key for pod in instances.lost}
    leave = [(pod, "surplus") for pod in row.strays if not (pod.terminal or pod.terminating)]
    for number in sorted(row.pods, reverse=True):
        pod = row.pods[number]
        if pod.terminal or pod.terminating:
            continue
        if number >= row.replicas:
            leave.append((pod, "surplus"))
        elif pod.key in lost:
            leave.append((pod, SILENT))
    return tuple(leave)
