"""Laws C1 (of pods that others own), C2, C4, C5 and C7 of consolidation, and bugs that break them.

In every order of deaths, late news, plans that come and go, budgets and helping hands.
"""

import shutil
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bayplan.model.intents import CloseNode
from tests import planted
from tests.laws.vacating_world import EVENTS, World, play, settles

STORY = settings(max_examples=400, deadline=None, phases=[Phase.generate])
SOURCE = planted.ROOT / "operator"
PARTS = "bayplan/reconcile/pool/vacating"


@STORY
@given(st.dictionaries(st.integers(0, 159), st.sampled_from(EVENTS), max_size=8), st.booleans())
def test_every_eviction_is_safe_and_nothing_stays_half_done(
    story: dict[int, str], dies: bool
) -> None:
    """C1, C2, C4, C5 at each write, and C7 at the end."""
    settles(play(story), dies=dies)


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 4))
def test_a_fixed_point(pods: int, lag: int, second: int) -> None:
    """C5: with the same plan and demand, everything moves once; then nothing is written."""
    world = World(wanted={"n1"}, replicas={"rs": pods, "web": pods}, lag=lag)
    world.run(400 + second)
    evicted = len(world.evicted)
    for _ in range(1000):
        world.run(1)
        assert () == world.told.intents

    assert evicted == len(world.evicted) <= pods


def _writes(world: World, wanted: int) -> bool:
    """Goes on until so many writes were decided; whether there were so many."""
    decided = 0
    for _ in range(120):
        world.run(1)
        decided += len(world.told.intents)
        if decided >= wanted:
            return True
    return False


@pytest.mark.parametrize("stored", [0, 1, 9])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_death_at_any_write(stored: int, goes_on: bool) -> None:
    """C7: after each write, stored or lost, a new operator ends what was begun, or undoes it."""
    count = 1
    while _writes(world := World(wanted={"n1"}), count):
        world.die(stored)
        if goes_on:
            world.run(200)
            assert not any(pod.node == "n1" for pod in world.pods.values())
            assert world.tainted("n1")
        settles(world)
        count += 1

    assert count >= 5


def test_a_plan_that_never_works_is_tried_less_and_less() -> None:
    """In four hours the node closes a few times, and nobody is evicted."""
    world = World(wanted={"n1"}, replicas={"rs": 9, "web": 9})
    closed = 0
    for _ in range(4 * 3600):
        world.run(1)
        closed += sum(isinstance(one, CloseNode) and bool(one.plan) for one in world.told.intents)

    assert [] == world.evicted
    assert 3 <= closed <= 12


@pytest.mark.parametrize(
    ("part", "before", "after", "law"),
    [
        ("moving.py", "if not each.node or not each.ready or each.terminating", "if False", "C1"),
        ("moving.py", "if recovers and count < fleet.size:", "if False:", "C1"),
        ("moving.py", "if moving.held and target in now.usable and target not in self._crowded:",
         "if True:", "C2"),
        ("../../../model/movability.py", "barred = pod.barred(now)", "barred = None", "C4"),
        ("../../../model/movability.py", "early = young(pod, least, around.now)", "early = 0",
         "C5"),
        ("machine.py", "if one.absent >= DROPPED:", "if False:", "C7"),
        ("machine.py", "elif known is None and (node.closing or draining(node)):", "elif False:",
         "C7"),
        ("machine.py", "if one.moves and now.at >= one.progress_at + p.rules.patience_seconds:",
         "if False:", "C7"),
        ("passes.py", "moves=tuple(each for each in one.moves if each not in staying),",
         "moves=one.moves,", "C7"),
    ],
)  # fmt: skip
def test_a_planted_bug_is_found(
    part: str, before: str, after: str, law: str, tmp_path: Path
) -> None:
    """A machine with this line is caught by the law."""
    shutil.copytree(SOURCE, tmp_path / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    planted.edit(tmp_path / "operator" / PARTS / part, before, after)
    found = planted.asked(tmp_path / "operator", "tests.laws.vacating_trial")

    assert law in found["broken"]
