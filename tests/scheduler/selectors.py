"""Label selectors and what looks at other pods by them, as they are stored by an API server."""

from typing import Any

from tests.scheduler.dice import Dice

LABELS = {
    "app": ("web", "db", "cache"),
    "track": ("a", "b"),
    "version": ("1", "2", "10"),
    "pod-template-hash": ("h1", "h2"),
    "bayplan.dev/run": ("run-1", "run-2"),
}
NAMESPACES = ("default", "team-a", "team-b")
KEYS = (
    "kubernetes.io/hostname",
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "rack",
)


def labels(dice: Dice) -> dict[str, str]:
    """Of a pod."""
    found = {"app": dice.pick(LABELS["app"])} if dice.chance(0.9) else {}
    for key in ("track", "version", "pod-template-hash"):
        if dice.chance(0.35):
            found[key] = dice.pick(LABELS[key])
    if dice.chance(0.15):
        found["bayplan.dev/run"] = dice.pick(LABELS["bayplan.dev/run"])
    return found


def selector(dice: Dice, own: dict[str, str]) -> dict[str, Any] | None:
    """Often one that selects the pod itself; None and {} too."""
    if dice.chance(0.04):
        return None
    if dice.chance(0.04):
        return {}
    found: dict[str, Any] = {}
    if dice.chance(0.7):
        keys = [key for key in own if dice.chance(0.6)] or (["app"] if dice.chance(0.7) else [])
        found["matchLabels"] = {
            key: own[key] if key in own and dice.chance(0.75) else dice.pick(LABELS[key])
            for key in keys
        }
    if not found.get("matchLabels") or dice.chance(0.25):
        found["matchExpressions"] = [_expression(dice) for _ in range(dice.number(1, 2))]
    return {key: value for key, value in found.items() if value}


def _expression(dice: Dice) -> dict[str, Any]:
    key = dice.pick(list(LABELS))
    operator = dice.pick(("In", "In", "NotIn", "NotIn", "Exists", "DoesNotExist"))
    if operator in {"Exists", "DoesNotExist"}:
        return {"key": key, "operator": operator}
    return {"key": key, "operator": operator, "values": dice.some(LABELS[key], least=1)}


def _merged(
    found: dict[str, Any], own: dict[str, str], operators: dict[str, str]
) -> dict[str, Any]:
    """As the API server stores matchLabelKeys and mismatchLabelKeys: in the selector too."""
    for field, operator in operators.items():
        for key in found.get(field, ()):
            if key in own and found.get("labelSelector") is not None:
                expressions = found["labelSelector"].setdefault("matchExpressions", [])
                expressions.append({"key": key, "operator": operator, "values": [own[key]]})
    return found


def term(dice: Dice, own: dict[str, str]) -> dict[str, Any]:
    """A required term of pod affinity or anti-affinity."""
    found: dict[str, Any] = {"topologyKey": dice.pick(KEYS)}
    wanted = selector(dice, own)
    if wanted is not None:
        found["labelSelector"] = wanted
    if dice.chance(0.15):
        found["namespaces"] = dice.some(NAMESPACES, 2, 1)
    if dice.chance(0.15):
        found["namespaceSelector"] = dice.pick(
            (
                {},
                {"matchLabels": {"team": "a"}},
                {"matchLabels": {"team": "b"}},
                {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]},
                {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
                {"matchExpressions": [{"key": "env", "operator": "In", "values": ["test"]}]},
                {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            )
        )
    if wanted is not None and dice.chance(0.15):
        used = _used(wanted)
        keys = [key for key in ("version", "pod-template-hash") if key not in used]
        field = dice.pick(("matchLabelKeys", "mismatchLabelKeys"))
        if keys:
            found[field] = [dice.pick(keys)]
    return _merged(found, own, {"matchLabelKeys": "In", "mismatchLabelKeys": "NotIn"})


def spread(dice: Dice, own: dict[str, str]) -> list[dict[str, Any]]:
    """Constraints with distinct pairs of key and whenUnsatisfiable, as the API server demands."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(dice.pick((1, 1, 1, 2, 2, 3))):
        hard = dice.chance(0.85)
        one: dict[str, Any] = {
            "topologyKey": dice.pick(KEYS),
            "maxSkew": dice.pick((1, 1, 1, 2, 3)),
            "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        }
        wanted = selector(dice, own)
        if wanted is not None:
            one["labelSelector"] = wanted
        if hard and dice.chance(0.25):
            one["minDomains"] = dice.number(1, 4)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if dice.chance(0.25):
                one[policy] = dice.pick(("Honor", "Ignore"))
        if wanted is not None and dice.chance(0.2):
            keys = [key for key in ("version", "pod-template-hash") if key not in _used(wanted)]
            if keys:
                one["matchLabelKeys"] = [dice.pick(keys)]
        # An older API server leaves matchLabelKeys to the scheduler.
        merged = dice.chance(0.8)
        one = _merged(one, own, {"matchLabelKeys": "In"} if merged else {})
        found[one["topologyKey"], one["whenUnsatisfiable"]] = one
    return list(found.values())


def _used(wanted: dict[str, Any]) -> set[str]:
    expressions = wanted.get("matchExpressions", ())
    return {*wanted.get("matchLabels", {}), *(one["key"] for one in expressions)}
