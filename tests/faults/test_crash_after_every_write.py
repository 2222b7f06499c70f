"""The operator is killed after every single write of a history, and the outcome is the same.

For each k of an undisturbed history's writes there are two histories more, each otherwise
undisturbed: in one the operator is killed when the API server has done write k and the operator has
not heard of it, in the other when it has heard and not yet written anything else. It is started
again under the same name, finds its own lease and goes on. Every write counts, dry runs and Events
too, only renewals of the lease do not, as their number depends on nothing but time.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.faults import plots
from tests.faults.proxy import Act, Call, Rule, kill_answered, kill_unanswered, write_number
from tests.faults.state import State
from tests.faults.tales import tale
from tests.faults.world import Ground, difference

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]

RECOVERY_SECONDS = 60
MORE = 3  # writes that a history may have over the undisturbed one: statuses come by the second
KILLS: dict[str, Callable[[Callable[[], None]], Act]] = {
    "unanswered": kill_unanswered,
    "answered": kill_answered,
}


@dataclass(frozen=True, slots=True)
class History:
    """What came of one history. `struck` is the write after which the operator was killed."""

    number: int
    when: str
    struck: str
    starts: int
    wrong: str


@pytest.mark.parametrize("plot", [plots.jobs, plots.service], ids=lambda plot: plot.__name__)
def test_a_crash_after_any_write_changes_nothing(ground: Ground, plot: plots.Plot) -> None:
    """Every k, before and after the answer: the end state of the undisturbed history."""
    began = time.monotonic()
    expected, writes = _undisturbed(ground, plot)
    with ThreadPoolExecutor(ground.lanes) as pool:
        histories = list(
            pool.map(
                lambda one: _disturbed(ground, plot, one[0], one[1], expected),
                [(k, when) for k in range(1, writes + MORE + 1) for when in KILLS],
            )
        )
    struck = [one for one in histories if one.struck]
    violations = [str(one) for one in ground.auditor.judged()]
    missed = [(one.number, one.when) for one in histories if not one.struck]
    print(  # noqa: T201  what was covered is to be seen
        f"\n{plot.__name__}: {writes} writes undisturbed; killed after"
        f" {len({one.number for one in struck})} of them ({len(struck)} kills of {len(histories)}"
        f" histories); beyond the end: {missed}; {len(violations)} violations;"
        f" {time.monotonic() - began:.0f} s"
    )

    wrong = [one for one in histories if one.wrong]
    assert not wrong, "\n\n".join(
        f"killed after write {one.number} ({one.struck}), {one.when}: {one.wrong}" for one in wrong
    )
    assert [] == violations
    assert [] == [one for one in missed if one[0] <= writes - MORE]
    assert {2} == {one.starts for one in struck}


def _looks_for_the_lease(call: Call) -> bool:
    """Every process does so once, when it starts."""
    return call.is_lease and call.method == "GET"


def _undisturbed(ground: Ground, plot: plots.Plot) -> tuple[State, int]:
    with ground.world() as world:
        world.keep()
        plot(world)
        expected = plots.ENDS[plot]
        found = world.settle(expected, within=RECOVERY_SECONDS)

        assert not difference(expected, found)

        return expected, len(world.proxy.writes)


def _disturbed(
    ground: Ground, plot: plots.Plot, number: int, when: str, expected: State
) -> History:
    with ground.world(seed=number) as world:
        strike = Rule(write_number(number), KILLS[when](world.kill), times=1)
        world.proxy.script(strike)
        world.keep()
        wrong = ""
        try:
            plot(world)
        except AssertionError as stuck:
            wrong = f"the plot stands still: {str(stuck)[:1500]}\n"
        found = world.settle(expected, within=RECOVERY_SECONDS)
        if strike.used and len(world.children) == 1:  # struck by its very last write
            world.proxy.until_asked(_looks_for_the_lease, times=2)
            found = world.settle(expected, within=RECOVERY_SECONDS)
        wrong += difference(expected, found)
        struck = [call.label for call in world.proxy.writes if call.number == number]
        if wrong:
            wrong = tale(world, wrong)
        return History(number, when, (struck or [""])[0], len(world.children), wrong)
