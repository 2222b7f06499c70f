"""Translates what Marathon's apps and pods have in common; reasons for what has no counterpart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.api.service import Service
from bayplan.cli.importers import marathon_balancers, marathon_ports, reading
from bayplan.cli.importers.reading import Note, Taking

_LONGEST_WAIT = 7 * 86_400
# The default of Marathon and of a LongService.
_DEFAULT_BACKOFF = {"initialSeconds": 1, "factorPercent": 115, "maxSeconds": 300}
GRACE = 5  # seconds, Mesos' default
_ROLES = "roles and reservations: use taints and tolerations, and a ResourceQuota as limit"
APP = {
    **reading.record(
        "version", "versionInfo", "tasks", "tasksStaged", "tasksRunning", "tasksHealthy",
        "tasksUnhealthy", "deployments", "lastTaskFailure", "tasksStats", "taskStats",
        "readinessCheckResults",
    ),
    "acceptedResourceRoles": _ROLES,
    "role": _ROLES,
    "check": "was only shown; a probe or a metric may take its place",
    "fetch": reading.IMAGES,
    "uris": reading.IMAGES,
    "storeUrls": reading.IMAGES,
    "executor": "only Mesos had custom executors",
    "executorResources": "only Mesos had executors",
    "ipAddress": reading.NETWORK,
    "residency": "volumes outlive pods by PersistentVolumeClaims",
    "secrets": "make Secrets of these names, with the key `value`",
}  # fmt: skip
GROUP = {**reading.record("version", "versionInfo"), "enforceRole": _ROLES}
POD = {
    **APP,
    "executorResources": "only Mesos had executors; set template.spec.overhead for their resources",
    "legacySharedCgroups": "the kubelet manages cgroups",
    "linuxInfo": "write it into template.spec.securityContext",
}


@dataclass(slots=True)
class Whole:
    """An import. `image` is for apps without an image; `notes` and `faults` grow."""

    image: str
    namespace: str = ""
    aws: bool = False  # whether load balancers are those of AWS
    notes: list[Note] = field(default_factory=list)
    faults: list[Note] = field(default_factory=list)  # of apps and pods that cannot be read
    members: dict[str, list[str]] = field(default_factory=dict)  # group -> apps below it
    services: dict[str, str] = field(default_factory=dict)  # name in Mesos' DNS -> Service
    beside: list[dict[str, Any]] = field(default_factory=list)  # Ingresses, in their order


def absolute(name: str, above: str) -> str:
    """The absolute id of `name`, seen from `above`: `../db` from `/shop/web` is `/db`."""
    parts = [] if name.startswith("/") else above.split("/")
    for part in name.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(part for part in parts if part)


def manifest(  # noqa: PLR0917  what an app and a pod have in common
    whole: Whole,
    one: Taking,
    path: str,
    spec: dict[str, Any],
    constraints: list[dict[str, str]],
    pod: dict[str, Any],
    ports: list[dict[str, Any]],
) -> dict[str, Any]:
    name = reading.name_of(path)
    labels, annotations = reading.labelled(one, one.mapping("labels"))
    for key in one.mapping("labels"):
        if key.startswith(("traefik", "VIP_")):
            one.note(f"labels.{key}", "asked for a load balancer: use `service` or an Ingress")
    if constraints:
        spec["placement"] = {"constraints": constraints}
    about: dict[str, Any] = {"name": name}
    if whole.namespace:
        about["namespace"] = whole.namespace
    if labels:
        about["labels"] = labels
    about["annotations"] = {f"{names.GROUP}/imported-from": path, **annotations}
    service: dict[str, Any] = {"ports": marathon_ports.of_service(one, ports)}
    first: Mapping[str, Any] = next(iter(pod["containers"]), {})
    probe = first.get("readinessProbe", {})
    whole.beside += marathon_balancers.balanced(one, about, service, ports, probe, aws=whole.aws)
    if service["ports"]:
        spec["service"] = service
        _serve_on(pod, service)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.LONGSERVICE,
        "metadata": about,
        "spec": {**spec, "template": {"spec": pod}},
    }


def _serve_on(pod: dict[str, Any], service: Mapping[str, Any]) -> None:
    """Let a stated grace period begin when the instance is deregistered: Mesos had no such wait."""
    read = Service.model_validate(service)
    grace = pod.get("terminationGracePeriodSeconds")
    if grace is not None and read.deregistration_seconds is not None:
        pod["terminationGracePeriodSeconds"] = grace + read.serves_on_seconds


def shared(
    one: Taking, path: str, inherited: list[str], whole: Whole, *, resident: bool = False
) -> dict[str, Any]:
    """Fields that apps and the scheduling of pods share.

    `resident`: instances have volumes of their own.
    """
    spec: dict[str, Any] = {}
    if one.text("killSelection", "YOUNGEST_FIRST").upper() == "OLDEST_FIRST":
        if resident:
            one.note("killSelection", "instances with their own volumes leave highest first")
        else:
            spec["scaleDown"] = {"order": "OldestFirst"}
    lost = one.take("unreachableStrategy", {})
    if lost == {} and resident:
        one.note(
            "unreachableStrategy",
            "Marathon never replaced a lost instance with a volume; here it is replaced after"
            " unreachable.replaceAfterSeconds, once its volume can be mounted elsewhere",
        )
    if lost == "disabled":
        spec["unreachable"] = {"replaceAfterSeconds": _LONGEST_WAIT}
        one.note("unreachableStrategy", "disabled: a lost instance is replaced after seven days")
    else:
        inner = one.inner("unreachableStrategy")
        if inner.body:
            waits = inner.whole("inactiveAfterSeconds")
            spec["unreachable"] = {"replaceAfterSeconds": min(waits, _LONGEST_WAIT)}
        inner.end(
            {"expungeAfterSeconds": "when a lost node returns, the surplus instance ends at once"}
        )
    wanted: dict[str, None] = {}
    for target in [*inherited, *(absolute(to, path) for to in one.texts("dependencies"))]:
        for each in whole.members.get(target, [target]):
            if each != path:
                wanted[each] = None
    if wanted:
        spec["dependsOn"] = [{"name": reading.name_of(each)} for each in wanted]
    return spec


def strategy(upgrade: Taking, default: tuple[float, float]) -> dict[str, int]:
    """The shares of healthy and surplus instances in whole percents, else of `default`."""
    found = []
    for key, share in zip(("minimumHealthCapacity", "maximumOverCapacity"), default, strict=True):
        wanted = upgrade.number(key, share)
        if wanted > 1 or round(wanted * 100, 6) % 1:
            upgrade.note(key, f"{wanted} is not a whole percent from 0 to 1")
        found.append(wanted)
    healthy, surge = found
    return {
        "minimumHealthyPercent": reading.percent(healthy, up=True),
        "maximumSurgePercent": reading.percent(surge, up=False),
    }


def backoff(one: Taking, first: str, factor: str, longest: str) -> dict[str, int]:
    """The back-off in whole seconds and percents, within our limits; empty if it is the default."""
    begin = min(max(math.ceil(one.number(first, 1)), 1), 3600)
    top = min(max(math.ceil(one.number(longest, 300)), begin), 86_400)
    percent = min(max(round(one.number(factor, 1.15) * 100), 100), 1000)
    found = {"initialSeconds": begin, "factorPercent": percent, "maxSeconds": top}
    return {} if found == _DEFAULT_BACKOFF else found


_OWN_ADDRESS = (
    "the pod has its own address instead of the host's; set template.spec.hostNetwork if it"
    " must have the host's"
)


def networks(one: Taking) -> None:
    """Note what happens with networks that the app asks for by name or by mode."""
    for index, network in enumerate(one.each("networks")):
        mode = network.text("mode", "container")
        if mode.lower() == "host":
            one.note(f"networks[{index}]", _OWN_ADDRESS)
        network.end(
            {
                "name": reading.NETWORK,
                "labels": reading.NETWORK,
            }
        )


def docker_network(docker: Taking) -> None:
    """The same for `container.docker.network`, the older form of `networks`."""
    match docker.text("network").upper():
        case "HOST":
            docker.note("network", _OWN_ADDRESS)
        case "NONE":
            docker.note("network", "the pod has a network; refuse traffic by a NetworkPolicy")
        case "USER":
            docker.note("network", reading.NETWORK)
        case _:
            pass  # BRIDGE: an address behind the host's, like a pod's address


def volume_source(host: str, secret: str, secrets: Mapping[str, Any]) -> dict[str, Any] | None:
    if secret:
        known = secrets.get(secret)
        source = known.get("source") if isinstance(known, Mapping) else None
        return {"secret": {"secretName": reading.name_of(str(source or secret))}}
    return {"hostPath": {"path": host}} if host.startswith("/") else None
