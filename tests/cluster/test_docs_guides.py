"""Commands of the guides, typed into a shell as the pages have them, in their order.

On a cluster of its own with fake workers. Names that a page invents stand for what is there: its
run for one of ours, its node for a worker. Not here: `bayplan logs` (fake nodes have none; see
tests/kubelet), Helm's (tests/cluster/test_helm.py), kind's and those that ask a Marathon.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import REAL_LEASE, Site
from tests.unit.cli import test_import
from tests.unit.test_docs import ROOT, blocks

pytestmark = pytest.mark.cluster

POOL = {
    "apiVersion": "bayplan.dev/v1alpha1",
    "kind": "Pool",
    "metadata": {"name": "batch"},
    "spec": {},
}
NODES = "/api/v1/nodes"
JOBS, SERVICES = read.jobs("default"), read.services("default")
_APART = ("bayplan logs ", "curl ", "docker ", "helm ", "kind ", "mariadb-dump ", "pipx ")
AT_REST = {"RolledOut", "StepReached"}
_MANUAL = {"steps": [{"percent": 50, "manual": True}]}


class Reader:
    """Somebody with a shell who follows a page."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.kube, self._folder = site.kube, folder
        for name in ("examples", "charts", "crds"):
            (folder / name).symlink_to(ROOT / name)
        program = folder / "bayplan"
        main = "from bayplan.cli.main import main; main()"
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{main}' \"$@\"\n")
        program.chmod(0o755)

    def write(self, name: str, value: object) -> None:
        (self._folder / name).write_text(json.dumps(value))

    def types(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self._folder,
            env={
                "KUBECONFIG": str(self.kube.kubeconfig),
                "PYTHONPATH": str(ROOT / "operator"),
                "PATH": os.pathsep.join([str(self._folder), os.environ["PATH"]]),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def follows(self, page: str, prepared: dict[str, Callable[[], str]], **ends: int) -> list[str]:
        """Each line ends with 0, or as `ends` says of its first words; what has been typed.

        `prepared` is done before the first line that begins so; what it returns is typed instead
        of the word that the page invents, the last one of the beginning.
        """
        typed = []
        codes = {words.replace("_", " "): code for words, code in ends.items()}
        for where, text in blocks("sh"):
            if not where.startswith(f"{page} "):
                continue
            for line in text.splitlines():
                if line.startswith(_APART):
                    continue
                for start in [one for one in prepared if line.startswith(one)]:
                    *_, invented = start.split()
                    line = line.replace(invented, prepared.pop(start)() or invented)  # noqa: PLW2901
                done = self.types(line)
                code = next((codes[one] for one in codes if line.startswith(one)), 0)
                assert code == done.returncode, f"{line}\n{done.stdout}{done.stderr}"
                typed.append(line)
        assert {} == prepared
        return typed


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    tmp_path = tmp_path_factory.mktemp("reader")
    with Cluster.start(kwok="m5.large:us-east-1a=2,m5.large:us-east-1b=2") as local:
        (tmp_path / "operator").mkdir()
        site = Site(Kube(local.kubeconfig), local, tmp_path / "operator").prepare()
        with site.operator(*REAL_LEASE):
            yield Reader(site, tmp_path)


def nightly(**spec: Any) -> dict[str, Any]:
    return make_job("nightly", "default", schedule="0 2 * * *", **{"seconds": 1, **spec})


def test_everyday_tasks(reader: Reader) -> None:
    """docs/guide/tasks.md, with a job whose run fails and a service in its third template."""
    kube = reader.kube
    kube.apply(nightly(code=1, retryPolicy={"limit": 0}), make_service("web", "default"), POOL)

    def history() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = kube.listed(JOBS)["nightly"]["status"].get("history", [])
        return found

    def failed() -> str:
        kube.until(JOBS, lambda found: found["nightly"].get("status", {}).get("history"))
        return ""

    def running() -> str:
        # One that was asked for, its retry, a backfill of seven; perhaps one at two o'clock.
        kube.until(
            JOBS, lambda found: found["nightly"]["status"]["statistics"]["runs"] >= 9, within=180
        )
        kube.apply(nightly(seconds=600))
        reader.types("bayplan run nightly")
        active = kube.until(JOBS, lambda found: found["nightly"]["status"].get("active"))
        return str(active[0]["run"])

    def ended() -> str:
        kube.until(JOBS, lambda found: not found["nightly"]["status"].get("active"))
        return str(next(one["run"] for one in history() if one["outcome"] == "Failed"))

    def rolled_out(cpu: str, replicas: int = 1) -> None:
        kube.apply(make_service("web", "default", cpu=cpu, replicas=replicas))
        kube.until(
            SERVICES,
            lambda found: (
                read.holds(found, "web", "Ready")
                and read.condition(found["web"], "Progressing").get("reason") == "RolledOut"
            ),
        )

    def changed() -> str:
        rolled_out("100m")
        rolled_out("101m")
        return ""

    def waiting() -> str:
        rolled_out("101m", 4)
        kube.apply(make_service("web", "default", cpu="102m", replicas=4, updateStrategy=_MANUAL))
        kube.until(
            SERVICES,
            lambda found: read.condition(found["web"], "Progressing")["reason"] == "StepReached",
        )
        return ""

    def scaled() -> str:
        # The restart stops at the step of its update strategy, or has not begun yet.
        kube.until(
            SERVICES,
            lambda found: (
                read.holds(found, "web", "Available")
                and found["web"]["status"]["availableReplicas"] == 10
                and read.condition(found["web"], "Progressing")["reason"] in AT_REST
            ),
        )
        return ""

    typed = reader.follows(
        "docs/guide/tasks.md",
        {
            "bayplan retry nightly": failed,
            "bayplan cancel nightly s1abc": running,
            "bayplan mark-success nightly s1abc": ended,
            "bayplan rollout status web": changed,
            "bayplan rollout promote web": waiting,
            "bayplan explain web": scaled,
            "bayplan explain node ip-10-0-3-7.ec2.internal": lambda: min(kube.listed(NODES)),
        },
        bayplan_explain_nightly=1,  # its last run was cancelled
        bayplan_explain_pool=1,  # this operator serves no Pools
    )

    assert len(typed) > 20
    assert "Cancelled" in {one["outcome"] for one in history()}


def test_a_node_is_emptied(reader: Reader) -> None:
    """docs/guide/drain.md."""
    kube = reader.kube
    kube.apply(make_service("web", "default", replicas=2))
    kube.until(SERVICES, lambda found: read.holds(found, "web", "Ready"))

    node = min(read.running(kube.listed(read.pods("default"))).values())
    start = "bayplan drain ip-10-0-3-7.ec2.internal"

    assert [f"bayplan drain {node}"] == reader.follows("docs/guide/drain.md", {start: lambda: node})
    kube.kubectl("uncordon", node)  # other pages need its room


@pytest.mark.parametrize(
    ("page", "file", "body"),
    [
        ("docs/migrate/chronos.md", "jobs.json", [test_import.JOB]),
        ("docs/migrate/marathon.md", "groups.json", test_import.GROUP),
    ],
)
def test_one_moves_here(reader: Reader, page: str, file: str, body: object) -> None:
    """What the original would have answered is in the file that the page's first line writes."""
    reader.write(file, body)

    assert 4 == len(reader.follows(page, {}))


def test_a_company_moves_in_a_day(reader: Reader) -> None:
    """docs/migrate/day.md; a volume for the database is there, as no EBS is here to make it."""
    kube = reader.kube
    shop = {"namespace": "shop", "name": "volume-0-data-mariadb-0"}

    def volume() -> str:
        spec = {
            "capacity": {"storage": "150Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "gp3",
            "claimRef": shop,
            "hostPath": {"path": "/volumes/mariadb"},
        }
        kube.create("/api/v1/persistentvolumes", {"metadata": {"name": "ebs"}, "spec": spec})
        return ""

    def known() -> str:
        # The command says how far the update is once the operator has seen the service.
        kube.until(read.services("shop"), lambda found: found["data-mariadb"].get("status"))
        return ""

    def restarted() -> str:
        told = read.services("shop")
        kube.until(told, lambda found: read.holds(found, "shop-checkout", "Ready"), within=90)
        return ""

    typed = reader.follows(
        "docs/migrate/day.md",
        {
            "kubectl apply -f services.yaml": volume,
            "bayplan rollout status data-mariadb": known,
            "kubectl get longservices,ingresses,services": restarted,
        },
    )
    services = kube.listed(read.services("shop"))
    runs = kube.listed(read.jobs("shop"))["extract"]["status"]

    assert 29 == len(typed)
    assert {"data-mariadb", "shop-checkout", "shop-feed"} == {
        name for name in services if read.holds(services, name, "Ready")
    }
    assert runs.get("active") or runs.get("history")
    assert {"name": "shop-checkout", "port": {"name": "http"}} == kube.listed(
        "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
    )["shop-checkout"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]


def test_the_other_pages(reader: Reader) -> None:
    """What would it cost, where is everything, a copy of it."""
    reader.kube.apply(make_service("web", "default"))
    reader.kube.until(SERVICES, lambda found: read.holds(found, "web", "Ready"))
    pages = ("docs/guide/simulate.md", "docs/operate/install.md", "README.md")

    assert [7, 1, 3] == [len(reader.follows(page, {})) for page in pages]
