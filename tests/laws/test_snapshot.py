"""Laws of the book and its snapshots: increments equal sums, undo restores."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bayplan.model import snapshot, state
from bayplan.model.pods import ANYWHERE, HostPort, Phase, Pod, PodTerm
from bayplan.model.workloads import EXCLUSIVE
from tests.builders import make_constraints, make_node, make_pod, make_state, make_term

NODES = ("a", "b", "gone")
AVERSE = make_constraints(
    pod_anti_affinity=(PodTerm(make_term(app="web"), "zone"),),
    host_ports=(HostPort(80),),
    claims=("disk",),
)

pods = st.builds(
    lambda name, node, cpu, app, special, phase, leaving, kind: make_pod(
        name,
        node,
        cpu,
        labels={"app": app, **({EXCLUSIVE: "true"} if special else {})},
        phase=phase,
        deleted_at=1 if leaving else None,
        owner_uid=kind,
        owner_kind=kind,
        constraints=AVERSE if special else ANYWHERE,
    ),
    name=st.sampled_from("pqrst"),
    node=st.sampled_from((*NODES, "")),
    cpu=st.integers(0, 500),
    app=st.sampled_from(("web", "db")),
    special=st.booleans(),
    phase=st.sampled_from(Phase),
    leaving=st.booleans(),
    kind=st.sampled_from(("DaemonSet", "LongService", "BatchJob")),
)


def seen(frozen: snapshot.Snapshot) -> object:
    """Everything that a solve can ask a snapshot, as comparable data."""
    counts = frozen.peers(None, make_term(app="web"), terminating=False).tolist()
    return (
        frozen.free.tolist(),
        frozen.busy.tolist(),
        frozen.passing.tolist(),
        {name: sorted(pod.name for pod in frozen.pods_on(name)) for name in NODES},
        counts,
        [frozen.bearers(key).tolist() for key in frozen.averse() if frozen.bearers(key).any()],
        frozen.with_port(HostPort(80)).tolist(),
        frozen.exclusive().tolist(),
        sorted((key, dict(nodes)) for key, nodes in frozen.claims_in_use() if nodes),
        frozen.without_daemon("DaemonSet", frozenset({"a", "b"})),
    )


def fresh(news: Sequence[Pod]) -> state.State:
    return make_state(make_node("a"), make_node("b"), *news)


@given(st.lists(pods, max_size=12), st.sets(st.sampled_from("pqrst")))
def test_increments_equal_a_book_written_anew(news: list[Pod], drops: set[str]) -> None:
    """However often pods change and leave, the book equals one that saw only the last state."""
    book = fresh([])
    seen(book.snapshot())  # from now on its indexes must follow
    for pod in news:
        book.set_pod(pod)
    for name in drops:
        book.drop_pod(("default", name))
    last = {pod.name: pod for pod in news if pod.name not in drops}

    assert seen(fresh(list(last.values())).snapshot()) == seen(book.snapshot())


@given(st.lists(pods, max_size=6), st.lists(pods, max_size=6), st.data())
def test_undo_restores(running: list[Pod], coming: list[Pod], data: st.DataObject) -> None:
    """Whatever is placed and removed inside, undone in reverse the snapshot is its former self."""
    frozen = fresh(running).snapshot()
    before = seen(frozen)
    undos = [frozen.place(pod, data.draw(st.sampled_from(NODES))) for pod in coming]
    there = sorted(frozen.pods_on("a"), key=lambda pod: pod.name)
    undos += [frozen.remove(pod) for pod in there if pod.node == "a"]
    for undo in reversed(undos):
        undo()

    assert before == seen(frozen)


@given(st.lists(pods, max_size=6), st.lists(pods, max_size=6))
def test_assume_then_forget_restores(running: list[Pod], coming: list[Pod]) -> None:
    """An assumption taken back leaves what was there before it."""
    book = fresh(running)
    known = set(book.pods)
    before = seen(book.snapshot())
    new = {pod.key: pod for pod in coming if pod.key not in known and not pod.terminal}
    for key in new:
        book.assume(make_pod(key[1], "a", 50, uid=""))
    for key in new:
        book.forget(key)

    assert before == seen(book.snapshot())
