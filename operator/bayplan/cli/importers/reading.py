"""Reading somebody else's JSON so that nothing is lost: what is not taken is listed.

Each object is read through `Taking`, which remembers what was asked for. At its end whatever was
never asked for, and says anything, becomes a note: either with the reason why it has no counterpart
or as a field that nobody here knows.
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
NETWORK = "networks of containers are the cluster's"
IMAGES = "images carry their files; put them into one, or fetch them in an init container"


@dataclass(frozen=True, slots=True)
class Note:
    """What has no counterpart, or another one than before."""

    of: str  # the original's identity
    field: str
    message: str


class UnreadableError(InputError):
    """A value that an object cannot have; the objects beside it can still be read."""

    def __init__(self, of: str, where: str, message: str) -> None:
        super().__init__(f"{of}: {where}", message)
        self.note = Note(of, where, message)


@dataclass(slots=True)
class Taking:
    """One object of the original. `path` is where it stands, such as `container.docker.`."""

    of: str
    body: Mapping[str, Any]
    notes: list[Note]
    path: str = ""
    _asked: set[str] = field(default_factory=set)

    def take(self, key: str, default: Any = None) -> Any:
        """A value as it stands; the default where it is absent or null."""
        self._asked.add(key)
        value = self.body.get(key)
        return default if value is None else value

    def text(self, key: str, default: str = "") -> str:
        """A text; a number or a truth value as JSON writes it."""
        value = self.take(key, default)
        if not isinstance(value, str | int | float):
            raise self.wrong(key, "a text", value)
        return written(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A truth value, also as the text `true` or `false`."""
        value = self.take(key, default)
        if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
            return value.strip().lower() == "true"
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def number(self, key: str, default: float = 0) -> float:
        """A number from 0, also as a text: Chronos' own documents write `"cpus": "0.5"`."""
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
        """A list of texts; numbers and truth values as JSON writes them."""
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
        """An object inside; end it too."""
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
        """List what was not asked for and says something."""
        for key, value in self.body.items():
            if key not in self._asked and value not in (None, "", [], {}, False, 0):
                self.note(key, reasons.get(key, "no such field is known here"))

    def wrong(self, key: str, wanted: str, value: object) -> "UnreadableError":
        return UnreadableError(self.of, f"{self.path}{key}", f"{str(value)[:60]!r} is not {wanted}")


def record(*keys: str) -> dict[str, str]:
    """Fields by which a server tells what happened."""
    return dict.fromkeys(keys, _SERVER)


def name_of(text: str) -> str:
    """A name that Kubernetes takes, the same for the same text; a hash tells shortened ones."""
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
    """MiB as a quantity; a part of one becomes bytes."""
    return f"{int(amount)}Mi" if amount == int(amount) else str(int(amount * _MEBI))


def percent(share: float, *, up: bool) -> int:
    """A fraction in whole percents; floats a hair beside a whole one are that one."""
    hundredths = round(share * 100, 6)
    whole = -int(-hundredths // 1) if up else int(hundredths // 1)
    return min(max(whole, 0), 100)


def written(value: str | float) -> str:
    """A value as JSON writes it, without the quotes."""
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
    """What can be labels, and what becomes annotations."""
    labels, annotations = {}, {}
    for key, value in found.items():
        text = written(value) if isinstance(value, str | int | float) else str(value)
        if is_label(key, text):
            labels[key] = text
        elif is_label_key(key):
            annotations[key] = text
        else:
            reading.note(f"labels.{key}", "is no name that Kubernetes takes")
    return labels, annotations


_OPERATORS = {word: operator for operator in Operator for word in operator.meaning.marathon}
_KEYS = {
    "hostname": "hostname",
    "@hostname": "hostname",
    "@zone": "zone",
    "@region": "region",
}


def constraint(reading: Taking, where: str, triple: list[Any]) -> dict[str, str] | None:
    """`[field, operator, value]` as ours; None, and a note, where that cannot be."""
    texts = [str(one) for one in triple]
    if len(texts) not in {2, 3} or texts[1].upper() not in _OPERATORS:
        reading.note(where, f"{' '.join(texts)[:60]!r} is no constraint known here")
        return None
    operator = _OPERATORS[texts[1].upper()]
    key = _KEYS.get(texts[0], texts[0])
    value = texts[2] if len(texts) == 3 else ""  # noqa: PLR2004
    if not is_label_key(key):
        reading.note(where, f"{texts[0]!r} cannot be a node label; choose one")
        return None
    if texts[0] not in _KEYS:
        reading.note(where, f"nodes must have the label {key}, as agents had the attribute")
    wanted = PlaceConstraint(key, operator, value)
    if wanted.problem() and isinstance(wanted.coupling, EvenShares):
        reading.note(where, f"{value[:60]!r} groups: as many as there are")
        wanted = PlaceConstraint(key, operator)
    if wanted.problem():
        reading.note(where, f"the value {value[:60]!r} has no counterpart; the rule is left out")
        return None
    found = {"key": key, "operator": operator.value}
    return {**found, "value": wanted.value} if wanted.value else found


def resources(
    reading: Taking, limits: Taking, *, default: tuple[float, float, float]
) -> dict[str, Any]:
    """cpus, mem, disk and gpus; `default` where nothing is said. A 0 asks for nothing."""
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
                limits.note(key, "a memory limit there always is: that of the request, unless set")
        elif value is not None:
            upper[name] = written(limits.number(key))
    limits.end({})
    if gpus:
        requests["nvidia.com/gpu"] = upper["nvidia.com/gpu"] = str(gpus)
    return {"requests": requests, **({"limits": upper} if upper else {})}


def environment(reading: Taking, key: str, secrets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Variables by name; a secret becomes a reference to a Secret that has to be made."""
    found: list[dict[str, Any]] = []
    for name, value in reading.mapping(key).items():
        where = f"{key}.{name}"
        if not is_variable(name):
            reading.note(where, "is no name of a variable that Kubernetes takes")
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
    """A numeric user runs the container; a name only means something inside an image."""
    text = reading.text(key)
    if not text:
        return {}
    if text.isascii() and text.isdecimal():
        return {"runAsUser": int(text)}
    if text == "root":
        return {"runAsUser": 0}
    reading.note(key, f"{text!r}: write its number into securityContext.runAsUser")
    return {}
