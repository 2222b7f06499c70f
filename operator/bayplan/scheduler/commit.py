"""Carries out a plan: counts on each pod before its write is answered, and hands the write over.

Each pod is handled by itself: a defect of Bayplan at one pod affects only that pod.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan import logs
from bayplan.api import names
from bayplan.api.resource import Key
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import intents, wording
from bayplan.model.pods import DEFECTIVE, UNSCHEDULABLE, Owner, Pod
from bayplan.model.workloads import Plan, TaskKey
from bayplan.reconcile.batchjob import runs
from bayplan.scheduler import placement_log
from bayplan.scheduler.cycle_metrics import CycleMetrics
from bayplan.scheduler.group_places import GroupPlaces
from bayplan.scheduler.set_aside import SetAside
from bayplan.scheduler.volume_binding import VolumeBinding
from bayplan.scheduler.wanted import Wanted
from bayplan.scheduler.writing import Writing


@dataclass(slots=True, eq=False)
class Commit:
    """`acts` is False where nothing is to be written: then it only logs what would be written."""

    cache: Cache
    writer: Writing
    metrics: Metrics
    cycle_metrics: CycleMetrics
    set_aside: SetAside
    volume_binding: VolumeBinding
    acts: bool
    _unsaid: set[TaskKey] = field(default_factory=set)  # waiting pods that do not yet say why

    def carry_out(
        self,
        plan: Plan,
        wanted: Mapping[TaskKey, Wanted],
        on_nodes: Collection[Key],
        now: int,
        cycle: int,
    ) -> list[TaskKey]:
        """Hand everything over; returns the keys at which a defect of Bayplan was met.

        Resources in `on_nodes` have one instance on each node. A task of such a resource without a
        node gets no pod: an autoscaler would buy a node for it, and that node would want an
        instance too.
        """
        guard = self.set_aside.guard("write", now)
        owners = {
            key: one.resource.key
            for key, one in wanted.items()
            if one.resource.key not in on_nodes or key in plan.placements
        }
        placement_log.placed(plan, owners, cycle)
        for key, node in plan.placements.items():
            if key not in wanted:
                with guard(key):
                    self._bind(self.cache.state.unplaced[key], node, cycle)
        # New pods choose among the places that are free of pods with a place.
        free = GroupPlaces(self.cache.state.nodes, lambda uid: self.cache.state.owned(uid).values())
        for key, node in plan.placements.items():
            if key in wanted:
                with guard(key):
                    self._create(wanted[key], node, now, free)
        unsaid, self._unsaid = self._unsaid, set()
        for refused in plan.refused:
            sentence = ""
            with guard(refused.keys[0]):
                sentence = wording.sentence(refused.funnel)
            defective = refused.funnel.defect
            for key in refused.keys:
                with guard(key):
                    if key in wanted:
                        if not (defective or wanted[key].resource.key in on_nodes):
                            self._create(wanted[key], "", now, free)
                    elif not refused.funnel.making:
                        held = plan.holds.get(key, "")
                        word = DEFECTIVE if defective else UNSCHEDULABLE
                        waits = self.cache.state.unplaced[key]
                        self._mark(waits, sentence, held, word, again=key in unsaid)
        return guard.lost

    def choose(self, choices: Iterable[intents.SelectNode], cycle: int) -> None:
        """Have volumes made on the nodes where their pods will run."""
        for wanted in choices:
            claim = f"{wanted.namespace}/{wanted.claim}"
            logs.say(logging.INFO, "choose", cycle=cycle, claim=claim, node=wanted.node)
            if self.acts:
                self.writer.select(wanted)

    def _create(self, wanted: Wanted, node: str, now: int, free: GroupPlaces) -> None:
        """Create it on its node, or unplaced and soon marked Unschedulable, so autoscalers buy."""
        resource, task = wanted.resource, wanted.task
        if self.volume_binding.late(resource.namespace, wanted.kind.constraints):
            node = ""
        taken = free.take(resource.uid, wanted.blueprint, node)
        numbered = {
            cap.label: str(number) for cap, number in zip(wanted.blueprint.caps, taken, strict=True)
        }
        planned = Pod(
            namespace=resource.namespace,
            name=task.name,
            node=node,
            scheduler=names.SCHEDULER,
            request=wanted.kind.request,
            constraints=wanted.kind.constraints,
            labels={**dict(wanted.kind.labels), **task.labels, **numbered},
            annotations=task.annotations,
            priority=wanted.kind.priority,
            owner=Owner(resource.kind, resource.name, resource.uid),
            finalizers=wanted.blueprint.finalizers,
            created_at=now,
        )
        if not self.acts:
            return
        slot = task.labels.get(names.SLOT, "")
        if slot.isdecimal() and task.annotations.get(names.TRIGGER) not in runs.BY_PEOPLE:
            self.metrics.slot_lateness.observe(max(now - task.since, 0))
        if node:
            self.cycle_metrics.place(resource, planned.key)
        body = wanted.blueprint.pod(
            task.name,
            labels=task.labels,
            annotations=task.annotations,
            environment=task.environment,
            node=node,
            claims=task.claims,
            hostname=task.hostname,
            arguments=task.arguments,
            places=taken,
        )
        with self._assumed(planned):
            self.writer.create(resource, planned, body)

    def _bind(self, pod: Pod, node: str, cycle: int) -> None:
        logs.say(logging.INFO, "bind", cycle=cycle, pod="/".join(pod.key), node=node)
        if self.acts:
            with self._assumed(replace(pod, node=node)):
                self.writer.bind(intents.Bind(pod.namespace, pod.name, pod.uid, node))

    def _mark(self, pod: Pod, sentence: str, held: str, word: str, *, again: bool) -> None:
        """Write on the pod why it waits.

        With `again` even if the pod says so by now: the last cycle may have wanted another text.
        """
        said = pod.says(sentence, held, word)
        if not said:
            self._unsaid.add(pod.key)
        if self.acts and (not said or again):
            self.writer.mark(
                intents.MarkUnschedulable(pod.namespace, pod.name, pod.uid, sentence, held, word)
            )

    @contextlib.contextmanager
    def _assumed(self, pod: Pod) -> Iterator[None]:
        """Count on this pod, but stop counting on it when its write cannot even be handed over."""
        self.cache.assumptions.assume(pod)
        try:
            yield
        except BaseException:
            self.cache.state.forget(pod.key)
            raise
