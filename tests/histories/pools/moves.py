"""What of a pool history concerns moves: the judge of the laws C1 to C8.

C1 no service falls below its minimum by our acts, C2 no pod is evicted without room for it, C3 no
run is ended, C4 what must stay stays, C5 nothing moves twice in a short time and the Pool comes to
rest, C6 that costs no more than before, C7 no node stays closed for ever, C8 what is being emptied
is not filled again.
"""

from collections.abc import Mapping
from typing import Any

from tests.histories.auditor import cpu_of, owner_of
from tests.histories.pools.auditor import DRAINING, PoolAuditor, World
from tests.histories.pools.controllers import is_ready, owner
from tests.histories.pools.karpenter import PRICES
from tests.histories.store import Body, is_terminal

FORBIDDING = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "bayplan.dev/move": "Never",
}
_OURS = frozenset({"evict", "delete"})  # verbs by which the operator lets a pod go
_LANDED_SECONDS = 20.0  # until the successor of an evicted pod has its node
_SEEN_SECONDS = 1.5  # until a taint has been seen by an operator that is well
_MOST_TRIES = 8  # refused evictions of one pod within a minute


class MovesAuditor(PoolAuditor):
    """The judge of a Pool that consolidates, or only buys."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.moved = 0
        self.cost_before: int | None = None  # at the beginning of the quiet stretch
        self._specs_of: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}  # uid of a service
        self._bound_at: dict[str, float] = {}  # uid of a pod
        self._unwell: dict[str, tuple[str, float]] = {}  # uid of a pod -> owner, since when
        self._evicted: dict[str, float] = {}  # uid of an owner -> when we evicted of it last
        self._tried: dict[str, list[float]] = {}  # uid of a pod -> refused evictions
        self._node_lost_at = 0.0
        self._moving: dict[str, float] = {}  # node -> since when its pods move

    # ---- what happens -----------------------------------------------------------------------

    def service(self, before: Body | None, after: Body | None) -> None:
        """A LongService has changed."""
        stored = after or before or {}
        known = self._specs_of.setdefault(stored["metadata"]["uid"], [])
        if after is None:
            known.append((self.world.time(), {}))
        elif before is None or before["spec"] != after["spec"]:
            known.append((self.world.time(), after["spec"]))

    def pod(self, before: Body | None, after: Body | None, verb: str) -> None:
        stored = after or before or {}
        uid = stored["metadata"]["uid"]
        since = self._waiting.get(uid, 0.0)
        super().pod(before, after, verb)
        node = stored["spec"].get("nodeName")
        if after is not None and node and (before is None or not before["spec"].get("nodeName")):
            self._bound_at[uid] = self.world.time()
            self._filled(after, node)
            # It is the successor; others that come with it come for another reason.
            if self._evicted.get(owner(after)["uid"], self.world.time()) <= since:
                del self._evicted[owner(after)["uid"]]
        if before is None:
            return
        left = after is None or after["metadata"].get("deletionTimestamp")
        if left and not before["metadata"].get("deletionTimestamp"):
            if verb in _OURS and node and not is_terminal(before):
                self._let_go(before, verb)
            else:
                self._unwell[uid] = (owner(before)["uid"], self.world.time())
        elif after is not None and is_ready(before) and not is_ready(after):
            self._unwell[uid] = (owner(before)["uid"], self.world.time())

    def node(self, name: str, before: Body | None, after: Body | None, verb: str) -> None:
        super().node(name, before, after, verb)
        if after is None or _drain(after) != "moving":
            self._moving.pop(name, None)
        elif name not in self._moving:
            self._moving[name] = self.world.time()
            if verb == "taint":
                self._begun(name)

    def spent(self, uid: str) -> None:
        """An eviction of ours was refused by a budget."""
        now = self.world.time()
        tries = self._tried.setdefault(uid, [])
        tries[:] = [*(at for at in tries if at > now - 60), now]
        if len(tries) > _MOST_TRIES:
            self.broken("C4", f"{len(tries)} evictions of one pod were refused within a minute")
            tries.clear()

    # ---- moves --------------------------------------------------------------------------------

    def _begun(self, node: str) -> None:
        """C3, C4, C5: a node gets the taint under which its pods move."""
        now = self.world.time()
        consolidation = self.pools[-1][1].get("consolidation", {})
        stay = consolidation.get("minimumStaySeconds", 1800)
        for pod in self.on_node(node):
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            age = now - self._bound_at.get(uid, now)
            if owner(pod)["kind"] == "BatchJob" or age < self.delta or _leaves(pod):
                continue
            if why := _forbidden(pod):
                self.broken("C4", f"{node} is emptied although {name} has {why}")
            if age < stay - 2 and not self.stepped:
                self.broken("C5", f"{node} is emptied although {name} came {age:.0f} s ago")

    def _let_go(self, pod: Body, verb: str) -> None:
        node, kind = pod["spec"]["nodeName"], owner(pod)["kind"]
        lost = node in self.troubled or ("", node) not in self.world.store.of("Node")
        name = pod["metadata"]["name"]
        match kind:
            case "BatchJob":
                if not lost and not self._may_end(pod):
                    self.broken("C3", f"the run {name} on {node} was ended")
            case "LongService":
                self.moved += node in self._moving
                if is_ready(pod) and not lost:
                    self._minimum_stays(pod)
            case _:
                self.moved += 1
                self._evicted[owner(pod)["uid"]] = self.world.time()
                if verb != "evict":
                    self.broken("C4", f"{name} was deleted, not evicted")
                if why := _forbidden(pod):
                    self.broken("C4", f"{name} was evicted although it has {why}")
                self._others_are_ready(pod)
                if not lost:
                    self._has_room(pod)

    def _may_end(self, pod: Body) -> bool:
        job = next(
            (
                one
                for one in self.world.store.of("BatchJob").values()
                if one["metadata"]["uid"] == owner_of(pod)
            ),
            None,
        )
        return job is None or bool(job["spec"].get("interruptible"))

    def _minimum_stays(self, pod: Body) -> None:
        """C1: enough instances are ready without this one; those that fell ill just now count."""
        uid, now = owner(pod)["uid"], self.world.time()
        known = self._specs_of.get(uid, [])
        since = now - self.delta - 2
        specs = [spec for at, spec in known if at > since]
        specs += [spec for at, spec in known if at <= since][-1:]
        if self.split or not all(specs):
            return
        least = min(map(_minimum, specs))
        ready = sum(
            is_ready(one)
            for one in self.world.store.of("Pod").values()
            if owner(one)["uid"] == uid and one["metadata"]["uid"] != pod["metadata"]["uid"]
        )
        ill = sum(of == uid and at > since for of, at in self._unwell.values())
        if ready + ill < least:
            name = pod["metadata"]["name"]
            self.broken("C1", f"{ready} stay ready without {name}, of at least {least}")

    def _others_are_ready(self, pod: Body) -> None:
        """C1: of a foreign owner the others are ready when one is evicted."""
        uid, now = owner(pod)["uid"], self.world.time()
        since = now - self.delta - 2
        others = [
            one
            for one in self.world.store.of("Pod").values()
            if owner(one)["uid"] == uid
            and one["metadata"]["uid"] != pod["metadata"]["uid"]
            and not is_terminal(one)
            and not _leaves(one)
        ]
        ill = [one for one in others if not is_ready(one) and not self._news(one, since)]
        if (not others or ill) and not self.split:
            name = pod["metadata"]["name"]
            self.broken("C1", f"{name} was evicted while {len(ill)} of {len(others)} are not ready")

    def _news(self, pod: Body, since: float) -> bool:
        """Whether the operator may not know yet how the pod is."""
        uid = pod["metadata"]["uid"]
        born = self._waiting.get(uid, self._bound_at.get(uid, 0.0))
        return self._unwell.get(uid, ("", 0.0))[1] > since or born > since

    def _has_room(self, pod: Body) -> None:
        """C2: some other node has room for it now, unless nodes were lost just now."""
        now, here = self.world.time(), pod["spec"]["nodeName"]
        if now < self._node_lost_at + self.delta + 2 or self.split:
            return
        if not self._fits(cpu_of(pod), without=here):
            self.broken("C2", f"{pod['metadata']['name']} was evicted, and no node has room for it")

    def _fits(self, wanted: int, without: str = "") -> bool:
        """Whether another node has so much CPU free for new pods."""
        for (_, name), node in self.world.store.of("Node").items():
            if name == without or _drain(node) or node["spec"].get("unschedulable"):
                continue
            used = sum(
                cpu_of(one)
                for one in self.world.store.of("Pod").values()
                if one["spec"].get("nodeName") == name and not is_terminal(one)
            )
            if used + wanted <= self.world.capacity[name][0]:
                return True
        return False

    def _filled(self, pod: Body, node: str) -> None:
        """C8: nothing lands on a node that is being emptied."""
        since = self._tainted.get(node)
        if since is None or owner(pod)["kind"] == "DaemonSet" or self.split:
            return
        now = self.world.time()
        if now > since + (_SEEN_SECONDS if now > self.well_since else self.delta + 2):
            name = pod["metadata"]["name"]
            self.broken("C8", f"{name} landed on {node}, which is being emptied")

    # ---- each second, and the end -------------------------------------------------------------

    def trouble(self, node: str) -> None:
        super().trouble(node)
        self._node_lost_at = self.world.time()

    def tick(self) -> None:
        super().tick()
        now = self.world.time()
        if now < max(self.well_since, self._node_lost_at + 60):
            return
        for pod in self.world.store.of("Pod").values():
            uid, of = pod["metadata"]["uid"], owner(pod)["uid"]
            evicted = self._evicted.get(of)
            since = self._waiting.get(uid)
            if evicted is None or since is None or not evicted <= since <= evicted + 2:
                continue
            if now > since + _LANDED_SECONDS:
                del self._evicted[of]
                name = pod["metadata"]["name"]
                self.broken("C2", f"{name} waits for {now - since:.0f} s after an eviction of ours")

    def awaited(self) -> bool:
        """Whether a pod waits for a node, a node is on its way, or the headroom is not there."""
        coming = any(claim.got is None for claim in self.claims.values())
        spec = self.pools[-1][1]
        headroom = 1000 * int(spec.get("buying", {}).get("headroom", {}).get("cpu", 0))
        lacks = bool(headroom) and not self._fits(headroom)
        return bool(self._waiting) or coming or lacks

    def cost(self) -> int:
        """What the nodes and orders cost, in microdollars an hour."""
        got = [claim.got for claim in self.claims.values() if not claim.leaving]
        return sum(PRICES[one[0]] for one in got if one is not None)

    def judge_moves(self) -> None:
        """C6: at rest the Pool costs no more than when demand came to a stand."""
        if self.cost_before is not None and self.cost() > self.cost_before:
            self.broken("C6", f"it costs {self.cost()} µ$/h after rest, {self.cost_before} before")


def _minimum(spec: Mapping[str, Any]) -> int:
    percent = spec.get("updateStrategy", {}).get("minimumHealthyPercent", 100)
    return int(-(-spec.get("replicas", 1) * percent // 100))


def _forbidden(pod: Body) -> str:
    notes = pod["metadata"].get("annotations") or {}
    return next((word for word, text in FORBIDDING.items() if notes.get(word) == text), "")


def _leaves(pod: Body) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _drain(node: Body) -> str:
    """The value of our taint; empty without it."""
    taints = node["spec"].get("taints", ())
    return next((one.get("value", "") for one in taints if one["key"] == DRAINING), "")
