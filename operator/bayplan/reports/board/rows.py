"""One row of the dashboard's tables for each object, as the operator reads it."""

from collections.abc import Mapping
from typing import Any

from bayplan.api import names
from bayplan.api.times import time_of
from bayplan.inputs import InputError
from bayplan.model import resources
from bayplan.model.node_claims import NodeClaim
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node
from bayplan.model.pods import Pod
from bayplan.model.untyped import mapping, sequence
from bayplan.provisioning.prices import MODELLED, with_price
from bayplan.reports import slots
from bayplan.reports.board.tables import Row
from bayplan.reports.node_why import state
from bayplan.reports.rollout import standing, wanted
from bayplan.reports.runs import of_job

Body = Mapping[str, Any]

MOST_TEXT = 400  # characters of any text in a row: whoever may create an object may write much
MOST_UPCOMING = 5
_MONEY = ("dollarsPerHour", "boundDollarsPerHour", "plannedDollarsPerHour")


def short(value: object) -> str:
    """A text of bounded length."""
    text = str(value or "")
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def node(one: Node) -> Row:
    priced, source = with_price(one, MODELLED)
    allocatable = one.allocatable
    return (
        one.name,
        short(one.labels.get(INSTANCE_TYPE)),
        short(one.labels.get(ZONE)),
        short(one.labels.get(CAPACITY_TYPE)),
        short(one.labels.get(names.POOL)),
        state(one),
        priced.price_microdollars,
        source,
        allocatable.amount(resources.CPU),
        allocatable.amount(resources.MEMORY),
        allocatable.amount(resources.PODS),
        one.created_at,
        one.kept,
        short(one.labels.get(NODE_POOL)),
    )


def pod(one: Pod) -> Row:
    """A pod; `phase` is Waiting without a node, and Ending while it is being deleted."""
    owner = one.owner
    phase = "Ending" if one.terminating else one.phase.value if one.node else "Waiting"
    return (
        one.namespace,
        one.name,
        one.node,
        f"{owner.kind} {short(owner.name)}" if owner is not None else "Pod",
        one.request.amount(resources.CPU),
        one.request.amount(resources.MEMORY),
        phase,
        one.created_at,
        short(one.ending.waiting or one.scheduled_reason or one.reason),
        short(one.ending.said or one.scheduled_message or one.message),
        one.resident,
        one.scheduler,
    )


def job(body: Body, now: int) -> Row:
    """A BatchJob, as its status tells it; `runs` are its runs as the Gantt chart draws them."""
    body = {**body, "kind": "BatchJob"}  # which items of a list need not say
    about, spec, status = _parts(body)
    conditions = _conditions(status)
    placement = mapping(status.get("placement"))
    return (
        str(about.get("namespace")),
        str(about.get("name")),
        short(spec.get("schedule") or " ; ".join(map(str, sequence(spec.get("schedules"))))),
        short(spec.get("timeZone") or "UTC"),
        short(mapping(conditions.get("Ready")).get("reason")),
        _time(status.get("nextSlotTime")),
        _time(status.get("lastRunTime")),
        short(mapping(conditions.get("LastRunSucceeded")).get("reason")),
        status.get("running") or 0,
        placement.get("pendingTasks") or 0,
        short(placement.get("message") or mapping(conditions.get("Ready")).get("message")),
        [short(mapping(one).get("name")) for one in sequence(spec.get("parents"))],
        mapping(status.get("statistics")).get("failures") or 0,
        [_run(one) for one in of_job(body, None, now)],
        _upcoming(body, now),
        spec.get("suspend") is True or "pausedUntil" in status,
    )


def _run(one: Mapping[str, Any]) -> list[Any]:
    """Run, state, scheduled time, start, end, exit code, node, attempts, reason, went wrong."""
    return [
        str(one.get("run") or ""),
        short(one.get("state")),
        _time(one.get("slotTime")),
        _time(one.get("startTime") or one.get("since")),
        _time(one.get("endTime")),
        one.get("exitCode"),
        short(one.get("node")),
        one["attempt"] + 1 if "attempt" in one else one.get("attempts") or 0,
        short(one.get("detail") or one.get("reason")),
        bool(one.get("wentWrong")),
    ]


def _upcoming(body: Body, now: int) -> list[int]:
    try:
        return slots.upcoming(body, now, MOST_UPCOMING).slots
    except InputError:
        return []


def service(body: Body) -> Row:
    about, _, status = _parts(body)
    conditions = _conditions(status)
    placement = mapping(status.get("placement"))
    ready = mapping(conditions.get("Ready"))
    failure = mapping(status.get("lastFailure"))
    return (
        str(about.get("namespace")),
        str(about.get("name")),
        short(ready.get("reason")),
        wanted(body),
        status.get("readyReplicas") or 0,
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        placement.get("pendingTasks") or 0,
        short(placement.get("message") or ready.get("message")),
        short(status.get("currentRevision")),
        short(status.get("updateRevision")),
        {key: short(value) for key, value in standing(body).items() if key in {"state", "message"}},
        short(failure.get("message") or failure.get("reason")),
    )


def pool(body: Body) -> Row:
    about, spec, status = _parts(body)
    ready = mapping(_conditions(status).get("Ready"))
    moves = mapping(status.get("moves"))
    return (
        str(about.get("name")),
        short(spec.get("mode") or "Advise"),
        short(ready.get("reason")),
        short(ready.get("message")),
        *(short(status.get(name)) or None for name in _MONEY),
        status.get("waitingPods") or 0,
        [short(one) for one in sequence(status.get("next"))],
        [dict(mapping(one)) for one in sequence(status.get("unavailable"))],
        [dict(mapping(one)) for one in sequence(status.get("blocked"))],
        dict(mapping(status.get("claims"))),
        dict(moves),
        short(mapping(spec.get("nodePoolRef")).get("name")),
        spec.get("autoScalingGroups") is not None,
    )


def claim(one: NodeClaim) -> Row:
    return (
        one.name,
        one.pool,
        ", ".join(sorted(one.types)[:3]),
        ", ".join(sorted(one.zones)),
        one.state.value,
        one.created_at,
        short(one.problem),
    )


def decision(body: Body) -> Row:
    """An Event of the operator."""
    about = mapping(body.get("regarding"))
    series = mapping(body.get("series"))
    return (
        _time(series.get("lastObservedTime") or body.get("eventTime")
              or body.get("deprecatedLastTimestamp")),
        short(body.get("type")),
        short(body.get("reason")),
        short(body.get("note")),
        short(about.get("kind")),
        short(about.get("namespace")),
        short(about.get("name")),
        series.get("count") or body.get("deprecatedCount") or 1,
    )  # fmt: skip


def _parts(body: Body) -> tuple[Body, Body, Body]:
    return mapping(body.get("metadata")), mapping(body.get("spec")), mapping(body.get("status"))


def _conditions(status: Body) -> dict[str, Any]:
    return {str(one.get("type")): one for one in map(mapping, sequence(status.get("conditions")))}


def _time(text: object) -> int:
    return time_of(text) or 0
