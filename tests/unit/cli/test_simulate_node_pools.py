"""`bayplan simulate` with NodePools of Karpenter in the input: they are what can be bought."""

from typing import Any

import pytest

from tests.unit.cli.test_simulate import answer, node, run, workload

AWS = "karpenter.k8s.aws"
ZONE = "topology.kubernetes.io/zone"


def pool(name: str, *types: str, taint: str = "", zones: tuple[str, ...] = ()) -> dict[str, Any]:
    wanted: list[dict[str, Any]] = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": list(types)}
    ]
    if zones:
        wanted.append({"key": ZONE, "operator": "In", "values": list(zones)})
    taints = [{"key": taint, "value": "yes", "effect": "NoSchedule"}] if taint else []
    spec = {"requirements": wanted, "taints": taints}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": {"pool": name}}, "spec": spec}},
    }


def bought(body: dict[str, Any]) -> set[str]:
    return {one["type"] for one in body["nodeList"] if one["new"]}


def test_only_the_pools_types_are_bought() -> None:
    """Without a word about instance types on the command line."""
    body = answer(workload(replicas=20), pool("a", "m5.large", "m5.xlarge"))

    assert bought(body) <= {"m5.large", "m5.xlarge"}
    assert (20, 0) == (body["placed"], body["unplaced"])


def test_a_pods_selector_chooses_the_pool() -> None:
    """Two pools may offer one type; labels of the pool tell its nodes apart."""
    here = workload(name="here", replicas=4, nodeSelector={"pool": "a"})
    there = workload(name="there", replicas=4, nodeSelector={"karpenter.sh/nodepool": "b"})
    body = answer(here, there, pool("a", "m5.large"), pool("b", "m5.large", "c5.large"))
    holds = [
        {one["workload"] for one in each["holds"]} for each in body["nodeList"] if each["holds"]
    ]

    assert 8 == body["placed"]
    assert {1} == {len(workloads) for workloads in holds}


def test_a_taint_keeps_others_off() -> None:
    """Exit 1, and the sentence names the taint."""
    body = answer(workload(), pool("a", "m5.large", taint="batch"), code=1)

    assert "taint batch" in body["unplacedWorkloads"][0]["message"]


def test_a_pool_buys_in_its_zones_alone() -> None:
    """Each where it may; a spread over zones needs both."""
    near = pool("near", "m5.large", zones=("us-east-1a",))
    far = pool("far", "m5.large", zones=("us-east-1c",))
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ]
    body = answer(workload(replicas=6, topologySpreadConstraints=spread), near, far)
    selected = answer(workload(nodeSelector={"pool": "far"}), near, far)

    assert {"us-east-1a", "us-east-1c"} == {one["zone"] for one in body["nodeList"]}
    assert {"us-east-1c"} == {one["zone"] for one in selected["nodeList"]}


def test_pods_apart_by_zone_get_a_node_in_each() -> None:
    """Pools may each have one zone: the best offer is chosen zone by zone."""
    pools = [
        pool("near", "m5.large", zones=("us-east-1a",)),
        pool("far", "m5.xlarge", zones=("us-east-1c",)),
    ]
    apart = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": ZONE}
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    body = answer(workload(replicas=2, affinity={"podAntiAffinity": rules}), *pools)

    assert (2, 0) == (body["placed"], body["unplaced"])
    assert {"us-east-1a", "us-east-1c"} == {one["zone"] for one in body["nodeList"]}


@pytest.mark.parametrize("option", ["--max-pods", "--disk"])
def test_what_pools_say_is_no_option(option: str) -> None:
    """Exit 2: it would have no effect."""
    result = run(workload(), pool("a", "m5.large"), options=(option, "20"))

    assert 2 == result.exit_code
    assert option in result.output


def test_there_is_room_already() -> None:
    """Given nodes come first; the pool buys for the rest."""
    body = answer(workload(replicas=9), node("a"), pool("a", "m5.large"))

    assert 9 == body["placed"]
    assert {"m5.large"} == bought(body)
    assert any(not one["new"] and one["holds"] for one in body["nodeList"])


def test_the_command_line_decides() -> None:
    """`--instance-type` names what is bought, whatever pools there are."""
    body = answer(workload(), pool("a", "m5.large"), options=("--instance-type", "c5.large"))

    assert {"c5.large"} == bought(body)


def test_the_room_of_a_node_is_its_classes() -> None:
    """`maxPods` of the EC2NodeClass counts."""
    made = pool("a", "m5.4xlarge")
    reference = {"group": AWS, "kind": "EC2NodeClass", "name": "small"}
    made["spec"]["template"]["spec"]["nodeClassRef"] = reference
    small = {
        "apiVersion": f"{AWS}/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": "small"},
        "spec": {"kubelet": {"maxPods": 5}},
    }
    body = answer(workload(replicas=10), made, small)

    assert 2 == sum(one["new"] for one in body["nodeList"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"template": {}}, "spec.template.spec must say"),
        (
            {"template": {"spec": {"requirements": [{"key": "a", "operator": "Near"}]}}},
            "requirements[0] (a Near) accepts no value",
        ),
    ],
)
def test_a_pool_that_cannot_be_read(spec: dict[str, Any], said: str) -> None:
    """Exit 2, with the object and its field."""
    result = run(workload(), {**pool("bad", "m5.large"), "spec": spec})

    assert 2 == result.exit_code
    assert "NodePool bad" in result.output
    assert said in " ".join(result.output.split())
