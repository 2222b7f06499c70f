"""What the cache calls when a look may be worthwhile."""

from typing import Protocol

from bayplan.api.resource import Key


class Doorbell(Protocol):
    """Rung on the cache's event loop; rings may be repeated."""

    def mark(self, key: Key) -> None:
        """Something that concerns this resource has changed."""
        ...

    def mark_placement(self) -> None:
        """Room or nodes may have changed, or there is something to place."""
        ...

    def mark_namespace(self, namespace: str) -> None:
        """What admission says of new pods in this namespace may have changed."""
        ...
