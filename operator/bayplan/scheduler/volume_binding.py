"""Between placing a pod and binding it: its volumes are made where the pod will run.

Where a claim's class waits for the first consumer, the node chosen for its pod is written on the
claim, whoever made the claim. A provisioner answers with a volume, or takes the node off again:
then other nodes are tried for a while. The pod is bound once each of its claims is bound. Until
then every cycle places the pod again on the chosen node, so that no later pod gets its room there.
All of that is read from the claims. Only the nodes that failed are kept in memory here, so after a
restart such a node may be tried once more.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bayplan.cluster import storage
from bayplan.model import intents, reasons, state
from bayplan.model.backoff import delay_after
from bayplan.model.pods import Claim, Constraints
from bayplan.model.workloads import Plan, PodClass, Refused, TaskKey, Waiting

FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 300

_Key = tuple[str, str]  # namespace, claim


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    until: int  # epoch seconds


@dataclass(slots=True, eq=False)
class VolumeBinding:
    """`state` knows the claims, `storage` knows which claims a provisioner has given back."""

    state: state.State
    storage: storage.Storage
    _failed: dict[_Key, dict[str, _Failures]] = field(default_factory=dict)  # claim -> node

    def cooled(self, waiting: list[Waiting], now: int) -> list[Waiting]:
        """The waiting groups, kept off the nodes where their volumes could not be made lately."""
        self._note(now)
        if not self._failed:
            return waiting
        return [replace(one, avoid=one.avoid | self._cooling(one.kind, now)) for one in waiting]

    def look_at(self, now: int) -> int | None:
        """When the next node may be tried again (epoch seconds)."""
        turns = (one.until for nodes in self._failed.values() for one in nodes.values())
        return min((turn for turn in turns if turn > now), default=None)

    def late(self, namespace: str, wanted: Constraints) -> bool:
        """Whether such a pod cannot be created on a node, because it needs something made first."""
        return wanted.late or bool(self._unbound(namespace, wanted))

    def parted(
        self,
        plan: Plan,
        waiting: Collection[Waiting],
        new: Collection[TaskKey],
    ) -> tuple[Plan, list[intents.SelectNode]]:
        """The plan without existing pods that cannot be bound yet; these are listed as refused.

        It also returns the claims on which a node is to be written. `new` are tasks without a pod.
        """
        making: dict[TaskKey, Refused] = {}
        choices: dict[_Key, intents.SelectNode] = {}
        for group in waiting:
            unbound = self._unbound(group.kind.namespace, group.kind.constraints)
            for key in group.keys if unbound else ():
                node = plan.placements.get(key, "")
                if node and key not in new:
                    making[key] = Refused(group, (key,), self._funnel(unbound[0], node))
                    for one in self._chosen(group.kind.namespace, unbound, node):
                        choices.setdefault((one.namespace, one.claim), one)
        if not making:
            return plan, []
        placements = {key: node for key, node in plan.placements.items() if key not in making}
        refused = (*plan.refused, *making.values())
        return replace(plan, placements=placements, refused=refused), list(choices.values())

    def _unbound(self, namespace: str, wanted: Constraints) -> list[Claim]:
        """The claims of such a pod that wait for their first consumer."""
        found = (self.state.claims.get((namespace, name)) for name in wanted.claims)
        return [claim for claim in found if claim is not None and claim.unbound]

    def _chosen(self, namespace: str, unbound: list[Claim], node: str) -> list[intents.SelectNode]:
        return [
            intents.SelectNode(namespace, claim.name, claim.uid, node)
            for claim in unbound
            if not (claim.made or claim.pinned_to(self.state.nodes.get(claim.selected)))
        ]

    def _funnel(self, claim: Claim, node: str) -> reasons.Funnel:
        """The reason why a pod that has a node is not bound to it yet."""
        considered = sum(map(self.state.eligible, self.state.nodes.values()))
        why = reasons.Reason.VOLUME_BINDING
        nearest = reasons.Nearest(node, reason=why, detail=claim.name)
        return reasons.Funnel(considered, (reasons.Refusal(why, claim.name, considered),), nearest)

    def _note(self, now: int) -> None:
        """Take in the claims that were given back; forget claims that need no node any more."""
        for key, node in self.storage.given_back.items():
            nodes = self._failed.setdefault(key, {})
            count = nodes[node].count + 1 if node in nodes else 1
            pause = delay_after(count, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            nodes[node] = _Failures(count, now + pause)
        self.storage.given_back.clear()
        for key in tuple(self._failed):
            claim = self.state.claims.get(key)
            if claim is None or not claim.unbound:
                del self._failed[key]

    def _cooling(self, kind: PodClass, now: int) -> frozenset[str]:
        nodes: set[str] = set()
        for name in kind.constraints.claims:
            failed: Mapping[str, _Failures] = self._failed.get((kind.namespace, name), {})
            nodes |= {node for node, one in failed.items() if one.until > now}
        return frozenset(nodes)
