"""What should run of a LongService: one look at it, its pods and the cluster, one answer.

The function is level-triggered: it knows no history but what is stored, and asked again about its
own answer it has nothing to add. It relies on one promise of its caller: what it asked for counts
from that moment, tasks as assumed pods and deletes as terminating ones, until the API server
shows or refuses it. It decides nothing about nodes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bayplan.api import build, names
from bayplan.api.longservice import LongServiceSpec, Unreachable, UpdateStrategy
from bayplan.api.resource import Resource
from bayplan.model import pod as pods_
from bayplan.model.snapshot import PodKey
from bayplan.reconcile import (
    backoff,
    children,
    failures,
    revisions,
    rollout,
    servicestatus,
    waiting,
)
from bayplan.reconcile.action import (
    Admission,
    ApplyObject,
    DeleteObject,
    DeletePod,
    Outcome,
    Task,
    View,
)
from bayplan.reconcile.instances import Instances, surveyed
from bayplan.reconcile.revisions import Revision


@dataclass(frozen=True, slots=True)
class _Scene:
    """What one look finds out before anything is decided."""

    service: Resource
    spec: LongServiceSpec
    pods: Mapping[PodKey, pods_.Pod]
    view: View
    now: int
    instances: Instances
    history: Mapping[str, Revision]
    update: Revision
    kept: Revision | None
    alive: frozenset[str]  # revisions (ids) that have pods
    limits: rollout.Bounds
    admission: Admission | None  # of the newest template; None: not known yet

    @property
    def admitted(self) -> bool:
        return self.admission is not None and not self.admission.refusal

    @property
    def making(self) -> Revision | None:
        """The revision to make instances of: the newest, or the kept one while that is refused."""
        return self.update if self.admitted else self.kept

    @property
    def rolling(self) -> bool:
        """Whether instances of other revisions are to be replaced, or are still on their way."""
        if not self.admitted:
            return False
        return self.instances.outdated_going or any(
            self.instances.revision_of(pod) != self.update.id for pod in self.instances.live
        )


def reconcile(service: Resource, pods: Mapping[PodKey, pods_.Pod], view: View, now: int) -> Outcome:
    """What is missing of the service and what is too much. O(pods); `now` in epoch seconds."""
    if service.deleting or view.namespace_deleting:
        return Outcome()
    spec = service.spec
    if not isinstance(spec, LongServiceSpec) or service.problems:
        return _refused(service, pods, view, now)
    scene = _scene(service, spec, pods, view, now)
    making = scene.making
    before = backoff.stored(service.status, making.name) if making is not None else None
    after = _backoff(scene, making, before)
    change = _change(scene, after)
    tasks = _tasks(scene, making, change, after)
    bodies = children.wanted(service, spec, scene.limits.healthy)
    apply, drop = children.changes(service, view, bodies)
    current = _current_revision(scene)
    status = servicestatus.status(
        servicestatus.Standing(
            service=service,
            spec=spec,
            view=view,
            now=now,
            instances=scene.instances,
            limits=scene.limits,
            updated=_updated(scene.instances, scene.update),
            outdated=len(scene.instances.live) - _updated(scene.instances, scene.update),
            starting=len(tasks),
            current_revision=current,
            update_revision=scene.update.name,
            admission=scene.admission,
            backoff=after,
            failing=_failing(scene.instances),
            taken=children.taken_by_others(service, view, bodies),
        )
    )
    return Outcome(
        tasks=tasks,
        deletes=(*_ends(scene, making, before), *_departures(service, change.leave)),
        objects=(*_history(scene, tasks), *apply),
        drops=(*drop, *_forgotten(scene, current)),
        events=servicestatus.events(service.status, status),
        status=None if status == service.status else status,
        probe=_probes(scene.admission, now),
        wake_at=_wake_at(scene, after),
    )


def _scene(
    service: Resource,
    spec: LongServiceSpec,
    pods: Mapping[PodKey, pods_.Pod],
    view: View,
    now: int,
) -> _Scene:
    history = revisions.stored(view.children)
    update = revisions.newest(service, history.values())
    instances = surveyed(
        pods,
        view.nodes,
        now,
        revision=update.id,
        min_ready=spec.update_strategy.min_ready_seconds,
        replace_after=spec.unreachable.replace_after_seconds,
        oldest_first=spec.scale_down.order == "OldestFirst",
    )
    alive = frozenset(pod.labels.get(names.REVISION, "") for pod in pods.values())
    known = view.admission
    return _Scene(
        service=service,
        spec=spec,
        pods=pods,
        view=view,
        now=now,
        instances=instances,
        history=history,
        update=update,
        kept=revisions.kept(history, update, _stored_current(service), alive),
        alive=alive,
        limits=rollout.bounds(
            spec.replicas,
            spec.update_strategy.minimum_healthy_percent,
            spec.update_strategy.maximum_surge_percent,
        ),
        admission=known if known and known.template_hash == service.template_hash else None,
    )


def _refused(service: Resource, pods: Mapping[PodKey, pods_.Pod], view: View, now: int) -> Outcome:
    """A spec that cannot work disturbs nobody: what runs goes on, the status says why."""
    spec = service.spec if isinstance(service.spec, LongServiceSpec) else None
    update = revisions.newest(service, revisions.stored(view.children).values())
    instances = surveyed(
        pods,
        view.nodes,
        now,
        revision=update.id,
        min_ready=(spec.update_strategy if spec else UpdateStrategy()).min_ready_seconds,
        replace_after=(spec.unreachable if spec else Unreachable()).replace_after_seconds,
    )
    status = servicestatus.refused(service, instances, _updated(instances, update), now)
    return Outcome(
        events=servicestatus.events(service.status, status),
        status=None if status == service.status else status,
        wake_at=min(instances.turns, default=None),
    )


def _backoff(
    scene: _Scene, making: Revision | None, before: backoff.Backoff | None
) -> backoff.Backoff | None:
    if making is None:
        return None
    ended = [pod for pod in scene.instances.ended if scene.instances.revision_of(pod) == making.id]
    return backoff.advanced(before, ended, making.name, scene.spec.restart_backoff, scene.now)


def _change(scene: _Scene, pause: backoff.Backoff | None) -> rollout.Change:
    if not scene.rolling:
        return rollout.settled(scene.instances, scene.spec.replicas, scene.limits)
    kept = scene.kept
    return rollout.rolled(
        scene.instances,
        scene.update.id,
        scene.spec.replicas,
        scene.limits,
        failing=pause is not None or _update_fails(scene),
        restorable=kept is not None and kept.name == _stored_current(scene.service),
    )


def _update_fails(scene: _Scene) -> bool:
    return any(
        failures.fails(pod)
        for pod in scene.instances.live
        if scene.instances.revision_of(pod) == scene.update.id
    )


def _tasks(
    scene: _Scene,
    making: Revision | None,
    change: rollout.Change,
    pause: backoff.Backoff | None,
) -> tuple[Task, ...]:
    """The pods to make, by name; none of a revision whose back-off still runs."""
    tasks: list[Task] = []
    ended, now = scene.instances.ended, scene.now
    avoid = frozenset(pod.node for pod in ended if backoff.cooling_until(pod, now) > now)
    starts = 0 if pause is not None and pause.retry_at > now else change.start
    taken = {name for _, name in scene.pods}
    for revision, count in ((making, starts), (scene.kept, change.restore)):
        if revision is None or not count:
            continue
        labels = {
            names.SERVICE: revisions.label(scene.service.name),
            names.REVISION: revision.id,
            names.TEMPLATE_HASH: revision.template_hash,
        }
        template = None if revision.id == scene.update.id else revision.template
        tasks += [
            Task(name=name, labels=labels, since=now, avoid=avoid, template=template)
            for name in revisions.pod_names(scene.service.name, revision, count, taken)
        ]
    return tuple(tasks)


def _ends(
    scene: _Scene, making: Revision | None, covered: backoff.Backoff | None
) -> list[DeletePod]:
    """Pods that ended and may go: counted in by the stored status, or not to be counted.

    One that its node refused stays until that node has cooled down: it is the only record of it.
    """
    gone = [(pod, "its node is gone") for pod in scene.instances.orphaned]
    for pod in scene.instances.ended:
        counted = (
            backoff.counts(pod)
            and making is not None
            and scene.instances.revision_of(pod) == making.id
        )
        if counted and (covered is None or not covered.covers(pod, scene.now)):
            continue
        if backoff.cooling_until(pod, scene.now) <= scene.now:
            gone.append((pod, "ended"))
    return _departures(scene.service, gone)


def _departures(service: Resource, leave: Collection[tuple[pods_.Pod, str]]) -> list[DeletePod]:
    """Deletes for pods that were seen; an assumed one goes when it has a uid, no other for it."""
    return [DeletePod(service.namespace, pod.name, pod.uid, why) for pod, why in leave if pod.uid]


def _history(scene: _Scene, tasks: Collection[Task]) -> list[ApplyObject]:
    """The newest revision is stored from its first task on, with the highest number."""
    update, latest = scene.update, max((one.number for one in scene.history.values()), default=0)
    begun = update.id in scene.alive or any(task.template is None for task in tasks)
    if not scene.admitted or not begun or (update.number and update.number == latest):
        return []
    owner = build.owner_reference(scene.service)
    return [ApplyObject(revisions.body(scene.service, update, latest + 1, owner))]


def _forgotten(scene: _Scene, current: str) -> tuple[DeleteObject, ...]:
    return revisions.superfluous(
        scene.history,
        scene.view.children,
        limit=scene.spec.revision_history_limit,
        needed={scene.update.name, current},
        alive=scene.alive,
        namespace=scene.service.namespace,
    )


def _current_revision(scene: _Scene) -> str:
    """The revision last rolled out: the newest once it has every instance, each of them healthy."""
    live, available = scene.instances.live, scene.instances.available
    complete = (
        _updated(scene.instances, scene.update) == len(live)
        and len(available) >= scene.spec.replicas > 0
    )
    return scene.update.name if complete else _stored_current(scene.service)


def _stored_current(service: Resource) -> str:
    current = service.status.get("currentRevision")
    return current if isinstance(current, str) else ""


def _updated(instances: Instances, update: Revision) -> int:
    return sum(pod.labels.get(names.REVISION) == update.id for pod in instances.live)


def _failing(instances: Instances) -> tuple[pods_.Pod, ...]:
    if len(instances.available) == len(instances.live):
        return ()
    return tuple(
        pod for pod in instances.live if not instances.healthy(pod) and failures.fails(pod)
    )


def _probes(admission: Admission | None, now: int) -> bool:
    """Ask about the template when nothing is known, and again when a refusal may have passed."""
    if admission is None:
        return True
    return bool(admission.refusal) and not admission.final and admission.retry_at <= now


def _wake_at(scene: _Scene, pause: backoff.Backoff | None) -> int | None:
    """The next moment at which time alone changes the answer."""
    turns = [
        *scene.instances.turns,
        *(backoff.cooling_until(pod, scene.now) for pod in scene.instances.ended),
    ]
    if pause is not None:
        rules = scene.spec.restart_backoff
        turns += [pause.retry_at, backoff.forgotten_at(pause, rules)]
    if scene.admission is not None and scene.admission.refusal:
        turns.append(scene.admission.retry_at)
    if scene.view.placement is not None:
        turns.append(scene.view.placement.since + waiting.PATIENCE_SECONDS)
    return min((turn for turn in turns if turn > scene.now), default=None)
