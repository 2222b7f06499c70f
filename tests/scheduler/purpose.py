"""Where Bayplan answers otherwise than kube-scheduler's filters because it means to.

Each entry names itself, holds the words by which docs/reference/placement.md tells users of it, and
knows its differences. Whatever none of them knows is a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bayplan.model.reason import Reason
from tests.scheduler import ours, trial
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


_BINDING = "node(s) didn't find available persistent volumes to bind"


def _given_up(difference: Difference) -> bool:
    """A claim that kube-scheduler leaves to a node which may never take its pod."""
    alone = not difference.ours and difference.theirs == {"VolumeBinding": _BINDING}
    return alone and difference.told == trial.GIVEN_UP


def _made_by_people(difference: Difference) -> bool:
    """A claim that kube-scheduler would bind to a volume that is there."""
    mine = {
        (reason, detail)
        for reason, detail in difference.ours
        if reason is Reason.VOLUME_MISSING and detail.endswith("name one in volumeName")
    }
    rest = replace(difference, ours=difference.ours - mine)
    return bool(mine) and (not rest.ours or _on_its_way_out(rest) or _kept_room(rest))


def _error(difference: Difference) -> bool:
    """A filter that gives up over the volumes of another pod."""
    said = difference.theirs.get("NodeVolumeLimits", "")
    return not difference.ours and said.endswith("(pod is not owner)")


def _devices(difference: Difference) -> bool:
    return any(reason is Reason.DEVICES for reason, _ in difference.ours)


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
    Purpose(
        "a chosen node that is given up",
        "**A node that was chosen for a claim is given up**",
        _given_up,
    ),
    Purpose(
        "volumes that people make",
        "**Volumes that people make are not matched with claims**",
        _made_by_people,
    ),
    Purpose(
        "an error over another pod",
        "**An error over another pod's volume stops nobody**",
        _error,
    ),
    Purpose("devices", "**Devices are kube-scheduler's alone**", _devices),
)

# Faults that are being mended; this list is to be empty.
_PLUGINS = {
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesFit",
    "PodTopologySpread",
}
_REASONS = {
    Reason.ANTI_AFFINITY,
    Reason.POD_AFFINITY,
    Reason.RESOURCES,
    Reason.SPREAD,
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
