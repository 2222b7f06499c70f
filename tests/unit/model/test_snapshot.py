"""What one cycle sees, and what-if changes on it."""

import contextlib

from bayplan.model.pods import HostPort
from tests.builders import make_constraints, make_node, make_pod, make_snapshot, make_term


def test_a_placed_pod_is_counted_everywhere() -> None:
    """place() changes free, busy, peers and ports; its undo restores all of them."""
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000))
    pod = make_pod(
        "p",
        "b",
        300,
        labels={"app": "web"},
        constraints=make_constraints(host_ports=(HostPort(80),)),
    )
    undo = frozen.place(pod, "b")
    wanted = make_term(app="web")
    inside = (
        frozen.free[:, 0].tolist(),
        frozen.busy.tolist(),
        frozen.peers(frozenset({"default"}), wanted, terminating=True).tolist(),
        frozen.with_port(HostPort(80, ip="10.0.0.1")).tolist(),
    )
    undo()

    assert ([1000, 700], [0, 1], [0, 1], [0, 1]) == inside
    assert [1000, 1000] == frozen.free[:, 0].tolist()
    assert [0, 0] == frozen.peers(None, wanted, terminating=True).tolist()
    assert [0, 0] == frozen.with_port(HostPort(80)).tolist()


def test_without_restores_after_an_exception() -> None:
    """Pods that left inside the block are back when it is left by an exception."""
    pods = [make_pod("p", "a", 300), make_pod("q", "a", 200)]
    frozen = make_snapshot(make_node("a", 1000), *pods)
    inside = []
    with contextlib.suppress(ZeroDivisionError), frozen.without(pods):
        inside.append(frozen.free[0, 0])
        raise ZeroDivisionError

    assert [1000] == inside
    assert 500 == frozen.free[0, 0]
    assert {"p", "q"} == {pod.name for pod in frozen.pods_on("a")}


def test_residents_do_not_make_a_node_busy() -> None:
    """DaemonSet and static pods take room but leave the node empty."""
    frozen = make_snapshot(
        make_node("a", 1000),
        make_pod("ds", "a", 100, owner_uid="d", owner_kind="DaemonSet"),
        make_pod("static", "a", 100, owner_uid="a", owner_kind="Node"),
    )

    assert ([800], [0]) == (frozen.free[:, 0].tolist(), frozen.busy.tolist())


def test_peers_are_told_apart_by_namespace_and_by_leaving() -> None:
    """A selector counts in the namespaces asked for; leaving pods only when they matter."""
    labels = {"app": "web"}
    frozen = make_snapshot(
        make_node("a"),
        make_pod("p", "a", labels=labels),
        make_pod("q", "a", labels=labels, deleted_at=3),
        make_pod("r", "a", labels=labels, namespace="other"),
        make_pod("s", "a", labels={"app": "db"}),
    )
    wanted = make_term(app="web")

    assert [2] == frozen.peers(frozenset({"default"}), wanted, terminating=True).tolist()
    assert [1] == frozen.peers(frozenset({"default"}), wanted, terminating=False).tolist()
    assert [3] == frozen.peers(None, wanted, terminating=True).tolist()


def test_a_daemonset_lacks_its_pod_where_none_runs() -> None:
    """without_daemon() tells the rows to keep room on, what-if changes included."""
    there = make_pod("d-a", "a", owner_uid="d", owner_kind="DaemonSet")
    frozen = make_snapshot(make_node("a"), make_node("b"), make_node("c"), there)
    among = frozenset({"a", "b"})
    before = frozen.without_daemon("d", among)
    with frozen.without([there]):
        inside = frozen.without_daemon("d", among)

    assert ([1], [0, 1]) == (before, inside)
    assert [1] == frozen.without_daemon("d", among)
