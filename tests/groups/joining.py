"""Instances join a cluster as fake nodes, and their nodes go with them.

What a kubelet and the cloud controller manager do on EC2.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from localcluster import ec2, programs
from tests.cluster.kube import Kube
from tests.groups.aws import TAG, Aws

NODES = "/api/v1/nodes"


@contextmanager
def joining(kube: Kube, aws: Aws, pool: str) -> Iterator[None]:
    """As long as this lasts; an instance joins within a second or two."""
    ends, joined, client = threading.Event(), set[str](), aws.client("ec2")

    def look() -> None:
        pages = client.get_paginator("describe_instances").paginate()
        states = {
            one["InstanceId"]: one
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        }
        for number, (id_, one) in enumerate(sorted(states.items())):
            running = one["State"]["Name"] == "running"
            if running and id_ not in joined:
                joined.add(id_)
                kube.create(NODES, node_of(one, number, pool))
            elif not running and id_ in joined:
                joined.remove(id_)
                kube.delete(f"{NODES}/{id_}")

    def run() -> None:
        while not ends.wait(1):
            look()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def node_of(instance: dict[str, Any], number: int, pool: str) -> dict[str, Any]:
    """The node of an instance, with the label and the taint that its user data sets."""
    id_, zone = instance["InstanceId"], instance["Placement"]["AvailabilityZone"]
    shape, version = ec2.Shape(instance["InstanceType"], zone, 1), programs.kubernetes_version()
    body = ec2.node(shape, 1, f"10.99.{number // 250}.{number % 250 + 1}", version=version)
    labels = {**body["metadata"]["labels"], "kubernetes.io/hostname": id_, TAG: pool}
    return {
        **body,
        "metadata": {"name": id_, "labels": labels},
        "spec": {
            "providerID": f"aws:///{zone}/{id_}",
            "taints": [{"key": TAG, "value": pool, "effect": "NoSchedule"}],
        },
    }
