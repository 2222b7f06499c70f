"""`bayplan dashboard` as its own process, as a user starts it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.cluster.under_test import ROOT

_MAIN = "from bayplan.cli.main import main; main()"
_PATIENCE_SECONDS = 60.0


@dataclass
class Dashboard:
    """`links` are the links that it prints, in order."""

    process: subprocess.Popen[str]
    links: "Queue[str]"

    def link(self) -> str:
        return self.links.get(timeout=_PATIENCE_SECONDS)

    @property
    def pid(self) -> int:
        return self.process.pid

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: its exit code, and what it said on stderr."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        code = self.process.wait(_PATIENCE_SECONDS)
        return code, self.process.stderr.read()


@contextmanager
def dashboard(*options: str, kubeconfig: Path | None = None) -> Iterator[Dashboard]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "PYTHONUNBUFFERED": "1"}
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, "dashboard", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        links: Queue[str] = Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                links.put(line.strip())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield Dashboard(process, links)
        finally:
            process.kill()
            reader.join()
