"""A large backlog waits for its plan, for a moment; nothing else does, and never a cycle."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from bayplan.optimizer import existing_nodes
from bayplan.optimizer.existing_nodes import Use
from bayplan.optimizer.problem import Budget
from bayplan.provisioning import backlog
from bayplan.scheduler import backlogs, inbox
from tests.builders import make_pod
from tests.double.loop import run
from tests.unit.scheduler.test_loop import EVERYTHING, Scene

SHAPES = ((8000, 16, 340_000), (8000, 32, 384_000), (8000, 64, 504_000), (16_000, 64, 768_000))
SIZES = ((250, 2), (500, 1), (1000, 1), (1000, 6), (3000, 4))


@dataclass
class Optimiser:
    """Answers when the test says so; `after` are seconds."""

    after: float = 0.5
    answer: Callable[[backlog.Question], Use | None] = lambda asked: existing_nodes.used(
        asked.pool, asked.demand, asked.request, Budget(rounds=3)
    )
    asked: list[backlog.Question] = field(default_factory=list)

    def __call__(self, question: backlog.Question) -> Awaitable[Use | None]:
        self.asked.append(question)
        return self._answered(question)

    async def _answered(self, question: backlog.Question) -> Use | None:
        await asyncio.sleep(self.after)
        return self.answer(question)


class Large(Scene):
    """A cluster with a backlog of 250 pods on 80 empty nodes, and an optimiser."""

    def __init__(self, optimiser: Optimiser | None, pods: int = 250) -> None:
        super().__init__(ask=optimiser)
        for index in range(80):
            cpu, memory, price = SHAPES[index % 4]
            self.node(f"n{index:02}", cpu=cpu, memory=memory, price_microdollars=price)
        self.guests(pods, "guest")

    def guests(self, count: int, name: str) -> None:
        for index in range(count):
            cpu, memory = SIZES[index % 5]
            pod = make_pod(f"{name}-{index}", cpu=cpu, memory=memory)
            self.see("Pod", pod.name, pod)

    def cycle(self) -> list[str]:
        """Who was bound in it."""
        self.clock.passed = asyncio.get_running_loop().time()
        self.notes.bound.clear()
        self.loop.cycle(EVERYTHING)
        return [bound.name for bound in self.notes.bound]

    def rung(self) -> inbox.Batch:
        """What the loop's own inbox has."""
        box = self.loop.inbox
        return inbox.Batch(frozenset(box._keys), box._placement)  # noqa: SLF001

    def cost(self) -> int:
        nodes = {bound.node for bound in self.notes.bound}
        return sum(self.cache.state.nodes[name].price_microdollars or 0 for name in nodes)


def test_a_backlog_waits_for_its_plan_and_costs_less() -> None:
    """Nothing is bound or marked before the answer; then all of it, on cheaper nodes."""

    async def play() -> None:
        plain, scene = Large(None), Large(Optimiser())
        assert 250 == len(plain.cycle())
        assert ([], []) == (scene.cycle(), scene.notes.marked)
        await asyncio.sleep(0.6)
        assert scene.rung().placement
        assert 250 == len(scene.cycle())
        assert scene.cost() < plain.cost()
        assert scene.loop.backlogs.planned.nodes
        assert {} == scene.loop.backlogs.planned.shares  # all of them have landed

    run(play())


def test_what_comes_meanwhile_is_placed_at_once() -> None:
    """Another class does not wait, and the question is not asked again."""

    async def play() -> None:
        optimiser = Optimiser()
        scene = Large(optimiser)
        scene.cycle()
        scene.see("Pod", "late", make_pod("late", cpu=1500))
        assert ["late"] == scene.cycle()
        assert 1 == len(optimiser.asked)

    run(play())


@pytest.mark.parametrize(("more", "questions"), [(150, 2), (50, 1)])
def test_what_comes_of_the_same_classes_is_the_next_question(more: int, questions: int) -> None:
    """It waits too, so that a stream of pods is planned a second at a time; a few are placed."""

    async def play() -> None:
        optimiser = Optimiser()
        scene = Large(optimiser)
        scene.cycle()
        scene.guests(more, "more")
        assert [] == scene.cycle()
        await asyncio.sleep(0.6)
        first = scene.cycle()
        assert {"guest"} == {name.partition("-")[0] for name in first[:250]}
        if questions == 2:
            assert 250 == len(first)
            assert scene.rung().placement
            assert [] == scene.cycle()
            await asyncio.sleep(0.6)
            assert more == len(scene.cycle())
        else:
            assert 250 + more == len(first)
        assert questions == len(optimiser.asked)

    run(play())


@pytest.mark.parametrize(("pause", "bound"), [(0.2, [40, 40, 0, 0]), (2.0, [40, 40, 40, 40])])
def test_a_stream_is_a_backlog_too(pause: float, bound: list[int]) -> None:
    """No cycle sees a hundred of its tasks, but a second does; a slow one is placed at once."""

    async def play() -> None:
        optimiser = Optimiser()
        scene = Large(optimiser, pods=0)
        found = []
        for index in range(4):
            scene.guests(40, f"s{index}")
            found.append(len(scene.cycle()))
            await asyncio.sleep(pause)
        await asyncio.sleep(0.4)
        found.append(len(scene.cycle()))
        await asyncio.sleep(0.6)
        found.append(len(scene.cycle()))
        assert [*bound, 160 - sum(bound)] == [*found[:4], found[4] + found[5]]
        assert (0 in bound) == bool(optimiser.asked)

    run(play())


def test_what_comes_after_the_plan_goes_to_its_nodes_first() -> None:
    """A node that is empty yet but part of the plan comes before a cheaper one; not for long."""

    def only(asked: backlog.Question) -> Use:
        use = existing_nodes.used(asked.pool, asked.demand, asked.request, Budget(rounds=3))
        free = [row for row in range(len(asked.nodes)) if not use.counts[row].any()]
        use.counts[free[-1], 0] = 1  # more than there are tasks
        spare.append(asked.nodes[free[-1]])
        return use

    spare: list[str] = []

    async def play(seconds: float) -> bool:
        scene = Large(Optimiser(answer=only))
        scene.cycle()
        await asyncio.sleep(0.6)
        scene.cycle()
        await asyncio.sleep(seconds)
        scene.see("Pod", "late", make_pod("late", cpu=7900, memory=1))
        scene.cycle()
        return [spare[-1]] == [bound.node for bound in scene.notes.bound]

    assert run(play(1))
    assert not run(play(60))


@pytest.mark.parametrize(
    "optimiser",
    [
        Optimiser(after=30),
        Optimiser(answer=lambda _: None),
        Optimiser(answer=lambda _: 1 / 0),  # type: ignore[arg-type,return-value]
    ],
)
def test_without_an_answer_in_time_all_is_placed_by_score(optimiser: Optimiser) -> None:
    """Late, dead or defective: soon the backlog is placed, as without an optimiser."""

    async def play() -> None:
        plain, scene = Large(None), Large(optimiser)
        plain.cycle()
        assert [] == scene.cycle()
        await asyncio.sleep(backlogs.START_SECONDS + backlogs.ANSWER_SECONDS + 0.01)
        assert scene.rung().placement
        assert 250 == len(scene.cycle())
        assert plain.cost() == scene.cost()
        assert 1 == len(optimiser.asked)
        await asyncio.sleep(60)
        assert not scene.loop.backlogs.planned.nodes

    run(play())


def test_tasks_wait_for_one_question_only() -> None:
    """A backlog that was placed, refused or asked about before is not held again."""

    async def play() -> None:
        optimiser = Optimiser(answer=lambda _: None)
        scene = Large(optimiser)
        scene.cycle()
        await asyncio.sleep(0.6)
        assert 250 == len(scene.cycle())
        for bound in scene.notes.bound:  # none of these writes succeeds
            scene.cache.state.forget(("default", bound.name))
        assert 250 == len(scene.cycle())
        assert 1 == len(optimiser.asked)

    run(play())


def test_the_refused_do_not_wait_again() -> None:
    """Tasks without a node that a node could take since then are placed at once."""

    async def play() -> None:
        optimiser = Optimiser()
        scene = Large(optimiser, pods=0)
        for name in list(scene.cache.state.nodes):
            scene.node(name, unschedulable=True)
        scene.guests(250, "guest")
        assert [] == scene.cycle()
        for index, name in enumerate(list(scene.cache.state.nodes)):
            cpu, memory, price = SHAPES[index % 4]
            scene.node(name, cpu=cpu, memory=memory, price_microdollars=price)
        assert 250 == len(scene.cycle())
        assert [] == optimiser.asked

    run(play())


def test_resources_are_looked_at_again_when_the_answer_is_there() -> None:
    """Their tasks have no pods yet: nobody else would ring."""
    scene = Large(Optimiser(), pods=0)
    key = scene.service(replicas=250).key

    async def play() -> None:
        scene.clock.passed = asyncio.get_running_loop().time()
        scene.look()
        assert {} == scene.notes.created
        await asyncio.sleep(0.6)
        assert key in scene.rung().keys
        scene.loop.cycle(scene.rung())
        assert 250 == len(scene.notes.created)

    run(play())


def test_who_leads_anew_starts_without_plan_and_question() -> None:
    """The answer to a question of another term is not heard, and nothing waits for it."""

    async def play() -> None:
        optimiser = Optimiser()
        scene = Large(optimiser)
        scene.cycle()
        scene.leads = False
        scene.cycle()
        scene.leads = True
        assert [] == scene.cycle()  # asked anew
        assert 2 == len(optimiser.asked)
        await asyncio.sleep(0.6)
        assert 250 == len(scene.cycle())

    run(play())


def test_only_the_first_answer_may_take_longer() -> None:
    """The optimiser's process is started for the first question; later ones have a second."""

    async def play() -> list[bool]:
        optimiser = Optimiser(after=2.0)
        scene = Large(optimiser)
        found = []
        for name in ("guest", "second", "third"):
            if name != "guest":
                for node in list(scene.cache.state.on_node):
                    for pod in list(scene.cache.state.on_node[node]):
                        scene.cache.state.drop_pod(pod)
                scene.guests(250, name)
            assert [] == scene.cycle()
            await asyncio.sleep(1.01)
            found.append(scene.rung().placement)
            await asyncio.sleep(2)
            assert 250 == len(scene.cycle())
            await asyncio.sleep(0.1)
            scene.loop.inbox._placement = False  # noqa: SLF001
        return found

    assert [False, True, True] == run(play())


def test_nothing_waits_for_a_question_that_was_cancelled() -> None:
    """Whatever ends it: the next cycle places everything."""

    async def play() -> None:
        scene = Large(Optimiser())
        scene.cycle()
        await asyncio.sleep(0.1)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.1)
        assert 250 == len(scene.cycle())

    run(play())
