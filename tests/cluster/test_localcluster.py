"""localcluster itself: a real control plane, fake nodes that behave, and an end without a trace."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Cluster, control_plane, kwok, pki, processes, programs, state
from localcluster.api import ApiError
from localcluster.cluster import remove
from tests.cluster.kube import Kube, Objects
from tests.faults.proxy import Call, Host, Rule, Upstream, slow

pytestmark = pytest.mark.cluster

PODS = "/api/v1/namespaces/default/pods"
NODE = "m5-2xlarge-us-east-1a-1"
_RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two fake nodes; a silent node is noticed after 6 s."""
    with Cluster.start(
        kwok="m5.2xlarge:us-east-1a=2", audit=True, node_monitor_grace_seconds=6
    ) as started:
        yield started


def annotated(**values: str) -> dict[str, str]:
    return {f"sim.bayplan.dev/{key.replace('_', '-')}": value for key, value in values.items()}


def pod(name: str, *, node: str = NODE, finalizers: tuple[str, ...] = (), **spec: Any) -> Any:
    """A pod that is born placed; keyword `notes` are its annotations without their prefix."""
    metadata = {
        "name": name,
        "annotations": annotated(**spec.pop("notes", {})),
        "finalizers": list(finalizers),
    }
    container = {"name": "main", "image": "anything"}
    defaults = {"nodeName": node, "restartPolicy": "Never", "containers": [container]}
    return {"metadata": metadata, "spec": defaults | spec}


def until(met: Callable[[], Any], what: str, within_seconds: float = 40) -> None:
    processes.wait_until(lambda: bool(met()), what, within_seconds=within_seconds)


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.request("GET", f"{PODS}/{name}")["status"]
    return found


def statuses(
    cluster: Cluster, name: str, *, until: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Every status that a pod has had, to the first that is so; a watch misses none."""
    seen: list[dict[str, Any]] = []

    def met(found: Objects) -> bool:
        seen.append(dict(found[name]["status"]))
        return until(seen[-1])

    Kube(cluster.kubeconfig).until(PODS, met, within=40)
    return seen


def is_ready(thing: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in thing.get("conditions", ())}
    return conditions.get("Ready") == "True"


def ended(cluster: Cluster, name: str) -> dict[str, Any]:
    """The status of a pod whose phase is final."""
    until(lambda: status(cluster, name)["phase"] in ("Succeeded", "Failed"), f"end of {name}")
    return status(cluster, name)


def gone(cluster: Cluster, path: str) -> bool:
    try:
        cluster.request("GET", path)
    except ApiError as error:
        return error.status == 404
    return False


# ── the control plane ────────────────────────────────────────────────────────────────────────────


def test_the_server_is_real_and_reports_its_version(cluster: Cluster) -> None:
    """Not v0.0.0, which Helm's version gate would refuse; and nothing of ours is in it."""
    version = cluster.request("GET", "/version")

    assert programs.kubernetes_version() == version["gitVersion"]
    assert "bayplan" not in cluster.kubectl("get", "namespaces", "-o", "name").stdout


def test_nodes_are_ready_and_untainted(cluster: Cluster) -> None:
    """What `start` returns can be used at once."""
    node = cluster.request("GET", f"/api/v1/nodes/{NODE}")

    assert is_ready(node["status"])
    assert "taints" not in node["spec"]
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "m5.2xlarge"


def test_a_client_certificate_brings_no_more_than_its_role(cluster: Cluster) -> None:
    """A service account's certificate is seen as the account and its groups, without rights."""
    kubeconfig = cluster.client_kubeconfig("system:serviceaccount:default:default")
    kubectl = [programs.path("kubectl"), f"--kubeconfig={kubeconfig}"]
    whoami = subprocess.run(
        [*kubectl, "auth", "whoami"], capture_output=True, text=True, check=True
    ).stdout
    refused = subprocess.run([*kubectl, "get", "pods"], capture_output=True, text=True, check=False)

    assert "system:serviceaccount:default:default" in whoami
    assert "system:serviceaccounts:default" in whoami
    assert (refused.returncode, "Forbidden" in refused.stderr) == (1, True)


def test_another_client_never_replaces_the_administrator(cluster: Cluster) -> None:
    """Whatever the name: files are named by user and groups together."""
    paths = {
        cluster.client_kubeconfig("admin"),
        cluster.client_kubeconfig("admin", ["some"]),
        cluster.kubeconfig,
    }

    assert len(paths) == 3
    assert "m5-2xlarge" in cluster.kubectl("get", "nodes").stdout


def test_every_request_is_in_the_audit_log(cluster: Cluster) -> None:
    """A refused one too, with user, verb and code."""
    with pytest.raises(ApiError, match="404"):
        cluster.request("GET", f"{PODS}/nobody")
    seen = [
        (event["user"]["username"], event["verb"], event["responseStatus"]["code"])
        for event in cluster.audit_events()
        if event["requestURI"] == f"{PODS}/nobody"
    ]

    assert seen == [("kubernetes-admin", "get", 404)]


def test_a_paused_server_answers_later(cluster: Cluster) -> None:
    """Connections stay open and the answer comes after the pause, not an error."""
    before = cluster.request("GET", "/readyz")
    cluster.pause_apiserver()
    answer = subprocess.Popen(
        [programs.path("kubectl"), f"--kubeconfig={cluster.kubeconfig}", "get", "--raw", "/readyz"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        answer.wait(timeout=0.5)
    cluster.resume_apiserver()
    out, _ = answer.communicate(timeout=30)

    assert before == out == "ok"


def test_a_restarted_server_has_its_data(cluster: Cluster) -> None:
    """Connections are refused in between; etcd keeps everything."""
    uid = cluster.request("GET", f"/api/v1/nodes/{NODE}")["metadata"]["uid"]
    cluster.stop_apiserver()
    with pytest.raises(OSError, match="refused"):
        cluster.request("GET", "/readyz")
    cluster.restart_apiserver()

    assert uid == cluster.request("GET", f"/api/v1/nodes/{NODE}")["metadata"]["uid"]


# ── fake nodes ───────────────────────────────────────────────────────────────────────────────────


def test_a_pod_without_annotations_runs_until_deleted(cluster: Cluster) -> None:
    """It is running and ready at once, with an address, and goes at once."""
    cluster.request("POST", PODS, pod("plain"))
    until(lambda: is_ready(status(cluster, "plain")), "plain runs")
    seen = status(cluster, "plain")
    cluster.request("DELETE", f"{PODS}/plain")

    assert seen["phase"] == "Running"
    assert seen["podIP"].startswith("10.1")
    conditions = {each["type"] for each in seen["conditions"]}
    assert {"PodScheduled", "Initialized", "ContainersReady", "Ready"} <= conditions
    until(lambda: gone(cluster, f"{PODS}/plain"), "plain is gone")


@pytest.mark.parametrize(
    ("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (7, "Failed", "Error")]
)
def test_a_run_ends_after_its_duration(
    cluster: Cluster, code: int, phase: str, reason: str
) -> None:
    """Never earlier, with the exit code, and every container says when."""
    name = f"run-{code}"
    body = pod(name, notes={"duration": "1200ms", "exit_code": str(code)})
    body["spec"]["containers"].append({"name": "second", "image": "anything"})
    began = time.monotonic()
    cluster.request("POST", PODS, body)
    seen = ended(cluster, name)

    assert time.monotonic() - began >= 1.2
    assert phase == seen["phase"]
    ends = [each["state"]["terminated"] for each in seen["containerStatuses"]]
    assert [(code, reason)] * 2 == [(each["exitCode"], each["reason"]) for each in ends]
    assert all(each["startedAt"] <= each["finishedAt"] for each in ends)
    assert not is_ready(seen)


def test_an_update_in_between_does_not_prolong_a_run(cluster: Cluster) -> None:
    """The end counts from the start of the container, not from the last event kwok saw."""
    cluster.request("POST", PODS, pod("touched", notes={"duration": "3s"}))
    began = time.monotonic()
    touches = iter(range(1000))

    def touched_and_over() -> bool:
        note = {"metadata": {"annotations": {"touch": str(next(touches))}}}
        answer = cluster.request("PATCH", f"{PODS}/touched", note)
        return bool(answer["status"]["phase"] == "Succeeded")

    processes.wait_until(touched_and_over, "end", within_seconds=20, every_seconds=0.2)
    seen = status(cluster, "touched")["containerStatuses"][0]["state"]["terminated"]
    assert 3 <= time.monotonic() - began
    assert seen["exitCode"] == 0


def test_images_take_time_and_readiness_comes_later(cluster: Cluster) -> None:
    """start-latency: Pending on the node; ready-delay: Running but not ready."""
    notes = {"start_latency": "1500ms", "ready_delay": "1500ms"}
    cluster.request("POST", PODS, pod("slow", notes=notes))
    seen = statuses(cluster, "slow", until=is_ready)
    pulling = next(one for one in seen if one.get("containerStatuses"))
    warming = next(one for one in seen if one["phase"] == "Running")

    assert pulling["phase"] == "Pending"
    waiting = pulling["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"
    assert not is_ready(warming)


def test_readiness_can_be_taken_away_and_given_back(cluster: Cluster) -> None:
    """By the annotation; the container runs on without a restart."""
    cluster.request("POST", PODS, pod("sick"))
    until(lambda: is_ready(status(cluster, "sick")), "ready")
    ids = {status(cluster, "sick")["containerStatuses"][0]["containerID"]}
    for ready in ("false", "true"):
        note = {"metadata": {"annotations": annotated(ready=ready)}}
        cluster.request("PATCH", f"{PODS}/sick", note)
        until(lambda: is_ready(status(cluster, "sick")) == (ready == "true"), ready)  # noqa: B023
        ids.add(status(cluster, "sick")["containerStatuses"][0]["containerID"])

    assert len(ids) == 1


def test_a_container_that_may_restart_does(cluster: Cluster) -> None:
    """With restartPolicy Always: CrashLoopBackOff, the last end, then running again, counted."""
    notes = {"duration": "300ms", "exit_code": "3", "restart_delay": "1s"}
    cluster.request("POST", PODS, pod("loop", notes=notes, restartPolicy="Always"))

    def container(of: dict[str, Any]) -> dict[str, Any]:
        found = of.get("containerStatuses") or [{}]
        return dict(found[0])

    seen = statuses(cluster, "loop", until=lambda one: container(one).get("restartCount") == 2)
    waiting = next(one for one in map(container, seen) if "waiting" in one.get("state", {}))
    assert waiting["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert waiting["lastState"]["terminated"]["exitCode"] == 3
    assert seen[-1]["phase"] == "Running"


def test_a_failure_is_restarted_in_place_until_success(cluster: Cluster) -> None:
    """OnFailure: code 0 ends the pod, another one does not."""
    cluster.request(
        "POST", PODS, pod("fine", notes={"duration": "200ms"}, restartPolicy="OnFailure")
    )

    assert ended(cluster, "fine")["phase"] == "Succeeded"


def test_the_deadline_of_a_pod_is_kept(cluster: Cluster) -> None:
    """activeDeadlineSeconds: Failed, DeadlineExceeded, not before."""
    began = time.monotonic()
    cluster.request("POST", PODS, pod("late", notes={"duration": "1h"}, activeDeadlineSeconds=2))
    seen = ended(cluster, "late")

    assert time.monotonic() - began >= 2
    assert (seen["phase"], seen["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_deletion_takes_its_time(cluster: Cluster) -> None:
    """Terminating as long as the pod needs, the grace period at most."""
    for name, needs in (("patient", "1500ms"), ("stubborn", "1h")):
        body = pod(name, notes={"termination": needs}, terminationGracePeriodSeconds=3)
        cluster.request("POST", PODS, body)
        until(lambda: is_ready(status(cluster, name)), f"{name} runs")  # noqa: B023
        began = time.monotonic()
        left = cluster.request("DELETE", f"{PODS}/{name}")

        assert left["metadata"]["deletionTimestamp"]
        until(lambda: gone(cluster, f"{PODS}/{name}"), f"{name} is gone")  # noqa: B023
        assert time.monotonic() - began >= (0.5 if name == "patient" else 2)


def test_a_finalizer_keeps_the_pod_and_its_end(cluster: Cluster) -> None:
    """Deleted while running: Failed with 143, still there, until the finalizer is taken away."""
    cluster.request("POST", PODS, pod("kept", finalizers=("test.bayplan.dev/kept",)))
    until(lambda: is_ready(status(cluster, "kept")), "kept runs")
    cluster.request("DELETE", f"{PODS}/kept")
    seen = ended(cluster, "kept")
    cluster.request("PATCH", f"{PODS}/kept", {"metadata": {"finalizers": None}})

    assert seen["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert seen["phase"] == "Failed"
    until(lambda: gone(cluster, f"{PODS}/kept"), "kept is gone")


def test_a_run_that_ended_keeps_its_end_when_deleted(cluster: Cluster) -> None:
    """The exit code of a finished run is not overwritten by its deletion."""
    body = pod("done", notes={"duration": "100ms"}, finalizers=("test.bayplan.dev/kept",))
    cluster.request("POST", PODS, body)
    ended(cluster, "done")
    cluster.request("DELETE", f"{PODS}/done")
    seen = status(cluster, "done")
    cluster.request("PATCH", f"{PODS}/done", {"metadata": {"finalizers": None}})

    assert seen["phase"] == "Succeeded"
    until(lambda: gone(cluster, f"{PODS}/done"), "done is gone")


def test_a_silent_node_is_noticed_and_says_later_what_happened(cluster: Cluster) -> None:
    """While silent its pods stay as they were, past their end; other nodes are played on."""
    (silent,) = cluster.add_kwok_nodes("c5.xlarge:us-east-1b=1")
    # Long enough to run still when it is cut off, and over by the time that this is noticed.
    cluster.request("POST", PODS, pod("cut-off", node=silent, notes={"duration": "4s"}))
    until(lambda: status(cluster, "cut-off")["phase"] == "Running", "cut-off runs")
    cluster.stop_heartbeat(silent)
    cluster.request("POST", PODS, pod("elsewhere", notes={"duration": "1s"}))
    ended(cluster, "elsewhere")

    def node() -> dict[str, Any]:
        found: dict[str, Any] = cluster.request("GET", f"/api/v1/nodes/{silent}")
        return found

    until(lambda: not is_ready(node()["status"]), "noticed")
    assert status(cluster, "cut-off")["phase"] == "Running"
    until(lambda: "unreachable" in str(node()["spec"].get("taints")), "tainted")
    cluster.resume_heartbeat(silent)
    until(lambda: is_ready(node()["status"]), "back")
    assert ended(cluster, "cut-off")["phase"] == "Succeeded"
    cluster.delete_node(silent)
    assert gone(cluster, f"/api/v1/nodes/{silent}")


def test_a_pod_is_played_on_when_an_older_sight_of_it_comes_late(cluster: Cluster) -> None:
    """Kwok lists a node's pods when it takes the node on; that answer may come after newer news.

    What the newer one has planned stays planned: else a pod that was made while kwok started might
    run for ever.
    """
    account = "system:serviceaccount:kube-system:default"
    binding = {
        "metadata": {"name": "kwok-by-proxy"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": account}],
    }
    cluster.request("POST", f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
    path = "/api/v1/namespaces/kube-system/serviceaccounts/default/token"
    answer = cluster.request("POST", path, {"spec": {"expirationSeconds": 3600}})
    command = control_plane.kwok(programs.path("kwok"), control_plane.Files(cluster.directory))
    kubeconfig = cluster.directory / "kwok-by-proxy.kubeconfig"
    command = [f"--kubeconfig={kubeconfig}" if "kubeconfig" in str(w) else w for w in command]
    with Host(Upstream(cluster.server, cluster.ca)) as host, contextlib.ExitStack() as afterwards:
        authority = pki.Authority(cluster.directory / "pki")
        proxy = host.proxy(certify=lambda: authority.server("proxy", ["127.0.0.1"]))
        where = {"server": proxy.url, "certificate-authority": str(cluster.ca)}
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "proxy",
                    "clusters": [{"name": "proxy", "cluster": where}],
                    "users": [{"name": "kwok", "user": {"token": answer["status"]["token"]}}],
                    "contexts": [
                        {"name": "proxy", "context": {"cluster": "proxy", "user": "kwok"}}
                    ],
                }
            )
        )
        proxy.script(Rule(_of_one_node, slow(3)))
        processes.end(processes.marked(cluster.directory, "kwok"))
        afterwards.callback(cluster.resume_heartbeat, NODE)  # after the next line
        afterwards.callback(cluster.stop_heartbeat, NODE)  # kwok is started anew, as it was
        cluster.request("POST", PODS, pod("twice-seen", notes={"duration": "6s"}))
        processes.launch(cluster.directory, "kwok", command)
        proxy.until_asked(_of_one_node, within=40)

        assert ended(cluster, "twice-seen")["phase"] == "Succeeded"


def _of_one_node(call: Call) -> bool:
    """Whether it lists the pods of a node."""
    return call.kind == "pods" and call.query.get("fieldSelector") == f"spec.nodeName={NODE}"


def test_a_heartbeat_does_not_stop_by_itself(cluster: Cluster) -> None:
    """Leases are renewed well within the grace."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"

    def renewed() -> str:
        return str(cluster.request("GET", path)["spec"]["renewTime"])

    seen = {renewed()}
    until(lambda: seen.add(renewed()) or len(seen) >= 3, "two renewals", within_seconds=20)


def test_more_nodes_come_with_names_of_their_own(cluster: Cluster) -> None:
    """Numbering goes on, addresses are not reused, each node is Ready when the call returns."""
    names = cluster.add_kwok_nodes("m5.2xlarge:us-east-1a=20")
    nodes = cluster.request("GET", f"/api/v1/nodes?labelSelector={kwok.LABEL}%3Dkwok")["items"]
    addresses = [node["status"]["addresses"][0]["address"] for node in nodes]

    assert [f"m5-2xlarge-us-east-1a-{number}" for number in range(3, 23)] == names
    assert len(addresses) == len(set(addresses)) >= 22
    assert all(is_ready(node["status"]) for node in nodes)


# ── clusters side by side, and their end ─────────────────────────────────────────────────────────


def test_without_a_controller_manager_nodes_and_pods_still_work() -> None:
    """Two admission plugins count on it and are off; and a second cluster is no neighbour's."""
    with Cluster.start(kwok="m5.2xlarge:us-east-1a=1", controller_manager=False) as small:
        roles = set(processes.roles(small.directory))
        small.request("POST", PODS, pod("alone", notes={"duration": "100ms"}))

        assert ended(small, "alone")["phase"] == "Succeeded"
        assert {"etcd", "kube-apiserver", "kwok"} == roles
        assert len(small.request("GET", "/api/v1/nodes")["items"]) == 1


def test_the_scheduler_places_pods_that_name_no_node() -> None:
    """kube-scheduler is there for foreign pods and DaemonSets."""
    with Cluster.start(kwok="m5.2xlarge:us-east-1a=1", scheduler=True) as small:
        body = pod("unplaced")
        del body["spec"]["nodeName"]
        small.request("POST", PODS, body)
        until(lambda: is_ready(status(small, "unplaced")), "scheduled and run")

        assert NODE == small.request("GET", f"{PODS}/unplaced")["spec"]["nodeName"]


def test_stop_leaves_nothing_after_the_starter_was_killed(tmp_path: Path) -> None:
    """SIGKILL in the middle of a start: the record and the marks are enough to clear it away."""
    name = f"killed-{os.getpid()}"
    command = [sys.executable, "-m", "localcluster", "start", "--name", name]
    starter = subprocess.Popen([*command, "--kwok", "m5.2xlarge:us-east-1a=50"])
    folder = state.home() / name
    until(lambda: "kube-apiserver" in processes.roles(folder), "half started")
    starter.send_signal(signal.SIGKILL)
    starter.wait()

    assert processes.marked(folder)
    remove(name)
    assert [] == processes.marked(folder)
    assert not folder.exists()


def test_an_abandoned_cluster_is_cleared_by_the_next_start(tmp_path: Path) -> None:
    """One that was to be stopped by its owner, who died.

    What it left is counted by the dying process: any start beside this test may clear it first.
    """
    script = (
        "from localcluster import Cluster, processes; import os\n"
        "c = Cluster.start(controller_manager=False)\n"
        "print(c.name, len(processes.marked(c.directory)), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    died = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    name, left = died.stdout.split()
    folder = state.home() / name

    assert died.returncode == -signal.SIGKILL
    assert int(left) >= 2  # etcd and the API server
    with Cluster.start(controller_manager=False):
        assert not folder.exists()
        assert [] == processes.marked(folder)


def test_a_name_in_use_is_refused_and_left_alone(cluster: Cluster) -> None:
    """A second start under the name fails and the first cluster goes on."""
    with pytest.raises(state.ClusterExistsError):
        Cluster.start(cluster.name)

    assert cluster.request("GET", "/readyz") == "ok"


def test_a_warm_start_takes_seconds() -> None:
    """A ready API server in about 3 s once the programs are built; a busy machine takes longer."""
    programs.build()
    began = time.monotonic()
    with Cluster.start() as fresh:
        assert fresh.request("GET", "/readyz") == "ok"
        assert time.monotonic() - began < 20


# ── building ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Go has compiled in the tests before; nothing at first, so that a build takes a while."""
    return tmp_path_factory.mktemp("go")


@pytest.fixture
def builder(tmp_path: Path, compiled: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts `build kind` into an empty cache."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "GOCACHE": str(compiled)}

    def build() -> subprocess.Popen[str]:
        # A shell's background jobs ignore SIGINT, and so would all that they start.
        command = ["env", "--default-signal=INT", sys.executable]
        command += ["-m", "localcluster", "build", "kind"]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return build


def test_an_interrupted_build_leaves_no_half_program(
    builder: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Ctrl-C ends the compilers too; the next build goes on and the program works."""
    first = builder()
    until(lambda: list(tmp_path.glob("**/kind.log")), "the compiler runs")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    programs_there = [path for path in tmp_path.glob("**/kind") if path.is_file()]
    second = builder()
    said = second.communicate(timeout=200)[0]

    assert (first.returncode != 0, programs_there) == (True, [])
    assert "Built 1/1 kind in" in said
    assert second.returncode == 0


def test_two_builders_do_not_collide(builder: Callable[[], subprocess.Popen[str]]) -> None:
    """One builds, the other waits for it and then has nothing to do; both name the program."""
    both = [builder(), builder()]
    said = [each.communicate(timeout=200)[0] for each in both]

    assert [0, 0] == [each.returncode for each in both]
    assert sum("Built 1/1 kind in" in text for text in said) == 1
    paths = {text.split()[-1] for text in said}
    assert len(paths) == 1
    assert subprocess.run([paths.pop(), "version"], check=True, capture_output=True).stdout


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localcluster", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_the_command_line_starts_shows_and_stops() -> None:
    """start, status, kubeconfig, env, stop: each says what the next step needs."""
    name = f"cli-{os.getpid()}"
    try:
        started = _run("start", "--name", name, "--kwok", "m5.large:us-east-1a=1")
        environment = _run("env", "--name", name).stdout
        shell = f"eval '{environment}'; kubectl get nodes -o name"
        nodes = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)

        assert (started.returncode, "https://127.0.0.1:" in started.stdout) == (0, True)
        assert nodes.stdout == "node/m5-large-us-east-1a-1\n"
        assert f"{name}: https://127.0.0.1:" in _run("status").stdout
        path = _run("kubeconfig", "--name", name).stdout.strip()
        assert Path(path).exists()
    finally:
        stopped = _run("stop", "--name", name)
    assert stopped.stdout == f"{name}: stopped\n"
    assert name not in _run("status").stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["start", "--kwok", "m5.huge:us-east-1a=1"], "'m5.huge' is not an EC2 instance type"),
        (["start", "--name", "No!"], "at most 24"),
        (["kubeconfig", "--name", "nobody"], "no cluster named 'nobody'"),
        (["build", "helm5"], "no program 'helm5'"),
    ],
)
def test_a_mistake_is_explained_in_a_line(words: list[str], complaint: str) -> None:
    """No traceback, exit code not 0, nothing started."""
    done = _run(*words)

    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
