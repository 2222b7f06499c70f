"""`top pools`, `explain pool/NAME`, and Pools in `plan`: what they say of a recorded cluster."""

import io
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from rich.console import Console

from bayplan.cli.main import main
from bayplan.cli.packing import pool_table
from tests.recorded import Body, Recorded, make_node, make_pod, run, told

POOLS = "/apis/bayplan.dev/v1alpha1/pools"
NODE_POOL = "karpenter.sh/nodepool"
TYPE = "node.kubernetes.io/instance-type"
LABEL = "bayplan.dev/pool"
TAINT = {"key": LABEL, "value": "batch", "effect": "NoSchedule"}
NO_LIMIT = "Neither the Pool nor its NodePool has limits."


def condition(kind: str, value: str, reason: str, message: str) -> Body:
    return {"type": kind, "status": value, "reason": reason, "message": message}


def make_status(**more: Any) -> Body:
    """As the operator writes it for a Pool that is well."""
    return {
        "observedGeneration": 1,
        "nodes": 2,
        "claims": {
            "requested": 1, "launched": 1, "registered": 0,
            "usable": 2, "retiring": 1, "refused": 3,
        },
        "waitingPods": 4,
        "dollarsPerHour": "12.34",
        "boundDollarsPerHour": "11.90",
        "plannedDollarsPerHour": "12.00",
        "gapPercent": "3.7",
        "savingDollarsPerMonth": "248.20",
        "unavailable": [
            {
                "type": "m5.large", "zone": "eu-1a", "capacityType": "spot",
                "until": "2026-01-01T00:03:00Z", "refusals": 2,
            }
        ],
        "next": ["Ordered: 1 × m5.large."],
        "sources": ["Karpenter"],
        "conditions": [
            condition("Ready", "True", "Buys", "Nodes are bought when pods need them."),
            condition("NodePoolQuiet", "True", "LeftAlone", "Karpenter leaves the nodes be."),
            condition("Buying", "True", "Idle", "No pod waits."),
            condition("LimitReached", "False", "NoLimits", NO_LIMIT),
            condition("Degraded", "False", "AsExpected", ""),
        ],
        **more,
    }  # fmt: skip


def make_pool(name: str = "batch", status: Body | None = None, **spec: Any) -> Body:
    wanted = {"mode": "Buy", "nodePoolRef": {"name": f"of-{name}"}, **spec}
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": name, "generation": 1},
        "spec": {key: value for key, value in wanted.items() if value is not None},
        "status": make_status() if status is None else status,
    }


def make_node_pool(name: str = "of-batch", **spec: Any) -> Body:
    wanted = [{"key": TYPE, "operator": "In", "values": ["m5.large", "m5.xlarge"]}]
    reference = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "plain"}
    template = {"spec": {"requirements": wanted, "nodeClassRef": reference}}
    return {"kind": "NodePool", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def mine(name: str, pool: str = "batch") -> Body:
    return make_node(name, **{LABEL: pool, NODE_POOL: f"of-{pool}"})


def cluster(*more: Body, pool: Body | None = None) -> Recorded:
    """A Pool with two nodes of 4 CPU, of which pods ask for 3; and a node that is not its own."""
    pods = [make_pod("a", node="n1"), make_pod("b", node="n2", cpu="2"), make_pod("c", node="n3")]
    found = [mine("n1"), mine("n2"), make_node("n3"), *pods, *more]
    return Recorded(make_pool() if pool is None else pool, *found)


# ── top ──────────────────────────────────────────────────────────────────────────────────────────


def test_top_has_a_row_for_each_pool() -> None:
    """Figures come from the status; nodes and how full they are, from the nodes that there are."""
    [row] = told(cluster(), "top", "pools")["pools"]

    assert ("batch", "of-batch", "Buy", 2) == tuple(
        row[key] for key in ("name", "nodePool", "mode", "nodes")
    )
    assert 37.5 == row["fillPercent"]["cpu"]
    assert ("12.34", "11.90", "3.7") == tuple(
        row[key] for key in ("dollarsPerHour", "boundDollarsPerHour", "gapPercent")
    )
    assert (1, 1, 3) == tuple(row["claims"][key] for key in ("requested", "launched", "refused"))
    assert (4, ["Ordered: 1 × m5.large."]) == (row["waitingPods"], row["next"])


def test_top_of_pools_as_text() -> None:
    """Claims on their way there and back, and refused; what comes next; -o wide has more."""
    text = run(cluster(), "top", "pools").output
    wide = run(cluster(), "top", "pools", "-o", "wide").output

    assert "+2 -1 !3" in text
    assert "batch: Ordered: 1 × m5.large." in text
    for word in ("of-batch", "Registered", "248.20", "12.00"):
        assert word in wide
        assert word not in text


@pytest.mark.parametrize(("mode", "shown_as"), [("Advise",) * 2, ("BuyAndConsolidate", "Buy+")])
def test_a_row_fits_eighty_columns(mode: str, shown_as: str) -> None:
    """A long name is cut; no number is."""
    status = make_status(
        dollarsPerHour="10234.56", boundDollarsPerHour="10100.00", gapPercent="101.3",
        waitingPods=12_345,
    )  # fmt: skip
    wanted = make_pool("a" * 63, status, mode=mode, nodePoolRef=None)
    rows = told(cluster(pool=wanted), "top", "pools")["pools"]
    console = Console(width=80, file=io.StringIO())
    with console.capture() as shown:
        console.print(pool_table.picture(rows, wide=False))
    head, row, *_ = shown.get().splitlines()

    assert ["Wait", "12345"] == [head.split()[-1], row.split()[-1]]
    assert {"10234.56", "10100.00", "101.3%", shown_as} < set(row.split())
    assert max(len(head), len(row)) <= 80


BLOCKED = {
    "node": "n2", "pod": "a/b", "reason": "is the only pod of ReplicaSet a",
    "dollarsPerHour": "0.38",
}  # fmt: skip


def moving(**more: Any) -> Body:
    """A Pool that consolidates: 3 nodes close, 1 is being emptied, 1 is blocked."""
    status = make_status(
        moves={"lastHour": 12, "lastDay": 40, "byCause": {"Consolidation": 40}},
        closing=3,
        draining=1,
        blocked=[BLOCKED],
        promisedDollarsPerHour="0.57",
        savedDollarsPerHour="1.25",
        **more,
    )
    return make_pool(status=status, mode="BuyAndConsolidate")


SAID = (
    "12 pods moved in the last hour, 40 in 24 hours; nodes that close: 3, that are being emptied: "
    "1, which saves $0.57 an hour; $1.25 an hour saved in 24 hours"
)


def test_top_shows_what_moves() -> None:
    """In a line below the table, and in columns with -o wide; other Pools have none of it."""
    text = run(cluster(pool=moving()), "top", "pools").output
    wide = run(cluster(pool=moving()), "top", "pools", "-o", "wide").output
    [row] = told(cluster(pool=moving()), "top", "pools")["pools"]

    assert "+2 -1 !3 ~4" in text
    assert f"batch: {SAID}" in " ".join(text.split())
    assert {"Buy+", "BuyAndConsolidate"} & set(text.split()) == {"Buy+"}
    for word in ("BuyAndConsolidate", "Closing", "Draining", "Moves/h", "Blocked"):
        assert word in wide
    assert (3, 1, 12, [BLOCKED]) == tuple(
        row["consolidation"][key] for key in ("closing", "draining", "movesLastHour", "blocked")
    )
    assert None is told(cluster(), "top", "pools")["pools"][0]["consolidation"]


def test_the_page_of_a_pool_that_consolidates() -> None:
    """What moves, and each node that cannot go with the pod and the price."""
    lines = run(cluster(pool=moving()), "explain", "pool/batch", code=1).output.splitlines()

    assert lines[0].startswith("Pool batch, mode BuyAndConsolidate: orders nodes, gives them back,")
    assert f"moves: {SAID}" in lines
    assert (
        "blocked: n2 stays, since pod a/b is the only pod of ReplicaSet a; it costs $0.38 an hour"
    ) in lines


def test_top_says_why_a_pool_is_not_ready() -> None:
    """The words of the condition, with the remedy; and that nobody has written a status."""
    bad = condition("Ready", "False", "NodePoolMissing", "NodePool x does not exist. Create it.")
    hindered = make_pool("a", make_status(conditions=[bad]))
    text = run(Recorded(hindered, make_pool("b", {})), "top", "pools").output

    assert "a: not ready (NodePoolMissing): NodePool x does not exist. Create it." in text
    assert "b: the operator has written no status" in text


def test_a_pool_without_a_node_pool_has_the_nodes_that_have_no_pool() -> None:
    """With mode Advise it tells about the nodes that somebody else bought."""
    pool = make_pool(mode="Advise", nodePoolRef=None)
    [row] = told(cluster(pool=pool), "top", "pools")["pools"]

    assert (1, 25.0) == (row["nodes"], row["fillPercent"]["cpu"])


def test_no_pools() -> None:
    """One sentence; an empty list for programs."""
    [line] = run(Recorded(make_node("a")), "top", "pools").output.splitlines()

    assert line.startswith("There is no Pool in the cluster.")
    assert [] == told(Recorded(make_node("a")), "top", "pools")["pools"]


@pytest.mark.parametrize("words", [["top", "pools"], ["explain", "pool/batch"]])
def test_a_cluster_that_does_not_know_pools(words: list[str]) -> None:
    """The definition is named, and where it comes from."""
    result = run(Recorded(refuse={POOLS: 404}), *words, code=3)

    assert "pools.bayplan.dev is missing; install the chart bayplan-crds" in result.output


def test_who_may_not_list_pools_hears_so() -> None:
    """The words of the server, exit code 3."""
    assert "refused" in run(Recorded(refuse={POOLS: 403}), "top", "pools", code=3).output


# ── explain ──────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_a_pool() -> None:
    """What it is, nodes and claims, costs, what waits and comes next, what cannot be had."""
    lines = run(cluster(make_node_pool()), "explain", "pool/batch", code=1).output.splitlines()

    assert (
        "Pool batch, mode Buy: orders nodes and gives them back through NodePool of-batch"
        == lines[0]
    )
    assert {
        "  NodeClaims: 1 ordered, 1 starting, 0 joining, 2 usable, 1 going back; 3 lately refused",
        "cost: $12.34 an hour, 3.7 % over the bound",
        "  bound: no nodes hold these pods for less than $11.90",
        "  the best plan found costs $12.00 an hour and would save $248.20 a month",
        "waiting: 4 pods for a node of this Pool",
        "next: Ordered: 1 × m5.large.",
        "unavailable until 2026-01-01T00:03:00Z: m5.large in eu-1a, spot (refused 2 times)",
        "prices: Karpenter",
    } <= set(lines)
    assert any(line.startswith("nodes: 2, of which pods ask for cpu 38 %") for line in lines)
    assert not any("Ready" in line.partition("(")[0] for line in lines if "on n" not in line)


def test_the_page_of_a_pool_that_is_well_ends_with_0() -> None:
    """Nothing waits and nothing hinders it."""
    run(cluster(pool=make_pool(status=make_status(waitingPods=0))), "explain", "pools/batch")


def test_what_hinders_a_pool_is_told_once_with_the_remedy() -> None:
    """Conditions that are as they should be are not shown; what Ready says, Buying only repeats."""
    said = "NodePool of-batch consolidates. Set consolidateAfter to Never."
    bad = [
        condition("Ready", "False", "NodePoolNotQuiet", said),
        condition("NodePoolQuiet", "False", "Consolidates", said),
        condition("Buying", "False", "Consolidates", f"Nothing is bought. {said}"),
        condition("LimitReached", "True", "LimitReached", "The next node would exceed limits.cpu."),
        condition("Degraded", "False", "AsExpected", ""),
    ]
    pool = make_pool(status=make_status(conditions=bad, waitingPods=0))
    found = told(cluster(pool=pool), "explain", "bpool/batch", code=1)

    assert [
        f"Ready=False (NodePoolNotQuiet): {said}",
        "LimitReached=True (LimitReached): The next node would exceed limits.cpu.",
    ] == found["trouble"]
    assert 5 == len(found["conditions"])


def test_limits_with_their_use() -> None:
    """Of the Pool and of its NodePool; a claim counts as the largest that it may become."""
    claim: Body = {
        "kind": "NodeClaim",
        "metadata": {"name": "batch-0", "labels": {LABEL: "batch"}},
        "spec": {
            "requirements": [
                {"key": TYPE, "operator": "In", "values": ["m5.large", "m5.4xlarge"]},
            ]
        },
    }
    there = {**claim, "metadata": {**claim["metadata"], "name": "batch-1"},
             "status": {"nodeName": "n1"}}  # fmt: skip
    pool = make_pool(limits={"nodes": 5, "cpu": "30", "memory": "1Ti", "dollarsPerHour": "20"})
    found = cluster(claim, there, make_node_pool(limits={"cpu": "1000"}), pool=pool)
    rows = {
        (one["whose"], one["what"]): (one["used"], one["most"])
        for one in told(found, "explain", "pool/batch", code=1)["limits"]
    }

    assert {
        ("Pool", "nodes"): ("3", "5"),
        ("Pool", "cpu"): ("24", "30"),  # 2 m5.xlarge, and 16 of an m5.4xlarge
        ("Pool", "memory"): ("96Gi", "1Ti"),
        ("Pool", "dollarsPerHour"): ("12.34", "20.00"),
        ("NodePool", "cpu"): ("24", "1000"),
    } == rows
    text = run(found, "explain", "pool/batch", code=1).output

    assert "limit of the Pool: dollarsPerHour $12.34 of $20.00 in use" in text


def test_a_pool_that_nobody_serves() -> None:
    """Without a status there is no cost to tell, and that is said."""
    text = run(cluster(pool=make_pool(status={})), "explain", "pool/batch", code=1).output

    assert "it serves Pools only if it runs with pool.enabled" in text
    assert "cost:" not in text


def test_a_pool_whose_spec_cannot_be_read() -> None:
    """The page is shown all the same."""
    bad = condition("Ready", "False", "InvalidSpec", "spec.limits.cpu: 'many' is no quantity.")
    pool = make_pool(limits={"cpu": "many"}, status=make_status(conditions=[bad]))
    text = run(cluster(pool=pool), "explain", "pool/batch", code=1).output

    assert "Pool batch, mode invalid" in text
    assert "InvalidSpec" in text


def test_a_pool_that_is_not_there() -> None:
    """Those that are there are named."""
    text = run(cluster(), "explain", "pool/other", code=1).output

    assert "no Pool 'other'; there are batch" in text


def test_other_kinds_are_explained_as_before() -> None:
    """An unknown kind is told which there are."""
    kinds = "write job, service, pod, pool, node, deployment or statefulset"

    assert kinds in run(cluster(), "explain", "x/y", code=1).output


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────


def test_plan_says_what_pools_do_next() -> None:
    """Below the pods; for programs too. A Pool with nothing to do is not named."""
    idle = make_pool("idle", make_status(next=[]))

    assert "Pool batch: Ordered: 1 × m5.large.\n" in run(cluster(idle), "plan").output
    assert [{"name": "batch", "mode": "Buy", "next": ["Ordered: 1 × m5.large."]}] == told(
        cluster(idle), "plan"
    )["pools"]


@pytest.mark.parametrize("status", [403, 404])
def test_plan_without_pools_is_as_before(status: int) -> None:
    """Neither a missing definition nor missing rights stop it."""
    found = Recorded(make_node("a"), refuse={POOLS: status})

    assert "Nothing to do.\n" == run(found, "plan").output
    assert [] == told(found, "plan")["pools"]


@pytest.mark.parametrize("word", ["batch", "pool/batch"])
def test_plan_of_a_pool_is_that_of_its_node_pool(word: str) -> None:
    """The name of a Pool leads to the NodePool that it names."""
    found = told(cluster(make_node_pool()), "plan", "--pool", word)

    assert ("of-batch", 2) == (found["pool"], found["nodes"])


def test_a_node_pool_comes_before_a_pool_of_the_same_name() -> None:
    """As before there were Pools; `pool/NAME` means the Pool."""
    both = cluster(make_node_pool(), make_node_pool("batch"))

    assert "batch" == told(both, "plan", "--pool", "batch")["pool"]
    assert "of-batch" == told(both, "plan", "--pool", "pool/batch")["pool"]


@pytest.mark.parametrize(
    ("pool", "word", "why"),
    [
        (make_pool(), "other", "'other' is neither a file nor a NodePool or a Pool of the cluster"),
        (make_pool(), "pool/other", "the cluster has no Pool 'other'"),
        (make_pool(), "batch", "NodePool of-batch, which Pool batch names, is not in the cluster"),
        (
            make_pool(mode="Advise", nodePoolRef=None),
            "batch",
            "Pool batch names no NodePool (spec.nodePoolRef.name)",
        ),
    ],
)
def test_plan_of_a_pool_without_a_node_pool(pool: Body, word: str, why: str) -> None:
    """What is missing is named."""
    assert why in run(cluster(pool=pool), "plan", "--pool", word, code=2).output


# ── completion ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "typed", "some"),
    [
        (["explain"], "po", ["pod/", "pool/"]),
        (["explain"], "no", ["node/"]),
        (["explain"], "pool/", ["pool/batch", "pool/big"]),
        (["explain"], "pool/ba", ["pool/batch"]),
        (["explain"], "node/n", ["node/n1"]),
        (["explain"], "job/", []),
        (["plan", "--pool"], "b", ["batch", "big"]),
        (["top"], "po", ["pods", "pools"]),
    ],
)
def test_names_of_pools_are_completed(words: list[str], typed: str, some: list[str]) -> None:
    """The cluster is asked for them."""
    found = Recorded(make_pool("batch"), make_pool("big"), make_node("n1"))
    asked = ShellComplete(main, {"obj": found}, "bayplan", "_BAYPLAN_COMPLETE")

    assert some == [item.value for item in asked.get_completions(words, typed)]


def test_completion_is_silent_where_the_cluster_does_not_answer() -> None:
    """No names, and no error between the words that somebody types."""
    found = Recorded(refuse={POOLS: 403})
    asked = ShellComplete(main, {"obj": found}, "bayplan", "_BAYPLAN_COMPLETE")

    assert [] == asked.get_completions(["explain"], "pool/")
