"""What the documentation shows is true: manifests are accepted, commands exist, links lead on."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from bayplan.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")

# Kinds of Karpenter: tests/cluster/test_pool_policy.py asks its definitions.
KARPENTER = ("karpenter.sh/", "karpenter.k8s.aws/")
# Parts of manifests that the text around them completes; with what they are completed here.
_TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "busybox:1.36"}]}}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8"))):
            if found[1] == language:
                yield f"{page.relative_to(ROOT)} block {number}", found[2]


def manifests() -> Iterator[tuple[str, object]]:
    for where, text in blocks("yaml"):
        for document in yaml.safe_load_all(text):
            yield where, document


def whole_manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Manifests as they are; a part is put into the kind whose page it is on."""
    for where, document in manifests():
        assert isinstance(document, dict), where
        if "receivers" in document:
            continue  # the administrator's file, read by tests/unit/notifications/test_notify.py
        if {"jobs", "cost"} & document.keys():
            continue  # of a forge, run by tests/unit/cli/test_simulate_changes.py
        if "kind" in document:
            yield where, document
            continue
        kind = "LongService" if "longservice" in where else "BatchJob"
        about = {"apiVersion": "bayplan.dev/v1alpha1", "kind": kind, "metadata": {"name": "part"}}
        yield where, {**about, "spec": {"template": _TEMPLATE, **document["spec"]}}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Calls of our own program in shell blocks, as words without comments."""
    for where, text in blocks("sh"):
        for line in text.splitlines():
            if line.startswith("bayplan "):
                yield f"{where}: {line}", shlex.split(line, comments=True)


def test_there_is_something_to_check() -> None:
    """The patterns above find what a reader sees."""
    assert len(list(manifests())) >= 8
    assert len(list(commands())) >= 40


@pytest.mark.parametrize(("where", "document"), list(whole_manifests()))
def test_a_manifest_is_accepted(where: str, document: dict[str, Any], tmp_path: Path) -> None:
    """By the schemas of Kubernetes, or by our own program."""
    if str(document["apiVersion"]).startswith(KARPENTER):
        assert "let-bayplan-buy" in where  # and the test below
        return
    if not str(document["apiVersion"]).startswith("bayplan.dev/"):
        kubernetes_validate.validate(document, "1.35", strict=True)
        return
    file = tmp_path / "manifest.yaml"
    file.write_text(yaml.safe_dump(document))
    result = CliRunner().invoke(main, ["lint", str(file)])

    assert 0 == result.exit_code, f"{where}: {result.output}"


def test_the_manifests_of_a_pool_go_together(tmp_path: Path) -> None:
    """The NodePool of the guide is one through which its Pool may buy; lint has nothing to say."""
    found = [body for where, body in whole_manifests() if "let-bayplan-buy" in where]
    file = tmp_path / "pool.yaml"
    for mode in ("Advise", "Buy", "BuyAndConsolidate"):
        changed = [
            {**body, "spec": {**body["spec"], "mode": mode}} if body["kind"] == "Pool" else body
            for body in found
        ]
        file.write_text(yaml.safe_dump_all(changed))
        result = CliRunner().invoke(main, ["lint", "--strict", str(file)])

        assert 0 == result.exit_code, result.output

    assert {"NodePool", "EC2NodeClass", "Pool", "BatchJob"} == {body["kind"] for body in found}


@pytest.mark.parametrize(("where", "words"), list(commands()))
def test_a_command_exists(where: str, words: list[str]) -> None:
    """The command, its options and the number of its arguments are those of the program."""
    command: click.Command = main
    # As when called: a command keeps the help option that its first context gave it.
    context = click.Context(command, info_name="bayplan", **command.context_settings)
    rest = list(itertools.takewhile(lambda word: word not in {">", "<", "|"}, words[1:]))
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, where
        command = found
    assert refused(command, rest, context) in {None, "a file is not there"}, where


def refused(command: click.Command, words: list[str], parent: click.Context) -> str | None:
    """What the program says against these words. Files of an imagined reader are not here."""
    try:
        command.make_context(command.name, words, parent=parent).close()
    except click.ClickException as error:
        return "a file is not there" if "does not exist" in error.message else error.message
    return None


OFFLINE = [
    ["simulate", "examples/data-company"],
    ["simulate", "examples/data-company", "--instance-type", "m7i.*", "--scale", "api=40"],
    ["lint", "examples/data-company"],
]


@pytest.mark.parametrize("words", OFFLINE, ids=" ".join)
def test_an_offline_command_runs(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed in the guides, in the root of the repository."""
    shown = {tuple(found[1:]) for _, found in commands()}
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, words)

    assert tuple(words) in shown
    assert result.exit_code in {0, 1}, result.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files that are there."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    local = [link for link in _LINK.findall(text) if "://" not in link and "mailto:" not in link]

    assert [] == [link for link in local if not (page.parent / link).exists()]
