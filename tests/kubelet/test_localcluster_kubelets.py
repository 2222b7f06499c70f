"""Real nodes of localcluster: kubelets with containerd, their ways to fail, and their end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Cluster, image, kubelets, processes, state
from localcluster.cluster import remove

pytestmark = [
    pytest.mark.kubelet,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(kubelets.missing()),
        reason=f"needs root and {kubelets.missing() or 'nothing else'}",
    ),
]

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two real nodes and a fake one; a silent node is noticed after 8 s."""
    with Cluster.start(
        kubelets=2, kwok="m5.large:us-east-1a=1", node_monitor_grace_seconds=8
    ) as started:
        yield started


def pod(name: str, script: str, *, node: str = "kubelet-1", **spec: Any) -> dict[str, Any]:
    """A pod of one container that runs a shell script; keyword `container` adds to that."""
    command = ["sh", "-c", script]
    container = {"name": "main", "image": image.NAME, "command": command}
    container |= spec.pop("container", {})
    defaults = {"nodeName": node, "restartPolicy": "Never", "containers": [container]}
    return {"metadata": {"name": name}, "spec": defaults | spec}


def until(met: Callable[[], Any], what: str) -> None:
    processes.wait_until(lambda: bool(met()), what, within_seconds=60)


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.request("GET", f"{PODS}/{name}")["status"]
    return found


def is_ready(thing: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in thing.get("conditions", ())}
    return conditions.get("Ready") == "True"


def until_ready(cluster: Cluster, name: str) -> None:
    """Wait for a pod; what it and the kubelets have to say is told if it does not come."""
    try:
        until(lambda: is_ready(status(cluster, name)), f"{name} is ready")
    except processes.NotInTimeError as error:
        error.add_note(json.dumps(status(cluster, name), indent=1))
        for log in sorted((cluster.directory / "logs").glob("kubelet-*.log")):
            error.add_note("\n".join([log.name, *log.read_text().splitlines()[-40:]]))
        raise


def node_is_ready(cluster: Cluster, name: str) -> bool:
    """False also while there is no such node."""
    nodes = cluster.request("GET", "/api/v1/nodes")["items"]
    return any(is_ready(node["status"]) for node in nodes if node["metadata"]["name"] == name)


def ended(cluster: Cluster, name: str) -> dict[str, Any]:
    until(lambda: status(cluster, name)["phase"] in ("Succeeded", "Failed"), f"end of {name}")
    return status(cluster, name)


def test_a_real_node_shows_itself_as_an_instance(cluster: Cluster) -> None:
    """Labels of EKS, allocatable of the type or what the machine has, addresses of its own."""
    nodes = {
        node["metadata"]["name"]: node
        for node in cluster.request("GET", "/api/v1/nodes")["items"]
        if node["metadata"]["name"].startswith("kubelet")
    }
    zones = {
        name: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for name, node in nodes.items()
    }
    addresses = {node["status"]["addresses"][0]["address"] for node in nodes.values()}

    assert zones == {"kubelet-1": "us-east-1a", "kubelet-2": "us-east-1b"}
    assert len(addresses) == 2
    assert {"17"} == {node["status"]["allocatable"]["pods"] for node in nodes.values()}
    machine_milli = (os.cpu_count() or 1) * 1000
    offered = nodes["kubelet-1"]["status"]["allocatable"]["cpu"]
    assert f"{min(1930, machine_milli)}m" == offered


def test_exit_codes_and_logs_are_real(cluster: Cluster) -> None:
    """What the process wrote and how it ended, through the API server and the kubelet."""
    cluster.request("POST", PODS, pod("seven", "echo from inside; exit 7"))
    seen = ended(cluster, "seven")

    assert seen["phase"] == "Failed"
    assert seen["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert cluster.kubectl("logs", "seven").stdout == "from inside\n"


def test_a_pod_beyond_its_memory_is_killed(cluster: Cluster) -> None:
    """OOMKilled, 137: the limit is the kernel's."""
    greedy = "x=a; while :; do x=$x$x; done"
    limited = {"resources": {"limits": {"memory": "32Mi"}}}
    cluster.request("POST", PODS, pod("greedy", greedy, container=limited))
    end = ended(cluster, "greedy")["containerStatuses"][0]["state"]["terminated"]

    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)


def test_the_kubelet_refuses_what_does_not_fit(cluster: Cluster) -> None:
    """OutOfcpu: a pod that was born placed where there is no room."""
    big = {"resources": {"requests": {"cpu": "64"}}}
    cluster.request("POST", PODS, pod("big", "exit 0", container=big))
    seen = ended(cluster, "big")

    assert (seen["phase"], seen["reason"]) == ("Failed", "OutOfcpu")


def test_probes_are_asked_and_exec_works(cluster: Cluster) -> None:
    """Ready once the HTTP probe is answered; the page is served inside of the pod."""
    script = "echo up > /www/index.html; exec httpd -f -h /www -p 8080"
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    body = pod("web", script, container={"readinessProbe": probe}, node="kubelet-2")
    cluster.request("POST", PODS, body)
    until_ready(cluster, "web")
    page = cluster.kubectl("exec", "web", "--", "wget", "-qO-", "http://127.0.0.1:8080/index.html")

    assert page.stdout == "up\n"


def test_fake_and_real_nodes_are_each_played_by_their_own(cluster: Cluster) -> None:
    """Neither touches the other's nodes: a container ID says who ran it."""
    cluster.request("POST", PODS, pod("on-kwok", "exit 3", node="m5-large-us-east-1a-1"))
    cluster.request("POST", PODS, pod("on-kubelet", "sleep 600"))
    until_ready(cluster, "on-kwok")
    until_ready(cluster, "on-kubelet")
    ids = [
        status(cluster, name)["containerStatuses"][0]["containerID"].partition(":")[0]
        for name in ("on-kwok", "on-kubelet")
    ]

    assert ids == ["kwok", "containerd"]


def test_containers_go_on_without_their_kubelet(cluster: Cluster) -> None:
    """A cut-off node: unreachable after the grace; its run ends meanwhile, which is told later."""
    signal_file = "until [ -e /tmp/go ]; do sleep 0.1; done; exit 5"
    cluster.request("POST", PODS, pod("onward", signal_file, node="kubelet-2"))
    until_ready(cluster, "onward")
    cluster.kubectl(
        "exec", "onward", "--", "sh", "-c", "(sleep 2; touch /tmp/go) >/dev/null 2>&1 &"
    )
    cluster.stop_kubelet("kubelet-2")
    until(lambda: not node_is_ready(cluster, "kubelet-2"), "noticed")

    assert status(cluster, "onward")["phase"] == "Running"
    cluster.start_kubelet("kubelet-2")
    until(lambda: node_is_ready(cluster, "kubelet-2"), "back")
    end = ended(cluster, "onward")["containerStatuses"][0]["state"]["terminated"]
    assert end["exitCode"] == 5


def test_a_lost_node_takes_its_containers_along() -> None:
    """Power loss: every process of the node is gone at once."""
    with Cluster.start(kubelets=1, node_monitor_grace_seconds=8) as small:
        small.request("POST", PODS, pod("doomed", "sleep 86401"))
        until_ready(small, "doomed")
        before = _commands("sleep 86401")
        small.lose_node("kubelet-1")

        assert (len(before), _commands("sleep 86401")) == (1, [])
        until(lambda: not node_is_ready(small, "kubelet-1"), "noticed")


def _commands(text: str) -> list[str]:
    """Pids of processes whose whole command line is this text."""
    wanted = text.replace(" ", "\0").encode() + b"\0"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def _traces(folder: Path) -> set[str]:
    """What the nodes of a cluster have outside of their namespaces: devices, cgroups, mounts.

    Other clusters may come and go on the machine meanwhile.
    """
    bridges = list(Path("/sys/class/net").glob(f"{kubelets.bridge_prefix(folder)}*"))
    devices = {each.name for bridge in bridges for each in (bridge / "brif").iterdir()}
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return (
        {str(path) for path in kubelets.cgroup_folders(folder) if path.exists()}
        | {mount for mount in mounts if mount.startswith(str(folder))}
        | {bridge.name for bridge in bridges}
        | {device for device in devices if Path("/sys/class/net", device).exists()}
    )


def _shared() -> set[str]:
    """What any node could leave in places that all share."""
    names = ("containerd", "netns", "runc", "kubelet", "cni", "pods", "containers")
    places = [Path(top, name) for top in ("/run", "/var/lib", "/var/log") for name in names]
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    return {str(place) for place in places if place.exists()} | {forwarding}


def test_nothing_of_a_node_is_left_after_its_starter_was_killed(cluster: Cluster) -> None:
    """SIGKILL with containers running; `stop` goes by names and marks alone."""
    before = _shared()
    name = f"killed-{os.getpid()}"
    command = [sys.executable, "-m", "localcluster", "start", "--kubelets", "1", "--name", name]
    starter = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    folder = state.home() / name
    try:
        until(lambda: "kubelet-1" in processes.roles(folder), "kubelet started")
        starter.send_signal(signal.SIGKILL)
        with Cluster.open(name) as started:
            until(lambda: node_is_ready(started, "kubelet-1"), "node is ready")
            mount = {"mountPath": "/cache", "name": "cache"}
            memory = [{"name": "cache", "emptyDir": {"medium": "Memory"}}]
            body = pod("left", "sleep 86402", container={"volumeMounts": [mount]}, volumes=memory)
            started.request("POST", PODS, body)
            until_ready(started, "left")

        left = _traces(folder)
        assert {"bp", "ve"} <= {trace[:2] for trace in left}
        assert _commands("sleep 86402")
    finally:
        starter.wait()
        remove(name)
    assert [] == processes.marked(folder) == _commands("sleep 86402")
    assert not folder.exists()
    assert set() == _traces(folder)
    devices = [Path("/sys/class/net", trace) for trace in left if "/" not in trace]
    until(lambda: not any(device.exists() for device in devices), "devices are gone")
    assert before == _shared()
