"""What the status of a LongService says, and when it is not written."""

import json
from dataclasses import replace

import pytest

from bayplan.api.longservice_status import LongServiceStatus
from bayplan.api.times import rfc3339
from bayplan.model import intents
from bayplan.model.pods import Ending, Pod
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.reconcile.view import NoRoom
from tests.builders import NOON
from tests.services import World, make_world, refused, running

CONDITIONS = ("Ready", "Available", "Progressing", "Placed", "Reconciling", "Stalled")


def told(world: World) -> list[str]:
    return [world.condition(name) for name in CONDITIONS]


def make_crash(world: World, index: int = 0, **fields: object) -> None:
    """The container of an instance crashes again and again; heard at once."""
    ending = Ending(
        **{"exit_code": 137, "reason": "OOMKilled", "finished_at": world.now, "restarts": 4}
        | {"waiting": "CrashLoopBackOff"}
        | fields  # type: ignore[arg-type]
    )
    pod = world.standing()[index]
    world.put(replace(pod, ready=False, ready_since=None, ending=ending))
    world.hear()


def make_funnel(cpu: int = 2, node: str = "n1") -> Funnel:
    return Funnel(
        3,
        (Refusal(Reason.RESOURCES, "cpu", cpu), Refusal(Reason.TAINT, "x")),
        Nearest(node, {"cpu": 300}),
    )


def test_conditions_on_the_way() -> None:
    """From the first look to ready, kstatus sees progress and then the end of it."""
    world = make_world(2)
    starting = (world.act(), told(world))[1]
    world.settle()

    assert [
        "False:InstancesStarting",
        "False:BelowMinimumHealthy",
        "True:InstancesStarting",
        "Unknown:Placing",
        "True:InstancesStarting",
        "",
    ] == starting
    assert ["True:Ready", "True:MinimumHealthy", "True:RolledOut", "True:Placed", "", ""] == told(
        world
    )


def test_conditions_of_an_update() -> None:
    """During an update Ready is False, Available stays, Reconciling says why."""
    world = running(3)
    world.edit(image="web:2")
    world.act()

    assert ["False:RollingOut", "True:MinimumHealthy", "True:RollingOut"] == told(world)[:3]
    assert 2 == world.service.status["observedGeneration"]
    assert "True:RollingOut" == world.condition("Reconciling")


def test_zero_replicas_is_ready() -> None:
    """A suspended service is as its spec says, once the last instance is gone."""
    world = running(2)
    world.edit(replicas=0)
    world.act()
    stopping = world.condition("Ready")
    world.settle()

    assert "False:InstancesStopping" == stopping
    assert "True:ScaledToZero" == world.condition("Ready")
    assert 0 == world.service.status["replicas"]


def test_counts_and_selector() -> None:
    """The scale subresource finds numbers and a selector as a string."""
    world = running(3)
    pod = world.standing()[0]
    world.put(replace(pod, ready=False))
    world.hear()
    world.act()
    status = world.service.status

    assert [3, 2, 3, 2] == [
        status[f"{name}eplicas"] for name in ("r", "readyR", "updatedR", "availableR")
    ]
    assert "bayplan.dev/service=web" == status["selector"]


def test_status_is_what_the_schema_stores() -> None:
    """Every status that is written parses as LongServiceStatus and comes out the same."""
    world = running(2)
    make_crash(world)
    world.placement = NoRoom(1, NOON, make_funnel())
    world.act()
    status = json.loads(json.dumps(world.service.status))
    stored = LongServiceStatus.model_validate(status).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )

    assert status == stored


def test_crash_loop_is_one_sentence() -> None:
    """A crash loop tells how many fail, which, where, the exit code and how often."""
    world = running(3)
    make_crash(world)
    world.act()
    pod = world.standing()[0]

    assert "False:InstancesFailing" == world.condition("Ready")
    assert (
        f"2 of 3 instances are available; 1 failing, such as {pod.name} on {pod.node} "
        "(exit code 137, OOMKilled, 4 restarts)."
    ) == world.message("Ready")
    assert {
        "pod": pod.name,
        "node": pod.node,
        "reason": "OOMKilled",
        "exitCode": 137,
        "time": rfc3339(world.now),
    } == world.service.status["lastFailure"]


def test_same_failure_within_a_minute_is_no_news() -> None:
    """A crash loop writes its last failure at most once a minute, another failure at once."""
    world = running(2)
    make_crash(world)
    world.act()
    first = world.service.status["lastFailure"]
    world.now += 30
    make_crash(world)
    world.act()
    again = world.service.status["lastFailure"]
    make_crash(world, exit_code=1)
    world.act()
    other = world.service.status["lastFailure"]
    world.now += 60
    make_crash(world, exit_code=1)
    world.act()

    assert first == again
    assert 1 == other["exitCode"]
    assert other != world.service.status["lastFailure"]


def test_no_room_tells_the_funnel() -> None:
    """Instances that found no room say why: Placed, Ready and the placement tell one story."""
    world = running(2)
    world.edit(replicas=3)
    world.room = 0
    world.act()
    world.hear()
    world.placement = NoRoom(1, NOON, make_funnel())
    world.act()

    assert "False:NoRoom" == world.condition("Placed")
    assert "1 instance found no room: 0/3 nodes" in world.message("Placed")
    assert 1 == world.service.status["placement"]["pendingTasks"]
    assert "n1" == world.service.status["placement"]["nearest"]["node"]


def test_a_volume_being_made_is_no_lack_of_room() -> None:
    """It is told by its name and node, in Placed and in Ready."""
    world = running(2)
    world.edit(replicas=3)
    world.room = 0
    world.act()
    world.hear()
    why = Reason.VOLUME_BINDING
    nearest = Nearest("n1", reason=why, detail="data")
    world.placement = NoRoom(1, NOON, Funnel(3, (Refusal(why, "data", 3),), nearest))
    world.act()
    said = "1 instance not bound yet: volume data is being made for node n1."

    assert ["False:VolumeBinding"] * 2 == [world.condition(one) for one in ("Placed", "Ready")]
    assert said == world.message("Placed")


@pytest.mark.parametrize(
    ("after", "written"), [(make_funnel(cpu=1), False), (make_funnel(node="n2"), True)]
)
def test_other_numbers_are_no_news(after: Funnel, *, written: bool) -> None:
    """The placement is written again when the answer changes, not when its numbers do."""
    world = running(1)
    world.placement = NoRoom(1, NOON, make_funnel())
    world.act()
    before = world.service.status["placement"]
    world.placement = NoRoom(1, NOON, after)
    world.act()

    assert written == (before != world.service.status["placement"])


def test_effective_requests_are_kept_as_the_server_saidthem() -> None:
    """Requests are written as quantities; being checked again alone is no reason to write."""
    world = running(1)
    requests = world.service.status["effectiveRequests"]
    assert world.admission is not None
    world.admission = replace(world.admission, checked_at=NOON + 3600)

    assert {"cpu": "100m"} == requests["requests"]
    assert intents.Outcome() == world.act()


def test_garbage_in_the_stored_status_is_survived() -> None:
    """Whatever somebody wrote into the status is replaced by the truth."""
    world = running(2)
    garbage = {
        "conditions": "none",
        "restartBackoff": {"revision": world.service.status["updateRevision"], "failures": "x"},
        "lastFailure": [],
        "placement": 7,
        "effectiveRequests": "?",
        "currentRevision": 9,
    }
    expected = dict(world.service.status)
    world.service = replace(world.service, status=garbage)
    world.act()

    assert expected.keys() == world.service.status.keys()
    assert expected["currentRevision"] == world.service.status["currentRevision"]


def test_events_tell_each_turn_once() -> None:
    """An update begins and ends with one Event each; looking again tells nothing."""
    world = running(2)
    world.edit(image="web:2")
    reasons = []
    for _ in range(12):
        world.hear()
        reasons += [event.reason for event in world.act().events]
        world.work()

    assert ["RolloutStarted", "RolloutFinished"] == reasons


def test_failing_instance_is_an_event() -> None:
    """A new failure is told as a warning."""
    world = running(2)
    make_crash(world)

    assert [("InstanceFailed", True)] == [
        (event.reason, event.warning) for event in world.act().events
    ]


def test_what_a_probe_answers_is_told() -> None:
    """Of an instance that runs and is not ready; it does not count as failing."""
    world = running(2)
    pod = world.standing()[0]
    said = "container web: Readiness probe failed: 404"
    ending = Ending(started_at=world.now - 500, said=said)
    world.put(replace(pod, ready=False, ready_since=None, ending=ending))
    world.hear()
    world.act()
    [ready] = [one for one in world.service.status["conditions"] if one["type"] == "Ready"]

    assert ("False", "InstancesUnready") == (ready["status"], ready["reason"])
    assert f"{pod.name} on {pod.node} is not ready: {said}" in ready["message"]


GATE = "readiness gate target-health.elbv2.k8s.aws/k8s-web-1 is False: Elb.InitialHealthChecking"


def make_gated(world: World, index: int = 0, restarts: int = 0) -> Pod:
    """The containers of an instance are ready, and a readiness gate is not true; heard at once."""
    pod = world.standing()[index]
    ending = Ending(started_at=world.now - 500, restarts=restarts)
    gated = replace(pod, ready=False, ready_since=None, ending=ending, unmet_gates=GATE)
    world.put(gated)
    world.hear()
    return gated


@pytest.mark.parametrize("restarts", [0, 2])
def test_a_readiness_gate_is_named(restarts: int) -> None:
    """It alone keeps an instance from being available; nothing fails, whatever was before."""
    world = running(2)
    pod = make_gated(world, restarts=restarts)
    world.act()

    assert "False:InstancesUnready" == world.condition("Ready")
    assert (
        f"1 of 2 instances are available; {pod.name} on {pod.node} is not ready: {GATE}."
        == world.message("Ready")
    )


def test_an_update_that_waits_for_a_gate_names_it() -> None:
    """No older instance goes meanwhile; given up at last, the update says for what it waited."""
    world = running(3, updateStrategy={"progressDeadlineSeconds": 60})
    before = {pod.name for pod in world.standing()}
    world.edit(image="web:2")
    world.act()
    world.hear()
    [new] = [index for index, pod in enumerate(world.standing()) if pod.name not in before]
    pod = make_gated(world, new)
    world.act()
    waits = world.message("Ready")
    kept = {one.name for one in world.standing()} - {pod.name}
    world.now += 61
    world.act()
    [bad] = world.service.status["badRevisions"]

    assert before == kept
    assert f"1 updated, 3 of older templates left; {pod.name} on {pod.node} is not" in waits
    assert GATE in waits
    assert GATE in bad["message"]


@pytest.mark.parametrize("word", ["TemplateRefused", "QuotaExceeded"])
def test_a_template_that_is_refused_is_said_in_an_event(word: str) -> None:
    """Once, in the API server's words."""
    world = make_world(1)
    world.admission = refused(world.service, word)
    first, again = world.act(), world.act()
    said = [one for one in first.events if isinstance(one, intents.EmitEvent)]

    assert [(word, "no", True)] == [(one.reason, one.message, one.warning) for one in said]
    assert () == again.events
