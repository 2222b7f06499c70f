"""A cluster of their own for tests of Pools: Karpenter, fake nodes, a proxy and a nursery."""

import itertools
from collections.abc import Iterator

import pytest

from localcluster import Cluster
from tests.autoscaler.conftest import _NO_LEASES
from tests.autoscaler.pools.ground import Customer, Ground
from tests.autoscaler.shop import TYPES, ZONES
from tests.cluster.kube import Kube
from tests.cluster.under_test import Site, pool_rights
from tests.faults.nursery import Nursery
from tests.faults.proxy import Host, Upstream


@pytest.fixture(scope="package")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Cluster.start(**_NO_LEASES) as local:
        local.start_karpenter(TYPES, ZONES)
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("pools")).prepare()
        site.kube.apply(*pool_rights())
        with Host(Upstream(local.server, local.ca)) as host, Nursery() as nursery:
            yield Ground(site, host, nursery, itertools.count(1))


@pytest.fixture(scope="package")
def settled(ground: Ground) -> Customer:
    return Customer.settle(ground.site)


@pytest.fixture
def customer(settled: Customer) -> Iterator[Customer]:
    """It buys as long as the test runs."""
    with settled as shopping:
        yield shopping
