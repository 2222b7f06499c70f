"""Karpenter core with its kwok provider: a real autoscaler that buys and sells fake nodes.

The provider reads its instance types from a file; ours are EC2's, with EKS' allocatable and the
operator's own prices (of a prices file too), so that both sides choose from one menu. What it makes
is a Node object, which localcluster's kwok plays if its NodePool says so (`NODE_LABELS`). Such
nodes have no lease: start the cluster with a `node_monitor_grace_seconds` that is longer than its
life.

What is NOT here: NodePools and node classes, which are the test's or the user's to apply.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bayplan.cloud import catalogue, prices
from localcluster import ec2, kwok, programs

NODE_LABELS = {kwok.LABEL: kwok.PLAYED}  # for a NodePool's template: kwok plays these nodes
_RESERVED = {"cpu": 100, "memory": 10 << 20}  # what the provider takes off every type; milli, bytes
_SPOT_PER_CENT = 70  # of the on-demand price, as in the provider's own catalogue


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions that came with the built program."""
    return [yaml.safe_load(file.read_text()) for file in programs.files("karpenter")]


def instance_types(
    names: Sequence[str], zones: Sequence[str], priced: Path | None = None
) -> list[dict[str, Any]]:
    """The provider's menu: each type in each zone, on demand and spot, priced by the operator.

    `priced` is a prices file of the operator.
    """
    book = prices.Book(file=prices.from_file(priced) if priced else {})
    return [_type(name, zones, book) for name in names]


def command(program: Path, kubeconfig: Path, menu: Path, *, port: int) -> list[str | Path]:
    """The words that start it; its health is told on `port`, its metrics on any free one."""
    return [
        "env",  # it has no flag for this
        f"KUBECONFIG={kubeconfig}",
        program,
        f"--instance-types-file-path={menu}",
        "--disable-leader-election",
        "--metrics-port=0",
        f"--health-probe-port={port}",
    ]


def _type(name: str, zones: Sequence[str], book: prices.Book) -> dict[str, Any]:
    described = catalogue.load()[name]
    usable = ec2.allocatable_of(name)
    capacity = {what: amount + _RESERVED.get(what, 0) for what, amount in usable.items()}
    dollars = book.of(described).microdollars_per_hour / 10**6
    return {
        "name": name,
        "architecture": described.arch,
        "operatingSystems": ["linux"],
        "resources": ec2.quantities(capacity),
        "offerings": [
            _offering(dollars * share / 100, zone, capacity_type)
            for zone in zones
            for capacity_type, share in (("on-demand", 100), ("spot", _SPOT_PER_CENT))
        ],
    }


def _offering(dollars: float, zone: str, capacity_type: str) -> dict[str, Any]:
    required = {"karpenter.sh/capacity-type": capacity_type, "topology.kubernetes.io/zone": zone}
    return {
        "Price": round(dollars, 6),
        "Available": True,
        "Requirements": [
            {"key": key, "operator": "In", "values": [value]} for key, value in required.items()
        ],
    }
