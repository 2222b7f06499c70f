"""Keep an eye on which Karpenter is there: how a run is protected from it hangs on that."""

import asyncio
import json
import logging
from typing import Any

from bayplan import logs
from bayplan.cloud import karpenter
from bayplan.cluster import errors
from bayplan.cluster.transport import Request, Transport
from bayplan.scheduler.loop import Loop

_LOOK_SECONDS = 600.0  # somebody upgrades it


def tell(loop: Loop, *, timed: bool) -> None:
    """Have pods made accordingly: `timed` is whether a protection may name its time."""
    loop.tell_timed(timed=timed)


async def look(transport: Transport) -> bool | None:
    """What the cluster's definition says; without Karpenter a duration harms nobody.

    Where it may not be read, the versions that are served tell an old one. None when nothing tells.
    """
    try:
        return karpenter.is_timed(await _asked(transport, karpenter.DEFINITION))
    except errors.NotFound:
        return True
    except (errors.ClusterError, ValueError):
        pass
    try:
        group = await _asked(transport, karpenter.GROUP)
    except (errors.ClusterError, ValueError):
        return None
    return False if karpenter.is_ancient(group) else None


async def _asked(transport: Transport, path: str) -> Any:
    return json.loads(await transport.send(Request("GET", path, verb="get", kind="Karpenter")))


async def watch(transport: Transport, loop: Loop) -> None:
    """Look now and then, and say what is there; what cannot be read stays as it was."""
    before = True
    while True:
        timed = await look(transport)
        if timed is not None:
            tell(loop, timed=timed)
            if timed is not before:
                logs.say(logging.INFO, "karpenter", understands_durations=timed)
            before = timed
        await asyncio.sleep(_LOOK_SECONDS)
