"""Reads JSON of other systems so that nothing is lost: unused fields are listed.

Each object is read through `Taking`, which remembers the fields that were read. At its end every
other field with a value becomes a note: with the reason why it has no counterpart, or as an
unknown field.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.inputs import InputError
from bayplan.model.constraints import EvenShares, Operator, PlaceConstraint
from bayplan.model.label_values import LABEL_VALUE

LONGEST_NAME = 63
_MEBI = 1 << 20
_MOST = 1 << 50
_PLAIN_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(f"({LABEL_VALUE})?")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_SERVER = "the server's own record"
# Why some fields of both originals have no counterpart.
NETWORK = "the cluster decides on networks of containers"
IMAGES = "put the files into the image, or fetch them in an init container"


@dataclass(frozen=True, slots=True)
class Note:
    """A field of the original without a counterpart, or with a different one."""

    of: str  # the original's identity
    field: str
    message: str


class UnreadableError(InputError):
    """An object has a value that is not allowed; the other objects can still be read."""

    def __init__(self, of: str, where: str, message: str) -> None:
        super().__init__(f"{of}: {where}", message)
        self.note = Note(of, where, message)


@dataclass(slots=True)
class Taking:
    """An object of the original. `path` says where it is, such as `container.docker.`."""

    of: str
    body: Mapping[str, Any]
    notes: list[Note]
    path: str = ""
    _asked: set[str] = field(default_factory=set)

    def take(self, key: str, default: Any = None) -> Any:
        """The value of a field; the default if it is absent or null."""
        self._asked.add(key)
        value = self.body.get(key)
        return default if value is None else value

    def text(self, key: str, default: str = "") -> str:
        """A text; a number or boolean is written as in JSON."""
        value = self.take(key, default)
        if not isinstance(value, str | int | float):
            raise self.wrong(key, "a text", value)
        return written(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean, also from the text `true` or `false`."""
        value = self.take(key, default)
        if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
            return value.strip().lower() == "true"
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def number(self, key: str, default: float = 0) -> float:
        """A number from 0, also from a text: Chronos' own documents write `"cpus": "0.5"`."""
        value = self.take(key, default)
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not 0 <= value < _MOST:
            raise self.wrong(key, "a number from 0", value)
        return float(value)

    def whole(self, key: str, default: int = 0) -> int:
        return int(self.number(key, default))

    def texts(self, key: str) -> list[str]:
        """A list of texts; numbers and booleans are written as in JSON."""
        value = self.listed(key)
        if not all(isinstance(one, str | int | float) for one in value):
            raise self.wrong(key, "a list of texts", value)
        return [written(one) for one in value]

    def listed(self, key: str) -> list[Any]:
        value = self.take(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "a list", value)
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.take(key, {})
        if not isinstance(value, Mapping):
            raise self.wrong(key, "an object", value)
        return value

    def inner(self, key: str) -> "Taking":
        """An inner object; call its `end` too."""
        return Taking(self.of, self.mapping(key), self.notes, f"{self.path}{key}.")

    def each(self, key: str) -> list["Taking"]:
        found = []
        for index, one in enumerate(self.listed(key)):
            if not isinstance(one, Mapping):
                raise self.wrong(f"{key}[{index}]", "an object", one)
            found.append(Taking(self.of, one, self.notes, f"{self.path}{key}[{index}]."))
        return found

    def note(self, key: str, message: str) -> None:
        self.notes.append(Note(self.of, f"{self.path}{key}", message))

    def end(self, reasons: Mapping[str, str]) -> None:
        """Note every field that was not read and has a value."""
        for key, value in self.body.items():
            if key not in self._asked and value not in (None, "", [], {}, False, 0):
                self.note(key, reasons.get(key, "this field is not known"))

    def wrong(self, key: str, wanted: str, value: object) -> "UnreadableError":
        return UnreadableError(self.of, f"{self.path}{key}", f"{str(value)[:60]!r} is not {wanted}")


def record(*keys: str) -> dict[str, str]:
    """Reasons for fields in which a server only records what happened."""
    return dict.fromkeys(keys, _SERVER)


def name_of(text: str) -> str:
    """A name that Kubernetes accepts, always the same for a text; shortened names have a hash."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if name and not name[0].isalpha():
        name = f"x-{name}"
    if not name or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - 9].strip('-') or 'x'}-{digest}"
    return name


def milli(cpus: float) -> str:
    """CPU as a quantity, rounded up to a thousandth."""
    whole = -int(-cpus * 1000 // 1)
    return f"{whole}m" if whole % 1000 else str(whole // 1000)


def mebi(amount: float) -> str:
    """MiB as a quantity; an amount that is not whole is written in bytes."""
    return f"{int(amount)}Mi" if amount == int(amount) else str(int(amount * _MEBI))


def percent(share: float, *, up: bool) -> int:
    """A fraction in whole percents; rounds off the error of floats before it rounds up or down."""
    hundredths = round(share * 100, 6)
    whole = -int(-hundredths // 1) if up else int(hundredths // 1)
    return min(max(whole, 0), 100)


def written(value: str | float) -> str:
    """A value as in JSON, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def is_label(key: str, value: str) -> bool:
    return bool(_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value))


def is_label_key(key: str) -> bool:
    return _LABEL_KEY.fullmatch(key) is not None


def is_variable(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None


def labelled(reading: Taking, found: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The labels that Kubernetes accepts; the others become annotations."""
    labels, annotations = {}, {}
    for key, value in found.items():
        text = written(value) if isinstance(value, str | int | float) else str(value)
        if is_label(key, text):
            labels[key] = text
        elif is_label_key(key):
            annotations[key] = text
        else:
            reading.note(f"labels.{key}", "is not a name that Kubernetes accepts")
    return labels, annotations


_OPERATORS = {word: operator for operator in Operator for word in operator.meaning.marathon}
_KEYS = {
    "hostname": "hostname",
    "@hostname": "hostname",
    "@zone": "zone",
    "@region": "region",
}


def constraint(reading: Taking, where: str, triple: list[Any]) -> dict[str, str] | None:
    """`[field, operator, value]` as a constraint of ours; None and a note if that is impossible."""
    texts = [str(one) for one in triple]
    if len(texts) not in {2, 3} or texts[1].upper() not in _OPERATORS:
        reading.note(where, f"{' '.join(texts)[:60]!r} is not a known constraint")
        return None
    operator = _OPERATORS[texts[1].upper()]
    key = _KEYS.get(texts[0], texts[0])
    value = texts[2] if len(texts) == 3 else ""  # noqa: PLR2004
    if not is_label_key(key):
        reading.note(where, f"{texts[0]!r} cannot be a node label; choose a label")
        return None
    if texts[0] not in _KEYS:
        label = PlaceConstraint(key, operator).label
        known = label if label != key else f"{key}, as agents had the attribute"
        reading.note(where, f"nodes must have the label {known}")
    wanted = PlaceConstraint(key, operator, value)
    if wanted.problem() and isinstance(wanted.coupling, EvenShares):
        reading.note(where, f"{value[:60]!r} groups: as many as exist are used")
        wanted = PlaceConstraint(key, operator)
    if wanted.problem():
        reading.note(where, f"the value {value[:60]!r} has no counterpart; the rule is left out")
        return None
    found = {"key": key, "operator": operator.value}
    return {**found, "value": wanted.value} if wanted.value else found


def resources(
    reading: Taking, limits: Taking, *, default: tuple[float, float, float]
) -> dict[str, Any]:
    """Requests and limits from cpus, mem, disk and gpus, else `default`; 0 requests nothing."""
    requests: dict[str, str] = {}
    for key, name, written, otherwise in (
        ("cpus", "cpu", milli, default[0]),
        ("mem", "memory", mebi, default[1]),
        ("disk", "ephemeral-storage", mebi, default[2]),
    ):
        amount = reading.number(key, otherwise)
        if amount or key != "disk":
            requests[name] = written(amount)
    gpus = reading.whole("gpus")
    upper: dict[str, str] = {}
    for key, name, written in (("cpus", "cpu", milli), ("mem", "memory", mebi)):
        value = limits.take(key)
        if value == "unlimited":
            if name == "memory":
                limits.note(key, "memory always has a limit: by default the request")
        elif value is not None:
            upper[name] = written(limits.number(key))
    limits.end({})
    if gpus:
        requests["nvidia.com/gpu"] = upper["nvidia.com/gpu"] = str(gpus)
    return {"requests": requests, **({"limits": upper} if upper else {})}


def environment(reading: Taking, key: str, secrets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variables; a secret becomes a reference to a Secret that the user must create."""
    found: list[dict[str, Any]] = []
    for name, value in reading.mapping(key).items():
        where = f"{key}.{name}"
        if not is_variable(name):
            reading.note(where, "is not a name that Kubernetes allows for a variable")
        elif isinstance(value, Mapping) and isinstance(value.get("secret"), str):
            source = secrets.get(value["secret"])
            source = source.get("source") if isinstance(source, Mapping) else None
            secret = name_of(str(source or value["secret"]))
            reading.note(where, f"make a Secret {secret} with the key `value`")
            reference = {"secretKeyRef": {"name": secret, "key": "value"}}
            found.append({"name": name, "valueFrom": reference})
        elif isinstance(value, str | int | float | bool):
            found.append({"name": name, "value": written(value)})
        else:
            reading.note(where, "is neither a text nor a secret")
    return found


def user(reading: Taking, key: str) -> dict[str, Any]:
    """The security context for a user by number or `root`; other names exist only in images."""
    text = reading.text(key)
    if not text:
        return {}
    if text.isascii() and text.isdecimal():
        return {"runAsUser": int(text)}
    if text == "root":
        return {"runAsUser": 0}
    reading.note(key, f"{text!r}: write its number into securityContext.runAsUser")
    return {}
