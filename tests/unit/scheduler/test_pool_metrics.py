"""What is measured of Pools: counts of what happens to orders, and what the statuses say."""

import dataclasses
from typing import Any

from bayplan.metrics import Metrics
from bayplan.model.claim_names import claim_name
from bayplan.model.node_claims import NodeClaim
from bayplan.model.pods import UNSCHEDULABLE, WAITING_FOR_NODE
from bayplan.model.reasons import Reason
from bayplan.model.workloads import Plan
from bayplan.reconcile.pool.facts import Cause
from bayplan.scheduler.commit import Patience
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from tests.builders import make_pod
from tests.unit.scheduler.test_commit import refused, wanted_of
from tests.unit.scheduler.test_loop import NOON, Scene

SECONDS = "pool_order_to_usable_seconds"


def make_claim(pool: str = "a", serial: int = 0, **more: Any) -> NodeClaim:
    name = claim_name(pool, "uid", serial)
    return NodeClaim(name, uid=f"{pool}{serial}", pool=pool, created_at=NOON, **more)


def make_status(**more: Any) -> dict[str, Any]:
    return {"claims": {"requested": 1, "usable": 2}, "waitingPods": 3, "conditions": [], **more}


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"bayplan_{name}", labels)


def test_what_a_status_says_is_shown() -> None:
    """Dollars, a ratio instead of percent, nodes by state, and each condition."""
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "Unknown"}]
    costs = {"dollarsPerHour": "12.50", "boundDollarsPerHour": "10.00", "gapPercent": "25.0"}
    metrics = Metrics()
    PoolMetrics(metrics).show({"a": make_status(**costs, conditions=conditions)})

    assert (12.5, 10.0, 0.25) == tuple(
        sample(metrics, f"pool_{name}", pool="a")
        for name in ("cost_dollars_per_hour", "cost_bound_dollars_per_hour", "gap_ratio")
    )
    assert (1, 0, 2) == tuple(
        sample(metrics, "pool_nodes", pool="a", state=state)
        for state in ("requested", "launched", "usable")
    )
    assert 3 == sample(metrics, "pool_waiting_pods", pool="a")
    assert (1, 0) == tuple(
        sample(metrics, "pool_condition", pool="a", condition=kind)
        for kind in ("Ready", "Degraded")
    )


MOVING = {
    "moves": {"lastHour": 3},
    "closing": 2,
    "draining": 1,
    "promisedDollarsPerHour": "0.57",
    "blocked": [{"node": "n1", "dollarsPerHour": "0.38"}, {"node": "n2", "dollarsPerHour": "0.12"}],
}


def test_what_moves_is_shown() -> None:
    """Of a Pool that consolidates: nodes that go, what that saves, and what the others cost."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    measured.show({"a": make_status(**MOVING), "b": make_status()})

    assert (2, 1, 0.57, 0.5) == tuple(
        sample(metrics, f"pool_{name}", pool="a")
        for name in (
            "closing_nodes",
            "draining_nodes",
            "promised_dollars_per_hour",
            "blocked_dollars_per_hour",
        )
    )
    assert None is sample(metrics, "pool_closing_nodes", pool="b")
    assert None is sample(metrics, "pool_moves_total", pool="b", cause="Consolidation")


def test_moves_and_savings_are_counted() -> None:
    """Each cause by itself, from 0; a Pool that is gone is no longer shown."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    measured.show({"a": make_status(**MOVING)})
    before = [
        sample(metrics, "pool_moves_total", pool="a", cause="Consolidation"),
        sample(metrics, "pool_saved_dollars_per_hour_total", pool="a"),
    ]
    measured.moved("a", Cause.CONSOLIDATION, 3)
    measured.moved("a", Cause.INTERRUPTION)
    measured.saved("a", 1_250_000)
    measured.saved("a", -1)

    assert [0, 0] == before
    assert (3, 1, 1.25) == (
        sample(metrics, "pool_moves_total", pool="a", cause="Consolidation"),
        sample(metrics, "pool_moves_total", pool="a", cause="Interruption"),
        sample(metrics, "pool_saved_dollars_per_hour_total", pool="a"),
    )
    measured.show({})
    assert b'pool="a"' not in metrics.page()


def test_counters_begin_at_zero() -> None:
    """So that Prometheus sees the first refusal as an increase."""
    metrics = Metrics()
    PoolMetrics(metrics).show({"a": make_status()})

    for name in ("orders", "refusals", "stuck", "retired", "fallbacks"):
        assert 0 == sample(metrics, f"pool_{name}_total", pool="a"), name


def test_a_pool_that_is_gone_and_a_figure_that_is_no_longer_known() -> None:
    """Neither stays on the page."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    both = {"a": make_status(dollarsPerHour="1.00"), "b": make_status(dollarsPerHour="1.00")}
    measured.show(both)
    measured.ordered("b")
    measured.show({"a": make_status()})

    assert None is sample(metrics, "pool_cost_dollars_per_hour", pool="a")
    assert b'pool="b"' not in metrics.page()
    assert b'pool="a"' in metrics.page()


def test_from_the_order_to_the_usable_node() -> None:
    """Measured once, by the first look that sees the node usable."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    measured.watch([make_claim()], NOON + 1)
    measured.watch([make_claim(provider_id="i", registered=True)], NOON + 30)
    usable = make_claim(provider_id="i", registered=True, initialized=True)
    measured.watch([usable], NOON + 42)
    measured.watch([usable], NOON + 43)

    assert (1, 42) == (
        sample(metrics, f"{SECONDS}_count", pool="a"),
        sample(metrics, f"{SECONDS}_sum", pool="a"),
    )


def test_what_nobody_saw_is_not_measured() -> None:
    """A node that was there at the start, Karpenter's, a claim that goes, one of no Pool."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    usable = {"provider_id": "i", "registered": True, "initialized": True}
    karpenters = dataclasses.replace(make_claim(serial=1), name="of-a-x7k2p")
    foreign = dataclasses.replace(make_claim(serial=3), pool="")
    measured.refused("")
    measured.watch(
        [make_claim(**usable), karpenters, make_claim(serial=2, deleting=True), foreign], NOON
    )
    measured.watch(
        [
            make_claim(**usable),
            dataclasses.replace(karpenters, **usable),
            make_claim(serial=2, **usable),
            dataclasses.replace(foreign, **usable),
        ],
        NOON + 9,
    )

    assert b"{pool=" not in metrics.page()


def test_a_delete_that_is_repeated_counts_once() -> None:
    """The API server may refuse it; the same node is then given back again, second by second."""
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    for _ in range(3):
        measured.given_back("a", make_claim().uid)
        measured.watch([make_claim()], NOON)

    assert 1 == sample(metrics, "pool_retired_total", pool="a")


def test_orders_and_refusals_are_counted() -> None:
    metrics = Metrics()
    measured = PoolMetrics(metrics)
    for _ in range(2):
        measured.ordered("a")
    measured.refused("b")
    measured.withdrawn("b")

    assert 2 == sample(metrics, "pool_orders_total", pool="a")
    assert 1 == sample(metrics, "pool_refusals_total", pool="b")
    assert 1 == sample(metrics, "pool_stuck_total", pool="b")


def test_a_pod_that_waited_too_long_is_counted_once() -> None:
    """From WaitingForNode to Unschedulable: however many cycles the write takes; for each Pool."""
    scene = Scene()
    scene.loop.commit.patience = lambda _: Patience(60, "Pools a, b buy a node for it.", ("a", "b"))
    [one] = wanted_of(scene).values()
    pods = {
        reason: make_pod(name=reason.lower(), uid=reason, created_at=NOON, scheduled_reason=reason)
        for reason in (WAITING_FOR_NODE, UNSCHEDULABLE)
    }

    def cycle(now: int) -> None:
        for pod in pods.values():
            scene.cache.state.set_pod(pod)
        plan = Plan(refused=tuple(refused(pod.key, one, Reason.RESOURCES) for pod in pods.values()))
        scene.loop.commit.carry_out(plan, {}, (), now, 1)

    cycle(NOON + 59)
    assert None is sample(scene.metrics, "pool_fallbacks_total", pool="a")

    cycle(NOON + 61)
    cycle(NOON + 62)
    assert (1, 1) == tuple(
        sample(scene.metrics, "pool_fallbacks_total", pool=pool) for pool in "ab"
    )
