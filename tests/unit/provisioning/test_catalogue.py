"""The EC2 catalogue: facts as EC2 publishes them, and what EKS leaves of them for pods."""

import gzip
import json
from importlib import resources

import pytest

from bayplan.cloud import catalogue
from bayplan.cloud.allocatable import eks_allocatable, max_pods

GIB = 1 << 30
MIB = 1 << 20


def test_a_known_type_has_its_published_facts() -> None:
    """m5.4xlarge has 16 vCPU, 64 GiB, 8 interfaces of 30 addresses, and no GPU."""
    m5 = catalogue.load()["m5.4xlarge"]
    facts = (m5.cpu_milli, m5.memory_bytes, m5.network_interfaces, m5.addresses_per_interface)

    assert (16_000, 64 * GIB, 8, 30) == facts
    assert ("amd64", {}, "m5", "4xlarge") == (m5.arch, dict(m5.gpus), m5.family, m5.size)


def test_the_file_is_what_the_published_descriptions_say() -> None:
    """Each type of moto's description, parsed, is the packaged row: nothing lost or edited."""
    source = resources.files("moto").joinpath("ec2/resources/instance_types.json.gz")
    descriptions = json.loads(gzip.decompress(source.read_bytes()))
    parsed = {name: catalogue.parsed(each) for name, each in descriptions.items()}

    assert parsed == dict(catalogue.load())


def test_a_fraction_of_a_gpu_is_one_device() -> None:
    """g6f shares a GPU eight ways; the device plugin of each node still shows one."""
    assert {"nvidia.com/gpu": 1} == dict(catalogue.load()["g6f.large"].gpus)


def test_neuron_is_offered_as_devices_and_as_cores() -> None:
    """trn1.32xlarge has 16 devices of 2 cores, whichever resource a pod asks for."""
    expected = {"aws.amazon.com/neuron": 16, "aws.amazon.com/neuroncore": 32}

    assert expected == dict(catalogue.load()["trn1.32xlarge"].gpus)


@pytest.mark.parametrize(
    ("name", "prefix_delegation", "expected"),
    [
        ("m5.large", False, 29),
        ("m5.4xlarge", False, 234),
        ("m5.4xlarge", True, 110),
        ("m5.12xlarge", True, 250),
        ("t3.nano", True, 34),  # two prefixes are all it has
        ("m4.large", True, 20),  # Xen knows no prefixes
        ("p4d.24xlarge", False, 737),  # the default card alone
    ],
)
def test_max_pods_follows_the_published_formula(
    name: str, prefix_delegation: bool, expected: int
) -> None:
    """Addresses of the default card decide, with prefixes the kubelet's recommended limit."""
    assert expected == max_pods(catalogue.load()[name], prefix_delegation=prefix_delegation)


def test_a_60_gib_pod_does_not_fit_a_64_gib_type() -> None:
    """Kernel, kubelet and eviction threshold take more than 4 GiB of m5.4xlarge."""
    room = eks_allocatable(catalogue.load()["m5.4xlarge"])

    assert room["memory"] < 60 * GIB
    assert 15_890 == room["cpu"]


def test_fewer_pods_leave_more_memory() -> None:
    """Each pod slot given up returns 11 MiB."""
    m5 = catalogue.load()["m5.4xlarge"]
    gained = eks_allocatable(m5, max_pods=34)["memory"] - eks_allocatable(m5)["memory"]

    assert (234 - 34) * 11 * MIB == gained


def test_the_instance_store_replaces_the_root_volume_when_asked() -> None:
    """600 GB of local disk minus a tenth for eviction and 1 GiB for the system."""
    m5d = catalogue.load()["m5d.4xlarge"]
    local = eks_allocatable(m5d, instance_store=True)["ephemeral-storage"]

    assert 540 * 10**9 - GIB == local
    assert 17 * GIB == eks_allocatable(m5d)["ephemeral-storage"]


def test_no_type_offers_a_negative_amount() -> None:
    """The smallest types have nothing left rather than less than nothing."""
    least = min(min(eks_allocatable(each).values()) for each in catalogue.load().values())

    assert least >= 0
