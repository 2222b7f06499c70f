"""`doctor` on Pools: Karpenter, NodePool and NodeClass of each, and what their status says."""

from typing import Any

import pytest

from tests.recorded import Body, Recorded, make_node, make_pod, told
from tests.unit.cli.test_cli_doctor import make_deployment, sound

KARPENTER = "/apis/karpenter.sh/v1/nodepools"
GROUP = "karpenter.kwok.sh"
LABEL = "bayplan.dev/pool"
TAINT = {"key": LABEL, "value": "batch", "effect": "NoSchedule"}


def make_pool(mode: str = "Buy", status: Body | None = None, **spec: Any) -> Body:
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": "batch"},
        "spec": {"mode": mode, "nodePoolRef": {"name": "of-batch"}, **spec},
        "status": status or {},
    }


def make_node_pool(**template: Any) -> Body:
    reference = {"group": GROUP, "kind": "KWOKNodeClass", "name": "plain"}
    spec = {"nodeClassRef": reference, "requirements": [], "taints": [TAINT], **template}
    return {
        "metadata": {"name": "of-batch"},
        "spec": {
            "disruption": {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]},
            "template": {"metadata": {"labels": {LABEL: "batch"}}, "spec": spec},
        },
    }


def make_class(ready: str = "True", message: str = "") -> Body:
    condition = {"type": "Ready", "status": ready, "message": message}
    return {"metadata": {"name": "plain"}, "status": {"conditions": [condition]}}


def cluster(
    pool: Body | None = None,
    node_pool: Body | None = None,
    node_class: Body | None = None,
    *,
    served: bool = True,
    args: tuple[str, ...] = ("--pools=true",),
) -> Recorded:
    """An operator that serves Pools, and the Pool `batch` with all that it needs."""
    group = {"preferredVersion": {"groupVersion": f"{GROUP}/v1alpha1"}}
    kinds = [{"kind": "KWOKNodeClass", "name": "kwoknodeclasses"}]
    answers: dict[str, Any] = {
        f"GET /apis/{GROUP}": group,
        f"GET /apis/{GROUP}/v1alpha1": {"resources": kinds},
    }
    if served:
        found = [make_node_pool() if node_pool is None else node_pool]
        answers[f"GET {KARPENTER}"] = {"metadata": {}, "items": [one for one in found if one]}
    named = make_class() if node_class is None else node_class
    if named:
        answers[f"GET /apis/{GROUP}/v1alpha1/kwoknodeclasses/plain"] = named
    made = sound(pool or make_pool(), make_deployment(args=args), without="Deployment", **answers)
    if not served:
        made.refuse[KARPENTER] = 404
    return made


def of_pool(found: Recorded, code: int = 0) -> list[Any]:
    return [
        one
        for one in told(found, "doctor", code=code)["findings"]
        if one["check"] in {"pool batch", "pools"} or one["check"].startswith("nodepool")
    ]


def test_all_is_well() -> None:
    """One good finding; the NodePool is not told to consolidate, as others are."""
    [found] = of_pool(cluster())

    assert ("pool batch", "Good") == (found["check"], found["verdict"])
    assert "mode Buy, by NodePool of-batch" in found["said"]


@pytest.mark.parametrize(
    ("found", "part", "remedy"),
    [
        (cluster(served=False), "does not serve karpenter.sh/v1", "Install Karpenter"),
        (cluster(node_pool={}), "NodePool of-batch does not exist", "spec.nodePoolRef.name"),
        (cluster(node_pool=make_node_pool(taints=[])), "lacks the taint", "spec.taints"),
        (cluster(node_class={}), "plain, which NodePool of-batch names, does not", "Create it"),
        (cluster(node_class=make_class("False", "no subnet")), "is not Ready (no subnet)", "Mend"),
        (cluster(make_pool(limits={"cpu": "much"})), "spec.limits.cpu", "kubectl describe pool"),
    ],
    ids=["no-karpenter", "no-nodepool", "no-taint", "no-class", "class-not-ready", "invalid"],
)
def test_what_keeps_it_from_buying(found: Recorded, part: str, remedy: str) -> None:
    """It fails, with what to do."""
    [wrong] = [one for one in of_pool(found, code=1) if one["check"] == "pool batch"]

    assert "Fails" == wrong["verdict"]
    assert part in wrong["said"]
    assert remedy in wrong["remedy"]


def consolidates(*more: Body, **status: Any) -> list[Any]:
    """What is doubtful about a Pool with two nodes that moves pods."""
    pool = make_pool("BuyAndConsolidate", status={"conditions": [], **status})
    found = cluster(pool)
    found.objects |= Recorded(*more).objects
    return [one for one in of_pool(found) if one["verdict"] == "Doubtful"]


def node(name: str, **annotations: str) -> Body:
    made = make_node(name, **{LABEL: "batch"})
    made["metadata"]["annotations"] = {"eks-node-viewer/instance-price": "0.38", **annotations}
    return made


def budget(expected: int, healthy: int) -> Body:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {}},
        "status": {
            "disruptionsAllowed": 0, "expectedPods": expected, "desiredHealthy": healthy,
        },
    }  # fmt: skip


def test_consolidation_that_nothing_hinders() -> None:
    """A budget that is only spent for now is nothing to mend."""
    assert [] == consolidates(node("n1"), make_pod("a", node="n1"), budget(3, 2))


def test_nodes_that_an_annotation_keeps() -> None:
    """They are named, with the annotation, and with what they cost."""
    [found] = consolidates(node("n1", **{"bayplan.dev/keep": "true"}), node("n2"))

    assert (
        "nodes stay because of an annotation: n1 (bayplan.dev/keep); they cost $0.38 an hour"
    ) == found["said"]
    assert "remove the annotation" in found["remedy"]


def test_a_budget_that_blocks_for_ever() -> None:
    """Each budget is named once, with the nodes of this Pool alone that it keeps."""
    pods = [make_pod("a", node="n1"), make_pod("b", node="n2"), make_pod("c", node="n3")]
    [found] = consolidates(node("n1"), node("n2"), make_node("n3"), *pods, budget(3, 3))

    assert (
        "PodDisruptionBudget default/web never lets a pod go, and keeps nodes: n1, n2; they cost "
        "$0.76 an hour"
    ) == found["said"]
    assert "lower minAvailable" in found["remedy"]


def test_nodes_that_the_last_plan_could_not_empty() -> None:
    """The sum of what they cost, and who tells more."""
    rows = [{"node": f"n{at}", "pod": "a/b", "reason": "x", "dollarsPerHour": "0.25"}
            for at in range(5)]  # fmt: skip
    [found] = consolidates(blocked=rows)

    assert found["said"].endswith("may not move: n0, n1, n2 and 2 more; they cost $1.25 an hour")
    assert "bayplan explain pool/batch" in found["remedy"]


@pytest.mark.parametrize(("reason", "told_of"), [("MovesForbidden", True), ("PodsWait", False)])
def test_what_stops_moves_for_good(reason: str, told_of: bool) -> None:
    """What ends by itself is nothing to mend."""
    said = {"type": "Consolidating", "status": "False", "reason": reason, "message": "No move."}

    assert told_of == bool(consolidates(conditions=[said]))


def test_advice_needs_less() -> None:
    """Who only wants advice may let Karpenter consolidate; without Karpenter it is doubtful."""
    advises = make_pool("Advise")
    loud = make_node_pool(taints=[])
    [found] = [one for one in of_pool(cluster(advises, loud)) if one["check"] == "pool batch"]
    assert "Good" == found["verdict"]

    [found] = of_pool(cluster(advises, served=False))
    assert "Doubtful" == found["verdict"]

    [found] = of_pool(cluster(make_pool("Advise", nodePoolRef=None), served=False))
    assert ("Good", "advises on the nodes that exist") == (found["verdict"], found["said"])


def test_an_operator_that_serves_none() -> None:
    """The Pools are there, and nobody looks at them."""
    [found, _] = of_pool(cluster(args=()), code=1)

    assert ("pools", "Fails") == (found["check"], found["verdict"])
    assert "pool.enabled=true" in found["remedy"]


def test_what_the_operator_complains_of() -> None:
    """Its own sentence about prices that cannot be read."""
    message = "Karpenter's prices cannot be read (it is down). Set --karpenter-metrics."
    condition = {"type": "Degraded", "status": "True", "message": message}
    [_, found] = of_pool(cluster(make_pool(status={"conditions": [condition]})))

    assert "Doubtful" == found["verdict"]
    assert "Karpenter's prices cannot be read (it is down)" == found["said"]
    assert "Set --karpenter-metrics" == found["remedy"]


def test_a_provider_that_serves_nothing() -> None:
    """What cannot be looked for is not told as missing."""
    found = cluster()
    found.refuse = {f"/apis/{GROUP}": 404}
    [one] = of_pool(found)

    assert "Good" == one["verdict"]


def test_without_pools_nothing_is_said_of_them() -> None:
    """Nor is Karpenter asked twice."""
    found = sound()

    assert [] == of_pool(found)
    assert 1 == found.asked.count(f"GET {KARPENTER}")
