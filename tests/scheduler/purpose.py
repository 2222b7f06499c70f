"""Where Bayplan answers otherwise than kube-scheduler's filters because it means to.

Each entry names itself, holds the words by which docs/reference/placement.md tells users of it, and
knows its differences. Whatever none of them knows is a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bayplan.model.reason import Reason
from tests.scheduler import ours
from tests.scheduler.trial import Difference


@dataclass(frozen=True, slots=True)
class Purpose:
    name: str
    told: str  # how its line begins in the section HEADING
    knows: Callable[[Difference], bool]


HEADING = "## Where Bayplan differs from kube-scheduler, on purpose"


def _on_its_way_out(difference: Difference) -> bool:
    """A node that Bayplan alone refuses, and for nothing else."""
    out = {Reason.NOT_READY, Reason.CORDONED, Reason.LEAVING}
    return bool(difference.ours) and {reason for reason, _ in difference.ours} <= out


def _kept_room(difference: Difference) -> bool:
    """Room that kube-scheduler would give away, on a node that may be on its way out too."""
    kept = (Reason.RESOURCES, ours.KEPT)
    rest = replace(difference, ours=difference.ours - {kept})
    return kept in difference.ours and (not rest.ours or _on_its_way_out(rest))


ON_PURPOSE = (
    Purpose(
        "a node on its way out",
        "**Nothing new lands on a node on its way out**",
        _on_its_way_out,
    ),
    Purpose(
        "room for DaemonSets",
        "**Room is kept for pods of DaemonSets**",
        _kept_room,
    ),
)

# Faults that are being mended; this list is to be empty.
_PLUGINS = {
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesFit",
    "NodeVolumeLimits",
    "PodTopologySpread",
    "VolumeBinding",
    "VolumeRestrictions",
    "VolumeZone",
}
_REASONS = {
    Reason.ANTI_AFFINITY,
    Reason.POD_AFFINITY,
    Reason.RESOURCES,
    Reason.SPREAD,
    Reason.VOLUME_LIMIT,
    Reason.VOLUME_MISSING,
    Reason.VOLUME_NODE,
    Reason.VOLUME_ZONE,
}


def _not_yet(difference: Difference) -> bool:
    mine = {reason for reason, _ in difference.ours}
    return bool(mine & _REASONS or difference.theirs.keys() & _PLUGINS)


NOT_YET: tuple[Purpose, ...] = (Purpose("not yet", "", _not_yet),)


def purpose(difference: Difference) -> str:
    """The name of the entry that knows a difference; empty for one that is not explained."""
    for one in (*ON_PURPOSE, *NOT_YET):
        if one.knows(difference):
            return one.name
    return ""
