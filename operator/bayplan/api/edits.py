"""When people last edited a resource, as the API server has it in `metadata.managedFields`.

Each writer has an entry with the fields that it owns and the time when it last changed one of them.
That time is in whole seconds of the server's clock. So an edit made while the operator was down,
or a moment before it looked, is known as well as an edit that the operator saw.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.api.times import time_of

SPEC = ("f:spec",)
SUSPEND = ("f:spec", "f:suspend")


def annotation(name: str) -> tuple[str, ...]:
    """The path of an annotation."""
    return "f:metadata", "f:annotations", f"f:{name}"


def moments(metadata: Mapping[str, Any], *paths: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Path -> when its newest writer last changed one of its own fields (epoch seconds).

    Paths without a known writer are left out.
    """
    found: dict[tuple[str, ...], int] = {}
    for fields, at in _entries(metadata.get("managedFields")):
        for path in paths:
            if at > found.get(path, -1) and _owns(fields, path):
                found[path] = at
    return found


def _entries(value: object) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The entries of people and their tools, without those of a subresource such as status."""
    for one in value if isinstance(value, list | tuple) else ():
        if not isinstance(one, Mapping) or one.get("subresource"):
            continue
        fields, at = one.get("fieldsV1"), time_of(one.get("time"))
        if isinstance(fields, Mapping) and at is not None:
            yield fields, at


def _owns(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    at: object = fields
    for step in path:
        if not isinstance(at, Mapping) or step not in at:
            return False
        at = at[step]
    return True
