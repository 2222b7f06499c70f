"""What others do to a service: a HorizontalPodAutoscaler scales it, many nodes fall silent at once.

On a cluster of its own, because nodes are lost and the controller manager looks every second.
"""

import datetime as dt
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

from localcluster import Cluster, pki
from tests.audit.watcher import Watcher
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import REAL_LEASE, Site

pytestmark = pytest.mark.cluster

_HPA = "--horizontal-pod-autoscaler"
_FLAGS = [
    f"{_HPA}-sync-period=1s",
    f"{_HPA}-cpu-initialization-period=1s",
    f"{_HPA}-initial-readiness-delay=1s",
]
_NODES = "/api/v1/nodes"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_METRICS = "/apis/metrics.k8s.io/v1beta1"
_BOOT_SECONDS = 30  # a node that falls silent earlier has not been well


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Eight nodes, of which a silent one is missed after 8 s."""
    nodes = "m5.large:us-east-1a=4,m5.large:us-east-1b=4"
    with Cluster.start(
        kwok=nodes, node_monitor_grace_seconds=8, controller_manager_flags=_FLAGS
    ) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("site")).prepare()
        with site.operator(*REAL_LEASE), Watcher(local.kubeconfig) as auditor:
            yield site
            auditor.check()


class Metrics:
    """The resource metrics API, as metrics-server would serve it: all pods use `cpu_milli`."""

    def __init__(self, site: Site) -> None:
        assert site.local is not None
        self.cpu_milli = 0
        self._kube = site.kube
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answer(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        authority = pki.Authority(site.local.directory / "pki")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.server("metrics", ["localhost"]))
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        port = self._server.server_address[1]
        outside = {"type": "ExternalName", "externalName": "localhost"}
        about = {"name": "metrics", "namespace": "kube-system"}
        self._kube.create(
            "/api/v1/namespaces/kube-system/services", {"metadata": about, "spec": outside}
        )
        path = "/apis/apiregistration.k8s.io/v1/apiservices"
        name = "v1beta1.metrics.k8s.io"
        spec = {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {**about, "port": port},
        }
        self._kube.create(path, {"metadata": {"name": name}, "spec": spec})
        self._kube.until(
            path,
            lambda found: read.condition(found[name], "Available").get("status") == "True",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._kube.delete("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, target: str) -> dict[str, Any]:
        path, _, query = target.partition("?")
        kind = {"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetricsList"}
        if path == _METRICS:
            pods = {"name": "pods", "kind": "PodMetrics", "namespaced": True, "verbs": ["list"]}
            about = {"apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1"}
            return {**about, "kind": "APIResourceList", "resources": [{"singularName": "", **pods}]}
        if not path.startswith(f"{_METRICS}/namespaces/"):
            return {**kind, "metadata": {}, "items": []}
        namespace = path.split("/")[5]
        labels = urllib.parse.parse_qs(query).get("labelSelector", [""])[0]
        pods = self._kube.get(
            f"{read.pods(namespace)}?{urllib.parse.urlencode({'labelSelector': labels})}"
        )
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        used = [{"name": "main", "usage": {"cpu": f"{self.cpu_milli}m", "memory": "1Mi"}}]
        items = [
            {"metadata": pod["metadata"], "timestamp": now, "window": "1s", "containers": used}
            for pod in pods["items"]
        ]
        return {**kind, "metadata": {}, "items": items}


def test_an_autoscaler_scales_by_load(site: Site) -> None:
    """A real HPA at 50 %: 90 % used makes two instances four or more, 10 % two again.

    It reads the scale subresource, whose selector finds the pods; the operator follows and writes
    no `replicas` of its own.
    """
    namespace = site.namespace()
    services = read.services(namespace)
    site.kube.apply(make_service("web", namespace, replicas=2))
    site.kube.until(services, available(2))
    target = {"apiVersion": "bayplan.dev/v1alpha1", "kind": "LongService", "name": "web"}
    half = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {
        "scaleTargetRef": target,
        "minReplicas": 2,
        "maxReplicas": 6,
        "metrics": [{"type": "Resource", "resource": half}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    with Metrics(site) as metrics:
        metrics.cpu_milli = 90
        scalers = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        site.kube.create(scalers, {"metadata": {"name": "web"}, "spec": spec})
        site.kube.until(services, lambda found: found["web"]["spec"]["replicas"] >= 4, within=60)
        metrics.cpu_milli = 50
        grown = site.kube.until(
            services, lambda found: available(found["web"]["spec"]["replicas"])(found), within=60
        )
        metrics.cpu_milli = 10
        site.kube.until(services, available(2), within=60)
        site.kube.until(read.pods(namespace), lambda found: len(found) == 2)
        scaler = site.kube.get(f"{scalers}/web")

    assert 4 <= grown["spec"]["replicas"] <= 6
    assert "True" == read.condition(scaler, "AbleToScale")["status"]


def test_a_mass_loss_replaces_nobody(site: Site) -> None:
    """Three of eight nodes silent: only the service that is told to ignore it replaces instances.

    That one's replacements show that the time for the others would have come, too. When the nodes
    speak again nothing of the others has changed.
    """
    assert site.local is not None
    namespace = site.namespace()
    apart = {"constraints": [{"key": "hostname", "operator": "Unique"}]}
    more = {"replicas": 8, "unreachable": {"replaceAfterSeconds": 15}}
    bold = {"annotations": {"bayplan.dev/ignore-mass-loss": "true"}}
    site.kube.apply(
        make_service("calm", namespace, placement=apart, **more),
        make_service("bold", namespace, **more, **bold, placement={"strategy": "Spread"}),
    )
    services = read.services(namespace)
    for name in ("calm", "bold"):
        site.kube.until(services, available(8, name), within=60)
    before = site.kube.listed(read.pods(namespace))
    calm = {name for name in before if name.startswith("calm-")}
    lost = [pod["spec"]["nodeName"] for name, pod in before.items() if name.startswith("bold-")]
    lost = sorted(set(lost))[:3]
    assert 3 == len(lost)
    youngest = max(
        dt.datetime.fromisoformat(node["metadata"]["creationTimestamp"])
        for node in site.kube.listed(_NODES).values()
    )
    grown_up = youngest.timestamp() + _BOOT_SECONDS + 1
    site.kube.until(_LEASES, lambda _: time.time() > grown_up, within=60)
    for node in lost:
        site.local.stop_heartbeat(node)
    replaced = site.kube.until(
        read.pods(namespace),
        lambda found: len(read.running(found).keys() - before.keys()) >= len(lost) and found,
        within=60,
    )
    told = site.kube.until(
        services,
        lambda found: (
            read.condition(found["calm"], "Ready").get("reason") == "MassLossBrake" and found
        ),
    )
    for node in lost:
        site.local.resume_heartbeat(node)
    site.kube.until(
        _NODES,
        lambda found: all(
            read.condition(found[node], "Ready")["status"] == "True" for node in lost
        ),
        within=60,
    )
    site.kube.until(services, available(8, "calm"), within=60)
    after = site.kube.listed(read.pods(namespace))

    assert calm == {name for name in replaced if name.startswith("calm-")}
    assert "bayplan.dev/ignore-mass-loss" in read.condition(told["calm"], "Ready")["message"]
    assert calm == uids_kept(before, after, "calm-")


def uids_kept(before: Objects, after: Objects, prefix: str) -> set[str]:
    """Names whose pods are the very same ones."""
    return {
        name
        for name, pod in after.items()
        if name.startswith(prefix)
        and before.get(name, {}).get("metadata", {}).get("uid") == pod["metadata"]["uid"]
    }
