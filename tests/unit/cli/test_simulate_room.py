"""Room that a simulation must see: DaemonSets, volumes, shown nodes only; what would help."""

from typing import Any

import pytest

from tests.unit.cli.test_simulate import answer, container, node, run, workload


def daemon(name: str, cpu: str, **pod: Any) -> dict[str, Any]:
    return workload("DaemonSet", name, **{**container(cpu, "1Gi"), **pod})


def missing(body: dict[str, Any]) -> dict[str, int]:
    return {one["workload"]: one["pods"] for one in body["unplacedWorkloads"]}


def test_daemonsets_that_have_no_room_together() -> None:
    """One of the two has none: exit 1 and what its node lacks; the node is not over-full."""
    body = answer(node("n1", cpu="1"), daemon("agent", "500m"), daemon("agent2", "800m"), code=1)

    assert {"DaemonSet default/agent2": 1} == missing(body)
    assert "n1 lacks 300m cpu" in body["unplacedWorkloads"][0]["message"]
    assert 500 == body["nodeList"][0]["requested"]["cpu"]


def test_the_more_important_daemonset_has_the_room() -> None:
    """By priority, not by name."""
    vital = daemon("z-vital", "800m", priorityClassName="system-node-critical")
    body = answer(node("n1", cpu="1"), daemon("agent", "500m"), vital, code=1)

    assert {"DaemonSet default/agent": 1} == missing(body)


def test_a_daemonset_without_room_is_not_blamed_on_a_pod() -> None:
    """The pod fits; the DaemonSet never will."""
    pod = workload(replicas=1)
    bought = answer(daemon("agent", "40"), pod, code=1)
    given = answer(node("a"), node("b"), daemon("agent", "40"), pod, code=1)

    assert {"DaemonSet default/agent": 1} == missing(bought)
    assert {"DaemonSet default/agent": 2} == missing(given)
    assert 1 == bought["placed"] == given["placed"]


def test_types_that_hold_all_daemonsets_are_bought() -> None:
    """A type on which an agent has no room is passed over while another has it."""
    options = ("--instance-type", "m5.large", "--instance-type", "m5.2xlarge")
    body = answer(daemon("agent", "3"), workload(replicas=1), options=options)

    assert ["m5.2xlarge"] == [one["type"] for one in body["types"]]


def test_a_daemonset_that_no_type_holds_is_told_without_nodes() -> None:
    """Nothing is bought for it alone."""
    body = answer(daemon("agent", "400"))

    assert any("no offered instance type holds DaemonSet" in one for one in body["notes"])


def test_running_pods_leave_a_new_daemonset_no_room() -> None:
    """What runs stays; who comes later waits."""
    pod = {**workload(), "kind": "Pod", "spec": {**container("3500m"), "nodeName": "a"}}
    body = answer(node("a"), pod, daemon("agent", "1"), code=1)

    assert {"DaemonSet default/agent": 1} == missing(body)


ZONE = "topology.kubernetes.io/zone"


def volume(zone: str, **spec: Any) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    csi = {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv1"},
        "spec": {"csi": csi, "nodeAffinity": affinity, **spec},
    }


def claim(name: str = "data", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], **spec},
    }


def with_claim(where: str = "") -> dict[str, Any]:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    spec = {**container(), "volumes": volumes, **({"nodeName": where} if where else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db"}, "spec": spec}


NODES = (node("na", **{ZONE: "z-a"}), node("nb", **{ZONE: "z-b"}))


@pytest.mark.parametrize(
    "stored",
    [
        (volume("z-a"), claim(volumeName="pv1")),
        (volume("z-a", claimRef={"name": "data", "namespace": "default"}), claim()),
    ],
)
def test_a_pod_stays_where_its_volume_is(stored: tuple[Any, ...]) -> None:
    """--remove-node: no room elsewhere; a node bought in the volume's zone has it."""
    gone = ("--remove-node", "na")
    body = answer(*NODES, *stored, with_claim("na"), options=gone, code=1)
    bought = answer(
        *NODES, *stored, with_claim("na"), options=(*gone, "--instance-type", "m5.large")
    )
    waiting = answer(*NODES, *stored, with_claim())

    assert "volume in another zone" in body["unplacedWorkloads"][0]["message"]
    assert ["z-a"] == [one["zone"] for one in bought["nodeList"] if one["new"]]
    assert [("na", 1)] == [(n["name"], len(n["holds"])) for n in waiting["nodeList"] if n["holds"]]


def test_ordinals_go_where_their_volumes_are() -> None:
    """The first of a StatefulSet has its volume in z-b, the others have none yet."""
    stored = (volume("z-b"), claim("d-db-0", volumeName="pv1"))
    templates = [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    body = workload("StatefulSet", "db", 1)
    body["spec"]["volumeClaimTemplates"] = templates
    found = answer(*NODES, *stored, body)

    assert ["nb"] == [one["name"] for one in found["nodeList"] if one["holds"]]


def test_a_volume_that_is_not_there_is_noted() -> None:
    """Its zone is not known."""
    body = answer(claim(volumeName="pv9"), with_claim())

    assert any("volume pv9 is not in the input" in one for one in body["notes"])


def stateful(modes: str = "ReadWriteOnce", replicas: int = 100, **spec: Any) -> dict[str, Any]:
    body = workload("StatefulSet", "db", replicas, **container("10m", "10Mi"))
    template = {"metadata": {"name": "d"}, "spec": {"accessModes": [modes], **spec}}
    body["spec"]["volumeClaimTemplates"] = [template]
    return body


def csi_node(name: str, count: int) -> dict[str, Any]:
    driver = {"name": "ebs.csi.aws.com", "nodeID": "i", "allocatable": {"count": count}}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": name},
        "spec": {"drivers": [driver]},
    }


def test_a_node_attaches_so_many_volumes() -> None:
    """26 of a Nitro node, what its CSINode says of a given one; shared file systems are none."""
    large = ("--instance-type", "m5.4xlarge")
    bought = answer(stateful(), options=large)
    shared = answer(stateful("ReadWriteMany"), options=large)
    given = answer(node("a"), csi_node("a", 3), stateful(replicas=5), code=1)

    assert 4 == bought["nodes"]
    assert all(one["pods"] <= 26 for each in bought["nodeList"] for one in each["holds"])
    assert any("m5.4xlarge 26" in one for one in bought["notes"])
    assert 1 == shared["nodes"]
    assert (3, 2) == (given["placed"], given["unplaced"])


def test_ephemeral_volumes_are_attached_too() -> None:
    """A claim of each pod's own."""
    own = {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}
    volumes = [{"name": "scratch", "ephemeral": own}]
    pods = workload(replicas=30, **container("10m", "10Mi"), volumes=volumes)

    assert 2 == answer(pods, options=("--instance-type", "m5.4xlarge"))["nodes"]


def test_the_reason_counts_only_nodes_that_are_shown() -> None:
    """Nodes that were tried and not bought are nobody's."""
    term = {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "web"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    body = answer(workload(replicas=4, affinity=apart), code=1)

    assert (3, 1) == (body["nodes"], body["unplaced"])
    assert body["unplacedWorkloads"][0]["message"].startswith("0/3 nodes: 3 ")


def test_rivals_are_shown_whatever_pods_ask_for() -> None:
    """No request at all, and the same purchase with a little disk beside CPU and memory."""
    names = "kube-scheduler-least,kube-scheduler-most,karpenter"
    options = ("--instance-type", "m7i.xlarge", "--compare", names)
    bare = [{"name": "a", "image": "x"}]
    none = answer(workload(containers=bare), options=options)
    sizes = (("700m", "900Mi"), ("100m", "200Mi"), ("1500m", "200Mi"), ("300m", "3Gi"))
    plain, disk = (
        answer(
            *(
                workload(name=f"d{at}", replicas=9, **container(*size, **more))
                for at, size in enumerate(sizes)
            ),
            options=options,
        )["comparison"]
        for more in ({}, {"ephemeral-storage": "1Mi"})
    )

    assert [1, 1, 1] == [one["nodes"] for one in none["comparison"]]
    assert [one["nodes"] for one in plain] == [one["nodes"] for one in disk]


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, "--instance-type c6g.large"),
        (container(**{"nvidia.com/gpu": "1"}), "--instance-type g"),
        (container(**{"ephemeral-storage": "60Gi"}), "--disk 68"),
        ({"nodeSelector": {"team": "shop"}}, "--node-label team=shop"),
        (
            {"nodeSelector": {"team": "shop", "kubernetes.io/arch": "arm64"}},
            "--instance-type c6g.large --node-label team=shop",
        ),
        (container(memory="600Gi"), "--instance-type r"),
        (container("9999"), ""),
    ],
)
def test_what_could_be_bought_instead_is_named(pod: dict[str, Any], words: str) -> None:
    """Options to be written, and with them it fits."""
    body = answer(workload(replicas=1, **pod), code=1)
    hints = [one for one in body["unplacedWorkloads"][0]["wouldFitIf"] if "on new nodes" in one]

    assert bool(words) == bool(hints)
    if words:
        [hint] = hints
        options = hint.partition("with ")[2].partition(" ($")[0].split()
        assert words in hint
        assert 1 == answer(workload(replicas=1, **pod), options=tuple(options))["placed"]


@pytest.mark.parametrize("text", ["team", "=x", "kubernetes.io/arch=arm64", "a b=c", "-x=1"])
def test_labels_that_new_nodes_cannot_get(text: str) -> None:
    """Exit code 2: what is no label, and what a node says of itself."""
    result = run(workload(), options=("--node-label", text))

    assert (2, True) == (result.exit_code, "--node-label" in result.output)


def tainted(name: str, key: str, effect: str) -> dict[str, Any]:
    spec = {"taints": [{"key": f"node.kubernetes.io/{key}", "effect": effect}]}
    return {**node(name), "spec": spec}


@pytest.mark.parametrize(
    ("key", "effect", "pod", "runs"),
    [
        ("disk-pressure", "NoSchedule", {}, True),
        ("disk-pressure", "NoExecute", {}, False),
        ("not-ready", "NoExecute", {}, True),
        ("not-ready", "NoSchedule", {}, False),
        ("network-unavailable", "NoSchedule", {}, False),
        ("network-unavailable", "NoSchedule", {"hostNetwork": True}, True),
    ],
)
def test_daemonsets_come_where_their_controller_lets_them(
    key: str, effect: str, pod: dict[str, Any], runs: bool
) -> None:
    """A node that a taint closes to the DaemonSet keeps no room for it, whatever its effect."""
    tolerant = workload(replicas=1, tolerations=[{"operator": "Exists"}])
    body = answer(tainted("a", key, effect), tolerant, daemon("agent", "500m", **pod))

    assert runs == ("DaemonSet default/agent" in str(body["nodeList"]))


def test_one_on_each_node_of_ours_tolerates_what_its_template_says() -> None:
    """A LongService is no DaemonSet: nobody adds tolerations to its pods."""
    spec = {"mode": "PerNode", "template": {"spec": container("500m")}}
    agent = {"kind": "LongService", "metadata": {"name": "agent"}, "spec": spec}
    body = answer(node("a"), tainted("b", "disk-pressure", "NoSchedule"), agent)

    assert ["a"] == [one["name"] for one in body["nodeList"] if "agent" in str(one["holds"])]
