"""Each rule of a LongService as one transition: revisions, names, templates, scaling, order."""

from dataclasses import replace

import pytest

from bayplan.api import names
from bayplan.model import intents
from bayplan.reconcile.longservice import reconcile, revisions
from tests.builders import NOON, make_pod
from tests.services import accepted, make_service, make_world, refused, running


def test_first_look_asks_and_starts_nothing() -> None:
    """Until the API server has said what a pod asks for, nothing starts; the status says so."""
    world = make_world(3)
    world.admission = None

    outcome = world.act()

    assert outcome.probe
    assert () == outcome.tasks
    assert "Unknown:Checking" == world.condition("Ready")
    assert "True:Checking" == world.condition("Reconciling")
    assert 1 == world.service.status["observedGeneration"]


def test_instances_are_named_by_service_revision_and_ordinal() -> None:
    """An accepted service gets its instances at once, numbered from 0, labelled by revision."""
    world = make_world(3)

    tasks = world.act().tasks
    revision = tasks[0].labels[names.REVISION]

    assert [f"web-{revision[:5]}-{index}" for index in range(3)] == [task.name for task in tasks]
    assert {
        names.SERVICE: "web",
        names.REVISION: revision,
        names.TEMPLATE_HASH: world.service.template_hash,
    } == tasks[0].labels


def test_name_is_not_used_again_at_once() -> None:
    """A hole gets the N after the highest: a drain that evicts by name must not meet the next."""
    world = running(3)
    first, second, third = world.standing()
    world.end(first)
    world.drop(second)
    world.hear()

    tasks = world.act().tasks

    prefix = third.name[:-1]
    assert [f"{prefix}3", f"{prefix}4"] == [task.name for task in tasks]


def test_ordinals_begin_again_after_a_hundred_thousand() -> None:
    """Names stay short however often instances move within one revision."""
    update = revisions.newest(make_service(), ())
    prefix = revisions.pod_names("web", update, 1, ())[0][:-1]
    taken = {f"{prefix}{number}" for number in (0, 2, 99_999)}

    assert [f"{prefix}1", f"{prefix}3"] == revisions.pod_names("web", update, 2, taken)


def test_long_names_fit_and_stay_apart() -> None:
    """A name is at most 63 characters, and two long services never share one."""
    services = [make_service("a" * 200 + end) for end in "xy"]
    updates = [revisions.newest(service, ()) for service in services]
    taken = [
        revisions.pod_names(service.name, update, 1, ())[0]
        for service, update in zip(services, updates, strict=True)
    ]

    assert 2 == len(set(taken))
    assert all(len(name) <= 63 for name in taken)
    assert all(len(update.name) <= 63 for update in updates)
    assert 2 == len({names.owner_value(service.name) for service in services})


def test_steady_service_writes_nothing() -> None:
    """Looking again at a service that is as it should be says nothing at all."""
    world = running(3, service={"ports": [{"name": "http", "port": 80}]})

    assert intents.Outcome() == world.act()


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 3, "updateStrategy": {"maximumSurgePercent": 50}},
        {"restartBackoff": {"maxSeconds": 10}},
        {"placement": {"isolation": "Strict", "disruption": "Protect"}},
        {"service": {"ports": [{"name": "http", "port": 80}]}},
        {"disruptionBudget": "None"},
        {"revisionHistoryLimit": 1},
        {"scaleDown": {"order": "OldestFirst"}},
    ],
)
def test_only_the_template_restarts_instances(change: dict[str, object]) -> None:
    """A change of anything but the template starts and stops nothing."""
    world = running(3)
    world.edit(**change)

    outcome = world.act()

    assert ((), ()) == (outcome.tasks, outcome.deletes)


def test_restarted_at_restarts_and_its_removal_does_not() -> None:
    """The verb makes a new revision of the same template; taking it off changes nothing."""
    world = running(3)
    before = world.service.status["currentRevision"]

    world.annotate(**{names.RESTARTED_AT: "2026-05-01T00:00:00Z"})
    world.settle()
    restarted = world.service.status["currentRevision"]
    world.annotate()

    assert before != restarted
    assert intents.Outcome() == world.act()


def test_recreated_service_meets_no_old_name() -> None:
    """A service made anew, with another uid, never shares a pod's name with its former self."""
    service = make_service()
    again = replace(service, uid="other")

    assert revisions.newest(service, ()).name != revisions.newest(again, ()).name


@pytest.mark.parametrize("deleting", ["resource", "namespace"])
def test_nothing_is_made_or_told_while_it_is_deleted(deleting: str) -> None:
    """A deletionTimestamp on the service or its namespace ends every act of ours."""
    world = running(3)
    world.drop(world.standing()[0])
    world.hear()
    service = replace(world.service, deleting=deleting == "resource")
    view = replace(world.view(), namespace_deleting=deleting == "namespace")

    assert intents.Outcome() == reconcile.reconcile(service, world.visible(), view, world.now)


def test_scale_down_takes_the_worst_first() -> None:
    """Without a node, then not ready, then the youngest."""
    world = running(4)
    oldest, second, *_ = world.standing()
    world.put(replace(oldest, node="", ready=False, phase=make_pod().phase))
    world.put(replace(second, ready=False))
    world.edit(replicas=2)
    world.hear()

    assert {oldest.name, second.name} == {delete.name for delete in world.act().deletes}


def test_replicas_edited_back_lets_pending_ones_go() -> None:
    """Instances that found no room go first when fewer are wanted, at once."""
    world = running(3)
    world.room = 0
    world.edit(replicas=5)
    world.act()
    world.hear()
    world.edit(replicas=3)

    deletes = world.act().deletes

    assert 2 == len(deletes)
    assert all(world.pods.get((d.namespace, d.name)) is None for d in deletes)
    assert 3 == len(world.standing())


def test_update_replaces_everything() -> None:
    """A new template ends with only instances of it, all healthy, and the revision is current."""
    world = running(5)
    old = world.service.status["currentRevision"]
    world.edit(image="web:2")
    world.settle()

    assert {world.service.template_hash: 5} == world.images()
    assert old != world.service.status["currentRevision"]
    assert world.service.status["updateRevision"] == world.service.status["currentRevision"]


def test_scaling_and_rolling_at_once() -> None:
    """More replicas and a new template in one edit: only new instances start."""
    world = running(4)
    world.edit(image="web:2", replicas=8)

    tasks = world.act().tasks
    world.settle()

    assert {world.service.template_hash} == {task.labels[names.TEMPLATE_HASH] for task in tasks}
    assert {world.service.template_hash: 8} == world.images()


def test_new_template_in_mid_rollout_goes_on_from_there() -> None:
    """Back to the former template in mid-rollout keeps what is left of it."""
    world = running(6)
    kept = {pod.uid for pod in world.standing()}
    world.edit(image="web:2")
    for _ in range(3):
        world.act()
        world.work()
        world.hear()
    left = kept & {pod.uid for pod in world.standing()}
    world.edit(image="web:1")
    world.settle()

    assert 6 > len(left) > 0
    assert left <= {pod.uid for pod in world.standing()}


def test_minimum_ready_seconds_hold_the_update_back() -> None:
    """A new instance counts as healthy `minReadySeconds` after it became ready, not before."""
    world = running(1, updateStrategy={"minReadySeconds": 30})
    world.edit(image="web:2")
    world.act()
    world.hear()
    world.work()
    world.hear()
    ready_at = world.now
    early = world.act()
    world.now = ready_at + 30

    assert (30, ()) == ((early.wake_at or 0) - ready_at, early.deletes)
    assert 1 == len(world.act().deletes)


def test_refused_template_leaves_the_old_revision_alone() -> None:
    """An invalid new template is told as Stalled; what runs goes on, what is lost is made again."""
    world = running(3)
    world.edit(image="web:2")
    world.admission = refused(world.service, "InvalidTemplate")
    world.drop(world.standing()[0])
    world.hear()

    outcome = world.act()

    assert 1 == len(outcome.tasks)
    assert "web:1" == (outcome.tasks[0].template or {})["spec"]["containers"][0]["image"]
    assert () == outcome.deletes
    assert not outcome.probe
    assert "True:InvalidTemplate" == world.condition("Stalled")
    assert "False:InvalidTemplate" == world.condition("Ready")
    world.settle()
    assert 3 == len(world.standing())


def test_passing_refusal_is_asked_again() -> None:
    """A refusal that may pass is never Stalled; it is asked again at its time."""
    world = make_world(3)
    world.admission = refused(world.service, "QuotaExceeded", retry_at=NOON + 20)

    early = world.act()
    world.now = NOON + 20
    due = world.act()

    assert (False, NOON + 20, ()) == (early.probe, early.wake_at, early.tasks)
    assert due.probe
    assert "False:QuotaExceeded" == world.condition("Ready")
    assert "" == world.condition("Stalled")


def test_answer_about_another_template_is_no_answer() -> None:
    """After an edit the former template's admission allows nothing."""
    world = make_world(3)
    other = make_service(image="web:9")
    world.admission = accepted(other)

    outcome = world.act()

    assert outcome.probe
    assert () == outcome.tasks


def test_unreadable_spec_disturbs_nobody() -> None:
    """A spec that cannot be parsed is told with its field; instances go on and are counted."""
    world = running(3)
    broken = make_service(replicas="many", generation=2)
    world.service = replace(broken, status=world.service.status)

    outcome = world.act()

    assert ((), (), ()) == (outcome.tasks, outcome.deletes, outcome.objects)
    assert "True:InvalidSpec" == world.condition("Stalled")
    assert "spec.replicas" in world.message("Ready")
    assert 3 == world.service.status["replicas"]
    assert intents.Outcome() == world.act()


def test_deleting_waits_for_the_uid() -> None:
    """An instance that is only assumed is not deleted yet, and no other goes in its place."""
    world = running(3)
    world.edit(replicas=4)
    world.act()
    world.edit(replicas=3)

    assert () == world.act().deletes
    world.hear()
    assert 1 == len(world.act().deletes)
