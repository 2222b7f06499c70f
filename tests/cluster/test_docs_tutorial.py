"""The tutorial, step by step: its manifests written to the files it names, its commands run.

On a cluster of its own with three fake workers in two zones. What Helm and kind do in it is tried
by tests/cluster/test_helm.py and in CI. Fake nodes have no logs, and end a run when its pod says
so; tests/cluster/test_demo.py follows the page on real ones.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcluster import Cluster
from tests.cluster.kube import Kube
from tests.cluster.test_cli import bayplan
from tests.cluster.under_test import REAL_LEASE, Site
from tests.unit.test_docs import ROOT

pytestmark = pytest.mark.cluster

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_STEP = re.compile(r"^```(yaml|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
APART = ("kind ", "helm ", "docker ")
WAITS = {"bayplan explain job/big -n default": 1}  # it says with 1 that something waits


def steps(*apart: str, **notes: str) -> Iterator[tuple[str, str]]:
    """In the order of the page: (file of a manifest, its text) or (empty, a command).

    Without commands that begin as `apart` says; runs get the annotations `notes`.
    """
    for found in _STEP.finditer(PAGE):
        if found[1] == "yaml":
            body = yaml.safe_load(found[2])
            if body["kind"] == "BatchJob" and notes:
                body["spec"]["template"]["metadata"] = {"annotations": notes}
            yield f"{body['metadata']['name']}.yaml", yaml.safe_dump(body)
            continue
        for line in found[2].splitlines():
            if not line.startswith(apart):
                yield "", line


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Site]:
    three = "m5.large:us-east-1a=2,m5.large:us-east-1b=1"
    with Cluster.start(kwok=three) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path).prepare()
        with site.operator(*REAL_LEASE):
            yield site


def test_the_tutorial(workers: Site, tmp_path: Path) -> None:
    """Each command ends as it should, and the last ones tell what the page says they tell."""
    said: dict[str, str] = {}
    for file, text in steps(*APART, "bayplan logs ", **{"sim.bayplan.dev/duration": "1s"}):
        if file:
            (tmp_path / file).write_text(text)
            continue
        program, *words = shlex.split(text)
        if program == "bayplan":
            done = bayplan(workers, tmp_path, *words)
        else:
            assert "kubectl" == program, text
            done = workers.kube.kubectl(*words, check=False, folder=tmp_path)
        assert WAITS.get(text, 0) == done.returncode, f"{text}: {done.stdout}{done.stderr}"
        said[text] = done.stdout
    [told] = [text for command, text in said.items() if command.startswith("kubectl get batchjob ")]

    assert 10 <= len(said)
    assert "report" in said["kubectl get batchjobs"]
    assert "Succeeded" in said["bayplan run report --wait -n default"]
    assert told.startswith("0/3 nodes: 3 ")
