"""Refused writes in conditions and Events, and what a former service of the name left behind."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.pods import Phase
from bayplan.reconcile import conditions
from bayplan.reconcile.batchjob import reconcile
from tests.builders import NOON
from tests.jobs import START, make_job, make_view
from tests.services import World, accepted, make_service, make_world, running

HTTP = {"name": "http", "port": 80}
TAKEN = intents.RefusedWrite(
    "apply", "Service", "web", 'Service "web" is invalid: provided port is already allocated'
)
FULL = intents.RefusedWrite(
    "create", "PersistentVolumeClaim", "data-web-1", "exceeded quota: few, used: 1, limited: 1"
)


def told(outcome: intents.Outcome) -> list[tuple[str, bool, str]]:
    """Reason, whether it is a warning, and message of each Event."""
    return [
        (one.reason, one.warning, one.message)
        for one in outcome.events
        if isinstance(one, intents.EmitEvent)
    ]


class TestService:
    def test_refused_child(self) -> None:
        """Ready is False in the server's words, an Event says so once, and it goes with it."""
        world = running(2, service={"ports": [HTTP]})
        world.refusals = (TAKEN,)
        outcome = world.act()
        again = world.act()
        world.refusals = ()
        world.act()
        message = (
            'The API server refuses to apply Service web: Service "web" is invalid: provided port '
            "is already allocated. Mend that; it is tried again by itself, at the latest after 5 "
            "minutes."
        )

        assert [("ChildRefused", True, message)] == told(outcome)
        assert outcome.status is not None
        ready = conditions.stored(outcome.status["conditions"], "Ready")
        assert conditions.Condition("Ready", "False", "ChildRefused", message) == ready
        assert "True" == conditions.status_of(outcome.status["conditions"], "Reconciling")
        assert "" == conditions.status_of(outcome.status["conditions"], "Stalled")
        assert "True" == conditions.status_of(outcome.status["conditions"], "Available")
        assert ((), None) == (again.events, again.status)
        assert "True:Ready" == world.condition("Ready")

    def test_quota(self) -> None:
        """A quota has its own reason; of several the first is told and the others counted."""
        world = running(2)
        world.refusals = (FULL, TAKEN)
        outcome = world.act()

        assert "False:QuotaExceeded" == world.condition("Ready")
        assert "PersistentVolumeClaim data-web-1: exceeded quota: few" in world.message("Ready")
        assert "(1 more of its objects are refused.)" in world.message("Ready")
        assert ["QuotaExceeded"] == [reason for reason, _, _ in told(outcome)]

    def test_restart(self) -> None:
        """A new operator has heard of no refusal yet: Ready is not True before the child is."""
        world = running(2, service={"ports": [HTTP]})
        del world.children["Service", "web"]
        world.refusals = (TAKEN,)
        world.carry_out(replace(world.look(), objects=()))
        world.refusals = ()
        unsure = world.look()
        world.act()  # it is accepted
        world.act()

        assert unsure.status is None
        assert ["Service"] == [one.body["kind"] for one in unsure.objects]
        assert "True:Ready" == world.condition("Ready")

    def test_long_words(self) -> None:
        """What to do is never cut off."""
        world = running(1)
        world.refusals = (replace(TAKEN, message="no " * 1000),)
        world.act()

        assert len(world.message("Ready")) <= conditions.LONGEST_MESSAGE
        assert world.message("Ready").endswith("at the latest after 5 minutes.")


@pytest.mark.parametrize("schedule", ["0 * * * *", None])
def test_job(schedule: str | None) -> None:
    """A BatchJob says what is refused of its pods, by condition and Event, once."""
    refusal = intents.RefusedWrite(
        "delete", "Pod", "report-abcde-s1-0", "admission webhook denied it"
    )
    spec: dict[str, Any] = {"schedule": schedule} if schedule else {}
    job = make_job(**spec)
    view = make_view(job, refusals=(refusal,))
    outcome = reconcile.reconcile(job, {}, view, START)
    assert outcome.status is not None
    after = make_job(status=outcome.status, **spec)
    again = reconcile.reconcile(after, {}, view, START)
    ready = conditions.stored(outcome.status["conditions"], "Ready")

    assert ready is not None
    assert ("False", "ChildRefused") == (ready.status, ready.reason)
    assert "to delete Pod report-abcde-s1-0: admission webhook denied it" in ready.message
    assert [("ChildRefused", True, ready.message)] == told(outcome)
    assert [] == told(again)


def orphaned(world: World) -> World:
    """The service deleted with `--cascade=orphan` and made anew: as another uid, nothing stored."""
    spec = {"replicas": world.spec.replicas, "service": {"ports": [HTTP]}}
    fresh = replace(make_service(**spec), uid="uid-anew")
    children = {key: replace(one, orphaned=True) for key, one in world.children.items()}
    pods = {key: replace(pod, owner=None) for key, pod in world.pods.items()}
    return World(
        service=fresh,
        nodes=world.nodes,
        pods=pods,
        seen=dict(pods),
        children=children,
        admission=accepted(fresh),
        now=world.now,
    )


class TestLeftBehind:
    def test_taken_over(self) -> None:
        """Pods, Service, budget and history become the new service's; nothing is made or goes."""
        world = orphaned(running(3, service={"ports": [HTTP]}))
        first = world.act()
        world.settle()
        owners = {pod.owner.uid for pod in world.pods.values() if pod.owner is not None}
        applied = {one.body["kind"]: one.body["metadata"] for one in first.objects}

        assert ((), ()) == (first.tasks, first.deletes)
        assert 3 == len(first.adoptions) == len(world.standing())
        assert {"uid-anew"} == owners
        assert {"Service", "PodDisruptionBudget", "ControllerRevision"} == applied.keys()
        assert {"uid-anew"} == {
            one["uid"] for each in applied.values() for one in each["ownerReferences"]
        }
        assert "True:Ready" == world.condition("Ready")
        assert not any(child.orphaned for child in world.children.values())

    def test_another_template(self) -> None:
        """A service made anew with another template rolls it out over the pods that were left."""
        world = orphaned(running(3, service={"ports": [HTTP]}))
        world.edit(image="web:2")
        first = world.act()
        world.settle()

        assert 3 == len(first.adoptions)
        assert [1, 0] == [len(first.tasks), len(first.deletes)]  # the replacement comes first
        assert {world.service.template_hash: 3} == world.images()

    def test_unwanted_stays(self) -> None:
        """A Service that was left behind and that the new one does not want is not touched."""
        world = orphaned(running(1, service={"ports": [HTTP]}))
        world.edit(service=None)
        world.settle()

        assert ("Service", "web") in world.children

    def test_ended(self) -> None:
        """One that has ended is taken over too, and goes."""
        world = orphaned(running(2, service={"ports": [HTTP]}))
        key, pod = next(iter(world.pods.items()))
        world.pods[key] = world.seen[key] = replace(pod, phase=Phase.FAILED)
        world.settle()

        assert 2 == len(world.standing()) == len(world.pods)

    def test_of_nobody(self) -> None:
        """A service of its own pods takes none over."""
        world = make_world(2)
        world.settle()

        assert () == world.look().adoptions
        assert NOON <= world.now
        assert {names.LONGSERVICE} == {
            pod.owner.kind for pod in world.pods.values() if pod.owner is not None
        }
