"""The metrics, named in one table. Nothing here decides anything.

Labels are few and closed: never a pod's, a job's or a namespace's name; Pools, which are few, are
named. Names are part of the product's interface (docs/reference/metrics.md is generated from this
file).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CYCLE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_LATENCY_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_NODE_BUCKETS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900)
OUTCOMES = ("Succeeded", "Failed", "Lost")  # of a run


@dataclass(slots=True, eq=False)
class Metrics:
    """One registry per process; tests make their own."""

    registry: CollectorRegistry = field(
        default_factory=lambda: CollectorRegistry(auto_describe=True)
    )
    nodes: Gauge = field(init=False)
    allocatable: Gauge = field(init=False)
    requested: Gauge = field(init=False)
    stranded: Gauge = field(init=False)
    cost: Gauge = field(init=False)
    bound: Gauge = field(init=False)
    gap: Gauge = field(init=False)
    pending: Gauge = field(init=False)
    companions: Gauge = field(init=False)
    leader: Gauge = field(init=False)
    set_aside: Gauge = field(init=False)
    mass_loss: Gauge = field(init=False)
    resources: Gauge = field(init=False)
    cycle_seconds: Histogram = field(init=False)
    solve_seconds: Histogram = field(init=False)
    slot_lateness: Histogram = field(init=False)
    decision_to_running: Histogram = field(init=False)
    loop_lag: Histogram = field(init=False)
    clock_skew: Gauge = field(init=False)
    writes: Counter = field(init=False)
    backlog: Gauge = field(init=False)
    watch_restarts: Counter = field(init=False)
    runs: Counter = field(init=False)
    slots_missed: Counter = field(init=False)
    runs_late: Counter = field(init=False)
    notices: Counter = field(init=False)
    undecodable: Counter = field(init=False)
    reconcile_errors: Counter = field(init=False)
    pool_nodes: Gauge = field(init=False)
    pool_cost: Gauge = field(init=False)
    pool_bound: Gauge = field(init=False)
    pool_gap: Gauge = field(init=False)
    pool_waiting: Gauge = field(init=False)
    pool_condition: Gauge = field(init=False)
    pool_orders: Counter = field(init=False)
    pool_refusals: Counter = field(init=False)
    pool_stuck: Counter = field(init=False)
    aws_calls: Counter = field(init=False)
    pool_retired: Counter = field(init=False)
    pool_fallbacks: Counter = field(init=False)
    pool_order_to_usable: Histogram = field(init=False)
    pool_closing: Gauge = field(init=False)
    pool_draining: Gauge = field(init=False)
    pool_promised: Gauge = field(init=False)
    pool_blocked: Gauge = field(init=False)
    pool_moves: Counter = field(init=False)
    pool_saved: Counter = field(init=False)

    def __post_init__(self) -> None:
        gauge, counter, histogram = self._gauge, self._counter, self._histogram
        self.nodes = gauge("nodes", "Nodes that Bayplan fills, by state.", "state")
        self.allocatable = gauge(
            "allocatable", "What nodes have for pods (cores, bytes, counts).", "resource"
        )
        self.requested = gauge(
            "requested", "What pods on those nodes ask for (cores, bytes, counts).", "resource"
        )
        self.stranded = gauge(
            "stranded",
            "Free room of nodes where no pod like those that run would fit (cores, bytes, counts).",
            "resource",
        )
        self.cost = gauge("cost_dollars_per_hour", "Price of the nodes in use, where known.")
        self.bound = gauge(
            "cost_bound_dollars_per_hour",
            "Proven least price of nodes of the present kinds for the pods that run.",
        )
        self.gap = gauge("packing_gap_ratio", "(cost - bound) / bound, of the nodes in use.")
        self.pending = gauge(
            "pending_tasks", "Tasks without room, by their first reason.", "reason"
        )
        self.companions = gauge(
            "companions_awaited",
            "Pods for which room is held because a placed pod will make them.",
        )
        self.leader = gauge("leader", "1 while this process holds the lease.")
        self.set_aside = gauge("set_aside", "Classes of pods set aside after a defect of ours.")
        self.mass_loss = gauge(
            "mass_loss_brake",
            "1 while so many nodes fell silent that services replace and move nothing.",
        )
        self.resources = gauge("resources", "BatchJobs and LongServices known.", "kind")
        self.cycle_seconds = histogram("cycle_seconds", "Length of a cycle.", _CYCLE_BUCKETS)
        self.solve_seconds = histogram("solve_seconds", "Length of a solve.", _CYCLE_BUCKETS)
        self.slot_lateness = histogram(
            "slot_lateness_seconds", "From a slot to the CREATE of its run.", _LATENCY_BUCKETS
        )
        self.decision_to_running = histogram(
            "decision_to_running_seconds", "From placing a pod to seeing it run.", _LATENCY_BUCKETS
        )
        self.loop_lag = histogram(
            "loop_lag_seconds", "How late the event loop runs, ten looks a second.", _CYCLE_BUCKETS
        )
        self.clock_skew = gauge(
            "clock_skew_seconds", "The API server's clock minus ours, to the second."
        )
        self.writes = counter(
            "api_writes", "Writes answered by the API server.", "verb", "kind", "code"
        )
        self.backlog = gauge(
            "api_writes_waiting", "Writes not answered yet, those under way too.", "verb"
        )
        self.watch_restarts = counter(
            "watch_restarts", "Watches begun again, by kind and cause.", "kind", "cause"
        )
        self.runs = counter("runs", "Finished runs, by outcome.", "outcome")
        for outcome in OUTCOMES:
            self.runs.labels(outcome)  # a counter that begins at 1 would hide the first from alerts
        self.slots_missed = counter("slots_missed", "Slots that were missed, not run.")
        self.runs_late = counter("runs_late", "Attempts that ran longer than expected.")
        self.notices = counter(
            "notifications", "Notices, by receiver and what became of them.", "receiver", "outcome"
        )
        self.undecodable = counter("undecodable_objects", "Objects that could not be read.", "kind")
        self.reconcile_errors = counter(
            "reconcile_errors",
            "Defects of ours that were met: what met one is set aside for a minute.",
        )
        self._make_those_of_pools()

    def _make_those_of_pools(self) -> None:
        gauge, counter, histogram = self._gauge, self._counter, self._histogram
        self.pool_nodes = gauge(
            "pool_nodes", "NodeClaims of a Pool, on their way and there, by state.", "pool", "state"
        )
        self.pool_cost = gauge(
            "pool_cost_dollars_per_hour", "Price of a Pool's nodes, where known.", "pool"
        )
        self.pool_bound = gauge(
            "pool_cost_bound_dollars_per_hour",
            "Proven least price of nodes that the Pool may buy for its pods.",
            "pool",
        )
        self.pool_gap = gauge("pool_gap_ratio", "(cost - bound) / bound, of a Pool.", "pool")
        self.pool_waiting = gauge(
            "pool_waiting_pods", "Pods that wait for a node that the Pool may buy.", "pool"
        )
        self.pool_condition = gauge(
            "pool_condition", "1 while the condition of a Pool is True.", "pool", "condition"
        )
        self.pool_orders = counter(
            "pool_orders", "NodeClaims that the API server has taken.", "pool"
        )
        self.pool_refusals = counter(
            "pool_refusals",
            "NodeClaims deleted without an instance: no capacity, or the NodeClass is not ready.",
            "pool",
        )
        self.pool_stuck = counter(
            "pool_stuck", "NodeClaims withdrawn, for their instance took too long.", "pool"
        )
        self.pool_retired = counter("pool_retired", "Empty nodes that were given back.", "pool")
        self.pool_fallbacks = counter(
            "pool_fallbacks",
            "Pods left to Karpenter, for they waited too long for a node of the Pool.",
            "pool",
        )
        self.pool_order_to_usable = histogram(
            "pool_order_to_usable_seconds",
            "From a NodeClaim to the moment when pods may be placed on its node.",
            _NODE_BUCKETS,
            "pool",
        )
        self.aws_calls = counter(
            "aws_calls",
            "Calls to EC2 Auto Scaling, by operation, and by result: answered, refused, throttled, "
            "busy, unsupported or unanswered.",
            "operation",
            "result",
        )
        self.pool_closing = gauge(
            "pool_closing_nodes", "Nodes that are to go; new pods go there last.", "pool"
        )
        self.pool_draining = gauge(
            "pool_draining_nodes", "Nodes whose pods are being moved to others.", "pool"
        )
        self.pool_promised = gauge(
            "pool_promised_dollars_per_hour",
            "What closing and draining nodes save once they have gone.",
            "pool",
        )
        self.pool_blocked = gauge(
            "pool_blocked_dollars_per_hour",
            "Price of the nodes that cannot go because of a pod, of those that the status lists.",
            "pool",
        )
        self.pool_moves = counter(
            "pool_moves", "Pods that were moved to other nodes, by cause.", "pool", "cause"
        )
        self.pool_saved = counter(
            "pool_saved_dollars_per_hour",
            "By how much plans that were carried out lowered the price of the nodes, summed up.",
            "pool",
        )

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"bayplan_{name}", words, labels, registry=self.registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"bayplan_{name}", words, labels, registry=self.registry)

    def _histogram(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"bayplan_{name}", words, labels, buckets=buckets, registry=self.registry)

    @property
    def gauges_of_pools(self) -> tuple[Gauge, ...]:
        """What a Pool's status says."""
        return (
            self.pool_nodes,
            self.pool_cost,
            self.pool_bound,
            self.pool_gap,
            self.pool_waiting,
            self.pool_condition,
            self.pool_closing,
            self.pool_draining,
            self.pool_promised,
            self.pool_blocked,
        )

    @property
    def of_pools(self) -> tuple[Counter | Histogram, ...]:
        """What has happened to a Pool's orders and pods; the only label is `pool`."""
        return (
            self.pool_orders,
            self.pool_refusals,
            self.pool_stuck,
            self.pool_retired,
            self.pool_fallbacks,
            self.pool_order_to_usable,
        )

    def show_backlog(self, waiting: Mapping[str, int]) -> None:
        """How many writes of each kind are not answered yet."""
        for verb, count in waiting.items():
            self.backlog.labels(verb).set(count)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)
