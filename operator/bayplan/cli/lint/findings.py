"""Finds what is wrong with manifests: in each of them, then in their references."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from bayplan import units
from bayplan.api import kinds, names
from bayplan.api.pool_resource import parse_pool
from bayplan.api.resource import parse_resource
from bayplan.cli.lint import annotations, leaving, marked, structural
from bayplan.cli.lint.marked import Marked, Path_
from bayplan.cloud.node_pools import GROUP, KIND
from bayplan.manifests import published_schema
from bayplan.model.untyped import mapping, sequence
from bayplan.reports import pool_manifests
from bayplan.schedules.parse import ScheduleError, parse
from bayplan.schedules.zones import zone

_ENOUGH = names.GROUP.encode()  # every file with our kinds contains this
_MANIFEST = re.compile(rb"""^[\s{,-]*["']?apiVersion["']?\s*:""", re.MULTILINE)
_TEMPLATE = re.compile(rb"\{\{|\{%|<%")
_RENDER = "if it is a template, render it first, such as `helm template CHART | bayplan lint -`"
_KUSTOMIZATION = re.compile(r"(.*/)?kustomization\.ya?ml", re.IGNORECASE)
# Where kinds of Kubernetes have their pods, in every version.
_TEMPLATES: Mapping[str, tuple[Path_, str]] = {
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        (("spec", "template"), published_schema.POD_TEMPLATE),
    ),
    "CronJob": (("spec", "jobTemplate", "spec", "template"), published_schema.POD_TEMPLATE),
    "Pod": (("spec",), published_schema.POD),
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    file: str
    line: int
    severity: Severity
    resource: str  # BatchJob default/report; empty if no resource could be read
    field: str
    message: str

    @property
    def text(self) -> str:
        return ": ".join(filter(None, (self.resource, self.field, self.message)))


@dataclass(slots=True)
class Looked:
    """The findings, and how many files and resources (our kinds and Kubernetes') were checked."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    resources: int = 0


@dataclass(frozen=True, slots=True)
class _Object:
    document: Marked
    path: Path_  # where it begins in the document, such as an item of a List
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        return str(mapping(self.body.get("metadata")).get("name", ""))

    @property
    def namespace(self) -> str:
        """Empty if the user chooses it on apply; such objects count as in one namespace."""
        return str(mapping(self.body.get("metadata")).get("namespace") or "")

    @property
    def group(self) -> str:
        return str(self.body.get("apiVersion", "")).rpartition("/")[0]

    @property
    def ours(self) -> bool:
        return self.group == names.GROUP

    @property
    def kubernetes(self) -> bool:
        """Whether its API group belongs to Kubernetes."""
        return "apiVersion" in self.body and (
            "." not in self.group or self.group.endswith(".k8s.io")
        )

    def finding(self, severity: Severity, path: Path_, message: str) -> Finding:
        place = "/".join(filter(None, (self.namespace, self.name)))
        line = self.document.line_of((*self.path, *path))
        text = " ".join(message.split())
        title = f"{self.kind} {place}".strip()
        return Finding(self.document.file, line, severity, title, structural.dotted(path), text)


def look(paths: tuple[str, ...], stdin: BinaryIO) -> Looked:
    """All findings about these files, in the order of the files."""
    looked = Looked()
    objects: list[_Object] = []
    patches: set[str] = set()
    for file, text in marked.texts(paths, stdin):
        kustomization = _KUSTOMIZATION.fullmatch(file) is not None
        if not (_ENOUGH in text or kustomization or _MANIFEST.search(text)):
            continue
        try:
            documents = list(marked.documents(file, text))
        except marked.UnreadableError as error:
            template = _TEMPLATE.search(text) is not None
            severity: Severity = "warning" if template else "error"
            said = f"{error}; {_RENDER}" if template else str(error)
            looked.findings.append(Finding(file, error.line, severity, "", "", said))
            continue
        if kustomization:
            patches.update(one for each in documents for one in _patches(file, each.body))
        objects += [one for each in documents for one in _objects(each)]
    mine = [one for one in objects if one.ours]
    theirs = [
        (one, node) for one in objects if one.kubernetes and (node := _published(one)) is not None
    ]
    looked.resources = len(mine) + len(theirs)
    looked.files = len({one.document.file for one in (*mine, *(one for one, _ in theirs))})
    for one in mine:
        looked.findings += _of(one)
        looked.findings += [one.finding("warning", *told) for told in leaving.warnings(one.body)]
    for one, (path, node) in theirs:
        part = one.document.file in patches
        looked.findings += _of_published(one, path, node, part=part)
    looked.findings += _between(objects)
    order = {file: number for number, file in enumerate(dict.fromkeys(
        [*(one.document.file for one in objects), *(one.file for one in looked.findings)]
    ))}  # fmt: skip
    looked.findings.sort(key=lambda one: (order[one.file], one.line))
    return looked


def _patches(file: str, body: Any) -> Iterator[str]:
    """The files that a kustomization names as patches; they hold only parts of manifests."""
    listed = [
        *sequence(mapping(body).get("patchesStrategicMerge")),
        *(mapping(one).get("path") for one in sequence(mapping(body).get("patches"))),
    ]
    for one in listed:
        if isinstance(one, str):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(file), one))


def _published(one: _Object) -> tuple[Path_, published_schema.Node] | None:
    """The part of an object that has a published type: its path and type; None if there is none."""
    node = published_schema.node_of(one.body)
    return ((), node) if node is not None else _TEMPLATES.get(one.kind)


def _of_published(
    one: _Object, path: Path_, node: published_schema.Node, *, part: bool = False
) -> Iterator[Finding]:
    """Faults by the schema that Kubernetes publishes; `part`: it is a patch.

    Only pods must have all required fields, and patches need not: in other objects the API server
    fills in many fields that its schema calls required.
    """
    inside: Any = one.body
    for word in path:
        inside = _inside(inside, word)
    pods = _TEMPLATES.get(one.kind, (("",), ""))[0]
    for place, message in annotations.faults(one.body, () if one.kind == "Pod" else pods):
        yield one.finding("error", place, message)
    faults = list(published_schema.faults(node, inside, path))
    # Only patches have such a directive.
    part = part or any(str(fault.path[-1]).startswith("$") for fault in faults)
    for fault in faults:
        if fault.message == published_schema.REQUIRED:
            told = not part and fault.path[: len(pods)] == pods
        else:
            told = not (part and str(fault.path[-1]).startswith("$"))
        if told:
            yield one.finding("error", fault.path, fault.message)


def _objects(document: Marked) -> Iterator[_Object]:
    """The objects of a document; a List, as kubectl prints it, gives its items."""
    body = document.body
    if not isinstance(body, dict):
        return
    if str(body.get("kind", "")).endswith("List") and isinstance(body.get("items"), list):
        for index, one in enumerate(body["items"]):
            if isinstance(one, dict):
                yield _Object(document, ("items", index), one)
        return
    yield _Object(document, (), body)


def _of(one: _Object) -> Iterator[Finding]:
    """The faults of a resource by itself."""
    if one.body.get("apiVersion") != names.API_VERSION:
        message = f"is {units.shown(one.body.get('apiVersion'))}; write {names.API_VERSION}"
        yield one.finding("error", ("apiVersion",), message)
        return
    if one.kind not in kinds.DEFINED_BY_NAME:
        message = f"{one.kind!r} is not one of {', '.join(kinds.DEFINED_BY_NAME)}"
        yield one.finding("error", ("kind",), message)
        return
    yield from _of_name(one)
    faults = structural.faults(one.kind, one.body)
    for fault in faults:
        yield one.finding("error", fault.path, _of_time(fault, one.body) or fault.message)
    told = {fault.path for fault in faults}
    if not faults:
        pool = one.kind == names.POOL_KIND
        for problem in (parse_pool if pool else parse_resource)(one.body).problems:
            path = _path(problem.field, one.body)
            told.add(path)
            yield one.finding("error", path, problem.message)
    if one.kind not in kinds.BY_NAME:
        return  # it has no pods
    template = mapping(one.body.get("spec")).get("template")
    for path, message in annotations.faults(one.body, ("spec", "template")):
        yield one.finding("error", path, message)
    for other in published_schema.faults(
        published_schema.POD_TEMPLATE, template, ("spec", "template")
    ):
        if not any(other.path[: len(path)] == path for path in told):
            yield one.finding("error", other.path, other.message)


def _of_time(fault: structural.Fault, body: Mapping[str, Any]) -> str:
    """What the parser says of a schedule or a time zone: it names the part that is wrong."""
    inside: Any = body
    for word in fault.path:
        inside = _inside(inside, word)
    if not isinstance(inside, str) or not {"schedule", "schedules", "timeZone"} & {*fault.path}:
        return ""
    try:
        if "timeZone" in fault.path:
            zone(inside)
        else:
            parse(inside, "UTC", key="", anchor=0)
    except ScheduleError as error:
        return str(error)
    return ""


def _of_name(one: _Object) -> Iterator[Finding]:
    about = mapping(one.body.get("metadata"))
    if not one.name and not about.get("generateName"):
        yield one.finding("error", ("metadata", "name"), "Required value")
    elif one.name and _NAME.fullmatch(one.name) is None:
        message = f"{one.name!r} must be lower-case letters, digits, - and ."
        yield one.finding("error", ("metadata", "name"), message)


def _path(dotted: str, body: Mapping[str, Any]) -> Path_:
    """`spec.schedules[0]` as a path; a key with dots in it is found in the object."""
    path: list[str | int] = []
    inside: Any = body
    parts = [
        int(number) if number else word
        for word, number in _PART.findall(dotted)
    ]  # fmt: skip
    while parts:
        part = parts.pop(0)
        if isinstance(part, str) and isinstance(inside, list) and part.isdecimal():
            part = int(part)
        taken = 0
        if isinstance(inside, dict) and part not in inside:
            for upto in range(1, len(parts) + 1):
                longer = ".".join(map(str, [part, *parts[:upto]]))
                if longer in inside:
                    part, taken = longer, upto
        del parts[:taken]
        path.append(part)
        inside = _inside(inside, part)
    return tuple(path)


def _inside(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(part))
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _between(objects: list[_Object]) -> Iterator[Finding]:
    """Faults in what manifests say about other manifests."""
    known: dict[tuple[str, str, str], _Object] = {}
    for one in objects:
        key = one.kind, one.namespace, one.name
        first = known.setdefault(key, one)
        if first is not one and one.ours and one.name:
            where = f"{first.document.file}:{first.document.line_of(first.path)}"
            yield one.finding("error", ("metadata", "name"), f"{where} has this name already")
    for kind in kinds.KINDS:
        yield from _references(known, kind.name, kind.references)
    for one in known.values():
        if one.kind == "HorizontalPodAutoscaler":
            yield from _scaled(one, known)
        taken = known.get(("Service", one.namespace, one.name))
        spec = mapping(one.body.get("spec"))
        if one.kind == names.LONGSERVICE and one.ours and spec.get("service") and taken:
            message = (
                "the manifests have a Service of this name; remove it or rename one of the two"
            )
            yield one.finding("error", ("spec", "service"), message)
    yield from _of_pools(objects)


def _of_pools(objects: list[_Object]) -> Iterator[Finding]:
    """Faults between Pools, the NodePools that they name, and the workloads that name them."""
    pools = [one for one in objects if one.ours and one.kind == names.POOL_KIND]
    node_pools = [one for one in objects if (one.group, one.kind) == (GROUP, KIND)]
    workloads = [one for one in objects if one.ours and one.kind in kinds.BY_NAME]
    told = {id(one.body): one for one in (*pools, *workloads)}
    for fault in pool_manifests.faults(
        *([one.body for one in group] for group in (pools, node_pools, workloads))
    ):
        severity: Severity = "error" if fault.error else "warning"
        yield told[id(fault.body)].finding(severity, fault.path, fault.message)


def _references(
    known: Mapping[tuple[str, str, str], _Object], kind: str, listed: str
) -> Iterator[Finding]:
    """References to names that no manifest has, and circles of references."""
    named: dict[tuple[str, str], list[str]] = {}
    for (of, namespace, name), one in known.items():
        if of != kind or not one.ours:
            continue
        found = mapping(one.body.get("spec")).get(listed)
        entries = found if isinstance(found, list) else []
        wanted = [mapping(entry).get("name") for entry in entries]
        named[namespace, name] = [each for each in wanted if isinstance(each, str)]
        for index, each in enumerate(wanted):
            if isinstance(each, str) and (kind, namespace, each) not in known:
                message = f"no {kind} {each!r} among these manifests; is it elsewhere?"
                yield one.finding("warning", ("spec", listed, index, "name"), message)
    for namespace, name in named:
        circle = _circle(name, {to: each for (of, to), each in named.items() if of == namespace})
        if circle:
            message = f"{' → '.join(circle)} is a circle, in which nothing ever starts"
            yield known[kind, namespace, name].finding("error", ("spec", listed), message)


def _circle(start: str, wanted: Mapping[str, list[str]]) -> list[str]:
    """The names on a circle from a name back to itself; empty if there is none."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for each in wanted.get(way[-1], ()):
            if each == start:
                return [*way, each]
            if each not in seen:
                seen.add(each)
                ways.append([*way, each])
    return []


def _scaled(one: _Object, known: Mapping[tuple[str, str, str], _Object]) -> Iterator[Finding]:
    """Faults of an autoscaler's target: it is missing, or its manifest sets the count too."""
    target = mapping(mapping(one.body.get("spec")).get("scaleTargetRef"))
    if target.get("kind") != names.LONGSERVICE:
        return
    service = known.get((names.LONGSERVICE, one.namespace, str(target.get("name"))))
    path = ("spec", "scaleTargetRef", "name")
    if service is None:
        message = f"no LongService {target.get('name')!r} among these manifests"
        yield one.finding("warning", path, f"{message}; is it elsewhere?")
    elif mapping(service.body.get("spec")).get("mode") == "PerNode":
        message = f"{target.get('name')} has one instance on each node: nothing to scale; remove it"
        yield one.finding("warning", path, message)
    elif "replicas" in mapping(service.body.get("spec")):
        message = (
            f"HorizontalPodAutoscaler {one.name} sets it too, and each apply undoes that; remove it"
        )
        yield service.finding("warning", ("spec", "replicas"), message)
