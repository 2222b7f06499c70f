"""Labels that tell tasks apart: asked for by a template, kept where somebody looks at them."""

from collections import Counter
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model.pods import Constraints, PodTerm, Spread
from bayplan.scheduler import per_task_labels
from tests.builders import make_class, make_pod, make_term
from tests.unit.scheduler.test_loop import Scene

HOST = "kubernetes.io/hostname"
HARD = "requiredDuringSchedulingIgnoredDuringExecution"
APP = {"labelSelector": {"matchLabels": {"app": "j"}}, "topologyKey": HOST}


def spread() -> dict[str, Any]:
    constraint = {**APP, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**constraint, "matchLabelKeys": [names.RUN]}]}


def apart() -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {HARD: [{**APP, "matchLabelKeys": [names.RUN]}]}}}


@pytest.mark.parametrize(("wanted", "tasks", "jobs"), [(spread(), 4, "ab"), (apart(), 2, "a")])
def test_the_tasks_of_a_run_are_tied_to_each_other(
    wanted: dict[str, Any], tasks: int, jobs: str
) -> None:
    """Every run is even over both nodes, by the labels that its pods will have."""
    scene = Scene()
    scene.node("n1")
    scene.node("n2")
    for job in jobs:
        template = {
            "metadata": {"labels": {"app": "j"}},
            "spec": {"containers": [{"name": "main"}], **wanted},
        }
        scene.job(job, tasks=tasks, template=template)
    scene.look()
    planned = [pod for pod, _ in scene.notes.created.values()]
    where = Counter((pod.labels[names.JOB], pod.node) for pod in planned)
    ties = (*planned[0].constraints.spread, *planned[0].constraints.pod_anti_affinity)

    assert {(job, node): tasks // 2 for job in jobs for node in ("n1", "n2")} == dict(where)
    assert planned[0].labels[names.RUN] in str(ties[0].selector)
    assert names.SAMPLE not in str(ties)


def test_a_class_of_runs_is_not_split_unless_somebody_asks() -> None:
    """By namespace: another's constraint splits nobody's runs here."""
    shun = PodTerm(make_term(**{"bayplan.dev__run": "r1"}), HOST)
    asking = per_task_labels.Asking()
    asking.constraints("here", Constraints(pod_anti_affinity=(shun,)))
    labels = {names.RUN: "r1", names.SLOT: "7", "app": "x"}

    assert ((names.RUN, "r1"),) == asking.asked().labels("here", labels)
    assert () == asking.asked().labels("there", labels)
    assert () == per_task_labels.Asking().asked().labels("here", labels)


def test_a_label_that_a_task_does_not_have_asks_for_nothing() -> None:
    """A run that a person asked for has no slot: `matchLabelKeys` leaves it out."""
    sample = make_term(**{"bayplan.dev__slot": names.SAMPLE, "app": "x"})
    kind = make_class(spread=(Spread(HOST, sample),))
    made = per_task_labels.of_task(kind, make_pod(labels={names.RUN: "r"}).labels)

    assert make_term(app="x") == made.constraints.spread[0].selector


def test_an_instance_without_a_node_is_of_the_class_of_its_task() -> None:
    """Room that is held for an instance to come is also its room once its pod waits."""
    scene = Scene()
    scene.service()
    scene.look()
    assert scene.loop.plan is not None
    [task] = {one.waiting.kind for one in scene.loop.plan.refused}
    scene.seen_as_created()
    [pod] = {group.kind for group in scene.loop.unplaced(scene.clock.now())}
    running = next(iter(scene.loop.cache.state.pods.values()))

    assert task == pod
    assert {task} == set(scene.loop.successors([running]).values())
