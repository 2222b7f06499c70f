"""What should run of a LongService: one look at it, its pods and the cluster, one answer.

The function is level-triggered: it knows no history except what is stored, and asked again about
its own answer it has nothing to add. It relies on one promise of its caller: what it asked for
counts from that moment, tasks as assumed pods and deletes as terminating pods, until the API server
shows or refuses it. It decides nothing about nodes.
"""

from collections.abc import Mapping
from dataclasses import replace

from bayplan.api import names, placement_rules
from bayplan.api.longservice import LongServiceSpec, Unreachable, UpdateStrategy
from bayplan.api.resource import Resource
from bayplan.model import wording
from bayplan.model.admission import Admission
from bayplan.model.constraints import EvenShares
from bayplan.model.intents import EmitEvent, Outcome
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile import conditions, mass_loss, placement_status
from bayplan.reconcile.longservice import (
    actions,
    children,
    dependencies,
    drift,
    failures,
    ordinals,
    per_node,
    restart_backoff,
    revisions,
    rollout,
    sole_claims,
    stateful,
    target,
)
from bayplan.reconcile.longservice.context import ServiceContext, stored_current, updated
from bayplan.reconcile.longservice.in_place import bounds
from bayplan.reconcile.longservice.instances import Instances, surveyed
from bayplan.reconcile.longservice.revisions import Revision
from bayplan.reconcile.longservice.status import Facts, Reason, events, refused, status_of
from bayplan.reconcile.view import View

STUCK_SECONDS = 60

_NEVER_SECONDS = 10**9


def reconcile(service: Resource, pods: Mapping[PodKey, Pod], view: View, now: int) -> Outcome:
    """What the service lacks and what it has too much of. O(pods); `now` in epoch seconds."""
    if service.deleting or view.namespace_deleting:
        return Outcome()
    spec = service.spec
    if not isinstance(spec, LongServiceSpec) or service.problems:
        return _refused(service, pods, view, now)
    context = _progressed(_braked(_scene(service, spec, pods, view, now)))
    if _overdue(context) and spec.update_strategy.auto_rollback and context.aim.good is not None:
        context = _progressed(_scene(service, spec, pods, view, now, given=_given_up(context)))
    context = _drifted(context)
    making = context.making
    before = restart_backoff.stored(service.status, making.name) if making is not None else None
    after = _backoff(context, making, before)
    change = _change(context, after)
    tasks = actions.tasks(context, making, change, after)
    bodies = children.wanted(
        service, context.spec, context.limits.healthy, in_place=context.in_place
    )
    apply, drop = children.changes(service, view, bodies)
    current = _current_revision(context)
    waits = context.waits
    status = status_of(
        Facts(
            service=service,
            spec=context.spec,
            view=view,
            now=now,
            instances=context.instances,
            limits=context.limits,
            updated=updated(context.instances, context.update),
            outdated=context.outdated,
            starting=len(tasks),
            current_revision=current,
            aim=context.aim,
            progress=context.progress if current != context.update.name else None,
            waits=waits,
            overdue=_overdue(context),
            drifted=context.drifted,
            moves=context.moves.stored,
            unmet=context.unmet,
            braked_until=context.braked_until,
            admission=context.admission,
            backoff=after,
            failing=_failing(context.instances),
            held=stateful.held(context),
            sole=context.sole,
            stranded=stateful.stranded(context),
            suspended=context.suspended,
            taken=children.taken_by_others(service, view, bodies),
            unmade=tuple(one.body["kind"] for one in apply),
        )
    )
    return Outcome(
        tasks=tasks,
        adoptions=actions.adoptions(context),
        deletes=(
            *actions.ends(context, making, before),
            *actions.departures(service, change.leave),
        ),
        objects=(*actions.history(context, tasks), *apply),
        drops=(*drop, *actions.forgotten(context, current)),
        claims=stateful.claim_acts(context),
        events=(*_unknown_verb(context), *events(service.status, status)),
        status=None if status == service.status else status,
        probe=_probes(context.admission, now),
        wake_at=_wake_at(context, after),
    )


def _scene(
    service: Resource,
    spec: LongServiceSpec,
    pods: Mapping[PodKey, Pod],
    view: View,
    now: int,
    *,
    given: target.Target | None = None,
) -> ServiceContext:
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
        departures=view.departures,
        unhealthy_after=spec.unhealthy.replace_after_seconds,
        balance=_balanced_label(service),
    )
    alive = frozenset(pod.labels.get(names.REVISION, "") for pod in pods.values())
    known = view.admission
    sole_ = sole_claims.claims(update.template or spec.template, view.claim_of)
    context = ServiceContext(
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
    return _housed(context) if spec.mode == "PerNode" else context


def _housed(context: ServiceContext) -> ServiceContext:
    """The context with as many instances wanted as there are nodes for them."""
    update = context.update
    own = update.template_hash == context.service.template_hash
    homes = context.view.homes(update.template_hash, None if own else update.template)
    instances, coverage = per_node.housed(
        context.instances, context.pods.values(), homes, suspended=context.suspended
    )
    spec = context.spec.model_copy(update={"replicas": coverage.wanted})
    limits = bounds(coverage.wanted, spec.update_strategy.minimum_healthy_percent)
    return replace(context, spec=spec, limits=limits, instances=instances, coverage=coverage)


def _limits(spec: LongServiceSpec, *, in_place: bool) -> rollout.Bounds:
    rules = spec.update_strategy
    if spec.volume_claim_templates or in_place:
        return bounds(spec.replicas, rules.minimum_healthy_percent)
    return rollout.bounds(spec.replicas, rules.minimum_healthy_percent, rules.maximum_surge_percent)


def _balanced_label(service: Resource) -> str:
    """The node label of the first even-shares constraint; empty if there is none."""
    wanted = (
        one for one in placement_rules.constraints(service) if isinstance(one.coupling, EvenShares)
    )
    return next((one.label for one in wanted), "")


def _braked(context: ServiceContext) -> ServiceContext:
    """The context while too many nodes are silent: no pod counts as lost, no node as leaving.

    The brake is checked only when something could go, because it looks at every node.
    """
    instances = context.instances
    calm = not (instances.lost or instances.silent or instances.leaving or instances.sick)
    if context.coverage is not None and context.coverage.strays:
        calm = False
    if calm and len(instances.live) <= context.spec.replicas and not context.rolling:
        return context
    if context.service.annotations.get(names.IGNORE_MASS_LOSS) == "true":
        return context
    until = mass_loss.braked_until(context.view.nodes.values(), context.now)
    if until is None:
        return context
    waiting_ = surveyed(
        context.pods,
        context.view.nodes,
        context.now,
        revision=context.update.id,
        min_ready=context.spec.update_strategy.min_ready_seconds,
        replace_after=_NEVER_SECONDS,
    )
    context = replace(context, instances=waiting_, braked_until=until)
    return context if context.coverage is None else _housed(context)


def _progressed(context: ServiceContext) -> ServiceContext:
    """The context with the rollout's present progress, including steps that have passed."""
    service, spec, now = context.service, context.spec, context.now
    if context.update.name == stored_current(service) or not spec.replicas:
        return context
    outdated = context.outdated
    before = target.progress(service, context.update, outdated)
    rules = spec.update_strategy
    progress = target.promoted(before, service, rules, now)
    staged = replace(context, progress=progress)
    unmet: Mapping[str, int] = {}
    if spec.depends_on and staged.begins:
        since = now if progress.waiting_since is None else progress.waiting_since
        unmet = dependencies.unmet(spec, context.view.dependencies, since, now)
        progress = replace(progress, waiting_since=since)
    staged = context = replace(staged, progress=progress, unmet=unmet)
    healthy = context.instances.healthy_among(
        pod
        for pod in context.instances.live
        if context.instances.revision_of(pod) == context.update.id
    )
    share = target.share(spec.replicas, rules, progress.step)
    reached = healthy >= share and outdated <= spec.replicas - share
    if progress.step < len(rules.steps) and reached and progress.reached_at is None:
        progress = replace(progress, reached_at=now)
        staged = replace(context, progress=progress)
    ticking = context.sound and not staged.waits and not context.instances.outdated_going
    return replace(staged, progress=progress.counted(healthy, outdated, now, ticking=ticking))


def _drifted(context: ServiceContext) -> ServiceContext:
    """The context with the instances that break constraints, and which of them move.

    Only a service with nothing else to do begins moves: one trouble at a time.
    """
    if context.coverage is not None:  # an instance on a wrong node goes anyway
        return context
    wanted = placement_rules.constraints_and_pool(context.service)
    replicas = context.spec.replicas
    instances, nodes = context.instances, context.view.nodes
    newest = [pod for pod in instances.live if instances.revision_of(pod) == context.update.id]
    found = drift.drifted(newest, nodes, wanted, replicas) if wanted else []
    candidates = (
        instances.in_turn(drift.drifted(newest, nodes, drift.movable(wanted), replicas))
        if found and context.spec.rebalance is not None and not context.sole
        else []
    )
    troubled = instances.lost or instances.leaving or instances.silent or instances.going
    calm = (
        not troubled
        and not context.rolling
        and context.braked_until is None
        and len(instances.live) == len(instances.available) == replicas
    )
    moves = drift.moves(
        context.service.status, context.spec.rebalance, candidates, context.now, calm=calm
    )
    return replace(context, drifted=len(found) if wanted else None, moves=moves)


def _overdue(context: ServiceContext) -> bool:
    """Whether the rollout has made no progress within its deadline."""
    if context.progress is None or context.progress.progressed_at is None:
        return False
    deadline = context.spec.update_strategy.progress_deadline_seconds
    return context.progress.progressed_at + deadline <= context.now


def _given_up(context: ServiceContext) -> target.Target:
    """The target after this rollout has failed, with the reason why it stopped."""
    deadline = context.spec.update_strategy.progress_deadline_seconds
    failing = [
        pod
        for pod in _failing(context.instances)
        if context.instances.revision_of(pod) == context.update.id
    ]
    stored = context.service.status.get("lastFailure")
    reason, why = Reason.DEADLINE.value, "its instances did not become healthy"
    gate = failures.gated(context.instances, context.update.id)
    if gate:
        why = f"{why}: {gate}"
    if failing:
        reason, why = Reason.FAILING.value, failures.sentence(failing)
    elif context.crowded_out and context.admission is not None:
        reason, why = Reason.QUOTA_EXCEEDED.value, context.admission.message
    elif context.view.placement is not None:
        reason = Reason.NO_ROOM.value
        why = wording.sentence(context.view.placement.funnel)
    elif isinstance(stored, Mapping) and context.service.status.get("restartBackoff"):
        reason, why = Reason.FAILING.value, f"{stored.get('reason')} of its pods"
    return context.aim.without(reason, f"No progress for {deadline} s; {why}", context.now)


def _unknown_verb(context: ServiceContext) -> tuple[EmitEvent, ...]:
    """Report once that a `rollback-to` names no kept revision."""
    if not context.aim.unknown:
        return ()
    return (
        EmitEvent(
            "RollbackRefused",
            f"No kept revision is named {conditions.cut(context.aim.unknown, 100)}.",
            warning=True,
        ),
    )


def _refused(service: Resource, pods: Mapping[PodKey, Pod], view: View, now: int) -> Outcome:
    """A spec that cannot work stops nothing: running pods go on, and the status says why."""
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
    status = refused(service, instances, updated(instances, update), now)
    return Outcome(
        events=events(service.status, status),
        status=None if status == service.status else status,
        wake_at=min(instances.turns, default=None),
    )


def _backoff(
    context: ServiceContext, making: Revision | None, before: restart_backoff.Backoff | None
) -> restart_backoff.Backoff | None:
    if making is None:
        return None
    ended = [
        pod for pod in context.instances.ended if context.instances.revision_of(pod) == making.id
    ]
    return restart_backoff.advanced(
        before, ended, making.name, context.spec.restart_backoff, context.now
    )


def _change(context: ServiceContext, pause: restart_backoff.Backoff | None) -> rollout.Change:
    kept, replicas = context.kept, context.spec.replicas
    places = stateful.places(context)
    if places is not None:
        return stateful.change(context, places)
    if context.braked_until is not None:
        known = context.rolling and kept is not None
        limits = context.limits if context.rolling else None
        return rollout.braked(context.instances, replicas, limits, restorable=known)
    if context.gated and kept is None:
        return rollout.Change()
    if not context.rolling:
        return rollout.settled(
            context.instances,
            replicas,
            context.limits,
            context.spec.unhealthy.max_concurrent,
            context.moves.moving,
            waits=context.undecided,
        )
    return rollout.rolled(
        context.instances,
        context.update.id,
        context.spec.replicas,
        context.limits,
        failing=pause is not None or _update_fails(context) or _stuck_at(context) <= context.now,
        restorable=context.restorable,
        refused=context.crowded_out,
        goal=context.goal,
        prefer=_nearest(context.view),
    )


def _nearest(view: View) -> str:
    """The node that comes nearest to having room for an instance that finds none."""
    nearest = view.placement.funnel.nearest if view.placement is not None else None
    return nearest.node if nearest is not None else ""


def _update_fails(context: ServiceContext) -> bool:
    return any(
        failures.fails(pod)
        for pod in context.instances.live
        if context.instances.revision_of(pod) == context.update.id
    )


def _current_revision(context: ServiceContext) -> str:
    """The revision last rolled out: the newest once it has every instance, each of them healthy."""
    live, available, wanted = (
        context.instances.live,
        context.instances.available,
        context.spec.replicas,
    )
    if context.coverage is not None and context.view.placement is not None:
        wanted -= context.view.placement.pending  # a node without room does not hold up the others
    complete = (
        updated(context.instances, context.update) == len(live)
        and len(available) >= max(wanted, 1)
        and context.spec.replicas > 0
    )
    return context.update.name if complete else stored_current(context.service)


def _stuck_at(context: ServiceContext) -> int:
    """When an update whose instances do not become healthy begins to count as failing."""
    progress, rules = context.progress, context.spec.update_strategy
    if progress is None or progress.progressed_at is None:
        return context.now + _NEVER_SECONDS
    return progress.progressed_at + rules.min_ready_seconds + STUCK_SECONDS


def _failing(instances: Instances) -> tuple[Pod, ...]:
    if len(instances.available) == len(instances.live):
        return ()
    return tuple(
        pod for pod in instances.live if not instances.healthy(pod) and failures.fails(pod)
    )


def _probes(admission: Admission | None, now: int) -> bool:
    """Whether to check the template: nothing is known, or a refusal may have passed."""
    if admission is None:
        return True
    return bool(admission.refusal) and not admission.final and admission.retry_at <= now


def _wake_at(context: ServiceContext, pause: restart_backoff.Backoff | None) -> int | None:
    """The next moment at which the clock alone changes the answer."""
    turns = [
        *context.instances.turns,
        *(restart_backoff.cooling_until(pod, context.now) for pod in context.instances.ended),
    ]
    if pause is not None:
        rules = context.spec.restart_backoff
        turns += [pause.retry_at, restart_backoff.forgotten_at(pause, rules)]
    turns += _turns_of_progress(context)
    if context.undecided and context.view.departures.undecided_until is not None:
        turns.append(context.view.departures.undecided_until)
    if context.braked_until is not None:
        turns.append(context.braked_until)
    if context.moves.next_at is not None:
        turns.append(context.moves.next_at)
    if context.unmet:
        turns += [*context.unmet.values(), context.now + dependencies.LOOK_AGAIN_SECONDS]
    if context.admission is not None and context.admission.refusal:
        turns.append(context.admission.retry_at)
    if context.view.placement is not None:
        turns.append(context.view.placement.since + placement_status.PATIENCE_SECONDS)
    return min((turn for turn in turns if turn > context.now), default=None)


def _turns_of_progress(context: ServiceContext) -> list[int]:
    """When the rollout is overdue, or a step's pause is over."""
    progress, rules = context.progress, context.spec.update_strategy
    turns = []
    if progress is not None and progress.progressed_at is not None:
        turns += [progress.progressed_at + rules.progress_deadline_seconds, _stuck_at(context)]
    if (
        progress is not None
        and progress.reached_at is not None
        and progress.step < len(rules.steps)
    ):
        pause = rules.steps[progress.step].pause_seconds
        turns.append(progress.reached_at + (pause or 0))
    return turns
