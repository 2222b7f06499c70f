"""Laws of a LongService, whatever happens in whatever order (promises I3 and I8).

A state machine edits, scales, breaks, drains and restarts; the operator looks at stale news. The
checks count by themselves, from the world's own pods, and share no code with the operator.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bayplan.api import names
from bayplan.api.times import epoch_of
from bayplan.model import intents
from bayplan.model.departures import Departures
from bayplan.model.nodes import DRAINING, ZONE, Node, Taint
from bayplan.model.pods import FRESH, Ending, Phase, Pod
from bayplan.reconcile.longservice.rollout import DRIFTED
from bayplan.reconcile.view import Dependencies
from tests.builders import make_node
from tests.services import World, accepted, make_world, refused

PATIENCE = 60
NODES = 4
MOST_MOVES = 2  # an hour, whatever is asked for
PLANNED = st.sampled_from([*(f"n{number}" for number in range(NODES)), "gone"])  # nodes in a plan


def event(**strategies: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Something happens; then the cluster and the operator may get on for a few cycles.

    `heard` is how much news arrives in each: None all of it. Without `working` kubelets pause.
    """

    def decorated(happen: Any) -> Any:
        @rule(
            cycles=st.integers(0, 4),
            heard=st.sampled_from([None, None, 0, 1, 3]),
            working=st.booleans(),
            **strategies,
        )
        @functools.wraps(happen)
        def happens(
            self: "Services", cycles: int, heard: int | None, *, working: bool, **more: Any
        ) -> None:
            happen(self, **more)
            for _ in range(cycles):
                if working:
                    self.world.work()
                    self.world.bind()
                self.world.hear(heard)
                self.act()

        return happens

    return decorated


class Services(RuleBasedStateMachine):
    """One service in a small cluster in which everything can go wrong."""

    world: World
    strategy: dict[str, Any]
    constraint: str = ""  # the operator of the constraint in force
    moving: dict[str, int]  # uid of what the stored status has ever named -> since when

    @initialize(
        replicas=st.integers(0, 6),
        minimum=st.sampled_from([0, 34, 50, 80, 100]),
        surge=st.sampled_from([0, 20, 25, 50, 100]),
        min_ready=st.sampled_from([0, 0, 10]),
        order=st.sampled_from(["YoungestFirst", "OldestFirst"]),
        room=st.sampled_from([1000, 1000, 5]),
        deadline=st.sampled_from([600, 60]),
    )
    def begin(
        self,
        *,
        replicas: int,
        minimum: int,
        surge: int,
        min_ready: int,
        order: str,
        room: int,
        deadline: int,
    ) -> None:
        self.strategy = {
            "minimumHealthyPercent": minimum,
            "maximumSurgePercent": surge,
            "minReadySeconds": min_ready,
            "progressDeadlineSeconds": deadline,
        }
        self.world = make_world(
            replicas,
            NODES,
            updateStrategy=self.strategy,
            scaleDown={"order": order},
            unreachable={"replaceAfterSeconds": PATIENCE},
        )
        self.world.room = room
        self.world.nodes = {f"n{number}": _node(number) for number in range(NODES)}
        self.world.takes = self._takes
        self.moving = {}

    # People.

    @event(image=st.integers(1, 3))
    def update(self, image: int) -> None:
        self.world.edit(image=f"web:{image}")

    @event(replicas=st.integers(0, 6))
    def scale(self, replicas: int) -> None:
        self.world.edit(replicas=replicas)

    @event(moment=st.integers(1, 3))
    def restart_instances(self, moment: int) -> None:
        self.world.annotate(**{names.RESTARTED_AT: f"t{moment}"})

    @event(seconds=st.sampled_from([None, 5, 60]), most=st.integers(1, 2))
    def replace_unhealthy(self, seconds: int | None, most: int) -> None:
        rule_ = {"maxConcurrent": most}
        if seconds is not None:
            rule_["replaceAfterSeconds"] = seconds
        self.world.edit(unhealthy=rule_)

    @event(
        ready=st.sampled_from([None, {"db": True}, {"db": False}, {}]),
        seconds=st.sampled_from([5, 60]),
    )
    def depend(self, ready: dict[str, bool] | None, seconds: int) -> None:
        """The service waits for another (None: for nobody), which is ready, sick or absent."""
        self.world.dependencies = Dependencies(ready or {})
        waits = [] if ready is None else [{"name": "db", "timeoutSeconds": seconds}]
        self.world.edit(dependsOn=waits)

    @event(
        operator=st.sampled_from(["", "Unique", "Like"]),
        most=st.sampled_from([None, 1, MOST_MOVES]),
    )
    def constrain(self, operator: str, most: int | None) -> None:
        """Other constraints, which what runs may break; with `most` it moves."""
        self.constraint = operator
        self._constrain(most)

    @event(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        self._strategy(paused=paused)

    @event(
        steps=st.lists(
            st.tuples(st.sampled_from([10, 34, 50, 75]), st.sampled_from([None, 5])), max_size=3
        )
    )
    def stage(self, steps: list[tuple[int, int | None]]) -> None:
        """Canary steps, by hand or by time."""
        self._strategy(
            steps=[
                {"percent": percent, "manual": True}
                if seconds is None
                else {"percent": percent, "pauseSeconds": seconds}
                for percent, seconds in sorted(steps, key=lambda step: step[0])
            ]
        )

    @event(token=st.integers(1, 3))
    def promote(self, token: int) -> None:
        self.world.annotate(**{names.PROMOTE: f"t{token}"})

    @event(which=st.integers(0, 5))
    def roll_back(self, which: int) -> None:
        """A person goes back to a kept revision, or to none that is."""
        kept = sorted(name for kind, name in self.world.children if kind == "ControllerRevision")
        self.world.annotate(**{names.ROLLBACK_TO: [*kept, "never"][which % (len(kept) + 1)]})

    @event()
    def strip_annotations(self) -> None:
        """Taking the verb off again changes nothing once it was begun."""
        before = self._newest(self.world.look())
        verb = self.world.service.annotations.get(names.ROLLBACK_TO, "")
        handled = self.world.service.status.get("handledRollback", "")
        self.world.annotate()
        numbers = {child.name: child.revision for child in self.world.children.values()}
        begun = numbers.get(before) == max(numbers.values(), default=0)
        if begun and verb in {"", handled}:
            assert before == self._newest(self.world.look())

    @event(word=st.sampled_from(["TemplateRefused", "QuotaExceeded", "InvalidTemplate"]))
    def refuse(self, word: str) -> None:
        self.world.admission = refused(self.world.service, word, retry_at=self.world.now + 5)

    @event()
    def know_nothing(self) -> None:
        self.world.admission = None

    @event()
    def accept(self) -> None:
        self.world.admission = accepted(self.world.service)

    # Instances.

    @event(which=st.integers(0, 20))
    def evict(self, which: int) -> None:
        self._hit(which, lambda pod: self.world.end(pod, disrupted="EvictionByEvictionAPI"))

    @event(which=st.integers(0, 20))
    def delete(self, which: int) -> None:
        self._hit(which, self.world.end)

    @event(which=st.integers(0, 20))
    def turn_unready(self, which: int) -> None:
        now = self.world.now
        self._hit(which, lambda pod: self.world.put(replace(pod, ready=False, ready_since=now)))

    @event(
        which=st.integers(0, 20),
        reason=st.sampled_from(["", "OutOfcpu", "Evicted", "NodeShutdown"]),
    )
    def fail(self, which: int, reason: str) -> None:
        def ended(pod: Pod) -> None:
            ending = Ending(exit_code=1, finished_at=self.world.now)
            self.world.put(
                replace(pod, phase=Phase.FAILED, reason=reason, ready=False, ending=ending)
            )

        self._hit(which, ended)

    @event(which=st.integers(0, 20))
    def crash(self, which: int) -> None:
        def crashing(pod: Pod) -> None:
            ending = Ending(
                exit_code=1, finished_at=self.world.now, restarts=3, waiting="CrashLoopBackOff"
            )
            self.world.put(replace(pod, ready=False, ready_since=None, ending=ending))

        self._hit(which, crashing)

    @event(some=st.integers(0, 63), ready=st.booleans())
    def kubelets_work(self, some: int, *, ready: bool) -> None:
        """Kubelets get on with some of the pods."""
        pods = [pod for index, pod in enumerate(self.world.pods.values()) if some >> index % 6 & 1]
        self.world.work(pods, ready=ready)

    @event()
    def room_appears(self) -> None:
        self.world.bind()

    # Nodes.

    @event(node=st.integers(0, NODES - 1))
    def cordon(self, node: int) -> None:
        self._node(node, self.world.cordon)

    @event(node=st.integers(0, NODES - 1))
    def uncordon(self, node: int) -> None:
        self._node(node, lambda name: self.world.cordon(name, unschedulable=False))

    @event(node=st.integers(0, NODES - 1))
    def silence(self, node: int) -> None:
        self._node(node, self.world.silence)

    @event(node=st.integers(0, NODES - 1))
    def revive(self, node: int) -> None:
        self._node(node, self.world.revive)

    @event(node=st.integers(0, NODES - 1))
    def remove_node(self, node: int) -> None:
        self._node(node, self.world.remove)

    @event(node=st.integers(0, NODES - 1))
    def add_node(self, node: int) -> None:
        if f"n{node}" not in self.world.nodes:
            self.world.collect()  # a new node of an old name comes later than garbage collection
            self.world.nodes[f"n{node}"] = _node(node)

    @event(node=st.integers(0, NODES - 1), value=st.sampled_from(["moving", "retiring", "mine"]))
    def drain(self, node: int, value: str) -> None:
        """A Pool moves pods off any number of nodes, or a person does."""

        def drained(name: str) -> None:
            taints = (Taint(DRAINING, value),)
            self.world.nodes[name] = replace(self.world.nodes[name], taints=taints)

        self._node(node, drained)

    @event(node=st.integers(0, NODES - 1))
    def open_again(self, node: int) -> None:
        def opened(name: str) -> None:
            self.world.nodes[name] = replace(self.world.nodes[name], taints=())

        self._node(node, opened)

    @event(
        counts=st.dictionaries(PLANNED, st.integers(0, 4), max_size=3),
        ranked=st.lists(PLANNED, unique=True, max_size=3),
        wait=st.sampled_from([None, None, -5, 1, 10]),
    )
    def plan_departures(self, counts: dict[str, int], ranked: list[str], wait: int | None) -> None:
        """A Pool says who leaves; its plan may be older than the world, and of gone nodes."""
        self._plan(counts, ranked, wait)

    @event(
        replicas=st.integers(0, 5),
        counts=st.dictionaries(PLANNED, st.integers(1, 3), max_size=3),
        ranked=st.lists(PLANNED, unique=True, max_size=3),
        wait=st.sampled_from([None, 1, 10]),
    )
    def shrink_by_plan(
        self, replicas: int, counts: dict[str, int], ranked: list[str], wait: int | None
    ) -> None:
        """A healthy service gets smaller while a Pool has a plan, or makes one."""
        for _ in range(4):
            self.world.work()
            self.world.bind()
            self.world.hear()
            self.act()
        self._plan(counts, ranked, wait)
        self.world.edit(replicas=replicas)
        self.act()

    @event()
    def collect_garbage(self) -> None:
        self.world.collect()

    # Time and the operator.

    @event(seconds=st.sampled_from([1, 5, 31, 61, 400, 3600]))
    def pass_time(self, seconds: int) -> None:
        self.world.now += seconds

    @event(lost=st.booleans())
    def lose_status_writes(self, *, lost: bool) -> None:
        self.world.status_lost = lost

    @event()
    def restart_operator(self) -> None:
        self.world.restart()

    @rule()
    def calm_down(self) -> None:
        """When nothing happens any more, the service becomes what its spec says, and stays so."""
        world = self.world
        self._strategy(paused=False, steps=[])
        world.edit(unhealthy={})
        world.admission = accepted(world.service)
        world.room = 1000
        world.status_lost = False
        for name in list(world.nodes):
            world.revive(name)
        staying = sum(
            not node.leaving and node.labels[ZONE] == "a" for node in world.nodes.values()
        )
        for number in range(world.spec.replicas + 1 - staying):
            name = f"spare-{len(world.nodes)}-{number}"
            world.nodes[name] = make_node(name, zone="a")
        world.collect()
        for pod in list(world.pods.values()):
            world.put(replace(pod, ending=FRESH))
        world.settle(300, self._check)

        assert world.last == intents.Outcome()
        standing = world.standing()
        hashes = {pod.labels[names.TEMPLATE_HASH] for pod in standing}
        assert world.spec.replicas == len(standing)
        assert hashes <= {self._wanted_hash()}
        assert all(pod.ready for pod in standing)
        assert not any(world.nodes[pod.node].leaving for pod in standing)
        assert len(standing) == len(world.pods)
        assert world.spec.rebalance is None or not self._drifted(standing)
        if self.constraint and world.spec.replicas:
            assert self._drifted(standing) == world.service.status["driftedReplicas"]
        gave_up = world.condition("Ready") == "False:RolledBack"
        assert gave_up or world.condition("Ready").startswith("True")
        assert gave_up == (world.condition("Stalled") == "True:RolledBack")

    @invariant()
    def knows_its_own_mind(self) -> None:
        """Asked again about its own answer, the operator has nothing to add (twice = once)."""
        if not hasattr(self, "world"):
            return
        copy = replace(
            self.world,
            pods=dict(self.world.pods),
            seen=dict(self.world.seen),
            news=list(self.world.news),
            children=dict(self.world.children),
            creating=dict(self.world.creating),
            deleting=dict(self.world.deleting),
        )
        first = copy.look()
        copy.carry_out(first)
        if any(one.reason == "Rebalancing" for one in first.events if hasattr(one, "reason")):
            copy.carry_out(copy.look())  # a move is written down before it is made
        again = copy.look()

        assert () == again.tasks
        assert () == tuple(d for d in again.deletes if "ended" not in d.why)  # once status is known
        assert () == again.objects
        assert () == again.drops

    # Checks.

    def act(self) -> None:
        self.world.act(self._check)

    def _count_moves(self) -> None:
        """In no hour do more begin to move than were ever allowed, each of them by the status."""
        for move in self.world.service.status.get("recentMoves", ()):
            self.moving.setdefault(move["uid"], epoch_of(move["time"]))
        hour = [begun for begun in self.moving.values() if begun > self.world.now - 3600]
        assert len(hour) <= MOST_MOVES

    def _plan(self, counts: dict[str, int], ranked: list[str], wait: int | None) -> None:
        ranks = {name: rank for rank, name in enumerate(ranked)}
        until = None if wait is None else self.world.now + wait
        self.world.departures = Departures(counts, ranks, until)

    def _check_departures(self, outcome: intents.Outcome, healthy: list[Pod]) -> None:
        """Healthy instances that are too many leave where the plan says; or wait for it."""
        world, plan = self.world, self.world.departures
        surplus = {delete.uid for delete in outcome.deletes if delete.why == "surplus"}
        shown = [pod for pod in world.visible().values() if pod.uid in surplus]
        gone = [pod for pod in healthy if pod.uid in surplus]
        alike = {pod.labels[names.REVISION] for pod in world.visible().values()}
        if not gone or len(alike) > 1 or alike != {self._newest(outcome)[-10:]}:
            return
        waits = plan.undecided_until is not None and plan.undecided_until > world.now
        lost = any(self._lost(pod) or not world.nodes[pod.node].ready for pod in shown if pod.node)
        assert not waits or lost or not world.spec.replicas or self._any_lost()
        if world.spec.scale_down.order == "OldestFirst":
            return
        stays = [
            pod
            for pod in healthy
            if pod.uid not in surplus and not world.nodes[pod.node].leaving and not self._sick(pod)
        ]
        left = Counter(pod.node for pod in shown)
        owed = {pod.node for pod in stays if left[pod.node] < plan.counts.get(pod.node, 0)}
        beyond = [pod for pod in gone if left[pod.node] > plan.counts.get(pod.node, 0)]
        assert not (owed and beyond)
        last = len(plan.ranks)
        spared = [plan.ranks.get(pod.node, last) for pod in stays if pod.node not in owed]
        for pod in beyond:
            assert plan.ranks.get(pod.node, last) <= min(spared, default=last)

    def _any_lost(self) -> bool:
        """Whether an instance stands on a node that is silent or gone."""
        return any(
            pod.node and (pod.node not in self.world.nodes or not self.world.nodes[pod.node].ready)
            for pod in self.world.visible().values()
            if not pod.terminal and not pod.terminating
        )

    def _check(self, outcome: intents.Outcome) -> None:
        self._count_moves()
        world, shown = self.world, self.world.visible()
        n = world.spec.replicas
        strategy = world.spec.update_strategy
        minimum = ceil(Fraction(n * strategy.minimum_healthy_percent, 100))
        most = floor(Fraction(n * (100 + strategy.maximum_surge_percent), 100))
        most += minimum == most
        live = [pod for pod in shown.values() if self._live(pod)]
        leaving = any(world.nodes[pod.node].leaving for pod in live if pod.node)
        newest = self._newest(outcome)[-10:]
        going = [pod for pod in shown.values() if self._takes_room(pod)]
        labels = [one.labels[names.REVISION] for one in (*live, *going, *outcome.tasks)]
        if outcome.tasks:
            after = len(live) + len(outcome.tasks)
            sick = any(self._sick(pod) or pod.uid in self.moving for pod in live)
            ceiling = max(most, n + 1 if leaving or sick else 0)
            assert ceiling >= after
            stayers = [
                pod
                for pod in live
                if not (pod.node and world.nodes[pod.node].leaving)
                and not self._sick(pod)
                and pod.uid not in self.moving
            ]
            updated = [pod for pod in stayers if pod.labels[names.REVISION] == newest]
            started = [task for task in outcome.tasks if task.labels[names.REVISION] == newest]
            assert n >= len(updated) + len(started)
            stays_put = not leaving and not sick
            if len(set(labels)) == 1 and stays_put:
                assert n >= after
            if self._admitted() and {newest} != set(labels):
                assert ceiling >= after + len(going)
        if not self._admitted():
            own = world.service.template_hash, newest
            words = (names.TEMPLATE_HASH, names.REVISION)
            assert own not in {tuple(map(one.labels.get, words)) for one in outcome.tasks}
        deleted = {delete.uid for delete in outcome.deletes}
        healthy = [pod for pod in live if self._healthy(pod)]
        hurt = [pod for pod in healthy if pod.uid in deleted]
        if hurt:
            assert minimum <= len(healthy) - len(hurt)
        self._check_departures(outcome, healthy)
        moved = {delete.uid for delete in outcome.deletes if delete.why == DRIFTED}
        assert moved <= self.moving.keys()
        if moved:
            assert n <= len(healthy) - len(hurt)
        if self._many_silent():
            assert {"ended", "its node is gone"} >= {delete.why for delete in outcome.deletes}
            assert len(outcome.tasks) <= max(0, n - len(self._standing(shown.values())))
        assert len(deleted) == len(outcome.deletes)
        assert "" not in deleted

    def _constrain(self, most: int | None) -> None:
        known = {
            "": [],
            "Unique": [{"key": "hostname", "operator": "Unique"}],
            "Like": [{"key": "zone", "operator": "Like", "value": "a"}],
        }
        moves = None if most is None else {"maxMovesPerHour": most}
        self.world.edit(placement={"constraints": known[self.constraint]}, rebalance=moves)

    def _takes(self, node: Node, pod: Pod) -> bool:
        """Whether the packer may put a new instance there."""
        if self.constraint == "Like":
            return node.labels[ZONE] == "a"
        hash_ = pod.labels[names.TEMPLATE_HASH]
        peers = (
            one
            for one in self.world.pods.values()
            if one.node == node.name and one.labels[names.TEMPLATE_HASH] == hash_
        )
        return self.constraint != "Unique" or all(one.terminal for one in peers)

    def _drifted(self, standing: list[Pod]) -> int:
        """How many would have to go for the others to keep the constraint."""
        nodes = [self.world.nodes[pod.node] for pod in standing]
        if self.constraint == "Like":
            return sum(node.labels[ZONE] != "a" for node in nodes)
        return len(nodes) - len({node.name for node in nodes}) if self.constraint == "Unique" else 0

    def _newest(self, outcome: intents.Outcome) -> str:
        return str((outcome.status or self.world.service.status)["updateRevision"])

    def _wanted_hash(self) -> str:
        """The template that all instances are to have: the spec's, unless a stored word says so."""
        status = self.world.service.status
        if "pinnedRevision" not in status and self.world.condition("Ready") != "False:RolledBack":
            return self.world.service.template_hash
        stored = self.world.children["ControllerRevision", status["updateRevision"]]
        assert status["updateRevision"] in {
            status.get("pinnedRevision"),
            status.get("currentRevision"),
        }
        return str(stored.body["templateHash"])

    def _strategy(self, **more: Any) -> None:
        self.world.edit(updateStrategy={**self.strategy, **more})
        self.strategy.update(more)

    def _admitted(self) -> bool:
        admission, hash_ = self.world.admission, self.world.service.template_hash
        return bool(admission and not admission.refusal and admission.template_hash == hash_)

    def _live(self, pod: Pod) -> bool:
        if pod.terminal or pod.terminating:
            return False
        return not pod.node or not self._lost(pod)

    def _sick(self, pod: Pod) -> bool:
        after = self.world.spec.unhealthy.replace_after_seconds
        if pod.ready or after is None or not pod.node:
            return False
        return max(pod.ready_since or 0, pod.created_at) + after <= self.world.now

    def _many_silent(self) -> bool:
        """Three of the four nodes fell silent within ten minutes."""
        silent = [
            node
            for node in self.world.nodes.values()
            if not node.ready and self.world.now - node.ready_changed_at < 600
        ]
        return len(silent) >= 3

    def _standing(self, pods: Iterable[Pod]) -> list[Pod]:
        here = [pod for pod in pods if not pod.node or pod.node in self.world.nodes]
        return [pod for pod in here if not pod.terminal and not pod.terminating]

    def _lost(self, pod: Pod) -> bool:
        node = self.world.nodes.get(pod.node)
        if node is None:
            return True
        return not node.ready and node.ready_changed_at + PATIENCE <= self.world.now

    def _takes_room(self, pod: Pod) -> bool:
        if not pod.terminating or pod.terminal or pod.disrupted or self._lost_or_unplaced(pod):
            return False
        assert pod.deleted_at is not None
        return pod.deleted_at + PATIENCE > self.world.now

    def _lost_or_unplaced(self, pod: Pod) -> bool:
        return bool(pod.node) and self._lost(pod)

    def _healthy(self, pod: Pod) -> bool:
        node = self.world.nodes.get(pod.node)
        if node is None or not node.ready or not pod.ready or pod.ready_since is None:
            return False
        return pod.ready_since + self.world.spec.update_strategy.min_ready_seconds <= self.world.now

    def _hit(self, which: int, happen: Callable[[Pod], None]) -> None:
        standing = [pod for pod in self.world.standing() if pod.node in self.world.nodes]
        if standing:
            happen(standing[which % len(standing)])

    def _node(self, node: int, happen: Callable[[str], None]) -> None:
        if f"n{node}" in self.world.nodes:
            happen(f"n{node}")


def _node(number: int) -> Node:
    return make_node(f"n{number}", zone="b" if number % 2 else "a")


def _lives(name: str, sequences: int, steps: int) -> Any:
    """A test of so many sequences; another name gets other examples."""
    case = type(name, (Services,), {}).TestCase
    case.settings = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


# A few sequences in which much happens, many in which little does: no two rules go untried
# together. In parts, since a test has five minutes, on a slow machine too.
TestLongLives = _lives("LongLives", 500, 50)
TestShortLives1 = _lives("ShortLives1", 1000, 15)
TestShortLives2 = _lives("ShortLives2", 1000, 15)
TestShortLives3 = _lives("ShortLives3", 1000, 15)
TestShortLives4 = _lives("ShortLives4", 1000, 15)
TestShortLives5 = _lives("ShortLives5", 1000, 15)
