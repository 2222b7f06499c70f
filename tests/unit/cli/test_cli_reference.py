"""The reference of the command line is what the commands say; completion is what shells take."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorded import run
from tools import cli_reference, reference

ROOT = Path(__file__).parents[3]


def test_the_reference_is_up_to_date() -> None:
    """Else: python -m tools.reference --write."""
    assert cli_reference.text() == (reference.REFERENCE / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """It names the program; bash finds no fault in it."""
    script = run(None, "completion", shell).stdout

    assert "bayplan" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["do"], ["doctor\tLook for what is wrong with an installation."]),
        (["plan", "-o", "ya"], ["yaml"]),
        (["plan", "--all"], ["--all-namespaces\tUse all namespaces."]),
        (["un"], ["uninstall\tRemove what would outlive the operator."]),
        (["no-such-command", ""], []),
    ],
)
def test_kubectl_completes_the_plugin(words: list[str], some: list[str]) -> None:
    """`kubectl bayplan <TAB>`: words with what they are for, and no file names."""
    program = "from bayplan.cli.completion import plugin; plugin()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "operator")},
    )
    *lines, last = done.stdout.splitlines()

    assert ":4" == last
    assert set(some) <= set(lines)
