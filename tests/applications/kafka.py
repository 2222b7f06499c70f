"""Kafka for tests: the example on real nodes, clients of Kafka's own, and a look from outside.

The image's folder /opt/kafka is played by scripts of the same names, which run the same classes of
the bundle's jars on the machine's Java. Brokers have their nodes' addresses. Names in DNS are
played too: a file that follows the EndpointSlices, as CoreDNS does, and that Java reads for each
name (`jdk.net.hosts.file`). Clients are those of Kafka's own system tests: VerifiableProducer
numbers its records and tells each one that was acknowledged.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from localcluster import bundles
from localcluster.processes import wait_until
from tests.applications.machine import on_machine
from tests.applications.processes import has, programs, runs
from tests.applications.storage import ZONE, Shelf
from tests.cluster.kube import Kube, Objects
from tests.cluster.under_test import ROOT

BROKERS = 3
PORT = 9092
BUNDLE = bundles.BUNDLES["kafka"]
TOPIC = "orders"
PARTITIONS = 6
_DATA = "/var/lib/kafka"
_LOOK_SECONDS = 0.1
_ANSWER_SECONDS = 3.0  # a busy machine is no broker that is down
_TOOLS = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "producer.sh": "org.apache.kafka.tools.VerifiableProducer",
    "consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}
_SCRIPT = """#!/bin/sh
exec java ${{KAFKA_HEAP_OPTS:--Xmx128m}} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \\
  -Djdk.net.hosts.file={names} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \\
  -cp '{jars}/*' {main} "$@"
"""


@dataclass
class Names:
    """DNS as CoreDNS makes it of a headless Service; other processes read it from `file`."""

    kube: Kube
    namespace: str
    file: Path
    addresses: dict[str, str] = field(default_factory=dict)  # host name -> address

    def learn(self, slices: Objects) -> None:
        """Write what the EndpointSlices say. A name goes when its endpoint goes."""
        self.addresses = {
            endpoint["hostname"]: endpoint["addresses"][0]
            for one in slices.values()
            for endpoint in one.get("endpoints") or ()
            if endpoint.get("hostname") and endpoint["conditions"].get("ready")
        }
        lines = ["127.0.0.1 localhost"]
        lines += [
            f"{address} {name}.kafka.{self.namespace}.svc"
            for name, address in sorted(self.addresses.items())
        ]
        draft = self.file.with_suffix(".draft")
        draft.write_text("\n".join([*lines, ""]))
        draft.rename(self.file)

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Follow the EndpointSlices in a thread of its own until the block ends."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        stop = threading.Event()
        self.learn({})

        def met(found: Objects) -> bool:
            self.learn(found)
            return stop.is_set()

        def follow() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError, AssertionError):
                    self.kube.until(path, met, within=5)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(15)


@dataclass
class Watch:
    """Asks every address each 100 ms whether a broker answers there; keeps what changed when."""

    addresses: Sequence[str]
    changes: list[tuple[float, str, bool]] = field(default_factory=list)
    looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._look, args=(one,), daemon=True) for one in self.addresses
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(10)

    def _look(self, address: str) -> None:
        before = None
        while not self._stop.wait(_LOOK_SECONDS):
            at = time.monotonic()
            up = answers(address)
            self.looks += 1
            if up != before:
                self.changes.append((at, address, up))
                before = up

    def fewest(self, since: float) -> int:
        """How many brokers there were at the worst moment after `since`, and before the end."""
        up: set[str] = set()
        counts = []
        for at, address, answered in sorted(self.changes):
            if at > since and not counts:
                counts.append(len(up))
            up = up | {address} if answered else up - {address}
            if at > since:
                counts.append(len(up))
        return min(counts or [len(up)])

    def outages(self, since: float) -> list[float]:
        """Seconds of each time that a broker was down after `since`, as far as it came back."""
        down: dict[str, float] = {}
        found = []
        for at, address, answered in sorted(self.changes):
            if not answered and at > since:
                down[address] = at
            elif answered and address in down:
                found.append(round(at - down.pop(address), 1))
        return found


def answers(address: str) -> bool:
    """Whether a broker answers a request there (ApiVersions, its first version)."""
    request = struct.pack(">hhih", 18, 0, 7, -1)  # no client id
    try:
        with socket.create_connection((address, PORT), timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.recv(10)
    except OSError:
        return False
    return len(head) == 10 and struct.unpack(">iih", head)[1:] == (7, 0)


@dataclass(frozen=True)
class Acknowledged:
    """A record that the cluster has promised to keep."""

    number: int
    partition: int
    offset: int
    at: float


class Producer:
    """Writes numbered records (acks=all, idempotent) until `end`; keeps what was acknowledged."""

    def __init__(self, bin_: Path, servers: str, per_second: int) -> None:
        properties = bin_ / "producer.properties"
        properties.write_text(
            "enable.idempotence=true\nretries=2147483647\nlinger.ms=5\n"
            "request.timeout.ms=5000\ndelivery.timeout.ms=120000\nmetadata.max.age.ms=5000\n"
        )
        words = ["--bootstrap-server", servers, "--topic", TOPIC, "--acks", "-1"]
        words += ["--throughput", str(per_second), "--command-config", str(properties)]
        self.acknowledged: list[Acknowledged] = []
        self.failed: list[str] = []
        with (bin_ / "producer.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(bin_ / "producer.sh"), *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._note(json.loads(line))

    def _note(self, told: Mapping[str, Any]) -> None:
        if told["name"] == "producer_send_success":
            number = int(told["value"])
            where = (int(told["partition"]), int(told["offset"]))
            self.acknowledged.append(Acknowledged(number, *where, time.monotonic()))
        elif told["name"] == "producer_send_error":
            self.failed.append(told["message"])

    def until(self, more: int, within: float = 60) -> None:
        """Wait until so many more records are acknowledged."""
        wanted, ends = len(self.acknowledged) + more, time.monotonic() + within
        while len(self.acknowledged) < wanted:
            self._thread.join(0.1)
            assert self._thread.is_alive(), "the producer ended"
            assert time.monotonic() < ends, f"{len(self.acknowledged)} of {wanted} acknowledged"

    def end(self) -> None:
        """No more records; what is under way is acknowledged first."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(150)
        self._thread.join(30)

    def longest_pause(self) -> float:
        moments = [one.at for one in self.acknowledged]
        pairs = itertools.pairwise(moments)
        return max((later - earlier for earlier, later in pairs), default=0.0)


@dataclass
class Kafka:
    """The example in a namespace of its own; what tests do with it."""

    kube: Kube
    namespace: str
    folder: Path
    addresses: Sequence[str]  # of all nodes

    def __post_init__(self) -> None:
        self.bin = self.folder / "kafka" / "bin"
        self.bin.mkdir(parents=True)
        self.names = Names(self.kube, self.namespace, self.bin.parent / "names")
        self.shelf = Shelf(self.kube, self.namespace, self.folder / "volumes")
        jars = BUNDLE.folder / "jars"
        for tool, main in _TOOLS.items():
            script = self.bin / tool
            script.write_text(_SCRIPT.format(names=self.names.file, jars=jars, main=main))
            script.chmod(0o755)

    def manifest(self) -> dict[str, Any]:
        """The example, told where its programs, its volumes and its names are here."""
        path = ROOT / "examples" / "kafka" / "kafka.yaml"
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.shelf.moved_in(found)
        spec = found["spec"]["template"]["spec"]
        [container] = spec["containers"]
        del container["image"], spec["securityContext"]
        heap = {"name": "KAFKA_HEAP_OPTS", "value": "-Xms192m -Xmx256m"}
        container["env"] = [
            heap if one["name"] == heap["name"] else one for one in container["env"]
        ]
        container["resources"] = {"requests": {"cpu": "500m", "memory": "640Mi"}}
        container["volumeMounts"].append({"name": "kafka", "mountPath": "/opt/kafka"})
        spec["volumes"] = [{"name": "kafka", "hostPath": {"path": str(self.bin.parent)}}]
        read_only = (BUNDLE.folder, self.bin.parent)
        found["spec"]["template"]["spec"] = on_machine(spec, read_only=read_only)
        return found

    def prepare(self) -> None:
        """A volume for each broker, which any node of its zone can mount."""
        self.shelf.prepare()
        for number, zone in enumerate("abc"):
            self.shelf.volume(f"data-kafka-{number}", ZONE, f"us-east-1{zone}")

    @property
    def servers(self) -> str:
        names = [f"kafka-{number}.kafka.{self.namespace}.svc" for number in range(BROKERS)]
        return ",".join(f"{name}:{PORT}" for name in names)

    def tool(self, name: str, *words: str) -> str:
        """What one of Kafka's tools prints."""
        done = subprocess.run(
            [str(self.bin / name), "--bootstrap-server", self.servers, *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def make_topic(self) -> None:
        shape = ["--partitions", str(PARTITIONS), "--replication-factor", str(BROKERS)]
        self.tool("kafka-topics.sh", "--create", "--topic", TOPIC, *shape)

    def producer(self, per_second: int = 200) -> Producer:
        return Producer(self.bin, self.servers, per_second)

    def records(self) -> list[tuple[int, int, int]]:
        """Every record of the topic: partition, offset, number; in the order of reading."""
        words = ["--topic", TOPIC, "--from-beginning", "--timeout-ms", "20000"]
        shown = ("print.partition", "print.offset")
        words += [word for one in shown for word in ("--formatter-property", f"{one}=true")]
        read = []
        for line in self.tool("consumer.sh", *words).splitlines():
            if line.startswith("Partition:"):
                partition, offset, value = line.split("\t")
                read.append((int(partition.split(":")[1]), int(offset.split(":")[1]), int(value)))
        return read

    def node_ids(self) -> Mapping[str, str]:
        """Claim -> the node.id that is written in its volume."""
        found = {}
        for folder in sorted(self.shelf.folder.iterdir()):
            lines = (folder / "log" / "meta.properties").read_text().splitlines()
            found[folder.name] = dict(line.split("=", 1) for line in lines if "=" in line)[
                "node.id"
            ]
        return found

    def kill(self, broker: int) -> None:
        """SIGKILL for a broker's process as soon as there is one, as if it had crashed."""
        folder, main = self.shelf.folder / f"data-kafka-{broker}", _TOOLS["kafka-server-start.sh"]
        found: list[int] = []

        def there() -> bool:
            found[:] = [p for p in programs("java") if has(p, _DATA, folder) and runs(p, main)]
            return bool(found)

        wait_until(there, f"broker {broker} runs", within_seconds=60)
        [pid] = found
        os.kill(pid, signal.SIGKILL)


def broken_promises(
    acknowledged: Sequence[Acknowledged], read: Sequence[tuple[int, int, int]]
) -> list[str]:
    """K1: each acknowledged record is read once, where it was said to be, in order."""
    places: dict[int, list[tuple[int, int]]] = {}
    newest: dict[int, int] = {}
    broken = []
    for partition, offset, number in read:
        places.setdefault(number, []).append((partition, offset))
        if newest.get(partition, -1) >= number:
            broken.append(f"{number} after {newest[partition]} in partition {partition}")
        newest[partition] = number
    broken += [f"{number} read at {found}" for number, found in places.items() if len(found) > 1]
    for one in acknowledged:
        if places.get(one.number) != [(one.partition, one.offset)]:
            broken.append(f"{one} read at {places.get(one.number)}")
    return broken
