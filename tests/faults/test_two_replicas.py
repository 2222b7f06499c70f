"""Two replicas, of which one writes: whatever happens to the leader, the other one goes on in time.

Each has a door of its own to the same world, so that what each of them writes is counted apart.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.cluster import read
from tests.cluster.manifests import make_job, make_service
from tests.faults.nursery import Child
from tests.faults.proxy import Proxy, Rule, everything, hang
from tests.faults.world import REAL, SHORT, Ground, World

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

LOAD = 100  # instances, twice what may be in flight
PAUSE_SECONDS = 20


@dataclass(slots=True, eq=False)
class Pair:
    """A leader under load and a standby, their processes and their doors."""

    world: World
    leader: Child
    standby: Child
    ours: Proxy  # the leader's door
    theirs: Proxy

    def load(self) -> None:
        """Give the leader more to write than it can have in flight; it is in the middle of it."""
        service = make_service("web", self.world.namespace, replicas=LOAD, cpu="50m")
        self.world.ground.site.kube.create(read.services(self.world.namespace), service)
        self.ours.until_wrote(10 + _count(self.ours), within=60)

    def serves_all(self) -> bool:
        """Every instance runs, each once."""
        found = self.world.ground.site.kube.until(
            read.pods(self.world.namespace),
            lambda pods: len(read.running(pods)) == LOAD and len(pods) == LOAD,
            within=120,
        )
        return bool(found)


@pytest.fixture(name="pair")
def _pair(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with _started(ground, request.param) as pair:
        yield pair
        violations = [str(one) for one in ground.auditor.judged()]

        assert [] == violations


@contextmanager
def _started(ground: Ground, lease: tuple[str, str, str]) -> Iterator[Pair]:
    with ground.world() as world:
        theirs = ground.door(world.namespace, world.lane)
        leader = world.operator("leader", lease=lease)
        world.proxy.until_wrote(1, within=60)  # the lease
        standby = world.operator("standby", proxy=theirs, lease=lease)
        theirs.until_asked(lambda call: call.is_lease, within=60)
        yield Pair(world, leader, standby, world.proxy, theirs)
        theirs.close()


real = pytest.mark.parametrize("pair", [REAL], indirect=True, ids=["15-10-2"])
short = pytest.mark.parametrize("pair", [SHORT], indirect=True, ids=["4-3-0.5"])


@real
def test_a_killed_leader_is_replaced_in_time(pair: Pair) -> None:
    """SIGKILL under load: the standby decides within the lease's 15 s and 5 more."""
    pair.load()
    pair.leader.kill()
    killed = time.monotonic()
    pair.theirs.until_wrote(1, within=40)
    seconds = time.monotonic() - killed
    print(f"\nSIGKILL: the standby wrote after {seconds:.1f} s")  # noqa: T201  a figure to publish

    assert pair.serves_all()
    assert 20 >= seconds


@short
def test_a_leader_that_is_told_to_end_gives_way_at_once(pair: Pair) -> None:
    """SIGTERM: the lease is released and the standby decides within 3 s, whatever its duration."""
    pair.leader.send(signal.SIGTERM)
    told = time.monotonic()
    job = make_job("once", pair.world.namespace, seconds=1)
    pair.world.ground.site.kube.create(read.jobs(pair.world.namespace), job)
    pair.theirs.until_wrote(1, within=30)
    seconds = time.monotonic() - told
    print(f"\nSIGTERM: the standby wrote after {seconds:.1f} s")  # noqa: T201

    assert 0 == pair.leader.wait(15)
    assert 3 >= seconds


@short
def test_a_leader_that_wakes_up_late_writes_nothing(pair: Pair) -> None:
    """SIGSTOP in the middle of its writes, 20 s later SIGCONT: not one write of it is stored."""
    pair.load()
    pair.leader.send(signal.SIGSTOP)
    stopped = time.monotonic()
    pair.theirs.until_wrote(1, within=40)

    assert pair.serves_all()

    pair.theirs.struck(
        max(PAUSE_SECONDS - (time.monotonic() - stopped), 0), 0, within=PAUSE_SECONDS
    )
    pair.ours.settled()  # what had left before it was stopped has been answered
    woken = time.monotonic()
    pair.leader.send(signal.SIGCONT)

    assert 1 == pair.leader.wait(30)
    late = [call for call in pair.ours.calls if call.at >= woken and call.is_write]
    assert [] == [call.label for call in late if 200 <= call.stored < 300]
    assert [] == [call.label for call in late if not call.is_lease]


@short
def test_a_leader_that_is_cut_off_writes_nothing_more(pair: Pair) -> None:
    """Only the leader loses its way to the API server: it ends, and the standby goes on."""
    pair.load()
    pair.ours.script(Rule(everything, hang))
    pair.theirs.until_wrote(1, within=40)

    assert 1 == pair.leader.wait(40)
    before = _count(pair.ours)
    pair.ours.heal(cut=True)

    assert pair.serves_all()
    assert before == _count(pair.ours)


def _count(door: Proxy) -> int:
    return len(door.writes)
