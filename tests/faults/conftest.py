"""A cluster of their own for tests that kill and disturb operators, with lanes for many at once."""

import os
from collections.abc import Iterator

import pytest

from localcluster import Cluster
from tests.audit.watcher import Watcher
from tests.cluster.kube import Kube
from tests.cluster.under_test import Site
from tests.faults.nursery import Nursery
from tests.faults.proxy import Host, Upstream
from tests.faults.world import Ground

LANES = int(os.environ.get("BAYPLAN_FAULT_LANES", "12"))  # histories at the same time


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("faults")
    with (
        Cluster.start(node_monitor_grace_seconds=20, audit=True) as local,
        Host(Upstream(local.server, local.ca)) as host,
        Nursery() as nursery,
    ):
        site = Site(Kube(local.kubeconfig), local, folder).prepare()
        with Watcher(local.kubeconfig) as auditor:
            yield Ground(site, host, nursery, auditor, LANES)
            auditor.check()
