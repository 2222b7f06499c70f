"""`bayplan backfill`: the scheduled times that led to no run are run, by one annotation.

The operator decides; what is said here beforehand is by its own arithmetic on the stored status.
"""

from collections.abc import Mapping
from typing import Any

import click

from bayplan.api import names
from bayplan.cli import printing
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError


@click.command(short_help="Run scheduled times that led to no run.")
@click.argument("job")
@click.option("--from", "first", metavar="TIME", help="The first scheduled time meant.")
@click.option("--to", "last", metavar="TIME", help="The last one meant; now unless told.")
@click.option("--tz", metavar="ZONE", help="Of times without an offset; the job's own unless told.")
@click.option("--stop", is_flag=True, help="Begin no more of what was asked for before.")
@click.option("--dry-run", is_flag=True, help="Only say which times would run.")
@targeted()
@printing.formatted
def backfill(  # noqa: PLR0917  click hands over one parameter for each option
    job: str,
    first: str | None,
    last: str | None,
    tz: str | None,
    stop: bool,
    dry_run: bool,
    target: Target,
    output: str,
) -> None:
    """Run JOB for each scheduled time from --from to --to that led to no run, the oldest first.

    Times before the job was created, missed ones, and those that passed while it was suspended; at
    most 100. Whatever ran, however it ended, is left out: see `bayplan retry`.

    Exit code: 0, 1 no such time is left, 2 wrong arguments, 3 the cluster refused.
    """
    if stop is (first is not None):
        raise click.UsageError("Give --from, or --stop.")
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        slots, request = ([], "stop") if stop else _asked(body, first or "", last, tz)
        if not dry_run:
            cluster.annotate(names.BATCHJOB, body, {names.BACKFILL: request})
    what = "would run" if dry_run else "are asked for"
    line = f"{job}: {len(slots)} scheduled times {what}, {slots[0]} to {slots[-1]}" if slots else ""
    told = {"request": request, "slots": slots, "dryRun": dry_run}
    printing.said(output, "backfill", told, line or f"{job}: no more is made up for")


def _asked(
    body: Mapping[str, Any], first: str, last: str | None, tz: str | None
) -> tuple[list[str], str]:
    """The times that will run, and the annotation that says so."""
    from bayplan.api.times import rfc3339
    from bayplan.cli import moment
    from bayplan.reports import slots  # pydantic
    from bayplan.schedules import zones

    name = body["metadata"]["name"]
    try:
        found = slots.timetable(body)
    except InputError as error:
        raise Negative(f"the spec of {name} has problems; see `bayplan lint`") from error
    if found is None:
        raise Negative(f"{name} has no schedule; see `bayplan run`")
    try:
        zone = zones.zone(tz or found.time_zone)
    except zones.TimeZoneError as error:
        raise InputError("--tz", str(error)) from error
    low = moment.moment("--from", first, zone)
    now = printing.now()
    high = now if last is None else min(moment.moment("--to", last, zone), now)
    if not 0 <= low <= high:
        raise InputError("--from", "must be from 1970 on, and neither after --to nor in the future")
    left = found.without_run(low, high)
    if len(left) > slots.MOST_MADE_UP_FOR:
        raise InputError(
            "--from",
            f"more than {slots.MOST_MADE_UP_FOR} scheduled times; ask for a part of them",
        )
    if not left:
        raise Negative(f"no scheduled time of {name} in there is left without a run")
    return [rfc3339(slot) for slot in left], f"{rfc3339(low)}/{rfc3339(high)}"
