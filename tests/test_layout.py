"""The layout: no package named operator, arrows that hold, planted faults that are found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_source_directory_is_no_package() -> None:
    """An `operator/__init__.py` would shadow the standard library's module."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert [] == list((ROOT / "operator").glob("*.py"))


def test_the_standard_operator_is_found_from_here() -> None:
    """In the repository root `import operator` finds the standard library's file."""
    code = "import operator, collections; print(operator.__file__)"
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert not found.stdout.startswith(str(ROOT))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model/pod.py", "import asyncio"),
        ("placement/solve.py", "import time"),
        ("reconcile/batchjob.py", "import random"),
        ("units.py", "import kubernetes"),
        ("model/state.py", "from bayplan.placement import solve"),
        ("placement/solve.py", "from bayplan.reconcile import action"),
        ("cluster/cache.py", "import kopf"),
        ("loop.py", "import msgspec"),
        ("handlers/delivery.py", "from bayplan.cluster import cache"),
    ],
)
def test_a_forbidden_arrow_fails_the_build(tmp_path: Path, module: str, line: str) -> None:
    """A planted import against the arrows is found by the contracts."""
    shutil.copytree(ROOT / "operator", tmp_path / "operator")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "operator/bayplan" / module
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "operator"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == checked.returncode, checked.stdout + checked.stderr
    assert "BROKEN" in checked.stdout
