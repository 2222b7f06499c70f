"""BatchJobs as a careless or malicious person writes them; a seed is a spec.

The written schema is walked: a field is mostly left out, else valid, else at the edge of what is
valid, else hostile. Where the schema knows only text (schedules, time zones, quantities, patterns),
the text is one that the language behind it knows, or nearly knows.
"""

import random
from dataclasses import dataclass
from typing import Any

from bayplan.api import names
from tests.schemas import INT_OR_STRING, PRESERVE, Schema, schema_of

START = 1_790_000_000  # all are created at this moment
LONG = "x" * 65_536

NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**40, 0.5, 1e308)
NOT_NUMBERS = (float("nan"), float("inf"), -float("inf"), -0.0)
TEXTS = (
    "", " ", "\x00", "\t", "\u0661", "\u202eabc", "e\u0301", "\u00e9", "\U0001f4a5", "\ud800", LONG,
    "../..", "{{ now }}", "${HOME}", "$(reboot)", "'; drop table jobs; --", "%s%n", "<b>", "NaN",
    "1e999", "null", "true", "-0", "a/b/c", "a" * 63, "a" * 64, "a.b.c", "-a", "a\nb",
)  # fmt: skip
CRON = (
    "* * * * *", "*/5 * * * *", "0 0 29 2 *", "0 0 31 2 *", "0 0 30 2 1", "H H * * *",
    "H/15 * * * *", "H(0-7) * * * *", "@yearly", "@hourly", "@reboot", "@every 5s", "0 0 L * *",
    "0 0 * * 5#5", "0 0 * * 5L", "0 0 1W * *", "0 0 * JAN-DEC MON-SUN", "0 0 * * 7", "0 0 * * 8",
    "59-0 * * * *", "*/0 * * * *", "*/-1 * * * *", "*/99 * * * *", "60 * * * *", "0 24 * * *",
    "0 0 0 * *", "0 0 * 13 *", "* * * *", "* * * * * *", "TZ=UTC * * * * *", "CRON_TZ=X 0 0 * * *",
    "0\t0\t*\t*\t*", "\u0661 * * * *", "0,0,0,0 * * * *",
    ",".join(map(str, range(60))) + " * * * *",
    "1-59/58 * * * *", "0 0 ? * ?", "R/PT1S", "R//PT1M", "R0//PT1H", "R-1//PT1H", "R1//P1M",
    "R/2026-09-21T14:00:00Z/PT1S", "R/2026-09-21T14:00:00/PT1M", "R5/0001-01-01T00:00:00Z/P1D",
    "R/9999-12-31T23:59:59Z/P1Y", "R/2026-01-31T00:00:00Z/P1M", "R/2024-02-29T00:00:00Z/P1Y",
    "R/1970-01-01T00:00:00Z/PT10S", "R/2026-09-21T14:00:00Z/P0D", "R/2026-09-21T14:00:00Z/-PT1M",
    "R/2026-09-21T14:00:00Z/P99999999Y", "R/2026-09-21T14:00:00Z/PT0.001S", "R99999999999//PT1M",
    "R/2026-02-30T00:00:00Z/PT1H", "R/2026-09-21T24:00:00Z/PT1H", "R/2026-09-21T14:00:60Z/PT1H",
    "R/2026-09-21T14:00:00+99:99/PT1H", "R///", "P1D", "R/2026-W39-1T14:00:00Z/P1W", "R//PT1M/x",
)  # fmt: skip
ZONES = (
    "UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu", "Local",
    "EST5EDT",
    "Etc/GMT+12", "posixrules", "right/UTC", "../../etc/passwd", "/etc/localtime", "europe/berlin",
    "Europe", "Antarctica/Troll", "Africa/Casablanca", "Factory", "Mars/Olympus", "tzdata.zi",
)  # fmt: skip
QUANTITIES = (
    "1", "2", "1Gi", "0", "100m", "-1", "1.5", "0.0001", "1e3", "1E", "1e400", "9E",
    "9999999999999Ei",
    "1mi", "NaN", "1 Gi", "+1", "1..5", "", "1e-400", "0x10", "\u0661", "1" * 60, "." * 9, "1n",
)  # fmt: skip
PATTERNS = (
    "1", "us-east-1[ab]", ".*", "(a+)+$", "(?=a)b", r"(a)\1", "[", "*", "a{1000}",
    "a{1,1000}{1,1000}", "(" * 99, "\\C",
    "x" * 256, "0", "-1", "1.5", "99999999999999999999",
)  # fmt: skip
RESOURCES = ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "pods", "hugepages-2Mi", "")
KEYS = ("hostname", "zone", "a", "kubernetes.io/hostname", "A/B", LONG, "", "\u202e", "a" * 64)
VERBS = (
    names.RUN_NOW, names.RUN_NOW_ARGS, names.CANCEL_RUN, names.MARK_SUCCESS, names.RETRY,
    names.BACKFILL, names.PAUSED_UNTIL,
)  # fmt: skip
VERB_TEXTS = (
    "2026-09-21T14:00:00Z/2026-09-22T14:00:00Z", "0001-01-01T00:00:00Z/9999-12-31T23:59:59Z",
    "stop",
    "/", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", '{"args": [], "env": {}}',
    '{"args": [1]}', '{"env": {"": ""}}', "[" * 50_000, '{"a":' * 5_000,
    "s1", "r00000000", "s" * 64,
)  # fmt: skip


def batchjob(seed: int) -> dict[str, Any]:
    """The stored object of this seed. Its name and uid are sound: the API server sees to those."""
    dice = random.Random(seed)  # noqa: S311  a replay, no secret
    writer = _Writer(dice, roughness=dice.choice((0.0, 0.0, 0.1, 1.0)))
    spec = writer.object(schema_of(names.BATCHJOB, "spec"), "spec", 0)
    if dice.random() < 0.9:
        spec.setdefault("template", {})
        if isinstance(spec["template"], dict) and dice.random() < 0.8:
            pod = spec["template"].setdefault("spec", {})
            if isinstance(pod, dict):
                pod.setdefault("containers", [{"name": "main", "image": "x"}])
    parents = spec.get("parents")
    for parent in parents if isinstance(parents, list) else ():
        if isinstance(parent, dict) and dice.random() < 0.5:  # itself, its neighbours, the good one
            parent["name"] = dice.choice((f"hostile-{seed + dice.randint(-1, 1)}", "good"))
    notes = {verb: dice.choice(VERB_TEXTS + TEXTS) for verb in VERBS if dice.random() < 0.1}
    return {
        "kind": names.BATCHJOB,
        "metadata": {
            "namespace": "default",
            "name": f"hostile-{seed}",
            "uid": f"{seed:08x}-0000-4000-8000-000000000000",
            "generation": 1,
            "resourceVersion": str(seed + 1),
            "creationTimestamp": "2026-09-21T14:13:20Z",
            "annotations": notes,
        },
        "spec": spec if dice.random() < 0.995 else dice.choice((None, [], "x", 1)),
    }


@dataclass
class _Writer:
    """Writes values for a schema; `roughness` 0 is someone who keeps to it, 1 is hostile."""

    dice: random.Random
    roughness: float

    def value(self, schema: Schema, field: str, depth: int) -> Any:
        dice, fate = self.dice, self.dice.random() / (self.roughness or 1e-9)
        if fate < 0.06:
            return _hostile(dice, depth)
        words = _words(field)
        if words:
            sound = self.roughness == 0 and dice.random() < 0.7
            return dice.choice(words[: len(words) // 6] if sound else words)
        if schema.get(INT_OR_STRING):
            return dice.choice((*QUANTITIES, *NUMBERS)) if fate < 0.5 else dice.choice(("1", "2"))
        match schema["type"]:
            case "boolean":
                return dice.random() < 0.5
            case "integer":
                low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
                near = (low - 1, high + 1) if fate < 0.15 else (low, high)
                return dice.choice((*near, dice.randint(low, high), min(low + 1, high)))
            case "string":
                return self.text(schema, fate)
            case "array":
                most = schema["maxItems"]
                count = dice.choice((most, most + 1)) if fate < 0.09 else dice.randint(0, 3)
                count = max(count, schema.get("minItems", 0))
                return [self.value(schema["items"], field, depth + 1) for _ in range(count)]
        return self.object(schema, field, depth)

    def text(self, schema: Schema, fate: float) -> Any:
        dice, longest = self.dice, schema.get("maxLength", 9)
        if fate < 0.15:
            return dice.choice((*TEXTS, "a" * (longest + 1)))
        if "enum" in schema:
            return dice.choice(schema["enum"])
        return dice.choice(("a" * longest, "main", "busybox", f"x{dice.randrange(999)}"))

    def object(self, schema: Schema, field: str, depth: int) -> dict[str, Any]:
        dice, rough = self.dice, self.roughness
        if "additionalProperties" in schema:
            keys = RESOURCES if field in {"requests", "limits", "overhead"} else KEYS
            chosen = dice.sample(keys, dice.randint(0, 3))
            inner = schema["additionalProperties"]
            return {key: self.value(inner, field, depth) for key in chosen}
        made: dict[str, Any] = {}
        required = schema.get("required", ())
        for name, one in schema["properties"].items():
            if dice.random() < (1 - rough / 20 if name in required else 0.25):
                made[name] = self.value(one, name, depth + 1)
        if dice.random() < rough * (0.2 if schema.get(PRESERVE) else 0.02):
            made[dice.choice(TEXTS)] = _hostile(dice, depth)
        return made


def _words(field: str) -> tuple[Any, ...]:
    """What the language behind a text field knows, or nearly knows."""
    return {
        "schedule": CRON, "schedules": CRON, "timeZone": ZONES, "requests": QUANTITIES,
        "limits": QUANTITIES, "overhead": QUANTITIES, "value": PATTERNS, "values": PATTERNS,
    }.get(field, ())  # fmt: skip


def _hostile(dice: random.Random, depth: int) -> Any:
    match dice.randrange(9):
        case 0:
            return dice.choice(NUMBERS)
        case 1:
            return dice.choice(NOT_NUMBERS)
        case 2 | 3:
            return dice.choice(TEXTS)
        case 4:
            return None
        case 5:
            return [_hostile(dice, depth + 1) for _ in range(dice.randint(0, 3))] * (depth < 9)
        case 6:
            return {dice.choice(TEXTS): _hostile(dice, depth + 1)} if depth < 9 else {}
        case 7:
            return _deep(dice.choice((20, 400)), dice.random() < 0.5)
        case _:
            return dice.random() < 0.5


def _deep(levels: int, of_lists: bool) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value] if of_lists else {"a": value}
    return value
