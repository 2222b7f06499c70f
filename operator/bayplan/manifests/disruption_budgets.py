"""Reads PodDisruptionBudgets with the operator's own decoder."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.model.budgets import Budget


def read(bodies: Iterable[Mapping[str, Any]]) -> list[Budget]:
    """The budgets of these objects; a budget that the operator could not read is left out."""
    from msgspec import Raw

    from bayplan.cluster import budgets, wire  # msgspec: only when needed

    found = []
    for body in bodies:
        try:
            seen = budgets.seen(Raw(json.dumps(body).encode()))
        except wire.DecodeError:
            continue
        found.append(seen.value.budget)
    return found
