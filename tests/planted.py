"""A copy of the product with something planted in it: how it is edited, and asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def edit(path: Path, before: str, after: str) -> None:
    """Replace a text that must stand in the file exactly once."""
    text = path.read_text()
    assert 1 == text.count(before), f"{path.name} has changed: {before!r}"
    path.write_text(text.replace(before, after))


def ran(source: Path, *words: str, folder: Path = ROOT) -> str:
    """What Python prints for these words; `source` is the copy's folder `operator`.

    In `folder`, whose modules come before those of this repository.
    """
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PYTHONPATH": f"{source}:{folder}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def asked(source: Path, module: str, folder: Path = ROOT) -> dict[str, Any]:
    """The answers that a program of the tests gives in the copy."""
    found: dict[str, Any] = json.loads(ran(source, "-m", module, folder=folder))
    return found
