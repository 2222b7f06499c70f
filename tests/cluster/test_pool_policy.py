"""What the chart's policy lets the operator's account do to NodeClaims and nodes: very little.

A real API server judges, under the account's own token, with the rights of `pool.enabled`.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from localcluster import Cluster, karpenter
from localcluster.processes import wait_until
from tests.cluster.kube import Kube, RefusedError
from tests.cluster.under_test import ACCOUNT, NAMESPACE, Site
from tests.helm import render
from tests.unit.test_docs import whole_manifests
from tools.demo.site import is_established

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it needs a cluster with Karpenter's definitions and nobody who acts on them",
    ),
]

CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
NODES = "/api/v1/nodes"
POOL = "bayplan.dev/pool"
DRAINING = {"key": "bayplan.dev/draining", "effect": "NoSchedule"}
CLOSING = "bayplan.dev/closing"
OWN = {"key": POOL, "value": "batch", "effect": "NoSchedule"}


@dataclass(frozen=True)
class Two:
    """The cluster, and the same cluster under the operator's account."""

    admin: Kube
    operator: Kube

    def claim(self, who: Kube, **labels: str) -> str:
        """A claim that `who` makes; its name."""
        name = f"batch-{secrets.token_hex(5)}"
        spec = {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "x"},
            "requirements": [],
        }
        about = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim"}
        who.create(CLAIMS, {**about, "metadata": {"name": name, "labels": labels}, "spec": spec})
        return name

    def node(self, *taints: dict[str, str], pool: str = "batch") -> str:
        name = f"n-{secrets.token_hex(4)}"
        labels = {POOL: pool} if pool else {}
        metadata = {"name": name, "labels": labels, "annotations": {"a": "b"}}
        spec = {"taints": [OWN, *taints], "providerID": f"kwok://{name}"}
        self.admin.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}
        )
        self.admin.until(NODES, lambda found: not _passing(found.get(name, {})))
        return name

    def taints(self, node: str) -> set[str]:
        return {one["key"] for one in self.admin.get(f"{NODES}/{node}")["spec"].get("taints", [])}


def _passing(node: Mapping[str, Any]) -> bool:
    """Whether a new node still has the taint not-ready, which its controller takes away."""
    taints = node.get("spec", {}).get("taints", [{"key": "node.kubernetes.io/not-ready"}])
    return any(one["key"].startswith("node.kubernetes.io/") for one in taints)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with Cluster.start() as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("policy")).prepare()
        definitions = karpenter.definitions()
        site.kube.apply(*definitions)
        site.kube.until(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            lambda found: all(
                is_established(found.get(one["metadata"]["name"], {})) for one in definitions
            ),
        )
        made = render({"pool": {"enabled": True}})
        site.kube.apply(*(one for one in made if one["metadata"]["name"] == "bayplan-pools"))
        both = Two(site.kube, Kube(site.account_kubeconfig()))
        _until_in_force(both)
        yield both


def _until_in_force(two: Two) -> None:
    """A policy holds a moment after it is stored: a foreign claim is refused from then on."""

    def refused() -> bool:
        try:
            two.claim(two.operator, team="a")
        except RefusedError as error:
            return "label bayplan.dev/pool" in str(error)
        return False

    wait_until(refused, "the policy is in force", within_seconds=60)


def test_own_claims_may_be_made_and_deleted(two: Two) -> None:
    """A claim with the label, whoever made it: Karpenter's own claims of the NodePool have it."""
    for maker in (two.operator, two.admin):
        name = two.claim(maker, **{POOL: "batch"})
        two.operator.delete(f"{CLAIMS}/{name}")


def test_claims_of_no_pool_may_not_be_made(two: Two) -> None:
    """What bears the label of a NodePool only, or of nobody, is for others to order."""
    for labels in ({}, {"karpenter.sh/nodepool": "general"}):
        with pytest.raises(RefusedError, match="must have the label") as refused:
            two.claim(two.operator, **labels)

        assert 403 == refused.value.status


def test_foreign_claims_may_not_be_deleted(two: Two) -> None:
    """Not even if the account had been given more rights than the chart gives it."""
    name = two.claim(two.admin)
    with pytest.raises(RefusedError, match="must have the label") as refused:
        two.operator.delete(f"{CLAIMS}/{name}")

    assert 403 == refused.value.status
    two.admin.delete(f"{CLAIMS}/{name}")


def test_claims_may_not_be_changed(two: Two) -> None:
    """The role has no such right; with it, the policy would still say no."""
    name = two.claim(two.admin, **{POOL: "batch"})
    with pytest.raises(RefusedError, match="cannot patch resource"):
        two.operator.patch(f"{CLAIMS}/{name}", {"metadata": {"labels": {"x": "y"}}})
    with all_rights(two):
        with pytest.raises(RefusedError, match="create and delete NodeClaims, but not change"):
            two.operator.patch(f"{CLAIMS}/{name}", {"metadata": {"labels": {"x": "y"}}})
        with pytest.raises(RefusedError, match="nodes it may not create or delete"):
            two.operator.delete(f"{NODES}/{two.node()}")


@contextlib.contextmanager
def all_rights(two: Two) -> Iterator[None]:
    """All rights for the operator's account, so that only the policy is in the way."""
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    group = "rbac.authorization.k8s.io"
    body = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    two.admin.create(bindings, body)

    def allowed() -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(two.operator.create(path, review)["status"]["allowed"])

    wait_until(allowed, "the rights are known", within_seconds=60)
    try:
        yield
    finally:
        two.admin.delete(f"{bindings}/more")


def test_the_draining_taint_may_come_and_go(two: Two) -> None:
    """Beside the node's other taints, which stay."""
    name = two.node({"key": "gpu", "effect": "NoExecute"})
    path = f"{NODES}/{name}"
    others = two.admin.get(path)["spec"]["taints"]
    two.operator.patch(path, {"spec": {"taints": [*others, DRAINING]}})

    assert {POOL, "gpu", DRAINING["key"]} == two.taints(name)

    two.operator.patch(path, {"spec": {"taints": others}})

    assert {POOL, "gpu"} == two.taints(name)


@pytest.mark.parametrize("others", [{"a": "b"}, {}])
def test_the_closing_annotation_may_come_and_go(two: Two, others: dict[str, str]) -> None:
    """Beside the node's other annotations, which stay; a node need not have any."""
    path = f"{NODES}/{two.node()}"
    two.admin.patch(path, {"metadata": {"annotations": {"a": others.get("a")}}})
    for plan in ("plan-1", "plan-2", None):
        two.operator.patch(path, {"metadata": {"annotations": {CLOSING: plan}}})
        found = two.admin.get(path)["metadata"].get("annotations", {})

        assert {**others, **({CLOSING: plan} if plan else {})} == found


@pytest.mark.parametrize(
    ("patch", "part"),
    [
        ({"metadata": {"labels": {"x": "y"}}}, "labels, finalizers"),
        ({"metadata": {"labels": {POOL: None}}}, "labels, finalizers"),
        ({"metadata": {"annotations": {"a": None}}}, "no annotation of a node but"),
        ({"metadata": {"annotations": {"a": "c"}}}, "no annotation of a node but"),
        ({"metadata": {"annotations": {CLOSING: "x", "new": "d"}}}, "no annotation of a node but"),
        ({"metadata": {"finalizers": ["a.b/c"]}}, "finalizers and owners"),
        (
            {"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "u"}]}},
            "finalizers and owners",
        ),
        ({"spec": {"unschedulable": True}}, "the rest of its spec"),
        ({"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}}, "the rest of its spec"),
        ({"spec": {"taints": []}}, "no taint of a node but bayplan.dev/draining"),
        ({"spec": {"taints": None}}, "no taint of a node but bayplan.dev/draining"),
        ({"spec": {"taints": [OWN, {"key": "gpu", "effect": "NoExecute"}]}}, "no taint of a node"),
        ({"spec": {"taints": [OWN, DRAINING, {**DRAINING, "effect": "NoExecute"}]}},
         "only with the effect NoSchedule"),
    ],
)  # fmt: skip
def test_nothing_else_of_a_node_may_change(two: Two, patch: dict[str, Any], part: str) -> None:
    """Each in a sentence that says what Bayplan may change."""
    name = two.node()
    with pytest.raises(RefusedError, match="Bayplan may change") as refused:
        two.operator.patch(f"{NODES}/{name}", patch)

    assert 403 == refused.value.status
    assert part in str(refused.value)


def test_nodes_of_nobody_s_pool_are_left_alone(two: Two) -> None:
    """The taint is for nodes of Pools only."""
    name = two.node(pool="")
    with pytest.raises(RefusedError, match="only nodes of a Pool"):
        two.operator.patch(f"{NODES}/{name}", {"spec": {"taints": [OWN, DRAINING]}})


def test_others_are_not_confined(two: Two) -> None:
    """An administrator and Karpenter do with claims and nodes what they like."""
    name = two.node(pool="")
    two.admin.patch(f"{NODES}/{name}", {"metadata": {"labels": {"x": "y"}}})
    claim = two.claim(two.admin)
    two.admin.patch(f"{CLAIMS}/{claim}", {"metadata": {"labels": {"x": "y"}}})
    two.admin.delete(f"{CLAIMS}/{claim}")
    two.admin.delete(f"{NODES}/{name}")


def test_karpenter_takes_the_node_pool_of_the_guide(two: Two) -> None:
    """By its own definition, strictly."""
    [node_pool] = [
        body
        for where, body in whole_manifests()
        if "let-bayplan-buy" in where and body["kind"] == "NodePool"
    ]
    words = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    said = two.admin.kubectl(*words, text=yaml.safe_dump(node_pool)).stdout

    assert "nodepool.karpenter.sh/batch created (server dry run)" in said
