"""Faults that Marathon was known for, and what happens here instead.

First those of its fields, constraints, upgrades, back-off and health checks, then the worked cases,
each in the order in which the semantics of the originals are told; the number is that of the
section. What is only named here is tested at length beside the code.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bayplan.api import names
from bayplan.api.longservice import RestartBackoff
from bayplan.cli.main import main
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import Node
from bayplan.model.pods import Ending, Phase, Pod
from bayplan.model.workloads import PlacementRules, PodClass
from bayplan.placement.solve import Policy, solve
from bayplan.reconcile.longservice import rollout
from tests.builders import (
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_waiting,
)
from tests.services import World, make_body, running

HASH = names.TEMPLATE_HASH


def hashes(world: World) -> set[str]:
    return {pod.labels[HASH] for pod in world.standing()}


# --- 1.1 Fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 4},
        {"placement": {"constraints": [{"key": "zone", "operator": "GroupBy"}]}},
        {"scaleDown": {"order": "OldestFirst"}},
        {"restartBackoff": {"initialSeconds": 9}},
        {"updateStrategy": {"minimumHealthyPercent": 50}},
        {"unreachable": {"replaceAfterSeconds": 7}},
        {"service": {"ports": [{"name": "http", "port": 80}]}},
    ],
    ids=str,
)
def test_1_1_only_the_template_restarts(spec: dict[str, Any]) -> None:
    """Marathon restarted everything for a label, a constraint, a back-off. Here: nothing."""
    world = running(3)
    before = {pod.uid for pod in world.standing()}
    world.edit(**spec)
    world.settle()

    assert before <= {pod.uid for pod in world.standing()}


def test_1_1_a_label_of_the_service_restarts_nothing() -> None:
    """Labels and annotations of the object are for people and tools."""
    world = running(3)
    before = {pod.uid for pod in world.standing()}
    world.annotate(team="search")
    world.settle()

    assert before == {pod.uid for pod in world.standing()}


def test_1_1_an_unknown_field_is_refused() -> None:
    """Marathon ignored a misspelt field for years; `lint` names it, and kubectl does."""
    body = make_body(updateStrategy={"minimumHealthPercent": 50})
    said = CliRunner().invoke(main, ["lint", "-"], input=yaml.safe_dump(body))

    assert 1 == said.exit_code
    assert 'unknown field "spec.updateStrategy.minimumHealthPercent"' in said.output


# --- 1.2 Constraints -----------------------------------------------------------------------------

LABELS = {"service": "web", "revision": "2"}


def web(operator: Operator, value: str = "", cpu: int = 100) -> PodClass:
    rules = PlacementRules(
        (PlaceConstraint("rack", operator, value),),
        peers=make_term(**LABELS),
        mates=make_term(service="web"),
    )
    return make_class(cpu, labels=LABELS, placement=rules)


def zoned(**zones: int) -> list[Node]:
    """So many nodes in each zone."""
    return [
        make_node(f"{zone}{index}", labels={"rack": zone})
        for zone, count in zones.items()
        for index in range(count)
    ]


def placed(kind: PodClass, count: int, *things: Node | Pod) -> Counter[str]:
    """New pods by the zone of their node, which its name begins with."""
    plan = solve(make_snapshot(*things), [make_waiting(kind, count)], NOON, Policy())
    return Counter(node[0] for node in plan.placements.values())


def there(**zones: int) -> list[Pod]:
    """Pods of the same workload that run already."""
    return [
        make_pod(f"old-{zone}{index}", f"{zone}0", 100, labels=LABELS)
        for zone, count in zones.items()
        for index in range(count)
    ]


def test_1_2_group_by_without_a_number_divides_by_nothing() -> None:
    """Marathon's newer rule divided by an absent number. Here: over the groups there are."""
    new = placed(web(Operator.GROUP_BY), 5, *zoned(a=1, b=1, c=1))

    assert [1, 2, 2] == sorted(new.values())


def test_1_2_a_full_gpu_node_is_still_one() -> None:
    """A node whose GPUs are all in use looked GPU-less to Marathon; its labels do not change."""
    gpus = make_node("g0", labels={"accelerator": "a10g"})
    no_gpu = make_class(
        100,
        labels=LABELS,
        placement=PlacementRules(
            (PlaceConstraint("accelerator", Operator.UNLIKE, ".+"),), peers=make_term(**LABELS)
        ),
    )
    busy = make_pod("learning", "g0", 3900)

    assert Counter() == placed(no_gpu, 1, gpus, busy)


# --- 1.3 Upgrades --------------------------------------------------------------------------------


def test_1_3_bounds_are_whole_percents() -> None:
    """Marathon's binary floats were off by one in 54 cases below n = 200."""
    wrong = [
        (n, percent)
        for n in range(201)
        for percent in range(101)
        for least, most in [
            (ceil(Fraction(n * percent, 100)), floor(Fraction(n * (100 + percent), 100)))
        ]
        for bounds in [rollout.bounds(n, percent, percent)]
        if bounds.healthy != least or bounds.instances != most + (least == most)
    ]

    assert [] == wrong


def test_1_3_a_broken_image_does_not_run_for_ever() -> None:
    """Marathon's deployment never ended and locked the app. Here it fails, and goes back."""
    strategy = {"autoRollback": True, "progressDeadlineSeconds": 60}
    world = running(3, updateStrategy=strategy)
    good = hashes(world)
    world.edit(image="web:broken")
    bad = world.service.template_hash
    for _ in range(10):
        world.work([pod for pod in world.pods.values() if pod.labels[HASH] != bad])
        world.hear()
        world.act()
        world.now += 15
    world.settle()

    assert good == hashes(world)
    assert "False:RolledBack" == world.condition("Ready")


# --- 1.4 Back-off --------------------------------------------------------------------------------


def test_1_4_an_end_with_zero_counts() -> None:
    """It is a service: an instance that ends by itself has failed, whatever it says."""
    world = running(1)
    [pod] = world.standing()
    ending = Ending(exit_code=0, finished_at=world.now)
    world.put(replace(pod, phase=Phase.SUCCEEDED, ready=False, ending=ending))
    world.hear()
    world.act()

    assert 1 == world.service.status["restartBackoff"]["failures"]


# --- 1.5 Health ----------------------------------------------------------------------------------


def test_1_5_whose_network_is_lost_kills_nobody() -> None:
    """Marathon's leader asked every instance, and killed fleets when its own network failed.

    Here kubelets probe, and when much of the cluster falls silent at once nobody is replaced.
    """
    world = running(10, nodes=10)
    before = {pod.uid for pod in world.standing()}
    for node in list(world.nodes)[:6]:
        world.silence(node)
    world.hear()
    world.now += 599
    world.act()

    assert before == {pod.uid for pod in world.standing()}
    assert "False:MassLossBrake" == world.condition("Ready")


# --- Worked cases --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "milliseconds"),
    [(1, 1000), (2, 1150), (3, 1322), (10, 3517), (20, 14_231), (30, 57_575), (42, 300_000)],
)
def test_back_off(failures: int, milliseconds: int) -> None:
    """1 s, 15 % more each time, five minutes at most; at 0 % it stays as it is."""
    growing, flat = RestartBackoff(), RestartBackoff(factorPercent=100)

    assert milliseconds == growing.delay_milliseconds_after(failures)
    assert 1000 == flat.delay_milliseconds_after(failures)


@pytest.mark.parametrize(
    ("value", "count", "zones", "before", "expected"),
    [
        ("3", 7, {"a": 1, "b": 1, "c": 1}, {}, [2, 2, 3]),
        ("3", 7, {"a": 1, "b": 1, "c": 1, "d": 1}, {}, [2, 2, 3]),  # a fourth zone is refused
        ("3", 1, {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2}, "c"),
        ("3", 1, {"a": 1, "b": 1}, {"a": 1}, "b"),
        ("2", 6, {"a": 1, "b": 1, "c": 1}, {}, [3, 3]),
    ],
)
def test_group_by(
    value: str, count: int, zones: dict[str, int], before: dict[str, int], expected: object
) -> None:
    """Even within one, whichever order nodes come in; no more groups than were said."""
    new = placed(web(Operator.GROUP_BY, value), count, *zoned(**zones), *there(**before))

    assert expected == ("".join(new) if isinstance(expected, str) else sorted(new.values()))


@pytest.mark.parametrize(
    ("operator", "value", "label", "accepted"),
    [
        (Operator.UNIQUE, "", None, False),
        (Operator.UNLIKE, "m4.*", None, True),
        (Operator.LIKE, "zone-[ab]", "zone-a1", False),
        (Operator.IS, "0.8", "0.8001", True),
    ],
)
def test_other_constraints(
    operator: Operator, value: str, label: str | None, accepted: bool
) -> None:
    """A missing label, a match of the whole text, a number at three decimals."""
    node = make_node("z0", labels={} if label is None else {"rack": label})

    assert accepted == bool(placed(web(operator, value), 1, node))


def test_max_per() -> None:
    """Of two at most: the zone that has two is full, one with one and a new one are not."""
    new = placed(web(Operator.MAX_PER, "2"), 9, *zoned(a=1, b=1, c=1), *there(a=2, b=1))

    assert {"b": 1, "c": 2} == new


def traced(world: World, steps: int = 40) -> Iterable[tuple[int, int]]:
    """(healthy, all) after every step of an update."""
    for _ in range(steps):
        world.act()
        live = [pod for pod in world.pods.values() if not pod.terminal]
        yield sum(pod.ready and not pod.terminating for pod in live), len(live)
        world.work()
        world.hear()


@pytest.mark.parametrize(("replicas", "minimum", "least", "most"), [(4, 50, 2, 4), (3, 100, 3, 4)])
def test_upgrade(replicas: int, minimum: int, least: int, most: int) -> None:
    """4 at half without surge: never below 2 nor above 4. 3 at 100 %: one more, or it could not."""
    bounds = {"minimumHealthyPercent": minimum, "maximumSurgePercent": 0}
    world = running(replicas, updateStrategy=bounds)
    world.edit(image="web:2")
    seen = list(traced(world))

    assert {world.service.template_hash} == hashes(world)
    assert least == min(healthy for healthy, _ in seen)
    assert most == max(count for _, count in seen)
