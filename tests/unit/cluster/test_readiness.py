"""Readiness gates: which of them keep a pod from being ready, as its status says."""

from typing import Any

import pytest

from tests.unit.cluster.written import pod

HEALTH = "target-health.elbv2.k8s.aws/k8s-web-1"
OTHER = "target-health.elbv2.k8s.aws/k8s-web-2"


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


STARTED = condition("ContainersReady")
CHECKING = condition(
    HEALTH,
    "False",
    reason="Elb.InitialHealthChecking",
    message="Initial health checks in progress",
)


def unmet(*conditions: dict[str, str], gates: tuple[str, ...] = (HEALTH,)) -> str:
    """What the operator reads of a pod with these conditions."""
    spec: dict[str, Any] = {"readinessGates": [{"conditionType": one} for one in gates]}
    return pod(spec, {"conditions": list(conditions)}).unmet_gates


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            CHECKING,
            "is False: Elb.InitialHealthChecking: Initial health checks in progress",
        ),
        (condition(HEALTH, "Unknown"), "is Unknown"),
        (condition("Other"), "is not set: its controller has not written it yet"),
    ],
)
def test_a_gate_that_is_not_true_is_named(told: dict[str, str], expected: str) -> None:
    """With what its controller says of it."""
    assert f"readiness gate {HEALTH} {expected}" == unmet(
        STARTED, condition("Ready", "False"), told
    )


def test_every_gate_counts() -> None:
    """The first that is not true is told, and how many more there are."""
    both = (HEALTH, OTHER)

    assert f"readiness gate {OTHER} is not set: its controller has not written it yet" == unmet(
        STARTED, condition(HEALTH), gates=both
    )
    assert f"readiness gate {HEALTH} (and 1 more) is False" == unmet(
        STARTED, condition(HEALTH, "False"), gates=both
    )


@pytest.mark.parametrize(
    "conditions",
    [
        (condition("ContainersReady", "False"), CHECKING),
        (CHECKING,),
        (STARTED, condition("Ready"), condition(HEALTH)),
        (STARTED, condition("Ready"), CHECKING),
    ],
)
def test_what_is_not_for_a_gate(conditions: tuple[dict[str, str], ...]) -> None:
    """Containers that are not ready come first; and the kubelet alone says that a pod is ready."""
    assert "" == unmet(*conditions)


def test_a_pod_without_gates() -> None:
    assert "" == unmet(STARTED, gates=())
