"""Laws of placing: nothing beyond allocatable, every constraint kept, nothing left to chance."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bayplan.model import requirements, snapshot, wording
from bayplan.model.nodes import HOSTNAME, ZONE, Node, Taint
from bayplan.model.pods import ANYWHERE, Constraints, HostPort, Pod, PodTerm, Spread, Toleration
from bayplan.model.state import State
from bayplan.model.workloads import Backlog, Plan, TaskKey, Waiting
from bayplan.placement.solve import Memo, Policy, solve
from tests.builders import (
    NOON,
    make_class,
    make_constraints,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_vector,
    make_waiting,
)
from tests.checker import landed, violations

APPS = ("web", "db")
KEYS = (HOSTNAME, ZONE, "rack")
DAEMONS = (snapshot.DaemonSet("kube-system", "agent", "ds", make_vector(100)),)

selectors = st.sampled_from([make_term(app=app) for app in APPS])
node_terms = st.builds(
    lambda key, operator, values: requirements.Term(
        ((key, requirements.requirement(operator, values)),)
    ),
    st.sampled_from((ZONE, "rack", "size")),
    st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")),
    st.lists(st.sampled_from(("a", "b", "1", "2")), min_size=1, max_size=2),
)
tolerations = st.sampled_from(
    [(), (Toleration("dedicated", "Exists"),), (Toleration("", "Exists"),)]
)


@st.composite
def node(draw: st.DrawFn, index: int) -> Node:
    """A node of a small unlike cluster: labels, taints and readiness as they come."""
    labels = {
        key: draw(st.sampled_from(values))
        for key, values in ((ZONE, "ab"), ("rack", "ab"), ("size", "12"))
        if draw(st.integers(0, 4))
    }
    taint = draw(st.sampled_from(("", "", "", "dedicated", "soft", "karpenter.sh/disrupted")))
    effect = "PreferNoSchedule" if taint == "soft" else "NoSchedule"
    return make_node(
        f"n{index}",
        draw(st.sampled_from((500, 1000, 2000))),
        2,
        labels=labels,
        taints=(Taint(taint, effect=effect),) if taint else (),
        ready=draw(st.integers(0, 9)) > 0,
        unschedulable=draw(st.integers(0, 9)) == 0,
        pods=draw(st.sampled_from((2, 5, 110))),
        extended={"x/gpu": 2} if draw(st.booleans()) else {},
        price_microdollars=draw(st.sampled_from((None, 1000, 5000))),
    )


@st.composite
def clusters(draw: st.DrawFn, most: int = 6) -> list[Node]:
    return [draw(node(index)) for index in range(draw(st.integers(0, most)))]


@st.composite
def constraints(draw: st.DrawFn, app: str) -> Constraints:
    """Any mixture, most fields most often empty; a spread counts the pods of its own app."""

    def few(strategy: st.SearchStrategy[object]) -> tuple[object, ...]:
        return (draw(strategy),) if draw(st.integers(0, 5)) == 0 else ()

    terms = st.builds(
        PodTerm,
        selectors,
        st.sampled_from(KEYS),
        all_namespaces=st.booleans(),
        weight=st.sampled_from((0, 0, 10)),
    )
    spreads = st.builds(
        Spread,
        st.sampled_from(KEYS),
        st.just(make_term(app=app)),
        max_skew=st.integers(1, 3),
        min_domains=st.integers(1, 3),
        hard=st.booleans(),
        honour_affinity=st.booleans(),
        honour_taints=st.booleans(),
    )
    return make_constraints(
        selector=few(st.tuples(st.just(ZONE), st.sampled_from("ab"))),
        affinity=few(node_terms) or None,
        preferred=few(st.tuples(st.just(7), node_terms)),
        tolerations=draw(tolerations),
        host_ports=few(st.sampled_from((HostPort(80), HostPort(80, ip="10.0.0.1")))),
        pod_affinity=few(terms),
        pod_anti_affinity=few(terms),
        spread=(*few(spreads), *few(spreads)),
    )


@st.composite
def queues(draw: st.DrawFn, plain: bool = False) -> list[Waiting]:
    """Up to four classes of up to five tasks; what spreads has an app of its own."""
    queue = []
    for index in range(draw(st.integers(0, 4))):
        app = draw(st.sampled_from((*APPS, f"app{index}")))
        wanted = ANYWHERE if plain else draw(constraints(app))
        if wanted.spread:
            app = f"app{index}"
            own = tuple(
                dataclasses.replace(spread, selector=make_term(app=app)) for spread in wanted.spread
            )
            wanted = dataclasses.replace(wanted, spread=own)
        kind = make_class(
            draw(st.sampled_from((100, 300, 700))),
            constraints=wanted,
            labels={"app": app},
            priority=draw(st.integers(0, 2)),
            extended={"x/gpu": 1} if draw(st.integers(0, 5)) == 0 else {},
        )
        count, since = draw(st.integers(1, 5)), draw(st.integers(0, 3))
        queue.append(make_waiting(kind, count, f"q{index}", since=since))
    return queue


@st.composite
def running_pods(draw: st.DrawFn) -> list[Pod]:
    return [
        make_pod(
            f"r{index}",
            draw(st.sampled_from(("n0", "n1", "n2", "elsewhere"))),
            draw(st.sampled_from((50, 400))),
            labels={"app": (app := draw(st.sampled_from((*APPS, "app0", "app1"))))},
            constraints=draw(constraints(app)),
            deleted_at=draw(st.sampled_from((None, None, 5))),
            owner_uid=draw(st.sampled_from((None, "ds"))),
            owner_kind="DaemonSet",
        )
        for index in range(draw(st.integers(0, 4)))
    ]


def plan_of(
    nodes: Sequence[Node],
    queue: Sequence[Waiting],
    running: Sequence[Pod] = (),
) -> Plan:
    return solve(make_snapshot(*nodes, *running, *DAEMONS), queue, NOON, Policy())


thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(clusters(), queues(), running_pods())
def test_a_plan_keeps_every_rule_and_accounts_for_every_task(
    nodes: list[Node], queue: list[Waiting], running: list[Pod]
) -> None:
    """The slow checker finds nothing wrong; every task is placed or refused, none both."""
    running = [pod for pod in running if pod.node in {node.name for node in nodes}]
    plan = plan_of(nodes, queue, running)
    kept = [
        daemonset
        for daemonset in DAEMONS
        if not any(node.taints for node in nodes)  # the checker keeps room on every node
    ]

    assert [] == violations(nodes, running, landed(queue, plan.placements), kept)
    refused = [key for refusal in plan.refused for key in refusal.keys]
    asked = [key for group in queue for key in group.keys]
    assert sorted(asked) == sorted([*plan.placements, *refused])


@thorough
@given(clusters(), queues(), running_pods())
def test_a_refusals_numbers_add_up(
    nodes: list[Node], queue: list[Waiting], running: list[Pod]
) -> None:
    """Each node is charged once, in words; whoever is refused has a nearest node to look at."""
    for refusal in plan_of(nodes, queue, running).refused:
        funnel = refusal.funnel

        assert len(nodes) == funnel.considered == sum(one.nodes for one in funnel.refusals)
        assert (funnel.nearest is None) is (not nodes)
        assert wording.sentence(funnel).startswith(f"0/{len(nodes)} nodes")


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_order_of_input_does_not_matter(
    nodes: list[Node],
    queue: list[Waiting],
    running: list[Pod],
    data: st.DataObject,
) -> None:
    """Nodes, pods and tasks in another order, with or without a memo: the same plan."""
    memo = Memo()
    frozen = make_snapshot(*nodes, *running)
    first = solve(frozen, queue, NOON, Policy(), memo)
    shuffled = make_snapshot(
        *data.draw(st.permutations(nodes)), *data.draw(st.permutations(running))
    )
    second = solve(shuffled, data.draw(st.permutations(queue)), NOON, Policy())

    assert first == second == solve(frozen, queue, NOON, Policy(), memo)


@thorough
@given(clusters(), queues(plain=True), st.data())
def test_another_node_never_places_fewer_of_a_class(
    nodes: list[Node], queue: list[Waiting], data: st.DataObject
) -> None:
    """Without constraints between pods, one more node takes no room away from a class alone."""
    assume(queue)
    more = [*nodes, data.draw(node(len(nodes)))]
    group = queue[0]

    assert len(plan_of(nodes, [group]).placements) <= len(plan_of(more, [group]).placements)


@given(clusters(), queues(), running_pods())
def test_the_snapshot_stays_as_it_was(
    nodes: list[Node], queue: list[Waiting], running: list[Pod]
) -> None:
    """A solve changes nothing that it was given."""
    frozen = make_snapshot(*nodes, *running)
    before = frozen.free.tolist(), frozen.busy.tolist()
    solve(frozen, queue, NOON, Policy())

    assert before == (frozen.free.tolist(), frozen.busy.tolist())


@thorough
@given(clusters(), queues(plain=True), running_pods())
def test_what_is_refused_has_no_room_anywhere(
    nodes: list[Node], queue: list[Waiting], running: list[Pod]
) -> None:
    """After the plan, no refused task without constraints could be added to any open node."""
    plan = plan_of(nodes, queue, running)
    new = landed(queue, plan.placements)
    for refusal in plan.refused:
        probe = make_waiting(refusal.waiting.kind, 1, "probe")
        for one in nodes:
            tried = [*new, *landed([probe], {probe.keys[0]: one.name})]

            assert violations(nodes, running, tried, DAEMONS)


@st.composite
def backlogs(draw: st.DrawFn, nodes: Sequence[Node], queue: Sequence[Waiting]) -> Backlog:
    """Any shares on any nodes, more than there are tasks or room, and nodes that are gone."""
    names = st.sampled_from([*(node.name for node in nodes), "gone"])
    shares = {
        group.kind: draw(st.dictionaries(names, st.integers(0, 6), max_size=4)) for group in queue
    }
    return Backlog(draw(st.frozensets(names)), shares)


def waits(plan: Plan, queue: Sequence[Waiting], priority: int) -> set[TaskKey]:
    """The tasks of a priority that got no node."""
    return {
        key
        for group in queue
        if group.kind.priority == priority
        for key in group.keys
        if key not in plan.placements
    }


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_a_planned_backlog_keeps_every_rule_and_accounts_for_every_task(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """A plan is no permission, and nothing is lost or counted twice in two passes."""
    running = [pod for pod in running if pod.node in {node.name for node in nodes}]
    planned = data.draw(backlogs(nodes, queue))
    plan = solve(make_snapshot(*nodes, *running, *DAEMONS), queue, NOON, Policy(), planned=planned)
    kept = [daemonset for daemonset in DAEMONS if not any(node.taints for node in nodes)]

    assert [] == violations(nodes, running, landed(queue, plan.placements), kept)
    refused = [key for refusal in plan.refused for key in refusal.keys]
    asked = [key for group in queue for key in group.keys]
    assert sorted(asked) == sorted([*plan.placements, *refused])
    assert not plan.faults


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_shares_make_no_more_urgent_task_wait(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """Whoever waits with shares of a lower priority would wait without them too."""
    planned = data.draw(backlogs(nodes, queue))
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    plan = solve(frozen, queue, NOON, Policy(), planned=planned)

    for priority in {group.kind.priority for group in queue}:
        urgent = {
            kind: share for kind, share in planned.shares.items() if kind.priority >= priority
        }
        without = dataclasses.replace(planned, shares=urgent)
        other = solve(frozen, queue, NOON, Policy(), planned=without)
        assert waits(plan, queue, priority) <= waits(other, queue, priority)


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_a_backlog_without_its_own_tasks_or_nodes_changes_nothing(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """Shares of classes that do not wait, on nodes that are gone: the plan without a backlog."""
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    gone = data.draw(backlogs([], queue))
    others = {make_class(1, labels={"app": "nobody"}): {node.name: 2 for node in nodes}}
    stale = Backlog(gone.nodes, {**gone.shares, **others})

    assert solve(frozen, queue, NOON, Policy()) == solve(
        frozen, queue, NOON, Policy(), planned=stale
    )


@thorough
@given(clusters(4), clusters(), queues(), running_pods(), st.data())
def test_more_nodes_in_a_snapshot_are_as_good_as_in_the_cluster(
    nodes: list[Node],
    others: list[Node],
    queue: list[Waiting],
    running: list[Pod],
    data: st.DataObject,
) -> None:
    """The same answer as for a cluster that has the nodes; the memo is not taken in by them."""
    more = [
        dataclasses.replace(
            one, name=f"z{one.name}", labels={**one.labels, HOSTNAME: f"z{one.name}"}
        )
        for one in others
    ]
    foreign = {node.name for node in nodes if data.draw(st.integers(0, 3)) == 0}
    running = [pod for pod in running if pod.node in {node.name for node in nodes}]

    def seen(*known: Node) -> snapshot.Snapshot:
        book = State(eligible=lambda node: node.name not in foreign)
        for one in known:
            book.set_node(one)
        for pod in running:
            book.set_pod(pod)
        book.set_daemonset(DAEMONS[0])
        return book.snapshot()

    memo, plain = Memo(), seen(*nodes)
    before = solve(plain, queue, NOON, Policy(), memo)
    wider = plain.with_nodes(more)

    assert solve(seen(*nodes, *more), queue, NOON, Policy()) == solve(
        wider, queue, NOON, Policy(), memo
    )
    fewer = plain.with_nodes(more[1:])
    assert solve(seen(*nodes, *more[1:]), queue, NOON, Policy()) == solve(
        fewer, queue, NOON, Policy(), memo
    )
    assert before == solve(plain, queue, NOON, Policy(), memo)


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_fewer_nodes_in_a_snapshot_are_as_if_the_others_had_gone(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """The same answer as for a cluster without the nodes and their pods."""
    names = {node.name for node in nodes}
    gone = {name for name in sorted(names) if data.draw(st.booleans())}
    rest = [node for node in nodes if node.name not in gone]
    there = [pod for pod in running if pod.node in names - gone]
    running = [pod for pod in running if pod.node in names]
    whole = make_snapshot(*nodes, *running, *DAEMONS)

    fewer = whole.without_nodes(gone)

    assert solve(make_snapshot(*rest, *there, *DAEMONS), queue, NOON, Policy()) == solve(
        fewer, queue, NOON, Policy()
    )
    assert sorted(pod.key for pod in there) == sorted(pod.key for pod in fewer.pods())
    assert len(nodes) == len(whole.nodes)


@st.composite
def closing_of(draw: st.DrawFn, nodes: Sequence[Node]) -> Backlog:
    """Some of the nodes close."""
    return Backlog(closing=draw(st.frozensets(st.sampled_from([*(n.name for n in nodes), "gone"]))))


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_closing_nodes_break_no_rule_and_lose_no_task(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """Every rule is kept; a class alone gets as many places as if no node closed."""
    running = [pod for pod in running if pod.node in {node.name for node in nodes}]
    closing = data.draw(closing_of(nodes))
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    plan = solve(frozen, queue, NOON, Policy(), planned=closing)
    kept = [daemonset for daemonset in DAEMONS if not any(node.taints for node in nodes)]

    assert [] == violations(nodes, running, landed(queue, plan.placements), kept)
    assert not plan.faults
    for group in queue:
        alone = solve(frozen, [group], NOON, Policy(), planned=closing)
        assert len(solve(frozen, [group], NOON, Policy()).placements) <= len(alone.placements)


@thorough
@given(clusters(), queues(plain=True), running_pods(), st.data())
def test_who_is_on_a_closing_node_has_no_room_elsewhere(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """Also an empty, a dear or a disliked node comes before it."""
    closing = data.draw(closing_of(nodes))
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    plan = solve(frozen, queue, NOON, Policy(), planned=closing)
    new = landed(queue, plan.placements)
    for group in queue:
        if not {plan.placements.get(key) for key in group.keys} & closing.closing:
            continue
        probe = make_waiting(group.kind, 1, "probe")
        for one in nodes:
            if one.name not in closing.closing:
                tried = [*new, *landed([probe], {probe.keys[0]: one.name})]
                assert violations(nodes, running, tried, DAEMONS)


def places_of(queue: Sequence[Waiting], plan: Plan) -> Backlog:
    """The placed tasks of a plan as holds."""
    held = {
        group.kind: Counter(plan.placements[key] for key in group.keys if key in plan.placements)
        for group in queue
    }
    return Backlog(held=held)


@thorough
@given(clusters(), queues(), queues(), running_pods(), st.data())
def test_who_is_to_come_finds_the_place_that_was_held(
    nodes: list[Node],
    movers: list[Waiting],
    others: list[Waiting],
    running: list[Pod],
    data: st.DataObject,
) -> None:
    """Whoever comes before, and whoever waits at the same time, with no higher priority.

    Except pods that must stand near others, and spread pods that share a spread with others: what
    these others do, or who of them leaves, changes where the pods may stand.
    """
    running = [pod for pod in running if pod.node in {node.name for node in nodes}]
    movers = [
        moving(group)
        for group in movers
        if not any(not term.weight for term in group.kind.constraints.pod_affinity)
    ]
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    proven = solve(frozen, movers, NOON, Policy())
    held = places_of(movers, proven)
    least = min((group.kind.priority for group in movers), default=0)
    others = [
        dataclasses.replace(
            group, kind=dataclasses.replace(group.kind, priority=min(group.kind.priority, least))
        )
        for group in others
    ]
    early = [group for group in others if data.draw(st.booleans())]
    before = solve(frozen, early, NOON, Policy(), planned=held)
    kept = [daemonset for daemonset in DAEMONS if not any(node.taints for node in nodes)]
    both = [*landed(early, before.placements), *landed(movers, proven.placements)]

    assert [] == violations(nodes, running, both, kept)

    came = [dataclasses.replace(pod, uid=pod.name) for pod, _ in landed(early, before.placements)]
    late = [group for group in others if group not in early]
    after = solve(
        make_snapshot(*nodes, *running, *came, *DAEMONS),
        [*late, *movers],
        NOON,
        Policy(),
        planned=held,
    )
    assert held.held == places_of(movers, after).held


def moving(group: Waiting) -> Waiting:
    """The group with other names, and as a class of its own; what is spread is so by itself."""
    kind = dataclasses.replace(group.kind, workload=group.keys[0][1])
    if kind.constraints.spread:
        app = f"m{group.keys[0][1]}"
        spread = tuple(
            dataclasses.replace(one, selector=make_term(app=app)) for one in kind.constraints.spread
        )
        alone = dataclasses.replace(kind.constraints, spread=spread)
        kind = dataclasses.replace(kind, labels=(("app", app),), constraints=alone)
    return Waiting(kind, tuple((space, f"m{name}") for space, name in group.keys), group.since)


@thorough
@given(clusters(), queues(), running_pods(), st.data())
def test_held_room_makes_no_more_urgent_task_wait(
    nodes: list[Node], queue: list[Waiting], running: list[Pod], data: st.DataObject
) -> None:
    """Whoever waits with holds of a lower priority would wait without them too."""
    held = data.draw(backlogs(nodes, queue)).shares
    frozen = make_snapshot(*nodes, *running, *DAEMONS)
    waiting = [group for group in queue if data.draw(st.booleans())]
    plan = solve(frozen, waiting, NOON, Policy(), planned=Backlog(held=held))

    for priority in {group.kind.priority for group in waiting}:
        urgent = {kind: share for kind, share in held.items() if kind.priority >= priority}
        other = solve(frozen, waiting, NOON, Policy(), planned=Backlog(held=urgent))
        assert waits(plan, waiting, priority) <= waits(other, waiting, priority)
