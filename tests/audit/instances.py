"""Rules about instances of LongServices: I3, above and below."""

from tests.audit import readings
from tests.audit.verdicts import Verdicts
from tests.audit.world import Object, World


class Instances:
    """Judges an instance when it is created, and when it begins to leave."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world, self._verdicts = world, verdicts
        self._excused: set[str] = set()

    def excuse(self, namespace: str) -> None:
        """People delete pods in this namespace: fewer healthy instances are not our act."""
        self._excused.add(namespace)

    def born(self, pod: Object, uid: str, at: float) -> None:
        """I3, above: never more than the surge allows, on nodes that stay."""
        known = self._world.owners.get(uid)
        if known is None:
            return
        if any(readings.is_per_node(version["spec"]) for version in known.lately(at)):
            self._judge_alone(pod, uid)
            return
        live = [
            one.now
            for one in map(self._world.pods.__getitem__, self._world.owned[uid])
            if self._world.is_live(one)
        ]

        def beyond(at: float) -> str:
            stay = sum(self._world.stays(one, at) for one in live)
            most = max(readings.most_live(version["spec"]) for version in known.lately(at))
            return f"is instance {stay} of at most {most}" if stay > most else ""

        if beyond(at):
            self._verdicts.suspect(at, "I3", pod, beyond(at), lambda at: not beyond(at))

    def _judge_alone(self, pod: Object, uid: str) -> None:
        """I3, above, with one instance on each node: none has two, running or on their way out."""
        node = pod["spec"].get("nodeName")
        others = (
            self._world.pods[one] for one in self._world.owned[uid] if one != readings.uid(pod)
        )
        if any(self._world.runs(one) and one.now["spec"].get("nodeName") == node for one in others):
            self._verdicts.wrong("I3", pod, f"is the second on node {node}")

    def leave(self, before: Object, pod: Object, at: float) -> None:
        """I3, below: our own acts leave enough healthy instances."""
        owner = readings.owner(pod)
        known = self._world.owners.get(owner["uid"]) if owner is not None else None
        if owner is None or known is None or owner["kind"] != "LongService":
            return
        if not readings.is_ready(before) or readings.condition(pod, "DisruptionTarget") == "True":
            return
        namespace = pod["metadata"]["namespace"]
        leaver = self._world.pods[readings.uid(pod)]
        if not all(map(readings.is_ready, leaver.lately(at))):
            return  # it became ready a moment ago: one of those that may always go
        on_a_node = pod["spec"].get("nodeName") in self._world.nodes
        if not on_a_node or self._world.was_given_up(leaver, at):
            return
        others = [self._world.pods[uid] for uid in self._world.owned[owner["uid"]]]
        left = sum(
            one.gone_at is None
            and not readings.is_leaving(one.now)
            and any(map(readings.is_ready, one.lately(at)))
            for one in others
        )
        least = min(readings.least_healthy(version["spec"]) for version in known.lately(at))
        if left < least:
            text = f"was deleted and left {left} healthy of at least {least}"

            def explained(at: float) -> bool:
                space = self._world.namespaces.get(namespace)
                over = space is None or space.gone_at is not None or readings.is_leaving(space.now)
                ended = known.gone_at is not None or readings.is_leaving(known.now)
                specs = (version["spec"] for version in known.lately(at))
                smaller = min(map(readings.least_healthy, specs)) <= left
                lost = self._world.was_given_up(leaver, at)
                return over or ended or smaller or lost or namespace in self._excused

            self._verdicts.suspect(at, "I3", pod, text, explained)
