"""Every command that talks to a cluster knows which one is meant by the same options."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bayplan.cli.main import main
from bayplan.cli.target import Target
from tests.recorded import Recorded, make_job, make_node, make_pod, run, told

ROOT = Path(__file__).parents[3]
WITHOUT = {"completion", "dashboard", "import", "lint"}  # they ask no cluster with the client
# What a command must be told besides; -o json keeps `top` from going on.
WORDS = {
    "backfill": ["job", "--stop"], "cancel": ["job"], "doctor": [], "drain": ["a"],
    "explain": ["job"], "graph": [], "logs": ["job"], "mark-success": ["job", "x"],
    "next": ["job"], "pause": ["job"], "plan": [], "restart": ["web"], "resume": ["job"],
    "retry": ["job"], "run": ["job"], "runs": ["job"], "scale": ["web", "1"],
    "selftest": ["--seconds", "1"], "simulate": ["--cluster"], "support-bundle": [],
    "top": ["--once"], "uninstall": ["--yes", "--finalizers-only"],
    "rollout status": ["web"], "rollout history": ["web"], "rollout undo": ["web"],
    "rollout pause": ["web"], "rollout resume": ["web"], "rollout promote": ["web"],
}  # fmt: skip
EVERYWHERE = (
    "doctor", "drain", "graph", "plan", "simulate", "support-bundle", "top", "uninstall",
)  # fmt: skip


def commands(group: click.Group = main, before: str = "") -> Iterator[str]:
    """Every command by the words that call it."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def asked(*words: str) -> list[Target]:
    """Which clusters a command connects to."""
    found: list[Target] = []

    def connect(target: Target) -> Recorded:
        found.append(target)
        return Recorded(make_node("a"), make_job("job"))

    result = CliRunner().invoke(main, list(words), obj=connect)

    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert 2 != result.exit_code, result.output
    return found


def test_every_command_is_tried_here() -> None:
    """A new command is in this table, or asks no cluster."""
    known = {name for name in commands() if name.split()[0] not in WITHOUT}

    assert set(WORDS) == known


@pytest.mark.parametrize("command", sorted(WORDS))
def test_the_cluster_is_told_by_the_same_options(command: str, tmp_path: Path) -> None:
    """--kubeconfig, --context and -n as kubectl has them; the last option may come first."""
    file = tmp_path / "config"
    words = [*command.split(), "--kubeconfig", str(file), "--context", "other", "-n", "team"]
    if command == "support-bundle":
        words += ["--file", str(tmp_path / "bundle.tar.gz")]

    assert Target("team", "other", file) in asked(*words, *WORDS[command])
    assert Target("team", "other", file) in asked(
        *command.split(), *WORDS[command], "--namespace", "team", "--context=other",
        f"--kubeconfig={file}", *(["--file", str(tmp_path / "b2")] if "bundle" in command else []),
    )  # fmt: skip


@pytest.mark.parametrize("command", EVERYWHERE)
@pytest.mark.parametrize("flag", ["-A", "--all-namespaces"])
def test_all_namespaces(command: str, flag: str, tmp_path: Path) -> None:
    """-A where more than one object is looked at."""
    more = ["--file", str(tmp_path / "b")] if command == "support-bundle" else []

    assert Target("") in asked(*command.split(), *WORDS[command], flag, *more)


def test_a_kubeconfig_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Exit code 3, also of the commands that had a way of their own to connect."""
    file = str(tmp_path / "none")
    for command in ("drain", "uninstall", "selftest", "simulate", "top"):
        words = [command, *WORDS[command], "--kubeconfig", file]
        result = CliRunner().invoke(main, words)

        assert 3 == result.exit_code, (command, result.output)
        assert 1 == len(result.stderr.splitlines()), result.stderr
        assert result.stderr.startswith("Error: "), result.stderr


def test_simulate_of_a_cluster() -> None:
    """Naming a cluster is enough to start from it; what runs in every namespace counts."""
    cluster = Recorded(make_node("a"), make_pod("x", node="a", namespace="prod"))

    for option in (["--cluster"], ["--context", "c"], ["--kubeconfig", "f"], ["-A"]):
        assert 1 == told(cluster, "simulate", *option)["placed"], option


def test_simulate_puts_manifests_into_a_namespace(tmp_path: Path) -> None:
    """-n is for what names none, as in kubectl apply; nodes have none."""
    pods = [make_pod("x"), make_pod("y", namespace="prod"), make_node("a", cpu="1")]
    del pods[0]["metadata"]["namespace"]
    file = tmp_path / "pods.json"
    file.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": pods}))
    body = told(None, "simulate", str(file), "-n", "team", code=1)
    [node] = body["nodeList"]
    named = {one["workload"] for one in (*body["unplacedWorkloads"], *node["holds"])}

    assert {"Pod team/x", "Pod prod/y"} == named


def test_uninstall_of_a_namespace_keeps_definitions() -> None:
    """-n is refused where definitions would go, which are the whole cluster's."""
    shown = run(Recorded(), "uninstall", "--yes", "-n", "team", code=2).output

    assert "definitions belong to the whole cluster; add --finalizers-only" in shown


def test_a_graph_of_all_namespaces() -> None:
    """Jobs of the same name stay two; a parent is of its child's namespace."""
    jobs = []
    for namespace in ("a", "b"):
        for body in (make_job("load"), make_job("report", parents=[{"name": "load"}])):
            body["metadata"]["namespace"] = namespace
            jobs.append(body)
    links = told(Recorded(*jobs), "graph", "-A")["links"]

    assert [("a/load", "a/report"), ("b/load", "b/report")] == sorted(
        (one["parent"], one["child"]) for one in links
    )
    assert "no BatchJob 'x' in any namespace" in run(Recorded(), "graph", "-A", "x", code=1).output


HEAVY = {"numpy", "pydantic", "kubernetes", "kopf", "aiohttp", "msgspec", "highspy", "yaml", "rich"}
LOADED = """
import json, sys
from bayplan.cli.main import main
found = {}
for words in json.loads(sys.argv[1]):
    try:
        main([*words, "--help"], prog_name="bayplan")
    except SystemExit as ended:
        assert not ended.code, words
    found[" ".join(words)] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(found), file=sys.stderr)
"""


def test_help_of_the_whole_and_of_each_command_loads_nothing_heavy() -> None:
    """Neither arrays, models nor anything of a cluster: help is there at once."""
    wanted = [[], *(name.split() for name in commands())]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(wanted)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "operator")},
    )
    found = json.loads(done.stderr.splitlines()[-1])

    assert len(wanted) == len(found)
    assert {} == {words: bad for words, names in found.items() if (bad := HEAVY & set(names))}


def test_the_module_runs_the_commands() -> None:
    """`python -m bayplan.cli.main` is the program; it once did nothing, and ended with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "bayplan.cli.main", "lint", "absent.yaml"],
        env={"PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    assert "absent.yaml" in done.stderr
