"""Updates that get no further: a full quota, instances that do not get ready. A real API server."""

from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.cluster.provisioner import Provisioner
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

NEXT = {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}


def limited(site: Site, namespace: str, **hard: str) -> None:
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    site.kube.create(quotas, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    site.kube.until(quotas, lambda found: found["few"].get("status", {}).get("hard"))


def updated(count: int) -> Any:
    """Whether all instances have the newest template and are available."""

    def told(found: Objects) -> bool:
        status = found.get("web", {}).get("status", {})
        same = status.get("currentRevision") == status.get("updateRevision")
        return same and status.get("updatedReplicas") == count and read.holds(found, "web", "Ready")

    return told


@pytest.mark.parametrize(
    ("spec", "hard"),
    [
        (
            {
                "replicas": 4,
                "updateStrategy": {"minimumHealthyPercent": 50, "maximumSurgePercent": 0},
            },
            {"requests.cpu": "400m"},
        ),
        ({"mode": "PerNode"}, {"pods": "2"}),
    ],
)
def test_an_update_frees_its_own_quota(
    site: Site, namespace: str, spec: dict[str, Any], hard: dict[str, str]
) -> None:
    """It ends, though the quota was full when it began."""
    frees_its_quota(site, namespace, spec, hard)


def test_an_update_with_volumes_frees_its_own_quota(site: Site, namespace: str) -> None:
    storage = Provisioner(site.kube, namespace)
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage.storage_class,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    spec = {"replicas": 2, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}]}
    with storage.serving():
        frees_its_quota(site, namespace, spec, {"requests.cpu": "200m"})


def frees_its_quota(site: Site, namespace: str, spec: dict[str, Any], hard: dict[str, str]) -> None:
    count = spec.get("replicas", 2)
    site.nodes("m5.large:us-east-1a=2", pool=namespace)
    limited(site, namespace, **hard)
    services = read.services(namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, pod=pod, **spec))
    first = site.kube.until(services, available(count), within=60)
    site.kube.patch(f"{services}/web", NEXT)

    def moved(found: Objects) -> bool:
        status = found["web"]["status"]
        return updated(count)(found) and status["currentRevision"] != current

    current = first["status"]["currentRevision"]
    site.kube.until(services, moved, within=90)


def test_where_nobody_may_go_the_deadline_says_so(site: Site, namespace: str) -> None:
    """All have to stay healthy, and the quota has no room for one more."""
    site.nodes("m5.large:us-east-1a=1", pool=namespace)
    limited(site, namespace, **{"requests.cpu": "200m"})
    services = read.services(namespace)
    rules = {"progressDeadlineSeconds": 5, "autoRollback": False}
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, replicas=2, pod=pod, updateStrategy=rules))
    site.kube.until(services, available(2), within=60)
    site.kube.patch(f"{services}/web", NEXT)
    told = site.kube.until(
        services,
        lambda found: (
            read.condition(found["web"], "Progressing").get("reason") == "ProgressDeadlineExceeded"
            and read.condition(found["web"], "Progressing")
        ),
        within=60,
    )

    assert "False" == told["status"]
    assert "exceeded quota: few" in told["message"]
    assert 2 == len(read.running(site.kube.listed(read.pods(namespace))))


@pytest.mark.parametrize("at_once", [False, True])
def test_growth_goes_to_the_revision_that_works(
    site: Site, namespace: str, *, at_once: bool
) -> None:
    """As many are available as of a Deployment; once the new template works all have it."""
    site.nodes("m5.large:us-east-1a=1", pool=namespace)
    services = read.services(namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, replicas=4, cpu="50m", pod=pod))
    site.kube.until(services, available(4), within=60)
    never = {"template": {"metadata": {"annotations": {"sim.bayplan.dev/ready": "false"}}}}
    if not at_once:
        site.kube.patch(f"{services}/web", {"spec": never})
        site.kube.until(
            services, lambda found: found["web"]["status"].get("updatedReplicas") == 1, within=60
        )
        never = {}
    site.kube.patch(f"{services}/web", {"spec": {"replicas": 8, **never}})
    site.kube.until(
        services, lambda found: found["web"]["status"].get("availableReplicas") == 8, within=120
    )
    mended = {"template": {"metadata": {"annotations": {"sim.bayplan.dev/ready": None}}}}
    site.kube.patch(f"{services}/web", {"spec": mended})
    site.kube.until(services, updated(8), within=120)
