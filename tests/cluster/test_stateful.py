"""Instances with volumes of their own on a real API server, with Kubernetes' own volume binder."""

from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects, RefusedError
from tests.cluster.manifests import make_service
from tests.cluster.provisioner import SELECTED, Provisioner, claims
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

ZONE = "topology.kubernetes.io/zone"


def make_stateful(namespace: str, storage_class: str, **spec: Any) -> dict[str, Any]:
    """A service `db` whose instances have a volume `data` each, on its namespace's nodes."""
    template = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    port = {"name": "db", "port": 5432}
    more = {
        "pod": {"nodeSelector": {"pool": namespace}},
        "container": mounts,
        "service": {"ports": [port], "headless": True, "drainSeconds": 0},
        "volumeClaimTemplates": [template],
        "placement": {"constraints": [{"key": "zone", "operator": "Unique"}]},
        "unreachable": {"replaceAfterSeconds": 5},
    }
    return make_service("db", namespace, **{**more, **spec})


def where(found: Objects) -> dict[str, tuple[str, str]]:
    """Pod -> its node and claim."""
    return {
        name: (
            pod["spec"].get("nodeName", ""),
            next(
                one["persistentVolumeClaim"]["claimName"]
                for one in pod["spec"]["volumes"]
                if one["name"] == "data"
            ),
        )
        for name, pod in found.items()
    }


def test_instances_keep_their_volumes(site: Site, namespace: str) -> None:
    """Made one in a zone; an update, fewer and more replicas, a lost node find them again."""
    kube, pods = site.kube, read.pods(namespace)
    zones = [f"us-east-1{zone}" for zone in "abc"]
    site.nodes(",".join(f"m5.large:{zone}=1" for zone in zones), pool=namespace)
    storage = Provisioner(kube, namespace)
    owner = storage.storage_class
    with storage.serving():
        kube.apply(make_stateful(namespace, owner, replicas=3))
        kube.until(read.services(namespace), available(3, "db"), within=90)
        first = where(kube.listed(pods))
        volumes = _volumes(kube.listed(claims(namespace)))

        kube.apply(make_stateful(namespace, owner, replicas=3, cpu="150m"))
        kube.until(read.services(namespace), available(3, "db"), within=120)
        updated = where(kube.listed(pods))
        asked = {
            one["spec"]["containers"][0]["resources"]["requests"]["cpu"]
            for one in kube.listed(pods).values()
        }
        kube.apply(make_stateful(namespace, owner, replicas=1, cpu="150m"))
        kube.until(pods, lambda found: set(found) == {"db-0"})
        kube.apply(make_stateful(namespace, owner, replicas=3, cpu="150m"))
        kube.until(read.services(namespace), available(3, "db"), within=60)
        again = where(kube.listed(pods))

        lost, _ = again["db-1"]
        zone = kube.get(f"/api/v1/nodes/{lost}")["metadata"]["labels"][ZONE]
        kube.delete(f"/api/v1/nodes/{lost}")
        kube.until(pods, lambda found: "deletionTimestamp" in found["db-1"]["metadata"])
        kube.delete(f"{pods}/db-1", {"gracePeriodSeconds": 0})  # who knows that it is off
        [spare] = site.nodes(f"m5.xlarge:{zone}=1", pool=namespace)
        kube.until(pods, lambda found: read.running(found).get("db-1") == spare, within=120)
        body = kube.get(f"{pods}/db-1")
        after = _volumes(kube.listed(claims(namespace)))

    names = {f"db-{number}": f"data-db-{number}" for number in range(3)}
    assert names == {pod: claim for pod, (_, claim) in first.items()}
    assert 3 == len({node for node, _ in first.values()})
    assert first == updated == again
    assert {"150m"} == asked
    assert volumes == after
    assert ("db-1", "db", "1") == (
        body["spec"]["hostname"],
        body["spec"]["subdomain"],
        body["metadata"]["labels"]["apps.kubernetes.io/pod-index"],
    )
    chosen = {
        name: one["metadata"]["annotations"][SELECTED]
        for name, one in _claims(kube, namespace).items()
    }
    assert {claim: node for node, claim in first.values()} == chosen


def _claims(kube: Any, namespace: str) -> Objects:
    found: Objects = kube.listed(claims(namespace))
    return {name: one for name, one in found.items() if name.startswith("data-db-")}


def _volumes(found: Objects) -> dict[str, tuple[str, str]]:
    """Claim -> its uid and volume."""
    return {
        name: (one["metadata"]["uid"], one["spec"].get("volumeName", ""))
        for name, one in found.items()
        if name.startswith("data-db-")
    }


def test_a_silent_node_keeps_its_instance(site: Site, namespace: str) -> None:
    """It may still write to the volume: there is no successor before its pod has gone."""
    if site.local is None:
        pytest.skip("only a local cluster can silence a node")
    kube, pods = site.kube, read.pods(namespace)
    [node] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    storage = Provisioner(kube, namespace)
    with storage.serving():
        kube.apply(make_stateful(namespace, storage.storage_class, replicas=1))
        kube.until(read.services(namespace), available(1, "db"), within=90)
        first = kube.get(f"{pods}/db-0")["metadata"]["uid"]
        site.nodes("m5.large:us-east-1a=1", pool=namespace)
        site.local.stop_heartbeat(node)
        told = kube.until(
            read.services(namespace),
            lambda found: (
                read.condition(found["db"], "Ready").get("reason") == "PredecessorThere"
                and read.condition(found["db"], "Ready")["message"]
            ),
            within=90,
        )
        meanwhile = kube.listed(pods)
        site.local.resume_heartbeat(node)
        kube.until(
            pods,
            lambda found: "db-0" in read.running(found) and _uid(found) != first,
            within=90,
        )

    assert {"db-0"} == set(meanwhile)
    assert first == _uid(meanwhile)
    assert f"its pod on node {node}, which does not answer" in told


def _uid(found: Objects) -> str:
    return str(found["db-0"]["metadata"]["uid"])


def test_claims_go_when_that_is_asked_for(site: Site, namespace: str) -> None:
    """With a smaller size those beyond it, with the service all of them."""
    kube = site.kube
    site.nodes("m5.large:us-east-1a=1", pool=namespace)
    storage = Provisioner(kube, namespace)
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}

    def make(replicas: int) -> dict[str, Any]:
        return make_stateful(
            namespace,
            storage.storage_class,
            replicas=replicas,
            placement={},
            persistentVolumeClaimRetentionPolicy=policy,
        )

    with storage.serving():
        kube.apply(make(2))
        kube.until(read.services(namespace), available(2, "db"), within=90)
        kube.apply(make(1))
        kube.until(claims(namespace), lambda found: set(found) == {"data-db-0"}, within=60)
        kube.until(read.services(namespace), available(1, "db"), within=60)
        kube.delete(f"{read.services(namespace)}/db", {"propagationPolicy": "Background"})
        kube.until(claims(namespace), lambda found: not found, within=150)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rebalance": {"maxMovesPerHour": 1}}, "rebalance must be absent"),
        ({"scaleDown": {"order": "EmptiestFirst"}}, "scaleDown.order must be absent"),
        ({"volumeClaimTemplates": []}, "volumeClaimTemplates must stay as they are"),
        ({"double": True}, "names of volumeClaimTemplates must differ"),
        ({"bare": True}, "accessModes"),
    ],
)
def test_what_cannot_work_is_refused(
    site: Site, namespace: str, change: dict[str, Any], said: str
) -> None:
    """One sentence names the field and the remedy; the API server itself says it."""
    kube = site.kube
    kube.apply(make_stateful(namespace, "none", replicas=0))
    body = make_stateful(namespace, "none", replicas=0)
    [template] = body["spec"]["volumeClaimTemplates"]
    if change.pop("double", False):
        body["metadata"]["name"] = "other"
        body["spec"]["volumeClaimTemplates"] = [template, template]
    if change.pop("bare", False):
        body["metadata"]["name"] = "other"
        del template["spec"]["accessModes"]
    body["spec"].update(change)
    path = read.services(namespace)
    other = body["metadata"]["name"] == "other"
    with pytest.raises(RefusedError, match=said):
        kube.request(*(("POST", path) if other else ("PATCH", f"{path}/db")), body)
