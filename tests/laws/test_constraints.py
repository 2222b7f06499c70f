"""Marathon's operators on random clusters, checked pod by pod as their table reads."""

import re
from collections import Counter
from typing import assert_never

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import HOSTNAME, ZONE, Node
from bayplan.model.workloads import PlacementRules
from bayplan.placement.solve import Policy, solve
from tests.builders import (
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_waiting,
)

KEYS = {"zone": ZONE, "hostname": HOSTNAME, "rack": "rack"}
VALUES = {
    Operator.UNIQUE: ("",),
    Operator.MAX_PER: ("1", "2", "none"),
    Operator.GROUP_BY: ("", "1", "2", "3", "-4"),
    Operator.CLUSTER: ("", "a"),
    Operator.LIKE: ("a|b", "[", "n.*"),
    Operator.UNLIKE: ("a", "[", "n0"),
    Operator.IS: ("a", "1.0"),
}

constraints = st.sampled_from(Operator).flatmap(
    lambda operator: st.builds(
        PlaceConstraint,
        st.sampled_from(sorted(KEYS)),
        st.just(operator),
        st.sampled_from(VALUES[operator]),
    )
)
nodes = st.lists(
    st.builds(
        lambda zone, rack, cpu: (zone, rack, cpu),
        st.sampled_from(("a", "b", "c", None)),
        st.sampled_from(("1", "1.0", "x", None)),
        st.sampled_from((200, 500, 1000)),
    ),
    max_size=7,
)


def made_of(cluster: list[tuple[str | None, str | None, int]]) -> list[Node]:
    """The drawn nodes; what is None has no label."""
    return [
        make_node(
            f"n{index}",
            cpu,
            labels={
                key: value for key, value in ((ZONE, zone), ("rack", rack)) if value is not None
            },
        )
        for index, (zone, rack, cpu) in enumerate(cluster)
    ]


def violation(
    constraint: PlaceConstraint,
    where: list[Node],
    new: list[Node],
    rules: PlacementRules,
    asked: int,
) -> str:
    """What docs/reference/placement.md says against pods on `where`, the last ones new."""
    label = KEYS[constraint.key]
    counts = Counter(node.labels.get(label) for node in where)
    texts = [node.labels.get(label) for node in new]
    wanted = constraint.value
    if constraint.operator is Operator.UNLIKE:
        return (
            "unlike" if wanted == "[" or any(t and re.fullmatch(wanted, t) for t in texts) else ""
        )
    if None in texts:
        return "missing label"
    match constraint.operator:
        case Operator.UNIQUE:
            wrong = any(counts[text] > 1 for text in texts)
        case Operator.MAX_PER:
            most = int(wanted) if wanted.isdecimal() else 0
            wrong = any(counts[text] > most for text in texts)
        case Operator.LIKE:
            wrong = wanted == "[" or not all(re.fullmatch(wanted, str(text)) for text in texts)
        case Operator.IS:
            wrong = not all(t == wanted or (wanted, t) == ("1.0", "1") for t in texts)
        case Operator.CLUSTER:
            wrong = (wanted != "" and set(texts) != {wanted}) or (
                wanted == "" and len(set(texts)) > 1 and len(where) == len(new)
            )
        case Operator.GROUP_BY:
            groups = int(wanted) if wanted.isdecimal() else 0
            known = groups or len({text for text in counts if text is not None})
            total = max(rules.instances, len(where) - len(new) + asked)
            most = -(-total // max(known, 1))
            used = sum(1 for text in counts if text is not None)
            wrong = any(counts[text] > most for text in texts) or (
                groups > 0 and used > groups and any(counts[text] == 1 for text in texts)
            )
        case unknown:
            assert_never(unknown)
    return constraint.operator.value if wrong else ""


@given(
    nodes,
    st.lists(constraints, min_size=1, max_size=3),
    st.lists(st.integers(0, 6), max_size=3),
    st.integers(1, 8),
    st.integers(0, 9),
)
def test_every_constraint_holds_for_every_pod_that_lands(
    cluster: list[tuple[str | None, str | None, int]],
    wanted: list[PlaceConstraint],
    running: list[int],
    count: int,
    instances: int,
) -> None:
    """Whatever is combined with whatever: no new pod stands where a constraint forbids it."""
    made = made_of(cluster)
    labels = {"service": "web"}
    peers = [
        make_pod(f"p{index}", f"n{row}", labels=labels)
        for index, row in enumerate(running)
        if row < len(made)
    ]
    rules = PlacementRules(tuple(wanted), peers=make_term(service="web"), instances=instances)
    kind = make_class(labels=labels, placement=rules)
    plan = solve(make_snapshot(*made, *peers), [make_waiting(kind, count)], NOON, Policy())
    by_name = {node.name: node for node in made}
    new = [by_name[name] for name in plan.placements.values()]
    where = [by_name[pod.node] for pod in peers] + new
    faults = [violation(one, where, new, rules, count) for one in wanted] if new else []

    assert [""] * len(faults) == faults
    for refused in plan.refused:
        assert len(made) == sum(one.nodes for one in refused.funnel.refusals)


@settings(max_examples=300)
@given(nodes, st.integers(1, 6), st.sampled_from(("1", "2")), st.lists(st.integers(0, 6)))
def test_a_gang_lands_whole_exactly_when_some_zone_has_room_for_it(
    cluster: list[tuple[str | None, str | None, int]], count: int, most: str, busy: list[int]
) -> None:
    """All in one zone, so many a rack at most: counted zone by zone and rack by rack."""
    made = made_of(cluster)
    others = [make_pod(f"p{n}", f"n{row}") for n, row in enumerate(busy[:4]) if row < len(made)]
    rules = PlacementRules(
        (
            PlaceConstraint("zone", Operator.CLUSTER),
            PlaceConstraint("rack", Operator.MAX_PER, most),
        ),
        gang=True,
        peers=make_term(job="gang"),
    )
    kind = make_class(labels={"job": "gang"}, placement=rules)
    asked = make_waiting(kind, count)
    plan = solve(make_snapshot(*made, *others), [asked], NOON, Policy())
    room = Counter[tuple[str, str]]()
    for index, (zone, rack, cpu) in enumerate(cluster):
        if zone is not None and rack is not None:
            taken = sum(pod.node == f"n{index}" for pod in others)
            room[zone, rack] += max(cpu // 100 - taken, 0)
    best = max(
        (
            sum(min(free, int(most)) for (at, _), free in room.items() if at == zone)
            for zone in "abc"
        ),
        default=0,
    )

    assert (count if best >= count else 0) == len(plan.placements)
