"""What the chart's optional policy refuses of a template, judged by a real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcluster.processes import wait_until
from tests.cluster.kube import RefusedError
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import GROUP, Site
from tests.helm import render

pytestmark = pytest.mark.cluster

JOBS, SERVICES = "batchjobs", "longservices"
PROBE = {"httpGet": {"path": "/", "port": 80}}


@pytest.fixture(scope="module")
def guarded(site: Site) -> Iterator[str]:
    """A namespace in which the policy holds."""
    name = site.namespace()
    found = [
        body
        for body in render({"admissionPolicy": {"create": True, "level": "Baseline"}})
        if body["kind"].startswith("ValidatingAdmission")
    ]
    policy, binding = found
    chosen = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    binding["spec"]["matchResources"] = chosen
    site.kube.apply(policy, binding)
    wrong = make_job("wrong", name, container={"comand": ["x"]})
    wait_until(
        lambda: "comand" in refusal(site, name, JOBS, wrong), "the policy holds", within_seconds=60
    )
    yield name
    site.kube.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding",
                      policy["metadata"]["name"])  # fmt: skip


def refusal(site: Site, namespace: str, plural: str, body: dict[str, Any]) -> str:
    """The words of a refusal, by a dry run; empty if there is none."""
    try:
        site.kube.create(f"{GROUP}/namespaces/{namespace}/{plural}?dryRun=All", body)
    except RefusedError as refused:
        return str(refused)
    return ""


TYPOS = [
    ({}, {"imagePulPolicy": "Always"}, "spec.template.spec.containers[] must", "imagePulPolicy"),
    ({}, {"comand": ["x"]}, "spec.template.spec.containers[] must", "comand"),
    ({}, {"env": [{"name": "A", "valu": "b"}]}, "spec.template.spec.containers[].env[]", "valu"),
    ({}, {"env": [{"name": "A", "valueFrom": {"secretRef": {"name": "s"}}}]},
     "spec.template.spec.containers[].env[].valueFrom", "secretRef"),
    ({}, {"envFrom": [{"secret": {"name": "s"}}]}, "containers[].envFrom[]", "secret"),
    ({}, {"resources": {"request": {"cpu": "1"}}}, "containers[].resources", "request"),
    ({}, {"securityContext": {"runAsNonroot": True}}, "[].securityContext", "runAsNonroot"),
    ({}, {"ports": [{"containerPort": 80, "hostport": 80}]}, "containers[].ports[]", "hostport"),
    ({}, {"volumeMounts": [{"name": "v", "mountpath": "/v"}]}, "volumeMounts[]", "mountpath"),
    ({}, {"livenessProbe": {**PROBE, "periodSecond": 5}}, "[].livenessProbe", "periodSecond"),
    ({}, {"readinessProbe": {"httpget": {"port": 80}}}, "[].readinessProbe", "httpget"),
    ({}, {"lifecycle": {"prestop": {}}}, "containers[].lifecycle", "prestop"),
    ({"serviceAcountName": "a"}, {}, "spec.template.spec must", "serviceAcountName"),
    ({"initContainer": []}, {}, "spec.template.spec must", "initContainer"),
    ({"securityContext": {"runAsUsr": 1}}, {}, "spec.template.spec.securityContext", "runAsUsr"),
    ({"volumes": [{"name": "v", "emptydir": {}}]}, {}, "spec.template.spec.volumes[]", "emptydir"),
    ({"initContainers": [{"name": "i", "image": "x", "arg": ["y"]}]}, {},
     "spec.template.spec.containers[] must", "arg"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "container", "told"), [(*row[:2], row[2:]) for row in TYPOS])
def test_a_misspelt_field_is_refused_at_apply(
    site: Site, guarded: str, pod: dict[str, Any], container: dict[str, Any], told: tuple[str, str]
) -> None:
    """The message names the place and the field, and the way out of it."""
    place, field = told
    job = make_job("a", guarded, pod=pod, container=container)
    service = make_service("a", guarded, pod=pod, container=container)

    for plural, body in ((JOBS, job), (SERVICES, service)):
        said = refusal(site, guarded, plural, body)
        assert place in said
        assert f"which has no {field}: correct it, or set admissionPolicy.knownFields" in said


WRONG_TYPES = [
    ({}, {"args": [5]}, "containers[] must", "args must be a list of texts"),
    ({}, {"command": "sleep 5"}, "containers[] must", "command must be a list of texts"),
    ({}, {"tty": "yes"}, "containers[] must", "tty must be true or false"),
    ({}, {"workingDir": 5}, "containers[] must", "workingDir must be a text"),
    ({}, {"env": [{"name": "A", "value": 5}]}, "containers[].env[] must", "value must be a text"),
    ({}, {"env": [{"name": "A", "value": True}]}, "env[] must", "value must be a text"),
    ({}, {"securityContext": {"runAsUser": "1"}}, "securityContext", "runAsUser must be a whole"),
    ({}, {"livenessProbe": {**PROBE, "periodSeconds": "5"}}, "livenessProbe", "periodSeconds must"),
    ({"hostname": 5}, {}, "spec.template.spec must", "hostname must be a text"),
    ({"dnsConfig": []}, {}, "spec.template.spec must", "dnsConfig must be an object"),
    ({"initContainers": [{"name": "i", "image": "x", "args": [True]}]}, {},
     "containers[] must", "args must be a list of texts"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "container", "told"), [(*row[:2], row[2:]) for row in WRONG_TYPES])
def test_a_value_of_another_type_is_refused_at_apply(
    site: Site, guarded: str, pod: dict[str, Any], container: dict[str, Any], told: tuple[str, str]
) -> None:
    """The message names the place, the field and what it must be."""
    job = make_job("a", guarded, pod=pod, container=container)
    service = make_service("a", guarded, pod=pod, container=container)

    for plural, body in ((JOBS, job), (SERVICES, service)):
        said = refusal(site, guarded, plural, body)
        assert all(words in said for words in told), said


def test_right_templates_are_taken(site: Site, guarded: str) -> None:
    """Every kind of field in use, nulls as templates leave them, and keys of the user's own."""
    container = {
        "command": ["x"],
        "args": None,
        "env": [{"name": "A", "value": "b"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": None,
        "resources": {"requests": {"cpu": "1", "example.com/gpu": 1}},
        "livenessProbe": PROBE,
        "readinessProbe": None,
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    pod = {
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        "nodeSelector": {"anything": "x"},
        "securityContext": {"fsGroup": 1},
        "tolerations": [{"operator": "Exists"}],
        "serviceAccountName": "default",
    }

    assert "" == refusal(site, guarded, JOBS, make_job("a", guarded, pod=pod, container=container))
    assert "" == refusal(
        site, guarded, SERVICES, make_service("a", guarded, pod=pod, container=container)
    )
    hostile = make_job("a", guarded, pod={"hostNetwork": True})
    assert "hostNetwork, hostPID and hostIPC must be false" in refusal(site, guarded, JOBS, hostile)
