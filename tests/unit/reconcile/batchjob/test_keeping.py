"""At most so many finished pods of runs in the whole cluster, the oldest go, records stay."""

from dataclasses import replace

from bayplan.api import names
from bayplan.api.run_names import slot_run
from bayplan.cluster import cache
from bayplan.model import state
from bayplan.model.pods import Pod
from bayplan.reconcile.batchjob import reconcile, retention
from bayplan.scheduler import views
from tests.builders import NOON, make_pod
from tests.double.bell import Bell
from tests.double.unasked import make_admissions
from tests.jobs import START, World, ended, make_run_pod, make_view


def finished(name: str, at: int, kind: str = names.BATCHJOB) -> Pod:
    pod = make_pod(name, "n1", owner_uid=f"uid-of-{name}", owner_kind=kind)
    return ended(replace(pod, created_at=at - 10), at)


def test_few_are_kept() -> None:
    """Exactly as many as allowed: none goes."""
    pods = [finished(f"p{n}", NOON + n) for n in range(5)]

    assert retention.last_to_go(pods, NOON + 9, 5) is None
    assert (NOON, "default", "p0") == retention.last_to_go(pods, NOON + 9, 4)
    assert (NOON + 3, "default", "p3") == retention.last_to_go(pods, NOON + 9, 1)


def test_pods_of_one_second_are_told_apart() -> None:
    """A thousand that end together do not all go for one."""
    pods = [finished(f"p{n}", NOON) for n in range(5)]

    assert (NOON, "default", "p1") == retention.last_to_go(pods, NOON + 9, 3)


def test_a_clock_ahead_keeps_no_pod_longer() -> None:
    """A pod whose node says that it ends next year is not the newest of all."""
    ahead = make_pod("ahead", "n1", created_at=NOON)
    pods = [ended(ahead, NOON + 365 * 86_400), *(finished(f"p{n}", NOON + n) for n in range(1, 4))]

    assert (NOON, "default", "ahead") == retention.last_to_go(pods, NOON + 9, 3)


def test_what_is_going_does_not_count() -> None:
    """Else the next would go for those whose DELETE is on its way."""
    pods = [finished(f"p{n}", NOON + n) for n in range(3)]
    pods.append(replace(finished("gone", NOON), deleted_at=NOON))

    assert retention.last_to_go(pods, NOON + 9, 3) is None


def test_the_oldest_of_all_jobs_go() -> None:
    """The book counts; jobs whose pods are too many are looked at, no others, nor kinds."""
    book = cache.Cache(state.State(), Bell())
    seen = views.Views(book, make_admissions(), most_finished=3)
    for number in range(5):
        book.state.set_pod(finished(f"p{number}", NOON + number))
    book.state.set_pod(finished("other", NOON, kind="Job"))
    overfull = seen.overfull(NOON + 9)
    book.state.drop_pod(("default", "p0"))
    book.state.drop_pod(("default", "p1"))

    assert {"uid-of-p0", "uid-of-p1"} == {name for _, _, name in overfull}
    assert frozenset() == seen.overfull(NOON + 9)
    assert 4 == len(book.state.finished)


def test_a_record_goes_and_the_status_stays() -> None:
    """A run's last pod up to the mark is deleted though `history` would keep it, once released."""
    world = World({"schedule": "0 * * * *"})
    for hour in range(3):
        world.now = START + hour * 3600
        world.settle()
        world.finish()
        world.settle()
    job, before = world.job, dict(world.status)
    pods = sorted(world.pods.values(), key=lambda pod: retention.mark_of(pod, world.now))
    view = make_view(job, last_to_go=retention.mark_of(pods[1], world.now))
    outcome = reconcile.reconcile(job, world.pods, view, world.now)

    assert [pod.name for pod in pods[:2]] == [delete.name for delete in outcome.deletes]
    assert outcome.status is None
    assert 3 == before["statistics"]["successes"]


def test_what_is_not_accounted_for_stays() -> None:
    """However many there are: the status first."""
    world = World({"schedule": "0 * * * *"})
    world.now = START
    pod = ended(make_run_pod(slot_run(START)), START)
    world.pods[pod.key] = pod
    job = world.job
    view = make_view(job, last_to_go=(START + 9, "z", "z"))

    assert () == reconcile.reconcile(job, world.pods, view, START).deletes
