"""What the API server's own admission fills into pods: LimitRanges by namespace, priorities."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bayplan.cluster import policies, wire
from bayplan.model.limits import NO_LIMITS, Limits, merged


@dataclass(slots=True, eq=False)
class Defaults:
    """`changed` is called with the namespace whose LimitRanges have changed."""

    changed: Callable[[str], None]
    _priorities: dict[str, policies.Priority] = field(default_factory=dict)  # by class
    _ranges: dict[str, dict[str, Limits]] = field(default_factory=dict)  # by namespace, name
    _limits: dict[str, Limits] = field(default_factory=dict)  # merged, by namespace

    def limits(self, namespace: str) -> Limits:
        """What all LimitRanges of a namespace say; the same object until one of them changes."""
        ranges = self._ranges.get(namespace)
        if not ranges:
            return NO_LIMITS
        found = self._limits.get(namespace)
        if found is None:
            found = self._limits[namespace] = merged(one for _, one in sorted(ranges.items()))
        return found

    @property
    def kept(self) -> int:
        """The number of namespaces of which something is remembered."""
        return len(self._ranges.keys() | self._limits.keys())

    def priority(self, name: str) -> int:
        """The priority of a class; for an empty name, the priority of pods that name no class."""
        if name:
            found = self._priorities.get(name)
            return found.value if found is not None else 0
        return min((one.value for one in self._priorities.values() if one.default), default=0)

    def set_range(self, seen: wire.Seen) -> None:
        self._ranges.setdefault(seen.namespace, {})[seen.name] = seen.value
        self._limits.pop(seen.namespace, None)
        self.changed(seen.namespace)

    def drop_range(self, key: tuple[str, str]) -> None:
        ranges = self._ranges.get(key[0], {})
        ranges.pop(key[1], None)
        if not ranges:
            self._ranges.pop(key[0], None)
        self._limits.pop(key[0], None)
        self.changed(key[0])

    def set_priority(self, seen: wire.Seen) -> None:
        self._priorities[seen.name] = seen.value

    def drop_priority(self, key: tuple[str, str]) -> None:
        self._priorities.pop(key[1], None)
