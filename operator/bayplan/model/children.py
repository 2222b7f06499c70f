"""The stored objects that a resource owns beside its pods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Child:
    """A stored object that a resource owns. `digest` shows if it is still as we last applied it."""

    kind: str
    name: str
    uid: str
    digest: str = ""  # annotation bayplan.dev/digest
    revision: int = 0  # of a ControllerRevision
    body: Mapping[str, Any] = field(default_factory=dict)  # of a ControllerRevision: its data
    orphaned: bool = False  # a former service of that name left it behind, and it has no owner
