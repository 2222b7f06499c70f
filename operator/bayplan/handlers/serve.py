"""Runs kopf in its own thread and loop, so that its cancellations, stalls and faults stay there.

If kopf ends by itself, the process ends: a supervisor starts it again, and all state is in the API
server.
"""

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import Any

import kopf

_IDENTITY: Any = "bayplan"  # a name for kopf's peering, which is not used


class Server:
    """Runs `kopf.operator` until `stop`; calls `on_death` if kopf ends by itself."""

    def __init__(
        self,
        registry: kopf.OperatorRegistry,
        *,
        namespaces: Collection[str] = (),
        liveness_endpoint: str | None = None,
        on_death: Callable[[BaseException | None], None],
    ) -> None:
        self._registry = registry
        self._namespaces = tuple(namespaces)
        self._liveness_endpoint = liveness_endpoint
        self._on_death = on_death
        self._stop = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Ask kopf to end and wait; False if it does not end in time (its thread is a daemon)."""
        self._stopping = True
        self._stop.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        died: BaseException | None = None
        try:
            asyncio.run(self._body())
        except BaseException as error:  # noqa: BLE001  whatever ends kopf's thread is reported
            died = error
        if not self._stopping:
            self._on_death(died)

    async def _body(self) -> None:
        try:
            await kopf.operator(
                registry=self._registry,
                namespaces=self._namespaces,
                clusterwide=not self._namespaces,
                standalone=True,
                liveness_endpoint=self._liveness_endpoint,
                # Without a name kopf asks for the user's name, and the user of the image has none.
                identity=_IDENTITY,
                stop_flag=self._stop,
            )
        finally:
            # A thread of kopf's executor waits for the flag and would keep the loop alive.
            self._stop.set()
