"""MariaDB for tests: the example's manifest on real nodes, and a client that commits.

The image's entry point is played by a script that makes the data directory once and then runs the
machine's `mariadbd`. The server has its node's address; its client tries those of all nodes.
"""

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.applications.machine import on_machine
from tests.applications.processes import has, programs
from tests.applications.storage import Shelf
from tests.cluster.kube import Kube
from tests.cluster.under_test import ROOT

PORT = 3306
PASSWORD = "not-a-secret"  # noqa: S105  of a server that lives for minutes
CLAIM = "data-mariadb-0"
_DATA = "/var/lib/mysql"
_LOOK_SECONDS = 0.1
_STATEMENT_SECONDS = 10
_ENTRY = f"""#!/bin/sh
set -e
mkdir -p /run/mysqld
test -d /var/lib/mysql/mysql || mariadb-install-db --user=root --datadir=/var/lib/mysql \\
  --skip-test-db --skip-log-bin > /dev/null
echo "CREATE OR REPLACE USER root@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS shop;" > /tmp/init.sql
exec mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --port={PORT} \\
  --socket=/run/mysqld/mysqld.sock --bind-address="$POD_IP" --init-file=/tmp/init.sql \\
  --log-error=/var/lib/mysql/error.log "$@"
"""


@dataclass
class MariaDB:
    """The example in a namespace of its own; what tests do with it."""

    kube: Kube
    namespace: str
    folder: Path
    addresses: Sequence[str]  # of all nodes
    _last: str = ""

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.kube, self.namespace, self.folder / "volumes")
        self._bin = self.folder / "entry"
        self._bin.mkdir(parents=True)
        entry = self._bin / "entrypoint.sh"
        entry.write_text(_ENTRY)
        entry.chmod(0o755)

    def manifest(self) -> dict[str, Any]:
        """The example, told where its program and its volume are here."""
        path = ROOT / "examples" / "mariadb" / "mariadb.yaml"
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.shelf.moved_in(found)
        spec = found["spec"]["template"]["spec"]
        [container] = spec["containers"]
        del container["image"]
        container["command"] = [str(self._bin / "entrypoint.sh")]
        container["args"] = [
            "--innodb-buffer-pool-size=32M" if "buffer-pool" in one else one
            for one in container["args"]
        ]
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        container["env"] = [address]
        container["readinessProbe"]["periodSeconds"] = 1
        container["resources"] = {"requests": {"cpu": "250m", "memory": "256Mi"}}
        found["spec"]["template"]["spec"] = on_machine(spec, read_only=(self._bin,))
        return found

    def nightly(self) -> list[dict[str, Any]]:
        """The jobs of the night, told where the server and its password are here."""
        path = ROOT / "examples" / "mariadb" / "nightly.yaml"
        found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        for job in found:
            job["metadata"]["namespace"] = self.namespace
            spec = job["spec"]["template"]["spec"]
            [container] = spec["containers"]
            del container["image"]
            container["env"] = [
                {"name": "DATABASE", "value": self._last},
                {"name": "MYSQL_PWD", "value": PASSWORD},
            ]
            container["resources"] = {"requests": {"cpu": "100m", "memory": "64Mi"}}
            job["spec"]["template"]["spec"] = on_machine(spec)
        return found

    def prepare(self, label: str, value: str) -> None:
        """A volume that nodes with this label can mount."""
        self.shelf.prepare()
        self.shelf.volume(CLAIM, label, value)

    @property
    def data(self) -> Path:
        return self.shelf.folder / CLAIM

    def client(self, *words: str) -> list[str]:
        """The command of a client, at the server's last known address."""
        address = self._last or self.addresses[0]
        return ["mariadb", "--no-defaults", "-h", address, "-P", str(PORT), "-uroot",
                f"-p{PASSWORD}", "--connect-timeout=2", "-N", *words]  # fmt: skip

    def says(self, statement: str) -> str | None:
        """What the server answers; None when it cannot be reached or refuses."""
        known = [self._last] if self._last else []
        for address in [*known, *(one for one in self.addresses if one != self._last)]:
            self._last = address
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(
                    self.client("-e", statement, "shop"),
                    capture_output=True,
                    text=True,
                    timeout=_STATEMENT_SECONDS,
                    check=False,
                )
                if done.returncode == 0:
                    return done.stdout
        return None

    def servers(self) -> list[int]:
        """Servers on the data directory, as the machine sees them."""
        return [pid for pid in programs("mariadbd") if has(pid, _DATA, self.data)]

    def quarrels(self) -> list[str]:
        """Lines of the server's log of a second server on its files."""
        lines = (self.data / "error.log").read_text(errors="replace").splitlines()
        return [one for one in lines if "Unable to lock" in one or "already in use" in one]


@dataclass
class Ledger:
    """Commits one number after the other, from a thread of its own; counts servers meanwhile.

    A number whose statement failed is never used again: nobody knows whether it was committed.
    """

    database: MariaDB
    committed: list[int] = field(default_factory=list)
    failed: int = 0
    most_servers: int = 0
    looks: int = 0
    moments: list[float] = field(default_factory=list)  # of each commit
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def kept(self) -> Iterator["Ledger"]:
        assert self.database.says("CREATE TABLE ledger (n INT PRIMARY KEY) ENGINE=InnoDB") == ""
        work = (self._write, self._count)
        threads = [threading.Thread(target=one, daemon=True) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            if self.database.says(f"INSERT INTO ledger VALUES ({number})") is None:  # noqa: S608  ours
                self.failed += 1
                self._stop.wait(0.1)
            else:
                self.committed.append(number)
                self.moments.append(time.monotonic())

    def _count(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.looks += 1
            self.most_servers = max(self.most_servers, len(self.database.servers()))

    def until(self, more: int, within: float = 60) -> None:
        """Wait until so many more numbers are committed."""
        wanted, ends = len(self.committed) + more, time.monotonic() + within
        while len(self.committed) < wanted:
            assert time.monotonic() < ends, f"{len(self.committed)} of {wanted} committed"
            self._stop.wait(0.1)

    def longest_pause(self) -> float:
        pairs = itertools.pairwise(self.moments)
        return max((later - earlier for earlier, later in pairs), default=0.0)

    def missing(self) -> set[int]:
        """M2: committed numbers that the table does not have."""
        rows = self.database.says("SELECT n FROM ledger")
        assert rows is not None
        return set(self.committed) - {int(row) for row in rows.split()}
