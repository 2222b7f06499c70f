"""The book behind every snapshot: sums by increments equal sums from scratch."""

import dataclasses
from dataclasses import replace

from bayplan.model import state
from bayplan.model.companions import Companions
from bayplan.model.pods import Owner, Phase
from tests.builders import (
    GIB,
    NOON,
    make_node,
    make_pod,
    make_snapshot,
    make_state,
    make_vector,
)


def test_free_counts_every_pod_that_is_not_terminal() -> None:
    """Free is allocatable minus requests of running, pending and terminating pods of anybody."""
    book = make_state(
        make_node(cpu=4000, memory=16),
        make_pod("running", "n1", 100, memory=1),
        make_pod("foreign", "n1", 200, scheduler="default-scheduler"),
        make_pod("terminating", "n1", 400, deleted_at=9),
        make_pod("done", "n1", 800, phase=Phase.SUCCEEDED),
    )
    frozen = book.snapshot()

    assert [3300, 15 * GIB, 0, 107] == frozen.free[0].tolist()
    assert [3] == frozen.busy.tolist()


def test_a_confirmed_assumption_is_counted_once() -> None:
    """Assume, then the sight of the real pod: the room is taken once, nothing is assumed."""
    book = make_state(make_node(cpu=1000))
    book.assume(make_pod("p", "n1", 300, uid=""))
    counted_on = book.snapshot().free[0, 0]
    book.set_pod(make_pod("p", "n1", 300))

    assert 700 == counted_on == book.snapshot().free[0, 0]
    assert {} == book.assumed


def test_forgetting_a_create_leaves_nothing() -> None:
    """A CREATE that failed: no pod, no request, no assumption; forgetting twice is once."""
    book = make_state(make_node(cpu=1000))
    book.assume(make_pod("p", "n1", 300, uid="", owner_uid="s"))
    book.forget(("default", "p"))
    book.forget(("default", "p"))

    assert 1000 == book.snapshot().free[0, 0]
    assert ({}, {}, {}) == (book.pods, book.assumed, dict(book.owned("s")))


def test_forgetting_a_binding_makes_the_pod_wait_again() -> None:
    """A binding that failed: the pod stands among the unplaced again and holds no room."""
    book = make_state(make_node(cpu=1000), make_pod("p", "", 300))
    book.assume(make_pod("p", "n1", 300))
    placed = dict(book.unplaced)
    book.forget(("default", "p"))

    assert {} == placed
    assert [("default", "p")] == list(book.unplaced)
    assert 1000 == book.snapshot().free[0, 0]


def test_an_unplaced_sight_does_not_take_a_binding_back() -> None:
    """A status update that arrives while the binding is under way still counts on the node."""
    book = make_state(make_node(cpu=1000), make_pod("p", "", 300))
    book.assume(make_pod("p", "n1", 300))
    book.set_pod(make_pod("p", "", 300, scheduled_reason="Unschedulable"))

    assert 700 == book.snapshot().free[0, 0]
    assert {("default", "p"): "n1"} == book.assumed


def test_an_assumed_pod_that_ends_at_once_holds_nothing() -> None:
    """A kubelet's refusal (phase Failed) ends the assumption and gives the room back."""
    book = make_state(make_node(cpu=1000))
    book.assume(make_pod("p", "n1", 300, uid=""))
    book.set_pod(make_pod("p", "n1", 300, phase=Phase.FAILED, reason="OutOfcpu"))

    assert 1000 == book.snapshot().free[0, 0]
    assert {} == book.assumed


def test_a_node_is_as_full_as_its_scarcest_resource() -> None:
    """Of pods that will stay: neither a DaemonSet's, nor one that is on its way out, nor ended."""
    book = make_state(
        make_node(cpu=4000, memory=16),
        make_pod("small", "n1", 100, memory=4),
        make_pod("foreign", "n1", 900, memory=4, scheduler="default-scheduler"),
        make_pod("terminating", "n1", 2000, deleted_at=9),
        make_pod("done", "n1", 2000, phase=Phase.SUCCEEDED),
        make_pod("daemon", "n1", 2000, owner_uid="d", owner_kind="DaemonSet"),
    )
    before = book.fullness("n1")
    book.drop_pod(("default", "foreign"))

    assert (500, 250, 0) == (before, book.fullness("n1"), book.fullness("nowhere"))


def test_nodes_version_stands_still_when_only_the_resource_version_moves() -> None:
    """What was computed from nodes stays valid through heartbeats, not through a change."""
    node = make_node()
    book = make_state(node)
    before = book.nodes_version
    book.set_node(dataclasses.replace(node, resource_version="2"))
    after_heartbeat = book.nodes_version
    book.set_node(dataclasses.replace(node, unschedulable=True))

    assert before == after_heartbeat
    assert before != book.nodes_version
    assert book.snapshot().nodes[0].unschedulable


def test_a_node_that_returns_still_carries_its_pods() -> None:
    """Pods of a node that left and came back under its name are counted on it."""
    book = make_state(make_node(cpu=1000), make_pod("p", "n1", 300))
    book.drop_node("n1")
    gone = book.snapshot().nodes
    book.set_node(make_node(cpu=2000))

    assert () == gone
    assert 1700 == book.snapshot().free[0, 0]


def test_resources_that_no_node_has_do_not_stand_in_the_way() -> None:
    """A placed pod that requests an unknown resource is counted in the known ones."""
    frozen = make_snapshot(make_node(cpu=1000), make_pod("p", "n1", 300, extended={"x/gpu": 1}))

    assert 700 == frozen.free[0, 0]
    assert None is frozen.vector(make_pod(extended={"x/gpu": 1}).request)


def test_only_eligible_nodes_are_seen() -> None:
    """Nodes outside our set are not in the snapshot, their pods hurt nobody."""
    book = make_state(make_node("ours"), make_node("theirs"), make_pod("p", "theirs"))
    book.eligible = lambda node: node.name == "ours"

    assert ("ours",) == tuple(node.name for node in book.snapshot().nodes)


def test_gated_terminating_and_foreign_pods_are_not_ours_to_place() -> None:
    """Unplaced holds what names our scheduler and may be placed now."""
    book = make_state(
        make_pod("ours"),
        make_pod("gated", gated=True),
        make_pod("leaving", deleted_at=5),
        make_pod("foreign", scheduler="default-scheduler"),
    )

    assert [("default", "ours")] == list(book.unplaced)


def test_nodes_that_come_and_go_leave_nothing() -> None:
    """A node's row is free once the node and its pods have gone, in whichever order they went."""
    book = make_state()
    for number in range(300):
        node, pod = make_node(f"n{number}", cpu=1000), make_pod(f"p{number}", f"n{number}", 300)
        book.set_node(node)
        book.set_pod(pod)
        free = book.snapshot().free[0, 0]
        if number % 2:
            book.drop_node(node.name)
        book.drop_pod(pod.key)
        book.drop_node(node.name)

        assert 700 == free

    assert 1 == book.rows_made


def test_a_pod_without_its_node_keeps_its_room() -> None:
    """A pod outlives its node for a while: another node must not be charged for it."""
    book = make_state(make_node("n1", cpu=1000), make_pod("p", "n1", 300))
    book.drop_node("n1")
    book.set_node(make_node("n2", cpu=1000))
    other = book.snapshot().free[0, 0]
    book.set_node(make_node("n1", cpu=1000))

    assert 1000 == other
    assert [700, 1000] == book.snapshot().free[:, 0].tolist()


def uprooted(book: state.State, name: str = "p") -> bool:
    return book.pods["default", name].uprooted


def test_a_pod_that_goes_with_its_node_is_remembered() -> None:
    """Whichever news comes first; and when the node is back, gone, or of another machine."""
    going = make_pod("p", "n1", deleted_at=NOON + 30, grace_seconds=30)
    cordoned = make_node(unschedulable=True)
    before, after = make_state(cordoned, going), make_state(make_node(), going)
    seen = (uprooted(before), uprooted(after))
    after.set_node(cordoned)
    for book in (before, after):
        book.set_node(make_node())
        book.set_pod(replace(going, deleted_at=NOON, phase=Phase.FAILED))
    gone = make_state(make_node(), going)
    gone.drop_node("n1")
    gone.set_node(make_node())

    assert (True, False) == seen
    assert uprooted(before)
    assert uprooted(after)
    assert uprooted(gone)


def test_what_is_not_remembered_as_gone_with_its_node() -> None:
    """A living pod, a node that was cordoned later, the next pod of the name."""
    going = make_pod("p", "n1", deleted_at=NOON + 30, grace_seconds=30)
    later = make_node(unschedulable=True, emptying_since=NOON + 60)
    cordoned = make_node(unschedulable=True)
    book = make_state(cordoned, going)
    book.set_pod(replace(going, uid="another", deleted_at=None))

    assert not uprooted(make_state(later, going))
    assert not uprooted(make_state(cordoned, make_pod("p", "n1")))
    assert not uprooted(book)


def test_companions_are_awaited_until_they_are_there() -> None:
    """As many as the annotation says, minus the live pods of the driver; in a snapshot."""
    asked = Companions(2, make_vector(1000))
    leader = make_pod("d", "n1", companions=asked)
    owner = Owner("Pod", "d", leader.uid)
    book = make_state(make_node("n1"), leader, make_pod("waits", owner=owner))

    def awaited() -> list[tuple[str, int]]:
        return [(one.leader[1], one.count) for one in book.snapshot().awaited]

    none_placed = awaited()
    book.set_pod(make_pod("e1", "n1", owner=owner))
    one_placed = awaited()
    book.set_pod(make_pod("e2", "n1", owner=owner))
    book.set_pod(make_pod("e3", "n1", owner=owner))
    all_placed = awaited()
    book.set_pod(make_pod("e1", "n1", owner=owner, phase=Phase.SUCCEEDED))
    book.set_pod(make_pod("e2", "n1", owner=owner, deleted_at=1))

    assert ([("d", 2)], [("d", 1)], []) == (none_placed, one_placed, all_placed)
    assert [("d", 1)] == awaited()
    book.set_pod(make_pod("d", "n1"))  # somebody takes the annotation off
    assert [] == awaited()
    book.set_pod(make_pod("d", "n1", companions=asked))
    assert [("d", 1)] == awaited()
    assert () == book.snapshot().without_nodes({"n1"}).awaited
