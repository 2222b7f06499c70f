"""Each object counts once, as what it is: groups, duplicates, owners, work that is done."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bayplan.cli.main import main
from tests.unit.cli.test_simulate import BASE, answer, container, node, run, workload

LENIENT = ("--ignore-unknown",)


def owned(kind: str, name: str, group: str = "apps/v1") -> dict[str, Any]:
    reference = {"apiVersion": group, "kind": kind, "name": name, "uid": "u", "controller": True}
    return {"ownerReferences": [reference]}


def of(body: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], **metadata}}


@pytest.mark.parametrize(
    "foreign",
    [
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": {"template": {}}},
        {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {"tasks": []}},
        {"apiVersion": "apps.kruise.io/v1alpha1", "kind": "StatefulSet", "spec": {"replicas": 3}},
        {"apiVersion": "example.org/v1", "kind": "Node", "status": {}},
        {"apiVersion": "apps.kruise.io/v1alpha1", "kind": "DaemonSet", "spec": {}},
        {"apiVersion": "example.org/v1", "kind": "LongService", "spec": {}},
        {"apiVersion": "example.org/v1", "kind": "PriorityClass", "value": "high"},
        {"apiVersion": "example.org/v1", "kind": "Deployment", "spec": 7},
    ],
)
def test_a_kind_is_its_groups(foreign: dict[str, Any]) -> None:
    """Another group's kind is unknown, whatever its word; --ignore-unknown skips it and says so."""
    body = {**foreign, "metadata": {"name": "x"}}
    refused = run(body, workload())
    skipped = answer(body, workload(), options=LENIENT)

    assert 2 == refused.exit_code
    assert f"unknown kind '{foreign['kind']}' of" in refused.output
    assert 3 == skipped["placed"]
    assert [foreign["kind"] in one["where"] for one in skipped["skipped"]] == [True]


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("storage.k8s.io/v1", "VolumeAttributesClass"),
        ("resource.k8s.io/v1", "DeviceClass"),
        ("networking.k8s.io/v1", "ServiceCIDR"),
        ("policy/v1beta1", "PodSecurityPolicy"),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("v1", "PodTemplate"),
        ("extensions/v1beta1", "Ingress"),
    ],
)
def test_kinds_of_kubernetes_own(version: str, kind: str) -> None:
    """They stand beside workloads and make no pods."""
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}

    assert 3 == answer(body, workload())["placed"]


def test_a_deployment_of_a_former_group() -> None:
    """extensions/v1beta1 is where Deployments and DaemonSets came from."""
    assert 3 == answer({**workload(), "apiVersion": "extensions/v1beta1"})["placed"]


@pytest.mark.parametrize(
    "body",
    [
        workload(),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": container()},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {}},
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {}},
    ],
)
def test_the_same_object_twice(body: dict[str, Any]) -> None:
    """Applied it is one object, and nobody can say which of the two."""
    refused = run(body, {**body, "metadata": {**body["metadata"], "namespace": "default"}})

    assert (2, True) == (refused.exit_code, "is in the input twice" in refused.output)


def test_the_same_name_elsewhere_is_another_object() -> None:
    """Kind and namespace belong to the name."""
    body = answer(workload(), of(workload(), namespace="b"), workload("StatefulSet"))

    assert 9 == body["placed"]


def test_what_stands_twice_counts_once_in_a_whole_repository() -> None:
    """--ignore-unknown: the first one, and it is told."""
    body = answer(workload(), workload(replicas=9), options=LENIENT)

    assert (3, 1) == (body["placed"], len(body["skipped"]))


STATUS = {"conditions": [{"type": "Complete", "status": "True"}]}


def job(name: str = "j", spec: Any = None, **status: Any) -> dict[str, Any]:
    whole = {"template": {"spec": container()}, **(spec or {})}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole}
    return {**body, "status": status}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (job(succeeded=1, **STATUS), 0),
        (job(failed=3, conditions=[{"type": "Failed", "status": "True"}]), 0),
        (job(conditions=[{"type": "Complete", "status": "False"}]), 1),
        (job(spec={"parallelism": 4, "completions": 10}, succeeded=8), 2),
        (job(spec={"parallelism": 4, "completions": 10}, succeeded=3), 4),
        (job(spec={"parallelism": 4, "completions": None}), 4),
        (job(spec={"parallelism": 4}, succeeded=1, active=2), 2),
        (job(spec={"parallelism": 0}), 0),
    ],
)
def test_what_is_left_of_a_job(body: dict[str, Any], expected: int) -> None:
    """Pods that have done their work need no room again."""
    assert expected + 1 == answer(body, workload(replicas=1))["placed"]


CRON = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "tick"},
    "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": container()}}}},
}


def pod(name: str, kind: str, owner: str, where: str = "", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "uid": name, **owned(kind, owner), **metadata},
        "spec": {**container(), **({"nodeName": where} if where else {})},
        "status": {"phase": "Running"},
    }


def test_a_cron_job_beside_its_run_is_one_run() -> None:
    """Whether the Job, its pod or both stand in the input."""
    run_of_it = of(job("tick-29012345"), **owned("CronJob", "tick"))
    its_pod = pod("tick-29012345-x", "Job", "tick-29012345", "a")
    for bodies in ([run_of_it], [its_pod], [run_of_it, its_pod]):
        assert 1 == answer(node("a"), CRON, *bodies)["placed"]


def test_a_suspended_cron_job_keeps_the_run_that_runs() -> None:
    """No new one starts; the one that is there goes on."""
    asleep = {**CRON, "spec": {**CRON["spec"], "suspend": True}}  # type: ignore[dict-item]
    its_pod = pod("tick-29012345-x", "Job", "tick-29012345", "a")

    assert 1 == answer(node("a"), asleep, its_pod)["placed"]


def test_a_deployment_its_replica_sets_and_pods_count_once() -> None:
    """`kubectl get all -o yaml`."""
    old = of(workload("ReplicaSet", "web-1", 0), **owned("Deployment", "web"))
    new = of(workload("ReplicaSet", "web-2", 3), **owned("Deployment", "web"))
    labels = {"pod-template-hash": "2"}
    pods = [pod(f"web-2-{n}", "ReplicaSet", "web-2", "a", labels=labels) for n in range(2)]
    body = answer(node("a"), workload(), old, new, *pods)

    assert 3 == body["placed"]
    [held] = body["nodeList"][0]["holds"]
    assert ("Deployment default/web", 3) == (held["workload"], held["pods"])
    assert {"cpu": 1500, "memory": 3 << 30, "pods": 3} == held["requested"]


@pytest.mark.parametrize(
    ("body", "group"),
    [
        (workload("StatefulSet", "metrics", 2), "monitoring.example.org/v1"),
        (workload("ReplicaSet", "metrics", 2), "argoproj.io/v1alpha1"),
        (workload("Deployment", "metrics", 2), "apps/v1"),
    ],
)
def test_an_owner_that_is_not_there_owns_nothing(body: dict[str, Any], group: str) -> None:
    """What its controller made is counted, and can be scaled."""
    theirs = of(body, **owned("Collector", "metrics", group))

    assert 5 == answer(theirs, workload())["placed"]
    assert 7 == answer(theirs, workload(), options=("--scale", "metrics=4"))["placed"]


def test_a_replica_set_without_its_deployment_and_its_pods() -> None:
    """Its pods are its own."""
    theirs = of(workload("ReplicaSet", "web-2", 3), **owned("Rollout", "web", "argoproj.io/v1"))
    labels = {"pod-template-hash": "2"}
    pods = [pod(f"web-2-{n}", "ReplicaSet", "web-2", "a", labels=labels) for n in range(2)]

    assert 3 == answer(node("a"), theirs, *pods)["placed"]


def test_daemonsets_of_the_same_name_in_two_namespaces() -> None:
    """Each has its pods."""
    bodies = [of(workload("DaemonSet", "agent"), namespace=name) for name in ("a", "b")]
    body = answer(node("n"), *bodies)

    assert 2 == body["placed"]


def test_a_daemonset_and_its_pod_count_once_without_uids() -> None:
    """A manifest of a DaemonSet tells no uid; its pods do."""
    body = answer(
        node("n"), workload("DaemonSet", "agent"), pod("agent-x", "DaemonSet", "agent", "n")
    )

    assert 1 == body["placed"]


def test_pods_of_nodes_that_are_not_there_are_left_out() -> None:
    """Those of a DaemonSet that is not in the input are told."""
    body = answer(node("n"), pod("agent-x", "DaemonSet", "agent", "elsewhere"))

    assert (0, True) == (body["placed"], any("left out" in one for one in body["notes"]))


TWO = (workload(), of(workload(), namespace="b"), workload("StatefulSet", "db"))


@pytest.mark.parametrize(
    ("text", "placed"),
    [
        ("default/web=5", 11),
        ("b/web=5", 11),
        ("db=5", 11),
        ("statefulset/db=5", 11),
        ("StatefulSet/db=0", 6),
        ("deployment/b/web=5", 11),
    ],
)
def test_scale_takes_whole_names(text: str, placed: int) -> None:
    """NAMESPACE/NAME, KIND/NAME, KIND/NAMESPACE/NAME."""
    assert placed == answer(*TWO, options=("--scale", text))["placed"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("web=5",), "may be Deployment default/web, Deployment b/web; write NAMESPACE/NAME"),
        (("deployment/web=5",), "write NAMESPACE/NAME"),
        (("c/web=5",), "no workload is called 'c/web'"),
        (("b/web=5", "deployment/b/web=6"), "two counts"),
    ],
)
def test_scale_refuses_what_may_be_two(texts: tuple[str, ...], words: str) -> None:
    """Exit code 2, the candidates and the remedy."""
    options = tuple(one for text in texts for one in ("--scale", text))
    result = run(*TWO, options=options)

    assert (2, True) == (result.exit_code, words in result.output), result.output


FILES = {
    "web.yaml": yaml.safe_dump(workload()),
    "overlay/kustomization.yaml": "resources: [../web.yaml]\n",
    "overlay/patch.yaml": yaml.safe_dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "other"}}
    ),
    "chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
    "chart/values.yaml": "replicas: 3\n",
    "chart/templates/web.yaml": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n"
    ),
    "chart/templates/if.yaml": "{{- if .Values.x }}\napiVersion: v1\nkind: Pod\n{{- end }}\n",
    "chart/templates/quoted.yaml": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '{{ .Release.Name }}'}\n"
        "spec: {replicas: '{{ .Values.replicas }}', template: {spec: {containers: [{name: a}]}}}\n"
    ),
    ".gitlab-ci.yml": "build:\n  script: !reference [.x, script]\n",
    ".github/workflows/ci.yml": "on: [push]\njobs: {a: {steps: [{run: make}]}}\n",
    "package.json": '{"name": "x", "version": "1.0.0"}',
    "tsconfig.json": '{\n  // a comment\n  "compilerOptions": {},\n}\n',
    "list.yaml": "- a\n- b\n",
    "drone.yml": "kind: pipeline\ntype: docker\nname: default\n",
    "empty.yaml": "",
    "marks.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: @NAME@\n",
}


def test_a_whole_repository(tmp_path: Path) -> None:
    """Manifests count; what is none is told, with what to do about it; without the flag: exit 2."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    result = CliRunner().invoke(main, [*BASE, *LENIENT, str(tmp_path)])
    body = json.loads(result.output)
    why = {
        Path(one["where"].partition(": ")[0]).relative_to(tmp_path).as_posix(): one["why"]
        for one in body["skipped"]
    }

    assert 3 == body["placed"]
    assert set(FILES) - {"web.yaml", "empty.yaml"} == set(why)
    assert "kubectl kustomize" in why["overlay/kustomization.yaml"]
    assert "helm template" in why["chart/values.yaml"]
    assert "render it first" in why["chart/templates/web.yaml"]
    assert "render it first" in why["chart/templates/if.yaml"]
    assert 2 == CliRunner().invoke(main, [*BASE, str(tmp_path)]).exit_code


def test_a_manifest_that_is_named_and_broken_is_an_error_all_the_same() -> None:
    """--ignore-unknown hides no fault of a manifest that somebody names."""
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p\n"
    result = CliRunner().invoke(main, [*BASE, *LENIENT, "-"], input=text)

    assert 2 == result.exit_code


@pytest.mark.parametrize(
    "text",
    [
        "metadata: {name: c}\ndata: {op: =}",
        "metadata: {name: c, labels: &a {x: y}, annotations: &a {z: 'w'}}\ndata: *a",
        "metadata: {name: c}\ndata: {time: 2026-01-01, ratio: 22:22}",
    ],
)
def test_yaml_is_read_as_kubectl_reads_it(text: str) -> None:
    """`=` is text, an anchor may be set anew, times and ratios are text."""
    text = f"apiVersion: v1\nkind: ConfigMap\n{text}\n---\n{yaml.safe_dump(workload())}"
    result = CliRunner().invoke(main, [*BASE, "-"], input=text)

    assert 0 == result.exit_code, result.output
