"""Judge figures by tests/scale/budgets.yaml: over a limit is a failure, near it is told.

Each entry of a bench is `figure: {most: X, mean: M, spread: S}`, or `least` where more is better.
A case of a bench is named `BENCH/CASE`. A `stretch_most` is wished for and not asked for.
Mean and spread (half the range) say what was measured when the entry was written, on two cores;
`measured` is what one run showed. They lack while nothing was measured.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

FILE = Path(__file__).parents[1] / "budgets.yaml"


def judged(bench: str, figures: Mapping[str, float]) -> int:
    """Print each figure beside its budget; 1 when any is over its limit, else 0."""
    budgets = _limits(bench)
    missing = budgets.keys() - figures.keys()
    assert not missing, f"{bench} did not measure {sorted(missing)}"
    over = []
    for name, entry in budgets.items():
        value, word = figures[name], "least" if "least" in entry else "most"
        limit = entry[word]
        kept = value >= limit if word == "least" else value <= limit
        before = f"before {entry['mean']} ± {entry['spread']}" if "mean" in entry else "not before"
        before = f"before {entry['measured']}" if "measured" in entry else before
        print(f"  {name} = {value:g} (at {word} {limit}; {before}){'' if kept else '  OVER'}")
        if not kept:
            over.append(name)
    if over:
        print(f"{bench}: over the limit: {', '.join(over)}", file=sys.stderr)
    return 1 if over else 0


def _limits(bench: str) -> dict[str, dict[str, float]]:
    found = yaml.safe_load(FILE.read_text())
    for part in bench.split("/"):
        found = found[part]
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)}


def last_line(bench: str, figures: Mapping[str, float]) -> str:
    return " ".join([bench, *(f"{name}={value:g}" for name, value in figures.items())])
