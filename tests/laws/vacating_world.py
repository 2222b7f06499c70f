"""A small world for the laws of consolidation, in virtual time: pods, owners and our operator.

Two owners have pods on a few nodes: the ReplicaSet `rs`, whose pods are evicted, and the service
`web`, which replaces its instances itself. What the operator sees may be late, what it writes may
be lost when it dies, and the plan wants what the script says.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from bayplan.model.budgets import Allowance
from bayplan.model.departures import Move, Vacating
from bayplan.model.intents import CloseNode, EvictPod, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import Phase, Pod
from bayplan.model.workloads import Backlog
from bayplan.reconcile.pool.retirement import Seen
from bayplan.reconcile.pool.vacating.machine import step
from bayplan.reconcile.pool.vacating.vacancies import (
    Group,
    Held,
    Memory,
    NodeState,
    Now,
    Proof,
    Rules,
    Step,
)
from tests.builders import NOON, make_class, make_node, make_pod

NODES = ("n1", "n2", "n3")
ROOM = 6  # pods on a node
STAY = 100
RULES = Rules(most_draining=2, stay_seconds=STAY, patience_seconds=120)
KINDS = {"rs": make_class(labels={"app": "rs"}), "web": make_class(labels={"app": "web"})}
OWNERS = {"rs": "ReplicaSet", "web": "LongService"}
PLAN_SECONDS = 10
HARM_SECONDS = 40  # after that, what was lost is there again
HARMS = frozenset(
    {f"{what} {name}" for what in ("gone", "karpenter", "ready", "cordon") for name in NODES}
    | {f"broken {owner}" for owner in OWNERS}
    | {"scale rs 2", "scale rs 6", "scale web 2", "scale web 6"}
)
EVENTS = (
    *sorted(HARMS - {"gone n3"}),
    *(f"{what} {name}" for what in ("plan", "keep", "untaint") for name in NODES),
    *("plan n1", "plan n2", "dies", "dies", "lag 0", "lag 2", "lag 4"),
    *("slow", "slow"),
    *("budget 0", "budget 3", "budget 4", "stays"),
)


def play(story: dict[int, str], seconds: int = 160) -> "World":
    """A world in which this happens, second by second; the laws of each write are checked."""
    world = World(wanted={"n1"})
    for second in range(seconds):
        if second in story:
            world.event(story[second])
        world.run(1)
    return world


def settles(world: "World", *, dies: bool = False) -> None:
    """C7: once all is well and nothing is wanted, nothing stays half done."""
    if dies:
        world.die()
    world.calm()
    world.run(260)
    for name, node in world.nodes.items():
        if any(taint.value == "moving" for taint in node.taints):
            assert not any(pod.node == name for pod in world.pods.values()), "C7"
        else:
            assert not node.closing or node.kept, "C7"
    waits = any(not pod.node for pod in world.pods.values())
    assert waits or not world.held.held, "C7"


@dataclass
class World:
    """`nodes` and `pods` are the truth; `shown` is what the operator's watch has brought.

    `broken` owners make pods that never become ready; `least` is how many pods of `rs` its
    disruption budget wants ready (None: it has no budget).
    """

    replicas: dict[str, int] = field(default_factory=lambda: {"rs": 4, "web": 4})
    now: int = NOON
    lag: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)  # nodes that the plan gives back
    plan: int = 0
    planning: bool = True
    broken: set[str] = field(default_factory=set)
    least: int | None = None
    memory: Memory = field(default_factory=Memory)
    held: Backlog = field(default_factory=Backlog)
    told: Step = field(default_factory=Step)
    rules: Rules = RULES
    idle: bool = False  # the controllers are slow
    full: bool = False  # nothing is placed
    harmed_at: int = 0  # when something last happened that takes pods, and is no fault of ours
    evicted: list[EvictPod] = field(default_factory=list)
    sent: list[tuple[int, TaintNode | CloseNode | EvictPod]] = field(default_factory=list)
    moved_at: dict[str, int] = field(default_factory=dict)
    _history: list[tuple[int, dict[str, Node], dict[str, Pod]]] = field(default_factory=list)
    _made: int = 0
    _leaving: set[str] = field(default_factory=set)  # uids of pods that we asked to go

    def __post_init__(self) -> None:
        for name in NODES:
            self.nodes[name] = make_node(name, uid=f"uid-{name}")
        for owner in self.replicas:
            for number in range(self.replicas[owner]):
                self.make(owner, f"n{1 + number % 2}", created_at=self.now - 1000, ready=True)

    # ---- the cluster --------------------------------------------------------------------------

    def make(self, owner: str, node: str = "", **more: object) -> Pod:
        self._made += 1
        name = f"{owner}-{self._made}"
        pod = make_pod(name, node, owner_uid=owner, owner_kind=OWNERS[owner])
        self.pods[name] = dataclasses.replace(pod, **{"created_at": self.now, **more})
        return self.pods[name]

    def of(self, owner: str, pods: Iterable[Pod] | None = None) -> list[Pod]:
        pods = self.pods.values() if pods is None else pods
        return [pod for pod in pods if pod.owner is not None and pod.owner.uid == owner]

    def ready(self, owner: str) -> int:
        return sum(pod.ready for pod in self.of(owner))

    def change(self, name: str, **more: object) -> None:
        self.nodes[name] = dataclasses.replace(self.nodes[name], **more)

    def tainted(self, name: str) -> bool:
        return any(one.value == "moving" for one in self.nodes[name].taints)

    def second(self) -> None:
        """Everybody acts once, and a second passes."""
        self.now += 1
        for due, intent in list(self.sent):
            if self.now >= due:
                self.sent.remove((due, intent))
                self.store(intent)
        self.kubelets()
        self.controllers()
        self.schedule()
        self._history.append((self.now, dict(self.nodes), dict(self.pods)))
        self._history = self._history[-10:]

    def kubelets(self) -> None:
        for name, pod in list(self.pods.items()):
            assert pod.owner is not None
            node = self.nodes.get(pod.node)
            if pod.node and (node is None or (pod.deleted_at or self.now) < self.now):
                del self.pods[name]
            elif pod.node and not pod.ready and pod.owner.uid not in self.broken:
                placed = pod.placed_at or pod.created_at
                self.pods[name] = dataclasses.replace(pod, ready=self.now >= placed + 3)

    def controllers(self) -> None:
        if self.idle and self.now % 12:
            return
        for owner, count in self.replicas.items():
            alive = [pod for pod in self.of(owner) if not pod.terminating]
            leaving = [pod for pod in alive if pod.node and self.nodes[pod.node].leaving]
            if owner == "web":
                stay = [pod for pod in alive if pod not in leaving]
                spare = sum(pod.ready for pod in alive) - count
                for pod in leaving[: max(spare, 0)]:
                    self.delete(pod)
                self.shrink(stay, count)
                wanted = count - len(stay)
            else:
                self.shrink(alive, count)
                wanted = count - len(alive)
            for _ in range(wanted):
                self.make(owner)

    def shrink(self, pods: Iterable[Pod], count: int) -> None:
        """No more than so many stay; those that are not ready go first."""
        ranked = sorted(pods, key=lambda one: not one.ready)
        for pod in ranked[count:]:
            self.delete(pod)

    def delete(self, pod: Pod) -> None:
        stored = self.pods[pod.name]
        if not stored.node:
            del self.pods[pod.name]
        elif not stored.terminating:
            self.pods[pod.name] = dataclasses.replace(stored, deleted_at=self.now + 2)

    def free(self, name: str, pods: Iterable[Pod]) -> int:
        return ROOM - sum(pod.node == name for pod in pods)

    def schedule(self) -> None:
        """Our own scheduler: a successor goes to its hold, others where nothing is held."""
        if self.full:
            return
        held = {kind: Counter(by) for kind, by in self.held.held.items()}
        for pod in sorted(self.pods.values(), key=lambda one: one.created_at):
            if pod.node or pod.owner is None:
                continue
            kind = KINDS[pod.owner.uid]
            open_ = [
                name
                for name, node in sorted(self.nodes.items())
                if not node.leaving and node.ready and self.free(name, self.pods.values()) > 0
            ]
            mine = [name for name in open_ if held.get(kind, {}).get(name, 0) > 0]
            kept = Counter[str]()
            for by in held.values():
                kept.update(by)
            others = [name for name in open_ if self.free(name, self.pods.values()) > kept[name]]
            others.sort(key=lambda name: name in self.held.closing)
            target = next(iter(mine or others), "")
            if target:
                if mine:
                    held[kind][target] -= 1
                self.pods[pod.name] = dataclasses.replace(
                    pod, node=target, placed_at=self.now, phase=Phase.RUNNING
                )

    def store(self, intent: TaintNode | CloseNode | EvictPod) -> None:
        """What the API server makes of a write."""
        if isinstance(intent, EvictPod):
            self.evict(intent)
            return
        node = self.nodes.get(intent.node)
        if node is None or node.uid != intent.uid:
            return
        if isinstance(intent, CloseNode):
            self.change(intent.node, closing=intent.plan)
            return
        others = tuple(one for one in node.taints if one.key != intent.key)
        taint = (Taint(intent.key, intent.value),) if intent.present else ()
        self.change(intent.node, taints=(*others, *taint))

    def evict(self, intent: EvictPod) -> None:
        pod = self.pods.get(intent.name)
        allowed = self.allowed(self.pods.values())
        if pod is None or pod.uid != intent.uid or allowed == 0:
            self._leaving.discard(intent.uid)
        else:
            self.delete(pod)

    def allowed(self, pods: Iterable[Pod]) -> int | None:
        if self.least is None:
            return None
        sound = sum(pod.ready and not pod.terminating for pod in self.of("rs", pods))
        return max(sound - self.least, 0)

    # ---- the operator -------------------------------------------------------------------------

    def view(self) -> tuple[dict[str, Node], list[Pod]]:
        """What is shown, and what we have just decided: also where our own scheduler put pods."""
        at = [one for one in self._history if one[0] <= self.now - self.lag] or self._history[:1]
        _, nodes, pods = at[-1]
        bound = {
            name: dataclasses.replace(pod, ready=False)
            for name, pod in self.pods.items()
            if pod.node and (name not in pods or not pods[name].node)
        }
        shown = [
            dataclasses.replace(pod, deleted_at=pod.deleted_at or self.now)
            if pod.uid in self._leaving
            else pod
            for pod in {**pods, **bound}.values()
        ]
        return nodes, shown

    def operator(self) -> Step:
        if self.planning and self.now % PLAN_SECONDS == 0:
            self.plan += 1
        nodes, pods = self.view()
        seen = [
            Seen(
                node,
                NodeClaim(f"c-{name}", f"c-{name}", "b", node=name, initialized=True),
                [pod for pod in pods if pod.node == name],
            )
            for name, node in nodes.items()
        ]
        usable = {name for name, node in nodes.items() if not node.leaving and node.ready}
        budget = self.allowed(pods)
        now = Now(
            self.now,
            self.plan,
            prove=lambda some, held, without: self.prove(
                some, held, usable.difference(without), pods
            ),
            owned=lambda uid: self.of(uid, pods),
            usable=usable,
            allowed=lambda pod: (
                Allowance(budget, "default/rs")
                if budget is not None and pod in self.of("rs", pods)
                else None
            ),
            crowded=lambda held: [
                name
                for name in nodes
                if self.free(name, pods) < sum(by.get(name, 0) for by in held.values())
            ],
        )
        groups = self.groups(nodes, pods) if self.plan else []
        found = step(seen, groups, self.memory, self.rules, now)
        self.memory, self.held, self.told = found.memory, found.held, found
        for intent in found.intents:
            self.check(intent)
            self.sent.append((self.now + 1, intent))
            if isinstance(intent, EvictPod):
                self._leaving.add(intent.uid)
                self.evicted.append(intent)
        return found

    def groups(self, nodes: dict[str, Node], pods: Sequence[Pod]) -> list[Group]:
        found = []
        for name in sorted(self.wanted & nodes.keys()):
            moves = tuple(
                Move(pod.key, pod.uid, pod.owner.uid, KINDS[pod.owner.uid], "n3")
                for pod in pods
                if pod.node == name and pod.owner is not None and not pod.terminating
            )
            found.append(Group(f"plan-{name}", (Vacating(name, f"uid-{name}", 1, moves),)))
        return found

    def prove(
        self, some: Sequence[Pod], held: Held, usable: Collection[str], pods: Sequence[Pod]
    ) -> Proof:
        room = {
            name: self.free(name, pods) - sum(by.get(name, 0) for by in held.values())
            for name in sorted(usable)
        }
        moves, lacking = [], {}
        for pod in some:
            assert pod.owner is not None
            target = next((name for name in room if room[name] > 0), "")
            if target:
                room[target] -= 1
                kind = KINDS[pod.owner.uid]
                moves.append(Move(pod.key, pod.uid, pod.owner.uid, kind, target))
            else:
                lacking[pod.key] = "no room"
        return Proof(tuple(moves), lacking)

    def die(self, stored: int = 1) -> None:
        """The operator starts anew and knows nothing; so many writes on their way are stored."""
        for _, intent in self.sent[:stored]:
            self.store(intent)
        self.sent, self.memory, self.held = [], Memory(), Backlog()
        self._leaving, self.plan = set(), 0

    # ---- the laws -----------------------------------------------------------------------------

    def check(self, intent: TaintNode | CloseNode | EvictPod) -> None:
        """C2, C4 and C5, and the foreign part of C1, of one write."""
        if isinstance(intent, TaintNode) and intent.present:
            for pod in self.pods.values():
                stays = pod.node == intent.node and not pod.terminating
                assert not stays or self.now >= pod.created_at + STAY, "C5"
        if not isinstance(intent, EvictPod):
            return
        pod = self.pods.get(intent.name)
        if pod is None or pod.terminating or pod.owner is None:
            return  # it has gone meanwhile: the server says so
        owner = pod.owner.uid
        assert "rs" == owner, "a service moves its instances itself"
        assert not pod.stays, "C4"
        assert self.now >= pod.created_at + STAY, "C5"
        by = self.held.held.get(KINDS[owner], {})
        assert any(self.nodes[name].ready for name in by if name in self.nodes), "C2"
        for name in () if self.lag else by:
            kept = sum(each.get(name, 0) for each in self.held.held.values())
            assert self.free(name, self.pods.values()) >= kept or len(by) > 1, "C2"
        if self.now > self.harmed_at + HARM_SECONDS:
            others = [one for one in self.of(owner) if one.name != pod.name]
            assert len(others) >= self.replicas[owner] - 1, "C1"
            assert all(one.ready and not one.terminating for one in others), "C1"

    def event(self, what: str) -> None:  # noqa: C901  a table
        """Something happens; what takes pods away is noted."""
        if what in HARMS:
            self.harmed_at = self.now
        match what.split():
            case ["dies"]:
                self.die()
            case ["plan", name]:
                self.wanted ^= {name}
            case ["slow"]:
                self.idle = not self.idle
            case ["lag", seconds]:
                self.lag = int(seconds)
            case ["broken", owner]:
                self.broken ^= {owner}
            case ["budget", least]:
                self.least = int(least) or None
            case ["scale", owner, count]:
                self.replicas[owner] = int(count)
            case ["gone", name]:
                self.nodes.pop(name, None)
            case ["stays"]:
                name = next(iter(sorted(pod.name for pod in self.of("rs"))))
                pod = self.pods[name]
                self.pods[name] = dataclasses.replace(pod, stays="" if pod.stays else "volume x")
            case [happens, name] if name in self.nodes:
                self._to_node(happens, name)

    def _to_node(self, what: str, name: str) -> None:
        node = self.nodes[name]
        match what:
            case "ready":
                self.change(name, ready=not node.ready)
            case "keep":
                self.change(name, kept="" if node.kept else "bayplan.dev/keep")
            case "cordon":
                self.change(name, unschedulable=not node.unschedulable)
            case "untaint":
                self.change(name, taints=())
            case "karpenter":
                self.change(name, taints=(Taint("karpenter.sh/disrupted"),))

    def calm(self) -> None:
        """Everything is as it should be again, and the plan wants nothing.

        A node that Karpenter takes has gone.
        """
        self.wanted, self.lag, self.least, self.planning, self.rules = set(), 0, None, True, RULES
        self.broken, self.idle = set(), False
        for name in [*self.nodes]:
            self.change(name, ready=True, unschedulable=False)
            if any(taint.key == "karpenter.sh/disrupted" for taint in self.nodes[name].taints):
                del self.nodes[name]

    def state(self, name: str) -> NodeState:
        told = self.told.states.get(name)
        return told.state if told is not None else NodeState.OPEN

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()
            self.operator()
