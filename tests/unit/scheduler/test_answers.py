"""What follows from the API server's answers: a pod is taken back, a template is doubted."""

from dataclasses import replace

import pytest

from bayplan.cluster import errors
from bayplan.cluster.refusals import Write
from bayplan.scheduler.answers import Answers
from tests.builders import make_pod
from tests.unit.scheduler.test_loop import Notebook, Scene


def answers_of(scene: Scene) -> tuple[Answers, Notebook]:
    notes = Notebook()
    return Answers(scene.cache, scene.admissions, notes), notes


@pytest.mark.parametrize(("node", "gone"), [("n1", []), ("vanished", ["u1"])])
def test_a_pod_is_taken_back_where_its_node_has_gone(node: str, gone: list[str]) -> None:
    scene = Scene()
    scene.node("n1")
    service = scene.service()
    answers, notes = answers_of(scene)
    planned = make_pod("web-1", node)

    answers.created(service.key, planned, replace(planned, uid="u1"))

    assert gone == [one.uid for one in notes.deleted]


def test_nothing_follows_for_a_resource_that_has_gone() -> None:
    scene = Scene()
    answers, notes = answers_of(scene)
    planned = make_pod("web-1", "vanished")

    answers.created(("LongService", "default", "web"), planned, replace(planned, uid="u1"))

    assert [] == notes.deleted


@pytest.mark.parametrize(
    ("verb", "kind", "template", "doubted"),
    [
        ("create", "Pod", "", True),
        ("create", "Pod", "of another revision", False),
        ("apply", "Service", "", False),
    ],
)
def test_a_refused_pod_makes_its_template_doubtful(
    verb: str, kind: str, template: str, *, doubted: bool
) -> None:
    scene = Scene()
    service = scene.service()
    answers, _ = answers_of(scene)
    error = errors.Rejected("exceeded quota: few", status=403, reason="Forbidden")

    answers.refused(Write(service.key, verb, kind, template), error)

    known = scene.admissions.of(service)
    assert known is not None
    assert doubted == bool(known.refusal)
