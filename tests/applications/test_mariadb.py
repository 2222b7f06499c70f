"""examples/mariadb on real nodes: what is committed stays, and one server has the data at a time.

M1: there are never two servers on one data directory.
M2: every row whose commit was confirmed is there afterwards.
M3: a drain of the node that has the only volume moves nothing, and the reason is shown.
"""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.applications.conftest import site_of
from tests.applications.machine import marks
from tests.applications.mariadb import Ledger, MariaDB
from tests.applications.storage import HOSTNAME, ZONE
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.test_longservice import available
from tests.cluster.under_test import REAL_LEASE, Site
from tests.kubelet.test_operator import bayplan, finished

pytestmark = marks("mariadb")

WITHIN = 120
POD = "mariadb-0"


SILENCE = {"unreachable": {"replaceAfterSeconds": 10}}


@contextlib.contextmanager
def committing(
    site: Site, namespace: str, folder: Path, label: str, value: str, **spec: Any
) -> Iterator[Ledger]:
    """A server whose rows are counted; M1 and M2 are held when the block ends."""
    nodes = site.kube.listed("/api/v1/nodes").values()
    addresses = [one["status"]["addresses"][0]["address"] for one in nodes]
    database = MariaDB(site.kube, namespace, folder, addresses)
    database.prepare(label, value)
    manifest = database.manifest()
    manifest["spec"] |= spec
    site.kube.apply(manifest)
    site.kube.until(read.services(namespace), available(1, "mariadb"), within=WITHIN)
    with Ledger(database).kept() as ledger:
        ledger.until(10)
        yield ledger
        ledger.until(10, within=WITHIN)
        lost = ledger.missing()
    site.kube.kubectl("delete", "longservices", "--all", "-n", namespace)
    site.kube.until(read.pods(namespace), lambda found: POD not in found, within=WITHIN)
    figures = {
        "committed": len(ledger.committed),
        "failed": ledger.failed,
        "lost": len(lost),
        "mostServers": ledger.most_servers,
        "looks": ledger.looks,
        "longestPauseSeconds": round(ledger.longest_pause(), 1),
    }
    print(f"mariadb: {json.dumps(figures)}")

    assert set() == lost
    assert 1 == ledger.most_servers
    assert [] == database.quarrels()


def uid(found: Objects) -> str:
    return str(found.get(POD, {}).get("metadata", {}).get("uid", ""))


def restarts(pod: Any) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))


def until_new(site: Site, namespace: str, before: str) -> str:
    """Wait for another pod that is ready; the node that it is on."""
    node: str = site.kube.until(
        read.pods(namespace),
        lambda found: uid(found) != before and read.running(found).get(POD),
        within=WITHIN,
    )
    return node


def test_an_update_a_crash_and_a_drain_keep_every_row(
    site: Site, namespace: str, tmp_path: Path
) -> None:
    """The volume is on one node: drained, it keeps its server, and everybody is told why."""
    kube, pods = site.kube, read.pods(namespace)
    here = "kubelet-2"
    with committing(site, namespace, tmp_path, HOSTNAME, here) as ledger:
        first = uid(kube.listed(pods))
        assert 0 == bayplan(site, "restart", "mariadb", "-n", namespace).returncode
        assert here == until_new(site, namespace, first)
        ledger.until(10, within=WITHIN)
        [server] = ledger.database.servers()
        os.kill(server, signal.SIGKILL)
        kube.until(pods, lambda found: restarts(found[POD]) == 1, within=WITHIN)
        ledger.until(10, within=WITHIN)
        second = uid(kube.listed(pods))
        try:
            drained = bayplan(site, "drain", here, "--seconds", "50", "--move-seconds", "5",
                              "--run-seconds", "5")  # fmt: skip
            ledger.until(10, within=WITHIN)
            after = uid(kube.listed(pods))
        finally:
            kube.kubectl("uncordon", here)

    assert second == after != first
    assert 1 == drained.returncode
    assert (
        f"pod {namespace}/{POD} stays: the volume of its claim data-mariadb-0 exists on this node"
        in drained.stdout
    )


ORDERS = """
CREATE TABLE orders (id INT PRIMARY KEY, day DATE, item VARCHAR(20), cents INT);
INSERT INTO orders SELECT seq, DATE('2026-11-30'), IF(seq % 3, 'book', 'map'), seq
FROM seq_1_to_3000;
"""


def test_the_nightly_dump_reports_what_is_stored(
    site: Site, namespace: str, tmp_path: Path
) -> None:
    """Extract, load, index and report, each after its parent, once; the sums are those stored."""
    kube = site.kube
    with committing(site, namespace, tmp_path, HOSTNAME, "kubelet-1") as ledger:
        database = ledger.database
        assert database.says(ORDERS) == ""
        kube.apply(*database.nightly())
        kube.until(
            read.jobs(namespace), lambda found: read.holds(found, "dump-extract", "Ready") or None
        )
        assert 0 == bayplan(site, "run", "dump-extract", "-n", namespace).returncode
        run = kube.until(read.jobs(namespace), finished("dump-report"), within=WITHIN)
        told = bayplan(site, "logs", "dump-report", "-n", namespace).stdout
        indexes = database.says("SHOW INDEX FROM warehouse.orders") or ""
        runs = {
            name: [one["outcome"] for one in job["status"]["history"]]
            for name, job in kube.listed(read.jobs(namespace)).items()
        }

    assert "Succeeded" == run["outcome"]
    assert ["book\t2000\t3000000", "map\t1000\t1501500"] == [
        line for line in told.splitlines() if "\t" in line
    ]
    assert {"by_item", "by_day"} <= set(indexes.split())
    assert {
        f"dump-{step}": ["Succeeded"] for step in ("extract", "load", "index", "report")
    } == runs


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two nodes of zone a and one of each other zone; their nodes may be lost."""
    with site_of(4, tmp_path_factory.mktemp("mariadb")) as site, site.operator(*REAL_LEASE):
        yield site


@pytest.mark.weekly
def test_a_silent_node_keeps_the_only_server(own_site: Site, tmp_path: Path) -> None:
    """It goes on to serve; there is no second server until the first has really ended.

    Then the node is lost, and a person who knows it deletes it: the other node of the zone goes on.
    """
    kube, local, namespace = own_site.kube, own_site.local, own_site.namespace()
    assert local is not None
    pods = read.pods(namespace)
    with committing(own_site, namespace, tmp_path, ZONE, "us-east-1a", **SILENCE) as ledger:
        first = kube.listed(pods)
        silent = read.running(first)[POD]
        local.stop_kubelet(silent)
        try:
            told = kube.until(
                read.services(namespace),
                lambda found: (
                    (ready := read.condition(found["mariadb"], "Ready")).get("reason")
                    == "PredecessorThere"
                    and ready["message"]
                ),
                within=WITHIN,
            )
            ledger.until(20)
            meanwhile = kube.listed(pods)
        finally:
            local.start_kubelet(silent)
        back = until_new(own_site, namespace, uid(first))
        ledger.until(10, within=WITHIN)
        second = uid(kube.listed(pods))
        local.lose_node(back)
        kube.until(
            "/api/v1/nodes",
            lambda found: read.condition(found[back], "Ready")["status"] != "True",
            within=60,
        )
        local.delete_node(back)
        last = until_new(own_site, namespace, second)

    assert uid(first) == uid(meanwhile)
    assert f"its pod on node {silent}, which does not answer" in told
    assert {back, last} == {"kubelet-1", "kubelet-4"}


@pytest.mark.weekly
def test_a_node_that_is_switched_off_and_on_keeps_every_row(own_site: Site, tmp_path: Path) -> None:
    """The server recovers what was committed, as the only one on its data."""
    local, namespace = own_site.local, own_site.namespace()
    assert local is not None
    with committing(own_site, namespace, tmp_path, HOSTNAME, "kubelet-2", **SILENCE) as ledger:
        before = len(ledger.committed)
        local.lose_node("kubelet-2")
        own_site.kube.until(
            "/api/v1/nodes",
            lambda found: read.condition(found["kubelet-2"], "Ready")["status"] != "True",
            within=60,
        )
        assert ledger.database.servers() == []
        local.boot_node("kubelet-2")
        ledger.until(20, within=WITHIN)

    assert before
