"""The operator on real kubelets: containers run, end, run out of memory, are refused and lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import Cluster, image, kubelets
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import REAL_LEASE, ROOT, OperatorProcess, Site, definitions

pytestmark = [
    pytest.mark.kubelet,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(kubelets.missing()),
        reason=f"needs root and {kubelets.missing() or 'nothing else'}",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two real nodes of two CPUs; a silent one is noticed after 8 s."""
    with Cluster.start(
        kubelets=2, node_monitor_grace_seconds=8, definitions=definitions()
    ) as local:
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("site")).prepare()


@pytest.fixture(scope="module")
def operator(site: Site) -> Iterator[OperatorProcess]:
    with site.operator(*REAL_LEASE) as running:
        yield running
        assert running.running, f"the operator ended by itself:\n{running.log()[-4000:]}"


@pytest.fixture
def namespace(site: Site, operator: OperatorProcess) -> Iterator[str]:
    """A namespace whose pods have left the nodes when the test is over."""
    name = site.namespace()
    yield name
    for kind in ("batchjobs", "longservices"):
        site.kube.kubectl("delete", kind, "--all", "-n", name, "--timeout=60s")
    site.kube.until(read.pods(name), lambda found: not found, within=60)


def shell(script: str, **more: Any) -> dict[str, Any]:
    """What a template's container needs to run a script with the image the nodes have.

    The first process of a container ignores SIGTERM unless it says otherwise.
    """
    return {"image": image.NAME, "command": ["sh", "-c", f"trap exit TERM; {script}"], **more}


def finished(name: str) -> Any:
    """A question for `until`: the job's last run."""

    def met(found: Objects) -> Any:
        history = found.get(name, {}).get("status", {}).get("history")
        return history[-1] if history else None

    return met


def test_an_exit_code_is_kept(site: Site, namespace: str) -> None:
    """A container's own exit code is in the history, with its node."""
    once = {"limit": 0}
    site.kube.apply(make_job("bad", namespace, container=shell("exit 7"), retryPolicy=once))
    run = site.kube.until(read.jobs(namespace), finished("bad"), within=60)

    assert ("Failed", 7, "Error") == (run["outcome"], run["exitCode"], run["reason"])
    assert run["node"].startswith("kubelet-")


def test_logs_are_readable_and_the_run_knows_itself(site: Site, namespace: str) -> None:
    """`kubectl logs` of a finished run works; the run's variables say which it is."""
    script = "echo job=$BAYPLAN_JOB attempt=$BAYPLAN_ATTEMPT run=$BAYPLAN_RUN"
    site.kube.apply(make_job("talk", namespace, container=shell(script)))
    run = site.kube.until(read.jobs(namespace), finished("talk"), within=60)
    [pod] = site.kube.listed(read.pods(namespace))
    said = site.kube.kubectl("logs", pod, "-n", namespace).stdout

    assert f"job=talk attempt=0 run={run['run']}\n" == said


def bayplan(at: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bayplan.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            "KUBECONFIG": str(at.kube.kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
        },
    )


def test_logs_of_a_failed_attempt_outlive_it(site: Site, namespace: str) -> None:
    """`bayplan logs` prints each attempt of a run, also when the last one has succeeded."""
    script = 'echo attempt=$BAYPLAN_ATTEMPT; test "$BAYPLAN_ATTEMPT" = 1'
    again = {"limit": 1, "delaySeconds": 1}
    site.kube.apply(make_job("flaky", namespace, container=shell(script), retryPolicy=again))
    run = site.kube.until(read.jobs(namespace), finished("flaky"), within=60)
    done = bayplan(site, "logs", "flaky", "-n", namespace)

    assert ("Succeeded", 2) == (run["outcome"], run["attempts"])
    assert (0, "attempt=0\nattempt=1\n") == (done.returncode, done.stdout), done.stderr


def test_out_of_memory_is_told(site: Site, namespace: str) -> None:
    """A container beyond its memory limit is OOMKilled, and the history says so."""
    hungry = shell("x=a; while :; do x=$x$x; done")
    site.kube.apply(
        make_job("hungry", namespace, container=hungry, memory="32Mi", retryPolicy={"limit": 0})
    )
    run = site.kube.until(read.jobs(namespace), finished("hungry"), within=60)

    assert ("Failed", "OOMKilled") == (run["outcome"], run["reason"])


def test_a_refusing_kubelet_is_avoided(site: Site, namespace: str) -> None:
    """A pod that the kubelet refuses (OutOfcpu) runs elsewhere, at no cost to its retries.

    A pod from a file, of which the API server knows nothing, has taken the room meanwhile.
    """
    assert site.local is not None
    here = {"nodeSelector": {"kubernetes.io/hostname": "kubelet-1"}}
    rest = shell("sleep 600 & wait", resources={"requests": {"cpu": "1500m"}})
    secret = {"name": "secret", "namespace": "nowhere"}
    spec = {"containers": [{"name": "main", **rest}]}
    path = site.local.static_pod("kubelet-1", {"metadata": secret, "spec": spec})
    try:
        site.until_node_has("kubelet-1", "secret-kubelet-1")
        # A node in use is preferred to an empty one.
        site.kube.apply(
            make_service(
                "bait", namespace, replicas=1, pod=here, container=shell("sleep 600 & wait")
            )
        )
        site.kube.until(read.services(namespace), available(1, "bait"), within=60)
        job = make_job(
            "refused", namespace, cpu="900m", container=shell("true"), retryPolicy={"limit": 0}
        )
        site.kube.apply(job)
        refused = site.kube.until(
            read.pods(namespace),
            lambda found: [
                one for one in found.values() if one["status"].get("reason") == "OutOfcpu"
            ],
            within=60,
        )
        run = site.kube.until(read.jobs(namespace), finished("refused"), within=90)
    finally:
        path.unlink()

    assert ["kubelet-1"] == [one["spec"]["nodeName"] for one in refused]
    assert ("Succeeded", "kubelet-2") == (run["outcome"], run["node"])


HTTP = {
    "ports": [{"containerPort": 8080}],
    "readinessProbe": {
        "httpGet": {"path": "/index.html", "port": 8080},
        "periodSeconds": 1,
        "timeoutSeconds": 5,  # a busy machine answers late
        "failureThreshold": 1,
    },
}


def served(text: str) -> dict[str, Any]:
    """An HTTP server that becomes ready two seconds after its start."""
    script = f"mkdir /w; cd /w; (sleep 2; echo {text} > index.html) & httpd -f -p 8080 & wait"
    return shell(script, **HTTP)


def test_a_rollout_waits_for_probes(site: Site, namespace: str) -> None:
    """An update goes on only when the new instance's readiness probe succeeds."""
    site.kube.apply(make_service("web", namespace, replicas=3, container=served("one")))
    site.kube.until(read.services(namespace), available(3), within=60)
    before = set(site.kube.listed(read.pods(namespace)))
    ready: list[int] = []

    def replaced(found: Objects) -> bool:
        ready.append(len(read.running(found)))
        return not before & found.keys() and ready[-1] == 3

    site.kube.apply(make_service("web", namespace, replicas=3, container=served("two")))
    site.kube.until(read.pods(namespace), replaced, within=120)

    assert 3 <= min(ready)


def test_a_lost_node_loses_nothing(site: Site, namespace: str) -> None:
    """Instances of a silent node are replaced on the other; when it returns the surplus goes."""
    assert site.local is not None
    site.kube.apply(
        make_service(
            "web",
            namespace,
            replicas=2,
            container=served("one"),
            unreachable={"replaceAfterSeconds": 5},
        )
    )
    site.kube.until(read.services(namespace), available(2), within=60)
    pods = site.kube.listed(read.pods(namespace))
    lost = next(pod["spec"]["nodeName"] for pod in pods.values())
    other = "kubelet-2" if lost == "kubelet-1" else "kubelet-1"
    site.local.stop_kubelet(lost)
    try:
        site.kube.until(
            read.pods(namespace),
            lambda found: list(read.running(found).values()).count(other) == 2,
            within=90,
        )
    finally:
        site.local.start_kubelet(lost)
    left = site.kube.until(
        read.pods(namespace),
        lambda found: len(found) == 2 and len(read.running(found)) == 2 and found,
        within=120,
    )

    assert 2 == len(left)
