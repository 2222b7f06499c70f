"""The picture of a simulation: what a reviewer reads in it, as SVG and as PNG."""

import re
import struct
import zlib
from collections.abc import Mapping

import numpy as np
import pytest

from bayplan.model import resources
from bayplan.model.nodes import INSTANCE_TYPE, ZONE, Node
from bayplan.model.reasons import Funnel
from bayplan.provisioning.result import Filled, Missing, Result
from bayplan.reports import glyphs, picture, shapes
from bayplan.reports.shapes import Box, Canvas, Words

ROOM = resources.Vector({"cpu": 4_000, "memory": 16 << 30, "pods": 58})


def filled(
    name: str = "n", held: Mapping[str, tuple[int, int, int]] | None = None, **more: bool
) -> Filled:
    """A node; `held` has pods, milli-CPU and GiB by title."""
    rows = tuple(
        (title, pods, resources.Vector({"cpu": cpu, "memory": gib << 30}))
        for title, (pods, cpu, gib) in (held or {}).items()
    )
    total = sum((amount for _, _, amount in rows), start=resources.NOTHING)
    labels = {INSTANCE_TYPE: "m7i.xlarge", ZONE: "eu-west-1a"}
    node = Node(name=name, allocatable=ROOM, labels=labels, price_microdollars=201_600)
    return Filled(node, more.get("new", True), "a list", rows, total, more.get("closed", False))


def result(*nodes: Filled, missing: int = 0) -> Result:
    lost = (Missing("Deployment default/big", missing, Funnel(0)),) if missing else ()
    bought = sum(one.node.price_microdollars or 0 for one in nodes if one.new)
    pods = sum(count for one in nodes for _, count, _ in one.held)
    return Result(nodes, lost, pods, bought, bought * 9 // 10)


def texts(drawn: Canvas) -> list[str]:
    """All lines of text, those of the nodes too."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", shapes.svg(drawn))


def pixels(png: bytes) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """[height, width, 3] of a PNG without filters; checks its chunks."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack_from(">I", png, at + 8 + length)[0]
        chunks[name], at = body, at + 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_what_it_says() -> None:
    """Cost, bound, each node with type, price, zone and shares; blocks and legend with names."""
    held = {"Deployment default/web": (3, 3_000, 4), "DaemonSet kube-system/agent": (1, 100, 1)}
    said = texts(picture.picture(result(filled(held=held, closed=True), missing=2)))

    assert "4 pods on 1 node, $0.20 an hour" == said[0]
    assert "$147.17 a month; prices: a list" == said[1]
    assert said[2].startswith("bought for $0.2016 an hour; no plan costs less than $0.1814")
    assert "2 pods have no room" == said[3]
    assert ["m7i.xlarge", "$0.2016/h · eu-west-1a"] == said[4:6]
    assert {"3 × web", "CPU 78 %", "mem 31 %"} <= set(said)
    assert "Deployment default/web · 3 pods, 3 CPU" in said
    assert "DaemonSet kube-system/agent · 1 pod, 0.1 CPU" in said
    assert "stranded: nothing fits there any more" in said


def test_nodes_that_hold_the_same_are_drawn_once() -> None:
    """New ones, with their number; nodes that exist have names and are drawn each."""
    held = {"Deployment default/web": (2, 2_000, 4)}
    new = [filled(f"new-{at}", held) for at in range(12)]
    there = [filled(f"ip-10-0-0-{at}", held, new=False) for at in range(3)]
    said = texts(picture.picture(result(*new, *there)))

    assert 1 == said.count("12 × m7i.xlarge")
    assert {"ip-10-0-0-0", "ip-10-0-0-1", "ip-10-0-0-2"} <= set(said)
    assert 3 == said.count("m7i.xlarge · $0.2016/h")
    assert "a node that exists" in said


def test_large_workloads_have_colours_of_their_own() -> None:
    """Fourteen of them; a workload keeps its colour beside others that ask for less."""
    many = {f"Deployment default/w{at}": (1, 200 - at, 0) for at in range(14)}
    drawn = picture.picture(result(filled(held=many)))
    fills = [one.fill for one in drawn.shapes if isinstance(one, Box) and one.fill]
    one = picture.picture(result(filled(held={"Deployment default/w0": (1, 200, 0)})))
    [own] = [one.fill for one in one.shapes if isinstance(one, Box) and one.fill]

    assert 14 == len(fills) == len(set(fills))
    assert own == fills[0]


def test_long_names_stay_inside() -> None:
    """Names are cut in the middle, and no text leaves the picture."""
    title = f"Deployment default/{'w' * 200}"
    drawn = picture.picture(result(filled("n" * 250, {title: (1, 2_000, 8)}, new=False)))
    lines = [one for one in drawn.shapes if isinstance(one, Words)]

    assert all(one.x + glyphs.face(bold=one.bold).measure(one.text) < drawn.width for one in lines)
    assert any("…" in text for text in texts(drawn))


def test_so_many_nodes() -> None:
    """What is left out is said; without nodes there is a picture too."""
    nodes = [filled(f"n{at}", {"Pod default/p": (1, at + 1, 0)}) for at in range(30)]
    drawn = picture.picture(result(*nodes), 10)

    assert 10 == shapes.svg(drawn).count("<g ")
    assert "20 nodes are not shown" in texts(drawn)
    assert "0 pods on 0 nodes, $0.00 an hour" == texts(picture.picture(result()))[0]


def test_png_shows_the_same() -> None:
    """Colours where the boxes are, letters where the words are, two pixels a unit."""
    drawn = Canvas(
        60, 40, "t",
        (
            Box(2, 2, 10, 10, "#ff8000"), Box(20, 2, 10, 10, line="#0000ff"),
            Box(40, 2, 12, 12, shapes.HATCHED), Words(2, 32, "Hi<&"),
        ),
    )  # fmt: skip
    image = pixels(shapes.png(drawn))

    assert (80, 120, 3) == image.shape
    assert (image[4:24, 4:24] == (255, 128, 0)).all()
    assert (image[4, 40:60] == (0, 0, 255)).all()
    assert (image[12, 50] == 255).all()
    lined = (image[4:28, 80:104] == (0xC4, 0x4E, 0x52)).all(axis=2)
    assert 0.2 < lined.mean() < 0.6
    words = image[40:70]
    assert 34 == words.min()
    assert (image[72:] == 255).all()
    assert "Hi&lt;&amp;" in shapes.svg(drawn)


@pytest.mark.parametrize(("text", "shown"), [("web", "web"), ("wéb", "w?b"), ("", "")])
def test_letters(text: str, shown: str) -> None:
    """What cannot be drawn is a question mark; it still has a width."""
    assert shown == glyphs.face().letters(text)
    assert (0 < glyphs.face().measure(text)) == bool(text)
