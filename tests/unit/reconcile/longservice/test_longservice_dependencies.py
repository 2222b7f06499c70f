"""A service waits for others before it starts and before an update begins: never for ever."""

from dataclasses import replace

from bayplan.api.resource import Resource
from bayplan.reconcile.longservice import dependencies
from bayplan.reconcile.view import Dependencies
from tests.services import World, make_service, make_world, running

WAITS = [{"name": "db", "timeoutSeconds": 60}]
READY, UNREADY, ABSENT = Dependencies({"db": True}), Dependencies({"db": False}), Dependencies()


def waiting(known: Dependencies = UNREADY) -> World:
    world = make_world(2, dependsOn=WAITS)
    world.dependencies = known
    world.act()
    return world


def test_first_start_waits_for_readiness() -> None:
    """Nothing starts while the other is not ready; when it is, everything does."""
    world = waiting()
    held = world.condition("Ready"), world.message("Ready"), len(world.pods)
    wakes = world.last.wake_at
    world.dependencies = READY
    world.settle()

    assert ("False:WaitingForDependencies", 0) == (held[0], held[2])
    assert "it waits for db (until 20" in held[1]
    assert world.now + 5 == wakes or wakes is not None
    assert "True:Ready" == world.condition("Ready")


def test_the_wait_has_an_end() -> None:
    """After `timeoutSeconds` it starts without, whether the other is sick or was never made."""
    for known in (UNREADY, ABSENT):
        world = waiting(known)
        world.now += 59
        early = world.act().tasks
        world.now += 1

        assert () == early
        assert 2 == len(world.act().tasks)


def test_update_waits_and_the_old_one_stays() -> None:
    """An update begins when the other is ready; meanwhile what is lost comes back as it was."""
    world = running(3)
    old = world.service.template_hash
    world.dependencies = UNREADY
    world.edit(image="web:2", dependsOn=WAITS)
    world.act()
    world.drop(world.standing()[0])
    for _ in range(3):
        world.work()
        world.hear()
        world.act()
    held = world.images()
    world.dependencies = READY
    world.settle()

    assert {old: 3} == held
    assert {world.service.template_hash: 3} == world.images()


def test_what_has_begun_goes_on() -> None:
    """A dependency that turns sick later stops neither an update nor repairs."""
    world = running(3, updateStrategy={"maximumSurgePercent": 50})
    world.dependencies = READY
    world.edit(image="web:2", dependsOn=WAITS)
    world.act()
    world.dependencies = UNREADY
    for _ in range(20):
        world.work()
        world.hear()
        world.act()
    updated = world.images()
    world.drop(world.standing()[0])
    world.hear()

    assert {world.service.template_hash: 3} == updated
    assert 1 == len(world.act().tasks)


def test_a_circle_is_refused_and_what_runs_stays() -> None:
    """A circle stalls with the way round; the update does not begin, the old instances stay."""
    world = running(2)
    old = world.service.template_hash
    world.dependencies = Dependencies({"db": True}, cycle=("web", "db", "web"))
    world.edit(image="web:2", dependsOn=WAITS)
    world.act()

    assert "True:DependencyCycle" == world.condition("Stalled")
    assert "web -> db -> web" in world.message("Ready")
    assert {old: 2} == world.images()


def known_of(*services: Resource) -> Dependencies:
    """What the first service knows of all these."""
    by_name = {one.name: one for one in services}
    return dependencies.of(services[0], by_name.get)


def test_ready_means_ready_for_the_newest_spec() -> None:
    """Only `Ready=True` of the present generation counts; one that is being deleted is absent."""
    web = make_service("web", dependsOn=WAITS)
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "observedGeneration": 1}
    db = make_service("db", status=ready)

    assert READY == known_of(web, db)
    assert UNREADY == known_of(web, replace(db, generation=2))
    assert UNREADY == known_of(web, make_service("db"))
    assert ABSENT == known_of(web, replace(db, deleting=True)) == known_of(web)


def test_circles_are_found() -> None:
    """Over any number of services, and over itself."""
    chain = [make_service(name, dependsOn=[{"name": to}]) for name, to in ("ab", "bc", "ca")]
    alone = make_service("a", dependsOn=[{"name": "a"}])

    assert ("a", "b", "c", "a") == known_of(*chain).cycle
    assert ("a", "a") == known_of(alone).cycle
    assert () == known_of(*chain[:2]).cycle
