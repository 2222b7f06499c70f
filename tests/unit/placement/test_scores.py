"""Which node is ranked first: devices keep the CPU and memory that belongs to them."""

from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import PodClass
from bayplan.placement.solve import Policy, solve
from tests.builders import NOON, make_class, make_node, make_pod, make_snapshot, make_waiting

GPU = "nvidia.com/gpu"


def chosen(frozen: Snapshot, kind: PodClass) -> str:
    """The node of a single task."""
    (node,) = solve(frozen, [make_waiting(kind)], NOON, Policy()).placements.values()
    return node


def half_taken() -> Snapshot:
    """Two nodes with four free GPUs each: beside 16 CPU, and beside 40."""
    return make_snapshot(
        make_node("little", 64_000, 256, extended={GPU: 8}),
        make_node("much", 64_000, 256, extended={GPU: 8}),
        make_pod("p", "little", 48_000, memory=128, extended={GPU: 4}),
        make_pod("q", "much", 24_000, memory=128, extended={GPU: 4}),
    )


def test_a_task_with_much_cpu_for_each_gpu_leaves_the_other_gpus_their_cpu() -> None:
    """It goes where CPU is left over, though the other node would be fuller with it."""
    assert "much" == chosen(half_taken(), make_class(12_000, memory=8, extended={GPU: 1}))


def test_a_task_with_little_cpu_for_its_gpu_goes_where_cpu_is_short() -> None:
    """There it strands nothing, and the node is soon full."""
    assert "little" == chosen(half_taken(), make_class(500, memory=8, extended={GPU: 1}))


def test_a_task_without_gpu_takes_cpu_that_no_gpu_needs() -> None:
    """As many GPUs are free on both nodes; one of them has CPU to spare."""
    frozen = make_snapshot(
        make_node("tight", 64_000, 256, extended={GPU: 8}),
        make_node("loose", 64_000, 256, extended={GPU: 8}),
        make_pod("p", "tight", 30_000, memory=128, extended={GPU: 4}),
        make_pod("q", "loose", 8_000, memory=128, extended={GPU: 4}),
    )

    assert "loose" == chosen(frozen, make_class(8_000, memory=8))


def test_an_empty_node_is_opened_whose_gpus_keep_their_cpu() -> None:
    """For equal prices the node with the most CPU to a GPU takes a task of much CPU."""
    frozen = make_snapshot(
        make_node("a", 16_000, 128, extended={GPU: 4}, price_microdollars=1_000_000),
        make_node("b", 64_000, 128, extended={GPU: 4}, price_microdollars=1_000_000),
    )

    assert "b" == chosen(frozen, make_class(14_000, memory=8, extended={GPU: 1}))


def test_what_is_no_device_is_not_kept_company() -> None:
    """Huge pages are memory of another size: that they are free keeps no CPU for them."""
    free = {"hugepages-2Mi": 8 << 30}
    frozen = make_snapshot(
        make_node("a", 64_000, 256, extended=free),
        make_node("b", 64_000, 256, extended=free),
        make_pod("p", "a", 48_000, memory=192),
        make_pod("q", "b", 24_000, memory=128),
    )

    assert "a" == chosen(frozen, make_class(12_000, memory=8))
