"""Events of kubelets are asked for one pod at a time, and what they say reaches the pod's owner."""

import asyncio
from typing import Any

from bayplan.cluster.kubelet_events import REFUSED_SECONDS, REST_FACTOR, KubeletEvents, newest
from bayplan.cluster.silent_pods import Words
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.loop import run
from tests.double.test_writer import WEB, Desk
from tests.double.transport import Answer

FORBIDDEN = Answer(encoded(bodies.status(403, "Forbidden", "events: no")), 403)
NOTE = 'MountVolume.SetUp failed for volume "v" : secret "nosuch" not found'


def event(reason: str, note: str, at: str = "2026-01-01T00:00:00Z", path: str = "") -> Any:
    return {
        "reason": reason,
        "note": note,
        "type": "Warning",
        "deprecatedLastTimestamp": at,
        "regarding": {"kind": "Pod", "fieldPath": path},
    }


def listed(*events: Any) -> bytes:
    return encoded({"kind": "EventList", "metadata": {}, "items": list(events)})


class Asked(Desk):
    """A pod of a service that its node has and that does not start; `answer` has its Events."""

    def __init__(self, answer: Answer, *, leads: bool = True, seconds: float = 12) -> None:
        super().__init__(bodies.pod("web-1", owner="uid-web", node="n1", phase="Pending"))
        self.double.reply("list", "Event", answer)
        self.leads = leads
        run(self._live(seconds))

    async def _live(self, seconds: float) -> None:
        asks = KubeletEvents(self.double, self.cache, lambda: self.leads)
        work = asyncio.ensure_future(asks.run())
        await asyncio.sleep(seconds)
        work.cancel()


def test_what_is_said_reaches_the_owner() -> None:
    """The pod counts as hindered, and its service looks again."""
    told = Asked(Answer(listed(event("FailedMount", NOTE))))
    pod = told.pod("web-1")
    query = dict(told.double.asked("list")[0].query)

    assert pod is not None
    assert WEB in told.bell.keys
    assert ("FailedMount", NOTE) == (pod.ending.waiting, pod.ending.said)
    assert "regarding.uid=uid-web-1" == query["fieldSelector"]


def test_a_standby_asks_nothing() -> None:
    assert not Asked(Answer(listed()), leads=False).double.seen


def test_without_the_right_it_asks_rarely() -> None:
    """A role of an older chart cannot list Events."""
    told = Asked(FORBIDDEN, seconds=2 * REFUSED_SECONDS)

    assert 2 == len(told.double.asked("list"))


def test_the_newest_counts() -> None:
    """Of what keeps a pod from becoming ready; with the container that it is about."""
    old = event("FailedMount", NOTE, "2026-01-01T00:00:00Z")
    where = "spec.containers{main}"
    new = event("Unhealthy", "Readiness probe\nfailed: 404", "2026-01-01T00:01:00Z", where)
    other = event("BackOff", "Back-off restarting", "2026-01-01T00:02:00Z")

    assert Words("Unhealthy", "container main: Readiness probe failed: 404") == newest(
        listed(old, new, other)
    )
    assert newest(listed(other)) is None
    assert newest(b"no json") is None


def test_a_volume_that_came_a_moment_later() -> None:
    """As soon as an image is pulled it counts no more; a sandbox that fails after that does."""
    mount = event("FailedMount", NOTE, "2026-01-01T00:00:00Z")
    pulling = event("Pulling", "Pulling image", "2026-01-01T00:00:02Z")
    sandbox = event("FailedCreatePodSandBox", "no network", "2026-01-01T00:00:09Z")

    assert newest(listed(mount, pulling)) is None
    assert Words("FailedCreatePodSandBox", "no network") == newest(listed(mount, pulling, sandbox))


def test_the_volume_that_fails_counts_more_than_all_that_wait() -> None:
    """A kubelet says after two minutes which volumes lack, without the reason."""
    vague = event("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[v]", "2027")

    assert Words("FailedMount", NOTE) == newest(listed(event("FailedMount", NOTE), vague))


def test_a_namespace_with_many_events_rests() -> None:
    """The API server reads all of them for a question: answers that take long are asked rarely."""
    minutes = 20 * 60
    quick = Asked(Answer(listed()), seconds=minutes)
    slow = Asked(Answer(listed(), after=4), seconds=minutes)

    assert minutes / 120 <= len(quick.double.asked("list"))
    assert len(slow.double.asked("list")) <= minutes / (4 * REST_FACTOR) + 1


def test_no_readiness_probe_has_ended_a_container() -> None:
    """It fails last while the container stops, after the liveness probe that was the reason."""
    killed = event("Unhealthy", "Liveness probe failed: 500", "2026-01-01T00:00:00Z")
    later = event("Unhealthy", "Readiness probe failed: 500", "2026-01-01T00:00:09Z")

    assert Words("Unhealthy", "Liveness probe failed: 500") == newest(
        listed(killed, later), ended=True
    )
    assert Words("Unhealthy", "Readiness probe failed: 500") == newest(listed(killed, later))
