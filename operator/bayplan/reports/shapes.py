"""What a picture is made of, and how it becomes SVG or PNG. Both need nothing but this program."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from bayplan.reports.glyphs import SCALE, face

HATCHED = "hatched"  # as a fill: red lines, for room that nothing fits into
_RED, _WHITE = "#c44e52", "#ffffff"
_EVERY, _LINE = 6, 2  # units between two lines, and their width
_ON, _OFF = 4, 3  # of a dashed line
_FONTS = "DejaVu Sans, Verdana, sans-serif"

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; colours as #rrggbb."""

    x: int
    y: int
    width: int
    height: int
    fill: str = ""
    line: str = ""
    dashed: bool = False
    title: str = ""  # shown by a browser under the pointer


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `y` is its baseline."""

    x: int
    y: int
    text: str
    colour: str = "#222222"
    bold: bool = False
    middle: bool = False  # x is the middle, not the beginning


@dataclass(frozen=True, slots=True)
class Group:
    """Shapes that belong together."""

    title: str
    shapes: tuple[Box | Words, ...]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture of so many units."""

    width: int
    height: int
    title: str
    shapes: tuple[Box | Words | Group, ...]


def svg(canvas: Canvas) -> str:
    """The picture without script, font or link."""
    width, height = canvas.width, canvas.height
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="{_FONTS}" font-size="11" role="img">'
        ),
        f"<title>{escape(canvas.title)}</title>",
        (
            f'<defs><pattern id="{HATCHED}" width="{_EVERY}" height="{_EVERY}" '
            'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<path d="M0 0V{_EVERY}" stroke="{_RED}" stroke-width="{_LINE}"/></pattern></defs>'
        ),
        f'<rect width="{width}" height="{height}" fill="{_WHITE}"/>',
    ]
    for shape in canvas.shapes:
        if isinstance(shape, Group):
            inner = "".join(map(_drawn, shape.shapes))
            lines.append(f'<g role="img"><title>{escape(shape.title)}</title>{inner}</g>')
        else:
            lines.append(_drawn(shape))
    return "\n".join([*lines, "</svg>", ""])


def _drawn(shape: Box | Words) -> str:
    if isinstance(shape, Words):
        more = ' font-size="14" font-weight="bold"' if shape.bold else ""
        more += ' text-anchor="middle"' if shape.middle else ""
        at = f'x="{shape.x}" y="{shape.y}" fill="{shape.colour}"'
        return f"<text {at}{more}>{escape(shape.text)}</text>"
    fill = {"": "none", HATCHED: f"url(#{HATCHED})"}.get(shape.fill, shape.fill)
    line = f' stroke="{shape.line}"' if shape.line else ""
    dash = f' stroke-dasharray="{_ON} {_OFF}"' if shape.dashed else ""
    at = f'x="{shape.x}" y="{shape.y}" width="{shape.width}" height="{shape.height}"'
    if not shape.title:
        return f'<rect {at} fill="{fill}"{line}{dash}/>'
    return f'<rect {at} fill="{fill}"{line}{dash}><title>{escape(shape.title)}</title></rect>'


def png(canvas: Canvas) -> bytes:
    """The picture with two pixels for each unit."""
    image = np.full((canvas.height * SCALE, canvas.width * SCALE, 3), 255, np.uint8)
    for shape in _flat(canvas.shapes):
        if isinstance(shape, Words):
            _write(image, shape)
        else:
            _paint(image, shape)
    rows = np.zeros((len(image), 1 + image.shape[1] * 3), np.uint8)  # each begins with filter 0
    rows[:, 1:] = image.reshape(len(image), -1)
    size = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def _flat(shapes: Iterable[Box | Words | Group]) -> Iterator[Box | Words]:
    for shape in shapes:
        if isinstance(shape, Group):
            yield from shape.shapes
        else:
            yield shape


def _paint(image: Image, box: Box) -> None:
    top, left = box.y * SCALE, box.x * SCALE
    bottom, right = top + box.height * SCALE, left + box.width * SCALE
    area = image[top:bottom, left:right]
    if box.fill == HATCHED:
        row, column = np.indices(area.shape[:2])
        lined = (row + column) % (_EVERY * SCALE * 7 // 5) < _LINE * SCALE * 7 // 5
        area[lined] = _rgb(_RED)
    elif box.fill:
        area[:] = _rgb(box.fill)
    if not box.line:
        return
    for edge in (image[top : top + SCALE, left:right], image[bottom - SCALE : bottom, left:right]):
        edge[:, _inked(edge.shape[1], dashed=box.dashed)] = _rgb(box.line)
    for edge in (image[top:bottom, left : left + SCALE], image[top:bottom, right - SCALE : right]):
        edge[_inked(edge.shape[0], dashed=box.dashed)] = _rgb(box.line)


def _inked(length: int, *, dashed: bool) -> npt.NDArray[np.bool_]:
    along = np.arange(length)
    return (along % ((_ON + _OFF) * SCALE) < _ON * SCALE) | (not dashed)


def _write(image: Image, words: Words) -> None:
    letters = face(bold=words.bold)
    text = letters.letters(words.text)
    pen = words.x * SCALE - (round(letters.measure(text) * SCALE) // 2 if words.middle else 0)
    top = words.y * SCALE - letters.size
    ink = np.array(_rgb(words.colour), np.float64)
    for letter in text:
        dark = letters.dark[letters.index[letter]]
        left = pen - 2  # the tool leaves two pixels free before a letter
        pen += letters.width[letter]
        if top < 0 or left < 0:
            continue
        area = image[top : top + dark.shape[0], left : left + dark.shape[1]]
        share = dark[: area.shape[0], : area.shape[1], None] / 255
        area[:] = (area * (1 - share) + ink * share).round().astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    number = int(colour.removeprefix("#"), 16)
    return number >> 16, number >> 8 & 255, number & 255
