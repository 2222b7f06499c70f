"""kopf's settings, login and probe, all set here: kopf only delivers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf so that it writes nothing, has no peers and survives failing watches."""
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 290
    settings.networking.request_timeout = 30
    settings.queueing.worker_limit = 64
    # A worker stays for this long after the last event of its object. With kopf's default of 5 s
    # a list of 5,000 objects would take 6 minutes to arrive, and new events would wait behind it.
    settings.queueing.idle_timeout = 0.02
    settings.persistence.finalizer = "bayplan.dev/never-used"
    settings.process.ultimate_exiting_timeout = None


def register(
    registry: kopf.OperatorRegistry,
    login: Callable[[], Awaitable[kopf.ConnectionInfo]],
    probe: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Register startup, login and probe. If the probe raises, liveness fails."""

    @kopf.on.startup(registry=registry, id="configure")
    async def start(*, settings: kopf.OperatorSettings, **_: object) -> None:
        configure(settings)

    @kopf.on.login(registry=registry, id="login")
    async def connect(**_: object) -> kopf.ConnectionInfo:
        return await login()

    @kopf.on.probe(registry=registry, id="bayplan")
    async def alive(**_: object) -> Mapping[str, Any]:
        return probe()
