"""Requests and limits that a template does not state."""

from typing import Any

import msgspec
import pytest

from bayplan.api import request_defaults
from bayplan.cluster import decode
from bayplan.model.limits import NO_LIMITS, Limits, merged

OURS = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}


def made(
    *containers: dict[str, Any],
    limits: Limits = NO_LIMITS,
    strict: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """What becomes of a pod; each container is given by its resources."""
    named = [{"name": f"c{n}", "resources": one} for n, one in enumerate(containers)]
    return request_defaults.filled({"containers": named, **spec}, limits, strict=strict)


def resources(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["resources"] for one in pod["containers"]]


def test_ours_are_for_what_nobody_states() -> None:
    """Init containers too."""
    pod = made({}, initContainers=[{"name": "i"}])

    assert [OURS] == resources(pod)
    assert OURS == pod["initContainers"][0]["resources"]
    assert "resources" not in pod


@pytest.mark.parametrize(
    ("whole", "containers", "told"),
    [
        # Both stated: no figure of ours anywhere, memory is bounded for all together.
        (
            {"requests": {"cpu": "2", "memory": "2Gi"}},
            [{}, {}],
            {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        ),
        (
            {"limits": {"cpu": "2", "memory": "2Gi"}},
            [{}, {}],
            {"limits": {"cpu": "2", "memory": "2Gi"}},
        ),
        (
            {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            [{}, {}],
            {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        ),
        # A container may have a limit of its own: the pod's is not below it.
        (
            {"requests": {"cpu": "2", "memory": "1Gi"}},
            [{"limits": {"memory": "3Gi"}, "requests": {"memory": "1Mi"}}, {}],
            {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        ),
    ],
)
def test_what_the_pod_as_a_whole_states(
    whole: dict[str, Any], containers: list[dict[str, Any]], told: dict[str, Any]
) -> None:
    pod = made(*containers, resources=whole)

    assert told == pod["resources"]
    assert containers == resources(pod)


def test_what_it_does_not_state_its_containers_get() -> None:
    """CPU of each container, where the whole pod has memory alone."""
    pod = made({}, {}, resources={"requests": {"memory": "2Gi"}})

    assert [{"requests": {"cpu": "100m"}}] * 2 == resources(pod)
    assert {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}} == pod["resources"]


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        ({"requests": {"cpu": "2", "memory": "2Gi"}}, {"cpu": "2", "memory": "2Gi"}),
        ({"limits": {"cpu": "2", "memory": "2Gi"}}, {"cpu": "2", "memory": "2Gi"}),
        ({"requests": {"memory": "2Gi"}}, {"cpu": "200m", "memory": "2Gi"}),
    ],
)
def test_strict_makes_the_whole_pod_guaranteed(whole: dict[str, Any], told: dict[str, str]) -> None:
    pod = made({}, {}, resources=whole, strict=True)

    assert {"requests": told, "limits": told} == pod["resources"]


@pytest.mark.parametrize(
    ("limits", "container", "expected"),
    [
        # The namespace's figures stand instead of ours.
        (
            Limits({"memory": "512Mi"}, {"memory": "1Gi"}),
            {},
            {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            Limits({"memory": "512Mi"}, {}),
            {},
            {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
        ),
        (
            Limits({"cpu": "1", "ephemeral-storage": "1Gi"}, {"cpu": "2"}),
            {},
            {
                "requests": {"cpu": "1", "ephemeral-storage": "1Gi", "memory": "128Mi"},
                "limits": {"cpu": "2", "memory": "128Mi"},
            },
        ),
        # What the template states stays, and is the request where it is a limit.
        (
            Limits({"memory": "512Mi"}, {"memory": "1Gi"}),
            {"limits": {"memory": "256Mi"}},
            {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        ),
        (
            Limits({"memory": "512Mi"}, {"memory": "1Gi"}),
            {"requests": {"memory": "700Mi"}},
            {"requests": {"cpu": "100m", "memory": "700Mi"}, "limits": {"memory": "1Gi"}},
        ),
        # A default limit below what the template asks for would be refused.
        (
            Limits({"memory": "512Mi"}, {"memory": "1Gi"}),
            {"requests": {"memory": "2Gi"}},
            {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        ),
    ],
)
def test_the_namespaces_figures_come_first(
    limits: Limits, container: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert [expected] == resources(made(container, limits=limits))


def test_strict_takes_the_namespaces_requests_for_both() -> None:
    limits = Limits({"memory": "512Mi"}, {"memory": "1Gi"})
    both = {"cpu": "100m", "memory": "512Mi"}

    assert [{"requests": both, "limits": both}] == resources(made({}, limits=limits, strict=True))


@pytest.mark.parametrize(
    ("limits", "containers", "memory"),
    [
        (Limits(least={"memory": "256Mi"}), [{}], ["256Mi"]),
        (Limits(least={"memory": "512Mi"}), [{}, {}], ["256Mi", "256Mi"]),
        (Limits(least={"memory": "200Mi"}), [{}, {}], ["128Mi", "128Mi"]),
        (Limits(most={"memory": "100Mi"}), [{}], ["100Mi"]),
        (Limits(most={"memory": "100Mi"}), [{}, {}], ["50Mi", "50Mi"]),
        # Beside one that says what it asks for.
        (
            Limits(least={"memory": "1Gi"}),
            [{"requests": {"memory": "768Mi"}}, {}],
            ["768Mi", "256Mi"],
        ),
        # Nothing of ours helps: the server's words are about what the template says.
        (
            Limits(most={"memory": "512Mi"}),
            [{"requests": {"memory": "1Gi"}}, {}],
            ["1Gi", "128Mi"],
        ),
    ],
)
def test_ours_are_what_a_whole_pod_may_have(
    limits: Limits, containers: list[dict[str, Any]], memory: list[str]
) -> None:
    pod = made(*containers, limits=limits)

    assert memory == [one["requests"]["memory"] for one in resources(pod)]


def test_an_init_container_counts_as_kubernetes_counts() -> None:
    """One after the other: it asks for no more than the largest of them."""
    first = [{"name": "i", "resources": {"requests": {"memory": "1Gi"}}}]
    pod = made({}, initContainers=first, limits=Limits(least={"memory": "512Mi"}))

    assert "128Mi" == pod["containers"][0]["resources"]["requests"]["memory"]


def ranged(*limits: dict[str, Any]) -> Limits:
    body = {"metadata": {"name": "l", "namespace": "n"}, "spec": {"limits": list(limits)}}
    seen = decode.KINDS["LimitRange"].decode(msgspec.Raw(msgspec.json.encode(body)))
    assert isinstance(seen.value, Limits)
    return seen.value


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        # SetDefaults_LimitRangeItem: the default limit is the maximum, the default request the
        # default limit, else the minimum.
        ({"max": {"cpu": "2"}}, Limits({"cpu": "2"}, {"cpu": "2"})),
        ({"default": {"cpu": "1"}, "max": {"cpu": "2"}}, Limits({"cpu": "1"}, {"cpu": "1"})),
        ({"min": {"cpu": "1"}}, Limits({"cpu": "1"}, {})),
        (
            {"min": {"cpu": "1"}, "default": {"cpu": "3"}, "defaultRequest": {"cpu": "2"}},
            Limits({"cpu": "2"}, {"cpu": "3"}),
        ),
    ],
)
def test_a_limit_range_is_read_with_its_defaults(limits: dict[str, Any], expected: Limits) -> None:
    assert expected == ranged({"type": "Container", **limits})


def test_several_limit_ranges() -> None:
    """What one has filled in the next leaves; a whole pod has to keep to all of them."""
    first = ranged(
        {"type": "Container", "defaultRequest": {"memory": "1Gi"}},
        {"type": "Pod", "min": {"memory": "1Gi"}, "max": {"memory": "8Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    )
    second = ranged(
        {"type": "Container", "defaultRequest": {"memory": "2Gi", "cpu": "1"}},
        {"type": "Pod", "min": {"memory": "2048Mi"}, "max": {"memory": "4Gi"}},
    )

    assert Limits(
        {"memory": "1Gi", "cpu": "1"}, {}, {"memory": "2048Mi"}, {"memory": "4Gi"}
    ) == merged([first, second])
    assert merged([]) is NO_LIMITS
