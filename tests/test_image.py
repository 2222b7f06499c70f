"""What the Dockerfile and the workflows say, compared with what they speak of; nothing is built."""

import fnmatch
import re
from typing import Any

import pytest
import yaml

import bayplan
from tests.helm import CHART, ROOT, one, render

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
LAST = LINES[max(at for at, line in enumerate(LINES) if line.startswith("FROM")) :]
WORKFLOWS = {path.name: path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")}


def said(lines: list[str], word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in lines if line.startswith(f"{word} ")]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """Each source of a COPY is in the repository, and .dockerignore lets it in."""
    copied = [name for line in said(LINES, "COPY") if "--from" not in line
              for name in line.split()[:-1]]  # fmt: skip
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]

    assert copied
    assert [] == [name for name in copied if not (ROOT / name).exists()]
    assert sorted(copied) == sorted(kept)


def test_the_last_stage_needs_no_shell() -> None:
    """It copies and runs nothing, is the chart's user, and starts without a shell."""
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]
    user = pod["securityContext"]

    assert [] == said(LAST, "RUN")
    assert [f"{user['runAsUser']}:{user['runAsGroup']}"] == said(LAST, "USER")
    assert [yaml.safe_load(line) for line in said(LAST, "CMD")] == [pod["containers"][0]["command"]]


def test_a_user_without_an_entry_has_a_home_and_a_name() -> None:
    """Libraries ask for both, and end the process where there are none."""
    [given] = said(LAST, "ENV")

    assert {"HOME=/tmp", "USER=bayplan"} <= set(given.split())


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_locks_name_hashes_and_no_addresses(name: str) -> None:
    """Every package of the image and of its making is pinned by content."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    pins = [line for line in text.splitlines() if re.match(r"[a-z]", line)]

    assert pins
    assert [] == [line for line in pins if not re.match(r"\S+==\S+ .*--hash=sha256:", line)]
    assert "://" not in text


def test_workflows_are_given_no_more_than_they_use() -> None:
    """Each begins with the right to read, and each job has a time limit."""
    for name, text in WORKFLOWS.items():
        flow: dict[str, Any] = yaml.safe_load(text)

        assert {"contents": "read"} == flow["permissions"], name
        assert [] == [job for job, it in flow["jobs"].items() if "timeout-minutes" not in it], name


def test_the_suite_runs_on_three_kubernetes_that_the_chart_takes() -> None:
    """The versions of the kind matrix, each pinned by content."""
    images = yaml.safe_load(WORKFLOWS["ci.yml"])["jobs"]["kind"]["strategy"]["matrix"]["kubernetes"]
    minors = [tuple(map(int, re.findall(r"\d+", image)[:2])) for image in images]

    assert 3 == len(set(minors))
    assert all(minor >= (1, 30) for minor in minors)
    assert all(re.fullmatch(r"v1\.\d+\.\d+@sha256:[0-9a-f]{64}", image) for image in images)


def test_a_release_finds_what_it_rewrites() -> None:
    """The lines that the release workflow looks for are in the files, once each."""
    values = (CHART / "values.yaml").read_text().splitlines()
    about = (CHART / "Chart.yaml").read_text().splitlines()

    assert 1 == len(fnmatch.filter(values, "  repository: *"))
    assert 1 == len(fnmatch.filter(values, "  digest: *"))
    assert 1 == len(fnmatch.filter(about, "*image: bayplan/bayplan:*"))
    for chart in ("bayplan", "bayplan-crds"):
        lines = (ROOT / "charts" / chart / "Chart.yaml").read_text().splitlines()
        version = bayplan.__version__

        assert {f"version: {version}", f"appVersion: {version}"} <= set(lines)
