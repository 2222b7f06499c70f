"""What kube-scheduler's volume plugins refuse: decoded, kept and solved as in a cluster.

Expected answers are those of VolumeRestrictions, VolumeZone, NodeVolumeLimits, VolumeBinding and
DynamicResources (kubernetes 1.34, pkg/scheduler/framework/plugins).
"""

from typing import Any

import pytest

from bayplan.model import wording
from bayplan.model.reasons import Reason
from tests import clusters
from tests.clusters import body, cached, mounting, node, placed, planned, pod, see, why

ZONE = "topology.kubernetes.io/zone"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
EBS = "ebs.csi.aws.com"


def claim(name: str = "c", mode: str = "ReadWriteOnce", volume: str = "", **metadata: Any) -> Any:
    """Bound to a volume if one is named, else waiting for one of the class `lazy`."""
    spec = {"accessModes": [mode], "storageClassName": "lazy", "volumeName": volume or None}
    about = {"namespace": "default", **metadata}
    phase = "Bound" if volume else "Pending"
    return body("PersistentVolumeClaim", name, metadata=about, spec=spec, status={"phase": phase})


def volume(name: str = "pv", handle: str = "vol-1", **more: Any) -> Any:
    labels = more.pop("labels", {})
    spec = {"csi": {"driver": EBS, "volumeHandle": handle}, **more}
    return body("PersistentVolume", name, metadata={"labels": labels}, spec=spec)


def csi_node(name: str, count: int | None, driver: str = EBS) -> Any:
    allocatable = None if count is None else {"count": count}
    return body("CSINode", name, spec={"drivers": [{"name": driver, "allocatable": allocatable}]})


LAZY = body("StorageClass", "lazy", provisioner=EBS, volumeBindingMode="WaitForFirstConsumer")
SOLE = (claim("c", "ReadWriteOncePod", "pv"), volume())


def ebs(handle: str) -> list[Any]:
    return [{"name": "d", "awsElasticBlockStore": {"volumeID": handle}}]


class TestOnePodAtATime:
    """ReadWriteOncePod: a claim that another pod uses, wherever, keeps a pod waiting."""

    @pytest.mark.parametrize(
        "user",
        [
            pod("user", "n1", volumes=mounting("c")),
            pod("user", "n1", volumes=mounting("c"), schedulerName="default-scheduler"),
            pod("user", "n-other", volumes=mounting("c")),
            pod(
                "user",
                "n1",
                volumes=mounting("c"),
                metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
            ),
        ],
        ids=["ours", "foreign", "elsewhere", "terminating"],
    )
    def test_in_use(self, user: Any) -> None:
        """By ours, by others', on a node that is not ours, and until it is gone."""
        waits = pod("p", volumes=mounting("c"))
        cache = cached(node("n1"), node("n2"), node("n-other"), *SOLE, user, waits)
        cache.state.eligible = lambda node: node.name != "n-other"
        [refused] = planned(cache).refused
        said = wording.sentence(refused.funnel)

        assert "0/2 nodes: 2 ReadWriteOncePod claim in use c by pod user" == said.split(";")[0]

    def test_free_again(self) -> None:
        """A pod that has ended, one of another namespace, one on a node that is gone: no user."""
        ended = pod("ended", "n1", volumes=mounting("c"), status={"phase": "Succeeded"})
        lost = pod("lost", "n-gone", volumes=mounting("c"))
        other = pod("other", "n1", volumes=mounting("c"), metadata={"namespace": "else"})

        assert {"p": "n1"} == placed(
            node("n1"), *SOLE, ended, other, lost, pod("p", volumes=mounting("c"))
        )

    @pytest.mark.parametrize("labels", [{}, {"app": "other"}], ids=["alike", "another class"])
    def test_two_that_wait(self, labels: dict[str, str]) -> None:
        """One of them is placed, the other is told why not."""
        waiting = [
            pod("p", volumes=mounting("c")),
            pod("q", volumes=mounting("c"), metadata={"labels": labels}),
        ]
        plan = planned(cached(node("n1"), node("n2"), *SOLE, *waiting))
        [refused] = plan.refused

        assert (1, 1) == (len(plan.placements), len(refused.keys))
        assert {Reason.VOLUME_IN_USE} == {one.reason for one in refused.funnel.refusals}
        assert 2 == sum(one.nodes for one in refused.funnel.refusals)

    def test_claims_that_may_be_shared(self) -> None:
        """ReadWriteOnce is of one node, not of one pod: the scheduler does not look at it."""
        shared = (claim("c", "ReadWriteOnce", "pv"), volume())
        user = pod("user", "n1", volumes=mounting("c"))

        assert {"p"} == placed(node("n1"), *shared, user, pod("p", volumes=mounting("c"))).keys()

    def test_before_its_volume_is_made(self) -> None:
        """A claim that waits for its first consumer gets one."""
        waiting = [pod(name, volumes=mounting("c")) for name in ("p", "q")]

        assert 1 == len(placed(node("n1"), LAZY, claim("c", "ReadWriteOncePod"), *waiting))


class TestOneNodeFirst:
    """While a claim's volume is still to be made, all who share it go where the first goes."""

    @pytest.mark.parametrize("labels", [{}, {"app": "other"}], ids=["alike", "another class"])
    def test_shared(self, labels: dict[str, str]) -> None:
        """The one that finds no room there waits for the volume, which may be used elsewhere."""
        large = [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]
        waiting = [
            pod("p", volumes=mounting("c"), containers=large),
            pod("q", volumes=mounting("c"), containers=large, metadata={"labels": labels}),
        ]
        plan = planned(cached(node("n1"), node("n2"), LAZY, claim(), *waiting))
        [refused] = plan.refused

        assert 1 == len(plan.placements)
        assert Reason.VOLUME_NODE in {one.reason for one in refused.funnel.refusals}

        small = [pod(name, volumes=mounting("c")) for name in "pqr"]
        assert 1 == len(set(placed(node("n1"), node("n2"), LAZY, claim(), *small).values()))


def test_a_volume_made_for_a_node_that_is_not_ours() -> None:
    """Its pod waits for it: where it can be mounted shows when it is made."""
    chosen = claim(annotations={"volume.kubernetes.io/selected-node": "n2"})
    cache = cached(node("n1"), node("n2"), LAZY, chosen, pod("p", volumes=mounting("c")))
    cache.state.eligible = lambda node: node.name == "n1"
    [refused] = planned(cache).refused

    assert "volume being made for another node c" in wording.sentence(refused.funnel)


class TestZones:
    """A volume's zone and region labels hold where it has no node affinity."""

    @pytest.mark.parametrize(
        ("of_volume", "of_node", "fits"),
        [
            ({ZONE: "z1"}, {ZONE: "z1"}, True),
            ({ZONE: "z1"}, {ZONE: "z2"}, False),
            ({ZONE: "z1__z2"}, {ZONE: "z2"}, True),
            ({ZONE: "z1"}, {}, True),
            ({ZONE: "z1"}, {OLD_ZONE: "z1"}, False),
            ({OLD_ZONE: "z1"}, {OLD_ZONE: "z1"}, True),
            ({OLD_ZONE: "z1"}, {ZONE: "z1"}, True),
            ({OLD_ZONE: "z1"}, {ZONE: "z2"}, False),
            ({ZONE: "z1", "topology.kubernetes.io/region": "r2"}, {ZONE: "z1"}, False),
            ({ZONE: "z1__"}, {ZONE: "z2"}, True),
        ],
    )
    def test_labels(self, of_volume: dict[str, str], of_node: dict[str, str], fits: bool) -> None:
        """Values are joined by `__`, old labels match new ones, a node without any will do."""
        disk = volume(labels=of_volume, csi=None, awsElasticBlockStore={"volumeID": "vol-1"})
        given = (node("n1", of_node), claim("c", volume="pv"), disk)

        assert fits == bool(placed(*given, pod("p", volumes=mounting("c"))))
        said = why(*given, pod("p", volumes=mounting("c")))
        assert ("" if fits else "0/1 nodes: 1 volume in another zone c") == said.split(";")[0]


class TestMovedPlugins:
    """On a node whose plug-in a CSI driver has taken over, zones are told by the driver's label."""

    OURS = "topology.ebs.csi.aws.com/zone"

    @pytest.mark.parametrize("by_label", [True, False])
    @pytest.mark.parametrize("key", [ZONE, OLD_ZONE])
    @pytest.mark.parametrize(
        ("of_node", "says_so", "fits"),
        [
            ({OURS: "z1"}, True, True),
            ({OURS: "z2"}, True, False),
            ({}, True, False),
            ({OURS: "z2"}, False, True),
        ],
    )
    def test_zones(
        self, by_label: bool, key: str, of_node: dict[str, str], says_so: bool, fits: bool
    ) -> None:
        """Whether a label or the node affinity has the zone, by its old name or the present one."""
        here = {"key": key, "operator": "In", "values": ["z1"]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
        where: dict[str, Any] = {"labels": {key: "z1"}} if by_label else {"nodeAffinity": affinity}
        disk = volume(csi=None, awsElasticBlockStore={"volumeID": "vol-1"}, **where)
        told = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}
        known = csi_node("n1", None)
        known["metadata"]["annotations"] = told if says_so else {}
        given = (node("n1", {key: "z1", **of_node}), known, claim("c", volume="pv"), disk)

        assert fits == bool(placed(*given, pod("p", volumes=mounting("c"))))

    def test_without_a_zone(self) -> None:
        """Such a volume may go anywhere, and other node affinity holds as it is."""
        told = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}
        known = csi_node("n1", None)
        known["metadata"]["annotations"] = told
        there = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [there]}]}}
        for where, fits in (({}, True), ({"nodeAffinity": affinity}, False)):
            disk = volume(csi=None, awsElasticBlockStore={"volumeID": "vol-1"}, **where)
            given = (node("n1"), known, claim("c", volume="pv"), disk)

            assert fits == bool(placed(*given, pod("p", volumes=mounting("c"))))


class TestAttached:
    """A driver's limit on a node counts volumes, whoever holds them there."""

    def attachment(self, volume: str, node: str = "n1", driver: str = EBS) -> Any:
        source = {"persistentVolumeName": volume}
        spec = {"attacher": driver, "nodeName": node, "source": source}
        return body("VolumeAttachment", f"at-{volume}-{node}", spec=spec)

    def given(self, *more: Any, limit: int = 1) -> list[Any]:
        """A node, a claim `c` to place, and `old`: a volume whose pod has gone."""
        return [
            node("n1"),
            csi_node("n1", limit),
            claim("c", volume="pv"),
            volume(),
            volume("old", "vol-0"),
            *more,
        ]

    def test_still_attached(self) -> None:
        """What is attached counts although no pod mounts it, in whatever order it is seen."""
        wanted = pod("p", volumes=mounting("c"))
        given = self.given(self.attachment("old"))

        assert "0/1 nodes: 1 no more volumes attachable ebs.csi.aws.com" in why(*given, wanted)
        assert {} == placed(*reversed(given), wanted)

    def test_detached_is_room(self) -> None:
        """Once it has been detached the pod is placed; a volume that goes counts no more either."""
        wanted = pod("p", volumes=mounting("c"))
        for kind, name in (("VolumeAttachment", "at-old-n1"), ("PersistentVolume", "old")):
            cache = cached(*self.given(self.attachment("old"), wanted))
            cache.delete(kind, ("", name), "", 99)

            assert {("default", "p"): "n1"} == planned(cache).placements

    def test_not_counted(self) -> None:
        """Another node's, another driver's, one without a known volume."""
        for one in (
            self.attachment("old", "n2"),
            self.attachment("old", driver="other"),
            self.attachment("unknown"),
        ):
            assert {"p"} == placed(*self.given(one), pod("p", volumes=mounting("c"))).keys()

    def test_its_own_volume_counts_beside_it(self) -> None:
        """As in kube-scheduler: what no pod mounts any more may be detached at any moment."""
        for limit, fits in ((1, False), (2, True)):
            given = self.given(self.attachment("pv"), limit=limit)

            assert fits == bool(placed(*given, pod("p", volumes=mounting("c"))))

    def test_counted_once(self) -> None:
        """What a pod there mounts and is attached takes one place."""
        user = pod("user", "n1", volumes=mounting("used"))
        used = claim("used", volume="old")
        given = self.given(self.attachment("old"), used, user, limit=2)

        assert {"p"} == placed(*given, pod("p", volumes=mounting("c"))).keys()

    def test_a_claim_that_is_going_still_counts(self) -> None:
        """A claim in use that is being deleted stays until its pod has gone."""
        user = pod("user", "n1", volumes=mounting("used"))
        used = claim("used", volume="old", deletionTimestamp="2026-01-01T00:00:00Z")

        assert {} == placed(*self.given(used, user), pod("p", volumes=mounting("c")))

    def test_a_volume_that_nobody_knows_counts_by_its_class(self) -> None:
        """A claim in use whose PersistentVolume is gone still has something attached."""
        user = pod("user", "n1", volumes=mounting("used"))
        eager = body("StorageClass", "lazy", provisioner=EBS, volumeBindingMode="Immediate")
        for storage, used in (
            (LAZY, claim("used", volume="gone")),
            (eager, claim("used")),
        ):
            given = self.given(storage, used, user)

            assert {} == placed(*given, pod("p", volumes=mounting("c")))

    def test_what_landed_counts(self) -> None:
        """Two that wait for one place each do not both get the last one."""
        given = self.given(claim("d", volume="old"))
        waiting = [pod("p", volumes=mounting("c")), pod("q", volumes=mounting("d"))]

        assert 1 == len(placed(*given, *waiting))

    @pytest.mark.parametrize(
        ("driver", "disk"),
        [
            (EBS, {"awsElasticBlockStore": {"volumeID": "vol-2"}}),
            ("pd.csi.storage.gke.io", {"gcePersistentDisk": {"pdName": "pd-2"}}),
            ("disk.csi.azure.com", {"azureDisk": {"diskName": "d", "diskURI": "/d2"}}),
            ("cinder.csi.openstack.org", {"cinder": {"volumeID": "c-2"}}),
        ],
    )
    def test_disks_named_in_place(self, driver: str, disk: dict[str, Any]) -> None:
        """They count under the CSI driver that Kubernetes has moved them to."""
        used = {"name": "d", **disk}
        field = next(iter(disk))
        key = "pdName" if "pdName" in disk[field] else "volumeID"
        key = "diskURI" if "diskURI" in disk[field] else key
        wanted = {"name": "d", field: {**disk[field], key: "/another"}}
        given = (node("n1"), csi_node("n1", 1, driver), pod("user", "n1", volumes=[used]))

        assert f"no more volumes attachable {driver}" in why(*given, pod("p", volumes=[wanted]))
        assert {"p"} == placed(
            node("n1"), csi_node("n1", 1, driver), pod("p", volumes=[wanted])
        ).keys()

    def test_one_disk_by_two_names(self) -> None:
        """An inline EBS disk and the volume of a claim are one when their ids are."""
        inline = pod("user", "n1", volumes=ebs("aws://eu-west-1a/vol-1"))

        assert {"p"} == placed(*self.given(inline), pod("p", volumes=mounting("c"))).keys()

    def test_no_limit(self) -> None:
        """A node that does not have the driver, or a driver without a limit, refuses nothing."""
        bare = body("CSINode", "n1", spec={"drivers": []})
        for known in (bare, csi_node("n1", None), csi_node("n1", 0, "other")):
            given = (node("n1"), known, claim("c", volume="pv"), volume())

            assert {"p"} == placed(*given, pod("p", volumes=mounting("c"))).keys()


class TestDisksInUse:
    """A disk that is named in place cannot be twice on a node, unless all only read it."""

    @pytest.mark.parametrize(
        ("one", "other", "fits"),
        [
            ({"awsElasticBlockStore": {"volumeID": "v", "readOnly": True}},) * 2 + (False,),
            (
                {"awsElasticBlockStore": {"volumeID": "v"}},
                {"awsElasticBlockStore": {"volumeID": "w"}},
                True,
            ),
            ({"gcePersistentDisk": {"pdName": "v"}},) * 2 + (False,),
            ({"gcePersistentDisk": {"pdName": "v", "readOnly": True}},) * 2 + (True,),
            (
                {"gcePersistentDisk": {"pdName": "v", "readOnly": True}},
                {"gcePersistentDisk": {"pdName": "v"}},
                False,
            ),
            ({"iscsi": {"iqn": "q", "targetPortal": "a"}},) * 2 + (False,),
            ({"iscsi": {"iqn": "q", "readOnly": True}},) * 2 + (True,),
            (
                {"rbd": {"monitors": ["a", "b"], "image": "i"}},
                {"rbd": {"monitors": ["b"], "image": "i", "pool": "rbd"}},
                False,
            ),
            (
                {"rbd": {"monitors": ["a"], "image": "i"}},
                {"rbd": {"monitors": ["b"], "image": "i"}},
                True,
            ),
            (
                {"rbd": {"monitors": ["a"], "image": "i", "pool": "p"}},
                {"rbd": {"monitors": ["a"], "image": "i"}},
                True,
            ),
            ({"azureDisk": {"diskName": "d", "diskURI": "/d"}},) * 2 + (True,),
        ],
    )
    def test_beside_each_other(self, one: Any, other: Any, fits: bool) -> None:
        """Beside a running pod, beside one of the same solve, and beside one of its own class."""
        user, wanted = ([{"name": "d", **disk}] for disk in (one, other))
        running = pod("user", "n1", volumes=user)

        assert fits == bool(placed(node("n1"), running, pod("p", volumes=wanted)))
        both = [pod("q", volumes=user), pod("p", volumes=wanted)]
        assert 1 + fits == len(placed(node("n1"), *both))
        assert 2 == len(placed(node("n1"), node("n2"), *both))

    def test_words(self) -> None:
        """The sentence names the disk."""
        user = pod("user", "n1", volumes=ebs("vol-1"))

        assert (
            "0/1 nodes: 1 disk in use there vol-1"
            == why(node("n1"), user, pod("p", volumes=ebs("vol-1"))).partition(";")[0]
        )


class TestOwnClaims:
    """An ephemeral volume's claim has the pod as its controller, or is not this pod's."""

    @pytest.mark.parametrize(
        ("owner", "fits"),
        [
            ({"kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}, True),
            ({"kind": "Pod", "name": "p", "uid": "uid-of-before", "controller": True}, False),
            ({"kind": "Pod", "name": "p", "uid": "uid-p"}, False),
            (None, False),
        ],
    )
    def test_whose_it_is(self, owner: dict[str, Any] | None, fits: bool) -> None:
        """A claim that merely has the name was made for another; the remedy is told."""
        own = claim("p-own", ownerReferences=[owner] if owner else [])
        wanted = pod("p", volumes=[{"name": "own", "ephemeral": {"volumeClaimTemplate": {}}}])

        assert fits == bool(placed(node("n1"), LAZY, own, wanted))
        assert fits or "p-own: it was not made for this pod; delete it" in why(
            node("n1"), LAZY, own, wanted
        )


class TestDevices:
    """Device claims are allocated by kube-scheduler; bound by others a pod would never start."""

    def test_refused(self) -> None:
        """Every node refuses, and the sentence says who can place it."""
        wanted = pod("p", resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}])

        assert (
            "0/1 nodes: 1 resourceClaims, which kube-scheduler alone can allocate"
            == why(node("n1"), wanted).partition(";")[0]
        )


def test_volumes_that_people_make() -> None:
    """A class without a provisioner makes no volumes: the claim has to name one."""
    local = body(
        "StorageClass",
        "lazy",
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    wanted = pod("p", volumes=mounting("c"))

    assert "its StorageClass makes no volumes; name one in volumeName" in why(
        node("n1"), local, claim(), wanted
    )


def test_the_former_annotation_names_the_class() -> None:
    """It goes before `storageClassName`, as everywhere in Kubernetes."""
    former = claim(annotations={"volume.beta.kubernetes.io/storage-class": "gone"})

    assert "c: there is no StorageClass gone" in why(
        node("n1"), LAZY, former, pod("p", volumes=mounting("c"))
    )


def test_a_class_of_a_plug_in_counts_as_its_driver() -> None:
    """Volumes to be made by `kubernetes.io/aws-ebs` are EBS volumes of the CSI driver."""
    lazy = {**LAZY, "provisioner": "kubernetes.io/aws-ebs"}
    given = (node("n1"), csi_node("n1", 0), lazy, claim(), pod("p", volumes=mounting("c")))

    assert "no more volumes attachable ebs.csi.aws.com" in why(*given)


@pytest.mark.parametrize(
    "requests", [[{"memory": "10E"}], [{"memory": "8E"}] * 2, [{"cpu": "1e17"}]]
)
def test_requests_that_no_integer_holds(requests: list[dict[str, str]]) -> None:
    """They fit nowhere, and nothing breaks when such a pod stands on a node."""
    containers = [
        {"name": f"c{at}", "resources": {"requests": one}} for at, one in enumerate(requests)
    ]
    cache = cached(
        node("n1"), pod("p", containers=containers), pod("q", "n1", containers=containers)
    )
    see(cache, pod("small"), 99)

    assert {} == {key: one for key, one in planned(cache).placements.items() if key[1] == "p"}
    assert "too small for it even when empty" in clusters.why(
        node("n1"), pod("p", containers=containers)
    )
