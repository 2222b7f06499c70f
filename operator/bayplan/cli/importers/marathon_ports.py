"""Translates ports of Marathon's apps and endpoints of its pods, for containers and Services."""

import re
from collections.abc import Mapping
from typing import Any

from bayplan.cli.importers import reading
from bayplan.cli.importers.reading import Taking

Ports = list[dict[str, Any]]

_FIRST_PORT = 8080  # the first port to use where Marathon would have chosen a port
_LAST_PORT = 65_535
_MOST_SERVICE_PORTS = 16
_DEFAULT_NAME = "default"  # Apps.DefaultPortDefinitions and DefaultPortMappings
_LABELS = (
    "labels of ports were for load balancers; clients use the name and port of the Service now, "
    "and a load balancer reads service.annotations"
)
_READS_PORT = re.compile(r"\$\{?PORT")


def of_app(app: Taking, docker: Taking) -> Ports:
    """The ports in their order, from port mappings, port definitions or port numbers."""
    required = app.flag("requirePorts")
    mapped = [*docker.each("portMappings"), *_inside(docker)]
    found: Ports = []
    for one in mapped:
        found += _port(one, found, "containerPort", fixed=one.whole("hostPort"))
    for one in app.each("portDefinitions"):
        if mapped:
            one.note("port", "the container's own port mappings are used instead")
            continue
        number = one.whole("port")
        found += _port(one, found, "port", fixed=number if required else 0)
    for one in _discovered(app):
        found += _port(one, found, "number", fixed=0)
    numbers = app.listed("ports")
    if numbers and not found:
        for index, number in enumerate(numbers):
            one = Taking(app.of, {"port": number}, app.notes, f"ports[{index}].")
            found += _port(one, found, "port", fixed=one.whole("port") if required else 0)
    if not found and not _written(app, docker):
        found += _default(app)
    return found


def _written(app: Taking, docker: Taking) -> bool:
    """Whether the app states its ports; an empty list states that it has none."""
    inner = docker.body.get("docker")
    places = (
        (app.body, "ports"),
        (app.body, "portDefinitions"),
        (app.body, "ipAddress"),
        (docker.body, "portMappings"),
        (inner if isinstance(inner, Mapping) else {}, "portMappings"),
    )
    return any(body.get(key) is not None for body, key in places)


def _default(app: Taking) -> Ports:
    """The port of an app that states no ports, so that $PORT0 exists (AppNormalization).

    It gets a Service only if something shows that the program listens on it.
    """
    notes: list[reading.Note] = []
    [port] = _port(Taking(app.of, {"port": 0, "name": _DEFAULT_NAME}, notes), [], "port", fixed=0)
    checks = [*app.listed("healthChecks"), *app.listed("readinessChecks")]
    asked = any(
        isinstance(one, Mapping) and str(one.get("protocol", "HTTP")).upper() != "COMMAND"
        for one in checks
    )
    reads = " ".join(map(str, [app.body.get("cmd") or "", *app.listed("args")]))
    balanced = any(key.startswith("HAPROXY_") for key in app.mapping("labels"))
    if asked or balanced or _READS_PORT.search(reads):
        app.note(
            "ports", f"Marathon gave the app a port; the container must listen on {port['number']}"
        )
        return [port]
    return [{**port, "service": None}]


def _discovered(app: Taking) -> list[Taking]:
    """Ports of `ipAddress.discovery`, the older form of port mappings."""
    address = app.body.get("ipAddress")
    discovery = address.get("discovery") if isinstance(address, Mapping) else None
    if not isinstance(discovery, Mapping):
        return []
    return Taking(app.of, discovery, app.notes, "ipAddress.discovery.").each("ports")


def _inside(docker: Taking) -> list[Taking]:
    """Port mappings in the form before Marathon 1.5."""
    inner = docker.body.get("docker")
    if not isinstance(inner, Mapping) or not inner.get("portMappings"):
        return []
    return Taking(docker.of, inner, docker.notes, f"{docker.path}docker.").each("portMappings")


def _port(one: Taking, before: Ports, key: str, *, fixed: int) -> Ports:
    """A port of the container and of the Service, for each of its protocols."""
    taken = {port["number"] for port in before}
    number = one.whole(key)
    if not number:
        number = _FIRST_PORT
        while number in taken:
            number += 1
        one.note(key, f"Marathon would have chosen a port; the container must listen on {number}")
    if not 1 <= number <= _LAST_PORT:
        raise one.wrong(key, "a port from 0 to 65535", number)
    name = one.text("name")
    outside = one.whole("servicePort") or number
    found: Ports = []
    index = max((port["index"] for port in before), default=-1) + 1
    for protocol in _protocols(one):
        called = reading.name_of(name or f"port-{len(before) + len(found)}")[:15].strip("-")
        if any(port["name"] == called for port in [*before, *found]):
            called = f"{called[:11].strip('-')}-{len(before) + len(found)}"
        if name and called != name:
            one.note("name", f"is now {called}")
        found.append(
            {
                "index": index,
                "number": number,
                "name": called,
                "original": name,
                "protocol": protocol,
                "host": fixed,
                "service": {"name": called, "port": outside, "targetPort": called}
                | ({"protocol": protocol} if protocol != "TCP" else {}),
            }
        )
    one.end({"labels": _LABELS})
    return found


def _protocols(one: Taking) -> list[str]:
    """Kubernetes' names of the protocols; http and other protocols above TCP count as TCP."""
    found = []
    for word in one.text("protocol", "tcp").upper().split(","):
        name = word.strip()
        if name not in {"TCP", "UDP", "SCTP"}:
            if name not in {"", "HTTP", "HTTPS"}:
                one.note("protocol", f"{name.lower()!r} is read as tcp")
            name = "TCP"
        found.append(name)
    return list(dict.fromkeys(found))


def of_service(one: Taking, ports: Ports) -> Ports:
    """The ports of the Service: each number once per protocol, at most as many as allowed."""
    seen: set[tuple[int, str]] = set()
    kept: Ports = []
    for port in (each["service"] for each in ports if each["service"]):
        key = port["port"], port.get("protocol", "TCP")
        if key in seen:
            continue
        seen.add(key)
        if len(kept) == _MOST_SERVICE_PORTS:
            one.note(
                "ports",
                f"a service has at most {_MOST_SERVICE_PORTS} ports; make another Service for"
                f" {port['port']} and the ports after it",
            )
            break
        kept.append(port)
    return kept


def of_container(ports: Ports) -> dict[str, Any]:
    written = [
        {"name": port["name"], "containerPort": port["number"]}
        | ({"protocol": port["protocol"]} if port["protocol"] != "TCP" else {})
        | ({"hostPort": port["host"]} if port["host"] else {})
        for port in ports
    ]
    return {"ports": written} if written else {}


def variables(ports: Ports) -> list[dict[str, str]]:
    """PORT0, PORT_NUMBER, PORT_NAME, PORT and PORTS as Marathon set them (EnvironmentHelper)."""
    by_index = {port["index"]: port for port in ports}
    numbers = [str(port["number"]) for port in by_index.values()]
    found = [(f"PORT{index}", number) for index, number in enumerate(numbers)]
    found += [(f"PORT_{number}", number) for number in numbers]
    for port in by_index.values():
        if port["original"]:
            found.append((f"PORT_{port['original'].upper()}", str(port["number"])))
    if numbers:
        found += [("PORT", numbers[0]), ("PORTS", ",".join(numbers))]
    return [{"name": name, "value": value} for name, value in dict(found).items()]


def of_endpoints(ports: Ports) -> list[dict[str, str]]:
    """ENDPOINT_, EP_HOST_ and EP_CONTAINER_ of a pod's endpoints (TaskGroupBuilder).

    Every container of the pod also gets the variables of the other containers.
    """
    found: dict[str, str] = {}
    for port in ports:
        name = re.sub(r"[^A-Z0-9_]+", "_", port["original"].upper())
        number = str(port["number"])
        found[f"ENDPOINT_{name}"] = number
        if port["on_host"]:
            found[f"EP_HOST_{name}"] = number
        if port["in_container"]:
            found[f"EP_CONTAINER_{name}"] = number
    return [{"name": name, "value": value} for name, value in found.items()]


def of_endpoint(one: Taking, before: Ports) -> Ports:
    """The ports of a pod's endpoint; `on_host` and `in_container` say which ports it states."""
    protocols = one.take("protocol", ["tcp"])
    joined = ",".join(map(str, protocols)) if isinstance(protocols, list) else str(protocols)
    host = one.whole("hostPort")
    number = one.whole("containerPort") or host
    port = {"port": number, "name": one.text("name"), "protocol": joined}
    named = {key: one.body.get(key) is not None for key in ("hostPort", "containerPort")}
    one.end(
        {
            "labels": _LABELS,
            "networkNames": reading.NETWORK,
        }
    )
    found = _port(Taking(one.of, port, one.notes, one.path), before, "port", fixed=host)
    more = {"on_host": named["hostPort"], "in_container": named["containerPort"]}
    return [{**port, **more} for port in found]
