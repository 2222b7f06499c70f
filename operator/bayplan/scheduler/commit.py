"""Carries out a plan: counts on each pod before its write is answered, and hands the write over.

Each pod is handled by itself: a defect of Bayplan at one pod affects only that pod.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan import logs
from bayplan.api import names
from bayplan.api.resource import Key
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import intents, wording
from bayplan.model.pods import DEFECTIVE, UNSCHEDULABLE, WAITING_FOR_NODE, Owner, Pod
from bayplan.model.workloads import Plan, PodClass, Refused, TaskKey
from bayplan.reconcile.batchjob import runs
from bayplan.scheduler import placement_log
from bayplan.scheduler.cycle_metrics import CycleMetrics
from bayplan.scheduler.group_places import GroupPlaces
from bayplan.scheduler.set_aside import SetAside
from bayplan.scheduler.volume_binding import VolumeBinding
from bayplan.scheduler.wanted import Wanted
from bayplan.scheduler.writing import Writing

_LEFT_SECONDS = 120  # in which an autoscaler gives a pod a node, if it gives one
_FEW = 64  # below this, it is not worth looking for pods that have gone


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a pod waits for a node that Bayplan buys, and the sentence that says so.

    After so many seconds the pod is left to autoscalers; None: it waits for ever. `pools` may buy
    the node. `unknown`: it is not known yet whether a node is bought, so the pod goes on to say
    what it says. `shifts` are seconds by which the clocks were set since a pod came, by its uid.
    """

    seconds: int | None = None
    sentence: str = ""
    pools: tuple[str, ...] = ()
    unknown: bool = False
    shifts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Words:
    """Why the pods of a class wait; empty if a defect of ours was met on the way.

    `defective`: no node helps, because of a defect of ours or of what the pods say themselves.
    """

    sentence: str = ""
    patience: Patience | None = None
    defective: bool = False


@dataclass(slots=True, eq=False)
class Commit:
    """`acts` is False where nothing is to be written: then it only logs what would be written.

    `patience` says whether a node is bought for the pods of a class.
    """

    cache: Cache
    writer: Writing
    metrics: Metrics
    cycle_metrics: CycleMetrics
    set_aside: SetAside
    volume_binding: VolumeBinding
    acts: bool
    patience: Callable[[PodClass], Patience | None] = lambda _: None
    patience_ends: int | None = None  # in the last plan: when the next pod has waited too long
    _left_since: dict[TaskKey, int] = field(default_factory=dict)  # pods left to autoscalers
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
        self.patience_ends = None
        for refused in plan.refused:
            words = _Words()
            with guard(refused.keys[0]):
                words = self._words(refused)
            for key in refused.keys:
                with guard(key):
                    if key in wanted:
                        if not (words.defective or wanted[key].resource.key in on_nodes):
                            self._create(wanted[key], "", now, free)
                    elif not refused.funnel.making:
                        pod, held = self.cache.state.unplaced[key], plan.holds.get(key, "")
                        self._tell(pod, words, now, held, again=key in unsaid)
        return guard.lost

    def _words(self, refused: Refused) -> _Words:
        """What the pods of a class say while they wait."""
        sentence = wording.sentence(refused.funnel)
        if refused.funnel.defect or refused.funnel.faulty:
            return _Words(sentence, defective=True)
        return _Words(sentence, self.patience(refused.waiting.kind))

    def _tell(self, pod: Pod, words: _Words, now: int, held: str, *, again: bool) -> None:
        """Have a pod say why it waits; while nobody knows who buys for it, it stays as it is."""
        if words.patience is not None and words.patience.unknown:
            self.patience_ends = now + 1
            return
        word, sentence = self._said(pod, words, now)
        if words.patience is not None:
            self._leave(pod, words.patience, word, now)
        self._mark(pod, sentence, held, word, again=again)

    def _said(self, pod: Pod, words: _Words, now: int) -> tuple[str, str]:
        """The reason and the sentence on a pod that waits."""
        if words.defective:
            return DEFECTIVE, words.sentence
        if words.patience is not None and self._waits_on(pod, words.patience, now):
            return WAITING_FOR_NODE, f"{words.sentence}. {words.patience.sentence}"
        return UNSCHEDULABLE, words.sentence

    def left_to_autoscalers(self, now: int) -> frozenset[TaskKey]:
        """The pods that were left to autoscalers lately: a node of ours would be a second node."""
        return frozenset(
            key for key, since in self._left_since.items() if now - since < _LEFT_SECONDS
        )

    def _leave(self, pod: Pod, patience: Patience, word: str, now: int) -> None:
        """Note since when a pod is left to autoscalers; one that waited for us counts once."""
        if word != UNSCHEDULABLE:
            self._left_since.pop(pod.key, None)
            return
        if pod.key not in self._left_since and pod.scheduled_reason == WAITING_FOR_NODE:
            for pool in patience.pools:
                self.metrics.pool_fallbacks.labels(pool).inc()
        if len(self._left_since) > 2 * len(self.cache.state.unplaced) + _FEW:
            unplaced = self.cache.state.unplaced
            self._left_since = {
                key: since for key, since in self._left_since.items() if key in unplaced
            }
        self._left_since.setdefault(pod.key, now)

    def _waits_on(self, pod: Pod, patience: Patience, now: int) -> bool:
        """Whether a pod goes on to wait for a node of ours."""
        if patience.seconds is None:
            return True
        ends = pod.created_at + patience.shifts.get(pod.uid, 0) + patience.seconds
        if ends > now:
            known = self.patience_ends
            self.patience_ends = ends if known is None else min(known, ends)
        return ends > now

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
            companions=wanted.kind.companions,
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
