"""Does offline what admission does to a pod before it is placed.

It follows the API server's plugins RuntimeClass, Priority and LimitRanger. They read their objects
from the input; if a named class is missing there, it is noted, because the cluster may have it.
The decoder adds the defaults that depend only on the pod.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bayplan import units
from bayplan.inputs import InputError
from bayplan.manifests.documents import Document, mapping

Body = dict[str, Any]

# Every API server creates these: scheduling/v1, helpers.go.
_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class RefusedError(Exception):
    """The API server would refuse the pod; the text says why."""


@dataclasses.dataclass(slots=True)
class Facts:
    """The objects that pods refer to, and the notes about them, each only once."""

    priorities: dict[str, int] = dataclasses.field(default_factory=dict)
    default_priority: str = ""
    runtimes: dict[str, Document] = dataclasses.field(default_factory=dict)
    ranges: dict[str, list[Document]] = dataclasses.field(default_factory=dict)  # by namespace
    default_pool: str = ""  # the Pool that is tolerated by our kinds that name none
    notes: dict[str, None] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Facts":
        facts = cls(priorities=dict(_SYSTEM))
        defaults: list[tuple[int, str]] = []
        for one in documents:
            match one.kind:
                case "PriorityClass":
                    facts.priorities[one.name] = _value(one)
                    if one.body.get("globalDefault") is True:
                        defaults.append((_value(one), one.name))
                case "RuntimeClass":
                    facts.runtimes[one.name] = one
                case "LimitRange":
                    facts.ranges.setdefault(one.namespace, []).append(one)
                case "Pool" if mapping(one.body.get("spec")).get("default") is True:
                    facts.default_pool = min(facts.default_pool or one.name, one.name)
        # If there are several defaults, the API server takes the lowest.
        facts.default_priority = min(defaults, default=(0, ""))[1]
        return facts

    def note(self, text: str) -> None:
        self.notes[text] = None

    def admitted(self, title: str, namespace: str, body: Mapping[str, Any]) -> Body:
        """A pod as the API server would store it; a pod with a node is stored already.

        Raises RefusedError if the API server would refuse it.
        """
        spec = dict(mapping(body.get("spec")))
        spec["priority"] = self._priority(title, spec)
        if not spec.get("nodeName"):
            self._run_by(title, spec)
            for one in self.ranges.get(namespace, ()):
                _default_containers(spec, one)
            for one in self.ranges.get(namespace, ()):
                for problem in _beyond(spec, one):
                    raise RefusedError(f"LimitRange {one.namespace}/{one.name}: {problem}")
        return {**body, "spec": spec}

    def _priority(self, title: str, spec: Mapping[str, Any]) -> Any:
        stated, name = spec.get("priority"), spec.get("priorityClassName")
        if stated is not None:
            return stated  # the decoder refuses a value that is not a number
        if isinstance(name, str) and name:
            if name not in self.priorities:
                self.note(f"{title}: PriorityClass {name} is not in the input; it counts as 0")
            return self.priorities.get(name, 0)
        return self.priorities.get(self.default_priority, 0)

    def _run_by(self, title: str, spec: Body) -> None:
        """Add the overhead, selector and tolerations of the pod's RuntimeClass."""
        name = spec.get("runtimeClassName")
        if not isinstance(name, str) or not name:
            return
        found = self.runtimes.get(name)
        if found is None:
            what = "its overhead and its nodes are not known"
            self.note(f"{title}: RuntimeClass {name} is not in the input; {what}")
            return
        overhead = mapping(mapping(found.body.get("overhead")).get("podFixed"))
        if overhead:
            check_amounts(found, "overhead.podFixed", overhead)
            stated = mapping(spec.get("overhead"))
            if stated and _parsed(stated) != _parsed(overhead):
                raise RefusedError(f"its overhead differs from that of RuntimeClass {name}")
            spec["overhead"] = overhead
        scheduling = mapping(found.body.get("scheduling"))
        selector = dict(mapping(spec.get("nodeSelector")))
        for key, value in mapping(scheduling.get("nodeSelector")).items():
            if selector.setdefault(key, value) != value:
                raise RefusedError(
                    f"its node selector {key}={selector[key]} contradicts RuntimeClass {name}, "
                    f"which has {key}={value}"
                )
        tolerations = scheduling.get("tolerations")
        if selector:
            spec["nodeSelector"] = selector
        if isinstance(tolerations, list):
            spec["tolerations"] = [*(spec.get("tolerations") or ()), *tolerations]


def check_amounts(document: Document, where: str, stated: Mapping[str, Any]) -> None:
    """Refuse values that are not amounts, and negative amounts."""
    for name, text in stated.items():
        if not isinstance(text, str | int) or isinstance(text, bool):
            raise InputError(
                document.called, f"{where}.{name} is not an amount: {units.shown(text)}"
            )
        try:
            amount = units.milli(text) if name == "cpu" else units.quantity(text)
        except units.QuantityError as error:
            raise InputError(document.called, f"{where}.{name}: {error}") from error
        if amount < 0:
            raise InputError(document.called, f"{where}.{name} is negative: {units.shown(text)}")


def _value(document: Document) -> int:
    value = document.body.get("value", 0)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 31:
        raise InputError(document.called, f"value is {units.shown(value)}; write a whole number")
    return value


# ---- limit ranges -----------------------------------------------------------------------------


def _limits(document: Document, kind: str) -> Iterator[dict[str, dict[str, Any]]]:
    """The items of a type, with checked amounts."""
    items = mapping(document.body.get("spec")).get("limits")
    for index, one in enumerate(items if isinstance(items, list) else ()):
        item = {part: mapping(value) for part, value in mapping(one).items()}
        if mapping(one).get("type") == kind:
            for part, stated in item.items():
                check_amounts(document, f"spec.limits[{index}].{part}", stated)
            yield item


def _default_containers(spec: Body, document: Document) -> None:
    """Set requests and limits of containers without them, as LimitRanger does."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for item in _limits(document, "Container"):
        default = {**item.get("max", {}), **item.get("default", {})}
        requests |= {**item.get("min", {}), **default, **item.get("defaultRequest", {})}
        limits |= default
    if not (requests or limits):
        return
    for group in ("containers", "initContainers"):
        if spec.get(group):
            spec[group] = [_with_defaults(one, requests, limits) for one in spec[group]]


def _with_defaults(container: Any, requests: Body, limits: Body) -> Any:
    if not isinstance(container, dict):
        return container
    stated = mapping(container.get("resources"))
    own = mapping(stated.get("limits"))
    asked = {**own, **mapping(stated.get("requests"))}  # a limit stands in for a request
    filled = {**stated, "requests": {**requests, **asked}, "limits": {**limits, **own}}
    return {**container, "resources": filled}


def _beyond(spec: Mapping[str, Any], document: Document) -> Iterator[str]:
    """The reasons why a LimitRange forbids a pod."""
    containers = [
        one for group in ("containers", "initContainers") for one in spec.get(group) or ()
    ]
    for item in _limits(document, "Container"):
        for one in containers:
            stated = mapping(one.get("resources"))
            name = f"container {one.get('name', '')}"
            requests, limits = (mapping(stated.get(part)) for part in ("requests", "limits"))
            yield from _out_of(item, name, _parsed(requests), _parsed(limits))
    for item in _limits(document, "Pod"):
        yield from _out_of(item, "the pod", _sum(spec, "requests"), _sum(spec, "limits"))


def _out_of(
    item: Mapping[str, Mapping[str, Any]],
    name: str,
    requests: Mapping[str, int],
    limits: Mapping[str, int],
) -> Iterator[str]:
    """minConstraint, maxConstraint and limitRequestRatioConstraint of LimitRanger."""
    for resource, least in item.get("min", {}).items():
        bound = _amount(least)
        if resource not in requests:
            yield f"{name} must request at least {least} {resource}, and requests none"
        elif requests[resource] < bound or limits.get(resource, bound) < bound:
            yield f"{name} must request at least {least} {resource}"
    for resource, most in item.get("max", {}).items():
        bound = _amount(most)
        if resource not in limits:
            yield f"{name} must have a limit of at most {most} {resource}, and has none"
        elif limits[resource] > bound or requests.get(resource, bound) > bound:
            yield f"{name} may have at most {most} {resource}"
    for resource, ratio in item.get("maxLimitRequestRatio", {}).items():
        asked, limit = requests.get(resource), limits.get(resource)
        if not asked or not limit:
            yield f"{name} must have a request and a limit of {resource}, at most {ratio} apart"
        elif limit * 1000 > asked * _amount(ratio):
            yield f"{name} has a limit of {resource} more than {ratio} times its request"


def _sum(spec: Mapping[str, Any], part: str) -> dict[str, int]:
    """The sum of the containers' amounts, or the largest init container's amount."""
    total: dict[str, int] = {}
    for one in spec.get("containers") or ():
        for name, amount in _parsed(mapping(mapping(one.get("resources")).get(part))).items():
            total[name] = total.get(name, 0) + amount
    for one in spec.get("initContainers") or ():
        stated = _parsed(mapping(mapping(one.get("resources")).get(part)))
        for name, amount in stated.items():
            sidecar = one.get("restartPolicy") == "Always"
            before = total.get(name, 0)
            total[name] = before + amount if sidecar else max(before, amount)
    return total | _parsed(mapping(mapping(spec.get("resources")).get(part)))


def _parsed(stated: Mapping[str, Any]) -> dict[str, int]:
    return {name: _amount(text) for name, text in stated.items()}


def _amount(text: Any) -> int:
    return units.milli(text)
