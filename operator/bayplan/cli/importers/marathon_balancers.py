"""Translates labels of marathon-lb (`HAPROXY_…`) into an Ingress, or a Service that is balanced.

A port with a virtual host becomes a rule of an Ingress; other ports are opened on a load balancer.
With `aws` both get what the AWS Load Balancer Controller reads, with pods as targets.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.cli.importers import reading
from bayplan.cli.importers.reading import Taking

AWS_CLASS = "service.k8s.aws/nlb"
_NLB = "service.beta.kubernetes.io/aws-load-balancer-"
_ALB = "alb.ingress.kubernetes.io/"
_DELAY = "deregistration_delay.timeout_seconds=30"
_LABEL = re.compile(r"HAPROXY_(?:(\d{1,4})_)?([A-Z0-9_]+)")
_HOST = re.compile(r"(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_LONGEST_HOST = 253
_PATH = re.compile(r"(/[^\s/%?#]+)*/?")  # one that an Ingress accepts
_LAST_PORT = 65_535
# Values that say nothing.
_DEFAULTS = {"BALANCE": "roundrobin", "REDIRECT_TO_HTTPS": "false", "USE_HSTS": "false"}
_TUNING = "was for HAProxy; if it is still needed, use an annotation of the new load balancer"
_REMEDIES = {
    "BACKEND_WEIGHT": "gave one app more requests; use an Ingress with weights, or more replicas",
    "DEPLOYMENT": "was for blue/green deployments; use updateStrategy.steps",
    "SSL_CERT": "make a Secret of type kubernetes.io/tls and name it in the Ingress under spec.tls",
    "REDIRECT_TO_HTTPS": "add a certificate to the Ingress, then its controller's redirect",
    "USE_HSTS": "let the program send the header Strict-Transport-Security",
}
_REMEDIES_AWS = {
    "SSL_CERT": f"name the certificate in the Ingress: annotation {_ALB}certificate-arn",
    "REDIRECT_TO_HTTPS": (
        f"add {_ALB}certificate-arn to the Ingress, with {_ALB}listen-ports "
        f'\'[{{"HTTP": 80}}, {{"HTTPS": 443}}]\' and {_ALB}ssl-redirect "443"'
    ),
    "BALANCE": (
        "add load_balancing.algorithm.type=least_outstanding_requests to the target group's "
        "attributes"
    ),
}


@dataclass(slots=True)
class _Labels:
    """The labels of an app by port (None: of the whole app); `read` are those carried over."""

    by_port: dict[int | None, dict[str, str]] = field(default_factory=dict)
    read: set[tuple[int | None, str]] = field(default_factory=set)

    def take(self, index: int | None, word: str, default: str = "") -> str:
        self.read.add((index, word))
        return self.by_port.get(index, {}).get(word, default).strip()

    def group(self, index: int) -> str:
        return self.take(index, "GROUP") or self.take(None, "GROUP")


def balanced(
    one: Taking,
    about: Mapping[str, Any],
    service: dict[str, Any],
    ports: list[dict[str, Any]],
    probe: Mapping[str, Any],
    *,
    aws: bool,
) -> list[dict[str, Any]]:
    """Change `service` so that the load balancer reaches it; the Ingress, if there is one.

    `about` is the LongService's metadata, `ports` are all ports in their order, `probe` is the
    readiness probe of its container.
    """
    labels = _read(one)
    if not labels.by_port:
        return []
    reached = list(_reached(ports, service))
    rules, opened = _exposed(one, labels, reached)
    groups = {group for port in reached for group in labels.group(port["index"]).split(",")}
    attributes = [_DELAY, *_stickiness(one, labels, service, opened, aws=aws)]
    scheme = "internet-facing" if "external" in groups else "internal"
    if opened:
        _open(one, labels, service, opened)
        if aws:
            service["loadBalancerClass"] = AWS_CLASS
            service.setdefault("annotations", {}).update(
                {
                    f"{_NLB}nlb-target-type": "ip",
                    f"{_NLB}scheme": scheme,
                    f"{_NLB}target-group-attributes": ",".join(attributes),
                }
            )
    if rules and aws:
        service.setdefault("annotations", {}).update(
            {
                f"{_ALB}target-type": "ip",
                f"{_ALB}target-group-attributes": ",".join(attributes),
                **_health(probe),
            }
        )
    if (rules or opened) and not aws:
        one.note(
            "labels.HAPROXY_GROUP",
            f"chose load balancers of the group {', '.join(sorted(groups - {''}))}; say with your "
            "controller's annotations who may reach this one",
        )
    _rest(one, labels, {port["index"] for port in reached}, aws=aws)
    return [_ingress(about, rules, scheme if aws else "")] if rules else []


def _exposed(
    one: Taking, labels: _Labels, reached: list[dict[str, Any]]
) -> tuple[list[tuple[str, str, str]], list[dict[str, Any]]]:
    """Rules of an Ingress (host, path, name of the port), and ports that are opened instead."""
    rules: list[tuple[str, str, str]] = []
    opened: list[dict[str, Any]] = []
    for port in reached:
        index = port["index"]
        enabled = labels.take(index, "ENABLED", "true").lower() != "false"
        if not enabled or not labels.group(index):
            continue
        labels.take(index, "MODE")  # an Ingress speaks HTTP, and a load balancer any protocol
        hosts = labels.take(index, "VHOST")
        if not hosts:
            opened.append(port)
            continue
        paths = _paths(one, labels, index)
        for host in filter(None, (word.strip().lower() for word in hosts.split(","))):
            if _HOST.fullmatch(host) and len(host) <= _LONGEST_HOST:
                rules += [(host, path, port["name"]) for path in paths]
            else:
                one.note(f"labels.HAPROXY_{index}_VHOST", f"{host[:60]!r} is not a host's name")
    return rules, opened


def _read(one: Taking) -> _Labels:
    found = _Labels()
    for key, value in one.mapping("labels").items():
        match = _LABEL.fullmatch(key)
        if match:
            index = None if match[1] is None else int(match[1])
            text = reading.written(value) if isinstance(value, str | int | float) else ""
            found.by_port.setdefault(index, {})[match[2]] = text
    return found


def _reached(ports: list[dict[str, Any]], service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The ports of the Service, the first of each index."""
    kept = {one["name"] for one in service.get("ports", ())}
    seen: set[int] = set()
    for port in ports:
        if port["name"] in kept and port["index"] not in seen:
            seen.add(port["index"])
            yield port


def _paths(one: Taking, labels: _Labels, index: int) -> list[str]:
    """The beginnings of paths, as HAProxy's path_beg lists them; / without any."""
    stated = labels.take(index, "PATH").split()
    where = f"labels.HAPROXY_{index}_PATH"
    if "-i" in stated:
        one.note(where, "an Ingress heeds upper and lower case")
    words = [word for word in stated if word != "-i"]
    for word in words:
        if not _PATH.fullmatch(word):
            one.note(where, f"{word[:60]!r} is not a path; it is left out")
    return [word for word in words if _PATH.fullmatch(word)] or ["/"]


def _stickiness(
    one: Taking,
    labels: _Labels,
    service: dict[str, Any],
    opened: list[dict[str, Any]],
    *,
    aws: bool,
) -> list[str]:
    """Attributes of a target group whose clients stay with their target."""
    numbers = [index for index in labels.by_port if index is not None]
    sticky = [index for index in numbers if labels.take(index, "STICKY").lower() == "true"]
    if not sticky:
        return []
    by_address = {port["index"] for port in opened} & {*sticky}
    if by_address:
        service["sessionAffinity"] = "ClientIP"
    if not aws:
        for index in sorted({*sticky} - by_address):
            one.note(
                f"labels.HAPROXY_{index}_STICKY",
                "add your Ingress controller's annotation for sessions that stay",
            )
        return []
    return [
        "stickiness.enabled=true",
        f"stickiness.type={'source_ip' if by_address else 'lb_cookie'}",
    ]


def _open(
    one: Taking, labels: _Labels, service: dict[str, Any], opened: list[dict[str, Any]]
) -> None:
    """Make it a Service of type LoadBalancer, with the numbers that clients used."""
    service["type"] = "LoadBalancer"
    names_ = {port["name"]: port["index"] for port in opened}
    for index, port in enumerate(service["ports"]):
        if port["name"] not in names_:
            one.note(
                "ports",
                f"port {port['port']} was not on the load balancer, but a Service opens all of its "
                "ports; make another Service for it",
            )
            continue
        stated = labels.take(names_[port["name"]], "PORT")
        others = {each["port"] for each in service["ports"] if each is not port}
        if stated.isascii() and stated.isdecimal() and 1 <= int(stated[:6]) <= _LAST_PORT:
            if int(stated) in others:
                one.note(f"labels.HAPROXY_{index}_PORT", f"{stated} is another port's number")
            else:
                service["ports"][index] = {**port, "port": int(stated)}


def _health(probe: Mapping[str, Any]) -> dict[str, str]:
    """Where the target group asks for an instance's health: as its readiness probe does."""
    get = probe.get("httpGet")
    if not get:
        return {}
    found = {f"{_ALB}healthcheck-path": str(get["path"])}
    found[f"{_ALB}healthcheck-port"] = str(get["port"])
    found[f"{_ALB}success-codes"] = "200-399"
    return found | ({f"{_ALB}healthcheck-protocol": "HTTPS"} if "scheme" in get else {})


def _rest(one: Taking, labels: _Labels, known: set[int], *, aws: bool) -> None:
    """Note every label that was not carried over, with the remedy. `known`: indexes of ports."""
    remedies = {**_REMEDIES, **_REMEDIES_AWS} if aws else _REMEDIES
    for index, words in labels.by_port.items():
        for word, value in words.items():
            if (index, word) in labels.read or value.lower() == _DEFAULTS.get(word):
                continue
            where = f"labels.HAPROXY_{'' if index is None else f'{index}_'}{word}"
            if not known:
                one.note(where, "asked for a load balancer, but the app says that it has no port")
            elif index is not None and index not in known:
                one.note(where, f"the app has no port number {index} with a Service")
            elif index is not None and not labels.group(index):
                one.note(where, "no load balancer served it, since it names no HAPROXY_GROUP")
            else:
                key = "DEPLOYMENT" if word.startswith("DEPLOYMENT_") else word
                one.note(where, remedies.get(key, _TUNING))


def _ingress(
    about: Mapping[str, Any], rules: list[tuple[str, str, str]], scheme: str
) -> dict[str, Any]:
    by_host: dict[str, list[dict[str, Any]]] = {}
    for host, path, port in rules:
        backend = {"service": {"name": about["name"], "port": {"name": port}}}
        by_host.setdefault(host, []).append(
            {"path": path, "pathType": "Prefix", "backend": backend}
        )
    imported = f"{names.GROUP}/imported-from"
    annotations = {imported: about["annotations"][imported]}
    spec: dict[str, Any] = {}
    if scheme:
        annotations[f"{_ALB}scheme"] = scheme
        spec["ingressClassName"] = "alb"
    spec["rules"] = [{"host": host, "http": {"paths": paths}} for host, paths in by_host.items()]
    metadata = {key: about[key] for key in ("name", "namespace") if key in about}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {**metadata, "annotations": annotations},
        "spec": spec,
    }
