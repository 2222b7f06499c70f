"""What the chart's admission policy asks of fields in pod templates: validations in CEL.

The definitions store fields of pods that they do not know, so that no field of a newer Kubernetes
is lost. So only a policy can refuse a misspelt field, or a value of another type, at apply. Names
and types are those of the release whose schema `bayplan lint` has.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bayplan.manifests import published_schema

_CORE = "io.k8s.api.core.v1."
# From the pod: the fields that lead to an object whose names are checked, and its type.
_PLACES: tuple[tuple[tuple[str, ...], str], ...] = (
    ((), "PodSpec"),
    (("securityContext",), "PodSecurityContext"),
    (("volumes",), "Volume"),
    (("containers",), "Container"),
    (("containers", "resources"), "ResourceRequirements"),
    (("containers", "securityContext"), "SecurityContext"),
    (("containers", "ports"), "ContainerPort"),
    (("containers", "env"), "EnvVar"),
    (("containers", "env", "valueFrom"), "EnvVarSource"),
    (("containers", "envFrom"), "EnvFromSource"),
    (("containers", "volumeMounts"), "VolumeMount"),
    (("containers", "lifecycle"), "Lifecycle"),
    (("containers", "startupProbe"), "Probe"),
    (("containers", "readinessProbe"), "Probe"),
    (("containers", "livenessProbe"), "Probe"),
)


@dataclass(frozen=True, slots=True)
class _Step:
    """A field on the way, and how CEL writes what is in it as a list."""

    field: str
    many: bool

    def of(self, above: str) -> str:
        if self.field == "containers":
            return "variables.containers"  # init containers too
        here = f"{above}.{self.field}"
        found = here if self.many else f"[{here}]"
        return f"(has({here}) && {here} != null ? {found} : [])"


# How a type is named in the policy, and the check of a value `it` in CEL.
_CHECKS: Mapping[str, str] = {
    "a text": "type(it) == string",
    "a list of texts": "type(it) == list && it.all(one, type(one) == string)",
    "a map of texts": "type(it) == map && it.all(one, type(it[one]) == string)",
    "a list": "type(it) == list",
    "an object": "type(it) == map",
    "true or false": "type(it) == bool",
    "a whole number": "type(it) == int",
}


@dataclass(frozen=True, slots=True)
class _Rule:
    """What must hold for each `key` of an object, and the words for one that is wrong."""

    holds: Callable[[str], str]
    must: str
    wrong: str


def text() -> str:
    """The policy's variables and validations as the file of the chart."""
    types = dict.fromkeys(name for _, name in _PLACES)
    known = published_schema.load().types
    fields = {name: known[_CORE + name]["fields"] for name in types}
    named = [(_variable(name), sorted(fields[name])) for name in types]
    typed = [(_types(name), _words(fields[name])) for name in types]
    content = {
        "variables": [
            {"name": name, "expression": json.dumps(value).replace('"', "'")}
            for name, value in (*named, *typed)
        ],
        "validations": [
            *(_validation(path, _of_names(name)) for path, name in _PLACES),
            *(_validation(path, _of_types(name)) for path, name in _PLACES),
        ],
    }
    return yaml.safe_dump(content, width=10_000, sort_keys=False)


def _of_names(name: str) -> _Rule:
    known = f"variables.{_variable(name)}"
    must = f"must have only fields of Kubernetes {release()}"
    wrong = f"'{must}, which has no ' + key + '"
    return _Rule(lambda _: f"key in {known}", must, wrong)


def _of_types(name: str) -> _Rule:
    types = f"variables.{_types(name)}"
    there = set(_words(published_schema.load().types[_CORE + name]["fields"]).values())

    def holds(above: str) -> str:
        value = f"{above}[key]"
        checks = "false"
        for word, check in _CHECKS.items():
            if word not in there:
                continue
            found = check.replace("it.", f"{value}.").replace("it[", f"{value}[")
            checks = (
                f"{types}[key] == '{word}' ? {found.replace('(it)', f'({value})')} : ({checks})"
            )
        return f"!(key in {types}) || {value} == null || ({checks})"

    must = "must have values of the right types"
    return _Rule(holds, must, f"'{must}: ' + key + ' must be ' + {types}[key] + '")


def _words(fields: Mapping[str, Any]) -> dict[str, str]:
    """The types of an object's fields in words, as far as the policy checks them."""
    return {name: _word(node) for name, node in sorted(fields.items()) if _word(node)}


def _word(node: Any) -> str:
    match node:
        case ["text"]:
            return "a list of texts"
        case {"": "text"}:
            return "a map of texts"
        case list():
            return "a list"
        case dict():
            return "an object"
        case "text":
            return "a text"
        case "boolean":
            return "true or false"
        case "int32" | "int64":
            return "a whole number"
        case str() if node.startswith("#"):
            return "an object"
    return ""  # whatever has several forms


def _validation(path: tuple[str, ...], rule: _Rule) -> dict[str, str]:
    """A validation of one place; the message names the field that is wrong."""
    steps = tuple(_steps(path))
    shown = "".join(f".{one.field}{'[]' if one.many else ''}" for one in steps)
    where = f"spec.template.spec{shown}"
    remedy = "correct it, or set admissionPolicy.knownFields=false if this cluster is newer"
    return {
        "expression": _right("variables.pod", steps, rule),
        "message": f"{where} {rule.must}; `bayplan lint` names the wrong one",
        "messageExpression": (
            f"'{where} ' + {_wrong('variables.pod', steps, rule)} + ': {remedy}'"
        ),
    }


def release() -> str:
    """The release of Kubernetes whose fields are known, such as 1.37."""
    return published_schema.load().release.rpartition(".")[0]


def _steps(path: tuple[str, ...]) -> Iterator[_Step]:
    """The steps; whether a field holds many is in the schema."""
    types: Mapping[str, Mapping[str, Any]] = published_schema.load().types
    inside = f"{_CORE}PodSpec"
    for field in path:
        node = types[inside]["fields"][field]
        many = isinstance(node, list)
        yield _Step(field, many)
        inside = (node[0] if many else node).removeprefix("#")


def _right(above: str, steps: tuple[_Step, ...], rule: _Rule) -> str:
    """CEL: whether all fields there are right."""
    if not steps:
        return f"{above}.all(key, {rule.holds(above)})"
    here = f"at{len(steps)}"
    return f"{steps[0].of(above)}.all({here}, {_right(here, steps[1:], rule)})"


def _wrong(above: str, steps: tuple[_Step, ...], rule: _Rule) -> str:
    """CEL: what is said of the first field there that is wrong."""
    if not steps:
        wrong = f"{above}.filter(key, !({rule.holds(above)}))"
        return f"{wrong}.map(key, {rule.wrong}')[0]"
    here = f"at{len(steps)}"
    first = f"{steps[0].of(above)}.filter({here}, !({_right(here, steps[1:], rule)}))[0]"
    inner = f"in{len(steps)}"
    return f"[{first}].map({inner}, {_wrong(inner, steps[1:], rule)})[0]"


def _types(name: str) -> str:
    return f"typesOf{name}"


def _variable(name: str) -> str:
    return f"fieldsOf{name}"
