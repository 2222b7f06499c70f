"""Argo CD's and kstatus' view of recorded objects, in the form that Argo CD's own tests have."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import gitops

KSTATUS = {"Healthy": "Current", "Degraded": "Failed", "Progressing": "InProgress"}
OURS = [
    (kind, case)
    for kind in gitops.KINDS
    for case in yaml.safe_load((gitops.CUSTOMIZATIONS / kind / "health_test.yaml").read_text())[
        "tests"
    ]
]


def recorded(kind: str, path: str) -> dict[str, Any]:
    one: dict[str, Any] = yaml.safe_load((gitops.CUSTOMIZATIONS / kind / path).read_text())
    return one


@pytest.mark.parametrize(("kind", "case"), OURS, ids=lambda one: str(one)[-40:])
def test_health(kind: str, case: dict[str, Any]) -> None:
    """Each recorded object is as healthy as Argo CD's own kind of test says."""
    expected = case["healthStatus"]
    one = recorded(kind, case["inputPath"])

    assert (expected["status"], expected["message"]) == gitops.health(one)


def test_every_health_is_seen() -> None:
    """Both kinds can be healthy, on their way, broken and suspended."""
    seen = {(kind, case["healthStatus"]["status"]) for kind, case in OURS}

    assert {
        (kind, health)
        for kind in gitops.KINDS
        for health in ("Healthy", "Progressing", "Degraded", "Suspended")
    } == seen


@pytest.mark.parametrize(("kind", "case"), OURS, ids=lambda one: str(one)[-40:])
def test_kstatus_agrees(kind: str, case: dict[str, Any]) -> None:
    """What Argo CD calls healthy, broken or on its way, Flux calls current, failed, in progress."""
    health = case["healthStatus"]["status"]
    told = gitops.kstatus(recorded(kind, case["inputPath"]))
    if "status" not in recorded(kind, case["inputPath"]):
        told = "InProgress"  # kstatus cannot know of a kind that it will have conditions

    assert KSTATUS.get(health, told) == told


def test_a_failed_last_run_is_degraded_and_current() -> None:
    """A nightly failure is shown by Argo CD; it fails no sync of Flux."""
    one = recorded("BatchJob", "testdata/scheduled.yaml")
    for condition in one["status"]["conditions"]:
        if condition["type"] == "LastRunSucceeded":
            condition.update(status="False", reason="Failed", message="Run s1 failed: exit code 3")

    assert ("Degraded", "Run s1 failed: exit code 3") == gitops.health(one)
    assert "Current" == gitops.kstatus(one)


def test_actions_change_annotations_only() -> None:
    """Self-heal compares the spec; nothing that Argo CD offers touches it."""
    for kind, path in (("BatchJob", "scheduled"), ("LongService", "at-a-step")):
        one = recorded(kind, f"testdata/{path}.yaml")
        for action in gitops.actions(one):
            after = gitops.acted(one, action)

            assert after["metadata"].pop("annotations").keys() & gitops.VERBS
            assert (
                one["spec"]["template"]["spec"]["containers"][0]["name"]
                == (after["spec"]["template"]["spec"]["containers"][0]["name"])
            )


def test_discovered_actions_exist() -> None:
    """What is offered has a script, and every script is offered."""
    for kind, path in (("BatchJob", "scheduled"), ("LongService", "at-rest")):
        offered = gitops.actions(recorded(kind, f"testdata/{path}.yaml"))
        folder = gitops.CUSTOMIZATIONS / kind / "actions"

        assert {one.parent.name for one in folder.glob("*/action.lua")} == offered.keys()


def test_layouts_are_valid() -> None:
    """Every manifest of the example repositories is YAML with a kind and a name."""
    for path in Path(gitops.ROOT / "examples/gitops").glob("*/**/*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            named = one["kind"] == "Kustomization" and "metadata" not in one

            assert named or one["metadata"]["name"], path
