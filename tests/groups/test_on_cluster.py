"""The operator's own process on a real API server, with boto3 and moto's server for AWS.

A controller of the test has every instance join as a fake node, and takes the node of an instance
that has ended: what a kubelet and the cloud controller manager do on EC2.
"""

import threading
from collections.abc import Iterator

import pytest

from localcluster import Cluster
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.under_test import GROUP, REAL_LEASE, Site, pool_rights
from tests.groups.aws import ENVIRONMENT, Aws, make_group, served
from tests.groups.joining import NODES, joining

pytestmark = pytest.mark.cluster

POOLS = f"{GROUP}/pools"
ZONE = "us-east-1a"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with served() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        for kind in ("m5.large", "m5.xlarge"):
            make_group(found, kind.replace(".", "-"), kind, ZONE)
        yield found


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Cluster.start(node_monitor_grace_seconds=36_000) as local:
        found = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("groups")).prepare()
        found.kube.apply(*pool_rights())
        yield found


def ready(found: Objects) -> bool:
    """Whether all four instances serve."""
    return bool(found["web"].get("status", {}).get("readyReplicas") == 4)


def told(found: Objects) -> bool:
    """Whether the Pool says that nothing is left or under way."""
    status = found["batch"]["status"]
    return (status["nodes"], status["launches"]) == (0, [])


def test_nodes_come_and_go_and_a_killed_operator_buys_nothing_twice(site: Site, aws: Aws) -> None:
    """Killed before it hears the answer to its launch, and started again."""
    kube, namespace = site.kube, site.namespace()
    operator = site.operator("--pools=true", *REAL_LEASE)
    killed = threading.Event()

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            operator.kill()

    aws.launched = kill
    pool = {"apiVersion": GROUP[6:], "kind": "Pool", "metadata": {"name": "batch"}}
    spec = {"mode": "Buy", "autoScalingGroups": {}, "retirement": {"emptySeconds": 5}}
    kube.create(POOLS, {**pool, "spec": spec})
    placement = {"pool": "batch"}
    service = make_service("web", namespace, replicas=4, cpu="1500m", placement=placement)
    services = f"{GROUP}/namespaces/{namespace}/longservices"

    with joining(site.kube, aws, "batch"), operator:
        kube.create(services, service)
        assert killed.wait(60), operator.log()[-3000:]
        operator.start()
        kube.until(services, ready, within=120)
        bought = list(aws.tokens.values())
        kube.patch(f"{services}/web", {"spec": {"replicas": 0}})
        kube.until(NODES, lambda found: not found, within=180)
        kube.until(POOLS, told)

    ids = [id_ for one in bought for each in one["Instances"] for id_ in each["InstanceIds"]]
    assert 2 <= aws.calls.count("LaunchInstances")
    assert len(ids) == len(set(ids)) == aws.calls.count("TerminateInstanceInAutoScalingGroup")
    assert 0 == aws.calls.count("SetDesiredCapacity")
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [0, 0] == [one["DesiredCapacity"] for one in groups]
