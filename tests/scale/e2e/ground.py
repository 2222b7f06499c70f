"""What the benches stand on: a local cluster prepared for Bayplan, and who used how much CPU.

The operator runs as users run it: its own process, its own rights, the default times of its lease.
CPU is read from /proc, so that watching costs nothing.
"""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from localcluster import Cluster, kwok, processes
from tests.cluster.kube import Kube
from tests.cluster.under_test import OperatorProcess, Site

LEASE = ("--lease-duration-seconds=15", "--lease-renew-deadline-seconds=10")
LEASE_RETRY = "--lease-retry-seconds=2"
_TICKS = os.sysconf("SC_CLK_TCK")
_PORT = re.compile(r"metrics_port=(\d+)")
_numbers = itertools.count()


@contextlib.contextmanager
def site(nodes: str = "", **options: Any) -> Iterator[tuple[Site, Cluster]]:
    """A cluster with CRDs and rights, no operator yet; `options` are those of `Cluster.start`."""
    with (
        TemporaryDirectory(prefix="bayplan-bench-") as folder,
        Cluster.start(kwok=nodes, **options) as local,
    ):
        yield Site(Kube(local.kubeconfig), local, Path(folder)).prepare(), local


def ahead(local: Cluster) -> None:
    """Let the cluster and this bench go before other work of the machine, where the kernel lets us.

    Linux shares the CPU among sessions first (autogroups), so that ordinary niceness between a
    bench and somebody else's work means nothing.
    """
    for pid in (os.getpid(), *processes.marked(local.directory)):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text("-10")


# Looks every few milliseconds whether its starter is there.
_BUSY = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that want a core each: other work of the machine.

    Each has a session of its own, so that Linux gives it as much as all of an operator
    (autogroups). They end with the block, and by themselves when this process has gone.
    """
    words = [sys.executable, "-S", "-c", _BUSY, str(os.getpid())]
    running = [subprocess.Popen(words, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


class Operator:
    """One operator process, from its start to the end of its block."""

    def __init__(self, site: Site, *options: str) -> None:
        name = f"bench-{next(_numbers)}"  # a log of its own
        self._process: OperatorProcess = site.operator(*LEASE, LEASE_RETRY, *options, identity=name)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        """SIGTERM, so that the next one leads at once; one that ended before is an error."""
        assert self._process.running, f"it ended by itself:\n{self._process.log()[-4000:]}"
        assert self._process.terminate(30) == 0, self._process.log()[-4000:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def until_leading(self, within: float = 60) -> Self:
        self._process.until_logged(" leading", within)
        return self

    def log(self) -> str:
        return self._process.log()

    def metrics(self) -> str:
        """The page that Prometheus scrapes."""
        found = _PORT.search(self._process.log())
        assert found is not None, "it has not said its port"
        address = f"http://127.0.0.1:{found.group(1)}/metrics"
        with urllib.request.urlopen(address, timeout=10) as page:
            return str(page.read().decode())

    def rss_mib(self) -> int:
        """Memory at its highest so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(_field(status, "VmHWM")) // 1024

    def rss_now_mib(self) -> int:
        return int(_field(Path(f"/proc/{self.pid}/status").read_text(), "VmRSS")) // 1024

    def side_seconds(self) -> float:
        """CPU of all threads but the main one: kopf's, and what little lease and scrapes take."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(_cpu(one / "stat") for one in threads if one.name != str(self.pid))


class Control:
    """How late a thread runs that does nothing: the lag that the machine gives to everybody."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def p99_ms(self) -> float:
        ordered = sorted(self._late)
        return round(1000 * ordered[int(0.99 * len(ordered))], 1) if ordered else 0.0

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due += 0.1
            self._stop.wait(max(due - time.monotonic(), 0))
            self._late.append(max(time.monotonic() - due, 0.0))


@dataclass(frozen=True)
class Costs:
    """CPU seconds by program over a stretch of time; `others` is the rest of the machine."""

    wall: float = 0.0
    cpu: Mapping[str, float] = field(default_factory=dict)
    others: float = 0.0

    @property
    def idle(self) -> float:
        cores = os.cpu_count() or 1
        return max(self.wall * cores - sum(self.cpu.values()) - self.others, 0.0)

    def table(self, pods: int) -> str:
        """Milliseconds of CPU a pod, program by program."""
        parts = {**self.cpu, "(others here)": self.others, "(idle)": self.idle}
        return "  ".join(f"{name} {1000 * spent / pods:.2f}" for name, spent in parts.items())


class Meter:
    """CPU of the cluster's programs, of the bench itself and of `more` (name -> pid), from now."""

    def __init__(self, local: Cluster, more: Mapping[str, int]) -> None:
        pids = {role: pid for role in _ROLES for pid in processes.marked(local.directory, role)[:1]}
        self._pids = {**pids, **more, "bench": os.getpid()}
        self._before = self._look()

    def _look(self) -> tuple[float, Mapping[str, float], float]:
        spent = {name: _cpu(Path(f"/proc/{pid}/stat")) for name, pid in self._pids.items()}
        return time.monotonic(), spent, _machine()

    def costs(self) -> Costs:
        (at, before, machine), (now, after, machine_now) = self._before, self._look()
        cpu = {name: after[name] - before[name] for name in after}
        return Costs(now - at, cpu, max(machine_now - machine - sum(cpu.values()), 0.0))


def until_at_rest(local: Cluster, within: float = 120) -> None:
    """Wait until the cluster has digested what was stored: its programs use a tenth of a core."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        meter = Meter(local, {})
        time.sleep(2)
        costs = meter.costs()
        if sum(spent for name, spent in costs.cpu.items() if name != "bench") < 0.1 * costs.wall:
            return
    raise TimeoutError(f"the cluster is not at rest after {within:.0f} s")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all of its threads."""
    return _cpu(Path(f"/proc/{pid}/stat"))


PLAYED = kwok.LABEL  # of nodes that kwok plays
_ROLES = ("kube-apiserver", "etcd", "kube-controller-manager", "kwok", "kube-scheduler")


def _cpu(stat: Path) -> float:
    """User and system seconds of a process or thread that may have ended."""
    with contextlib.suppress(OSError):
        words = stat.read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS
    return 0.0


def _machine() -> float:
    """Seconds in which any core of this machine was busy."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    idle = int(words[3]) + int(words[4])
    return (sum(map(int, words[:8])) - idle) / _TICKS


def _field(status: str, name: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))
