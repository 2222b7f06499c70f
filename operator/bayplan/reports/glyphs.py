"""The letters of pictures, drawn once from DejaVu Sans by `tools/glyphs.py`."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SCALE = 2  # pixels of a PNG for each unit of a picture
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Letters of one size; `size` is the distance of the baseline from the top, in pixels."""

    size: int
    dark: npt.NDArray[np.uint8]  # [letters, height, width]
    width: dict[str, int]  # in pixels
    index: dict[str, int]

    def letters(self, text: str) -> str:
        """The text with only letters that can be drawn."""
        return "".join(one if one in self.index else _UNKNOWN for one in text)

    def measure(self, text: str) -> float:
        """The width of a text in units of a picture."""
        return sum(self.width[one] for one in self.letters(text)) / SCALE

    def cut(self, text: str, most: float) -> str:
        """The text, or as much of its beginning and its end as `most` units have room for."""
        if self.measure(text) <= most:
            return text
        for kept in range(len(text) - 1, 0, -1):
            shown = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
            if self.measure(shown) <= most:
                return shown
        return ""


@functools.cache
def face(*, bold: bool = False) -> Face:
    """The letters for captions (bold) or for everything else."""
    name = "bold" if bold else "plain"
    with np.load(Path(__file__).with_suffix(".npz")) as held:
        letters = [chr(one) for one in held["letters"].tolist()]
        dark, width = held[f"{name}_dark"], held[f"{name}_width"]
    return Face(
        size=dark.shape[1] * 2 // 3,
        dark=dark,
        width=dict(zip(letters, width.tolist(), strict=True)),
        index={letter: at for at, letter in enumerate(letters)},
    )
