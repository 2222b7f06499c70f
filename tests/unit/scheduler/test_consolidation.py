"""Consolidation from the snapshot to nodes that have gone, whole and in virtual time."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from bayplan.api import names
from bayplan.model.intents import CloseNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.pods import EXPECTED_SECONDS
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.reconcile.pool.facts import Consolidating
from tests.builders import make_node, make_pod
from tests.unit.scheduler.pool_town import Town

HALF = 5, 3  # how many LongServices there are, and how many of six instances each keeps


def town_of(**more: Any) -> Town:
    """Five nodes that are full of five LongServices with six instances each."""
    town = Town(**more)
    town.buy("m5.xlarge", 5)
    for number in range(HALF[0]):
        town.serve(f"s{number}", 6)
    return town


def of_others(replicas: int = 10, **more: Any) -> Town:
    """Five nodes that are full of ReplicaSets of somebody else."""
    town = Town(**more)
    town.buy("m5.xlarge", 5)
    for number in range(3):
        town.replica_set(f"r{number}", replicas)
    return town


def of_both(**more: Any) -> Town:
    """As `town_of`, beside pods of somebody else; the Pool keeps some room free."""
    town = town_of(buying={"headroom": {"cpu": "1"}}, **more)
    for number in range(3):
        town.replica_set(f"r{number}", 4)
    return town


def halve(town: Town) -> None:
    for number in range(HALF[0]):
        town.scale(f"s{number}", HALF[1])


def told(town: Town) -> Consolidating:
    return town.buying.consolidator.records.told["batch"]


def marks(town: Town) -> list[str]:
    """The nodes that say that they close or are emptied."""
    nodes = town.cache.state.nodes.values()
    ours = ("bayplan.dev/draining",)
    return [one.name for one in nodes if one.closing or any(t.key in ours for t in one.taints)]


def test_half_of_the_instances_leave_and_nodes_go_back() -> None:
    """At every second each service has its minimum."""
    town = town_of()

    async def story() -> None:
        before.append(town.cost())
        halve(town)
        await town.living(400)

    before: list[int] = []
    town.play(story)

    assert town.cost() <= before[0] * 5 // 8
    assert [] == town.broken
    assert [] == marks(town)
    assert (told(town).promised, told(town).saved > 0) == (0, True)


def test_half_of_the_pods_of_others_leave_and_the_rest_moves() -> None:
    """Their ReplicaSets choose who leaves; none is ever two pods below what it is to have."""
    town = of_others()

    async def story() -> None:
        for number in range(3):
            town.scale(f"r{number}", 5)
        await town.living(10)
        for _ in range(400):
            await town.living(1)
            least.append(min(len(town.running(f"r{number}")) for number in range(3)))

    least: list[int] = []
    town.play(story)

    assert town.evicted
    assert 4 <= min(least)
    assert town.cost() <= 576_000  # three of the five nodes
    assert 0 < told(town).moves_last_day <= 15
    assert [] == town.broken


class Watching(Town):
    """`going` has how many pods were about to go at each question about who moves."""

    going: list[int]

    async def _consolidate(self, holding: Holding, *more: Any, **named: Any) -> Consolidated | None:
        if not holding.surplus.any():
            pods = self.cache.state.pods.values()
            self.going.append(sum(pod.terminating for pod in pods))
        return await super()._consolidate(holding, *more, **named)


@pytest.mark.parametrize("foreign", [False, True])
def test_room_that_becomes_free_is_waited_for(foreign: bool) -> None:
    """Half of the pods take half a minute to end. A plan before that buys what becomes free."""
    town = Watching()
    town.buy("m5.xlarge", 5)
    for number in range(3):
        if foreign:
            town.replica_set(f"s{number}", 10)
        else:
            town.serve(f"s{number}", 10)

    async def story() -> None:
        for number in range(3):
            town.scale(f"s{number}", 5)
        await town.living(2)
        town.going = []
        await town.living(240)

    town.going = []
    town.grace = 30
    town.play(story)

    assert town.going
    assert 0 == max(town.going)


def test_the_answer_about_who_leaves_says_who_moves() -> None:
    """Nobody is asked again before pods move: another answer would need others to leave."""
    town = town_of()

    async def story() -> None:
        town.consolidated.clear()
        halve(town)
        for _ in range(60):
            await town.living(1)
            if told(town).draining:
                asked.extend(int(one.surplus.sum()) for one in town.consolidated)
                return

    asked: list[int] = []
    town.play(story)

    assert asked
    assert 0 not in asked


def test_a_poor_answer_is_asked_for_again_with_more_time() -> None:
    """A busy machine gave the solver too little: the unchanged question does not rest on that."""

    class Busy(Town):
        async def _consolidate(
            self, holding: Holding, offers: Offers, seconds: float, **more: Any
        ) -> Consolidated | None:
            asked.append(seconds)
            found = await super()._consolidate(holding, offers, seconds, **more)
            if found is None or seconds > 3:
                return found
            nothing = np.zeros_like(holding.held)
            return dataclasses.replace(
                found,
                keep=np.ones_like(found.keep),
                leave=nothing,
                out=nothing,
                into=nothing,
                types=found.types[:0],
                bought=found.bought[:0],
                cost=int(holding.price.sum()),
                bound=0,
            )

    town = Busy()
    town.buy("m5.xlarge", 5)
    for number in range(3):
        town.replica_set(f"r{number}", 10)

    async def story() -> None:
        before.append(town.cost())
        for number in range(3):
            town.scale(f"r{number}", 5)
        await town.living(200)

    asked: list[float] = []
    before: list[int] = []
    town.play(story)

    assert max(asked) > 3
    assert town.cost() < before[0]


def test_pods_that_become_old_enough_are_noticed_at_once() -> None:
    """Nothing else changes then, and an unchanged Pool is looked at ever more rarely."""
    town = of_others(consolidation={"minimumStaySeconds": 7200})

    async def story() -> None:
        old_at = town.clock.wall + 500
        for pod in list(town.cache.state.pods.values()):
            town.see("Pod", pod.name, dataclasses.replace(pod, created_at=old_at - 7200))
        for number in range(3):
            town.scale(f"r{number}", 4)
        await town.living(499)
        assert [] == town.evicted
        await town.living(20)
        assert town.evicted

    town.play(story)


@pytest.mark.parametrize("others", [False, True])
def test_constant_demand_comes_to_rest(*, others: bool) -> None:
    """When all pods are old enough, nothing is asked, written or moved for a day."""
    town = of_both() if others else town_of()

    async def story() -> None:
        halve(town)
        for name in town.sets:
            town.scale(name, 2)
        await town.living(7200, step=20)
        town.writes.clear()
        town.consolidated.clear()
        await town.living(86_400, step=60)

    town.slow = True
    town.play(story)

    assert {} == +town.writes
    assert [] == town.consolidated
    assert [] == town.broken


def test_moves_of_yesterday_are_paid_for() -> None:
    """Else a Pool whose pods are replaced, but never fewer or more, would never again be mended."""
    town = Town()
    for name, node in zip(("a", "b"), town.buy("m5.xlarge", 2), strict=True):
        town.replica_set(name, 3, first=node)
    evicted: list[int] = []

    async def story() -> None:
        consolidator = town.buying.consolidator
        work = consolidator._work_of("batch")  # noqa: SLF001  the moves of weeks
        work.same, work.moved = consolidator.scenes.demand("batch"), 100_000
        work.same_since = town.clock.wall
        for _ in range(2):
            await town.living(13 * 3600, step=60)
            town._drop("Pod", town.running("a")[0].key)  # noqa: SLF001
            await town.living(3600, step=60)
            evicted.append(len(town.evicted))

    town.slow = True
    town.play(story)

    assert 0 == evicted[0]
    assert evicted[1]
    assert [] == town.broken


@pytest.mark.parametrize("writes", range(5))
def test_a_new_operator_goes_on_or_takes_it_back(writes: int) -> None:
    """The process dies after so many writes about nodes; the end is the same."""
    town = town_of()

    async def story() -> None:
        before.append(town.cost())
        halve(town)
        town.dies_after = writes
        await town.living(900)

    before: list[int] = []
    town.slow = True
    town.play(story)

    assert town.dies_after is None
    assert town.cost() <= before[0] * 5 // 8
    assert [] == marks(town)
    assert [] == town.broken


def test_an_eviction_that_is_refused_backs_off() -> None:
    """Another webhook refuses: nothing is deleted in another way."""
    town = of_others(5)
    town.budgets = lambda _: False

    async def story() -> None:
        await town.living(900)

    town.play(story)

    assert 15 == sum(len(town.running(f"r{number}")) for number in range(3))
    assert 0 < len(town.evicted) < 100
    assert [] == town.broken


def test_pods_of_others_have_a_cost_where_they_should_end_first() -> None:
    """On the node that goes first by the plan, and nowhere else; a scale-down takes them."""
    town = of_others(consolidation={"deletionCost": True})

    async def story() -> None:
        for replicas in range(9, 4, -1):
            for number in range(3):
                town.scale(f"r{number}", replicas)
            await town.living(60)
        await town.living(120)

    town.play(story)
    ranks = town.buying.consolidator.planner.ranks()
    priced = {
        pod.node for pod in town.cache.state.pods.values() if names.DELETION_COST in pod.annotations
    }

    assert town.writes["price"]
    assert priced <= {min(ranks, key=lambda node: ranks[node], default="")}
    assert town.cost() <= 576_000
    assert [] == town.broken


def test_demand_opens_a_node_that_closes() -> None:
    """A run on it is waited for; pods that come meanwhile find the room that is there."""
    town = Town(consolidation={"maximumMovesPerHour": 0})
    full, other = town.buy("m5.xlarge", 2)
    town.replica_set("r", 7, first=full)
    lasting = {"annotations": {EXPECTED_SECONDS: "1200"}, "ready": True}
    run = make_pod("run", node=other, cpu=500, owner_uid="job", owner_kind="Job", **lasting)
    town.see("Pod", "run", run)

    async def story() -> None:
        town.see("Pod", "run", dataclasses.replace(run, created_at=town.clock.wall))
        await town.living(40)
        closing.extend(marks(town))
        town.scale("r", 9)
        await town.living(30)

    closing: list[str] = []
    town.play(story)

    assert [other] == closing
    assert {full, other} == {pod.node for pod in town.running("r")}
    assert [] == marks(town)
    assert 0 == town.writes["launch"]


@pytest.mark.parametrize("new", [False, True])
def test_costs_are_taken_off_when_the_pool_no_longer_consolidates(*, new: bool) -> None:
    """Also by a new process, which never saw it consolidate."""
    town = of_others(consolidation={"deletionCost": True})

    def priced() -> list[str]:
        pods = town.cache.state.pods.values()
        return [pod.name for pod in pods if names.DELETION_COST in pod.annotations]

    async def story() -> None:
        await town.living(60)
        before.extend(priced())
        assert [] == marks(town)
        town.pool("Buy")
        if new:
            town.replace_operator()
        await town.living(60)

    before: list[str] = []
    town.play(story)

    assert before
    assert [] == priced()


def test_a_defect_in_one_pool_stops_no_other() -> None:
    """Nodes of Pools that are gone open, and to say so meets a defect."""

    class Poor(Town):
        def close(self, wanted: CloseNode) -> None:
            if wanted.node.startswith("n-away"):
                raise ValueError(wanted.node)
            super().close(wanted)

    town = Poor()
    for name in (f"away-{number}" for number in range(9)):
        labels = {names.POOL: name}
        known = {"pool": name, "node": f"n-{name}", "provider_id": f"i-{name}", "labels": labels}
        town.claim(NodeClaim(name, uid=name, **known))
        town.again(make_node(f"n-{name}", labels=labels, closing="plan"))
    town.buying.consolidator.look(town.clock.now())

    assert 9 == len(town.defects)
    assert told(town)


@pytest.mark.parametrize(
    ("stored", "left"),
    [(0, 10), (7, 3), (12, 0), (-1, 10), (True, 10), ("7", 10), (None, 10)],
)
def test_a_new_process_counts_on_from_the_moves_of_the_last_hour(stored: object, left: int) -> None:
    """As the status of the Pool has them; what makes no sense there is nothing."""
    town = Town()
    body = {
        "metadata": {"name": "batch", "uid": "uid-batch", "generation": 9},
        "spec": {
            "mode": "BuyAndConsolidate",
            "nodePoolRef": {"name": "of-batch"},
            "consolidation": {"maximumMovesPerHour": 10},
        },
        "status": {"moves": {"lastHour": stored}},
    }
    town.version += 1
    town.see("Pool", "batch", body, "")
    town.buying.consolidator.look(town.clock.now())

    assert left == town.buying.consolidator.moves("batch", town.clock.now())
    assert stored == told(town).moves_last_hour or left == 10
