"""Write operator/bayplan/manifests/kubernetes.json.gz from the published schema of Kubernetes.

Usage: python tools/kubeschema.py [--check]. The source is the package `kubernetes-validate`, which
holds the OpenAPI documents of the releases; of them remain names of fields, their types and which
are required. The same input gives the same bytes; `--check` writes nothing and exits 1 when the
file differs.
"""

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "operator" / "bayplan" / "manifests" / "kubernetes.json.gz"

_SCALARS = {"string": "text", "boolean": "boolean", "number": "number", "integer": "int64"}
_FORMATS = {"date-time": "time", "int32": "int32"}
# What is written in more ways than one; OpenAPI says "anything" or a choice.
_SPECIAL = {"Quantity": "quantity", "IntOrString": "integer or text"}


def built() -> bytes:
    """The file: source, kinds with the type of each, types by name; without a time stamp."""
    folder = resources.files("kubernetes_validate").joinpath("kubernetes-json-schema")
    releases = sorted(
        (one.name for one in folder.iterdir() if one.name.endswith("-local")), key=_number
    )
    known: set[str] = set()
    definitions: dict[str, Any] = {}
    for release in releases:
        text = folder.joinpath(release, "_definitions.json").read_text(encoding="utf-8")
        definitions = json.loads(text)["$defs"]
        known |= {kind for _, _, kind, _ in _kinds(definitions)}
    newest = releases[-1].removesuffix("-local")
    kinds = {
        f"{group}/{version}/{kind}".lstrip("/"): name
        for group, version, kind, name in _kinds(definitions)
    }
    types: dict[str, Any] = {}
    todo = sorted(set(kinds.values()))
    while todo:
        name = todo.pop()
        if name not in types:
            types[name] = _type(definitions[name], definitions)
            todo += _referred(types[name]["fields"])
    package = f"kubernetes-validate {metadata.version('kubernetes-validate')}"
    document = {
        "source": f"{package} (Apache-2.0), OpenAPI of Kubernetes {newest}",
        "release": newest.lstrip("v"),
        "known": sorted(known),  # kinds of all releases in the package
        "kinds": dict(sorted(kinds.items())),
        "types": dict(sorted(types.items())),
    }
    text = json.dumps(document, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.removesuffix("-local").lstrip("v").split(".")))


def _kinds(definitions: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Group, version, kind and definition of what can stand in a manifest."""
    for name, one in definitions.items():
        [*served] = one.get("x-kubernetes-group-version-kind", ())
        if len(served) == 1 and "metadata" in one.get("properties", {}):
            [known] = served
            if not known["kind"].endswith("List") and known["kind"] != "Status":
                yield known["group"], known["version"], known["kind"], name


def _type(definition: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: _node(one, definitions) for key, one in definition["properties"].items()}
    return {"required": sorted(definition.get("required", ())), "fields": fields}


def _node(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """A word for a scalar, `#name` of a type, `[node]` for a list, `{"": node}` for a map."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        last = name.rpartition(".")[2]
        if last in _SPECIAL:
            return _SPECIAL[last]
        if "properties" in definitions[name]:
            return f"#{name}"
        return _node(definitions[name], definitions)
    types = schema.get("type", "any")
    [kind] = {types} if isinstance(types, str) else set(types) - {"null"}
    match kind:
        case "array":
            return [_node(schema["items"], definitions)]
        case "object":
            inner = schema.get("additionalProperties")
            return {"": _node(inner, definitions)} if isinstance(inner, dict) else "any"
        case "any":
            return "any"
    return _FORMATS.get(schema.get("format", ""), _SCALARS[kind])


def _referred(node: Any) -> Iterator[str]:
    """Names of the types in a node."""
    if isinstance(node, str) and node.startswith("#"):
        yield node.removeprefix("#")
    elif isinstance(node, list | dict):
        for one in node if isinstance(node, list) else node.values():
            yield from _referred(one)


def main(arguments: list[str]) -> int:
    fresh = built()
    if "--check" in arguments:
        same = TARGET.exists() and gzip.decompress(TARGET.read_bytes()) == gzip.decompress(fresh)
        print(f"{TARGET.relative_to(ROOT)}: {'as built' if same else 'differs; build it again'}")
        return 0 if same else 1
    TARGET.write_bytes(fresh)
    print(f"{TARGET.relative_to(ROOT)}: {len(fresh)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
