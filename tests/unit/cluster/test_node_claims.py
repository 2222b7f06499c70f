"""What Karpenter's NodeClaims say, as those who buy are to understand it."""

import json
from typing import Any

import msgspec
import pytest

from bayplan.cluster import node_claims
from bayplan.model.node_claims import ClaimState, NodeClaim
from bayplan.model.resources import Vector

TYPE, ZONE = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone"
CAPACITY = "karpenter.sh/capacity-type"


def read(body: Any) -> NodeClaim:
    claim: NodeClaim = node_claims.seen(msgspec.Raw(json.dumps(body).encode())).value
    return claim


def claim_body(*conditions: dict[str, str], **more: Any) -> dict[str, Any]:
    """A claim of the Pool `batch` for two types, as it is stored."""
    labels = {"bayplan.dev/pool": "batch", "karpenter.sh/nodepool": "of-batch"}
    return {
        "metadata": {
            "name": "batch-1",
            "uid": "u1",
            "resourceVersion": "7",
            "creationTimestamp": "1970-01-01T00:01:00Z",
            "labels": labels | more.pop("labels", {}),
            **more.pop("metadata", {}),
        },
        "spec": {
            "requirements": [
                {"key": TYPE, "operator": "In", "values": ["m5.large", "c5.xlarge"]},
                {"key": ZONE, "operator": "In", "values": ["a", "b"]},
                {"key": CAPACITY, "operator": "In", "values": ["on-demand"]},
            ],
            **more.pop("spec", {}),
        },
        "status": {"conditions": list(conditions), **more},
    }


def test_as_it_was_ordered() -> None:
    """Its name, its Pool and NodePool, and what it accepts, in the order given."""
    seen = node_claims.seen(msgspec.Raw(json.dumps(claim_body()).encode()))

    assert ("", "batch-1", "u1", 7) == (*seen.key, seen.uid, seen.version)
    claim = seen.value
    assert ("batch", "of-batch", 60) == (claim.pool, claim.node_pool, claim.created_at)
    assert (("m5.large", "c5.xlarge"), ("a", "b")) == (claim.types, claim.zones)
    assert ("on-demand",) == claim.capacity_types
    assert (ClaimState.REQUESTED, None, "") == (claim.state, claim.got, claim.problem)


def test_as_it_was_launched() -> None:
    """What was got is on its labels; the estimate of its room and its node are in its status."""
    got = {TYPE: "c5.xlarge", ZONE: "b", CAPACITY: "on-demand"}
    body = claim_body(
        {"type": "Launched", "status": "True", "reason": "Launched", "message": "all is well"},
        {"type": "Registered", "status": "True"},
        {"type": "Initialized", "status": "Unknown"},
        labels=got,
        providerID="aws:///b/i-1",
        nodeName="ip-1",
        allocatable={"cpu": "1930m", "memory": "1Gi", "pods": "29"},
    )
    claim = read(body)

    assert ("c5.xlarge", "b", "on-demand") == claim.got
    assert (ClaimState.REGISTERED, "ip-1", "") == (claim.state, claim.node, claim.problem)
    assert Vector({"cpu": 1930, "memory": 1 << 30, "pods": 29}) == claim.allocatable

    body["status"]["conditions"][2]["status"] = "True"
    assert ClaimState.USABLE is read(body).state
    body["metadata"]["deletionTimestamp"] = "1970-01-01T00:02:00Z"
    assert ClaimState.RETIRING is read(body).state


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        (
            {"status": "Unknown", "reason": "LaunchFailed", "message": "no such type"},
            "no such type",
        ),
        ({"status": "False", "reason": "Unauthorized"}, "Unauthorized"),
        ({"status": "Unknown", "reason": "AwaitingReconciliation", "message": "is waiting"}, ""),
        ({"status": "True", "reason": "Launched", "message": "well"}, ""),
    ],
)
def test_why_there_is_no_instance(condition: dict[str, str], problem: str) -> None:
    """As the provider words it; a claim that nobody has looked at has no problem."""
    assert problem == read(claim_body({"type": "Launched", **condition})).problem


@pytest.mark.parametrize(
    ("requirements", "types"),
    [
        ([], ()),
        (None, ()),
        ([{"key": TYPE, "operator": "NotIn", "values": ["a"]}], ()),
        ([{"key": TYPE, "operator": "Exists"}], ()),
        (
            [
                {"key": TYPE, "operator": "In", "values": ["a", "b", "c"]},
                {"key": TYPE, "operator": "In", "values": ["d", "c", "b"]},
            ],
            ("b", "c"),
        ),
    ],
)
def test_which_types_it_accepts(requirements: Any, types: tuple[str, ...]) -> None:
    """Those in all its lists; without a list, any."""
    assert types == read(claim_body(spec={"requirements": requirements})).types


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"name": "bare"}},
        {"metadata": {"name": "bare"}, "spec": None, "status": None},
        {"metadata": {"name": "bare", "labels": None}, "spec": {}, "status": {"conditions": None}},
    ],
)
def test_a_bare_claim(body: Any) -> None:
    """Nothing but a name is needed."""
    assert NodeClaim("bare") == read(body)


def test_as_it_counts_before_it_is_stored() -> None:
    """The body that is sent says all that a decision needs."""
    claim = node_claims.planned(claim_body(), 1000)

    assert claim.assumed
    assert (1000, ("m5.large", "c5.xlarge")) == (claim.created_at, claim.types)
