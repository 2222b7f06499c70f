"""What keeps a pod's containers from starting, in the words of its kubelet.

A sidecar that ends again and again before any main container has started keeps the main containers
from starting, whatever its state is at the moment. It is called a crash loop all the time, so that
the message does not change with each restart.
"""

from collections.abc import Iterable

from bayplan.cluster.podspec import ContainerStatus, Terminated

# Reasons of a container that waits because it is starting normally.
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
CRASH_LOOP = "CrashLoopBackOff"
BY_SIGNAL = frozenset({137, 143})  # exit codes of a container that its kubelet ended
NO_MEMORY = "OOMKilled"


def first(
    inits: Iterable[ContainerStatus],
    sidecars: Iterable[ContainerStatus],
    main: Iterable[ContainerStatus],
    *,
    begun: bool,
) -> tuple[str, str]:
    """The reason and a sentence of the first container that cannot start; empty if all can start.

    `begun`: a main container has started.
    """
    sidecars = tuple(sidecars)
    for one in (*inits, *sidecars, *main):
        waiting = None if one.state is None else one.state.waiting
        word = "" if waiting is None else waiting.reason or ""
        if waiting is not None and word and word not in _STARTING:
            said = _crash(one) if word == CRASH_LOOP else ""
            return word, f"container {one.name}: {said or waiting.message or word}"
    for one in sidecars:
        if one.restart_count and not begun:
            return CRASH_LOOP, f"container {one.name}: {_crash(one) or CRASH_LOOP}"
    return "", ""


def _crash(one: ContainerStatus) -> str:
    """How the container ended last, without the kubelet's counts; empty if nothing says."""
    ended = _ended(one)
    if ended is None:
        return ""
    reason = "" if ended.reason in {None, "", "Error"} else f", {ended.reason}"
    message = (ended.message or "").strip()
    return f"exit code {ended.exit_code}{reason}" + (f": {message}" if message else "")


def _ended(one: ContainerStatus) -> Terminated | None:
    for state in (one.state, one.last_state):
        if state is not None and state.terminated is not None:
            return state.terminated
    return None
