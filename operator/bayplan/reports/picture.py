"""Draws nodes as an SVG: a rectangle per node, a block per workload, unusable room hatched.

Each node has two bars side by side, CPU and memory, from the bottom up. All nodes have the same
width; heights are shares of allocatable. The SVG has no script, no font and no link.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bayplan.model import resources
from bayplan.provisioning.result import Filled, Result
from bayplan.reports import simulation

MOST_NODES = 2_000
_PNG = b"\x89PNG"
_CONVERTERS = (  # from standard input to standard output
    ("rsvg-convert", ("--format=png",)),
    ("magick", ("svg:-", "png:-")),
    ("convert", ("svg:-", "png:-")),
)
_BAR, _HEIGHT, _GAP, _ACROSS, _TITLE = 22, 120, 10, 24, 40
_TRACKS = (resources.CPU, resources.MEMORY)


def write(result: Result, file: Path) -> Path:
    """Draw into a file; returns the written file, which is an .svg if a PNG cannot be made."""
    text = svg(result)
    if file.suffix.lower() != ".png":
        file.write_text(text, encoding="utf-8")
        return file
    for program, arguments in _CONVERTERS:
        found = shutil.which(program)
        if found is None:
            continue
        done = subprocess.run(  # noqa: S603  a fixed program, our own text
            [found, *arguments], input=text.encode(), capture_output=True, check=False, timeout=60
        )
        if done.returncode == 0 and done.stdout.startswith(_PNG):
            file.write_bytes(done.stdout)
            return file
    file = file.with_suffix(".svg")
    file.write_text(text, encoding="utf-8")
    return file


def svg(result: Result) -> str:
    """The picture as SVG text; it shows 2,000 nodes at most and says how many there are."""
    nodes = result.nodes[:MOST_NODES]
    cell, line = 2 * _BAR + _GAP, _HEIGHT + 2 * _GAP
    width = _GAP + cell * min(max(len(nodes), 8), _ACROSS)
    height = _TITLE + line * -(-len(nodes) // _ACROSS) + _GAP
    said = simulation.headline(result)
    if len(result.nodes) > len(nodes):
        said += f" (the first {len(nodes)} are shown)"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
        ),
        (
            '<defs><pattern id="stranded" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><path d="M0 0V6" stroke="#c44" stroke-width="2"/>'
            "</pattern></defs>"
        ),
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_GAP}" y="24" fill="#222">{escape(said)}</text>',
    ]
    for index, one in enumerate(nodes):
        left = _GAP + cell * (index % _ACROSS)
        top = _TITLE + line * (index // _ACROSS)
        parts += _node(one, left, top)
    return "\n".join([*parts, "</svg>", ""])


def _node(one: Filled, left: int, top: int) -> Sequence[str]:
    parts = [
        (
            f'<g transform="translate({left} {top})"><title>{escape(one.node.name)} '
            f"({escape(one.kind)})</title>"
        )
    ]
    for track, name in enumerate(_TRACKS):
        parts += _bar(one, name, track * _BAR)
    dash = "" if one.new else ' stroke-dasharray="3 2"'
    parts.append(
        f'<rect width="{2 * _BAR}" height="{_HEIGHT}" fill="none" stroke="#333"{dash}/></g>'
    )
    return parts


def _bar(one: Filled, name: str, left: int) -> Sequence[str]:
    room = one.node.allocatable.amount(name)
    if room <= 0:
        return []
    parts, filled = [], 0
    for title, pods, amount in one.held:
        below, filled = filled, filled + amount.amount(name)
        top = _HEIGHT - _HEIGHT * min(filled, room) // room
        bottom = _HEIGHT - _HEIGHT * min(below, room) // room
        if bottom > top:
            parts.append(
                f'<rect x="{left}" y="{top}" width="{_BAR}" height="{bottom - top}" '
                f'fill="{_colour(title)}"><title>{pods} × {escape(title)}: {name}</title></rect>'
            )
    rest = _HEIGHT - _HEIGHT * min(filled, room) // room
    if rest and one.closed:
        parts.append(
            f'<rect x="{left}" width="{_BAR}" height="{rest}" fill="url(#stranded)">'
            f"<title>stranded {name}</title></rect>"
        )
    return parts


def _colour(title: str) -> str:
    """The colour of a workload, always the same for its title; DaemonSets are grey."""
    if title.startswith("DaemonSet "):
        return "#bbb"
    digest = hashlib.sha256(title.encode()).digest()
    return f"hsl({int.from_bytes(digest[:2]) % 360} {45 + digest[2] % 30}% {50 + digest[3] % 22}%)"
