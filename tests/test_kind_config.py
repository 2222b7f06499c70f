"""What kind-config.yaml says can be read by kind itself, strictly, and is what it should be.

`kind create cluster` decodes the file before it asks for Docker. Here there is no Docker for it,
so that nothing is ever created: what it complains about first tells whether it could read the file.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bayplan.cloud import catalogue
from localcluster import programs

CONFIG = Path(__file__).parents[1] / "kind-config.yaml"
UNREADABLE = "unable to decode config"


@pytest.fixture(scope="module")
def kind() -> Path:
    """The pinned kind, built if it is not there yet (10 s, and Go's downloads the first time)."""
    if programs.missing(["kind"]) and shutil.which("go") is None:
        pytest.skip("kind is not built and Go is not installed")
    return programs.build(["kind"])["kind"]


def complaint(kind: Path, config: Path) -> str:
    """What kind says of a configuration where no container runtime can be found."""
    nowhere = {
        "PATH": "/nonexistent",
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "HOME": "/nonexistent",
    }
    done = subprocess.run(
        [kind, "create", "cluster", "--config", config],
        env=nowhere,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    return done.stderr


def test_kind_reads_it(kind: Path) -> None:
    """The first thing kind misses is Docker."""
    said = complaint(kind, CONFIG)

    assert UNREADABLE not in said
    assert "docker" in said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("role: worker", "rolle: worker"), ("labels:", "label:"), ("nodes:", "node:")],
)
def test_a_typing_error_would_be_noticed(
    kind: Path, tmp_path: Path, right: str, wrong: str
) -> None:
    """A field that kind does not know is refused before anything else is looked at."""
    planted = tmp_path / "kind-config.yaml"
    planted.write_text(CONFIG.read_text().replace(right, wrong))
    said = complaint(kind, planted)

    assert UNREADABLE in said
    assert wrong.partition(":")[0] in said


def test_a_wrong_version_would_be_noticed(kind: Path, tmp_path: Path) -> None:
    """Fields are those of one version of the format."""
    planted = tmp_path / "kind-config.yaml"
    planted.write_text(CONFIG.read_text().replace("v1alpha4", "v1alpha5"))

    assert "unknown apiVersion" in complaint(kind, planted)


def test_workers_stand_in_three_zones_as_instances() -> None:
    """One control plane; each worker in a zone of its own, of a type that the catalogue knows."""
    nodes = yaml.safe_load(CONFIG.read_text())["nodes"]
    labels = [node["labels"] for node in nodes if node["role"] == "worker"]

    assert ["control-plane", "worker", "worker", "worker"] == [node["role"] for node in nodes]
    zones = [each["topology.kubernetes.io/zone"] for each in labels]
    assert zones == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert {each["node.kubernetes.io/instance-type"] for each in labels} <= catalogue.load().keys()
    assert {each["karpenter.sh/capacity-type"] for each in labels} == {"on-demand", "spot"}
