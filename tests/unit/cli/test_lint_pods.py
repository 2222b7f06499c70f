"""`bayplan lint`: pod templates as Kubernetes' published schema has them, ours and others'."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.manifests import published_schema
from tests.recorded import told
from tools import kubeschema

ROOT = Path(__file__).parents[3]


def template(**container: Any) -> dict[str, Any]:
    one = {"name": "main", "image": "x", **container}
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [one]}}


def pod(**container: Any) -> Any:
    body = template(**container)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": body["spec"]}


def of(version: str, kind: str, spec: Any) -> Any:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def kinds(body: Any) -> list[tuple[Any, str]]:
    """The same pod template in every kind that has one, and the path to it."""
    selector = {"matchLabels": {"app": "a"}}
    cron = {"schedule": "0 5 * * *", "jobTemplate": {"spec": {"template": body}}}
    return [
        (of("bayplan.dev/v1alpha1", "BatchJob", {"template": body}), "spec.template"),
        (of("bayplan.dev/v1alpha1", "LongService", {"template": body}), "spec.template"),
        (of("apps/v1", "Deployment", {"selector": selector, "template": body}), "spec.template"),
        (of("apps/v1", "StatefulSet", {"selector": selector, "template": body}), "spec.template"),
        (of("apps/v1", "DaemonSet", {"selector": selector, "template": body}), "spec.template"),
        (of("apps/v1", "ReplicaSet", {"selector": selector, "template": body}), "spec.template"),
        (of("extensions/v1beta1", "Deployment", {"template": body}), "spec.template"),
        (of("batch/v1", "Job", {"template": body}), "spec.template"),
        (of("batch/v1", "CronJob", cron), "spec.jobTemplate.spec.template"),
        (of("batch/v1beta1", "CronJob", cron), "spec.jobTemplate.spec.template"),
    ]


CONTAINER = "spec.containers[0]"
WRONG = [
    ({"args": [5]}, f"{CONTAINER}.args[0]", 'in quotes: "5"'),
    ({"command": [True]}, f"{CONTAINER}.command[0]", 'in quotes: "true"'),
    ({"args": "a b"}, f"{CONTAINER}.args", "must be a list"),
    ({"env": [{"name": "A", "value": True}]}, f"{CONTAINER}.env[0].value", 'quotes: "true"'),
    ({"env": [{"name": "A", "value": 1.5}]}, f"{CONTAINER}.env[0].value", 'quotes: "1.5"'),
    ({"env": {"A": "b"}}, f"{CONTAINER}.env", "must be a list"),
    ({"env": [{"name": "A", "valu": "b"}]}, f"{CONTAINER}.env[0].valu", "is 'value' meant?"),
    ({"imagePulPolicy": "Always"}, f"{CONTAINER}.imagePulPolicy", "is 'imagePullPolicy' meant?"),
    ({"comand": ["x"]}, f"{CONTAINER}.comand", "is 'command' meant?"),
    ({"resources": {"request": {"cpu": 1}}}, f"{CONTAINER}.resources.request", "'requests' meant"),
    ({"ports": [{"containerPort": "80"}]}, f"{CONTAINER}.ports[0].containerPort", "is '80'"),
    ({"tty": "yes"}, f"{CONTAINER}.tty", "must be true or false"),
    ({"livenessProbe": {"httpGet": {"path": "/", "port": [80]}}},
     f"{CONTAINER}.livenessProbe.httpGet.port", "whole number or text"),
    ({"volumeMounts": [{"name": "v"}]}, f"{CONTAINER}.volumeMounts[0].mountPath", "is required"),
    ({"securityContext": {"runAsUser": 1 << 70}},
     f"{CONTAINER}.securityContext.runAsUser", "int64"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "field", "words"), WRONG)
def test_what_no_pod_may_hold(container: dict[str, Any], field: str, words: str) -> None:
    """One error at the field, with the remedy; in ours and in Kubernetes' kinds alike."""
    for body, at in kinds(template(**container)):
        [one] = told(None, "lint", "-", text=yaml.safe_dump(body), code=1)["findings"]
        assert ("error", f"{at}.{field}") == (one["severity"], one["field"]), body["kind"]
        assert words in one["message"], body["kind"]
        assert one["line"] > 1


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"resources": {"requests": {"cpu": "1 core"}}}, "resources.requests.cpu"),
        ({"resources": {"limits": {"memory": True}}}, "resources.limits.memory"),
        ({"resources": {"limits": {"memory": "1Gib"}}}, "resources.limits.memory"),
    ],
)
def test_amounts_that_are_none(container: dict[str, Any], field: str) -> None:
    """Once each, whoever finds it."""
    for body, at in kinds(template(**container)):
        [one] = told(None, "lint", "-", text=yaml.safe_dump(body), code=1)["findings"]
        assert f"{at}.{CONTAINER}.{field}" == one["field"]


GOOD = [
    {"resources": {"requests": {"cpu": 1, "memory": 1073741824}, "limits": {"cpu": "1"}}},
    {"livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5}},
    {"livenessProbe": {"tcpSocket": {"port": 8080}}, "ports": [{"containerPort": 8080}]},
    {"env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {
        "fieldPath": "metadata.name"}}}], "envFrom": [{"secretRef": {"name": "s"}}]},
    {"args": None, "command": []},
    {"securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}}},
]  # fmt: skip


@pytest.mark.parametrize("container", GOOD)
def test_what_pods_may_hold(container: dict[str, Any]) -> None:
    """Amounts as numbers, ports by name, nulls: nothing to say."""
    for body, _ in kinds(template(**container)):
        if body["apiVersion"] == "bayplan.dev/v1alpha1" and None in container.values():
            continue  # a definition's schema refuses nulls that Kubernetes' own types take
        assert [] == told(None, "lint", "-", text=yaml.safe_dump(body))["findings"], body


def test_a_pod_by_itself() -> None:
    """Its spec, not a template's."""
    [one] = told(None, "lint", "-", text=yaml.safe_dump(pod(args=[5])), code=1)["findings"]

    assert "spec.containers[0].args[0]" == one["field"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap", "data": {"PORT": 8080}}, "data.PORT"),
        ({"apiVersion": "v1", "kind": "Service", "spec": {"port": []}}, "spec.port"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "3",
          "template": template()}}, "spec.replicas"),
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"labels": {"a": 1}}},
         "metadata.labels.a"),
        ({"apiVersion": "batch/v1", "kind": "Job", "spec": {"backofLimit": 1,
          "template": template()}}, "spec.backofLimit"),
        ({"apiVersion": "v1", "kind": "Secret", "stringData": {"debug": False}},
         "stringData.debug"),
    ],
)  # fmt: skip
def test_kinds_of_kubernetes_own(body: dict[str, Any], field: str) -> None:
    """Fields and types of the whole object."""
    [one] = told(None, "lint", "-", text=yaml.safe_dump(body), code=1)["findings"]

    assert field == one["field"]


@pytest.mark.parametrize(
    "body",
    [
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"template": 7}},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": {"port": []}},
        {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"targetPort": "http"}]}},
        {"apiVersion": "v2", "name": "chart", "version": 1},
    ],
)
def test_others_are_not_judged(body: dict[str, Any]) -> None:
    """Nobody here knows their schema."""
    assert [] == told(None, "lint", "-", text=yaml.safe_dump(body))["findings"]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  op: =\n  at: 12:30\n  day: 2026-01-01\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: &l {a: b}}\ndata: &l {c: d}\n",
        ("apiVersion: v1\nkind: List\n"
        "items: [&b {apiVersion: v1, kind: Secret}, {<<: *b, kind: ConfigMap}]"),
    ],
)  # fmt: skip
def test_yaml_is_read_as_kubectl_reads_it(text: str) -> None:
    """`=`, times and ratios are texts; an anchor may be set anew; a merged key may be replaced."""
    assert [] == told(None, "lint", "-", text=text)["findings"]


def test_templates_and_patches_of_a_repository(tmp_path: Path) -> None:
    """A template is a warning with the remedy; a patch lacks what its base has."""
    (tmp_path / "templates").mkdir()
    chart = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n"
    (tmp_path / "templates" / "pod.yaml").write_text(chart)
    delete = {**of("apps/v1", "Deployment", {}), "$patch": "delete"}
    (tmp_path / "delete.yaml").write_text(yaml.safe_dump(delete))
    patch = of("apps/v1", "Deployment", {"template": {"spec": {"containers": [{"image": "y"}]}}})
    (tmp_path / "patch.yaml").write_text(yaml.safe_dump(patch))
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(patch))
    (tmp_path / "kustomization.yaml").write_text("patches: [{path: ./patch.yaml}]\n")
    (tmp_path / "ci.yaml").write_text("script: !reference [a, b]\n")
    found = told(None, "lint", str(tmp_path), code=1)["findings"]

    assert [("other.yaml", "error"), ("pod.yaml", "warning")] == [
        (Path(one["file"]).name, one["severity"]) for one in found
    ]
    assert "is required" in found[0]["message"]
    assert "render it first" in found[1]["message"]


@pytest.mark.parametrize(("about", "findings"), [({"generateName": "a-"}, 0), ({}, 1)])
def test_names_that_the_api_server_makes(about: dict[str, str], findings: int) -> None:
    """Rules about names wait until there is one; that there is none is said once."""
    for kind in ("BatchJob", "LongService"):
        body = {**of("bayplan.dev/v1alpha1", kind, {"template": template()}), "metadata": about}
        code = 1 if findings else 0
        found = told(None, "lint", "-", text=yaml.safe_dump(body), code=code)["findings"]
        assert ["metadata.name"] * findings == [one["field"] for one in found]


def test_a_thousand_resources_take_seconds() -> None:
    """Five at most, of one processor, on a machine that does other things too."""
    bodies = [of("bayplan.dev/v1alpha1", "BatchJob", {"schedule": "0 5 * * *", "template":
              template(args=[str(n)])}) for n in range(500)]  # fmt: skip
    bodies += [kinds(template(args=[str(n)]))[2][0] for n in range(500)]
    for number, body in enumerate(bodies):
        body["metadata"] = {"name": f"a-{number}"}
    text = yaml.dump_all(bodies, Dumper=yaml.CSafeDumper)
    started = time.process_time()
    found = told(None, "lint", "-", text=text)

    assert (1000, []) == (found["resources"], found["findings"])
    assert time.process_time() - started < 5


def test_the_schema_is_as_published() -> None:
    """Written by the tool from the package that holds Kubernetes' OpenAPI documents."""
    packed = (ROOT / "operator/bayplan/manifests/kubernetes.json.gz").read_bytes()

    assert json.loads(gzip.decompress(kubeschema.built())) == json.loads(gzip.decompress(packed))
    assert {
        "Deployment",
        "VolumeAttributesClass",
        "PodSecurityPolicy",
    } - published_schema.load().known == {
        "PodSecurityPolicy"  # gone before the oldest release in the package
    }


def test_companions_are_checked_in_every_template() -> None:
    """The annotation's field that is wrong, at the place of the annotation."""
    bad = {"bayplan.dev/companions": '{"cpu": "1", "count": 1}'}
    body = template()
    body["metadata"]["annotations"] = bad
    of_pod = pod()
    of_pod["metadata"]["annotations"] = bad
    for manifest, at in (*kinds(body), (of_pod, "")):
        [one] = told(None, "lint", "-", text=yaml.safe_dump(manifest), code=1)["findings"]
        path = f"{at}.metadata.annotations".removeprefix(".")
        assert one["field"].startswith(path), manifest["kind"]
        assert "memory is missing" in one["message"]
