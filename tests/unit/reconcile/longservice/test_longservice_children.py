"""The Service, the PodDisruptionBudget and the ControllerRevisions of a LongService."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.admission import Admission
from bayplan.reconcile.longservice import children
from tests.builders import NOON
from tests.services import World, make_world, running

HTTP = {"name": "http", "port": 80, "targetPort": "web"}


def body_of(outcome: intents.Outcome, kind: str) -> dict[str, Any]:
    found = [dict(applied.body) for applied in outcome.objects if applied.body["kind"] == kind]
    assert len(found) == 1
    return found[0]


def revisions_of(world: World) -> list[int]:
    """Numbers of the stored ControllerRevisions."""
    return sorted(one.revision for one in world.children.values() if one.revision)


def test_service_selects_the_instances() -> None:
    """The Service has the service's name, ports, type and annotations, and is owned by it."""
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
    world = make_world(
        2, service={"type": "LoadBalancer", "ports": [HTTP], "annotations": annotations}
    )

    body = body_of(world.act(), "Service")

    assert {
        "type": "LoadBalancer",
        "selector": {names.SERVICE: "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}],
    } == body["spec"]
    assert annotations.items() <= body["metadata"]["annotations"].items()
    assert "web" == body["metadata"]["labels"][names.SERVICE]
    owner = body["metadata"]["ownerReferences"][0]
    assert ("uid-web", True, True) == (
        owner["uid"],
        owner["controller"],
        owner["blockOwnerDeletion"],
    )


def test_the_class_of_a_load_balancer_is_passed_on() -> None:
    """It says which controller makes the load balancer; absent, it is not sent."""
    by_nlb = {
        "type": "LoadBalancer",
        "ports": [HTTP],
        "loadBalancerClass": "eks.amazonaws.com/nlb",
    }
    world = make_world(1, service=by_nlb)

    assert "eks.amazonaws.com/nlb" == body_of(world.act(), "Service")["spec"]["loadBalancerClass"]


def test_port_without_target_is_its_own() -> None:
    """`targetPort` defaults to `port`; `nodePort` is sent only when chosen."""
    world = make_world(
        1, service={"type": "NodePort", "ports": [{"name": "x", "port": 81, "nodePort": 30_081}]}
    )

    assert [
        {"name": "x", "port": 81, "protocol": "TCP", "targetPort": 81, "nodePort": 30_081}
    ] == body_of(world.act(), "Service")["spec"]["ports"]


def test_changed_children_are_applied_and_unwanted_ones_deleted() -> None:
    """A change is written once; what is no longer wanted is deleted by uid."""
    world = running(2, service={"ports": [HTTP]})
    world.edit(service={"ports": [{"name": "http", "port": 8080}]})
    changed = world.act()
    world.edit(service=None, replicas=1)
    dropped = world.act()

    assert 8080 == body_of(changed, "Service")["spec"]["ports"][0]["port"]
    assert () == world.act().objects
    assert {
        ("Service", "uid-Service-web"),
        ("PodDisruptionBudget", "uid-PodDisruptionBudget-web"),
    } == {(drop.kind, drop.uid) for drop in dropped.drops}


def test_foreign_service_is_never_overwritten() -> None:
    """A Service of the same name that somebody else owns stays; the condition says what to do."""
    world = make_world(1, service={"ports": [HTTP]})
    world.foreign = frozenset({("Service", "web")})
    outcome = world.act()
    world.settle()

    assert [] == [one for one in outcome.objects if one.body["kind"] == "Service"]
    assert "False:NameTaken" == world.condition("Ready")
    assert "a Service named web" in world.message("Ready")
    assert 1 == len(world.standing())
    world.foreign = frozenset()
    assert "Service" == body_of(world.act(), "Service")["kind"]


@pytest.mark.parametrize(
    ("mode", "replicas", "healthy", "expected"),
    [
        ("Auto", 0, 0, 0),
        ("Auto", 1, 1, 0),
        ("Auto", 2, 2, 1),
        ("Auto", 2, 0, 1),
        ("Auto", 10, 10, 9),
        ("Auto", 10, 5, 4),
        ("Strict", 1, 1, 1),
        ("Strict", 10, 8, 8),
        ("Strict", 3, 0, 0),
        ("None", 10, 10, 0),
    ],
)
def test_budget_minimum(mode: str, replicas: int, healthy: int, expected: int) -> None:
    """Auto leaves room for one, Strict for none below the healthy minimum, None has no budget."""
    assert expected == children.budget_minimum(mode, replicas, healthy)


def test_budget_counts_in_numbers_and_lets_sick_pods_go() -> None:
    """`minAvailable` is a number (percentages need an owner with scale), sick pods may go."""
    budget = body_of(make_world(5).act(), "PodDisruptionBudget")

    assert {
        "minAvailable": 4,
        "selector": {"matchLabels": {names.SERVICE: "web"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    } == budget["spec"]


def test_revision_is_stored_with_its_template() -> None:
    """The first task of a template comes with a ControllerRevision that keeps it."""
    world = make_world(1)

    body = body_of(world.act(), "ControllerRevision")

    assert world.spec.template == body["data"]["template"]
    assert 1 == body["revision"]
    assert body["metadata"]["name"] == world.service.status["updateRevision"]


def test_template_that_is_used_again_gets_the_highest_number() -> None:
    """Going back to a former template renumbers its revision instead of storing it twice."""
    world = running(2)
    first = world.service.status["currentRevision"]
    world.edit(image="web:2")
    world.settle()
    world.edit(image="web:1")
    world.settle()

    assert first == world.service.status["currentRevision"]
    assert [2, 3] == revisions_of(world)


def test_history_is_pruned_but_never_what_lives() -> None:
    """Beyond revisionHistoryLimit the oldest go; the current and those with pods stay."""
    world = running(2, revisionHistoryLimit=1)
    for image in range(2, 6):
        world.edit(image=f"web:{image}")
        world.settle()
    settled = revisions_of(world)
    world.edit(revisionHistoryLimit=0, image="web:6")
    world.act()
    world.hear()

    assert [4, 5] == settled
    assert [5, 6] == revisions_of(world)
    world.settle()
    assert [6] == revisions_of(world)


def test_revision_with_pods_is_kept_beyond_the_limit() -> None:
    """A revision that never became current stays in the history while it has pods."""
    world = running(4, revisionHistoryLimit=0)
    for image in ("web:2", "web:3"):
        world.edit(image=image)
        for _ in range(2):
            world.act()
            world.hear()
            world.work()
            world.hear()

    assert [1, 2, 3] == revisions_of(world)


def test_refused_template_is_not_stored() -> None:
    """A template that never ran leaves nothing in the history."""
    world = running(2)
    world.admission = None
    world.edit(image="web:2")
    world.admission = Admission(
        world.service.template_hash, refusal="InvalidTemplate", checked_at=NOON
    )
    world.act()

    assert [1] == revisions_of(world)


def test_headless_and_affinity_reach_the_service() -> None:
    """`headless` is clusterIP None, `sessionAffinity` is the Service's; unstated, neither is."""
    ports = [{"name": "http", "port": 80}]
    plain = make_world(1, service={"ports": ports})
    stateful = make_world(
        1, service={"ports": ports, "headless": True, "sessionAffinity": "ClientIP"}
    )
    body = body_of(stateful.act(), "Service")["spec"]

    assert ("None", "ClientIP") == (body["clusterIP"], body["sessionAffinity"])
    assert not {"clusterIP", "sessionAffinity"} & body_of(plain.act(), "Service")["spec"].keys()


def test_members_find_each_other_before_they_are_ready() -> None:
    """`publishNotReadyAddresses` is the Service's; unstated, the Service does not have it."""
    ports = [{"name": "broker", "port": 9092}]
    named = {"ports": ports, "headless": True}
    open_ = make_world(1, service={**named, "publishNotReadyAddresses": True})
    plain = make_world(1, service=named)

    assert body_of(open_.act(), "Service")["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in body_of(plain.act(), "Service")["spec"]
