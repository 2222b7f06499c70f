"""What one cycle sees, and what-if changes on it."""

import contextlib

import pytest

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


def test_more_nodes_stand_behind_the_others_with_their_own_resources() -> None:
    """Rows of the present nodes stay; the present nodes have none of the new resources."""
    wider = make_snapshot(make_node("m", 1000), make_pod("p", "m", 300)).with_nodes(
        [make_node("b", 2000, extended={"x/gpu": 4}), make_node("a", 4000)]
    )

    assert {"m": 0, "b": 1, "a": 2} == wider.rows == wider.everywhere
    assert "x/gpu" == wider.columns[-1]
    assert [0, 4, 0] == wider.free[:, -1].tolist()
    assert [700, 2000, 4000] == wider.free[:, 0].tolist()
    assert [1, 0, 0] == wider.busy.tolist()


def test_what_if_changes_of_a_wider_snapshot_are_its_own() -> None:
    """A change that was made before is in both; an undo or a later change in one of them."""
    frozen = make_snapshot(make_node("a", 1000))
    labels = {"app": "web"}
    undo = frozen.place(make_pod("p", "a", 300, labels=labels), "a")
    wider = frozen.with_nodes([make_node("b", 1000)])
    undo()
    wider.place(make_pod("q", "b", 400, labels=labels), "b")

    assert [700, 600] == wider.free[:, 0].tolist()
    assert [1, 1] == wider.peers(None, make_term(app="web"), terminating=True).tolist()
    assert [1000] == frozen.free[:, 0].tolist()
    assert [0] == frozen.peers(None, make_term(app="web"), terminating=True).tolist()


def test_the_names_of_more_nodes_are_new() -> None:
    """A node that exists, ours or not, is not added a second time."""
    frozen = make_snapshot(make_node("a"))
    for names in (["a"], ["b", "b"]):
        with pytest.raises(ValueError, match=names[0]):
            frozen.with_nodes([make_node(name) for name in names])
