"""Structural schemas read by tests: what they refuse, and values that they accept.

Shares no code with the generator: it reads the written files, as the API server would.
"""

import functools
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import re2
import yaml
from hypothesis import strategies as st

Schema = dict[str, Any]

ROOT = Path(__file__).parents[1]
PLURALS = {"BatchJob": "batchjobs", "LongService": "longservices", "Pool": "pools"}
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
# Times of a status: what lies outside is none (docs/operate/failures.md).
_MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@functools.cache
def definition(kind: str) -> Schema:
    """The CustomResourceDefinition as it lies in the repository; not to be changed."""
    path = ROOT / "crds" / f"{PLURALS[kind]}.bayplan.dev.yaml"
    read: Schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def schema_of(kind: str, part: str) -> Schema:
    """The schema of `spec` or `status`."""
    version = definition(kind)["spec"]["versions"][0]
    read: Schema = version["schema"]["openAPIV3Schema"]["properties"][part]
    return read


def violations(schema: Schema, value: object, path: str = "") -> list[str]:
    """What the API server would refuse or prune of a value; CEL rules apart."""
    if schema.get(INT_OR_STRING):
        whole = isinstance(value, int) and not isinstance(value, bool)
        kind = "integer" if whole else "string"
    else:
        kind = schema["type"]
    match kind, value:
        case "boolean", bool():
            return []
        case "integer", int() if not isinstance(value, bool):
            low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
            return [] if low <= value <= high else [f"{path}: {value} is out of bounds"]
        case "string", str():
            return _of_text(schema, value, path)
        case "array", list():
            return _of_list(schema, value, path)
        case "object", dict():
            return _of_object(schema, value, path)
    return [f"{path}: {value!r} is not of type {kind}"]


def _of_text(schema: Schema, value: str, path: str) -> list[str]:
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is not among {schema['enum']}"]
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return [f"{path}: {len(value)} characters"]
    if "pattern" in schema and not re2.search(schema["pattern"], value):
        return [f"{path}: {value!r} does not match"]
    if schema.get("format") == "date-time" and not _TIME.fullmatch(value):
        return [f"{path}: {value!r} is no time"]
    return []


def _of_list(schema: Schema, value: list[Any], path: str) -> list[str]:
    found: list[str] = []
    if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
        found.append(f"{path}: {len(value)} items")
    keys = schema.get("x-kubernetes-list-map-keys", [])
    named = [tuple(str(one.get(key)) for key in keys) for one in value if isinstance(one, dict)]
    if keys and len(set(named)) < len(named):
        found.append(f"{path}: two items with the same {keys}")
    for index, one in enumerate(value):
        found += violations(schema["items"], one, f"{path}[{index}]")
    return found


def _of_object(schema: Schema, value: dict[str, Any], path: str) -> list[str]:
    if "additionalProperties" in schema:
        found = [f"{path}: too many"] if len(value) > schema["maxProperties"] else []
        for key, one in value.items():
            found += violations(schema["additionalProperties"], one, f"{path}.{key}")
        return found
    properties = schema["properties"]
    found = [f"{path}.{key}: missing" for key in schema.get("required", ()) if key not in value]
    for key, one in value.items():
        if key in properties:
            found += violations(properties[key], one, f"{path}.{key}")
        elif not schema.get(PRESERVE):
            found.append(f"{path}.{key}: unknown, pruned")
    return found


def accepted(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that the schema accepts, small ones; CEL rules apart."""
    if schema.get(INT_OR_STRING):
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
        texts = [
            text for text in ("1", "http", "500m", "2Gi", "1e3") if not _of_text(schema, text, "")
        ]
        return st.integers(low, high) | st.sampled_from(texts)
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 2**31 - 1))
        case "string" if "enum" in schema:
            return st.sampled_from(schema["enum"])
        case "string" if "format" in schema:
            return _MOMENTS.map(lambda time: time.isoformat(timespec="seconds") + "Z")
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True).map(
                lambda text: text[: schema["maxLength"]].rstrip("-\n") or "a"
            )
        case "string":
            low, high = schema.get("minLength", 0), min(schema["maxLength"], 12)
            return st.text(min_size=low, max_size=high)
        case "array":
            keys = schema.get("x-kubernetes-list-map-keys")
            low, high = schema.get("minItems", 0), min(schema["maxItems"], 3)
            return st.lists(
                accepted(schema["items"]),
                min_size=low,
                max_size=max(low, high),
                unique_by=(lambda one: tuple(str(one.get(key)) for key in keys)) if keys else None,
            )
    if "additionalProperties" in schema:
        values = accepted(schema["additionalProperties"])
        return st.dictionaries(st.text("abc/.-", min_size=1, max_size=8), values, max_size=3)
    required = set(schema.get("required", ()))
    parts = {key: accepted(one) for key, one in schema["properties"].items()}
    return st.fixed_dictionaries(
        {key: parts[key] for key in parts if key in required},
        optional={key: parts[key] for key in parts if key not in required},
    )
