"""What the chart's admission policy asks of field names in pod templates: validations in CEL.

The definitions store fields of pods that they do not know, so that no field of a newer Kubernetes
is lost. So only a policy can refuse a misspelt one at apply. The names are those of the release
whose schema `bayplan lint` has.
"""

import json
from collections.abc import Iterator, Mapping
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


def text() -> str:
    """The policy's variables and validations as the file of the chart."""
    types = dict.fromkeys(name for _, name in _PLACES)
    known = published_schema.load().types
    content = {
        "variables": [
            {
                "name": _variable(name),
                "expression": json.dumps(sorted(known[_CORE + name]["fields"])).replace('"', "'"),
            }
            for name in types
        ],
        "validations": [_validation(path, name) for path, name in _PLACES],
    }
    return yaml.safe_dump(content, width=10_000, sort_keys=False)


def _variable(name: str) -> str:
    return f"fieldsOf{name}"


def _validation(path: tuple[str, ...], name: str) -> dict[str, str]:
    """A validation of one place; the message names the field that does not exist."""
    known = f"variables.{_variable(name)}"
    steps = tuple(_steps(path))
    shown = "".join(f".{one.field}{'[]' if one.many else ''}" for one in steps)
    said = f"spec.template.spec{shown} must have only fields of Kubernetes {release()}"
    remedy = "correct it, or set admissionPolicy.knownFields=false if this cluster is newer"
    return {
        "expression": _right("variables.pod", steps, known),
        "message": f"{said}; `bayplan lint` names the wrong one",
        "messageExpression": (
            f"'{said}, which has no ' + {_wrong('variables.pod', steps, known)} + ': {remedy}'"
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


def _right(above: str, steps: tuple[_Step, ...], known: str) -> str:
    """CEL: whether all names there are known."""
    if not steps:
        return f"{above}.all(key, key in {known})"
    here = f"at{len(steps)}"
    return f"{steps[0].of(above)}.all({here}, {_right(here, steps[1:], known)})"


def _wrong(above: str, steps: tuple[_Step, ...], known: str) -> str:
    """CEL: the first name there that is not known."""
    if not steps:
        return f"{above}.filter(key, !(key in {known}))[0]"
    here = f"at{len(steps)}"
    first = f"{steps[0].of(above)}.filter({here}, !{_right(here, steps[1:], known)})[0]"
    inner = f"in{len(steps)}"
    return f"[{first}].map({inner}, {_wrong(inner, steps[1:], known)})[0]"
