"""`bayplan drain` on recorded objects: what stays because of its volume, and what goes."""

from typing import Any

import pytest

from tests.recorded import Recorded, make_node, run, told

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def pod(name: str = "db-0", **volume: Any) -> dict[str, Any]:
    """A pod of a StatefulSet on n1."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]},
        "spec": {"nodeName": "n1", "volumes": [{"name": "v", **volume}] if volume else []},
        "status": {"phase": "Running"},
    }


def mounting(claim: str, name: str = "db-0") -> dict[str, Any]:
    return pod(name, persistentVolumeClaim={"claimName": claim})


def storage(claim: str, *terms: Any) -> dict[str, Any]:
    """A claim and its volume, as answers of the API server."""
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": list(terms)}}} if terms else {}
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    return {
        f"GET {claims}/{claim}": {"metadata": {}, "spec": {"volumeName": f"pv-{claim}"}},
        f"GET /api/v1/persistentvolumes/pv-{claim}": {"metadata": {}, "spec": affinity},
    }


def labelled(key: str, *values: str, where: str = "matchExpressions") -> dict[str, Any]:
    return {where: [{"key": key, "operator": "In", "values": list(values)}]}


def cluster(*pods: Any, answers: Any = None, **more: Any) -> Recorded:
    node = make_node("n1", **{HOSTNAME: "n1.local", ZONE: "a", "topology.hostpath.csi/node": "n1"})
    return Recorded(node, *pods, answers=answers, **more)


def evictions(seen: Recorded) -> list[str]:
    return [path for _, path, _ in seen.written if path.endswith("/eviction")]


QUICK = ("drain", "n1", "--seconds", "5", "--move-seconds", "0", "--run-seconds", "0")

HERE = [
    labelled(HOSTNAME, "n1.local"),
    labelled("topology.hostpath.csi/node", "n1"),
    labelled("metadata.name", "n1", where="matchFields"),
]
ELSEWHERE_TOO = [
    (labelled(ZONE, "a"),),
    (labelled(HOSTNAME, "n1.local", "n2.local"),),
    (labelled(HOSTNAME, "n1.local"), labelled(HOSTNAME, "n2.local")),
    (),
]


@pytest.mark.parametrize("term", HERE)
def test_a_pod_whose_volume_is_here_only_stays_and_is_named(term: Any) -> None:
    """No eviction; the answer comes at once, with the claim and what to do; exit code 1."""
    seen = cluster(mounting("data-db-0"), answers=storage("data-db-0", term))
    text = run(seen, *QUICK, code=1).stdout

    assert [] == evictions(seen)
    assert "pod default/db-0 stays: the volume of its claim data-db-0 exists on this node" in text
    assert "--force evicts it" in text
    assert 0 == seen.passed


@pytest.mark.parametrize("terms", ELSEWHERE_TOO)
def test_a_volume_that_another_node_may_mount_holds_nothing(terms: Any) -> None:
    seen = cluster(mounting("data-db-0"), answers=storage("data-db-0", *terms))
    run(seen, *QUICK, code=1)

    assert evictions(seen)


def test_force_evicts_it_too() -> None:
    seen = cluster(mounting("data-db-0"), answers=storage("data-db-0", HERE[0]))
    run(seen, *QUICK, "--force", code=1)

    assert evictions(seen)


def test_the_others_go_and_a_claim_of_a_pod_of_its_own_counts() -> None:
    """An `ephemeral` volume's claim is POD-VOLUME; the pod without volumes is evicted."""
    ephemeral = pod("cache-0", ephemeral={"volumeClaimTemplate": {}})
    seen = cluster(ephemeral, pod("web-0"), answers=storage("cache-0-v", HERE[0]))
    found = told(seen, *QUICK, code=1)

    assert ["/api/v1/namespaces/default/pods/web-0/eviction"] == sorted(set(evictions(seen)))
    assert {"cache-0": True, "web-0": False} == {
        one["name"]: "cache-0-v" in one["reason"] for one in found["remaining"]
    }


def test_who_may_not_see_volumes_drains_as_before() -> None:
    refused = {"/api/v1/persistentvolumes": 403}
    seen = cluster(mounting("data-db-0"), answers=storage("data-db-0", HERE[0]), refuse=refused)
    run(seen, *QUICK, code=1)

    assert evictions(seen)
