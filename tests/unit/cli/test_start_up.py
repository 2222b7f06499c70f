"""What a short command spends beside its work, counted and not timed: a busy machine is slower."""

import json
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_PROGRAM = """
import atexit, gc, json, sys

def built():
    api = sys.modules["bayplan.api.batchjob_status"]
    return api.BatchJobStatus.__pydantic_complete__

atexit.register(lambda: print(json.dumps({
    "collections": sum(one["collections"] for one in gc.get_stats()),
    "status_built": built(),
    "left": gc.get_count()[0] + len(gc.get_objects()),
    "threads": open("/proc/self/status").read().partition("Threads:")[2].split()[0],
})))
sys.argv = ["bayplan", *sys.argv[1:]]
from bayplan.cli.main import main
main()
"""


def test_a_command_spends_little_on_housekeeping() -> None:
    paths = os.pathsep.join(map(str, (_ROOT / "operator", _ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    command = ["simulate", "examples/data-company", "-o", "json", "--seconds", "0.01"]

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *command],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    spent = json.loads(done.stdout.splitlines()[-1])
    assert spent["collections"] < 60  # 180 with Python's own threshold
    assert spent["left"] < 1000  # nothing is searched for garbage when the process ends
    assert not spent["status_built"]  # nobody validates a status: its schema is for the definition
    assert spent["threads"] == "1"  # numpy has started none
