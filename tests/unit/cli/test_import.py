"""`bayplan import`: every field of the originals is translated or listed, and the result is good.

The tables go through the fields of Marathon's and Chronos' own API in the order of their documents.
"""

import json
from typing import Any

import pytest
import yaml

from tests.recorded import run, told


def imported(kind: str, body: Any, code: int = 0) -> Any:
    return told(None, "import", kind, "-", text=json.dumps(body), code=code)


def at(body: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for part in path.split("."):
        if isinstance(body, list):
            body = body[int(part)] if int(part) < len(body) else None
        else:
            body = body.get(part) if isinstance(body, dict) else None
    return body


CONTAINER = "template.spec.containers.0"
NAMED = {"container": {"docker": {"image": "nginx"}}}

# field, its value, where it ends in the spec (None: it is listed), with which value or word
APP: list[tuple[str, Any, str | None, Any]] = [
    ("cmd", "run", f"{CONTAINER}.command", ["/bin/sh", "-c", "run"]),
    ("args", ["a", "b"], f"{CONTAINER}.args", ["a", "b"]),
    ("cpus", 0.25, f"{CONTAINER}.resources.requests.cpu", "250m"),
    ("cpus", 0.0001, f"{CONTAINER}.resources.requests.cpu", "1m"),
    ("cpus", 0, f"{CONTAINER}.resources.requests.cpu", "0"),
    ("mem", 0, f"{CONTAINER}.resources.requests.memory", "0Mi"),
    ("cpus", "0.5", f"{CONTAINER}.resources.requests.cpu", "500m"),
    ("mem", 512, f"{CONTAINER}.resources.requests.memory", "512Mi"),
    ("disk", 1024, f"{CONTAINER}.resources.requests.ephemeral-storage", "1024Mi"),
    ("gpus", 2, f"{CONTAINER}.resources.limits", {"nvidia.com/gpu": "2"}),
    ("resourceLimits", {"cpus": 2, "mem": 256}, f"{CONTAINER}.resources.limits",
     {"cpu": "2", "memory": "256Mi"}),
    ("resourceLimits", {"cpus": "unlimited"}, f"{CONTAINER}.resources.limits", None),
    ("resourceLimits", {"mem": "unlimited"}, None, "memory always has a limit"),
    ("executorResources", {"cpus": 0.1}, None, "only Mesos had executors"),
    ("instances", 7, "replicas", 7),
    ("instances", 0, "replicas", 0),
    ("env", {"A": "1"}, f"{CONTAINER}.env.0", {"name": "A", "value": "1"}),
    ("env", {"A": True, "PORT0": "9"}, f"{CONTAINER}.env.1", {"name": "PORT0", "value": "9"}),
    ("env", {"A": {"secret": "s"}}, None, "make a Secret s with the key `value`"),
    ("secrets", {"s": {"source": "/db/password"}}, None, None),
    ("labels", {"team": "shop"}, None, None),
    ("labels", {"HAPROXY_GROUP": "external"}, "service.type", "LoadBalancer"),
    ("labels", {"VIP_0": "/web:80"}, None, "asked for a load balancer"),
    ("labels", {"HAPROXY_0_VHOST": "a.b"}, None, "it names no HAPROXY_GROUP"),
    ("constraints", [["hostname", "UNIQUE"]], "placement.constraints",
     [{"key": "hostname", "operator": "Unique"}]),
    ("constraints", [["@zone", "GROUP_BY", "3"]], "placement.constraints",
     [{"key": "zone", "operator": "GroupBy", "value": "3"}]),
    ("constraints", [["@region", "IS", "eu-west-1"]], "placement.constraints",
     [{"key": "region", "operator": "Is", "value": "eu-west-1"}]),
    ("constraints", [["rack", "CLUSTER", "r1"]], "placement.constraints",
     [{"key": "rack", "operator": "Cluster", "value": "r1"}]),
    ("constraints", [["rack", "LIKE", "r[1-3]"]], "placement.constraints",
     [{"key": "rack", "operator": "Like", "value": "r[1-3]"}]),
    ("constraints", [["rack", "UNLIKE", "r9"]], "placement.constraints",
     [{"key": "rack", "operator": "Unlike", "value": "r9"}]),
    ("constraints", [["hostname", "MAX_PER", "2"]], "placement.constraints",
     [{"key": "hostname", "operator": "MaxPer", "value": "2"}]),
    ("constraints", [["rack", "LIKE", "(?=x)"]], None, "the rule is left out"),
    ("constraints", [["rack", "GROUP_BY", "inf"]], None, "as many as exist"),
    ("constraints", [["rack", "NEAR", "x"]], None, "is not a known constraint"),
    ("acceptedResourceRoles", ["slave_public"], None, "use taints"),
    ("role", "dev", None, "use taints"),
    ("backoffSeconds", 5, "restartBackoff.initialSeconds", 5),
    ("backoffFactor", 1.5, "restartBackoff.factorPercent", 150),
    ("maxLaunchDelaySeconds", 3600, "restartBackoff.maxSeconds", 3600),
    ("upgradeStrategy", {"minimumHealthCapacity": 0.28, "maximumOverCapacity": 0.16},
     "updateStrategy", {"minimumHealthyPercent": 28, "maximumSurgePercent": 16}),
    ("upgradeStrategy", {"minimumHealthCapacity": 0.333}, None, "is not a whole percent"),
    ("upgradeStrategy", None, "updateStrategy",
     {"minimumHealthyPercent": 100, "maximumSurgePercent": 100}),
    ("labels", {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "updateStrategy",
     {"minimumHealthyPercent": 0, "maximumSurgePercent": 0}),
    ("killSelection", "OLDEST_FIRST", "scaleDown.order", "OldestFirst"),
    ("unreachableStrategy", {"inactiveAfterSeconds": 90}, "unreachable.replaceAfterSeconds", 90),
    ("unreachableStrategy", {"expungeAfterSeconds": 90}, None, "the surplus instance ends"),
    ("unreachableStrategy", "disabled", None, "after seven days"),
    ("taskKillGracePeriodSeconds", 40, "template.spec.terminationGracePeriodSeconds", 40),
    ("dependencies", ["../db"], "dependsOn", [{"name": "db"}]),
    ("container", {"type": "DOCKER", "docker": {"image": "a"}}, f"{CONTAINER}.image", "a"),
    ("container", {"docker": {"image": "a", "forcePullImage": True}},
     f"{CONTAINER}.imagePullPolicy", "Always"),
    ("container", {"docker": {"image": "a", "privileged": True}},
     f"{CONTAINER}.securityContext.privileged", True),
    ("container", {"docker": {"image": "a", "parameters": [{"key": "k", "value": "v"}]}}, None,
     "the pod template has fields for most of them"),
    ("container", {"docker": {"image": "a", "pullConfig": {"secret": "p"}}},
     "template.spec.imagePullSecrets", [{"name": "p"}]),
    ("container", {"docker": {"image": "a"}, "linuxInfo": {"seccomp": {}}}, None,
     "securityContext"),
    ("container", {"docker": {"image": "a"},
                   "volumes": [{"containerPath": "/d", "hostPath": "/h", "mode": "RO"}]},
     f"{CONTAINER}.volumeMounts",
     [{"name": "volume-0", "mountPath": "/d", "readOnly": True}]),
    ("container", {"docker": {"image": "a"},
                   "volumes": [{"containerPath": "d", "persistent": {"size": 9}}]}, None,
     "PersistentVolumeClaim"),
    ("container", {"docker": {"image": "a"},
                   "volumes": [{"containerPath": "d", "external": {"name": "x"}}]}, None,
     "PersistentVolumeClaim"),
    ("container", {"docker": {"image": "a"}, "portMappings": [
        {"containerPort": 80, "servicePort": 10_000, "name": "http", "protocol": "tcp"}]},
     "service.ports", [{"name": "http", "port": 10_000, "targetPort": "http"}]),
    ("container", {"docker": {"image": "a", "portMappings": [
        {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}]}},
     f"{CONTAINER}.ports",
     [{"name": "port-0", "containerPort": 53, "protocol": "UDP", "hostPort": 5353}]),
    ("container", {"docker": {"image": "a"}, "portMappings": [
        {"containerPort": 53, "protocol": "udp,tcp", "name": "dns"}]}, f"{CONTAINER}.ports.1.name",
     "dns-1"),
    ("container", {"docker": {"image": "a"}, "portMappings": [
        {"containerPort": 80, "labels": {"VIP_0": "x"}}]}, None, "service.annotations"),
    ("networks", [{"mode": "host"}], None, "its own address"),
    ("networks", [{"mode": "container", "name": "dcos"}], None, "the cluster decides"),
    ("portDefinitions", [{"port": 0, "name": "web"}], f"{CONTAINER}.env",
     [{"name": "PORT0", "value": "8080"}, {"name": "PORT_8080", "value": "8080"},
      {"name": "PORT_WEB", "value": "8080"}, {"name": "PORT", "value": "8080"},
      {"name": "PORTS", "value": "8080"}]),
    ("portDefinitions", [{"port": 0}], None, "the container must listen on 8080"),
    ("ports", [9000, 9001], f"{CONTAINER}.ports.1.containerPort", 9001),
    ("fetch", [{"uri": "http://x/a.tgz"}], None, "init container"),
    ("uris", ["http://x/a.tgz"], None, "init container"),
    ("storeUrls", ["http://x"], None, "init container"),
    ("residency", {"taskLostBehavior": "WAIT_FOREVER"}, None, "PersistentVolumeClaims"),
    ("user", "1000", f"{CONTAINER}.securityContext.runAsUser", 1000),
    ("user", "nobody", None, "securityContext.runAsUser"),
    ("tty", True, f"{CONTAINER}.tty", True),
    ("executor", "//cmd", None, "only Mesos had"),
    ("ipAddress", {"groups": ["a"]}, None, "the cluster decides"),
    ("check", {"exec": {}}, None, "a probe or a metric"),
    ("version", "2015-01-01T00:00:00Z", None, "the server's own record"),
    ("versionInfo", {"lastScalingAt": "x"}, None, "the server's own record"),
    ("tasksRunning", 3, None, "the server's own record"),
    ("lastTaskFailure", {"message": "x"}, None, "the server's own record"),
    ("tomorrow", 1, None, "this field is not known"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "path", "expected"), APP)
def test_every_field_of_an_app(field: str, value: Any, path: str | None, expected: Any) -> None:
    """It is where it belongs, or it is listed with the reason; and the result is accepted."""
    body = imported("marathon", {"id": "/web", **NAMED, field: value})
    [one] = body["manifests"]
    listed = [note["message"] for note in body["notes"] if note["field"].startswith(field)]

    assert [] == body["errors"]
    if path is not None:
        assert expected == at(one["spec"], path)
        assert not any("no such field" in message for message in listed)
    elif expected is not None:
        assert any(expected in message for message in listed), body["notes"]


HTTP = {"protocol": "HTTP", "path": "/ok", "portIndex": 0, "intervalSeconds": 10,
        "timeoutSeconds": 2, "gracePeriodSeconds": 60, "maxConsecutiveFailures": 4}  # fmt: skip
PORTS = [{"port": 8000, "name": "http-api"}]


def test_a_health_check_gates_traffic_kills_and_waits_for_the_start() -> None:
    """Readiness, liveness, and a startup probe as long as the grace period."""
    app = {"id": "web", **NAMED, "portDefinitions": PORTS, "healthChecks": [HTTP]}
    [one] = imported("marathon", app)["manifests"]
    container = at(one["spec"], CONTAINER)
    get = {"path": "/ok", "port": 8000}

    times = {"httpGet": get, "periodSeconds": 10, "timeoutSeconds": 2}
    assert {**times, "failureThreshold": 4} == container["livenessProbe"]
    assert {**times, "failureThreshold": 4} == container["readinessProbe"]
    assert {**times, "failureThreshold": 6} == container["startupProbe"]


@pytest.mark.parametrize(
    ("change", "probe", "expected"),
    [
        ({"protocol": "MESOS_TCP"}, "livenessProbe.tcpSocket", {"port": 8000}),
        ({"protocol": "HTTPS"}, "livenessProbe.httpGet.scheme", "HTTPS"),
        ({"protocol": "COMMAND", "command": {"value": "x"}}, "livenessProbe.exec.command",
         ["/bin/sh", "-c", "x"]),
        ({"maxConsecutiveFailures": 0}, "livenessProbe", None),
        ({"maxConsecutiveFailures": 0}, "readinessProbe.periodSeconds", 10),
        ({"maxConsecutiveFailures": 0, "protocol": "MESOS_HTTP"}, "livenessProbe.failureThreshold",
         1),
        ({"maxConsecutiveFailures": 0, "protocol": "COMMAND", "command": {"value": "x"}},
         "livenessProbe.failureThreshold", 1),
        ({"port": 9999}, "livenessProbe.httpGet.port", 9999),
        ({"delaySeconds": 7}, "startupProbe.initialDelaySeconds", 7),
    ],
)  # fmt: skip
def test_kinds_of_health_checks(change: dict[str, Any], probe: str, expected: Any) -> None:
    """Each kind as the probe that does the same; never killing stays never killing."""
    app = {"id": "web", **NAMED, "portDefinitions": PORTS, "healthChecks": [{**HTTP, **change}]}
    body = imported("marathon", app)

    assert expected == at(body["manifests"][0]["spec"], f"{CONTAINER}.{probe}")
    assert [] == body["errors"]


def test_what_of_checks_is_listed() -> None:
    """A second health check, 1xx answers, IP protocols, odd codes, kept answers, unknown ports."""
    ready = {"name": "r", "portName": "http-api", "httpStatusCodesForReady": [200, 404],
             "preserveLastResponse": True}  # fmt: skip
    app = {
        "id": "web",
        **NAMED,
        "portDefinitions": PORTS,
        "healthChecks": [{**HTTP, "ignoreHttp1xx": True, "ipProtocol": "IPv6"}, HTTP],
        "readinessChecks": [ready, {**ready, "portName": "nope"}],
    }
    body = imported("marathon", app)

    assert {
        "healthChecks[0].ignoreHttp1xx",
        "healthChecks[0].ipProtocol",
        "healthChecks[1]",
        "readinessChecks[0].httpStatusCodesForReady",
        "readinessChecks[0].preserveLastResponse",
        "readinessChecks[1]",
        "readinessChecks[1].portName",
        "readinessChecks[1].httpStatusCodesForReady",
        "readinessChecks[1].preserveLastResponse",
    } == {note["field"] for note in body["notes"]}


GROUP = {
    "id": "/shop",
    "groups": [
        {"id": "db", "apps": [{"id": "mysql", **NAMED}, {"id": "/shop/db/redis", **NAMED}]},
        {"id": "web", "dependencies": ["../db"], "apps": [{"id": "front", **NAMED}]},
    ],
    "version": "x",
}


def test_groups_hand_their_dependencies_down() -> None:
    """Relative ids; a dependency on a group is one on each app below it, not on oneself."""
    body = imported("marathon", GROUP)
    wanted = {one["metadata"]["name"]: one["spec"].get("dependsOn") for one in body["manifests"]}

    assert {
        "shop-db-mysql": None,
        "shop-db-redis": None,
        "shop-web-front": [{"name": "shop-db-mysql"}, {"name": "shop-db-redis"}],
    } == wanted
    assert [("/shop", "version")] == [(note["of"], note["field"]) for note in body["notes"]]


@pytest.mark.parametrize(
    "body",
    [
        {"id": "/a", **NAMED},
        [{"id": "/a", **NAMED}],
        {"apps": [{"id": "/a", **NAMED}]},
        {"app": {"id": "/a", **NAMED}},
        {"id": "/", "apps": [{"id": "/a", **NAMED}], "groups": [], "pods": []},
    ],
)
def test_forms_in_which_the_api_answers(body: Any) -> None:
    """An app, lists, and what GET /v2/apps, /v2/apps/a and /v2/groups answer."""
    assert ["a"] == [one["metadata"]["name"] for one in imported("marathon", body)["manifests"]]


POD = {
    "id": "/pod",
    "labels": {"team": "x"},
    "version": "v",
    "user": "1000",
    "environment": {"A": "1", "S": {"secret": "s"}},
    "secrets": {"s": {"source": "db/pass"}},
    "containers": [
        {
            "name": "one",
            "exec": {"command": {"shell": "serve"}},
            "resources": {"cpus": 0.5, "mem": 64, "disk": 10},
            "resourceLimits": {"cpus": 1},
            "endpoints": [{"name": "http", "containerPort": 80, "protocol": ["tcp"]}],
            "image": {"kind": "DOCKER", "id": "nginx", "forcePull": True},
            "environment": {"B": "2"},
            "healthCheck": {"http": {"endpoint": "http", "path": "/ok"}, "intervalSeconds": 5},
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            "lifecycle": {"killGracePeriodSeconds": 12.5},
            "artifacts": [{"uri": "http://x"}],
            "tty": True,
        },
        {"name": "two", "exec": {"command": {"argv": ["a"]}}, "image": {"id": "x"}},
    ],
    "volumes": [{"name": "data", "host": "/srv"}, {"name": "scratch"}],
    "networks": [{"mode": "container", "name": "dcos"}],
    "scaling": {"kind": "fixed", "instances": 3, "maxInstances": 9},
    "scheduling": {
        "backoff": {"backoff": 2, "backoffFactor": 2.0, "maxLaunchDelay": 60},
        "upgrade": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0},
        "placement": {
            "constraints": [{"fieldName": "@hostname", "operator": "UNIQUE"}],
            "acceptedResourceRoles": ["*"],
        },
        "killSelection": "OLDEST_FIRST",
        "unreachableStrategy": {"inactiveAfterSeconds": 10},
    },
    "executorResources": {"cpus": 0.1},
}


def test_a_pod_of_several_containers() -> None:
    """Containers, shared volumes and variables, endpoints, scaling, scheduling."""
    body = imported("marathon", POD)
    [one] = body["manifests"]
    spec, pod = one["spec"], one["spec"]["template"]["spec"]
    first, second = pod["containers"]

    assert (3, 13) == (spec["replicas"], pod["terminationGracePeriodSeconds"])
    assert (["one", "two"], ["a"]) == ([first["name"], second["name"]], second["args"])
    assert {"cpu": "500m", "memory": "64Mi", "ephemeral-storage": "10Mi"} == (
        first["resources"]["requests"]
    )
    assert ["A", "S", "B", "ENDPOINT_HTTP", "EP_CONTAINER_HTTP"] == [
        each["name"] for each in first["env"]
    ]
    assert {"path": "/ok", "port": 80} == first["livenessProbe"]["httpGet"]
    assert [
        {"name": "data", "hostPath": {"path": "/srv"}},
        {"name": "scratch", "emptyDir": {}},
    ] == (pod["volumes"])
    assert {"initialSeconds": 2, "factorPercent": 200, "maxSeconds": 60} == spec["restartBackoff"]
    assert [{"key": "hostname", "operator": "Unique"}] == spec["placement"]["constraints"]
    assert [] == body["errors"]
    assert {
        "version", "environment.S", "networks[0].name", "scaling.maxInstances",
        "containers[0].artifacts", "scheduling.placement.acceptedResourceRoles",
        "executorResources",
    } == {note["field"] for note in body["notes"]}  # fmt: skip


JOB = {"name": "report", "command": "run", "schedule": "R/2026-01-01T00:00:00Z/P1D"}

CHRONOS: list[tuple[str, Any, str | None, Any]] = [
    ("name", "My_Job.daily", None, "is now my-job-daily"),
    ("command", "run", f"{CONTAINER}.command", ["/bin/sh", "-c", "run"]),
    ("command", "http://x/run.sh", None, "put the program into an image"),
    ("command", "echo $CHRONOS_JOB_NAME", None, "is called $BAYPLAN_JOB"),
    ("shell", False, f"{CONTAINER}.command", ["run"]),
    ("arguments", ["-v"], f"{CONTAINER}.command", ["/bin/sh", "-c", "run"]),
    ("arguments", ["-v"], None, "are ignored with a shell"),
    ("schedule", "R5/2030-01-01T00:00:00.000Z/PT24H", "schedule",
     "R5/2030-01-01T00:00:00.000Z/PT24H"),
    ("schedule", "R//PT1H", "schedule", "R//PT1H"),
    ("schedule", "", "schedule", None),
    ("schedule", "R0/2030-01-01T00:00:00Z/P1D", "suspend", True),
    ("schedule", "every day", None, "the job is suspended until it has a schedule"),
    ("scheduleTimeZone", "Europe/Berlin", "schedule", "R/2026-01-01T00:00:00/P1D"),
    ("scheduleTimeZone", "Europe/Berlin", "timeZone", "Europe/Berlin"),
    ("scheduleTimeZone", "PST", "timeZone", "America/Los_Angeles"),
    ("scheduleTimeZone", "US/Pacific", "timeZone", "US/Pacific"),
    ("scheduleTimeZone", "GMT+5:30", "schedule", "R/2026-01-01T00:00:00+05:30/P1D"),
    ("scheduleTimeZone", "GMT-8", "schedule", "R/2026-01-01T00:00:00-08:00/P1D"),
    ("scheduleTimeZone", "Mars", "timeZone", "UTC"),
    ("scheduleTimeZone", "Mars", None, "took it for GMT"),
    ("epsilon", "PT30M", "startingDeadlineSeconds", 1800),
    ("epsilon", "PT1S", None, "only 10 s to 366 days"),
    ("epsilon", "P1M", None, "is not a period of days"),
    ("retries", 5, "retryPolicy", {"limit": 5, "delaySeconds": 60, "backoffPercent": 0}),
    ("cpus", 0, f"{CONTAINER}.resources.requests.cpu", "100m"),
    ("mem", 512, f"{CONTAINER}.resources.requests.memory", "512Mi"),
    ("disk", 0, f"{CONTAINER}.resources.requests.ephemeral-storage", "256Mi"),
    ("disabled", True, "suspend", True),
    ("concurrent", True, "concurrencyPolicy", "Allow"),
    ("highPriority", True, None, "priorityClassName"),
    ("softError", True, "treatFailureAsSuccess", True),
    ("constraints", [["rack", "EQUALS", "r1"]], "placement.constraints",
     [{"key": "rack", "operator": "Is", "value": "r1"}]),
    ("constraints", [["rack", "LIKE", "r.*"]], "placement.constraints",
     [{"key": "rack", "operator": "Like", "value": "r.*"}]),
    ("constraints", [["rack", "UNLIKE", "r1"]],
     "template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
     {"nodeSelectorTerms": [{"matchExpressions": [{"key": "rack", "operator": "Exists"}]}]}),
    ("constraints", [["rack", "UNIQUE"]], None, "Chronos ignored the operator"),
    ("container", {"type": "DOCKER", "image": "x:1", "forcePullImage": True},
     f"{CONTAINER}.imagePullPolicy", "Always"),
    ("container", {"image": "x", "network": "HOST"}, None, "its own address"),
    ("container", {"image": "x", "networkName": "n"}, None, "the cluster decides"),
    ("container", {"image": "x", "parameters": [{"key": "a"}]}, None, "fields for most of them"),
    ("container", {"image": "x", "volumes": [{"containerPath": "/a", "hostPath": "/b",
                                              "mode": "RW"}]},
     f"{CONTAINER}.volumeMounts", [{"name": "volume-0", "mountPath": "/a"}]),
    ("container", {"image": "x", "volumes": [{"containerPath": "/a", "external": {"name": "e"}}]},
     None, "PersistentVolumeClaim"),
    ("container", None, None, "no image"),
    ("environmentVariables", [{"name": "A", "value": "1"}], f"{CONTAINER}.env",
     [{"name": "A", "value": "1"}]),
    ("uris", ["http://x"], None, "init container"),
    ("fetch", [{"uri": "http://x"}], None, "init container"),
    ("owner", "a@example.org", None, None),
    ("ownerName", "A", None, None),
    ("description", "what it does", None, None),
    ("runAsUser", "0", f"{CONTAINER}.securityContext.runAsUser", 0),
    ("runAsUser", "hadoop", None, "securityContext.runAsUser"),
    ("executor", "x", None, "only Mesos had"),
    ("executorFlags", "x", None, "only Mesos had"),
    ("taskInfoData", "x", None, "only Mesos had"),
    ("dataProcessingJobType", True, None, "metrics"),
    ("async", True, None, "wait for what it began"),
    ("maxCompletionTime", 600, "activeDeadlineSeconds", 600),
    ("successCount", 7, None, "the server's own record"),
    ("errorCount", 7, None, "the server's own record"),
    ("errorsSinceLastSuccess", 7, None, "the server's own record"),
    ("lastSuccess", "2026-01-01", None, "the server's own record"),
    ("lastError", "2026-01-01", None, "the server's own record"),
    ("tomorrow", 1, None, "this field is not known"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "path", "expected"), CHRONOS)
def test_every_field_of_a_job(field: str, value: Any, path: str | None, expected: Any) -> None:
    """It is where it belongs, or it is listed with the reason; and the result is accepted."""
    body = imported("chronos", {**JOB, field: value})
    [one] = body["manifests"]
    messages = [note["message"] for note in body["notes"]]

    assert [] == body["errors"]
    if path is not None:
        assert expected == at(one["spec"], path)
    elif expected is not None:
        assert any(expected in message for message in messages), body["notes"]
    else:
        assert value in one["metadata"]["annotations"].values()


# Every field of an app (Marathon's docs/docs/rest-api/public/api/v2/types/app.raml) and of a job
# (Chronos' docs/docs/api.md and utils/JobDeserializer.scala, versions 2 and 3), in their order.
APP_FIELDS = """
    id cmd args cpus mem disk gpus resourceLimits executorResources instances env secrets labels
    constraints acceptedResourceRoles role backoffSeconds backoffFactor maxLaunchDelaySeconds
    upgradeStrategy killSelection unreachableStrategy taskKillGracePeriodSeconds healthChecks
    readinessChecks check dependencies container networks portDefinitions ports requirePorts uris
    fetch residency user tty executor ipAddress storeUrls version versionInfo
"""
JOB_FIELDS = """
    name command shell arguments schedule scheduleTimeZone epsilon parents retries cpus mem disk
    disabled concurrent highPriority softError constraints container environmentVariables uris
    fetch owner ownerName description runAsUser executor executorFlags taskInfoData
    dataProcessingJobType async maxCompletionTime successCount errorCount errorsSinceLastSuccess
    lastSuccess lastError
"""


ELSEWHERE = {  # what has tests of its own
    *("id", "healthChecks", "readinessChecks", "requirePorts"),
    "parents",
}


def test_the_tables_have_every_field_of_the_originals() -> None:
    """An importer that forgets one would call it a typing error."""
    tried = {field for field, *_ in [*APP, *CHRONOS]} | ELSEWHERE

    assert set() == {*APP_FIELDS.split(), *JOB_FIELDS.split()} - tried


def test_parents_go_without_a_schedule() -> None:
    """Names of parents are made as those of jobs are; a schedule beside them is listed."""
    jobs = [JOB | {"name": "A_1"}, {"name": "b", "command": "x", "parents": ["A_1"]}]
    body = imported("chronos", jobs)
    both = imported("chronos", {**JOB, "parents": ["a"], "epsilon": "PT5M"})

    assert [{"name": "a-1"}] == body["manifests"][1]["spec"]["parents"]
    assert "a-1" == body["manifests"][0]["metadata"]["name"]
    assert {"schedule", "epsilon"} <= {note["field"] for note in both["notes"]}
    assert [] == both["errors"]


def test_empty_fields_of_an_export_are_not_listed() -> None:
    """Exports write every field; one that says nothing needs no counterpart."""
    silent = {"uris": [], "executor": "", "softError": False, "dataProcessingJobType": False,
              "errorCount": 0, "lastError": "", "fetch": [], "arguments": []}  # fmt: skip
    named = {"container": {"image": "x", "volumes": []}}

    assert [] == imported("chronos", {**JOB, **silent, **named})["notes"]


def test_the_output_passes_lint() -> None:
    """The YAML on standard output is what `bayplan lint --strict` takes."""
    for kind, body in (("marathon", [POD, {"id": "/a", **NAMED}]), ("chronos", [JOB])):
        text = run(None, "import", kind, "-", text=json.dumps(body)).stdout

        assert "&id" not in text
        assert "" == run(None, "lint", "--strict", "--quiet", "-", text=text).stdout
        assert len(body) == len(list(yaml.safe_load_all(text)))


def test_exit_codes() -> None:
    """--strict fails on anything listed; two of one name and what is no JSON are refused."""
    app = {"id": "/a", **NAMED}
    strict = ("import", "marathon", "--strict", "-")
    run(None, *strict, text=json.dumps(app))
    run(None, *strict, text=json.dumps({**app, "role": "x"}), code=1)
    run(None, "import", "marathon", "-", text=json.dumps([app, {**app, "id": "A"}]), code=1)
    for text in (
        "{",
        '"x"',
        "[1]",
        '{"id": 5}',
        '{"id": "/a", "cpus": "x"}',
        '{"id": "/a", "env": 1}',
    ):
        run(None, "import", "marathon", "-", text=text, code=2)
    run(None, "import", "chronos", "/nowhere.json", code=2)


def test_long_names_are_cut_and_stay_apart() -> None:
    """63 characters with a hash of the whole."""
    names = [
        imported("marathon", {"id": "/" + "x" * 80 + tail, **NAMED})["manifests"][0]["metadata"][
            "name"
        ]
        for tail in "ab"
    ]

    assert all(len(name) <= 63 for name in names)
    assert names[0] != names[1]


def test_a_job_that_cannot_be_read_leaves_the_others() -> None:
    """Exit code 2 and an error for it; whatever else there is has its manifest."""
    bad = {**JOB, "name": "bad", "cpus": "much"}
    body = imported("chronos", [JOB, bad, {**JOB, "name": "texts", "cpus": "0.5"}], code=2)
    apps = imported("marathon", [{"id": 5}, {"id": "/b", "cpus": "x"}, {"id": "/a", **NAMED}], 2)

    assert ["report", "texts"] == [one["metadata"]["name"] for one in body["manifests"]]
    assert ["bad"] == [one["of"] for one in body["errors"]]
    assert ["a"] == [one["metadata"]["name"] for one in apps["manifests"]]
    assert ["id", "cpus"] == [one["field"] for one in apps["errors"]]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"type": "DOCKER", "image": "x"}, {"args": ["calc", "--fast"]}),
        ({"image": "x"}, {"args": ["calc", "--fast"]}),
        ({"type": "MESOS", "image": "x"}, {"command": ["calc"], "args": ["--fast"]}),
        (None, {"command": ["calc"], "args": ["--fast"]}),
    ],
)
def test_docker_appends_to_the_entrypoint(container: Any, expected: dict[str, Any]) -> None:
    """Mesos' Docker executor gave the command and its arguments to the image's entrypoint."""
    job = {**JOB, "command": "calc", "arguments": ["--fast"], "shell": False}
    [one] = imported("chronos", {**job, "container": container})["manifests"]
    [made] = one["spec"]["template"]["spec"]["containers"]

    assert expected == {key: made[key] for key in ("command", "args") if key in made}


@pytest.mark.parametrize(
    ("change", "ports", "service"),
    [
        ({}, [8080], False),
        ({"cmd": "serve $PORT0"}, [8080], True),
        ({"healthChecks": [{"protocol": "HTTP"}]}, [8080], True),
        ({"healthChecks": [{"protocol": "COMMAND", "command": {"value": "x"}}]}, [8080], False),
        ({"ports": []}, [], False),
        ({"portDefinitions": []}, [], False),
        ({"container": {"docker": {"image": "a"}, "portMappings": []}}, [], False),
        ({"ports": [0, 9000]}, [8080, 9000], True),
    ],
)
def test_an_app_that_names_no_port_has_one(
    change: dict[str, Any], ports: list[int], service: bool
) -> None:
    """$PORT0 is always there (Marathon's docs/docs/ports.md), unless the list is empty."""
    [one] = imported("marathon", {"id": "/a", **NAMED, **change})["manifests"]
    [made] = one["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in made.get("env", [])}

    assert ports == [each["containerPort"] for each in made.get("ports", [])]
    assert (str(ports[0]) if ports else None) == variables.get("PORT0")
    assert service == ("service" in one["spec"])


def test_a_relative_host_path_is_the_persistent_volume() -> None:
    """As Marathon's docs/docs/persistent-volumes.md mounts data at an absolute path."""
    volumes = [
        {"containerPath": "keep", "mode": "RW", "persistent": {"size": 512}},
        {"containerPath": "/var/lib/store", "hostPath": "keep", "mode": "RW"},
        {"containerPath": "/etc/store.conf", "hostPath": "store.conf", "mode": "RO"},
    ]
    body = imported(
        "marathon", {"id": "/a", "container": {"docker": {"image": "a"}, "volumes": volumes}}
    )
    [one] = body["manifests"]
    spec = one["spec"]
    [claim] = spec["volumeClaimTemplates"]

    assert [] == body["errors"]
    assert "512Mi" == claim["spec"]["resources"]["requests"]["storage"]
    assert [{"name": claim["metadata"]["name"], "mountPath": "/var/lib/store"}] == at(
        spec, f"{CONTAINER}.volumeMounts"
    )
    assert "container.volumes[2].hostPath" in {note["field"] for note in body["notes"]}


def test_more_ports_than_a_service_has() -> None:
    """Sixteen are those of the Service; the container has all, and the others are listed."""
    mappings = [{"containerPort": 7000 + number} for number in range(17)]
    body = imported(
        "marathon", {"id": "/a", "container": {"docker": {"image": "a"}, "portMappings": mappings}}
    )
    [one] = body["manifests"]

    assert [] == body["errors"]
    assert 16 == len(one["spec"]["service"]["ports"])
    assert 17 == len(at(one["spec"], f"{CONTAINER}.ports"))
    assert any("7016" in note["message"] for note in body["notes"])


def test_endpoints_are_known_to_the_siblings() -> None:
    """Every container of a pod has the variables of all endpoints (TaskGroupBuilder)."""
    pod = {
        "id": "/p",
        "containers": [
            {
                "name": "front",
                "image": {"id": "f"},
                "endpoints": [{"name": "web-app", "containerPort": 80, "hostPort": 8080}],
            },
            {"name": "side", "image": {"id": "s"}},
        ],
    }
    [one] = imported("marathon", pod)["manifests"]
    front, side = at(one["spec"], "template.spec.containers")
    expected = [
        {"name": "ENDPOINT_WEB_APP", "value": "80"},
        {"name": "EP_HOST_WEB_APP", "value": "80"},
        {"name": "EP_CONTAINER_WEB_APP", "value": "80"},
    ]

    assert expected == front["env"] == side["env"]
