"""`mode: PerNode`: one instance on each node that is for it, and nowhere else."""

from dataclasses import replace

import pytest

from bayplan.api import compiled_rules, placement_rules
from bayplan.model import intents, reasons
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice import in_place, per_node
from bayplan.reconcile.view import NoRoom
from tests.builders import make_node
from tests.pernode import NodeWorld, make_node_world, running_on_each
from tests.services import make_service


def filled(world: NodeWorld) -> bool:
    return sorted(world.homes()) == world.hosts()


def test_each_node_gets_one() -> None:
    world = running_on_each(4)
    world.label("other", "db")
    world.settle()

    assert ["n0", "n1", "n2", "n3"] == world.hosts()
    assert 4 == world.service.status["desiredReplicas"]
    assert "True:Ready" == world.condition("Ready")


def test_a_new_node_gets_one_and_a_removed_one_takes_its_own_along() -> None:
    """Nothing is made elsewhere for a node that has gone."""
    world = running_on_each(3)
    world.label("n9", "web")
    world.settle()
    first = world.hosts()
    world.remove("n0")
    world.settle()

    assert ["n0", "n1", "n2", "n9"] == first
    assert ["n1", "n2", "n9"] == world.hosts()
    assert 3 == world.service.status["desiredReplicas"]


def test_a_node_that_is_not_for_it_any_more_loses_its_own() -> None:
    """A label changes: the instance there goes, the others are left alone."""
    world = running_on_each(3)
    before = {pod.uid for pod in world.standing() if pod.node != "n1"}
    world.label("n1", "db")
    world.settle()

    assert before == {pod.uid for pod in world.standing()}


def test_other_nodes_are_taken_step_by_step() -> None:
    """All nodes stop being for it, as many others are: the healthy minimum holds."""
    world = running_on_each(4)
    for name in ("m0", "m1", "m2", "m3"):
        world.label(name, "db")
    world.wanted = frozenset({"db"})
    least = []

    def check(_: intents.Outcome) -> None:
        least.append(sum(pod.ready and not pod.terminating for pod in world.pods.values()))

    world.settle(check=check)

    assert ["m0", "m1", "m2", "m3"] == world.hosts()
    assert 3 <= min(least)


@pytest.mark.parametrize("how", ["cordoned", "silent"])
def test_a_node_that_takes_nothing_new_keeps_what_it_has(how: str) -> None:
    """Neither is anything made elsewhere, nor on a node that never had one."""
    world = running_on_each(3)
    world.label("n9", "web")
    before = {pod.uid for pod in world.standing()}
    for name in ("n0", "n9"):
        if how == "cordoned":
            world.cordon(name)
        else:
            world.silence(name)
    world.settle()
    world.now += 3600
    world.act()

    assert before == {pod.uid for pod in world.standing()}


def test_a_silent_node_is_not_waited_for_for_ever() -> None:
    """Its instance stops counting after the patience, and counts again when the node is back."""
    world = running_on_each(3, unreachable={"replaceAfterSeconds": 60})
    world.silence("n0")
    world.hear()
    world.act()
    first = world.condition("Ready"), world.message("Ready")
    world.now += 61
    world.settle()
    second = world.service.status["desiredReplicas"], world.condition("Ready")
    world.revive("n0")
    world.settle()

    assert "False:NodeUnreachable" == first[0]
    assert "not waited for after 60 s" in first[1]
    assert (2, "True:Ready") == second
    assert 3 == world.service.status["availableReplicas"]


def test_an_evicted_instance_is_not_made_again_on_a_cordoned_node() -> None:
    """So that a node can be emptied; the next one has it as soon as it is open again."""
    world = running_on_each(3)
    world.cordon("n1")
    victim = next(pod for pod in world.standing() if pod.node == "n1")
    world.end(victim, disrupted="EvictionByEvictionAPI")
    world.settle()
    first = world.hosts()
    world.cordon("n1", unschedulable=False)
    world.settle()

    assert ["n0", "n2"] == first
    assert filled(world)


def test_the_old_one_of_a_node_goes_before_its_new_one_starts() -> None:
    """One at a time at 100 %, and never two on one node."""
    world = running_on_each(4)
    world.edit(image="web:2")
    down = []

    def check(_: intents.Outcome) -> None:
        here = [pod.node for pod in world.pods.values() if not pod.terminal]
        assert len(here) == len(set(here))
        down.append(4 - sum(pod.ready and not pod.terminating for pod in world.pods.values()))

    world.settle(check=check)

    assert {world.service.template_hash: 4} == world.images()
    assert 1 == max(down)
    assert filled(world)


def test_an_update_may_be_faster() -> None:
    world = running_on_each(4, updateStrategy={"minimumHealthyPercent": 50})
    world.edit(image="web:2", updateStrategy={"minimumHealthyPercent": 50})
    world.act()

    assert 2 == sum(pod.terminating for pod in world.pods.values())


def test_an_update_on_a_cordoned_node_comes_last() -> None:
    world = running_on_each(3)
    world.cordon("n0")
    world.edit(image="web:2")
    ended: list[str] = []

    def check(outcome: intents.Outcome) -> None:
        ended.extend(world.pods["default", one.name].node for one in outcome.deletes)

    world.settle(check=check)

    assert "n0" == ended[-1]
    assert ["n1", "n2"] == world.hosts()


def test_a_full_node_is_waited_for_in_the_open() -> None:
    """Nothing is made for it, the others are rolled out, and the status says what is missing."""
    world = make_node_world(3)
    world.full.add("n2")
    for _ in range(4):
        world.act()
        world.work()
        world.hear()
    funnel = reasons.Funnel(3, (reasons.Refusal(reasons.Reason.RESOURCES, "cpu", 1),))
    world.placement = NoRoom(pending=1, since=world.now, funnel=funnel)
    world.now += 3600
    world.act()
    waits = world.last.tasks
    first = world.condition("Ready"), world.message("Ready")
    current = world.service.status["currentRevision"]
    world.full.clear()
    world.placement = None
    world.settle()

    assert [world.now - 3600] == [task.since for task in waits]
    assert "False:NoRoom" == first[0]
    assert "2 of 3 instances are available; 1 instance found no room" in first[1]
    assert current == world.service.status["updateRevision"]
    assert filled(world)


def test_a_sick_instance_is_replaced_where_it_stands() -> None:
    world = running_on_each(3, unhealthy={"replaceAfterSeconds": 30})
    sick = next(pod for pod in world.standing() if pod.node == "n1")
    world.put(replace(sick, ready=False, ready_since=world.now))
    world.hear()
    world.now += 31
    world.act()
    gone = [one.why for one in world.last.deletes]
    world.settle()

    assert ["unhealthy, replaced"] == gone
    assert filled(world)
    assert sick.uid not in {pod.uid for pod in world.standing()}


def test_zero_suspends() -> None:
    world = running_on_each(3)
    world.edit(replicas=0)
    world.settle()
    first = world.hosts(), world.condition("Ready")
    world.edit(replicas=1)
    world.settle()

    assert ([], "True:ScaledToZero") == first
    assert filled(world)


def test_without_a_node_it_says_so() -> None:
    world = make_node_world(0)
    world.settle()

    assert "True:NoNodeForIt" == world.condition("Ready")
    assert "placement.constraints allow" in world.message("Ready")


def test_instances_made_by_number_before_become_one_on_each_node() -> None:
    """Several on a node from another mode: one healthy one of them stays."""
    world = running_on_each(3)
    twin = replace(next(iter(world.standing())), name="web-twin-7", uid="uid-twin")
    world.put(twin)
    world.put(replace(twin, name="web-twin-8", uid="uid-twin-8", ready=False))
    world.settle()

    assert filled(world)


def test_a_budget_lets_one_go() -> None:
    """No replacement can come first: the budget is the healthy minimum, one below the nodes."""
    world = running_on_each(4)
    bodies = [one.body for one in make_node_world(4).act().objects]
    world.label("n9", "web")
    world.settle()

    assert [3] == [one["spec"]["minAvailable"] for one in bodies if one["kind"].startswith("Pod")]


@pytest.mark.parametrize("spec", [{}, {"placement": {"constraints": []}}])
def test_it_is_a_unique_constraint_over_every_template(spec: dict[str, object]) -> None:
    """What autoscalers read on a pod says the same."""
    service = make_service(mode="PerNode", replicas=1, **spec)
    rules = placement_rules.rules(service, "hash")
    pod_spec: dict[str, object] = {}
    compiled_rules.compile_into(pod_spec, service, "hash", compiled_rules.nothing_known)

    assert ["hostname Unique"] == [f"{one.key} {one.operator.value}" for one in rules.constraints]
    assert rules.peers == rules.mates
    assert "hash" not in str(pod_spec)
    assert "kubernetes.io/hostname" in str(pod_spec)


def test_strays_leave_the_healthy_minimum() -> None:
    """Vector: 4 nodes wanted, 2 healthy at home, 3 healthy strays; 3 must stay."""
    at_home = [pod(f"n{n}") for n in range(2)]
    strays = [pod(f"m{n}") for n in range(3)]
    book = per_node.Instances(live=at_home, available={one.key for one in at_home})
    coverage = per_node.Coverage(wanted=4, strays=tuple((one, "x") for one in strays))
    limits = in_place.bounds(4, 100)

    assert 2 == len(per_node.leaving(coverage, book, limits))


def pod(node: str) -> Pod:
    return Pod("default", f"on-{node}", uid=node, node=node, ready=True)


def test_nodes_have_their_hostname() -> None:
    """What the constraint is over."""
    assert "kubernetes.io/hostname" in make_node().labels
