"""Reads Kubernetes objects from files, folders and standard input, as plain JSON values.

The result for any file is a list of objects, or an error of one line. Nothing is executed, only
YAML's own tags are allowed, aliases cannot turn a small file into a large object, and files that
are too deep or too large are refused.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from bayplan.inputs import InputError, Skipped
from bayplan.manifests import yaml_text

MOST_BYTES = 256 << 20
_MOST_VALUES = 20_000_000  # of one file, aliases counted each time they are used
_DEEPEST = 64
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
# A manifest has both fields, at the beginning of a line or in an object of JSON.
_API_VERSION = re.compile(rb"""^[\s{,-]*["']?apiVersion["']?\s*:""", re.MULTILINE)
_TEMPLATE = re.compile(rb"\{\{|\{%|<%")
_RENDER = "if it is a template, render it first, such as `helm template CHART | bayplan simulate -`"
_OTHERS = (  # files of other tools that are often among manifests, by their names
    (re.compile(r"kustomization\.ya?ml"), "build it: `kubectl kustomize FOLDER` prints manifests"),
    (
        re.compile(r"(chart|values.*|requirements)\.ya?ml"),
        "a Helm chart: `helm template` renders it",
    ),
)


_OF_THE_CLUSTER = frozenset(  # kinds without a namespace
    {
        "Node", "Namespace", "PersistentVolume", "StorageClass", "CSINode", "CSIDriver",
        "VolumeAttachment", "PriorityClass", "RuntimeClass",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """An object, and where it was read: `web.yaml` or `web.yaml[2]`."""

    where: str
    body: dict[str, Any]
    live: bool = False  # read from a cluster: a manifest of the same object replaces it

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        return str(mapping(self.body.get("metadata")).get("name", ""))

    @property
    def group(self) -> str | None:
        """The API group, empty for the core group; None without an apiVersion."""
        version = self.body.get("apiVersion")
        if not isinstance(version, str) or not version:
            return None
        return version.rpartition("/")[0]

    @property
    def namespace(self) -> str:
        """Its namespace, or `default`."""
        return str(mapping(self.body.get("metadata")).get("namespace") or "default")

    @property
    def called(self) -> str:
        """File, kind and name, for messages."""
        return f"{self.where}: {self.kind} {self.name}"


def documents(
    paths: Sequence[str], stdin: BinaryIO, skipped: list[Skipped] | None = None
) -> list[Document]:
    """Every object of these files and folders (`-`: standard input), and every item of lists.

    A file that is not a manifest is an error, or goes to `skipped` if that is given. A broken file
    that the user names is always an error; in a folder it counts as a file without manifests.
    """
    found: list[Document] = []
    for path in paths:
        among = path != "-" and Path(path).is_dir()
        for where, text in _texts(path, stdin):
            found.extend(_objects(where, text, skipped, among=among))
    if not found:
        named = ("standard input" if path == "-" else path for path in paths)
        why = f" ({skipped[0].why})" if skipped else ""
        raise InputError(", ".join(named), f"has no Kubernetes object{why}")
    return found


def in_namespace(found: Iterable[Document], namespace: str) -> Iterator[Document]:
    """The same documents; those without a namespace get this one, as `kubectl apply -n` does."""
    for one in found:
        about = one.body.get("metadata") or {}
        placed = not namespace or one.kind in _OF_THE_CLUSTER or not isinstance(about, dict)
        if placed or about.get("namespace"):
            yield one
        else:
            body = {**one.body, "metadata": {**about, "namespace": namespace}}
            yield replace(one, body=body)


def mapping(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def _texts(path: str, stdin: BinaryIO) -> Iterator[tuple[str, bytes]]:
    if path == "-":
        yield "standard input", _limited("standard input", stdin)
        return
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix in _SUFFIXES)
        if not any(file.is_file() for file in files):
            raise InputError(path, "no .yaml, .yml or .json file in this folder")
    else:
        files = [place]
    for file in files:
        if file.is_dir():
            continue
        try:
            with file.open("rb") as stream:
                yield str(file), _limited(str(file), stream)
        except OSError as error:
            raise InputError(str(file), error.strerror or "cannot be read") from error


def _limited(where: str, stream: BinaryIO) -> bytes:
    text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise InputError(where, f"larger than {MOST_BYTES >> 20} MiB")
    return text


def _objects(
    where: str, text: bytes, skipped: list[Skipped] | None, *, among: bool
) -> Iterator[Document]:
    try:
        bodies = list(_plain(where, text))
    except InputError as error:
        if _TEMPLATE.search(text):
            error = InputError(where, f"{_said(where, error)}; {_RENDER}")
        elif _API_VERSION.search(text) and not (among and skipped is not None):
            raise
        if skipped is None:
            raise error from None
        skipped.append(Skipped(where, _said(where, error)))
        return
    for place, body in bodies:
        try:
            yield from _flat(place, body, skipped)
        except InputError as error:
            if skipped is None:
                raise InputError(
                    place, f"{_said(place, error)}; --ignore-unknown skips it"
                ) from None
            skipped.append(Skipped(place, _said(place, error)))


def _said(where: str, error: InputError) -> str:
    """The message of an error without its place, which is shown beside it."""
    text = error.message.removeprefix(where).removeprefix(": ")
    return re.sub(r"^:(\d+):(\d+): ", r"line \1: ", text)


def _plain(where: str, text: bytes) -> Iterator[tuple[str, Any]]:
    """Each document as plain JSON values, and where it is."""
    try:
        loaded = [body for body in yaml.load_all(text, yaml_text.Loader) if body is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise InputError(f"{where}{at}", error.problem or "is not YAML") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(where, f"is not YAML: {error}") from error
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        raise InputError(where, f"cannot be read: {error}") from error
    budget = _Budget(where)
    for index, body in enumerate(loaded):
        place = where if len(loaded) == 1 else f"{where}[{index + 1}]"
        yield place, budget.plain(body, 0)


def _flat(where: str, body: object, skipped: list[Skipped] | None) -> Iterator[Document]:
    """An object, or the items of a list as `kubectl get -o yaml` prints it."""
    if not isinstance(body, dict):
        raise InputError(where, f"{_expected(where)} with apiVersion and kind")
    if str(body.get("kind", "")).endswith("List") and isinstance(body.get("items"), list):
        kind = str(body["kind"]).removesuffix("List")
        for index, item in enumerate(body["items"]):
            place = f"{where}.items[{index}]"
            if isinstance(item, dict) and kind and "kind" not in item:
                # In a list of one kind, as the API serves it, the items need not repeat the kind.
                item = {"apiVersion": body.get("apiVersion"), "kind": kind, **item}  # noqa: PLW2901
            try:
                yield from _flat(place, item, skipped)
            except InputError as error:
                if skipped is None:
                    raise
                skipped.append(Skipped(place, _said(place, error)))
        return
    if not isinstance(body.get("kind"), str) or not body["kind"]:
        raise InputError(where, f"no kind; {_expected(where)} with apiVersion and kind")
    yield Document(where, body)


def _expected(where: str) -> str:
    name = Path(where.partition("[")[0]).name.lower()
    for pattern, remedy in _OTHERS:
        if pattern.fullmatch(name):
            return f"{remedy}; expected an object"
    return "expected an object"


@dataclass(slots=True)
class _Budget:
    """Copies YAML's values into plain JSON values, and refuses them if they become too many."""

    where: str
    values: int = 0

    def plain(self, value: Any, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST:
            raise InputError(self.where, f"nested deeper than {_DEEPEST} levels")
        if self.values > _MOST_VALUES:
            raise InputError(self.where, "too many values; does an alias repeat itself?")
        match value:
            case None | bool() | str():
                return value
            case int():
                return value
            case float() if math.isfinite(value):
                return repr(value)  # quantities only have fractions, and they are text
            case dict():
                return {self._key(key): self.plain(one, depth + 1) for key, one in value.items()}
            case list():
                return [self.plain(one, depth + 1) for one in value]
        raise InputError(self.where, f"a value that JSON cannot express: {str(value)[:40]!r}")

    def _key(self, key: object) -> str:
        if isinstance(key, bool):
            return str(key).lower()
        if isinstance(key, str | int | float | bool):
            return str(key)
        raise InputError(self.where, f"a key that is not text: {str(key)[:40]!r}")
