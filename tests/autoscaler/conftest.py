"""A cluster in which Karpenter core buys and sells fake nodes, and an operator that fills them."""

from collections.abc import Iterator

import pytest

from localcluster import Cluster
from tests.audit.fixtures import audited, auditor  # noqa: F401  taken in for `shop`
from tests.audit.watcher import Watcher
from tests.autoscaler.shop import TYPES, ZONES, Shop
from tests.cluster.kube import Kube
from tests.cluster.under_test import REAL_LEASE, OperatorProcess, Site

# Nodes that Karpenter buys have no lease, so nobody may wait for one.
_NO_LEASES = {
    "node_monitor_grace_seconds": 36_000,
    "controller_manager_flags": ["--node-monitor-period=5s"],
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Cluster.start(**_NO_LEASES) as local:
        local.start_karpenter(TYPES, ZONES)
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("site")).prepare()


@pytest.fixture(scope="session")
def operator(site: Site) -> Iterator[OperatorProcess]:
    with site.operator(*REAL_LEASE) as running:
        yield running
        assert running.running, f"the operator ended by itself:\n{running.log()[-4000:]}"


@pytest.fixture
def shop(site: Site, operator: OperatorProcess, audited: Watcher) -> Iterator[Shop]:  # noqa: F811
    """A NodePool of the test's own, whose nodes are gone when the test is over."""
    with Shop(site) as opened:
        yield opened
