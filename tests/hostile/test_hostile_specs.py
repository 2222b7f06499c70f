"""A slice of the hostile BatchJobs (`make hostile` tries 100,000), and that the judge sees."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bayplan.model import intents
from bayplan.reconcile.batchjob import reconcile
from tests.hostile import specs, trial

SEEDS = range(2_000)
FEW = range(20)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Defects are counted, not read: thousands of lines would be kept."""
    with caplog.at_level("CRITICAL"):
        yield


def test_whatever_is_stored_harms_nobody() -> None:
    """No exception escapes, none takes long, a good job beside them runs, what is wrong is told."""
    found = trial.Findings()
    for first in SEEDS[::20]:
        found.add(trial.tried(range(first, first + 20)))

    assert [] == found.broken
    # They reach what lies behind the schema: many are accepted, told what is wrong, or run.
    assert min(found.accepted, found.told, found.tasks) > len(SEEDS) // 20


def test_a_seed_is_a_spec() -> None:
    """The same seed is the same BatchJob in any process."""
    assert [repr(specs.batchjob(seed)) for seed in FEW] == [
        repr(specs.batchjob(seed)) for seed in FEW
    ]


def _raises(*_: Any) -> intents.Outcome:
    raise RecursionError


def _takes_long(*given: Any) -> intents.Outcome:
    ends = time.thread_time() + trial.MOST_SECONDS
    while given[0].name == "hostile-0" and time.thread_time() < ends:
        pass
    return reconcile.reconcile(*given)


def _says_nothing(*given: Any) -> intents.Outcome:
    outcome = reconcile.reconcile(*given)
    if outcome.status is None:
        return outcome
    kept = [one for one in outcome.status["conditions"] if one["type"] != "Stalled"]
    return replace(outcome, status={**outcome.status, "conditions": kept})


def _wakes_nobody(*given: Any) -> intents.Outcome:
    return replace(reconcile.reconcile(*given), tasks=())


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        (_raises, "RecursionError"),
        (_raises, "defects"),
        (_takes_long, "took"),
        (_says_nothing, "does not say what is wrong"),
        (_wakes_nobody, "the good job's runs are on []"),
    ],
)
def test_the_judge_sees_a_planted_bug(planted: trial.Decide, seen: str) -> None:
    """A decision that raises, dawdles, keeps silent or leaves the good job out is told."""
    assert any(seen in one for one in trial.tried(FEW, planted).broken)
