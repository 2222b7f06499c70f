"""Which nodes no longer have room for all that is held there."""

from bayplan.cluster.cache import Cache
from bayplan.scheduler.consolidation.prover import Prover
from tests.builders import make_class, make_node, make_pod, make_state
from tests.double.bell import Bell


class _Noon:
    def now(self) -> int:
        return 0


def test_crowded() -> None:
    """Of any resource that a held class asks for; a node that has gone is not crowded."""
    state = make_state(
        make_node("n1", cpu=1000), make_node("n2", cpu=1000, memory=4), make_pod("p", "n2", cpu=600)
    )
    state.set_pod(make_pod("q", "n2", cpu=0, memory=5))  # others have over-committed its memory
    prover = Prover(Cache(state, Bell()), _Noon(), lambda _: {})
    small, big = make_class(cpu=300), make_class(cpu=500, memory=1)

    assert frozenset() == prover.crowded({})
    assert frozenset() == prover.crowded({small: {"n1": 1, "n2": 1}, big: {"n1": 1}})
    assert {"n1"} == prover.crowded({small: {"n1": 2}, big: {"n1": 1}})
    assert {"n2"} == prover.crowded({big: {"n2": 1}})
    assert frozenset() == prover.crowded({big: {"gone": 9}})
