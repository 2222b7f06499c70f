"""What an app's program was told by Marathon and Mesos: variables, names of hosts, its memory.

Marathon set many variables (docs/docs/task-environment-vars.md). Those of ports are in
`marathon_ports`; the others are set only if a command mentions them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.cli.importers import reading
from bayplan.cli.importers.reading import Taking

VARIABLES = re.compile(r"\$\{?(MARATHON_\w+|MESOS_\w+|HOST\b)")
_NAMES = re.compile(r"([-a-z0-9_.]*[a-z0-9])\.(?:mesos|thisdcos\.directory)\b", re.IGNORECASE)
_HEAP = re.compile(r"-Xmx(\d{1,15})([kmgt]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MEBI = 1 << 20
_MOST_HEAP = 0.9  # of the container's memory; threads, code and buffers need the rest
_MEM, _CPUS, _DISK = 128.0, 1.0, 0.0  # defaults of an app


def texts(app: Taking) -> dict[str, str]:
    """The commands of the app, by field: its own, and those of its health checks."""
    found = {"cmd": str(app.body.get("cmd") or "")}
    found["args"] = " ".join(map(str, app.body.get("args") or ()))
    checks = app.body.get("healthChecks")
    for index, check in enumerate(checks if isinstance(checks, list) else ()):
        command = check.get("command") if isinstance(check, Mapping) else None
        line = command.get("value") if isinstance(command, Mapping) else None
        found[f"healthChecks[{index}].command"] = str(line or "")
    return {field: text for field, text in found.items() if text}


def of_commands(app: Taking, path: str, image: str) -> list[dict[str, Any]]:
    """Variables that the commands mention; those that nothing sets any more are listed."""
    known: dict[str, dict[str, Any]] = {
        "HOST": _field("status.podIP"),
        "MESOS_TASK_ID": _field("metadata.name"),
        "MARATHON_APP_ID": {"value": path},
        "MARATHON_APP_DOCKER_IMAGE": {"value": image},
        "MARATHON_APP_RESOURCE_CPUS": {"value": _double(app, "cpus", _CPUS)},
        "MARATHON_APP_RESOURCE_MEM": {"value": _double(app, "mem", _MEM)},
        "MARATHON_APP_RESOURCE_DISK": {"value": _double(app, "disk", _DISK)},
        "MARATHON_APP_RESOURCE_GPUS": {"value": str(app.body.get("gpus") or 0)},
    }
    found: dict[str, dict[str, Any]] = {}
    own = app.mapping("env")
    for field, text in texts(app).items():
        for word in sorted({one.group(1) for one in VARIABLES.finditer(text)}):
            if word in own:
                continue
            if word not in known:
                app.note(field, f"${word} is not set; use env with a fieldRef or a value")
                continue
            if word == "HOST":
                app.note(field, "$HOST is the pod's address now, not the name of its host")
            found[word] = {"name": word, **known[word]}
    return list(found.values())


def _field(path: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _double(app: Taking, key: str, default: float) -> str:
    """A number as Marathon wrote it, with its point: 1024.0."""
    return str(float(app.number(key, default)))


def dns_names(path: str, body: Mapping[str, Any]) -> dict[str, str]:
    """The first parts of an app's names in Mesos' DNS: by its id and by its virtual addresses.

    Each with the name of its Service here.
    """
    ours = reading.name_of(path)
    found = {"-".join(reversed(path.strip("/").split("/"))).lower(): ours}
    container = body.get("container")
    docker = container.get("docker") if isinstance(container, Mapping) else None
    places = ((body, "portDefinitions"), (container, "portMappings"), (docker, "portMappings"))
    for inside, key in places:
        ports = inside.get(key) if isinstance(inside, Mapping) else None
        for port in ports if isinstance(ports, list) else ():
            labels = port.get("labels") if isinstance(port, Mapping) else None
            for word, value in labels.items() if isinstance(labels, Mapping) else ():
                if str(word).startswith("VIP_") and str(value).startswith("/"):
                    found[str(value)[1:].partition(":")[0].lower()] = ours
    return found


def listed(app: Taking, services: Mapping[str, str]) -> None:
    """List names that only Mesos' DNS knew, and Java heaps that need all of the memory.

    `services` are the names of Services by first parts of names in that DNS.
    """
    memory = app.number("mem", _MEM)
    for field, text in [*texts(app).items(), *_of_env(app)]:
        for name in dict.fromkeys(found.group(0) for found in _NAMES.finditer(text)):
            said = services.get(name.partition(".")[0].lower())
            instead = f"write {said}" if said else "write the name of the LongService"
            app.note(field, f"{name[:80]} was a name in Mesos' DNS; {instead}, as its Service has")
        for number, unit in _HEAP.findall(text):
            heap = int(number) * _UNITS[unit.lower()]
            if heap > memory * _MEBI * _MOST_HEAP:
                app.note(
                    field,
                    f"-Xmx{number}{unit} leaves Java no room for anything else in "
                    f"{reading.mebi(memory)}: lower it to three quarters, or raise mem",
                )


def _of_env(app: Taking) -> Iterator[tuple[str, str]]:
    for name, value in app.mapping("env").items():
        if isinstance(value, str):
            yield f"env.{name}", value
