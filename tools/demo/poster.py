"""The side by side of the demo as an SVG picture, which README and the site show.

One box for each node, as wide as it has CPUs; what is filled is requested. Colours are readable on
light and on dark ground, and told apart without colour by words.
"""

from collections.abc import Iterator, Sequence
from xml.sax import saxutils

from tools.demo import picture

_WIDTH, _MARGIN, _GAP = 860, 20, 4
_HEAD, _PANEL, _FOOT = 52, 122, 34  # heights of the title, of each scheduler's part, of the legend
_BOX_HEIGHT = 52
_FILLED, _EMPTY, _UNUSED, _INK, _GROUND = "#0f766e", "#99f6e4", "#e5e7eb", "#111827", "#ffffff"
_LEGEND = (
    "A box is a node, as wide as it has CPUs. Dark: CPU that pods request; grey: a node without "
    "pods. Both with default settings."
)


def drawn(ours: Sequence[picture.Node], theirs: Sequence[picture.Node], pods: int) -> str:
    """The text of the SVG file: the same pods, packed by Bayplan and by kube-scheduler."""
    height = _HEAD + 2 * _PANEL + _FOOT
    title = f"The same {pods} pods on the same {len(ours)} nodes"
    described = f"{title}: Bayplan {_said(ours)}; kube-scheduler {_said(theirs)}"
    box, font = f'viewBox="0 0 {_WIDTH} {height}"', 'font-family="system-ui, sans-serif"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" {font} fill="{_INK}">',
        f"<title>{_escaped(described)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="{_GROUND}"/>',
        _text(_MARGIN, 34, title, size=19, weight="bold"),
        *_panel(_HEAD, "Bayplan", ours),
        *_panel(_HEAD + _PANEL, "kube-scheduler", theirs),
        _text(_MARGIN, height - 14, _LEGEND, size=12.5),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(top: float, who: str, nodes: Sequence[picture.Node]) -> Iterator[str]:
    yield _text(_MARGIN, top + 22, who, size=16, weight="bold")
    yield _text(_MARGIN + 150, top + 22, _said(nodes), size=16)
    room = _WIDTH - 2 * _MARGIN - _GAP * (len(nodes) - 1)
    pixels_per_milli = room / sum(node.allocatable["cpu"] for node in nodes)
    x, last = float(_MARGIN), ""
    for node in sorted(nodes, key=_rank):
        if node.instance_type != last:
            last = node.instance_type
            yield _text(round(x, 1), top + 36 + _BOX_HEIGHT + 15, last, size=11.5)
        width = node.allocatable["cpu"] * pixels_per_milli
        yield from _box(x, top + 36, width, node)
        x += width + _GAP


def _rank(node: picture.Node) -> tuple[int, str, int, str]:
    """Large nodes first, those of one type together, the fullest of them first."""
    return -node.allocatable["cpu"], node.instance_type, -node.requested["cpu"], node.name


def _box(x: float, y: float, width: float, node: picture.Node) -> Iterator[str]:
    percent = picture.percent("cpu", [node])
    about = f"{node.instance_type}: {percent} % of its CPU" if node.pods else "no pods"
    yield f"<g><title>{_escaped(node.name)}, {_escaped(about)}</title>"
    ground = _EMPTY if node.pods else _UNUSED
    yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BOX_HEIGHT}" fill="{ground}"/>'
    filled = _BOX_HEIGHT * percent / 100
    if filled:
        yield (
            f'<rect x="{x:.1f}" y="{y + _BOX_HEIGHT - filled:.1f}" width="{width:.1f}"'
            f' height="{filled:.1f}" fill="{_FILLED}"/>'
        )
    yield "</g>"


def _said(nodes: Sequence[picture.Node]) -> str:
    used = picture.used(nodes)
    cost = picture.dollars(picture.microdollars_per_hour(used))
    return f"{len(used)} of {len(nodes)} nodes, {cost} an hour"


def _text(x: float, y: float, said: str, *, size: float, weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}">{_escaped(said)}</text>'
    )


def _escaped(text: str) -> str:
    return saxutils.escape(text)
