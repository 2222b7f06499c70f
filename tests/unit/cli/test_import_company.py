"""`bayplan import marathon` on apps as a company has them: Java, databases, HAPROXY_ labels.

What is expected follows marathon-lb's Longhelp.md and Marathon's task-environment-vars.md.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recorded import run, told
from tests.unit.cli.test_import import CONTAINER, at

ROOT = Path(__file__).parents[3]
COMPANY = ROOT / "examples" / "mesos-company" / "marathon.json"
MAPPED = [
    {"containerPort": 8080, "servicePort": 10_001, "name": "http"},
    {"containerPort": 8081, "servicePort": 10_002, "name": "admin"},
]
NLB = "service.beta.kubernetes.io/aws-load-balancer-"
ALB = "alb.ingress.kubernetes.io/"


def imported(
    labels: Mapping[str, str], balancer: str = "kubernetes", **more: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    """The LongService, the Ingresses, and the notes by field."""
    container = {"docker": {"image": "a"}, "portMappings": MAPPED}
    app = {"id": "/shop/web", "container": container, "labels": labels, **more}
    words = ("import", "marathon", "-", "--balancer", balancer)
    body = told(None, *words, text=json.dumps(app))
    first, *others = body["manifests"]
    assert [] == body["errors"]
    assert {"Ingress"} >= {one["kind"] for one in others}
    return first, others, {one["field"]: one["message"] for one in body["notes"]}


def rules(ingress: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Host, path, Service and port of each rule."""
    return [
        (
            rule["host"],
            path["path"],
            path["backend"]["service"]["name"],
            path["backend"]["service"]["port"]["name"],
        )
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]


def test_a_virtual_host_is_a_rule_of_an_ingress() -> None:
    """Several hosts by commas, with a path; the other port is not on the load balancer."""
    labels = {
        "HAPROXY_GROUP": "external",
        "HAPROXY_0_VHOST": "shop.example.com,www.example.com",
        "HAPROXY_0_PATH": "/buy /pay",
        "HAPROXY_0_MODE": "http",
        "HAPROXY_1_ENABLED": "false",
    }
    service, [ingress], notes = imported(labels)

    assert [
        ("shop.example.com", "/buy", "shop-web", "http"),
        ("shop.example.com", "/pay", "shop-web", "http"),
        ("www.example.com", "/buy", "shop-web", "http"),
        ("www.example.com", "/pay", "shop-web", "http"),
    ] == rules(ingress)
    assert "type" not in service["spec"]["service"]
    assert {"labels.HAPROXY_GROUP"} == notes.keys()


def test_a_port_without_host_is_opened_on_a_load_balancer() -> None:
    """By its service port, or by the port that a label says; who may reach it is told."""
    labels = {
        "HAPROXY_GROUP": "internal",
        "HAPROXY_0_PORT": "9000",
        "HAPROXY_0_MODE": "tcp",
        "HAPROXY_0_STICKY": "true",
    }
    service, ingresses, notes = imported(labels)
    told_ = service["spec"]["service"]

    assert [] == ingresses
    assert ("LoadBalancer", "ClientIP") == (told_["type"], told_["sessionAffinity"])
    assert [("http", 9000), ("admin", 10_002)] == [
        (one["name"], one["port"]) for one in told_["ports"]
    ]
    assert "group internal" in notes["labels.HAPROXY_GROUP"]


def test_groups_of_single_ports() -> None:
    """A port without a group is on no load balancer; a Service opens it all the same."""
    service, _, notes = imported(
        {"HAPROXY_1_GROUP": "external", "HAPROXY_0_VHOST": "a.example.com"}
    )

    assert "LoadBalancer" == service["spec"]["service"]["type"]
    assert "port 10001 was not on the load balancer" in notes["ports"]
    assert "names no HAPROXY_GROUP" in notes["labels.HAPROXY_0_VHOST"]


def test_a_network_load_balancer_of_aws() -> None:
    """Its targets are the pods; a stated grace period begins when the target is deregistered."""
    service, _, notes = imported(
        {"HAPROXY_GROUP": "external"}, "aws", taskKillGracePeriodSeconds=20
    )
    told_ = service["spec"]["service"]

    assert "service.k8s.aws/nlb" == told_["loadBalancerClass"]
    assert {
        f"{NLB}nlb-target-type": "ip",
        f"{NLB}scheme": "internet-facing",
        f"{NLB}target-group-attributes": "deregistration_delay.timeout_seconds=30",
    } == told_["annotations"]
    assert 20 + 45 == service["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert {} == notes


def test_an_application_load_balancer_of_aws() -> None:
    """It asks for health where the health check did; sessions stay with their target."""
    check = {"protocol": "MESOS_HTTP", "path": "/health", "portIndex": 1}
    service, [ingress], _ = imported(
        {
            "HAPROXY_GROUP": "internal",
            "HAPROXY_0_VHOST": "a.example.com",
            "HAPROXY_0_STICKY": "true",
            "HAPROXY_1_ENABLED": "false",
        },
        "aws",
        healthChecks=[check],
    )

    assert {
        f"{ALB}target-type": "ip",
        f"{ALB}target-group-attributes": (
            "deregistration_delay.timeout_seconds=30,"
            "stickiness.enabled=true,stickiness.type=lb_cookie"
        ),
        f"{ALB}healthcheck-path": "/health",
        f"{ALB}healthcheck-port": "8081",
        f"{ALB}success-codes": "200-399",
    } == service["spec"]["service"]["annotations"]
    assert "alb" == ingress["spec"]["ingressClassName"]
    assert "internal" == ingress["metadata"]["annotations"][f"{ALB}scheme"]


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("HAPROXY_0_REDIRECT_TO_HTTPS", "true", "certificate"),
        ("HAPROXY_0_SSL_CERT", "/etc/ssl/a.pem", "certificate"),
        ("HAPROXY_0_USE_HSTS", "true", "Strict-Transport-Security"),
        ("HAPROXY_0_BALANCE", "leastconn", "least_outstanding_requests"),
        ("HAPROXY_0_BACKEND_WEIGHT", "2", "replicas"),
        ("HAPROXY_0_BIND_ADDR", "10.0.0.42", "was for HAProxy"),
        ("HAPROXY_0_PATH", "buy", "is not a path"),
        ("HAPROXY_0_PATH", "-i /buy", "upper and lower case"),
        ("HAPROXY_0_VHOST", "no host!", "is not a host's name"),
        ("HAPROXY_7_VHOST", "a.example.com", "no port number 7"),
        ("HAPROXY_DEPLOYMENT_GROUP", "web", "updateStrategy.steps"),
    ],
)
def test_labels_without_a_counterpart_name_the_remedy(label: str, value: str, words: str) -> None:
    """None is lost."""
    labels = {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "a.example.com", label: value}

    assert words in imported(labels, "aws")[2][f"labels.{label}"]


def test_what_says_nothing_is_not_listed() -> None:
    """Defaults of marathon-lb."""
    labels = {"HAPROXY_0_BALANCE": "roundrobin", "HAPROXY_0_REDIRECT_TO_HTTPS": "false"}

    assert {} == imported({"HAPROXY_GROUP": "external", **labels}, "aws")[2]


def test_variables_that_commands_mention() -> None:
    """As Marathon set them; the host's address is the pod's; the app's own go before."""
    check = {"protocol": "COMMAND", "command": {"value": "probe ${MARATHON_APP_ID}"}}
    service, _, notes = imported(
        {},
        cmd="java -Xmx${MARATHON_APP_RESOURCE_MEM%.*}m -Da=$HOST -Db=$MESOS_TASK_ID $MESOS_SANDBOX",
        mem=2048,
        cpus=0.5,
        env={"MESOS_TASK_ID": "mine"},
        healthChecks=[check],
    )
    known = {one["name"]: one for one in at(service["spec"], f"{CONTAINER}.env")}

    assert "2048.0" == known["MARATHON_APP_RESOURCE_MEM"]["value"]
    assert "status.podIP" == known["HOST"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert "/shop/web" == known["MARATHON_APP_ID"]["value"]
    assert "mine" == known["MESOS_TASK_ID"]["value"]
    assert "MARATHON_APP_RESOURCE_CPUS" not in known
    assert "$MESOS_SANDBOX is not set" in notes["cmd"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"env": {"JAVA_OPTS": "-Xms1g -Xmx1g"}}, "env.JAVA_OPTS"),
        ({"cmd": "java -Xmx1000m -jar a.jar"}, "cmd"),
        ({"args": ["-Xmx1048576k"]}, "args"),
        ({"env": {"JAVA_OPTS": "-Xmx768m"}}, ""),
        ({"env": {"JAVA_OPTS": "-Xmx1g"}, "mem": 1400}, ""),
    ],
)
def test_a_heap_as_large_as_the_memory_is_listed(more: dict[str, Any], field: str) -> None:
    """Memory is a hard limit; Java needs more than its heap."""
    notes = imported({}, **{"mem": 1024, **more})[2]

    assert ([field] if field else []) == [key for key, text in notes.items() if "-Xmx" in text]


def test_names_of_mesos_dns_are_listed() -> None:
    """With the name of the Service where the app is among the imported."""
    env = {
        "DB": "jdbc:mysql://db-data.marathon.mesos:3306/x",
        "VIP": "cache.marathon.l4lb.thisdcos.directory:6379",
        "MAIL": "mail.marathon.l4lb.thisdcos.directory:25",
        "WEB": "www.example.com",
    }
    cache = {"portDefinitions": [{"port": 1, "labels": {"VIP_0": "/cache:6379"}}]}
    apps = [{"id": "/data/db"}, {"id": "/data/redis", **cache}, {"id": "/shop/web", "env": env}]
    group = {"apps": apps, "id": "/"}
    body = told(None, "import", "marathon", "-", text=json.dumps(group))
    notes = {one["field"]: one["message"] for one in body["notes"] if "DNS" in one["message"]}

    assert {"env.DB", "env.VIP", "env.MAIL"} == notes.keys()
    assert "write data-db," in notes["env.DB"]
    assert "write data-redis," in notes["env.VIP"]
    assert "write the name of the LongService" in notes["env.MAIL"]


def test_a_pod_without_containers_is_an_error() -> None:
    """In the words of the API server, and the others are written."""
    pod = {"id": "/p", "containers": [], "labels": {"HAPROXY_GROUP": "external"}}
    body = told(None, "import", "marathon", "-", text=json.dumps(pod), code=1)

    assert ["/p"] == [one["of"] for one in body["errors"]]


@pytest.mark.parametrize("balancer", ["kubernetes", "aws"])
def test_the_example_company_passes_lint(balancer: str) -> None:
    """Its manifests need no edit to be accepted, and nothing is to say of them."""
    made = run(None, "import", "marathon", str(COMPANY), "--balancer", balancer).stdout

    assert [] == told(None, "lint", "--strict", "-", text=made)["findings"]
    assert {"LongService", "Ingress"} == {one["kind"] for one in yaml.safe_load_all(made)}


def test_the_guide_answers_all_that_is_listed() -> None:
    """docs/migrate/day.md says of each line what this company does."""
    page = (ROOT / "docs" / "migrate" / "day.md").read_text()
    listed = [
        one
        for kind, file in (("marathon", COMPANY), ("chronos", COMPANY.with_name("chronos.json")))
        for one in told(None, "import", kind, str(file))["notes"]
        if not one["field"].startswith("labels.HAPROXY_") or "REDIRECT" in one["field"]
    ]

    assert [] == [one for one in listed if f"`{one['of']}: {one['field']}`" not in page]
    assert len(listed) >= 14
