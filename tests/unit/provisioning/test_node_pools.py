"""A NodePool of Karpenter as what can be bought: types, zones, capacity types, labels, room."""

from typing import Any

import pytest

from bayplan.cloud import catalogue
from bayplan.cloud.node_pools import NodeClass, NodePool, node_class, node_pool
from bayplan.cloud.prices import Book, Price
from bayplan.inputs import InputError
from bayplan.model.nodes import Taint
from bayplan.provisioning.pool_offers import PoolOffers, pool_offers, zones_of, zones_wanted

AWS = "karpenter.k8s.aws"
ZONE, CAPACITY, TYPE = (
    "topology.kubernetes.io/zone",
    "karpenter.sh/capacity-type",
    "node.kubernetes.io/instance-type",
)
ZONES = ("eu-west-1a", "eu-west-1b")


def body(*requirements: tuple[str, str, list[str]], **spec: Any) -> dict[str, Any]:
    wanted = [
        {"key": key, "operator": operator, "values": values}
        for key, operator, values in requirements
    ]
    labels = spec.pop("labels", {})
    reference = {"group": AWS, "kind": "EC2NodeClass", "name": "default"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "batch"},
        "spec": {
            "template": {
                "metadata": {"labels": labels},
                "spec": {"requirements": wanted, "nodeClassRef": reference, **spec},
            }
        },
    }


def pool(*requirements: tuple[str, str, list[str]], **spec: Any) -> NodePool:
    return node_pool(body(*requirements, **spec))


def menu(*requirements: tuple[str, str, list[str]], **spec: Any) -> PoolOffers:
    classes = spec.pop("classes", {})
    spot, there = spec.pop("spot", None), spec.pop("there", None)
    made = pool(*requirements, **spec)
    return pool_offers([made], classes, Book(), ZONES, spot=spot, there=there)


def names(*requirements: tuple[str, str, list[str]]) -> set[str]:
    return {offer.name for offer in menu(*requirements).offers}


def every(test: Any) -> set[str]:
    """Types of the catalogue of which this holds, but for those whose price is a guess."""
    return {name for name, one in catalogue.load().items() if test(one) and not one.burstable}


def _gpus(one: catalogue.InstanceType) -> int:
    return sum(count for what, count in one.gpus.items() if not what.startswith("aws.amazon.com/"))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((TYPE, "In", ["m5.large", "c5.large"]), {"m5.large", "c5.large"}),
        ((f"{AWS}/instance-family", "In", ["m7i"]), every(lambda one: one.family == "m7i")),
        ((f"{AWS}/instance-cpu", "Gt", ["127"]), every(lambda one: one.cpu_milli >= 128_000)),
        ((f"{AWS}/instance-cpu", "Gte", ["128"]), every(lambda one: one.cpu_milli >= 128_000)),
        ((f"{AWS}/instance-cpu", "Lt", ["2"]), every(lambda one: one.cpu_milli < 2_000)),
        ((f"{AWS}/instance-cpu", "Lte", ["1"]), every(lambda one: one.cpu_milli <= 1_000)),
        ((f"{AWS}/instance-gpu-count", "DoesNotExist", []), every(lambda one: not _gpus(one))),
        ((f"{AWS}/instance-size", "NotIn", ["metal"]), every(lambda one: one.size != "metal")),
    ],
)
def test_requirements_choose_the_types(
    wanted: tuple[str, str, list[str]], expected: set[str]
) -> None:
    """As Karpenter's sets do, bounds that include their value too."""
    assert expected == names(wanted)


def test_requirements_on_one_label_hold_together() -> None:
    """Gt and Lt of one key are a range."""
    found = names(
        (f"{AWS}/instance-cpu", "Gt", ["3"]),
        (f"{AWS}/instance-cpu", "Lt", ["5"]),
        (f"{AWS}/instance-category", "In", ["c"]),
    )

    assert every(lambda one: one.cpu_milli == 4000 and one.name[0] == "c") == found


def test_a_node_of_the_pool_is_what_karpenter_makes() -> None:
    """It has the template's labels and taints, the pool's name and the labels of its type."""
    taint = {"key": "team", "value": "data", "effect": "NoExecute"}
    (offer,) = menu(
        (TYPE, "In", ["m5.large"]),
        ("tier", "In", ["gold"]),
        (CAPACITY, "In", ["on-demand"]),
        labels={"team": "data"},
        taints=[taint],
        startupTaints=[{"key": "cilium", "effect": "NoSchedule"}],
    ).offers
    node = offer.node("n", "eu-west-1b")

    assert (Taint("team", "data", "NoExecute"),) == node.taints
    assert {
        "karpenter.sh/nodepool": "batch",
        "team": "data",
        "tier": "gold",
        f"{AWS}/instance-category": "m",
        CAPACITY: "on-demand",
        ZONE: "eu-west-1b",
    }.items() <= node.labels.items()


def test_zones_are_the_pools() -> None:
    """Those that it allows of those there are; what it names is known without a cluster."""
    wanted = (ZONE, "In", ["eu-west-1b", "eu-west-1c"])

    assert {("eu-west-1b",)} == {offer.zones for offer in menu(wanted).offers}
    assert ("eu-west-1b", "eu-west-1c") == zones_wanted([pool(wanted)])
    assert () == zones_wanted([pool((ZONE, "NotIn", ["eu-west-1a"]))])


def test_a_burstable_type_needs_a_price() -> None:
    """The model is far too low for it; what a file says of it counts."""
    wanted = (TYPE, "In", ["t3.large", "m5.large"])
    known = Book(file={"t3.large": Price(83_200, "prices file")})
    modelled = menu(wanted)
    priced = pool_offers([pool(wanted)], {}, known, ZONES)

    assert {"m5.large"} == {offer.name for offer in modelled.offers}
    assert any("1 burstable types are left out" in note for note in modelled.notes)
    assert {"m5.large", "t3.large"} == {offer.name for offer in priced.offers}


def test_a_pool_without_zones_has_those_of_the_region() -> None:
    """Beside a pool that names one; where nodes are, their zones count."""
    both = [pool((ZONE, "In", ["eu-west-1a"])), pool()]

    assert ("eu-west-1a", "eu-west-1b", "eu-west-1c") == zones_of(both, (), ("us-east-1a",))
    assert ("eu-west-1a", "eu-west-1b") == zones_of(both, ("eu-west-1b",), ("us-east-1a",))
    assert ("us-east-1a",) == zones_of([pool()], (), ("us-east-1a",))


def test_no_zone_is_left() -> None:
    """A note says it, and nothing is offered."""
    found = menu((ZONE, "In", ["us-east-1a"]))

    assert () == found.offers
    assert "NodePool batch allows none of the known zones" in found.notes


def test_spot_is_offered_zone_by_zone() -> None:
    """Where a price is known, at that price; on demand in all zones at one price."""
    spot = {
        ("m5.large", ZONES[0]): Price(30_000, "AWS spot"),
        ("m5.large", ZONES[1]): Price(40_000, "AWS spot"),
        ("c5.large", ZONES[0]): Price(10_000, "AWS spot"),
    }
    wanted = (TYPE, "In", ["m5.large", "c5.large"])
    found = menu(wanted, (CAPACITY, "In", ["spot", "on-demand"]), spot=spot).offers

    assert {
        ("m5.large", 30_000, ZONES[:1]),
        ("m5.large", 40_000, ZONES[1:]),
        ("c5.large", 10_000, ZONES[:1]),
    } == {(one.name, one.price, one.zones) for one in found if one.spot}
    assert {("m5.large", ZONES), ("c5.large", ZONES)} == {
        (one.name, one.zones) for one in found if not one.spot
    }


def test_only_what_can_be_had_is_offered() -> None:
    """Type by type, zone by zone, where a market says what is there; everything where none does."""
    there = {("m5.large", ZONES[1], "on-demand"), ("r5.large", ZONES[0], "spot")}
    wanted = (TYPE, "In", ["m5.large", "c5.large", "r5.large"])
    found = {(one.name, one.zones) for one in menu(wanted, there=there).offers}

    assert {("m5.large", ZONES[1:])} == found
    assert 3 == len(menu(wanted).offers)


def test_other_words_for_a_label() -> None:
    """The beta labels, and those of EKS Auto Mode, mean the same as Karpenter's own."""
    arm = menu(("beta.kubernetes.io/arch", "In", ["arm64"]), (f"{AWS}/instance-cpu", "In", ["8"]))
    auto = menu(("eks.amazonaws.com/instance-category", "In", ["c"]))

    assert {"arm64"} == {one.arch for one in arm.offers}
    assert {"c"} == {one.name[0] for one in auto.offers}


@pytest.mark.parametrize(
    ("wanted", "more", "said"),
    [
        (("topology.k8s.aws/zone-id", "In", ["use1-az1"]), {}, "topology.k8s.aws/zone-id"),
        (("tier", "In", ["gold", "silver"]), {}, "without tier, which may have several values"),
        (("team", "In", ["b"]), {"labels": {"team": "a"}}, "its requirements contradict"),
        ((CAPACITY, "In", ["reserved"]), {}, "neither on-demand nor spot"),
    ],
)
def test_what_is_not_followed_is_said(
    wanted: tuple[str, str, list[str]], more: dict[str, Any], said: str
) -> None:
    """Each in a note."""
    assert any(said in note for note in menu(wanted, **more).notes)


def test_bounds_of_the_pool_and_its_class_are_named() -> None:
    """Limits and weight, and what a kubelet keeps for itself."""
    stated = body((TYPE, "In", ["m5.large"]))
    stated["spec"] |= {"limits": {"cpu": "4"}, "weight": 10}
    shape = node_class({"spec": {"kubelet": {"systemReserved": {"memory": "1Gi"}}}})
    classes = {("EC2NodeClass", "default"): shape}
    notes = pool_offers([node_pool(stated)], classes, Book(), ZONES).notes

    assert any("limits, weight ignored" in note for note in notes)
    assert any("kubelet.systemReserved of its class ignored" in note for note in notes)


@pytest.mark.parametrize("most", [True, 0, -1, 10**30, "110"])
def test_a_number_of_pods_that_no_kubelet_takes(most: object) -> None:
    """It counts as none."""
    assert node_class({"spec": {"kubelet": {"maxPods": most}}}).max_pods is None


def test_spot_alone_without_prices() -> None:
    """Planned at the prices on demand, with a note; the nodes are spot all the same."""
    found = menu((TYPE, "In", ["m5.large"]), (CAPACITY, "In", ["spot"]))

    assert [True] == [offer.spot for offer in found.offers]
    assert any("buys only spot" in note for note in found.notes)


def test_what_is_not_looked_at_is_told() -> None:
    """A requirement that the catalogue cannot follow."""
    found = menu((TYPE, "In", ["m5.large"]), (f"{AWS}/instance-ebs-bandwidth", "Gt", ["1000"]))

    assert found.offers
    assert any("instance-ebs-bandwidth is ignored" in note for note in found.notes)


def test_the_node_class_says_how_much_room_there_is() -> None:
    """Pods and the root volume."""
    stated = {
        "spec": {
            "kubelet": {"maxPods": 20},
            "blockDeviceMappings": [
                {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "500Gi"}},
                {"deviceName": "/dev/xvda", "rootVolume": True, "ebs": {"volumeSize": "100Gi"}},
            ],
        }
    }
    read = node_class(stated)
    wanted = (TYPE, "In", ["m5.large"])
    (plain,), (full,) = (
        menu(wanted).offers,
        menu(wanted, classes={("EC2NodeClass", "default"): read}).offers,
    )

    assert NodeClass(20, 100 << 30) == read
    assert (29, 20) == (plain.room.amount("pods"), full.room.amount("pods"))
    assert full.room.amount("ephemeral-storage") > 4 * plain.room.amount("ephemeral-storage")


@pytest.mark.parametrize(
    ("family", "gibibytes"),
    [
        ({"amiFamily": "AL2023"}, 20),
        ({"amiSelectorTerms": [{"alias": "al2023@latest"}]}, 20),
        ({"amiSelectorTerms": [{"alias": "bottlerocket@v1.2"}]}, 300),
    ],
)
def test_the_disk_of_pods_hangs_on_the_image(family: dict[str, Any], gibibytes: int) -> None:
    """Bottlerocket keeps pods' data on its second volume."""
    disks = [
        {"deviceName": "/dev/xvda", "ebs": {"volumeSize": "20Gi"}},
        {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "300Gi"}},
    ]
    stated = {"spec": {**family, "blockDeviceMappings": disks}}

    assert gibibytes << 30 == node_class(stated).disk_bytes


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": {"name": "x"}}, "spec.template.spec must say"),
        (body(("", "In", ["a"])), "requirements[0].key must be a label"),
        (body((TYPE, "Near", ["a"])), "accepts no value"),
        (body((f"{AWS}/instance-cpu", "Gte", ["many"])), "accepts no value"),
        (body((f"{AWS}/instance-cpu", "Gt", [])), "accepts no value"),
        (body((f"{AWS}/instance-cpu", "Gte", ["9" * 5000])), "accepts no value"),
        (body(requirements={"key": "a"}), "spec.template.spec.requirements must be a list"),
        (body(requirements=["a"]), "requirements[0] must be an object"),
        (body(taints={"key": "a"}), "spec.template.spec.taints must be a list"),
        (body(taints=[{"value": "a"}]), "taints[0].key must be the key of a taint"),
        (body((TYPE, "In", "m5.large")), "requirements[0].values must be a list"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_read_is_named(stated: dict[str, Any], said: str) -> None:
    """The object and its field."""
    with pytest.raises(InputError, match="NodePool") as caught:
        node_pool(stated)

    assert said in caught.value.message
