"""What a change of manifests does to the cost of the nodes: lines, Markdown for a review, data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.model import resources
from bayplan.provisioning.prices import HOURS_A_MONTH
from bayplan.provisioning.result import Result
from bayplan.reports import simulation

_MICRO = 1_000_000
_MOST_ROWS = 30
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class CostChange:
    """Two simulations with the same options; `name` is what the earlier one is called."""

    name: str
    then: Result
    now: Result

    @property
    def month(self) -> int:
        """Microdollars a month."""
        return self.now.month - self.then.month

    @property
    def percent(self) -> float | None:
        """None if nothing cost anything before."""
        return 100 * self.month / self.then.month if self.then.month else None

    @property
    def doubtful(self) -> bool:
        """Whether the search itself may be the cause: neither plan is proven to be the best."""
        slack = sum(each.bought - each.bound for each in (self.then, self.now) if each.bound)
        return 0 < abs(self.now.cost - self.then.cost) <= slack

    def grew_by_more_than(self, percent: float) -> bool:
        if self.percent is None:
            return self.month > 0
        return self.percent > percent


def data(change: CostChange) -> dict[str, Any]:
    """The change as data, beside the data of the simulation."""
    then = change.then
    return {
        "name": change.name,
        "costDollarsPerMonth": _dollars(then.month),
        "changeDollarsPerMonth": _dollars(change.month),
        "changePercent": None if change.percent is None else round(change.percent, 2),
        "withinSearchError": change.doubtful,
        "nodes": len(then.nodes),
        "placed": then.pods,
        "unplaced": sum(one.count for one in then.missing),
        "workloads": [
            {
                "workload": title,
                "podsBefore": before.pods,
                "pods": after.pods,
                "changeMilliCpu": after.cpu - before.cpu,
                "changeMemoryBytes": after.memory - before.memory,
            }
            for title, before, after in _workloads(change)
        ],
    }


def lines(change: CostChange) -> Iterator[str]:
    """The change under the table of a simulation."""
    yield f"compared with {change.name}: {_summary(change)}"
    if change.doubtful:
        yield f"  {_DOUBT}"
    rows = list(_workloads(change))
    for title, before, after in rows[:_MOST_ROWS]:
        yield f"  {title}: {_pods(before, after)}, {_cpu(before, after)}, {_mem(before, after)}"
    if len(rows) > _MOST_ROWS:
        yield f"  and {len(rows) - _MOST_ROWS} more workloads (-o json lists all)"


def markdown(result: Result, change: CostChange | None) -> str:
    """A comment for a review: cost, nodes, workloads that changed, pods without room."""
    said = _markdown_of(result) if change is None else _markdown_change(change)
    return "\n".join([*said, *_missing(result), *_sources(result), ""])


_DOUBT = "the difference is so small that the search itself may be the cause; see the bound"


def _markdown_of(result: Result) -> Iterator[str]:
    yield f"### Nodes: **{simulation.dollars(result.month)} a month**"
    yield ""
    yield simulation.headline(result)
    yield from _types({}, _by_type(result), "")


def _markdown_change(change: CostChange) -> Iterator[str]:
    then, now = change.then, change.now
    yield f"### Nodes: **{_signed_dollars(change.month)} a month**{_share(change)}"
    yield ""
    yield f"| | {_code(change.name)} | now | change |"
    yield "|---|--:|--:|--:|"
    rows = (
        ("cost a month", then.month, now.month, simulation.dollars, _signed_dollars),
        (
            "no plan costs less than",
            then.bound * HOURS_A_MONTH, now.bound * HOURS_A_MONTH,
            simulation.dollars, _signed_dollars,
        ),
        ("nodes", len(then.nodes), len(now.nodes), str, _signed),
        ("pods", then.pods, now.pods, str, _signed),
        ("pods without room", _unplaced(then), _unplaced(now), str, _signed),
    )  # fmt: skip
    for name, old, new, shown, signed in rows:
        yield f"| {name} | {shown(old)} | {shown(new)} | {signed(new - old)} |"
    if change.doubtful:
        yield ""
        yield f"*{_DOUBT[0].upper()}{_DOUBT[1:]}.*"
    yield from _types(_by_type(then), _by_type(now), change.name)
    changed = list(_workloads(change))
    if changed:
        yield ""
        yield "| workload | pods | CPU | memory |"
        yield "|---|--:|--:|--:|"
    for title, before, after in changed[:_MOST_ROWS]:
        cells = (_pods(before, after, ""), _cpu(before, after, ""), _mem(before, after, ""))
        yield f"| {_code(title)} | {' | '.join(cells)} |"
    if len(changed) > _MOST_ROWS:
        yield f"| and {len(changed) - _MOST_ROWS} more | | | |"


def _types(then: Mapping[str, int], now: Mapping[str, int], name: str) -> Iterator[str]:
    kinds = sorted({*then, *now})
    if not kinds:
        return
    yield ""
    yield f"| instance type | {_code(name)} | now |" if name else "| instance type | nodes |"
    yield "|---|--:|--:|" if name else "|---|--:|"
    for kind in kinds:
        before = f" {then.get(kind, 0)} |" if name else ""
        yield f"| {kind} |{before} {now.get(kind, 0)} |"


def _missing(result: Result) -> Iterator[str]:
    for one in result.missing[:_MOST_ROWS]:
        yield ""
        yield f"**No room** for {one.count} of {_code(one.title)}: {_cell(one.message)}"
        for hint in one.hints:
            yield f"- would fit {_cell(hint)}"


def _sources(result: Result) -> Iterator[str]:
    if result.nodes:
        sources = ", ".join(sorted({one.source for one in result.nodes}))
        yield ""
        yield f"<sub>Prices: {_cell(sources)}. Made by `bayplan simulate`.</sub>"


@dataclass(frozen=True, slots=True)
class _Share:
    """Pods of a workload, and what they ask for."""

    pods: int = 0
    cpu: int = 0
    memory: int = 0


def _workloads(change: CostChange) -> Iterator[tuple[str, _Share, _Share]]:
    """The workloads that differ, before and now; the largest change of CPU first."""
    then, now = _shares(change.then), _shares(change.now)
    differing = [
        (title, then.get(title, _Share()), now.get(title, _Share()))
        for title in {**then, **now}
        if then.get(title) != now.get(title) and not title.startswith("DaemonSet ")
    ]
    yield from sorted(differing, key=lambda row: (-abs(row[2].cpu - row[1].cpu), row[0]))


def _shares(result: Result) -> dict[str, _Share]:
    """Placed pods by workload; those without room count as pods that ask for nothing."""
    found: dict[str, _Share] = {}
    held = ((title, pods, amount) for one in result.nodes for title, pods, amount in one.held)
    missing = ((one.title, one.count, resources.NOTHING) for one in result.missing)
    for title, pods, amount in (*held, *missing):
        known = found.get(title, _Share())
        found[title] = _Share(
            known.pods + pods,
            known.cpu + amount.amount(resources.CPU),
            known.memory + amount.amount(resources.MEMORY),
        )
    return found


def _by_type(result: Result) -> dict[str, int]:
    return {kind: len(nodes) for kind, nodes in simulation.by_type(result).items()}


def _summary(change: CostChange) -> str:
    then, now = change.then, change.now
    dollars = f"{simulation.dollars(then.month)} → {simulation.dollars(now.month)} a month"
    counts: Iterable[str] = (
        f"nodes {len(then.nodes)} → {len(now.nodes)}",
        f"pods {then.pods} → {now.pods}",
    )
    return f"{dollars} ({_signed_dollars(change.month)}{_comma(change)}), {', '.join(counts)}"


def _comma(change: CostChange) -> str:
    return "" if change.percent is None else f", {change.percent:+.1f} %"


def _share(change: CostChange) -> str:
    return "" if change.percent is None else f" ({change.percent:+.1f} %)"


def _unplaced(result: Result) -> int:
    return sum(one.count for one in result.missing)


def _dollars(micro: int) -> float:
    return round(micro / _MICRO, 2)


def _signed_dollars(micro: int) -> str:
    sign = "+" if micro > 0 else "-" if micro < 0 else ""
    return f"{sign}{simulation.dollars(abs(micro))}"


def _signed(count: int) -> str:
    return f"{count:+d}" if count else "0"


def _pods(before: _Share, after: _Share, unit: str = " pods") -> str:
    if before.pods == after.pods:
        return f"{after.pods}{unit}"
    return f"{before.pods} → {after.pods}{unit}"


def _cpu(before: _Share, after: _Share, unit: str = " CPU") -> str:
    return f"{(after.cpu - before.cpu) / 1000:+.3g}{unit}"


def _mem(before: _Share, after: _Share, unit: str = " memory") -> str:
    return f"{(after.memory - before.memory) / _GIB:+.3g} GiB{unit}"


def _code(text: str) -> str:
    """A name in a cell of a table; it may come from anybody's manifests."""
    return f"`{_cell(text).replace('`', '')}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
