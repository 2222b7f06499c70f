"""Two commands at once, as `make test` runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def beside(computes: str, waits: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.beside", computes, waits]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=40
    )


def test_both_run_and_both_are_shown(tmp_path: Path) -> None:
    """Neither end of a pipe opens before the other."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = beside(f"echo one; echo two >&2; echo three > {pipe}", f"cat {pipe}")

    assert (0, "three\none\ntwo\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("computes", "waits", "code"),
    [("exit 3", "sleep 60", 3), ("sleep 60", "exit 4", 4), ("sleep 60 & wait", "exit 5", 5)],
)
def test_a_failure_ends_the_other(computes: str, waits: str, code: int) -> None:
    """With all that it has started."""
    assert code == beside(computes, waits).returncode


def test_one_computes_in_the_time_left_over() -> None:
    done = beside("nice", "nice")

    assert f"{os.getpriority(os.PRIO_PROCESS, 0)}\n19\n" == done.stdout
