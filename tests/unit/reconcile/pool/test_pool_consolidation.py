"""What a Pool's status says of moves: numbers, why none begins, which node goes or stays."""

import dataclasses
import inspect
from typing import Any

import pytest

from bayplan.api.pool_status import PoolStatus
from bayplan.reconcile.pool import consolidation, freezes, status
from bayplan.reconcile.pool.facts import (
    BlockedNode,
    Cause,
    Consolidating,
    Facts,
    Hands,
    LeavingNode,
)
from bayplan.reconcile.pool.quiet import Problem
from tests.builders import NOON
from tests.unit.reconcile.pool.test_pool_status import LOUD, QUIET, READY_CLASS, pool

MODE = "BuyAndConsolidate"
FACTS = Facts(
    pool(mode=MODE), Hands(node_pool=QUIET, node_class=READY_CLASS, followed=True),
    consolidating=Consolidating(),
)  # fmt: skip
BLOCKED = BlockedNode("n7", "ns/p", "is kept on its node by karpenter.sh/do-not-disrupt", 380_000)


def changed(**fields: Any) -> Facts:
    return dataclasses.replace(FACTS, consolidating=Consolidating(**fields))


def told(facts: Facts) -> dict[str, Any]:
    return status.status(facts, NOON)


def said(facts: Facts) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    [one] = [one for one in told(facts)["conditions"] if one["type"] == "Consolidating"]
    return one["status"], one["reason"], one["message"]


@pytest.mark.parametrize("mode", ["Advise", "Buy"])
def test_another_mode_says_nothing_of_moves(mode: str) -> None:
    """Also where something was known a moment ago: the status has neither fields nor condition."""
    facts = dataclasses.replace(FACTS, pool=pool(mode=mode))
    found = told(facts)

    assert told(dataclasses.replace(facts, consolidating=None)) == found
    assert "Consolidating" not in {one["type"] for one in found["conditions"]}


def test_a_pool_that_consolidates_says_so() -> None:
    """Ready tells more than with mode Buy, and nothing needs to move."""
    [ready] = [one for one in told(FACTS)["conditions"] if one["type"] == "Ready"]

    assert ("True", "BuysAndConsolidates") == (ready["status"], ready["reason"])
    assert ("True", "Settled") == said(FACTS)[:2]
    assert {"lastHour": 0, "lastDay": 0, "byCause": {}} == told(FACTS)["moves"]


def test_numbers() -> None:
    """As the definition has them; blocked nodes are told by price, ten at most."""
    many = [dataclasses.replace(BLOCKED, node=f"n{i}", price=i * 10_000) for i in range(12)]
    found = told(
        changed(
            moves_last_hour=3,
            moves_last_day=7,
            moves_by_cause={Cause.CONSOLIDATION: 5, Cause.INTERRUPTION: 2},
            closing=(LeavingNode("n1", 190_000, runs=3, ends_in=240),),
            draining=(LeavingNode("n2", 380_000, moves=7, moved=2),),
            blocked=tuple(many),
            promised=570_000,
            saved=1_234_999,
        )
    )

    assert {"lastHour": 3, "lastDay": 7, "byCause": {"Consolidation": 5, "Interruption": 2}} == (
        found["moves"]
    )
    assert (1, 1, "0.57", "1.23") == (
        found["closing"],
        found["draining"],
        found["promisedDollarsPerHour"],
        found["savedDollarsPerHour"],
    )
    assert [f"n{i}" for i in range(11, 1, -1)] == [one["node"] for one in found["blocked"]]
    assert found == {**PoolStatus.model_validate(found).wire(), **found}


def test_nodes_that_leave() -> None:
    """The condition counts them."""
    facts = changed(closing=(LeavingNode("n1", 1),), draining=(), moves_last_hour=4)

    assert ("True", "NodesLeave") == said(facts)[:2]
    assert "pods moved in the last hour: 4" in said(facts)[2]


def test_what_hinders_buying_hinders_moves() -> None:
    """A NodePool that Karpenter consolidates has two deciders."""
    loud = dataclasses.replace(FACTS, hands=dataclasses.replace(FACTS.hands, node_pool=LOUD))

    assert ("False", "NodePoolConsolidates") == said(loud)[:2]
    assert said(loud)[2].startswith("No pod is moved. NodePool np lets Karpenter consolidate")


def test_before_the_first_plan() -> None:
    """Nobody knows yet, which is not the same as nothing to do."""
    unknown = dataclasses.replace(FACTS, consolidating=None)

    assert ("Unknown", "Planning") == said(unknown)[:2] == said(changed(planned=False))[:2]


FREEZES = [
    (freezes.waiting(4), "Pods that wait for room come first (4)."),
    (freezes.unpriced(), "--karpenter-metrics"),
    (freezes.degraded("etcd is full."), "asked (etcd is full). Mend"),
    (freezes.degraded(""), "asked. Mend"),
    (freezes.outside(NOON), "opens at 20"),
    (freezes.outside(None), "is open."),
    (freezes.silence(), "until they answer or are gone"),
    (freezes.spent(600), "600 pods moved within the last hour"),
    (freezes.forbidden("maximumDraining"), "spec.consolidation.maximumDraining is 0"),
]


@pytest.mark.parametrize(("frozen", "words"), FREEZES)
def test_why_no_move_begins(frozen: Problem, words: str) -> None:
    """The rule that holds is the reason, and the message has its numbers."""
    facts = changed(frozen=frozen, draining=(LeavingNode("n2", 1, moves=2),))
    value, reason, message = said(facts)

    assert ("False", frozen.reason) == (value, reason)
    assert message.startswith("No move begins. ")
    assert words in message
    assert said(changed(frozen=frozen, planned=False)) == (value, reason, message)


def test_each_freeze_is_tried() -> None:
    """A rule that is added needs its words here."""
    rules = {name for name, _ in inspect.getmembers(freezes, inspect.isfunction)
             if not name.startswith("_")} - {"rfc3339"}  # fmt: skip

    assert len(rules) == len({one.reason for one, _ in FREEZES})


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            LeavingNode("n1", 190_000, runs=3, ends_in=244),
            "Node n1 closes: its 3 runs end in about 4 min; that saves $0.19 an hour.",
        ),
        (LeavingNode("n1", 0, runs=1, ends_in=20), "its run ends in about a minute; that saves"),
        (LeavingNode("n1", 0, runs=1, ends_in=1_700), "in about 30 min"),
        (LeavingNode("n1", 0, runs=1, ends_in=7_200), "in about 2 h"),
        (LeavingNode("n1", 0, runs=2), "closes: its 2 runs end; that saves $0.00 an hour."),
        (LeavingNode("n1", 10_000), "new pods go there last, and it is given back when it is"),
        (LeavingNode("n1", 10_000, why="a bought node is not there yet"), "closes: a bought node"),
    ],
)
def test_a_node_closes(node: LeavingNode, words: str) -> None:
    """It says what is waited for, for how long, and what it saves."""
    [line] = consolidation.sentences(Consolidating(closing=(node,)))

    assert words in line


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (LeavingNode("n2", 380_000, moves=7, moved=2), "2 of 7 pods have moved; that saves $0.38"),
        (LeavingNode("n2", 1, moves=2, why="ns/p is not ready"), "have moved (ns/p is not ready);"),
        (LeavingNode("n2", 1, moves=2, moved=2), "Node n2 is empty, and goes back unless a pod"),
        (LeavingNode("n2", 1, moves=2, moved=2, runs=1), "2 of 2 pods have moved; runs that"),
        (LeavingNode("n2", 1, moves=1, runs=2), "0 of 1 pods have moved; runs that are waited"),
    ],
)
def test_a_node_is_being_emptied(node: LeavingNode, words: str) -> None:
    """It says how far that is."""
    [line] = consolidation.sentences(Consolidating(draining=(node,)))

    assert words in line


def test_a_node_stays() -> None:
    """It names the pod or the node itself, why, and what that costs."""
    kept = BlockedNode("n8", "", "is kept by the annotation bayplan.dev/keep", 96_000)
    of_pod, of_node = consolidation.sentences(Consolidating(blocked=(kept, BLOCKED)))

    assert (
        "Node n7 stays: pod ns/p is kept on its node by karpenter.sh/do-not-disrupt; it costs "
        "$0.38 an hour."
    ) == of_pod
    assert (
        "Node n8 stays: it is kept by the annotation bayplan.dev/keep; it costs $0.10 an hour."
    ) == of_node


def test_few_nodes_of_each_sort_are_named() -> None:
    """The list of what comes next is short; the rest is counted."""
    nodes = tuple(LeavingNode(f"n{i}", 1, moves=1) for i in range(5))
    lines = list(
        consolidation.sentences(
            Consolidating(closing=nodes, draining=nodes, blocked=(BLOCKED,) * 4)
        )
    )

    assert 9 == len(lines)
    assert [
        "More nodes that are being emptied: 3.",
        "More nodes that close: 3.",
        "More nodes that cannot be given back: 2.",
    ] == lines[2::3]
