"""Checks which Karpenter is installed: the protection of a run from Karpenter depends on it."""

import asyncio
import json
import logging
from typing import Any

from bayplan import logs
from bayplan.cloud import karpenter
from bayplan.cluster import errors
from bayplan.cluster.transport import Request, Transport
from bayplan.scheduler.loop import Loop

_LOOK_SECONDS = 600.0  # somebody may upgrade Karpenter


def tell(loop: Loop, *, timed: bool) -> None:
    """Make pods accordingly: `timed` says whether a protection may name its time."""
    loop.tell_timed(timed=timed)


async def look(transport: Transport) -> bool | None:
    """Whether Karpenter's definition has durations; True without Karpenter: they do no harm then.

    If the definition may not be read, the served versions identify an old Karpenter. None when
    neither gives an answer.
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
    """Look now and then, and pass on the result; without an answer the last result stays."""
    before = True
    while True:
        timed = await look(transport)
        if timed is not None:
            tell(loop, timed=timed)
            if timed is not before:
                logs.say(logging.INFO, "karpenter", understands_durations=timed)
            before = timed
        await asyncio.sleep(_LOOK_SECONDS)
