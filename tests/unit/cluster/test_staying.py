"""What on a pod or a node says that it should stay, as the API server tells it."""

import json

import pytest

from bayplan.cluster import nodes
from bayplan.model.nodes import KEEP, Node
from tests.unit.cluster.written import pod

DISRUPT = "karpenter.sh/do-not-disrupt"
EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
MOVE = "bayplan.dev/move"
COST = "controller.kubernetes.io/pod-deletion-cost"
LOGS = {"name": "logs", "hostPath": {"path": "/var/log"}}
AT = "1970-01-01T00:01:40Z"  # 100


class TestPod:
    @pytest.mark.parametrize(
        ("annotations", "why"),
        [
            ({DISRUPT: "true"}, f'annotation {DISRUPT}: "true"'),
            ({DISRUPT: "perhaps"}, f'annotation {DISRUPT}: "perhaps"'),
            ({EVICT: "false"}, f'annotation {EVICT}: "false"'),
            ({MOVE: "Never"}, f"annotation {MOVE}: Never"),
            ({DISRUPT: "false"}, ""),
            ({EVICT: "true"}, ""),
            ({MOVE: "Restart"}, ""),
            ({"team": "a"}, ""),
            ({}, ""),
        ],
    )
    def test_annotations(self, annotations: dict[str, str], why: str) -> None:
        """Each that forbids a move is named, with its value."""
        assert why == pod(annotations=annotations).stays

    @pytest.mark.parametrize(
        ("value", "until"),
        [("600s", 700), ("1h30m", 5500), ("1.5m", 190), ("true", None), ("9999999999h", None)],
    )
    def test_for_a_time(self, value: str, until: int | None) -> None:
        """A duration counts from the start of the pod; any other text holds for ever."""
        found = pod(annotations={DISRUPT: value}, creationTimestamp=AT)

        assert until == found.stays_until
        assert found.barred(10**6 if until is None else until - 1)
        assert until is None or not found.barred(until)

    def test_local_volume(self) -> None:
        """A `hostPath` volume stays, unless its owner says otherwise; an `emptyDir` moves."""
        assert "volume logs (hostPath)" == pod({"volumes": [{"name": "x"}, LOGS]}).stays
        assert "" == pod({"volumes": [LOGS]}, annotations={EVICT: "true"}).stays
        assert "" == pod({"volumes": [{"name": "x", "emptyDir": {}}]}).stays

    @pytest.mark.parametrize("kind", ["LongService", "BatchJob"])
    def test_local_volume_of_our_own(self, kind: str) -> None:
        """All our pods say that they are safe to evict, unless somebody says otherwise."""
        owner = {"kind": kind, "name": "web", "uid": "u", "controller": True}
        found = pod({"volumes": [LOGS]}, annotations={EVICT: "true"}, ownerReferences=[owner])

        assert "volume logs (hostPath)" == found.stays

    def test_deletion_cost(self) -> None:
        """It is kept beside our own annotations, and no other."""
        found = pod(annotations={COST: "-5", "bayplan.dev/run": "r", "team": "a"})

        assert {COST: "-5", "bayplan.dev/run": "r"} == found.annotations


class TestNode:
    def node(self, annotations: dict[str, str], claim: str = "", **labels: str) -> Node:
        owners = [{"kind": "NodeClaim", "name": claim, "uid": "u"}] if claim else []
        metadata = {
            "name": "n1",
            "annotations": annotations,
            "labels": labels,
            "ownerReferences": owners,
        }
        return nodes.node(json.dumps({"metadata": metadata}).encode())

    def test_closing(self) -> None:
        assert "plan-3" == self.node({"bayplan.dev/closing": "plan-3"}).closing
        assert "" == self.node({"other": "bayplan.dev/closing"}).closing

    @pytest.mark.parametrize(
        ("annotations", "ours", "kept"),
        [
            ({KEEP: "true"}, True, KEEP),
            ({KEEP: "until friday"}, True, KEEP),
            ({KEEP: "false"}, True, ""),
            ({DISRUPT: "true"}, True, ""),
            ({DISRUPT: "2h"}, True, DISRUPT),
            ({DISRUPT: "true"}, False, DISRUPT),
            ({}, False, ""),
        ],
    )
    def test_kept(self, annotations: dict[str, str], ours: bool, kept: str) -> None:
        """`do-not-disrupt: "true"` on a Pool's node came from our own claim."""
        labels = {"bayplan.dev/pool": "batch"} if ours else {}

        assert kept == self.node(annotations, **labels).kept

    @pytest.mark.parametrize(
        ("claim", "kept"), [("batch-abcdefghij", ""), ("of-batch-x7k2p", DISRUPT)]
    )
    def test_a_person_protects_a_node_that_karpenter_bought(self, claim: str, kept: str) -> None:
        """Its claim is none of ours, so the annotation is not ours either."""
        assert kept == self.node({DISRUPT: "true"}, claim, **{"bayplan.dev/pool": "batch"}).kept

    def test_price_of_an_annotation(self) -> None:
        """The label counts before the annotation, also if it cannot be read."""
        price = "eks-node-viewer/instance-price"

        assert 250_000 == self.node({price: "0.25"}).price_microdollars
        assert 500_000 == self.node({price: "0.25"}, **{price: "0.5"}).price_microdollars
        assert self.node({price: "0.25"}, **{price: ""}).price_microdollars is None
