"""What the pods of a Pool ask for: a plan stands as long as that is about the same."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bayplan.model.pods import Pod
from bayplan.model.resources import CPU, MEMORY
from bayplan.model.snapshot import PodKey

_PARTS = 50  # a change of less than such a part is none
_Amounts = tuple[int, int, int]  # pods, milli-CPU, bytes of memory
_NOTHING: _Amounts = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Demand:
    """What the pods of a Pool ask for, and what those ask for that are about to go."""

    wanted: _Amounts = _NOTHING
    going: _Amounts = _NOTHING

    def like(self, other: "Demand") -> bool:
        """Whether about the same is asked for."""
        pairs = zip(self.wanted, other.wanted, strict=True)
        return all(abs(now - before) * _PARTS <= before for now, before in pairs)

    @property
    def shrinks(self) -> bool:
        """Whether many pods are about to go, whose room is not free yet."""
        pairs = zip(self.going, self.wanted, strict=True)
        return any(going * _PARTS > wanted for going, wanted in pairs)


def of_pods(
    pods: Sequence[Pod],
    wanted: Mapping[str, int],
    nodes: Collection[str],
    owned: Callable[[str], Mapping[PodKey, Pod]],
) -> Demand:
    """The demand of these pods on these nodes.

    `wanted` says by uid how many instances of a LongService are to be there. Of other controllers,
    `owned` gives the pods: one that waits counts for one that has gone.
    """
    going = _total(pod for pod in pods if pod.terminating)
    found = [_total(pod for pod in pods if pod.owner is None and not pod.terminating)]
    of_owner: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.owner is not None:
            of_owner.setdefault(pod.owner.uid, []).append(pod)
    for uid, alike in of_owner.items():
        count = wanted.get(uid)
        if count is None:
            count = sum(
                not (pod.terminal or pod.terminating) and (not pod.node or pod.node in nodes)
                for pod in owned(uid).values()
            )
        pods_, cpu, memory = _total(alike)
        found.append((count, cpu * count // pods_, memory * count // pods_))
    pods_, cpu, memory = (sum(parts) for parts in zip(*found, strict=True))
    return Demand((pods_, cpu, memory), going)


def _total(pods: Iterable[Pod]) -> _Amounts:
    count = cpu = memory = 0
    for pod in pods:
        count += 1
        cpu += pod.request.amount(CPU)
        memory += pod.request.amount(MEMORY)
    return count, cpu, memory
