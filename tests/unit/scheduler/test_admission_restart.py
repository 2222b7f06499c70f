"""What the API server made of a template outlives the operator's memory of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.cluster import errors, policies, wire
from bayplan.model.limits import Limits
from bayplan.model.pods import Owner, Pod
from tests.builders import make_pod
from tests.services import make_body
from tests.unit.scheduler.test_loop import Scene

Adds = Callable[[Pod], Pod]

PORT = {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]}


def on_pool(pod: Pod) -> Pod:
    """As a RuntimeClass or a webhook does it."""
    constraints = replace(pod.constraints, selector=(("pool", "gvisor"),))
    return replace(pod, constraints=constraints)


def as_it_is(pod: Pod) -> Pod:
    return pod


class Server(Scene):
    """An operator newly started beside an API server that adds something to each pod."""

    def __init__(self, adds: Adds = as_it_is, **more: Any) -> None:
        super().__init__(**more)
        self.admissions.limits = self.cache.defaults.limits
        self.admissions.priority = self.cache.defaults.priority
        self.adds = adds
        self.asked: list[Mapping[str, Any]] = []
        self.error: errors.ClusterError | None = None

    async def _dry_run(self, body: Mapping[str, Any], *, strict: bool) -> Pod:
        self.asked.append(body)
        if self.error is not None:
            raise self.error
        return self.adds(await super()._dry_run(body, strict=strict))

    def stored(self, status: Mapping[str, Any], **spec: Any) -> Resource:
        """A service as a former operator left it."""
        self.version += 1
        body = make_body(status=status, **spec)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.cache.put_resource(body)
        return self.cache.resources[names.LONGSERVICE, "default", "web"]

    def cycles(self) -> list[str]:
        """Looks until nothing is asked any more; the nodes of what was created."""

        async def run() -> None:
            for _ in range(4):
                self.answered = asyncio.Event()
                asked = len(self.asked)
                self.look()
                if not self.admissions.asking:
                    return
                await self.answered.wait()
                assert asked < len(self.asked)

        asyncio.run(run())
        return sorted(planned.node for planned, _ in self.notes.created.values())


def left_by(adds: Adds, **spec: Any) -> Mapping[str, Any]:
    """The status that an operator writes which has asked."""
    scene = Server(adds)
    scene.service(**spec)
    scene.look()
    status = scene.notes.outcomes[-1].status
    assert status is not None
    return {"effectiveRequests": status["effectiveRequests"]}


def fleet(scene: Scene) -> None:
    scene.node("a", cpu=100_000)
    scene.node("b", cpu=100_000, labels={"pool": "gvisor"})


def test_what_follows_from_the_template_is_not_asked_again() -> None:
    """Ports of the host's network: no node gets two, without a question."""
    template = {"spec": {"hostNetwork": True, **PORT}}
    status = left_by(as_it_is, template=template)
    scene = Server()
    fleet(scene)
    scene.stored(status, replicas=3, template=template)

    assert ["", "a", "b"] == scene.cycles()
    assert [] == scene.asked


def test_what_the_server_has_added_is_asked_before_a_pod_is_placed() -> None:
    """Once for a template, not for each pod."""
    status = left_by(on_pool)
    scene = Server(on_pool)
    fleet(scene)
    scene.stored(status, replicas=2)

    assert ["b", "b"] == scene.cycles()
    assert 1 == len(scene.asked)


def test_nothing_is_asked_while_nothing_is_to_be_placed() -> None:
    """A restart beside 2,000 resources that run costs no question."""
    status = left_by(on_pool)
    scene = Server(on_pool)
    fleet(scene)
    scene.stored(status, replicas=0)

    assert [] == scene.cycles()
    assert [] == scene.asked


def test_a_status_of_a_former_version_is_no_answer() -> None:
    """It tells the requests alone."""
    told = dict(left_by(on_pool)["effectiveRequests"])
    del told["placementHash"]
    scene = Server(on_pool)
    fleet(scene)
    scene.stored({"effectiveRequests": told}, replicas=1)

    assert ["b"] == scene.cycles()


def test_a_refusal_on_asking_again_places_nothing() -> None:
    status = left_by(on_pool)
    scene = Server(on_pool)
    fleet(scene)
    scene.error = errors.Rejected("no", status=403, reason="Forbidden")
    service = scene.stored(status, replicas=1)
    known = scene.cycles(), scene.admissions.of(service)

    assert [] == known[0]
    assert known[1] is not None
    assert "TemplateRefused" == known[1].refusal


def test_a_refused_template_is_asked_about_only_when_its_time_has_come() -> None:
    """Instances on each node are planned at every look, and each answer rings for one."""
    scene = Server()
    fleet(scene)
    scene.error = errors.Rejected("exceeded quota", status=403, reason="Forbidden")
    scene.stored({}, mode="PerNode", replicas=1)
    at_once = scene.cycles(), len(scene.asked)
    scene.clock.wall += 5
    scene.cycles()

    assert ([], 1) == at_once
    assert 2 == len(scene.asked)


def test_rules_that_change_are_asked_about() -> None:
    """What was answered of pods that were built otherwise says nothing of those built now."""
    scene = Server(on_pool)
    fleet(scene)
    scene.service(replicas=1)
    unique = {"constraints": [{"key": "hostname", "operator": "Unique"}]}
    scene.stored({}, replicas=2, generation=2, placement=unique)
    nodes = scene.cycles()

    assert 2 == len(scene.asked)
    assert ["", "b"] == nodes


def test_a_limit_range_that_changes_is_asked_about() -> None:
    """What is placed next is planned with what it fills in by then."""
    scene = Server()
    fleet(scene)
    service = scene.service(replicas=1)
    scene.see("LimitRange", "l", Limits({"cpu": "2", "memory": "1Gi"}))
    scene.cycles()
    known = scene.admissions.of(service)
    (planned, _) = next(iter(scene.notes.created.values()))

    assert known is not None
    assert 2000 == known.request.amount("cpu") == planned.request.amount("cpu")


def test_nothing_is_kept_of_namespaces_without_a_limit_range() -> None:
    """They come and go, each with a name of its own."""
    defaults = Scene().cache.defaults
    for number in range(3):
        seen = wire.Seen(f"ci-{number}", "l", "u", 1, Limits({"cpu": "2"}))
        defaults.set_range(seen)
        defaults.limits(seen.namespace)
        defaults.drop_range(seen.key)
        defaults.limits(seen.namespace)

    assert 0 == defaults.kept


def old_template(scene: Scene, service: Resource, name: str) -> tuple[Any, str]:
    """A template of the past, and its hash."""
    template = {"spec": {"containers": [{"name": "web", "image": name}]}}
    return template, f"hash-{name}"


@pytest.mark.parametrize(
    ("error", "node"), [(None, "b"), (errors.Rejected("no", status=403, reason="Forbidden"), "a")]
)
def test_a_revision_of_the_past_is_asked_about_once(
    error: errors.ClusterError | None, node: str
) -> None:
    """Where the server refuses to say, what follows from the template has to do."""
    scene = Server(on_pool)
    fleet(scene)
    service = scene.service()
    template, hash_ = old_template(scene, service, "web:0")
    scene.error = error

    async def answered() -> None:
        scene.answered = asyncio.Event()
        scene.loop.pod_templates.of(service, template, hash_)
        assert not scene.admissions.certain(service, hash_)
        scene.admissions.ask(service, template, hash_)
        await scene.answered.wait()

    asyncio.run(answered())
    _, kind = scene.loop.pod_templates.of(service, template, hash_)
    known = scene.admissions.of(service)

    assert scene.admissions.certain(service, hash_)
    assert ((("pool", "gvisor"),) if node == "b" else ()) == kind.constraints.selector
    assert known is not None
    assert not known.refusal


def test_the_answer_is_kept_when_the_template_becomes_one_of_the_past() -> None:
    """An update's old instances are made again without another question."""
    scene = Server(on_pool)
    service = scene.service(image="web:1")
    scene.loop.pod_templates.of(service, None, service.template_hash)
    newer = scene.service(image="web:2", generation=2)
    former = {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    _, kind = scene.loop.pod_templates.of(newer, former, service.template_hash)

    assert (("pool", "gvisor"),) == kind.constraints.selector
    assert scene.admissions.certain(newer, service.template_hash)
    assert 2 == len(scene.asked)


@pytest.mark.parametrize("past", [False, True])
def test_an_observer_looks_at_stored_pods_of_the_template(past: bool) -> None:
    """Where the server has said more than follows from it; of a revision of the past too."""
    scene = Server(acts=False)
    scene.admissions.asks = False
    scene.admissions.owned = lambda uid: scene.cache.state.owned(uid).values()
    service = scene.stored(left_by(on_pool))
    template, hash_ = old_template(scene, service, "web:0") if past else (None, "")
    hash_ = hash_ or service.template_hash
    stored = on_pool(make_pod("web-1", "b", cpu=300, labels={names.TEMPLATE_HASH: hash_}))
    owner = Owner(names.LONGSERVICE, "web", service.uid)
    scene.see("Pod", "web-1", replace(stored, uid="u", owner=owner))
    scene.admissions.presume(service)
    _, kind = scene.loop.pod_templates.of(service, template, hash_)

    assert (("pool", "gvisor"),) == kind.constraints.selector
    assert (300 if past else 100) == kind.request.amount("cpu")


def test_an_observer_plans_with_what_follows_from_the_template() -> None:
    """It asks nobody: ports, LimitRanges and priorities count, and the requests of the status."""
    template = {"spec": {"hostNetwork": True, "priorityClassName": "high", **PORT}}
    scene = Server(acts=False)
    scene.admissions.asks = False
    fleet(scene)
    scene.see("PriorityClass", "high", policies.Priority(1000))
    scene.see("LimitRange", "l", Limits({"cpu": "2", "memory": "1Gi"}))
    service = scene.stored({}, replicas=3, template=template)
    scene.look()
    assert scene.loop.plan is not None
    (waiting,) = {one.waiting.kind for one in scene.loop.plan.refused}

    assert 2 == len(scene.loop.plan.placements)
    assert (1000, 2000) == (waiting.priority, waiting.request.amount("cpu"))
    assert [] == scene.asked
    told = {**left_by(as_it_is, template=template)["effectiveRequests"]}
    told["requests"] = {"cpu": "7"}
    again = Server(acts=False)
    again.admissions.asks = False
    fleet(again)
    again.stored({"effectiveRequests": told}, replicas=3, template=template)
    again.look()
    assert again.loop.plan is not None
    assert {7000} == {one.waiting.kind.request.amount("cpu") for one in again.loop.plan.refused}
    assert service.template_hash == told["templateHash"]
