"""What may go wrong in the midst of a consolidation: it is said, and no service falls.

`Town.broken` has every second in which a LongService was below its minimum.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bayplan.cluster.budgets import Stored
from bayplan.model.budgets import Budget
from bayplan.model.intents import EmitEvent
from bayplan.model.nodes import KEEP, Taint
from bayplan.model.pods import Pod
from tests.builders import make_term
from tests.unit.scheduler.pool_town import Town
from tests.unit.scheduler.test_consolidation import halve, marks, of_others, told, town_of


def events(town: Town, reason: str) -> list[EmitEvent]:
    return [one for one in town.events if one.reason == reason]


def said(town: Town) -> Iterator[str]:
    """All sentences that the Pool's status has had: what comes next, and its conditions."""
    for status in town.statuses:
        yield from status["next"]
        yield from (str(one["message"]) for one in status["conditions"])


async def draining(town: Town) -> str:
    """Half of the instances leave, until the pods of a node move; its name."""
    halve(town)
    while not told(town).draining:
        await town.living(1)
    return told(town).draining[0].node


def change(town: Town, name: str, **fields: Any) -> None:
    town.again(dataclasses.replace(town.cache.state.nodes[name], **fields))


def test_a_replacement_that_is_never_ready() -> None:
    """The old instances stay; who is waited for is said, and after ten minutes a node opens."""
    town = town_of(consolidation={"minimumStaySeconds": 60})

    async def story() -> None:
        halve(town)
        await town.living(8)
        since = town.clock.wall  # no pod has moved yet
        town.starts = lambda pod: pod.created_at <= since
        await town.living(2400)  # each node that is tried is given up after ten minutes

    town.play(story)

    assert [] == town.broken
    assert [] == marks(town)
    assert any("waits for its replacement)" in one for one in said(town))
    assert any("did not move for 600 s" in one.message for one in events(town, "NodeReopened"))


def test_a_target_that_is_refused_after_it_was_planned() -> None:
    """No pod has moved for it; the nodes open, with the reason, and nothing waits."""
    town = town_of()
    town.stocked = lambda _: False

    async def story() -> None:
        halve(town)
        while not events(town, "NodeReopened"):
            await town.living(1)
            assert not any(pod.terminating for pod in town.pods_of("s0") if pod.node in marks(town))
        await town.living(500)

    town.play(story)

    assert [] == town.broken
    assert [] == marks(town)
    assert any(status["unavailable"] for status in town.statuses)
    assert town.cost() <= 768_000
    plan = town.buying.consolidator.planner.known("batch")
    assert plan is not None
    assert all(one.orders == () for one in plan.groups)
    assert any("what was bought for its pods is not there yet" in one for one in said(town))
    assert all(": " in one.message for one in events(town, "NodeReopened"))


STRICT = Stored(Budget("default", "strict", make_term(), allowed=0), None)
NAMED = "may not leave now by PodDisruptionBudget default/strict"


def test_a_budget_of_zero() -> None:
    """Nobody is asked to go; the status says which budget keeps the node, and what that costs."""
    town = Town()
    for number, node in enumerate(town.buy("m5.xlarge", 2)):
        town.replica_set(f"r{number}", 3, first=node)
    town.see("PodDisruptionBudget", "strict", STRICT)

    async def story() -> None:
        await town.living(120)

    town.play(story)

    assert [] == town.evicted
    (blocked,) = town.statuses[-1]["blocked"]
    assert NAMED in blocked["reason"]
    assert "0.19" == blocked["dollarsPerHour"]


def test_a_budget_of_zero_in_the_midst_of_it() -> None:
    """No further pod goes; after ten minutes the node takes pods again, and it is said why."""
    town = of_others()

    async def story() -> None:
        for number in range(3):
            town.scale(f"r{number}", 5)
        while not town.evicted:
            await town.living(1)
        town.see("PodDisruptionBudget", "strict", STRICT)
        town.budgets = lambda _: False
        await town.living(1)
        before.append(len(town.evicted))
        await town.living(900)

    before: list[int] = []
    town.play(story)

    assert before == [len(town.evicted)]
    assert [] == marks(town)
    assert 15 == sum(len(town.running(f"r{number}")) for number in range(3))
    assert any("is being emptied" in one and NAMED in one for one in said(town))
    assert any(NAMED in one.message for one in events(town, "NodeReopened"))


def test_a_node_dies_while_its_pods_move() -> None:
    """That is what the Event says; all instances are there again, and the rest is carried out."""
    town = town_of()

    async def story() -> None:
        name = await draining(town)
        died.append(name)
        town.lenient = True
        town.kill(name)
        await town.living(60)
        town.lenient = False
        await town.living(400)

    died: list[str] = []
    town.play(story)

    assert [] == town.broken
    assert [] == marks(town)
    assert [3] * 5 == [len(town.running(f"s{number}")) for number in range(5)]
    assert {} == {kind: by for kind, by in town.buying.consolidator.held().held.items() if by}
    (event,) = events(town, "NodeDied")
    assert f"Node {died[0]} has gone while" in event.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"unschedulable": True}, "somebody has cordoned it"),
        ({"kept": KEEP}, "the annotation bayplan.dev/keep says that it stays"),
    ],
)
def test_a_person_wants_the_node_to_stay(fields: Mapping[str, Any], words: str) -> None:
    """In the midst of its moves: the taint goes, what has not moved stays, and it is said why."""
    town = town_of()

    async def story() -> None:
        name = await draining(town)
        change(town, name, **fields)
        stays.append(name)
        await town.living(2)
        there.extend(pod for pod in town.cache.state.on_node[name].values() if settled(pod))
        await town.living(400)

    def settled(pod: Pod) -> bool:
        return not pod.terminating

    stays: list[str] = []
    there: list[Pod] = []
    town.play(story)

    assert [] == town.broken
    assert [] == marks(town)
    assert stays[0] in town.cache.state.nodes
    assert any(
        f"Node {stays[0]} takes pods again" in one.message and words in one.message
        for one in events(town, "NodeReopened")
    )


def test_karpenter_takes_a_node_by_itself() -> None:
    """An interruption, say: replacements come first, on what other nodes have or on a new one."""
    town = town_of()

    async def story() -> None:
        (name, *_) = town.cache.state.nodes
        taken = Taint("karpenter.sh/disrupted", "", "NoSchedule")
        change(town, name, taints=(*town.cache.state.nodes[name].taints, taken))
        await town.living(200)
        left.extend(town.cache.state.on_node.get(name, {}).values())

    left: list[Pod] = []
    town.play(story)

    assert [] == left
    assert [] == town.broken
    assert [] == town.evicted
    assert 30 == sum(len(town.running(f"s{number}")) for number in range(5))
    assert town.statuses[-1]["moves"]["byCause"]["Interruption"]
