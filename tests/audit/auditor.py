"""An independent auditor: it is told what the API server's watches tell, and says what is wrong.

It shares no code with Bayplan; what it knows comes from Kubernetes' documentation and from what the
user guide promises. Numbers of rules are those of the project's reliability page: I1–I8 are about
every moment, P1–P10 about the history of runs. I5, quotas, is kept by the API server itself, which
refuses what exceeds them. What it cannot know from watches alone (who deleted a pod, cron in other
zones, templates that are refused) it does not judge, so every violation that it reports is one.

Streams of different kinds are not ordered among each other, and operators act on what they saw a
moment ago. So a decision is right when it was right by anything that was true in the last `LAG`
seconds, and a suspicion becomes a violation only when nothing explains it `LAG` seconds later.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.audit import amounts, readings, rules
from tests.audit.instances import Instances
from tests.audit.runs import Runs
from tests.audit.statuses import Statuses
from tests.audit.verdicts import Verdicts, Violation
from tests.audit.world import LAG, Known, Object, World

ORPHANED_SECONDS = 60.0
_OURS = {"BatchJob", "LongService"}


class Auditor:
    """`see` everything in the order of each stream; `judge` from time to time and at the end."""

    def __init__(self) -> None:
        self.seen = 0
        self._world = World()
        self._verdicts = Verdicts()
        self._statuses = Statuses(self._world, self._verdicts)
        self._runs = Runs(self._world, self._verdicts)
        self._instances = Instances(self._world, self._verdicts)

    # ── what it is told ──────────────────────────────────────────────────────────────────────

    def see(self, event: str, body: Object, at: float, *, listed: bool = False) -> None:
        """One event of one watch. `listed`: it was there before the auditor came.

        `at` is seconds on one clock that never steps.
        """
        self.seen += 1
        self._verdicts.settle(at)
        kind = body["kind"]
        if kind not in _OURS and not self._statuses.is_heartbeat(body):
            self._statuses.stir(at)
        if kind == "Pod":
            self._see_pod(event, body, at, listed=listed)
        elif kind == "Node":
            self._world.keep(
                self._world.nodes, body["metadata"]["name"], event, body, at, listed=listed
            )
        elif kind == "Namespace":
            self._world.keep(
                self._world.namespaces, body["metadata"]["name"], event, body, at, listed=listed
            )
        elif kind in _OURS:
            self._see_resource(event, body, at, listed=listed)

    def excuse(self, namespace: str) -> None:
        """People delete pods in this namespace: fewer healthy instances are not our act."""
        self._instances.excuse(namespace)

    def judge(self, at: float, wall: float) -> list[Violation]:
        """Everything that is known to be wrong by now. `wall`: epoch seconds, for slots."""
        self._verdicts.settle(at)
        self._judge_orphans(at)
        for uid, job in self._world.owners.items():
            if job.now["kind"] == "BatchJob" and job.gone_at is None and job.whole:
                self._runs.judge(uid, job.now, wall)
        return self.violations

    # ── custom resources ─────────────────────────────────────────────────────────────────────

    def _see_resource(self, event: str, body: Object, at: float, *, listed: bool) -> None:
        uid = body["metadata"]["uid"]
        known = self._world.owners.get(uid)
        before = known.now if known else None
        self._world.keep(self._world.owners, uid, event, body, at, listed=listed)
        specs = self._world.specs.setdefault(uid, [])
        if not specs or specs[-1] != body["spec"]:
            specs.append(body["spec"])
        if before is None or event == "DELETED" or not readings.differ_in_status(before, body):
            self._statuses.stir(at)
        elif body["kind"] == "LongService":
            self._statuses.judge_quiet(body, at)
        if before is not None and event != "DELETED":
            self._statuses.compare(before, body)

    # ── pods ─────────────────────────────────────────────────────────────────────────────────

    def _see_pod(self, event: str, body: Object, at: float, *, listed: bool) -> None:
        metadata = body["metadata"]
        uid = metadata["uid"]
        known = self._world.pods.get(uid)
        if event == "DELETED":
            if known is not None:
                known.update(at, body)
                known.gone_at = at
            self._world.on.get(body["spec"].get("nodeName", ""), set()).discard(uid)
            return
        if known is None:
            known = self._world.pods[uid] = Known(at, body, not listed)
            names = self._world.names.setdefault((metadata["namespace"], metadata["name"]), [])
            names.append(uid)
            owner = readings.owner(body)
            if owner is not None:
                self._world.owned.setdefault(owner["uid"], []).append(uid)
            before = None
        else:
            before = known.now
            known.update(at, body)
        node = body["spec"].get("nodeName")
        was = before["spec"].get("nodeName") if before is not None else None
        if was and was != node:
            self._verdicts.wrong("I2", body, f"moved from {was} to {node}")
        if node and not was:
            self._world.on.setdefault(node, set()).add(uid)
            if not listed and readings.is_ours(body):
                self._judge_place(body, node, at)
        if before is None and not listed and readings.is_ours(body):
            self._judge_birth(body, at)
        if before is not None and readings.is_leaving(body) and not readings.is_leaving(before):
            self._instances.leave(before, body, at)

    def _judge_place(self, pod: Object, node: str, at: float) -> None:
        """I1, I2, I6 at the moment of placing."""
        known = self._world.nodes.get(node)
        if known is None:
            return  # it left, or its own stream is behind: nothing to compare with
        versions = known.lately(at)

        def allowed(at: float) -> bool:
            return not all(rules.misplaced(pod, version) for version in known.lately(at))

        if not allowed(at):
            why = rules.misplaced(pod, known.now)
            self._verdicts.suspect(at, "I2", pod, f"placed on {node} against its {why}", allowed)
        bound = [self._world.pods[uid].now for uid in self._world.on[node]]
        others = [
            other
            for other in bound
            if readings.uid(other) != readings.uid(pod) and not readings.has_ended(other)
        ]
        taken = rules.ports(pod)
        if any(rules.collide(taken, rules.ports(other)) for other in others):
            self._verdicts.wrong("I2", pod, f"its host port on {node} was taken")
        if all(readings.is_ours(other) for other in others):  # else who came last is not known
            total = sum(map(amounts.asked, [*others, pod]), Counter())
            over = [readings.beyond(total, amounts.offered(version), pod) for version in versions]
            if all(over):
                there = ", ".join(sorted(map(readings.in_words, others)))
                self._verdicts.wrong(
                    "I1", pod, f"{node} is over-committed: {over[0]}; there: {there}"
                )
        self._judge_priority(pod, known.now, others, at)

    def _judge_priority(self, pod: Object, node: Object, others: list[Object], at: float) -> None:
        """I6: nobody of a higher priority waits for what this pod was given."""
        mine = pod["spec"].get("priority", 0)
        free = amounts.offered(node)
        free.subtract(sum(map(amounts.asked, others), Counter()))
        for other in self._world.pods.values():
            waits = other.gone_at is None and "nodeName" not in other.now["spec"]
            if not waits or at - other.seen_at < LAG or not readings.is_ours(other.now):
                continue
            if readings.is_leaving(other.now) or other.now["spec"].get("schedulingGates"):
                continue
            larger = other.now["spec"].get("priority", 0) > mine
            if larger and readings.is_simple(other.now) and not rules.misplaced(other.now, node):
                asked = amounts.asked(other.now)
                if all(free[name] >= value for name, value in asked.items()):
                    name = other.now["metadata"]["name"]
                    self._verdicts.wrong("I6", pod, f"took the room that {name}, higher, waits for")

    def _judge_birth(self, pod: Object, at: float) -> None:
        owner = readings.owner(pod)
        if owner is None:
            return
        self._judge_outlived(pod, owner["uid"], at)
        if owner["kind"] == "BatchJob":
            self._runs.born(pod, owner["uid"], at)
        else:
            self._instances.born(pod, owner["uid"], at)

    def _judge_outlived(self, pod: Object, uid: str, at: float) -> None:
        """P8: nothing new for a resource that is deleted or being deleted."""
        known = self._world.owners.get(uid)
        if known is None:
            return
        leaving = all(readings.is_leaving(version) for version in known.lately(at))
        if leaving or (known.gone_at is not None and at - known.gone_at > LAG):
            self._verdicts.wrong("P8", pod, "created for a resource that is being deleted")

    # ── owners ───────────────────────────────────────────────────────────────────────────────

    def _judge_orphans(self, at: float) -> None:
        """I4: no pod outlives its owner by a minute."""
        for known in self._world.pods.values():
            owner = readings.owner(known.now)
            if known.gone_at is not None or owner is None:
                continue
            parent = self._world.owners.get(owner["uid"])
            if parent is not None and parent.gone_at is None:
                continue
            since = parent.gone_at if parent is not None else known.seen_at
            if since is not None and at - since > ORPHANED_SECONDS:
                self._verdicts.wrong("I4", known.now, "its owner has been gone for a minute")

    # ── what it found ────────────────────────────────────────────────────────────────────────

    @property
    def violations(self) -> list[Violation]:
        """All that is certain by now, in that order."""
        return self._verdicts.violations

    def of(self, namespaces: Iterable[str]) -> Iterator[Violation]:
        """The violations in these namespaces."""
        return self._verdicts.of(namespaces)

    def pods(self, namespace: str) -> list[Object]:
        """Every pod that was ever seen there, as it was seen last."""
        return self._world.pods_in(namespace)
