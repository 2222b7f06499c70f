"""The NodeClaims that we write have what Karpenter's own provisioner writes, and our own marks."""

import copy
from typing import Any

import pytest

from bayplan.cloud import node_claim_body
from bayplan.inputs import InputError

NODE_POOL: dict[str, Any] = {
    "metadata": {
        "name": "batch",
        "uid": "uid-np",
        "annotations": {
            "karpenter.sh/nodepool-hash": "123",
            "karpenter.sh/nodepool-hash-version": "v3",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    },
    "spec": {
        "template": {
            "metadata": {"labels": {"bayplan.dev/pool": "b"}, "annotations": {"note": "mine"}},
            "spec": {
                "expireAfter": "720h",
                "terminationGracePeriod": "1h",
                "nodeClassRef": {
                    "group": "karpenter.k8s.aws",
                    "kind": "EC2NodeClass",
                    "name": "al2023",
                },
                "taints": [{"key": "bayplan.dev/pool", "value": "b", "effect": "NoSchedule"}],
                "startupTaints": [{"key": "cni", "effect": "NoExecute"}],
                "requirements": [
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
                    {
                        "key": "karpenter.k8s.aws/instance-category",
                        "operator": "In",
                        "values": ["c", "m"],
                        "minValues": 2,
                    },
                ],
            },
        }
    },
}


def made(node_pool: dict[str, Any] = NODE_POOL, **more: Any) -> dict[str, Any]:
    asked = {"types": ("m5.large", "c5.large"), "zones": ("b", "a"), "capacity_type": "spot"}
    return node_claim_body.body("b-1", "b", node_pool, **{**asked, **more})


def with_requirements(*more: dict[str, Any]) -> dict[str, Any]:
    node_pool = copy.deepcopy(NODE_POOL)
    node_pool["spec"]["template"]["spec"]["requirements"] += more
    return node_pool


def asked(body: dict[str, Any], key: str) -> list[Any]:
    return [one for one in body["spec"]["requirements"] if one["key"] == key]


def test_the_whole_claim() -> None:
    """Each field of the provisioner's template is there; expiry and disruption are ours."""
    expected = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            "name": "b-1",
            "labels": {
                "bayplan.dev/pool": "b",
                "karpenter.sh/nodepool": "batch",
                "karpenter.k8s.aws/ec2nodeclass": "al2023",
            },
            "annotations": {
                "note": "mine",
                "karpenter.sh/nodepool-hash": "123",
                "karpenter.sh/nodepool-hash-version": "v3",
                "karpenter.sh/do-not-disrupt": "true",
            },
            "ownerReferences": [
                {
                    "apiVersion": "karpenter.sh/v1",
                    "kind": "NodePool",
                    "name": "batch",
                    "uid": "uid-np",
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "expireAfter": "Never",
            "terminationGracePeriod": "1h",
            "nodeClassRef": {
                "group": "karpenter.k8s.aws",
                "kind": "EC2NodeClass",
                "name": "al2023",
            },
            "taints": [{"key": "bayplan.dev/pool", "value": "b", "effect": "NoSchedule"}],
            "startupTaints": [{"key": "cni", "effect": "NoExecute"}],
            "requirements": [
                {
                    "key": "node.kubernetes.io/instance-type",
                    "operator": "In",
                    "values": ["m5.large", "c5.large"],
                },
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
                {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["batch"]},
                {
                    "key": "karpenter.k8s.aws/instance-category",
                    "operator": "In",
                    "values": ["c", "m"],
                },
            ],
            "resources": {"requests": {}},
        },
    }

    assert expected == made()


def test_extended_resources_are_requested() -> None:
    """Karpenter waits until the node has the devices; nothing else is requested."""
    assert {"requests": {"nvidia.com/gpu": "4"}} == made(extended={"nvidia.com/gpu": 4})["spec"][
        "resources"
    ]


def test_without_a_zone_any_zone_will_do() -> None:
    """The zones of the NodePool hold, and no requirement of ours is added."""
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "c"]}

    assert [] == asked(made(zones=()), "topology.kubernetes.io/zone")
    assert [zones] == asked(made(with_requirements(zones), zones=()), zones["key"])


def test_what_the_node_pool_does_not_allow_is_left_out() -> None:
    """Types and zones are those of the NodePool and ours alike."""
    node_pool = with_requirements(
        {"key": "beta.kubernetes.io/instance-type", "operator": "NotIn", "values": ["m5.large"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b", "c"]},
    )

    body = made(node_pool)

    assert [["c5.large"]] == [
        one["values"] for one in asked(body, "node.kubernetes.io/instance-type")
    ]
    assert [] == asked(body, "beta.kubernetes.io/instance-type")
    assert [["b"]] == [one["values"] for one in asked(body, "topology.kubernetes.io/zone")]


def test_what_the_menu_lacks_is_left_out() -> None:
    """A type without an offering in these zones would hang the provider, so it is not named."""
    menu = {
        ("m5.large", "a", "spot"),
        ("c5.large", "c", "spot"),
        ("c5.large", "a", "on-demand"),
    }

    body = made(menu=menu)

    assert [["m5.large"]] == [
        one["values"] for one in asked(body, "node.kubernetes.io/instance-type")
    ]
    assert [["a"]] == [one["values"] for one in asked(body, "topology.kubernetes.io/zone")]
    assert [["m5.large", "c5.large"]] == [
        one["values"] for one in asked(made(menu=menu, zones=()), asked_type())
    ]


def asked_type() -> str:
    return "node.kubernetes.io/instance-type"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"capacity_type": "on-demand"}, "does not allow the capacity type on-demand"),
        ({"menu": {("m5.large", "z", "spot")}}, "none of the instance types m5.large, c5.large"),
        ({"types": ()}, "none of the instance types"),
    ],
)
def test_nothing_left_to_ask_for(more: dict[str, Any], words: str) -> None:
    """The error names the NodePool and what does not go together."""
    with pytest.raises(InputError, match=rf"NodePool batch: .*{words}"):
        made(**more)


def test_labels_that_requirements_demand() -> None:
    """A custom label gets a value that the NodePool accepts; otherwise the node would drift."""
    node_pool = with_requirements(
        {"key": "team", "operator": "In", "values": ["red", "blue"]},
        {"key": "example.com/slot", "operator": "Gt", "values": ["7"]},
        {"key": "example.com/any", "operator": "Exists"},
        {"key": "example.com/none", "operator": "DoesNotExist"},
        {"key": "example.com/not", "operator": "NotIn", "values": ["x"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
    )

    labels = made(node_pool)["metadata"]["labels"]

    assert ("blue", "8", "0") == tuple(
        labels[key] for key in ("team", "example.com/slot", "example.com/any")
    )
    assert labels.keys().isdisjoint(
        {"example.com/none", "example.com/not", "kubernetes.io/arch", "karpenter.sh/capacity-type"}
    )


def test_at_most_a_hundred_requirements() -> None:
    """What the named types meet anyway is left out first; then the NodePool is at fault."""
    told = {"key": "karpenter.k8s.aws/instance-cpu", "operator": "Gt", "values": ["0"]}
    many = [{"key": f"k{n}", "operator": "NotIn", "values": ["x"]} for n in range(96)]

    fits = made(with_requirements(told, told, *many))

    assert 100 == len(fits["spec"]["requirements"])
    assert [] == asked(fits, told["key"])
    with pytest.raises(InputError, match="NodePool batch: has 97 requirements"):
        made(with_requirements(*many, {"key": "k", "operator": "NotIn", "values": ["x"]}))
