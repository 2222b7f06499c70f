"""`python -m tests.hostile`: try many hostile BatchJobs on all cores, or show one of them."""

import json
import logging
import os
import sys

import click

from tests import crowd
from tests.hostile import specs, trial

_AT_ONCE = 20  # in one loop with the good job
_MOST_TOLD = 25  # of what is broken


@click.command()
@click.argument("number", type=click.IntRange(min=1), default=100_000)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Show this BatchJob and what is wrong, nothing else.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(number: int, first: int, seed: int | None, jobs: int) -> None:
    """Try NUMBER of them; the exit code is 1 when one broke a rule."""
    logging.disable(logging.CRITICAL)
    if seed is not None:
        click.echo(json.dumps(specs.batchjob(seed), indent=1))
        number, first, jobs = 1, seed, 1
    found = trial.Findings()
    ends = first + number
    parts = [range(at, min(at + _AT_ONCE, ends)) for at in range(first, ends, _AT_ONCE)]
    title = "hostile BatchJobs"
    for one, _ in crowd.done(_quiet, parts, jobs, title, together=4, size=len):
        found.add(one)
    for broken in found.broken[:_MOST_TOLD]:
        click.echo(
            f"{broken[:300]}\n  again: python -m tests.hostile --seed {broken.split(':')[0]}"
        )
    click.echo(
        f"specs={number} broken={len(found.broken)} accepted={found.accepted} told={found.told} "
        f"tasks={found.tasks} slowest_ms={1000 * found.slowest:.1f}"
    )
    sys.exit(bool(found.broken))


def _quiet(seeds: range) -> trial.Findings:
    logging.disable(logging.CRITICAL)
    return trial.tried(seeds)


if __name__ == "__main__":
    main()
