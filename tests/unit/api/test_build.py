"""From a resource and a task to the pod that is written."""

from typing import Any

import pytest

from bayplan.api import names, pod_builder
from bayplan.api.resource import Resource, parse_resource


def stored(kind: str = "BatchJob", **spec: Any) -> Resource:
    """A stored resource whose template has one container; `container` adds to it."""
    container = {"name": "main", "image": "x", **spec.pop("container", {})}
    template = {"metadata": spec.pop("metadata", {}), "spec": {"containers": [container]}}
    metadata = {"namespace": "ns", "name": "r", "uid": "u1", "generation": 1}
    return parse_resource(
        {"kind": kind, "metadata": metadata, "spec": {**spec, "template": template}}
    )


def built(made: Resource, **more: Any) -> dict[str, Any]:
    task = {"labels": {}, "annotations": {}, "environment": {}, **more}
    return pod_builder.blueprint(made).pod("r-1", **task)


def resources_of(pod: dict[str, Any]) -> dict[str, Any]:
    return dict(pod["spec"]["containers"][0]["resources"])


def test_a_placed_pod_is_born_on_its_node() -> None:
    """With a node the pod names it; without, it waits for this scheduler."""
    placed, waiting = built(stored(), node="n1"), built(stored())

    assert "n1" == placed["spec"]["nodeName"]
    assert "nodeName" not in waiting["spec"]
    assert names.SCHEDULER == waiting["spec"]["schedulerName"]


def test_a_run_never_restarts_in_place_and_is_tracked() -> None:
    """Run pods end for good and carry the tracking finalizer; instances do neither."""
    run, instance = built(stored()), built(stored("LongService"))

    assert ("Never", [names.RUN_TRACKING]) == (
        run["spec"]["restartPolicy"],
        run["metadata"]["finalizers"],
    )
    assert "Always" == instance["spec"]["restartPolicy"]
    assert "finalizers" not in instance["metadata"]


def test_the_owner_can_be_collected() -> None:
    """The owner reference is a controller's and blocks the owner's deletion."""
    [owner] = built(stored())["metadata"]["ownerReferences"]

    assert ("BatchJob", "r", "u1", True, True) == (
        owner["kind"],
        owner["name"],
        owner["uid"],
        owner["controller"],
        owner["blockOwnerDeletion"],
    )


def test_shared_fills_missing_requests_and_bounds_memory() -> None:
    """Shared: 100m and 128Mi where nothing is said, a memory limit, no CPU limit."""
    expected = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}

    assert expected == resources_of(built(stored()))


def test_shared_keeps_what_is_said() -> None:
    """A stated limit is kept, and is the request where none is stated."""
    said = {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    expected = {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }

    assert expected == resources_of(built(stored(container=said)))


def test_strict_is_guaranteed() -> None:
    """Strict: limits are the requests, so that the kubelet gives the pod its own share."""
    said = {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}
    made = resources_of(built(stored(container=said, placement={"isolation": "Strict"})))

    assert {"cpu": "1", "memory": "1Gi"} == made["requests"] == made["limits"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {names.SAFE_TO_EVICT: "true"}),
        ({"expectedDurationSeconds": 599}, {names.SAFE_TO_EVICT: "true"}),
        (
            {"expectedDurationSeconds": 600},
            {names.SAFE_TO_EVICT: "false", names.DO_NOT_DISRUPT: "600s"},
        ),
        (
            {"activeDeadlineSeconds": 7200},
            {names.SAFE_TO_EVICT: "false", names.DO_NOT_DISRUPT: "7200s"},
        ),
        ({"expectedDurationSeconds": 600, "interruptible": True}, {names.SAFE_TO_EVICT: "true"}),
        (
            {"placement": {"disruption": "Protect"}},
            {names.SAFE_TO_EVICT: "false", names.DO_NOT_DISRUPT: "true"},
        ),
        (
            {"expectedDurationSeconds": 7200, "placement": {"disruption": "Allow"}},
            {names.SAFE_TO_EVICT: "true"},
        ),
    ],
)
def test_disruption_tells_autoscalers(spec: dict[str, Any], expected: dict[str, str]) -> None:
    """Auto protects runs of ten minutes and more; Protect and Allow are what they say."""
    assert expected == built(stored(**spec))["metadata"]["annotations"]


def test_a_users_annotation_wins() -> None:
    """What the template says of disruption stands."""
    said = {"annotations": {names.SAFE_TO_EVICT: "false"}}

    assert said["annotations"] == built(stored(metadata=said))["metadata"]["annotations"]


def test_our_environment_wins() -> None:
    """A run can trust BAYPLAN_ variables, whatever the template sets; the rest stays."""
    said = {"env": [{"name": "BAYPLAN_RUN", "value": "forged"}, {"name": "A", "value": "b"}]}
    pod = built(stored(container=said), environment={"BAYPLAN_RUN": "r-1"})
    expected = [{"name": "A", "value": "b"}, {"name": "BAYPLAN_RUN", "value": "r-1"}]

    assert expected == pod["spec"]["containers"][0]["env"]


def test_compiling_changes_no_template() -> None:
    """The stored template stays as it is: its hash is the revision's identity."""
    made = stored()
    before = repr(made.spec)
    built(made, environment={"A": "b"}, node="n1")

    assert before == repr(made.spec)


SERVED = {"service": {"ports": [{"name": "http", "port": 80}]}}


def drained(pod: dict[str, Any] | None = None, **container: Any) -> tuple[object, object]:
    """(preStop of the container, grace period) of an instance behind a Service."""
    service = stored("LongService", **SERVED, container=container)
    assert service.spec is not None
    service.spec.template["spec"].update(pod or {})
    spec = built(service)["spec"]
    lifecycle = spec["containers"][0].get("lifecycle", {})
    return lifecycle.get("preStop"), spec.get("terminationGracePeriodSeconds")


def test_an_instance_behind_a_service_serves_on_before_it_stops() -> None:
    """A preStop sleep of `drainSeconds` on top of the default grace; a stated grace is kept."""
    sleep = {"sleep": {"seconds": 5}}

    assert (sleep, 35) == drained()
    assert (sleep, 60) == drained({"terminationGracePeriodSeconds": 60})
    assert ({"sleep": {"seconds": 2}}, 3) == drained({"terminationGracePeriodSeconds": 3})
    assert (None, 1) == drained({"terminationGracePeriodSeconds": 1})


def test_a_prestop_of_ones_own_stays() -> None:
    """What a container states wins; a postStart beside it is kept."""
    own = {"exec": {"command": ["/drain"]}}

    assert own == drained(lifecycle={"preStop": own})[0]
    assert {"sleep": {"seconds": 5}} == drained(lifecycle={"postStart": own})[0]


@pytest.mark.parametrize("kind", ["off", "without"])
def test_draining_can_be_off(kind: str) -> None:
    """`drainSeconds: 0`, or no Service: the template as it is."""
    spec = {"service": {**SERVED["service"], "drainSeconds": 0}} if kind == "off" else {}
    pod = built(stored("LongService", **spec))["spec"]

    assert "lifecycle" not in pod["containers"][0]
    assert "terminationGracePeriodSeconds" not in pod


_NLB = "service.beta.kubernetes.io/aws-load-balancer-"
_BY_ADDRESS = {f"{_NLB}nlb-target-type": "ip"}
_HALF_A_MINUTE = {f"{_NLB}target-group-attributes": "a=b, deregistration_delay.timeout_seconds=30"}


@pytest.mark.parametrize(
    ("kind", "annotations", "seconds"),
    [
        ("LoadBalancer", _BY_ADDRESS, 315),
        ("LoadBalancer", _BY_ADDRESS | _HALF_A_MINUTE, 45),
        ("LoadBalancer", {f"{_NLB}type": "nlb-ip"}, 315),
        ("LoadBalancer", {f"{_NLB}nlb-target-type": "instance"} | _HALF_A_MINUTE, 5),
        ("LoadBalancer", {}, 5),
        ("ClusterIP", _BY_ADDRESS | _HALF_A_MINUTE, 5),
        ("ClusterIP", {"alb.ingress.kubernetes.io/target-type": "ip"}, 315),
        (
            "ClusterIP",
            {
                "alb.ingress.kubernetes.io/target-type": "ip",
                "alb.ingress.kubernetes.io/target-group-attributes": (
                    "deregistration_delay.timeout_seconds=0"
                ),
            },
            15,
        ),
        (
            "LoadBalancer",
            _BY_ADDRESS
            | {f"{_NLB}target-group-attributes": "deregistration_delay.timeout_seconds=4000"},
            315,
        ),
    ],
)
def test_an_instance_serves_on_until_its_target_is_deregistered(
    kind: str, annotations: dict[str, str], seconds: int
) -> None:
    """AWS sends to a target for 300 s after it is deregistered unless the group says otherwise."""
    ports = SERVED["service"]["ports"]
    service = {"type": kind, "ports": ports, "annotations": annotations}
    pod = built(stored("LongService", service=service))["spec"]
    written = built(stored("LongService", service={**service, "drainSeconds": 7}))["spec"]

    assert {"sleep": {"seconds": seconds}} == pod["containers"][0]["lifecycle"]["preStop"]
    assert 30 + seconds == pod["terminationGracePeriodSeconds"]
    assert 37 == written["terminationGracePeriodSeconds"]


def test_draining_is_not_in_the_hash() -> None:
    """Turning it on or off restarts nothing."""
    off = {"service": {**SERVED["service"], "drainSeconds": 0}}

    assert (
        stored("LongService", **SERVED).template_hash
        == stored("LongService", **off).template_hash
        == stored("LongService").template_hash
    )
