"""A stored resource of one of our kinds as the operator sees it: metadata, parsed spec, raw status.

Parsing never raises an error: what cannot be parsed becomes problems, which reconcile turns into a
condition. A resource with an unreadable spec still has its name, so that its pods are looked after.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic

from bayplan.api import edits, names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.definitions import definition_of
from bayplan.api.kinds import RUNS
from bayplan.api.meta import WorkloadSpec
from bayplan.api.template import template_hash
from bayplan.api.times import time_of
from bayplan.api.validation import Problem, misfits, problems
from bayplan.model.untyped import mapping

Key = tuple[str, str, str]  # kind, namespace, name

_EDITS = (
    edits.SPEC,
    edits.SUSPEND,
    edits.annotation(names.PAUSED_UNTIL),
    edits.annotation(names.MARK_SUCCESS),
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One custom resource. `spec` is None if, and only if, it could not be parsed.

    `created_at` is in epoch seconds; `template_hash` covers the user's template as stored.
    `edits` says when the paths that `api.edits` names were last edited, as far as that is known.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    created_at: int = 0
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: WorkloadSpec | None = None
    problems: tuple[Problem, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    template_hash: str = ""
    edits: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.kind, self.namespace, self.name


def parse_resource(body: Mapping[str, Any], known: Resource | None = None) -> Resource:
    """Read the stored object.

    `known` is the former reading. Its parsed spec is kept while uid and generation are the same, so
    that a status write needs no parsing.
    """
    metadata = mapping(body.get("metadata"))
    kind = str(body.get("kind", ""))
    read = Resource(
        kind=kind,
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0) or 0),
        resource_version=str(metadata.get("resourceVersion", "")),
        created_at=time_of(metadata.get("creationTimestamp")) or 0,
        deleting=metadata.get("deletionTimestamp") is not None,
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        status=mapping(body.get("status")),
        edits=edits.moments(metadata, *_EDITS) if kind in RUNS else {},
    )
    if known is not None and (known.uid, known.generation) == (read.uid, read.generation):
        return replace(
            read,
            spec=known.spec,
            problems=known.problems,
            template_hash=known.template_hash,
        )
    raw = mapping(body.get("spec"))
    spec, found = _parse(kind, raw)
    return replace(
        read,
        spec=spec,
        problems=found,
        template_hash=template_hash(mapping(raw.get("template"))),
    )


def _parse(kind: str, raw: Mapping[str, Any]) -> tuple[WorkloadSpec | None, tuple[Problem, ...]]:
    try:
        spec = definition_of(kind).spec.model_validate(raw)
    except pydantic.ValidationError as error:
        return None, misfits(error)
    return spec, problems(kind, spec)


def _texts(value: object) -> Mapping[str, str]:
    return {str(key): str(text) for key, text in mapping(value).items()}


def parent_names(job: Resource | None) -> tuple[str, ...]:
    """The names of a job's parents; none if the job does not exist or cannot be read."""
    if job is None or not isinstance(job.spec, BatchJobSpec):
        return ()
    return tuple(parent.name for parent in job.spec.parents)
