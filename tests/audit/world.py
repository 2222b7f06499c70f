"""What an auditor has been told, through time: each object now, and as it was a moment ago."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.audit import readings

Object = Mapping[str, Any]

LAG = 3.0  # seconds


@dataclass(slots=True, eq=False)
class Known:
    """An object through time: its newest version, and the former ones of the last `LAG` seconds."""

    seen_at: float  # when it was seen first
    now: Object
    whole: bool  # seen from its beginning
    former: list[tuple[float, Object]] = field(default_factory=list)  # (until when, version)
    gone_at: float | None = None
    back_at: float | None = None  # of a name that was gone before

    def update(self, at: float, body: Object) -> None:
        self.former = [(until, old) for until, old in self.former if at - until <= LAG]
        self.former.append((at, self.now))
        self.now = body

    def lately(self, at: float) -> list[Object]:
        """Every version that was true within `LAG` seconds before `at`."""
        return [self.now, *(old for until, old in self.former if at - until <= LAG)]


class World:
    """Every object that was ever told of, and questions about them that several rules ask."""

    def __init__(self) -> None:
        self.pods: dict[str, Known] = {}  # by uid, also those that are gone
        self.nodes: dict[str, Known] = {}  # by name
        self.owners: dict[str, Known] = {}  # our resources by uid, also those that are gone
        self.specs: dict[str, list[Object]] = {}  # every spec that a resource ever had
        self.namespaces: dict[str, Known] = {}
        self.owned: dict[str, list[str]] = {}  # owner's uid -> uids of all its pods ever
        self.on: dict[str, set[str]] = {}  # node -> uids of pods there that have not gone
        self.names: dict[tuple[str, str], list[str]] = {}  # pod's name -> uids

    @staticmethod
    def keep(
        kept: dict[str, Known],
        key: str,
        event: str,
        body: Object,
        at: float,
        *,
        listed: bool,
    ) -> None:
        known = kept.get(key)
        if known is None or (known.gone_at is not None and event != "DELETED"):
            back_at = None if known is None else at
            kept[key] = known = Known(at, body, not listed, back_at=back_at)
        else:
            known.update(at, body)
        if event == "DELETED":
            known.gone_at = at

    def is_silent(self, pod: Object) -> bool:
        """Whether its node is gone or cut off, so that nothing is known of it."""
        name = pod["spec"].get("nodeName")
        if not name:
            return False
        node = self.nodes.get(name)
        return (
            node is None
            or node.gone_at is not None
            or readings.condition(node.now, "Ready") != "True"
        )

    def was_given_up(self, known: Known, at: float) -> bool:
        """Whether it ran on a node that was gone or cut off, as far as one knew lately."""
        node = self.nodes.get(known.now["spec"].get("nodeName", ""))
        if node is None or all(map(readings.has_ended, known.lately(at))):
            return False
        back = node.back_at is not None and at - node.back_at <= LAG
        return (
            back
            or node.gone_at is not None
            or any(readings.condition(one, "Ready") != "True" for one in node.lately(at))
        )

    def runs(self, known: Known) -> bool:
        """Whether its containers run, or are about to.

        One that leaves without a node never will: no pod is bound that is being deleted.
        """
        return (
            known.gone_at is None
            and not readings.has_ended(known.now)
            and not self.is_silent(known.now)
            and (bool(known.now["spec"].get("nodeName")) or not readings.is_leaving(known.now))
        )

    def is_live(self, known: Known) -> bool:
        """An instance that neither ended nor leaves nor is cut off."""
        return self.runs(known) and not readings.is_leaving(known.now)

    def stays(self, pod: Object, at: float) -> bool:
        """Whether its node stays, and is the one that it was placed on."""
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return True
        back = node.back_at is not None and at - node.back_at <= LAG  # as another one: it was lost
        gone = node.gone_at is not None
        return not (gone or back or any(map(readings.is_closed, node.lately(at))))

    def pods_in(self, namespace: str) -> list[Object]:
        """Every pod that was ever seen there, as it was seen last."""
        return [
            known.now
            for known in self.pods.values()
            if known.now["metadata"]["namespace"] == namespace
        ]
