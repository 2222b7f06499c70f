"""Updates, drains and roll-backs of a LongService on a real API server, counted by a watcher."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


@dataclass
class Counts:
    """How many instances there were after each event: ready ones, and those not being deleted."""

    ready: list[int] = field(default_factory=list)
    live: list[int] = field(default_factory=list)

    def add(self, found: Objects) -> None:
        self.ready.append(len(read.running(found)))
        self.live.append(sum("deletionTimestamp" not in one["metadata"] for one in found.values()))


def is_ready(found: Objects, count: int) -> bool:
    counted = found.get("web", {}).get("status", {}).get("availableReplicas", 0) == count
    return counted and read.holds(found, "web", "Ready")


@pytest.mark.parametrize(
    ("budget", "replicas", "least"), [("Strict", 4, 4), ("Strict", 1, 1), ("Auto", 4, 3)]
)
def test_kubectl_drain_passes(
    site: Site, namespace: str, budget: str, replicas: int, least: int
) -> None:
    """A drain ends with 0; under Strict no instance is ever missed, under Auto at most one."""
    pool = {"nodeSelector": {"pool": namespace}}
    nodes = site.nodes("m5.xlarge:us-east-1a=2", pool=namespace)
    strict = {"disruptionBudget": budget, "ready_delay": "1s"}
    site.kube.apply(make_service("web", namespace, replicas=replicas, pod=pool, **strict))
    site.kube.until(read.services(namespace), lambda found: is_ready(found, replicas))
    placed = read.running(site.kube.listed(read.pods(namespace)))
    (node,) = set(placed.values())
    counts = Counts()

    def moved(found: Objects) -> bool:
        counts.add(found)
        there = read.running(found)
        gone = all(one["spec"].get("nodeName") != node for one in found.values())
        return gone and len(there) == replicas

    with ThreadPoolExecutor(1) as aside:
        words = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s")
        drain = aside.submit(site.kube.kubectl, *words)
        site.kube.until(read.pods(namespace), moved, within=90)
        done = drain.result()
    site.kube.kubectl("uncordon", node)

    assert 0 == done.returncode
    assert least <= min(counts.ready)
    assert set(nodes) - {node} == set(read.running(site.kube.listed(read.pods(namespace))).values())


def test_ten_nodes_are_drained_under_their_budgets(site: Site, namespace: str) -> None:
    """One `kubectl drain` of ten full nodes ends with 0; Strict misses nobody, Auto one at most."""
    pool = {"nodeSelector": {"pool": namespace}}
    old = site.nodes("m5.large:us-east-1a=10", pool=namespace)
    least = {"strict": 20, "auto": 18, "single": 1}
    mix = {"strict": ("Strict", 20), "auto": ("Auto", 19), "single": ("Strict", 1)}
    site.kube.apply(
        *(
            make_service(
                *(name, namespace),
                replicas=replicas,
                cpu="400m",
                pod=pool,
                disruptionBudget=budget,
                ready_delay="1s",
            )
            for name, (budget, replicas) in mix.items()
        )
    )
    site.kube.until(read.pods(namespace), lambda found: len(read.running(found)) == 40, within=60)
    full = set(read.running(site.kube.listed(read.pods(namespace))).values())
    site.nodes("m5.large:us-east-1b=10", pool=namespace)
    fewest = dict.fromkeys(mix, 99)

    def moved(found: Objects) -> bool:
        ready = read.running(found)
        for name in mix:
            count = sum(pod.startswith(f"{name}-") for pod in ready)
            fewest[name] = min(fewest[name], count)
        here = any(one["spec"].get("nodeName") in old for one in found.values())
        return not here and len(ready) == 40

    with ThreadPoolExecutor(1) as aside:
        words = ("drain", *old, "--ignore-daemonsets", "--timeout=110s")
        drain = aside.submit(site.kube.kubectl, *words)
        site.kube.until(read.pods(namespace), moved, within=115)
        done = drain.result()

    assert set(old) == full
    assert 0 == done.returncode
    assert all(least[name] <= fewest[name] for name in mix), fewest


def test_five_hundred_are_updated_between_their_bounds(site: Site, namespace: str) -> None:
    """At 100/10 an update of 500 never has fewer than 500 ready, never more than 550 in all."""
    pool = {"nodeSelector": {"pool": namespace}}
    site.nodes("m5.4xlarge:us-east-1a=3,m5.4xlarge:us-east-1b=2", pool=namespace)
    strategy = {"minimumHealthyPercent": 100, "maximumSurgePercent": 10}
    more = {"replicas": 500, "updateStrategy": strategy, "pod": pool}
    site.kube.apply(make_service("web", namespace, **more))
    site.kube.until(read.services(namespace), lambda found: is_ready(found, 500), within=120)
    before = site.kube.listed(read.pods(namespace)).keys()
    site.kube.apply(make_service("web", namespace, cpu="101m", **more))
    counts = Counts()

    def replaced(found: Objects) -> bool:
        counts.add(found)
        return not before & found.keys() and counts.ready[-1] == counts.live[-1] == 500

    site.kube.until(read.pods(namespace), replaced, within=240)

    assert 500 == min(counts.ready)
    assert 550 >= max(counts.live) > 500


def test_racing_scales_end_at_the_last(site: Site, namespace: str) -> None:
    """`kubectl scale` again and again, as autoscalers do: the last holds, none overshoots."""
    pool = {"nodeSelector": {"pool": namespace}}
    site.nodes("m5.2xlarge:us-east-1a=1", pool=namespace)
    site.kube.apply(make_service("web", namespace, replicas=2, pod=pool))
    counts = Counts()

    def at_last(found: Objects) -> bool:
        counts.add(found)
        return counts.ready[-1] == counts.live[-1] == 6

    with ThreadPoolExecutor(1) as aside:
        words = ("scale", "longservice/web", "-n", namespace)
        race = aside.submit(
            lambda: [site.kube.kubectl(*words, f"--replicas={n}") for n in (5, 1, 8, 0, 3, 6)]
        )
        site.kube.until(read.pods(namespace), at_last)  # perhaps on the way
        race.result()
        site.kube.until(read.pods(namespace), at_last)
        site.kube.until(read.services(namespace), lambda found: is_ready(found, 6))

    assert 8 >= max(counts.live)


def test_what_never_gets_ready_goes_back(site: Site, namespace: str) -> None:
    """A template that finds no readiness is given up after its deadline, with the reason."""
    pool = {"nodeSelector": {"pool": namespace}}
    site.nodes("m5.xlarge:us-east-1a=1", pool=namespace)
    more = {"replicas": 2, "updateStrategy": {"progressDeadlineSeconds": 5}, "pod": pool}
    site.kube.apply(make_service("web", namespace, **more))
    site.kube.until(read.services(namespace), lambda found: is_ready(found, 2))
    before = site.kube.listed(read.pods(namespace)).keys()
    site.kube.apply(make_service("web", namespace, ready_delay="1h", **more))
    stored = site.kube.until(
        read.services(namespace),
        lambda found: read.condition(found["web"], "Stalled") and found["web"],
        within=60,
    )
    site.kube.until(read.pods(namespace), lambda found: found.keys() == before, within=60)

    assert "RolledBack" == read.condition(stored, "Stalled")["reason"]
    assert "No progress for 5 s" in stored["status"]["badRevisions"][0]["message"]


def test_steps_wait_for_a_promotion(site: Site, namespace: str) -> None:
    """`{percent: 25, manual: true}` stops at one of four; `bayplan.dev/promote` lets it go on."""
    pool = {"nodeSelector": {"pool": namespace}}
    site.nodes("m5.xlarge:us-east-1a=1", pool=namespace)
    strategy = {"steps": [{"percent": 25, "manual": True}]}
    more = {"replicas": 4, "updateStrategy": strategy, "pod": pool}
    site.kube.apply(make_service("web", namespace, **more))
    site.kube.until(read.services(namespace), lambda found: is_ready(found, 4))
    site.kube.apply(make_service("web", namespace, cpu="101m", **more))
    waiting = site.kube.until(
        read.services(namespace),
        lambda found: (
            read.condition(found["web"], "Progressing").get("reason") == "StepReached"
            and found["web"]
        ),
    )
    site.kube.kubectl("annotate", "longservice/web", "-n", namespace, "bayplan.dev/promote=go")
    site.kube.until(
        read.services(namespace),
        lambda found: is_ready(found, 4) and found["web"]["status"]["updatedReplicas"] == 4,
    )

    assert 1 == waiting["status"]["updatedReplicas"]
