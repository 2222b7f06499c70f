"""A service whose template mounts a ReadWriteOncePod claim: the old instance goes first."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.model import requirements
from bayplan.model.pods import Claim
from bayplan.reconcile.longservice import ordinals
from tests.builders import make_node
from tests.services import World, make_world

SOLE = Claim("data", "uid-data", alone=True)


def template(image: str = "db:1", claim: str = "data") -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    container = {"name": "db", "image": image}
    return {"spec": {"containers": [container], "volumes": volumes}}


def ready(replicas: int = 1, claim: Claim = SOLE, **spec: Any) -> World:
    """As many nodes as replicas and one; one instance runs and is ready."""
    world = make_world(replicas, replicas + 1, template=template(), **spec)
    world.claims[claim.name] = claim
    world.room = 1 if claim.alone else 100  # the scheduler holds the others back
    turn(world)
    turn(world)
    return world


def turn(world: World) -> None:
    """One look with all that is known, then kubelets do their work."""
    world.hear()
    world.act()
    world.hear()
    world.work()
    world.bind()
    world.work()
    world.hear()


def left(world: World) -> list[str]:
    return [one.why for one in world.last.deletes]


@pytest.mark.parametrize("minimum", [0, 50, 100])
def test_an_update_lets_the_old_one_go_first(minimum: int) -> None:
    """No successor is made before it is gone: it would wait for ever, and buy a node."""
    world = ready(updateStrategy={"minimumHealthyPercent": minimum})
    [old] = world.standing()
    world.edit(template=template("db:2"))
    world.act()
    first = (left(world), world.last.tasks)
    world.hear()
    world.act()
    waiting = world.last.tasks
    world.work()
    world.hear()
    world.act()
    [task] = world.last.tasks

    assert (["outdated"], ()) == first
    assert () == waiting
    assert old.name != task.name

    turn(world)
    turn(world)

    assert ("True:Ready", "True:RolledOut") == (
        world.condition("Ready"),
        world.condition("Progressing"),
    )


def test_claims_that_may_be_shared_change_nothing() -> None:
    """Of another access mode, or not there yet: a replacement comes first, as ever."""
    for claim in (replace(SOLE, alone=False), replace(SOLE, name="other")):
        world = ready(claim=claim)
        world.room = 100
        world.edit(template=template("db:2"))
        world.act()

        assert (1, []) == (len(world.last.tasks), left(world))


def test_more_than_one_can_never_run() -> None:
    """The condition says so, and what to do; one of them runs all the same."""
    world = ready(2)
    said = world.message("Ready")

    assert "False:ClaimForOnePod" == world.condition("Ready")
    assert "claim data is ReadWriteOncePod" in said
    assert "set replicas to 1" in said
    assert "True:ClaimForOnePod" == world.condition("Stalled")
    assert 1 == sum(pod.ready for pod in world.standing())


def test_fewer_replicas_take_the_one_that_waits() -> None:
    """The one that has the claim serves on."""
    world = ready(2)
    [running] = [pod for pod in world.standing() if pod.node]
    world.edit(replicas=1)
    turn(world)

    assert [running.name] == [pod.name for pod in world.standing()]
    assert "True:Ready" == world.condition("Ready")


def test_a_cordoned_node_keeps_it() -> None:
    """It cannot have a replacement beside it: who drains the node evicts it, no budget objects."""
    world = ready(disruptionBudget="Strict")
    for name in world.nodes:
        world.cordon(name)
    world.act()

    assert ([], ()) == (left(world), world.last.tasks)
    assert ("PodDisruptionBudget", "web") not in world.children


def test_a_silent_node_is_waited_for() -> None:
    """It may still write: the successor comes when the pod has gone, and `Ready` says so."""
    world = ready(unreachable={"replaceAfterSeconds": 60})
    [old] = world.standing()
    for number in range(5, 9):
        world.nodes[f"n{number}"] = make_node(f"n{number}")
    world.silence(old.node)
    world.hear()
    world.now += 61
    world.act()
    asked = [(one.name, one.why) for one in world.last.deletes]
    world.hear()
    world.now += 1000
    world.act()

    assert [(old.name, ordinals.SILENT)] == asked
    assert () == world.last.tasks
    assert f"no instance is made before pod {old.name} on node {old.node}" in (
        world.message("Ready")
    )

    world.remove(old.node)
    world.collect()
    world.hear()
    world.act()

    assert 1 == len(world.last.tasks)


def test_a_sick_one_goes_before_its_successor() -> None:
    """After `unhealthy.replaceAfterSeconds`."""
    world = ready(unhealthy={"replaceAfterSeconds": 60})
    [old] = world.standing()
    world.put(replace(old, ready=False, ready_since=world.now))
    world.hear()
    world.now += 61
    world.act()

    assert (["unhealthy, replaced"], ()) == (left(world), world.last.tasks)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_update_ends_nobody_who_could_not_come_back(elsewhere: bool) -> None:
    """The volume is on the old one's cordoned node: the update waits until it is uncordoned."""
    world = ready()
    [old] = world.standing()
    nodes = list(world.nodes) if elsewhere else [old.node]
    here = requirements.requirement("In", nodes)
    term = requirements.Term((("kubernetes.io/hostname", here),))
    world.claims["data"] = replace(SOLE, terms=(term,))
    world.cordon(old.node)
    world.edit(template=template("db:2"))
    world.act()
    first = (left(world), world.condition("Progressing"))
    world.cordon(old.node, unschedulable=False)
    world.act()

    waits = ([], "Unknown:VolumeOnLeavingNode")
    assert (["outdated"], "True:RollingOut") == first if elsewhere else waits == first
    assert elsewhere or ["outdated"] == left(world)
