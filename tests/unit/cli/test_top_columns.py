"""The tables of `top` at any width: no name is cut, and columns go in the order of importance."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from bayplan.cli.packing import top_table
from bayplan.cli.screen import node_columns
from bayplan.cli.screen.columns import Column, Row, bar, cells, fit, widths
from tests.recorded import Recorded, make_job, make_node, make_pod, run, told

EKS = "ip-10-0-123-45.eu-central-1.compute.internal"


def printed(width: int, *names: str, wide: bool = False) -> str:
    """What `top nodes --once` prints on a terminal of this width."""
    cluster = Recorded(*map(make_node, names), make_pod("p", node=names[0], cpu="3"))
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(top_table.picture(console, told(cluster, "top", "nodes"), wide=wide))
    return shown.get()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_printed_name_is_whole_at_every_width(width: int) -> None:
    """Instead, columns are left out from the right, and that is said."""
    text = printed(width, EKS, "short")
    rows = [line for line in text.splitlines() if EKS in line]

    assert 1 == len(rows)
    assert "75 %" in rows[0]
    assert max(map(len, text.splitlines())) <= width
    assert ("No room here for" in text) == (width < 120)


def test_a_name_wider_than_the_terminal_goes_on_in_the_next_line() -> None:
    text = printed(40, "n" * 63)

    found = [word for line in text.splitlines()[4:] for word in line.split() if {"n"} == set(word)]
    assert "n" * 63 == "".join(found)


@pytest.mark.parametrize("output", ["table", "wide"])
def test_a_pipe_has_room_for_every_column(output: str) -> None:
    """With -o wide the name was cut to ten characters, since a price's source is a sentence."""
    text = run(Recorded(make_node(EKS)), "top", "nodes", "-o", output).output

    assert EKS in text
    assert "No room" not in text
    assert ("linear model" in text) == (output == "wide")


def test_a_duration_has_its_unit() -> None:
    job = make_job("report", schedule="@daily", status={"statistics": {"runSecondsP50": 12}})

    assert "12 s" in run(Recorded(job), "top", "jobs").output


def said(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


COLUMNS = (
    Column("Name", said("name"), names=True),
    Column("A", said("a"), percent=lambda row: float(len(row))),
    Column("B", said("b")),
    Column("C", said("c"), wide=True),
)
ROW = {"name": "ab", "a": "aaaa", "b": "bbbb", "c": "cccccccc"}


@pytest.mark.parametrize(
    ("width", "skipped", "shown", "others"),
    [
        (37, 0, "Name A B C", (10, 0, 0)),
        (36, 0, "Name A B", (10, 0, 1)),
        (26, 0, "Name A B", (3, 0, 1)),
        (19, 0, "Name A B", (0, 0, 1)),
        (15, 0, "Name A", (0, 0, 2)),
        (3, 0, "Name", (0, 0, 3)),
        (16, 1, "Name B", (10, 1, 1)),
        (16, 9, "Name C", (10, 2, 0)),
    ],
)
def test_what_has_room(width: int, skipped: int, shown: str, others: tuple[int, ...]) -> None:
    """The name first; then bars shorten; then the last column goes; the arrows skip the first."""
    texts = widths(COLUMNS, [cells(COLUMNS, ROW)])
    found = fit(COLUMNS, texts, width, skipped=skipped)

    assert [4, 4, 4, 8] == texts
    assert shown.split() == [COLUMNS[at].title for at in found.columns]
    assert others == (found.bar, found.before, found.after)
    assert width < 4 or sum(found.widths) + 2 * (len(found.widths) - 1) <= width


def test_a_cell_is_one_line_without_control_characters() -> None:
    assert "a b c" == cells(COLUMNS, {**ROW, "name": "a\nb\x1bc"})[0]


@pytest.mark.parametrize(("percent", "full"), [(0, 0), (50, 5), (100, 10), (170, 10), (-5, 0)])
def test_a_bar_is_as_wide_as_asked(percent: float, full: int) -> None:
    assert ("█" * full, "░" * (10 - full)) == bar(percent, 10)


def test_every_column_of_nodes_has_a_title_of_its_own() -> None:
    assert len(node_columns.COLUMNS) == len({one.title for one in node_columns.COLUMNS})


@pytest.mark.parametrize(("count", "words"), [(0, "0 nodes "), (1, "1 node "), (2, "2 nodes ")])
def test_the_headline_counts_nodes(count: int, words: str) -> None:
    told = {
        "nodes": [{}] * count, "costMicrodollarsPerHour": 0, "costDollarsPerMonth": 0,
        "pods": {"running": 0, "waiting": 0},
    }  # fmt: skip

    assert top_table.headline(told).startswith(words)
