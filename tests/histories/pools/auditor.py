"""The judge of a pool history: it reads what the store is told and knows nothing of the product.

Names of rules are those of `docs/design/20261130-pools.md` and of the work on Pools: B1 nothing is
bought twice, B2 limits hold, B4 a refused offering has its rest, B5 no claim hangs, B6 only empty
nodes go, B7 who may buy for a pod, B8 a Pool that advises buys nothing; I8 as for runs. Rules that
speak of time are asked while the operator is well: some seconds after the last fault.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from tests.histories import auditor
from tests.histories.auditor import Auditor, cpu_of, owner_of
from tests.histories.pools.karpenter import (
    PRICES,
    ROOM,
    Offering,
    accepted,
    offering_of,
)
from tests.histories.replica import Line
from tests.histories.store import Body, Key, is_terminal

DRAINING = "bayplan.dev/draining"
_JOB = "BatchJob"
_REST_SECONDS = 180  # of an offering that was refused
_SOLVED_SECONDS = 6.0  # from what the operator saw to what it orders
_WELL_SECONDS = 20.0  # after the last fault
_TOLD_SECONDS = 10.0  # until a pod says what it should
_CLOSED_SECONDS = 9.0  # between our taint and the end of the claim
_BIGGEST = max(room["cpu"] for room in ROOM.values())
_CPUS = {"m5.large": 2, "m5.xlarge": 4, "m5.2xlarge": 8}


class World(auditor.World, Protocol):
    def leader(self) -> Line | None: ...
    @property
    def lines(self) -> list[Line]: ...
    @property
    def offset(self) -> float: ...


@dataclass(slots=True)
class Claim:
    """One order for a node, by us or by Karpenter itself. The loop's times."""

    name: str
    uid: str
    ours: bool
    at: float
    offerings: frozenset[Offering]
    got: Offering | None = None
    launched_at: float = 0.0
    node: str = ""
    leaving: bool = False

    @property
    def least(self) -> int:
        """CPU, in thousandths, that its node has at least."""
        if self.got is not None:
            return ROOM[self.got[0]]["cpu"]
        return min(ROOM[kind]["cpu"] for kind, _, _ in self.offerings)

    @property
    def worst(self) -> tuple[int, int]:
        """CPUs and microdollars an hour that it counts: the most that it can become."""
        kinds = [self.got[0]] if self.got is not None else [kind for kind, _, _ in self.offerings]
        return max(_CPUS[kind] for kind in kinds), max(PRICES[kind] for kind in kinds)


class PoolAuditor(Auditor):
    """`spec` is the Pool's, with when each was written."""

    world: World

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.claims: dict[str, Claim] = {}  # by uid, that exist
        self.pools: list[tuple[float, Mapping[str, Any]]] = []
        self.bought = 0
        self.given_back = 0
        self.upset_at = 0.0
        self.deaf: dict[str, float] = {}
        self._refused: dict[Offering, float] = {}
        self._waiting: dict[str, float] = {}  # uid of an unbound pod -> since when
        self._waited: list[tuple[float, float, str, int]] = []  # that did: since, until, uid, cpu
        self._tainted: dict[str, float] = {}  # node -> when our taint came
        self._before: tuple[Line | None, float] = (None, 0.0)
        self._steps: list[tuple[float, float]] = []  # when all clocks were set, by how much
        self._led_since = 0.0  # by this process
        self._stuck: set[str] = set()
        self._overdue: set[str] = set()  # uids of pods

    # ---- how the operator is ----------------------------------------------------------------

    def upset(self) -> None:
        """Something is wrong with the operator or with the clocks now."""
        self.upset_at = self.world.time()

    @property
    def well_since(self) -> float:
        """Since when nothing hinders it; in the future while something does."""
        return self.upset_at + _WELL_SECONDS

    async def watch(self) -> NoReturn:
        """Look once a second."""
        while True:
            await asyncio.sleep(1.0)
            self._look()
            self.tick()

    def _look(self) -> None:
        now, leader = self.world.time(), self.world.leader()
        around = leader, self.world.offset
        if self.world.offset != self._before[1]:
            self._steps.append((now, self.world.offset - self._before[1]))
        if leader is not self._before[0]:
            self._led_since = now
        if leader is None or around != self._before or any(map(self._ails, self.world.lines)):
            self.upset_at = now
        self._before = around

    def _ails(self, line: Line) -> bool:
        until = max(line.cut_until, line.held_until)
        lossy = line.lose_before or line.lose_after or line.lost_news or line.doubled_news
        slow = line.slow > 0.1
        return bool(until > self.world.time() or lossy or slow or line.skew)

    def unknown_steps(self, since: float) -> tuple[float, float]:
        """By how much clocks were set back, and forward, of which the leader cannot know.

        It knows of those in its own life; what was stamped before has the time of another clock.
        """
        steps = [by for at, by in self._steps if since <= at <= self._led_since + 1]
        return sum(max(-by, 0.0) for by in steps), sum(max(by, 0.0) for by in steps)

    # ---- what happens -----------------------------------------------------------------------

    def told(self, kind: str, key: Key, before: Body | None, after: Body | None, verb: str) -> None:
        match kind:
            case "Pod":
                self.pod(before, after, verb)
                if owner_of(after or before or {}) in self.books:
                    super().told(kind, key, before, after, verb)
                elif after is not None and _lands(before, after):
                    self.fits(after)
            case "NodeClaim":
                self._claim(before, after, verb)
            case "Node":
                super().told(kind, key, before, after, verb)
                self.node(key[1], before, after, verb)
            case "LongService":
                self.service(before, after)
            case "Pool":
                if after is not None and verb != "status":
                    self.pools.append((self.world.time(), after["spec"]))
            case _:
                super().told(kind, key, before, after, verb)

    def pod(self, before: Body | None, after: Body | None, verb: str) -> None:
        """A pod has changed."""
        stored = after or before or {}
        uid, now = stored["metadata"]["uid"], self.world.time()
        unbound = after is not None and _waits(after)
        if unbound:
            self._waiting.setdefault(uid, now)
        elif uid in self._waiting:
            self._waited.append((self._waiting.pop(uid), now, uid, cpu_of(stored)))
        if after is not None and before is not None and verb == "mark":
            self._marked(after)

    def service(self, before: Body | None, after: Body | None) -> None:
        """A LongService has changed."""

    def node(self, name: str, before: Body | None, after: Body | None, verb: str) -> None:
        """A node has changed."""
        del before, verb
        if after is None or not _our_taints(after):
            self._tainted.pop(name, None)
        else:
            self._tainted.setdefault(name, self.world.time())

    def _claim(self, before: Body | None, after: Body | None, verb: str) -> None:
        stored = after or before or {}
        uid = stored["metadata"]["uid"]
        if before is None:
            claim = Claim(
                stored["metadata"]["name"],
                uid,
                verb == "create",
                self.world.time(),
                accepted(stored),
            )
            if claim.ours:
                self.bought += 1
                self._ordered(claim)
            self.claims[uid] = claim
            return
        claim = self.claims[uid]
        if after is None:
            del self.claims[uid]
            if not claim.leaving and claim.got is None:
                now = self.world.time()
                fresh = {one: now for one in claim.offerings if not self._rests(one, now)}
                self._refused |= fresh
            return
        got = offering_of(after)
        if claim.got is None and got is not None:
            claim.got, claim.launched_at = got, self.world.time()
            self._refused = {
                one: at for one, at in self._refused.items() if one != got or at > claim.at
            }
        claim.node = after.get("status", {}).get("nodeName", "")
        if after["metadata"].get("deletionTimestamp") and not claim.leaving:
            claim.leaving = True
            if verb == "delete":
                self._withdrawn(claim)
            elif claim.node:
                self.trouble(claim.node)

    # ---- buying -----------------------------------------------------------------------------

    def _ordered(self, claim: Claim) -> None:
        now = self.world.time()
        since = now - self.delta - _SOLVED_SECONDS
        specs = self._specs(since)
        if all(spec.get("mode", "Advise") == "Advise" for spec in specs):
            self.broken("B8", f"{claim.name} was ordered by a Pool that advises")
        self._within_limits(claim, specs)
        rested = [one for one in claim.offerings if self._rests(one, now - self.delta)]
        if rested:
            self.broken("B4", f"{claim.name} asks again for {min(rested)}")
        self._needed(claim)

    def _specs(self, since: float) -> list[Mapping[str, Any]]:
        """The specs of the Pool that were in force at some time since then."""
        later = [spec for at, spec in self.pools if at > since]
        first = [spec for at, spec in self.pools if at <= since][-1:]
        return [*first, *later]

    def _rests(self, offering: Offering, since: float) -> bool:
        at = self._refused.get(offering)
        if at is None or at >= since:
            return False
        return self.world.time() < at + _REST_SECONDS - 2 - self.unknown_steps(at)[1]

    def _within_limits(self, new: Claim, specs: list[Mapping[str, Any]]) -> None:
        """B2: with all nodes and orders there are, none of the limits is exceeded."""
        there = [*self.claims.values(), new]
        counts = {
            "nodes": len(there),
            "cpu": sum(claim.worst[0] for claim in there),
            "dollarsPerHour": sum(claim.worst[1] for claim in there) / 1e6,
        }
        for what, count in counts.items():
            limits = [spec.get("limits", {}).get(what) for spec in specs]
            if all(limit is not None and count > float(limit) + 1e-9 for limit in limits):
                self.broken("B2", f"with {new.name} there are {count} {what}, of {limits[-1]}")

    def _needed(self, new: Claim) -> None:
        """B1: what is there and what was ordered has no room for all that waits.

        Whatever waited for a moment in the last seconds counts, and so does headroom.
        """
        since = self.world.time() - self.delta - 2 * _SOLVED_SECONDS
        self._waited = [one for one in self._waited if one[1] >= since]
        pods = self.world.store.of("Pod").values()
        cpus = [cpu for _, _, _, cpu in self._waited]
        cpus += [cpu_of(pod) for pod in pods if _waits(pod)]
        spec = self.pools[-1][1]
        headroom = spec.get("buying", {}).get("headroom", {}).get("cpu")
        cpus += [1000] * int(headroom or 0)
        ordered = [
            claim
            for claim in self.claims.values()
            if not claim.leaving and claim.name != new.name and self._under_way(claim)
        ]
        # Twice bought: twice what is needed, whoever of them all shall take it.
        if ordered and sum(claim.least for claim in ordered) > 2 * sum(cpus) + _BIGGEST:
            least = sum(claim.least for claim in ordered)
            self.broken("B1", f"{new.name} was ordered: {sum(cpus)}m waited for {least}m under way")

    def _under_way(self, claim: Claim) -> bool:
        """No pod can have landed on its node yet."""
        node = self.world.store.of("Node").get(("", claim.node)) if claim.node else None
        return node is None or node["status"]["conditions"][0]["status"] != "True"

    def _withdrawn(self, claim: Claim) -> None:
        """B6: we delete a claim whose node is empty and closed, or that never got an instance."""
        node = self.world.store.of("Node").get(("", claim.node)) if claim.node else None
        if claim.got is None:
            return
        if node is None:
            if not claim.node and self.world.time() > claim.launched_at + self.delta:
                self.broken("B6", f"{claim.name} was deleted before its node came")
            return
        self.given_back += 1
        left = list(self.on_node(claim.node))
        if left:
            names = ", ".join(pod["metadata"]["name"] for pod in left)
            self.broken("B6", f"{claim.name} was deleted with {names} on {claim.node}")
        since = self._tainted.get(claim.node)
        closed = since is not None and self.world.time() >= since + _CLOSED_SECONDS
        if not closed:
            self.broken("B6", f"{claim.name} was deleted, and {claim.node} had not been closed")

    def on_node(self, node: str) -> Iterator[Body]:
        """What keeps a node: pods that have not ended, but those of DaemonSets."""
        for pod in self.world.store.of("Pod").values():
            daemon = pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
            if pod["spec"].get("nodeName") == node and not daemon and not is_terminal(pod):
                yield pod

    def _marked(self, pod: Body) -> None:
        """B7: before its time no pod is left to others."""
        if _reason(pod) != "Unschedulable":
            return
        now = self.world.time()
        since = self._waiting.get(pod["metadata"]["uid"], now)
        age = now - since + self.unknown_steps(since)[1]
        specs = self._specs(now - self.delta - 3)
        if age < min(_fallback(spec) for spec in specs) - 2 - self.delta:
            name = pod["metadata"]["name"]
            self.broken("B7", f"{name} was left to others after {age:.0f} s")

    # ---- each second ------------------------------------------------------------------------

    def tick(self) -> None:
        """Rules that something must happen in time."""
        now = self.world.time()
        if now < self.well_since:
            return
        changed_at, spec = self.pools[-1]
        self._left_to_others(spec, max(self.well_since, changed_at))
        for claim in self.claims.values():
            seconds = spec.get("buying", {}).get("launchSeconds", 30)
            due = max(claim.at + seconds, self.well_since, changed_at) + 10
            due += self.unknown_steps(claim.at)[0]
            hangs = claim.ours and claim.got is None and not claim.leaving
            late = hangs and now > due
            if late and claim.uid not in self._stuck:
                self._stuck.add(claim.uid)
                self.broken("B5", f"{claim.name} has no instance for {now - claim.at:.0f} s")

    def _left_to_others(self, spec: Mapping[str, Any], since: float) -> None:
        """B7: after its time a pod says Unschedulable, so that others may buy for it."""
        now = self.world.time()
        for pod in self.world.store.of("Pod").values():
            uid = pod["metadata"]["uid"]
            if not _waits(pod) or uid in self._overdue:
                continue
            waits = self._waiting[uid]
            due = max(waits + _fallback(spec) + self.unknown_steps(waits)[0], since) + _TOLD_SECONDS
            if now > due and _reason(pod) != "Unschedulable":
                self._overdue.add(uid)
                age = now - self._waiting[uid]
                name = pod["metadata"]["name"]
                self.broken("B7", f"{name} waits for {age:.0f} s and says {_reason(pod)}")

    def judge_pool(self) -> None:
        """At the end of a quiet stretch: everything has got its node, and none is left closed."""
        now = self.world.time()
        for pod in self.world.store.of("Pod").values():
            if _waits(pod):
                age = now - self._waiting[pod["metadata"]["uid"]]
                self.broken("B9", f"{pod['metadata']['name']} has waited for {age:.0f} s")
        for name in self._tainted:
            self.broken("C7", f"{name} has our taint for ever")


def _fallback(spec: Mapping[str, Any]) -> float:
    """After how many seconds a pod is left to others."""
    if spec.get("mode", "Advise") == "Advise":
        return 0.0
    stated = spec.get("buying", {}).get("fallback", {})
    return float("inf") if stated.get("to") == "None" else float(stated.get("afterSeconds", 120))


def _lands(before: Body | None, after: Body) -> bool:
    """Whether it has got its node now."""
    had = before is not None and before["spec"].get("nodeName")
    return bool(after["spec"].get("nodeName") and not had)


def _waits(pod: Body) -> bool:
    """Whether it needs a node."""
    leaves = pod["metadata"].get("deletionTimestamp") or is_terminal(pod)
    return not pod["spec"].get("nodeName") and not leaves


def _reason(pod: Body) -> str:
    """Why it waits, as its condition says."""
    told = {one["type"]: one for one in pod["status"].get("conditions", ())}
    return str(told.get("PodScheduled", {}).get("reason", ""))


def _our_taints(node: Body) -> bool:
    return any(one["key"] == DRAINING for one in node["spec"].get("taints", ()))
