"""An update of a real HTTP server under constant requests, through a balancer that lags behind."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcluster import Cluster, image, kubelets
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site, definitions

pytestmark = [
    pytest.mark.kubelet,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(kubelets.missing()),
        reason=f"needs root and {kubelets.missing() or 'nothing else'}",
    ),
]

LAG_SECONDS = 1.0  # how late the balancer learns of endpoints
PORT = 8080

# The server dies at the first signal, as most do.
SCRIPT = """
trap exit TERM; mkdir /w; cd /w
(sleep 1; echo ok > index.html) & httpd -f -p 8080 & wait
"""
SERVER = {
    "image": image.NAME,
    "command": ["sh", "-c", SCRIPT],
    "ports": [{"containerPort": PORT}],
    "readinessProbe": {
        "httpGet": {"path": "/index.html", "port": PORT},
        "periodSeconds": 1,
        "timeoutSeconds": 5,  # a busy machine answers late
        "failureThreshold": 1,
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Cluster.start(kubelets=1, definitions=definitions()) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("site")).prepare()
        with site.operator():
            yield site


@dataclass
class Balancer:
    """Sends one request after the other, in turn to what was ready LAG_SECONDS ago."""

    seen: list[tuple[float, list[str]]] = field(default_factory=list)  # since when, addresses
    good: int = 0
    lost: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def learn(self, slices: Objects) -> set[str]:
        """Take note of the ready endpoints; returns their addresses."""
        ready = {
            address
            for one in slices.values()
            for endpoint in one.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        }
        self.seen.append((time.monotonic(), sorted(ready)))
        return ready

    def run(self) -> None:
        turn = 0
        while not self.stop.wait(0.01):
            then = time.monotonic() - LAG_SECONDS
            known = [addresses for since, addresses in self.seen if since <= then]
            if known and known[-1]:
                turn += 1
                self._ask(known[-1][turn % len(known[-1])])

    def _ask(self, address: str) -> None:
        connection = http.client.HTTPConnection(address, PORT, timeout=2)
        try:
            connection.request("GET", "/index.html")
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.lost.append(f"{address}: {error!r}")
        else:
            if answer.status == http.HTTPStatus.OK:
                self.good += 1
            else:
                self.lost.append(f"{address}: {answer.status}")
        finally:
            connection.close()


def updated_under_load(site: Site, service: dict[str, Any]) -> Balancer:
    """Replace three instances while the balancer asks; returns what it counted."""
    namespace = site.namespace()
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    ports = {"ports": [{"name": "http", "port": PORT}], **service}
    more = {"replicas": 3, "service": ports, "container": SERVER}
    site.kube.apply(make_service("web", namespace, **more))
    site.kube.until(read.services(namespace), available(3), within=90)
    before = set(site.kube.listed(read.pods(namespace)))
    balancer = Balancer()
    first = site.kube.until(slices, lambda found: len(balancer.learn(found)) == 3 and found)
    old = balancer.learn(first)
    requests = threading.Thread(target=balancer.run)
    requests.start()
    try:
        site.kube.apply(make_service("web", namespace, cpu="110m", **more))

        def replaced(found: Objects) -> bool:
            ready = balancer.learn(found)
            return len(ready) == 3 and not ready & old

        site.kube.until(slices, replaced, within=120)
        site.kube.until(read.pods(namespace), lambda found: not before & found.keys(), within=60)
    finally:
        balancer.stop.set()
        requests.join()
        site.kube.kubectl("delete", "longservices", "--all", "-n", namespace)
        site.kube.until(read.pods(namespace), lambda found: not found, within=60)
    return balancer


def test_an_update_loses_no_request(site: Site) -> None:
    """With the default draining every request of the whole update is answered."""
    counted = updated_under_load(site, {})

    assert [] == counted.lost
    assert counted.good > 100


def test_without_draining_requests_are_lost(site: Site) -> None:
    """`drainSeconds: 0`: the same server, balancer and update lose some; so this test can see."""
    assert updated_under_load(site, {"drainSeconds": 0}).lost
