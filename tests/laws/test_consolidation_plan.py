"""Laws of a plan of consolidation, on clusters of any mixture."""

import dataclasses
from collections import Counter
from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.model.movability import of_its_node
from bayplan.model.nodes import HOSTNAME, ZONE, Node
from bayplan.model.pods import EXPECTED_SECONDS, Constraints, Pod, PodTerm, Spread
from bayplan.model.workloads import PodClass
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning.consolidation.scene import HOUR, Plan, Scene, with_margin
from tests.builders import (
    NOON,
    make_class,
    make_constraints,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_waiting,
)
from tests.checker import violations
from tests.consolidation_scenes import DAY, answered, offer, planned, scene
from tests.laws.test_solve import constraints

ZONES = ("a", "b")
KINDS = (*["LongService", "ReplicaSet"] * 5, "BatchJob", "Job", "DaemonSet", None)
seldom = st.sampled_from([*[False] * 20, True])
MENU = (
    offer("c.small", 2000, 40_000, zones=ZONES),
    offer("c.large", 8000, 150_000, zones=ZONES),
)


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    """Two to seven nodes of the Pool, most of them calm."""
    found = []
    for index in range(draw(st.integers(2, 7))):
        cpu = draw(st.sampled_from((1000, 2000, 4000, 8000)))
        found.append(
            make_node(
                f"n{index}",
                cpu,
                16,
                uid=f"uid-n{index}",
                labels={
                    names.POOL: "batch",
                    "rack": draw(st.sampled_from("ab")),
                    "size": draw(st.sampled_from("12")),
                },
                zone=draw(st.sampled_from(ZONES)),
                price_microdollars=cpu * draw(st.sampled_from((40, 50))),
                created_at=NOON - (60 if draw(seldom) else DAY),
                kept="bayplan.dev/keep" if draw(seldom) else "",
                unschedulable=bool(index) and draw(seldom),
            )
        )
    return found


def ties(app: str) -> tuple[Constraints, ...]:
    """None, and the usual ones between the pods of an app."""
    own = make_term(app=app)
    return (
        make_constraints(),
        make_constraints(pod_anti_affinity=(PodTerm(own, HOSTNAME),)),
        make_constraints(spread=(Spread(ZONE, own),)),
        make_constraints(spread=(Spread("rack", own, max_skew=2),)),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Pods of up to five owners where the scheduler placed them; some may not move."""
    there = draw(nodes())
    queue, about = [], {}
    for index in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(KINDS))
        app = f"app{index}"
        wanted = draw(st.one_of(st.sampled_from(ties(app)), constraints(app)))
        own = tuple(
            dataclasses.replace(spread, selector=make_term(app=app)) for spread in wanted.spread
        )
        made = make_class(
            draw(st.sampled_from((100, 300, 900))),
            constraints=dataclasses.replace(wanted, spread=own),
            labels={"app": app},
            plain=kind != "LongService",
        )
        group = make_waiting(made, draw(st.integers(1, 6)), app)
        queue.append(group)
        about[group.keys[0]] = kind
    placed = solve(make_snapshot(*there), queue, NOON, Policy()).placements
    pods = [
        draw(settled_pod(key[1], placed[key], group.kind, about[group.keys[0]]))
        for group in queue
        for key in group.keys
        if key in placed
    ]
    counts = Counter(
        one.owner.uid for one in pods if one.owner is not None and one.owner.kind == "LongService"
    )
    less = {uid: max(count - draw(st.integers(0, 2)), 0) for uid, count in counts.items()}
    return scene(
        *there,
        *pods,
        menu=draw(st.sampled_from(((), MENU))),
        zones=ZONES,
        wanted=less if draw(st.sampled_from((False, False, True))) else None,
        leavers_only=draw(seldom),
        most_moves=draw(st.sampled_from((None, None, 1, 3))),
        expected=draw(st.sampled_from(((), (make_waiting(make_class(500), 1, "soon"),)))),
    )


@st.composite
def settled_pod(draw: st.DrawFn, name: str, node: str, kind: PodClass, owner: str | None) -> Pod:
    """A running pod of this class; now and then it may not move, or not yet."""
    app = dict(kind.labels)["app"]
    expected = {EXPECTED_SECONDS: draw(st.sampled_from(("60", "900", "9000")))}
    return dataclasses.replace(
        make_pod(name, node, owner_uid=app if owner else None, owner_kind=owner),
        request=kind.request,
        constraints=kind.constraints,
        labels=dict(kind.labels),
        created_at=NOON - DAY,
        placed_at=NOON - (60 if draw(seldom) else DAY),
        ready=not draw(seldom),
        stays="volume v (hostPath)" if draw(seldom) else "",
        annotations=expected if draw(st.booleans()) else {},
    )


def moved(found: Plan, seen: Scene) -> list[tuple[Pod, str]]:
    """Each moved pod, and the node or the new node where it goes."""
    pods = {pod.key: pod for pod in seen.snapshot.pods()}
    return [
        (pods[move.pod], f"{number}{move.target}" if move.target[0] == "~" else move.target)
        for number, group in enumerate(found.groups)
        for vacating in group.vacatings
        for move in vacating.moves
    ]


def bought(found: Plan) -> list[Node]:
    return [
        order.node(f"{number}~{at}")
        for number, group in enumerate(found.groups)
        for at, order in enumerate(group.orders)
    ]


def left_behind(found: Plan, seen: Scene) -> Iterator[str]:
    """What remains on nodes that are given back, after moves, departures and runs that end."""
    moves = {pod.key for pod, _ in moved(found, seen)}
    for group in found.groups:
        for vacating in group.vacatings:
            leaving = {uid: there.get(vacating.node, 0) for uid, there in found.departures.items()}
            for pod in seen.snapshot.pods_on(vacating.node):
                uid = pod.owner.uid if pod.owner is not None else ""
                ends = pod.ends_at is not None and pod.ends_at - NOON <= 1800
                unready = not pod.ready and uid in seen.wanted
                if pod.key in moves or of_its_node(pod) or ends or unready:
                    continue
                leaving[uid] = leaving.get(uid, 0) - 1
                if leaving[uid] < 0:
                    yield f"{pod.name} stays on {vacating.node}"


thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(scenes())
def test_moved_pods_find_room_by_all_rules(seen: Scene) -> None:
    """When all is done, the slow checker finds nothing wrong with any moved pod."""
    found = planned(seen)
    given = {vacating.node for group in found.groups for vacating in group.vacatings}
    nodes = [node for node in seen.nodes if node.name not in given]
    rest = [pod for pod in seen.snapshot.pods() if pod.node not in given]

    assert [] == violations([*nodes, *bought(found)], rest, moved(found, seen))


@thorough
@given(scenes())
def test_only_what_may_move_does_and_nothing_is_left_behind(seen: Scene) -> None:
    """No pin moves or is left on a node that goes; nothing lands on such a node."""
    found = planned(seen)
    new = moved(found, seen)
    given = {vacating.node for group in found.groups for vacating in group.vacatings}
    nodes = {node.name: node for node in seen.nodes}

    assert [] == [pod.name for pod, _ in new if seen.verdict(pod)]
    assert [] == [pod.name for pod, at in new if at in given or pod.node not in given]
    assert [] == list(left_behind(found, seen))
    assert not any(nodes[name].kept or nodes[name].leaving for name in given)
    assert len(new) == len({pod.key for pod, _ in new})


@thorough
@given(scenes())
def test_each_group_is_worth_its_cost(seen: Scene) -> None:
    """The saving is what the nodes cost; within the horizon it pays for all moves and orders."""
    found = planned(seen)
    for group in found.groups:
        price = sum(vacating.price for vacating in group.vacatings)
        assert group.saving == price - sum(order.price for order in group.orders)
        if group.moves or group.orders:
            assert group.saving * (3600 - group.empties_in) >= with_margin(group.cost) * HOUR
            assert group.cost >= group.moves * 2000
    assert seen.most_moves is None or sum(group.moves for group in found.groups) <= seen.most_moves
    assert not (seen.leavers_only and any(group.moves or group.orders for group in found.groups))


@thorough
@given(scenes())
def test_as_many_stay_as_are_wanted(seen: Scene) -> None:
    """Departures are of services with too many, and from nodes where they are."""
    found = planned(seen)
    for uid, there in found.departures.items():
        on = Counter(
            pod.node
            for pod in seen.snapshot.pods()
            if pod.owner is not None and pod.owner.uid == uid
        )
        assert sum(there.values()) <= sum(on.values()) - seen.wanted[uid]
        assert all(count <= on[name] for name, count in there.items())


@thorough
@given(scenes())
def test_ranks_are_in_order_and_a_plan_is_stable(seen: Scene) -> None:
    """Ranks are 0, 1 … of nodes that are there; the same scene has the same plan."""
    found = planned(seen)

    assert sorted(found.ranks.values()) == list(range(len(found.ranks)))
    assert found.ranks.keys() <= {node.name for node in seen.nodes}
    assert found == planned(seen)


@thorough
@given(scenes())
def test_the_scene_stays_as_it_was(seen: Scene) -> None:
    """What is tried is taken back."""
    before = seen.snapshot.free.copy(), {pod.key: pod.node for pod in seen.snapshot.pods()}
    planned(seen)

    assert (before[0] == seen.snapshot.free).all()
    assert before[1] == {pod.key: pod.node for pod in seen.snapshot.pods()}
    asked, _ = answered(seen)
    assert (asked.holding.wanted >= 0).all()
