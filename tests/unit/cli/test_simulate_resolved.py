"""What an API server would have made of a manifest, a simulation makes too; or it says so."""

from typing import Any

import pytest

from tests.unit.cli.test_simulate import answer, container, node, run, workload


def requested(body: dict[str, Any]) -> dict[str, int]:
    """What all nodes together are asked for."""
    total: dict[str, int] = {}
    for one in body["nodeList"]:
        for name, amount in one["requested"].items():
            total[name] = total.get(name, 0) + amount
    return total


def ported(**spec: Any) -> dict[str, Any]:
    port = {"containerPort": 8080}
    [one] = container("100m", "64Mi")["containers"]
    return workload(**{"containers": [{**one, "ports": [port]}], **spec})


@pytest.mark.parametrize(("host", "nodes"), [(True, 3), (False, 1)])
def test_ports_of_the_hosts_network(host: bool, nodes: int) -> None:
    """core/v1/defaults.go:401: hostPort defaults to containerPort: one pod a node."""
    assert nodes == answer(ported(hostNetwork=host))["nodes"]


@pytest.mark.parametrize("key", ["beta.kubernetes.io/os", "kubernetes.io/os"])
def test_nodes_have_the_former_labels(key: str) -> None:
    """kubelet_node_status.go:310: both words; those of zone and type too."""
    wanted = {
        key: "linux",
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": "m5.large",
        "failure-domain.beta.kubernetes.io/zone": "us-east-1a",
        "failure-domain.beta.kubernetes.io/region": "us-east-1",
    }
    options = ("--instance-type", "m5.large")

    assert 3 == answer(workload(nodeSelector=wanted), options=options)["placed"]


def test_given_nodes_have_the_former_labels() -> None:
    """A manifest may say either of the two."""
    old = node("a", **{"failure-domain.beta.kubernetes.io/zone": "z", "kubernetes.io/arch": "x"})
    wanted = {"topology.kubernetes.io/zone": "z", "beta.kubernetes.io/arch": "x"}

    assert 3 == answer(old, workload(nodeSelector=wanted))["placed"]


def test_a_node_without_allocatable_has_its_capacity() -> None:
    """SetDefaults_NodeStatus."""
    one = node("a")
    one["status"] = {"capacity": one["status"]["allocatable"]}

    assert 3 == answer(one, workload())["placed"]


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ({"limits": {"cpu": "8", "memory": "16Gi"}}, (1000, 2 << 30)),
        ({"limits": {"cpu": "8"}, "requests": {"cpu": "3"}}, (3000, 2 << 30)),
        ({"requests": {"memory": "5Gi"}}, (1000, 5 << 30)),
    ],
)
def test_requests_of_a_whole_pod(whole: dict[str, Any], expected: tuple[int, int]) -> None:
    """core/v1/defaults.go:457: its containers' sum, where they ask; its limit is no request."""
    [one] = container()["containers"]
    body = answer(workload(replicas=1, containers=[one, {**one, "name": "b"}], resources=whole))

    assert expected == (requested(body)["cpu"], requested(body)["memory"])


def test_a_limit_of_a_whole_pod_stands_in_where_no_container_asks() -> None:
    """The same rule's other half."""
    bare = [{"name": "a", "image": "x"}]
    whole = {"limits": {"cpu": "2", "memory": "1Gi"}}
    body = answer(workload(replicas=1, containers=bare, resources=whole))

    assert (2000, 1 << 30) == (requested(body)["cpu"], requested(body)["memory"])


def limit_range(*items: Any, namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": "limits", "namespace": namespace}
    spec = {"limits": list(items)}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": spec}


BARE = [{"name": "a", "image": "x"}]


@pytest.mark.parametrize(
    ("item", "cpu"),
    [
        ({"defaultRequest": {"cpu": "500m"}, "default": {"cpu": "1"}}, 500),
        ({"default": {"cpu": "1"}}, 1000),
        ({"max": {"cpu": "700m"}}, 700),
        ({"min": {"cpu": "200m"}}, 200),
    ],
)
def test_a_limit_range_fills_in(item: Any, cpu: int) -> None:
    """SetDefaults_LimitRangeItem and LimitRanger: what containers do not say, in its namespace."""
    filled = answer(limit_range({"type": "Container", **item}), workload(containers=BARE))
    stated = answer(limit_range({"type": "Container", "default": {"cpu": "1"}}), workload())
    other = answer(
        limit_range({"type": "Container", **item}, namespace="other"), workload(containers=BARE)
    )

    assert 3 * cpu == requested(filled)["cpu"]
    assert 1500 == requested(stated)["cpu"]
    assert 0 == requested(other).get("cpu", 0)


@pytest.mark.parametrize(
    ("item", "cpu", "memory"),
    [
        ({"type": "Container", "defaultRequest": {"memory": "512Mi"}}, 100, 512),
        ({"type": "Container", "min": {"memory": "256Mi", "cpu": 1}}, 1000, 256),
        ({"type": "Container", "max": {"memory": "64Mi"}}, 100, 64),
        ({"type": "Pod", "min": {"memory": "256Mi"}}, 100, 256),
        ({"type": "Pod", "max": {"memory": "100Mi"}}, 100, 100),
    ],
)
def test_ours_comes_after_the_limit_range(item: Any, cpu: int, memory: int) -> None:
    """What the operator fills in for its own kinds is neither before it nor against it."""
    metadata = {"name": "web", "namespace": "default"}
    spec = {"replicas": 3, "template": {"spec": {"containers": BARE}}}
    version = "bayplan.dev/v1alpha1"
    service = {"apiVersion": version, "kind": "LongService", "metadata": metadata, "spec": spec}
    found = requested(answer(limit_range(item), service))

    assert (3 * cpu, 3 * memory << 20) == (found["cpu"], found["memory"])


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "Container", "max": {"cpu": "200m"}}, "may have at most 200m cpu"),
        ({"type": "Container", "min": {"cpu": "2"}}, "must request at least 2 cpu"),
        ({"type": "Pod", "max": {"memory": "1Mi"}}, "must have a limit of at most 1Mi memory"),
        ({"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}}, "at most 2 apart"),
    ],
)
def test_what_a_limit_range_forbids_has_no_room(item: Any, words: str) -> None:
    """Such pods are never stored: exit code 1 and the LimitRange's name."""
    [missing] = answer(limit_range(item), workload(), code=1)["unplacedWorkloads"]

    assert 3 == missing["pods"]
    assert words in missing["message"]
    assert "LimitRange default/limits" in missing["message"]


RUNTIME = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "boxed"},
    "handler": "kata",
    "overhead": {"podFixed": {"cpu": "250m", "memory": "160Mi"}},
    "scheduling": {"nodeSelector": {"runtime": "kata"}, "tolerations": [{"operator": "Exists"}]},
}


def test_a_runtime_class_is_followed() -> None:
    """Overhead, node selector and tolerations of its pods."""
    there = node("a", runtime="kata")
    there["spec"] = {"taints": [{"key": "t", "effect": "NoSchedule"}]}
    body = answer(RUNTIME, there, workload(runtimeClassName="boxed"))
    other = answer(RUNTIME, node("a"), workload(runtimeClassName="boxed"), code=1)

    assert 3 * 750 == requested(body)["cpu"]
    assert "node selector runtime" in other["unplacedWorkloads"][0]["message"]


def test_a_runtime_class_that_contradicts_its_pod() -> None:
    """RuntimeClass admission refuses the pod; one that is not in the input is noted."""
    selector = {"runtime": "gvisor"}
    body = answer(RUNTIME, workload(runtimeClassName="boxed", nodeSelector=selector), code=1)
    noted = answer(workload(runtimeClassName="boxed"))

    assert "contradicts RuntimeClass boxed" in body["unplacedWorkloads"][0]["message"]
    assert any("RuntimeClass boxed is not in the input" in one for one in noted["notes"])


def priority_class(name: str, value: int, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        **more,
    }


@pytest.mark.parametrize(
    ("facts", "vital"),
    [
        ([priority_class("vital", 1_000)], {"priorityClassName": "vital"}),
        ([], {"priorityClassName": "system-cluster-critical"}),
        ([priority_class("low", -5, globalDefault=True)], {"priority": 0}),
        ([], {"priority": 7}),
    ],
)
def test_priority_classes_are_resolved(facts: list[Any], vital: dict[str, Any]) -> None:
    """Of two pods that do not fit together the more important one has the room."""
    small = node("n", cpu="700m")
    first = workload(name="a", replicas=1)
    second = workload(name="b", replicas=1, **vital)
    body = answer(small, *facts, first, second, code=1)

    assert ["Deployment default/a"] == [one["workload"] for one in body["unplacedWorkloads"]]


def test_a_priority_class_that_is_not_there_is_noted() -> None:
    """It may be in the cluster."""
    body = answer(workload(priorityClassName="vital"))

    assert any("PriorityClass vital is not in the input" in one for one in body["notes"])


def scaler(kind: str, name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": namespace},
        "spec": {"scaleTargetRef": target, **spec},
    }


@pytest.mark.parametrize(
    ("replicas", "of", "expected"),
    [
        (1, scaler("Deployment", "web", minReplicas=6, maxReplicas=20), 6),
        (9, scaler("Deployment", "web", minReplicas=6, maxReplicas=20), 9),
        (30, scaler("Deployment", "web", minReplicas=6, maxReplicas=20), 20),
        (0, scaler("Deployment", "web", minReplicas=6, maxReplicas=20), 0),
        (2, scaler("Deployment", "web", maxReplicas=20), 2),
        (2, scaler("StatefulSet", "web", minReplicas=6, maxReplicas=20), 2),
        (2, scaler("Deployment", "api", minReplicas=6, maxReplicas=20), 2),
        (2, scaler("Deployment", "web", "other", minReplicas=6, maxReplicas=20), 2),
    ],
)
def test_an_autoscaler_bounds_a_count(replicas: int, of: Any, expected: int) -> None:
    """What is scaled to nothing stays so; another's autoscaler is none of its business."""
    body = answer(workload(replicas=replicas), workload(name="other", replicas=1), of)

    assert expected + 1 == body["placed"]


@pytest.mark.parametrize(
    ("spec", "expected"), [({"minReplicaCount": 5}, 5), ({}, 3), ({"maxReplicaCount": 2}, 2)]
)
def test_an_autoscaler_of_keda_bounds_a_count(spec: dict[str, int], expected: int) -> None:
    """A ScaledObject is an autoscaler by another name; its target is a Deployment unless told."""
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, **spec},
    }

    assert expected == answer(workload(), scaled)["placed"]


def test_scale_wins_over_an_autoscaler_and_it_is_told() -> None:
    """--scale is what the user asks for; else the note says how the count came about."""
    of = scaler("Deployment", "web", minReplicas=6, maxReplicas=20)

    assert 2 == answer(workload(), of, options=("--scale", "web=2"))["placed"]
    assert any("scales it from 6 to 20" in one for one in answer(workload(), of)["notes"])


def test_what_asks_for_nothing_is_warned_of() -> None:
    """Ten thousand such pods seem to fit anywhere."""
    silent = answer(workload(containers=BARE))
    loud = answer(workload())

    assert any(
        "neither CPU nor memory is requested" in one and "web" in one for one in silent["notes"]
    )
    assert not loud["notes"]
    assert (
        "neither CPU nor memory is requested"
        in run(workload(containers=BARE), options=("-o", "table")).output
    )


def of_a_pool(pool: str = "", **placement: Any) -> dict[str, Any]:
    """A BatchJob of one task."""
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "j", "namespace": "default"},
        "spec": {
            "placement": {**({"pool": pool} if pool else {}), **placement},
            "template": {"spec": container("100m", "64Mi")},
        },
    }


def tainted(pool: str) -> dict[str, Any]:
    """A node of this Pool."""
    one = node("a", **{"bayplan.dev/pool": pool})
    one["spec"] = {"taints": [{"key": "bayplan.dev/pool", "value": pool, "effect": "NoSchedule"}]}
    return one


DEFAULT = {
    "apiVersion": "bayplan.dev/v1alpha1",
    "kind": "Pool",
    "metadata": {"name": "batch"},
    "spec": {"default": True},
}


@pytest.mark.parametrize(
    ("manifests", "placed"),
    [
        ([tainted("batch"), of_a_pool("batch")], 1),
        ([tainted("other"), of_a_pool("batch")], 0),
        ([node("a"), of_a_pool("batch")], 0),
        ([tainted("batch"), of_a_pool()], 0),
        ([tainted("batch"), of_a_pool(), DEFAULT], 1),
        ([tainted("batch"), of_a_pool("other"), DEFAULT], 0),
        ([tainted("batch"), of_a_pool(), {**DEFAULT, "spec": {}}], 0),
        ([node("a"), of_a_pool(), DEFAULT], 1),
        ([tainted("batch"), of_a_pool(), DEFAULT, {**DEFAULT, "metadata": {"name": "z"}}], 1),
        ([tainted("z"), of_a_pool(), {**DEFAULT, "metadata": {"name": "z"}}, DEFAULT], 0),
        ([tainted("batch"), of_a_pool(), {**DEFAULT, "apiVersion": "rook.io/v1"}], None),
    ],
)
def test_pools(manifests: list[Any], placed: int | None) -> None:
    """The Pool that is asked for is a selector and a toleration; the default is a toleration."""
    if placed is None:
        assert "unknown kind 'Pool' of 'rook.io'" in run(*manifests).output
        return
    body = answer(*manifests, code=0 if placed else 1)

    assert placed == body["placed"]
