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


def row(text: str, name: str) -> list[int]:
    """The first whole numbers of the first line that begins with `name`."""
    [line] = [line for line in text.splitlines() if line.startswith(name)][:1]
    return [int(number) for number in re.findall(r"\d+", line.removeprefix(name))]


def test_the_demo_shows_the_main_job(home: Path) -> None:
    """Everything it starts becomes ready or is explained; the tables add up; `--down` ends all."""
    done = demo(home)
    text = done.stdout

    assert (0, "") == (done.returncode, done.stderr), text + done.stderr
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
    if not kubelets.missing() and os.geteuid() == 0:
        assert re.search(r"nightly-publish +1 +Succeeded Completed +1, then 0 +kubelet-", text)
    assert "bayplan" in processes.roles(home / "demo")

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
