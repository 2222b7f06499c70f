"""A release's whole life on a cluster that had nothing of ours: by real Helm, under the auditor.

Installed from the previous chart and tried by Helm 3, upgraded and uninstalled amid runs by Helm 4,
installed again by Helm 3. The release's namespace refuses pods that are not `restricted`.
"""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import bayplan
from localcluster import Cluster
from tests.audit.watcher import Watcher
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.release import Kubelet
from tests.cluster.under_test import NAMESPACE, Site
from tests.helm import CHART, ROOT, Helm

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it must find a cluster that never saw Bayplan",
    ),
]

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PREVIOUS = "0.0.9"
IMAGE = f"bayplan/bayplan:{bayplan.__version__}"
TICKS = 2
WAIT = ("--wait", "--timeout=100s")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with room and without any word of Bayplan."""
    with Cluster.start(kwok="m5.xlarge:us-east-1a=2") as local:
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("clean"))


@pytest.fixture
def release(clean: Site) -> Iterator["Release"]:
    """A namespace of the level `restricted`, and somebody who runs what is put there."""
    levels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"metadata": {"name": NAMESPACE, "labels": levels}}
    clean.kube.create("/api/v1/namespaces", body)
    with Kubelet(clean.kube, NAMESPACE, clean.folder) as kubelet:
        yield Release(clean, kubelet)


class Release:
    """The release `bayplan` in the hands of one Helm or the other."""

    def __init__(self, site: Site, kubelet: Kubelet) -> None:
        self.site, self.kube, self.kubelet = site, site.kube, kubelet

    def helm3(self, *words: str | Path) -> None:
        self._run(Helm("helm3"), *words)

    def helm4(self, *words: str | Path) -> None:
        self._run(Helm("helm4"), *words)

    def previous(self) -> Path:
        """The chart as an older version would be: another version, another image."""
        about = ("--version", PREVIOUS, "--app-version", PREVIOUS)
        self.helm3("package", CHART, *about, "--destination", self.site.folder)
        return self.site.folder / f"bayplan-{PREVIOUS}.tgz"

    def _run(self, helm: Helm, *words: str | Path) -> None:
        done = helm.run(
            *words, "--namespace", NAMESPACE, kubeconfig=self.kube.kubeconfig, seconds=120
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.kubelet.logs()[-3000:]}"


def test_a_release_lives_and_leaves(release: Release) -> None:
    """Upgrade and uninstall amid runs lose none and repeat none; instances are never touched."""
    kube = release.kube
    release.helm3("install", "bayplan", release.previous(), *WAIT)
    release.helm3("test", "bayplan", "--timeout=100s")
    namespace = release.site.namespace()
    with Watcher(kube.kubeconfig) as auditor:
        kube.apply(
            make_service(
                "web", namespace, replicas=3, service={"ports": [{"name": "http", "port": 80}]}
            ),
            make_job("long", namespace),
            make_job("ticks", namespace, seconds=1, **ticking()),
        )
        instances = kube.until(read.pods(namespace), lambda found: up(found, "web", 3))
        kube.until(read.pods(namespace), lambda found: up(found, "long", 1))

        release.helm4("upgrade", "bayplan", CHART, *WAIT)

        kube.until(read.pods(NAMESPACE), lambda found: images(found) == {IMAGE})
        # A pod counts as ready as soon as its process has been started.
        replicas = kube.listed(read.pods(NAMESPACE)).keys()
        kube.until(LEASES, lambda found: holder(found) in replicas)
        doctor(kube, namespace)
        finish(kube, namespace, "long")
        kube.until(read.jobs(namespace), lambda found: read.holds(found, "long", "Complete"))
        kube.apply(make_job("amid", namespace, seconds=1))
        kube.apply(make_job("later", namespace))
        kube.until(read.jobs(namespace), lambda found: read.holds(found, "amid", "Complete"))
        kube.until(read.pods(namespace), lambda found: up(found, "later", 1))
        release.helm4("uninstall", "bayplan", *WAIT)

        release.kubelet.until_none_runs()

        assert {"deployments": {}, "finalizers": []} == left(kube, namespace)
        assert {"long", "ticks", "amid", "later"} == kube.listed(read.jobs(namespace)).keys()
        assert instances == up(kube.listed(read.pods(namespace)), "web", 3)

        finish(kube, namespace, "later")
        release.helm3("install", "bayplan", CHART, *WAIT, "--set=replicas=1")
        kube.until(read.jobs(namespace), lambda found: read.holds(found, "later", "Complete"))
        stored = kube.until(read.jobs(namespace), ticked)
        kube.kubectl("scale", "longservice/web", "-n", namespace, "--replicas=4")
        grown = kube.until(read.pods(namespace), lambda found: up(found, "web", 4))

        assert [(1, 0)] * 3 == [counts(stored[name]) for name in ("long", "amid", "later")]
        assert (TICKS, 0) == counts(stored["ticks"])
        assert TICKS == len({one["slotTime"] for one in stored["ticks"]["status"]["history"]})
        assert instances.items() <= grown.items()
        release.helm3("uninstall", "bayplan", *WAIT)
        auditor.check()

    assert "forbidden" not in release.kubelet.logs().lower()


def doctor(kube: Kube, namespace: str) -> None:
    """The command finds nothing to complain of in what the chart installed."""
    program = "from bayplan.cli.main import main; main()"
    words = ["doctor", "-n", namespace, "-o", "json", "--kubeconfig", str(kube.kubeconfig)]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert {"Good"} == {one["verdict"] for one in json.loads(done.stdout)["findings"]}, done.stdout


def holder(found: Objects) -> str:
    """The pod that leads, or did last."""
    return str(found.get("bayplan", {}).get("spec", {}).get("holderIdentity", ""))


def ticking() -> dict[str, Any]:
    """A few slots, as close as they may be, that outlast a release; none may be let pass."""
    start = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)).strftime("%FT%TZ")
    return {
        "schedule": f"R{TICKS}/{start}/PT10S",
        "missedRunPolicy": "RunAll",
        "concurrencyPolicy": "Allow",
        "history": {"successful": TICKS, "failed": TICKS},
    }


def finish(kube: Kube, namespace: str, name: str) -> None:
    """Let the run end that goes on until it is told."""
    [pod] = up(kube.listed(read.pods(namespace)), name, 1)
    note = {"metadata": {"annotations": {"sim.bayplan.dev/duration": "0s"}}}
    kube.patch(f"{read.pods(namespace)}/{pod}", note)


def up(found: Objects, name: str, count: int) -> dict[str, str]:
    """Running pods of a workload, name -> uid, when there are so many."""
    uids = {
        pod: found[pod]["metadata"]["uid"]
        for pod in read.running(found)
        if pod.startswith(f"{name}-")
    }
    return uids if len(uids) == count else {}


def ticked(found: Objects) -> Objects | None:
    return found if counts(found["ticks"])[0] >= TICKS else None


def counts(job: Mapping[str, Any]) -> tuple[int, int]:
    """How many runs succeeded and failed."""
    said = job.get("status", {}).get("statistics", {})
    return said.get("successes", 0), said.get("failures", 0)


def images(found: Objects) -> set[str]:
    return {one["image"] for pod in found.values() for one in pod["spec"]["containers"]}


def left(kube: Kube, namespace: str) -> dict[str, Any]:
    """What of the release is still there."""
    pods = kube.listed(read.pods(namespace)).values()
    return {
        "deployments": dict(kube.listed(DEPLOYMENTS)),
        "finalizers": [one for pod in pods for one in pod["metadata"].get("finalizers", ())],
    }
