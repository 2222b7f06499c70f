"""What is wrong with Bayplan's annotations on pods and pod templates."""

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.cli.lint.marked import Path_
from bayplan.model import companions
from bayplan.model.untyped import mapping


def faults(body: Mapping[str, Any], path: Path_) -> Iterator[tuple[Path_, str]]:
    """Faults of the pod or template at this path of an object: where, and what."""
    inside: Any = body
    for word in path:
        inside = mapping(inside).get(str(word))
    text = mapping(mapping(mapping(inside).get("metadata")).get("annotations")).get(
        companions.ANNOTATION
    )
    if isinstance(text, str) and (problem := companions.read(text).problem):
        yield (*path, "metadata", "annotations", companions.ANNOTATION), problem
