"""examples/kafka on real nodes: no acknowledged record is lost, whatever happens to brokers.

K1: each acknowledged record is read once, where it was said to be, in the order of its partition.
K2: no two brokers are down at once, as seen from outside every 100 ms.
K3: each broker keeps its volume and its node.id.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.applications.conftest import site_of
from tests.applications.kafka import BROKERS, Kafka, Producer, Watch, broken_promises
from tests.applications.machine import marks
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.test_longservice import available
from tests.cluster.under_test import REAL_LEASE, OperatorProcess, Site
from tests.kubelet.test_operator import bayplan

pytestmark = marks("kafka")

NODES = 4  # two of them in zone a: broker 0 can move
WITHIN = 240


@dataclass
class Scene:
    """Three brokers that are in sync, an operator, and a producer that writes."""

    site: Site
    operator: OperatorProcess
    kafka: Kafka
    producer: Producer
    watch: Watch
    since: float

    @property
    def pods(self) -> str:
        return read.pods(self.kafka.namespace)

    def brokers(self) -> Objects:
        return self.site.kube.listed(self.pods)

    def until(self, met: Callable[[Objects], Any], within: float = WITHIN) -> Any:
        return self.site.kube.until(self.pods, met, within=within)

    def until_in_sync(self) -> None:
        """Every broker is ready, and records are acknowledged again."""
        self.until(lambda found: len(read.running(found)) == BROKERS)
        self.producer.until(200)

    def restart(self) -> dict[str, str]:
        """Ask for new pods of all brokers; the uids of the old ones."""
        before = uids(self.brokers())
        done = bayplan(self.site, "restart", "kafka", "-n", self.kafka.namespace)
        assert done.returncode == 0, done.stderr
        return before

    def until_replaced(self, before: dict[str, str]) -> None:
        self.until(
            lambda found: (
                len(read.running(found)) == BROKERS
                and not set(uids(found).values()) & set(before.values())
            )
        )


def uids(found: Objects) -> dict[str, str]:
    return {name: one["metadata"]["uid"] for name, one in found.items()}


def restarts(pod: Any) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))


@contextlib.contextmanager
def written_to(site: Site, operator: OperatorProcess, folder: Path) -> Iterator[Scene]:
    """Kafka with a producer; K1, K2 and K3 are held when the block ends."""
    namespace = site.namespace()
    nodes = site.kube.listed("/api/v1/nodes").values()
    addresses = [one["status"]["addresses"][0]["address"] for one in nodes]
    kafka = Kafka(site.kube, namespace, folder, addresses)
    kafka.prepare()
    with kafka.names.served():
        began = time.monotonic()
        site.kube.apply(kafka.manifest())
        site.kube.until(read.services(namespace), available(BROKERS, "kafka"), within=WITHIN)
        print(f"kafka: in sync after {time.monotonic() - began:.0f} s")
        kafka.make_topic()
        volumes, ids = kafka.shelf.claims(), kafka.node_ids()
        watch = Watch(addresses)
        producer = kafka.producer()
        try:
            producer.until(200)
            with watch.looking():
                producer.until(400)  # by then every address has been asked
                scene = Scene(site, operator, kafka, producer, watch, time.monotonic())
                yield scene
                scene.until_in_sync()
        finally:
            producer.end()
        records = kafka.records()
        ids_after = kafka.node_ids()
        site.kube.kubectl("delete", "longservices", "--all", "-n", namespace)
        site.kube.until(read.pods(namespace), lambda found: not found, within=WITHIN)
    told(scene, len(records))

    assert [] == broken_promises(producer.acknowledged, records)
    assert BROKERS - 1 <= watch.fewest(scene.since), watch.changes
    assert volumes == kafka.shelf.claims()
    assert ids == ids_after == {f"data-kafka-{number}": str(number) for number in range(3)}


def told(scene: Scene, records: int) -> None:
    """The figures of a run, for docs/guide/applications.md."""
    figures = {
        "acknowledged": len(scene.producer.acknowledged),
        "read": records,
        "refused": len(scene.producer.failed),
        "longestPauseSeconds": round(scene.producer.longest_pause(), 1),
        "looks": scene.watch.looks,
        "fewestBrokers": scene.watch.fewest(scene.since),
        "outagesSeconds": scene.watch.outages(scene.since),
    }
    print(f"kafka: {json.dumps(figures)}")


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_of(NODES, tmp_path_factory.mktemp("kafka")) as site:
        yield site


@pytest.fixture
def scene(own_site: Site, tmp_path: Path) -> Iterator[Scene]:
    with own_site.operator(*REAL_LEASE) as operator, written_to(own_site, operator, tmp_path) as it:
        yield it
        own_site.kube.kubectl("uncordon", "--all", check=False)


def test_an_update_and_a_crash_lose_no_record(scene: Scene) -> None:
    """All brokers are replaced one after the other; then one is killed and comes back by itself."""
    before = scene.restart()
    scene.until_replaced(before)
    after = uids(scene.brokers())
    scene.until_in_sync()
    scene.kafka.kill(1)
    scene.until(lambda found: restarts(found["kafka-1"]) == 1)
    scene.until_in_sync()

    assert set(before) == set(after)
    assert after == uids(scene.brokers())


@pytest.mark.weekly
def test_an_update_waits_for_a_broker_that_is_killed_meanwhile(scene: Scene) -> None:
    """The operator is killed too, and its successor goes on where it was."""
    before = scene.restart()
    newest = scene.until(
        lambda found: (
            uids(found).get("kafka-2") != before["kafka-2"]
            and found.get("kafka-2", {}).get("status", {}).get("phase") == "Running"
            and found["kafka-2"]
        )
    )
    scene.kafka.kill(2)
    scene.operator.kill()
    scene.operator.start()
    scene.until_replaced(before)

    assert newest["metadata"]["uid"] == uids(scene.brokers())["kafka-2"]


@pytest.mark.weekly
def test_a_broker_moves_when_its_node_is_drained_or_lost(scene: Scene) -> None:
    """Its volume is of a zone; it starts on the other node of the zone, with the same data."""
    kube, local = scene.site.kube, scene.site.local
    assert local is not None
    first = read.running(scene.brokers())["kafka-0"]
    drained = bayplan(scene.site, "drain", first, "--seconds", "50", "--move-seconds", "30",
                      "--run-seconds", "30")  # fmt: skip
    [second] = scene.until(lambda found: {read.running(found).get("kafka-0")} - {first, None})
    scene.until_in_sync()
    kube.kubectl("uncordon", first)
    local.lose_node(second)
    kube.until(
        "/api/v1/nodes",
        lambda found: read.condition(found[second], "Ready")["status"] != "True",
        within=60,
    )
    local.delete_node(second)  # who knows that the machine is off
    scene.until(lambda found: read.running(found).get("kafka-0") == first)
    scene.until_in_sync()

    assert 0 == drained.returncode, drained.stdout
    assert first != second
