"""AWS as moto plays it, with what moto lacks: LaunchInstances, stock, sizes, delays, throttles."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import boto3
from moto.autoscaling.models import AutoScalingBackend, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.server import ThreadedMotoServer
from werkzeug.exceptions import HTTPException

REGION, ACCOUNT, TAG = "us-east-1", "123456789012", "bayplan.dev/pool"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class RefusalError(HTTPException):
    """An error answer with a code of our choice, also one that moto's model does not have."""

    code = 400

    def __init__(self, code: str, message: str) -> None:
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        super().__init__(f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>")


@dataclasses.dataclass
class Aws:
    """The account behind the server. `sold_out` is by type and zone: the code of the error.

    `troubles` are codes of errors for the next calls of an operation, one each. With `late`,
    instances are Pending until `serve` is called.
    """

    url: str = ""
    sold_out: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    troubles: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    late: bool = False
    launched: Callable[[], None] = lambda: None  # before the answer to a launch leaves

    @property
    def backend(self) -> AutoScalingBackend:
        return autoscaling_backends[ACCOUNT][REGION]

    def client(self, name: str) -> Any:
        return boto3.client(name, region_name=REGION, endpoint_url=self.url)

    def serve(self) -> None:
        """Every Pending instance is in service."""
        for group in self.backend.autoscaling_groups.values():
            for state in group.instance_states:
                if state.lifecycle_state == "Pending":
                    state.lifecycle_state = "InService"

    def grow(self, name: str, count: int) -> list[Any]:
        group = self.backend.autoscaling_groups[name]
        before = {state.instance.id for state in group.instance_states}
        group.set_desired_capacity((group.desired_capacity or 0) + count)
        made = [state for state in group.instance_states if state.instance.id not in before]
        for state in made:
            state.lifecycle_state = "Pending" if self.late else "InService"
        return made

    def launch(self, name: str, count: int, token: str) -> dict[str, Any]:
        """The same token gives the same answer."""
        if token in self.tokens:
            return self.tokens[token]
        group = self.backend.autoscaling_groups[name]
        kind, zone = group.instance_type, group.availability_zones[0]
        able = max(min(count, (group.max_size or 0) - (group.desired_capacity or 0)), 0)
        code = self.sold_out.get((kind, zone), "MaxSizeReached" if able < count else "")
        made = [] if (kind, zone) in self.sold_out else self.grow(name, able)
        about = {"InstanceType": kind, "AvailabilityZone": zone, "MarketType": "OnDemand"}
        ids = [state.instance.id for state in made]
        self.tokens[token] = {
            "AutoScalingGroupName": name,
            "ClientToken": token,
            "Instances": [{**about, "InstanceIds": ids}] if ids else [],
            "Errors": [{**about, "ErrorCode": code, "ErrorMessage": "none"}] if code else [],
        }
        return self.tokens[token]


@contextlib.contextmanager
def served() -> Iterator[Aws]:
    """A server on a free port, whose account is empty."""
    aws = Aws()

    def called(operation: str) -> None:
        aws.calls.append(operation)
        if aws.troubles.get(operation):
            code = aws.troubles[operation].pop(0)
            raise RefusalError(code, "no")

    def launch_instances(answers: AutoScalingResponse) -> ActionResult:
        called("LaunchInstances")
        name, token = answers._get_param("AutoScalingGroupName"), answers._get_param("ClientToken")  # noqa: SLF001
        count = answers._get_int_param("RequestedCapacity")  # noqa: SLF001
        answer = aws.launch(name, count, token)
        aws.launched()
        return ActionResult(answer)

    old_size = AutoScalingResponse.set_desired_capacity
    old_end = AutoScalingResponse.terminate_instance_in_auto_scaling_group
    old_describe = AutoScalingResponse.describe_auto_scaling_groups

    def set_desired_capacity(answers: AutoScalingResponse) -> Any:
        called("SetDesiredCapacity")
        name = answers._get_param("AutoScalingGroupName")  # noqa: SLF001
        wanted = answers._get_int_param("DesiredCapacity")  # noqa: SLF001
        if wanted > (aws.backend.autoscaling_groups[name].max_size or 0):
            raise RefusalError("ValidationError", "New SetDesiredCapacity value is above max value")
        return old_size(answers)

    def terminate(answers: AutoScalingResponse) -> Any:
        called("TerminateInstanceInAutoScalingGroup")
        id_ = answers._get_param("InstanceId")  # noqa: SLF001
        groups = aws.backend.autoscaling_groups.values()
        if id_ not in {one.instance.id for group in groups for one in group.instance_states}:
            raise RefusalError("ValidationError", f"Instance Id not found - {id_}")
        return old_end(answers)

    def describe(answers: AutoScalingResponse) -> Any:
        called("DescribeAutoScalingGroups")
        return old_describe(answers)

    with (
        patch.object(AutoScalingResponse, "launch_instances", launch_instances, create=True),
        patch.object(AutoScalingResponse, "set_desired_capacity", set_desired_capacity),
        patch.object(AutoScalingResponse, "terminate_instance_in_auto_scaling_group", terminate),
        patch.object(AutoScalingResponse, "describe_auto_scaling_groups", describe),
    ):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        aws.url = f"http://{host}:{port}"
        try:
            autoscaling_backends.reset()
            yield aws
        finally:
            server.stop()


def make_group(aws: Aws, name: str, kind: str, zone: str, **more: Any) -> None:
    """A fit group of Pool `batch`; `more` are other arguments of its creation."""
    template = f"of-{name}"
    aws.client("ec2").create_launch_template(
        LaunchTemplateName=template, LaunchTemplateData={"InstanceType": kind, "ImageId": "ami-1"}
    )
    client = aws.client("autoscaling")
    tags = more.pop("tags", {TAG: "batch"})
    suspended = more.pop("suspended", ["AZRebalance"])
    stated = {
        "MinSize": 0,
        "MaxSize": 20,
        "AvailabilityZones": [zone],
        "LaunchTemplate": {"LaunchTemplateName": template, "Version": "$Default"},
        "NewInstancesProtectedFromScaleIn": True,
        **more,
    }
    client.create_auto_scaling_group(
        AutoScalingGroupName=name,
        Tags=[
            {"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()
        ],
        **{key: value for key, value in stated.items() if value is not None},
    )
    if suspended:
        client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=suspended)
