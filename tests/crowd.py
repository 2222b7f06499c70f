"""Much work of one kind on all cores, with a bar on standard error that shows how far it is."""

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pool
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Part = TypeVar("Part")
Done = TypeVar("Done")


def done(
    work: Callable[[Part], Done],
    parts: Sequence[Part],
    jobs: int,
    title: str,
    *,
    together: int,
    size: Callable[[Part], int] = lambda _: 1,
) -> Iterator[tuple[Done, Progress]]:
    """What came of each part, in order, and the bar, to print above it.

    `work` is a function of a module; `together` parts go to a process at once; `size` is how much
    of the total a part is.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar, Pool(jobs) as pool:
        task = bar.add_task(title, total=sum(map(size, parts)))
        for one, part in zip(pool.imap(work, parts, chunksize=together), parts, strict=True):
            yield one, bar
            bar.advance(task, size(part))
