"""`python -m tests.hostile.cli`: try many random calls of simulate and lint on all cores."""

import os
import sys

import click

from tests import crowd
from tests.hostile import called, commands

_AT_ONCE = 20
_MOST_TOLD = 25  # of what is broken


@click.command()
@click.argument("number", type=click.IntRange(min=1), default=20_000)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Show this call and what is wrong, nothing else.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(number: int, first: int, seed: int | None, jobs: int) -> None:
    """Try NUMBER of them; the exit code is 1 when one broke a rule."""
    if seed is not None:
        call = commands.call(seed)
        click.echo(f"bayplan {' '.join(call.words)}")
        for name, data in call.files.items():
            click.echo(f"# {name}\n{data.decode(errors='replace')}")
        number, first, jobs = 1, seed, 1
    tally = called.Tally()
    ends = first + number
    parts = [range(at, min(at + _AT_ONCE, ends)) for at in range(first, ends, _AT_ONCE)]
    for one, _ in crowd.done(called.tried, parts, jobs, "random calls", together=4, size=len):
        tally.add(one)
    for broken in tally.broken[:_MOST_TOLD]:
        again = f"python -m tests.hostile.cli --seed {broken.split(':')[0]}"
        click.echo(f"{broken[:400]}\n  again: {again}")
    codes = " ".join(f"exit{code}={count}" for code, count in sorted(tally.codes.items()))
    click.echo(f"calls={number} broken={len(tally.broken)} {codes}")
    sys.exit(bool(tally.broken))


if __name__ == "__main__":
    main()
