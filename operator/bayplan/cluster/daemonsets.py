"""DaemonSets as the API server stores them: the room that their pods will take on nodes."""

import functools

import msgspec
from msgspec import Raw

from bayplan.cluster import podspec, wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model import daemonsets, snapshot
from bayplan.model.pods import Constraints


class _Template(Struct):
    metadata: wire.Metadata = msgspec.field(default_factory=wire.Metadata)
    spec: podspec.PodSpec = msgspec.field(default_factory=podspec.PodSpec)


class _DaemonSetSpec(Struct):
    template: _Template = msgspec.field(default_factory=_Template)


class _DaemonSet(Struct):
    metadata: wire.Metadata
    spec: _DaemonSetSpec = msgspec.field(default_factory=_DaemonSetSpec)


def seen(raw: Raw) -> Seen:
    """The room that the DaemonSet's pods will take, with its controller's own tolerations."""
    stored = wire.read(raw, _DaemonSet)
    spec = stored.spec.template.spec
    constraints = podspec.constraints(spec, bytes(stored.spec.template.metadata.labels))
    return wire.sight(
        stored.metadata,
        snapshot.DaemonSet(
            namespace=stored.metadata.namespace or "default",
            name=stored.metadata.name,
            uid=stored.metadata.uid or "",
            request=podspec.request(spec),
            constraints=_tolerating(constraints, host_network=bool(spec.host_network)),
        ),
    )


@functools.lru_cache(maxsize=1024)
def _tolerating(constraints: Constraints, *, host_network: bool) -> Constraints:
    # Not dataclasses.replace: fields that a daemon does not use are left out.
    return Constraints(
        selector=constraints.selector,
        affinity=constraints.affinity,
        tolerations=daemonsets.tolerations(constraints.tolerations, host_network=host_network),
        host_ports=constraints.host_ports,
    )
