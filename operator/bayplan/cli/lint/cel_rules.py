"""Evaluates the CEL rules of the definitions offline.

An evaluation takes about a millisecond, and a file may have a thousand resources that are alike. So
a rule gets only the parts of the value that it reads, and its answer for equal parts is cached.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import celpy
import re2
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from bayplan.schedules.zones import zone

_READ = re.compile(r"\bself((?:\.\w+)*)(\(?)")  # a chain of fields; a method's name before `(`
_MOST_ANSWERS = 65_536

Parts = dict[str, Any]  # field -> the parts of it that are read; empty means all of it


def holds(rule: str, value: Any) -> bool:
    """Whether a rule holds for a new value with its defaults filled in; `self` is the value."""
    read = _projected(value, _parts(rule))
    return _answer(rule, json.dumps(read, sort_keys=True, default=str))


@functools.lru_cache(maxsize=_MOST_ANSWERS)
def _answer(rule: str, read: str) -> bool:
    try:
        value = json_to_cel(json.loads(read))
        return bool(compiled(rule).evaluate({"self": value, "oldSelf": json_to_cel([])}))
    except (CELEvalError, ValueError):  # ValueError: a whole number beyond int64
        return False  # as on the API server: a rule that cannot be evaluated does not hold


@functools.cache
def _parts(rule: str) -> Parts:
    """The fields of `self` that a rule's text reads; empty if it reads the whole value."""
    parts: Parts = {}
    for found in _READ.finditer(rule):
        chain = found[1].split(".")[1:]
        if found[2]:
            chain = chain[:-1]
        if not chain:
            return {}
        inner = parts
        for field in chain[:-1]:
            if inner.get(field) == {} and field in inner:
                break  # all of it is read already
            inner = inner.setdefault(field, {})
        else:
            inner[chain[-1]] = {}
    return parts


def _projected(value: Any, parts: Parts) -> Any:
    if not parts or not isinstance(value, Mapping):
        return value
    return {key: _projected(value[key], inner) for key, inner in parts.items() if key in value}


@functools.cache
def compiled(rule: str) -> celpy.Runner:
    """The rule, ready to be evaluated; raises celpy's errors if it cannot be parsed."""
    environment = celpy.Environment()
    return environment.program(environment.compile(rule), functions=dict(_FUNCTIONS))


def _is_sorted(values: Any) -> celpy.celtypes.BoolType:
    return celpy.celtypes.BoolType(list(values) == sorted(values))


def _find_all(text: Any, pattern: Any) -> Any:
    return json_to_cel([found.group() for found in re2.finditer(str(pattern), str(text))])


def _split(text: Any, separator: Any) -> Any:
    return json_to_cel(str(text).split(str(separator)))


def _replace(text: Any, old: Any, new: Any) -> Any:
    return json_to_cel(str(text).replace(str(old), str(new)))


def _hours(moment: Any, time_zone: Any) -> celpy.celtypes.IntType:
    """The hour there; by our own zones, since celpy takes those of the machine."""
    return celpy.celtypes.IntType(moment.astimezone(zone(str(time_zone))).hour)


# What Kubernetes adds to CEL, and what must not depend on the machine.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "isSorted": _is_sorted,
    "findAll": _find_all,
    "split": _split,
    "replace": _replace,
    "getHours": _hours,
    "hasValue": lambda _old: celpy.celtypes.BoolType(False),  # as when an object is made
}
