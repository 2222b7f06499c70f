"""Whatever the API server, the network and the clock do for a while: the outcome is the same.

Each fault has a history of its own: a service is rolled out and scaled while a job's slots come and
a run fails and is retried. The fault is there from the first request on, until it has struck often
enough. Then it ends, and the end state must be that of an undisturbed history within 30 seconds.
`BAYPLAN_FAULT_SEEDS=n` plays each fault n times with other dice.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults import plots
from tests.faults.proxy import (
    Act,
    Bend,
    Rule,
    answer,
    answer_after_commit,
    bent,
    compacted_after,
    doubling,
    dropping,
    ending_after,
    everything,
    expired,
    hang,
    late,
    of,
    reads,
    reset_after,
    reset_before,
    slow,
    stalled,
    swapping,
    truncated,
    watches,
    writes,
)
from tests.faults.tales import tale
from tests.faults.world import SHORT, Ground, World, difference

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]

SEEDS = int(os.environ.get("BAYPLAN_FAULT_SEEDS", "2"))
RECOVERY_SECONDS = 30
PATIENCE_SECONDS = 60
FAULT_SECONDS = 8.0  # how long a fault lasts that does not end sooner by its number of strikes
LEAST = 2  # strikes, for a fault to have been there at all
LATEST_BEGIN = 20  # about half the writes of an undisturbed history


def statuses(call: object) -> bool:
    return writes(call) and call.kind.endswith("/status")  # type: ignore[arg-type,attr-defined]


def asks(call: object) -> bool:
    """Lists and writes; the lease has faults of its own."""
    return writes(call) or reads(call)  # type: ignore[arg-type]


def some(*rules: tuple[Callable[..., bool], Act], chance: float = 0.5) -> Callable[[World], None]:
    """Rules that strike by the dice."""

    def begin(world: World) -> None:
        world.proxy.script(*(Rule(match, act, chance=chance) for match, act in rules))

    return begin


def always(*rules: tuple[Callable[..., bool], Act]) -> Callable[[World], None]:
    return some(*rules, chance=1.0)


def few(match: Callable[..., bool], act: Act, times: int) -> Callable[[World], None]:
    """A rule that strikes so many times."""
    return lambda world: world.proxy.script(Rule(match, act, times=times))


def watching(bend: Bend) -> Callable[[World], None]:
    return always((watches, bent(bend)))


# What is done to every history of this name, from before its first request.
FAULTS: dict[str, Callable[[World], None]] = {
    "409 conflict": some((statuses, answer(409, "Conflict"))),
    "409 conflict after commit": some((statuses, answer_after_commit(409, "Conflict"))),
    "409 already exists": few(of("POST", "pods"), answer(409, "AlreadyExists"), 3),
    "410 at the start of watches": some((watches, answer(410, "Expired"))),
    "410 in the stream": watching(compacted_after(2)),
    "422 for patches": few(of("PATCH", "pods"), answer(422, "Invalid"), 3),
    "422 for statuses": few(statuses, answer(422, "Invalid"), 3),
    "403 that heals": always((of("POST", "pods"), answer(403, "Forbidden"))),
    "404 for statuses": few(statuses, answer(404, "NotFound"), 3),
    "429": some((asks, answer(429, "TooManyRequests", retry_after=1))),
    "500": some((asks, answer(500, "InternalError"))),
    "503": some((asks, answer(503, "ServiceUnavailable")), (watches, answer(503, "Unavailable"))),
    "504": some((asks, answer(504, "Timeout"))),
    "504 after commit": some((writes, answer_after_commit(504, "Timeout"))),
    "reset before commit": some((asks, reset_before)),
    "reset after commit": some((writes, reset_after)),
    "no answer": always((everything, hang)),
    "late": some((asks, late(1.5))),
    "slow bodies": some((asks, slow(2.0))),
    "truncated bodies": some((asks, truncated(0.5))),
    "watches that stall": watching(stalled),
    "watches that end": watching(ending_after(1)),
    "watches cut in a line": watching(ending_after(2, b'{"type":"MODIFIED","obj')),
    "events dropped": watching(dropping(0.5)),
    "events doubled": watching(doubling),
    "events reordered": watching(swapping),
}


@dataclass(frozen=True, slots=True)
class History:
    fault: str
    seed: int
    begun: int  # after which write
    struck: int
    seconds: float  # from the end of the fault to the end state
    wrong: str


def test_every_fault_heals(ground: Ground) -> None:
    """The matrix: each fault, each seed; at most 30 s after it ended all is as it should be."""
    began = time.monotonic()
    cases = [(name, seed) for seed in range(1, SEEDS + 1) for name in FAULTS]
    with ThreadPoolExecutor(ground.lanes) as pool:
        histories = list(pool.map(lambda case: _history(ground, case[0], case[1]), cases))
    violations = [str(one) for one in ground.auditor.judged()]
    for one in histories:
        print(  # noqa: T201  what was tried is to be seen
            f"{one.fault}, from write {one.begun} on: struck {one.struck} times,"
            f" healed in {one.seconds:.1f} s"
        )
    print(  # noqa: T201
        f"{len(histories)} histories of {len(FAULTS)} faults, {SEEDS} seeds,"
        f" {sum(bool(one.wrong) for one in histories)} wrong, {len(violations)} violations;"
        f" {time.monotonic() - began:.0f} s"
    )
    wrong = [one for one in histories if one.wrong]

    assert not wrong, "\n\n".join(f"{one.fault}, seed {one.seed}: {one.wrong}" for one in wrong)
    assert [] == violations
    assert [] == [one.fault for one in histories if not one.begun and one.struck < LEAST]


def _history(ground: Ground, fault: str, seed: int) -> History:
    with ground.world(seed=seed * 1000 + list(FAULTS).index(fault)) as world:
        begun = 0 if seed == 1 else world.proxy.dice.randrange(1, LATEST_BEGIN)
        if not begun:
            FAULTS[fault](world)
        world.keep()
        plots.both(world)
        if begun:
            world.proxy.until_wrote(begun, within=PATIENCE_SECONDS)
            FAULTS[fault](world)
            world.proxy.cut_all()  # what is open already would not meet it
        _until_struck(world, least=0 if begun else LEAST)
        struck = sum(rule.used for rule in world.proxy.rules)
        _end(world, fault)
        return _judged(world, fault, seed, struck, begun=begun)


def _until_struck(world: World, *, least: int) -> None:
    """The fault has its time, and longer where it has not struck yet."""
    world.proxy.struck(FAULT_SECONDS, least, within=3 * FAULT_SECONDS)


def _end(world: World, fault: str) -> None:
    """What was lost without a word comes back only by a new list: as after a restored backup."""
    if fault == "events dropped":
        paths = {call.path for call in world.proxy.calls if call.is_watch}
        world.proxy.heal()
        world.proxy.script(
            *(_once(path) for path in paths),
        )
        world.proxy.cut_all()
    else:
        world.proxy.heal(cut=True)


def _once(path: str) -> Rule:
    return Rule(lambda call: call.is_watch and call.path == path, answer(410, "Expired"), times=1)


def _judged(world: World, fault: str, seed: int, struck: int, *, begun: int = 0) -> History:
    expected = plots.ENDS[plots.both]
    ended = time.monotonic()
    # The last slot comes by the clock; what counts is the time after that.
    last = world.began + plots.LAST_SLOT_SECONDS - time.time()
    found = world.settle(expected, within=RECOVERY_SECONDS + max(last, 0))
    seconds = time.monotonic() - ended - max(last, 0)
    wrong = difference(expected, found)
    return History(fault, seed, begun, struck, seconds, tale(world, wrong) if wrong else "")


def _run(ground: Ground, name: str, disturb: Callable[[World], None], **more: Any) -> None:
    """One history with a disturbance that is more than a script."""
    with ground.world() as world:
        world.keep(**more)
        plots.both(world)
        world.proxy.until_wrote(LEAST)
        disturb(world)
        history = _judged(world, name, 0, 1)

        assert not history.wrong
        assert [] == [str(one) for one in ground.auditor.judged()]


def test_a_token_that_expires_is_read_again(ground: Ground) -> None:
    """The old token is refused from one moment on; the new one is in the kubeconfig."""

    def expire(world: World) -> None:
        old = ground.token
        ground.kubeconfig(world.proxy, token=ground.another_token())
        world.proxy.script(Rule(everything, expired(old)))
        world.proxy.cut_all()

    _run(ground, "token", expire)


def test_a_certificate_that_is_renewed_is_accepted(ground: Ground) -> None:
    """The server shows a new certificate of the same authority; every connection is new."""
    with ground.world() as world:
        rotating = ground.guarded(world)
        world.keep(proxy=rotating)
        plots.both(world)
        rotating.until_wrote(LEAST)
        rotating.rotate()
        rotating.cut_all()
        history = _judged(world, "TLS", 0, 1)
        rotating.close()

        assert not history.wrong


def test_a_lease_that_is_deleted_or_stolen_is_taken_again(ground: Ground) -> None:
    """Somebody deletes the lease, later writes another holder into it: both heal by themselves."""

    def steal(world: World) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{world.namespace}/leases/bayplan"
        kube = ground.site.kube
        kube.delete(path)
        kube.until(path.removesuffix("/bayplan"), lambda found: "bayplan" in found)
        thief = {"holderIdentity": "thief", "leaseDurationSeconds": 4}
        kube.patch(path, {"spec": thief})
        kube.until(
            path.removesuffix("/bayplan"),
            lambda found: found["bayplan"]["spec"]["holderIdentity"] == "operator-0",
        )

    _run(ground, "lease", steal, lease=SHORT)


def test_a_clock_that_jumps_starts_nothing_early(ground: Ground) -> None:
    """The operator's clock goes an hour ahead, and comes back: no slot runs before its time."""

    def jump(world: World) -> None:
        world.children[-1].send(signal.SIGUSR1)
        world.proxy.struck(FAULT_SECONDS, 0, within=FAULT_SECONDS)
        world.children[-1].send(signal.SIGUSR1)

    _run(ground, "clock", jump, clock_ahead=3600)
