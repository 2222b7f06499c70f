"""Ports of a node that a pod takes for itself."""

import functools
from collections.abc import Iterable

import msgspec

from bayplan.cluster import wire
from bayplan.cluster.wire import Struct
from bayplan.model.pods import HostPort


class _Port(Struct):
    container_port: int | None = None
    host_port: int | None = None
    protocol: str | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")


def host_ports(containers: Iterable[bytes], *, host_network: bool) -> tuple[HostPort, ...]:
    """The host ports of containers, each given by its `ports`.

    On the node's own network every port is a host port, as the API server sets it
    (SetDefaults_Pod).
    """
    found: list[HostPort] = []
    for ports in containers:
        if host_network or b"hostPort" in ports:
            found += _ports(ports, host_network)
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def _ports(raw: bytes, host_network: bool) -> tuple[HostPort, ...]:
    return tuple(
        HostPort(number, one.protocol or "TCP", one.host_ip or HostPort(0).ip)
        for one in wire.part(raw, list[_Port]) or ()
        if (number := one.host_port or (one.container_port if host_network else 0))
    )
