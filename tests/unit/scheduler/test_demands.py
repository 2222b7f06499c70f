"""What counts as the same demand, while pods move, leave and are replaced."""

from bayplan.model.pods import Pod
from bayplan.scheduler.consolidation.demands import Demand, of_pods
from tests.builders import make_pod

NODES = {"n1", "n2"}


def demand(*pods: Pod, wanted: int | None = None, waiting: int = 0) -> Demand:
    """Of these pods; `wanted` are those of the service, and some of the ReplicaSet wait."""
    others = (
        make_pod(f"w{number}", owner_uid="rs", owner_kind="ReplicaSet") for number in range(waiting)
    )
    owned = {pod.key: pod for pod in (*pods, *others)}
    services = {} if wanted is None else {"web": wanted}
    return of_pods(pods, services, NODES, lambda uid: owned if uid == "rs" else {})


def service(count: int) -> list[Pod]:
    return [make_pod(f"s{number}", "n1", owner_uid="web") for number in range(count)]


def replicas(count: int, *going: int) -> list[Pod]:
    return [
        make_pod(
            f"r{number}",
            "n1",
            owner_uid="rs",
            owner_kind="ReplicaSet",
            deleted_at=99 if number in going else None,
        )
        for number in range(count)
    ]


def test_an_instance_and_its_replacement_count_once() -> None:
    assert demand(*service(11), wanted=10).like(demand(*service(10), wanted=10))


def test_a_pod_that_was_evicted_counts_as_its_successor() -> None:
    assert demand(*replicas(10, 3), waiting=1).like(demand(*replicas(10)))


def test_another_number_of_replicas_is_another_demand() -> None:
    assert not demand(*service(10), wanted=9).like(demand(*service(10), wanted=10))
    assert not demand(*replicas(10)).like(demand(*replicas(9)))


def test_one_pod_of_hundred_changes_nothing() -> None:
    assert demand(*replicas(99)).like(demand(*replicas(100)))


def test_many_pods_that_are_about_to_go() -> None:
    assert demand(*replicas(10, 1, 2)).shrinks
    assert not demand(*replicas(200, 1, 2)).shrinks
    assert not demand(*service(10), wanted=10).shrinks
