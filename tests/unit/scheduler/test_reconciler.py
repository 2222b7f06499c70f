"""Asking a reconcile function: its tasks are kept, all else is handed over."""

from typing import Any

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.intents import Outcome, Task
from tests.unit.scheduler.test_loop import NOON, Scene
from tests.unit.scheduler.test_loop_pernode import PER_NODE, TEMPLATE


def scene_of(outcome: Outcome) -> Scene:
    return Scene(deciders={names.LONGSERVICE: lambda *_: outcome})


def test_tasks_are_kept_and_the_rest_is_handed_over() -> None:
    delete = intents.DeletePod("default", "old", "uid", "superfluous")
    outcome = Outcome(tasks=(Task("web-1"),), deletes=(delete,), wake_at=NOON + 60)
    scene = scene_of(outcome)
    service = scene.service()

    tasks = scene.loop.reconciler.look(service.key, NOON)

    assert ["web-1"] == [one.task.name for one in tasks]
    assert [outcome] == scene.notes.outcomes
    assert NOON + 60 == scene.loop.queue.wake_times.next_at()


def test_a_defect_is_said_on_the_resource_and_looked_at_again() -> None:
    def trips(*_: Any) -> Outcome:
        raise ZeroDivisionError

    scene = Scene(deciders={names.LONGSERVICE: trips})
    service = scene.service()

    assert () == scene.loop.reconciler.look(service.key, NOON)

    [told] = scene.notes.outcomes
    assert told.status is not None
    ready = next(one for one in told.status["conditions"] if one["type"] == "Ready")
    assert ("False", "OperatorDefect") == (ready["status"], ready["reason"])
    assert NOON + 60 == scene.loop.queue.wake_times.next_at()


def test_nothing_is_kept_of_a_resource_that_has_gone() -> None:
    scene = scene_of(Outcome(wake_at=NOON + 60))
    service = scene.service(**PER_NODE, template=TEMPLATE)
    scene.loop.reconciler.look(service.key, NOON)
    assert {service.key} == scene.loop.reconciler.on_nodes

    scene.cache.drop_resource(service.key, service.uid)
    scene.loop.reconciler.look(service.key, NOON)

    assert set() == scene.loop.reconciler.on_nodes
    assert scene.loop.queue.wake_times.next_at() is None
    assert 0 == scene.loop.pod_templates.size
