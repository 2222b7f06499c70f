"""The cycle: looks, decides, counts on it, hands over; nothing here needs a cluster."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bayplan import metrics
from bayplan.api import names
from bayplan.api.resource import Key, Resource
from bayplan.api.times import rfc3339
from bayplan.cluster import cache, errors, pods, refusals, wire
from bayplan.model import intents, state
from bayplan.model.nodes import ZONE, Node
from bayplan.model.pods import Ending, Owner, Phase, Pod
from bayplan.scheduler import admission, deciders, inbox, loop, refused_writes
from tests.builders import NOON, make_node, make_pod
from tests.double import loop as loops
from tests.double.bell import Bell
from tests.services import make_body

EVERYTHING = inbox.Batch(frozenset(), placement=True)


@dataclass
class Notebook:
    """A writer that notes what it was asked; nothing comes of it until the test says so."""

    outcomes: list[intents.Outcome] = field(default_factory=list)
    created: dict[str, tuple[Pod, Mapping[str, Any]]] = field(default_factory=dict)
    bound: list[intents.Bind] = field(default_factory=list)
    selected: list[intents.SelectNode] = field(default_factory=list)
    marked: list[intents.MarkUnschedulable] = field(default_factory=list)
    deleted: list[intents.DeletePod] = field(default_factory=list)
    released: list[intents.ReleasePod] = field(default_factory=list)

    def carry_out(self, _: Resource, outcome: intents.Outcome) -> None:
        self.outcomes.append(outcome)

    def create(self, _: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        self.created[planned.name] = planned, body

    def bind(self, wanted: intents.Bind) -> None:
        self.bound.append(wanted)

    def select(self, wanted: intents.SelectNode) -> None:
        self.selected.append(wanted)

    def mark(self, wanted: intents.MarkUnschedulable) -> None:
        self.marked.append(wanted)

    def delete(self, wanted: intents.DeletePod) -> None:
        self.deleted.append(wanted)

    def release(self, wanted: intents.ReleasePod) -> None:
        self.released.append(wanted)

    @property
    def silent(self) -> bool:
        return not (self.outcomes or self.created or self.bound or self.marked or self.deleted)


@dataclass
class Clock:
    wall: int = NOON
    passed: float = 0.0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.passed


class Scene:
    """A loop over a cache, with a notebook for a writer. `service` is admitted at once."""

    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.notes = Notebook()
        self.bell = Bell()
        self.cache = cache.Cache(state.State(), self.bell)
        self.version = 0
        self.leads = True
        self.answered = asyncio.Event()
        self.admissions = admission.Admissions(
            dry_run=self._dry_run,
            read=pods.pod_from_dict,
            now=self.clock.now,
            answered=lambda _: self.answered.set(),
            default_pool=lambda: self.cache.pools.default,
        )
        self.metrics = metrics.Metrics()
        self.build_loop(**more)

    def build_loop(self, **more: Any) -> None:
        """A loop that knows what the cache has, and nothing else."""
        self.loop = loop.Loop(
            clock=self.clock,
            inbox=inbox.Inbox(clock=self.clock.monotonic),
            cache=self.cache,
            writer=self.notes,
            admissions=self.admissions,
            metrics=self.metrics,
            leads=lambda: self.leads,
            beat=lambda: None,
            **more,
        )

    async def _dry_run(self, body: Mapping[str, Any], *, strict: bool) -> Pod:  # noqa: ARG002
        return replace(pods.pod_from_dict(body), uid="dry-run")

    def rung(self) -> inbox.Batch:
        """What has rung since it was silenced."""
        return inbox.Batch(frozenset(self.bell.keys), placement=bool(self.bell.placement))

    def see(self, kind: str, name: str, value: object, namespace: str = "default") -> None:
        self.version += 1
        space = "" if kind == "Node" else namespace
        seen = wire.Seen(space, name, f"uid-{name}-{self.version}", self.version, value)
        self.cache.upsert(kind, seen)

    def node(self, name: str = "n1", **more: Any) -> Node:
        node = make_node(name, **more)
        self.see("Node", name, node)
        return node

    def service(self, name: str = "web", **spec: Any) -> Resource:
        """A stored LongService whose template the API server has accepted."""
        body = {**make_body(name, **spec), "kind": names.LONGSERVICE}
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.version + 1)}
        self.version += 1
        self.cache.put_resource(body)
        resource = self.cache.resources[names.LONGSERVICE, body["metadata"]["namespace"], name]
        asyncio.run(self._admit(resource))
        return resource

    def job(
        self,
        name: str,
        *,
        status: Mapping[str, Any] | None = None,
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> Resource:
        """A stored BatchJob whose template the API server has accepted."""
        self.version += 1
        metadata = {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": str(self.version),
            "creationTimestamp": rfc3339(self.clock.wall),
            "annotations": dict(annotations or {}),
        }
        template = {"spec": {"containers": [{"name": "main"}]}}
        body = {"metadata": metadata, "spec": {"template": template, **spec}}
        self.cache.put_resource({**body, "kind": names.BATCHJOB, "status": dict(status or {})})
        resource = self.cache.resources[names.BATCHJOB, "default", name]
        asyncio.run(self._admit(resource))
        return resource

    def write_to(self, notes: "Notebook") -> None:
        """Hand what is written from now on to another notebook."""
        self.notes = notes
        for part in (self.loop, self.loop.reconciler, self.loop.commit, self.loop.answers):
            part.writer = notes

    async def _admit(self, resource: Resource) -> None:
        self.answered = asyncio.Event()
        self.admissions.ask(resource)
        await self.answered.wait()

    def look(self) -> None:
        """One cycle over everything."""
        self.loop.cycle(inbox.Batch(frozenset(self.cache.resources), placement=True))

    def ring(self, key: Key) -> None:
        """One cycle over one resource."""
        self.loop.cycle(inbox.Batch(frozenset({key}), placement=False))

    def seen_as_created(self) -> None:
        """What the notebook created becomes what the API server has."""
        for planned, _ in self.notes.created.values():
            stored = replace(planned, uid=f"uid-{planned.name}", phase=Phase.RUNNING)
            self.see("Pod", planned.name, stored, planned.namespace)


def test_what_fits_is_born_placed() -> None:
    """A task that has room is created with its node."""
    scene = Scene()
    scene.node()
    scene.service(replicas=2)
    scene.look()
    bodies = [body for _, body in scene.notes.created.values()]

    assert ["n1", "n1"] == [body["spec"]["nodeName"] for body in bodies]


def test_a_gang_is_placed_when_all_its_pods_are_there() -> None:
    """Not the pods that are seen first, however much room there is for these."""
    scene = Scene()
    scene.job("train", tasks=3, gang=True)
    scene.look()
    scene.node()
    bound = []
    for planned, _ in scene.notes.created.values():
        stored = replace(planned, uid=f"uid-{planned.name}")
        scene.see("Pod", planned.name, stored, planned.namespace)
        scene.look()
        bound.append(len(scene.notes.bound))

    assert [0, 0, 3] == bound


def test_a_gang_is_not_placed_while_the_last_of_its_pods_is_refused() -> None:
    scene = Scene()
    scene.job("train", tasks=3, gang=True)
    scene.look()
    *seen, last = (planned for planned, _ in scene.notes.created.values())
    for planned in seen:
        stored = replace(planned, uid=f"uid-{planned.name}")
        scene.see("Pod", planned.name, stored, planned.namespace)
    job = next(iter(scene.loop.cache.resources.values()))
    write = refusals.Write(job.key, "create", "Pod", last.labels[names.TEMPLATE_HASH])
    scene.loop.refused(write, errors.Rejected("exceeded quota: most", status=403))
    scene.loop.cache.assumptions.forget(last)
    scene.node()
    scene.look()

    assert [] == scene.notes.bound


def test_what_is_being_created_waits_for_a_node_already() -> None:
    """Pods whose CREATE is on its way are bought for like those that are seen, in one class."""
    scene = Scene()
    scene.service(replicas=3)
    scene.look()
    coming = scene.loop.unplaced(NOON)
    for planned, _ in list(scene.notes.created.values())[:2]:
        stored = replace(planned, uid=f"uid-{planned.name}")
        scene.see("Pod", planned.name, stored, planned.namespace)
    partly = scene.loop.unplaced(NOON)

    assert [3] == [len(group.keys) for group in coming]
    assert coming == partly


def test_a_decision_is_counted_on_before_it_is_seen() -> None:
    """Looking again before the writes are seen creates nothing twice."""
    scene = Scene()
    scene.node()
    scene.service(replicas=2)
    scene.look()
    first = dict(scene.notes.created)
    scene.notes.created.clear()
    scene.look()

    assert 2 == len(first)
    assert {} == scene.notes.created


def metric(scene: Scene, name: str, **labels: str) -> float | None:
    return scene.metrics.registry.get_sample_value(f"bayplan_{name}", labels)


def test_counters_move_by_what_statuses_gain() -> None:
    """Runs, misses and runs longer than expected; what a status says at first sight is old."""
    scene = Scene()
    before = {"successes": 7, "failures": 2, "missed": 5, "late": 3, "lost": 1}
    scene.job("report", schedule="@yearly", status={"statistics": before})
    scene.look()
    after = {"successes": 9, "failures": 3, "missed": 9, "late": 4, "lost": 1}
    for _ in range(2):  # the same news twice
        scene.job("report", schedule="@yearly", status={"statistics": after})
        scene.look()

    assert [2, 1, 0] == [
        metric(scene, "runs_total", outcome=outcome) for outcome in ("Succeeded", "Failed", "Lost")
    ]
    assert [4, 1] == [metric(scene, f"{name}_total") for name in ("slots_missed", "runs_late")]


def test_only_the_schedule_is_late() -> None:
    """How long after its slot a run's pod is made is no figure of what a person makes up for."""
    scene = Scene()
    scene.node()
    hour = NOON // 3600 * 3600
    span = f"{rfc3339(hour - 7200)}/{rfc3339(hour - 7200)}"
    scene.job("report", schedule="0 * * * *", annotations={names.BACKFILL: span})
    scene.look()

    assert [str(hour - 7200)] == [
        body["metadata"]["labels"][names.SLOT] for _, body in scene.notes.created.values()
    ]
    assert 0 == metric(scene, "slot_lateness_seconds_count")


def test_a_parents_success_starts_its_child() -> None:
    """The loop tells a job of its parents' stored successes; none of an absent one."""
    scene = Scene()
    scene.node()
    parent = scene.job("parent", schedule="@yearly")
    scene.job("child", parents=[{"name": "parent"}])
    scene.job("orphan", parents=[{"name": "nobody"}])
    scene.look()
    before = dict(scene.notes.created)
    run = {"run": "s1", "endTime": rfc3339(scene.clock.wall)}
    scene.job(parent.name, schedule="@yearly", status={"fulfilled": [run]})
    scene.look()

    assert {} == before
    assert ["child"] == [planned.owner.name for planned, _ in scene.notes.created.values()]  # type: ignore[union-attr]


def test_what_finds_no_room_exists_unplaced_and_says_so() -> None:
    """A task without room is created without a node; once seen it is marked with the sentence."""
    scene = Scene()
    scene.node(cpu=50)
    scene.service(replicas=1)
    scene.look()
    [(planned, body)] = scene.notes.created.values()
    scene.see("Pod", planned.name, replace(planned, uid="u1"), planned.namespace)
    scene.look()

    assert "nodeName" not in body["spec"]
    assert ["0/1 nodes: 1 too small for it even when empty (cpu); nearest n1 lacks 50m cpu"] == [
        mark.message for mark in scene.notes.marked
    ]


def test_a_marked_pod_is_not_marked_again() -> None:
    """What the API server says already is not written, and other words only if they still hold."""
    scene = Scene()
    guest = make_pod("guest", cpu=100)
    scene.see("Pod", "guest", guest)
    scene.look()
    first = scene.notes.marked.pop()
    told = replace(guest, scheduled_reason="Unschedulable", scheduled_message=first.message)
    scene.see("Pod", "guest", told)
    scene.look()
    again = [one.message for one in scene.notes.marked]
    scene.notes.marked.clear()
    scene.look()

    assert [first.message] == again  # whoever still has other words of it to write, forget them
    assert [] == scene.notes.marked


def test_other_words_are_handed_over() -> None:
    """What a pod says is out of date as soon as a node comes; when it is written is not ours."""
    scene = Scene()
    said = {"scheduled_reason": "Unschedulable", "scheduled_message": "0/0 nodes: so it was"}
    scene.see("Pod", "guest", make_pod("guest", cpu=3000, **said))
    scene.node("n1", cpu=1000)
    scene.look()

    assert ["0/1 nodes: 1 too small for it even when empty (cpu); nearest n1 lacks 2 cpu"] == [
        one.message for one in scene.notes.marked
    ]


def test_hearing_our_own_mark_is_no_reason_to_look() -> None:
    """A thousand pods that are told why they wait would be solved again for each of them."""
    scene = Scene()
    guest = make_pod("guest", cpu=100)
    scene.see("Pod", "guest", guest)
    scene.look()
    [mark] = scene.notes.marked
    told = replace(guest, scheduled_reason="Unschedulable", scheduled_message=mark.message)
    scene.bell.silence()
    scene.see("Pod", "guest", told)
    heard = scene.bell.placement
    scene.see("Pod", "guest", replace(told, scheduled_reason="SchedulerError"))

    assert 0 == heard
    assert 1 == scene.bell.placement


def test_a_waiting_pod_is_bound_when_room_appears() -> None:
    """A pod of anybody that names this scheduler gets a node, once."""
    scene = Scene()
    scene.see("Pod", "guest", make_pod("guest", cpu=100))
    scene.look()
    scene.node()
    scene.look()
    scene.look()

    assert [("guest", "n1")] == [(bind.name, bind.node) for bind in scene.notes.bound]


def test_a_standby_hands_nothing_over() -> None:
    """Without the lease nothing is decided; gaining it, everything is looked at unasked."""
    scene = Scene()
    scene.leads = False
    scene.node()
    scene.service(replicas=1)
    scene.look()

    assert scene.notes.silent

    scene.leads = True
    scene.loop.cycle(inbox.Batch(frozenset(), placement=False))

    assert 1 == len(scene.notes.created)


def test_observing_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """In Observe mode the plan is made and told, and nothing is handed to the writer."""
    scene = Scene(acts=False)
    scene.node()
    scene.service(replicas=1)
    scene.see("Pod", "guest", make_pod("guest", cpu=100))
    with caplog.at_level("INFO", "bayplan"):
        scene.look()

    assert scene.notes.silent
    assert {"place", "bind"} == {record.message for record in caplog.records}


def test_a_defect_in_one_resource_stops_no_other() -> None:
    """When deciding about one resource fails, the others are decided, and it is tried again."""

    def trips(resource: Resource, *rest: Any) -> intents.Outcome:
        if resource.name == "bad":
            raise ZeroDivisionError
        return deciders.DECIDERS[names.LONGSERVICE](resource, *rest)

    scene = Scene(deciders={names.LONGSERVICE: trips})
    scene.node()
    scene.service("bad", replicas=1)
    scene.service("good", replicas=1)
    scene.look()

    assert ["good"] == [
        planned.owner.name for planned, _ in scene.notes.created.values() if planned.owner
    ]
    assert b"bayplan_reconcile_errors_total 1.0" in scene.metrics.page()


def test_a_pod_on_a_vanished_node_is_taken_back() -> None:
    """The API server accepts any node name: a CREATE whose node has gone meanwhile is deleted."""
    scene = Scene()
    scene.node()
    service = scene.service(replicas=1)
    scene.look()
    [(planned, _)] = scene.notes.created.values()
    scene.cache.delete("Node", ("", "n1"), "", scene.version + 1)
    scene.loop.created(service.key, planned, replace(planned, uid="u1"))

    assert [("u1", "its node has gone")] == [(gone.uid, gone.why) for gone in scene.notes.deleted]


def test_a_pod_on_a_namesake_of_its_node_is_taken_back() -> None:
    """Node names are used again on EKS: a node younger than the decision is another one."""
    scene = Scene()
    scene.node()
    service = scene.service(replicas=1)
    scene.look()
    [(planned, _)] = scene.notes.created.values()
    scene.node(created_at=planned.created_at + 5)
    scene.loop.created(service.key, planned, replace(planned, uid="u1"))

    assert ["u1"] == [gone.uid for gone in scene.notes.deleted]


@pytest.mark.parametrize(("cpu", "expected"), [(1000, []), (5000, ["u1"])])
def test_a_pod_that_grew_stays_only_where_it_fits(cpu: int, expected: list[str]) -> None:
    """Webhooks make pods bigger: one that no longer fits is taken back, one that fits stays."""
    scene = Scene()
    scene.node(cpu=4000)
    service = scene.service(replicas=1)
    scene.look()
    [(planned, _)] = scene.notes.created.values()
    request = make_pod(cpu=cpu).request
    stored = replace(planned, uid="u1", request=request)
    scene.see("Pod", planned.name, stored, planned.namespace)
    scene.loop.created(service.key, planned, stored)

    assert expected == [gone.uid for gone in scene.notes.deleted]
    assert request == scene.admissions.of(service).request  # type: ignore[union-attr]


def test_orphaned_run_pods_are_let_go() -> None:
    """Run pods whose BatchJob has gone lose the tracking finalizer; others keep theirs."""
    scene = Scene()
    owner = Owner(names.BATCHJOB, "gone", "uid-gone")
    orphan = make_pod("run", "n1", owner=owner, finalizers=("a/b", names.RUN_TRACKING))
    scene.see("Pod", "run", orphan)
    scene.loop.cycle(inbox.Batch(frozenset({(names.BATCHJOB, "default", "gone")}), placement=False))

    assert [("run", ("a/b",))] == [(one.name, one.finalizers) for one in scene.notes.released]


def held_pod(name: str, owner: Owner | None, **more: Any) -> Pod:
    return make_pod(name, "n1", owner=owner, finalizers=(names.RUN_TRACKING,), **more)


@pytest.mark.parametrize(
    "owner",
    [
        None,
        Owner(names.BATCHJOB, "report", "uid-of-a-former-one"),
        Owner(names.LONGSERVICE, "web", "uid-web"),
        Owner("ReplicaSet", "theirs", "uid-theirs"),
        Owner(names.BATCHJOB, "report", "uid-report"),  # a copy of one, under another name
    ],
)
@pytest.mark.parametrize("running", [True, False], ids=["running", "at the start"])
def test_whatever_our_finalizer_holds_for_nobody_is_let_go(
    owner: Owner | None, *, running: bool
) -> None:
    """Without an owner, of a former job's uid, of another controller: seen later or at the start.

    A run of a living job keeps it.
    """
    scene = Scene()
    scene.job("report", schedule="0 0 1 1 *")
    scene.service(replicas=0)
    if running:
        scene.loop.cycle(EVERYTHING)
    mine = Owner(names.BATCHJOB, "report", "uid-report")
    scene.see("Pod", "stray", held_pod("stray", owner))
    scene.see("Pod", "report-uid-r-s1-0", held_pod("report-uid-r-s1-0", mine))
    scene.loop.cycle(scene.rung())

    assert ["stray"] == [one.name for one in scene.notes.released]


def test_a_run_that_loses_its_owner_is_let_go() -> None:
    """`kubectl delete --cascade=orphan` takes the owner off a pod that was known with it."""
    scene = Scene()
    scene.job("report", schedule="0 0 1 1 *")
    mine = Owner(names.BATCHJOB, "report", "uid-report")
    name = "report-uid-r-s1-0"
    scene.see("Pod", name, held_pod(name, mine))
    scene.loop.cycle(EVERYTHING)
    kept = list(scene.notes.released)
    scene.bell.silence()
    scene.see("Pod", name, held_pod(name, None))
    scene.loop.cycle(scene.rung())

    assert ([], [name]) == (kept, [one.name for one in scene.notes.released])


def test_an_observer_and_another_namespaces_operator_let_go_of_nothing() -> None:
    """Observe mode writes nothing, and pods of a namespace that is not served are another's."""
    observer = Scene(acts=False)
    observer.see("Pod", "stray", held_pod("stray", None))
    observer.loop.cycle(EVERYTHING)
    other = Scene()
    other.cache.namespace = "served"
    other.see("Pod", "stray", held_pod("stray", None))
    other.loop.cycle(EVERYTHING)

    assert [] == observer.notes.released == other.notes.released


def test_pods_that_a_service_left_behind_are_its_successors() -> None:
    """They are looked at as its own, and it is rung when one loses its owner."""
    scene = Scene()
    scene.node()
    service = scene.service(replicas=1)
    marks = dict.fromkeys((names.REVISION, names.TEMPLATE_HASH), "x")
    left = make_pod("left", "n1", labels={names.SERVICE: "web", **marks})
    plain = make_pod("plain", "n1", labels={names.SERVICE: "web"})
    scene.bell.silence()
    scene.see("Pod", "left", left)
    scene.see("Pod", "plain", plain)
    scene.look()

    assert [service.key] == [key for key in scene.bell.keys if key == service.key][:1]
    assert ["left"] == [one.name for one in scene.notes.outcomes[-1].adoptions]


@pytest.mark.parametrize("gang", ["", "g"])
def test_of_a_refused_template_one_pod_or_gang_is_tried(gang: str) -> None:
    """None while it waits; then one, whole where it is a gang; another template is not held."""
    tasks = tuple(
        intents.Task(f"{hash_}-{number}", labels={names.TEMPLATE_HASH: hash_}, gang=gang)
        for hash_ in ("a", "b")
        for number in range(3)
    )
    scene = Scene()
    service = scene.service(replicas=0)
    counts = []

    async def act() -> None:
        known = scene.cache.refusals
        error = errors.Rejected("no", status=403)
        known.refused(refusals.Write(service.key, "create", "Pod", "a"), error)
        counts.append(len(refused_writes.allowed(known, service, tasks)))
        await asyncio.sleep(1.1)
        counts.append(len(refused_writes.allowed(known, service, tasks)))

    loops.run(act())

    assert [3, 6 if gang else 4] == counts


def test_a_pod_whose_binding_is_refused_is_not_planned_for_a_while() -> None:
    """Its owner is told; another pod of it is bound meanwhile."""
    scene = Scene()
    scene.node()
    service = scene.service(replicas=0)
    owner = Owner(names.LONGSERVICE, "web", service.uid)
    for name in ("p1", "p2"):
        scene.see("Pod", name, make_pod(name, scheduler="bayplan", owner=owner))

    async def act() -> None:
        pod = scene.cache.state.pods["default", "p1"]
        known = scene.cache.refusals
        known.refused(refusals.binding(pod, pod.key), errors.Rejected("no", status=403))
        scene.loop.cycle(EVERYTHING)
        first = [one.name for one in scene.notes.bound]
        await asyncio.sleep(1.1)
        scene.loop.cycle(EVERYTHING)

        assert ["p2"] == first
        assert {"p1", "p2"} == {one.name for one in scene.notes.bound}
        assert ["p1"] == [one.name for one in known.of(service.key)]

    loops.run(act())


def test_a_pod_of_a_former_template_refuses_not_the_present_one() -> None:
    """What is refused of a kept revision says nothing of the template that is to come."""
    scene = Scene()
    service = scene.service(replicas=1)
    error = errors.Rejected("exceeded quota: few", status=403)
    scene.loop.refused(refusals.Write(service.key, "create", "Pod", "former"), error)
    known = scene.admissions.of(service)

    assert known is not None
    assert "" == known.refusal


def test_a_quota_refusal_waits_and_then_asks_again() -> None:
    """A CREATE refused for quota is remembered with its retry time; nothing more is created."""
    scene = Scene()
    scene.node()
    service = scene.service(replicas=1)
    error = errors.Rejected("exceeded quota: few", status=403, reason="Forbidden")
    scene.loop.refused(refusals.Write(service.key, "create", "Pod"), error)
    scene.look()
    known = scene.admissions.of(service)

    assert {} == scene.notes.created
    assert known is not None
    assert ("QuotaExceeded", NOON + admission.FIRST_RETRY_SECONDS) == (
        known.refusal,
        known.retry_at,
    )


def test_it_wakes_when_state_says_so() -> None:
    """The next look by itself is when a reconcile said, and never later than a second."""
    scene = Scene(deciders={names.LONGSERVICE: lambda *_: intents.Outcome(wake_at=NOON + 1)})
    scene.service(replicas=1)
    scene.look()
    before = scene.loop.queue.due_in(leads=True)
    scene.clock.wall += 1

    assert (1.0, 0.0) == (before, scene.loop.queue.due_in(leads=True))


def test_nodes_are_measured() -> None:
    """Gauges tell nodes by state, what they have and what is requested."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    scene.node("n2", cpu=4000, unschedulable=True)
    scene.see("Pod", "p1", make_pod("p1", "n1", cpu=1500))
    scene.loop.cycle_metrics.measure()
    page = scene.metrics.page().decode()

    assert 'bayplan_nodes{state="ready"} 1.0' in page
    assert 'bayplan_nodes{state="leaving"} 1.0' in page
    assert 'bayplan_allocatable{resource="cpu"} 8.0' in page
    assert 'bayplan_requested{resource="cpu"} 1.5' in page


def test_nothing_is_kept_of_pods_whose_service_has_gone() -> None:
    """Not even when it goes while they start."""
    scene = Scene()
    scene.node("n1")
    service = scene.service("web", replicas=2)
    scene.look()
    before = len(scene.loop.cycle_metrics.starting)
    scene.cache.drop_resource(service.key, service.uid)
    scene.ring(service.key)

    assert (1, 0) == (before, len(scene.loop.cycle_metrics.starting))


def test_the_brake_is_a_metric() -> None:
    """1 while many nodes are silent that were ready before, 0 again when they return."""
    scene = Scene()
    pages = []
    for ready in (False, True):
        for index in range(4):
            scene.node(f"n{index}", ready=ready, ready_changed_at=scene.clock.now())
        scene.loop.cycle_metrics.measure()
        pages.append(scene.metrics.page().decode())

    assert ["bayplan_mass_loss_brake 1.0", "bayplan_mass_loss_brake 0.0"] == [
        line for page in pages for line in page.splitlines() if line.startswith("bayplan_mass")
    ]


def test_a_resource_that_takes_long_to_look_at_rests() -> None:
    """After a look of 10 ms a resource is looked at again after 500 ms, rung or not; others go."""
    looked: list[str] = []

    def slow(resource: Resource, *_: Any) -> intents.Outcome:
        looked.append(resource.name)
        scene.clock.passed += 0.01 if resource.name == "big" else 0.0001
        return intents.Outcome()

    scene = Scene(deciders={names.LONGSERVICE: slow})
    scene.service("big", replicas=0)
    scene.service("small", replicas=0)
    scene.look()
    scene.look()
    rests = scene.loop.queue.due_in(leads=True)
    scene.clock.passed += rests
    scene.loop.cycle(inbox.Batch(frozenset(), placement=False))

    assert 0.49 < rests <= 0.5
    assert ["big", "small", "small", "big"] == looked


def test_many_placements_of_one_resource_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A resource that gets more than 20 pods at once is logged once, with the counts."""
    scene = Scene()
    scene.node(cpu=2000)
    scene.service(replicas=21)
    with caplog.at_level("INFO", "bayplan"):
        scene.look()
    [line] = [record.__dict__["fields"] for record in caplog.records]

    assert 21 == len(scene.notes.created)
    assert {"pods": 20, "no_room": 1, "nodes": 1} == {
        key: line[key] for key in ("pods", "no_room", "nodes")
    }


@pytest.mark.parametrize("restarted", [False, True])
def test_a_node_is_held_for_who_has_waited_long_and_the_pod_says_so(*, restarted: bool) -> None:
    """A held node is told on the pod once, takes nothing else, and outlives a restart."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    run = make_pod("run", "n1", 2000, owner_uid="job", owner_kind="BatchJob")
    large = make_pod("large", cpu=3000, created_at=NOON - 60)
    scene.see("Pod", "run", run)
    scene.see("Pod", "large", large)
    scene.look()
    first = scene.notes.marked.pop()
    told = replace(
        large, scheduled_reason="Unschedulable", scheduled_message=first.message, nominated="n1"
    )
    scene.see("Pod", "large", told)
    scene.look()
    scene.notes.marked.clear()
    if restarted:
        scene.leads = False
        scene.look()
        scene.leads = True
    scene.see("Pod", "small", make_pod("small", cpu=100, created_at=NOON))
    scene.look()

    assert "n1" == first.held
    assert [] == scene.notes.bound
    assert ["small"] == [one.name for one in scene.notes.marked]


def test_a_node_is_held_on_time_though_nothing_else_happens() -> None:
    """A minute passes without an event: the loop looks again by itself."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    run = make_pod("run", "n1", 2000, owner_uid="job", owner_kind="BatchJob")
    large = make_pod("large", cpu=3000, created_at=NOON - 20)
    scene.see("Pod", "run", run)
    scene.see("Pod", "large", large)
    scene.look()
    told = replace(large, scheduled_reason="Unschedulable")
    scene.see("Pod", "large", told)
    scene.notes.marked.clear()
    held = []
    for _ in range(2):
        scene.clock.wall += 20
        scene.loop.cycle(inbox.Batch(frozenset(), placement=False))
        held.append([one.held for one in scene.notes.marked])

    assert [[], ["n1"]] == held


def test_a_short_run_passes_through_a_held_node() -> None:
    """What a pod says of its run time is enough: it ends before the large one could begin."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    run, short, long = (
        make_pod(
            name,
            node,
            2000 if node else 100,
            owner_uid=name,
            owner_kind="BatchJob",
            annotations={names.EXPECTED_SECONDS: seconds},
            ending=Ending(started_at=NOON),
            created_at=NOON,
        )
        for name, node, seconds in (("run", "n1", "600"), ("short", "", "300"), ("long", "", "900"))
    )
    for pod in (run, make_pod("large", cpu=3000, created_at=NOON - 60, nominated="n1")):
        scene.see("Pod", pod.name, pod)
    scene.leads = False
    scene.look()
    scene.leads = True
    for pod in (short, long):
        scene.see("Pod", pod.name, pod)
    scene.look()

    assert ["short"] == [one.name for one in scene.notes.bound]


@pytest.mark.parametrize(("learned", "node"), [(300, "n1"), (900, "")])
def test_what_was_learned_of_a_job_lets_its_run_pass(learned: int, node: str) -> None:
    """From the samples in its status alone: a run that usually ends in time may use a held node."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    busy = make_pod(
        "run",
        "n1",
        2000,
        owner_uid="run",
        owner_kind="BatchJob",
        annotations={names.EXPECTED_SECONDS: "600"},
        ending=Ending(started_at=NOON),
        created_at=NOON,
    )
    for pod in (busy, make_pod("large", cpu=3000, created_at=NOON - 60, nominated="n1")):
        scene.see("Pod", pod.name, pod)
    scene.leads = False
    scene.look()
    scene.leads = True
    samples = {"runSeconds": [learned] * 5, "waitSeconds": [0] * 5}
    scene.job("report", status={"samples": samples})
    scene.look()
    [(_, body)] = scene.notes.created.values()

    assert node == body["spec"].get("nodeName", "")


def test_a_hold_that_has_ended_is_taken_off_the_pod() -> None:
    """A pod that names a node which is held no longer is told anew."""
    scene = Scene()
    scene.node("n1", cpu=1000)
    said = {"scheduled_reason": "Unschedulable", "nominated": "gone"}
    scene.see("Pod", "large", make_pod("large", cpu=3000, created_at=NOON, **said))
    scene.look()

    assert [""] == [one.held for one in scene.notes.marked]


def placed_by_host(scene: Scene) -> dict[str, list[str]]:
    """Node -> places of the pods that were created there."""
    found: dict[str, list[str]] = {}
    for _, body in scene.notes.created.values():
        node = body["spec"].get("nodeName", "")
        found.setdefault(node, []).append(body["metadata"]["labels"].get(names.PLACE, ""))
    return {node: sorted(numbers) for node, numbers in sorted(found.items())}


def test_max_per_gives_every_pod_of_a_host_its_own_place() -> None:
    """Two a host, each with a place of its own; who waits shares the places out."""
    scene = Scene()
    for name in ("n1", "n2"):
        scene.node(name, cpu=4000)
    constraint = {"key": "hostname", "operator": "MaxPer", "value": "2"}
    scene.service(replicas=6, placement={"constraints": [constraint]})
    scene.look()

    assert {"": ["0", "1"], "n1": ["0", "1"], "n2": ["0", "1"]} == placed_by_host(scene)


def test_a_free_place_is_taken_again() -> None:
    """A new pod takes the place that nobody of its host has, whatever came before."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    constraint = {"key": "hostname", "operator": "MaxPer", "value": "3"}
    scene.service(replicas=3, placement={"constraints": [constraint]})
    scene.look()
    scene.seen_as_created()
    [gone] = [one for one, _ in scene.notes.created.values() if one.labels[names.PLACE] == "1"]
    scene.see("Pod", gone.name, replace(gone, uid="u", phase=Phase.FAILED), gone.namespace)
    scene.notes.created.clear()
    scene.clock.wall += 3600
    scene.look()

    assert {"n1": ["1"]} == placed_by_host(scene)


def test_a_waiting_pod_is_packed_by_its_services_rules() -> None:
    """An unplaced pod of ours counts its running peers as new tasks do, and goes elsewhere."""
    scene = Scene()
    scene.node("n1", cpu=4000)
    constraint = {"key": "hostname", "operator": "Unique"}
    scene.service(replicas=2, placement={"constraints": [constraint]})
    scene.look()
    scene.seen_as_created()
    [waiting] = [one for one, _ in scene.notes.created.values() if not one.node]
    unseen = replace(waiting, uid="u-2", phase=Phase.PENDING)
    scene.see("Pod", waiting.name, unseen, waiting.namespace)
    scene.look()
    bound_before = list(scene.notes.bound)
    scene.node("n2", cpu=4000)
    scene.look()

    told = "0/1 nodes: 1 constraint hostname Unique; nearest n1: constraint hostname Unique"

    assert told == scene.notes.marked[0].message
    assert [] == bound_before
    assert ["n2"] == [one.node for one in scene.notes.bound]


def test_patterns_know_the_nodes_of_today() -> None:
    """A pattern is compiled over values of nodes and catalogue, and again when nodes come."""
    scene = Scene(catalogue={ZONE: {"a9"}})
    scene.node("n1", cpu=150, zone="a1")
    constraint = {"key": "zone", "operator": "Like", "value": "a."}
    scene.service(replicas=2, placement={"constraints": [constraint]})
    scene.look()
    scene.seen_as_created()
    [gone] = [one for one, _ in scene.notes.created.values() if one.node]
    scene.see("Pod", gone.name, replace(gone, uid="u", phase=Phase.FAILED), gone.namespace)
    scene.node("n2", cpu=150, zone="a2")
    scene.clock.wall += 3600
    scene.look()
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    values = {
        tuple(term["matchExpressions"][0]["values"])
        for _, body in scene.notes.created.values()
        for term in body["spec"]["affinity"]["nodeAffinity"][hard]["nodeSelectorTerms"]
    }

    assert {("a1", "a9"), ("a1", "a2", "a9")} == values


def test_an_older_template_s_answer_tells_of_that_template_alone() -> None:
    """A webhook made a pod of the former revision bigger: the present template's request stays."""
    scene = Scene()
    scene.node(cpu=8000)
    service = scene.service(replicas=1)
    scene.look()
    [(planned, _)] = scene.notes.created.values()
    before = scene.admissions.of(service)
    older = replace(planned, labels={**planned.labels, names.TEMPLATE_HASH: "older"})
    scene.loop.created(service.key, older, replace(older, request=make_pod(cpu=5000).request))

    assert before == scene.admissions.of(service)
