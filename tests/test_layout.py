"""The layout: no package named operator, commands that run, arrows that hold."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
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
    """The `bayplan simulate …` of README's transcript, by the command that make has left."""
    [line] = re.findall(r"^\$ (bayplan simulate .*)$", README.read_text(), re.MULTILINE)
    command, *words = shlex.split(line, comments=True)

    assert "pods on" in answer(f".venv/bin/{command}", *words, at=installed)


@pytest.mark.parametrize("where", [".", "..", "operator"])
def test_the_commands_do_not_shadow_the_standard_operator(installed: Path, where: str) -> None:
    """With the commands installed `import operator` finds the standard library's file."""
    code = "import bayplan, operator; print(operator.__file__); print(bayplan.__file__)"
    python = str(installed / ".venv" / "bin" / "python")
    standard, ours = answer(python, "-c", code, at=installed / where).splitlines()

    assert Path(sysconfig.get_path("stdlib")) / "operator.py" == Path(standard)
    assert installed / "operator" / "bayplan" / "__init__.py" == Path(ours)


CONTRACTS = tuple(
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
)
# The contract that is broken by this line at the end of this module.
PLANTED = (
    ("The house has floors", "model/state.py", "from bayplan.placement import solve"),
    ("The house has floors", "placement/solve.py", "from bayplan.reconcile import conditions"),
    ("The optimizer is arrays", "optimizer/fill.py", "from bayplan import units"),
    ("The core knows", "model/pods.py", "import asyncio"),
    ("The core knows", "placement/solve.py", "import time"),
    ("The core knows", "reconcile/batchjob/reconcile.py", "import random"),
    ("The core knows", "units.py", "import kubernetes"),
    (
        "The kinds are independent",
        "reconcile/batchjob/runs.py",
        "from bayplan.reconcile.longservice import claims",
    ),
    ("The cluster's room", "cluster/cache.py", "import kopf"),
    ("Buying is simulated", "provisioning/demand.py", "import click"),
    ("The scheduler alone", "manifests/inventory.py", "from bayplan.placement import solve"),
    ("Reports compute", "reports/slots.py", "from bayplan.cluster import requests"),
    ("The command line asks", "cli/jobs/next.py", "from bayplan.cluster import requests"),
    ("The dashboard shows", "dashboard/store.py", "from bayplan.scheduler import loop"),
    ("kopf lives in handlers", "reports/picture.py", "import kopf"),
    ("Handlers deliver", "handlers/delivery.py", "from bayplan.cluster import cache"),
    ("kubernetes and msgspec", "scheduler/loop.py", "import msgspec"),
)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_each_contract_has_a_planted_arrow(contract: str) -> None:
    """No contract of pyproject.toml goes untried below."""
    assert any(contract.startswith(begins) for begins, _, _ in PLANTED)


@pytest.mark.parametrize(("begins", "module", "line"), PLANTED)
def test_a_forbidden_arrow_fails_the_build(
    tmp_path: Path, begins: str, module: str, line: str
) -> None:
    """A planted import against the arrows is found by the contract that forbids it."""
    [contract] = [name for name in CONTRACTS if name.startswith(begins)]
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
    assert f"{contract} BROKEN" in checked.stdout
