"""Pools on the real core of Karpenter: operators that die, refusals, claims that hang.

All the while somebody else buys through another NodePool. `-s` shows figures.
"""

import json
import sys

import pytest

from tests.autoscaler.pools.ground import (
    CLASSES,
    NODES,
    POOLS,
    Customer,
    Ground,
    PoolUnderTest,
    node_class,
)
from tests.autoscaler.shop import CLAIMS
from tests.cluster import read
from tests.cluster.kube import Objects

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# Longer than a claim may wait for an instance, and Karpenter's own pause after that.
LONGEST_WAIT_SECONDS = 45


def say(*words: object) -> None:
    """A figure for who runs this with -s."""
    print(*words, file=sys.stderr)  # noqa: T201


@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "answered"])
def test_killed_after_every_write(ground: Ground, customer: Customer, *, answered: bool) -> None:
    """B1, B6: three pods get three nodes, not four, and the nodes go back through the fence.

    Every life of the operator ends with its first write, before or after it hears the answer.
    """
    patient = {"fallback": {"to": "None"}}  # so many lives take longer than others would wait
    with ground.pool(retirement={"emptySeconds": 3}, buying=patient) as pool:
        pool.proxy.script(pool.dies_by_first_write(answered=answered))
        pool.keep()
        pool.create_pods(3)
        pool.until_placed(3, within=300)
        bought, lives = pool.calls("POST", CLAIMS), len(pool.children)

        assert 3 == len(bought)
        assert 3 == len(pool.claims())

        for number in range(3):
            pool.kube.delete(f"{read.pods(pool.namespace)}/p{number}")
        pool.until_claims(lambda found: not found, within=300)
        say(f"{lives} lives to buy, {len(pool.children) - lives} to give back")
        say(f"others waited {max(customer.waits):.1f} s at most, {len(customer.waits)} times")

        assert 3 == len(pool.calls("POST", CLAIMS))
        _assert_fenced(pool)
    assert not customer.failed
    assert LONGEST_WAIT_SECONDS >= max(customer.waits)


def _assert_fenced(pool: PoolUnderTest) -> None:
    """Each delete comes ten seconds after its node's taint, and right after a list of its pods."""
    taints = [one for one in pool.calls("PATCH", NODES) if b"bayplan.dev/draining" in one.body]
    lists = [one.at for one in pool.calls("GET", "/api/v1/pods") if "fieldSelector" in one.query]
    deletes = pool.calls("DELETE", CLAIMS)
    assert 3 <= len(deletes)
    for delete in deletes:
        claim = delete.path.rpartition("/")[2]
        (tainted_at,) = [one.at for one in taints if f"kwok-{claim}-" in one.path]
        assert tainted_at + 10 <= delete.at
        assert any(delete.at - 6 <= at <= delete.at for at in lists)


def test_refused_everywhere_then_karpenter(ground: Ground, customer: Customer) -> None:
    """B4, B7: no offering is asked for twice, and after its time the pod is Unschedulable.

    Without its node class Karpenter refuses every claim.
    """
    types = ["m5.large", "m5.xlarge", "c5.large", "r5.large"]
    fallback = {"to": "Karpenter", "afterSeconds": 30}
    with ground.pool(types=types, buying={"alternatives": 2, "fallback": fallback}) as pool:
        pool.keep()
        pool.kube.until(POOLS, lambda found: read.holds(found, pool.name, "Ready"))
        pool.kube.delete(f"{CLASSES}/{pool.name}")  # the operator looks once a minute
        pool.create_pods(1)

        def reason(found: Objects) -> str:
            return str(read.condition(found["p0"], "PodScheduled").get("reason", ""))

        pods = read.pods(pool.namespace)
        first = pool.kube.until(pods, reason, within=60)
        pool.kube.until(pods, lambda found: reason(found) == "Unschedulable", within=90)
        asked = [json.loads(one.body) for one in pool.calls("POST", CLAIMS)]
        say(f"{len(asked)} claims were refused")

        assert "WaitingForNode" == first
        assert 1 <= len(asked)
        offered = [each for body in asked for each in _offerings(body)]
        assert sorted(set(offered)) == sorted(offered)
        pool.kube.create(CLASSES, node_class(pool.name))
    assert not customer.failed


def _offerings(body: dict[str, object]) -> list[tuple[str, str]]:
    spec = body["spec"]
    assert isinstance(spec, dict)
    values = {one["key"]: one["values"] for one in spec["requirements"] if one["operator"] == "In"}
    kinds = values["node.kubernetes.io/instance-type"]
    return [(kind, zone) for kind in kinds for zone in values["topology.kubernetes.io/zone"]]


def test_a_stuck_claim_does_not_stop_the_others(ground: Ground, customer: Customer) -> None:
    """B5: a claim for a type that the provider does not know goes, and others go on buying."""
    fallback = {"to": "None"}
    with ground.pool(
        types=["m6i.large"], buying={"launchSeconds": 10, "fallback": fallback}
    ) as pool:
        pool.keep()
        pool.create_pods(1)
        (name,) = pool.until_claims(tuple, within=60)
        pool.until_claims(lambda found: name not in found, within=30)
        (deleted,) = pool.calls("DELETE", CLAIMS)[:1]
        (posted,) = pool.calls("POST", CLAIMS)[:1]
        say(f"withdrawn {deleted.at - posted.at:.1f} s after it was sent")

        assert 20 >= deleted.at - posted.at
        waits = len(customer.waits)
        pool.kube.until(
            CLAIMS,
            lambda _: len(customer.waits) > waits + 1,
            within=90,
        )
    assert not customer.failed
    say(f"others waited {max(customer.waits):.1f} s at most, {len(customer.waits)} times")
    assert LONGEST_WAIT_SECONDS >= max(customer.waits)
