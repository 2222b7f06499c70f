"""Writes docs/reference/fields.md, every field of the custom resources, from crds/*.yaml.

`python -m tools.field_reference --write` writes the file; `--check` fails when it is out of date.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/reference/fields.md"
_HEAD = """\
# Fields of the custom resources

<!-- Written by `python -m tools.field_reference --write`; do not edit. -->

The API server enforces the types, defaults and rules below.
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for version in crd["spec"]["versions"]:
                parts.append(f"\n## {crd['spec']['names']['kind']} {version['name']}\n\n")
                parts.append("| Field | Type | Default | Meaning and rules |\n|---|---|---|---|\n")
                parts.extend(_rows(version["schema"]["openAPIV3Schema"], ""))
    return "".join(parts)


def _rows(schema: dict[str, Any], path: str) -> Iterator[str]:
    """A row for a field, then for each field within it, in the order of the schema."""
    if path:
        rules = [r.get("message", r["rule"]) for r in schema.get("x-kubernetes-validations", [])]
        told = " ".join([schema.get("description", ""), *(f"Rule: {rule}." for rule in rules)])
        default = f"`{_cell(json.dumps(schema['default']))}`" if "default" in schema else ""
        kind = schema.get("type", "integer or string")
        yield f"| `{path}` | {kind} | {default} | {_cell(told).strip()} |\n"
    for name, inner in schema.get("properties", {}).items():
        yield from _rows(inner, f"{path}.{name}" if path else name)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(inner := schema.get(key), dict):
            yield from _rows(inner, path + mark)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        FILE.write_text(text(), encoding="utf-8")
    elif "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != text():
            sys.exit(f"{FILE.name} is out of date: python -m tools.field_reference --write")
    else:
        print(text(), end="")
