"""Laws of the book: whatever the news and their order, it equals one written from scratch."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bayplan.model import state
from bayplan.model.pods import ANYWHERE, HostPort, Owner, Phase
from tests.builders import make_constraints, make_node, make_pod, make_state, make_vector

NODES = ("n1", "n2")
APART = make_constraints(host_ports=(HostPort(80),), claims=("data",))


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "node": st.sampled_from(("", *NODES)),
    "phase": st.sampled_from(Phase),
    "ready": st.booleans(),
    "deleted_at": st.sampled_from((None, 5)),
    "gated": st.booleans(),
    "scheduler": st.sampled_from(("bayplan", "default-scheduler")),
    "labels": st.sampled_from(({}, {"app": "web"})),
    "constraints": st.sampled_from((ANYWHERE, APART)),
    "request": st.sampled_from((make_vector(1), make_vector(2))),
    "owner": st.sampled_from((None, Owner("LongService", "s", "s"), Owner("DaemonSet", "d", "d"))),
    "uid": st.sampled_from(("uid-1", "uid-2")),  # a name may come back
}
WORDS = st.sampled_from(("see", "see", "see", "assume", "forget", "drop"))


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """What happens to which of three pods, and the one thing about it that is new."""
    field = draw(st.sampled_from(sorted(FIELDS)))
    return draw(WORDS), draw(st.sampled_from("abc")), {field: draw(FIELDS[field])}


@given(st.lists(steps(), max_size=40))
def test_increments_equal_a_fresh_book(history: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Sums, indexes and counts after any history are those of a book given its pods alone."""
    book = make_state(*map(make_node, NODES))
    for word, name, news in history:
        known = book.pods.get(("default", name), make_pod(name, "n1"))
        pod = dataclasses.replace(known, **news)
        match word:
            case "see":
                book.set_pod(pod)
            case "assume":
                book.assume(dataclasses.replace(pod, uid="" if not pod.node else pod.uid))
            case "forget":
                book.forget(pod.key)
            case _:
                book.drop_pod(pod.key)

    assert _told(make_state(*map(make_node, NODES), *book.pods.values())) == _told(book)


def _told(book: state.State) -> tuple[object, ...]:
    frozen = book.snapshot()
    census = frozen.census
    return (
        frozen.free.tolist(),
        frozen.busy.tolist(),
        {key: group.nodes for key, group in census.groups.items()},
        (census.ports, census.claims, census.daemons),
        (book.on_node, book.by_owner, book.unplaced),
    )
