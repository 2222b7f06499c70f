"""The models and columns of each row of `kinds`, loaded when they are asked for."""

import functools
import importlib

from bayplan.api import kinds
from bayplan.api.meta import Definition


@functools.cache
def definition_of(kind: str) -> Definition:
    """What the module of this kind says of it; KeyError for a kind that is not in the table."""
    found: Definition = importlib.import_module(kinds.BY_NAME[kind].module).DEFINITION
    return found
