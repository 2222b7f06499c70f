"""Labels of instance types, as Karpenter's provider for AWS gives them.

Expected values are EC2's own facts of these types, under the names of the provider's source.
"""

import pytest

from bayplan.cloud import catalogue
from bayplan.cloud.instance_labels import AWS, KEYS, labels_of


def told(name: str) -> dict[str, str]:
    """What the provider's own labels say, without their prefix."""
    prefix = f"{AWS}/instance-"
    labels = labels_of(catalogue.load()[name])
    return {key.removeprefix(prefix): text for key, text in labels.items() if prefix in key}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "m5.large",
            {
                "category": "m",
                "family": "m5",
                "generation": "5",
                "size": "large",
                "cpu": "2",
                "memory": "8192",
                "hypervisor": "nitro",
            },
        ),
        (
            "c5d.large",
            {
                "category": "c",
                "family": "c5d",
                "generation": "5",
                "size": "large",
                "cpu": "2",
                "memory": "4096",
                "hypervisor": "nitro",
                "local-nvme": "50",
            },
        ),
        (
            "p4d.24xlarge",
            {
                "category": "p",
                "family": "p4d",
                "generation": "4",
                "size": "24xlarge",
                "cpu": "96",
                "memory": "1179648",
                "hypervisor": "nitro",
                "local-nvme": "8000",
                "gpu-name": "a100",
                "gpu-manufacturer": "nvidia",
                "gpu-count": "8",
                "gpu-memory": "40960",
            },
        ),
        (
            "m4.large",
            {
                "category": "m",
                "family": "m4",
                "generation": "4",
                "size": "large",
                "cpu": "2",
                "memory": "8192",
                "hypervisor": "xen",
            },
        ),
    ],
)
def test_labels_of_a_type(name: str, expected: dict[str, str]) -> None:
    """One for each fact that the catalogue has, and no other."""
    assert expected == told(name)


def test_a_name_with_its_memory() -> None:
    """`u-6tb1` is category u of generation 1."""
    found = told("u-6tb1.56xlarge")

    assert ("u", "1") == (found["category"], found["generation"])


def test_bare_metal_has_no_hypervisor() -> None:
    """EC2 names none for it."""
    assert "hypervisor" not in told("m5.metal")


def test_every_label_is_named() -> None:
    """What is not in KEYS would be taken for a pool's own label."""
    assert KEYS == {key for one in catalogue.load().values() for key in labels_of(one)}
