"""Attempts that do not start: what is said of them, how they end, what takes their place."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run
from bayplan.model.pods import Ending, Phase
from bayplan.reconcile.batchjob.starting import HINDERED
from tests.builders import make_node
from tests.jobs import PREFIX, START, TEMPLATE, World
from tests.schemas import schema_of, violations

HOUR = 3600
HOURLY = {"schedule": "0 * * * *", "retryPolicy": {"limit": 1, "delaySeconds": 60}}
RUN = slot_run(START)
PULL = Ending(waiting="ErrImagePull", said="container main: no such image")
BACK_OFF = Ending(waiting="ImagePullBackOff", said="container main: Back-off pulling")
CREATING = Ending()
MENDED = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}


def hindered(ending: Ending = PULL, **spec: Any) -> World:
    """An hourly job whose first run has a node and does not start."""
    world = World({**HOURLY, **spec}, hindered=ending)
    world.settle()
    return world


def say(world: World, ending: Ending) -> None:
    """The kubelet says this of the living pod."""
    pod = world.live()
    started = ending.started_at is not None
    phase = Phase.RUNNING if started else Phase.PENDING
    world.pods[pod.key] = replace(pod, ending=ending, phase=phase)
    world.settle()


def gone(world: World, **more: Any) -> None:
    """The kubelet has ended the terminating pod, of which nothing ran."""
    [pod] = [one for one in world.pods.values() if one.terminating and not one.terminal]
    ending = replace(pod.ending, finished_at=world.now)
    world.pods[pod.key] = replace(pod, **{"phase": Phase.FAILED, "ending": ending, **more})
    world.settle()


def ready(world: World) -> tuple[str, str, str]:
    [found] = [one for one in world.status["conditions"] if one["type"] == "Ready"]
    return found["status"], found["reason"], found["message"]


def attempts(world: World) -> list[tuple[int, str]]:
    """(seconds after START, attempt) of every pod created."""
    prefix = f"{PREFIX}{RUN}-"
    return [(at - START, name.removeprefix(prefix)) for at, name in world.created]


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [*((one, one) for one in sorted(HINDERED)), ("ErrImagePull", "ImagePullBackOff"),
     ("RegistryUnavailable", "CannotStart")],
)  # fmt: skip
def test_what_a_kubelet_says(waiting: str, expected: str) -> None:
    """Ready is False with its word from a closed list, and its sentence; at once, not later."""
    world = hindered(Ending(waiting=waiting, said="container main: because"))
    status, reason, message = ready(world)

    assert ("False", expected) == (status, reason)
    assert f"Run {RUN} cannot start on n1: {expected}: container main: because;" in message
    assert ("container main: because", expected) == tuple(
        world.status["active"][0][field] for field in ("detail", "reason")
    )
    assert [] == violations(schema_of("BatchJob", "status"), dict(world.status))


def test_it_is_told_once() -> None:
    """One Event and one notice a run, however the kubelet rewords it and whoever retries."""
    spec = {"notifications": [{"when": ["CannotStart"], "receiver": "team"}]}
    world = World({**HOURLY, **spec}, hindered=PULL, receivers=frozenset({"team"}))
    world.settle()
    writes = len(world.writes)
    for ending in (BACK_OFF, PULL, BACK_OFF):
        world.now += 60
        say(world, ending)
    quiet = len(world.writes)
    world.wait(600)
    gone(world)
    world.wait(700)
    [notice] = world.notices

    assert writes == quiet
    assert ["CannotStart"] == [one.reason for one in world.events if one.reason == "CannotStart"]
    assert ("CannotStart", RUN, "container main: no such image") == (
        notice.on,
        notice.facts["run"],
        notice.facts["detail"],
    )


def test_what_starts_after_all_is_ready() -> None:
    """The hindrance has gone: so has what was said of it."""
    world = hindered()
    say(world, Ending(started_at=world.now))

    assert ("True", "Scheduled") == ready(world)[:2]
    assert "reason" not in world.status["active"][0]
    assert "detail" not in world.status["active"][0]


def test_a_one_shot_that_cannot_start_is_in_progress() -> None:
    """GitOps tools wait for it, and show why."""
    world = World({}, hindered=PULL)
    world.settle()

    assert ("False", "ImagePullBackOff") == world.condition("Ready")
    assert ("True", "ImagePullBackOff") == world.condition("Reconciling")


@pytest.mark.parametrize("ending", [PULL, CREATING])
def test_what_has_not_started_in_time_has_failed(ending: Ending) -> None:
    """Counted from its node; it is called so, and tried again, once its pod is over."""
    world = hindered(ending)
    world.wait(599)
    early = world.live().terminating
    world.wait(1)
    going, before = world.live().terminating, dict(world.status)
    world.wait(10)
    gone(world)
    entry = world.status["active"][0]
    world.wait(60)

    assert (False, True) == (early, going)
    assert not before.get("active") or not before["active"][0].get("failures")
    assert (1, 1, "StartTimeout") == (entry["attempt"], entry["failures"], entry["reason"])
    assert [(0, "0"), (670, "1")] == attempts(world)
    assert ("False", "ImagePullBackOff" if ending is PULL else "StartTimeout") == ready(world)[:2]


def test_the_servers_clock_may_be_behind() -> None:
    """By it the delete came a moment before the time was up: it has failed all the same."""
    world = hindered(CREATING, retryPolicy={"limit": 0})
    world.wait(600)
    asked_at = world.now - 1
    gone(world, deleted_at=asked_at + 30, grace_seconds=30)

    assert [(RUN, "Failed")] == world.history()


@pytest.mark.parametrize(
    ("code", "lost", "expected"),
    [(0, False, [("Succeeded", "Completed")]), (0, True, [("Succeeded", "Completed")]),
     (143, False, [])],
)  # fmt: skip
def test_it_started_while_it_was_given_up(
    code: int, *, lost: bool, expected: list[tuple[str, str]]
) -> None:
    """Its success counts, also where the operator had not heard of it; else it is tried again."""
    world = hindered(CREATING, retryPolicy={"limit": 0})
    world.wait(600)
    if lost:  # nobody remembers who deleted it
        world.settle()
    phase = Phase.FAILED if code else Phase.SUCCEEDED
    ending = Ending(started_at=world.now, finished_at=world.now + 1, exit_code=code)
    gone(world, phase=phase, ending=ending, uprooted=not lost)
    world.wait(5)

    assert expected == [(one["outcome"], one["reason"]) for one in world.status.get("history", [])]


def test_what_is_evicted_meanwhile_is_lost() -> None:
    """A drain that comes first costs nothing."""
    world = hindered(CREATING, retryPolicy={"limit": 0})
    world.wait(600)
    gone(world, disrupted="EvictionByEvictionAPI")

    assert 1 == world.status["active"][0]["disruptions"]


def test_the_end_tells_the_kubelets_words() -> None:
    """In the history, in LastRunSucceeded and in what receivers are told."""
    spec = {"notifications": [{"when": ["Failed"], "receiver": "team"}]}
    world = World(
        {**HOURLY, "retryPolicy": {"limit": 0}, **spec},
        hindered=PULL,
        receivers=frozenset({"team"}),
    )
    world.settle()
    world.wait(600)
    gone(world, ending=Ending(137, "ContainerStatusUnknown"))
    [told] = world.status["history"]
    [notice] = world.notices

    assert ("Failed", "StartTimeout", "container main: no such image") == (
        told["outcome"],
        told["reason"],
        told["detail"],
    )
    assert "StartTimeout, on n1, container main: no such image" in (notice.facts["message"])
    assert "startTime" not in told


@pytest.mark.parametrize(("seconds", "ended"), [(0, False), (30, True), (5000, False)])
def test_as_long_as_the_spec_says(seconds: int, *, ended: bool) -> None:
    world = hindered(CREATING, startTimeoutSeconds=seconds, retryPolicy={"limit": 0})
    world.wait(HOUR - 1)

    assert ended == any(pod.terminating for pod in world.pods.values())


def test_the_time_counts_from_the_node_and_while_it_is_ready() -> None:
    """Waiting for room is no hindrance; a silent node is another matter."""
    world = hindered(CREATING, unreachable={"retryAfterSeconds": 5000})
    pod = world.live()
    world.pods[pod.key] = replace(pod, node="", placed_at=None)
    world.wait(2000)
    world.pods[pod.key] = replace(world.pods[pod.key], node="n1", placed_at=START + 2000)
    world.wait(300)
    world.nodes["n1"] = make_node("n1", ready=False, ready_changed_at=START + 2300)
    world.wait(1000)
    world.nodes["n1"] = make_node("n1", ready_changed_at=START + 3300)
    world.settle()
    before = world.history()
    world.wait(599)
    still = world.live().terminating
    world.wait(1)

    assert ([], False) == (before, still)
    assert world.live().terminating


def test_init_containers_may_work_as_long_as_they_like() -> None:
    """They are no hindrance; the time counts from their end."""
    world = hindered(Ending(prepared=True, preparing=True))
    world.wait(2000)
    working = world.live().terminating
    say(world, replace(BACK_OFF, prepared=True, prepared_at=world.now))
    world.wait(599)
    still = world.live().terminating
    world.wait(1)

    assert (False, False) == (working, still)
    assert world.live().terminating


def test_one_of_two_containers_is_not_enough() -> None:
    """All main containers have to start; the one that runs is ended with the attempt."""
    world = hindered(Ending(started_at=START, lacking=True), retryPolicy={"limit": 0})
    world.wait(600)
    assert world.live().terminating
    gone(world)

    assert [(RUN, "Failed")] == world.history()


def test_a_mended_template_is_taken_up() -> None:
    """At no cost, as soon as the old pod has gone; the status says why."""
    world = hindered(retryPolicy={"limit": 0})
    before = world.live().labels[names.TEMPLATE_HASH]
    world.hindered = None
    world.edit(template=MENDED)
    world.settle()
    entry, alone = world.status["active"][0], attempts(world)
    gone(world)
    world.wait(1)
    after = world.live()
    world.finish()
    world.settle()

    assert (1, "TemplateChanged") == (entry["attempt"], entry["reason"])
    assert not {"failures", "disruptions"} & entry.keys()
    assert [(0, "0")] == alone
    assert ["0", "1"] == [attempt for _, attempt in attempts(world)]
    assert before != after.labels[names.TEMPLATE_HASH]
    assert [(RUN, "Succeeded")] == world.history()
    assert "lost" not in world.status["statistics"] or not world.status["statistics"]["lost"]
    assert ["AttemptReplaced"] == [
        one.reason for one in world.events if one.reason.startswith("Attempt")
    ]


def test_what_finds_no_room_follows_the_template_too() -> None:
    """It asked for more than any node has: the smaller template is not held up by it."""
    world = World(HOURLY, nodes={})
    world.settle()
    world.nodes = {"n1": make_node("n1")}
    world.edit(template=MENDED)
    world.wait(1)

    assert ["0", "1"] == [attempt for _, attempt in attempts(world)]
    assert "n1" == world.pods["default", f"{PREFIX}{RUN}-1"].node


@pytest.mark.parametrize(
    "ending",
    [
        Ending(prepared=True),  # an init container or a sidecar
        Ending(started_at=START, lacking=True),
        Ending(started_at=START),
    ],
)
def test_what_has_begun_anything_stays(ending: Ending) -> None:
    """Its work is not thrown away because somebody edits the template."""
    world = hindered(ending)
    world.edit(template=MENDED)
    world.wait(30)

    assert [(0, "0")] == attempts(world)
    assert not world.live().terminating


def test_a_template_that_is_refused_replaces_nothing() -> None:
    """The old one may yet start."""
    world = hindered()
    world.admitted = False
    world.edit(template=MENDED)
    world.wait(30)

    assert not world.live().terminating


@pytest.mark.parametrize(
    ("spec", "code", "expected"),
    [
        ({}, 0, [("Succeeded", "Completed")]),
        ({}, 143, []),  # tried again: nobody but us has ended it
        ({"onLost": "Fail"}, 143, [("Failed", "Deleted")]),
    ],
)
def test_it_began_while_it_was_replaced(
    spec: dict[str, Any], code: int, expected: list[tuple[str, str]]
) -> None:
    """A container starts while we look: its success counts, and it is not begun twice."""
    world = hindered(**spec)
    world.edit(template=MENDED)
    world.settle()
    ending = Ending(started_at=world.now, finished_at=world.now, exit_code=code)
    phase = Phase.FAILED if code else Phase.SUCCEEDED
    gone(world, phase=phase, ending=ending)
    world.wait(5)

    assert expected == [(one["outcome"], one["reason"]) for one in world.status.get("history", [])]
    assert (1 if expected else 2) == len(world.created)


def test_an_array_is_mended_index_by_index() -> None:
    """What has begun goes on; the others follow the template."""
    world = hindered(tasks=3)
    key = next(key for key in world.pods if key[1].endswith("-1"))
    running = Ending(started_at=START)
    world.pods[key] = replace(world.pods[key], ending=running, phase=Phase.RUNNING)
    world.hindered = None
    world.edit(template=MENDED)
    world.settle()
    for pod in list(world.pods.values()):
        if pod.terminating:
            world.pods[pod.key] = replace(pod, phase=Phase.FAILED)
    world.wait(5)
    living = sorted(pod.name.removeprefix(f"{PREFIX}{RUN}-") for pod in world.pods.values()
                    if not pod.terminal)  # fmt: skip

    assert ["0-1", "1-0", "1-2"] == living


def test_a_gang_is_replaced_as_a_whole_or_not_at_all() -> None:
    """Where one task has begun all go on."""
    whole, begun = hindered(tasks=2, gang=True), hindered(tasks=2, gang=True)
    key = next(iter(begun.pods))
    running = Ending(started_at=START)
    begun.pods[key] = replace(begun.pods[key], ending=running, phase=Phase.RUNNING)
    for world in (whole, begun):
        world.edit(template=MENDED)
        world.settle()

    assert {True} == {pod.terminating for pod in whole.pods.values()}
    assert {False} == {pod.terminating for pod in begun.pods.values()}
    assert "TemplateChanged" == whole.status["active"][0]["reason"]


def test_a_container_that_could_not_be_started() -> None:
    """It has ended by itself: the retry policy counts it, Ready tells until the next has begun."""
    world = hindered(CREATING)
    words = Ending(128, "StartError", "exec: no such file", finished_at=START + 1)
    world.now += 1
    world.finish(128, ending=words)
    world.wait(1)
    status, reason, message = ready(world)
    world.hindered = None
    world.wait(60)

    assert ("False", "StartError") == (status, reason)
    assert "did not start on n1: StartError: exec: no such file" in message
    assert ("True", "Scheduled") == ready(world)[:2]


def test_the_same_template_is_no_change() -> None:
    world = hindered()
    world.edit(template=TEMPLATE, expectedDurationSeconds=60)
    world.wait(30)

    assert not world.live().terminating
