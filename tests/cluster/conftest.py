"""The cluster under test and the operator under test, for every test that needs a real API server.

Which cluster: BAYPLAN_TEST_KUBECONFIG, else kind where BAYPLAN_TEST_CLUSTER=kind says so (it needs
Docker), else localcluster. The operator runs outside the cluster, as its own process, under the
role that the chart gives it and nothing more.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import Cluster
from tests.audit.fixtures import audited, auditor  # noqa: F401  taken in for `namespace`
from tests.audit.watcher import Watcher
from tests.cluster.kube import Kube
from tests.cluster.under_test import REAL_LEASE, OperatorProcess, Site, definitions, kind_cluster


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with the CRDs and the operator's rights, and no operator yet."""
    folder = tmp_path_factory.mktemp("site")
    given = os.environ.get("BAYPLAN_TEST_KUBECONFIG")
    if given:
        with contextlib.closing(Site(Kube(Path(given)), None, folder).prepare()) as site:
            yield site
    elif os.environ.get("BAYPLAN_TEST_CLUSTER") == "kind":
        with (
            kind_cluster(folder) as kubeconfig,
            contextlib.closing(Site(Kube(kubeconfig), None, folder).prepare()) as site,
        ):
            yield site
    else:
        with Cluster.start(node_monitor_grace_seconds=8, definitions=definitions()) as local:
            yield Site(Kube(local.kubeconfig), local, folder).prepare()


@pytest.fixture(scope="session")
def operator(site: Site) -> Iterator[OperatorProcess]:
    """An operator that every test may use and none may stop; a test that kills starts its own.

    Its lease has the times of a real installation: nobody waits for it to be taken over.
    """
    with site.operator(*REAL_LEASE) as running:
        yield running
        assert running.running, f"the operator ended by itself:\n{running.log()[-4000:]}"


@pytest.fixture
def namespace(site: Site, operator: OperatorProcess, audited: Watcher) -> str:  # noqa: F811
    """A fresh namespace that the running operator serves, under the auditor's eyes."""
    return site.namespace()
