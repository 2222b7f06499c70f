"""One cluster of three real nodes with an operator, for all tests of applications.

Tests that need another number of nodes, or that end the operator, start their own (`site_of`).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.under_test import REAL_LEASE, OperatorProcess, Site, definitions

NODES = 3


@contextlib.contextmanager
def site_of(nodes: int, folder: Path) -> Iterator[Site]:
    """A cluster of so many real nodes, prepared for an operator; silence is noticed in 8 s."""
    with Cluster.start(
        kubelets=nodes, node_monitor_grace_seconds=8, definitions=definitions()
    ) as local:
        yield Site(Kube(local.kubeconfig), local, folder).prepare()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_of(NODES, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def operator(site: Site) -> Iterator[OperatorProcess]:
    """An operator that every test may use and none may stop."""
    with site.operator(*REAL_LEASE) as running:
        yield running
        assert running.running, f"the operator ended by itself:\n{running.log()[-4000:]}"


@pytest.fixture
def namespace(site: Site, operator: OperatorProcess) -> Iterator[str]:
    """A namespace whose pods have left the nodes when the test is over."""
    name = site.namespace()
    yield name
    for kind in ("batchjobs", "longservices"):
        site.kube.kubectl("delete", kind, "--all", "-n", name, "--timeout=90s")
    site.kube.kubectl("delete", "pods", "--all", "-n", name, "--wait=false")
    site.kube.until(read.pods(name), lambda found: not found, within=90)
