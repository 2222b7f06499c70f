"""Where Bayplan answers otherwise than kube-scheduler's filters because it means to.

Each entry names itself, holds the words by which docs/reference/placement.md tells users of it, and
knows its differences. Whatever none of them knows is a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bayplan.model.reasons import Reason
from tests.scheduler import ours, trial
from tests.scheduler.trial import Difference

HEADING = "## Where Bayplan differs from kube-scheduler, on purpose"


@dataclass(frozen=True, slots=True)
class Purpose:
    name: str
    told: str  # how its line begins in the section HEADING
    knows: Callable[[Difference], bool]


def _on_its_way_out(reason: Reason, detail: str) -> bool:
    del detail
    return reason in {Reason.NOT_READY, Reason.CORDONED, Reason.LEAVING}


def _kept_room(reason: Reason, detail: str) -> bool:
    return (reason, detail) == (Reason.RESOURCES, ours.KEPT)


def _made_by_people(reason: Reason, detail: str) -> bool:
    return reason is Reason.VOLUME_MISSING and detail.endswith("name one in volumeName")


def _devices(reason: Reason, detail: str) -> bool:
    del detail
    return reason is Reason.DEVICES


def _beyond(reason: Reason, detail: str) -> bool:
    return (reason, detail) == (Reason.RESOURCES, ours.BEYOND)


_MEANT = (_on_its_way_out, _kept_room, _made_by_people, _devices, _beyond)


def _refuses(one: Callable[[Reason, str], bool]) -> Callable[[Difference], bool]:
    """Differences where Bayplan alone refuses, for this and for nothing that is not meant."""

    def knows(difference: Difference) -> bool:
        return (
            difference.what == "refused"
            and any(one(*each) for each in difference.ours)
            and all(any(meant(*each) for meant in _MEANT) for each in difference.ours)
        )

    return knows


_BINDING = "node(s) didn't find available persistent volumes to bind"


def _given_up(difference: Difference) -> bool:
    """A claim that kube-scheduler leaves to a node which may never take its pod."""
    alone = not difference.ours and difference.theirs == {"VolumeBinding": _BINDING}
    return alone and trial.GIVEN_UP in difference.facts


def _unlabelled(difference: Difference) -> bool:
    """A namespaceSelector that kube-scheduler takes to select every namespace."""
    ties = {Reason.POD_AFFINITY, Reason.ANTI_AFFINITY}
    mine = {one[0] for one in difference.ours if not any(meant(*one) for meant in _MEANT)}
    return (
        trial.UNLABELLED in difference.facts
        and bool(mine or difference.theirs)
        and mine <= ties
        and difference.theirs.keys() <= {"InterPodAffinity"}
    )


def _fractions(difference: Difference) -> bool:
    """A pod of which each container's fraction is a whole milli-CPU to Bayplan."""
    alone = difference.what == "refused" and difference.ours == {(Reason.RESOURCES, "")}
    return alone and trial.FRACTIONS in difference.facts


def _error(difference: Difference) -> bool:
    """A filter that gives up over the volumes of another pod."""
    said = difference.theirs.get("NodeVolumeLimits", "")
    alone = not difference.ours and len(difference.theirs) == 1
    return alone and said.endswith("(pod is not owner)") and difference.pod not in said


ON_PURPOSE = (
    Purpose(
        "a node on its way out",
        "**Nothing new lands on a node on its way out**",
        _refuses(_on_its_way_out),
    ),
    Purpose(
        "room for DaemonSets",
        "**Room is kept for pods of DaemonSets**",
        _refuses(_kept_room),
    ),
    Purpose(
        "a chosen node that is given up",
        "**A node that was chosen for a claim is given up**",
        _given_up,
    ),
    Purpose(
        "volumes that people make",
        "**Volumes that people make are not matched with claims**",
        _refuses(_made_by_people),
    ),
    Purpose(
        "an error over another pod",
        "**An error over another pod's volume stops nobody**",
        _error,
    ),
    Purpose(
        "fractions of a milli-CPU",
        "**Fractions of a milli-CPU**",
        _fractions,
    ),
    Purpose(
        "a sum beyond 64 bits",
        "**A sum of requests that no 64-bit integer holds**",
        _refuses(_beyond),
    ),
    Purpose(
        "namespaces by what they lack",
        "**A `namespaceSelector` that asks for absence**",
        _unlabelled,
    ),
    Purpose("devices", "**Devices are kube-scheduler's alone**", _refuses(_devices)),
)


def purpose(difference: Difference) -> str:
    """The name of the entry that knows a difference; empty for one that is not explained."""
    for one in ON_PURPOSE:
        if one.knows(difference):
            return one.name
    return ""
