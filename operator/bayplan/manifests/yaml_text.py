"""Reads YAML as kubectl does, with the C parser if it is available.

kubectl (sigs.k8s.io/yaml) knows neither times nor numbers to the base of sixty, and reads `=` as
text; an anchor may be set again (YAML 1.2, 3.2.2.2). Nothing is executed.
"""

import re
from typing import Any

import yaml

_TIME, _VALUE = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_REPLACED = frozenset({_TIME, _VALUE, _INT, _FLOAT})
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Composer(yaml.composer.Composer):
    """Composes aliases to the last node that has the anchor."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        events: Any = self  # the parser is the other half of the loader
        event = events.peek_event()
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)


class Loader(_Composer, _Base):  # type: ignore[misc]
    """The loader of a YAML text."""

    def __init__(self, stream: bytes) -> None:
        _Base.__init__(self, stream)
        self.anchors: dict[str, Any] = {}


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in known if tag not in _REPLACED]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_DIGITS = "-+0123456789"
_FRACTION = r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
_NO_NUMBER = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_WHOLE = r"[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+"
for _tag, _pattern, _letters in (
    (_FLOAT, f"{_FRACTION}|{_NO_NUMBER}", f"{_DIGITS}."),
    (_INT, _WHOLE, _DIGITS),
):
    Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_letters))
