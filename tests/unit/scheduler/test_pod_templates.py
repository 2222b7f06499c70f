"""What is kept of a resource: its present spec compiled, and nothing once it has gone."""

from dataclasses import replace

from bayplan.api import names
from bayplan.model.nodes import Taint
from tests.unit.scheduler.test_loop import Scene


def test_an_edit_takes_the_place_of_what_was_before() -> None:
    """A service that is scaled all day is compiled anew each time, and kept once."""
    scene = Scene()
    scene.node(cpu=100_000)
    sizes = set()
    for number in range(20):
        scene.service(replicas=1 + number % 3, generation=number + 1)
        scene.look()
        scene.seen_as_created()
        sizes.add((scene.loop.pod_templates.size, scene.admissions.size))

    assert (1, 2) == max(sizes)


def test_nothing_is_kept_of_what_has_gone() -> None:
    """Neither while somebody leads, nor of what went before."""
    scene = Scene()
    scene.node(cpu=100_000)
    for number in range(3):
        scene.job(f"j{number}")
    scene.look()
    before = scene.loop.pod_templates.size, scene.admissions.size
    scene.cache.drop_resource((names.BATCHJOB, "default", "j0"), "uid-j0")
    scene.ring(("BatchJob", "default", "j0"))
    after = scene.loop.pod_templates.size, scene.admissions.size
    scene.leads = False
    scene.look()
    scene.cache.drop_resource((names.BATCHJOB, "default", "j1"), "uid-j1")
    scene.leads = True
    scene.look()

    assert ((3, 6), (2, 4)) == (before, after)
    assert (1, 2) == (scene.loop.pod_templates.size, scene.admissions.size)


def test_a_namesake_is_another_resource() -> None:
    """Deleted and made again between two looks: what was known of the first is forgotten."""
    scene = Scene()
    scene.node(cpu=100_000)
    first = scene.job("j")
    scene.look()
    scene.loop.pod_templates.look(replace(first, uid="another"))

    assert scene.admissions.of(first) is None


def pool_of(scene: Scene, *, default: bool) -> None:
    """The Pool `batch` comes, or is edited."""
    metadata = {"name": "batch", "uid": "p", "generation": 1 + default}
    scene.see("Pool", "batch", {"metadata": metadata, "spec": {"default": default}}, "")


def test_a_default_pool_is_for_new_pods_alone() -> None:
    """It comes and goes: pods that run stay as they are, and new ones tolerate it or do not."""
    scene = Scene()
    scene.node(cpu=500)
    scene.node("mine", taints=(Taint(names.POOL, "batch"),), labels={names.POOL: "batch"})
    scene.service(replicas=3)
    scene.look()
    scene.seen_as_created()
    scene.notes.created.clear()
    tolerated = []
    for default in (True, False):
        pool_of(scene, default=default)
        scene.look()

        assert {} == scene.notes.created

        scene.service(replicas=4 + len(tolerated), generation=2 + len(tolerated))
        scene.look()
        [(_, body)] = scene.notes.created.values()
        scene.seen_as_created()
        scene.notes.created.clear()
        tolerated.append([one["key"] for one in body["spec"].get("tolerations", ())])

        assert [] == scene.notes.deleted

    assert [[names.POOL], []] == tolerated
