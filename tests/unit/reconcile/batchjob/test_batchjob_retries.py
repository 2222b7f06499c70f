"""Attempts of a run: retries, back-off, losses, cancels."""

from dataclasses import replace

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run
from bayplan.model.pods import Ending, Phase
from bayplan.reconcile.batchjob import reconcile
from tests.builders import make_node
from tests.jobs import PREFIX, START, World, ended

HOUR = 3600
HOURLY = {"schedule": "30 * * * *"}
SLOT = START + HOUR // 2
RUN = slot_run(SLOT)


def first_run(world: World) -> World:
    world.wait(SLOT - world.now)
    return world


def attempts_of(world: World) -> list[tuple[int, str]]:
    """(seconds after the slot, attempt) of every pod created."""
    return [(at - SLOT, name.removeprefix(f"{PREFIX}{RUN}-")) for at, name in world.created]


def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    """60 s after the first end, 120 s after the second; then the run has failed."""
    world = first_run(World(HOURLY))
    for _ in range(3):
        world.now += 5
        world.finish(exit_code=7)
        world.wait(600)

    assert [(0, "0"), (65, "1"), (730, "2")] == attempts_of(world)
    assert [(RUN, "Failed")] == world.history()
    entry = world.status["history"][0]
    assert (3, 7, "Error") == (entry["attempts"], entry["exitCode"], entry["reason"])
    assert 1 == world.status["statistics"]["failures"]
    assert ["RunFailed"] == [event.reason for event in world.events]


def test_not_a_second_before_its_delay() -> None:
    """At 59 s nothing, at 60 s the next attempt."""
    world = first_run(World(HOURLY))
    world.finish(exit_code=1)
    world.wait(59)
    early = attempts_of(world)
    world.wait(1)

    assert ([(0, "0")], [(0, "0"), (60, "1")]) == (early, attempts_of(world))


def test_each_run_has_the_full_budget() -> None:
    """Limit 2, always failing: three attempts in every run (Chronos gave later runs none)."""
    world = World({**HOURLY, "retryPolicy": {"delaySeconds": 10, "backoffPercent": 0}})
    for hour in range(3):
        world.wait(SLOT + hour * HOUR - world.now)
        for _ in range(3):
            world.finish(exit_code=1)
            world.wait(10)

    assert 9 == len(world.created)
    assert 3 == world.status["statistics"]["failures"] == world.status["statistics"]["runs"]
    assert 3 == world.status["statistics"]["consecutiveFailures"]


def test_a_retry_that_succeeds_ends_the_row_of_failures() -> None:
    """One run, one success."""
    world = first_run(World(HOURLY))
    world.finish(exit_code=1)
    world.wait(60)
    world.finish()
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()
    assert (1, 0, 0) == tuple(
        world.status["statistics"][name]
        for name in ("successes", "failures", "consecutiveFailures")
    )
    assert 2 == world.status["history"][0]["attempts"]


def test_a_retry_waits_for_the_status_that_accounts_for_the_failure() -> None:
    """With a status that cannot be written no further attempt begins."""
    world = first_run(World({**HOURLY, "retryPolicy": {"delaySeconds": 0}}))
    world.finish(exit_code=1)
    world.lost_status = True
    for _ in range(5):
        world.step()
    held = attempts_of(world)
    world.lost_status = False
    world.settle()

    assert ([(0, "0")], [(0, "0"), (0, "1")]) == (held, attempts_of(world))


@pytest.mark.parametrize(
    ("failed", "kept"), [(0, ["2"]), (1, ["1", "2"]), (2, ["0", "1", "2"]), (3, ["0", "1", "2"])]
)
def test_pods_of_failed_attempts_stay_for_their_logs(failed: int, kept: list[str]) -> None:
    """As many as history.failed says, the newest, whether the run goes on or has succeeded."""
    world = first_run(World({**HOURLY, "history": {"successful": 1, "failed": failed}}))
    for _ in range(2):
        world.finish(exit_code=1)
        world.wait(120)
    expected = [f"{PREFIX}{RUN}-{attempt}" for attempt in kept]
    unfinished = sorted(name for _, name in world.pods)
    world.finish()
    world.settle()

    assert expected == unfinished == sorted(name for _, name in world.pods)
    assert [(RUN, "Succeeded")] == world.history()


def test_failed_attempts_take_no_place_from_failed_runs() -> None:
    """Each failed run keeps its last pod, and the job so many attempts beside them."""
    retries = {"limit": 1, "delaySeconds": 0}
    world = World({**HOURLY, "retryPolicy": retries, "history": {"successful": 0, "failed": 2}})
    for hour in range(3):
        world.wait(SLOT + hour * HOUR - world.now)
        for _ in range(2):
            world.finish(exit_code=1)
            world.wait(10)

    runs = [slot_run(SLOT + hour * HOUR) for hour in (1, 2)]
    expected = sorted(f"{PREFIX}{run}-{attempt}" for run in runs for attempt in (0, 1))
    assert expected == sorted(name for _, name in world.pods)


def test_a_failed_attempts_pod_goes_when_its_time_is_over() -> None:
    """The field ttlSecondsAfterFinished counts from the attempt's own end."""
    world = first_run(World({**HOURLY, "ttlSecondsAfterFinished": 100}))
    world.finish(exit_code=1)
    world.wait(90)
    there = [name for _, name in world.pods]
    world.wait(11)

    assert [f"{PREFIX}{RUN}-{attempt}" for attempt in (0, 1)] == there
    assert [f"{PREFIX}{RUN}-1"] == [name for _, name in world.pods]


def test_without_history_a_failed_attempts_pod_stays_until_the_next_exists() -> None:
    """Its logs can be read while one waits; then it goes."""
    world = first_run(World({**HOURLY, "history": {"successful": 0, "failed": 0}}))
    world.finish(exit_code=1)
    world.wait(30)
    waiting = [name for _, name in world.pods]
    world.wait(30)

    assert [f"{PREFIX}{RUN}-0"] == waiting
    assert [f"{PREFIX}{RUN}-1"] == [name for _, name in world.pods]


def test_losses_do_not_count_and_go_elsewhere() -> None:
    """A refused attempt comes back after 1 s on another node; the limit stays whole."""
    world = World({**HOURLY, "retryPolicy": {"limit": 0}})
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    world.finish(exit_code=1, reason="OutOfcpu")
    world.wait(1)

    assert [(0, "0"), (1, "1")] == attempts_of(world)
    assert "n2" == world.live().node
    assert 1 == world.status["statistics"]["lost"]
    world.finish()
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()
    assert 1 == world.status["statistics"]["lost"]


def test_a_node_cools_down() -> None:
    """30 s after the first loss, 60 s after the second; the wake-up is asked for."""
    world = first_run(World(HOURLY))
    world.finish(exit_code=1, reason="OutOfcpu")
    world.admitted = False
    world.wait(1)
    world.admitted = True
    avoided = {}
    for seconds in (1, 29, 30):
        world.now = SLOT + seconds
        outcome = reconcile.reconcile(world.job, world.pods, world.view(), world.now)
        avoided[seconds] = sorted(outcome.tasks[0].avoid), outcome.wake_at

    assert {
        1: (["n1"], SLOT + 30),
        29: (["n1"], SLOT + 30),
        30: ([], SLOT + HOUR),
    } == avoided


@pytest.mark.parametrize("losses", [1, 2, 6])
@pytest.mark.parametrize("delay", [0, 10, 600])
def test_a_failure_is_not_its_nodes_fault(losses: int, delay: int) -> None:
    """After a run was lost, an attempt that fails by itself is tried again when it is due."""
    policy = {"delaySeconds": delay, "backoffPercent": 0}
    world = World({"schedule": "30 14 * * *", "retryPolicy": policy})
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    for _ in range(losses):
        world.finish(exit_code=1, reason="OutOfcpu")
        world.wait(3600)
    here = world.live().node
    world.nodes = {here: world.nodes[here]}
    world.finish(exit_code=1)
    world.step()
    failed_at = world.now
    world.wait(delay)

    assert (failed_at + delay, f"{PREFIX}{RUN}-{losses + 1}") == world.created[-1]
    assert here == world.live().node


def test_a_mended_template_is_not_its_nodes_fault() -> None:
    """After a run was lost, the attempt that replaces one which could not begin goes anywhere."""
    world = World(HOURLY)
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    world.hindered = Ending(waiting="ImagePullBackOff", said="no such image")
    world.finish(exit_code=1, reason="OutOfcpu")
    world.wait(10)
    before = world.live().node
    world.hindered = None
    del world.nodes["n1"]
    world.edit(template={"spec": {"containers": [{"name": "main", "image": "alpine"}]}})
    world.settle()
    world.stop()
    world.settle()

    assert [(0, "0"), (1, "1"), (10, "2")] == attempts_of(world)
    assert ("n2", "n2") == (before, world.live().node)


def test_too_many_losses_end_the_run() -> None:
    """Twenty are borne, with 1, 2, 4 … 300 s between; one more and the run has failed."""
    world = first_run(World({"schedule": "30 14 * * *"}))
    for _ in range(20):
        world.finish(exit_code=137, disrupted="EvictionByEvictionAPI")
        world.wait(300)
    before = world.history()
    world.finish(exit_code=137, disrupted="EvictionByEvictionAPI")
    world.settle()

    moments = [at - 300 * number for number, (at, _) in enumerate(attempts_of(world))]
    assert [0, *(min(2**n, 300) - 300 for n in range(20))] == moments
    assert ([], [(RUN, "Failed")]) == (before, world.history())
    assert "TooManyDisruptions" == world.status["history"][0]["reason"]
    assert 21 == world.status["statistics"]["lost"]


def test_a_run_that_may_be_interrupted_is_moved_more_often_than_others() -> None:
    """No move counts as a retry, and twenty moves in some days are no reason to give it up."""
    retries = {"retryPolicy": {"limit": 0}, "interruptible": True}
    world = first_run(World({"schedule": "30 14 * * *", **retries}))
    for _ in range(30):
        world.finish(exit_code=143, disrupted="EvictionByEvictionAPI")
        world.wait(1800)
    entry = world.status["active"][0]

    assert (31, 30) == (len(world.created), entry["disruptions"])
    assert [] == world.history()

    world.finish()
    world.settle()
    assert [(RUN, "Succeeded")] == world.history()


def test_a_delete_by_a_person_cancels() -> None:
    """No retry; counted as cancelled; the next slot comes as ever."""
    world = first_run(World(HOURLY))
    world.now += 20
    world.settle()
    world.delete_by_person()
    world.settle()
    world.now += 2
    world.stop()
    world.wait(HOUR - 22)

    assert [(RUN, "Cancelled")] == world.history()
    assert ("False", "Cancelled") == world.condition("LastRunSucceeded")
    assert 1 == world.status["statistics"]["cancelled"]
    assert 2 == len(world.created)
    assert ("default", f"{PREFIX}{RUN}-0") not in world.pods


def test_a_silent_node_loses_the_attempt_after_its_time() -> None:
    """After retryAfterSeconds it is retried elsewhere and the old pod deleted, status first."""
    world = World({**HOURLY, "unreachable": {"retryAfterSeconds": 120}})
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    world.wait(60)
    silent = world.live()
    world.nodes["n1"] = replace(world.nodes["n1"], ready=False, ready_changed_at=world.now)
    world.wait(119)
    before = attempts_of(world)
    world.wait(2)

    assert [(0, "0")] == before
    assert [(0, "0"), (181, "1")] == attempts_of(world)
    assert world.pods[silent.key].terminating
    assert () == world.pods[silent.key].finalizers
    assert 1 == world.status["statistics"]["lost"]
    assert "AttemptLost" in [event.reason for event in world.events]


def test_a_node_that_returns_in_time_loses_nothing() -> None:
    """Silence shorter than retryAfterSeconds is nothing."""
    world = first_run(World(HOURLY))
    world.wait(20)
    world.nodes["n1"] = replace(world.nodes["n1"], ready=False, ready_changed_at=world.now)
    world.wait(299)
    world.nodes["n1"] = replace(world.nodes["n1"], ready=True)
    world.wait(600)

    assert [(0, "0")] == attempts_of(world)


def test_a_node_that_is_gone_loses_its_attempts_at_once() -> None:
    """There is nothing to wait for."""
    world = World(HOURLY)
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    del world.nodes["n1"]
    world.wait(1)

    assert [(0, "0"), (1, "1")] == attempts_of(world)


def given_up(world: World) -> World:
    """The first attempt's node went and is back before the next attempt could begin."""
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    node = world.nodes.pop("n1")
    for _ in range(3):
        world.step()
    assert 1 == world.status["active"][0]["attempt"], "it was given up"
    world.nodes["n1"] = node
    return world


def test_a_node_that_comes_back_is_waited_for() -> None:
    """What was given up with it still runs: the next attempt begins when that has stopped."""
    world = given_up(World(HOURLY))
    world.wait(20)
    running = attempts_of(world)
    world.stop()
    world.wait(1)

    assert ([(0, "0")], [(0, "0"), (20, "1")]) == (running, attempts_of(world))
    assert [] == world.history()


def test_a_node_that_comes_back_is_not_waited_for_without_end() -> None:
    """A pod that does not stop is overdue some time, as ever."""
    world = given_up(World({**HOURLY, "unreachable": {"retryAfterSeconds": 120}}))
    world.wait(600)

    assert 2 == len(world.created)
    assert 100 < world.created[1][0] - SLOT < 200


def test_an_attempt_that_was_given_up_may_report_its_success() -> None:
    """Until the next attempt exists its end is the run's."""
    world = given_up(World(HOURLY))
    world.now += 3
    world.finish()
    world.wait(300)

    assert [(RUN, "Succeeded")] == world.history()
    assert [(0, "0")] == attempts_of(world)


def test_an_attempt_that_was_given_up_may_report_its_failure() -> None:
    """It ended by itself before it was deleted: the failure counts and has its delay."""
    world = given_up(World({**HOURLY, "retryPolicy": {"limit": 1}}))
    [pod] = world.pods.values()
    world.pods[pod.key] = ended(replace(pod, deleted_at=SLOT + 31), SLOT, 7)
    world.wait(300)

    assert [(0, "0"), (60, "1")] == attempts_of(world)
    assert 1 == world.status["active"][0]["failures"]


def test_a_success_after_the_next_attempt_exists_comes_too_late() -> None:
    """Two would have to be told of; the run is the newest attempt's."""
    world = World(HOURLY)
    world.nodes["n2"] = make_node("n2")
    first_run(world)
    node = world.nodes.pop("n1")
    world.wait(1)
    world.nodes["n1"] = node
    world.finish(name=f"{PREFIX}{RUN}-0")
    world.wait(5)

    assert [] == world.history()
    assert [(0, "0"), (1, "1")] == attempts_of(world)


def test_a_run_that_takes_longer_than_expected_is_reported_once() -> None:
    """An event, and the entry says so."""
    world = first_run(World({**HOURLY, "expectedDurationSeconds": 100}))
    world.wait(99)
    before = list(world.events)
    world.wait(500)

    assert [] == before
    assert ["RunLate"] == [event.reason for event in world.events]
    assert "Late" == world.status["active"][0]["reason"]


def test_an_image_that_cannot_be_pulled_is_named_without_flapping() -> None:
    """The two words that alternate are told as one."""
    world = first_run(World(HOURLY))
    for word in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
        world.now += 20
        pod = world.live()
        pending = Phase.PENDING
        ending = Ending(waiting=word)
        world.pods[pod.key] = replace(pod, phase=pending, ending=ending)
        world.settle()

    assert "ImagePullBackOff" == world.status["active"][0]["reason"]
    assert 1 == len([one for one in world.statuses if one.get("active")])


def test_a_limit_lowered_meanwhile_ends_the_run_at_its_next_failure() -> None:
    """The present spec decides."""
    world = first_run(World({**HOURLY, "retryPolicy": {"limit": 5, "delaySeconds": 10}}))
    world.finish(exit_code=1)
    world.wait(10)
    world.spec = {**HOURLY, "retryPolicy": {"limit": 1, "delaySeconds": 10}}
    world.generation += 1
    world.finish(exit_code=1)
    world.wait(100)

    assert [(RUN, "Failed")] == world.history()
    assert 2 == len(world.created)


def test_a_pod_removed_by_force_is_made_again() -> None:
    """Somebody stripped the finalizer of a long run: the same attempt comes again."""
    world = first_run(World(HOURLY))
    world.wait(20)
    world.pods.clear()
    world.settle()

    assert [(0, "0"), (20, "0")] == attempts_of(world)


def test_an_attempt_that_a_drain_deletes_is_tried_elsewhere() -> None:
    """Not cancelled, at no cost to the budget; the node may be in use again meanwhile."""
    world = first_run(World({**HOURLY, "retryPolicy": {"limit": 0}}))
    world.nodes = {"n1": make_node("n1", unschedulable=True), "n2": make_node("n2")}
    world.delete_by_person()
    world.settle()
    world.stop()
    world.wait(5)
    entry = world.status["active"][0]

    assert [(0, "0"), (1, "1")] == attempts_of(world)
    assert (1, "NodeLeaving") == (entry["disruptions"], entry["reason"])
    assert [] == world.history()
    assert 1 == world.status["statistics"]["lost"]


def test_a_request_to_cancel_on_a_leaving_node_is_a_cancel() -> None:
    """What a person says in words is not guessed about, whatever becomes of the pod."""
    world = first_run(World(HOURLY))
    world.nodes = {"n1": make_node("n1", unschedulable=True), "n2": make_node("n2")}
    world.delete_by_person()
    world.annotations = {names.CANCEL_RUN: RUN}
    world.stop()
    world.wait(HOUR // 4)

    assert [(0, "0")] == attempts_of(world)
    assert "Requested" == world.status["history"][0]["reason"]


PROBE = "container main: Liveness probe failed: HTTP probe failed with statuscode: 500"


@pytest.mark.parametrize("retries", [0, 1])
def test_an_attempt_that_a_probe_ended_says_so(retries: int) -> None:
    """Its pod says exit code 137 alone, and the kubelet's Event comes a moment later."""
    world = first_run(World({**HOURLY, "retryPolicy": {"limit": retries}}))
    world.finish(exit_code=137)
    [key] = [key for key, pod in world.pods.items() if pod.terminal]
    pod = world.pods[key]
    world.pods[key] = replace(pod, ending=replace(pod.ending, unexplained=True))
    world.wait(2)
    told_early = world.history() or world.status.get("active", [{}])[0].get("reason")
    world.pods[key] = replace(world.pods[key], ending=replace(world.pods[key].ending, said=PROBE))
    world.wait(1)

    assert not told_early
    entry = (world.status["history"] if not retries else world.status["active"])[0]
    assert PROBE == entry["detail"]


def test_the_end_of_an_attempt_waits_five_seconds_for_its_reason() -> None:
    """No Event may come, or the right to see Events is missing."""
    world = first_run(World({**HOURLY, "retryPolicy": {"limit": 0}}))
    world.finish(exit_code=137)
    [key] = [key for key, pod in world.pods.items() if pod.terminal]
    pod = world.pods[key]
    world.pods[key] = replace(pod, ending=replace(pod.ending, unexplained=True))
    world.wait(4)
    early = world.history()
    world.wait(1)

    assert ([], [(RUN, "Failed")]) == (early, world.history())
    assert 137 == world.status["history"][0]["exitCode"]
