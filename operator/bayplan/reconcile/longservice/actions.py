"""What is written for one look at a LongService: pods to make, pods to let go, revisions.

`rollout` has decided how many and which; here that becomes names, labels and preconditions.
"""

from collections.abc import Collection

from bayplan.api import names, pod_builder
from bayplan.api.resource import Resource
from bayplan.model.intents import AdoptPod, ApplyObject, DeleteObject, DeletePod, Task
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice import (
    claims,
    ordinals,
    restart_backoff,
    revisions,
    rollout,
    target,
)
from bayplan.reconcile.longservice.context import ServiceContext
from bayplan.reconcile.longservice.revisions import Revision


def tasks(
    context: ServiceContext,
    making: Revision | None,
    change: rollout.Change,
    pause: restart_backoff.Backoff | None,
) -> tuple[Task, ...]:
    """The pods to make, by name; none of a revision that backs off or is refused."""
    found: list[Task] = []
    ended, now = context.instances.ended, context.now
    since, placement = now, context.view.placement
    if context.coverage is not None and placement is not None:
        since = placement.since  # while its node has no room, no pod is created: it waits on
    avoid = frozenset(pod.node for pod in ended if restart_backoff.cooling_until(pod, now) > now)
    taken = {name for _, name in context.pods}
    held = context.crowded_out or (pause is not None and pause.retry_at > now)
    for revision, count, numbers in (
        (None if held else making, change.start, change.start_at),
        (context.kept, change.restore, change.restore_at),
    ):
        if revision is None or not (count or numbers):
            continue
        labels = {
            names.SERVICE: names.owner_value(context.service.name),
            names.REVISION: revision.id,
            names.TEMPLATE_HASH: revision.template_hash,
        }
        own = revision.template_hash == context.service.template_hash
        template = None if own else revision.template
        found += [
            Task(name=name, labels=labels, since=since, avoid=avoid, template=template)
            for name in revisions.pod_names(context.service.name, revision, count, taken)
        ]
        for number in numbers:
            name = ordinals.name_of(context.service.name, number)
            found.append(
                Task(
                    name=name,
                    labels={**labels, names.POD_INDEX: str(number)},
                    since=now,
                    avoid=avoid,
                    template=template,
                    claims=claims.named(context.service, context.spec, number),
                    hostname=name,
                )
            )
    return tuple(found)


def ends(
    context: ServiceContext, making: Revision | None, covered: restart_backoff.Backoff | None
) -> list[DeletePod]:
    """Pods that ended and may go: the stored status counts them, or they are not to be counted.

    A pod that its node refused stays until the node has cooled down: it is the only record of the
    refusal.
    """
    gone = [(pod, "its node is gone") for pod in context.instances.orphaned]
    for pod in context.instances.ended:
        counted = (
            restart_backoff.counts(pod)
            and making is not None
            and context.instances.revision_of(pod) == making.id
        )
        if counted and (covered is None or not covered.covers(pod, context.now)):
            continue
        if restart_backoff.cooling_until(pod, context.now) <= context.now:
            gone.append((pod, "ended"))
    return departures(context.service, gone)


def departures(service: Resource, leave: Collection[tuple[Pod, str]]) -> list[DeletePod]:
    """Deletes for pods that were seen; an assumed pod goes when it has a uid, no other instead."""
    return [
        DeletePod(service.namespace, pod.name, pod.uid, why, evict=why == rollout.MOVED)
        for pod, why in leave
        if pod.uid
    ]


def adoptions(context: ServiceContext) -> tuple[AdoptPod, ...]:
    """Pods that a former service of this name left behind: they count as instances already."""
    owner = pod_builder.owner_reference(context.service)
    return tuple(
        AdoptPod(pod.namespace, pod.name, pod.uid, owner)
        for pod in context.pods.values()
        if pod.owner is None and pod.uid and not pod.terminating
    )


def history(context: ServiceContext, tasks: Collection[Task]) -> list[ApplyObject]:
    """The newest revision is stored from its first task on, with the highest number.

    A revision that `rollback-to` makes the newest again gets that number at once: the request is
    done after this look, whether it leads to a task or an older instance has to go first.
    """
    update, latest = (
        context.update,
        max((one.number for one in context.history.values()), default=0),
    )
    begun = update.id in context.alive or any(
        task.labels[names.REVISION] == update.id for task in tasks
    )
    again = context.aim.verb != context.service.status.get("handledRollback", "")
    again = again and update.number > 0 and update.name == context.aim.asked.name
    stores = again or (context.admitted and begun)
    owner = pod_builder.owner_reference(context.service)
    taken = [*revisions.taken_over(context.service, context.view.children, owner)]
    if not stores or (update.number and update.number == latest):
        return taken
    return [*taken, ApplyObject(revisions.body(context.service, update, latest + 1, owner))]


def forgotten(context: ServiceContext, current: str) -> tuple[DeleteObject, ...]:
    return revisions.superfluous(
        context.history,
        context.view.children,
        limit=context.spec.revision_history_limit,
        needed={*target.needed(context.aim), current},
        alive=context.alive,
        namespace=context.service.namespace,
    )
