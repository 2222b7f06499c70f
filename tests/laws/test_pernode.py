"""Laws of one instance on each node: never two on one, none where none is to be, all come back.

The checks count by themselves, from the world's own pods and nodes; the operator sees pods late.
"""

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.pods import Pod
from tests.laws.troubles import LIVES, NODES, Troubles, which_node
from tests.pernode import NodeWorld, make_node_world

PATIENCE = 60

roles = st.sampled_from(["web", "web", "db"])


class OnEachNode(Troubles):
    """A service with one instance on each node, in a cluster in which everything can go wrong."""

    world: NodeWorld
    strategy: dict[str, Any]

    @initialize(
        nodes=st.integers(0, NODES),
        minimum=st.sampled_from([0, 50, 100]),
        min_ready=st.sampled_from([0, 10]),
        sick_after=st.sampled_from([None, 30]),
    )
    def begin(self, *, nodes: int, minimum: int, min_ready: int, sick_after: int | None) -> None:
        self.strategy = {"minimumHealthyPercent": minimum, "minReadySeconds": min_ready}
        self.world = make_node_world(
            nodes,
            updateStrategy=self.strategy,
            unhealthy={} if sick_after is None else {"replaceAfterSeconds": sick_after},
            unreachable={"replaceAfterSeconds": PATIENCE},
        )

    # People.

    @rule(image=st.integers(1, 3))
    def update(self, image: int) -> None:
        self.world.edit(image=f"web:{image}")

    @rule(replicas=st.integers(0, 1))
    def suspend(self, replicas: int) -> None:
        self.world.edit(replicas=replicas)

    @rule(paused=st.booleans(), percent=st.sampled_from([None, 20, 60]))
    def stage(self, *, paused: bool, percent: int | None) -> None:
        steps = [] if percent is None else [{"percent": percent, "manual": True}]
        self.world.edit(updateStrategy={**self.strategy, "paused": paused, "steps": steps})

    @rule(wanted=st.sampled_from(["web", "db"]))
    def choose_other_nodes(self, wanted: str) -> None:
        self.world.wanted = frozenset({wanted})

    # Nodes.

    @rule(name=which_node, role=roles)
    def label(self, name: str, role: str) -> None:
        self.world.collect()
        self.world.label(name, role)

    @rule(name=which_node, full=st.booleans())
    def fill(self, name: str, *, full: bool) -> None:
        (self.world.full.add if full else self.world.full.discard)(name)

    @rule()
    def calm_down(self) -> None:
        """In the end each node that is for it has one, ready, and no other node has any."""
        world = self.world
        world.edit(updateStrategy=self.strategy)
        for name in list(world.nodes):
            world.revive(name)
            world.cordon(name, unschedulable=False)
        world.full.clear()
        world.collect()
        world.now += 700  # whatever a mass loss held up goes on
        world.settle(400, self.check)
        wanted = world.homes() if world.spec.replicas else set()
        standing = world.standing()

        assert intents.Outcome() == replace(world.last, wake_at=None)
        assert sorted(wanted) == world.hosts()
        assert all(pod.ready for pod in standing)
        assert len(wanted) == world.service.status["desiredReplicas"]
        if world.condition("Ready") != "False:RolledBack":
            hashes = {pod.labels[names.TEMPLATE_HASH] for pod in standing}
            assert hashes <= {world.service.template_hash}
            assert world.condition("Ready").startswith("True")

    @invariant()
    def no_two_on_a_node(self) -> None:
        counts = Counter(pod.node for pod in self.world.pods.values() if not pod.terminal)
        assert all(count == 1 for count in counts.values())

    def check(self, outcome: intents.Outcome) -> None:
        """Tasks never outnumber the nodes that can take one; own acts keep to the minimum."""
        world, shown = self.world, self.world.visible()
        taken = {pod.node for pod in shown.values() if not pod.terminal}
        free = [
            name
            for name, node in world.nodes.items()
            if world.is_for(node) and node.ready and not node.leaving and name not in taken
        ]
        assert len(outcome.tasks) <= len(free)
        gone = {delete.uid for delete in outcome.deletes if delete.why == "outdated"}
        here = [
            pod
            for pod in shown.values()
            if pod.node in world.nodes and world.is_for(world.nodes[pod.node])
        ]
        standing = [pod for pod in here if not pod.terminal and pod.deleted_at is None]
        n = len({pod.node for pod in standing} | set(free))
        minimum = min(ceil(n * self.strategy["minimumHealthyPercent"] / 100), n - 1)
        healthy = [pod for pod in standing if self._healthy(pod)]
        left = [pod for pod in healthy if pod.uid not in gone]
        assert len(left) == len(healthy) or len(left) >= minimum

    def _healthy(self, pod: Pod) -> bool:
        node = self.world.nodes[pod.node]
        since = pod.ready_since
        waited = since is not None and since + self.strategy["minReadySeconds"] <= self.world.now
        return pod.ready and node.ready and waited


TestOnEachNode = OnEachNode.TestCase
TestOnEachNode.settings = LIVES
