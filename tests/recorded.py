"""A cluster as it was recorded: objects by path, answered as an API server would; writes are noted.

What commands are shown in place of a cluster. Shares no code with them: paths are put together
here from what stands in the objects.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from click.testing import CliRunner, Result

from bayplan.cli.client import Wire
from bayplan.cli.main import main
from bayplan.cluster import errors

Body = dict[str, Any]

_PLURALS = {
    "Node": "/api/v1/{}nodes",
    "Pod": "/api/v1/{}pods",
    "BatchJob": "/apis/bayplan.dev/v1alpha1/{}batchjobs",
    "LongService": "/apis/bayplan.dev/v1alpha1/{}longservices",
    "Pool": "/apis/bayplan.dev/v1alpha1/{}pools",
    "ControllerRevision": "/apis/apps/v1/{}controllerrevisions",
    "Deployment": "/apis/apps/v1/{}deployments",
    "DaemonSet": "/apis/apps/v1/{}daemonsets",
    "ReplicaSet": "/apis/apps/v1/{}replicasets",
    "StatefulSet": "/apis/apps/v1/{}statefulsets",
    "Job": "/apis/batch/v1/{}jobs",
    "CronJob": "/apis/batch/v1/{}cronjobs",
    "PodDisruptionBudget": "/apis/policy/v1/{}poddisruptionbudgets",
    "Lease": "/apis/coordination.k8s.io/v1/{}leases",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Event": "/apis/events.k8s.io/v1/{}events",
    "NodePool": "/apis/karpenter.sh/v1/nodepools",
    "NodeClaim": "/apis/karpenter.sh/v1/nodeclaims",
}


class Recorded(Wire):
    """`refuse` maps the start of a path to the HTTP status that it answers."""

    def __init__(
        self,
        *bodies: Body,
        texts: Mapping[str, str] | None = None,
        answers: Mapping[str, Any] | None = None,
        refuse: Mapping[str, int] | None = None,
    ) -> None:
        self.objects: dict[str, Body] = {}
        self.texts = dict(texts or {})  # path -> plain text, such as logs
        self.answers = dict(answers or {})  # method and path -> JSON
        self.refuse = dict(refuse or {})
        self.written: list[tuple[str, str, Any]] = []
        self.asked: list[str] = []
        self.passed = 0.0  # seconds that commands have waited
        for number, body in enumerate(bodies):
            about = {
                "uid": f"uid-{number}",
                "resourceVersion": str(number + 1),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                **body["metadata"],
            }
            self.objects[_path(body)] = {**copy.deepcopy(body), "metadata": about}

    def __call__(self, target: object) -> "Recorded":
        """As a way to connect."""
        del target
        return self

    def send(self, request: Any) -> bytes:
        path = unquote(request.path)
        self.asked.append(f"{request.method} {path}")
        for start, status in self.refuse.items():
            if path.startswith(start):
                raise errors.of(status, json.dumps({"message": f"refused: {path}"}).encode())
        if f"{request.method} {path}" in self.answers:
            return json.dumps(self.answers[f"{request.method} {path}"]).encode()
        if path in self.texts:
            return self.texts[path].encode()
        if request.method == "GET":
            return json.dumps(self._read(path, dict(request.query))).encode()
        body = json.loads(request.body) if request.body else None
        self.written.append((request.method, path, body))
        if request.method == "PATCH":
            where = path.removesuffix("/scale")
            if where not in self.objects:
                raise errors.of(404)
            self.objects[where] = _merged(self.objects[where], body)
            return json.dumps(self.objects[where]).encode()
        return json.dumps(body).encode()

    def pause(self, seconds: float) -> None:
        self.passed += seconds

    def monotonic(self) -> float:
        return self.passed

    def stream(self, request: Any) -> Iterator[bytes]:
        yield self.send(request)

    def _read(self, path: str, query: Mapping[str, str]) -> Any:
        if path in self.objects:
            return self.objects[path]
        if path.rpartition("/")[2] not in _LAST:
            raise errors.of(404, json.dumps({"message": f"{path} not found"}).encode())
        items = [
            body
            for where, body in self.objects.items()
            if _lists(path, where) and _selected(body, query.get("labelSelector", ""))
        ]
        return {"metadata": {"resourceVersion": "99"}, "items": items}

    def annotations(self) -> dict[str, Any]:
        """What the one write set."""
        [(method, _, body)] = self.written
        assert method == "PATCH"
        found: dict[str, Any] = body["metadata"]["annotations"]
        return found


_LAST = {path.rpartition("}")[2].rpartition("/")[2] for path in _PLURALS.values()} | {
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses",
    "csinodes",
    "volumeattachments",
    "priorityclasses",
    "resourcequotas",
    "limitranges",
    "poddisruptionbudgets",
    "services",
}


def _path(body: Body) -> str:
    about = body["metadata"]
    where = f"namespaces/{about['namespace']}/" if "namespace" in about else ""
    return f"{_PLURALS[body['kind']].format(where)}/{about['name']}"


def _lists(collection: str, where: str) -> bool:
    head, _, _ = where.rpartition("/")
    if head == collection:
        return True
    prefix, found, rest = head.partition("namespaces/")
    return bool(found) and prefix + rest.partition("/")[2] == collection


def _selected(body: Body, selector: str) -> bool:
    labels = body["metadata"].get("labels") or {}
    wanted = (part.split("=", 1) for part in selector.split(",") if "=" in part)
    return all(labels.get(key) == value for key, value in wanted)


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return new
    base = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = _merged(base.get(key), value)
    return base


def run(cluster: Recorded | None, *words: str, code: int = 0, text: str | None = None) -> Result:
    """A command on what was recorded."""
    result = CliRunner().invoke(main, list(words), obj=cluster, input=text)
    unexpected = None if isinstance(result.exception, SystemExit) else result.exception

    assert unexpected is None, repr(unexpected)
    assert code == result.exit_code, result.output
    return result


def told(cluster: Recorded | None, *words: str, code: int = 0, text: str | None = None) -> Any:
    """The command's data."""
    return json.loads(run(cluster, *words, "-o", "json", code=code, text=text).stdout)


def make_node(name: str, cpu: str = "4", memory: str = "16Gi", **labels: str) -> Body:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "node.kubernetes.io/instance-type": "m5.xlarge",
                **labels,
            },
        },
        "spec": {},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "58"},
            "conditions": [ready],
        },
    }


def make_pod(name: str, *, node: str = "", cpu: str = "1", namespace: str = "default") -> Body:
    """A pod of nobody that Bayplan is to place."""
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    spec: Body = {"schedulerName": "bayplan", "containers": [container]}
    if node:
        spec["nodeName"] = node
    phase = "Running" if node else "Pending"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
        "status": {"phase": phase},
    }


def make_job(name: str, *, status: Body | None = None, cpu: str = "1", **spec: Any) -> Body:
    return _resource("BatchJob", name, status, cpu, spec)


def make_service(name: str, *, status: Body | None = None, cpu: str = "1", **spec: Any) -> Body:
    return _resource("LongService", name, status, cpu, spec)


def _resource(kind: str, name: str, status: Body | None, cpu: str, spec: Body) -> Body:
    requests = {"cpu": cpu, "memory": "64Mi"}
    container = {"name": "main", "image": "x", "resources": {"requests": requests}}
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {**spec, "template": {"spec": {"containers": [container]}}},
        "status": status or {},
    }
