"""Random clusters: kube-scheduler's own PreFilter and Filter plugins answer as Bayplan does.

`make scheduler-judge N=20000` tries more of them and shrinks what differs.
"""

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scheduler import generator, purpose, trial
from tests.scheduler.judge import Judge

NUMBER = 2000
_EACH = 50
_NEW = os.environ.get("BAYPLAN_EXAMPLES") == "new"
_FIRST = secrets.randbelow(1 << 40) if _NEW else 0
_DOCS = Path(__file__).parents[2] / "docs/reference/placement.md"
_ENOUGH = 60  # clusters in which a planted fault must show
_SAMPLE = 300  # clusters in which every plugin must have refused something

FILTERS = {
    "InterPodAffinity",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "NodeUnschedulable",
    "NodeVolumeLimits",
    "PodTopologySpread",
    "TaintToleration",
    "VolumeBinding",
    "VolumeRestrictions",
    "VolumeZone",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """Quietly: what cannot be read is part of what is tried."""
    logging.disable(logging.CRITICAL)
    with Judge() as started:
        yield started
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, NUMBER, _EACH))
def test_every_difference_is_on_purpose(judge: Judge, first: int) -> None:
    """Each pair of pod and node, each placement at its moment, the end; nobody is left over."""
    unexplained: list[str] = []
    for seed in range(_FIRST + first, _FIRST + first + _EACH):
        cluster = generator.cluster(seed)
        unexplained += [
            f"seed {seed}: {difference}"
            for difference in trial.tried(judge, cluster).differences
            if not purpose.purpose(difference)
        ]

    assert unexplained == []


@pytest.mark.parametrize("one", purpose.ON_PURPOSE, ids=lambda one: one.name)
def test_users_are_told(one: purpose.Purpose) -> None:
    """What differs on purpose stands in the reference, under its heading."""
    section = _DOCS.read_text().partition(f"\n{purpose.HEADING}\n")[2].partition("\n## ")[0]

    assert f"\n* {one.told}" in section


def test_clusters_are_such_as_are_stored(judge: Judge) -> None:
    """An API server would accept every object: what it refuses proves nothing."""
    refused = {seed: judge.invalid(generator.cluster(seed)) for seed in range(_SAMPLE)}

    assert {seed: said for seed, said in refused.items() if said} == {}


def test_every_filter_has_its_say(judge: Judge) -> None:
    """Each plugin refuses somebody, and most pods find a node: else little is tried."""
    refusing: Counter[str] = Counter()
    waiting = homeless = 0
    for seed in range(_SAMPLE):
        cluster = generator.cluster(seed)
        (outcome,) = judge.ask(cluster, [{"judge": []}])
        for nodes in outcome.get("refused", {}).values():
            refusing.update(plugin for refusals in nodes.values() for plugin in refusals)
            waiting += 1
            homeless += len(nodes) == len(cluster["nodes"])

    assert refusing.keys() >= FILTERS
    assert homeless < waiting / 2


def test_fractions_of_a_milli_cpu(judge: Judge) -> None:
    """Too rare to be met by chance: two halves of a milli-CPU on a node that has one."""
    room = {"cpu": "1m", "memory": "1Gi", "pods": "1"}
    ready = [{"type": "Ready", "status": "True"}]
    half = {"image": "i", "resources": {"requests": {"cpu": "500u"}}}
    node = {
        "metadata": {"name": "n1"},
        "spec": {},
        "status": {"allocatable": room, "conditions": ready},
    }
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "a", **half}, {"name": "b", **half}],
            "schedulerName": "bayplan",
        },
        "status": {"phase": "Pending"},
    }
    cluster = generator.stamp({"nodes": [node], "pods": [pod]})

    names = {purpose.purpose(one) for one in trial.tried(judge, cluster).differences}

    assert names == {"fractions of a milli-CPU"}


# ── planted faults ───────────────────────────────────────────────────────────────────────────────


def _no_taints(cluster: Any) -> None:
    for node in cluster["nodes"]:
        node["spec"].pop("taints", None)


def _no_ports(cluster: Any) -> None:
    for pod in cluster["pods"]:
        for container in pod["spec"]["containers"]:
            container.pop("ports", None)


def _no_aversion(cluster: Any) -> None:
    for pod in cluster["pods"]:
        pod["spec"].get("affinity", {}).pop("podAntiAffinity", None)


def _no_spread(cluster: Any) -> None:
    for pod in cluster["pods"]:
        pod["spec"].pop("topologySpreadConstraints", None)


def _no_overhead(cluster: Any) -> None:
    for pod in cluster["pods"]:
        pod["spec"].pop("overhead", None)


@pytest.mark.parametrize("blind", [_no_taints, _no_ports, _no_aversion, _no_spread, _no_overhead])
def test_a_planted_fault_is_seen(judge: Judge, blind: Callable[[Any], None]) -> None:
    """Bayplan without eyes for one thing: pairs and placements differ soon."""
    whats = {
        difference.what
        for seed in range(_ENOUGH)
        for difference in trial.tried(judge, generator.cluster(seed), blind).differences
    }

    assert {"accepted", "placed"} <= whats
