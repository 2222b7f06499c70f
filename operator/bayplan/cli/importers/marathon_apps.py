"""Translates an app of Marathon into a LongService."""

from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.cli.importers import (
    marathon_ports,
    marathon_shared,
    marathon_variables,
    marathon_volumes,
    probes,
    reading,
)
from bayplan.cli.importers.marathon_shared import Whole
from bayplan.cli.importers.reading import Taking

_RESOURCES = (1.0, 128.0, 0.0)  # default cpus, mem and disk of an app (app.raml)


def manifest(whole: Whole, app: Taking, path: str, inherited: list[str]) -> dict[str, Any]:
    app.take("id")
    docker = app.inner("container")
    ports = marathon_ports.of_app(app, docker)
    volumes = marathon_volumes.of_app(docker, dict(app.mapping("secrets")))
    container, pod = _app_container(whole, app, path, docker, ports, volumes)
    spec = marathon_shared.shared(app, path, inherited, whole, resident=bool(volumes.claims))
    spec["replicas"] = app.whole("instances", 1)
    if volumes.claims:
        spec["volumeClaimTemplates"] = volumes.claims
    strategy = app.inner("upgradeStrategy")
    spec["updateStrategy"] = marathon_shared.strategy(
        strategy, _default_strategy(app, resident=marathon_volumes.outlives(docker))
    )
    strategy.end({})
    backoff = marathon_shared.backoff(
        app, "backoffSeconds", "backoffFactor", "maxLaunchDelaySeconds"
    )
    if backoff:
        spec["restartBackoff"] = backoff
    constraints = [
        found
        for index, triple in enumerate(app.listed("constraints"))
        if (
            found := reading.constraint(
                app, f"constraints[{index}]", triple if isinstance(triple, list) else [triple]
            )
        )
    ]
    grace = app.whole("taskKillGracePeriodSeconds", marathon_shared.GRACE)
    if grace != marathon_shared.GRACE:
        pod["terminationGracePeriodSeconds"] = grace
    app.end(marathon_shared.APP)
    return marathon_shared.manifest(
        whole, app, path, spec, constraints, {**pod, "containers": [container]}, ports
    )


def _default_strategy(app: Taking, *, resident: bool) -> tuple[float, float]:
    """The default shares of healthy and surplus instances (UpgradeStrategyConverter).

    An app with persistent or external volumes keeps half of its instances and has no surplus; an
    app that is marked as a single instance keeps none.
    """
    if str(app.mapping("labels").get("MARATHON_SINGLE_INSTANCE_APP", "")).lower() == "true":
        return 0.0, 0.0
    return (0.5, 0.0) if resident else (1.0, 1.0)


def _app_container(  # noqa: PLR0917  what of an app is in its container
    whole: Whole,
    app: Taking,
    path: str,
    docker: Taking,
    ports: list[dict[str, Any]],
    volumes: marathon_volumes.Volumes,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container, and the other fields of its pod."""
    inner = docker.inner("docker")
    pod: dict[str, Any] = {}
    image = inner.text("image")
    if not image:
        app.note("container", f"no image: runs in {whole.image}; build an image with the program")
    container: dict[str, Any] = {"name": "main", "image": image or whole.image}
    container.update(_program(app))
    secrets = dict(app.mapping("secrets"))
    marathon_variables.listed(app, whole.services)
    told = marathon_variables.of_commands(app, path, container["image"])
    variables = _variables(app, secrets, [*marathon_ports.variables(ports), *told])
    if variables:
        container["env"] = variables
    container["resources"] = reading.resources(app, app.inner("resourceLimits"), default=_RESOURCES)
    container.update(marathon_ports.of_container(ports))
    container.update(probes.of_app(app, ports))
    if app.flag("tty"):
        container["tty"] = True
    context = reading.user(app, "user")
    if inner.flag("privileged"):
        context["privileged"] = True
    if context:
        container["securityContext"] = context
    if inner.flag("forcePullImage"):
        container["imagePullPolicy"] = "Always"
    secret = _pull_secret(inner, secrets)
    if secret:
        pod["imagePullSecrets"] = [{"name": secret}]
    if volumes.mounts:
        container["volumeMounts"] = volumes.mounts
    if volumes.volumes:
        pod["volumes"] = volumes.volumes
    docker.take("type")
    marathon_shared.docker_network(inner)
    inner.take("portMappings")  # already read with the other ports
    own = "only for Docker; the pod template has fields for most of them"
    inner.end({"parameters": own, "credential": "use pullConfig's counterpart, imagePullSecrets"})
    docker.end({"linuxInfo": "write it into template.spec: securityContext"})
    marathon_shared.networks(app)
    return container, pod


def _program(app: Taking) -> dict[str, Any]:
    command, args = app.text("cmd"), app.texts("args")
    return {
        **({"command": ["/bin/sh", "-c", command]} if command else {}),
        **({"args": args} if args else {}),
    }


def _variables(
    app: Taking, secrets: Mapping[str, Any], told: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The variables of the app, and those that Marathon `told` it; the app's own go before."""
    known: dict[str, dict[str, Any]] = {}
    for one in [*reading.environment(app, "env", secrets), *told]:
        known.setdefault(one["name"], one)
    return list(known.values())


def _pull_secret(inner: Taking, secrets: Mapping[str, Any]) -> str:
    pull = inner.inner("pullConfig")
    secret = pull.text("secret")
    pull.end({})
    if not secret:
        return ""
    known = secrets.get(secret)
    source = known.get("source") if isinstance(known, Mapping) else None
    name = reading.name_of(str(source or secret))
    inner.note("pullConfig", f"make a Secret {name} of type kubernetes.io/dockerconfigjson")
    return name
