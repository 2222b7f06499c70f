"""Volumes as the scheduler sees them: from claims, volumes and classes to `Claim`.

A claim's verdict changes with any of the three; it is said anew whenever one of them does.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bayplan.cluster import decode
from bayplan.cluster.decode import Seen
from bayplan.model import pod as pods_
from bayplan.model import state

Key = tuple[str, str]  # namespace (empty for cluster-wide kinds), name


@dataclass(slots=True, eq=False)
class Storage:
    """Keeps `state.claims` and `state.attach_limits`; `changed` rings when one of them does."""

    state: state.State
    changed: Callable[[], None]
    _claims: dict[Key, decode.VolumeClaim] = field(default_factory=dict)
    _volumes: dict[str, decode.Volume] = field(default_factory=dict)
    _classes: dict[str, decode.Storage] = field(default_factory=dict)
    _bound: dict[str, set[Key]] = field(default_factory=dict)  # volume -> claims bound to it

    def set_claim(self, seen: Seen) -> None:
        self._unbind(seen.key)
        self._claims[seen.key] = seen.value
        if seen.value.volume:
            self._bound.setdefault(seen.value.volume, set()).add(seen.key)
        self._judge((seen.key,))

    def drop_claim(self, key: Key) -> None:
        self._unbind(key)
        self._claims.pop(key, None)
        self.state.claims.pop(key, None)

    def set_volume(self, seen: Seen) -> None:
        self._volumes[seen.name] = seen.value
        self._judge(self._bound.get(seen.name, ()))

    def drop_volume(self, key: Key) -> None:
        self._volumes.pop(key[1], None)
        self._judge(self._bound.get(key[1], ()))

    def set_class(self, seen: Seen) -> None:
        self._classes[seen.name] = seen.value
        self._judge_unbound()

    def drop_class(self, key: Key) -> None:
        self._classes.pop(key[1], None)
        self._judge_unbound()

    def set_limits(self, seen: Seen) -> None:
        if self.state.attach_limits.get(seen.name) != seen.value:
            self.state.attach_limits[seen.name] = seen.value
            self.changed()

    def drop_limits(self, key: Key) -> None:
        self.state.attach_limits.pop(key[1], None)

    def _unbind(self, key: Key) -> None:
        before = self._claims.get(key)
        if before is not None and before.volume:
            claims = self._bound[before.volume]
            claims.discard(key)
            if not claims:
                del self._bound[before.volume]

    def _judge_unbound(self) -> None:
        self._judge([key for key, claim in self._claims.items() if not claim.volume])

    def _judge(self, keys: Collection[Key]) -> None:
        """Say anew of these claims where their pods may run."""
        for key in keys:
            claim = self._verdict(key[1], self._claims[key])
            if self.state.claims.get(key) != claim:
                self.state.claims[key] = claim
                self.changed()

    def _verdict(self, name: str, stored: decode.VolumeClaim) -> pods_.Claim:
        if stored.volume:
            volume = self._volumes.get(stored.volume)
            if volume is None:
                return pods_.Claim(name, missing=True)  # its volume has not been seen (yet)
            return pods_.Claim(name, terms=volume.terms, driver=volume.driver, handle=volume.handle)
        if stored.storage is None:
            storage = next((one for one in self._classes.values() if one.default), None)
        else:
            storage = self._classes.get(stored.storage)
        if storage is None or not storage.waits:
            return pods_.Claim(name, missing=True)  # somebody else must bind it first
        return pods_.Claim(name, terms=storage.terms, unbound=True)
