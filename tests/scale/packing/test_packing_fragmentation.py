"""Laws of placing on arrival: nothing beyond what is free, and fragmentation as it is defined."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scale.packing.fragmentation import WHOLE, Fleet, Mix

KINDS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 30),
        st.one_of(
            st.just((0, 0)),
            st.integers(1, 4).map(lambda n: (n, WHOLE)),
            st.sampled_from((100, 250, 500, 600)).map(lambda milli: (1, milli)),
        ),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
NODES = st.lists(
    st.tuples(st.integers(5, 60), st.integers(5, 60), st.integers(0, 4)), min_size=1, max_size=5
)


def fleet(
    kinds: list[tuple[int, int, tuple[int, int]]], nodes: list[tuple[int, int, int]]
) -> Fleet:
    """A fleet of whole GPUs for kinds that come equally often."""
    cpu, memory, wish = zip(*kinds, strict=True)
    gpus, milli = zip(*wish, strict=True)
    columns = [np.array(each, np.int64) for each in (cpu, memory, gpus, milli)]
    mix = Mix(*columns, np.full(len(kinds), 1 / len(kinds)))
    room = np.array([[WHOLE] * count + [0] * (4 - count) for _, _, count in nodes])
    free = [np.array([node[index] for node in nodes]) for index in (0, 1)]
    return Fleet(mix, *free, room)


@settings(deadline=None)
@given(KINDS, NODES, st.lists(st.integers(0, 5), max_size=40))
def test_nothing_is_placed_beyond_what_is_free(
    kinds: list[tuple[int, int, tuple[int, int]]],
    nodes: list[tuple[int, int, int]],
    arrivals: list[int],
) -> None:
    """CPU, memory and each GPU stay at 0 or above; a refusal means that no node has room."""
    ours = fleet(kinds, nodes)
    for arrival in arrivals:
        kind = arrival % len(kinds)
        cpu, memory, (gpus, milli) = kinds[kind]
        room = [
            c >= cpu and m >= memory and (not gpus or sum(g >= milli for g in gpu) >= gpus)
            for c, m, gpu in zip(ours.cpu, ours.memory, ours.gpu, strict=True)
        ]
        before = int(ours.gpu.sum())
        chosen = ours.choose(kind)

        assert any(room) == (chosen is not None)
        if chosen is not None:
            assert room[chosen[0]]
            assert gpus * milli == ours.take(kind, *chosen) == before - int(ours.gpu.sum())
        assert min(ours.cpu.min(), ours.memory.min(), ours.gpu.min()) >= 0


def test_a_share_goes_where_a_share_already_is() -> None:
    """Half a GPU joins the half-used GPU instead of spoiling a whole one."""
    kinds = [(1, 1, (1, 500)), (1, 1, (1, WHOLE))]
    ours = fleet(kinds, [(50, 50, 2), (50, 50, 2)])
    first = ours.choose(0)
    assert first is not None
    ours.take(0, *first)

    assert first == ours.choose(0)


def test_whole_wishes_keep_off_the_broken_node() -> None:
    """A pod for one GPU takes the node that has lost one, and leaves the pair whole."""
    kinds = [(1, 1, (1, WHOLE)), (1, 1, (2, WHOLE))]
    ours = fleet(kinds, [(50, 50, 2), (50, 50, 1)])
    chosen = ours.choose(0)

    assert (1, 0) == chosen
