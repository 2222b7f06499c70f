"""Calls of boto3 to moto's server: what groups are read as, and what each error means."""

from collections.abc import Iterator
from typing import Any

import pytest

from bayplan.cloud.auto_scaling import AutoScaling
from bayplan.cloud.auto_scaling_errors import (
    BusyError,
    CloudError,
    RefusedError,
    ThrottledError,
    UnansweredError,
    UnsupportedError,
)
from bayplan.model.groups import Group
from bayplan.model.nodes import Taint
from bayplan.reconcile.pool.unfit_groups import judged
from tests.groups.aws import ENVIRONMENT, TAG, Aws, make_group, served

ZONE, SIZES = "us-east-1a", ("large", "xlarge")
NODE_TEMPLATE = "k8s.io/cluster-autoscaler/node-template"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with served() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


def described(calls: AutoScaling) -> dict[str, Group]:
    return {group.name: group for group in calls.describe([TAG])}


def test_a_group_is_read_with_what_its_tags_say(aws: Aws) -> None:
    tags = {
        TAG: "batch",
        f"{NODE_TEMPLATE}/label/team": "search",
        f"{NODE_TEMPLATE}/taint/dedicated": "batch:NoExecute",
    }
    make_group(aws, "a", "m5.large", ZONE, tags=tags)
    make_group(aws, "other", "m5.large", ZONE, tags={"team": "x"})
    (group,) = described(AutoScaling()).values()

    assert (("m5.large", ZONE, "on-demand"), 20) == (group.offering, group.open)
    assert {"team": "search"} == group.labels
    assert (Taint("dedicated", "batch", "NoExecute"),) == group.taints
    assert [group] == list(judged([group], {}, "batch").fit)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"suspended": []}, "Rebalances"),
        ({"NewInstancesProtectedFromScaleIn": False}, "Unprotected"),
        ({"AvailabilityZones": [ZONE, "us-east-1b"]}, "SeveralZones"),
        ({"tags": {TAG: "batch", "k8s.io/cluster-autoscaler/enabled": ""}}, "AutoscalerToo"),
        ({"overrides": [{"InstanceType": f"m5.{size}"} for size in SIZES]}, "SeveralSizes"),
        ({"overrides": [{"InstanceType": "m5.large", "WeightedCapacity": "2"}]}, "Weighted"),
        (
            {
                "overrides": [{"InstanceType": "m5.large"}],
                "distribution": {"OnDemandPercentageAboveBaseCapacity": 50},
            },
            "SeveralMarkets",
        ),
    ],
)  # fmt: skip
def test_an_unfit_group_is_known_by_what_aws_says(
    aws: Aws, more: dict[str, Any], reason: str
) -> None:
    stated = dict(more)
    if "overrides" in stated:
        stated["MixedInstancesPolicy"] = {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateName": "of-a",
                    "Version": "$Default",
                },
                "Overrides": stated.pop("overrides"),
            },
            "InstancesDistribution": stated.pop("distribution", {}),
        }
        stated["LaunchTemplate"] = None
    make_group(aws, "a", "m5.large", ZONE, **stated)
    found = judged(described(AutoScaling()).values(), {}, "batch")

    assert [("a", reason)] == [(one.name, one.reason) for one in found.unfit]


def test_types_of_the_same_size_and_spot_are_fit(aws: Aws) -> None:
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": "of-a", "Version": "$Default"},
            "Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "m5a.large"}],
        },
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0},
    }
    make_group(aws, "a", "m5.large", ZONE, MixedInstancesPolicy=policy, LaunchTemplate=None)
    (group,) = judged(described(AutoScaling()).values(), {}, "batch").fit

    assert ("m5.large", ZONE, "spot") == group.offering


def test_a_launch_with_the_same_token_is_one_launch(aws: Aws) -> None:
    make_group(aws, "a", "m5.large", ZONE)
    calls = AutoScaling()
    first, again = (calls.launch("a", 3, "token-1") for _ in range(2))
    group = described(calls)["a"]

    assert first == again
    assert (3, 3) == (len(first.instances), group.desired)
    assert {one.id for one in first.instances} == {one.id for one in group.instances}
    assert {ZONE} == {one.zone for one in first.instances}


def test_errors_of_a_launch_are_told(aws: Aws) -> None:
    """Nothing of a type without capacity; the rest of what a group may have."""
    make_group(aws, "a", "m5.large", ZONE)
    make_group(aws, "small", "m5.xlarge", ZONE, MaxSize=2)
    aws.sold_out["m5.large", ZONE] = "InsufficientInstanceCapacity"
    calls = AutoScaling()
    none, some = calls.launch("a", 3, "t1"), calls.launch("small", 3, "t2")

    assert ((), "InsufficientInstanceCapacity") == (none.instances, none.faults[0].code)
    assert (2, "MaxSizeReached") == (len(some.instances), some.faults[0].code)


def test_an_end_lowers_the_desired_size_by_one(aws: Aws) -> None:
    make_group(aws, "a", "m5.large", ZONE)
    calls = AutoScaling()
    calls.set_desired("a", 3)
    first, *others = described(calls)["a"].instances
    calls.terminate(first.id)
    group = described(calls)["a"]

    assert (2, {one.id for one in others}) == (group.desired, {one.id for one in group.instances})
    with pytest.raises(RefusedError, match="not found"):
        calls.terminate(first.id)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("Throttling", ThrottledError),
        ("RequestLimitExceeded", ThrottledError),
        ("ResourceContention", BusyError),
        ("ScalingActivityInProgress", BusyError),
        ("IdempotentCallInProgress", BusyError),
        ("InvalidAction", UnsupportedError),
        ("AccessDenied", RefusedError),
        ("ValidationError", RefusedError),
    ],
)
def test_what_an_error_means(aws: Aws, code: str, meaning: type[CloudError]) -> None:
    """And a write is sent once, whatever the answer."""
    make_group(aws, "a", "m5.large", ZONE)
    aws.troubles["LaunchInstances"] = [code] * 5
    with pytest.raises(meaning):
        AutoScaling().launch("a", 1, "t")

    assert ["LaunchInstances"] == aws.calls


def test_a_page_of_a_proxy_is_no_answer(aws: Aws) -> None:
    """The library cannot read it, and nobody knows what became of the call."""
    make_group(aws, "a", "m5.large", ZONE)
    aws.troubles["TerminateInstanceInAutoScalingGroup"] = ["a <page>"]
    with pytest.raises(UnansweredError):
        AutoScaling().terminate("i-1")


def test_no_answer_is_no_refusal(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    make_group(aws, "a", "m5.large", ZONE)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UnansweredError):
        AutoScaling().terminate("i-1")


def test_without_credentials_or_region_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RefusedError, match="AWS_REGION"):
        AutoScaling().describe([TAG])
