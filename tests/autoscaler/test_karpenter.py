"""Beside a real Karpenter: it buys what waits for room, sells what is idle, breaks nothing.

Karpenter core itself runs here, with the provider whose nodes kwok plays: what it makes of the
operator's pods, conditions, annotations and budgets is its own code's verdict. `-s` shows figures.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.autoscaler.shop import CLAIMS, MIX, Fleet, Shop
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

AFRESH = 1.4  # times a plan's dollars that it pays for a whole load; 1.22 to 1.41 were seen
LONGEST_BATCH_SECONDS = 10  # for which Karpenter gathers pods before it decides


def say(*words: object) -> None:
    """A figure for who runs this with -s."""
    print(*words, file=sys.stderr)  # noqa: T201


def test_five_hundred_get_their_nodes(shop: Shop) -> None:
    """0 -> 500 instances: bound within 60 s of their nodes' readiness, none beside room."""
    bodies = shop.services(100)
    began = time.monotonic()
    shop.kube.apply(*bodies)
    shop.until_ready(100, within=240)
    took = time.monotonic() - began
    timeline = shop.timeline()
    say(f"500 ready in {took:.0f} s:", shop.fleet(shop.plan(bodies)))
    say(f"waited {timeline.longest_wait()} s; beside room {timeline.longest_idle_room()} s")

    assert 60 >= timeline.longest_wait()
    assert LONGEST_BATCH_SECONDS >= timeline.longest_idle_room()


@pytest.mark.parametrize("order", ["YoungestFirst", "EmptiestFirst"])
def test_half_the_load_costs_half(shop: Shop, order: str) -> None:
    """500 -> 250: within ten minutes the nodes fall to 1.15 times those of a plan.

    Nor do they cost more then, beside the plan, than what Karpenter buys afresh beside its own. Not
    both at one moment: it goes on and sells a large node for two small ones that are cheaper.
    """
    whole = shop.services(100, scaleDown={"order": order})
    shop.kube.apply(*whole)
    shop.until_ready(100, within=240)
    half = shop.services(50, scaleDown={"order": order})
    plan = shop.plan(half)
    say("bought:", shop.fleet(shop.plan(whole)))
    began = time.monotonic()
    shop.kube.apply(*half)

    def until(fallen: Callable[[Fleet], bool]) -> None:
        def met(nodes: Objects) -> Fleet | None:
            fleet = shop.fleet_of(nodes, plan)
            return fleet if fallen(fleet) else None

        left = began + 600 - time.monotonic()
        fleet = shop.kube.until("/api/v1/nodes", met, within=left)
        say(f"{order}, after {time.monotonic() - began:3.0f} s:", fleet)

    until(lambda fleet: fleet.nodes <= 1.15 * fleet.planned_nodes)
    until(lambda fleet: fleet.dollars <= AFRESH * fleet.planned_dollars)
    shop.until_ready(50, within=60)


def test_drift_replaces_every_node_within_the_budgets(shop: Shop) -> None:
    """Every node is replaced; `Strict` services miss nobody, `Auto` ones one at most."""
    replicas = 20
    least = {name: replicas if name in {"web", "model"} else replicas - 1 for name in MIX}
    bodies = shop.services(replicas, ready_delay="1s")
    for body in bodies:
        strict = least[body["metadata"]["name"]] == replicas
        body["spec"]["disruptionBudget"] = "Strict" if strict else "Auto"
    shop.kube.apply(*bodies)
    shop.until_ready(replicas, within=240)
    old = shop.nodes().keys()
    fewest: dict[str, int] = defaultdict(lambda: replicas)

    def replaced(pods: Objects) -> bool:
        ready = read.running(pods)
        for name in MIX:
            count = sum(
                pods[pod]["metadata"]["labels"]["bayplan.dev/service"] == name for pod in ready
            )
            fewest[name] = min(fewest[name], count)
        return not old & {pod["spec"].get("nodeName") for pod in pods.values()}

    began = time.monotonic()
    shop.drift()
    shop.kube.until(read.pods(shop.namespace), replaced, within=600)
    shop.kube.until("/api/v1/nodes", lambda found: not old & found.keys(), within=120)
    shop.until_ready(replicas, within=60)
    took = time.monotonic() - began
    say(f"{len(old)} nodes replaced in {took:.0f} s; fewest ready {dict(fewest)}")

    assert all(fewest[name] >= least[name] for name in MIX), dict(fewest)
    assert {"second"} == {node["metadata"]["labels"]["edition"] for node in shop.nodes().values()}


def test_what_a_quota_blocks_buys_no_node(shop: Shop) -> None:
    """1,000 tasks beyond a quota: Karpenter buys one node, for the one service that may run."""
    pod: dict[str, Any] = {"nodeSelector": {"pool": shop.namespace}}
    blocked = shop.site.namespace()
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.cpu": "0"}}}
    quotas = f"/api/v1/namespaces/{blocked}/resourcequotas"
    shop.kube.create(quotas, quota)
    shop.kube.until(quotas, lambda found: found["none"].get("status", {}).get("hard"))
    crowd = [make_service("crowd", blocked, replicas=900, cpu="1", pod=pod)]
    crowd += [make_job(f"job-{n}", blocked, cpu="1", seconds=600, pod=pod) for n in range(100)]
    shop.kube.apply(*crowd)
    shop.kube.until(read.services(blocked), lambda found: refused(found, 1), within=60)
    shop.kube.until(read.jobs(blocked), lambda found: refused(found, 100), within=60)
    shop.kube.apply(make_service("web", shop.namespace, replicas=1, pod=pod))
    shop.kube.until(
        read.services(shop.namespace), lambda found: read.holds(found, "web", "Ready"), within=120
    )

    assert {} == shop.kube.listed(read.pods(blocked))
    assert 1 == len(shop.kube.listed(CLAIMS))


def refused(found: Objects, count: int) -> bool:
    """Whether so many resources say that a quota is used up."""
    ready = [read.condition(one, "Ready").get("reason") for one in found.values()]
    return ready.count("QuotaExceeded") == count
