"""The models and columns of each row of `kinds`, loaded on first use."""

import functools
import importlib

from bayplan.api import kinds
from bayplan.api.meta import Definition


@functools.cache
def definition_of(kind: str) -> Definition:
    """The `DEFINITION` in this kind's module; KeyError for a kind that is not in the table."""
    found: Definition = importlib.import_module(kinds.BY_NAME[kind].module).DEFINITION
    return found
