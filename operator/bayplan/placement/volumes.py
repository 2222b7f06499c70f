"""Which nodes refuse a class because of its volumes and devices, and which pods exclude each other.

The rules are those of kube-scheduler's VolumeRestrictions, VolumeZone, VolumeBinding and
NodeVolumeLimits. Only kube-scheduler can allocate devices (`resourceClaims`): a pod that asks for
them would be bound and never start, so every node refuses it.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bayplan.model.nodes import REGION, ZONE
from bayplan.model.pods import Claim, Constraints
from bayplan.model.reasons import Reason
from bayplan.model.workloads import PodClass
from bayplan.placement import attachments
from bayplan.placement.node_table import Domains, NodeTable, Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.rules import Cap, Rule, Together

BoolVector = npt.NDArray[np.bool_]

_ZONES = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": REGION,
    ZONE: ZONE,
    REGION: REGION,
}  # label of a node -> its present name


def refusing(kind: PodClass, occupancy: Occupancy) -> Iterator[Refusing]:
    """Refusals by claims that cannot be mounted, there or anywhere, disks in use, attach limits."""
    wanted = kind.constraints
    if not (wanted.claims or wanted.disks or wanted.devices):
        return
    everywhere = np.ones(len(occupancy.table.nodes), dtype=np.bool_)
    if wanted.devices:
        yield Refusing(Reason.DEVICES, "", everywhere)
    for name in wanted.claims:
        claim = occupancy.snapshot.claims.get((kind.namespace, name))
        why = _unusable(claim, name, wanted)
        if claim is None or why is not None:
            yield Refusing(Reason.VOLUME_MISSING, f"{name}: {why}" if why else name, everywhere)
            continue
        yield from _of_claim(kind, claim, occupancy, everywhere)
    for disk in wanted.disks:
        yield Refusing(Reason.DISK_IN_USE, disk.name, occupancy.with_disk(disk))
    mounted: dict[str, set[str]] = {}  # driver -> volumes
    for driver, volume in attachments.mounts(kind, occupancy.snapshot):
        mounted.setdefault(driver, set()).add(volume)
    for driver, volumes in sorted(mounted.items()):
        attached = occupancy.attachments(driver)
        if attached.limited:
            yield Refusing(Reason.VOLUME_LIMIT, driver, attached.full_for(volumes))


def rules(kind: PodClass, occupancy: Occupancy) -> Iterator[Rule]:
    """Rules for pods of the class that share a claim or a disk.

    One pod at a time for a ReadWriteOncePod claim, one node for a claim whose volume is still to be
    made, one pod per node for a disk that is named in place.
    """
    each = occupancy.table.each()
    none = np.zeros(len(each.values), dtype=np.int64)
    for name in kind.constraints.claims:
        claim = occupancy.snapshot.claims.get((kind.namespace, name))
        if claim is not None and claim.alone:
            whole = _whole(occupancy.table)
            nobody = np.zeros(1, dtype=np.int64)
            yield Cap(Reason.VOLUME_IN_USE, name, whole, nobody, limit=1)
        elif claim is not None and claim.unbound and not claim.made:
            yield Together(Reason.VOLUME_NODE, name, each, none)
    for disk in kind.constraints.disks:
        if disk.collides(disk):
            yield Cap(Reason.DISK_IN_USE, disk.name, each, none, limit=1)


def _unusable(claim: Claim | None, name: str, wanted: Constraints) -> str | None:
    """Why no node will do; None if some node may."""
    if claim is None:
        return "there is no such claim"
    if claim.missing:
        return claim.why
    if name in wanted.own and claim.controller != wanted.uid:
        return "it was not made for this pod; delete it, or name the pod or its volume otherwise"
    return None


def _of_claim(
    kind: PodClass, claim: Claim, occupancy: Occupancy, everywhere: BoolVector
) -> Iterator[Refusing]:
    if claim.alone and occupancy.mounts(kind.namespace, claim.name):
        detail = claim.name
        user = _user(kind.namespace, claim.name, occupancy)
        if user:
            detail = f"{claim.name} by pod {user}"
        yield Refusing(Reason.VOLUME_IN_USE, detail, everywhere)
    if claim.pinned_to(occupancy.snapshot.known.get(claim.selected)):
        others = everywhere.copy()
        row = occupancy.snapshot.rows.get(claim.selected)
        if row is not None:
            others[row] = False
        yield Refusing(Reason.VOLUME_NODE, claim.name, others)
    elif claim.unbound and not claim.made:
        landed = occupancy.landed_with(kind.namespace, claim.name)
        if landed.any():
            yield Refusing(Reason.VOLUME_NODE, claim.name, landed == 0)
    if claim.terms or claim.moved:
        yield Refusing(Reason.VOLUME_ZONE, claim.name, ~_reached(claim, occupancy))
    if claim.zones:
        yield Refusing(Reason.VOLUME_ZONE, claim.name, _elsewhere(claim, occupancy.table))


def _user(namespace: str, claim: str, occupancy: Occupancy) -> str:
    """The first pod by name that is placed and mounts a claim; empty if pods only will mount it."""
    for node in sorted(occupancy.snapshot.mounting((namespace, claim))):
        found = [
            pod.name
            for pod in occupancy.snapshot.pods_on(node)
            if pod.namespace == namespace and claim in pod.constraints.claims
        ]
        if found:
            return min(found)
    return ""


def _reached(claim: Claim, occupancy: Occupancy) -> BoolVector:
    """[N]: nodes that a volume's node affinity accepts."""
    table = occupancy.table
    everywhere = np.ones(len(table.nodes), dtype=np.bool_)
    reached = table.matching_any(claim.terms) if claim.terms else everywhere
    if not claim.plugin:
        return reached
    moved = np.array(
        [claim.plugin in occupancy.snapshot.migrated.get(node.name, ()) for node in table.nodes],
        dtype=np.bool_,
    )
    after = table.matching_any(claim.moved) if claim.moved else everywhere
    return np.where(moved, after, reached)


def _elsewhere(claim: Claim, table: NodeTable) -> BoolVector:
    """[N]: nodes in another zone or region than a volume's labels say.

    A node without any such label is accepted: then there is only one zone.
    """
    zoned = np.zeros(len(table.nodes), dtype=np.bool_)
    for label in _ZONES:
        zoned |= table.domains(label).codes >= 0
    other = np.zeros(len(table.nodes), dtype=np.bool_)
    for label, values in claim.zones:
        own, today = table.domains(label), table.domains(_ZONES[label])
        has = own.codes >= 0
        other |= ~np.where(has, _among(own, values), _among(today, values))
    return zoned & other


def _among(domains: Domains, values: frozenset[str]) -> BoolVector:
    return domains.of_nodes(np.array([value in values for value in domains.values], np.bool_))


def _whole(table: NodeTable) -> Domains:
    """All nodes as one domain."""
    codes = np.zeros(len(table.nodes), dtype=np.int64)
    return Domains(codes, ("",), {"": 0}, codes)
