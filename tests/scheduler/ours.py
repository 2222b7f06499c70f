"""What Bayplan makes of the same cluster, by the way that leads from an API server to a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from bayplan import settings
from bayplan.cluster import cache, decode
from bayplan.model import resources, snapshot, state
from bayplan.model.pods import Pod
from bayplan.model.reasons import Reason
from bayplan.model.workloads import Plan, PodClass, Waiting
from bayplan.optimizer import fill
from bayplan.placement import daemonsets, filters, order, solve
from bayplan.placement.occupancy import Occupancy
from bayplan.scheduler import classes, volume_binding

Key = tuple[str, str]  # namespace, name
Reasons = frozenset[tuple[Reason, str]]  # with its detail

KINDS = {
    "nodes": "Node",
    "namespaces": "Namespace",
    "storageClasses": "StorageClass",
    "csiNodes": "CSINode",
    "volumeAttachments": "VolumeAttachment",
    "pvs": "PersistentVolume",
    "pvcs": "PersistentVolumeClaim",
    "resourceClaims": "ResourceClaim",
    "daemonSets": "DaemonSet",
    "pods": "Pod",
}


class _Nobody:
    """Whom no bell wakes."""

    def mark(self, key: object) -> None: ...

    def mark_placement(self) -> None: ...

    def mark_namespace(self, namespace: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """A cluster as a cycle sees it."""

    live: cache.Cache
    snapshot: snapshot.Snapshot
    memo: solve.Memo

    @classmethod
    def of(cls, cluster: Mapping[str, Any]) -> "Moment":
        """Every object as it is served, by the decoder of its kind, into the cache."""
        wanted = ",".join(f"{key}={text}" for key, text in cluster.get("nodeSelector", {}).items())
        term = settings.node_term(wanted)
        book = state.State(eligible=lambda node: settings.is_ours(node, term))
        live = cache.Cache(book, _Nobody())
        for field, name in KINDS.items():
            kind = decode.KINDS.get(name)
            for body in cluster.get(field, ()) if kind is not None else ():
                live.upsert(kind.name, kind.decode(msgspec.Raw(msgspec.json.encode(body))))
        return cls(live, live.snapshot(), solve.Memo())

    @property
    def waiting(self) -> list[Waiting]:
        known = self.live.state
        return classes.groups((), known.unplaced.values(), lambda _: None, known.aversions)

    def given_up(self) -> frozenset[str]:
        """Pods with a claim of which the chosen node is not waited for any more."""
        nodes, claims = self.live.state.nodes, self.live.state.claims
        return frozenset(
            "/".join(key)
            for group in self.waiting
            for key in group.keys
            for name in group.kind.constraints.claims
            if (claim := claims.get((group.kind.namespace, name))) is not None
            and claim.selected
            and not claim.pinned_to(nodes.get(claim.selected))
        )

    def plan(self) -> tuple[Plan, list[list[tuple[Key, str]]], dict[Key, str]]:
        """What is bound; all that has a node, class by class in order; nodes chosen for claims.

        A pod whose volume is still to be made has its node, and counts there, before it is bound.
        """
        groups = self.waiting
        made = solve.solve(self.snapshot, groups, 0, solve.Policy(), self.memo)
        bound, choices = volume_binding.VolumeBinding(self.live.state, self.live.storage).parted(
            made, groups, ()
        )
        placed = [
            [(key, made.placements[key]) for key in group.keys if key in made.placements]
            for group in order.ordered(groups)
        ]
        nodes = self.live.state.nodes
        chosen = {  # before, and for which a volume is still to be made
            key: claim.selected
            for key, claim in self.live.state.claims.items()
            if not claim.made and claim.pinned_to(nodes.get(claim.selected))
        }
        chosen |= {(one.namespace, one.claim): one.node for one in choices}
        return bound, [group for group in placed if group], chosen

    def refused(self, group: Waiting) -> dict[str, Reasons]:
        """Why which nodes refuse one more pod of a class, alone; other nodes would take it."""
        table = self.memo.table(self.snapshot)
        occupancy = Occupancy.of(self.snapshot, table)
        daemonsets.keep_room(occupancy)
        alone = Waiting(group.kind, group.keys[:1])
        verdict = filters.of_nodes(group.kind, table)
        refusing = [*verdict.refusing, *filters.of_the_moment(alone, occupancy)]
        open_ = np.ones(len(table.nodes), dtype=np.bool_)
        for refusal in refusing:
            open_ &= ~refusal.nodes
        found: dict[str, set[tuple[Reason, str]]] = {}
        rules = filters.rules(group.kind, open_, 1, occupancy)
        for reason, detail, nodes in (
            *((one.reason, one.detail, one.nodes) for one in refusing),
            *((rule.reason, rule.detail, rule.refuses()) for rule in rules),
            *_lacking(group.kind, occupancy),
        ):
            for row in np.flatnonzero(nodes).tolist():
                found.setdefault(table.nodes[row].name, set()).add((reason, detail))
        return {name: frozenset(reasons) for name, reasons in found.items()}


KEPT = "kept for DaemonSets"
BEYOND = "more than any node has"


def _lacking(kind: PodClass, occupancy: Occupancy) -> list[tuple[Reason, str, Any]]:
    request = occupancy.snapshot.vector(kind.request)
    if request is None:
        return [(Reason.RESOURCES, "on no node", np.ones(len(occupancy.free), dtype=np.bool_))]
    if any(amount >= resources.MOST for amount in kind.request.values()):
        return [(Reason.RESOURCES, BEYOND, np.ones(len(occupancy.free), dtype=np.bool_))]
    full = fill.fit(occupancy.free, request) == 0
    without = fill.fit(occupancy.snapshot.free, request) == 0
    return [(Reason.RESOURCES, "", full & without), (Reason.RESOURCES, KEPT, full & ~without)]


def key_of(pod: Pod) -> str:
    return "/".join(pod.key)
