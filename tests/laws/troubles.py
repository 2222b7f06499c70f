"""What can go wrong around a service, as rules of a state machine: nodes, pods, time, the operator.

For laws of instances that have a place of their own; who inherits says what people do, what a new
node is, and what must hold.
"""

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from bayplan.model import intents
from bayplan.model.pods import Ending, Phase
from tests.services import World

NODES = 5
which_node = st.integers(0, NODES - 1).map(lambda number: f"n{number}")
which_pod = st.integers(0, 9)
LIVES = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Troubles(RuleBasedStateMachine):
    """`world` is made by who inherits; `check` looks at every decision before it is carried out."""

    world: World

    def check(self, outcome: intents.Outcome) -> None:
        raise NotImplementedError

    # Nodes and pods.

    @rule(name=which_node)
    def silence(self, name: str) -> None:
        if name in self.world.nodes:
            self.world.silence(name)

    @rule(name=which_node)
    def revive(self, name: str) -> None:
        if name in self.world.nodes:
            self.world.revive(name)

    @rule(name=which_node, cordoned=st.booleans())
    def cordon(self, name: str, *, cordoned: bool) -> None:
        if name in self.world.nodes:
            self.world.cordon(name, unschedulable=cordoned)

    @rule(name=which_node)
    def remove(self, name: str) -> None:
        self.world.nodes.pop(name, None)

    @rule(which=which_pod, disrupted=st.booleans())
    def lose(self, which: int, *, disrupted: bool) -> None:
        standing = self.world.standing()
        if standing:
            word = "EvictionByEvictionAPI" if disrupted else ""
            self.world.end(standing[which % len(standing)], disrupted=word)

    @rule(which=which_pod, reason=st.sampled_from(["", "OutOfcpu", "Evicted"]))
    def fail(self, which: int, reason: str) -> None:
        standing = [pod for pod in self.world.standing() if pod.node]
        if standing:
            ending = Ending(exit_code=1, finished_at=self.world.now)
            failed = Phase.FAILED
            pod = standing[which % len(standing)]
            self.world.put(replace(pod, phase=failed, reason=reason, ready=False, ending=ending))

    @rule(which=which_pod)
    def turn_unready(self, which: int) -> None:
        standing = [pod for pod in self.world.standing() if pod.node]
        if standing:
            pod = standing[which % len(standing)]
            self.world.put(replace(pod, ready=False, ready_since=self.world.now))

    # Time and the operator.

    @rule(seconds=st.sampled_from([1, 11, 31, 61, 400]))
    def pass_time(self, seconds: int) -> None:
        self.world.now += seconds

    @rule(
        cycles=st.integers(1, 5), heard=st.sampled_from([None, None, 0, 2]), working=st.booleans()
    )
    def go_on(self, cycles: int, heard: int | None, *, working: bool) -> None:
        for _ in range(cycles):
            if working:
                self.world.work()
                self.world.bind()
            self.world.hear(heard)
            self.world.act(self.check)

    @rule()
    def restart_operator(self) -> None:
        self.world.restart()
