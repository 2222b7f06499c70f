"""What the schema cannot say: one problem a line."""

from typing import Any

import pytest

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import parse_resource
from bayplan.api.validation import Problem, problems


def of_job(pod: dict[str, Any] | None = None, **spec: object) -> tuple[Problem, ...]:
    """The problems of a BatchJob with one good container, changed as said."""
    good = {"containers": [{"name": "main", "image": "busybox"}]}
    raw = {"template": {"spec": {**good, **(pod or {})}}, **spec}
    return problems("BatchJob", BatchJobSpec.model_validate(raw))


def with_resources(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [{"name": "main", "resources": resources}]}


def test_nothing_is_wrong() -> None:
    """A plain job, a plain service and generous resources have no problems."""
    resources = with_resources(
        requests={"cpu": "100m", "memory": "64Mi", "nvidia.com/gpu": 1, "ephemeral-storage": "1G"},
        limits={"cpu": 1, "memory": "64Mi", "nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi"},
    )
    service = LongServiceSpec.model_validate({"template": {"spec": resources}})

    assert () == of_job(resources, schedule="H 6 * * *", timeZone="Asia/Kolkata")
    assert () == of_job({"restartPolicy": "Never"})
    assert () == problems("LongService", service)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"schedule": "* * *"}, ("InvalidSchedule", "spec.schedule", "has 3 fields")),
        ({"schedule": "0 0 31 2 *"}, ("InvalidSchedule", "spec.schedule", "never due")),
        ({"schedule": "R//PT1S"}, ("InvalidSchedule", "spec.schedule", "10 seconds")),
        ({"timeZone": "Europe/Berlim"}, ("InvalidTimeZone", "spec.timeZone", "Europe/Berlin?")),
        (
            {"schedules": ["@daily", "0 0 31 2 *"]},
            ("InvalidSchedule", "spec.schedules[1]", "never due"),
        ),
        (
            {"schedules": ["* * *", "x"], "timeZone": "../x"},
            ("InvalidTimeZone", "spec.timeZone", "not an IANA"),
        ),
        (
            {"schedule": "* * *", "timeZone": "../x"},
            ("InvalidTimeZone", "spec.timeZone", "not an IANA"),
        ),
    ],
)
def test_schedules(spec: dict[str, object], expected: tuple[str, str, str]) -> None:
    """Time zone first, then the schedule; each with its remedy."""
    (found,) = of_job(**spec)

    assert expected[:2] == (found.reason, found.field)
    assert expected[2] in found.message


CONTAINER = "spec.template.spec.containers[0].resources"


@pytest.mark.parametrize(
    ("pod", "field", "part"),
    [
        ({"containers": []}, "spec.template.spec.containers", "at least one"),
        ({"containers": None}, "spec.template.spec.containers", "at least one"),
        ({"nodeName": "a"}, "spec.template.spec.nodeName", "nodeSelector"),
        ({"schedulerName": "x"}, "spec.template.spec.schedulerName", "remove"),
        ({"priority": 0}, "spec.template.spec.priority", "priorityClassName"),
        ({"restartPolicy": "Always"}, "spec.template.spec.restartPolicy", "absent or Never"),
        ({"restartPolicy": ["Never"]}, "spec.template.spec.restartPolicy", "absent or Never"),
        ({"restartPolicy": {}}, "spec.template.spec.restartPolicy", "absent or Never"),
        (with_resources(requests={"cpu": "1mi"}), f"{CONTAINER}.requests.cpu", "not a quantity"),
        (with_resources(requests={"cpu": 0.5}), f"{CONTAINER}.requests.cpu", "quoted text"),
        (with_resources(limits={"cpu": "NaN"}), f"{CONTAINER}.limits.cpu", "not a quantity"),
        (with_resources(requests={"cpu": "1e30"}), f"{CONTAINER}.requests.cpu", "too large"),
        (with_resources(requests={"cpu": "-1"}), f"{CONTAINER}.requests.cpu", "negative"),
        (with_resources(requests={"memory": "128m"}), f"{CONTAINER}.requests.memory", "M or Mi"),
        (with_resources(limits={"memory": "0.5"}), f"{CONTAINER}.limits.memory", "M or Mi"),
        (
            with_resources(requests={"nvidia.com/gpu": "500m"}),
            f"{CONTAINER}.requests.nvidia.com/gpu",
            "whole number",
        ),
        (
            with_resources(requests={"cpu": "2"}, limits={"cpu": "1500m"}),
            f"{CONTAINER}.requests.cpu",
            "must not exceed the limit '1500m'",
        ),
        (
            {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "x"}}}]},
            "spec.template.spec.initContainers[0].resources.requests.cpu",
            "not a quantity",
        ),
        ({"overhead": {"cpu": "x"}}, "spec.template.spec.overhead.cpu", "not a quantity"),
        (
            {"resources": {"requests": {"cpu": "x"}}},
            "spec.template.spec.resources.requests.cpu",
            "not a quantity",
        ),
    ],
)
def test_templates(pod: dict[str, Any], field: str, part: str) -> None:
    """The path of the field, and what to write in its place."""
    (found,) = of_job(pod)

    assert ("InvalidTemplate", field) == (found.reason, found.field)
    assert part in found.message


def test_instances_restart() -> None:
    """A run never restarts in place, an instance always does."""
    pod = {"containers": [{"name": "a"}], "restartPolicy": "Never"}
    spec = LongServiceSpec.model_validate({"template": {"spec": pod}})
    (found,) = problems("LongService", spec)

    assert "must be absent or Always; remove it" == found.message


@pytest.mark.parametrize("pod", [None, 3, [], {}, {"containers": "x"}, {"containers": [3, None]}])
def test_shapeless_templates_do_not_crash(pod: object) -> None:
    """Whatever a store without our schema may hold."""
    spec = BatchJobSpec.model_validate({"template": {"spec": pod}})

    assert {"InvalidTemplate"} >= {found.reason for found in problems("BatchJob", spec)}


def test_an_unreadable_spec_names_its_field() -> None:
    """A spec that cannot be parsed has problems instead, by the user's field names."""
    body = {
        "kind": "BatchJob",
        "metadata": {"namespace": "a", "name": "b", "uid": "c", "generation": 3},
        "spec": {"retryPolicy": {"limit": "3"}},
    }
    read = parse_resource(body)

    assert read.spec is None
    assert [
        ("InvalidSpec", "spec.retryPolicy.limit"),
        ("InvalidSpec", "spec.template"),
    ] == [(found.reason, found.field) for found in read.problems]


def test_a_status_write_costs_no_parsing() -> None:
    """The same generation of the same object keeps its parsed spec."""
    body = {
        "kind": "BatchJob",
        "metadata": {"namespace": "a", "name": "b", "uid": "c", "generation": 3},
        "spec": {"schedule": "never", "template": {"spec": {"containers": [{"name": "a"}]}}},
    }
    first = parse_resource(body)
    second = parse_resource({**body, "status": {"running": 1}}, known=first)
    edited = parse_resource(
        {**body, "metadata": {**body["metadata"], "generation": 4}}, known=second
    )

    assert first.spec is second.spec
    assert first.problems is second.problems
    assert {"running": 1} == second.status
    assert first.spec is not edited.spec
    assert ["InvalidSchedule"] == [found.reason for found in edited.problems]
