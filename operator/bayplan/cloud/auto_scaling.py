"""Calls to EC2 Auto Scaling through boto3 (extra `aws`).

A call blocks until its answer. botocore repeats only those that read: whether a write is repeated
is for the caller to decide.
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bayplan.cloud.auto_scaling_errors import (
    BusyError,
    CloudError,
    RefusedError,
    ThrottledError,
    UnansweredError,
    UnsupportedError,
)
from bayplan.cloud.auto_scaling_groups import (
    Template,
    TemplateContent,
    content_of,
    group,
    template_of,
)
from bayplan.model.groups import Group, Instance, Launched, LaunchFault
from bayplan.model.untyped import mapping, sequence

_NEWEST_SECONDS = 600  # a template's $Default and $Latest are read again so often
_FIRST_SERVER_ERROR = 500
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "ThrottledException"}) | frozenset(
    {"RequestLimitExceeded", "RequestThrottled", "TooManyRequestsException", "SlowDown"}
)
_BUSY = frozenset({"ResourceContention", "ScalingActivityInProgress", "IdempotentCallInProgress"})
_UNSUPPORTED = frozenset({"InvalidAction", "UnknownOperation", "UnknownOperationException"})
_WITHOUT = "boto3 is not installed; install the extra `aws` of bayplan"


class AutoScaling:
    """Clients for the region and the credentials of the environment, made at the first call."""

    def __init__(self) -> None:
        self._reads: Any = None
        self._writes: Any = None
        self._ec2: Any = None
        self._templates: dict[Template, tuple[float, TemplateContent]] = {}

    def describe(self, tags: Collection[str]) -> list[Group]:
        """The groups that have one of these tags, whatever its value."""
        self._connect()
        filters = [{"Name": "tag-key", "Values": sorted(tags)}]
        pages = self._reads.get_paginator("describe_auto_scaling_groups")
        try:
            described = [
                mapping(one)
                for page in pages.paginate(Filters=filters, PaginationConfig={"PageSize": 100})
                for one in sequence(page.get("AutoScalingGroups"))
            ]
            return [group(one, self._content(one)) for one in described]
        except self._failures as error:
            raise _read(error) from error

    def launch(self, name: str, count: int, token: str) -> Launched:
        """Launch instances of a group now; the same token gives the same instances."""
        self._connect()
        if not hasattr(self._writes, "launch_instances"):
            raise UnsupportedError("this boto3 has no LaunchInstances; 1.42 or later has it")
        answer = self._written(
            "launch_instances",
            AutoScalingGroupName=name,
            RequestedCapacity=count,
            ClientToken=token,
            RetryStrategy="none",
        )
        return Launched(
            tuple(
                Instance(
                    str(id_),
                    str(one.get("InstanceType") or ""),
                    str(one.get("AvailabilityZone") or ""),
                    "Pending",
                )
                for one in map(mapping, sequence(answer.get("Instances")))
                for id_ in sequence(one.get("InstanceIds"))
            ),
            tuple(
                LaunchFault(str(one.get("ErrorCode") or ""), str(one.get("ErrorMessage") or ""))
                for one in map(mapping, sequence(answer.get("Errors")))
            ),
        )

    def set_desired(self, name: str, size: int) -> None:
        """Have a group want so many instances."""
        self._connect()
        self._written(
            "set_desired_capacity",
            AutoScalingGroupName=name,
            DesiredCapacity=size,
            HonorCooldown=False,
        )

    def terminate(self, instance: str) -> None:
        """End an instance, and have its group want one less."""
        self._connect()
        self._written(
            "terminate_instance_in_auto_scaling_group",
            InstanceId=instance,
            ShouldDecrementDesiredCapacity=True,
        )

    def _written(self, operation: str, **stated: Any) -> Mapping[str, Any]:
        try:
            return mapping(getattr(self._writes, operation)(**stated))
        except self._failures as error:
            raise _read(error) from error

    def _content(self, described: Mapping[str, Any]) -> TemplateContent | None:
        """What the launch template of a group says; None if the group has none."""
        template = template_of(described)
        if template is None:
            return None
        read_at, known = self._templates.get(template, (0.0, TemplateContent()))
        lasting = not template.version.startswith("$")
        now = time.monotonic()
        if template in self._templates and (lasting or now - read_at < _NEWEST_SECONDS):
            return known
        place = "LaunchTemplateName" if template.by_name else "LaunchTemplateId"
        versions: Sequence[Any] = ()
        try:
            answer = self._ec2.describe_launch_template_versions(
                **{place: template.id}, Versions=[template.version]
            )
            versions = sequence(mapping(answer).get("LaunchTemplateVersions"))
        except self._failures as error:
            if not isinstance(_read(error), RefusedError) or not _is_missing(error):
                raise
        content = content_of(mapping(versions[0])) if versions else TemplateContent()
        self._templates[template] = now, content
        return content

    def _connect(self) -> None:
        if self._ec2 is not None:
            return
        try:
            import boto3  # noqa: PLC0415  an extra, and slow to import
            from botocore import config, exceptions, parsers  # noqa: PLC0415
        except ImportError as error:
            raise RefusedError(_WITHOUT) from error
        self._failures = (  # the last one: a page of a proxy in place of an answer
            exceptions.BotoCoreError,
            exceptions.ClientError,
            parsers.ResponseParserError,
        )
        short: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 30}
        reads = config.Config(**short, retries={"mode": "adaptive", "total_max_attempts": 3})
        writes = config.Config(**short, retries={"total_max_attempts": 1})
        region = os.environ.get("AWS_REGION") or None  # boto3 itself reads AWS_DEFAULT_REGION only
        try:
            self._reads = boto3.client("autoscaling", region_name=region, config=reads)
            self._writes = boto3.client("autoscaling", region_name=region, config=writes)
            self._ec2 = boto3.client("ec2", region_name=region, config=reads)
        except self._failures as error:
            raise RefusedError(f"{error} Set AWS_REGION for the operator.") from error


def _is_missing(error: Any) -> bool:
    """Whether there is no such launch template, or no such version."""
    code = str(mapping(getattr(error, "response", {}).get("Error")).get("Code") or "")
    return code.startswith("InvalidLaunchTemplate")


def _read(error: Any) -> CloudError:
    """What an error of botocore means."""
    answer = getattr(error, "response", None)
    if answer is None:
        from botocore import exceptions  # noqa: PLC0415  it is there if this is called

        refused = exceptions.NoCredentialsError | exceptions.PartialCredentialsError
        refused |= exceptions.ParamValidationError | exceptions.CredentialRetrievalError
        return (RefusedError if isinstance(error, refused) else UnansweredError)(str(error))
    code = str(mapping(answer.get("Error")).get("Code") or "").removesuffix("Fault")
    status = int(mapping(answer.get("ResponseMetadata")).get("HTTPStatusCode") or 0)
    text = str(error)
    if code in _THROTTLED:
        return ThrottledError(text)
    if code in _BUSY:
        return BusyError(text)
    if code in _UNSUPPORTED:
        return UnsupportedError(text)
    return UnansweredError(text) if status >= _FIRST_SERVER_ERROR else RefusedError(text)
