"""What the API server's admission depends on: namespaces, quotas, LimitRanges, priority classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from bayplan import units
from bayplan.cluster import wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model import limits


@dataclass(frozen=True, slots=True)
class Namespace:
    labels: Mapping[str, str]
    deleting: bool = False


def namespace(raw: Raw) -> Seen:
    meta = wire.read(raw, wire.Meta).metadata
    found = Namespace(wire.texts(bytes(meta.labels)), meta.deletion_timestamp is not None)
    return wire.sight(meta, found, namespaced=False)


class _QuotaSpec(Struct):
    hard: Raw = Raw()


class _QuotaStatus(Struct):
    used: Raw = Raw()


class _Quota(Struct):
    metadata: wire.Metadata
    spec: _QuotaSpec = msgspec.field(default_factory=_QuotaSpec)
    status: _QuotaStatus = msgspec.field(default_factory=_QuotaStatus)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a namespace may hold and what it holds; it shows whether room has appeared."""

    hard: Mapping[str, str]
    used: Mapping[str, str]

    def loosened(self, before: "Quota") -> bool:
        """Whether a CREATE that was refused before may be accepted now."""
        return self.hard != before.hard or any(
            _thousandths(amount) > _thousandths(self.used.get(name, "0"))
            for name, amount in before.used.items()
        )


def _thousandths(text: str) -> int:
    try:
        return units.milli(text)
    except units.QuantityError:
        return 0


def quota(raw: Raw) -> Seen:
    stored = wire.read(raw, _Quota)
    hard, used = bytes(stored.spec.hard), bytes(stored.status.used)
    return wire.sight(stored.metadata, Quota(wire.texts(hard), wire.texts(used)))


class _Limit(Struct):
    type: str = ""
    min: Raw = Raw()
    max: Raw = Raw()
    default: Raw = Raw()
    default_request: Raw = Raw()


class _LimitRangeSpec(Struct):
    limits: list[_Limit] | None = None


class _LimitRange(Struct):
    metadata: wire.Metadata
    spec: _LimitRangeSpec = msgspec.field(default_factory=_LimitRangeSpec)


def limit_range(raw: Raw) -> Seen:
    """The LimitRange's defaults and its limits for a whole pod, by Kubernetes' own rules."""
    stored = wire.read(raw, _LimitRange)
    found = []
    for one in stored.spec.limits or ():
        least, most = wire.texts(bytes(one.min)), wire.texts(bytes(one.max))
        if one.type == "Container":
            bound = {**most, **wire.texts(bytes(one.default))}
            requests = {**least, **bound, **wire.texts(bytes(one.default_request))}
            found.append(limits.Limits(requests=requests, limits=bound))
        elif one.type == "Pod":
            found.append(limits.Limits(least=least, most=most))
    return wire.sight(stored.metadata, limits.merged(reversed(found)))


def limits_from_dict(body: Mapping[str, Any]) -> limits.Limits:
    """Read a LimitRange that was written by hand, not served by the API server."""
    found: limits.Limits = limit_range(Raw(msgspec.json.encode(body))).value
    return found


class _Priority(Struct):
    metadata: wire.Metadata
    value: int = 0
    global_default: bool | None = None


@dataclass(frozen=True, slots=True)
class Priority:
    value: int
    default: bool = False


def priority_class(raw: Raw) -> Seen:
    stored = wire.read(raw, _Priority)
    value = Priority(stored.value, bool(stored.global_default))
    return wire.sight(stored.metadata, value, namespaced=False)
