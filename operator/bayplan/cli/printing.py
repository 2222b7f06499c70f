"""Prints answers as a table, as a table with more columns, or as data with a stable shape.

Tables are plain text like kubectl's, without colour, so that they can be cut, sorted and read
aloud. Data names its schema, `bayplan.dev/COMMAND/v1`: fields are added, never changed.
"""

import datetime as dt
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

FORMATS = ("table", "wide", "json", "yaml")
_GAP = "   "
_NARROWEST = 12  # characters of a column that is cut to fit a terminal


def formatted(function: Callable[..., None]) -> Callable[..., None]:
    """Adds -o."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="wide has more columns; json and yaml are for programs.",
    )(function)


def schema(command: str) -> str:
    return f"bayplan.dev/{command}/v1"


def is_data(output: str) -> bool:
    return output in {"json", "yaml"}


def data(output: str, command: str, values: Mapping[str, Any]) -> None:
    """Print for programs."""
    whole = {"schema": schema(command), **values}
    if output == "json":
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    import yaml  # slow to import: only for -o yaml

    click.echo(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), nl=False)


def said(output: str, command: str, values: Mapping[str, Any], line: str) -> None:
    """Print what a command has done: `values` for programs, else `line`."""
    if is_data(output):
        data(output, command, values)
    else:
        click.echo(plain(line))


@contextmanager
def working(title: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a text on a terminal, otherwise nothing; yields a function to change it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(title) as status:
        yield status.update


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, width: int | None = None
) -> str:
    """Aligned columns under headings; on a terminal the widest columns are cut to fit."""
    lines = [[heading.upper() for heading in headings]]
    lines += [["" if one is None else _plain(str(one)) for one in row] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    if width is not None:
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        while over > 0 and max(widths) > _NARROWEST:
            at = widths.index(max(widths))
            less = min(over, widths[at] - _NARROWEST)
            widths[at] -= less
            over -= less
    return "".join(
        _GAP.join(_cut(text, size).ljust(size) for text, size in zip(line, widths, strict=True))
        .rstrip()
        + "\n"
        for line in lines
    )  # fmt: skip


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _plain(text: str) -> str:
    """One line without control characters: the texts come from resources that anybody may write."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def plain(text: str) -> str:
    return _plain(text)


def age(seconds: float) -> str:
    """`45s`, `12m`, `3h`, `5d`, as kubectl writes ages."""
    whole = max(int(seconds), 0)
    for unit, size, most in (("s", 1, 120), ("m", 60, 7_200), ("h", 3_600, 172_800)):
        if whole < most:
            return f"{whole // size}{unit}"
    return f"{whole // 86_400}d"


def epoch(text: str | None) -> int | None:
    """Epoch seconds of a time in an object; None without a time, and for the epoch itself.

    Kubernetes writes the epoch for a moment that never was.
    """
    if not text:
        return None
    try:
        at = int(dt.datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None
    return at if at > 0 else None


def now() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp())
