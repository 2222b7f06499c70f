"""What the benches of economy count: moves, halves, start states and their picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.scale.economy import market, picture
from tests.scale.economy.start_states import Held, StartState, halved
from tests.scale.economy.watching import Moments

KINDS = [
    market.Kind(name, {"cpu": "100m", "memory": "64"}, pods)
    for name, pods in (("k00", 5), ("k01", 3), ("k02", 4), ("k03", 1))
]


def test_half_of_all_pods_stay() -> None:
    """Kinds with an odd number are rounded down and up in turn."""
    assert [2, 2, 2, 0] == [kind.pods for kind in halved(KINDS)]


def test_a_start_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = StartState(tuple(KINDS), (Held("n1", "m5.large", {"k00": 5, "k02": 1}),))
    state.write(tmp_path / "states" / "one.json")

    assert state == StartState.read(tmp_path / "states" / "one.json")
    assert 6 == state.pods


@pytest.mark.parametrize(
    ("gone", "created", "moves"),
    [
        ({}, {}, []),
        ({"k00-a": 1.0, "k00-b": 2.0}, {}, []),  # given up
        ({"k00-a": 1.0, "k00-b": 2.0, "k00-c": 3.0}, {"k00-d": 4.0}, [3.0]),  # evicted
        ({"k00-a": 1.0, "k00-b": 2.0, "k00-c": 3.0}, {"k00-d": 0.5}, [0.5]),  # replaced first
        ({"k01-a": 1.0}, {}, [1.0]),  # nobody gave up any of these
        ({"k00-run-1": 1.0, "k01-run-1": 1.0}, {"k01-run-2": 2.0}, []),  # runs end
        ({"k01-a": -1.0}, {"k01-b": -0.5}, []),  # before
    ],
)
def test_a_move_counts_once(
    gone: Mapping[str, float], created: Mapping[str, float], moves: list[float]
) -> None:
    """Whether the successor comes before the pod goes or after."""
    seen = Moments(created=dict(created), gone=dict(gone))

    assert moves == seen.moves(0.0, {}, {"k00": 2})


def test_pods_that_were_asked_for_are_no_moves() -> None:
    seen = Moments(created={"k00-a": 1.0, "k00-b": 2.0})

    assert [2.0] == seen.moves(0.0, {"k00": 1}, {})


def test_the_picture_shows_every_contestant() -> None:
    def measured(moves: int, end: float, **rules: int) -> dict[str, Any]:
        return {"moves": moves, "whole": {"end": end}, "rules": rules}

    half = {
        "seed": 1,
        "load": {},
        "kube-scheduler": measured(200, 13.0),
        "unmoved": measured(0, 10.5),
        "longservices": measured(80, 3.0),
        "longservices@8000": measured(30, 6.0),
        "replicasets@500": measured(150, 2.5),
    }
    answers = [{"allowed": allowed, "least": 0.5} for allowed in (0, 50, None)]
    drawn = picture.chart(9, {"half_of_9": half}, {"x": {"pods": 9, "answers": answers}})
    found = ET.fromstring(picture.svg(drawn))  # noqa: S314  our own text
    told = [one.text for one in found.iter("{http://www.w3.org/2000/svg}text")]

    assert [0, 30, 80] == [one.moves for one in drawn.lines["longservices"]]
    assert {"no moves", "$0.008", "$0.002", "$0.0005", "proven least"} <= set(told)
