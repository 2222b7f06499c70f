"""The trial job: followed to its end, and deleted however it ends."""

import json
from typing import Any

import pytest

from bayplan.api.resource import parse_resource
from bayplan.cli.errors import Negative
from bayplan.cli.ops import selftest_run
from tests.double.bodies import encoded
from tests.double.transport import Answer, Double
from tests.double.wire import Played, client

JOB = selftest_run.job("team", "image:1", "abc")


def seen(**conditions: str) -> Answer:
    said = [{"type": kind, "status": state} for kind, state in conditions.items()]
    return Answer(encoded({"status": {"conditions": said}}))


class Tried:
    """One trial against a script, in time that passes by pauses only."""

    def __init__(self, *looks: Answer) -> None:
        self.double = Double()
        self.double.reply("create", "BatchJob", Answer())
        self.double.reply("get", "BatchJob", *looks)
        self.double.reply("delete", "BatchJob", Answer())

    def go(self) -> Any:
        return selftest_run.follow(client(Played(self.double)), JOB, 20)

    @property
    def deleted(self) -> bool:
        return self.double.seen[-1].verb == "delete"


def test_each_step_is_timed() -> None:
    """Seen, placed, complete; then it is deleted."""
    tried = Tried(
        Answer(encoded({})), seen(Ready="Unknown"), seen(Placed="True"), seen(Complete="True")
    )

    assert {"seen": 0.5, "placed": 1.0, "complete": 1.5} == tried.go()
    assert tried.deleted


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (Answer(encoded({})), "is the operator running"),
        (seen(Failed="True"), "Failed=True"),
        (seen(Stalled="True"), "Stalled=True"),
        (seen(Placed="False"), "within 20 s: Placed=False"),
    ],
)
def test_what_went_wrong_is_told(look: Answer, told: str) -> None:
    """In the words of the status; the job is deleted all the same."""
    tried = Tried(look)
    with pytest.raises(Negative, match=told):
        tried.go()

    assert tried.deleted


def test_the_job_is_a_good_one() -> None:
    """What it asks for is read without complaint."""
    stored = {**JOB, "metadata": {**JOB["metadata"], "uid": "u", "generation": 1}}

    assert parse_resource(stored).spec is not None
    assert "selftest-abc" == json.loads(encoded(JOB))["metadata"]["name"]
