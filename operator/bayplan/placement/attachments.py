"""How many volumes of one driver each node has, or will have: what attach limits count.

A volume counts once a node, whoever mounts it there: running pods' claims, disks that pods name in
place, what this solve has placed, and what is attached still although its pod has gone. A pod whose
own volume is such a one takes a second place for it, as in kube-scheduler: it may be detached yet.
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
    """Of one driver. `limits` and `counts` by node [N] (limit -1: none).

    By volume: `rows` of nodes where pods mount it, `still` where it is attached, pods or not.
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
        """Whether any node has a limit of this driver: without one nothing is counted."""
        return bool((self.limits >= 0).any())

    def add(self, volume: str, rows: list[int]) -> None:
        """Pods that mount this volume are there, or will be."""
        have, still = self.rows.setdefault(volume, set()), self.still.get(volume, ())
        for row in rows:
            if row not in have:
                have.add(row)
                self.counts[row] += row not in still

    def full_for(self, volumes: set[str]) -> BoolVector:
        """[N]: where these volumes would be more than the limit."""
        new = np.full(len(self.limits), len(volumes), dtype=np.int64)
        for volume in volumes:
            new[list(self.rows.get(volume, ()))] -= 1
        full: BoolVector = (self.limits >= 0) & (new > 0) & (self.counts + new > self.limits)
        return full


def volume_of(namespace: str, claim: Claim) -> str:
    """What counts once a node: the volume, or the claim for which one is still to be made."""
    return claim.handle or f"{namespace}/{claim.name}"


def mounts(kind: PodClass, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """(driver, volume) of what such a pod mounts."""
    for name in kind.constraints.claims:
        claim = snapshot.claims.get((kind.namespace, name))
        if claim is not None and claim.driver:
            yield claim.driver, volume_of(kind.namespace, claim)
    for disk in kind.constraints.disks:
        if disk.driver:
            yield disk.driver, disk.handle
