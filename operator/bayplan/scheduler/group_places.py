"""Which of the N places of a MaxPer each new pod gets.

A pod on a node takes the lowest place that no pod of its group has; the packer has made sure that
there is such a place. Waiting pods share the places out evenly, so that an autoscaler that buys
nodes for them counts as many nodes as are needed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bayplan.api import placement_rules, pod_builder
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod

_Counts = dict[str | None, Counter[int]]  # value of the group's label, None for none -> by place


@dataclass(slots=True)
class GroupPlaces:
    """The places of one cycle. `pods` gives the pods of an owner by its uid."""

    nodes: Mapping[str, Node]
    pods: Callable[[str], Iterable[Pod]]
    _counts: dict[tuple[str, tuple[tuple[str, str], ...], str], _Counts] = field(
        default_factory=dict
    )

    def take(self, owner: str, blueprint: pod_builder.Blueprint, node: str) -> tuple[int, ...]:
        """One place for each cap of the blueprint; each is taken from now on."""
        return tuple(self._take(owner, blueprint.peers, cap, node) for cap in blueprint.caps)

    def _take(
        self, owner: str, peers: Mapping[str, str], cap: placement_rules.Cap, node: str
    ) -> int:
        key = owner, tuple(sorted(peers.items())), cap.label
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = self._counted(owner, peers, cap)
        taken = counts.setdefault(self._group(node, cap), Counter())
        # The least used place is found by looking at no more places than there are pods.
        number = min(range(min(cap.places, len(taken) + 1)), key=lambda one: (taken[one], one))
        taken[number] += 1
        return number

    def _counted(self, owner: str, peers: Mapping[str, str], cap: placement_rules.Cap) -> _Counts:
        counts: _Counts = {}
        for pod in self.pods(owner):
            text = pod.labels.get(cap.label, "")
            if pod.terminal or not (text.isascii() and text.isdecimal()):
                continue
            if all(pod.labels.get(label) == value for label, value in peers.items()):
                counts.setdefault(self._group(pod.node, cap), Counter())[int(text)] += 1
        return counts

    def _group(self, node: str, cap: placement_rules.Cap) -> str | None:
        found = self.nodes.get(node)
        return found.labels.get(cap.topology_key) if found is not None else None
