"""Least privilege: the operator may do exactly what it does, judged by the API server's audit log.

One operator goes through what an operator goes through: runs, retries, a rollout, a scale-down, no
room, a takeover. Every call of its account is compared with the rights that the chart gives it. A
right without a call is either too much or rare, and each rare one has its reason here.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.provisioner import Provisioner, claims, make_claim, make_mounting
from tests.cluster.test_longservice import available
from tests.cluster.test_stateful import make_stateful
from tests.cluster.under_test import ACCOUNT, NAMESPACE, ROOT, Site

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it reads the audit log of a local cluster",
    ),
]

Right = tuple[str, str, str]  # API group, resource with its part, verb

PARTS = yaml.safe_load((ROOT / "charts/bayplan/files/rules.yaml").read_text())
RULES = [rule for part in PARTS.values() for rule in part]
LIVED = [rule for part, rules in PARTS.items() if part != "pools" for rule in rules]
_USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
_APPLIED = "a server-side apply that makes the object asks for it; it is logged as a patch"
_BLOCKING = "asked by the admission of owner references that block deletion, where that is on"
RARE: Mapping[Right, str] = {
    ("", "services", "create"): _APPLIED,
    ("apps", "controllerrevisions", "create"): _APPLIED,
    ("policy", "poddisruptionbudgets", "create"): _APPLIED,
    ("bayplan.dev", "batchjobs/finalizers", "update"): _BLOCKING,
    ("bayplan.dev", "longservices/finalizers", "update"): _BLOCKING,
    ("", "pods", "get"): "after a conflict, to see what is there",
    ("", "pods/eviction", "create"): "an instance moves off a node that is to be emptied",
    ("events.k8s.io", "events", "patch"): "an Event that happens again is counted",
    ("events.k8s.io", "events", "list"): "what keeps a pod that says nothing from starting",
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every call of the operator's account in one eventful life."""
    with Cluster.start(audit=True, node_monitor_grace_seconds=8) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("rights")).prepare()
        with site.operator():
            _live(site)
        with site.operator(identity="operator-1") as next_one:
            next_one.until_logged(" leading")
        return [one for one in local.audit_events() if one["user"]["username"] == _USER]


def test_nothing_is_missing(calls: list[dict[str, Any]]) -> None:
    """No call is forbidden, and each one is among the rights of the chart."""
    forbidden = [each for each in calls if each.get("responseStatus", {}).get("code") == 403]

    assert [] == [(each["verb"], each["requestURI"]) for each in forbidden]
    assert set() == used(calls) - granted()


def test_nothing_is_too_much(calls: list[dict[str, Any]]) -> None:
    """Each right is used, or it is rare and says why; what is said to be rare is still a right."""
    assert set() == granted() - used(calls) - RARE.keys()
    assert set() == RARE.keys() - granted()


def test_no_secrets_and_no_wildcards() -> None:
    """Nothing of the rights says "all", and none reaches for what others keep secret."""
    words = {word for rule in RULES for part in rule.values() for word in part}
    secret = {"secrets", "configmaps", "pods/exec", "pods/log", "serviceaccounts/token"}

    assert set() == {word for word in words if "*" in word} | (words & secret)
    assert {"apiGroups", "resources", "resourceNames", "verbs"} == {
        key for rule in RULES for key in rule
    }


def test_the_whole_cluster_is_only_read() -> None:
    """What an operator of one namespace may do outside of it: look."""
    verbs = {verb for rule in PARTS["cluster"] for verb in rule["verbs"]}

    assert {"get", "list", "watch"} == verbs


def granted() -> set[Right]:
    return {
        (group, resource, verb)
        for rule in LIVED
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(calls: list[dict[str, Any]]) -> set[Right]:
    """What was asked of resources; addresses such as /version are open to every account."""
    return set(_rights(calls))


def _rights(calls: list[dict[str, Any]]) -> Iterator[Right]:
    for each in calls:
        about = each.get("objectRef", {})
        if "resource" in about:
            part = f"/{about['subresource']}" if "subresource" in about else ""
            yield about.get("apiGroup", ""), about["resource"] + part, each["verb"]


def _live(site: Site) -> None:
    """What happens to an operator: each step is over when the next begins."""
    space = site.namespace()
    site.nodes("m5.large:us-east-1a=1", pool=space)
    pod = {"nodeSelector": {"pool": space}}
    none = {"successful": 0, "failed": 0}
    again = {"limit": 1, "delaySeconds": 1}
    service = {"ports": [{"name": "http", "port": 80}]}

    def web(**more: Any) -> dict[str, Any]:
        return make_service("web", space, **{"replicas": 2, "pod": pod, **more})

    site.kube.apply(
        make_job("good", space, seconds=1, history=none, pod=pod),
        make_job("bad", space, seconds=1, code=3, retryPolicy=again, history=none, pod=pod),
        web(service=service, revisionHistoryLimit=0),
    )
    site.kube.until(read.services(space), available(2))
    site.kube.until(
        read.jobs(space),
        lambda found: read.holds(found, "good", "Complete") and read.holds(found, "bad", "Failed"),
    )
    # A new revision; the old one, the Service and the budget of what is left go.
    site.kube.apply(web(replicas=1, cpu="150m", revisionHistoryLimit=0))
    site.kube.until(read.services(space), available(1), within=60)
    for path in _gone(space):
        site.kube.until(path, lambda found: len(found) <= 1 and "web" not in found, within=60)
    # A volume is made for the node of a pod.
    storage = Provisioner(site.kube, space)
    with storage.serving():
        site.kube.create(claims(space), make_claim("data", storage.storage_class))
        site.kube.create(read.pods(space), make_mounting("db", space, "data"))
        site.kube.until(read.pods(space), lambda found: "db" in read.running(found))
        # An instance with a volume of its own goes, and its data with it.
        policy = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}
        name, own = storage.storage_class, "data-db-0"
        site.kube.apply(make_stateful(space, name, replicas=1, placement={}, **policy))
        site.kube.until(read.services(space), available(1, "db"))
        site.kube.apply(make_stateful(space, name, replicas=0, placement={}, **policy))
        site.kube.until(claims(space), lambda found: own not in found)
    # No room, then room.
    site.kube.apply(make_service("big", space, replicas=1, cpu="6", pod=pod))
    site.kube.until(read.pods(space), _waits)
    site.nodes("m5.2xlarge:us-east-1a=1", pool=space)
    site.kube.until(read.services(space), available(1, "big"))


def _gone(space: str) -> tuple[str, ...]:
    return (
        f"/api/v1/namespaces/{space}/services",
        f"/apis/apps/v1/namespaces/{space}/controllerrevisions",
        f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets",
    )


def _waits(found: Objects) -> bool:
    return any(read.unschedulable(one) for one in found.values())
