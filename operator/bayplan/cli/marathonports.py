"""Ports of Marathon's apps and endpoints of its pods: of the container and of the Service."""

from collections.abc import Mapping
from typing import Any

from bayplan.cli import taking
from bayplan.cli.taking import Taking

Ports = list[dict[str, Any]]

_FIRST_PORT = 8080  # where Marathon would have chosen one
_LAST_PORT = 65_535
_NETWORK = "networks of containers are the cluster's"


def of_app(app: Taking, docker: Taking) -> Ports:
    """Ports in their order, wherever they are written down: mappings, definitions, numbers."""
    required = app.flag("requirePorts")
    mapped = [*docker.each("portMappings"), *_inside(docker)]
    found: Ports = []
    for one in mapped:
        found += _port(one, found, "containerPort", fixed=one.whole("hostPort"))
    for one in app.each("portDefinitions"):
        if mapped:
            one.note("port", "the container's own port mappings are taken instead")
            continue
        number = one.whole("port")
        found += _port(one, found, "port", fixed=number if required else 0)
    numbers = app.listed("ports")
    if numbers and not found:
        for index, number in enumerate(numbers):
            one = Taking(app.of, {"port": number}, app.notes, f"ports[{index}].")
            found += _port(one, found, "port", fixed=one.whole("port") if required else 0)
    return found


def _inside(docker: Taking) -> list[Taking]:
    """Mappings as they were written before Marathon 1.5."""
    inner = docker.body.get("docker")
    if not isinstance(inner, Mapping) or not inner.get("portMappings"):
        return []
    return Taking(docker.of, inner, docker.notes, f"{docker.path}docker.").each("portMappings")


def _port(one: Taking, before: Ports, key: str, *, fixed: int) -> Ports:
    """A port of the container, and of the Service; one for each protocol."""
    taken = {port["number"] for port in before}
    number = one.whole(key)
    if not number:
        number = _FIRST_PORT
        while number in taken:
            number += 1
        one.note(key, f"Marathon would have chosen one; the container is to listen on {number}")
    if not 1 <= number <= _LAST_PORT:
        raise one.wrong(key, "a port from 0 to 65535", number)
    name = one.text("name")
    outside = one.whole("servicePort") or number
    found: Ports = []
    for protocol in one.text("protocol", "tcp").upper().split(","):
        called = taking.name_of(name or f"port-{len(before) + len(found)}")[:15].strip("-")
        if any(port["name"] == called for port in [*before, *found]):
            called = f"{called[:11].strip('-')}-{len(before) + len(found)}"
        if name and called != name:
            one.note("name", f"is called {called}")
        found.append(
            {
                "number": number,
                "name": called,
                "original": name,
                "protocol": protocol,
                "host": fixed,
                "service": {"name": called, "port": outside, "targetPort": called}
                | ({"protocol": protocol} if protocol != "TCP" else {}),
            }
        )
    one.end({"labels": "labels of ports told load balancers; use service.annotations"})
    return found


def apart(ports: Ports) -> Ports:
    """A Service has each number once for each protocol."""
    seen: set[tuple[int, str]] = set()
    kept = []
    for port in ports:
        key = port["port"], port.get("protocol", "TCP")
        if key not in seen:
            seen.add(key)
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
    """PORT, PORT0, PORT_NAME and PORTS as Marathon set them; a port of two protocols once."""
    numbers = list(dict.fromkeys(port["number"] for port in ports))
    found = [(f"PORT{index}", str(number)) for index, number in enumerate(numbers)]
    if numbers:
        found += [("PORT", str(numbers[0])), ("PORTS", ",".join(map(str, numbers)))]
    for port in ports:
        if port["original"]:
            name = port["original"].upper().replace("-", "_")
            found.append((f"PORT_{name}", str(port["number"])))
    return [{"name": name, "value": value} for name, value in dict(found).items()]


def of_endpoint(one: Taking, before: Ports) -> Ports:
    protocols = one.take("protocol", ["tcp"])
    joined = ",".join(protocols) if isinstance(protocols, list) else str(protocols)
    host = one.whole("hostPort")
    number = one.whole("containerPort") or host
    port = {"port": number, "name": one.text("name"), "protocol": joined}
    one.end(
        {
            "labels": "labels of ports told load balancers; use service.annotations",
            "networkNames": "networks of containers are the cluster's",
        }
    )
    return _port(Taking(one.of, port, one.notes, one.path), before, "port", fixed=host)
