"""Writes pages of docs/reference from what they tell: CRDs, commands, metrics, settings, budgets.

`python -m tools.reference --write` writes the files, `--check` fails when one is out of date.
"""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bayplan import settings
from bayplan.api import kinds
from bayplan.metrics import Metrics
from tools import cli_reference, operators, reasons

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"
_NOTE = "<!-- Written by `python -m tools.reference --write`; do not edit. -->\n"
_SHOWN_DEFAULT = 60  # characters
# What Kubernetes defines is told by Kubernetes.
_FOREIGN = ("template.spec", "template.metadata")

Row = tuple[str, ...]


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """One line, with nothing that a table, HTML or a template would take for its own."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# ── fields ───────────────────────────────────────────────────────────────────────────────────────


def _fields(schema: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path, inner
        if path in _FOREIGN or path.removeprefix("spec.") in _FOREIGN:
            continue
        if inner.get("type") == "array":
            yield from _fields(inner["items"], f"{path}[]")
        elif inner.get("type") == "object":
            yield from _fields(inner, path)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    bounds = [
        f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if key in schema
    ]
    return " ".join([kind, *bounds])


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return ""
    text = yaml.safe_dump(schema["default"], default_flow_style=True, width=1000)
    text = text.replace("\n...", "").strip()
    return f"`{text}`" if len(text) <= _SHOWN_DEFAULT else "see its fields"


def fields(plural: str, kind: str) -> str:
    """Every field of a kind, as `kubectl explain` tells it, in one table."""
    crd = yaml.safe_load((ROOT / f"crds/{plural}.bayplan.dev.yaml").read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parts = [f"# Fields of {kind}\n\n{_NOTE}\nAlso: `kubectl explain {plural} --recursive`.\n"]
    for part in ("spec", "status"):
        rows = [
            (f"`{path}`", _type(inner), _default(inner), str(inner.get("description", "")))
            for path, inner in _fields(schema[part])
        ]
        parts.append(f"\n## {part}\n\n{_table(('field', 'type', 'default', 'meaning'), rows)}")
        rules = [rule["message"] for rule in schema[part].get("x-kubernetes-validations", ())]
        if rules:
            parts.append("\nRules over several fields:\n\n")
            parts.append("".join(f"- {_cell(rule)}\n" for rule in rules))
    return "".join(parts)


# ── metrics and settings ─────────────────────────────────────────────────────────────────────────


def metrics() -> str:
    """Every metric with its type, labels and meaning."""
    rows: list[Row] = []
    metric: Any
    for metric in sorted(
        Metrics().registry._collector_to_names,  # noqa: SLF001  no public walk has labels
        key=lambda each: each._name,  # noqa: SLF001
    ):
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001
        name = metric._name + ("_total" if metric._type == "counter" else "")  # noqa: SLF001
        rows.append((f"`{name}`", metric._type, labels, metric._documentation))  # noqa: SLF001
    head = (
        f"# Metrics\n\n{_NOTE}\n`/metrics` on port 9090. Labels are closed lists: never the name of"
        " a pod, a job or a namespace. `pool` is the name of a Pool.\n\n"
    )
    return head + _table(("metric", "type", "labels", "meaning"), rows)


def options() -> str:
    """Every option of the operator; each is also an environment variable."""
    rows = []
    for name, field in settings.Settings.model_fields.items():
        default = getattr(field.default, "value", field.default)
        text = str(default).lower() if isinstance(default, bool) else default
        shown = "" if text in {None, ""} else f"`{text}`"
        rows.append((f"`--{name.replace('_', '-')}`", shown, field.description or ""))
    head = (
        f"# Settings of the operator\n\n{_NOTE}\n`python -m bayplan --help`. Under `kopf run` each"
        f" is an environment variable: `--lease-name` is `BAYPLAN_LEASE_NAME`.\n\n"
    )
    return head + _table(("option", "default", "meaning"), rows)


# ── reasons ──────────────────────────────────────────────────────────────────────────────────────


def events() -> str:
    """Every reason of an Event, of a condition, and of a node's refusal."""
    head = (
        f"# Events and reasons\n\n{_NOTE}\nThe words are closed lists: alerts and scripts may rely"
        " on them. The sentence beside each has the numbers.\n"
    )
    parts = (
        (
            "Events",
            "`kubectl events --for batchjob/NAME`. An Event is sent once for each change.",
            _table(("reason", "type", "of", "meaning", "what to do"), reasons.event_rows()),
        ),
        (
            "Reasons of conditions",
            "`kubectl get batchjob NAME -o yaml`, under `status.conditions`.",
            _table(("reason", "of", "meaning", "what to do"), reasons.condition_rows()),
        ),
        (
            "Why a node refuses",
            "`status.placement.refusals[].reason`; each node is charged to the first that holds.",
            _table(("reason", "meaning"), reasons.refusal_rows()),
        ),
    )
    return head + "".join(f"\n## {title}\n\n{text}\n\n{table}" for title, text, table in parts)


# ── operators ────────────────────────────────────────────────────────────────────────────────────

_BEGINS = "<!-- The operators are written by `python -m tools.reference`. -->\n"
_ENDS = "<!-- end -->\n"


def placement() -> str:
    """The page as it is, with the table of the operators as they are."""
    before, rest = (REFERENCE / "placement.md").read_text(encoding="utf-8").split(_BEGINS)
    after = rest.partition(_ENDS)[2]
    head = ("operator", "`value`", "means", "compiled into the pod as")
    return f"{before}{_BEGINS}\n{_table(head, operators.rows())}\n{_ENDS}{after}"


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────

_SIGNS = {"most": "≤", "least": "≥"}
_ON_A_SERVER = "the operator on an API server"


def kept(limits: Mapping[str, float]) -> str:
    """Whether the recorded figure keeps its limit; empty if none is recorded."""
    measured = limits.get("measured", limits.get("mean"))
    if measured is None:
        return ""
    most, least = limits.get("most", measured), limits.get("least", measured)
    return "yes" if least <= measured <= most else "**missed**"


def budgets() -> str:
    """What the benchmarks must reach, and what they reached."""
    found = yaml.safe_load((ROOT / "tests/scale/budgets.yaml").read_text(encoding="utf-8"))
    packing, economy = (
        {f"{group} {name}": each for name, each in found.pop(group).items() if "most" not in each}
        for group in ("packing", "economy")
    )
    rows: list[Row] = []
    for case, figures in {**packing, **economy, **found}.items():
        path = figures.pop("path", _ON_A_SERVER)
        for figure, limits in figures.items():
            signs = [f"{sign} {limits[key]}" for key, sign in _SIGNS.items() if key in limits]
            measured = str(limits.get("measured", limits.get("mean", "")))
            spread = f" ± {limits['spread']}" if "spread" in limits and measured else ""
            rows.append(
                (
                    case.replace("_", " "),
                    figure.replace("_", " "),
                    *signs,
                    measured + spread,
                    kept(limits),
                    path,
                )
            )
    head = (
        f"# Benchmarks: limits and figures\n\n{_NOTE}\nTwo shared cores, fixed seeds."
        " `make bench-packing`, `make bench-e2e` and the others print them and fail when a limit is"
        " exceeded. `kept` says whether the recorded figure is within its limit: **missed** says"
        " that it is not, and an empty cell that no figure is recorded. Gaps are over a lower bound"
        " that holds for every algorithm. The path says what is measured, and"
        " between which two ends.\n\n"
    )
    missed = [f"{row[0]}: {row[1]} {row[3]}, limit {row[2]}" for row in rows if "missed" in row[4]]
    head += f"Missed: {'; '.join(missed) or 'none'}.\n\n"
    return head + _table(("case", "figure", "limit", "measured", "kept", "path"), rows)


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_reference.text,
    "events.md": events,
    **{
        f"fields-{kind.singular}.md": functools.partial(fields, kind.plural, kind.name)
        for kind in kinds.DEFINED
    },
    "metrics.md": metrics,
    "placement.md": placement,
    "settings.md": options,
    "benchmarks.md": budgets,
}


def main(arguments: list[str]) -> int:
    """0, or 1 when `--check` finds a page out of date."""
    stale = [
        name
        for name, text in PAGES.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text("utf-8") != text()
    ]
    if "--write" in arguments:
        for name in stale:
            (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
        return 0
    for name in stale:
        print(f"docs/reference/{name} is out of date: make crds")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
