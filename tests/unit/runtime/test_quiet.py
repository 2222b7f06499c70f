"""Standard output is for answers: what a library prints by itself does not reach it."""

import json
import subprocess
import sys
from pathlib import Path

import bayplan

# The solver as some of its releases are: it says who it is, by C's buffer and by the descriptor.
LOUD = """
import ctypes, os, sys
import highspy

class Loud(highspy.Highs):
    def __init__(self):
        super().__init__()
        os.write(1, b"Running HiGHS\\n")
        ctypes.CDLL(None).puts(b"Copyright (c) HiGHS")

highspy.Highs = Loud
"""
SIMULATE = """
from bayplan.cli.main import main
main(["simulate", "--seconds", "0.05", "-o", "json", "-"])
"""
WORKER = """
import asyncio, multiprocessing
import numpy as np
from bayplan.runtime import solver_process
from bayplan.optimizer.problem import Problem
from bayplan.optimizer.purchase import purchase

problem = Problem.of(np.array([9]), np.array([[2, 2]]), np.array([[5, 9]]), np.array([10]))
ours, theirs = multiprocessing.Pipe()
ours.send((purchase, (problem,), 0.2, 0))
ours.close()
solver_process._work(theirs)
"""
POD = """
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
  {"name": "a", "image": "x", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}}
"""


def printed(program: str, text: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", LOUD + program],
        env={"PYTHONPATH": str(Path(bayplan.__file__).parents[1])},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_a_simulation_prints_nothing_but_its_answer() -> None:
    """JSON that a program can read, whatever the solver says."""
    assert 1 == json.loads(printed(SIMULATE, POD))["placed"]


def test_the_worker_prints_nothing() -> None:
    """Its output is the operator's log."""
    assert "" == printed(WORKER)


def test_the_solver_is_loud_in_this_test() -> None:
    """The tests above would see it."""
    assert "Running HiGHS" in printed("highspy.Highs()")
