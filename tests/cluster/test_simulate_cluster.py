"""`bayplan simulate --cluster`: what a live cluster would hold; only read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.manifests import make_service
from tests.cluster.provisioner import claims, make_claim, make_mounting, make_volume
from tests.cluster.test_longservice import available
from tests.cluster.under_test import ROOT, Site

pytestmark = pytest.mark.cluster


def simulate(kubeconfig: Path, *options: str) -> dict[str, Any]:
    """The command as its own process."""
    done = subprocess.run(
        [sys.executable, "-c", "from bayplan.cli.main import main; main()", "simulate", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "operator"), "PATH": ""},
    )
    assert done.returncode in {0, 1}, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def test_a_node_is_taken_away_in_thought(site: Site, namespace: str) -> None:
    """Nodes and pods are read; without a full node its pods have no room, and nothing moves."""
    [first] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, replicas=2, cpu="700m", pod=pod))
    site.kube.until(read.services(namespace), available(2))
    now = simulate(site.kube.kubeconfig, "--cluster", "-o", "json")
    without = simulate(site.kube.kubeconfig, "--cluster", "--remove-node", first, "-o", "json")
    title = f"LongService {namespace}/web"
    held = {
        one["name"]: sum(part["pods"] for part in one["holds"] if part["workload"] == title)
        for one in now["nodeList"]
    }
    missing = {one["workload"]: one["pods"] for one in without["unplacedWorkloads"]}

    assert 2 == held[first]
    assert 2 == missing[title]
    assert {first} == set(read.running(site.kube.listed(read.pods(namespace))).values())


def test_volumes_of_the_cluster_count(site: Site, namespace: str) -> None:
    """Who waits for another pod's ReadWriteOncePod claim waits in thought too, node or no node."""
    site.nodes("m5.large:us-east-1a=2", pool=namespace)
    kube, volume, sole = site.kube, f"pv-{namespace}", "ReadWriteOncePod"
    kube.create("/api/v1/persistentvolumes", make_volume(volume, namespace, "single", mode=sole))
    kube.create(claims(namespace), make_claim("single", "manual", volume=volume, mode=sole))
    kube.create(read.pods(namespace), make_mounting("first", namespace, "single"))
    kube.until(read.pods(namespace), read.running)
    kube.create(read.pods(namespace), make_mounting("second", namespace, "single"))
    found = simulate(kube.kubeconfig, "--cluster", "-o", "json")
    kube.delete(f"/api/v1/persistentvolumes/{volume}")
    [missing] = [
        one for one in found["unplacedWorkloads"] if one["workload"] == f"Pod {namespace}/second"
    ]

    assert "ReadWriteOncePod claim in use single by pod first" in str(missing)
