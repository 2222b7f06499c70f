"""A real kube-scheduler given our unplaced pods: it never puts more into a group than we do.

Autoscalers simulate that scheduler, so what is compiled into a pod decides what they buy for it.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from bayplan.api import compiled_rules, names, placement_rules, pod_builder
from bayplan.api.resource import Resource, parse_resource
from bayplan.cluster.decode import KINDS
from bayplan.cluster.pods import pod_from_dict
from bayplan.model import state
from bayplan.model.nodes import HOSTNAME, INSTANCE_TYPE, ZONE, Node
from bayplan.model.workloads import PodClass, Waiting
from bayplan.placement.solve import Policy, solve
from bayplan.scheduler.group_places import GroupPlaces
from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.manifests import make_service

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it needs a cluster whose only pods are its own",
    ),
]

NODES = "m5.xlarge:us-east-1a=2,m5.xlarge:us-east-1b=1,c5.xlarge:us-east-1c=1"


@pytest.fixture(scope="module")
def kube() -> Iterator[Kube]:
    """An own cluster with kube-scheduler and empty nodes, and no operator."""
    with Cluster.start(scheduler=True) as local:
        local.add_kwok_nodes(NODES)
        yield Kube(local.kubeconfig)


def rule(key: str, operator: str, value: str = "") -> dict[str, str]:
    return {"key": key, "operator": operator, **({"value": value} if value else {})}


@pytest.mark.parametrize(
    ("name", "key", "replicas", "constraints"),
    [
        ("unique", HOSTNAME, 6, [rule("hostname", "Unique")]),
        ("unique-zone", ZONE, 5, [rule("zone", "Unique")]),
        ("max-per", HOSTNAME, 10, [rule("hostname", "MaxPer", "2")]),
        ("max-per-zone", ZONE, 9, [rule("zone", "MaxPer", "2")]),
        ("group-by", ZONE, 8, [rule("zone", "GroupBy")]),
        ("group-by-more", ZONE, 8, [rule("zone", "GroupBy", "4")]),
        ("cluster", ZONE, 4, [rule("zone", "Cluster")]),
        ("cluster-at", ZONE, 4, [rule("zone", "Cluster", "us-east-1b")]),
        ("like", ZONE, 4, [rule("zone", "Like", ".*[ab]"), rule("zone", "Unlike", ".*b")]),
        ("unlike", INSTANCE_TYPE, 4, [rule("instance-type", "Unlike", "m5.*")]),
        ("is", ZONE, 3, [rule("zone", "Is", "us-east-1a")]),
        ("nowhere", ZONE, 2, [rule("zone", "Is", "us-east-1z")]),
    ],
)
def test_never_more_in_a_group(
    kube: Kube, name: str, key: str, replicas: int, constraints: Sequence[dict[str, str]]
) -> None:
    """Group by group, fullest first, kube-scheduler places at most as many as we would."""
    body = make_service(name, "default", replicas=replicas, placement={"constraints": constraints})
    body["metadata"]["uid"] = f"uid-{name}"
    service = parse_resource(body)
    nodes = [decode_node(one) for one in kube.listed("/api/v1/nodes").values()]
    theirs = scheduled(kube, service, nodes, replicas, key)
    ours = solved(service, nodes, replicas, key)

    assert theirs.total() <= ours.total()
    for fullest in range(1, len(theirs) + 1):
        assert sum(sorted(theirs.values())[-fullest:]) <= sum(sorted(ours.values())[-fullest:])


def decode_node(body: object) -> Node:
    found: Node = KINDS["Node"].decode(msgspec.Raw(msgspec.json.encode(body))).value
    return found


def values(nodes: Sequence[Node]) -> compiled_rules.Values:
    return lambda label: {node.labels[label] for node in nodes if label in node.labels}


def scheduled(
    kube: Kube, service: Resource, nodes: Sequence[Node], replicas: int, key: str
) -> Counter[str]:
    """Pods by group as kube-scheduler places what we would create without a node."""
    blueprint = pod_builder.blueprint(service, values=values(nodes))
    free = GroupPlaces({}, lambda _: ())
    for index in range(replicas):
        labels = placement_rules.peer_labels(service, service.template_hash)
        pod = blueprint.pod(
            f"{service.name}-{index}",
            labels=labels,
            annotations={},
            environment={},
            places=free.take(service.uid, blueprint, ""),
        )
        pod["spec"]["schedulerName"] = "default-scheduler"
        del pod["metadata"]["ownerReferences"]
        kube.create(read.pods("default"), pod)
    mine = f"{read.pods('default')}?labelSelector={names.SERVICE}%3D{service.name}"
    pods = kube.until(
        mine,
        lambda found: (
            all(one["spec"].get("nodeName") or read.unschedulable(one) for one in found.values())
            and found
        ),
    )
    labels_of = {node.name: node.labels for node in nodes}
    found = Counter(
        labels_of[node][key] for one in pods.values() if (node := one["spec"].get("nodeName"))
    )
    for pod_name in pods:
        kube.delete(f"{read.pods('default')}/{pod_name}", {"gracePeriodSeconds": 0})
    kube.until(mine, lambda left: not left)
    return found


def solved(service: Resource, nodes: Sequence[Node], replicas: int, key: str) -> Counter[str]:
    """Pods by group as we place them."""
    book = state.State()
    for node in nodes:
        book.set_node(node)
    rules = placement_rules.rules(service, service.template_hash)
    labels = placement_rules.peer_labels(service, service.template_hash)
    sample = pod_from_dict(
        pod_builder.blueprint(service, values=values(nodes)).pod(
            "sample", labels=labels, annotations={}, environment={}
        )
    )
    kind = PodClass(
        namespace="default",
        request=sample.request,
        constraints=compiled_rules.stripped(sample.constraints, rules),
        labels=tuple(sorted(sample.labels.items())),
        placement=rules,
    )
    keys = tuple(("default", f"{service.name}-{index}") for index in range(replicas))
    plan = solve(book.snapshot(), [Waiting(kind, keys)], 0, Policy())
    labels_of = {node.name: node.labels for node in nodes}
    return Counter(labels_of[node][key] for node in plan.placements.values())
