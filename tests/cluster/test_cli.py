"""The command line on a live cluster, as kubectl's plugin: real kubectl, real answers."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.cluster import read
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import ROOT, Site
from tests.unit.cli import test_import

pytestmark = pytest.mark.cluster

APP = {
    "id": "/shop/web",
    "cmd": "serve",
    "container": {"docker": {"image": "nginx"}},
    "portDefinitions": [{"port": 8000, "name": "http"}],
    "healthChecks": [{"protocol": "HTTP", "portIndex": 0}],
    "constraints": [["hostname", "UNIQUE"]],
}
REPORT = {"name": "report", "command": "run", "schedule": "R/2026-01-01T00:00:00Z/P1D"}


def bayplan(
    site: Site, folder: Path, *words: str, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`kubectl bayplan …`, the plugin found on the PATH."""
    plugin = folder / "kubectl-bayplan"
    program = "from bayplan.cli.main import main; main()"
    plugin.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{program}' \"$@\"\n")
    plugin.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return subprocess.run(
        ["kubectl", "bayplan", *words],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            "KUBECONFIG": str(site.kube.kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "PATH": path,
        },
    )


def test_why_a_service_waits(site: Site, namespace: str, tmp_path: Path) -> None:
    """`explain` and `plan` say what has no room, end with 1, and leave all as it is."""
    site.nodes("m5.large:us-east-1a=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("big", namespace, replicas=1, cpu="9", pod=pod))
    site.kube.until(read.pods(namespace), bool)
    told = bayplan(site, tmp_path, "explain", "big", "-n", namespace, "-o", "json")
    plan = bayplan(site, tmp_path, "plan", "-n", namespace, "-o", "json")

    assert 1 == told.returncode, told.stderr
    assert 1 == json.loads(told.stdout)["waiting"][0]["pendingTasks"]
    assert 1 == plan.returncode, plan.stderr
    assert 1 == len(site.kube.listed(read.pods(namespace)))


def test_a_run_that_was_asked_for(site: Site, namespace: str, tmp_path: Path) -> None:
    """`run --wait` ends with the run's outcome."""
    site.nodes("m5.large:us-east-1a=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(
        make_job("report", namespace, schedule="@yearly", suspend=True, seconds=1, pod=pod)
    )
    done = bayplan(site, tmp_path, "run", "report", "-n", namespace, "--wait", "-o", "json")

    assert 0 == done.returncode, done.stderr
    assert "Succeeded" == json.loads(done.stdout)["outcome"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("marathon", APP),
        ("marathon", test_import.GROUP),
        ("marathon", test_import.POD),
        ("chronos", REPORT),
    ],
)
def test_what_was_imported_is_accepted(
    site: Site, tmp_path: Path, kind: str, body: dict[str, object]
) -> None:
    """By the API server, in a dry run with strict fields."""
    made = bayplan(site, tmp_path, "import", kind, "-", text=json.dumps(body))
    assert 0 == made.returncode, made.stderr

    site.kube.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=made.stdout)


@pytest.mark.parametrize(
    ("kind", "body", "table"),
    [
        ("marathon", {"id": "/web", **test_import.NAMED}, test_import.APP),
        ("chronos", test_import.JOB, test_import.CHRONOS),
    ],
)
def test_every_imported_field_is_accepted(
    site: Site, kind: str, body: dict[str, object], table: list[tuple[str, object, object, object]]
) -> None:
    """The server takes what became of each field of the originals, in a strict dry run."""
    made = [
        one
        for field, value, _, _ in table
        for one in test_import.imported(kind, {**body, field: value})["manifests"]
    ]
    text = yaml.safe_dump_all(made)
    words = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    taken = site.kube.kubectl(*words, text=text).stdout.splitlines()

    assert len(taken) == len(made) >= len(table)


def test_a_support_bundle(site: Site, namespace: str, tmp_path: Path) -> None:
    """It is written whole though no Deployment is there, and tells so; no argument is in it."""
    site.kube.apply(
        make_job("kept", namespace, schedule="@yearly", container={"args": ["--token=hunter2"]})
    )
    file = tmp_path / "bundle.tar.gz"
    made = bayplan(
        site, tmp_path, "support-bundle", "-n", namespace, "--file", str(file), "-o", "json"
    )
    assert 0 == made.returncode, made.stderr

    with tarfile.open(file) as archive:
        parts = {
            name.partition("/")[2]: archive.extractfile(name).read().decode()  # type: ignore[union-attr]
            for name in archive.getnames()
        }

    assert json.loads(made.stdout)["parts"].keys() == parts.keys()
    assert ["kept"] == [one["metadata"]["name"] for one in json.loads(parts["batchjobs.json"])]
    assert [] == [name for name, text in parts.items() if "hunter2" in text]
    assert [] == json.loads(parts["about.json"])["refused"]
    said = parts["doctor.json"]  # the first as long as an operator leads without a Deployment
    assert "runs outside the cluster" in said or "no Deployment bayplan-system/bayplan" in said
