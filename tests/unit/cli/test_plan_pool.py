"""`bayplan plan --pool`: what the nodes of a NodePool cost, and what they could."""

import json
import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import yaml

from tests.recorded import Body, Recorded, make_node, make_pod, run, told

POOLS = "/apis/karpenter.sh/v1/nodepools"
CLASSES = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses"
TYPE = "node.kubernetes.io/instance-type"
ZONES = {"topology.kubernetes.io/zone": "us-east-1a"}
WORDS = ("plan", "--pool", "general")


METRICS = """\
# TYPE karpenter_cloudprovider_instance_type_offering_price_estimate gauge
karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="on-demand",instance_type="m5.large",zone="us-east-1a"} 0.5
karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="spot",instance_type="m5.large",zone="us-east-1a"} 0.01
karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="spot",instance_type="c5.large",zone="us-east-1a"} 0.001
# TYPE karpenter_cloudprovider_instance_type_offering_available gauge
karpenter_cloudprovider_instance_type_offering_available{capacity_type="spot",instance_type="c5.large",zone="us-east-1a"} 0
"""  # noqa: E501  as it is written


def pool(*types: str, name: str = "general", **more: Any) -> Body:
    wanted = [{"key": TYPE, "operator": "In", "values": list(types)}]
    reference = {"kind": "EC2NodeClass", "name": "general"}
    spec = {"requirements": wanted, "nodeClassRef": reference, **more}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": spec}}}


def mine(name: str, kind: str = "m5.xlarge", **more: str) -> Body:
    labels = {"karpenter.sh/nodepool": "general", TYPE: kind, **ZONES, **more}
    return make_node(name, **labels)


def cluster(*bodies: Body, of: Body | None = None, shape: Body | None = None) -> Recorded:
    answers: dict[str, Any] = {}
    if of is not None:
        answers[f"GET {POOLS}/general"] = of
    if shape is not None:
        answers[f"GET {CLASSES}/general"] = shape
    return Recorded(*bodies, answers=answers)


def told_with(metrics: str, *bodies: Body, of: Body) -> Any:
    """The answer with these metrics of Karpenter."""
    with NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(metrics)
        file.flush()
        return told(cluster(*bodies, of=of), *WORDS, "--karpenter-metrics", file.name)


def crowd() -> list[Body]:
    """Four nodes of 4 CPU with 1 CPU of pods each."""
    nodes = [mine(f"n{index}") for index in range(4)]
    return [*nodes, *(make_pod(f"p{index}", node=f"n{index}") for index in range(4))]


def test_what_a_better_plan_saves() -> None:
    """Four nodes that one pod each uses: fewer, smaller ones do; the bound is below the plan."""
    found = told(
        cluster(*crowd(), of=pool("m5.large", "m5.xlarge")), "plan", "--pool", "general", code=0
    )
    changes = {one["type"]: (one["nodesNow"], one["nodesThen"]) for one in found["changes"]}

    assert "bayplan.dev/pool-plan/v1" == found["schema"]
    assert (4, False, 0) == (found["nodes"], found["allNodes"], found["waiting"])
    assert 4 == changes["m5.xlarge"][0]
    assert (
        0
        < found["boundMicrodollarsPerHour"]
        <= found["planMicrodollarsPerHour"]
        < found["costMicrodollarsPerHour"]
    )
    saved = found["costMicrodollarsPerHour"] - found["planMicrodollarsPerHour"]
    assert saved == found["savingMicrodollarsPerHour"]
    assert pytest.approx(saved * 730 / 1e6, abs=0.01) == found["savingDollarsPerMonth"]


def test_the_sentences() -> None:
    """Now, least, plan, and what to do with each sort of node."""
    text = run(cluster(*crowd(), of=pool("m5.xlarge")), "plan", "--pool", "general").stdout

    assert re.match(r"NodePool general: 4 nodes, \$0\.[0-9]+ an hour \(\$[0-9]+ a month\), ", text)
    assert "over the least possible" in text
    assert "no plan costs less than $" in text
    assert "give back 2" in text or "give back 3" in text


def test_what_is_well_packed_stays() -> None:
    """No saving is promised where the plan is what there is."""
    bodies = [mine("n0"), *(make_pod(f"p{index}", node="n0") for index in range(3))]
    found = told(cluster(*bodies, of=pool("m5.xlarge")), "plan", "--pool", "general")

    assert [(1, 1)] == [(one["nodesNow"], one["nodesThen"]) for one in found["changes"]]
    assert 0 == found["savingMicrodollarsPerHour"]


def test_other_nodes_are_left_alone() -> None:
    """A node of another pool is neither counted nor given back."""
    other = make_node("other", **{**ZONES, "karpenter.sh/nodepool": "other", TYPE: "m5.24xlarge"})
    other["spec"] = {"taints": [{"key": "other", "effect": "NoSchedule"}]}
    found = told(cluster(*crowd(), other, of=pool("m5.large")), "plan", "--pool", "general")

    assert 4 == found["nodes"]
    assert "m5.24xlarge" not in {one["type"] for one in found["changes"]}


def test_a_pod_that_the_pool_cannot_hold_keeps_its_node() -> None:
    """The node is named with the workload; it is not in the costs."""
    bodies = crowd()
    bodies[4]["spec"]["nodeSelector"] = {"disk": "ssd"}
    bodies[0]["metadata"]["labels"]["disk"] = "ssd"
    found = told(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general")

    assert [{"node": "n0", "workload": "Pod default/p0"}] == found["kept"]
    assert 3 == found["nodes"]


def test_what_waits_is_planned_for() -> None:
    """A pod without a node is bought for with the others."""
    bodies = [*crowd(), make_pod("late", cpu="1500m")]
    found = told(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general")

    assert (1, []) == (found["waiting"], found["missing"])


def test_what_waits_for_another_pool_is_no_matter_of_this_one() -> None:
    """It is counted and said; the saving stands, and the exit code is 0."""
    bodies = [*crowd(), make_pod("huge", cpu="64")]
    found = told(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general")

    assert (0, 1, []) == (found["waiting"], found["waitingForOthers"], found["missing"])
    assert 0 < found["savingMicrodollarsPerHour"]


def test_pods_without_room_in_the_plan() -> None:
    """Two of the pods may not share a zone, and the pool has one: exit 1, no saving promised."""
    apart = {
        "labelSelector": {"matchLabels": {"app": "a"}},
        "topologyKey": "topology.kubernetes.io/zone",
    }
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    bodies = crowd()
    for pod in bodies[4:6]:
        pod["metadata"]["labels"] = {"app": "a"}
        pod["spec"]["affinity"] = {"podAntiAffinity": terms}
    found = told(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general", code=1)

    assert 1 == len(found["missing"])
    assert 0 == found["savingMicrodollarsPerHour"]


def test_spot_nodes_are_paid_as_spot() -> None:
    """Nodes that a plan would buy again save nothing."""
    file = METRICS.replace('instance_type="c5.large"', 'instance_type="m5.xlarge"')
    nodes = [mine(f"n{at}", **{"karpenter.sh/capacity-type": "spot"}) for at in range(2)]
    pods = [make_pod(f"p{at}", node=f"n{at % 2}", cpu="1900m") for at in range(4)]
    found = told_with(file.replace("} 0\n", "} 1\n"), *nodes, *pods, of=pool("m5.xlarge"))
    [change] = found["changes"]

    assert ("spot", 2, 2) == (change["capacityType"], change["nodesNow"], change["nodesThen"])
    assert (2_000, 0) == (found["costMicrodollarsPerHour"], found["savingMicrodollarsPerHour"])


def test_spot_nodes_without_a_price() -> None:
    """They are named, and promise nothing."""
    nodes = [mine("n0", **{"karpenter.sh/capacity-type": "spot"})]
    found = told(cluster(*nodes, make_pod("p", node="n0"), of=pool("m5.xlarge")), *WORDS)

    assert ["n0"] == found["unpricedNodes"]
    assert 0 == found["savingMicrodollarsPerHour"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"spec": {"unschedulable": True}}, "on its way out"),
        ({"spec": {"taints": [{"key": "karpenter.sh/disrupted"}]}}, "on its way out"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "not ready"),
    ],
)
def test_nodes_that_go_are_left_aside(change: dict[str, Any], why: str) -> None:
    """What is about to end saves nothing."""
    gone = mine("gone", "m5.4xlarge")
    for part, values in change.items():
        gone[part] = {**gone[part], **values}
    found = told(cluster(*crowd(), gone, of=pool("m5.xlarge")), *WORDS)

    assert [{"node": "gone", "why": why}] == found["aside"]
    assert 4 == found["nodes"]


def test_the_control_plane_is_left_aside(tmp_path: Path) -> None:
    """Where all nodes of a cluster are looked at."""
    file = tmp_path / "pool.yaml"
    body = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", **pool("m5.large")}
    file.write_text(yaml.safe_dump(body))
    control = make_node("control", **{**ZONES, "node-role.kubernetes.io/control-plane": ""})
    worker = make_node("worker", **ZONES)
    found = told(cluster(control, worker), "plan", "--pool", str(file))

    assert [{"node": "control", "why": "of the control plane"}] == found["aside"]


def test_volumes_keep_no_node() -> None:
    """A pod with a claim moves as others do."""
    bodies = crowd()
    for at, pod in enumerate(bodies[4:]):
        claim = {"persistentVolumeClaim": {"claimName": f"c{at}"}}
        pod["spec"]["volumes"] = [{"name": "v", **claim}]
    found = told(cluster(*bodies, of=pool("m5.large")), *WORDS)

    assert [] == found["kept"]
    assert 4 == found["nodes"]


def test_nothing_runs_on_the_nodes() -> None:
    """All could be given back; no bound is spoken of."""
    text = run(cluster(mine("n0"), of=pool("m5.large")), *WORDS).stdout

    assert "no pod runs on them: to give all back saves $0.21 an hour" in text
    assert "no plan costs less" not in text


def test_other_nodes_take_no_pods_in_the_plan() -> None:
    """Both sides are about the same pods, so that the bound is one."""
    other = make_node("other", cpu="16", **{**ZONES, "karpenter.sh/nodepool": "other"})
    found = told(cluster(*crowd(), other, of=pool("m5.large")), *WORDS)

    assert 4 == found["movedPods"]
    assert 0 < found["boundMicrodollarsPerHour"]


def test_a_file_that_is_no_pool(tmp_path: Path) -> None:
    """Of another group: exit 2, one sentence."""
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "x.dev/v1", "kind": "NodePool", **pool("a")}))

    assert "cannot be read" in run(cluster(*crowd()), "plan", "--pool", str(file), code=2).output


def test_daemonsets_go_with_their_nodes() -> None:
    """Their pods are no demand, and each new node has room for its own."""
    daemonset = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default", "uid": "uid-agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]},
            },
        },
    }
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "uid-agent"}
    agents = [make_pod(f"agent-{index}", node=f"n{index}", cpu="500m") for index in range(4)]
    for agent in agents:
        agent["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    found = told(
        cluster(*crowd(), daemonset, *agents, of=pool("m5.large")), "plan", "--pool", "general"
    )

    # 1.93 CPU of an m5.large: with the agent's half one pod of 1 CPU each.
    assert 4 == sum(one["nodesThen"] for one in found["changes"])


def test_a_file_serves_a_cluster_without_karpenter(tmp_path: Path) -> None:
    """All nodes are looked at, since none is of the pool; the answer says so."""
    file = tmp_path / "pool.yaml"
    body = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", **pool("m5.large")}
    file.write_text(yaml.safe_dump(body))
    nodes = [make_node(f"n{index}", **ZONES) for index in range(4)]
    pods = [make_pod(f"p{index}", node=f"n{index}") for index in range(4)]
    text = run(cluster(*nodes, *pods), "plan", "--pool", str(file)).stdout

    assert text.startswith("all nodes of the cluster: 4 nodes")


def test_the_node_class_is_read() -> None:
    """`maxPods` of 2 on a large type: two nodes for four pods."""
    shape = {"metadata": {"name": "general"}, "spec": {"kubelet": {"maxPods": 2}}}
    found = told(cluster(*crowd(), of=pool("m5.4xlarge"), shape=shape), "plan", "--pool", "general")

    assert 2 == sum(one["nodesThen"] for one in found["changes"])


def test_a_node_of_unknown_price() -> None:
    """It is named, and counts as free."""
    bodies = crowd()
    bodies[0]["metadata"]["labels"][TYPE] = "own.hardware"
    found = told(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general")
    text = run(cluster(*bodies, of=pool("m5.large")), "plan", "--pool", "general").stdout

    assert ["n0"] == found["unpricedNodes"]
    assert "no price is known of n0; use --prices" in text


def test_karpenters_own_prices(tmp_path: Path) -> None:
    """Spot at its price, and nothing that Karpenter cannot get."""
    file = tmp_path / "metrics.txt"
    file.write_text(METRICS)
    words = ("plan", "--pool", "general", "--karpenter-metrics", str(file))
    found = told(cluster(*crowd(), of=pool("m5.large", "c5.large")), *words)
    bought = [one for one in found["changes"] if one["nodesThen"]]

    assert [("m5.large", "spot", 10_000)] == [
        (one["type"], one["capacityType"], one["costMicrodollarsPerHour"]) for one in bought
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pool", "absent"), "neither a file nor a NodePool or a Pool of the cluster"),
        (("--pool", "general", "--prices", "/absent.json"), "--prices"),
        (("--pool", "general", "--karpenter-metrics", "/absent.txt"), "--karpenter-metrics"),
        (
            ("--pool", "general", "--karpenter-metrics", "http://127.0.0.1:1/metrics"),
            "--karpenter-metrics",
        ),
    ],
)
def test_wrong_input(words: tuple[str, ...], said: str) -> None:
    """Exit 2, with the option."""
    result = run(cluster(*crowd(), of=pool("m5.large")), "plan", *words, code=2)

    assert said in " ".join(result.output.split())


def test_a_file_without_a_pool(tmp_path: Path) -> None:
    """It is named."""
    file = tmp_path / "pool.yaml"
    file.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    )
    result = run(cluster(*crowd()), "plan", "--pool", str(file), code=2)

    assert "must have one NodePool in it" in " ".join(result.output.split())


def test_an_empty_cluster() -> None:
    """Nothing costs nothing."""
    found = told(cluster(of=pool("m5.large")), "plan", "--pool", "general")

    assert (0, 0, []) == (found["nodes"], found["costMicrodollarsPerHour"], found["changes"])
