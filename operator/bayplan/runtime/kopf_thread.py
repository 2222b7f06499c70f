"""kopf beside the operator: its thread, and the way from there into the main loop."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import kopf

from bayplan.api.resource import Key
from bayplan.cluster.cache import Cache
from bayplan.handlers import delivery, lifecycle, serve
from bayplan.runtime.kopf_login import login
from bayplan.settings import Settings


class Deliveries:
    """Takes kopf's deliveries from its thread to `cache` in the event loop that built this object.

    `relist` is called in that loop when kopf has listed again.
    """

    def __init__(self, cache: Cache, relist: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._cache = cache
        self._relist = relist

    def put(self, body: Mapping[str, Any]) -> None:
        """A custom resource was seen."""
        self._loop.call_soon_threadsafe(self._cache.put_resource, body)

    def drop(self, key: Key, uid: str) -> None:
        """A custom resource was deleted."""
        self._loop.call_soon_threadsafe(self._cache.drop_resource, key, uid)

    def relisted(self) -> None:
        """After a break kopf has listed again: its watch may have missed something."""
        self._loop.call_soon_threadsafe(self._relist)


class Served(Protocol):
    """What kopf asks of the operator, from kopf's own thread."""

    @property
    def deliveries(self) -> delivery.Sink: ...

    def alive(self) -> Mapping[str, Any]: ...

    def fail_soon(self, why: str) -> None: ...


class Shell(Protocol):
    """The runner of kopf: a thread of ours, or `kopf run`."""

    def start(self, operator: Served) -> None: ...

    def stop(self) -> None: ...


class KopfThread:
    """kopf in a separate thread and event loop; the operator ends when kopf ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: serve.Server | None = None

    def start(self, operator: Served) -> None:
        registry = kopf.OperatorRegistry()
        lifecycle.register(registry, login, operator.alive)
        delivery.register(registry, operator.deliveries)
        address, port = self._settings.listen_address, self._settings.liveness_port
        namespace = self._settings.namespace
        self._server = serve.Server(
            registry,
            namespaces=(namespace,) if namespace else (),
            liveness_endpoint=f"http://{address}:{port}/healthz" if port else None,
            on_death=lambda error: operator.fail_soon(f"kopf ended: {error!r}"),
        )
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(1.0)
