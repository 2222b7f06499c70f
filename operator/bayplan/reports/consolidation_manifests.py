"""What of `spec.consolidation` of a Pool can be written, and is hardly meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.api.consolidation import Consolidation, Window
from bayplan.api.pool_resource import parse_pool
from bayplan.model.untyped import mapping
from bayplan.schedules.parse import parse

_LOOKED_AT = 400  # beginnings of a window: a year of days, and some
_NONE = ("0%", 0)

Doubt = tuple[tuple[str | int, ...], str]  # path, message


def doubts(body: Mapping[str, Any]) -> Iterator[Doubt]:
    """Each field in doubt, with what it means; nothing for a spec that cannot be read."""
    stated = mapping(body.get("spec")).get("consolidation")
    spec = parse_pool(body).spec
    if spec is None or not isinstance(stated, Mapping):
        return
    if not spec.consolidates:
        yield (), f"is not used with mode {spec.mode}; set `mode: BuyAndConsolidate` or remove it"
        return
    yield from _numbers(spec.consolidation)
    for index, window in enumerate(spec.consolidation.windows):
        if _always_open(window):
            message = (
                "reaches to the next beginning, so that the window is always open; lower it, or "
                "remove `windows`"
            )
            yield ("windows", index, "durationSeconds"), message


def _numbers(terms: Consolidation) -> Iterator[Doubt]:
    if terms.maximum_draining in _NONE:
        yield ("maximumDraining",), "is 0, so that no pod is moved; raise it, or use mode Buy"
    if terms.maximum_moves_per_hour == 0:
        yield ("maximumMovesPerHour",), "is 0, so that no pod is moved; raise it, or use mode Buy"
    if terms.move_microdollars == 0:
        message = "is 0, so that pods move for the least saving; write its worth, such as 2000"
        yield ("moveMicrodollars",), message
    if terms.minimum_stay_seconds > terms.horizon_seconds:
        message = (
            f"exceeds horizonSeconds ({terms.horizon_seconds}): a move is to pay within that time, "
            "and its pod stays for longer; raise `horizonSeconds` or lower this"
        )
        yield ("minimumStaySeconds",), message


def _always_open(window: Window) -> bool:
    """Whether the window begins again before it ends, each time."""
    schedule = parse(window.schedule, window.time_zone, key="", anchor=0)
    began = 0
    for turn in range(_LOOKED_AT):
        begins = schedule.next_after(began)
        if begins is None or (turn and begins - began > window.duration_seconds):
            return False
        began = begins
    return True
