"""`python -m tests.histories`: live through many histories on all cores, or tell one of them."""

import logging
import os
import sys
from collections.abc import Callable

import click

from tests import crowd
from tests.histories.play import Verdict, play
from tests.histories.pools import play as pools

_MOST_TOLD = 25  # violations shown


@click.command()
@click.argument("number", type=click.IntRange(min=1), default=10_000)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Tell this history, line by line, and nothing else.")
@click.option("--pools", "of_pools", is_flag=True, help="Histories of an operator with a Pool.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(number: int, first: int, seed: int | None, of_pools: bool, jobs: int) -> None:
    """Live through NUMBER histories; the exit code is 1 when one of them broke a rule."""
    logging.disable(logging.CRITICAL)
    if seed is not None:
        verdict = pools.play(seed) if of_pools else play(seed)
        click.echo("\n".join(verdict.told))
        click.echo(f"{verdict}\ndigest {verdict.digest}")
        sys.exit(bool(verdict.violations))
    verdicts = _all(_brief_of_pools if of_pools else _brief, range(first, first + number), jobs)
    broken = [verdict for verdict in verdicts if verdict.violations]
    for verdict in broken[:_MOST_TOLD]:
        again = f"python -m tests.histories {'--pools ' if of_pools else ''}--seed {verdict.seed}"
        click.echo(f"{verdict}\n  again: {again}")
    runs, writes = (sum(getattr(one, what) for one in verdicts) for what in ("runs", "writes"))
    click.echo(f"histories={number} violated={len(broken)} runs={runs} writes={writes}")
    sys.exit(bool(broken))


def _all(lived: Callable[[int], Verdict], seeds: range, jobs: int) -> list[Verdict]:
    """The verdicts in the order of the seeds; one without what was told, which is long."""
    found: list[Verdict] = []
    for verdict, bar in crowd.done(lived, seeds, jobs, "histories", together=8):
        found.append(verdict)
        if verdict.violations:
            bar.console.print(f"{verdict.seed}: {verdict.violations[0]}", markup=False)
    return found


def _brief(seed: int) -> Verdict:
    return play(seed).brief()


def _brief_of_pools(seed: int) -> Verdict:
    return pools.play(seed).brief()


if __name__ == "__main__":
    main()
