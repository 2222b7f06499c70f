"""How the demo looks: bars that move on a terminal, plain lines elsewhere, then tables."""

import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bayplan import units
from tools.demo import company, picture, scene

_BAR_CELLS = 16
_NEWS_SECONDS = 5  # between two lines where nothing can be redrawn
_PLAIN_COLUMNS = 110
ExitCodes = Mapping[tuple[str, str], Mapping[int, int]]  # (job, run) -> attempt -> code
_FULL_PERCENT, _HALF_PERCENT = 80, 50


def console() -> Console:
    """Standard output; as wide as the tables need where it is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_COLUMNS)


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


class Progress:
    """Shows views as they come: redrawn in place on a terminal, else a line now and then."""

    def __init__(self, on: Console, began: float) -> None:
        self._console = on
        self._began = began
        self._live = (
            Live(console=on, auto_refresh=False, transient=True) if on.is_terminal else None
        )
        self._said, self._said_at = "", 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, view: scene.View, awaited: Sequence[str]) -> None:
        if not (view.stored_nodes and view.services):
            return  # the first lists are still to come
        now = time.monotonic()
        headline = _headline(view)
        if self._live:
            goal = f"waiting for {', '.join(awaited)}" if awaited else "all seen"
            head = Text(f"{clock(now - self._began)}  {headline}", style="bold")
            table = _node_table(picture.used(view.nodes), self._console)
            self._live.update(Group(head, Text(goal, style="dim"), table), refresh=True)
        elif headline != self._said and (now - self._said_at >= _NEWS_SECONDS or not awaited):
            self._console.print(f"{clock(now - self._began)}  {headline}")
            self._said, self._said_at = headline, now


def tables(on: Console, fullest: scene.View, last: scene.View, exit_codes: ExitCodes) -> None:
    """Where everything went at the fullest moment, what waits, how runs ended."""
    holding = picture.used(fullest.nodes)
    moment = time.strftime("%H:%M:%S", time.localtime(fullest.at))
    heading(on, f"The fullest moment, {moment}: {len(holding)} of {len(fullest.nodes)} nodes used")
    on.print(_node_table(holding, on, total=True))
    on.print(f"Prices: {'; '.join(picture.price_sources(holding))}", style="dim")
    heading(on, "What waits, and why")
    waiting = picture.waiting(last.jobs, last.services)
    for one in waiting:
        on.print(f"{one.kind} {one.name} ({one.tasks}): {one.message}", soft_wrap=True)
    if not waiting:
        on.print("Nothing.")
    heading(on, "How runs ended")
    on.print(_run_table(last, exit_codes))


def comparison(
    on: Console, fullest: scene.View, theirs: Sequence[picture.Node], without_room: int
) -> None:
    """The same pods on identical nodes, side by side."""
    ours, waiting = fullest.comparable_nodes, picture.unplaced(fullest.comparable_pods)
    left_out = "; what runs on real nodes is left out" * fullest.has_real_nodes
    pods = len(fullest.comparable_pods)
    heading(on, f"The same {pods} pods on {len(ours)} nodes alike, side by side{left_out}")
    table = _table("", "Bayplan", "kube-scheduler")
    sides = [picture.used(ours), picture.used(theirs)]
    table.add_row("nodes used", *(f"{len(side)} of {len(ours)}" for side in sides))
    table.add_row("of which", *("\n".join(_types(side)) for side in sides))
    for resource in picture.RESOURCES:
        filled = (f"{picture.percent(resource, side)} %" for side in sides)
        table.add_row(f"their fill: {resource}", *filled)
    costs = [picture.microdollars_per_hour(side) for side in sides]
    table.add_row("their $/h", *(picture.dollars(cost) for cost in costs), style="bold")
    table.add_row("pods without room", str(waiting), str(without_room))
    on.print(table)
    on.print(
        "Both with default settings; kube-scheduler was given all of them at once.", style="dim"
    )


def what_next(on: Console, fullest: scene.View, kubeconfig: Path, metrics_port: int) -> None:
    """Commands to try on the cluster that stays up: the three best ones first."""
    python = shlex.quote(_relative(Path(sys.executable)))
    heading(on, "The cluster stays up. In this shell, type")
    _command(on, f'eval "$({python} -m localcluster env --name demo)"')
    on.print("and then")
    for command, why in best_commands(fullest):
        _command(on, command, why)
    on.print("More")
    for command, why in _other_commands(fullest, python, metrics_port):
        _command(on, command, why)
    on.print("`bayplan dashboard` shows all of it as a page: it prints a link for the browser.")
    on.print("docs/tutorial.md works on this cluster, from its step 3 on.")
    on.print(f"KUBECONFIG is {kubeconfig}", style="dim", soft_wrap=True)


def best_commands(fullest: scene.View) -> Iterator[tuple[str, str]]:
    """What nothing else shows as well: why something waits, what nodes cost, how a run went."""
    here = f"-n {company.NAMESPACE}"
    waiting = picture.waiting(fullest.jobs, ())
    job = waiting[0].name if waiting else company.CHAIN[-1]
    yield f"bayplan explain job/{job} {here}", "why it waits, and what would help"
    yield "bayplan top nodes", "what each node costs, and how full it is"
    if fullest.has_real_nodes:
        yield f"bayplan logs {company.CHAIN[-1]} {here}", "what its last run said"
    else:
        yield f"bayplan runs {company.CHAIN[-1]} {here}", "how its runs ended"


def _other_commands(
    fullest: scene.View, python: str, metrics_port: int
) -> Iterator[tuple[str, str]]:
    here, open_ = (
        f"-n {company.NAMESPACE}",
        "from localcluster import Cluster; Cluster.open('demo')",
    )
    yield f"kubectl get batchjobs,longservices {here} -o wide", "everything, and why it waits"
    yield f"bayplan graph {here}", "which job waits for which"
    yield f"kubectl scale longservice api --replicas=8 {here}", "five more, packed"
    yield f"kubectl cordon {fullest.busiest_for_services}", "its instances move, replacements first"
    add = f"{open_}.add_kwok_nodes('r5.4xlarge:us-east-1a=1')"
    yield f'{python} -c "{add}"', "room for what waits"
    yield "bayplan doctor", "whether all is well with the operator"
    metrics = f"http://127.0.0.1:{metrics_port}/metrics"
    yield f"curl -s {metrics} | grep ^bayplan_", "the operator's metrics"
    yield "make down", "stops all of it"


def _command(on: Console, command: str, why: str = "") -> None:
    if why:
        on.print(Text(f"  # {why}", style="dim"))
    on.print(Text(f"  {command}"), soft_wrap=True)


def heading(on: Console, text: str) -> None:
    on.print()
    on.print(Text(text, style="bold"))


def _headline(view: scene.View) -> str:
    totals = picture.counts(view.jobs, view.services)
    waiting = sum(one.tasks for one in picture.waiting(view.jobs, view.services))
    return (
        f"services {totals.ready}/{totals.desired} ready · runs {totals.succeeded} done, "
        f"{totals.failed} failed, {totals.running} under way · {waiting} waiting for room · "
        f"{len(picture.used(view.nodes))}/{len(view.nodes)} nodes"
    )


def _node_table(nodes: Sequence[picture.Node], on: Console, *, total: bool = False) -> Table:
    table = _table("node", "pods", "cpu requested", "memory requested", "$/h")
    for node in nodes:
        table.add_row(
            node.name,
            str(node.pods),
            *(_fill(resource, [node], on) for resource in ("cpu", "memory")),
            picture.dollars(node.price.microdollars_per_hour),
        )
    if total:
        table.add_section()
        table.add_row(
            f"{len(nodes)} nodes",
            str(sum(node.pods for node in nodes)),
            *(_fill(resource, nodes, on) for resource in ("cpu", "memory")),
            picture.dollars(picture.microdollars_per_hour(nodes)),
            style="bold",
        )
    return table


def _fill(resource: str, nodes: Sequence[picture.Node], on: Console) -> Text:
    percent = picture.percent(resource, nodes)
    full, empty = ("█", "░") if on.encoding.startswith("utf") else ("#", ".")
    cells = percent * _BAR_CELLS // 100
    style = "green" if percent >= _FULL_PERCENT else "yellow" if percent >= _HALF_PERCENT else "red"
    asked = sum(node.requested[resource] for node in nodes)
    shown = units.format_cpus(asked) if resource == "cpu" else units.format_bytes(asked)
    bar = (full * cells, style), (empty * (_BAR_CELLS - cells), "dim")
    return Text.assemble(*bar, f" {percent:3} %  {shown}")


def _run_table(view: scene.View, exit_codes: ExitCodes) -> Table:
    table = _table("job", "runs", "the last one", "exit codes", "node")
    crawlers = [job for job in view.jobs if company.is_crawler(job)]
    others = [job for job in view.jobs if not company.is_crawler(job)]
    for run in picture.last_runs(others):
        codes = exit_codes.get((run.job, run.run), {})
        if run.exit_code is not None:
            codes = {**codes, run.attempts - 1: run.exit_code}
        shown = ", then ".join(str(codes[attempt]) for attempt in sorted(codes))
        said = " ".join(dict.fromkeys(filter(None, (run.outcome, run.reason))))
        table.add_row(run.job, str(run.runs), said, shown, run.node)
    totals = picture.counts(crawlers, [])
    table.add_row(
        f"{len(crawlers)} crawlers",
        str(totals.succeeded + totals.failed),
        f"{totals.succeeded} succeeded, {totals.failed} failed",
    )
    return table


def _types(nodes: Iterable[picture.Node]) -> list[str]:
    names = [node.instance_type for node in nodes]
    return [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    return table


def _relative(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
