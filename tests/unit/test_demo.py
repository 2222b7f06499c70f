"""What the demo changes in the example, and what it counts: without a cluster."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bayplan.api import batchjob, longservice
from tools.demo import company, picture, poster, rival

MANIFESTS = {one["metadata"]["name"]: one for one in company.manifests()}
SPECS = {"BatchJob": batchjob.BatchJobSpec, "LongService": longservice.LongServiceSpec}


def make_stored_node(name: str, instance_type: str = "m5.xlarge", **labels: str) -> dict[str, Any]:
    kind = {"node.kubernetes.io/instance-type": instance_type}
    allocatable = {"cpu": "4", "memory": "16Gi", "pods": "50"}
    return {
        "metadata": {"name": name, "labels": kind | labels},
        "status": {"allocatable": allocatable},
    }


def make_stored_pod(node: str = "", phase: str = "Running", **requests: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "resources": {"requests": requests}}]}
    placed = {"nodeName": node} if node else {}
    return {"metadata": {"name": "p"}, "spec": spec | placed, "status": {"phase": phase}}


@pytest.mark.parametrize("name", sorted(MANIFESTS.keys() - {company.NAMESPACE}))
def test_the_example_is_for_eks(name: str) -> None:
    """Every manifest has an image that any cluster can pull, and nothing of the demo in it."""
    [container] = MANIFESTS[name]["spec"]["template"]["spec"]["containers"]

    assert "busybox:1.36" == container["image"]
    assert "sim.bayplan.dev" not in str(MANIFESTS[name])


@pytest.mark.parametrize("real_nodes", [True, False])
@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_what_is_adapted_asks_for_the_same(name: str, *, real_nodes: bool) -> None:
    """The demo changes where and how a pod can run, not what it asks for, nor the manifest read."""
    before = str(MANIFESTS[name])
    body = company.adapted(MANIFESTS[name], real_nodes=real_nodes)

    assert before == str(MANIFESTS[name])
    if body["kind"] in SPECS:
        assert SPECS[body["kind"]].model_validate(body["spec"])
        pods = [one["spec"]["template"] for one in (body, MANIFESTS[name])]
        assert picture.request(pods[1]) == picture.request(pods[0])
        assert 1 == len(pods[0]["spec"]["nodeSelector"])


def test_a_real_node_gets_no_played_duration() -> None:
    """What goes to a real node ends by itself; without those the run's end is played."""
    real, fake = (
        company.adapted(MANIFESTS["report"], real_nodes=each)["spec"]["template"]
        for each in (True, False)
    )

    assert "metadata" not in real
    assert "tolerations" not in real["spec"]
    assert {"sim.bayplan.dev/duration": "12000ms"} == fake["metadata"]["annotations"]


def test_the_chain_and_the_report_are_in_the_example() -> None:
    """What the demo asks to run is there, and no crawler among it."""
    asked = {*company.CHAIN, *company.ASKED_AT_ONCE}

    assert asked <= MANIFESTS.keys()
    assert 36 == sum(company.is_crawler(one) for one in MANIFESTS.values())
    assert not any(company.is_crawler(MANIFESTS[name]) for name in asked)


def test_fill_counts_what_has_not_ended() -> None:
    """A node is filled by the requests of its pods that have not ended; others count nowhere."""
    pods = [
        make_stored_pod("a", cpu="1500m", memory="4Gi"),
        make_stored_pod("a", "Pending", cpu="500m", memory="4Gi"),
        make_stored_pod("a", "Succeeded", cpu="2", memory="8Gi"),
        make_stored_pod("", "Pending", cpu="2", memory="8Gi"),
    ]
    nodes = picture.nodes([make_stored_node("b"), make_stored_node("a")], pods)
    [used] = picture.used(nodes)

    assert {"cpu": 2000, "memory": 8 << 30, "pods": 2} == used.requested
    assert (50, 50, 4) == tuple(picture.percent(name, [used]) for name in picture.RESOURCES)
    assert (25, 25) == tuple(picture.percent(name, nodes) for name in ("cpu", "memory"))
    assert 1 == picture.unplaced(pods)


def test_money_is_exact_and_names_its_source() -> None:
    """A node's own price counts before any estimate; cents are rounded half up."""
    price = {"eks-node-viewer/instance-price": "0.192"}
    nodes = picture.nodes([make_stored_node("a", **price)], [])

    assert 192_000 == picture.microdollars_per_hour(nodes)
    assert ["node label eks-node-viewer/instance-price"] == picture.price_sources(nodes)
    assert ["$0.00", "$0.19", "$0.20", "$12.35"] == [
        picture.dollars(each) for each in (0, 192_000, 195_000, 12_345_000)
    ]


def make_stored_job(status: Mapping[str, Any], **notes: str) -> dict[str, Any]:
    return {"metadata": {"name": "j", "annotations": notes}, "status": status}


def test_an_asked_run_is_the_one_of_its_token() -> None:
    """A run that was asked for is found by its token, once it has finished and not before."""
    done = {"run": "r1", "outcome": "Succeeded"}
    notes = {"bayplan.dev/run-now": "now"}
    asked = {"handledTokens": ["r1"], "history": [{"run": "s1", "outcome": "Failed"}, done]}

    assert done == picture.asked_run(make_stored_job(asked, **notes), "now")
    for status in ({}, {"handledTokens": ["r1"]}, {"history": [done]}):
        assert picture.asked_run(make_stored_job(status, **notes), "now") is None
    assert picture.asked_run(make_stored_job(asked), "now") is None


def test_exit_codes_are_those_of_ended_attempts() -> None:
    """Each attempt of a run tells its own exit code, once its container has ended."""
    pods = []
    for attempt, state in enumerate(({"terminated": {"exitCode": 7}}, {"running": {}})):
        pod = make_stored_pod("a")
        pod["metadata"]["labels"] = {
            "bayplan.dev/job": "j",
            "bayplan.dev/run": "r1",
            "bayplan.dev/attempt": str(attempt),
        }
        pod["status"]["containerStatuses"] = [{"state": state}]
        pods.append(pod)

    assert {("j", "r1"): {0: 7}} == picture.exit_codes(pods)


def test_the_rival_gets_the_same_pod_without_a_node() -> None:
    """The copy asks for the same on the same nodes, and has neither a node nor an owner."""
    pod = make_stored_pod("a", cpu="1", memory="1Gi")
    pod["metadata"] |= {"ownerReferences": [{}], "finalizers": ["x"], "uid": "u"}
    pod["spec"] |= {"schedulerName": "bayplan", "nodeSelector": {"a": "b"}, "priority": 0}
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "token"}]
    copy = rival.anew(pod)

    assert picture.request(pod) == picture.request(copy)
    assert {"containers", "nodeSelector"} == copy["spec"].keys()
    assert {"name", "labels"} == copy["metadata"].keys()
    assert "volumeMounts" not in copy["spec"]["containers"][0]


def test_the_picture_shows_each_node_and_both_sums() -> None:
    """A box for each node on both sides; what is used and what it costs is told in words."""
    price = {"eks-node-viewer/instance-price": "0.5"}
    stored = [make_stored_node(name, **price) for name in ("a", "b", "c")]
    ours = picture.nodes(stored, [make_stored_pod("a", cpu="3", memory="1Gi")])
    theirs = picture.nodes(stored, [make_stored_pod(name, cpu="1") for name in ("a", "b", "c")])
    drawn = poster.drawn(ours, theirs, 3)
    root = ET.fromstring(drawn)  # noqa: S314  our own text
    said = [one.text for one in root.iter() if one.tag.endswith("}text")]

    assert "The same 3 pods on the same 3 nodes" in said
    assert {"1 of 3 nodes, $0.50 an hour", "3 of 3 nodes, $1.50 an hour"} <= set(said)
    assert 6 == sum(one.tag.endswith("}g") for one in root)
    assert "a, m5.xlarge: 75 % of its CPU" in drawn
