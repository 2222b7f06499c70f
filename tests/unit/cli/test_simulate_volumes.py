"""`bayplan simulate` with volumes in its input: the operator's rules for them hold."""

from typing import Any

from tests.unit.cli.test_simulate import answer, node, run, workload

ZONE = "topology.kubernetes.io/zone"
MOUNTS = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


def claim(mode: str = "ReadWriteOnce", **spec: Any) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": [mode], **spec},
    }


def volume(zone: str) -> Any:
    here = {"key": ZONE, "operator": "In", "values": [zone]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    source = {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}
    spec = {"csi": source, "nodeAffinity": affinity}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": spec,
    }


def test_one_pod_at_a_time() -> None:
    """Of two replicas with a ReadWriteOncePod claim one is placed or bought for; it is told."""
    wanted = workload(replicas=2, volumes=MOUNTS)
    for nodes in ((node("a"), node("b")), ()):
        body = answer(*nodes, claim("ReadWriteOncePod"), wanted, code=1)

        assert (1, 1) == (body["placed"], body["unplaced"])
        assert "ReadWriteOncePod claim in use data" in str(body)


def test_pods_go_where_their_volume_is() -> None:
    """On nodes that are there, and on those that are bought."""
    wanted = workload(replicas=1, volumes=MOUNTS)
    given = (claim(volumeName="pv"), volume("us-east-1b"), wanted)
    away = node("a", **{ZONE: "us-east-1a"})

    assert "volume in another zone data" in str(answer(away, *given, code=1))

    zones = ("--zone", "us-east-1a", "--zone", "us-east-1b")
    bought = answer(*given, options=(*zones, "-o", "json"))
    assert (1, 0) == (bought["placed"], bought["unplaced"])


def test_claims_that_are_still_to_be_bound() -> None:
    """Absent ones, and those of classes that the manifests do not hold, may be anywhere."""
    wanted = workload(replicas=2, volumes=MOUNTS)
    for more in ((), (claim(),), (claim(storageClassName="gp3"),)):
        assert 2 == answer(node("a"), *more, wanted)["placed"]


def test_devices() -> None:
    """What Bayplan would refuse is told beforehand."""
    wanted = workload(replicas=1, resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}])

    assert "resourceClaims, which kube-scheduler alone can allocate" in str(
        answer(node("a"), wanted, code=1)
    )


def test_a_disk_named_in_place_is_once_on_a_node() -> None:
    """Two pods need two nodes, whether those are there or are bought."""
    disk = [{"name": "d", "awsElasticBlockStore": {"volumeID": "vol-1"}}]
    wanted = workload(replicas=2, volumes=disk)

    assert 1 == answer(node("a"), wanted, code=1)["placed"]
    assert 2 == answer(wanted)["newNodes"]


def test_a_volume_that_cannot_be_read() -> None:
    """One line names the file and the object."""
    result = run({**claim(), "spec": {"accessModes": 5}})

    assert 2 == result.exit_code
    assert "PersistentVolumeClaim data" in result.output
