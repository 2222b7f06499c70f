"""Which volumes are attached to which nodes, read from VolumeAttachments.

Attached volumes count towards a node's limit even if no pod there mounts them, because a volume is
detached some time after its pod has gone. As in kube-scheduler, only volumes of CSI drivers count.
They count once their PersistentVolume is known, under the driver that attaches them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bayplan.cluster.volumes import Attachment, Volume
from bayplan.cluster.wire import Seen

Key = tuple[str, str]  # namespace (empty), name


@dataclass(slots=True, eq=False)
class Attachments:
    """Keeps `attached` (driver -> handle -> nodes); `changed` rings when a node loses a volume."""

    attached: dict[str, dict[str, set[str]]]
    volumes: Mapping[str, Volume]
    changed: Callable[[], None]
    _known: dict[str, Attachment] = field(default_factory=dict)
    _of_volume: dict[str, set[str]] = field(default_factory=dict)  # volume -> attachments
    _counted: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # entries of `attached`

    def set(self, seen: Seen) -> None:
        found: Attachment = seen.value
        if self._known.get(seen.name) == found:
            return  # most news: the volume is attached now, and was counted before
        self.drop(seen.key)
        self._known[seen.name] = found
        self._of_volume.setdefault(found.volume, set()).add(seen.name)
        self._count(seen.name)

    def drop(self, key: Key) -> None:
        name = key[1]
        known = self._known.pop(name, None)
        if known is None:
            return
        names = self._of_volume[known.volume]
        names.discard(name)
        if not names:
            del self._of_volume[known.volume]
        if self._uncount(name):
            self.changed()

    def look(self, volume: str) -> None:
        """A volume has come, changed or gone: count its attachments by what the volume says now."""
        for name in self._of_volume.get(volume, ()):
            self._uncount(name)
            self._count(name)

    def _count(self, name: str) -> None:
        known = self._known[name]
        volume = self.volumes.get(known.volume)
        if volume is None or not volume.csi or not (known.driver and known.node):
            return
        self._counted[name] = known.driver, volume.handle, known.node
        nodes = self.attached.setdefault(known.driver, {}).setdefault(volume.handle, set())
        nodes.add(known.node)

    def _uncount(self, name: str) -> bool:
        counted = self._counted.pop(name, None)
        if counted is None:
            return False
        driver, handle, node = counted
        handles = self.attached[driver]
        handles[handle].discard(node)
        if not handles[handle]:
            del handles[handle]
        if not handles:
            del self.attached[driver]
        return True
