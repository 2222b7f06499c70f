"""How many volumes of one driver each node has or will have: the count for attach limits.

A volume counts once per node, however many pods mount it there: claims of running pods, disks that
pods name in place, what this solve has placed, and volumes that are still attached although their
pod has gone. If a pod's own volume is one of the last kind, the pod takes a second place for it, as
in kube-scheduler, because that volume may still be detached.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model.pods import Claim
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import PodClass

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Attachments:
    """The attachments of one driver. `limits` and `counts` are per node, [N] (limit -1: none).

    Per volume: `rows` of nodes where pods mount it, `still` where it is attached, with pods or not.
    """

    limits: IntVector
    counts: IntVector
    rows: dict[str, set[int]]
    still: dict[str, set[int]]

    @classmethod
    def of(cls, driver: str, snapshot: Snapshot) -> "Attachments":
        limits = np.array(
            [snapshot.attach_limits.get(node.name, {}).get(driver, -1) for node in snapshot.nodes],
            dtype=np.int64,
        )
        known = snapshot.rows
        still = {
            handle: {known[node] for node in nodes if node in known}
            for handle, nodes in snapshot.attached.get(driver, {}).items()
        }
        found = cls(limits, np.zeros(len(limits), dtype=np.int64), {}, still)
        if not found.limited:
            return found
        for rows in still.values():
            found.counts[list(rows)] += 1
        for (namespace, name), nodes in snapshot.claims_in_use():
            claim = snapshot.claims.get((namespace, name))
            if claim is not None and claim.driver == driver:
                volume = volume_of(namespace, claim)
                found.add(volume, [known[node] for node in nodes if node in known])
        for disk, nodes in snapshot.disks_in_use():
            if disk.driver == driver:
                found.add(disk.handle, [known[node] for node in nodes if node in known])
        return found

    @property
    def limited(self) -> bool:
        """Whether any node has a limit for this driver; without a limit nothing is counted."""
        return bool((self.limits >= 0).any())

    def add(self, volume: str, rows: list[int]) -> None:
        """Count this volume on nodes where pods mount it or will mount it."""
        have, still = self.rows.setdefault(volume, set()), self.still.get(volume, ())
        for row in rows:
            if row not in have:
                have.add(row)
                self.counts[row] += row not in still

    def full_for(self, volumes: set[str]) -> BoolVector:
        """[N]: where these volumes would exceed the limit."""
        new = np.full(len(self.limits), len(volumes), dtype=np.int64)
        for volume in volumes:
            new[list(self.rows.get(volume, ()))] -= 1
        full: BoolVector = (self.limits >= 0) & (new > 0) & (self.counts + new > self.limits)
        return full


def volume_of(namespace: str, claim: Claim) -> str:
    """What counts once per node: the volume, or the claim while its volume is still to be made."""
    return claim.handle or f"{namespace}/{claim.name}"


def mounts(kind: PodClass, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """(driver, volume) for each volume that a pod of this class mounts."""
    for name in kind.constraints.claims:
        claim = snapshot.claims.get((kind.namespace, name))
        if claim is not None and claim.driver:
            yield claim.driver, volume_of(kind.namespace, claim)
    for disk in kind.constraints.disks:
        if disk.driver:
            yield disk.driver, disk.handle
