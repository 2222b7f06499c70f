"""An app of Marathon as a LongService."""

from collections.abc import Mapping
from typing import Any

from bayplan.cli import marathonports, marathonshared, probes, taking
from bayplan.cli.marathonshared import Whole
from bayplan.cli.taking import Taking


def manifest(whole: Whole, app: Taking, path: str, inherited: list[str]) -> dict[str, Any]:
    app.take("id")
    docker = app.inner("container")
    ports = marathonports.of_app(app, docker)
    container, pod = _app_container(whole, app, docker, ports)
    labels = app.mapping("labels")
    single = str(labels.get("MARATHON_SINGLE_INSTANCE_APP", "")).lower() == "true"
    spec = marathonshared.shared(app, path, inherited, whole)
    strategy = app.inner("upgradeStrategy")
    spec["replicas"] = app.whole("instances", 1)
    spec["updateStrategy"] = marathonshared.strategy(
        strategy, 0.0 if single else 1.0, 0.0 if single else 1.0
    )
    strategy.end({})
    backoff = marathonshared.backoff(
        app, "backoffSeconds", "backoffFactor", "maxLaunchDelaySeconds"
    )
    if backoff:
        spec["restartBackoff"] = backoff
    constraints = [
        found
        for index, triple in enumerate(app.listed("constraints"))
        if (
            found := taking.constraint(
                app, f"constraints[{index}]", triple if isinstance(triple, list) else [triple]
            )
        )
    ]
    grace = app.whole("taskKillGracePeriodSeconds", marathonshared.GRACE)
    if grace != marathonshared.GRACE:
        pod["terminationGracePeriodSeconds"] = grace
    app.end(marathonshared.APP)
    return marathonshared.manifest(
        whole, app, path, spec, constraints, {**pod, "containers": [container]}, ports
    )


def _app_container(
    whole: Whole, app: Taking, docker: Taking, ports: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one container, and what else its pod has."""
    inner = docker.inner("docker")
    pod: dict[str, Any] = {}
    image = inner.text("image")
    if not image:
        app.note("container", f"no image: runs in {whole.image}; make one with the program in it")
    container: dict[str, Any] = {"name": "main", "image": image or whole.image}
    container.update(_program(app))
    secrets = dict(app.mapping("secrets"))
    variables = _variables(app, secrets, ports)
    if variables:
        container["env"] = variables
    container["resources"] = taking.resources(
        app, app.inner("resourceLimits"), least=(1.0, 128.0, 0)
    )
    container.update(marathonports.of_container(ports))
    container.update(probes.of_app(app, ports))
    if app.flag("tty"):
        container["tty"] = True
    context = taking.user(app, "user")
    if inner.flag("privileged"):
        context["privileged"] = True
    if context:
        container["securityContext"] = context
    if inner.flag("forcePullImage"):
        container["imagePullPolicy"] = "Always"
    secret = _pull_secret(inner, secrets)
    if secret:
        pod["imagePullSecrets"] = [{"name": secret}]
    mounts, volumes = _volumes(docker, secrets)
    if mounts:
        container["volumeMounts"], pod["volumes"] = mounts, volumes
    docker.take("type")
    inner.take("network")
    inner.take("portMappings")  # read with the others
    own = "Docker's own; the pod template has most of them under other names"
    inner.end({"parameters": own, "credential": "use pullConfig's counterpart, imagePullSecrets"})
    docker.end({"linuxInfo": "write it into template.spec: securityContext"})
    marathonshared.networks(app)
    return container, pod


def _program(app: Taking) -> dict[str, Any]:
    command, args = app.text("cmd"), app.texts("args")
    probes.warn_of_variables(app, "cmd", command)
    return {
        **({"command": ["/bin/sh", "-c", command]} if command else {}),
        **({"args": args} if args else {}),
    }


def _variables(app: Taking, secrets: Mapping[str, Any], ports: marathonports.Ports) -> list[Any]:
    """The app's own win over those of its ports."""
    known: dict[str, dict[str, Any]] = {}
    for one in [*taking.environment(app, "env", secrets), *marathonports.variables(ports)]:
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
    name = taking.name_of(str(source or secret))
    inner.note("pullConfig", f"make a Secret {name} of type kubernetes.io/dockerconfigjson")
    return name


def _volumes(
    docker: Taking, secrets: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts, volumes = [], []
    for index, one in enumerate(docker.each("volumes")):
        path = one.text("containerPath")
        host, secret = one.text("hostPath"), one.text("secret")
        read_only = one.text("mode", "RW").upper() == "RO"
        source = marathonshared.volume_source(host, secret, secrets)
        one.end(
            {
                "persistent": "volumes outlive pods by PersistentVolumeClaims; give each instance"
                " its own by volumeClaimTemplates",
                "external": "make a PersistentVolumeClaim and name it in template.spec.volumes",
            }
        )
        if source is None or not path:
            continue
        name = f"volume-{index}"
        if secret:
            one.note("secret", f"make a Secret {source['secret']['secretName']}")
        mounts.append({"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {}))
        volumes.append({"name": name, **source})
    return mounts, volumes
