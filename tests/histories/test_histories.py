"""Thousands of histories of the whole operator in virtual time; a seed is a history.

`make histories N=10000` plays more of them. The judge is shown to see what it is there for: bugs
are planted into the decision, and each is found.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bayplan.api import batchjob
from bayplan.api.resource import Resource
from bayplan.model import intents
from bayplan.model.intents import Outcome
from bayplan.model.pods import Pod
from bayplan.reconcile.view import View
from bayplan.scheduler import deciders
from tests.histories.play import play
from tests.histories.replica import bent

NUMBER = int(os.environ.get("BAYPLAN_HISTORIES", "2000"))
_EACH = 25
_ENOUGH = 60  # histories in which a planted bug must show

Pods = Mapping[tuple[str, str], Pod]
Bug = Callable[[deciders.Decide, Resource, Pods, View, int], Outcome]


@pytest.mark.parametrize("first", range(0, NUMBER, _EACH))
def test_no_history_breaks_a_rule(first: int) -> None:
    """Crashes, lost requests and news, dead nodes, odd clocks, two leaders, people: all held."""
    verdicts = [play(seed) for seed in range(first, min(first + _EACH, NUMBER))]

    assert [] == [str(verdict) for verdict in verdicts if verdict.violations]


@pytest.mark.parametrize("seed", [3, 5, 44])
def test_a_seed_is_a_history(seed: int) -> None:
    """The same to the last write, in another process that hashes otherwise too."""
    here = play(seed)
    command = [sys.executable, "-m", "tests.histories", "--seed", str(seed)]
    there = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "11", "PYTHONPATH": "operator"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(here.told) > 20
    assert play(seed) == here
    assert f"digest {here.digest}" == there.stdout.splitlines()[-1]


# ── planted bugs ─────────────────────────────────────────────────────────────────────────────────


def _overlaps(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """Runs may overlap, whatever the spec says."""
    return real(_with(job, concurrency_policy="Allow"), pods, view, now)


def _hurries(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """Slots come ten seconds early."""
    return real(job, pods, view, now + 10)


def _forgets(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """Which slot was the last is not remembered."""
    known = {name: value for name, value in job.status.items() if name != "lastSlotTime"}
    return real(replace(job, status=known), pods, view, now)


def _lets_go(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """Finished pods are released before the status accounts for them."""
    outcome = real(job, pods, view, now)
    early = tuple(
        intents.ReleasePod(pod.namespace, pod.name, pod.uid, ())
        for pod in pods.values()
        if pod.terminal and pod.finalizers
    )
    return replace(outcome, releases=(*outcome.releases, *early))


def _holds(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """No finished pod is let go."""
    return replace(real(job, pods, view, now), releases=())


def _drops(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """A run whose turn comes in a fifth second has no pod."""
    outcome = real(job, pods, view, now)
    return replace(outcome, tasks=tuple(task for task in outcome.tasks if task.since % 5))


def _impatient(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """What failed is tried again at once."""
    if not isinstance(job.spec, batchjob.BatchJobSpec):
        return real(job, pods, view, now)
    retry = job.spec.retry_policy.model_copy(update={"delay_seconds": 0})
    return real(_with(job, retry_policy=retry), pods, view, now)


def _restless(real: deciders.Decide, job: Resource, pods: Pods, view: View, now: int) -> Outcome:
    """The status is written again and again."""
    outcome = real(job, pods, view, now)
    status = {**(outcome.status or job.status), "seenAt": now}
    return replace(outcome, status=status, wake_at=now + 1)


def _with(job: Resource, **fields: object) -> Resource:
    """The job with other fields of its spec."""
    if not isinstance(job.spec, batchjob.BatchJobSpec):
        return job
    return replace(job, spec=job.spec.model_copy(update=fields))


@pytest.mark.parametrize(
    ("bug", "rules"),
    [
        (_overlaps, {"P4"}),
        (_hurries, {"P3"}),
        (_forgets, {"P2", "P10", "P1"}),
        (_lets_go, {"P10"}),
        (_holds, {"P10"}),
        (_drops, {"P1", "P9"}),
        (_impatient, {"P6"}),
        (_restless, {"I8"}),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, rules: set[str]) -> None:
    """By the rule that it breaks, in one of the first histories."""
    bend = bent(lambda real: functools.partial(bug, real))
    found: set[str] = set()
    for seed in range(_ENOUGH):
        found |= {words.split()[0] for words in play(seed, bend).violations}
        if found & rules:
            return

    pytest.fail(f"no {rules} in {_ENOUGH} histories, only {found}")
