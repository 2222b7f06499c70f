"""`python -m tests.histories`: live through many histories on all cores, or tell one of them."""

import logging
import os
import sys

import click

from tests import crowd
from tests.histories.play import Verdict, play

_MOST_TOLD = 25  # violations shown


@click.command()
@click.argument("number", type=click.IntRange(min=1), default=10_000)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Tell this history, line by line, and nothing else.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(number: int, first: int, seed: int | None, jobs: int) -> None:
    """Live through NUMBER histories; the exit code is 1 when one of them broke a rule."""
    logging.disable(logging.CRITICAL)
    if seed is not None:
        verdict = play(seed)
        click.echo("\n".join(verdict.told))
        click.echo(f"{verdict}\ndigest {verdict.digest}")
        sys.exit(bool(verdict.violations))
    verdicts = _all(range(first, first + number), jobs)
    broken = [verdict for verdict in verdicts if verdict.violations]
    for verdict in broken[:_MOST_TOLD]:
        click.echo(f"{verdict}\n  again: python -m tests.histories --seed {verdict.seed}")
    runs, writes = (sum(getattr(one, what) for one in verdicts) for what in ("runs", "writes"))
    click.echo(f"histories={number} violated={len(broken)} runs={runs} writes={writes}")
    sys.exit(bool(broken))


def _all(seeds: range, jobs: int) -> list[Verdict]:
    """The verdicts in the order of the seeds; one without what was told, which is long."""
    found: list[Verdict] = []
    for verdict, bar in crowd.done(_quiet, seeds, jobs, "histories", together=8):
        found.append(verdict)
        if verdict.violations:
            bar.console.print(f"{verdict.seed}: {verdict.violations[0]}", markup=False)
    return found


def _quiet(seed: int) -> Verdict:
    return play(seed).brief()


if __name__ == "__main__":
    main()
