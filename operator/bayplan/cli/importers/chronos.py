"""Translates Chronos' jobs into BatchJobs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.cli.importers import java_zones, reading
from bayplan.cli.importers.reading import Note, Taking
from bayplan.schedules.parse import ScheduleError, TimeZoneError, parse

_DEFAULTS = (0.1, 128.0, 256.0)  # cpus, mem, disk where a job says 0
_RETRY_DELAY = 60  # seconds, Chronos' failure_retry
_PERIOD = re.compile(r"P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d*)?S)?)?)")
_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_LEAST_DEADLINE = 10
_LONGEST_DEADLINE = 366 * 86_400
_MOST_RETRIES = 100
_BUILT_IN = re.compile(r"\$\{?(CHRONOS_\w+|mesos_task_id|HOST\b|MESOS_\w+)")
_NEW_NAMES = {
    "CHRONOS_JOB_NAME": "BAYPLAN_JOB",
    "CHRONOS_JOB_RUN_ATTEMPT": "BAYPLAN_ATTEMPT",
    "CHRONOS_JOB_RUN_TIME": "BAYPLAN_SLOT",
}
_REASONS = {
    **reading.record(
        "successCount",
        "errorCount",
        "errorsSinceLastSuccess",
        "lastSuccess",
        "lastError",
    ),
    "uris": reading.IMAGES,
    "fetch": reading.IMAGES,
    "executor": "only Mesos had custom executors; use a container instead",
    "executorFlags": "only Mesos had custom executors",
    "taskInfoData": "only Mesos had custom executors",
    "dataProcessingJobType": "no progress is reported; a job may export metrics of its own",
    "async": "a run ends with its pod; let the program wait for what it began",
    "highPriority": "name a PriorityClass in template.spec.priorityClassName",
}


@dataclass(slots=True)
class Import:
    """An import. `image` is for jobs without an image; the lists grow as jobs are read."""

    image: str
    namespace: str = ""
    manifests: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    faults: list[Note] = field(default_factory=list)  # of jobs that cannot be read

    def read(self, body: Mapping[str, Any]) -> None:
        """Translate a job; if it cannot be read, its fault is kept and the others go on."""
        try:
            self.manifests.append(_manifest(body, self.image, self.namespace, self.notes))
        except reading.UnreadableError as error:
            self.faults.append(error.note)


def _manifest(
    body: Mapping[str, Any], image: str, namespace: str, notes: list[Note]
) -> dict[str, Any]:
    of = str(body.get("name") or "(no name)")
    job = Taking(of, body, notes)
    name = reading.name_of(job.text("name"))
    if name != of:
        job.note("name", f"is now {name}: names have lower-case letters, digits and -")
    container, pod = _container(job, image)
    spec = {
        **_schedule(job),
        **_behaviour(job),
        **_placement(job, pod),
        "template": {"spec": {**pod, "containers": [container]}},
    }
    about: dict[str, Any] = {"name": name}
    if namespace:
        about["namespace"] = namespace
    notes_ = {
        key: text
        for key, text in (
            (f"{names.GROUP}/imported-from", of),
            ("owner", job.text("owner")),
            ("owner-name", job.text("ownerName")),
            ("description", job.text("description")),
        )
        if text
    }
    job.end(_REASONS)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.BATCHJOB,
        "metadata": {**about, "annotations": notes_},
        "spec": spec,
    }


def _schedule(job: Taking) -> dict[str, Any]:
    schedule, zone = job.text("schedule").strip(), job.text("scheduleTimeZone")
    parents = dict.fromkeys(reading.name_of(one) for one in job.texts("parents"))
    epsilon = job.text("epsilon")
    if parents and schedule:
        job.note("schedule", "a job with parents has no schedule")
    if epsilon and (parents or not schedule):
        job.note("epsilon", "only a scheduled run can be late")
    if parents:
        return {"parents": [{"name": one} for one in parents]}
    if not schedule:
        return {}
    spec = _times(job, schedule, zone)
    return {**spec, **_deadline(job, epsilon)} if epsilon and "schedule" in spec else spec


def _times(job: Taking, schedule: str, zone: str) -> dict[str, Any]:
    """The schedule `R[n]/start/period`, and its zone, which replaces the zone of the start."""
    repeat, start, period = [*schedule.split("/"), "", ""][:3]
    if zone:  # Chronos kept the time of day and replaced the zone
        java = java_zones.named(zone)
        if java.note:
            job.note("scheduleTimeZone", java.note)
        zone = java.name
        start = _OFFSET.sub("", start)
        if start:
            start += java.offset
    spec: dict[str, Any] = {}
    if repeat == "R0":
        job.note("schedule", "has no repetition left: suspended; its repetition is unlimited")
        repeat, spec["suspend"] = "R", True
    text = f"{repeat}/{start}/{period}"
    problem = _unreadable(text, zone or "UTC")
    if problem:
        job.note("schedule", f"{problem}: the job is suspended until it has a schedule")
        return {"suspend": True}
    spec["schedule"] = text
    return {**spec, "timeZone": zone} if zone else spec


def _deadline(job: Taking, epsilon: str) -> dict[str, int]:
    seconds = _seconds(epsilon)
    if seconds is None:
        job.note("epsilon", f"{epsilon!r} is not a period of days, hours, minutes and seconds")
        return {}
    taken = min(max(seconds, _LEAST_DEADLINE), _LONGEST_DEADLINE)
    if taken != seconds:
        job.note("epsilon", f"{seconds} s: only 10 s to 366 days are possible")
    return {"startingDeadlineSeconds": taken}


def _unreadable(text: str, zone: str) -> str:
    try:
        parse(text, zone, key="", anchor=0)
    except (ScheduleError, TimeZoneError) as error:
        return str(error)
    return ""


def _seconds(period: str) -> int | None:
    found = _PERIOD.fullmatch(period)
    if found is None or not any(found.groups()):
        return None
    weeks, days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds


def _behaviour(job: Taking) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    retries = job.whole("retries", 2)
    if retries > _MOST_RETRIES:
        job.note("retries", f"{retries}: at most {_MOST_RETRIES}")
    spec["retryPolicy"] = {
        "limit": min(retries, _MOST_RETRIES),
        "delaySeconds": _RETRY_DELAY,
        "backoffPercent": 0,
    }
    if job.flag("disabled"):
        spec["suspend"] = True
    if job.flag("concurrent"):
        spec["concurrencyPolicy"] = "Allow"
    if job.flag("softError"):
        spec["treatFailureAsSuccess"] = True
    longest = job.whole("maxCompletionTime")
    if longest:
        spec["activeDeadlineSeconds"] = min(longest, _LONGEST_DEADLINE)
    return spec


def _placement(job: Taking, pod: dict[str, Any]) -> dict[str, Any]:
    """Constraints; UNLIKE adds a node affinity, as Chronos refused agents without the attribute."""
    constraints, must_have = [], []
    for index, triple in enumerate(job.listed("constraints")):
        words = triple if isinstance(triple, list) else [triple]
        if len(words) > 1 and str(words[1]).upper() not in {"EQUALS", "LIKE", "UNLIKE"}:
            job.note(f"constraints[{index}]", f"Chronos ignored the operator {words[1]!r}")
            continue
        found = reading.constraint(job, f"constraints[{index}]", words)
        if found is not None:
            constraints.append(found)
            if found["operator"] == "Unlike":
                must_have.append({"key": found["key"], "operator": "Exists"})
    if must_have:
        aliases = {
            "hostname": "kubernetes.io/hostname",
            "zone": "topology.kubernetes.io/zone",
            "region": "topology.kubernetes.io/region",
        }
        terms = [{**one, "key": aliases.get(one["key"], one["key"])} for one in must_have]
        required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        pod["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
        }
    return {"placement": {"constraints": constraints}} if constraints else {}


def _container(job: Taking, image: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container, and the other fields of its pod."""
    pod: dict[str, Any] = {}
    inner = job.inner("container")
    named = inner.text("image")
    if not named:
        job.note("container", f"no image: runs in {image}; build an image with the program")
    docker = bool(named) and inner.text("type", "DOCKER").upper() == "DOCKER"
    container: dict[str, Any] = {
        "name": "main",
        "image": named or image,
        **_command(job, docker=docker),
    }
    variables = _variables(job)
    if variables:
        container["env"] = variables
    container["resources"] = _resources(job)
    context = reading.user(job, "runAsUser")
    if context:
        container["securityContext"] = context
    if inner.flag("forcePullImage"):
        container["imagePullPolicy"] = "Always"
    inner.take("type")
    network = inner.text("network", "HOST")
    if network.upper() == "HOST" and inner.body.get("network"):
        inner.note("network", "the pod has its own address instead of the host's")
    mounts, volumes = _volumes(inner)
    if mounts:
        container["volumeMounts"], pod["volumes"] = mounts, volumes
    inner.end(
        {
            "parameters": "only for Docker; the pod template has fields for most of them",
            "networkName": reading.NETWORK,
            "networkInfos": reading.NETWORK,
        }
    )
    return container, pod


def _resources(job: Taking) -> dict[str, Any]:
    """Resources; a job's 0 meant Chronos' default (JobDeserializer, MesosTaskBuilder)."""
    body = {
        key: job.number(key) or default
        for key, default in zip(("cpus", "mem", "disk"), _DEFAULTS, strict=True)
    }
    return reading.resources(
        Taking(job.of, body, job.notes), Taking(job.of, {}, job.notes), default=_DEFAULTS
    )


def _command(job: Taking, *, docker: bool) -> dict[str, Any]:
    """The command and arguments of the container, with or without a shell.

    Without a shell Mesos' Docker executor appended the command and the arguments to the image's
    entrypoint (docker.cpp); without Docker the command was the program.
    """
    command, shell = job.text("command"), job.flag("shell", default=True)
    arguments = job.texts("arguments")
    for word in sorted({match.group(1) for match in _BUILT_IN.finditer(command)}):
        new = _NEW_NAMES.get(word)
        job.note("command", f"${word} is {f'called ${new}' if new else 'not set'}")
    if command.startswith(("http://", "https://", "ftp://")):
        job.note(
            "command", "is a URL, which Chronos fetched and ran; put the program into an image"
        )
    if shell:
        if arguments:
            job.note("arguments", "are ignored with a shell, as in Chronos; put them into command")
        return {"command": ["/bin/sh", "-c", command]} if command else {}
    if docker:
        words = [*([command] if command else []), *arguments]
        return {"args": words} if words else {}
    found: dict[str, Any] = {}
    if command:
        found["command"] = [command]
    if arguments:
        job.note("arguments", "Mesos used the first as the program's own name (argv[0])")
        found["args"] = arguments
    return found


def _variables(job: Taking) -> list[dict[str, str]]:
    found = {}
    for one in job.each("environmentVariables"):
        name, value = one.text("name"), one.take("value", "")
        one.end({})
        if reading.is_variable(name):
            found[name] = {"name": name, "value": reading.written(value)}
        else:
            one.note("name", f"{name!r} is not a name that Kubernetes allows for a variable")
    return list(found.values())


def _volumes(inner: Taking) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    for index, one in enumerate(inner.each("volumes")):
        path, host = one.text("containerPath"), one.text("hostPath")
        read_only = one.text("mode", "RW").upper() == "RO"
        one.end({"external": "make a PersistentVolumeClaim and name it in template.spec.volumes"})
        if not (path.startswith("/") and host.startswith("/")):
            if host or not one.body.get("external"):
                one.note("hostPath", "is mounted only if both paths are absolute")
            continue
        mounts.append(
            {
                "name": f"volume-{index}",
                "mountPath": path,
                **({"readOnly": True} if read_only else {}),
            }
        )
        volumes.append({"name": f"volume-{index}", "hostPath": {"path": host}})
    return mounts, volumes
