"""`bayplan drain` on a real API server: services miss nobody, runs end, budgets hold."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import SLEEPER, make_job, make_service
from tests.cluster.test_longservice_rollouts import Counts, is_ready
from tests.cluster.under_test import ROOT, Site

pytestmark = pytest.mark.cluster


def drain(kubeconfig: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as its own process, as a person calls it."""
    return subprocess.run(
        [sys.executable, "-c", "from bayplan.cli.main import main; main()", "drain", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator"), "PATH": ""},
    )


def test_a_node_is_emptied_and_nobody_is_missed(site: Site, namespace: str) -> None:
    """Strict: four ready at every moment; the run ends by itself; nothing had to be evicted."""
    pool = {"nodeSelector": {"pool": namespace}}
    [node] = site.nodes("m5.xlarge:us-east-1a=1", pool=namespace)
    strict = {"disruptionBudget": "Strict", "ready_delay": "1s"}
    site.kube.apply(make_service("web", namespace, replicas=4, pod=pool, **strict))
    site.kube.until(read.services(namespace), lambda found: is_ready(found, 4))
    site.nodes("m5.xlarge:us-east-1b=1", pool=namespace)
    here = {"nodeSelector": {"kubernetes.io/hostname": node}}
    # Long enough to be there still when the drain's process has started on a busy machine.
    site.kube.apply(make_job("report", namespace, seconds=20, pod=here))
    site.kube.until(
        read.pods(namespace),
        lambda found: any(name.startswith("report-") for name in read.running(found)),
    )
    counts = Counts()

    def moved(found: Objects) -> bool:
        web = {name: one for name, one in found.items() if name.startswith("web-")}
        counts.add(web)
        return all(one["spec"].get("nodeName") != node for one in web.values())

    with ThreadPoolExecutor(1) as aside:
        words = (node, "--seconds", "90", "--run-seconds", "60", "--move-seconds", "60")
        drained = aside.submit(drain, site.kube.kubeconfig, *words, "-o", "json")
        site.kube.until(read.pods(namespace), moved, within=90)
        done = drained.result()
    told: dict[str, Any] = json.loads(done.stdout)

    assert (0, True, "bayplan.dev/drain/v1") == (done.returncode, told["empty"], told["schema"])
    assert (4, 1, 0) == (told["instancesMoved"], told["runsFinished"], told["evicted"])
    assert 4 == min(counts.ready)
    assert site.kube.get(f"/api/v1/nodes/{node}")["spec"]["unschedulable"]


def test_a_budget_that_never_allows_is_told(site: Site, namespace: str) -> None:
    """Somebody else's pod under a spent budget stays; the answer names it; exit code 1."""
    [node] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    labels = {"app": "db"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "controller": True}
    owner["uid"] = site.kube.get(f"/api/v1/nodes/{node}")["metadata"]["uid"]
    about = {"name": "db", "labels": labels, "ownerReferences": [owner]}
    site.kube.create(
        read.pods(namespace),
        {"metadata": about, "spec": {"containers": [SLEEPER], "nodeName": node}},
    )
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    site.kube.create(
        budgets,
        {
            "metadata": {"name": "db"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
    )
    site.kube.until(read.pods(namespace), lambda found: "db" in read.running(found))
    site.kube.until(budgets, lambda found: found["db"].get("status", {}).get("currentHealthy"))
    words = ("--seconds", "3", "--run-seconds", "1", "--move-seconds", "1")
    done = drain(site.kube.kubeconfig, node, *words)

    assert 1 == done.returncode, done.stderr
    assert f"pod {namespace}/db is not evicted: Cannot evict pod" in done.stdout
    assert {"db"} == set(read.running(site.kube.listed(read.pods(namespace))))


def test_no_such_node_is_one_line(site: Site) -> None:
    """The server's own sentence and exit code 3; wrong usage is 2."""
    unknown = drain(site.kube.kubeconfig, "nowhere")
    hasty = drain(site.kube.kubeconfig, "nowhere", "--seconds", "5")

    assert (3, 'Error: nodes "nowhere" not found\n') == (unknown.returncode, unknown.stderr)
    assert 2 == hasty.returncode
    assert "--move-seconds 300 is longer than --seconds 5: raise --seconds" in hasty.stderr
