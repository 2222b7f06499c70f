"""What a kubelet says in Events alone counts as though it stood in the pod's status."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.cluster.silent_pods import Silent, SilentPods, Words
from bayplan.model.pods import Ending, Owner, Phase, Pod

MOUNT = Words("FailedMount", 'MountVolume.SetUp failed for volume "v": secret "nosuch" not found')
PROBE = Words("Unhealthy", "container main: Readiness probe failed: 404")
LIVENESS = Words("Unhealthy", "container main: Liveness probe failed: 500")
RUNS = Ending(started_at=100)


def make_pod(name: str = "p", of: str = "job", **more: Any) -> Pod:
    """A pod of a BatchJob that its node has and whose status says nothing."""
    fields = {"uid": f"uid-{name}", "node": "n1", "owner": Owner("BatchJob", of, f"uid-{of}")}
    return Pod("default", name, **{**fields, **more})


def asked(known: SilentPods, now: float, most: int = 9) -> list[str]:
    """The names of the pods to ask about at this moment."""
    return [one.pod.name for one in known.due(now, most)]


def silent(known: SilentPods, pod: Pod) -> Silent:
    """The pod as it is asked about, once its time has come."""
    known.applied(pod)
    asked(known, 0)
    return next(one for one in known.due(10, 9) if one.pod.uid == pod.uid)


def heard(pod: Pod, words: Words) -> Pod:
    """The pod as it counts once these words were heard of it."""
    known = SilentPods()
    known.hear(silent(known, pod), words)
    return known.applied(pod)


def test_what_keeps_it_from_starting() -> None:
    """The reason and the sentence are those of the Event."""
    ending = heard(make_pod(), MOUNT).ending

    assert ("FailedMount", MOUNT.said) == (ending.waiting, ending.said)


def test_the_status_itself_goes_before() -> None:
    """As soon as it says something, or a container has run, the Event is of no interest."""
    said = Ending(waiting="ImagePullBackOff", said="container main: no")
    known = SilentPods()
    known.hear(silent(known, make_pod()), MOUNT)

    assert said == known.applied(make_pod(ending=said)).ending
    assert RUNS == heard(make_pod(ending=RUNS, phase=Phase.RUNNING), MOUNT).ending


def test_a_pod_that_becomes_ready_says_nothing_any_more() -> None:
    """Nor when it becomes unready later for another reason."""
    known = SilentPods()
    known.hear(silent(known, make_pod()), MOUNT)
    ready = known.applied(make_pod(ready=True, ending=RUNS))

    assert ("", 0) == (ready.ending.said, known.count)
    assert "" == known.applied(make_pod()).ending.said


def test_a_probe_of_what_runs() -> None:
    """It runs and does not fail: only the sentence is added."""
    pod = heard(make_pod(ending=RUNS, phase=Phase.RUNNING), PROBE)

    assert ("", PROBE.said) == (pod.ending.waiting, pod.ending.said)


@pytest.mark.parametrize(("code", "said"), [(137, True), (None, True), (1, False)])
def test_a_container_that_its_kubelet_starts_again_and_again(code: int | None, said: bool) -> None:
    """For a probe that fails; a program that ends by itself has another trouble."""
    again = Ending(started_at=100, restarts=2, exit_code=code, waiting="CrashLoopBackOff")
    pod = heard(make_pod(ending=again, phase=Phase.RUNNING), LIVENESS)

    assert (LIVENESS.said if said else "") == pod.ending.said


@pytest.mark.parametrize(("reason", "words"), [("OOMKilled", LIVENESS), ("Error", PROBE)])
def test_what_did_not_end_a_container(reason: str, words: Words) -> None:
    """The kernel took it for its memory; or the probe is one that ends nothing."""
    said = "container main: exit code 137"
    again = Ending(restarts=2, exit_code=137, reason=reason, waiting="CrashLoopBackOff")
    again = replace(again, started_at=100, said=said)
    known = SilentPods()
    running = make_pod(ending=RUNS, phase=Phase.RUNNING)
    known.hear(silent(known, running), words)
    ended = replace(running, phase=Phase.FAILED, ending=replace(again, waiting=""))

    assert said == heard(make_pod(ending=again, phase=Phase.RUNNING), words).ending.said
    assert said == known.applied(ended).ending.said


def test_a_probe_that_the_main_containers_wait_for() -> None:
    """A sidecar's startup probe keeps the pod from starting."""
    pod = heard(make_pod(ending=Ending(prepared=True)), PROBE)

    assert ("Unhealthy", PROBE.said) == (pod.ending.waiting, pod.ending.said)


@pytest.mark.parametrize(("code", "said"), [(137, LIVENESS.said), (1, "")])
def test_the_end_of_a_pod_whose_probe_failed(code: int, said: str) -> None:
    """Its kubelet has ended it. A program that ends by itself says by its code what was wrong."""
    known = SilentPods()
    running = make_pod(ending=RUNS, phase=Phase.RUNNING)
    known.hear(silent(known, running), LIVENESS)
    ended = replace(running, phase=Phase.FAILED, ending=replace(RUNS, exit_code=code))

    assert said == known.applied(ended).ending.said
    assert 0 == known.count


@pytest.mark.parametrize(
    "more",
    [
        {"node": ""},
        {"uid": ""},
        {"ready": True},
        {"deleted_at": 5},
        {"phase": Phase.SUCCEEDED},
        {"owner": None},
        {"owner": Owner("ReplicaSet", "r", "u")},
        {"ending": Ending(waiting="ImagePullBackOff")},
        {"ending": RUNS, "unmet_gates": "readiness gate example.com/g is False"},
    ],
)
def test_of_which_pods_nobody_asks(more: dict[str, Any]) -> None:
    """Of others' pods, and of those whose status says enough."""
    known = SilentPods()
    known.applied(make_pod(**more))
    asked(known, 0)

    assert (0, []) == (known.count, asked(known, 1000))


def test_it_is_asked_less_and_less_often() -> None:
    """After 5 s, then after twice as long each time, at last every two minutes."""
    known = SilentPods()
    known.applied(make_pod())
    times = [now for now in range(700) if asked(known, now)]

    assert [5, 15, 35, 75, 155, 275, 395, 515, 635] == times


def test_the_pods_of_one_owner_take_turns() -> None:
    """A thousand tasks that wait for one Secret do not keep others from being asked about."""
    known = SilentPods()
    for number in range(1000):
        known.applied(make_pod(f"a{number}", "array"))
    known.applied(make_pod("b", "other"))
    asked(known, 0)

    assert ["a0", "b"] == asked(known, 5)
    assert ([], ["a1"]) == (asked(known, 6), asked(known, 7))
    assert 1 == len(asked(known, 100, most=1))


def test_other_numbers_are_no_news() -> None:
    """A sandbox has another id at each try; the first text stays."""
    known = SilentPods()
    one = silent(known, make_pod())
    first = known.hear(one, Words("FailedCreatePodSandBox", "sandbox 0badcafe12: no network"))
    again = known.hear(one, Words("FailedCreatePodSandBox", "sandbox 1badcafe34: no network"))

    assert first is not None
    assert again is None


def test_what_is_said_no_more() -> None:
    """The volume is there and the image is on its way: nothing keeps the pod from starting."""
    known = SilentPods()
    one = silent(known, make_pod())
    known.hear(one, MOUNT)
    free = known.hear(one, None)

    assert free is not None
    assert ("", "") == (free.ending.waiting, free.ending.said)
    assert known.hear(one, None) is None


def test_what_is_heard_too_late() -> None:
    """The pod has gone, or has become ready, while the API server was asked."""
    known = SilentPods()
    one = silent(known, make_pod())
    known.gone(one.pod.uid)

    assert known.hear(one, MOUNT) is None


KILLED = Ending(started_at=100, exit_code=137, unexplained=True)


def test_a_pod_that_was_killed_is_asked_about_at_once() -> None:
    """Its status says no more than exit code 137; it was ready, so nobody had asked before."""
    known = SilentPods()
    pod = make_pod(ending=RUNS, phase=Phase.RUNNING, ready=True)
    known.applied(pod)
    ended = replace(pod, phase=Phase.FAILED, ready=False, ending=KILLED)

    assert "" == known.applied(ended).ending.said
    [one] = known.due(50, 9)
    told = known.hear(one, LIVENESS)
    assert told is not None
    assert LIVENESS.said == told.ending.said == known.applied(ended).ending.said


def test_the_last_word_of_a_pod_that_was_killed_is_asked_for_twice() -> None:
    """Once more 2 s later, since Events are sent on their own way, and then never again."""
    known = SilentPods()
    known.applied(make_pod(phase=Phase.FAILED, ending=KILLED))

    assert [0, 2] == [now for now in range(1000) if asked(known, now)]
    known.gone("uid-p")
    assert 0 == known.count


def test_pods_of_one_owner_that_were_killed_do_not_wait_for_each_other() -> None:
    """Their ends are written within seconds."""
    known = SilentPods()
    for name in "abc":
        known.applied(make_pod(name, phase=Phase.FAILED, ending=KILLED))

    assert ["a", "b"] == asked(known, 0, most=2)
    assert "c" == asked(known, 1, most=2)[0]


@pytest.mark.parametrize(
    "more",
    [
        {"ending": replace(KILLED, unexplained=False)},
        {"deleted_at": 5},
        {"owner": Owner("Job", "j", "u")},
        {"phase": Phase.SUCCEEDED},
    ],
)
def test_which_ends_nobody_asks_about(more: dict[str, Any]) -> None:
    """Somebody deleted it, it has no such probe, or it is not ours."""
    known = SilentPods()
    known.applied(make_pod(**{"phase": Phase.FAILED, "ending": KILLED, **more}))

    assert (0, []) == (known.count, asked(known, 0))
