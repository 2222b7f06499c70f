"""What the API server says of volumes and of how many a node may attach."""

from bayplan.cluster.volumes import CsiNode, Volume
from bayplan.model import requirements
from tests.unit.cluster.written import seen


def test_volumes() -> None:
    """A volume's node affinity, driver, handle; an old EBS volume counts under its CSI driver."""
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    csi = seen(
        "PersistentVolume",
        {
            "metadata": {"name": "v"},
            "spec": {
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        },
    )
    old = seen(
        "PersistentVolume",
        {"metadata": {"name": "w"}, "spec": {"awsElasticBlockStore": {"volumeID": "vol-2"}}},
    )
    zone_a = requirements.Term((("zone", requirements.requirement("In", ["a"])),))

    assert Volume((zone_a,), "ebs.csi.aws.com", "vol-1") == csi
    plugin = "kubernetes.io/aws-ebs"
    assert Volume((), "ebs.csi.aws.com", "vol-2", csi=False, plugin=plugin) == old


def test_limits_of_attachment() -> None:
    """Only drivers that state a limit have one."""
    drivers = [
        {"name": "a", "allocatable": {"count": 25}},
        {"name": "b"},
        {"name": "c", "allocatable": {}},
    ]

    moved = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}
    metadata = {"name": "n", "annotations": moved}
    told = CsiNode({"a": 25}, frozenset({"kubernetes.io/aws-ebs"}))

    assert told == seen("CSINode", {"metadata": metadata, "spec": {"drivers": drivers}})
