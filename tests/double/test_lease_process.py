"""The lease's own process, before a server that keeps one Lease: real processes, in real time."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# An operator without anything but a lease. It does what it is told, line by line.
OPERATOR = """
import sys, threading, time
from bayplan import logs
from bayplan.runtime import lease_process
from bayplan.settings import Settings

def say(word):
    sys.stderr.write(f"operator: {word}\\n")

logs.set_up_logging("text", "info")
lease = lease_process.LeaseProcess(Settings(
    kubeconfig=sys.argv[1], identity="me", lease_duration_seconds=3,
    lease_renew_deadline_seconds=2, lease_retry_seconds=0.3, stuck_after_seconds=30,
))
lease.tell(lambda: say("gained"), lambda: say("lost"))
say(f"renewed by {lease._pid}")
lease.start()
for line in sys.stdin:
    lease.beat()
    if line == "compute\\n":
        sum(range(int(2e8)))  # one step of the interpreter: no other thread runs meanwhile
        say(f"computed, holding {lease.holding()}")
    elif line == "ask\\n":
        say(f"holding {lease.holding()}")
    else:
        lease.stop(10)
        say(f"stopped, holding {lease.holding()}")
        break
"""


class Server(http.server.ThreadingHTTPServer):
    """One Lease, with versions; whoever waits is told of each write."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.changed = threading.Condition()
        self.lease: dict[str, Any] | None = None
        self.writes = 0

    def until(self, met: Callable[[], bool], within: float = 30) -> None:
        with self.changed:
            assert self.changed.wait_for(met, within), self.lease

    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        found: dict[str, Any] = self.lease["spec"]
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer(404 if self.server.lease is None else 200)

    def do_POST(self) -> None:
        self._write(lambda body: body)

    def do_PATCH(self) -> None:
        def merged(body: dict[str, Any]) -> dict[str, Any] | None:
            stored = self.server.lease
            if stored is None or body["metadata"]["resourceVersion"] != str(self.server.writes):
                return None
            return {**stored, "spec": {**stored["spec"], **body["spec"]}}

        self._write(merged)

    def _write(self, make: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.changed:
            made = make(body)
            if made is not None:
                self.server.writes += 1
                made["metadata"] = {
                    "namespace": "default",
                    "name": "bayplan",
                    "resourceVersion": str(self.server.writes),
                }
                self.server.lease = made
                self.server.changed.notify_all()
        self._answer(409 if made is None else 200)

    def _answer(self, status: int) -> None:
        data = json.dumps(self.server.lease if status == 200 else {"code": status}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Operator:
    """The process above; what it and the lease's process say comes by one pipe."""

    def __init__(self, server: Server, folder: Path) -> None:
        kubeconfig = folder / "kubeconfig"
        where = {"server": f"http://127.0.0.1:{server.server_port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": where}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        self.server = server
        self._process = subprocess.Popen(
            [sys.executable, "-c", OPERATOR, str(kubeconfig)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={"PYTHONPATH": str(ROOT / "operator"), "HOME": str(folder)},
        )
        self.renewer = int(self.until("renewed by").split()[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.close()
        self._process.stderr.close()

    def until(self, text: str) -> str:
        """The next line that holds this text."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text in line:
                return line
        raise AssertionError(f"all have ended before: {text}")

    def rest(self) -> str:
        """What is still said until both processes have ended."""
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """One that has gained the lease."""
    with Server() as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        with Operator(server, tmp_path) as found:
            found.until("operator: gained")
            yield found
        server.shutdown()
        serving.join(10)


def test_it_is_renewed_while_no_thread_of_the_operator_can_run(operator: Operator) -> None:
    """Whoever holds the interpreter lock for seconds loses nothing."""
    operator.tell("compute")
    before = operator.server.writes
    said = operator.until("operator: computed")

    assert "holding True" in said
    assert operator.server.writes >= before + 2


def test_it_is_released_at_the_end(operator: Operator) -> None:
    """Told to stop, the next one may begin at once; no process is left."""
    operator.tell("stop")
    said = operator.until("operator: stopped")
    operator.rest()

    assert "holding False" in said
    assert "" == operator.server.spec()["holderIdentity"]


def test_a_killed_operator_is_renewed_no_more(operator: Operator) -> None:
    """Its lease runs out: what it wrote last may be on its way."""
    operator.kill()
    operator.rest()

    assert "me" == operator.server.spec()["holderIdentity"]


def test_a_stopped_operator_is_renewed_no_more(operator: Operator) -> None:
    """SIGSTOP: the lease runs out meanwhile, and when it goes on it may not write."""
    operator.send(signal.SIGSTOP)
    operator.until("the main loop is silent")
    operator.until("lease lost")
    operator.send(signal.SIGCONT)
    operator.until("operator: lost")
    operator.tell("ask")

    assert "holding False" in operator.until("operator: holding")


def test_the_end_of_its_process_is_a_loss(operator: Operator) -> None:
    """Nobody renews any more: the operator hears of it."""
    subprocess.run(["kill", "-KILL", str(operator.renewer)], check=True)

    assert operator.until("operator: lost")


def test_signals_to_all_of_them_are_the_operators(operator: Operator) -> None:
    """A terminal or a runtime that signals every process: the operator decides when to let go."""
    for name in ("-TERM", "-INT"):
        subprocess.run(["kill", name, str(operator.renewer)], check=True)
    before = operator.server.writes
    operator.server.until(lambda: operator.server.writes >= before + 3)
    operator.tell("ask")

    assert "holding True" in operator.until("operator: holding")
