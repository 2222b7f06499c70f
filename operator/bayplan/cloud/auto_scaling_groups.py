"""Reads Auto Scaling groups as boto3 returns them (`DescribeAutoScalingGroups`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.cloud import catalogue
from bayplan.model.groups import Group, Instance
from bayplan.model.nodes import Taint
from bayplan.model.untyped import mapping, sequence

# Tags in which the Cluster Autoscaler reads what nodes of a group will be like.
_LABEL, _TAINT = (f"k8s.io/cluster-autoscaler/node-template/{one}/" for one in ("label", "taint"))
_ALL = 100  # percent


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a launch template: where it is, and what of it matters."""

    id: str  # or the name, if only that is known
    version: str = "$Default"
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class TemplateContent:
    """The instance type of a launch template; empty if it names none."""

    type: str = ""
    spot: bool = False
    by_attributes: bool = False


def template_of(described: Mapping[str, Any]) -> Template | None:
    """The launch template of a group; None for a group with a launch configuration."""
    mixed = mapping(mapping(described.get("MixedInstancesPolicy")).get("LaunchTemplate"))
    stated = mapping(described.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification"))
    version = str(stated.get("Version") or "$Default")
    if stated.get("LaunchTemplateId"):
        return Template(str(stated["LaunchTemplateId"]), version)
    if stated.get("LaunchTemplateName"):
        return Template(str(stated["LaunchTemplateName"]), version, by_name=True)
    return None


def content_of(version: Mapping[str, Any]) -> TemplateContent:
    """What one of the answers of `DescribeLaunchTemplateVersions` says."""
    data = mapping(version.get("LaunchTemplateData"))
    return TemplateContent(
        str(data.get("InstanceType") or ""),
        mapping(data.get("InstanceMarketOptions")).get("MarketType") == "spot",
        bool(data.get("InstanceRequirements")),
    )


def group(described: Mapping[str, Any], content: TemplateContent | None) -> Group:
    """The group; `content` is of its launch template, None without one."""
    policy = mapping(described.get("MixedInstancesPolicy"))
    overrides = [
        mapping(one) for one in sequence(mapping(policy.get("LaunchTemplate")).get("Overrides"))
    ]
    read = content or TemplateContent()
    named = [str(one["InstanceType"]) for one in overrides if one.get("InstanceType")]
    types = tuple(dict.fromkeys(named or ([read.type] if read.type else [])))
    known = [found for one in types if (found := catalogue.load().get(one)) is not None]
    tags = {
        str(one.get("Key")): str(one.get("Value") or "")
        for one in map(mapping, sequence(described.get("Tags")))
    }
    return Group(
        name=str(described.get("AutoScalingGroupName") or ""),
        tags=tags,
        template=content is not None,
        types=types,
        sizes=frozenset((one.cpu_milli, one.memory_bytes) for one in known),
        unknown=tuple(one for one in types if one not in catalogue.load()),
        weighted=any(one.get("WeightedCapacity") not in (None, "1") for one in overrides)
        or described.get("DesiredCapacityType", "units") != "units",
        by_attributes=any(one.get("InstanceRequirements") for one in overrides)
        or (read.by_attributes and not named),
        zones=tuple(map(str, sequence(described.get("AvailabilityZones")))),
        spot=_spot(policy, read),
        desired=int(described.get("DesiredCapacity") or 0),
        least=int(described.get("MinSize") or 0),
        most=int(described.get("MaxSize") or 0),
        protects=bool(described.get("NewInstancesProtectedFromScaleIn")),
        suspended=frozenset(
            str(mapping(one).get("ProcessName"))
            for one in sequence(described.get("SuspendedProcesses"))
        ),
        instances=tuple(_instance(mapping(one)) for one in sequence(described.get("Instances"))),
        labels={
            key.removeprefix(_LABEL): value for key, value in tags.items() if key.startswith(_LABEL)
        },
        taints=tuple(_taints(tags)),
        deleting=bool(described.get("Status")),  # stated only while it is being deleted
    )


def _spot(policy: Mapping[str, Any], read: TemplateContent) -> bool | None:
    if not policy:
        return read.spot
    shares = mapping(policy.get("InstancesDistribution"))
    above = shares.get("OnDemandPercentageAboveBaseCapacity")
    share = _ALL if above is None else int(above)
    if share == _ALL:
        return False
    return True if share == 0 and not int(shares.get("OnDemandBaseCapacity") or 0) else None


def _instance(described: Mapping[str, Any]) -> Instance:
    return Instance(
        str(described.get("InstanceId") or ""),
        str(described.get("InstanceType") or ""),
        str(described.get("AvailabilityZone") or ""),
        str(described.get("LifecycleState") or ""),
    )


def _taints(tags: Mapping[str, str]) -> Iterable[Taint]:
    """The value of such a tag is `value:effect`."""
    for key, text in sorted(tags.items()):
        if key.startswith(_TAINT):
            value, _, effect = text.rpartition(":")
            yield Taint(key.removeprefix(_TAINT), value, effect)
