"""Draws nodes as a picture for a review, in SVG or PNG: readable without a pointer.

Each node has two bars, CPU and memory, filled from the bottom up; heights are shares of
allocatable. New nodes that hold the same are drawn once, with their number. Above are the cost and
the bound, beside each node its type, price and shares, and below what the colours mean.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bayplan.model import resources
from bayplan.model.nodes import ZONE
from bayplan.provisioning.result import Filled, Result
from bayplan.reports import simulation
from bayplan.reports.glyphs import face
from bayplan.reports.shapes import HATCHED, Box, Canvas, Group, Words, png, svg

MOST_NODES, MOST_IN_PNG = 2_000, 400  # that are drawn
_MOST_NAMED = 40  # workloads in the legend
_EDGE, _TITLE, _ROW = 16, 86, 16
_CELL, _BAR, _BAR_GAP, _HEIGHT = 204, 90, 8, 150
_HEAD, _FOOT = 32, 30  # above and below the bars of a node
_FEWEST, _MOST_ACROSS = 5, 20
_LEAST_NAMED, _TWO_LINES = 13, 28  # heights of a block that has its name in it
_COLUMN = 410  # of the legend
_TRACKS = ((resources.CPU, "CPU"), (resources.MEMORY, "mem"))
_GREY, _PALE, _DARK = "#c4c4c4", "#666666", "#222222"
_PALETTE = (  # light enough for dark letters, and all easily told apart
    "#8ecae6", "#ffb347", "#90d18d", "#f4a3c0", "#c9a7eb", "#e8d44d", "#5fc9b8", "#f28e7f",
    "#8fa8e8", "#c99a6b", "#c3e67a", "#dd7fcf", "#ffd9a8", "#a9b4bf",
)  # fmt: skip


def write(result: Result, file: Path) -> None:
    """Draw into a file; the name ends in .png for a PNG, everything else is SVG."""
    if file.suffix.lower() == ".png":
        file.write_bytes(png(picture(result, MOST_IN_PNG)))
    else:
        file.write_text(svg(picture(result, MOST_NODES)), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Like:
    """A node, and how many new nodes hold the same."""

    one: Filled
    count: int = 1


def picture(result: Result, most: int = MOST_NODES) -> Canvas:
    """The picture; it shows so many different nodes at most, and says how many it leaves out."""
    alike = _alike(result.nodes)
    shown = alike[:most]
    across = min(max(_FEWEST, _square(len(shown))), _MOST_ACROSS)
    colours = _colours(result.nodes)
    width = max(2 * _EDGE + across * _CELL, 2 * _EDGE + 2 * _COLUMN)
    line = _HEAD + _HEIGHT + _FOOT + _EDGE
    shapes: list[Box | Words | Group] = list(_caption(result, alike, shown, width))
    for index, each in enumerate(shown):
        left = _EDGE + _CELL * (index % across)
        top = _TITLE + line * (index // across)
        shapes.append(_node(each, colours, left, top))
    top = _TITLE + line * -(-len(shown) // across)
    named = list(_legend(result, colours, top, (width - 2 * _EDGE) // _COLUMN))
    shapes += named
    bottom = max((shape.y for shape in named), default=top)
    return Canvas(width, bottom + _ROW + _EDGE, simulation.headline(result), tuple(shapes))


def _square(nodes: int) -> int:
    """Nodes in a row so that the picture is about twice as wide as it is high."""
    return math.isqrt(2 * nodes)


def _alike(nodes: Sequence[Filled]) -> list[_Like]:
    """Nodes in their order; new nodes with the same type, zone and pods are one entry."""
    found: dict[object, _Like] = {}
    for one in nodes:
        key: object = one.node.name
        if one.new:
            held = tuple((title, pods, tuple(amount.items())) for title, pods, amount in one.held)
            key = (one.kind, one.node.labels.get(ZONE), one.node.price_microdollars, held)
        known = found.get(key)
        found[key] = _Like(one) if known is None else _Like(known.one, known.count + 1)
    return list(found.values())


def _caption(
    result: Result, alike: Sequence[_Like], shown: Sequence[_Like], width: int
) -> Iterator[Words]:
    lines = [f"{simulation.dollars(result.month)} a month; prices: {_sources(result)}"]
    if result.bound:
        lines.append(
            f"bought for {simulation.dollars(result.bought, 4)} an hour; no plan costs less than "
            f"{simulation.dollars(result.bound, 4)} (gap {100 * result.gap:.2f} %)"
        )
    left_out = sum(each.count for each in alike) - sum(each.count for each in shown)
    unplaced = sum(one.count for one in result.missing)
    more = [f"{left_out} nodes are not shown"] if left_out else []
    more += [f"{unplaced} pods have no room"] if unplaced else []
    if more:
        lines.append("; ".join(more))
    room = width - 2 * _EDGE
    headline = face(bold=True).cut(simulation.headline(result), room)
    yield Words(_EDGE, _EDGE + 12, headline, bold=True)
    for number, line in enumerate(lines):
        yield Words(_EDGE, _EDGE + 30 + _ROW * number, face().cut(line, room), _PALE)


def _sources(result: Result) -> str:
    return ", ".join(sorted({one.source for one in result.nodes})) or "no node"


def _node(each: _Like, colours: Mapping[str, str], left: int, top: int) -> Group:
    one, letters, room = each.one, face(), _CELL - _EDGE
    count = f"{each.count} × " if each.count > 1 else ""
    name = f"{count}{one.kind}" if one.new else one.node.name
    price = one.node.price_microdollars
    facts = [] if one.new else [one.kind]
    facts += [f"{simulation.dollars(price, 4)}/h"] if price is not None else []
    facts += [zone] if one.new and (zone := one.node.labels.get(ZONE)) else []
    shapes: list[Box | Words] = [
        Words(left, top + 11, letters.cut(name, room)),
        Words(left, top + 25, letters.cut(" · ".join(facts), room), _PALE),
    ]
    shares = simulation.fill([one])
    for track, (resource, short) in enumerate(_TRACKS):
        at = left + track * (_BAR + _BAR_GAP)
        shapes += _bar(one, resource, colours, at, top + _HEAD)
        label = f"{short} {shares.get(resource, 0.0):.0f} %"
        under = top + _HEAD + _HEIGHT + 13
        shapes.append(Words(at + _BAR // 2, under, label, _PALE, middle=True))
    return Group(f"{one.node.name} ({one.kind})", tuple(shapes))


def _bar(
    one: Filled, name: str, colours: Mapping[str, str], left: int, top: int
) -> Iterator[Box | Words]:
    room = one.node.allocatable.amount(name)
    if room <= 0:
        return
    filled = 0
    for title, pods, amount in one.held:
        below, filled = filled, filled + amount.amount(name)
        upper = _HEIGHT - _HEIGHT * min(filled, room) // room
        height = _HEIGHT - _HEIGHT * min(below, room) // room - upper
        if height <= 0:
            continue
        told = f"{pods} × {title}: {name}"
        apart = "#ffffff" if height >= _LEAST_NAMED else ""
        yield Box(left, top + upper, _BAR, height, colours[title], apart, title=told)
        if height >= _LEAST_NAMED:
            yield from _name(title, pods, left + _BAR // 2, top + upper, height)
    rest = _HEIGHT - _HEIGHT * min(filled, room) // room
    if rest and one.closed:
        yield Box(left, top, _BAR, rest, HATCHED, title=f"stranded {name}")
    yield Box(left, top, _BAR, _HEIGHT, line="#444444", dashed=not one.new)


def _name(title: str, pods: int, middle: int, top: int, height: int) -> Iterator[Words]:
    """The name in a block and how many pods it is, in two lines if they need and have the room."""
    letters, room = face(), _BAR - 4
    short, count = title.rpartition("/")[2], f"{pods} × " if pods > 1 else ""
    centre = top + height // 2 + 4
    if count and letters.measure(count + short) > room and height >= _TWO_LINES:
        yield Words(middle, centre - 6, count.strip(), _DARK, middle=True)
        yield Words(middle, centre + 7, letters.cut(short, room), _DARK, middle=True)
    else:
        yield Words(middle, centre, letters.cut(count + short, room), _DARK, middle=True)


def _legend(
    result: Result, colours: Mapping[str, str], top: int, columns: int
) -> Iterator[Box | Words]:
    """What the colours mean, the workloads with the most CPU first."""
    entries: list[tuple[Box, str]] = []
    pods, cpu = Counter[str](), Counter[str]()
    for one in result.nodes:
        for title, count, amount in one.held:
            pods[title] += count
            cpu[title] += amount.amount(resources.CPU)
    ranked = sorted(pods, key=lambda title: (title.startswith("DaemonSet "), -cpu[title], title))
    for title in ranked[:_MOST_NAMED]:
        number = f" · {simulation.number(pods[title], 'pod')}, {cpu[title] / 1000:.3g} CPU"
        room = _COLUMN - 2 * _EDGE - 12 - face().measure(number)
        entries.append((Box(0, 0, 12, 12, colours[title]), face().cut(title, room) + number))
    if len(ranked) > _MOST_NAMED:
        more = f"and {len(ranked) - _MOST_NAMED} more workloads"
        entries.append((Box(0, 0, 12, 12, line="#ffffff"), more))
    if any(one.closed for one in result.nodes):
        entries.append((Box(0, 0, 12, 12, HATCHED), "stranded: nothing fits there any more"))
    entries.append((Box(0, 0, 12, 12, line="#444444"), "free; a solid line: to be bought"))
    if any(not one.new for one in result.nodes):
        entries.append((Box(0, 0, 12, 12, line="#444444", dashed=True), "a node that exists"))
    rows = -(-len(entries) // columns)
    for place, (box, text) in enumerate(entries):
        left, y = _EDGE + _COLUMN * (place // rows), top + _ROW * (place % rows)
        yield Box(left, y, box.width, box.height, box.fill, box.line, box.dashed)
        yield Words(left + 20, y + 10, text)


def _colours(nodes: Iterable[Filled]) -> dict[str, str]:
    """A colour for each workload; DaemonSets are grey.

    Who asks for the most CPU chooses first, and begins at the same colour in every picture, so that
    two pictures of nearly the same workloads can be compared. No colour is used again while there
    are others.
    """
    found: dict[str, str] = {}
    used = Counter[str]()
    cpu = Counter[str]()
    for one in nodes:
        for title, _, amount in one.held:
            cpu[title] += amount.amount(resources.CPU)
    for title in sorted(cpu, key=lambda title: (-cpu[title], title)):
        if title.startswith("DaemonSet "):
            found[title] = _GREY
            continue
        start = int.from_bytes(hashlib.sha256(title.encode()).digest()[:4]) % len(_PALETTE)
        order = [*_PALETTE[start:], *_PALETTE[:start]]
        found[title] = min(order, key=lambda colour: used[colour])
        used[found[title]] += 1
    return found
