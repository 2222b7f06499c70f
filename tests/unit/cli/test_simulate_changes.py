"""`bayplan simulate --compare-to`: what a change of manifests costs, told for a review."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from bayplan.cli.main import main
from tests.unit.cli.test_simulate import node, workload

GUIDE = Path(__file__).parents[3] / "docs/guide/simulate.md"
BASE = ("simulate", "--seconds", "0.05", "--instance-type", "m7i.large")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [*BASE, *map(str, words)])


def put(folder: Path, *bodies: Any, name: str = "web.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(yaml.safe_dump_all(bodies))
    return folder


def git(folder: Path, *words: str) -> None:
    about = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    done = {**os.environ, **about, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", folder, *words], env=done, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose branch `main` has 3 pods of web, and whose files have 12 and a cache."""
    top = tmp_path / "repository"
    put(top / "apps", workload(replicas=3))
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    put(top / "apps", workload(replicas=12))
    put(top / "apps", workload(name="cache", replicas=1), name="cache.yaml")
    return top


def test_a_revision(repository: Path) -> None:
    """Cost, nodes and workloads before and now; the repository stays as it was."""
    index = (repository / ".git/index").read_bytes()
    result = run(repository / "apps", "--compare-to", "main", "-o", "json")
    body = json.loads(result.output)
    then = body["comparedTo"]

    assert 0 == result.exit_code
    assert (3, 13) == (then["placed"], body["placed"])
    change = body["costDollarsPerMonth"] - then["costDollarsPerMonth"]
    assert change == pytest.approx(then["changeDollarsPerMonth"], abs=0.02)
    assert 0 < change
    assert {
        "Deployment default/web": (3, 12, 4_500, 9 << 30),
        "Deployment default/cache": (0, 1, 500, 1 << 30),
    } == {
        one["workload"]: (
            one["podsBefore"], one["pods"], one["changeMilliCpu"], one["changeMemoryBytes"],
        )
        for one in then["workloads"]
    }  # fmt: skip
    assert index == (repository / ".git/index").read_bytes()


def test_within_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to where the command runs; a file that is new counts as absent before."""
    monkeypatch.chdir(repository / "apps")
    result = run("cache.yaml", "--compare-to", "HEAD")

    assert 0 == result.exit_code, result.output
    assert "compared with HEAD: $0.00 → $" in result.output
    assert "Deployment default/cache: 0 → 1 pods, +0.5 CPU, +1 GiB memory" in result.output


def test_a_folder(tmp_path: Path) -> None:
    """Without git: rendered manifests of both revisions lie in two folders."""
    before = put(tmp_path / "before", workload(replicas=2))
    after = put(tmp_path / "after", workload(replicas=2))
    result = run(after, "--compare-to", before)

    assert f"compared with {before}: " in result.output
    assert "($0.00, +0.0 %), nodes 1 → 1, pods 2 → 2" in result.output


def test_the_gate(repository: Path) -> None:
    """Exit code 1 if the cost grows by more than --max-increase, and with pods without room."""
    asked = (repository / "apps", "--compare-to", "main", "--max-increase")

    assert 1 == run(*asked, "10").exit_code
    assert 0 == run(*asked, "100000").exit_code
    assert 2 == run(repository / "apps", "--max-increase", "10").exit_code


def test_the_comment_of_a_review(repository: Path) -> None:
    """Markdown: the difference first, then tables; names cannot break out of a cell."""
    put(repository / "apps", workload(name="a|b`<c>", replicas=1), name="odd.yaml")
    result = run(repository / "apps", "--compare-to", "main", "-o", "markdown")
    lines = result.output.splitlines()

    assert lines[0].startswith("### Nodes: **+$")
    assert "| pods | 3 | 14 | +11 |" in lines
    assert "| `Deployment default/web` | 3 → 12 | +4.5 | +9 GiB |" in lines
    assert "| `Deployment default/a\\|b&lt;c>` | 0 → 1 | +0.5 | +1 GiB |" in lines
    assert "Prices: " in lines[-1]


def test_in_a_hook(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git tells its hooks of their repository leads nowhere from another folder."""
    monkeypatch.chdir(repository)
    for name, value in {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index"}.items():
        monkeypatch.setenv(name, value)

    assert 0 == run("apps", "--compare-to", "main").exit_code


def test_markdown_alone(tmp_path: Path) -> None:
    """Without a revision: what the nodes cost, and what has no room."""
    result = run(put(tmp_path, node("n", cpu="1"), workload(replicas=40)), "-o", "markdown")

    assert result.output.startswith("### Nodes: **$")
    assert "| m7i.large |" in result.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("apps", "--compare-to", "absent"), "neither a folder nor a revision of git"),
        (("apps", "--compare-to", "--upload-pack=x"), "neither a folder nor a revision of git"),
        (("-", "--compare-to", "main"), "standard input has no revisions"),
        (("../outside", "--compare-to", "main"), "is in no git repository"),
    ],
)
def test_what_cannot_be_compared(
    repository: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    """One line says why, with exit code 2."""
    put(repository / "../outside", workload())
    monkeypatch.chdir(repository)
    result = CliRunner().invoke(main, [*BASE, *words], input=yaml.safe_dump(workload()))

    assert 2 == result.exit_code
    assert expected in result.output


def test_a_broken_file_of_the_revision(repository: Path) -> None:
    """It is named as git names it, not by a temporary folder."""
    (repository / "apps/bad.yaml").write_text("a: [")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "two")
    (repository / "apps/bad.yaml").unlink()
    result = run(repository / "apps", "--compare-to", "HEAD")

    assert 2 == result.exit_code
    assert f"HEAD:{repository}/apps/bad.yaml" in result.output
    assert "bayplan-" not in result.output


def test_the_snippets_of_the_guide(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands for GitHub and GitLab end with 1 and print what is posted."""
    commands = re.findall(r"(?:run: |- )bayplan (simulate apps .*) > cost.md", GUIDE.read_text())
    monkeypatch.chdir(repository)

    assert 2 == len(commands)
    for command in commands:
        words = shlex.split(re.sub(r"(origin/)?\$\w+", "main", command))
        result = CliRunner().invoke(main, [*words, *BASE[1:]])

        assert 1 == result.exit_code, result.output
        assert result.output.startswith("### Nodes: **+$")
