"""How many nodes the full hour needs: a thousand unlike hourly jobs, by the length of their window.

Starts are the operator's own, rooms are found by the operator's own engine, minute by second in
virtual time: a node counts while a run is on it. `python -m tests.scale.peak` prints the table.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bayplan.api.batchjob import BatchJobSpec
from bayplan.model import state
from bayplan.placement.solve import Memo, Policy, solve
from bayplan.reconcile.batchjob import triggers
from tests.builders import NOON, make_class, make_node, make_pod, make_waiting
from tests.jobs import make_job

MINUTE = 60
JOBS = 1000
_WINDOWS = (0, 1, 5, 10, 20, 30, 50)  # minutes
_NODES = 200  # of 16 CPU and 64 GiB: enough for all at once


@dataclass(frozen=True, slots=True)
class Job:
    """What one job's runs ask for, and how long they take."""

    name: str
    cpu_milli: int
    memory_gib: int
    seconds: int

    def start(self, window_seconds: int) -> int:
        """Seconds after the hour."""
        job = make_job(name=self.name, schedule="0 * * * *", startWindowSeconds=window_seconds)
        assert isinstance(job.spec, BatchJobSpec)
        return triggers.start_delay(job, job.spec)


def jobs(seed: int = 1) -> list[Job]:
    """From a tenth of a CPU to half a node; most take a few minutes, some twenty."""
    dice = random.Random(seed)  # noqa: S311  a mix, no secret
    sizes = (
        [(100, 1)] * 40 + [(500, 1)] * 30 + [(1000, 4)] * 20 + [(4000, 8)] * 8 + [(8000, 32)] * 2
    )
    return [
        Job(
            f"job-{number}",
            *dice.choice(sizes),
            seconds=dice.choice([30, 120, 300, 300, 600, 1200]),
        )
        for number in range(JOBS)
    ]


def peak(window_seconds: int, wanted: list[Job]) -> int:
    """The most nodes in use at once in an hour."""
    book = state.State()
    for number in range(_NODES):
        book.set_node(make_node(f"n{number:03}", 16_000, 64))
    memo, most = Memo(), 0
    ends: list[tuple[int, tuple[str, str]]] = []
    for second, starting in _by_second(window_seconds, wanted):
        for _, key in [end for end in ends if end[0] <= second]:
            book.drop_pod(key)
        ends = [end for end in ends if end[0] > second]
        waiting = [
            make_waiting(make_class(one.cpu_milli, memory=one.memory_gib), 1, one.name)
            for one in starting
        ]
        plan = solve(book.snapshot(), waiting, NOON + second, Policy(), memo)
        assert not plan.refused
        for one in starting:
            pod = make_pod(one.name, plan.placements["default", f"{one.name}-0"], one.cpu_milli,
                           memory=one.memory_gib)  # fmt: skip
            book.set_pod(pod)
            ends.append((second + one.seconds, pod.key))
        most = max(most, len(book.on_node))
    return most


def _by_second(window_seconds: int, wanted: list[Job]) -> Iterator[tuple[int, list[Job]]]:
    starts: dict[int, list[Job]] = {}
    for one in wanted:
        starts.setdefault(one.start(window_seconds), []).append(one)
    yield from sorted(starts.items())


if __name__ == "__main__":
    everything = jobs()
    print("startWindowSeconds  most nodes at once")
    for minutes in _WINDOWS:
        print(f"{minutes * MINUTE:>18}  {peak(minutes * MINUTE, everything):>18}")
