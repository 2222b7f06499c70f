"""A job whose runs cannot start: it says so at once, counts what it misses, and goes on after."""

from typing import Any

import pytest

from bayplan.api.run_names import slot_run
from bayplan.api.times import rfc3339
from tests.jobs import START, World, make_admission

HOUR = 3600
HOURLY = {"schedule": "0 * * * *"}
NO_ACCOUNT = 'serviceaccount "nosuch" not found'
BAD_RULE = {"constraints": [{"key": "zone", "operator": "MaxPer", "value": "x"}]}


def blocked(word: str = "TemplateRefused", **spec: Any) -> World:
    """An hourly job that the API server refuses since before its first scheduled time."""
    world = World({**HOURLY, **spec}, now=START - 60, created_at=START - 60)
    world.refusal = make_admission(
        world.job, refusal=word, message=NO_ACCOUNT, retry_at=START + 90 * HOUR
    )
    world.settle()
    return world


def until(world: World, moment: int) -> None:
    """Look at all hours that pass until then."""
    while world.now < moment:
        world.now = min(moment, world.now - world.now % HOUR + HOUR)
        world.settle()


def missed(world: World) -> int:
    return int(world.status.get("statistics", {}).get("missed", 0))


def said(world: World) -> list[tuple[str, str]]:
    return [(one.reason, one.message) for one in world.events]


@pytest.mark.parametrize("word", ["TemplateRefused", "QuotaExceeded", "InvalidTemplate"])
def test_an_event_says_what_blocks_it(word: str) -> None:
    """At once, before any scheduled time; an unchanged reason gives no second Event."""
    world = blocked(word)
    world.settle()

    assert [(word, NO_ACCOUNT)] == said(world)
    assert all(one.warning for one in world.events)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"schedule": "61 * * * *"}, "InvalidSchedule"),
        ({**HOURLY, "timeZone": "Mars/Base"}, "InvalidTimeZone"),
        ({**HOURLY, "placement": BAD_RULE}, "InvalidSpec"),
        ({**HOURLY, "retryPolicy": {"limit": "many"}}, "InvalidSpec"),
    ],
)
def test_an_event_says_what_is_wrong_with_its_spec(spec: dict[str, Any], word: str) -> None:
    world = World(spec)
    world.settle()
    world.settle()

    assert [word] == [one.reason for one in world.events]


def test_a_long_reason_is_told_once_too() -> None:
    """The status has only its beginning, and changes with every time that is missed."""
    world = blocked()
    world.refusal = make_admission(
        world.job,
        refusal="TemplateRefused",
        message=NO_ACCOUNT * 100,
        retry_at=START + 90 * HOUR,
    )
    until(world, START + 4 * HOUR)

    assert 2 == [word for word, _ in said(world)].count("TemplateRefused")


def test_what_it_misses_counts_while_it_is_blocked() -> None:
    """The newest time still waits; the times before it are missed for certain."""
    world = blocked()
    counts = []
    for hour in range(4):
        until(world, START + hour * HOUR)
        counts.append(missed(world))

    assert [0, 1, 2, 3] == counts
    assert ("Missed", "Blocked") == tuple(
        world.status["history"][0][word] for word in ("outcome", "reason")
    )
    assert (
        "Missed",
        f"1 scheduled time passed without a run, the newest {rfc3339(START)} (Blocked).",
    ) in said(world)


@pytest.mark.parametrize("policy", ["RunLatest", "Skip", "RunAll"])
def test_what_follows_when_the_cause_ends(policy: str) -> None:
    """Which run begins is the same as ever, and no time counts twice."""
    world = blocked(missedRunPolicy=policy)
    until(world, START + 3 * HOUR)
    world.refusal = None
    world.now += 5 * 60
    world.settle()
    began = [name.split("-")[2] for _, name in world.created]

    runs = {"RunLatest": [3], "Skip": [], "RunAll": [0]}[policy]
    assert [slot_run(START + hour * HOUR) for hour in runs] == began
    assert {"RunLatest": 3, "Skip": 4, "RunAll": 0}[policy] == missed(world)


def test_a_wrong_field_beside_a_good_schedule() -> None:
    """Its times count as missed too, and mending the field changes nothing about them."""
    world = World(HOURLY, now=START - 60, created_at=START - 60)
    world.settle()
    world.edit(placement=BAD_RULE)
    until(world, START + 2 * HOUR)
    wrong = missed(world)
    world.edit(placement={})
    world.settle()

    assert (2, 2) == (wrong, missed(world))
    assert [slot_run(START + 2 * HOUR)] == [name.split("-")[2] for _, name in world.created]


def test_a_schedule_that_came_with_a_wrong_field() -> None:
    """Was never in force: nothing of it is missed."""
    world = World(HOURLY, now=START - 60, created_at=START - 60)
    world.settle()
    world.edit(placement=BAD_RULE, schedule="30 * * * *")
    until(world, START + 2 * HOUR)

    assert 0 == missed(world)


def test_a_run_that_succeeds_is_said() -> None:
    """As a run that fails."""
    world = World(HOURLY)
    world.settle()
    world.finish()
    world.settle()

    assert [("RunSucceeded", f"Run {slot_run(START)} succeeded: on n1.")] == said(world)
