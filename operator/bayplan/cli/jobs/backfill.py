"""`bayplan backfill`: asks by an annotation for runs of the scheduled times that had no run.

The operator decides; the preview here uses the operator's own functions on the stored status.
"""

from collections.abc import Mapping
from typing import Any

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError


@click.command(short_help="Run scheduled times that led to no run.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.option("--from", "first", metavar="TIME", help="First scheduled time to run.")
@click.option("--to", "last", metavar="TIME", help="Last scheduled time to run; by default now.")
@click.option("--tz", metavar="ZONE", help="Zone of times without an offset; by default the job's.")
@click.option("--stop", is_flag=True, help="Stop an earlier backfill: begin no more of its runs.")
@click.option("--dry-run", is_flag=True, help="Only print which times would run.")
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
    """Run JOB for each scheduled time from --from to --to that had no run, the oldest first.

    These are times before the job was created, times that were missed, and times that passed while
    the job was suspended; at most 100. Times that had a run are left out, even if the run failed:
    use `bayplan retry` for them.

    Exit code: 0 done, 1 every time had a run, 2 wrong arguments, 3 the cluster refused.
    """
    if stop is (first is not None):
        raise click.UsageError("Give --from, or --stop.")
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        slots, request = ([], "stop") if stop else _asked(body, first or "", last, tz)
        if not dry_run:
            cluster.annotate(names.BATCHJOB, body, {names.BACKFILL: request})
    what = "would run" if dry_run else "are asked for"
    line = f"{job}: {len(slots)} scheduled times {what}, {slots[0]} to {slots[-1]}" if slots else ""
    values = {"request": request, "slots": slots, "dryRun": dry_run}
    printing.said(output, "backfill", values, line or f"{job}: the backfill is stopped")


def _asked(
    body: Mapping[str, Any], first: str, last: str | None, tz: str | None
) -> tuple[list[str], str]:
    """The times that will run, and the value of the annotation that asks for them."""
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
        raise InputError("--from", "must not be before 1970, after --to or in the future")
    left = found.without_run(low, high)
    if len(left) > slots.MOST_MADE_UP_FOR:
        raise InputError(
            "--from",
            f"more than {slots.MOST_MADE_UP_FOR} scheduled times; ask for fewer at once",
        )
    if not left:
        raise Negative(f"every scheduled time of {name} between --from and --to has had a run")
    return [rfc3339(slot) for slot in left], f"{rfc3339(low)}/{rfc3339(high)}"
