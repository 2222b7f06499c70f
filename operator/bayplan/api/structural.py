"""JSON schema as pydantic writes it → structural schema as the API server takes it.

Generation, not the first `kubectl apply`, refuses everything that is not known to be allowed. It
also refuses a model without what our resources promise: a description for every field, a bound
for every string, list and map, a list type for every list. Rules: apiextensions-apiserver, types
and validation.
"""

from collections.abc import Mapping
from typing import Any

from bayplan.api.meta import Part

Schema = dict[str, Any]

_DROPPED = {"title", "examples", "$defs"}
_KEPT = {
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "description",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_INT32 = 2**31 - 1


class SchemaError(ValueError):
    """A model needs what a structural schema cannot express, or leaves something unbounded."""


def structural(model: type[Part], *, defaults: bool) -> Schema:
    """The schema of a spec (with its defaults) or of a status (without)."""
    schema = model.model_json_schema(mode="validation")
    return _Writer(schema.get("$defs", {}), defaults=defaults).written(schema, model.__name__)


class _Writer:
    """Holds the definitions to which references point."""

    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def written(self, schema: Schema, path: str) -> Schema:
        schema = self._inlined(schema)
        if schema.get("x-kubernetes-int-or-string"):
            return _int_or_string(schema, path)
        out: Schema = {}
        for key, value in schema.items():
            if key in _KEPT or key.startswith("x-kubernetes-"):
                out[key] = value
            elif key not in _DROPPED:
                out |= self._translated(key, value, path)
        if out.get("type") == "integer":
            out.setdefault("format", "int32")
        _check(out, path)
        return _ordered(out)

    def _translated(self, key: str, value: Any, path: str) -> Schema:
        match key:
            case "properties":
                return {key: self._properties(value, path)}
            case "items":
                return {key: self.written(value, f"{path}[]")}
            case "additionalProperties":
                return {key: self._values(value, path)}
            case "default":
                plain = self._defaults and isinstance(value, bool | int | str)
                return {key: value} if plain else {}
            case "const":
                return {"enum": [value]}
        raise SchemaError(f"{path}: a structural schema has no {key}")

    def _inlined(self, schema: Schema) -> Schema:
        """The schema with references replaced by their definitions, and no null alternatives."""
        if "$ref" in schema:
            named = self._definitions[schema["$ref"].removeprefix("#/$defs/")]
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self._inlined({**named, **rest})
        if "anyOf" in schema and not schema.get("x-kubernetes-int-or-string"):
            arms = [arm for arm in schema["anyOf"] if arm != {"type": "null"}]
            if len(arms) != 1:
                raise SchemaError(f"a structural schema has no alternatives: {arms}")
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            return self._inlined({**self._inlined(arms[0]), **rest})
        return schema

    def _properties(self, properties: Mapping[str, Schema], path: str) -> Schema:
        written = {name: self.written(one, f"{path}.{name}") for name, one in properties.items()}
        for name, one in written.items():
            if not one.get("description"):
                raise SchemaError(f"{path}.{name}: needs a description")
        if self._defaults:  # a spec, which people write, not a status
            _check_words(written, path)
        return written

    def _values(self, schema: Schema | bool, path: str) -> Schema:
        if isinstance(schema, bool):
            raise SchemaError(f"{path}: say what the values are")
        return self.written(schema, f"{path}{{}}")


def _check_words(properties: Mapping[str, Schema], path: str) -> None:
    enumerated = (word for one in properties.values() for word in one.get("enum", ()))
    for word in (*properties, *enumerated):
        if str(word).lower() in _NOT_TEXT:
            raise SchemaError(f"{path}: kubectl reads an unquoted {word} as true or false")


def _int_or_string(schema: Schema, path: str) -> Schema:
    if schema.get("anyOf") != _INT_OR_STRING or "type" in schema:
        raise SchemaError(f"{path}: int-or-string has exactly these two alternatives and no type")
    dropped = {*_DROPPED, "default"}
    return _ordered({key: value for key, value in schema.items() if key not in dropped})


# Words that YAML 1.1, and so kubectl and Helm, does not read as text.
_NOT_TEXT = frozenset({"on", "off", "yes", "no", "y", "n", "true", "false", "null"})

_NEEDS = {
    "array": "maxItems, items and a list type",
    "boolean": "nothing more",
    "integer": "a maximum that fits its format",
    "object": "properties, or values and maxProperties",
    "string": "maxLength",
}


def _check(schema: Schema, path: str) -> None:
    """Raise SchemaError unless the schema has the bounds and types that all our schemas have."""
    keys = schema.keys()
    kind = schema.get("type", "")
    good = {
        "array": {"maxItems", "items", "x-kubernetes-list-type"} <= keys,
        "boolean": True,
        "integer": schema.get("format") != "int32" or schema.get("maximum", 0) <= _INT32,
        "object": "properties" in keys or {"additionalProperties", "maxProperties"} <= keys,
        "string": bool({"maxLength", "enum", "format"} & keys),
    }
    if not good.get(kind):
        needs = _NEEDS.get(kind, f"one of the types {' '.join(_NEEDS)}")
        raise SchemaError(f"{path}: a schema of type {kind!r} needs {needs}")


def _ordered(schema: Schema) -> Schema:
    """The schema in reading order: description and type first, children last."""
    first = ("description", "type", "format", "default", "enum")
    last = ("x-kubernetes-validations", "items", "additionalProperties", "required", "properties")
    middle = [key for key in schema if key not in first and key not in last]
    return {key: schema[key] for key in (*first, *middle, *last) if key in schema}
