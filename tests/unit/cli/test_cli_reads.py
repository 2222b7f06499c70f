"""`plan`, `explain`, `top`, `next` on recorded objects: what they say, and that they only read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorded import Recorded, make_job, make_node, make_pod, make_service, run, told

ROOT = Path(__file__).parents[3]
NEW = {"observedGeneration": 0}


def test_plan_says_what_would_be_written() -> None:
    """Pods of a service that has none would be created on nodes; a foreign pod would be bound."""
    cluster = Recorded(make_node("a"), make_service("web", replicas=2), make_pod("guest"))
    body = told(cluster, "plan")

    assert [("Create", "a"), ("Create", "a"), ("Bind", "a")] == [
        (one["action"], one["node"]) for one in body["changes"]
    ]
    assert "LongService default/web" == body["changes"][0]["of"]
    assert "bayplan.dev/plan/v1" == body["schema"]
    assert not cluster.written


def test_plan_tells_what_has_no_room() -> None:
    """Exit code 1, the reason in the operator's own words, in the table as well."""
    cluster = Recorded(make_node("a"), make_service("web", replicas=1, cpu="9"))
    body = told(cluster, "plan", code=1)

    assert "0/1 nodes: 1 too small for it even when empty (cpu)" in body["waiting"][0]["message"]
    assert "no room for 1 of LongService default/web" in run(cluster, "plan", code=1).output


def test_plan_tells_cost_bound_and_gap() -> None:
    """Two nodes with a quarter each: one would do. As the gauges say it, before what is planned."""
    cluster = Recorded(
        make_node("a"), make_node("b"), make_pod("one", node="a"), make_pod("two", node="b"),
        make_pod("waits"),
    )  # fmt: skip
    cost = told(cluster, "plan")["cost"]
    shown = run(cluster, "plan").output

    assert 2 == cost["nodesInUse"]
    assert cost["costMicrodollarsPerHour"] == 2 * cost["boundMicrodollarsPerHour"] > 0
    assert 100.0 == cost["gapPercent"]
    assert "The 2 nodes in use cost $" in shown
    assert "(gap 100.0 %)" in shown
    assert "in use" not in run(Recorded(make_node("a")), "plan").output


def test_plan_does_not_guess_a_price() -> None:
    """A node of an unknown type in use: it is named, with what would help."""
    node = make_node("a")
    node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "mine.large"
    cluster = Recorded(node, make_pod("one", node="a"))

    assert ["a"] == told(cluster, "plan")["cost"]["nodesOfUnknownPrice"]
    assert "is not known: a of an unknown type" in run(cluster, "plan").output


def test_plan_of_one_namespace() -> None:
    """Others' changes are not told."""
    cluster = Recorded(make_node("a"), make_pod("guest"), make_pod("other", namespace="prod"))

    assert ["other"] == [one["pod"] for one in told(cluster, "plan", "-n", "prod")["changes"]]
    assert 2 == len(told(cluster, "plan", "-A")["changes"])


def test_plan_counts_nodes_of_the_selector_only() -> None:
    """A node that the operator does not fill gets nothing."""
    cluster = Recorded(make_node("a"), make_node("b", pool="ours"), make_pod("guest"))
    body = told(cluster, "plan", "--node-selector", "pool=ours")

    assert ["b"] == [one["node"] for one in body["changes"]]
    run(cluster, "plan", "--node-selector", "a in (b)", code=2)


def test_explain_shows_the_funnel_and_what_would_help() -> None:
    """Nodes charged to reasons add up; the first hint is the least change; exit code 1."""
    cluster = Recorded(make_node("a"), make_node("b", cpu="2"), make_pod("guest", cpu="5"))
    body = told(cluster, "explain", "pod/guest", code=1)
    [waiting] = body["waiting"]

    assert waiting["nodesConsidered"] == sum(one["nodes"] for one in waiting["refusals"]) == 2
    assert {"node": "a", "lacks": "1 cpu"} == waiting["nearest"]
    assert "if it asked for 1 cpu less" == waiting["wouldFit"][0]
    assert "(0 left)" in run(cluster, "explain", "guest", code=1).output


def test_explain_of_a_job_in_trouble() -> None:
    """A condition that says a person must act is trouble, though nothing waits for room."""
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidSchedule", "message": "no"}
    status = {"conditions": [{**stalled, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    job = make_job("report", schedule="@daily", status=status)
    body = told(Recorded(make_node("a"), job), "explain", "report", code=1)

    assert ["Stalled: InvalidSchedule: no"] == body["trouble"]


def test_explain_of_what_is_not_there() -> None:
    """Exit code 1 and the namespace in one line."""
    shown = run(Recorded(), "explain", "nothing", "-n", "prod", code=1).output

    assert "Error: no BatchJob, LongService or Pod 'nothing' in namespace prod\n" == shown


def test_a_text_of_a_user_is_no_command_to_the_terminal() -> None:
    """Escape sequences in messages are not passed on."""
    evil = {"type": "Ready", "status": "False", "reason": "X", "message": "\x1b]0;evil\x07"}
    job = make_job("report", status={"conditions": [evil]})

    assert "\x1b" not in run(Recorded(make_node("a"), job), "explain", "report", code=1).output


def test_a_cluster_that_refuses() -> None:
    """Exit code 3 and the server's own words, whatever the command."""
    for words in (["plan"], ["top", "--once"], ["explain", "x"], ["next", "x"]):
        cluster = Recorded(refuse={"/api": 403})

        assert "Error: refused: /api" in run(cluster, *words, code=3).output


def test_top_adds_up() -> None:
    """Requests against allocatable for each node and for all; terminal or pipe."""
    cluster = Recorded(
        make_node("a"), make_node("b"), make_pod("one", node="a", cpu="3"), make_pod("two")
    )
    body = told(cluster, "top")

    assert {"a": 75.0, "b": 0.0} == {
        one["name"]: one["fillPercent"]["cpu"] for one in body["nodes"]
    }
    assert 37.5 == body["fillPercent"]["cpu"]
    assert {"running": 1, "waiting": 1} == body["pods"]
    assert body["costMicrodollarsPerHour"] == sum(
        one["costMicrodollarsPerHour"] for one in body["nodes"]
    )
    shown = run(cluster, "top", "--once").output
    assert "2 nodes" in shown
    assert "75 %" in shown


def test_top_sorts_by_waste() -> None:
    """The node whose emptiness costs most comes first."""
    cluster = Recorded(make_node("a"), make_node("b"), make_pod("one", node="a", cpu="3"))

    assert ["b", "a"] == [one["name"] for one in told(cluster, "top", "--sort", "waste")["nodes"]]


def test_top_lists_jobs_and_services() -> None:
    """What runs, what is next, what waits."""
    job = make_job("report", schedule="@daily", status={"nextSlotTime": "2026-01-02T00:00:00Z"})
    cluster = Recorded(job, make_service("web", replicas=3, status={"readyReplicas": 2}))

    assert "2026-01-02T00:00:00Z" == told(cluster, "top", "jobs")["jobs"][0]["next"]
    [web] = told(cluster, "top", "services")["services"]
    assert (3, 2) == (web["wanted"], web["ready"])
    assert "report" in run(cluster, "top", "jobs", "--once").output


@pytest.mark.parametrize(("what", "kind"), [("jobs", "BatchJob"), ("services", "LongService")])
def test_a_cluster_without_the_definitions_is_told(what: str, kind: str) -> None:
    """The API server only says that it has found no such page."""
    empty = Recorded(make_node("a"), refuse={"/apis/bayplan.dev": 404})
    shown = run(empty, "top", what, code=3).output

    assert f"does not know the kind {kind}: install the chart bayplan-crds" in shown


def test_of_one_on_each_node_the_nodes_are_wanted() -> None:
    """`replicas` is not what counts; before the first look nothing is known."""
    known = make_service("agent", mode="PerNode", status={"desiredReplicas": 7, "readyReplicas": 6})
    new = make_service("fresh", mode="PerNode")
    rows = told(Recorded(known, new), "top", "services")["services"]

    assert {("agent", 7), ("fresh", 0)} == {(one["name"], one["wanted"]) for one in rows}


def test_drift_is_told() -> None:
    """How many break edited constraints, and what moves them; nothing is said where none does."""
    status = {"driftedReplicas": 2}
    cluster = Recorded(make_node("a"), make_service("web", replicas=3, status=status))
    calm = Recorded(make_node("a"), make_service("web", replicas=3, status={"driftedReplicas": 0}))
    moving = make_service("web", replicas=3, status=status, rebalance={"maxMovesPerHour": 4})

    assert [2] == [one["drifted"] for one in told(cluster, "top", "services")["services"]]
    assert "Drifted" in run(cluster, "top", "services", "--once").output
    assert "Drifted" not in run(calm, "top", "services", "--once").output
    assert 2 == told(cluster, "explain", "web")["drifted"]
    assert (
        "drifted: 2 break placement as it is now; they stay; "
        "spec.rebalance.maxMovesPerHour would move them" in run(cluster, "explain", "web").output
    )
    assert (
        "spec.rebalance moves them"
        in run(Recorded(make_node("a"), moving), "explain", "web").output
    )
    assert "drifted:" not in run(calm, "explain", "web").output


def test_next_tells_a_change_of_clocks() -> None:
    """02:30 does not exist on that day: the first valid moment, once, and said."""
    body = told(
        None, "next", "--schedule", "30 2 * * *", "--tz", "Europe/Berlin", "--after", "2026-03-28",
        "-n", "3",
    )  # fmt: skip

    assert [
        ("2026-03-28T01:30:00Z", ""),
        ("2026-03-29T01:00:00Z", "clocks changed since the one before"),
        ("2026-03-30T00:30:00Z", ""),
    ] == [(one["time"], one["note"]) for one in body["slots"]]


def test_next_of_a_job_in_the_cluster() -> None:
    """Its time zone and pause hold; -n is a count or a namespace."""
    paused = make_job(
        "report", schedule="0 6 * * *", timeZone="Asia/Tokyo",
        status={"pausedUntil": "2026-05-01T00:00:00Z"},
    )  # fmt: skip
    words = ("next", "report", "-n", "1", "-n", "default", "--after", "2026-01-01")
    body = told(Recorded(paused), *words)

    assert ("Asia/Tokyo", "2026-05-01T21:00:00Z") == (body["timeZone"], body["slots"][0]["time"])


@pytest.mark.parametrize(
    ("schedule", "code", "words"),
    [("61 * * * *", 2, "spec.schedule"), ("R0/2026-01-01T00:00:00Z/P1D", 1, "nothing is due")],
)
def test_next_of_what_is_never_due(schedule: str, code: int, words: str) -> None:
    """A wrong schedule is the user's error; one that has ended answers no."""
    shown = run(None, "next", "--schedule", schedule, "--after", "2027-01-01", code=code)

    assert words in shown.output


def test_the_start_loads_little() -> None:
    """--help and a wrong option load neither numpy, pydantic, rich nor anything of Kubernetes."""
    heavy = {
        "numpy",
        "pydantic",
        "rich",
        "yaml",
        "kubernetes",
        "aiohttp",
        "kopf",
        "highspy",
        "textual",
    }
    program = (
        "import sys, json\n"
        "from bayplan.cli.main import main\n"
        "try:\n    main(sys.argv[1:], prog_name='bayplan')\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    for words in (["--help"], ["plan", "--help"], ["top", "--sort", "colour"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(ROOT / "operator")},
        )
        loaded = set(json.loads(done.stderr.splitlines()[-1]))

        assert not heavy & loaded, (words, heavy & loaded)
        assert 400 > len(loaded)
