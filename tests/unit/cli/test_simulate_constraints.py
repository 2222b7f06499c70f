"""`bayplan simulate` of `placement.constraints`: the operator's placement, and its reasons."""

from typing import Any

import pytest

from tests.unit.cli.test_simulate import answer, container, node, workload

ZONE = "topology.kubernetes.io/zone"
AGENT = "LongService default/agent"
SIZES = [node(f"n{size}", size=size) for size in ("1", "2.5", "10", "many")]


def service(
    name: str, key: str, operator: str, value: str = "", cpu: str = "500m", **spec: Any
) -> dict[str, Any]:
    """A LongService with one constraint; with mode PerNode unless `spec` has replicas."""
    wanted = {"key": key, "operator": operator, **({"value": value} if value else {})}
    mode = {} if "replicas" in spec else {"mode": "PerNode"}
    body = {"placement": {"constraints": [wanted]}, "template": {"spec": container(cpu)}}
    return {"kind": "LongService", "metadata": {"name": name}, "spec": {**mode, **body, **spec}}


def instance(name: str, on: str) -> dict[str, Any]:
    """A running pod of the service agent."""
    owner = {"kind": "LongService", "name": "agent", "uid": "u", "controller": True}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": [owner], "uid": name},
        "spec": {**container(), "nodeName": on},
    }


def held(body: dict[str, Any], title: str = AGENT) -> dict[str, int]:
    """Pods of a workload by their node."""
    return {
        each["name"]: one["pods"]
        for each in body["nodeList"]
        for one in each["holds"]
        if one["workload"] == title
    }


def messages(body: dict[str, Any]) -> list[str]:
    return [one["message"] for one in body["unplacedWorkloads"]]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("Like", "2.5|10", {"n2.5", "n10"}),
        ("Like", "m.*", {"nmany"}),
        ("Like", "none", set()),
        ("Unlike", "1|many", {"n2.5", "n10", "bare"}),
        ("Is", "10.0", {"n10"}),
        ("Is", "many", {"nmany"}),
        ("Cluster", "many", {"nmany"}),
        ("Cluster", "10.0", set()),
    ],
)
def test_one_on_each_node_that_its_constraint_accepts(
    operator: str, value: str, expected: set[str]
) -> None:
    """Patterns and numbers are asked node by node, whatever of them can be compiled."""
    body = answer(*SIZES, node("bare"), service("agent", "size", operator, value))

    assert dict.fromkeys(expected, 1) == held(body)


def test_no_room_is_kept_where_no_instance_comes() -> None:
    """On given nodes: a pod that needs a whole node has those that are not for the agent."""
    whole = workload(replicas=4, **container("3800m"))
    body = answer(*SIZES, whole, service("agent", "size", "Unlike", "1|many"), code=1)

    assert {"n1": 1, "nmany": 1} == held(body, "Deployment default/web")
    assert {"n2.5": 1, "n10": 1} == held(body)


@pytest.mark.parametrize(
    ("key", "operator", "value", "runs"),
    [
        ("zone", "Cluster", "us-east-1b", False),
        ("zone", "Cluster", "us-east-1c", True),
        ("zone", "Like", ".*[ab]", False),
        ("zone", "Like", ".*[bc]", True),
        ("zone", "Unlike", ".*c", False),
        ("zone", "Unlike", ".*a", True),
        ("instance-type", "Like", "m5[.].*", True),
        ("instance-type", "Unlike", "m5[.].*", False),
        ("team", "Is", "data", True),
        ("team", "Like", "d.*|x", True),
        ("team", "Like", "shop|x", False),
        ("team", "Unlike", "shop", True),
        ("rack", "Like", ".*", False),
        ("rack", "Unlike", "1", True),
    ],
)
def test_what_is_bought_has_room_for_the_instances_that_come(
    key: str, operator: str, value: str, *, runs: bool
) -> None:
    """Two pods of 0.9 CPUs on a node of two, or one beside the agent: by zone, type and label."""
    pods = workload(replicas=4, **container("900m"), nodeSelector={ZONE: "us-east-1c"})
    options = ("--instance-type", "m5.large", "--node-label", "team=data")
    body = answer(pods, service("agent", key, operator, value, cpu="400m"), options=options)

    assert (4 if runs else 2) == body["newNodes"]
    assert [1 if runs else 2] * body["newNodes"] == list(
        held(body, "Deployment default/web").values()
    )
    assert dict.fromkeys(held(body, "Deployment default/web") if runs else (), 1) == held(body)


def test_room_for_a_daemonset_is_kept_in_its_zone_alone() -> None:
    """What a DaemonSet's node selector says of zones holds for nodes that are bought too."""
    agent = workload("DaemonSet", "agent", **container("400m"), nodeSelector={ZONE: "us-east-1b"})
    title = "Deployment default/web"

    def bought(zone: str) -> list[int]:
        pods = workload(replicas=4, **container("900m"), nodeSelector={ZONE: zone})
        return list(
            held(answer(pods, agent, options=("--instance-type", "m5.large")), title).values()
        )

    assert ([2, 2], [1, 1, 1, 1]) == (bought("us-east-1c"), bought("us-east-1b"))


def test_nothing_starts_on_a_node_that_takes_nothing_new() -> None:
    """A cordon or a silence keeps instances off, though the template tolerates everything."""
    cordoned, silent = node("cordoned", size="1"), node("silent", size="1")
    cordoned["spec"] = {"unschedulable": True}
    silent["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    template = {"spec": {**container(), "tolerations": [{"operator": "Exists"}]}}
    agent = service("agent", "size", "Like", "1", template=template)

    assert {"n1": 1} == held(answer(*SIZES, cordoned, silent, agent))


def test_an_instance_that_runs_takes_its_room_once() -> None:
    """No second one is expected beside it: the node's other half is free."""
    agent = service("agent", "size", "Is", "1", cpu="2")
    runs = {**instance("agent-a", "n1"), "spec": {**container("2"), "nodeName": "n1"}}
    body = answer(SIZES[0], agent, runs, workload(replicas=1, **container("2")))

    assert ({"n1": 1}, 2) == (held(body), body["placed"])


def test_instances_on_nodes_that_are_not_for_them_end() -> None:
    """As the operator ends them after an edit, and the second one on a node."""
    runs = [instance("agent-a", "n1"), instance("agent-b", "nmany"), instance("agent-c", "n1")]
    body = answer(*SIZES, *runs, service("agent", "size", "Like", "1|2.5"))

    assert {"n1": 1, "n2.5": 1} == held(body)
    assert any(note.startswith(f"{AGENT}: 2 of its pods would end") for note in body["notes"])


def test_instances_of_a_suspended_service_end() -> None:
    """As pods of what was scaled to nothing: their room is free."""
    agent = service("agent", "size", "Like", "1", replicas=0, mode="PerNode")
    runs = {**instance("agent-a", "n1"), "spec": {**container("3"), "nodeName": "n1"}}
    body = answer(SIZES[0], agent, runs, workload(replicas=1, **container("3")))

    assert ({}, 1) == (held(body), body["placed"])


def test_an_instance_without_room_is_told_by_its_own_kind() -> None:
    """`LongService`, not `DaemonSet`: with the node and what it lacks."""
    body = answer(*SIZES, service("agent", "size", "Like", "10|many", cpu="5"), code=1)
    [missing] = body["unplacedWorkloads"]

    assert (AGENT, 2) == (missing["workload"], missing["pods"])
    assert "n10 lacks 1 cpu" in missing["message"]


@pytest.mark.parametrize(
    ("operator", "value", "labels"),
    [
        ("Like", "2", {}),
        ("Is", "2", {}),
        ("Cluster", "2", {}),
        ("Cluster", "", {}),
        ("Unique", "", {}),
        ("MaxPer", "2", {}),
        ("GroupBy", "", {}),
        ("Like", "2", {"rack": "1"}),
        ("Is", "2", {"rack": "1"}),
        ("Cluster", "2", {"rack": "1"}),
        ("Unlike", "1", {"rack": "1"}),
    ],
)
def test_a_node_that_fails_a_constraint_is_told_with_the_constraint(
    operator: str, value: str, labels: dict[str, str]
) -> None:
    """Without the label as with a wrong value; what is compiled into the pod is not told."""
    body = answer(node("n", **labels), service("web", "rack", operator, value, replicas=1), code=1)

    said = f"constraint rack {operator}"
    assert [f"0/1 nodes: 1 {said}; nearest n: {said}"] == messages(body)


def test_a_waiting_pod_of_ours_is_told_with_the_constraint() -> None:
    """A pod of the input follows its owner's rules, not the values that were known once."""
    wanted = service("agent", "rack", "Like", "[12]", replicas=1)
    term = {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["1"]}]}
    affinity = {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
    }}  # fmt: skip
    waits = instance("agent-a", "")
    waits["spec"] = {**container(), "affinity": affinity}

    assert {"n": 1} == held(answer(node("n", rack="2"), wanted, waits))
    refused = answer(node("n"), wanted, waits, code=1)
    said = "constraint rack Like"
    assert [f"0/1 nodes: 1 {said}; nearest n: {said}"] == messages(refused)


@pytest.mark.parametrize(
    ("key", "operator", "value", "label"),
    [
        ("team", "Is", "data", "team=data"),
        ("team", "Cluster", "data", "team=data"),
        ("team", "Like", "data", "team=data"),
        ("team", "Like", "t.*", "team=true"),
    ],
)
def test_a_label_that_a_constraint_asks_for_is_named(
    key: str, operator: str, value: str, label: str
) -> None:
    """What a pool would have to give its nodes; without its constraints the pod fits too."""
    body = answer(service("web", key, operator, value, replicas=1), code=1)
    [hints] = [one["wouldFitIf"] for one in body["unplacedWorkloads"]]

    assert "if without placement.constraints" in [f"if {one}" for one in hints]
    assert any(f"--node-label {label}" in one for one in hints)


def test_each_hint_drops_one_wish() -> None:
    """The template's own node affinity stays when the constraints are left out, and vice versa."""
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
    }}  # fmt: skip
    template = {"spec": {**container(), "affinity": affinity}}

    def hints(**labels: str) -> list[str]:
        wanted = service("web", "rack", "Like", "2", replicas=1, template=template)
        body = answer(node("n", **labels), wanted, code=1)
        return [one for each in body["unplacedWorkloads"] for one in each["wouldFitIf"]]

    assert ["without its node affinity"] == hints(rack="2")[:1]
    assert ["without placement.constraints"] == hints(disk="ssd")[:1]
    assert not {"without its node affinity", "without placement.constraints"} & {*hints()}


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        ([("zone", "GroupBy", "")], {"us-east-1a": 3, "us-east-1b": 3, "us-east-1c": 3}),
        ([("zone", "GroupBy", "2")], [4, 5]),
        ([("zone", "GroupBy", ""), ("zone", "Unlike", ".*a")], [4, 5]),
        ([("zone", "Cluster", "")], [9]),
        ([("zone", "MaxPer", "3")], [3, 3, 3]),
    ],
)
def test_shares_by_zone_are_bought(
    constraints: list[tuple[str, str, str]], expected: dict[str, int] | list[int]
) -> None:
    """GroupBy with a number fills so many zones and no more; Cluster stays in one."""
    wanted = service("web", *constraints[0], replicas=9)
    stated = [
        {"key": key, "operator": operator, **({"value": value} if value else {})}
        for key, operator, value in constraints
    ]
    wanted["spec"]["placement"] = {"constraints": stated}
    body = answer(wanted)
    zones: dict[str, int] = {}
    for each in body["nodeList"]:
        zones[each["zone"]] = zones.get(each["zone"], 0) + sum(one["pods"] for one in each["holds"])

    assert 9 == body["placed"]
    assert expected == (zones if isinstance(expected, dict) else sorted(zones.values()))
