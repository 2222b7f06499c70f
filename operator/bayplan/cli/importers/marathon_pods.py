"""Translates a pod of Marathon (several containers with one address) into a LongService."""

import math
from collections.abc import Mapping
from typing import Any

from bayplan.cli.importers import marathon_ports, marathon_shared, probes, reading
from bayplan.cli.importers.marathon_shared import Whole
from bayplan.cli.importers.reading import Taking

_RESOURCES = (1.0, 128.0, 0.0)  # default cpus, mem and disk of a container (resources.raml)


def manifest(whole: Whole, pod: Taking, path: str, inherited: list[str]) -> dict[str, Any]:
    """The LongService of a Marathon pod, whose containers share an address."""
    pod.take("id")
    secrets = dict(pod.mapping("secrets"))
    ports: list[dict[str, Any]] = []
    shared = reading.environment(pod, "environment", secrets)
    by_name, volumes = _pod_volumes(pod)
    context = reading.user(pod, "user")
    containers = []
    graces = []
    parts = pod.each("containers")
    own = [_endpoints(one, ports) for one in parts]
    known = marathon_ports.of_endpoints(ports)
    for one, mine in zip(parts, own, strict=True):
        made, grace = _pod_container(whole, one, shared, secrets, by_name, mine, known)
        containers.append(made)
        graces.append(grace)
    scaling, scheduling = pod.inner("scaling"), pod.inner("scheduling")
    scaling.take("kind")
    spec: dict[str, Any] = {"replicas": scaling.whole("instances", 1)}
    scaling.end({"maxInstances": "make a HorizontalPodAutoscaler with this maxReplicas"})
    spec.update(marathon_shared.shared(scheduling, path, inherited, whole))
    upgrade, backoff = scheduling.inner("upgrade"), scheduling.inner("backoff")
    spec["updateStrategy"] = marathon_shared.strategy(upgrade, (1.0, 1.0))
    upgrade.end({})
    waits = marathon_shared.backoff(backoff, "backoff", "backoffFactor", "maxLaunchDelay")
    if waits:
        spec["restartBackoff"] = waits
    backoff.end({})
    placement = scheduling.inner("placement")
    constraints = []
    for index, one in enumerate(placement.each("constraints")):
        triple = [one.text("fieldName"), one.text("operator"), one.take("value")]
        one.end({})
        words = [word for word in triple if word is not None]
        found = reading.constraint(placement, f"constraints[{index}]", words)
        constraints += [found] if found else []
    placement.end(marathon_shared.APP)
    scheduling.end({})
    body: dict[str, Any] = {"containers": containers}
    if volumes:
        body["volumes"] = volumes
    if context:
        body["securityContext"] = context
    if any(graces):
        body["terminationGracePeriodSeconds"] = math.ceil(max(graces))
    marathon_shared.networks(pod)
    made = marathon_shared.manifest(whole, pod, path, spec, constraints, body, ports)
    pod.end(marathon_shared.POD)
    return made


def _pod_volumes(pod: Taking) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Marathon's name -> our name, and the volumes; those without a host path live with the pod."""
    by_name: dict[str, str] = {}
    volumes: list[dict[str, Any]] = []
    secrets = pod.mapping("secrets")
    for one in pod.each("volumes"):
        name, host, secret = one.text("name"), one.text("host"), one.text("secret")
        ours = by_name[name] = reading.name_of(name)
        source = marathon_shared.volume_source(host, secret, secrets) or {"emptyDir": {}}
        one.end(
            {
                "persistent": "is empty in each new pod; give each instance its own"
                " PersistentVolumeClaim by volumeClaimTemplates"
            }
        )
        volumes.append({"name": ours, **source})
    return by_name, volumes


def _endpoints(one: Taking, ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ports of a container; they are also added to `ports`, the ports of the whole pod."""
    mine: list[dict[str, Any]] = []
    for endpoint in one.each("endpoints"):
        mine += marathon_ports.of_endpoint(endpoint, [*ports, *mine])
    ports += mine
    return mine


def _pod_container(  # noqa: PLR0917  what the pod hands down to its containers
    whole: Whole,
    one: Taking,
    shared: list[dict[str, Any]],
    secrets: Mapping[str, Any],
    volumes: Mapping[str, str],
    mine: list[dict[str, Any]],
    known: list[dict[str, str]],
) -> tuple[dict[str, Any], float]:
    """A container of a pod, and how long it may take to end."""
    image = one.inner("image")
    named = image.text("id")
    image.take("kind")
    made: dict[str, Any] = {
        "name": reading.name_of(one.text("name")),
        "image": named or whole.image,
    }
    if not named:
        one.note("image", f"no image: runs in {whole.image}; build an image with the program")
    if image.flag("forcePull"):
        made["imagePullPolicy"] = "Always"
    image.end({"pullConfig": "make a Secret and name it in template.spec.imagePullSecrets"})
    made.update(probes.command(one.inner("exec")))
    own = reading.environment(one, "environment", secrets)
    variables = {each["name"]: each for each in [*shared, *own]}
    for each in known:
        variables.setdefault(each["name"], each)
    if variables:
        made["env"] = list(variables.values())
    needs, limits = one.inner("resources"), one.inner("resourceLimits")
    made["resources"] = reading.resources(needs, limits, default=_RESOURCES)
    needs.end({})
    made.update(marathon_ports.of_container(mine))
    made.update(probes.of_container(one, mine))
    context = reading.user(one, "user")
    if context:
        made["securityContext"] = context
    if one.flag("tty"):
        made["tty"] = True
    mounts = []
    for mount in one.each("volumeMounts"):
        name, path = mount.text("name"), mount.text("mountPath")
        read_only = mount.flag("readOnly")
        mount.end({})
        mounts.append(
            {"name": volumes.get(name, reading.name_of(name)), "mountPath": path}
            | ({"readOnly": True} if read_only else {})
        )
    if mounts:
        made["volumeMounts"] = mounts
    lifecycle = one.inner("lifecycle")
    grace = lifecycle.number("killGracePeriodSeconds")
    lifecycle.end({})
    one.end(
        {
            "check": marathon_shared.APP["check"],
            "artifacts": reading.IMAGES,
            "labels": "containers have no labels; put them on the pod",
            "linuxInfo": "write it into the container's securityContext",
        }
    )
    return made, grace
