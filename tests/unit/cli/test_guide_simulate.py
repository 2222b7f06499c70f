"""The commands of the guide and the manifest of the reference do what the text says."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bayplan.cli.main import main

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/guide/simulate.md").read_text()
REFERENCE = (ROOT / "docs/reference/placement.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_guide(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 0; what it names is there."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(command)
    result = CliRunner().invoke(main, [*words, "--seconds", "0.05"])

    assert "bayplan" == program
    assert 0 == result.exit_code, result.output
    assert "bins.svg" not in command or (tmp_path / "bins.svg").exists()


def test_the_manifest_of_the_reference() -> None:
    """It is accepted, and all its pods have a place."""
    [manifest] = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
    result = CliRunner().invoke(main, ["simulate", "--seconds", "0.05", "-"], input=manifest)

    assert 0 == result.exit_code, result.output
    assert "6 pods on " in result.output


def test_the_guide_has_commands() -> None:
    """What the test above runs is not nothing."""
    assert 4 <= len(COMMANDS)
