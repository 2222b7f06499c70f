"""How a node is drained: who is waited for, who is evicted, what is told."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bayplan.cli.errors import NoAnswer as Silent
from bayplan.cli.ops import drain_steps
from bayplan.cluster.transport import Request
from tests.double.bodies import encoded, listed, pod, status
from tests.double.transport import Answer, Double, NoAnswer, Reply
from tests.double.wire import Played, client

ORDER = drain_steps.Order("n1", move_seconds=5, run_seconds=10, seconds=20)
SPENT = Answer(
    encoded(
        status(429, "TooManyRequests", "budget spent", causes=[{"reason": "DisruptionBudget"}])
    ),
    status=429,
)


def owned(name: str, kind: str, version: str = "bayplan.dev/v1alpha1", **more: Any) -> Any:
    body = pod(name, node="n1", **more)
    owner = {"apiVersion": version, "kind": kind, "name": "o", "uid": "u", "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    return body


class Drained:
    """One order carried out against a node on which pods stand until a second, or are evicted."""

    def __init__(
        self,
        order: drain_steps.Order,
        pods: Mapping[str, tuple[Any, float]],  # name -> body, second of leaving by itself
        *evictions: Reply,
    ) -> None:
        self.pods = dict(pods)
        self.evictions = {name: list(evictions) for name in pods}
        self.evicted: dict[str, float] = {}  # name -> when
        self.texts: list[str] = []
        self.double = Double()
        self.double.reply("list", "Pod", self._standing)
        self.double.reply("cordon", "Node", Answer())
        self.double.reply("evict", "Pod", self._evict)
        self.wire = Played(self.double)
        self.state = drain_steps.carry_out(order, client(self.wire), self._shown)

    @property
    def passed(self) -> float:
        return self.wire.passed

    def _shown(self, state: drain_steps.Drain) -> None:
        self.texts.append(state.summary())

    def _standing(self, request: Request) -> Answer:
        assert ("fieldSelector", "spec.nodeName=n1") in request.query
        there = [body for body, leaves in self.pods.values() if self.passed < leaves]
        return Answer(listed(*there))

    def _evict(self, request: Request) -> Answer | NoAnswer:
        name = request.path.split("/")[-2]
        if self.evictions[name]:
            reply = self.evictions[name].pop(0)
            assert isinstance(reply, Answer | NoAnswer)
            return reply
        self.evicted[name] = self.passed
        del self.pods[name]
        return Answer()


def test_services_move_runs_end_and_the_rest_is_evicted() -> None:
    """Cordoned before anybody goes; who leaves by itself in its time is not evicted."""
    drained = Drained(
        ORDER,
        {
            "web": (owned("web", "LongService"), 3),
            "job": (owned("job", "BatchJob"), 8),
            "theirs": (owned("theirs", "ReplicaSet", "apps/v1"), 99),
        },
    )
    verbs = [request.verb for request in drained.double.seen]
    body = json.loads(drained.double.asked("cordon")[0].body or b"")

    assert verbs.index("cordon") < verbs.index("evict")
    assert {"spec": {"unschedulable": True}} == body
    assert {"theirs": 0.0} == drained.evicted
    assert {
        "node": "n1",
        "empty": True,
        "seconds": 8.0,
        "instancesMoved": 1,
        "runsFinished": 1,
        "evicted": 1,
        "remaining": [],
    } == drained.state.as_json()
    assert "1 instance: waits for its replacement; 1 run: may finish" == drained.texts[1]


def test_what_belongs_to_the_node_stays() -> None:
    """Neither a DaemonSet's pod nor one of a service with one on each node is waited for."""
    agent = owned("agent", "LongService")
    agent["metadata"]["annotations"] = {"bayplan.dev/per-node": "true"}
    pods = {"agent": (agent, 99), "daemon": (owned("daemon", "DaemonSet", "apps/v1"), 99)}
    drained = Drained(ORDER, pods)

    assert {} == drained.evicted
    assert (True, 0.0) == (drained.state.empty, drained.state.seconds)


def test_patience_ends() -> None:
    """An instance that nobody replaces and a run that goes on are evicted when their time is up."""
    drained = Drained(
        ORDER,
        {"web": (owned("web", "LongService"), 99), "job": (owned("job", "BatchJob"), 99)},
    )

    told = drained.state.as_json()

    assert {"web": 5.0, "job": 10.0} == drained.evicted
    assert (True, 2, 0, 0) == tuple(
        told[what] for what in ("empty", "evicted", "instancesMoved", "runsFinished")
    )


def test_an_instance_with_a_volume_of_its_own_is_evicted_at_once() -> None:
    """Nothing replaces it before it has gone."""
    body = owned("db-0", "LongService")
    body["metadata"]["labels"] = {"apps.kubernetes.io/pod-index": "0"}

    assert {"db-0": 0.0} == Drained(ORDER, {"db-0": (body, 99)}).evicted


def test_a_spent_budget_is_asked_for_again() -> None:
    """Refused evictions are repeated at every look; the pod's uid is part of the question."""
    drained = Drained(ORDER, {"web": (owned("web", "LongService"), 99)}, SPENT, SPENT)
    asked = json.loads(drained.double.asked("evict")[0].body or b"")

    assert {"web": 7.0} == drained.evicted
    assert {"uid": "uid-web"} == asked["deleteOptions"]["preconditions"]
    assert "1 instance: is not evicted: budget spent" in drained.texts


def test_what_remains_is_named_with_its_reason() -> None:
    """When the time is over the answer says who is there and why, and claims no move."""
    drained = Drained(
        ORDER,
        {
            "web": (owned("web", "LongService"), 99),
            "slow": (owned("slow", "LongService", deleted=True), 99),
        },
        *[SPENT] * 99,
    )
    told = drained.state.as_json()

    assert (False, 20.0, 0) == (told["empty"], told["seconds"], told["instancesMoved"])
    assert {"web": "is not evicted: budget spent", "slow": "is being deleted"} == {
        one["name"]: one["reason"] for one in told["remaining"]
    }


def test_daemons_mirrors_and_finished_pods_keep_no_node() -> None:
    """What the kubelet or a DaemonSet keeps there, and what has ended, is not waited for."""
    mirror = pod("mirror", node="n1")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    drained = Drained(
        ORDER,
        {
            "daemon": (owned("daemon", "DaemonSet", "apps/v1"), 99),
            "mirror": (mirror, 99),
            "done": (owned("done", "BatchJob", phase="Succeeded"), 99),
        },
    )

    assert (True, 0.0, {}) == (drained.state.empty, drained.state.seconds, drained.evicted)


def test_a_pod_nobody_makes_anew_needs_force() -> None:
    """Refused before the node is cordoned; with force it is evicted like others."""
    lonely = {"alone": (pod("alone", node="n1"), 99.0)}
    double = Double()
    double.reply("list", "Pod", Answer(listed(pod("alone", node="n1"))))
    with pytest.raises(drain_steps.NeedsForce, match="default/alone"):
        drain_steps.carry_out(ORDER, client(Played(double)), lambda _: None)
    forced = Drained(drain_steps.Order("n1", 5, 10, 20, force=True), lonely)

    assert [] == double.asked("cordon")
    assert {"alone": 0.0} == forced.evicted


def test_a_restarted_api_server_is_waited_for() -> None:
    """Half a minute without an answer is borne; then it is told."""
    double = Double()
    double.reply("list", "Pod", Answer(listed()), NoAnswer(), Answer(listed()))
    double.reply("cordon", "Node", Answer())
    wire = Played(double)
    cluster = client(wire, patience=drain_steps.PATIENCE_SECONDS)

    state = drain_steps.carry_out(ORDER, cluster, lambda _: None)
    double.reply("list", "Pod", Answer(listed()), NoAnswer())
    with pytest.raises(Silent):
        drain_steps.carry_out(ORDER, cluster, lambda _: None)

    assert state.empty
    assert 31.0 == wire.passed
