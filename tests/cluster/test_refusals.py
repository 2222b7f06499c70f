"""What the API server refuses, and what its owner leaves behind, on a real API server."""

import datetime as dt
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.provisioner import Provisioner, claims
from tests.cluster.test_longservice import available
from tests.cluster.test_stateful import make_stateful
from tests.cluster.under_test import OperatorProcess, Site

pytestmark = pytest.mark.cluster

POD = {"nodeSelector": {"pool": "refusals"}}
TRACKING = "bayplan.dev/run-tracking"


@pytest.fixture(scope="module", autouse=True)
def nodes(site: Site) -> list[str]:
    return site.nodes("m5.xlarge:us-east-1a=2", pool="refusals")


def moments(log: str, text: str) -> list[dt.datetime]:
    """When the lines that hold this text were written, by the operator's own clock."""
    return [dt.datetime.fromisoformat(line[:19]) for line in log.splitlines() if text in line]


def says(name: str, reason: str) -> Any:
    """A question for `until`: the resource's Ready is False for this reason."""

    def met(found: Objects) -> Any:
        ready = read.condition(found.get(name), "Ready")
        return (ready.get("status"), ready.get("reason")) == ("False", reason) and ready["message"]

    return met


def test_refused_claims_are_asked_for_ever_more_rarely(
    site: Site, namespace: str, operator: OperatorProcess
) -> None:
    """Four refusals of a service's claims lie 1, 2 and 4 s apart; a wider quota lets them go on."""
    kube = site.kube
    site.nodes("m5.large:us-east-1a=1,m5.large:us-east-1b=1", pool=namespace)
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    hard = {"persistentvolumeclaims": "1"}
    kube.create(quotas, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    kube.until(quotas, lambda found: found["few"].get("status", {}).get("hard"))
    storage = Provisioner(kube, namespace)
    with storage.serving():
        kube.apply(make_stateful(namespace, storage.storage_class, replicas=2))
        refusal = f"resource=LongService/{namespace}/db status=403"
        operator.until_logged(refusal, 60, times=4)
        first, *_, fourth = moments(operator.log(), refusal)[:4]
        told = kube.until(read.services(namespace), says("db", "QuotaExceeded"))
        kube.patch(f"{quotas}/few", {"spec": {"hard": {"persistentvolumeclaims": "5"}}})
        kube.until(read.services(namespace), available(2, "db"), within=30)

    assert (fourth - first).total_seconds() >= 6
    assert "to create PersistentVolumeClaim data-db-" in told
    assert "exceeded quota: few" in told
    assert {"data-db-0", "data-db-1"} <= set(kube.listed(claims(namespace)))


def test_a_refused_service_is_told_until_its_port_is_free(site: Site, namespace: str) -> None:
    """A node port that another Service has: Ready is False and says so; freed, it is taken."""
    kube = site.kube
    services = f"/api/v1/namespaces/{namespace}/services"
    port = {"port": 80, "nodePort": 30080}
    kube.create(services, {
        "metadata": {"name": "holder"},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [port]},
    })  # fmt: skip
    wanted = {"type": "NodePort", "ports": [{"name": "http", **port}]}
    kube.apply(make_service("np", namespace, replicas=1, pod=POD, service=wanted))
    told = kube.until(read.services(namespace), says("np", "ChildRefused"))
    kube.until(read.pods(namespace), read.running)
    events = kube.until(
        read.events(namespace),
        lambda found: [one for one in found.values() if one["reason"] == "ChildRefused"],
    )
    kube.delete(f"{services}/holder")
    kube.until(read.services(namespace), available(1, "np"), within=30)

    assert "Service np: " in told
    assert "provided port is already allocated" in told
    assert [("Warning", told)] == [(one["type"], one["note"]) for one in events]
    assert 30080 == kube.get(f"{services}/np")["spec"]["ports"][0]["nodePort"]


def test_orphaned_runs_let_their_namespace_go(site: Site, operator: OperatorProcess) -> None:
    """`--cascade=orphan` leaves the run's pod running, without our finalizer."""
    namespace, kube = site.namespace(), site.kube
    kube.apply(make_job("orph", namespace, seconds=300, pod=POD))
    kube.until(read.pods(namespace), read.running)
    kube.kubectl("delete", "batchjob/orph", "-n", namespace, "--cascade=orphan")
    kube.until(read.pods(namespace), lambda found: not _held(found))
    left = kube.listed(read.pods(namespace))
    kube.kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=60s")

    assert 1 == len(read.running(left))
    assert operator.running


def test_what_is_no_run_of_ours_is_let_go(site: Site, namespace: str) -> None:
    """A pod that carries our finalizer and never had an owner, or another's, is let go too."""
    pods = read.pods(namespace)
    owner = {
        "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "controller": True,
        "uid": site.kube.create(
            f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "theirs"}}
        )["metadata"]["uid"],
    }  # fmt: skip
    for name, owners in (("nobodys", []), ("theirs", [owner])):
        site.kube.create(pods, {
            "metadata": {"name": name, "finalizers": [TRACKING], "ownerReferences": owners},
            "spec": {
                "nodeName": "nowhere",
                "containers": [{"name": "main", "image": "busybox:1.36"}],
            },
        })  # fmt: skip
    site.kube.until(pods, lambda found: not _held(found), within=30)


def test_a_service_made_anew_takes_over_what_was_left(site: Site, namespace: str) -> None:
    """Orphaned pods, Service, budget and history become the new service's; nothing restarts."""
    kube = site.kube
    web = make_service(
        "web", namespace, replicas=2, pod=POD, service={"ports": [{"name": "http", "port": 80}]}
    )
    kube.apply(web)
    kube.until(read.services(namespace), available(2))
    before = set(read.running(kube.listed(read.pods(namespace))))
    kube.kubectl("delete", "longservice/web", "-n", namespace, "--cascade=orphan")
    orphans = kube.listed(read.pods(namespace))
    kube.apply(web)
    stored = kube.until(read.services(namespace), available(2))
    uid = stored["metadata"]["uid"]
    adopted = kube.until(
        read.pods(namespace),
        lambda found: all(uid in _owners(one) for one in found.values()) and found,
    )
    kinds = {
        "/api/v1": "services", "/apis/policy/v1": "poddisruptionbudgets",
        "/apis/apps/v1": "controllerrevisions",
    }  # fmt: skip
    for prefix, plural in kinds.items():
        kube.until(
            f"{prefix}/namespaces/{namespace}/{plural}",
            lambda found: len(found) == 1 and all(uid in _owners(one) for one in found.values()),
        )

    assert before == set(orphans) == set(adopted)
    assert all(not _owners(one) for one in orphans.values())


def _held(found: Objects) -> list[str]:
    return [
        name for name, one in found.items() if TRACKING in one["metadata"].get("finalizers", ())
    ]


def _owners(one: Any) -> set[str]:
    return {each["uid"] for each in one["metadata"].get("ownerReferences", ())}
