"""What the API server says of nodes, as the scheduler is to understand it."""

import json
from typing import Any

import pytest

from bayplan.cluster import nodes
from bayplan.model.nodes import Node, Taint

AT = "1970-01-01T00:01:00Z"
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class TestNode:
    def node(self, **more: Any) -> Node:
        body = {
            "metadata": {"name": "n1", "uid": "u", **more.pop("metadata", {})},
            "spec": more.pop("spec", {}),
            "status": more,
        }
        return nodes.node(json.dumps(body).encode())

    @pytest.mark.parametrize(
        ("spec", "deleted", "since"),
        [
            ({"unschedulable": True}, None, 0),
            ({"unschedulable": True, "taints": [{**CORDON, "timeAdded": AT}]}, None, 60),
            ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, None, 0),
            ({"taints": [{"key": "karpenter.sh/disrupted", "timeAdded": AT}]}, None, 60),
            ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "60"}]}, None, 60),
            ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "x"}]}, None, 0),
            ({}, AT, 60),
        ],
    )
    def test_since_when_it_is_emptied(
        self, spec: dict[str, Any], deleted: str | None, since: int
    ) -> None:
        """As far as cordon, taint or deletion tell."""
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]
        metadata = {"deletionTimestamp": deleted} if deleted else {}
        found = self.node(spec=spec, metadata=metadata, conditions=ready)

        assert (True, since) == (found.emptying, found.emptying_since)

    def test_when_it_was_cordoned_as_the_server_noted(self) -> None:
        """Neither a cordon nor every taint carries its moment; their writers' entries do."""
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]
        karpenter = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}

        def since(spec: dict[str, Any], *noted: str) -> int:
            entry = {"time": AT, "fieldsV1": {"f:spec": {f"f:{name}": {} for name in noted}}}
            metadata = {"managedFields": [entry, {"time": "soon"}, 7]}
            return self.node(spec=spec, metadata=metadata, conditions=ready).emptying_since

        assert 60 == since({"unschedulable": True}, "unschedulable")
        assert 60 == since({"taints": [karpenter]}, "taints")
        assert 0 == since({"unschedulable": True}, "taints")
        assert 0 == since({"unschedulable": True, "taints": [karpenter]}, "taints")

    def test_a_node_that_is_not_emptied(self) -> None:
        """Ready, with a taint that means something else; a silent one has been so since then."""
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": AT}
        candidate = {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "value": "1"}]}
        silent = self.node(conditions=[{**ready, "status": "Unknown"}])

        assert not self.node(conditions=[ready], spec=candidate).emptying
        assert (True, 60) == (silent.emptying, silent.emptying_since)

    def test_allocatable(self) -> None:
        """Amounts in the package's units."""
        found = self.node(
            allocatable={
                "cpu": "7910m",
                "memory": "30021720Ki",
                "pods": "58",
                "nvidia.com/gpu": "1",
            }
        )

        assert {
            "cpu": 7910,
            "memory": 30021720 * 1024,
            "pods": 58,
            "nvidia.com/gpu": 1,
        } == dict(found.allocatable)

    def test_readiness(self) -> None:
        """Ready is True alone; a kubelet that has not spoken or fell silent is not ready."""
        states = [
            self.node(conditions=[{"type": "Ready", "status": word}]).ready
            for word in ("True", "False", "Unknown")
        ]

        assert [True, False, False] == states
        assert not self.node().ready

    def test_leaving(self) -> None:
        """Cordon, taints and deletion are seen."""
        found = self.node(
            spec={"unschedulable": True, "taints": [{"key": "karpenter.sh/disrupted"}]},
            metadata={"deletionTimestamp": "2026-11-23T06:00:00Z"},
        )

        assert found.unschedulable
        assert found.deleting
        assert (Taint("karpenter.sh/disrupted", "", ""),) == found.taints

    @pytest.mark.parametrize(
        ("text", "price"),
        [
            ("0.096", 96_000),
            ("1e-2", 10_000),
            ("free", None),
            ("NaN", None),
            ("-1", None),
            ("1e99", None),
        ],
    )
    def test_price(self, text: str, price: int | None) -> None:
        """An hour's price from a label or an annotation; what is none is none."""
        key = "eks-node-viewer/instance-price"

        assert price == self.node(metadata={"labels": {key: text}}).price_microdollars
        assert price == self.node(metadata={"annotations": {key: text}}).price_microdollars
