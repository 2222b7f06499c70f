"""The models and columns of each row of `kinds`, loaded on first use."""

import functools
import importlib
from typing import Any

from bayplan.api import kinds
from bayplan.api.meta import Definition, Part, WorkloadSpec


@functools.cache
def definition_of(kind: str) -> Definition[WorkloadSpec]:
    """The `DEFINITION` in this workload's module; KeyError for a kind that is not in the table."""
    found: Definition[WorkloadSpec] = _loaded(kinds.BY_NAME[kind])
    return found


def models_of(kind: kinds.DefinedKind) -> Definition[Part]:
    """The `DEFINITION` in the module of any kind that has a definition."""
    found: Definition[Part] = _loaded(kind)
    return found


def _loaded(kind: kinds.DefinedKind) -> Any:
    return importlib.import_module(kind.module).DEFINITION
