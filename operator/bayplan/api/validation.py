"""Checks of a spec that the schema cannot make: each problem with its field and its remedy.

The first problem becomes a `Stalled=True` condition: a person has to change the spec. These checks
do NOT find what the cluster may refuse for a while (quota, a missing ServiceAccount); and what only
the API server knows about pods is left to the dry run of the template.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from bayplan import units
from bayplan.api import kinds, names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.meta import Placement, WorkloadSpec
from bayplan.model.untyped import mapping, sequence
from bayplan.schedules.parse import ScheduleError, TimeZoneError, parse

Reason = Literal["InvalidSpec", "InvalidTimeZone", "InvalidSchedule", "InvalidTemplate"]

_CHOSEN = {
    "nodeName": "must be absent: Bayplan chooses the node; use nodeSelector or affinity",
    "schedulerName": "must be absent: Bayplan places these pods itself; remove it",
    "priority": "must be absent: name a PriorityClass in priorityClassName",
}
_NATIVE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a spec cannot work: closed reason, path of the field, what must hold, what to write."""

    reason: Reason
    field: str
    message: str


def misfits(error: pydantic.ValidationError) -> tuple[Problem, ...]:
    """What of a spec does not fit its model: a problem for each field."""
    return tuple(
        Problem(
            reason="InvalidSpec",
            field=".".join(["spec", *(str(part) for part in line["loc"])]),
            message=line["msg"],
        )
        for line in error.errors(include_url=False, include_context=False, include_input=False)
    )


def problems(kind: str, spec: WorkloadSpec) -> tuple[Problem, ...]:
    """Everything wrong with a parsed spec, the most serious first; empty when it can work."""
    found = [*_of_schedule(spec)] if isinstance(spec, BatchJobSpec) else []
    restart_policy = kinds.BY_NAME[kind].restart_policy
    pod = mapping(spec.template.get("spec"))
    if not sequence(pod.get("containers")):
        found.append(_template("containers", "must list at least one container"))
    for field, message in _CHOSEN.items():
        if pod.get(field) is not None:
            found.append(_template(field, message))
    if pod.get("restartPolicy") not in (None, restart_policy):  # may be a list: unhashable
        found.append(_template("restartPolicy", f"must be absent or {restart_policy}; remove it"))
    found.extend(_of_amounts(pod))
    found.extend(_of_placement(spec.placement, mapping(pod.get("nodeSelector"))))
    return tuple(found)


def _of_schedule(spec: BatchJobSpec) -> Iterator[Problem]:
    """Problems of the time zone, reported once, or of each schedule that cannot be read."""
    for index, text in enumerate(spec.timetable or ("@daily",)):
        try:
            parse(text, spec.time_zone, key="", anchor=0)
        except TimeZoneError as error:
            yield Problem("InvalidTimeZone", "spec.timeZone", str(error))
            return
        except ScheduleError as error:
            field = f"spec.schedules[{index}]" if spec.schedules else "spec.schedule"
            yield Problem("InvalidSchedule", field, str(error))


def _of_placement(placement: Placement, selector: Mapping[str, Any]) -> Iterator[Problem]:
    """Constraints that cannot be read, and two Pools: a task would wait for ever."""
    other = selector.get(names.POOL, placement.pool)
    if placement.pool is not None and other != placement.pool:
        yield Problem(
            "InvalidSpec",
            "spec.placement.pool",
            f"is {units.shown(placement.pool)}, but spec.template.spec.nodeSelector has "
            f"{names.POOL}: {units.shown(other)}, and no node is in two Pools; remove one of them",
        )
    for index, one in enumerate(placement.constraints):
        message = one.read().problem()
        if message:
            yield Problem("InvalidSpec", f"spec.placement.constraints[{index}].value", message)


def _of_amounts(pod: Mapping[str, Any]) -> Iterator[Problem]:
    """Amounts that are not quantities, are negative, exceed their limit, or are not whole."""
    yield from _of_resources("resources", mapping(pod.get("resources")))
    yield from _of_resources("", {"overhead": pod.get("overhead")})
    for group in ("initContainers", "containers"):
        for index, container in enumerate(sequence(pod.get(group))):
            where = f"{group}[{index}].resources"
            yield from _of_resources(where, mapping(mapping(container).get("resources")))


def _of_resources(where: str, resources: Mapping[str, Any]) -> Iterator[Problem]:
    amounts: dict[tuple[str, str], int] = {}  # part, resource -> thousandths
    for part in ("requests", "limits", "overhead"):
        for resource, text in mapping(resources.get(part)).items():
            path = ".".join(filter(None, (where, part, resource)))
            if isinstance(text, Mapping | list):
                yield _template(path, "must be a quantity; write one such as 500m or 2Gi")
                continue
            try:
                amounts[part, resource] = units.milli(text)
            except units.QuantityError as error:
                yield _template(path, str(error))
            else:
                yield from _of_amount(path, resource, text, amounts[part, resource])
    for (part, resource), amount in amounts.items():
        limit = amounts.get(("limits", resource))
        if part == "requests" and limit is not None and amount > limit:
            yield _template(
                f"{where}.requests.{resource}",
                f"must not exceed the limit {units.shown(resources['limits'][resource])}; lower "
                "the request or raise the limit",
            )


def _of_amount(path: str, resource: str, text: str | int, milli: int) -> Iterator[Problem]:
    if milli < 0:
        yield _template(path, f"must not be negative, is {units.shown(text)}")
    elif resource == "cpu" or milli % 1000 == 0:
        return
    elif resource in _NATIVE or resource.startswith("hugepages-"):
        yield _template(
            path,
            f"{units.shown(text)} is a part of a byte (m means thousandths); write M or Mi",
        )
    else:
        yield _template(path, f"{units.shown(text)} is not a whole number; write one")


def _template(path: str, message: str) -> Problem:
    return Problem("InvalidTemplate", f"spec.template.spec.{path}", message)
