"""Write `operator/bayplan/reports/glyphs.npz`: the letters of pictures in PNG, from DejaVu Sans.

usage: python -m tools.glyphs     (needs rsvg-convert and the fonts of DejaVu, whose
licence allows to embed what is drawn with them)
"""

import struct
import subprocess
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

LETTERS = "".join(map(chr, range(32, 127))) + "×·…–→≤≥±µ"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
FACES = (("plain", "DejaVuSans.ttf", "normal", 22), ("bold", "DejaVuSans-Bold.ttf", "bold", 28))
TARGET = Path(__file__).parents[1] / "operator/bayplan/reports/glyphs.npz"


def drawn(weight: str, size: int) -> np.ndarray:
    """[letters, 1.5 size, 1.5 size] how dark; the baseline is at the height of `size`."""
    cell = size * 3 // 2
    texts = "".join(
        f'<text xml:space="preserve" x="{cell * at + 2}" y="{size}">{escape(letter)}</text>'
        for at, letter in enumerate(LETTERS)
    )
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{cell * len(LETTERS)}" height="{cell}" '
        f'font-family="DejaVu Sans" font-weight="{weight}" font-size="{size}">'
        f'<rect width="100%" height="100%" fill="#fff"/>{texts}</svg>'
    )
    png = subprocess.run(
        ["rsvg-convert"], input=picture.encode(), capture_output=True, check=True
    ).stdout
    dark = 255 - _first_channel(png).reshape(cell, len(LETTERS), cell)
    return dark.transpose(1, 0, 2)


def _first_channel(png: bytes) -> np.ndarray:
    """[height, width] of a PNG with eight bits a channel, as rsvg-convert writes it."""
    width, height, depth, kind = struct.unpack_from(">IIBB", png, 16)
    assert depth == 8  # noqa: S101, PLR2004
    step = {2: 3, 6: 4}[kind]  # bytes of a pixel, without and with transparency
    at, packed = 8, b""
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        if name == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + step * width)
    above, found = np.zeros(step * width + step, np.int64), []
    for row in rows:
        line = np.zeros(step * width + step, np.int64)
        for to, byte in enumerate(row[1:].tolist(), step):
            left, up, corner = int(line[to - step]), int(above[to]), int(above[to - step])
            guess = left + up - corner
            near = min((left, up, corner), key=lambda one: abs(guess - one))
            line[to] = (byte + (0, left, up, (left + up) // 2, near)[row[0]]) % 256
        found.append(line[step::step].astype(np.uint8))
        above = line
    return np.array(found)


def widths(file: Path, size: int) -> np.ndarray:
    """[letters] how far each letter moves the pen, in pixels."""
    data = file.read_bytes()
    tables = {}
    for at in range(struct.unpack_from(">H", data, 4)[0]):
        name, _, offset, _ = struct.unpack_from(">4sIII", data, 12 + 16 * at)
        tables[name.decode()] = offset
    units = struct.unpack_from(">H", data, tables["head"] + 18)[0]
    long = struct.unpack_from(">H", data, tables["hhea"] + 34)[0]
    glyph = _cmap(data, tables["cmap"])
    found = []
    for letter in LETTERS:
        index = min(glyph[ord(letter)], long - 1)
        advance = struct.unpack_from(">H", data, tables["hmtx"] + 4 * index)[0]
        found.append(round(advance * size / units))
    return np.array(found, np.int16)


def _cmap(data: bytes, table: int) -> dict[int, int]:
    """Code point → glyph, from the subtable of format 4."""
    for at in range(struct.unpack_from(">H", data, table + 2)[0]):
        start = table + struct.unpack_from(">HHI", data, table + 4 + 8 * at)[2]
        if struct.unpack_from(">H", data, start)[0] == 4:  # noqa: PLR2004  the format
            break
    count = struct.unpack_from(">H", data, start + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", data, start + 14)
    firsts = struct.unpack_from(f">{count}H", data, start + 16 + 2 * count)
    deltas = struct.unpack_from(f">{count}h", data, start + 16 + 4 * count)
    ranges = start + 16 + 6 * count
    found = {}
    for segment in range(count):
        offset = struct.unpack_from(">H", data, ranges + 2 * segment)[0]
        for code in range(firsts[segment], min(ends[segment], 0xFFFE) + 1):
            index = code
            if offset:
                place = ranges + 2 * segment + offset + 2 * (code - firsts[segment])
                index = struct.unpack_from(">H", data, place)[0]
            found[code] = (index + deltas[segment]) & 0xFFFF
    return found


def main() -> None:
    made: dict[str, np.ndarray] = {"letters": np.array([ord(one) for one in LETTERS], np.int32)}
    for name, file, weight, size in FACES:
        made[f"{name}_dark"] = drawn(weight, size)
        made[f"{name}_width"] = widths(FONTS / file, size)
    np.savez_compressed(TARGET, **made)


if __name__ == "__main__":
    main()
