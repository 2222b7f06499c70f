"""`python -m tests.scheduler`: many random clusters before kube-scheduler's filters and ours.

Differences that are not on purpose are shrunk and written to build/scheduler/.
"""

import functools
import json
import logging
import os
import secrets
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests import crowd
from tests.scheduler import generator, purpose, shrink, trial
from tests.scheduler.judge import Judge
from tests.scheduler.trial import Difference

_OUT = Path("build/scheduler")
_MOST_SHRUNK = 25
_SEEDS = 1 << 40


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one seed."""

    seed: int
    pairs: int
    placements: int
    meant: Counter[str] = field(default_factory=Counter)
    unexplained: tuple[Difference, ...] = ()


@click.command()
@click.argument("number", type=click.IntRange(min=1), default=20_000)
@click.option("--seed", type=int, help="The first seed; without it one that nobody has seen.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(number: int, seed: int | None, jobs: int) -> None:
    """Judge NUMBER clusters; the exit code is 1 when a difference is not on purpose."""
    logging.disable(logging.CRITICAL)
    first = secrets.randbelow(_SEEDS) if seed is None else seed
    meant: Counter[str] = Counter()
    pairs = placements = 0
    broken: list[Found] = []
    for found, bar in crowd.done(tried, range(first, first + number), jobs, "clusters", together=8):
        pairs += found.pairs
        placements += found.placements
        meant += found.meant
        if found.unexplained:
            broken.append(found)
            said = f"{found.seed}: {found.unexplained[0]}"
            bar.console.print(said, markup=False, soft_wrap=True)
    click.echo(f"clusters={number} first={first} pairs={pairs} placements={placements}")
    for name, count in sorted(meant.items()):
        click.echo(f"on purpose: {name}: {count}")
    click.echo(f"unexplained: {sum(len(found.unexplained) for found in broken)}")
    for found in broken[:_MOST_SHRUNK]:
        click.echo(f"{_written(found)}: {found.unexplained[0]}")
    sys.exit(bool(broken))


@functools.cache
def _judge() -> Judge:
    """One for each process, for as long as it lives."""
    return Judge().__enter__()


def tried(seed: int) -> Found:
    cluster = generator.cluster(seed)
    result = trial.tried(_judge(), cluster)
    names = [(purpose.purpose(one), one) for one in result.differences]
    return Found(
        seed,
        result.pairs,
        result.placements,
        Counter(name for name, _ in names if name),
        tuple(one for name, one in names if not name),
    )


def _written(found: Found) -> Path:
    """The smallest cluster with the first of these differences, as a file."""
    first = found.unexplained[0]

    def shows(cluster: generator.Cluster) -> bool:
        return not _judge().invalid(cluster) and any(
            one == first and not purpose.purpose(one)
            for one in trial.tried(_judge(), cluster).differences
        )

    small = shrink.shrunk(generator.cluster(found.seed), shows)
    _OUT.mkdir(parents=True, exist_ok=True)
    file = _OUT / f"{found.seed}.json"
    file.write_text(json.dumps({"what": str(first), **small}, indent=1) + "\n")
    return file


if __name__ == "__main__":
    main()
