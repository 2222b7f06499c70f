"""Translates health and readiness checks into probes, and commands into those of containers.

Marathon sent requests only to healthy tasks and killed sick tasks. So a health check becomes a
readiness and a liveness probe, and its grace period becomes the time of a startup probe.
"""

import math
from typing import Any

from bayplan.cli.importers.marathon_variables import VARIABLES
from bayplan.cli.importers.reading import Taking

Ports = list[dict[str, Any]]

_GRACE, _INTERVAL, _TIMEOUT, _FAILURES, _DELAY = 300, 60, 20, 3, 15
_FIRST_CODE, _END_CODE = 200, 400  # codes that a kubelet counts as a success


def warn_of_variables(one: Taking, key: str, command: str) -> None:
    """Note the variables of the command that nothing sets any more."""
    for word in sorted({found.group(1) for found in VARIABLES.finditer(command)}):
        one.note(key, f"${word} is not set; use env with a fieldRef or a value")


def command(exec_: Taking) -> dict[str, Any]:
    """The command of a pod's container from `exec`: a line for a shell, or words."""
    inner = exec_.inner("command")
    line, words = inner.text("shell"), inner.texts("argv")
    inner.end({})
    instead = exec_.flag("overrideEntrypoint")
    exec_.end({})
    if line:
        warn_of_variables(inner, "shell", line)
        return {"command": ["/bin/sh", "-c", line]}
    if not words:
        return {}
    return {"command": words} if instead else {"args": words}


def of_app(app: Taking, ports: Ports) -> dict[str, Any]:
    """Probes of an app's container; a readiness check has priority over the health check."""
    found: dict[str, Any] = {}
    for index, check in enumerate(app.each("healthChecks")):
        handler = _handler(check, ports)
        if found or handler is None:
            why = "a container can have only one liveness probe" if found else (
                "cannot be a probe: its port or protocol is not known"
            )  # fmt: skip
            app.note(f"healthChecks[{index}]", why)
            _timing(check)
            _end(check)
            continue
        protocol = check.text("protocol", "HTTP").upper()
        found = _probes(check, handler, by_agent=protocol.startswith(("MESOS_", "COMMAND")))
        _end(check)
    for index, check in enumerate(app.each("readinessChecks")):
        if index:
            app.note(f"readinessChecks[{index}]", "a container can have only one readiness probe")
        probe = _readiness(check, ports)
        if probe is not None and not index:
            found["readinessProbe"] = probe
    return found


def of_container(one: Taking, ports: Ports) -> dict[str, Any]:
    """The probes of a container of a pod."""
    check = one.inner("healthCheck")
    if not check.body:
        return {}
    handler = _pod_handler(check, ports)
    found = _probes(check, handler, by_agent=True) if handler is not None else {}
    if handler is None:
        one.note("healthCheck", "cannot be a probe: its endpoint is not known")
        _timing(check)
    _end(check)
    return found


def _end(check: Taking) -> None:
    check.end(
        {
            "ignoreHttp1xx": "for a kubelet an answer of 1xx is a failure",
            "ipProtocol": "a kubelet uses the pod's own address",
        }
    )


def _handler(check: Taking, ports: Ports) -> dict[str, Any] | None:
    protocol = check.text("protocol", "HTTP").upper().removeprefix("MESOS_")
    path = check.text("path", "/")
    number = check.whole("port")
    index = check.whole("portIndex")
    run = check.inner("command")
    line = run.text("value")
    run.end({})
    if protocol == "COMMAND":
        return {"exec": {"command": ["/bin/sh", "-c", line]}} if line else None
    if not number and index < len(ports):
        number = ports[index]["number"]
    if not number:
        return None
    if protocol == "TCP":
        return {"tcpSocket": {"port": number}}
    if protocol in {"HTTP", "HTTPS"}:
        return {"httpGet": _get(path, number, protocol)}
    return None


def _pod_handler(check: Taking, ports: Ports) -> dict[str, Any] | None:
    by_name = {port["original"]: port["number"] for port in ports}
    get, tcp, run = check.inner("http"), check.inner("tcp"), check.inner("exec")
    endpoint = get.text("endpoint") or tcp.text("endpoint")
    path, scheme = get.text("path", "/"), get.text("scheme", "HTTP").upper()
    ran = command(run)
    for one in (get, tcp):
        one.end({})
    if ran:
        return {"exec": {"command": ran.get("command") or ran["args"]}}
    if endpoint not in by_name:
        return None
    if tcp.body:
        return {"tcpSocket": {"port": by_name[endpoint]}}
    return {"httpGet": _get(path, by_name[endpoint], scheme)}


def _get(path: str, number: int, scheme: str) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path or "/", "port": number}
    return {**found, "scheme": "HTTPS"} if scheme == "HTTPS" else found


def _timing(check: Taking) -> tuple[dict[str, int], int, int, int]:
    interval = max(math.ceil(check.number("intervalSeconds", _INTERVAL)), 1)
    timeout = max(math.ceil(check.number("timeoutSeconds", _TIMEOUT)), 1)
    failures = check.whole("maxConsecutiveFailures", _FAILURES)
    grace = math.ceil(check.number("gracePeriodSeconds", _GRACE))
    delay = math.ceil(check.number("delaySeconds", _DELAY if "delaySeconds" in check.body else 0))
    return {"periodSeconds": interval, "timeoutSeconds": timeout}, failures, grace, delay


def _probes(check: Taking, handler: dict[str, Any], *, by_agent: bool) -> dict[str, Any]:
    """The probes of a check. With no failure allowed, an agent killed at the first one.

    Marathon itself, asked the same, never killed.
    """
    times, failures, grace, delay = _timing(check)
    if by_agent:
        failures = max(failures, 1)
    late = {"initialDelaySeconds": delay} if delay else {}
    probe = {**handler, **times, "failureThreshold": max(failures, 1)}
    found = {"readinessProbe": {**probe, **late}}
    if failures:  # 0: never kill
        found["livenessProbe"] = probe
        tries = max(math.ceil(grace / times["periodSeconds"]), failures, 1)
        found["startupProbe"] = {**handler, **times, **late, "failureThreshold": tries}
    return found


def _readiness(check: Taking, ports: Ports) -> dict[str, Any] | None:
    check.take("name")
    path, scheme = check.text("path", "/"), check.text("protocol", "HTTP").upper()
    name = check.text("portName", "http-api")
    interval = max(math.ceil(check.number("intervalSeconds", 30)), 1)
    timeout = max(math.ceil(check.number("timeoutSeconds", 10)), 1)
    codes = check.listed("httpStatusCodesForReady")
    odd = [
        code for code in codes if not (isinstance(code, int) and _FIRST_CODE <= code < _END_CODE)
    ]
    if odd:
        check.note("httpStatusCodesForReady", f"{odd}: a kubelet accepts 200 to 399 as ready")
    check.end({"preserveLastResponse": "a kubelet's events report only failures"})
    numbers = [port["number"] for port in ports if name in {port["original"], port["name"]}]
    if not numbers:
        check.note("portName", f"no port is called {name!r}")
        return None
    return {
        "httpGet": _get(path, numbers[0], scheme),
        "periodSeconds": interval,
        "timeoutSeconds": timeout,
    }
