"""How all tests run: in which order, and what the laws' examples are.

What one person changed is judged by the same examples before and after; `make laws` goes on looking
with new ones. A busy machine is no fault: laws have no deadline of their own (every test has a
long one).
"""

import gc
import os

import pytest
from hypothesis import settings

# Nearly all that a test makes goes with its last reference. To look for circles at every 700th
# object costs a fifth of the time of histories and laws.
gc.set_threshold(100_000, 50, 100)

settings.register_profile("same", settings(), deadline=None, derandomize=True, database=None)
settings.register_profile("new", settings(), deadline=None)
settings.load_profile(os.environ.get("BAYPLAN_EXAMPLES", "same"))


# Files with a cluster that take a minute or more. They begin first, so that none is left over when
# all other files are done and only one process has something to do.
LONG = (
    "kubelet/test_starting.py",
    "cluster/test_demo.py",
    "cluster/test_placement.py",
    "kubelet/test_operator.py",
    "cluster/test_batchjob.py",
    "cluster/test_localcluster.py",
    "jepsen/test_jepsen.py",
    "cluster/test_killed.py",
    "cluster/test_longservice_rollouts.py",
    "kubelet/test_services.py",
    "kubelet/test_draining.py",
    "kubelet/test_consolidating.py",
    "cluster/test_helm.py",
    "cluster/test_docs_guides.py",
    "cluster/test_longservice_outside.py",
    "cluster/test_stateful.py",
    "cluster/test_process.py",
    "cluster/test_longservice.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"tests/{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda one: rank.get(one.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end: it is never looked at again."""
    gc.collect()
    gc.freeze()
