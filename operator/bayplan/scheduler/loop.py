"""The cycle: look, decide on a frozen copy, count on the decision, write, explain.

One cycle is one synchronous decision between two waits; nothing in it blocks on the network or
on a long solve. Level, not edge: what rang only says where to look, the truth is in the cache.
When to look again comes from state (next slot, retry, deadline), never from a timer that a
restart would lose.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayplan import logs
from bayplan.api import names, placement_rules, pod_builder
from bayplan.api.resource import Key, Resource
from bayplan.cluster import errors, refusals
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import intents, resources, wording, workloads
from bayplan.model.nodes import Node
from bayplan.model.pods import DEFECTIVE, UNSCHEDULABLE, Owner, Pod
from bayplan.model.workloads import EligibleNodes
from bayplan.placement import eligible_nodes, solve
from bayplan.reconcile import defect
from bayplan.reconcile.batchjob import cleanup, runs
from bayplan.scheduler import (
    admission,
    classes,
    group_places,
    misplaced,
    placement_log,
    wake_times,
    writing,
)
from bayplan.scheduler.cycle_metrics import Clock, CycleMetrics
from bayplan.scheduler.deciders import DECIDERS, Decide
from bayplan.scheduler.explain_status import ExplainStatus
from bayplan.scheduler.inbox import MOST_SECONDS, Batch, Inbox
from bayplan.scheduler.pod_templates import PodTemplates
from bayplan.scheduler.refused_writes import allowed, bindable
from bayplan.scheduler.set_aside import DEFECT_SECONDS, Guard, SetAside
from bayplan.scheduler.views import Views
from bayplan.scheduler.volume_binding import VolumeBinding

# A cycle looks at the wall clock at least this often, so that a step of it is noticed.
LONGEST_WAIT_SECONDS = 1.0
# Looking at one resource takes at most this part of the time: of a thousand pods that all report,
# each look takes milliseconds, and the next one sees just as well what came meanwhile …
_LOOKS_SHARE = 0.02
# … and what rests is looked at again after this at the latest.
_LONGEST_REST_SECONDS = 1.0

TaskKey = workloads.TaskKey


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A task on its way through a cycle: whose it is and what its pod will be."""

    resource: Resource
    task: intents.Task
    blueprint: pod_builder.Blueprint
    kind: workloads.PodClass


@dataclass(slots=True, eq=False)
class Loop:
    """`leads` says whether this process may write; `acts` is False in `--mode Observe`."""

    clock: Clock
    inbox: Inbox
    cache: Cache
    writer: writing.Writing
    admissions: admission.Admissions
    metrics: Metrics
    leads: Callable[[], bool]
    beat: Callable[[], None]
    acts: bool = True
    deciders: Mapping[str, Decide] = field(default_factory=lambda: DECIDERS)
    price: Callable[[Node], int | None] = lambda node: node.price_microdollars
    policy: solve.Policy = field(default_factory=solve.Policy)
    catalogue: Mapping[str, Collection[str]] = field(default_factory=dict)  # node label -> values
    receivers: frozenset[str] = frozenset()  # of notices
    views: Views = field(init=False)
    unplaced: ExplainStatus = field(init=False)
    volumes: VolumeBinding = field(init=False)
    aside: SetAside = field(init=False)
    tally: CycleMetrics = field(init=False)
    designs: PodTemplates = field(init=False)
    plan: workloads.Plan | None = None  # of the last cycle in which anything waited
    _memo: solve.Memo = field(default_factory=solve.Memo)
    _holds: Mapping[TaskKey, str] = field(default_factory=dict)  # the last plan's
    _look_at: int | None = None  # the last plan's
    _wakes: wake_times.WakeTimes = field(default_factory=wake_times.WakeTimes)
    _rests: dict[Key, float] = field(default_factory=dict)  # looked at long -> rests until
    _resting: set[Key] = field(default_factory=set)  # rang while they rest
    _unsaid: set[TaskKey] = field(default_factory=set)  # waiting pods that do not say yet why
    _per_node: set[Key] = field(default_factory=set)  # hang on the nodes, not on their pods alone
    _led: bool = False
    _cycle: int = 0

    def __post_init__(self) -> None:
        self.views = Views(self.cache, self.admissions, self.receivers)
        self.unplaced = ExplainStatus(self.cache, self.inbox, self.metrics)
        self.volumes = VolumeBinding(self.cache.state, self.cache.storage)
        self.aside = SetAside(self.cache, self.metrics)
        self.designs = PodTemplates(self.cache, self.admissions, self.catalogue)
        self.tally = CycleMetrics(self.clock, self.cache, self.metrics, self.price)

    async def run(self) -> None:
        """Cycle until cancelled."""
        while True:
            batch = await self.inbox.window(self.clock.monotonic() + self.due_in())  # 1. wait
            self.beat()
            self.cycle(batch)

    def cycle(self, batch: Batch) -> None:
        """One decision. A standby decides nothing; a new leader looks at everything."""
        if not self.leads():
            self._led = False
            return
        if not self._led:
            self._led = True
            batch = Batch(frozenset(self.cache.resources), placement=True)
            self._release_orphans()
            self.designs.forget_gone()
            self._holds = {
                key: pod.nominated
                for key, pod in self.cache.state.unplaced.items()
                if pod.nominated
            }
        self._cycle += 1
        with self.metrics.cycle_seconds.time():
            now = self.clock.now()
            due = self._due(batch, now)
            try:
                self._decide(batch, due, now)
            except Exception as error:  # noqa: BLE001  see the next lines
                # No one thing is to blame, and to begin anew would end here again. Whoever was
                # looked at in vain is looked at once more, and what is decided by itself goes on.
                self.aside.tell("cycle", "all", error, now)
                self._look_at = now + DEFECT_SECONDS
                for key in due:
                    self._wakes.by(key, self._look_at)

    def _decide(self, batch: Batch, due: list[Key], now: int) -> None:
        again = self._look_at is not None and self._look_at <= now
        if not (due or batch.placement or again):
            return
        wanted: dict[TaskKey, _Wanted] = {}
        for key in due:  # 2. what should run
            for one in self._look(key, now):
                wanted[one.resource.namespace, one.task.name] = one
        if self.cache.strays:  # many may go at once: one search serves them all
            self._release_orphans()
        guard = self.aside.guard("class", now)
        waiting, resting = self.aside.parted(self._waiting(wanted, guard, now), now)
        if not (waiting or resting or guard.lost):
            self._look_at = None
            self.unplaced.settle({})
            return
        snapshot = self.cache.snapshot()  # 3. freeze what is known
        with self.metrics.solve_seconds.time():  # 4, 5. order and place
            plan = solve.solve(snapshot, waiting, now, self.policy, self._memo, holds=self._holds)
        plan, choices = self.aside.volumes(plan, waiting, wanted.keys(), self.volumes.parted)
        self.aside.put(plan.faults, now)
        plan = replace(plan, refused=(*plan.refused, *self.aside.refused(resting)))
        turns = (plan.look_at, self.volumes.look_at(now), self.aside.next_at())
        self._look_at = min((turn for turn in turns if turn is not None), default=None)
        self.plan, self._holds = plan, plan.holds
        self._choose(choices)
        lost = self._carry_out(plan, wanted, now)  # 6, 7. assume and write
        lost += self._lost(guard.lost, wanted, now)
        owners = {key: one.resource.key for key, one in wanted.items()}
        self.unplaced.explain((*lost, *plan.refused), owners)  # 8. say the truth

    def _waiting(
        self, wanted: Mapping[TaskKey, _Wanted], guard: Guard, now: int
    ) -> list[workloads.Waiting]:
        whole = classes.groups(
            [(key, one.task, one.kind) for key, one in wanted.items()],
            bindable(self.cache.refusals, self.cache.state.unplaced.values()),
            self.cache.by_uid,
            self.cache.state.aversions,
            guard,
        )
        with guard(("", "volumes")):
            return self.volumes.cooled(whole, now)
        return whole

    def _look(self, key: Key, now: int) -> Iterable[_Wanted]:
        """Reconcile, and let what took long rest before the next look."""
        began = self.clock.monotonic()
        found = self._reconcile(key, now)
        ended = self.clock.monotonic()
        rest = min((ended - began) / _LOOKS_SHARE, _LONGEST_REST_SECONDS)
        if rest > MOST_SECONDS:
            self._rests[key] = ended + rest
        return found

    def _reconcile(self, key: Key, now: int) -> Iterable[_Wanted]:
        """Ask the pure function; hand over all it says but the tasks, which it returns."""
        resource = self.cache.resources.get(key)
        if resource is None:
            self._drop(key)
            return ()
        try:
            return self._decided(resource, now)
        except Exception as error:  # noqa: BLE001  one resource must not stop all the others
            self._trip(resource, error, now)
            return ()

    def _decided(self, resource: Resource, now: int) -> list[_Wanted]:
        key = resource.key
        self.tally.look(resource)
        self.designs.look(resource)
        if not self.acts and resource.spec is not None:
            self.admissions.presume(resource)
        view = self.views.of(
            resource, self.unplaced.of(key), functools.partial(self._homes, resource)
        )
        (self._per_node.add if placement_rules.per_node(resource) else self._per_node.discard)(key)
        pods = self.cache.state.owned(resource.uid)
        left = self.cache.left_behind(resource)
        pods = {**left, **pods} if left else pods
        outcome = self.deciders[resource.kind](resource, pods, view, now)
        tasks = self._tasks(resource, outcome.tasks)
        if self.acts:
            if outcome.probe:
                self.admissions.ask(resource)
            self.writer.carry_out(resource, outcome)
        self._wakes.set(key, outcome.wake_at)
        return tasks

    def _trip(self, resource: Resource, error: Exception, now: int) -> None:
        """A resource met a defect of ours: say so on it, and look again in a while."""
        self._wakes.set(resource.key, now + DEFECT_SECONDS)
        self.aside.tell("reconcile", "/".join(resource.key), error, now)
        if not self.acts:
            return
        with self.aside.guard("status", now)(resource.key[1:]):
            told = defect.status(resource, error, DEFECT_SECONDS, now)
            self.writer.carry_out(resource, intents.Outcome(status=told))

    def _homes(
        self, resource: Resource, template_hash: str, template: Mapping[str, Any] | None
    ) -> EligibleNodes:
        """On which nodes a service with one instance on each has those of a template."""
        _, kind = self.designs.of(resource, template, template_hash)
        self._is_certain(resource, template, template_hash)
        return eligible_nodes.eligible(kind, self._memo.table(self.cache.snapshot()))

    def _tasks(self, resource: Resource, tasks: Iterable[intents.Task]) -> list[_Wanted]:
        if not tasks:
            return []
        found = []
        for task in allowed(self.cache.refusals, resource, tasks):
            of_task = task.labels.get(names.TEMPLATE_HASH, resource.template_hash)
            blueprint, kind = self.designs.of(resource, task.template, of_task)
            if not self._is_certain(resource, task.template, of_task):
                continue  # it rings once the server has answered
            found.append(_Wanted(resource, task, blueprint, classes.of_task(kind, task)))
        return found

    def _is_certain(
        self, resource: Resource, template: Mapping[str, Any] | None, template_hash: str
    ) -> bool:
        """Whether it is known what the server makes of such pods; else it is asked."""
        if self.admissions.certain(resource, template_hash):
            return True
        self.admissions.make_certain(resource, template, template_hash)
        return False

    def _carry_out(
        self, plan: workloads.Plan, wanted: Mapping[TaskKey, _Wanted], now: int
    ) -> tuple[workloads.Refused, ...]:
        """Hand everything over; what met a defect of ours on the way is returned."""
        guard = self.aside.guard("write", now)
        owners = {
            key: one.resource.key
            for key, one in wanted.items()
            if one.resource.key not in self._per_node or key in plan.placements
        }
        placement_log.placed(plan, owners, self._cycle)
        for key, node in plan.placements.items():
            if key not in wanted:
                with guard(key):
                    self._bind(self.cache.state.unplaced[key], node)
        # New pods choose among the places that those which have one already left.
        free = group_places.GroupPlaces(
            self.cache.state.nodes, lambda uid: self.cache.state.owned(uid).values()
        )
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
                        # An autoscaler would buy a node for it, which then wants an instance too.
                        if not (defective or wanted[key].resource.key in self._per_node):
                            self._create(wanted[key], "", now, free)
                    elif not refused.funnel.making:
                        held = plan.holds.get(key, "")
                        word = DEFECTIVE if defective else UNSCHEDULABLE
                        waits = self.cache.state.unplaced[key]
                        self._mark(waits, sentence, held, word, again=key in unsaid)
        return self._lost(guard.lost, wanted, now)

    def _lost(
        self, keys: Collection[TaskKey], wanted: Mapping[TaskKey, _Wanted], now: int
    ) -> tuple[workloads.Refused, ...]:
        """Tasks that met a defect one by one, to be told on their resources and tried again."""
        if not keys:
            return ()
        again = now + DEFECT_SECONDS
        self._look_at = again if self._look_at is None else min(self._look_at, again)
        lost: list[workloads.Waiting] = []
        for key in keys:
            one, pod = wanted.get(key), self.cache.state.unplaced.get(key)
            if one is not None:
                self._wakes.by(one.resource.key, again)
                lost.append(workloads.Waiting(one.kind, (key,), one.task.since))
            elif pod is not None:
                kind = workloads.PodClass(pod.namespace, resources.NOTHING)
                lost.append(workloads.Waiting(kind, (key,), pod.created_at))
        return self.aside.refused(lost)

    def _create(self, wanted: _Wanted, node: str, now: int, free: group_places.GroupPlaces) -> None:
        """Born placed, or unplaced and soon marked Unschedulable so that autoscalers buy."""
        resource, task = wanted.resource, wanted.task
        if self.volumes.late(resource.namespace, wanted.kind.constraints):
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
            self.tally.place(resource, planned.key)
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

    def _bind(self, pod: Pod, node: str) -> None:
        logs.say(logging.INFO, "bind", cycle=self._cycle, pod="/".join(pod.key), node=node)
        if self.acts:
            with self._assumed(replace(pod, node=node)):
                self.writer.bind(intents.Bind(pod.namespace, pod.name, pod.uid, node))

    @contextlib.contextmanager
    def _assumed(self, pod: Pod) -> Iterator[None]:
        """Count on this pod; no longer where its write cannot even be handed over."""
        self.cache.assume(pod)
        try:
            yield
        except BaseException:
            self.cache.state.forget(pod.key)
            raise

    def _choose(self, choices: Iterable[intents.SelectNode]) -> None:
        for wanted in choices:
            claim = f"{wanted.namespace}/{wanted.claim}"
            logs.say(logging.INFO, "choose", cycle=self._cycle, claim=claim, node=wanted.node)
            if self.acts:
                self.writer.select(wanted)

    def _mark(self, pod: Pod, sentence: str, held: str, word: str, *, again: bool) -> None:
        """Have it said on the pod; also when it is there by now and something else was wanted."""
        said = pod.says(sentence, held, word)
        if not said:
            self._unsaid.add(pod.key)
        if self.acts and (not said or again):
            wanted = intents.MarkUnschedulable(
                pod.namespace, pod.name, pod.uid, sentence, held, word
            )
            self.writer.mark(wanted)

    def _due(self, batch: Batch, now: int) -> list[Key]:
        """What rang and whose time has come, in a fixed order."""
        due = {*batch.keys, *self._resting}
        if batch.placement:
            due |= self._per_node
        due.update(self._wakes.due(now))
        if self._rests:
            moment = self.clock.monotonic()
            self._rests = {key: until for key, until in self._rests.items() if until > moment}
        self._resting = due & self._rests.keys()
        return sorted(due - self._resting)

    def due_in(self) -> float:
        """Seconds until the next thing is due by itself; for who does not lead, nothing is."""
        if not self._led:
            return LONGEST_WAIT_SECONDS
        wait, next_at = LONGEST_WAIT_SECONDS, self._wakes.next_at()
        if next_at is not None:
            wait = min(wait, next_at - self.clock.now())
        if self._resting:
            wait = min(
                wait, min(map(self._rests.__getitem__, self._resting)) - self.clock.monotonic()
            )
        return max(wait, 0.0)

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        """Compare the CREATE's answer with the plan; what does not hold is taken back."""
        resource = self.cache.resources.get(key)
        if resource is None:
            return
        self.admissions.succeed(resource)
        if stored.request != planned.request:
            of_task = planned.labels.get(names.TEMPLATE_HASH, resource.template_hash)
            self.admissions.learn(resource, stored, of_task)
        why = misplaced.why(self.cache, planned, stored)
        if why:
            logs.say(
                logging.WARNING, "take back", pod="/".join(stored.key), node=stored.node, why=why
            )
            self.writer.delete(intents.DeletePod(stored.namespace, stored.name, stored.uid, why))

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        """A write was refused. Of a pod's CREATE, what the dry run said is no longer so."""
        logs.say(
            logging.WARNING,
            "refused",
            verb=write.verb,
            kind=write.kind,
            resource="/".join(write.about),
            error=str(error)[:500],
        )
        resource = self.cache.resources.get(write.about)
        if (
            resource is not None
            and (write.verb, write.kind) == ("create", "Pod")
            and write.name in {"", resource.template_hash}
        ):
            self.admissions.refuse(resource, error)

    def _drop(self, key: Key) -> None:
        """A resource has gone: nothing of it is kept, and its finished pods are let go."""
        self._wakes.set(key, None)
        self.designs.forget(key)
        self._per_node.discard(key)
        self.unplaced.forget(key)
        self.tally.forget(key)

    def _release_orphans(self) -> None:
        """Take our finalizer off pods that nobody will account for."""
        self.cache.strays = False
        if self.acts:
            stranded = self.cache.orphans.stranded(self.cache.state.pods, self.cache.by_uid)
            for release in cleanup.release_orphans(stranded):
                self.writer.release(release)
