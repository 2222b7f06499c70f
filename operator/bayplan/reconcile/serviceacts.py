"""What is written for one look at a LongService: pods to make, pods to let go, revisions.

`rollout` has said how many and who; here that becomes names, labels and preconditions.
"""

from collections.abc import Collection

from bayplan.api import names, pod_builder
from bayplan.api.resource import Resource
from bayplan.model.intents import AdoptPod, ApplyObject, DeleteObject, DeletePod, Task
from bayplan.model.pods import Pod
from bayplan.reconcile import backoff, claims, ordinals, revisions, rollout, target
from bayplan.reconcile.revisions import Revision
from bayplan.reconcile.servicescene import ServiceScene


def tasks(
    scene: ServiceScene,
    making: Revision | None,
    change: rollout.Change,
    pause: backoff.Backoff | None,
) -> tuple[Task, ...]:
    """The pods to make, by name; none of a revision that backs off or that is refused."""
    found: list[Task] = []
    ended, now = scene.instances.ended, scene.now
    since, placement = now, scene.view.placement
    if scene.coverage is not None and placement is not None:
        since = placement.since  # it is not created while its node has no room: it waits on
    avoid = frozenset(pod.node for pod in ended if backoff.cooling_until(pod, now) > now)
    taken = {name for _, name in scene.pods}
    held = scene.crowded_out or (pause is not None and pause.retry_at > now)
    for revision, count, numbers in (
        (None if held else making, change.start, change.start_at),
        (scene.kept, change.restore, change.restore_at),
    ):
        if revision is None or not (count or numbers):
            continue
        labels = {
            names.SERVICE: names.owner_value(scene.service.name),
            names.REVISION: revision.id,
            names.TEMPLATE_HASH: revision.template_hash,
        }
        own = revision.template_hash == scene.service.template_hash
        template = None if own else revision.template
        found += [
            Task(name=name, labels=labels, since=since, avoid=avoid, template=template)
            for name in revisions.pod_names(scene.service.name, revision, count, taken)
        ]
        for number in numbers:
            name = ordinals.name_of(scene.service.name, number)
            found.append(
                Task(
                    name=name,
                    labels={**labels, names.POD_INDEX: str(number)},
                    since=now,
                    avoid=avoid,
                    template=template,
                    claims=claims.named(scene.service, scene.spec, number),
                    hostname=name,
                )
            )
    return tuple(found)


def ends(
    scene: ServiceScene, making: Revision | None, covered: backoff.Backoff | None
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
    return departures(scene.service, gone)


def departures(service: Resource, leave: Collection[tuple[Pod, str]]) -> list[DeletePod]:
    """Deletes for pods that were seen; an assumed one goes when it has a uid, no other for it."""
    return [
        DeletePod(service.namespace, pod.name, pod.uid, why, evict=why == rollout.MOVED)
        for pod, why in leave
        if pod.uid
    ]


def adoptions(scene: ServiceScene) -> tuple[AdoptPod, ...]:
    """Pods that a former service of this name left behind: they count as instances already."""
    owner = pod_builder.owner_reference(scene.service)
    return tuple(
        AdoptPod(pod.namespace, pod.name, pod.uid, owner)
        for pod in scene.pods.values()
        if pod.owner is None and pod.uid and not pod.terminating
    )


def history(scene: ServiceScene, tasks: Collection[Task]) -> list[ApplyObject]:
    """The newest revision is stored from its first task on, with the highest number.

    One that a `rollback-to` makes the newest again is so at once: the verb is done with after this
    look, whether a task comes of it or an older instance has to go first.
    """
    update, latest = scene.update, max((one.number for one in scene.history.values()), default=0)
    begun = update.id in scene.alive or any(
        task.labels[names.REVISION] == update.id for task in tasks
    )
    again = scene.aim.verb != scene.service.status.get("handledRollback", "")
    again = again and update.number > 0 and update.name == scene.aim.asked.name
    stores = again or (scene.admitted and begun)
    owner = pod_builder.owner_reference(scene.service)
    taken = [*revisions.taken_over(scene.service, scene.view.children, owner)]
    if not stores or (update.number and update.number == latest):
        return taken
    return [*taken, ApplyObject(revisions.body(scene.service, update, latest + 1, owner))]


def forgotten(scene: ServiceScene, current: str) -> tuple[DeleteObject, ...]:
    return revisions.superfluous(
        scene.history,
        scene.view.children,
        limit=scene.spec.revision_history_limit,
        needed={*target.needed(scene.aim), current},
        alive=scene.alive,
        namespace=scene.service.namespace,
    )
