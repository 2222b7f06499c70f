"""The custom resources as read: defaults, strictness, tolerance, delays, times."""

import json
from typing import Any

import pydantic
import pytest

from bayplan.api import meta, times
from bayplan.api.batchjob import BatchJobSpec, RetryPolicy
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.longservice import LongServiceSpec, RestartBackoff
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.api.template import template_hash

TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}


def test_defaults_of_a_batchjob() -> None:
    """What a job that says only its template gets."""
    spec = BatchJobSpec.model_validate({"template": TEMPLATE})

    assert (None, "UTC", False) == (spec.schedule, spec.time_zone, spec.suspend)
    assert ("Retry", False) == (spec.on_lost, spec.interruptible)
    assert ("Forbid", "RunLatest") == (spec.concurrency_policy, spec.missed_run_policy)
    assert (None, None, None) == (
        spec.starting_deadline_seconds,
        spec.active_deadline_seconds,
        spec.expected_duration_seconds,
    )
    assert (2, 60, 100, 3600) == (
        spec.retry_policy.limit,
        spec.retry_policy.delay_seconds,
        spec.retry_policy.backoff_percent,
        spec.retry_policy.max_delay_seconds,
    )
    assert (300, 3, 3) == (
        spec.unreachable.retry_after_seconds,
        spec.history.successful,
        spec.history.failed,
    )
    assert ("Shared", "Auto") == (spec.placement.isolation, spec.placement.disruption)


def test_defaults_of_a_longservice() -> None:
    """What a service that says only its template gets."""
    spec = LongServiceSpec.model_validate({"template": TEMPLATE})

    assert (1, None, "Auto", 10) == (
        spec.replicas,
        spec.service,
        spec.disruption_budget,
        spec.revision_history_limit,
    )
    assert (100, 25, 0) == (
        spec.update_strategy.minimum_healthy_percent,
        spec.update_strategy.maximum_surge_percent,
        spec.update_strategy.min_ready_seconds,
    )
    assert (1, 115, 300) == (
        spec.restart_backoff.initial_seconds,
        spec.restart_backoff.factor_percent,
        spec.restart_backoff.max_seconds,
    )
    assert (60, "YoungestFirst") == (spec.unreachable.replace_after_seconds, spec.scale_down.order)
    assert ("Shared", "Auto") == (spec.placement.isolation, spec.placement.disruption)


def test_a_service_and_its_ports() -> None:
    """Numbers and names of target ports stay what they are."""
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP", "nodePort": 30053},
    ]
    service = LongServiceSpec.model_validate(
        {"template": TEMPLATE, "service": {"ports": ports, "annotations": {"a": "b"}}}
    ).service
    assert service is not None

    assert ("ClusterIP", {"a": "b"}) == (service.type, service.annotations)
    assert [("http", 80, "web", "TCP", None), ("dns", 53, 5353, "UDP", 30053)] == [
        (port.name, port.port, port.target_port, port.protocol, port.node_port)
        for port in service.ports
    ]


def test_the_template_stays_as_it_came() -> None:
    """Nothing of the user's template is read away, not even what no version knows yet."""
    template = {"spec": {"containers": [{"name": "a", "tomorrow": {"x": [1, None]}}]}, "new": 1}

    assert template == BatchJobSpec.model_validate({"template": template}).template


def test_fields_of_a_newer_version_are_ignored() -> None:
    """An operator may be older than the resource."""
    new = {"template": TEMPLATE, "tomorrow": 1, "retryPolicy": {"limit": 0, "tomorrow": []}}

    assert 0 == BatchJobSpec.model_validate(new).retry_policy.limit


@pytest.mark.parametrize("wrong", ["3", 3.0, True, None, 2**40, -1])
def test_whole_numbers_are_strict(wrong: object) -> None:
    """No text, float, bool or null where a whole number within bounds belongs."""
    with pytest.raises(pydantic.ValidationError, match=r"retryPolicy\.limit"):
        BatchJobSpec.model_validate({"template": TEMPLATE, "retryPolicy": {"limit": wrong}})


def test_models_are_frozen() -> None:
    """A spec is a value."""
    spec = BatchJobSpec.model_validate({"template": TEMPLATE})

    with pytest.raises(pydantic.ValidationError, match="frozen"):
        spec.suspend = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        ({}, [60, 120, 240, 480, 960, 1920, 3600, 3600]),
        ({"backoffPercent": 0}, [60, 60, 60]),
        ({"backoffPercent": 50, "delaySeconds": 10}, [10, 15, 22, 33, 50]),
        ({"delaySeconds": 0}, [0, 0]),
        ({"delaySeconds": 5, "maxDelaySeconds": 5}, [5, 5]),
        ({"backoffPercent": 1000, "delaySeconds": 1}, [1, 11, 121, 1331, 3600]),
    ],
)
def test_retry_delays(policy: dict[str, int], delays: list[int]) -> None:
    """Retry n waits delay · ((100 + backoff) / 100)^(n - 1), rounded down, within the maximum."""
    read = RetryPolicy.model_validate(policy)

    assert delays == [read.delay_seconds_before(retry) for retry in range(1, len(delays) + 1)]


def test_restart_delays_are_those_of_marathon() -> None:
    """1 s, factor 1.15, 300 s at most: Marathon's launch delays, in whole milliseconds."""
    backoff = RestartBackoff()
    delays = {n: backoff.delay_milliseconds_after(n) for n in (1, 2, 3, 10, 20, 30, 41, 42, 10**9)}

    assert {
        1: 1000,
        2: 1150,
        3: 1322,
        10: 3517,
        20: 14_231,
        30: 57_575,
        41: 267_863,
        42: 300_000,
        10**9: 300_000,
    } == delays
    assert 7000 == RestartBackoff(initial_seconds=7, factor_percent=100).delay_milliseconds_after(
        10**9
    )


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T07:00:00Z", 1_795_417_200),
        ("2026-11-23T08:00:00+01:00", 1_795_417_200),
        ("2026-11-23T07:00:00.999999Z", 1_795_417_200),
        ("2106-02-07T06:28:16Z", 2**32),
    ],
)
def test_times(text: str, epoch: int) -> None:
    """Epoch seconds here, RFC 3339 in UTC on the wire."""
    status = BatchJobStatus.model_validate({"lastSlotTime": text})

    assert epoch == status.last_slot_time == times.epoch_of(times.rfc3339(epoch))
    assert {"lastSlotTime": times.rfc3339(epoch)} == status.wire()


@pytest.mark.parametrize("text", ["2026-11-23T07:00:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_times_have_a_zone(text: str) -> None:
    """A time without an offset is no moment."""
    with pytest.raises(pydantic.ValidationError):
        BatchJobStatus.model_validate({"lastSlotTime": text})


def test_an_empty_status_says_nothing() -> None:
    """What is not known is not written; what is known to be zero is."""
    assert {} == BatchJobStatus().wire() == LongServiceStatus().wire()
    assert {"replicas": 0} == LongServiceStatus(replicas=0).wire()


def test_messages_are_cut_not_refused() -> None:
    """A long message of a container never makes a status unwritable."""
    condition = meta.Condition(
        type="Ready",
        status="False",
        last_transition_time=0,
        reason="x" * 100,
        message="é" * 5000,
    )

    assert (64, 1024) == (len(condition.reason), len(condition.message))
    assert condition.message.endswith("é…")


def test_template_hashes() -> None:
    """Ten characters of a label; the order of keys is nothing, every value is something."""
    one = {"spec": {"containers": [{"name": "a", "image": "b"}], "hostNetwork": False}}
    same = {"spec": {"hostNetwork": False, "containers": [{"image": "b", "name": "a"}]}}
    others = [
        {"spec": {"containers": [{"name": "a", "image": "b"}], "hostNetwork": 0}},
        {"spec": {"containers": [{"name": "a", "image": "b"}], "hostNetwork": None}},
        {"spec": {"containers": [{"name": "a", "image": "b"}]}},
        {},
    ]

    assert template_hash(one) == template_hash(same) == template_hash(json.loads(json.dumps(one)))
    assert len(others) + 1 == len({template_hash(other) for other in [one, *others]})
    assert "29qlosbzqm" == template_hash(one)  # another name would restart every instance
