"""The custom resource definitions: current, small, structural, explained, bounded.

The rules of structural schemas are written down here a second time, from the API server's side,
so that a fault of the generator does not hide behind itself.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import re2
import yaml

import bayplan
from bayplan.api import crds
from tests.schemas import INT_OR_STRING, PLURALS, PRESERVE, ROOT, Schema, definition, schema_of

KINDS = tuple(PLURALS)
CHART = ROOT / "charts" / "bayplan-crds"
LAST_APPLIED = 60 * 1024  # of the 256 KiB that an annotation may hold

SCALARS = {"string", "integer", "boolean"}
KEYWORDS = {
    *("type", "format", "description", "default", "enum", "pattern", "properties", "required"),
    *("items", "additionalProperties", "anyOf", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
    *(PRESERVE, INT_OR_STRING),
}


def root_of(kind: str) -> Schema:
    root: Schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema below and with this one."""
    yield path, schema
    for name, one in schema.get("properties", {}).items():
        yield from nodes(one, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], path + mark)


def faults(path: str, schema: Schema) -> list[str]:
    """What of the API server's rules for structural schemas one node breaks."""
    kind = schema.get("type")
    numbers = [{"type": "integer"}, {"type": "string"}]
    broken = {
        "unknown keyword": bool(schema.keys() - KEYWORDS),
        "type": not kind and not schema.get(INT_OR_STRING),
        "type is not one": kind is not None and kind not in SCALARS | {"object", "array"},
        "anyOf": "anyOf" in schema
        and (schema["anyOf"] != numbers or not schema.get(INT_OR_STRING) or kind is not None),
        "int-or-string needs anyOf": INT_OR_STRING in schema and "anyOf" not in schema,
        "items": (kind == "array") != isinstance(schema.get("items"), dict),
        "properties of no object": kind != "object"
        and bool({"properties", "additionalProperties", "required", PRESERVE} & schema.keys()),
        "both kinds of properties": {"properties", "additionalProperties"} <= schema.keys(),
        "required but unknown": not set(schema.get("required", ()))
        <= schema.get("properties", {}).keys(),
        "empty required": schema.get("required") == [],
        "default of another type": not is_default_of(schema),
        "list type": kind == "array"
        and schema.get("x-kubernetes-list-type") not in {"atomic", "set", "map"},
        "set of objects": schema.get("x-kubernetes-list-type") == "set"
        and schema["items"].get("type") not in SCALARS,
        "map keys": not are_map_keys(schema),
        "pattern": "pattern" in schema and not compiles(schema["pattern"]),
        "bounds the wrong way": schema.get("minimum", 0) > schema.get("maximum", 2**63),
    }
    return [f"{path}: {what}" for what, is_so in broken.items() if is_so]


def is_default_of(schema: Schema) -> bool:
    if "default" not in schema:
        return True
    default, kind = schema["default"], schema.get("type")
    if "enum" in schema:
        return default in schema["enum"]
    if kind == "integer":
        low, high = schema.get("minimum", default), schema.get("maximum", default)
        return isinstance(default, int) and low <= default <= high
    return isinstance(default, {"string": str, "boolean": bool}.get(str(kind), ()))


def are_map_keys(schema: Schema) -> bool:
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") != "map":
        return keys is None
    items = schema["items"]
    return bool(keys) and all(
        items["properties"][key].get("type") in SCALARS
        and (key in items.get("required", ()) or "default" in items["properties"][key])
        for key in keys
    )


def compiles(pattern: str) -> bool:
    try:
        re2.compile(pattern)
    except re2.error:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_structural(kind: str) -> None:
    """Each node keeps the API server's rules for structural schemas."""
    assert [] == [fault for path, schema in nodes(root_of(kind)) for fault in faults(path, schema)]


@pytest.mark.parametrize("kind", KINDS)
def test_explained_and_bounded(kind: str) -> None:
    """`kubectl explain` knows every field; strings, lists, maps and whole numbers are bounded."""
    given = {".apiVersion", ".kind", ".metadata"}  # what every object has
    loose = [
        path for path, one in nodes(root_of(kind)) if path not in given and is_loose(path, one)
    ]

    assert [] == loose


def is_loose(path: str, schema: Schema) -> bool:
    kind = schema.get("type", "string")
    return (
        not (schema.get("description") or path.endswith(("[]", "{}")))
        or (kind == "string" and not {"maxLength", "enum", "format"} & schema.keys())
        or (kind == "array" and "maxItems" not in schema)
        or ("additionalProperties" in schema and "maxProperties" not in schema)
        or (kind == "integer" and schema.get("format") not in {"int32", "int64"})
        or (kind == "integer" and path.startswith(".spec") and not is_bounded_in_spec(path, schema))
    )


def is_bounded_in_spec(path: str, schema: Schema) -> bool:
    """Fields of our own have both bounds; those of a pod have the API server's, by dry run."""
    return ".template" in path or {"minimum", "maximum"} <= schema.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_static_scalars_of_the_spec(kind: str) -> None:
    """No default in a status or in a template (it would change hashes), no structure."""
    for path, schema in nodes(root_of(kind)):
        if "default" in schema:
            assert path.startswith(".spec")
            assert ".template" not in path
            assert schema["type"] in SCALARS


@pytest.mark.parametrize("kind", KINDS)
def test_statuses_require_nothing(kind: str) -> None:
    """Any part of a status may be missing: an older or a newer operator wrote it."""
    assert "required" not in schema_of(kind, "status")
    assert ([] if kind == "Pool" else ["template"]) == schema_of(kind, "spec").get("required", [])


RULES = [
    pytest.param(path, schema, rule, id=f"{kind}{path}:{index}")
    for kind in KINDS
    for path, schema in nodes(root_of(kind))
    for index, rule in enumerate(schema.get("x-kubernetes-validations", ()))
]


@pytest.mark.parametrize(("path", "schema", "rule"), RULES)
def test_rules_speak_of_fields_that_exist(path: str, schema: Schema, rule: dict[str, str]) -> None:
    """Every field that a rule names is in the schema; its message says must and what to write."""
    text = re.sub(r"r?'[^']*'", "''", rule["rule"])
    for name in re.findall(r"(?:self|oldSelf)((?:\.[A-Za-z]+)+)(?!\w*\()", text):
        assert path is not None
        assert exists(schema, name.strip(".").split(".")), name
    if "fieldPath" in rule:
        assert exists(schema, rule["fieldPath"].strip(".").split("."))

    assert text.count("(") == text.count(")")
    assert text.count("''") * 2 == text.count("'")
    assert "must" in rule["message"]
    assert "\n" not in rule["message"]
    assert rule.keys() <= {"rule", "message", "fieldPath", "reason", "optionalOldSelf"}
    assert ("optionalOldSelf" in rule) == ("oldSelf.hasValue()" in rule["rule"])


def exists(schema: Schema, names: list[str]) -> bool:
    if not names or names == ["metadata", "name"]:
        return True
    if names[0] in {"size", "all", "exists", "exists_one", "matches"}:
        return True
    child = schema.get("properties", {}).get(names[0])
    return child is not None and exists(child, names[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_columns_show_fields_that_exist(kind: str) -> None:
    """At most seven columns by default, age among them, each a path of the schema."""
    version = definition(kind)["spec"]["versions"][0]
    columns = version["additionalPrinterColumns"]
    for column in columns:
        path = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "", column["jsonPath"])
        names = path.strip(".").split(".")
        schema = root_of(kind)
        while names and names[0] != "metadata":
            child = schema["properties"][names.pop(0)]
            schema = child.get("items", child)

    assert 7 >= len([column for column in columns if not column.get("priority")])
    assert "Age" in [column["name"] for column in columns]


def test_names() -> None:
    """Group, version, scope, short names and categories; never the category `all`."""
    told = (
        ("BatchJob", "bj", "Namespaced"),
        ("LongService", "lsvc", "Namespaced"),
        ("Pool", "bpool", "Cluster"),
    )
    for kind, short, scope in told:
        spec = definition(kind)["spec"]

        assert ("bayplan.dev", scope) == (spec["group"], spec["scope"])
        assert [short] == spec["names"]["shortNames"]
        assert ["bayplan"] == spec["names"]["categories"]
        assert ["v1alpha1"] == [version["name"] for version in spec["versions"]]
        assert {} == spec["versions"][0]["subresources"]["status"]

    assert {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    } == definition("LongService")["spec"]["versions"][0]["subresources"]["scale"]


@pytest.mark.parametrize("kind", KINDS)
def test_small_enough_for_client_side_apply(kind: str) -> None:
    """What `kubectl apply` writes into its annotation stays far from the limit."""
    assert LAST_APPLIED > len(json.dumps(definition(kind)))


def test_the_repository_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """The written files are what the models say today."""
    status = crds.main(["--check", str(ROOT / "crds"), str(CHART)])

    assert (0, "") == (status, capsys.readouterr().err)


def test_the_chart_keeps_everybodys_jobs() -> None:
    """The chart's templates are the same definitions, kept on uninstall and by Argo CD's prune."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    for kind, plural in PLURALS.items():
        text = (CHART / "templates" / f"{plural}.bayplan.dev.yaml").read_text(encoding="utf-8")
        kept = yaml.safe_load(text)
        annotations = kept["metadata"].pop("annotations")

        assert definition(kind) == kept
        assert "keep" == annotations["helm.sh/resource-policy"]
        assert "Prune=false" in annotations["argocd.argoproj.io/sync-options"].split(",")
        assert "{{" not in text

    assert (bayplan.__version__, ">=1.30.0-0") == (about["version"], about["kubeVersion"])


def test_write_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails for what is missing or differs, and names it; `--write` mends it."""
    folders = [str(tmp_path / "crds"), str(tmp_path / "bayplan-crds")]

    assert 1 == crds.main(["--check", *folders])
    assert 0 == crds.main(["--write", *folders])
    assert 0 == crds.main(["--check", *folders])

    (tmp_path / "crds" / "batchjobs.bayplan.dev.yaml").write_text("changed", encoding="utf-8")
    capsys.readouterr()

    assert 1 == crds.main(["--check", *folders])
    assert "batchjobs.bayplan.dev.yaml differs" in capsys.readouterr().err
    assert {f"{plural}.bayplan.dev.yaml" for plural in PLURALS.values()} == {
        path.name for path in (tmp_path / "crds").iterdir()
    }


def attributes() -> set[str]:
    """Every attribute that the operator's code reads."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.glob("operator/**/*.py"))
    return {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_does_something(kind: str) -> None:
    """A field of the spec that no code reads is not offered."""
    words = {
        re.sub(r"([A-Z])", r"_\1", name).lower()
        for path, _ in nodes(schema_of(kind, "spec"))
        for name in path.strip(".").split(".")
        if name.isalpha() and ".template." not in path
    }

    assert words
    assert set() == words - attributes()
