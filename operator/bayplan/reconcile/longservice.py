"""What should run of a LongService: one look at it, its pods and the cluster, one answer.

The function is level-triggered: it knows no history but what is stored, and asked again about its
own answer it has nothing to add. It relies on one promise of its caller: what it asked for counts
from that moment, tasks as assumed pods and deletes as terminating ones, until the API server
shows or refuses it. It decides nothing about nodes.
"""

from collections.abc import Mapping
from dataclasses import replace

from bayplan.api import names, placement_rules
from bayplan.api.longservice import LongServiceSpec, Unreachable, UpdateStrategy
from bayplan.api.resource import Resource
from bayplan.model import wording
from bayplan.model.admission import Admission
from bayplan.model.intents import EmitEvent, Outcome
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.model.workloads import Operator
from bayplan.reconcile import (
    backoff,
    brake,
    children,
    conditions,
    dependencies,
    drift,
    failures,
    inorder,
    inplace,
    ordinals,
    pernode,
    revisions,
    rollout,
    serviceacts,
    servicestatus,
    sole,
    target,
    waiting,
)
from bayplan.reconcile.instances import Instances, surveyed
from bayplan.reconcile.revisions import Revision
from bayplan.reconcile.servicescene import ServiceScene, stored_current, updated
from bayplan.reconcile.view import View

STUCK_SECONDS = 60

_NEVER_SECONDS = 10**9


def reconcile(service: Resource, pods: Mapping[PodKey, Pod], view: View, now: int) -> Outcome:
    """What is missing of the service and what is too much. O(pods); `now` in epoch seconds."""
    if service.deleting or view.namespace_deleting:
        return Outcome()
    spec = service.spec
    if not isinstance(spec, LongServiceSpec) or service.problems:
        return _refused(service, pods, view, now)
    scene = _progressed(_braked(_scene(service, spec, pods, view, now)))
    if _overdue(scene) and spec.update_strategy.auto_rollback and scene.aim.good is not None:
        scene = _progressed(_scene(service, spec, pods, view, now, given=_given_up(scene)))
    scene = _drifted(scene)
    making = scene.making
    before = backoff.stored(service.status, making.name) if making is not None else None
    after = _backoff(scene, making, before)
    change = _change(scene, after)
    tasks = serviceacts.tasks(scene, making, change, after)
    bodies = children.wanted(service, scene.spec, scene.limits.healthy, in_place=scene.in_place)
    apply, drop = children.changes(service, view, bodies)
    current = _current_revision(scene)
    waits = scene.waits
    status = servicestatus.status(
        servicestatus.Standing(
            service=service,
            spec=scene.spec,
            view=view,
            now=now,
            instances=scene.instances,
            limits=scene.limits,
            updated=updated(scene.instances, scene.update),
            outdated=scene.outdated,
            starting=len(tasks),
            current_revision=current,
            aim=scene.aim,
            progress=scene.progress if current != scene.update.name else None,
            waits=waits,
            overdue=_overdue(scene),
            drifted=scene.drifted,
            moves=scene.moves.stored,
            unmet=scene.unmet,
            braked_until=scene.braked_until,
            admission=scene.admission,
            backoff=after,
            failing=_failing(scene.instances),
            held=inorder.held(scene),
            sole=scene.sole,
            suspended=scene.suspended,
            taken=children.taken_by_others(service, view, bodies),
            unmade=tuple(one.body["kind"] for one in apply),
        )
    )
    return Outcome(
        tasks=tasks,
        adoptions=serviceacts.adoptions(scene),
        deletes=(
            *serviceacts.ends(scene, making, before),
            *serviceacts.departures(service, change.leave),
        ),
        objects=(*serviceacts.history(scene, tasks), *apply),
        drops=(*drop, *serviceacts.forgotten(scene, current)),
        claims=inorder.claim_acts(scene),
        events=(*_unknown_verb(scene), *servicestatus.events(service.status, status)),
        status=None if status == service.status else status,
        probe=_probes(scene.admission, now),
        wake_at=_wake_at(scene, after),
    )


def _scene(
    service: Resource,
    spec: LongServiceSpec,
    pods: Mapping[PodKey, Pod],
    view: View,
    now: int,
    *,
    given: target.Target | None = None,
) -> ServiceScene:
    history = revisions.stored(view.children)
    aim = given if given is not None else target.chosen(service, history)
    update = aim.revision
    instances = surveyed(
        pods,
        view.nodes,
        now,
        revision=update.id,
        min_ready=spec.update_strategy.min_ready_seconds,
        replace_after=spec.unreachable.replace_after_seconds,
        order=spec.scale_down.order,
        fullness=view.fullness,
        unhealthy_after=spec.unhealthy.replace_after_seconds,
        balance=_balanced_label(service),
    )
    alive = frozenset(pod.labels.get(names.REVISION, "") for pod in pods.values())
    known = view.admission
    sole_ = sole.claims(update.template or spec.template, view.claim_of)
    scene = ServiceScene(
        service=service,
        spec=spec,
        pods=pods,
        view=view,
        now=now,
        instances=instances,
        history=history,
        aim=aim,
        kept=revisions.kept(history, update, stored_current(service), alive),
        alive=alive,
        limits=_limits(spec, in_place=bool(sole_)),
        row=ordinals.row(service.name, pods.values(), spec.replicas)
        if spec.volume_claim_templates
        else None,
        admission=known if known and known.template_hash == service.template_hash else None,
        sole=sole_,
    )
    return _housed(scene) if spec.mode == "PerNode" else scene


def _housed(scene: ServiceScene) -> ServiceScene:
    """With as many instances wanted as there are nodes for them."""
    update = scene.update
    own = update.template_hash == scene.service.template_hash
    homes = scene.view.homes(update.template_hash, None if own else update.template)
    instances, coverage = pernode.housed(
        scene.instances, scene.pods.values(), homes, suspended=scene.suspended
    )
    spec = scene.spec.model_copy(update={"replicas": coverage.wanted})
    limits = inplace.bounds(coverage.wanted, spec.update_strategy.minimum_healthy_percent)
    return replace(scene, spec=spec, limits=limits, instances=instances, coverage=coverage)


def _limits(spec: LongServiceSpec, *, in_place: bool) -> rollout.Bounds:
    rules = spec.update_strategy
    if spec.volume_claim_templates or in_place:
        return inplace.bounds(spec.replicas, rules.minimum_healthy_percent)
    return rollout.bounds(spec.replicas, rules.minimum_healthy_percent, rules.maximum_surge_percent)


def _balanced_label(service: Resource) -> str:
    """The node label of the first GroupBy; empty without one."""
    wanted = (
        one for one in placement_rules.constraints(service) if one.operator is Operator.GROUP_BY
    )
    return next((one.label for one in wanted), "")


def _braked(scene: ServiceScene) -> ServiceScene:
    """As it is while too many nodes have fallen silent: nobody counts as lost, no node as leaving.

    Asked only when something could go, since it looks at every node.
    """
    instances = scene.instances
    calm = not (instances.lost or instances.silent or instances.leaving or instances.sick)
    if scene.coverage is not None and scene.coverage.strays:
        calm = False
    if calm and len(instances.live) <= scene.spec.replicas and not scene.rolling:
        return scene
    if scene.service.annotations.get(names.IGNORE_MASS_LOSS) == "true":
        return scene
    until = brake.braked_until(scene.view.nodes.values(), scene.now)
    if until is None:
        return scene
    waiting_ = surveyed(
        scene.pods,
        scene.view.nodes,
        scene.now,
        revision=scene.update.id,
        min_ready=scene.spec.update_strategy.min_ready_seconds,
        replace_after=_NEVER_SECONDS,
    )
    scene = replace(scene, instances=waiting_, braked_until=until)
    return scene if scene.coverage is None else _housed(scene)


def _progressed(scene: ServiceScene) -> ServiceScene:
    """With the progress of the rollout as it is now, steps that have passed included."""
    service, spec, now = scene.service, scene.spec, scene.now
    if scene.update.name == stored_current(service) or not spec.replicas:
        return scene
    outdated = scene.outdated
    before = target.progress(service, scene.update, outdated)
    rules = spec.update_strategy
    progress = target.promoted(before, service, rules, now)
    staged = replace(scene, progress=progress)
    unmet: Mapping[str, int] = {}
    if spec.depends_on and staged.begins:
        since = now if progress.waiting_since is None else progress.waiting_since
        unmet = dependencies.unmet(spec, scene.view.dependencies, since, now)
        progress = replace(progress, waiting_since=since)
    staged = scene = replace(staged, progress=progress, unmet=unmet)
    healthy = scene.instances.healthy_among(
        pod for pod in scene.instances.live if scene.instances.revision_of(pod) == scene.update.id
    )
    share = target.share(spec.replicas, rules, progress.step)
    reached = healthy >= share and outdated <= spec.replicas - share
    if progress.step < len(rules.steps) and reached and progress.reached_at is None:
        progress = replace(progress, reached_at=now)
        staged = replace(scene, progress=progress)
    ticking = scene.sound and not staged.waits and not scene.instances.outdated_going
    return replace(staged, progress=progress.counted(healthy, outdated, now, ticking=ticking))


def _drifted(scene: ServiceScene) -> ServiceScene:
    """With the instances that break constraints, and those of them that move.

    Only a service with nothing else to do begins moves: one trouble at a time.
    """
    if scene.coverage is not None:  # who stands where none is to be goes anyway
        return scene
    wanted, replicas = placement_rules.constraints(scene.service), scene.spec.replicas
    instances, nodes = scene.instances, scene.view.nodes
    newest = [pod for pod in instances.live if instances.revision_of(pod) == scene.update.id]
    found = drift.drifted(newest, nodes, wanted, replicas) if wanted else []
    candidates = (
        drift.drifted(newest, nodes, drift.movable(wanted), replicas)
        if found and scene.spec.rebalance is not None and not scene.sole
        else []
    )
    troubled = instances.lost or instances.leaving or instances.silent or instances.going
    calm = (
        not troubled
        and not scene.rolling
        and scene.braked_until is None
        and len(instances.live) == len(instances.available) == replicas
    )
    moves = drift.moves(
        scene.service.status, scene.spec.rebalance, candidates, scene.now, calm=calm
    )
    return replace(scene, drifted=len(found) if wanted else None, moves=moves)


def _overdue(scene: ServiceScene) -> bool:
    """Whether the rollout has got no further for as long as it may."""
    if scene.progress is None or scene.progress.progressed_at is None:
        return False
    deadline = scene.spec.update_strategy.progress_deadline_seconds
    return scene.progress.progressed_at + deadline <= scene.now


def _given_up(scene: ServiceScene) -> target.Target:
    """The target after this rollout has failed, with what held it up."""
    deadline = scene.spec.update_strategy.progress_deadline_seconds
    failing = [
        pod
        for pod in _failing(scene.instances)
        if scene.instances.revision_of(pod) == scene.update.id
    ]
    stored = scene.service.status.get("lastFailure")
    reason, why = servicestatus.Reason.DEADLINE.value, "its instances did not become healthy"
    if failing:
        reason, why = servicestatus.Reason.FAILING.value, failures.sentence(failing)
    elif scene.crowded_out and scene.admission is not None:
        reason, why = servicestatus.Reason.QUOTA_EXCEEDED.value, scene.admission.message
    elif scene.view.placement is not None:
        reason = servicestatus.Reason.NO_ROOM.value
        why = wording.sentence(scene.view.placement.funnel)
    elif isinstance(stored, Mapping) and scene.service.status.get("restartBackoff"):
        reason, why = servicestatus.Reason.FAILING.value, f"{stored.get('reason')} of its pods"
    return scene.aim.without(reason, f"No progress for {deadline} s; {why}", scene.now)


def _unknown_verb(scene: ServiceScene) -> tuple[EmitEvent, ...]:
    """Say once that a `rollback-to` names nothing that is kept."""
    if not scene.aim.unknown:
        return ()
    return (
        EmitEvent(
            "RollbackRefused",
            f"No kept revision is named {conditions.cut(scene.aim.unknown, 100)}.",
            warning=True,
        ),
    )


def _refused(service: Resource, pods: Mapping[PodKey, Pod], view: View, now: int) -> Outcome:
    """A spec that cannot work disturbs nobody: what runs goes on, the status says why."""
    spec = service.spec if isinstance(service.spec, LongServiceSpec) else None
    update = target.chosen(service, revisions.stored(view.children)).revision
    instances = surveyed(
        pods,
        view.nodes,
        now,
        revision=update.id,
        min_ready=(spec.update_strategy if spec else UpdateStrategy()).min_ready_seconds,
        replace_after=(spec.unreachable if spec else Unreachable()).replace_after_seconds,
    )
    status = servicestatus.refused(service, instances, updated(instances, update), now)
    return Outcome(
        events=servicestatus.events(service.status, status),
        status=None if status == service.status else status,
        wake_at=min(instances.turns, default=None),
    )


def _backoff(
    scene: ServiceScene, making: Revision | None, before: backoff.Backoff | None
) -> backoff.Backoff | None:
    if making is None:
        return None
    ended = [pod for pod in scene.instances.ended if scene.instances.revision_of(pod) == making.id]
    return backoff.advanced(before, ended, making.name, scene.spec.restart_backoff, scene.now)


def _change(scene: ServiceScene, pause: backoff.Backoff | None) -> rollout.Change:
    kept, replicas = scene.kept, scene.spec.replicas
    places = inorder.places(scene)
    if places is not None:
        return inorder.change(scene, places)
    if scene.braked_until is not None:
        known = scene.rolling and kept is not None
        limits = scene.limits if scene.rolling else None
        return rollout.braked(scene.instances, replicas, limits, restorable=known)
    if scene.gated and kept is None:
        return rollout.Change()
    if not scene.rolling:
        return rollout.settled(
            scene.instances,
            replicas,
            scene.limits,
            scene.spec.unhealthy.max_concurrent,
            scene.moves.moving,
        )
    return rollout.rolled(
        scene.instances,
        scene.update.id,
        scene.spec.replicas,
        scene.limits,
        failing=pause is not None or _update_fails(scene) or _stuck_at(scene) <= scene.now,
        restorable=scene.restorable,
        refused=scene.crowded_out,
        goal=scene.goal,
        prefer=_nearest(scene.view),
    )


def _nearest(view: View) -> str:
    """The node where an instance that finds no room comes nearest to having some."""
    nearest = view.placement.funnel.nearest if view.placement is not None else None
    return nearest.node if nearest is not None else ""


def _update_fails(scene: ServiceScene) -> bool:
    return any(
        failures.fails(pod)
        for pod in scene.instances.live
        if scene.instances.revision_of(pod) == scene.update.id
    )


def _current_revision(scene: ServiceScene) -> str:
    """The revision last rolled out: the newest once it has every instance, each of them healthy."""
    live, available, wanted = scene.instances.live, scene.instances.available, scene.spec.replicas
    if scene.coverage is not None and scene.view.placement is not None:
        wanted -= scene.view.placement.pending  # a node without room does not hold up the others
    complete = (
        updated(scene.instances, scene.update) == len(live)
        and len(available) >= max(wanted, 1)
        and scene.spec.replicas > 0
    )
    return scene.update.name if complete else stored_current(scene.service)


def _stuck_at(scene: ServiceScene) -> int:
    """From when on an update whose instances do not become healthy counts as one that fails."""
    progress, rules = scene.progress, scene.spec.update_strategy
    if progress is None or progress.progressed_at is None:
        return scene.now + _NEVER_SECONDS
    return progress.progressed_at + rules.min_ready_seconds + STUCK_SECONDS


def _failing(instances: Instances) -> tuple[Pod, ...]:
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


def _wake_at(scene: ServiceScene, pause: backoff.Backoff | None) -> int | None:
    """The next moment at which time alone changes the answer."""
    turns = [
        *scene.instances.turns,
        *(backoff.cooling_until(pod, scene.now) for pod in scene.instances.ended),
    ]
    if pause is not None:
        rules = scene.spec.restart_backoff
        turns += [pause.retry_at, backoff.forgotten_at(pause, rules)]
    turns += _turns_of_progress(scene)
    if scene.braked_until is not None:
        turns.append(scene.braked_until)
    if scene.moves.next_at is not None:
        turns.append(scene.moves.next_at)
    if scene.unmet:
        turns += [*scene.unmet.values(), scene.now + dependencies.LOOK_AGAIN_SECONDS]
    if scene.admission is not None and scene.admission.refusal:
        turns.append(scene.admission.retry_at)
    if scene.view.placement is not None:
        turns.append(scene.view.placement.since + waiting.PATIENCE_SECONDS)
    return min((turn for turn in turns if turn > scene.now), default=None)


def _turns_of_progress(scene: ServiceScene) -> list[int]:
    """When the rollout is overdue, or a step's pause is over."""
    progress, rules = scene.progress, scene.spec.update_strategy
    turns = []
    if progress is not None and progress.progressed_at is not None:
        turns += [progress.progressed_at + rules.progress_deadline_seconds, _stuck_at(scene)]
    if (
        progress is not None
        and progress.reached_at is not None
        and progress.step < len(rules.steps)
    ):
        pause = rules.steps[progress.step].pause_seconds
        turns.append(progress.reached_at + (pause or 0))
    return turns
