"""An API server with little room for writes, and an operator with thousands: the lease is kept."""

import time
from pathlib import Path

import pytest
import yaml

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.manifests import make_service
from tests.cluster.under_test import NAMESPACE, REAL_LEASE, ROOT, Site

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PODS = 5000
FLOWS = ROOT / "charts/bayplan/files/flowschemas.yaml"


def test_a_storm_of_writes_loses_no_lease(tmp_path: Path) -> None:
    """5,000 pods through 20 mutating requests at once, under the FlowSchemas of the chart."""
    with Cluster.start(
        kwok="m5.24xlarge:us-east-1a=8",
        apiserver_flags=["--max-mutating-requests-inflight=20", "--max-requests-inflight=40"],
    ) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path).prepare()
        site.kube.apply(*yaml.safe_load(FLOWS.read_text()))
        namespace = site.namespace()
        with site.operator(*REAL_LEASE) as operator:
            service = make_service("storm", namespace, replicas=PODS, cpu="10m", memory="16Mi")
            began = time.monotonic()
            site.kube.create(read.services(namespace), service)
            site.kube.until(
                read.services(namespace),
                lambda found: found["storm"].get("status", {}).get("readyReplicas") == PODS,
                within=240,
            )
            seconds = time.monotonic() - began
            lease = site.kube.get(
                f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/bayplan"
            )["spec"]
            log = operator.log()
            refused = log.count("lease not renewed")
            print(  # noqa: T201  a figure to publish
                f"\nstorm: {PODS} pods in {seconds:.0f} s, {PODS / seconds:.0f} a second;"
                f" {refused} renewals failed, {log.count('write again')} writes again"
            )

            assert operator.running, log[-3000:]
            assert ("operator-0", 0) == (lease["holderIdentity"], lease["leaseTransitions"])
            assert 1 == log.count("lease gained")
