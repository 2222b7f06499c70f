"""YAML and JSON read as the API server gets it, each value with the line that it stands on.

Times stay text, as kubectl keeps them; nothing is executed; what is too deep or too large, and an
alias that repeats itself, are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from bayplan.cli.problem import BadInput

Path_ = tuple[str | int, ...]

MOST_BYTES = 16 << 20
_DEEPEST = 64
_MOST_VALUES = 400_000
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_TIME = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Without times."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in known if tag != _TIME]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(slots=True)
class Marked:
    """One document. `lines` maps paths to lines, counted from 1."""

    file: str
    line: int
    body: Any
    lines: dict[Path_, int] = field(default_factory=dict)

    def line_of(self, path: Path_) -> int:
        """The line of a value, or of the nearest thing around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


class UnreadableError(Exception):
    """A file is no YAML: line and what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def texts(paths: tuple[str, ...], stdin: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The files meant, folders searched, `-` for standard input."""
    for path in paths:
        if path == "-":
            yield "standard input", stdin.read(MOST_BYTES + 1)
            continue
        place = Path(path)
        files = [place]
        if place.is_dir():
            files = sorted(
                file for file in place.rglob("*") if file.suffix in _SUFFIXES and file.is_file()
            )
        for file in files:
            try:
                with file.open("rb") as stream:
                    yield str(file), stream.read(MOST_BYTES + 1)
            except OSError as error:
                raise BadInput(str(file), error.strerror or "cannot be read") from error


def documents(file: str, text: bytes) -> Iterator[Marked]:
    """Each document of a file; raises UnreadableError."""
    if len(text) > MOST_BYTES:
        raise UnreadableError(1, f"larger than {MOST_BYTES >> 20} MiB")
    loader = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            marked = Marked(file, node.start_mark.line + 1, None)
            reading = _Reading(loader, marked)
            marked.body = reading.value(node, (), 0)
            yield marked
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise UnreadableError(line, error.problem or "is no YAML") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise UnreadableError(1, f"is no YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


@dataclass(slots=True)
class _Reading:
    loader: _Loader
    marked: Marked
    values: int = 0

    def value(self, node: yaml.Node, path: Path_, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if depth > _DEEPEST:
            raise UnreadableError(line, f"nested deeper than {_DEEPEST} levels")
        if self.values > _MOST_VALUES:
            raise UnreadableError(line, "too many values; does an alias repeat itself?")
        self.marked.lines.setdefault(path, line)
        match node:
            case yaml.MappingNode():
                self.loader.flatten_mapping(node)
                found: dict[str, Any] = {}
                for key_node, inner in node.value:
                    key = self.loader.construct_object(key_node)
                    if not isinstance(key, str | int | float | bool):
                        raise UnreadableError(line, "a key that is no text")
                    if str(key) in found:
                        at = key_node.start_mark.line + 1
                        raise UnreadableError(at, f"{str(key)[:40]!r} stands there twice")
                    self.marked.lines[*path, str(key)] = key_node.start_mark.line + 1
                    found[str(key)] = self.value(inner, (*path, str(key)), depth + 1)
                return found
            case yaml.SequenceNode():
                return [
                    self.value(inner, (*path, index), depth + 1)
                    for index, inner in enumerate(node.value)
                ]
        scalar = self.loader.construct_object(node)
        if scalar is None or isinstance(scalar, str | int | float | bool):
            return scalar
        raise UnreadableError(line, f"a value that JSON has no word for: {str(scalar)[:40]!r}")
