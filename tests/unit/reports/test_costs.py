"""Where the money goes: amounts add up, and all that speak of stranded room agree."""

import asyncio
import random
from typing import Any

import pytest

from bayplan import metrics
from bayplan.cluster import cache
from bayplan.model import resources, state
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.provisioning.charges import charge, weights
from bayplan.provisioning.inventory import Inventory
from bayplan.provisioning.leftovers import Requests
from bayplan.provisioning.simulation import Settings, simulate
from bayplan.reports import costs, top
from bayplan.reports import simulation as printed
from bayplan.runtime.cost_monitor import CostMonitor
from tests.builders import make_node, make_pod, make_term
from tests.double.bell import Bell
from tests.double.loop import run as play
from tests.recorded import Recorded, run, told
from tests.recorded import make_node as node_body
from tests.recorded import make_pod as pod_body

GIB = 1 << 30
HOUR = 200_000  # microdollars


def town(seed: int) -> tuple[list[Node], list[Pod]]:
    """Nodes of several sizes and pods on them, DaemonSets' pods too; some nodes are empty."""
    dice = random.Random(seed)  # noqa: S311
    nodes = [
        make_node(f"n{number}", cpu=dice.choice([2000, 4000]), memory=dice.choice([8, 16]),
                  price_microdollars=dice.choice([HOUR, 2 * HOUR]))
        for number in range(8)
    ]  # fmt: skip
    pods = []
    for number in range(dice.randint(0, 30)):
        node = dice.choice(nodes[:7])
        agent = dice.random() < 0.2
        pod = make_pod(f"p{number}", node.name, dice.choice([500, 1000]),
                       memory=dice.choice([1, 3]),
                       owner_kind="DaemonSet" if agent else "ReplicaSet",
                       owner_uid="agents" if agent else "web")  # fmt: skip
        pods.append(pod)
    return nodes, pods


def gauge(nodes: list[Node], pods: list[Pod]) -> dict[str, float]:
    """What the operator tells Prometheus of stranded room."""
    book = state.State()
    for node in nodes:
        book.set_node(node)
    for pod in pods:
        book.set_pod(pod)

    class Deaf:
        async def ask(self, *_: object) -> None: ...

    told_ = metrics.Metrics()
    monitor = CostMonitor(cache.Cache(book, Bell()), Deaf(), told_, lambda: True, _fail)  # type: ignore[arg-type]

    async def played() -> None:
        task = asyncio.create_task(monitor.run())
        await asyncio.sleep(70)
        task.cancel()

    play(played())
    return {
        sample.labels["resource"]: sample.value
        for family in told_.stranded.collect()
        for sample in family.samples
    }


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("seed", range(20))
def test_all_agree_on_what_is_stranded(seed: int) -> None:
    """The gauge, `simulate` of the cluster as it is, and `top`."""
    nodes, pods = town(seed)
    found = Inventory(nodes=nodes, running=pods, titles={pod.key: "x" for pod in pods})
    simulated = printed.data(simulate(found, (), Settings()))["stranded"]
    shown = top.nodes(nodes, pods, waiting=0, deleting=(), sort="name", chosen=make_term())
    gauged = {name: value for name, value in gauge(nodes, pods).items() if value}
    gauged = {name: value * 1000 if name == "cpu" else value for name, value in gauged.items()}

    assert simulated == shown["stranded"]["resources"] == pytest.approx(gauged)


def test_towns_have_stranded_room_and_others() -> None:
    """The test above is not about nothing."""
    sums = [costs.stranded(costs.on_nodes(*town(seed)).values())["nodes"] for seed in range(20)]

    assert min(sums) == 0 < max(sums)


def test_nothing_is_stranded_where_nothing_runs() -> None:
    """An empty cluster is free; a DaemonSet alone makes no room useless."""
    node, agent = make_node("a"), make_pod("d", "a", 100, owner_kind="DaemonSet", owner_uid="d")

    for pods in ([], [agent]):
        assert 0 == costs.stranded(costs.on_nodes([node], pods).values())["nodes"]


def test_why_room_is_stranded() -> None:
    """The resource that is used up, and a price for what is free beside it."""
    nodes = [make_node("a", cpu=4000, memory=16, price_microdollars=HOUR), make_node("b")]
    pods = [make_pod("x", "a", 4000, memory=4)]
    [full, empty] = costs.on_nodes(nodes, pods).values()

    assert ("cpu", 12 * GIB) == (full["fullOf"], full["stranded"]["memory"])
    assert 0 < full["strandedMicrodollarsPerHour"] < HOUR
    assert empty["stranded"] is None


@pytest.mark.parametrize("seed", range(20))
def test_costs_add_up_to_the_price_of_the_nodes(seed: int) -> None:
    """Whoever is charged, with what is stranded and what is free; none is negative."""
    nodes, pods = town(seed)
    titles = {pod.key: f"{pod.owner.kind} {pod.owner.name}" for pod in pods if pod.owner}
    for found in (costs.by_workload(nodes, pods, titles), costs.by_namespace(nodes, pods)):
        charged = sum(row["costMicrodollarsPerHour"] for row in found["rows"])
        rest = found["strandedMicrodollarsPerHour"] + found["freeMicrodollarsPerHour"]

        assert sum(node.price_microdollars or 0 for node in nodes) == charged + rest
        assert charged + rest == found["costMicrodollarsPerHour"]
        assert len(pods) == sum(row["pods"] for row in found["rows"])


def test_devices_are_paid_by_who_asks_for_them() -> None:
    """A node's price beyond its CPU and memory is that of its GPUs; without a price all is free."""
    room = resources.Vector({"cpu": 4000, "memory": 16 * GIB, "nvidia.com/gpu": 2})
    weighed = weights(room, 2_000_000)
    gpu = charge(weighed, room, {"nvidia.com/gpu": 1})
    all_cpu = charge(weighed, room, {"cpu": 4000})

    assert 2_000_000 == pytest.approx(charge(weighed, room, room))
    assert gpu > 5 * all_cpu
    assert 0 == charge(weights(room, 0), room, {"cpu": 4000})


def test_a_request_of_nothing_fits_everywhere() -> None:
    """A pod that asks for no CPU runs where CPU is used up."""
    frugal = Requests.of([resources.Vector({"memory": GIB})])

    assert not frugal.strands(resources.Vector({"cpu": -5, "memory": GIB}))
    assert frugal.strands(resources.Vector({"cpu": 4000, "memory": GIB - 1}))


def test_only_the_smallest_requests_count() -> None:
    """Thousands of sizes ask a handful of questions; the answer is that of asking all."""
    dice = random.Random(3)  # noqa: S311
    sizes = [
        resources.Vector({"cpu": dice.randrange(50), "memory": dice.randrange(50)})
        for _ in range(2000)
    ]
    few = Requests.of([size for size in sizes if size.amount("cpu") + size.amount("memory") > 30])
    rooms = [resources.Vector({"cpu": cpu, "memory": 35 - cpu}) for cpu in range(-3, 36)]

    assert len(few.rows) < 60
    for room in rooms:
        fits = any(
            all(amount <= room.amount(name) for name, amount in size.items())
            for size in sizes
            if size.amount("cpu") + size.amount("memory") > 30
        )
        assert few.strands(room) is not fits


def cluster() -> Recorded:
    bodies: list[dict[str, Any]] = [
        node_body("a"), node_body("b"),
        pod_body("one", node="a", cpu="3"), pod_body("two", node="b", namespace="prod"),
    ]  # fmt: skip
    return Recorded(*bodies)


def test_top_shows_who_pays_and_what_is_stranded() -> None:
    """By workload and by namespace; -n chooses rows; the nodes say what is stranded."""
    [first, second] = told(cluster(), "top", "workloads", "-A")["workloads"]
    shown = run(cluster(), "top", "workloads", "-A").output

    assert ("default", "Pod default/one", 1) == (
        first["namespace"], first["workload"], first["pods"],
    )  # fmt: skip
    assert first["costMicrodollarsPerHour"] > second["costMicrodollarsPerHour"] > 0
    assert "Pod prod/two" in shown
    assert "an hour" in shown
    assert ["default", "prod"] == [
        row["namespace"] for row in told(cluster(), "top", "namespaces", "-A")["namespaces"]
    ]
    assert ["prod"] == [
        row["namespace"] for row in told(cluster(), "top", "namespaces", "-n", "prod")["namespaces"]
    ]


def test_top_says_why_room_is_stranded() -> None:
    """One line above the nodes; nothing where nothing is stranded."""
    full = Recorded(node_body("a"), pod_body("one", node="a", cpu="4"))
    shown = run(full, "top", "--once").output

    assert "on 1 node, $" in shown
    assert "full: cpu on 1" in shown
    assert "stranded" not in run(cluster(), "top", "--once").output
