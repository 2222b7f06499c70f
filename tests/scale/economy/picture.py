"""Draws what nodes cost against how many pods move, from what the benches measured.

`python -m tests.scale.economy.picture HALF.json [ENGINE.json] --pods 1000 --to FILE.svg` reads the
figures of `bench --half --json` (with `--move-microdollars` for several prices of a move) and those
of `engine --json`. Like the other pictures of the docs it has no script, no font and no link, and
follows the reader's colour scheme.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 24, 48
_STYLE = """
    text { fill: #222 } .small { font-size: 11px; fill: #555 } .axis { stroke: #888; fill: none }
    .grid { stroke: #ddd; fill: none } .mid { text-anchor: middle } .end { text-anchor: end }
    .engine { stroke: #888; fill: none; stroke-dasharray: 4 3 }
    .longservices { stroke: #00796b; fill: #00796b }
    .replicasets { stroke: #b07d00; fill: #b07d00 }
    .kube-scheduler { stroke: #c62828; fill: #c62828 }
    .line { fill: none; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #eee } .small { fill: #bbb } .grid { stroke: #444 }
      .longservices { stroke: #4db6ac; fill: #4db6ac }
      .replicasets { stroke: #e0b040; fill: #e0b040 }
      .kube-scheduler { stroke: #ef9a9a; fill: #ef9a9a }
      .line { fill: none }
    }
"""
_NAMES = {
    "kube-scheduler": "kube-scheduler and Karpenter",
    "longservices": "Bayplan, LongServices",
    "replicasets": "Bayplan, ReplicaSets",
}


@dataclass(frozen=True, slots=True)
class Point:
    """`over`: percent over the bound at the end."""

    moves: int
    over: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines by the name of a contestant; `least`: the engine's lower bound by number of moves."""

    title: str
    lines: Mapping[str, Sequence[Point]]
    least: Sequence[Point]


def chart(pods: int, half: Mapping[str, Any], engine: Mapping[str, Any]) -> Chart:
    """What to draw of the figures of both benches."""
    figures = half[f"half_of_{pods}"]
    lines: dict[str, list[Point]] = {name: [] for name in _NAMES}
    for name, found in figures.items():
        stem, _, price = name.partition("@")
        stem = "longservices" if stem == "unmoved" else stem
        if stem in lines:
            told = int(price) if price else found["rules"].get("moveMicrodollars", 2000)
            label = "" if stem == "kube-scheduler" else f"${told / 1e6:g}"
            label = "no moves" if name == "unmoved" else label
            lines[stem].append(Point(found["moves"], found["whole"]["end"], label))
    least = [
        Point(answer["allowed"], answer["least"])
        for state in engine.values()
        if state["pods"] == pods
        for answer in state["answers"]
        if answer["allowed"] is not None
    ]
    ordered = {name: sorted(points, key=lambda one: one.moves) for name, points in lines.items()}
    title = f"{pods:,} pods, half of them leave: what the nodes cost after ten minutes"
    return Chart(title, {name: points for name, points in ordered.items() if points}, least)


def svg(drawn: Chart) -> str:
    """The picture as SVG text."""
    points = [one for line in drawn.lines.values() for one in line]
    wide = _rounded_up(max(one.moves for one in points))
    high = _rounded_up(max(one.over for one in points))
    frame = _Frame(wide, high)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="sans-serif" '
            'font-size="13">'
        ),
        f"  <title>{escape(drawn.title)}</title>",
        f"  <desc>{escape(_told(drawn))}</desc>",
        f"  <style>{_STYLE}  </style>",
        *frame.axes(),
    ]
    if drawn.least:
        within = [one for one in drawn.least if one.moves <= wide]
        parts.append(f'  <path class="engine" d="{frame.path(within)}"/>')
        x, y = frame.at(within[-1])
        parts.append(f'  <text class="small end" x="{x:.0f}" y="{y - 6:.0f}">proven least</text>')
    for row, (name, line) in enumerate(drawn.lines.items()):
        parts += _line(frame, name, line)
        y = _TOP + 8 + 18 * row
        parts.append(f'  <circle class="{name}" cx="{_WIDTH - 232}" cy="{y}" r="5"/>')
        parts.append(f'  <text x="{_WIDTH - 220}" y="{y + 4}">{escape(_NAMES[name])}</text>')
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Frame:
    wide: float  # moves
    high: float  # percent

    def at(self, one: Point) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * one.moves / self.wide
        return x, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * one.over / self.high

    def path(self, points: Sequence[Point]) -> str:
        return "M" + " L".join("{:.0f} {:.0f}".format(*self.at(one)) for one in points)

    def axes(self) -> Iterator[str]:
        low, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for number in range(5):
            over, moves = self.high * number / 4, self.wide * number / 4
            x, y = self.at(Point(round(moves), over))
            yield f'  <path class="grid" d="M{_LEFT} {y:.0f}H{right}"/>'
            yield f'  <text class="small end" x="{_LEFT - 6}" y="{y + 4:.0f}">+{over:g} %</text>'
            yield f'  <text class="small mid" x="{x:.0f}" y="{low + 18}">{moves:g}</text>'
        yield f'  <path class="axis" d="M{_LEFT} {_TOP}V{low}H{right}"/>'
        middle = (_LEFT + right) // 2
        yield f'  <text class="mid" x="{middle}" y="{_HEIGHT - 8}">pods moved</text>'
        yield f'  <text x="{_LEFT + 6}" y="{_TOP + 18}">dollars over the bound</text>'


def _line(frame: _Frame, name: str, line: Sequence[Point]) -> Iterator[str]:
    if len(line) > 1:
        yield f'  <path class="{name} line" d="{frame.path(line)}"/>'
    for one in line:
        x, y = frame.at(one)
        yield f'  <circle class="{name}" cx="{x:.0f}" cy="{y:.0f}" r="5"/>'
        if one.label:
            at = f'x="{x + 8:.0f}" y="{y - 6:.0f}"'
            yield f'  <text class="small" {at}>{escape(one.label)}</text>'


def _told(drawn: Chart) -> str:
    """The picture in words."""
    lines = (
        f"{_NAMES[name]}: "
        + ", ".join(
            f"{one.moves} moves +{one.over:.1f} %" + (f" ({one.label})" if one.label else "")
            for one in line
        )
        for name, line in drawn.lines.items()
    )
    return f"Percent over the bound. {'; '.join(lines)}. Dollars at points are the price of a move."


def _rounded_up(value: float) -> float:
    """A round number from this value on, in which a quarter is round too."""
    unit = 10.0 ** math.floor(math.log10(max(value, 1)))
    return next(unit * step for step in (1, 2, 4, 6, 8, 10, 12) if value <= unit * step)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("half", type=Path)
    parser.add_argument("engine", type=Path, nargs="?")
    parser.add_argument("--pods", type=int, default=1_000)
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    engine = json.loads(asked.engine.read_text()) if asked.engine else {}
    drawn = chart(asked.pods, json.loads(asked.half.read_text()), engine)
    asked.to.write_text(svg(drawn), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
