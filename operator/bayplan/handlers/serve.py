"""kopf in its own thread and loop: its cancel-all, its stalls and its fatal faults stay there.

kopf ending by itself is fatal for the process: a supervisor starts it again, and everything
needed is in the API server.
"""

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import Any

import kopf

_IDENTITY: Any = "bayplan"  # among kopf's peers, of which there are none


class Server:
    """Runs `kopf.operator` on this registry until `stop`; `on_death` is told when it ends alone."""

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
        """Ask kopf to end and wait; False when it did not in time (its thread is a daemon)."""
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
                # Left to find a name by itself kopf asks for the user's, and the image's has none.
                identity=_IDENTITY,
                stop_flag=self._stop,
            )
        finally:
            # A thread of kopf's executor waits on the flag; unset, it would keep the loop alive.
            self._stop.set()
