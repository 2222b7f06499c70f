"""How the benches on an API server read their figures and judge them."""

from pathlib import Path

import pytest

from tests.scale.e2e import budgets, client

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
