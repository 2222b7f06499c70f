"""How the benches on an API server read their figures and judge them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from bayplan.api import run_names
from tests.scale.e2e import bench_jobs, bench_status, budgets, client

FIRST, UID = 1_790_000_000, "0f1e2d3c-0000-4000-8000-000000000000"

BEFORE = 'lag_bucket{le="0.1"} 5.0\nlag_bucket{le="0.2"} 5.0\nlag_bucket{le="+Inf"} 5.0\n'
AFTER = 'lag_bucket{le="0.1"} 15.0\nlag_bucket{le="0.2"} 25.0\nlag_bucket{le="+Inf"} 25.0\n'


@pytest.mark.parametrize(
    ("figures", "failed"),
    [({"ratio": 2.5, "rss": 300}, 0), ({"ratio": 2.4, "rss": 1}, 1), ({"ratio": 3, "rss": 301}, 1)],
)
def test_a_figure_over_its_limit_fails(
    figures: dict[str, float], failed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least and at most, both inclusive; one that is passed fails the run."""
    file = tmp_path / "budgets.yaml"
    file.write_text(
        "x:\n  ratio: {least: 2.5, mean: 3, spread: 1}\n  rss: {most: 300, mean: 9, spread: 1}\n"
    )
    monkeypatch.setattr(budgets, "FILE", file)

    assert failed == budgets.judged("x", figures)


@pytest.mark.parametrize(("part", "expected"), [(0.25, 0.05), (0.5, 0.1), (0.75, 0.15), (1, 0.2)])
def test_a_percentile_of_what_a_histogram_gained(part: float, expected: float) -> None:
    """Ten observations up to 0.1 and ten up to 0.2, straight lines between; older ones not."""
    assert expected == pytest.approx(client.bucketed(BEFORE, AFTER, "lag", part))


def test_samples_are_summed_by_their_labels() -> None:
    """A metric's samples with these labels, and no other metric of a longer name."""
    page = 'w{a="1",b="x"} 2.0\nw{a="1",b="y"} 3.0\nw{a="2",b="x"} 4.0\nw_total{a="1"} 9.0\n'

    assert (5, 9) == (client.metric(page, "w", a="1"), client.metric(page, "w"))


RUNS = bench_status.State(frozenset({"a-0"}), frozenset(), frozenset(), 60)
IDLE = bench_status.State(frozenset(), frozenset(), frozenset({"a"}), 60)


@pytest.mark.parametrize(
    ("runs", "told_after", "expected"),
    [(20, 15, 0), (40, 12, 12), (40, 0, 0), (40, 100, 39), (90, 60, 60)],
)
def test_how_far_a_status_is_behind(runs: int, told_after: int, expected: int) -> None:
    """Counted from the first look at a state, and only where the state lasts."""
    looks = [(float(at), RUNS, at >= told_after) for at in range(runs)]
    looks += [(float(at), IDLE, True) for at in range(runs, 200)]

    assert expected == bench_status.most_behind(looks)


def test_a_status_tells_what_the_pods_show() -> None:
    """The pods of unfinished runs, how many run, the newest slot, and the ends."""
    told = {
        "active": [{"run": "a", "pods": ["a-0"]}],
        "running": 1,
        "lastRunTime": "1970-01-01T00:01:00Z",
        "nextSlotTime": "1970-01-01T00:02:00Z",
    }
    wrong: list[dict[str, object]] = [
        {"active": []},
        {"running": 0},
        {"lastRunTime": "1970-01-01T00:00:00Z"},
        {"nextSlotTime": "1970-01-01T00:01:00Z"},
    ]

    assert bench_status.is_told(told, RUNS)
    assert [False] * 4 == [bench_status.is_told({**told, **one}, RUNS) for one in wrong]
    assert not bench_status.is_told({**told, "active": [], "running": 0}, IDLE)


def _pods(names: Iterable[str], minutes: int, late: float = 0.25) -> dict[bytes, float]:
    """A pod of each slot, as the watch tells it."""
    slots = [
        (name, FIRST + bench_jobs.second_of(name) + 60 * minute)
        for name in names
        for minute in range(minutes)
    ]
    return {
        run_names.pod_name(run_names.prefix(name, UID), run_names.slot_run(slot), 0).encode(): slot
        + late
        for name, slot in slots
    }


def test_a_minute_is_used_evenly() -> None:
    """Names are spread over all seconds of the minute: none has twice its share."""
    seconds = Counter(bench_jobs.second_of(f"job{number:05}") for number in range(3_000))

    assert 60 == len(seconds)
    assert max(seconds.values()) < 100


def test_every_slot_is_looked_for_in_the_names_of_pods() -> None:
    """What came is told by how late; what did not come is lost; a second attempt is too many."""
    names = ["job00001", "job00002"]
    seen = _pods(names, 3)
    assert ([0.25] * 6, 0, 0) == bench_jobs.lateness(seen, names, FIRST, 3)

    gone = dict(list(seen.items())[1:])
    assert (5, 1, 0) == _counted(bench_jobs.lateness(gone, names, FIRST, 3))
    again = {one.removesuffix(b"-0") + b"-1": moment for one, moment in list(seen.items())[:1]}
    assert (7, 0, 1) == _counted(bench_jobs.lateness({**seen, **again}, names, FIRST, 3))


def _counted(found: tuple[list[float], int, int]) -> tuple[int, int, int]:
    late, lost, doubled = found
    return len(late), lost, doubled
