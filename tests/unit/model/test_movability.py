"""Who may move: the table of the specification, row by row, with the words that a person reads."""

from typing import Any

import pytest

from bayplan.model.movability import PER_NODE, Circumstances, of_its_node, updating, verdict
from bayplan.model.pods import Disk, Owner, Pod
from tests.builders import NOON, make_constraints, make_pod

NEVER = 'annotation karpenter.sh/do-not-disrupt: "true"'


def around(**more: Any) -> Circumstances:
    stated = {"now": NOON, "minimum_stay_seconds": 1800, "living": lambda _: 3}
    return Circumstances(**{**stated, **more})


def pod(kind: str = "LongService", **more: Any) -> Pod:
    """A pod of a controller called `web` that has run for a day."""
    stated = {"owner_uid": "web", "owner_kind": kind, "placed_at": NOON - 86_400, "node": "n"}
    return make_pod(**{**stated, **more})


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "ReplicationController"])
def test_a_foreign_pod_of_several_may_move(kind: str) -> None:
    assert verdict(pod(kind), around(living=lambda _: 2)) == ""


def test_an_instance_may_move_even_if_it_is_alone() -> None:
    """Its replacement is ready before it goes."""
    assert verdict(pod(), around(living=lambda _: 1)) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            pod(constraints=make_constraints(claims=("data-web-0",))),
            "uses the volume claim data-web-0",
        ),
        (pod("BatchJob"), "is a run of BatchJob web, which is not interrupted"),
        (pod("Job"), "is a run of Job web, which is not interrupted"),
        (
            pod("ReplicaSet", scheduler="default-scheduler"),
            "is placed by the scheduler default-scheduler",
        ),
        (pod("ReplicaSet", scheduler=""), "is placed by the scheduler default-scheduler"),
        (pod(owner_uid=None), "has no controller that would replace it"),
        (
            pod("SparkApplication"),
            "belongs to SparkApplication web, which may not replace it",
        ),
        (pod("Pod"), "works for Pod web and is not interrupted"),
        (
            pod("StatefulSet", constraints=make_constraints(claims=("data-web-0",))),
            "uses the volume claim data-web-0",
        ),
        (
            pod(
                "ReplicaSet", constraints=make_constraints(disks=(Disk("gcePersistentDisk", "d"),))
            ),
            "uses the disk d",
        ),
        (
            pod("ReplicaSet", constraints=make_constraints(devices=True)),
            "uses devices that kube-scheduler allocates",
        ),
        (
            pod("ReplicaSet", stays="volume logs (hostPath)"),
            "must stay because of its volume logs (hostPath)",
        ),
        (pod(stays=NEVER), f"must stay because of its {NEVER}"),
        (pod("ReplicaSet", stays=NEVER), f"must stay because of its {NEVER}"),
        (pod(placed_at=NOON - 1799), "has been on its node for less than 1800 seconds"),
        (
            pod(placed_at=None, created_at=NOON - 60),
            "has been on its node for less than 1800 seconds",
        ),
    ],
)
def test_a_pod_that_stays_says_why(found: Pod, said: str) -> None:
    assert said == verdict(found, around())


def test_the_only_pod_of_a_controller_stays() -> None:
    said = verdict(pod("ReplicaSet"), around(living=lambda owner: len(owner.name) - 2))

    assert said == "is the only pod of ReplicaSet web"


def test_a_budget_that_is_spent_keeps_a_foreign_pod_and_no_instance() -> None:
    spent = around(spent=lambda found: f"{found.namespace}/web-pdb")

    assert (
        verdict(pod("ReplicaSet"), spent)
        == "may not leave now by PodDisruptionBudget default/web-pdb"
    )
    assert verdict(pod(), spent) == ""


def test_a_run_that_may_be_interrupted_moves() -> None:
    may = around(interruptible=lambda owner: owner == Owner("BatchJob", "web", "web"))

    assert verdict(pod("BatchJob"), may) == ""
    assert verdict(pod("BatchJob", owner_uid="other"), may) != ""
    assert verdict(pod("Job"), around(interruptible=lambda _: True)) != ""


def test_a_protection_ends_when_its_time_is_over() -> None:
    kept = pod(stays='annotation karpenter.sh/do-not-disrupt: "1h"', stays_until=NOON)

    assert verdict(kept, around()) == ""
    assert verdict(kept, around(now=NOON - 1)) != ""


def test_a_pod_that_has_stayed_long_enough_may_move() -> None:
    assert verdict(pod(placed_at=NOON - 1800), around()) == ""


@pytest.mark.parametrize(
    ("found", "of_the_node"),
    [
        (pod("DaemonSet"), True),
        (pod("Node"), True),
        (pod(annotations={PER_NODE: "true"}), True),
        (pod(), False),
        (pod("ReplicaSet"), False),
    ],
)
def test_some_pods_belong_to_their_node(found: Pod, *, of_the_node: bool) -> None:
    assert of_the_node == of_its_node(found)


def test_instances_of_a_service_that_gets_another_template_stay() -> None:
    """They move anyway; who has one template alone, or another controller, does not wait."""
    old, new = (pod(labels={"revision": one}) for one in ("1", "2"))
    leaving = pod(labels={"revision": "0"}, deleted_at=5)
    foreign = [pod("ReplicaSet", labels={"revision": one}) for one in ("1", "2")]

    assert frozenset() == updating([old, leaving, *foreign], "revision")
    assert old.owner is not None
    found = updating([old, new], "revision")
    assert {old.owner.uid} == found
    assert "which gets another template" in verdict(old, around(updating=found))
    assert "" == verdict(foreign[0], around(updating=found, living=lambda _: 2))


def test_an_executor_is_waited_for() -> None:
    """As every run: it is never ended, and it leaves by itself."""
    executor = make_pod("e", "n1", owner_uid="driver", owner_kind="Pod")

    assert executor.passing
    assert "works for Pod driver and is not interrupted" == verdict(executor, around())
