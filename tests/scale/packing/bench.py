"""Run the packing bench.

Each case runs in a process of its own, one after the other, so that its memory is its own. Prints a
table of what must be reached and what was, writes JSON, exits 1 when a limit of
`tests/scale/budgets.yaml` is exceeded and 2 when the data is missing. On a busy machine
`--clock cpu` measures what a quiet one would show: every case is one thread.
"""

import argparse
import json
import operator
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "operator"))

from cases import CASES  # noqa: E402  the path comes first
from mixes import data_directory  # noqa: E402

BUDGETS = ROOT / "tests" / "scale" / "budgets.yaml"
RIVALS = "Karpenter and kube-scheduler: the published algorithms re-implemented, not the programs."
STRETCH = "stretch"  # before a limit: wished for, not asked for
_MEETS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "most": (operator.ge, "≤"),
    "least": (operator.le, "≥"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--only", action="append", choices=list(CASES), help="run these cases")
    parser.add_argument("--alone", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    os.environ["BAYPLAN_BENCH_CLOCK"] = options.clock
    if options.alone:
        figures = CASES[options.alone]()
        figures["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(figures))
        return 0
    console = Console(width=int(os.environ.get("COLUMNS", "132")))
    if not (data_directory() / "ec2").is_dir():
        console.print(f"no packing data in {data_directory()}; set BAYPLAN_PACKING_DATA")
        return 2
    budgets = yaml.safe_load(BUDGETS.read_text())["packing"]
    results, failed = {}, 0
    table = Table("case", "must", "reached", "seconds", "MiB", "beside it")
    for case in options.only or list(CASES):
        with console.status(case):
            figures = alone(case)
        results[case] = figures
        limits = budgets[case] | {"memory_mib": budgets["memory_mib"]}
        path = limits.pop("path")
        verdicts = [each for name in limits for each in judged(name, limits[name], figures)]
        failed += sum(not met for met, hard, *_ in verdicts if hard)
        table.add_row(f"{case}\n[dim]{path}[/]", *shown(verdicts, figures))
    console.print(table)
    console.print(RIVALS)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"{failed} limits exceeded" if failed else "all limits held")
    return 1 if failed else 0


def alone(case: str) -> dict[str, Any]:
    """The figures of one case, from its own process; a crash is a figure too."""
    command = [sys.executable, __file__, "--alone", case]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr else "died"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def judged(name: str, limit: dict[str, float], figures: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(met, hard, name, text of the limit, value) for each bound on a figure."""
    verdicts = []
    for key, bound in limit.items():
        prefix, _, kind = key.rpartition("_")
        if kind not in _MEETS:
            continue
        test, sign = _MEETS[kind]
        value = figures.get(name)
        met = value is not None and test(bound, value)
        verdicts.append((met, prefix != STRETCH, name, f"{prefix} {sign} {bound:g}".strip(), value))
    return verdicts


def shown(verdicts: list[tuple[Any, ...]], figures: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a row: limits, figures in colour, time, memory, whatever else was measured."""
    judged_names = {name for _, _, name, _, _ in verdicts}
    lines, reached = [], []
    for met, hard, name, limit, value in verdicts:
        if name in {"memory_mib", "seconds"} and met:
            continue
        colour = "green" if met else "red" if hard else "yellow"
        lines.append(f"{name} {limit}")
        text = "none" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
        reached.append(f"[{colour}]{text}[/]")
    other = {k: v for k, v in figures.items() if k not in judged_names | {"seconds", "memory_mib"}}
    beside = ", ".join(
        f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in other.items()
    )
    seconds, memory = figures.get("seconds"), figures.get("memory_mib")
    return (
        "\n".join(lines),
        "\n".join(reached),
        "" if seconds is None else f"{seconds:.2f}",
        "" if memory is None else f"{memory:.0f}",
        beside,
    )


if __name__ == "__main__":
    sys.exit(main())
