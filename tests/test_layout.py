"""The layout: no package named operator, commands that run, arrows that hold."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose `.venv` tools/bootstrap.sh has made, as `make` does before each target.

    The packages of the lock are those of this test run: nothing is fetched.
    """
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("examples", "operator", "tools"):
        bare = shutil.ignore_patterns("__pycache__")  # others write there meanwhile
        shutil.copytree(ROOT / folder, checkout / folder, ignore=bare)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "requirements-dev.lock").touch()
    venv.create(checkout / ".venv", symlinks=True)
    packages = sysconfig.get_path("purelib", "venv", {"base": str(checkout / ".venv")})
    (Path(packages) / "lock.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(
        ["tools/bootstrap.sh", sys.executable, ".venv"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        check=True,
    )
    return checkout


def answer(command: str, *words: str, at: Path) -> str:
    """What the command prints when it is called in the folder `at`."""
    done = subprocess.run(
        [command, *words],
        cwd=at,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.parametrize("where", [".", ".."])
def test_make_leaves_the_commands(installed: Path, where: str) -> None:
    """`.venv/bin/bayplan` and both of kubectl's run, in the checkout and in any other folder."""
    at, programs = installed / where, installed / ".venv" / "bin"

    for name in ("bayplan", "kubectl-bayplan"):
        assert answer(f"{programs}/{name}", "--version", at=at).startswith("bayplan, version ")
        assert "simulate" in answer(f"{programs}/{name}", "--help", at=at)
    assert "doctor\t" in answer(f"{programs}/kubectl_complete-bayplan", "do", at=at)


def test_the_first_command_of_the_readme_runs_after_make(installed: Path) -> None:
    """README's `.venv/bin/bayplan simulate …`, as it stands there."""
    [line] = re.findall(r"^ +(\.venv/bin/bayplan simulate .*)$", README.read_text(), re.MULTILINE)
    command, *words = shlex.split(line, comments=True)

    assert "pods on" in answer(command, *words, at=installed)


@pytest.mark.parametrize("where", [".", "..", "operator"])
def test_the_commands_do_not_shadow_the_standard_operator(installed: Path, where: str) -> None:
    """With the commands installed `import operator` finds the standard library's file."""
    code = "import bayplan, operator; print(operator.__file__); print(bayplan.__file__)"
    python = str(installed / ".venv" / "bin" / "python")
    standard, ours = answer(python, "-c", code, at=installed / where).splitlines()

    assert Path(sysconfig.get_path("stdlib")) / "operator.py" == Path(standard)
    assert installed / "operator" / "bayplan" / "__init__.py" == Path(ours)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model/pods.py", "import asyncio"),
        ("placement/solve.py", "import time"),
        ("reconcile/batchjob/reconcile.py", "import random"),
        ("units.py", "import kubernetes"),
        ("model/state.py", "from bayplan.placement import solve"),
        ("placement/solve.py", "from bayplan.reconcile import conditions"),
        ("cluster/cache.py", "import kopf"),
        ("scheduler/loop.py", "import msgspec"),
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
