"""An independent auditor: it is told what the API server's watches tell, and says what is wrong.

It shares no code with Bayplan; what it knows comes from Kubernetes' documentation and from what the
user guide promises. Numbers of rules are those of the project's reliability page: I1–I8 are about
every moment, P1–P10 about the history of runs. I5, quotas, is kept by the API server itself, which
refuses what exceeds them. What it cannot know from watches alone (who deleted
a pod, cron in other zones, templates that are refused) it does not judge, so every violation that
it reports is one.

Streams of different kinds are not ordered among each other, and operators act on what they saw a
moment ago. So a decision is right when it was right by anything that was true in the last `LAG`
seconds, and a suspicion becomes a violation only when nothing explains it `LAG` seconds later.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.audit import amounts, readings, rules

Object = Mapping[str, Any]

LAG = 3.0  # seconds
QUIET_SECONDS = 10.0  # without news: whatever follows from the last news has been written
MOST_QUIET_WRITES = 3  # of one status; what a deadline or the clock brings
ORPHANED_SECONDS = 60.0
LATE_SECONDS = 20  # a slot younger than this may still be on its way
_GROUP = "bayplan.dev"
_OURS = {"BatchJob", "LongService"}
_COUNTERS = ("runs", "successes", "failures", "missed", "lost", "cancelled")


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: which, of what, and what was seen."""

    rule: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}: {self.text}"


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


@dataclass(slots=True, eq=False)
class _Suspicion:
    at: float
    violation: Violation
    explained: Callable[[float], bool]  # by what was true until then


class Auditor:
    """`see` everything in the order of each stream; `judge` from time to time and at the end."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.seen = 0
        self._pods: dict[str, Known] = {}  # by uid, also those that are gone
        self._nodes: dict[str, Known] = {}  # by name
        self._owners: dict[str, Known] = {}  # our resources by uid, also those that are gone
        self._specs: dict[str, list[Object]] = {}  # every spec that a resource ever had
        self._namespaces: dict[str, Known] = {}
        self._owned: dict[str, list[str]] = {}  # owner's uid -> uids of all its pods ever
        self._on: dict[str, set[str]] = {}  # node -> uids of pods there that have not gone
        self._names: dict[tuple[str, str], list[str]] = {}  # pod's name -> uids
        self._excused: set[str] = set()
        self._moves: dict[str, dict[str, int]] = {}  # service's uid -> pod's uid -> begun when
        self._stirred = 0.0  # when there was news of anything but a status of ours
        self._writes: Counter[str] = Counter()  # of statuses since it is quiet, by uid
        self._told: set[Violation] = set()
        self._suspicions: deque[_Suspicion] = deque()  # the oldest first

    # ── what it is told ──────────────────────────────────────────────────────────────────────

    def see(self, event: str, body: Object, at: float, *, listed: bool = False) -> None:
        """One event of one watch. `listed`: it was there before the auditor came.

        `at` is seconds on one clock that never steps.
        """
        self.seen += 1
        self._settle(at)
        kind = body["kind"]
        if kind not in _OURS and not self._is_heartbeat(body):
            self._stir(at)
        if kind == "Pod":
            self._see_pod(event, body, at, listed=listed)
        elif kind == "Node":
            self._keep(self._nodes, body["metadata"]["name"], event, body, at, listed=listed)
        elif kind == "Namespace":
            self._keep(self._namespaces, body["metadata"]["name"], event, body, at, listed=listed)
        elif kind in _OURS:
            self._see_resource(event, body, at, listed=listed)

    def excuse(self, namespace: str) -> None:
        """People delete pods in this namespace: fewer healthy instances are not our act."""
        self._excused.add(namespace)

    def judge(self, at: float, wall: float) -> list[Violation]:
        """Everything that is known to be wrong by now. `wall`: epoch seconds, for slots."""
        self._settle(at)
        self._judge_orphans(at)
        for uid, job in self._owners.items():
            if job.now["kind"] == "BatchJob" and job.gone_at is None and job.whole:
                self._judge_slots(uid, job.now, wall)
                self._judge_counts(uid, job.now, wall)
        return self.violations

    # ── custom resources ─────────────────────────────────────────────────────────────────────

    def _see_resource(self, event: str, body: Object, at: float, *, listed: bool) -> None:
        uid = body["metadata"]["uid"]
        known = self._owners.get(uid)
        before = known.now if known else None
        self._keep(self._owners, uid, event, body, at, listed=listed)
        specs = self._specs.setdefault(uid, [])
        if not specs or specs[-1] != body["spec"]:
            specs.append(body["spec"])
        if before is None or event == "DELETED" or not readings.differ_in_status(before, body):
            self._stir(at)
        elif body["kind"] == "LongService":
            self._judge_quiet(body, at)
        if before is not None and event != "DELETED":
            self._compare_statuses(before, body)
            self._judge_moves(uid, body)

    def _compare_statuses(self, before: Object, after: Object) -> None:
        """P10: what was counted stays counted, and the clock of slots never goes back."""
        old, new = before.get("status", {}), after.get("status", {})
        for word in _COUNTERS:
            was = old.get("statistics", {}).get(word, 0)
            now = new.get("statistics", {}).get(word, 0)
            if now < was:
                self._wrong("P10", after, f"statistics.{word} fell from {was} to {now}")
        if old.get("lastSlotTime") and new.get("lastSlotTime", "") < old["lastSlotTime"]:
            self._wrong(
                "P10", after, f"lastSlotTime {old['lastSlotTime']} → {new.get('lastSlotTime')}"
            )

    def _judge_moves(self, uid: str, body: Object) -> None:
        """I7: in no hour more moves than some spec allowed, also those that the status forgets."""
        begun = self._moves.setdefault(uid, {})
        for move in body.get("status", {}).get("recentMoves", ()):
            if move["uid"] in begun:
                continue
            at = begun[move["uid"]] = readings.seconds(move["time"])
            most = max(map(readings.most_moves, self._specs[uid]))
            count = sum(at - 3600 < other <= at for other in begun.values())
            if count > most:
                self._wrong("I7", body, f"began move {count} of at most {most} an hour")

    def _judge_quiet(self, body: Object, at: float) -> None:
        """I8: where nothing happens, nothing is written: of a service, whom no schedule wakes."""
        if at - self._stirred < QUIET_SECONDS:
            return
        uid = readings.uid(body)
        self._writes[uid] += 1
        if self._writes[uid] == MOST_QUIET_WRITES + 1:
            seconds = int(at - self._stirred)
            self._wrong("I8", body, f"its status changes on, {seconds} s after the last news")

    def _stir(self, at: float) -> None:
        self._stirred = at
        self._writes.clear()

    def _is_heartbeat(self, body: Object) -> bool:
        """A node that says again what is known of it."""
        known = self._nodes.get(body["metadata"]["name"]) if body["kind"] == "Node" else None
        return known is not None and readings.same_node(known.now, body)

    # ── pods ─────────────────────────────────────────────────────────────────────────────────

    def _see_pod(self, event: str, body: Object, at: float, *, listed: bool) -> None:
        metadata = body["metadata"]
        uid = metadata["uid"]
        known = self._pods.get(uid)
        if event == "DELETED":
            if known is not None:
                known.update(at, body)
                known.gone_at = at
            self._on.get(body["spec"].get("nodeName", ""), set()).discard(uid)
            return
        if known is None:
            known = self._pods[uid] = Known(at, body, not listed)
            names = self._names.setdefault((metadata["namespace"], metadata["name"]), [])
            names.append(uid)
            owner = readings.owner(body)
            if owner is not None:
                self._owned.setdefault(owner["uid"], []).append(uid)
            before = None
        else:
            before = known.now
            known.update(at, body)
        node = body["spec"].get("nodeName")
        was = before["spec"].get("nodeName") if before is not None else None
        if was and was != node:
            self._wrong("I2", body, f"moved from {was} to {node}")
        if node and not was:
            self._on.setdefault(node, set()).add(uid)
            if not listed and readings.is_ours(body):
                self._judge_place(body, node, at)
        if before is None and not listed and readings.is_ours(body):
            self._judge_birth(body, at)
        if before is not None and readings.is_leaving(body) and not readings.is_leaving(before):
            self._judge_leave(before, body, at)

    def _judge_place(self, pod: Object, node: str, at: float) -> None:
        """I1, I2, I6 at the moment of placing."""
        known = self._nodes.get(node)
        if known is None:
            return  # it left, or its own stream is behind: nothing to compare with
        versions = known.lately(at)

        def allowed(at: float) -> bool:
            return not all(rules.misplaced(pod, version) for version in known.lately(at))

        if not allowed(at):
            why = rules.misplaced(pod, known.now)
            self._suspect(at, "I2", pod, f"placed on {node} against its {why}", allowed)
        bound = [self._pods[uid].now for uid in self._on[node]]
        others = [
            other
            for other in bound
            if readings.uid(other) != readings.uid(pod) and not readings.has_ended(other)
        ]
        taken = rules.ports(pod)
        if any(rules.collide(taken, rules.ports(other)) for other in others):
            self._wrong("I2", pod, f"its host port on {node} was taken")
        if all(readings.is_ours(other) for other in others):  # else who came last is not known
            total = sum(map(amounts.asked, [*others, pod]), Counter())
            over = [readings.beyond(total, amounts.offered(version), pod) for version in versions]
            if all(over):
                there = ", ".join(sorted(map(readings.in_words, others)))
                self._wrong("I1", pod, f"{node} is over-committed: {over[0]}; there: {there}")
        self._judge_priority(pod, known.now, others, at)

    def _judge_priority(self, pod: Object, node: Object, others: list[Object], at: float) -> None:
        """I6: nobody of a higher priority waits for what this pod was given."""
        mine = pod["spec"].get("priority", 0)
        free = amounts.offered(node)
        free.subtract(sum(map(amounts.asked, others), Counter()))
        for other in self._pods.values():
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
                    self._wrong("I6", pod, f"took the room that {name}, higher, waits for")

    def _judge_birth(self, pod: Object, at: float) -> None:
        owner = readings.owner(pod)
        if owner is None:
            return
        self._judge_outlived(pod, owner["uid"], at)
        if owner["kind"] == "BatchJob":
            self._judge_run(pod, owner["uid"], at)
        else:
            self._judge_surge(pod, owner["uid"], at)

    def _judge_outlived(self, pod: Object, uid: str, at: float) -> None:
        """P8: nothing new for a resource that is deleted or being deleted."""
        known = self._owners.get(uid)
        if known is None:
            return
        leaving = all(readings.is_leaving(version) for version in known.lately(at))
        if leaving or (known.gone_at is not None and at - known.gone_at > LAG):
            self._wrong("P8", pod, "created for a resource that is being deleted")

    # ── runs ─────────────────────────────────────────────────────────────────────────────────

    def _judge_run(self, pod: Object, uid: str, at: float) -> None:
        """P2, P3, P4, P6, P7 when an attempt is created."""
        run, _, slot = readings.run_of(pod)
        others = [self._pods[other] for other in self._owned[uid] if other != readings.uid(pod)]
        others = [one for one in others if not self._was_given_up(one, at)]
        mates = [one for one in others if readings.run_of(one.now)[0] == run]
        self._judge_mates(pod, mates)
        specs = self._specs.get(uid, [])
        if not specs:
            return
        self._judge_retry(pod, mates, specs)
        self._judge_parents(pod, uid, specs)
        if all(spec.get("concurrencyPolicy", "Forbid") == "Forbid" for spec in specs):
            for other in others:
                if readings.whole_run(other.now) != readings.whole_run(pod) and self._runs(other):
                    name = other.now["metadata"]["name"]
                    self._wrong("P4", pod, f"begins while {name} of the same job runs")
        if slot is not None and readings.is_scheduled(pod):
            self._judge_slot(pod, uid, slot, specs)

    def _judge_mates(self, pod: Object, mates: Iterable[Known]) -> None:
        """P2 and P6 among the attempts of one run."""
        metadata = pod["metadata"]
        run, attempt, _ = readings.run_of(pod)
        same_name = self._names[metadata["namespace"], metadata["name"]][:-1]
        if any(readings.has_begun(self._pods[other].now) for other in same_name):
            self._wrong("P2", pod, "ran before under the same name: a doubled run")
        for mate in mates:
            if mate.now["metadata"]["name"] == metadata["name"]:
                continue
            if mate.now["status"].get("phase") == "Succeeded":
                self._wrong("P6", pod, f"attempt {attempt} of run {run} after a success")
            elif self._runs(mate):
                self._wrong("P2", pod, f"run {run} has a second attempt beside a running one")

    def _judge_slot(self, pod: Object, uid: str, slot: int, specs: list[Object]) -> None:
        created = readings.seconds(pod["metadata"]["creationTimestamp"])
        if created < slot:
            self._wrong("P3", pod, f"began {slot - created} s before its slot")
        born = readings.seconds(self._owners[uid].now["metadata"]["creationTimestamp"])
        due = [readings.due(spec, born, slot) for spec in specs]
        if all(slots is not None and slot not in slots for slots in due):
            self._wrong("P7", pod, f"slot {slot} is not one of the schedule's")

    def _judge_retry(self, pod: Object, mates: Iterable[Known], specs: list[Object]) -> None:
        failed = [mate.now for mate in mates if readings.counts_as_failure(mate.now)]
        policies = [spec.get("retryPolicy", {}) for spec in specs]
        limit = max(policy.get("limit", 2) for policy in policies)
        if len(failed) > limit:
            self._wrong("P6", pod, f"a retry after {len(failed)} failures; the limit is {limit}")
        delay = min(
            min(policy.get("delaySeconds", 60), policy.get("maxDelaySeconds", 3600))
            for policy in policies
        )
        ends = [end for end in map(readings.ended_at, failed) if end is not None]
        created = readings.seconds(pod["metadata"]["creationTimestamp"])
        if ends and created < max(ends) + delay:
            self._wrong("P6", pod, f"a retry {created - max(ends)} s after a failure, not {delay}")

    def _judge_parents(self, pod: Object, uid: str, specs: list[Object]) -> None:
        """P5: a child runs after all its parents succeeded, once for each set of successes."""
        child = self._owners[uid]
        if not (readings.is_of_parents(pod) and child.whole and len(specs) == 1):
            return
        mine = {readings.whole_run(self._pods[one].now) for one in self._owned[uid]}
        namespace = pod["metadata"]["namespace"]
        for parent in specs[0].get("parents", ()):
            known = [
                one
                for one in self._owners.values()
                if one.now["kind"] == "BatchJob"
                and one.now["metadata"]["namespace"] == namespace
                and one.now["metadata"]["name"] == parent["name"]
            ]
            if not known or any(not one.whole or readings.is_lenient(one.now) for one in known):
                continue
            succeeded = {
                readings.whole_run(self._pods[run].now)
                for one in known
                for run in self._owned.get(readings.uid(one.now), ())
                if self._pods[run].now["status"].get("phase") == "Succeeded"
            }
            if len(mine) > len(succeeded):
                ran = f"run {len(mine)} after {len(succeeded)} successes"
                self._wrong("P5", pod, f"{ran} of its parent {parent['name']}")

    def _judge_slots(self, uid: str, job: Object, wall: float) -> None:
        """P1 and P10: every slot that is due has a run, or is reported as missed."""
        specs = self._specs[uid]
        spec, status = job["spec"], job.get("status", {})
        schedules = {(one.get("schedule"), one.get("timeZone", "UTC")) for one in specs}
        if len(schedules) > 1 or any(one.get("suspend") for one in specs):
            return
        if (
            status.get("active")
            or readings.is_leaving(job)
            or readings.condition(job, "Ready") == "False"
        ):
            return
        if f"{_GROUP}/paused-until" in job["metadata"].get("annotations", {}):
            return
        born = readings.seconds(job["metadata"]["creationTimestamp"])
        due = readings.due(spec, born, int(wall) - LATE_SECONDS)
        if due is None:
            return
        run = {readings.run_of(self._pods[one].now)[2] for one in self._owned.get(uid, ())}
        without = sorted(due - run)
        missed = status.get("statistics", {}).get("missed", 0)
        if len(without) > missed:
            self._wrong("P1", job, f"no run and no report of slots {without}; missed: {missed}")

    def _judge_counts(self, uid: str, job: Object, wall: float) -> None:
        """P10: as many successes are counted as there were."""
        status = job.get("status", {})
        told = status.get("statistics", {}).get("successes", 0)
        if readings.is_lenient(job):
            return
        tasks: dict[tuple[str, int], dict[str, int]] = {}  # run, attempt of a gang -> task -> end
        ends: dict[str, int] = {}
        for one in self._owned.get(uid, ()):
            pod = self._pods[one].now
            if pod["status"].get("phase") == "Succeeded":
                notes = pod["metadata"].get("annotations", {})
                task, attempt, _ = readings.run_of(pod)
                together = attempt if f"{_GROUP}/gang" in notes else 0
                known = tasks.setdefault((readings.whole_run(pod), together), {})
                known[task] = readings.ended_at(pod) or int(wall)
                if len(known) == int(notes.get(f"{_GROUP}/tasks", "1")):
                    ends[readings.whole_run(pod)] = max(known.values())
        settled = sum(wall - end > LATE_SECONDS for end in ends.values())
        if not settled <= told <= len(ends):
            self._wrong("P10", job, f"{told} successes counted, {len(ends)} pods succeeded")
        for entry in status.get("history", ()):
            if entry.get("outcome") == "Failed" and entry.get("run") in ends:
                self._wrong("P10", job, f"run {entry['run']} succeeded and is called Failed")

    # ── instances ────────────────────────────────────────────────────────────────────────────

    def _judge_surge(self, pod: Object, uid: str, at: float) -> None:
        """I3, above: never more than the surge allows, on nodes that stay."""
        known = self._owners.get(uid)
        if known is None:
            return
        if any(readings.is_per_node(version["spec"]) for version in known.lately(at)):
            self._judge_alone(pod, uid)
            return
        live = [
            one.now for one in map(self._pods.__getitem__, self._owned[uid]) if self._is_live(one)
        ]

        def beyond(at: float) -> str:
            stay = sum(self._stays(one, at) for one in live)
            most = max(readings.most_live(version["spec"]) for version in known.lately(at))
            return f"is instance {stay} of at most {most}" if stay > most else ""

        if beyond(at):
            self._suspect(at, "I3", pod, beyond(at), lambda at: not beyond(at))

    def _judge_alone(self, pod: Object, uid: str) -> None:
        """I3, above, with one instance on each node: none has two, running or on their way out."""
        node = pod["spec"].get("nodeName")
        others = (self._pods[one] for one in self._owned[uid] if one != readings.uid(pod))
        if any(self._runs(one) and one.now["spec"].get("nodeName") == node for one in others):
            self._wrong("I3", pod, f"is the second on node {node}")

    def _judge_leave(self, before: Object, pod: Object, at: float) -> None:
        """I3, below: our own acts leave enough healthy instances."""
        owner = readings.owner(pod)
        known = self._owners.get(owner["uid"]) if owner is not None else None
        if owner is None or known is None or owner["kind"] != "LongService":
            return
        if not readings.is_ready(before) or readings.condition(pod, "DisruptionTarget") == "True":
            return
        namespace = pod["metadata"]["namespace"]
        leaver = self._pods[readings.uid(pod)]
        if pod["spec"].get("nodeName") not in self._nodes or self._was_given_up(leaver, at):
            return
        others = [self._pods[uid] for uid in self._owned[owner["uid"]]]
        left = sum(
            one.gone_at is None and not readings.is_leaving(one.now) and readings.is_ready(one.now)
            for one in others
        )
        least = min(readings.least_healthy(version["spec"]) for version in known.lately(at))
        if left < least:
            text = f"was deleted and left {left} healthy of at least {least}"

            def explained(at: float) -> bool:
                space = self._namespaces.get(namespace)
                over = space is None or space.gone_at is not None or readings.is_leaving(space.now)
                ended = known.gone_at is not None or readings.is_leaving(known.now)
                specs = (version["spec"] for version in known.lately(at))
                smaller = min(map(readings.least_healthy, specs)) <= left
                lost = self._was_given_up(leaver, at)
                return over or ended or smaller or lost or namespace in self._excused

            self._suspect(at, "I3", pod, text, explained)

    # ── owners ───────────────────────────────────────────────────────────────────────────────

    def _judge_orphans(self, at: float) -> None:
        """I4: no pod outlives its owner by a minute."""
        for known in self._pods.values():
            owner = readings.owner(known.now)
            if known.gone_at is not None or owner is None:
                continue
            parent = self._owners.get(owner["uid"])
            if parent is not None and parent.gone_at is None:
                continue
            since = parent.gone_at if parent is not None else known.seen_at
            if since is not None and at - since > ORPHANED_SECONDS:
                self._wrong("I4", known.now, "its owner has been gone for a minute")

    # ── small questions ──────────────────────────────────────────────────────────────────────

    def _keep(
        self,
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

    def _is_silent(self, pod: Object) -> bool:
        """Whether its node is gone or cut off, so that nothing is known of it."""
        name = pod["spec"].get("nodeName")
        if not name:
            return False
        node = self._nodes.get(name)
        return (
            node is None
            or node.gone_at is not None
            or readings.condition(node.now, "Ready") != "True"
        )

    def _was_given_up(self, known: Known, at: float) -> bool:
        """Whether it ran on a node that was gone or cut off, as far as one knew lately."""
        node = self._nodes.get(known.now["spec"].get("nodeName", ""))
        if node is None or all(map(readings.has_ended, known.lately(at))):
            return False
        back = node.back_at is not None and at - node.back_at <= LAG
        return (
            back
            or node.gone_at is not None
            or any(readings.condition(one, "Ready") != "True" for one in node.lately(at))
        )

    def _runs(self, known: Known) -> bool:
        """Whether its containers run, or are about to."""
        return (
            known.gone_at is None
            and not readings.has_ended(known.now)
            and not self._is_silent(known.now)
        )

    def _is_live(self, known: Known) -> bool:
        """An instance that neither ended nor leaves nor is cut off."""
        return self._runs(known) and not readings.is_leaving(known.now)

    def _stays(self, pod: Object, at: float) -> bool:
        """Whether its node stays, and is the one that it was placed on."""
        node = self._nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return True
        back = node.back_at is not None and at - node.back_at <= LAG  # as another one: it was lost
        gone = node.gone_at is not None
        return not (gone or back or any(map(readings.is_closed, node.lately(at))))

    def _suspect(
        self, at: float, rule: str, body: Object, text: str, explained: Callable[[float], bool]
    ) -> None:
        """Wrong by all that is known yet: another stream may be behind."""
        self._suspicions.append(
            _Suspicion(at, Violation(rule, readings.name(body), text), explained)
        )

    def _settle(self, at: float) -> None:
        """Whatever could explain a suspicion has been heard `LAG` seconds later."""
        while self._suspicions and at - self._suspicions[0].at >= LAG:
            one = self._suspicions.popleft()
            if not one.explained(at):
                self._say(one.violation)

    def _wrong(self, rule: str, body: Object, text: str) -> None:
        self._say(Violation(rule, readings.name(body), text))

    def _say(self, violation: Violation) -> None:
        if violation not in self._told:
            self._told.add(violation)
            self.violations.append(violation)

    def pods(self, namespace: str) -> list[Object]:
        """Every pod that was ever seen there, as it was seen last."""
        return [
            known.now
            for known in self._pods.values()
            if known.now["metadata"]["namespace"] == namespace
        ]

    def of(self, namespaces: Iterable[str]) -> Iterator[Violation]:
        """The violations in these namespaces."""
        wanted = tuple(f"{name}/" for name in namespaces)
        return (one for one in self.violations if one.subject.startswith(wanted))
