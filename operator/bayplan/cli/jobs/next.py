"""`bayplan next`: when runs are due, of a job in the cluster or in a file, or of a schedule."""

import datetime as dt
import sys
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import click

from bayplan.api.times import rfc3339
from bayplan.cli import name_completion, printing
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError

_MOST = 1_000


@click.command("next", short_help="Show when a job's next runs are due, with clock changes.")
@click.argument("job", required=False, shell_complete=name_completion.jobs)
@click.option("-f", "--filename", metavar="FILE", help="Manifest with the job (- for stdin).")
@click.option("--schedule", metavar="TEXT", help="Use this schedule; no job is needed.")
@click.option(
    "-n", "number", metavar="N|NAMESPACE", multiple=True, help="Number of times, or namespace."
)
@click.option("--count", type=click.IntRange(1, _MOST), help="Number of times; by default 10.")
@click.option("--tz", metavar="ZONE", help="Show times in this zone too; by default UTC.")
@click.option("--after", metavar="TIME", help="Start at this moment instead of now.")
@targeted(short=False)
@printing.formatted
def next_(  # noqa: PLR0917  click hands over one parameter for each option
    job: str | None,
    filename: str | None,
    schedule: str | None,
    number: tuple[str, ...],
    count: int | None,
    tz: str | None,
    after: str | None,
    target: Target,
    output: str,
) -> None:
    """Preview the next times of a schedule, computed by the operator's own code.

    Exit code: 0 a run is due, 1 no run will ever be due, 2 the schedule is wrong, 3 the cluster
    refused.
    """
    from bayplan.cli import moment
    from bayplan.reports.slots import upcoming  # pydantic
    from bayplan.schedules import zones

    target, wanted = _meant(target, number, count)
    zone = _zone("--tz", tz or "UTC")
    now = printing.now() if after is None else moment.moment("--after", after, zone)
    body = _body(job, filename, schedule, tz, target)
    found = upcoming(body, now, wanted)
    read, paused = found.time_zone, found.paused_until
    rows = _rows(found.slots, zones.zone(read), zone)
    if printing.is_data(output):
        printing.data(output, "next", {"timeZone": read, "pausedUntil": paused, "slots": rows})
    else:
        headings = [read] if read == zone.key else [read, zone.key]
        table = [
            [*(row[key] for key in ("local", "viewer")[: len(headings)]), row["in"], row["note"]]
            for row in ({**one, "in": printing.age(one["epoch"] - now)} for one in rows)
        ]
        click.echo(printing.table([*headings, "in", "note"], table), nl=False)
        if paused:
            click.echo(f"paused until {paused}: no run starts before", err=True)
    if not rows:
        raise Negative("nothing is due: the job is suspended, runs once, or its schedule has ended")


def _meant(target: Target, number: tuple[str, ...], count: int | None) -> tuple[Target, int]:
    """-n 10 is a count and -n prod a namespace, because users expect both."""
    for text in number:
        if text.isascii() and text.isdecimal():
            if not 1 <= int(text[:9]) <= _MOST:
                raise InputError("-n", f"{text} is not from 1 to {_MOST}")
            count = int(text)
        else:
            target = Target(text, target.context, target.kubeconfig)
    return target, count or 10


def _zone(option: str, name: str) -> ZoneInfo:
    from bayplan.schedules import zones

    try:
        return zones.zone(name)
    except zones.TimeZoneError as error:
        raise InputError(option, str(error)) from error


def _body(
    job: str | None, filename: str | None, schedule: str | None, tz: str | None, target: Target
) -> Mapping[str, Any]:
    """The BatchJob to preview, from the cluster, from a file, or made for a schedule."""
    if schedule is None and filename is None and job is None:
        raise click.UsageError("Name a job, a file with -f, or give --schedule.")
    if schedule is not None:
        return {
            "kind": "BatchJob",
            "metadata": {"name": job or "preview", "namespace": target.namespace or "default"},
            "spec": {"schedule": schedule, "timeZone": tz or "UTC", "template": _ANY},
        }
    if filename is not None:
        from bayplan.manifests import documents

        found = [
            document
            for document in documents.documents([filename], sys.stdin.buffer)
            if document.kind == "BatchJob" and job in {None, document.name}
        ]
        if len(found) != 1:
            raise InputError(
                filename, f"has {len(found)} matching BatchJobs; give the name of one of them"
            )
        return found[0].body
    with connected(target, "BatchJob", job or "") as (_, body):
        return body


_ANY = {"spec": {"containers": [{"name": "main", "image": "any"}]}}


def _rows(slots: list[int], own: ZoneInfo, viewer: ZoneInfo) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before: dt.timedelta | None = None
    for slot in slots:
        local = dt.datetime.fromtimestamp(slot, own)
        offset = local.utcoffset()
        changed = before is not None and offset != before
        rows.append(
            {
                "time": rfc3339(slot),
                "epoch": slot,
                "local": local.strftime("%a %Y-%m-%d %H:%M:%S %z"),
                "viewer": dt.datetime.fromtimestamp(slot, viewer).strftime(
                    "%a %Y-%m-%d %H:%M:%S %z"
                ),
                "note": "clocks changed since the one before" if changed else "",
            }
        )
        before = offset
    return rows
