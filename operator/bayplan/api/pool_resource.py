"""A stored Pool as the operator sees it: metadata, parsed spec, raw status.

Parsing never raises an error: what cannot be parsed becomes problems, which become a condition.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic

from bayplan import units
from bayplan.api.pool import PoolSpec
from bayplan.api.validation import Problem, misfits
from bayplan.model.untyped import mapping
from bayplan.schedules.parse import ScheduleError, TimeZoneError, parse


@dataclass(frozen=True, slots=True)
class PoolResource:
    """One Pool. `spec` is None if, and only if, it could not be parsed or has problems."""

    name: str
    uid: str = ""
    generation: int = 1
    spec: PoolSpec | None = None
    problems: tuple[Problem, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    resource_version: str = ""

    @property
    def node_pool(self) -> str:
        """The name of its NodePool; empty without one, and where the spec cannot be used."""
        reference = self.spec.node_pool_ref if self.spec is not None else None
        return reference.name if reference is not None else ""

    @property
    def groups_tag(self) -> str:
        """The tag of its Auto Scaling groups; empty if it has none, as `node_pool`."""
        groups = self.spec.auto_scaling_groups if self.spec is not None else None
        return groups.tag if groups is not None else ""


def parse_pool(body: Mapping[str, Any]) -> PoolResource:
    """Read the stored object."""
    metadata = mapping(body.get("metadata"))
    spec, problems = _parse(mapping(body.get("spec")))
    return PoolResource(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0) or 0),
        spec=spec,
        problems=problems,
        status=mapping(body.get("status")),
        resource_version=str(metadata.get("resourceVersion", "")),
    )


def default_pool(pools: Iterable[PoolResource]) -> str:
    """The Pool whose taint everybody tolerates: the first by name that asks for it; else empty."""
    asking = (one.name for one in pools if one.spec is not None and one.spec.default)
    return min(asking, default="")


def _parse(raw: Mapping[str, Any]) -> tuple[PoolSpec | None, tuple[Problem, ...]]:
    try:
        spec = PoolSpec.model_validate(raw)
    except pydantic.ValidationError as error:
        return None, misfits(error)
    found = (*_of_amounts(spec), *_of_windows(spec))
    return (None if found else spec), found


def _of_amounts(spec: PoolSpec) -> Iterator[Problem]:
    """Amounts that are no quantities, negative, or parts of a byte."""
    for where, amounts in (("limits", spec.limits), ("buying.headroom", spec.buying.headroom)):
        for resource in ("cpu", "memory"):
            text = getattr(amounts, resource)
            message = "" if text is None else _fault(resource, text)
            if message:
                yield Problem("InvalidSpec", f"spec.{where}.{resource}", message)


def _of_windows(spec: PoolSpec) -> Iterator[Problem]:
    """Windows whose schedule or time zone cannot be read, or that never open."""
    for index, window in enumerate(spec.consolidation.windows):
        where = f"spec.consolidation.windows[{index}]"
        if window.schedule.strip().startswith("R"):
            message = "must not be an interval; write five cron fields such as 0 22 * * MON-FRI"
            yield Problem("InvalidSpec", f"{where}.schedule", message)
            continue
        try:
            parse(window.schedule, window.time_zone, key="", anchor=0)
        except TimeZoneError as error:
            yield Problem("InvalidTimeZone", f"{where}.timeZone", str(error))
        except ScheduleError as error:
            yield Problem("InvalidSchedule", f"{where}.schedule", str(error))


def _fault(resource: str, text: str | int) -> str:
    try:
        milli = units.milli(text)
    except units.QuantityError as error:
        return str(error)
    if milli < 0:
        return f"must not be negative, is {units.shown(text)}; write 0 or more"
    if resource == "memory" and milli % 1000:
        return f"{units.shown(text)} is a part of a byte (m means thousandths); write M or Mi"
    return ""
