"""The reference of the command line is what the commands say; completion is what shells take."""

import subprocess

import pytest

from tests.recorded import run
from tools import cli_reference


def test_the_reference_is_up_to_date() -> None:
    """Else: python -m tools.cli_reference --write."""
    assert cli_reference.text() == cli_reference.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """It names the program; bash finds no fault in it."""
    script = run(None, "completion", shell).stdout

    assert "bayplan" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
