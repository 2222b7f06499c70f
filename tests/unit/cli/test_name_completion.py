"""Names that a shell completes, for every command that takes a name."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from bayplan.cli.main import main
from tests.recorded import Recorded, make_job, make_node, make_service

_TEXTS = {("run", "arguments")}  # of the user's own program


def offered(words: list[str], typed: str = "", *, found: Recorded | None = None) -> list[str]:
    there = found if found is not None else world()
    asked = ShellComplete(main, {"obj": there}, "bayplan", "_BAYPLAN_COMPLETE")
    return [item.value for item in asked.get_completions(words, typed)]


def world() -> Recorded:
    status = {"active": [{"run": "r3"}], "history": [{"run": "r2"}, {"run": "r1"}]}
    job = {**make_job("report"), "status": status}
    return Recorded(job, make_job("repair"), make_service("web"), make_node("n1"))


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as context:
        for word in group.list_commands(context):
            command = group.get_command(context, word)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{name}{word} ")
            yield f"{name}{word}", command


def test_every_argument_is_completed() -> None:
    """By names, files, or the words that are allowed."""
    bare = {
        (name, parameter.name)
        for name, command in commands(main)
        for parameter in command.params
        if isinstance(parameter, click.Argument)
        and isinstance(parameter.type, click.types.StringParamType)
        and parameter._custom_shell_complete is None  # noqa: SLF001  click tells it nowhere else
    }

    assert _TEXTS == bare


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        (["runs"], "re", ["repair", "report"]),
        (["pause"], "rep", ["repair", "report"]),
        (["cancel"], "repo", ["report"]),
        (["cancel", "report"], "", ["r3", "r2", "r1"]),
        (["mark-success", "report"], "r1", ["r1"]),
        (["retry", "absent"], "", []),
        (["scale"], "", ["web"]),
        (["rollout", "status"], "w", ["web"]),
        (["drain"], "", ["n1"]),
        (["explain"], "job/", ["job/repair", "job/report"]),
        (["explain"], "service/w", ["service/web"]),
        (["explain"], "nonsense/", []),
    ],
)
def test_names(words: list[str], typed: str, expected: list[str]) -> None:
    """The cluster is asked; a run is completed by the job before it."""
    assert expected == offered(words, typed)


def test_namespaces_count() -> None:
    """Names are those of the namespace that stands before them."""
    there = make_job("there")
    there["metadata"]["namespace"] = "other"
    found = Recorded(make_job("here"), there)

    assert ["there"] == offered(["runs", "-n", "other"], found=found)
    assert ["here", "there"] == offered(["runs", "-A"], found=found)


def test_contexts(tmp_path: Path) -> None:
    """Those of the kubeconfig; a file that cannot be read has none."""
    file = tmp_path / "config"
    file.write_text(json.dumps({"contexts": [{"name": "prod"}, {"name": "dev"}]}))
    words = ["runs", "--kubeconfig", str(file), "--context"]

    assert ["dev", "prod"] == offered(words)

    file.write_text("a: [")

    assert [] == offered(words)


def test_files() -> None:
    """Manifests are completed by the shell itself."""
    asked = ShellComplete(main, {}, "bayplan", "_BAYPLAN_COMPLETE")

    assert ["file"] == [item.type for item in asked.get_completions(["simulate"], "exa")]
