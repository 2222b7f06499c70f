"""`make demo` as in a terminal-less CI: what it prints is true, and `make down` leaves nothing."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localcluster import kubelets, processes
from tests.cluster import test_docs_tutorial
from tests.cluster.under_test import ROOT

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(420),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="the demo brings its own local cluster",
    ),
]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Clusters apart from the user's own, in a short path, as sockets need one."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)
        demo(Path(folder), "--down")


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The demo in a process of its own, as `make` runs it, without a terminal."""
    environment: Mapping[str, str] = os.environ | {
        "PYTHONPATH": str(ROOT / "operator"),
        "BAYPLAN_LOCALCLUSTER_HOME": str(home),
    }
    command = [sys.executable, "-m", "tools.demo", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=360
    )


def typed(home: Path, folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """What a visitor types into a shell that did what the demo says first."""
    env = f'cd {ROOT} && eval "$({sys.executable} -m localcluster env --name demo)"'
    paths = {"PYTHONPATH": str(ROOT / "operator"), "BAYPLAN_LOCALCLUSTER_HOME": str(home)}
    return subprocess.run(
        ["bash", "-c", "\n".join([env, f"cd {folder}", *lines])],
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def row(text: str, name: str) -> list[int]:
    """The first whole numbers of the first line that begins with `name`."""
    [line] = [line for line in text.splitlines() if line.startswith(name)][:1]
    return [int(number) for number in re.findall(r"\d+", line.removeprefix(name))]


@pytest.fixture(scope="module")
def text(home: Path) -> str:
    """What the demo prints; it is up afterwards."""
    done = demo(home)
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    return done.stdout


HAS_REAL_NODES = not kubelets.missing() and os.geteuid() == 0


def test_the_demo_shows_the_main_job(home: Path, text: str) -> None:
    """Everything it starts becomes ready or is explained; the tables add up."""
    assert "Not seen within" not in text
    assert "services 19/19 ready" in text
    assert "36 crawlers" in text
    assert re.search(r"BatchJob train-video \(1\): 0/2\d nodes: .*nearest", text)
    ours, of, theirs, same = row(text, "nodes used")
    assert (24, 24) == (of, same)
    assert ours < theirs
    fuller, emptier = row(text, "their fill: cpu")
    assert fuller > emptier
    assert [1, 1] == row(text, "pods without room")
    if HAS_REAL_NODES:
        assert re.search(r"nightly-publish +1 +Succeeded Completed +1, then 0 +kubelet-", text)
    assert "bayplan" in processes.roles(home / "demo")


def test_what_the_demo_says_to_type_works(home: Path, text: str, tmp_path: Path) -> None:
    """Its three best commands name what is there, and `doctor` finds nothing wrong."""
    best = text.partition("and then\n")[2].partition("More\n")[0]
    lines = [line.strip() for line in best.splitlines() if not line.lstrip().startswith("#")]

    assert ["explain", "top", "logs" if HAS_REAL_NODES else "runs"] == [
        line.split()[1] for line in lines
    ]
    assert [1, 0, 0] == [typed(home, tmp_path, line).returncode for line in lines]
    assert 0 == typed(home, tmp_path, "bayplan doctor").returncode


@pytest.mark.skipif(not HAS_REAL_NODES, reason="real nodes need root and containerd")
@pytest.mark.usefixtures("text")
def test_the_tutorial_works_on_the_demo(home: Path, tmp_path: Path) -> None:
    """docs/tutorial.md from its step 3 on, as it stands, in real containers."""
    said: dict[str, str] = {}
    for file, step in test_docs_tutorial.steps(*test_docs_tutorial.APART):
        if file:
            (tmp_path / file).write_text(step)
            continue
        done = typed(home, tmp_path, step)
        expected = test_docs_tutorial.WAITS.get(step, 0)
        assert expected == done.returncode, f"{step}: {done.stdout}{done.stderr}"
        said[step] = done.stdout

    assert re.search(r"^report of 20", said["bayplan logs report -n default"], re.MULTILINE)
    assert "5 of 5" in typed(home, tmp_path, "bayplan rollout status web -n default").stdout


@pytest.mark.usefixtures("text")
def test_down_leaves_nothing(home: Path) -> None:
    down = demo(home, "--down")

    assert (0, "Stopped.\n", "") == (down.returncode, down.stdout, down.stderr)
    assert [] == processes.roles(home / "demo")
    assert not (home / "demo").exists()
    assert "Nothing is up.\n" == demo(home, "--down").stdout


def test_an_error_is_one_line(home: Path) -> None:
    """What the user can act on is told in one line, without a traceback."""
    blocked = home / "file"
    blocked.touch()
    done = demo(blocked)

    assert 1 == done.returncode
    assert 1 == len(done.stderr.splitlines())
    assert done.stderr.startswith("demo: ")
