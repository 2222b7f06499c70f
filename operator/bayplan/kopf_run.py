"""`kopf run -m bayplan.kopf_run`: kopf owns the process, and the operator runs in a thread.

Settings come from `BAYPLAN_…` variables, because kopf reads the command line. Importing this
module registers handlers on kopf's default registry; `python -m bayplan` uses its own registry,
which this does not change.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

import kopf

from bayplan import logs
from bayplan.api.resource import Key
from bayplan.handlers import delivery, lifecycle
from bayplan.runtime.app import Operator
from bayplan.runtime.kopf_login import login
from bayplan.runtime.kopf_thread import Served
from bayplan.settings import Settings


class _Beside:
    """The operator in its thread, as kopf's handlers see it."""

    def __init__(self) -> None:
        self._operator: Served | None = None
        self._started = threading.Event()
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name="bayplan", daemon=True)

    def put(self, body: Mapping[str, Any]) -> None:
        if self._operator is not None:
            self._operator.deliveries.put(body)

    def drop(self, key: Key, uid: str) -> None:
        if self._operator is not None:
            self._operator.deliveries.drop(key, uid)

    def relisted(self) -> None:
        if self._operator is not None:
            self._operator.deliveries.relisted()

    def alive(self) -> Mapping[str, Any]:
        return self._operator.alive() if self._operator is not None else {"synced": False}

    def begin(self) -> None:
        """Start the operator and wait until it accepts deliveries; kopf delivers nothing before."""
        self._thread.start()
        self._started.wait()

    def end(self) -> None:
        if self._stop is not None:
            running, stop = self._stop
            running.call_soon_threadsafe(stop.set)
            self._thread.join()

    # What `Operator.serve` asks of a shell: kopf runs already and ends by itself.

    def start(self, operator: Served) -> None:
        self._operator = operator
        self._started.set()

    def stop(self) -> None:
        self._operator = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()
            os.kill(os.getpid(), signal.SIGTERM)  # kopf ends in order; a supervisor starts again

    async def _serve(self) -> None:
        settings = _settings()
        logs.set_up_logging(settings.log_format, settings.log_level)
        stop = asyncio.Event()
        self._stop = asyncio.get_running_loop(), stop
        async with Operator(settings) as operator:
            await operator.serve(stop, self)


def _settings() -> Settings:
    known = Settings.model_fields
    given = {name: os.environ.get(f"BAYPLAN_{name.upper()}") for name in known}
    return Settings.model_validate({name: text for name, text in given.items() if text})


def register() -> None:
    """Register on kopf's default registry."""
    registry = kopf.get_default_registry()
    beside = _Beside()

    @kopf.on.startup(registry=registry, id="begin")
    async def begin(**_: object) -> None:
        await asyncio.to_thread(beside.begin)

    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: object) -> None:
        await asyncio.to_thread(beside.end)

    lifecycle.register(registry, login, beside.alive)
    delivery.register(registry, beside)


register()
