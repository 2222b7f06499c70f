"""Random calls of `bayplan simulate` and `bayplan lint`: all options together, files that err.

A seed makes one call: the words, the files that they name, standard input. Files begin as sound
manifests of every kind that a simulation looks at; then values change places, go, become
something else, and now and then the text itself is damaged.
"""

import copy
import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import yaml

Body = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """`words` hold `{}` where the folder of `files` belongs."""

    words: tuple[str, ...]
    files: dict[str, bytes]
    text: bytes  # standard input


def _pod(**more: Any) -> Body:
    requests = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"}
    container = {
        "name": "a",
        "image": "x",
        "args": ["=", "1"],
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "env": [{"name": "A", "value": "b"}],
        "resources": {"requests": requests, "limits": {"memory": "64Mi"}},
    }
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    zone = {
        "matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]
    }
    return {
        "containers": [container],
        "initContainers": [{**container, "name": "i", "restartPolicy": "Always"}],
        "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        "tolerations": [{"key": "t", "operator": "Exists"}],
        "affinity": {
            "podAntiAffinity": {rule: [term]},
            "nodeAffinity": {rule: {"nodeSelectorTerms": [zone]}},
        },
        "topologySpreadConstraints": [
            {**term, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"},
        ],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        "priorityClassName": "vital",
        "runtimeClassName": "boxed",
        "resources": {"limits": {"cpu": "2"}},
        "hostNetwork": True,
        **more,
    }


def _of(version: str, kind: str, name: str, **body: Any) -> Body:
    metadata = {"name": name, "namespace": "default", "labels": {"app": "a"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


_TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": _pod()}
_APP = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": _TEMPLATE}
_OWNED = [
    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": True}
]
_PLAIN = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "a", "image": "x"}]},
}
BODIES: tuple[Body, ...] = (
    _of("apps/v1", "Deployment", "web", spec=_APP),
    _of("apps/v1", "StatefulSet", "db", spec={**_APP, "volumeClaimTemplates": [
        {"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}),
    _of("apps/v1", "DaemonSet", "agent", spec=_APP),
    {**_of("apps/v1", "ReplicaSet", "web-1", spec=_APP), "metadata": {
        "name": "web-1", "ownerReferences": _OWNED}},
    _of("batch/v1", "Job", "job", spec={"parallelism": 2, "completions": 4, "template": _TEMPLATE},
        status={"succeeded": 1, "conditions": [{"type": "Complete", "status": "False"}]}),
    _of("batch/v1", "CronJob", "cron", spec={"schedule": "@daily", "jobTemplate": {
        "spec": {"template": _TEMPLATE}}}),
    _of("v1", "Pod", "pod", spec=_pod(nodeName="n1"), status={"phase": "Running"}),
    _of("v1", "Pod", "other", spec=_pod(priority=5)),
    _of("v1", "Node", "n1", status={
        "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "20"},
        "conditions": [{"type": "Ready", "status": "True"}]},
        spec={"taints": [{"key": "t", "effect": "NoSchedule"}]}),
    _of("bayplan.dev/v1alpha1", "BatchJob", "b", spec={
        "schedule": "0 5 * * *", "tasks": 2, "template": _PLAIN}),
    _of("bayplan.dev/v1alpha1", "LongService", "s", spec={"replicas": 2, "template": _PLAIN}),
    _of("bayplan.dev/v1alpha1", "LongService", "p", spec={"mode": "PerNode", "template": _PLAIN}),
    _of("scheduling.k8s.io/v1", "PriorityClass", "vital", value=1000, globalDefault=True),
    _of("node.k8s.io/v1", "RuntimeClass", "boxed", handler="kata", overhead={
        "podFixed": {"cpu": "250m"}}, scheduling={"nodeSelector": {"kubernetes.io/os": "linux"}}),
    _of("v1", "LimitRange", "limits", spec={"limits": [{"type": "Container", "default": {
        "cpu": "1"}, "min": {"cpu": "10m"}, "max": {"memory": "1Gi"}}]}),
    _of("autoscaling/v2", "HorizontalPodAutoscaler", "h", spec={"minReplicas": 2, "maxReplicas": 9,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
    _of("v1", "PersistentVolume", "pv", spec={"csi": {"driver": "ebs.csi.aws.com"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}}}),
    _of("v1", "PersistentVolumeClaim", "data", spec={"volumeName": "pv", "accessModes": ["X"]}),
    _of("storage.k8s.io/v1", "StorageClass", "gp3", provisioner="ebs.csi.aws.com",
        volumeBindingMode="WaitForFirstConsumer"),
    _of("storage.k8s.io/v1", "CSINode", "n1", spec={"drivers": [
        {"name": "ebs.csi.aws.com", "allocatable": {"count": 3}}]}),
    _of("karpenter.sh/v1", "NodePool", "np", spec={}),
    _of("v1", "ConfigMap", "c", data={"a": "="}),
    _of("serving.knative.dev/v1", "Service", "k", spec={"template": _TEMPLATE}),
    {"resources": ["x.yaml"]},
    {"name": "package", "version": "1.0.0"},
)  # fmt: skip
_FOREIGN = 3  # at the end: what is unknown or no manifest
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1 << 70, "", "x", "=", "1e400", "-5", "1Gi", "500m", "{{ x }}",
    "\x07", "a" * 300, [], {}, [[]], [None], {"a": {"b": []}}, ["x", 1], float("inf"), "default",
    "2026-01-01", "Node", "system-node-critical", "kubernetes.io/hostname", "½", "\ud7ff",
)  # fmt: skip


def call(seed: int) -> Call:
    """One call, always the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311  no secret
    files = {
        f"{dice.choice(('', 'sub/'))}{name}": _file(dice, name)
        for name in dice.sample(_NAMES, dice.choice((1, 1, 1, 2, 3)))
    }
    paths = [f"{{}}/{name}" for name in files]
    if dice.random() < 0.3:
        paths = ["{}"]
    if dice.random() < 0.1:
        paths.append(dice.choice(("-", "{}/nowhere.yaml", "")))
    if dice.random() < 0.2:
        paths = [word for path in paths for word in ("-f", path)]
    options = _LINT if dice.random() < 0.3 else _SIMULATE
    words = ["lint"] if options is _LINT else ["simulate", "--seconds", "0.01"]
    for make in dice.sample(options, dice.randrange(min(len(options), 7))):
        words += make(dice)
    dice.shuffle(paths) if "-f" not in paths else None
    return Call((*words, *paths), files, _file(dice, "stdin.yaml"))


_NAMES = ("a.yaml", "b.yml", "c.json", "kustomization.yaml", "values.yaml", "d.yaml")


def _file(dice: random.Random, name: str) -> bytes:
    known = BODIES if dice.random() < 0.2 else BODIES[:-_FOREIGN]
    bodies = [copy.deepcopy(one) for one in dice.sample(known, dice.randrange(1, 7))]
    for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
        _mutate(dice, dice.choice(bodies))
    whole: Any = bodies
    if name.endswith(".json") or dice.random() < 0.2:
        whole = [{"apiVersion": "v1", "kind": "List", "items": bodies}]
    if name.endswith(".json"):
        text = json.dumps(whole[0])
    else:
        text = yaml.dump_all(whole, Dumper=_Dumper, allow_unicode=True)
    data = text.encode("utf-8", "surrogatepass")
    return _damaged(dice, data) if dice.random() < 0.15 else data


class _Dumper(yaml.CSafeDumper):
    """With aliases only where two values are one."""


def _mutate(dice: random.Random, body: Any) -> None:
    """One value somewhere is another, is gone, or stands elsewhere too."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(pairs):
            places.append((value, key))
            if isinstance(inner, dict | list):
                walk(inner)

    walk(body)
    if not places:
        return
    where, key = dice.choice(places)
    match dice.randrange(5):
        case 0:
            del where[key]
        case 1:
            other, at = dice.choice(places)
            where[key] = copy.deepcopy(other[at])
        case 2 if isinstance(where, dict):
            where[f"{key}s"] = where.pop(key)
        case _:
            where[key] = copy.deepcopy(dice.choice(_ODD))


def _damaged(dice: random.Random, data: bytes) -> bytes:
    at, to = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    match dice.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:at] + dice.randbytes(3) + data[at:]
    odd = (b"{{ .Values.x }}", b"&a", b"*a", b"<<: *a\n", b"---\n", b"=", b"!!python/x ", b"\t")
    return data[:at] + dice.choice(odd) + data[at:]


def _one(*words: str) -> Callable[[random.Random], list[str]]:
    return lambda _: list(words)


def _some(option: str, *values: str) -> Callable[[random.Random], list[str]]:
    return lambda dice: [option, dice.choice(values)]


_OUTPUT = _some("-o", "table", "wide", "json", "yaml")
_LINT = (_OUTPUT, _one("--strict"), _one("--quiet"))
_SIMULATE = (
    _OUTPUT,
    _one("--ignore-unknown"),
    _one("--ignore-unknown"),
    _one("--prefix-delegation"),
    _some("--instance-type", "m5.large", "m7i.*", "c6g.xlarge", "t3.nano", "none.such", "["),
    _some("--scale", "web=4", "db=0", "default/web=9", "pod/x=1", "=", "web=1000001", "web=2e3"),
    _some("--remove-node", "n1", "n2", ""),
    _some("--zone", "a", "us-east-1b", ""),
    _some("--max-pods", "1", "17", "0", "x"),
    _some("--disk", "2", "100", "0"),
    _some("--node-label", "team=shop", "t", "a=b=c", "kubernetes.io/os=x"),
    _some("--seed", "0", "7", "-1"),
    _some("--compare", "karpenter", "kube-scheduler-least,kube-scheduler-most,karpenter", "x", ","),
    _some("--picture", "{}/p.svg", "{}", "{}/no/where.svg"),
    _some("--prices", "{}/a.yaml", "{}/nowhere.csv", "{}/c.json"),
    _one("--spot"),
)
