"""LongService from apply to status on a real API server."""

import time
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

POD = {"nodeSelector": {"pool": "services"}}


@pytest.fixture(scope="module", autouse=True)
def nodes(site: Site) -> list[str]:
    return site.nodes("m5.xlarge:us-east-1a=2,m5.xlarge:us-east-1b=2", pool="services")


def available(count: int, name: str = "web") -> Any:
    """A question for `until`: the service has this many available instances and says Ready."""

    def met(found: Objects) -> Any:
        ready = read.holds(found, name, "Ready")
        counted = found.get(name, {}).get("status", {}).get("availableReplicas", 0) == count
        return ready and counted and found[name]

    return met


def drifted(count: int) -> Any:
    """A question for `until`: the status counts so many drifted instances."""

    def met(found: Objects) -> Any:
        return found["web"].get("status", {}).get("driftedReplicas") == count and found

    return met


def test_instances_are_packed_and_counted(site: Site, namespace: str) -> None:
    """Three instances that fit one node run on one node; the status counts them."""
    site.kube.apply(make_service("web", namespace, replicas=3, pod=POD))
    stored = site.kube.until(read.services(namespace), available(3))
    nodes = read.running(site.kube.listed(read.pods(namespace))).values()

    assert 1 == len(set(nodes))
    assert (3, 3, 3) == tuple(
        stored["status"][word] for word in ("replicas", "readyReplicas", "updatedReplicas")
    )


def test_kubectl_scale_reaches_both_ways(site: Site, namespace: str) -> None:
    """`kubectl scale` adds instances and takes the youngest away."""
    site.kube.apply(make_service("web", namespace, replicas=2, pod=POD))
    site.kube.until(read.services(namespace), available(2))
    first = set(read.running(site.kube.listed(read.pods(namespace))))
    site.kube.kubectl("scale", "longservice/web", "-n", namespace, "--replicas=5")
    site.kube.until(read.services(namespace), available(5))
    site.kube.kubectl("scale", "longservice/web", "-n", namespace, "--replicas=2")
    site.kube.until(read.services(namespace), available(2))
    left = site.kube.until(
        read.pods(namespace), lambda found: len(found) == 2 and set(read.running(found))
    )

    assert first == left


def test_the_emptiest_node_gets_free(site: Site, namespace: str) -> None:
    """`EmptiestFirst` leaves instances beside another workload, wherever the younger ones are."""
    nodes = site.nodes("m5.large:us-east-1a=1,m5.large:us-east-1b=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    here = {"nodeSelector": {"kubernetes.io/hostname": nodes[0]}}
    site.kube.apply(make_service("other", namespace, replicas=1, cpu="500m", pod=here))
    site.kube.until(read.services(namespace), available(1, "other"))
    apart = {"constraints": [{"key": "hostname", "operator": "MaxPer", "value": "2"}]}
    more = {"pod": pod, "placement": apart, "scaleDown": {"order": "EmptiestFirst"}}
    site.kube.apply(make_service("web", namespace, replicas=2, **more))
    site.kube.until(read.services(namespace), available(2))
    site.kube.apply(make_service("web", namespace, replicas=4, **more))
    site.kube.until(read.services(namespace), available(4))
    site.kube.apply(make_service("web", namespace, replicas=2, **more))
    site.kube.until(read.services(namespace), available(2))
    left = site.kube.until(read.pods(namespace), lambda found: len(found) == 3 and found)

    assert {nodes[0]} == set(read.running(left).values())


def test_edited_constraints_move_whom_they_ask_to(site: Site, namespace: str) -> None:
    """Packed instances are counted after an edit, then moved to other hosts, all four ready."""
    site.nodes("m5.large:us-east-1a=4", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    web: dict[str, Any] = {"replicas": 4, "cpu": "50m", "pod": pod}
    site.kube.apply(make_service("web", namespace, **web))
    site.kube.until(read.services(namespace), available(4))
    web["placement"] = {"constraints": [{"key": "hostname", "operator": "Unique"}]}
    site.kube.apply(make_service("web", namespace, **web))
    site.kube.until(read.services(namespace), drifted(3))
    before = read.running(site.kube.listed(read.pods(namespace)))
    fewest = []

    def apart(found: Objects) -> bool:
        nodes = read.running(found)
        fewest.append(len(nodes))
        return len(found) == len(nodes) == len(set(nodes.values())) == 4

    site.kube.apply(make_service("web", namespace, rebalance={"maxMovesPerHour": 3}, **web))
    site.kube.until(read.pods(namespace), apart)
    after = read.running(site.kube.listed(read.pods(namespace)))
    stored = site.kube.until(read.services(namespace), drifted(0))

    assert 1 == len(set(before.values()))
    assert 1 == len(before.keys() & after.keys())
    assert 4 == min(fewest)
    assert 3 == len(stored["web"]["status"]["recentMoves"])


def test_an_update_never_goes_below_its_minimum(site: Site, namespace: str) -> None:
    """At 100/25 a template change replaces four instances with at least 4 ready and at most 5."""
    site.kube.apply(make_service("web", namespace, replicas=4, ready_delay="1s", pod=POD))
    site.kube.until(read.services(namespace), available(4))
    before = set(site.kube.listed(read.pods(namespace)))
    seen: list[tuple[int, int]] = []

    def replaced(found: Objects) -> bool:
        alive = [pod for pod in found.values() if "deletionTimestamp" not in pod["metadata"]]
        seen.append((len(read.running(found)), len(alive)))
        return not before & found.keys() and len(read.running(found)) == 4

    site.kube.apply(
        make_service("web", namespace, replicas=4, ready_delay="1s", cpu="150m", pod=POD)
    )
    site.kube.until(read.pods(namespace), replaced, within=60)

    assert 4 <= min(ready for ready, _ in seen), seen
    assert 5 >= max(alive for _, alive in seen)


def test_an_edit_outside_the_template_restarts_nothing(site: Site, namespace: str) -> None:
    """Changing a strategy leaves every instance as it is."""
    site.kube.apply(make_service("web", namespace, replicas=2, pod=POD))
    site.kube.until(read.services(namespace), available(2))
    before = {
        name: pod["metadata"]["uid"] for name, pod in site.kube.listed(read.pods(namespace)).items()
    }
    strategy = {"minimumHealthyPercent": 50, "maximumSurgePercent": 50}
    site.kube.apply(make_service("web", namespace, replicas=2, updateStrategy=strategy, pod=POD))
    site.kube.until(read.services(namespace), available(2))
    after = {
        name: pod["metadata"]["uid"] for name, pod in site.kube.listed(read.pods(namespace)).items()
    }

    assert before == after


def test_children_follow_the_spec(site: Site, namespace: str) -> None:
    """A Service and one PodDisruptionBudget come with the spec and go with it."""
    ports = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    site.kube.apply(make_service("web", namespace, replicas=3, service=ports, pod=POD))
    site.kube.until(read.services(namespace), available(3))
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    services = f"/api/v1/namespaces/{namespace}/services"
    budget = site.kube.until(budgets, lambda found: found.get("web"))
    service = site.kube.until(services, lambda found: found.get("web"))
    site.kube.apply(make_service("web", namespace, replicas=3, disruptionBudget="None", pod=POD))
    site.kube.until(budgets, lambda found: "web" not in found)
    site.kube.until(services, lambda found: "web" not in found)

    assert 2 == budget["spec"]["minAvailable"]
    assert {"bayplan.dev/service": "web"} == service["spec"]["selector"]


def test_foreground_deletion_ends_in_mid_rollout(site: Site, namespace: str) -> None:
    """`kubectl delete --cascade=foreground` in the middle of a rollout ends within a minute."""
    site.kube.apply(make_service("web", namespace, replicas=6, ready_delay="2s", pod=POD))
    site.kube.until(read.services(namespace), available(6))
    site.kube.apply(
        make_service("web", namespace, replicas=6, ready_delay="2s", cpu="150m", pod=POD)
    )
    site.kube.until(read.pods(namespace), lambda found: len(found) > 6)
    began = time.monotonic()
    site.kube.kubectl(
        *("delete", "longservice", "web", "-n", namespace, "--cascade=foreground", "--timeout=60s")
    )

    assert 60 > time.monotonic() - began
    assert not site.kube.listed(read.pods(namespace))


def test_a_missing_service_account_is_told_and_heals(site: Site, namespace: str) -> None:
    """Without its ServiceAccount a service is `TemplateRefused`; it starts when that is made."""
    pod = {**POD, "serviceAccountName": "later"}
    site.kube.apply(make_service("web", namespace, replicas=1, pod=pod))
    refused = site.kube.until(
        read.services(namespace),
        lambda found: (
            read.condition(found["web"], "Ready").get("reason") == "TemplateRefused"
            and found["web"]
        ),
    )
    account = {"metadata": {"name": "later"}}
    site.kube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    site.kube.until(read.services(namespace), available(1), within=45)

    assert "False" == read.condition(refused, "Ready")["status"]
    assert "later" in read.condition(refused, "Ready")["message"]
    assert {} == read.condition(refused, "Stalled")


def test_a_used_up_quota_is_told_and_heals(site: Site, namespace: str) -> None:
    """A quota that is used up stops new pods with its name; raising it lets them go on."""
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    site.kube.create(quotas, quota)
    site.kube.until(quotas, lambda found: found["few"].get("status", {}).get("hard"))
    site.kube.apply(make_service("web", namespace, replicas=4, pod=POD))
    told = site.kube.until(
        read.services(namespace),
        lambda found: (
            read.condition(found["web"], "Ready").get("reason") == "QuotaExceeded" and found["web"]
        ),
    )
    site.kube.patch(f"{quotas}/few", {"spec": {"hard": {"pods": "10"}}})
    site.kube.until(read.services(namespace), available(4), within=45)

    assert "few" in read.condition(told, "Ready")["message"]


def test_a_limit_range_counts_in_the_plan(site: Site, namespace: str) -> None:
    """What a LimitRange adds to a pod is in `effectiveRequests`, so the plan counts it."""
    limits = {"type": "Container", "defaultRequest": {"ephemeral-storage": "1Gi"}}
    site.kube.create(
        f"/api/v1/namespaces/{namespace}/limitranges",
        {"metadata": {"name": "defaults"}, "spec": {"limits": [limits]}},
    )
    site.kube.apply(make_service("web", namespace, replicas=1, pod=POD))
    stored = site.kube.until(read.services(namespace), available(1))

    assert "1Gi" == stored["status"]["effectiveRequests"]["requests"]["ephemeral-storage"]


def test_a_field_that_no_pod_has_is_told_of(site: Site, namespace: str) -> None:
    """Once, by an Event and in the status; the service runs without it."""
    site.kube.apply(make_service("web", namespace, replicas=1, pod={**POD, "hostNetwrk": True}))
    stored = site.kube.until(read.services(namespace), available(1))
    told = site.kube.until(
        read.events(namespace),
        lambda found: [one for one in found.values() if one["reason"] == "UnknownField"],
    )

    assert ["spec.template.spec.hostNetwrk"] == stored["status"]["effectiveRequests"][
        "unknownFields"
    ]
    assert [("Warning", "web")] == [(one["type"], one["regarding"]["name"]) for one in told]
