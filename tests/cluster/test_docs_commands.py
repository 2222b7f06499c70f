"""Commands of other programs that the documentation shows: they exist, with these flags.

By what the programs say of themselves; what they would do is tried elsewhere. Our own commands are
read by our own parser (tests/unit/test_docs.py).
"""

import functools
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.cluster.under_test import Site
from tests.helm import VERSIONS, Helm
from tests.unit.test_docs import PAGES, ROOT, blocks

pytestmark = pytest.mark.cluster

_SPAN = re.compile(r"`((?:kubectl|helm|make) [^`…]+)`")
_FLAG = re.compile(r"(?<![\w-])(--[a-z][\w-]*|-[a-zA-Z])\b")
_GLOBAL = ("-n", "--namespace", "--context", "--kubeconfig")  # stand before a subcommand, too
PEOPLES = sorted([*PAGES, ROOT / "CONTRIBUTING.md", *(ROOT / "charts").glob("*/README.md")])


def shown(program: str) -> Iterator[tuple[str, list[str]]]:
    """Calls of a program in shell blocks and within sentences: where, and the words after it."""
    for where, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith(f"{program} ") and line.count("'") % 2 == 0 == line.count('"') % 2:
                yield where, shlex.split(line, comments=True)[1:]
    for page in PEOPLES:
        for found in _SPAN.finditer(page.read_text(encoding="utf-8")):
            if found[1].startswith(f"{program} "):
                yield str(page.relative_to(ROOT)), shlex.split(found[1])[1:]


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of a call without its flags, and those; what follows `--` is another's."""
    plain: list[str] = []
    flags: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in {"--", "|", ">", ">>", "&&"}:
            break
        if word.startswith("-") and len(word) > 1:
            flags.append(word.partition("=")[0])
            if word in _GLOBAL and rest:
                rest.pop(0)
        else:
            plain.append(word)
    return plain, flags


def test_there_is_something_to_check() -> None:
    assert len(list(shown("kubectl"))) >= 20
    assert len(list(shown("helm"))) >= 7
    assert len(list(shown("make"))) >= 15


def test_kubectl_knows_its_commands(site: Site) -> None:
    """Each subcommand, and each flag of it; of a plugin only that it is ours."""

    @functools.cache
    def help_of(*words: str) -> str:
        return site.kube.kubectl(*words, "--help").stdout

    everywhere = set(_FLAG.findall(site.kube.kubectl("options").stdout))
    for where, words in shown("kubectl"):
        plain, flags = split(words)
        if not plain or plain[0] == "bayplan":
            continue
        text = help_of(plain[0])

        assert f"kubectl {plain[0]}" in text, f"{where}: kubectl {plain[0]} is no command"
        if plain[0] == "create" and len(plain) > len(("create", "KIND", "NAME")):
            text += help_of(*plain[:3])  # such as `create secret generic NAME`
        unknown = set(flags) - everywhere - set(_FLAG.findall(text))
        assert not unknown, f"{where}: kubectl {plain[0]} has no {sorted(unknown)}"


@pytest.mark.parametrize("version", VERSIONS)
def test_helm_knows_its_commands(version: str) -> None:
    """Each subcommand, and each flag of it; charts by a path are there."""
    helm = Helm(version)

    @functools.cache
    def help_of(command: str) -> str:
        done = helm.run(command, "--help")
        return done.stdout if done.returncode == 0 else ""

    for where, words in shown("helm"):
        plain, flags = split(words)
        if not plain:
            continue  # of a flag alone
        text = help_of(plain[0])

        assert f"helm {plain[0]}" in text, f"{where}: helm {plain[0]} is no command"
        unknown = set(flags) - set(_FLAG.findall(text))
        assert not unknown, f"{where}: helm {plain[0]} has no {sorted(unknown)}"
        for word in plain:
            assert not word.startswith("charts/") or (ROOT / word / "Chart.yaml").is_file(), where


def test_make_knows_its_targets() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for where, words in shown("make"):
        assert words[0] in targets, f"{where}: make {words[0]}"
