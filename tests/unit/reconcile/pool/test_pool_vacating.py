"""How a node that has pods is given back, and everything that stops it, in words."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from bayplan.model.departures import Move, Vacating
from bayplan.model.intents import EvictPod
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import Pod
from bayplan.model.workloads import Backlog
from bayplan.reconcile.pool.vacating import machine
from bayplan.reconcile.pool.vacating.moving import Moves
from bayplan.reconcile.pool.vacating.vacancies import (
    Group,
    Held,
    Memory,
    NodeState,
    Now,
    Proof,
    Rules,
    Watched,
)
from tests.builders import NOON, make_node, make_pod
from tests.laws.vacating_world import KINDS, STAY, World


def begun(**more: object) -> World:
    """The plan wants n1; the node is draining, and nothing else has happened yet."""
    world = World(wanted={"n1"}, **more)  # type: ignore[arg-type]
    for _ in range(30):
        world.run(1)
        if world.state("n1") is NodeState.DRAINING:
            return world
    raise AssertionError(world.told.states)


def why(world: World, name: str = "n1") -> str:
    return world.told.states[name].why


class TestTheWay:
    def test_from_open_to_empty(self) -> None:
        """Closing, held, tainted, moved one by one; at the end nothing is held."""
        world = World(wanted={"n1"})
        states: list[NodeState] = []
        for _ in range(90):
            world.run(1)
            states.append(world.state("n1"))
            assert world.ready("web") >= 4
            assert world.ready("rs") >= 3

        order = list(dict.fromkeys(states))
        assert [NodeState.OPEN, NodeState.CLOSING, NodeState.DRAINING, NodeState.EMPTY] == order
        assert [] == [pod for pod in world.pods.values() if pod.node == "n1"]
        assert {} == world.held.held
        assert 2 == len(world.evicted)
        assert world.tainted("n1")
        assert "plan-n1" == world.nodes["n1"].closing

    def test_room_is_held_from_the_taint_on(self) -> None:
        """For each pod that moves, in the same step."""
        world = begun()

        assert 4 == sum(sum(by.values()) for by in world.held.held.values())
        assert {"n1"} == world.held.closing

    def test_a_closed_node_without_moves_gets_no_taint(self) -> None:
        """It empties by itself."""
        world = World(replicas={"rs": 0, "web": 0}, wanted={"n1"})
        world.run(60)

        assert NodeState.CLOSING is world.state("n1")
        assert not world.tainted("n1")

    def test_others_of_the_group_have_gone_already(self) -> None:
        """The rest of a group waits for its turn, and goes when the first nodes are given back."""

        class Together(World):
            def groups(self, nodes: dict[str, Node], pods: Sequence[Pod]) -> list[Group]:
                (rest,) = super().groups(nodes, pods)
                gone = Vacating("n0", "uid-n0", 1)
                return [dataclasses.replace(rest, vacatings=(gone, *rest.vacatings))]

        world = Together(wanted={"n1"})
        world.run(30)

        assert world.tainted("n1")


class Proving(World):
    """`asked` has what counts as held at each proof."""

    asked: list[Held]

    def prove(self, some: Sequence[Pod], held: Held, *more: Any) -> Proof:
        self.asked.append(held)
        return super().prove(some, held, *more)


class TestLaterGroups:
    """Other nodes of the plan, whose pods have not begun to move."""

    def test_their_room_is_left_to_them(self) -> None:
        world = Proving(wanted={"n1", "n2"}, replicas={"rs": 2, "web": 2})
        world.asked = []
        world.rules = dataclasses.replace(world.rules, most_draining=1)
        world.run(20)

        assert [{KINDS["rs"]: {"n3": 1}, KINDS["web"]: {"n3": 1}}] == world.asked[:1]
        assert NodeState.CLOSING is world.state("n2")

    def test_their_room_is_used_if_there_is_no_other(self) -> None:
        """Four pods move to a node with room for six that eight are planned for."""
        world = Proving(wanted={"n1", "n2"})
        world.asked = []
        world.run(30)

        assert {} == world.asked[1]
        assert world.tainted("n1")


class TestOfManyPods:
    """Of a controller that has ten times as many pods, ten times as many are away at a time."""

    @staticmethod
    def away(count: int, unready: str = "") -> list[EvictPod]:
        """What is evicted of a node that has all pods of an owner but `p0`; one is not ready."""
        pods = {
            f"p{number}": make_pod(
                f"p{number}", "n1" if number else "n2", owner_uid="rs", owner_kind="ReplicaSet",
                created_at=NOON - 1000, ready=f"p{number}" != unready,
            )
            for number in range(count)
        }  # fmt: skip
        moves = Moves(
            Memory(began_at=NOON - 100),
            Rules(1, stay_seconds=STAY),
            Now(NOON, 1, prove=lambda *_: Proof(), owned=lambda _: pods.values(), usable={"n3"}),
            {"n1"},
        )
        here = [pod for pod in pods.values() if pod.node == "n1"]
        begun = moves.begin(Move(pod.key, pod.uid, "rs", KINDS["rs"], "n3") for pod in here)
        watched = Watched("n1", moves=begun)
        moves.advance(watched, {pod.uid: pod for pod in here})
        return moves.evictions

    @pytest.mark.parametrize(("pods", "most"), [(2, 1), (19, 1), (20, 2), (39, 3), (100, 10)])
    def test_a_tenth_of_them_goes_at_a_time(self, pods: int, most: int) -> None:
        assert most == len(self.away(pods))

    def test_those_that_are_not_ready_are_away_too(self) -> None:
        assert [2, 1, 0] == [len(self.away(count, "p0")) for count in (30, 20, 19)]

    def test_those_that_get_no_successor_are_away_too(self) -> None:
        """A quota lets none be made: nodes with three pods each, one after the other."""
        pods = {
            f"p{number}": make_pod(
                f"p{number}", f"n{number // 3}", owner_uid="rs", owner_kind="ReplicaSet",
                created_at=NOON - 1000, ready=True,
            )
            for number in range(100)
        }  # fmt: skip
        memory = Memory(began_at=NOON - 100)
        for step in range(10):
            now = Now(
                NOON + 5 * step,
                1,
                prove=lambda *_: Proof(),
                owned=lambda _: pods.values(),
                usable={"n33"},
            )
            moves = Moves(memory, Rules(1, stay_seconds=STAY), now, {f"n{step}"})
            here = [pod for pod in pods.values() if pod.node == f"n{step}"]
            begun = moves.begin(Move(pod.key, pod.uid, "rs", KINDS["rs"], "n33") for pod in here)
            moves.advance(Watched(f"n{step}", moves=begun), {pod.uid: pod for pod in here})
            for eviction in moves.evictions:
                del pods[eviction.name]
            memory = dataclasses.replace(memory, fleets=moves.fleets)

        assert 90 <= len(pods)


class TestWhatStops:
    def test_no_room(self) -> None:
        """Nobody is moved; after some attempts the node opens and rests."""
        world = World(wanted={"n1"}, replicas={"rs": 8, "web": 8})
        world.replicas = {"rs": 8, "web": 8}
        world.run(25)
        assert "there is no other node for" in why(world)
        world.run(60)

        assert not world.nodes["n1"].closing
        assert [] == world.evicted
        assert "it was opened a while ago" in why(world)

    def test_a_pod_lands_there(self) -> None:
        """Demand needs the node: it opens at once."""
        world = World(wanted={"n1"})
        world.rules = dataclasses.replace(world.rules, most_draining=0)
        world.run(15)
        assert NodeState.CLOSING is world.state("n1")
        world.wanted = set()
        world.replicas["web"] = 14
        world.run(3)

        assert NodeState.OPEN is world.state("n1")
        assert "has landed there" in why(world)

    def test_the_plan_drops_it(self) -> None:
        """One plan without the node changes nothing; the second opens it, taint and all."""
        world = begun(broken={"rs", "web"})
        world.rules = dataclasses.replace(world.rules, halted="the API server is slow")
        world.replicas["web"] = 2  # those on n2: no replacement begins
        for pod in world.of("web"):
            if pod.node == "n1":
                del world.pods[pod.name]
        world.memory = dataclasses.replace(
            world.memory,
            nodes={
                uid: dataclasses.replace(
                    one, moves=tuple(each for each in one.moves if each.move.owner == "rs")
                )
                for uid, one in world.memory.nodes.items()
            },
        )
        world.wanted = set()
        world.run(11)
        assert world.tainted("n1")
        world.run(15)

        assert not world.tainted("n1")
        assert not world.nodes["n1"].closing
        assert {} == world.held.held

    def test_somebody_keeps_it(self) -> None:
        """Nothing more moves, at any time, and both marks go."""
        world = begun()
        world.run(3)
        world.change("n1", kept="bayplan.dev/keep")
        evicted = len(world.evicted)
        world.run(30)

        assert not world.tainted("n1")
        assert not world.nodes["n1"].closing
        assert evicted == len(world.evicted)
        assert "bayplan.dev/keep" in why(world)

    def test_somebody_cordons_it(self) -> None:
        """Then the node is theirs."""
        world = World(wanted={"n1"})
        world.change("n1", unschedulable=True)
        world.run(30)

        assert not world.nodes["n1"].closing
        assert "n1: somebody has cordoned it" == why(world)

    def test_somebody_takes_the_taint_off(self) -> None:
        """The node opens, and rests."""
        world = begun()
        world.run(2)
        world.change("n1", taints=())
        world.run(3)

        assert NodeState.OPEN is world.state("n1")
        assert not world.nodes["n1"].closing

    def test_a_budget_of_zero(self) -> None:
        """No eviction is asked for; the budget is named."""
        world = World(wanted={"n1"}, least=4)
        world.run(40)

        assert [] == world.evicted
        assert "may not leave now by PodDisruptionBudget default/rs" in why(world)
        assert not world.tainted("n1")

    def test_an_eviction_without_an_answer(self) -> None:
        """The pod counts as before, and is seen to go later: no other pod of its owner goes yet."""

        class Unsure(World):
            def evict(self, intent: EvictPod) -> None:
                super().evict(intent)
                self._leaving.discard(intent.uid)

        world = Unsure(wanted={"n1"}, idle=True)
        for _ in range(120):
            world.lag = 3 if world.evicted else 0
            world.run(1)
            assert world.ready("rs") >= 3

        assert world.evicted

    def test_a_budget_that_is_spent_later(self) -> None:
        """The moves stop, the node opens when they are stuck, and the owner is left alone."""
        world = begun()
        world.least = 4
        world.run(5)
        evicted = len(world.evicted)
        world.run(200)

        assert 1 >= evicted == len(world.evicted)
        assert not world.tainted("n1")
        assert "could not be moved lately" in why(world)
        assert "PodDisruptionBudget default/rs" in why(world)

    @pytest.mark.parametrize("owner", ["rs", "web"])
    def test_replacements_that_are_never_ready(self, owner: str) -> None:
        """Nothing falls below its minimum; the node opens, and the owner is left alone."""
        world = begun(broken={owner})
        for _ in range(250):
            world.run(1)
            assert world.ready("web") >= 4
            assert world.ready("rs") >= 3

        assert not world.tainted("n1")
        assert "did not move for 120 s" in why(world)
        assert world.memory.failed.keys() == {owner}

    @pytest.mark.parametrize("stays", ["annotation bayplan.dev/move: Never", "volume x (hostPath)"])
    def test_a_pod_that_stays(self, stays: str) -> None:
        world = World(wanted={"n1"})
        name = next(pod.name for pod in world.of("rs") if pod.node == "n1")
        world.pods[name] = dataclasses.replace(world.pods[name], stays=stays)
        world.run(30)

        assert f"default/{name} must stay because of its {stays}" == why(world)
        assert not world.tainted("n1")

    def test_a_young_pod(self) -> None:
        world = World(wanted={"n1"})
        name = next(pod.name for pod in world.of("web") if pod.node == "n1")
        world.pods[name] = dataclasses.replace(world.pods[name], created_at=world.now)
        world.run(STAY - 10)
        assert not world.tainted("n1")
        assert f"default/{name} has been on its node for less than {STAY} seconds" == why(world)
        world.run(20)

        assert world.tainted("n1")

    def test_the_limits(self) -> None:
        world = World(wanted={"n1"})
        world.rules = dataclasses.replace(world.rules, most_draining=0)
        world.run(15)
        assert "as many nodes drain as may at a time (0)" == why(world)
        world.rules = dataclasses.replace(world.rules, most_draining=1, moves_per_hour=3)
        world.run(1)
        assert "0 pods have moved in the last hour, and 3 may" == why(world)
        world.rules = dataclasses.replace(world.rules, moves_per_hour=4)
        world.run(2)

        assert world.tainted("n1")

    @pytest.mark.parametrize(
        ("rules", "said"),
        [
            ({"moving": False}, "no window for moves is open"),
            ({"frozen": "pods wait"}, "pods wait"),
        ],
    )
    def test_outside_windows(self, rules: dict[str, object], said: str) -> None:
        world = World(wanted={"n1"})
        world.rules = dataclasses.replace(world.rules, **rules)
        world.run(30)

        assert said == why(world)
        assert not world.nodes["n1"].closing

    def test_no_plan_any_more(self) -> None:
        """The solver is gone: what has not started opens."""
        world = World(wanted={"n1"})
        world.rules = dataclasses.replace(world.rules, most_draining=0)
        world.run(15)
        world.planning = False
        world.run(130)

        assert not world.nodes["n1"].closing

    def test_the_pool_no_longer_consolidates(self) -> None:
        world = begun()
        world.rules = dataclasses.replace(world.rules, consolidating=False)
        world.run(3)

        assert not world.tainted("n1")
        assert not world.nodes["n1"].closing
        marked = make_node("n1", uid="u", taints=(Taint("bayplan.dev/draining", "moving"),))
        found = machine.reopened([marked, make_node("n2", uid="v", closing="plan-1")])
        assert [("n1", True), ("n2", False)] == [
            (one.node, hasattr(one, "present")) for one in found
        ]


class TestWhatOthersDo:
    def test_a_node_dies_in_mid_move(self) -> None:
        """Room stays for its successors until they have landed, and is forgotten then."""
        world = begun()
        del world.nodes["n1"]
        world.full = True
        world.run(20)
        assert 4 == sum(sum(by.values()) for by in world.held.held.values())
        world.full = False
        world.run(3)

        assert {} == world.held.held
        assert {} == world.memory.nodes

    def test_the_target_goes(self) -> None:
        """Another place is proven before the next pod is evicted; or there is none."""
        world = begun(replicas={"rs": 3, "web": 1})
        gone = {name for by in world.held.held.values() for name in by}
        assert {"n2"} == gone
        world.change("n2", ready=False)
        world.run(60)

        assert [] == [pod for pod in world.pods.values() if pod.node == "n1"]

    def test_karpenter_takes_the_node(self) -> None:
        """Nothing is written; room is held for its pods, so that nobody else takes it."""
        world = World()
        world.change("n1", taints=(Taint("karpenter.sh/disrupted"),))
        world.second()
        found = world.operator()

        assert () == found.intents
        assert NodeState.FORCED is world.state("n1")
        assert 4 == sum(sum(by.values()) for by in found.held.held.values())
        assert "the taint karpenter.sh/disrupted says that it goes" == why(world)

    def test_karpenter_takes_a_node_and_there_is_no_room(self) -> None:
        """Somebody has to buy, at once."""
        world = World(replicas={"rs": 9, "web": 4})
        world.change("n1", taints=(Taint("karpenter.sh/disrupted"),))
        world.change("n3", ready=False)
        world.second()
        found = world.operator()

        assert found.lacking

    def test_others_take_a_node_that_was_closing(self) -> None:
        world = World(wanted={"n1"})
        world.run(12)
        world.change("n1", taints=(Taint("karpenter.sh/disrupted"),))
        world.run(1)

        assert NodeState.FORCED is world.state("n1")
        world.change("n1", taints=())
        world.wanted = set()
        world.run(15)
        assert not world.nodes["n1"].closing
        assert {} == world.held.held


class TestTheRoomThatIsHeld:
    def test_for_a_successor_that_does_not_land(self) -> None:
        """Only for ten minutes, although a pod of its owner waits all the time."""
        world = begun()
        world.full = True
        world.run(100)
        held = world.held.held
        world.run(650)

        assert held
        assert [] != [pod for pod in world.of("rs") if not pod.node]
        assert {} == world.held.held

    def test_a_successor_lands_where_room_is_held_for_another_pod(self) -> None:
        """The pod that is still there gets the hold of the pod that has gone."""

        class Elsewhere(World):
            def schedule(self) -> None:
                before = self.held
                if len(self.evicted) == 1:  # the first successor goes to n3
                    self.held = Backlog(held={KINDS["rs"]: {"n3": 1}})
                super().schedule()
                self.held = before

        world = Elsewhere(replicas={"rs": 4, "web": 6}, wanted={"n1"})
        targets: dict[str, str] = {}
        for _ in range(120):
            world.run(1)
            there = {pod.uid for pod in world.pods.values() if not pod.terminating}
            for one in world.memory.nodes.get("uid-n1", Watched("n1")).moves:
                if one.move.owner == "rs":
                    targets.setdefault(one.move.uid, one.move.target)
                    assert one.held or one.move.uid not in there

        assert {"n2", "n3"} == set(targets.values())
        assert ["n2", "n3"] == [targets[one.uid] for one in world.evicted]

    def test_pods_that_came_before_are_no_successors(self) -> None:
        """The owner grew after its pods had moved off another node."""
        world = begun()
        world.run(60)
        assert NodeState.EMPTY is world.state("n1")
        world.nodes["n4"] = make_node("n4", uid="uid-n4")
        world.replicas["rs"] += 2
        world.run(STAY + 20)
        world.wanted = {"n1", "n2"}
        while world.state("n2") is not NodeState.DRAINING:
            world.run(1)
        world.run(1)
        moves = world.memory.nodes["uid-n2"].moves
        held = [one.held for one in moves if one.move.owner == "rs"]

        assert held
        assert all(held)


class TestAfterARestart:
    def test_it_counts_what_still_has_to_move(self) -> None:
        """As moves that begin: a process that dies often does not move more than it may."""
        world = begun()
        world.die()
        left = sum(pod.node == "n1" for pod in world.pods.values())
        world.run(20)

        assert left == sum(count for _, count in world.memory.moves)

    def test_it_goes_on(self) -> None:
        """The taint is enough: the pods are proven again, and move."""
        world = begun()
        world.run(2)
        world.die()
        world.run(90)

        assert [] == [pod for pod in world.pods.values() if pod.node == "n1"]

    def test_it_is_undone(self) -> None:
        """If its pods have no other place, and no plan wants it."""
        world = begun()
        world.die()
        world.wanted = set()
        world.change("n3", ready=False)
        world.replicas["rs"] += 4
        world.run(40)

        assert not world.tainted("n1")
        assert not world.nodes["n1"].closing

    def test_a_closed_node(self) -> None:
        """Two plans without it, and it opens."""
        world = World()
        world.change("n1", closing="plan-9")
        world.run(40)

        assert not world.nodes["n1"].closing

    def test_nobody_is_evicted_at_once(self) -> None:
        """A former operator may have evicted a pod a moment ago, and its successor is to come."""
        world = begun()
        world.die()
        before = len(world.evicted)
        world.run(15)

        assert before == len(world.evicted)
