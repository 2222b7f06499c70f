"""The status of a Pool says what is wrong, names the thing, and says what to do."""

import copy
import dataclasses
from typing import Any

import pytest

from bayplan.api.pool import PoolSpec
from bayplan.api.pool_resource import PoolResource, default_pool, parse_pool
from bayplan.api.pool_status import PoolStatus
from bayplan.reconcile.pool import status
from bayplan.reconcile.pool.facts import Costs, Facts, Hands, Offers
from bayplan.reconcile.pool.limits import Load, room
from bayplan.reconcile.pool.money import dollars
from bayplan.reconcile.pool.refusals import Unavailable
from bayplan.reconcile.pool.states import Counts
from tests.builders import NOON, make_vector

QUIET: dict[str, Any] = {
    "metadata": {"name": "np"},
    "spec": {
        "disruption": {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]},
        "template": {
            "metadata": {"labels": {"bayplan.dev/pool": "b"}},
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c"},
                "taints": [{"key": "bayplan.dev/pool", "value": "b", "effect": "NoSchedule"}],
            },
        },
    },
}
LOUD = {**QUIET, "spec": {**QUIET["spec"], "disruption": {"consolidateAfter": "30s"}}}
READY_CLASS = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
TYPES = ("Ready", "NodePoolQuiet", "Buying", "LimitReached", "Degraded")


def pool(**spec: Any) -> PoolResource:
    body = {
        "metadata": {"name": "b", "uid": "u", "generation": 3},
        "spec": {"nodePoolRef": {"name": "np"}, "mode": "Buy", **spec},
    }
    return parse_pool(body)


FACTS = Facts(pool(), Hands(node_pool=QUIET, node_class=READY_CLASS, followed=True))


def told(facts: Facts) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {one["type"]: (one["status"], one["reason"]) for one in said(facts)}


def said(facts: Facts) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = status.status(facts, NOON)["conditions"]
    return found


def message(facts: Facts, type_: str) -> str:
    return next(one["message"] for one in said(facts) if one["type"] == type_)


def changed(**fields: Any) -> Facts:
    return dataclasses.replace(FACTS, **fields)


def hands(**fields: Any) -> Facts:
    return changed(hands=dataclasses.replace(FACTS.hands, **fields))


def test_all_is_well() -> None:
    """Ready, quiet, buying; nothing limits and nothing is degraded."""
    assert {
        "Ready": ("True", "Buys"),
        "NodePoolQuiet": ("True", "LeftAlone"),
        "Buying": ("True", "Idle"),
        "LimitReached": ("False", "NoLimits"),
        "Degraded": ("False", "AsExpected"),
    } == told(FACTS)


def test_advise_is_ready_and_buys_nothing() -> None:
    """Others may disrupt the nodes, and no NodePool need be named."""
    loud = dataclasses.replace(hands(node_pool=LOUD), pool=pool(mode="Advise"))
    bare = Facts(parse_pool({"metadata": {"name": "b"}, "spec": {}}), Hands(served=False))

    assert ("True", "Advises") == told(loud)["Ready"] == told(bare)["Ready"]
    assert ("False", "NodePoolConsolidates") == told(loud)["NodePoolQuiet"]
    assert ("False", "Advise") == told(loud)["Buying"] == told(bare)["Buying"]
    assert ("Unknown", "NodePoolUnknown") == told(bare)["NodePoolQuiet"]


def leaving() -> dict[str, Any]:
    body = copy.deepcopy(QUIET)
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return body


NOT_READY = {
    "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no subnets."}]}
}


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        (hands(served=False), "KarpenterMissing", "Install Karpenter"),
        (hands(synced=False), "Listing", "let the operator list nodepools"),
        (hands(node_pool=None), "NodePoolMissing", "NodePool np does not exist. Create it"),
        (
            dataclasses.replace(hands(node_pool=None), counts=Counts(requested=1, launched=1)),
            "NodePoolMissing",
            "2 nodes on the way to it will not stay",
        ),
        (hands(unread="NodePool np: spec is odd"), "NodePoolInvalid", "NodePool np: spec is odd"),
        (hands(node_pool=leaving()), "NodePoolDeleting", "NodePool np is being deleted"),
        (hands(node_class=None), "NodeClassMissing", "EC2NodeClass c, which NodePool np names"),
        (hands(node_class=NOT_READY), "NodeClassNotReady", "is not Ready (no subnets)"),
        (
            changed(pool=pool(limits={"cpu": "many"})),
            "InvalidSpec",
            "spec.limits.cpu: 'many' is not a quantity",
        ),
    ],
)
def test_what_hinders_buying(facts: Facts, reason: str, words: str) -> None:
    """Ready and Buying are False for the same reason, with the remedy."""
    assert ("False", reason) == told(facts)["Ready"] == told(facts)["Buying"]
    assert words in message(facts, "Ready")
    assert f"Nothing is bought. {message(facts, 'Ready')}" == message(facts, "Buying")


def test_a_loud_node_pool_is_as_advise() -> None:
    """Never two deciders: with mode Buy nothing is bought until the NodePool is quiet."""
    facts = hands(node_pool=LOUD)

    assert {
        "Ready": ("False", "NodePoolNotQuiet"),
        "NodePoolQuiet": ("False", "NodePoolConsolidates"),
        "Buying": ("False", "NodePoolConsolidates"),
    } == {type_: told(facts)[type_] for type_ in TYPES[:3]}
    assert "Set it to Never" in message(facts, "Ready")


@pytest.mark.parametrize("node_class", [{}, {"status": {"conditions": "odd"}}, READY_CLASS])
def test_a_class_that_says_nothing_bad(node_class: dict[str, Any]) -> None:
    """A fresh node class without conditions is not a hindrance."""
    assert ("True", "Buys") == told(hands(node_class=node_class))["Ready"]


def test_a_class_of_another_kind_is_not_missed() -> None:
    """The node classes of other providers are not looked at."""
    assert ("True", "Buys") == told(hands(node_class=None, followed=False))["Ready"]


def test_two_default_pools() -> None:
    """The first by name is the default; the other says so, and buys for those that name it."""
    other = PoolResource("a", spec=PoolSpec(default=True))
    facts = changed(pool=pool(default=True), default="a")

    assert "a" == default_pool([pool(default=True), other])
    assert "" == default_pool([pool()])
    assert ("False", "Conflict") == told(facts)["Ready"]
    assert ("True", "Idle") == told(facts)["Buying"]
    assert "Pool a is the default already" in message(facts, "Ready")
    assert ("True", "Buys") == told(changed(pool=pool(default=True), default="b"))["Ready"]


def test_limits() -> None:
    """Limits below what exists, limits that stop an order, and limits that leave room."""
    spec = pool(limits={"nodes": 2}).spec
    assert spec is not None
    two, three = (room(spec.limits, {}, Load(n, make_vector(n))) for n in (2, 3))
    full = changed(room=two, held_back=two.hindering(Load(1)), waiting=4)
    below = changed(room=three, held_back=three.hindering(Load(1)))

    assert ("True", "LimitReached") == told(full)["LimitReached"]
    assert (
        "The next node would exceed limits.nodes of the Pool (2; 2 in use). Pods that wait: 4. "
        "Raise the limit, or free room." == message(full, "LimitReached")
    )
    assert ("True", "LimitExceeded") == told(below)["LimitReached"]
    assert "limits.nodes of the Pool (2; 3 in use)" in message(below, "LimitReached")
    assert ("False", "WithinLimits") == told(changed(room=two))["LimitReached"]


def test_degraded() -> None:
    """Each trouble is told; the first gives the reason."""
    closed = Unavailable().refused([("t", "a", "spot"), ("t", "b", "spot")], NOON)
    facts = changed(
        refused_write='nodeclaims is forbidden: "no".',
        offers=Offers(2, ("a.b", "c.d", "e.f", "g.h", "i.j", "k.l"), "connection refused"),
        unavailable=closed,
    )

    assert ("True", "WritesRefused") == told(facts)["Degraded"]
    assert (
        'The API server refuses a write for this Pool: nodeclaims is forbidden: "no". Mend that; '
        "it is tried again by itself, at the latest after 5 minutes. Karpenter's prices and "
        "availability cannot be read (connection refused). The prices file and estimates are used. "
        "Make the metrics "
        "of Karpenter reachable, or set --karpenter-metrics. All 2 offerings that the NodePool "
        "allows were refused lately; the next is asked for again at 2026-09-21T14:16:20Z. Allow "
        "more types, zones or capacity types. No price is known of a.b, c.d, e.f, g.h, i.j and 1 "
        "more: they are not bought. Give their prices in the file of --prices-file, or leave them "
        "out of the NodePool." == message(facts, "Degraded")
    )
    assert ("False", "AsExpected") == told(changed(offers=Offers(3), unavailable=closed))[
        "Degraded"
    ]


def test_nodes_on_the_way() -> None:
    """Buying tells how many pods wait and how many nodes are coming."""
    facts = changed(counts=Counts(nodes=3, requested=1, registered=2), waiting=7)

    assert ("True", "NodesOnTheWay") == told(facts)["Buying"]
    assert "Pods that wait for a node: 7; nodes on the way: 3." == message(facts, "Buying")


def test_numbers() -> None:
    """Counts, dollars, the gap to the bound and what would be saved in a month."""
    found = status.status(
        changed(
            counts=Counts(5, 1, 2, 3, 4, 6),
            costs=Costs(12_345_000, 10_000_000, 11_000_000),
            refused=7,
            waiting=8,
            next=tuple(f"line {n}" for n in range(12)),
            offers=Offers(sources=("Karpenter's metrics",)),
        ),
        NOON,
    )

    assert {
        "observedGeneration": 3,
        "nodes": 5,
        "claims": {
            "requested": 1,
            "launched": 2,
            "registered": 3,
            "usable": 4,
            "retiring": 6,
            "refused": 7,
        },
        "waitingPods": 8,
        "dollarsPerHour": "12.35",
        "boundDollarsPerHour": "10.00",
        "plannedDollarsPerHour": "11.00",
        "gapPercent": "23.5",
        "savingDollarsPerMonth": "981.85",
        "unavailable": [],
        "next": [f"line {n}" for n in range(10)],
        "sources": ["Karpenter's metrics"],
    } == {key: value for key, value in found.items() if key != "conditions"}


def test_amounts_that_are_not_known_are_left_out() -> None:
    """No bound, no gap; a plan that costs more saves nothing; the bound may lie above a moment."""
    money = {"dollarsPerHour", "boundDollarsPerHour", "gapPercent", "savingDollarsPerMonth"}
    dear = status.status(changed(costs=Costs(1_000_000, 1_050_000, 2_000_000)), NOON)

    assert money.isdisjoint(status.status(FACTS, NOON))
    assert ("-4.8", "0.00") == (dear["gapPercent"], dear["savingDollarsPerMonth"])
    assert "gapPercent" not in status.status(changed(costs=Costs(0, 0, 0)), NOON)


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0.00"), (4_999, "0.00"), (5_000, "0.01"), (-1_995_000, "-2.00")]
)
def test_dollars(micro: int, text: str) -> None:
    assert text == dollars(micro)


def test_the_schema_takes_it() -> None:
    """Everything that may be in the status is in the definition, and the same again is equal."""
    facts = changed(
        costs=Costs(1, 2, 3), unavailable=Unavailable().refused([("t", "z", "spot")], NOON)
    )
    found = status.status(facts, NOON)
    again = dataclasses.replace(facts, pool=dataclasses.replace(facts.pool, status=found))

    PoolStatus.model_validate(found)
    assert found == status.status(again, NOON + 60)
