"""The cycle: look, decide on a frozen copy, count on the decision, write, explain.

One cycle is one synchronous decision between two waits; nothing in it blocks on the network or
on a long solve. Level, not edge: what rang only says where to look, the truth is in the cache.
When to look again comes from state (next slot, retry, deadline), never from a timer that a
restart would lose.
"""

import functools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bayplan import admission, misplaced, places, telemetry
from bayplan import designs as designs_
from bayplan import inbox as inbox_
from bayplan import refused as refused_
from bayplan import tally as tally_
from bayplan import views as views_
from bayplan import volumes as volumes_
from bayplan import waiting as waiting_
from bayplan import wakes as wakes_
from bayplan.api import build, names, placing
from bayplan.api.resource import Key, Resource
from bayplan.cluster import cache as cache_
from bayplan.cluster import errors, refusals
from bayplan.model import node as nodes_
from bayplan.model import pod as pods_
from bayplan.model import workload
from bayplan.placement import explain, homes, solve
from bayplan.reconcile import action, batchjob, longservice, runs, tidy

# A cycle looks at the wall clock at least this often, so that a step of it is noticed.
LONGEST_WAIT_SECONDS = 1.0
# Looking at one resource takes at most this part of the time: of a thousand pods that all report,
# each look takes milliseconds, and the next one sees just as well what came meanwhile …
_LOOKS_SHARE = 0.02
# … and what rests is looked at again after this at the latest.
_LONGEST_REST_SECONDS = 1.0
# A resource whose reconcile failed (a defect of ours) is looked at again after this.
DEFECT_SECONDS = 60

TaskKey = workload.TaskKey


Decide = Callable[
    [Resource, Mapping[TaskKey, pods_.Pod], action.View, int], action.Outcome
]  # (resource, its pods, the cluster, now)
DECIDERS: Mapping[str, Decide] = {
    names.BATCHJOB: batchjob.reconcile,
    names.LONGSERVICE: longservice.reconcile,
}


class Writing(Protocol):
    """What the loop asks of the writer; each returns at once, the write follows."""

    def carry_out(self, resource: Resource, outcome: action.Outcome) -> None: ...

    def create(self, resource: Resource, planned: pods_.Pod, body: Mapping[str, Any]) -> None: ...

    def bind(self, wanted: action.Bind) -> None: ...

    def select(self, wanted: action.SelectNode) -> None: ...

    def mark(self, wanted: action.MarkUnschedulable) -> None: ...

    def delete(self, wanted: action.DeletePod) -> None: ...

    def release(self, wanted: action.ReleasePod) -> None: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A task on its way through a cycle: whose it is and what its pod will be."""

    resource: Resource
    task: action.Task
    blueprint: build.Blueprint
    kind: workload.PodClass


@dataclass(slots=True, eq=False)
class Loop:
    """`leads` says whether this process may write; `acts` is False in `--mode Observe`."""

    clock: tally_.Clock
    inbox: inbox_.Inbox
    cache: cache_.Cache
    writer: Writing
    admissions: admission.Admissions
    metrics: telemetry.Metrics
    leads: Callable[[], bool]
    beat: Callable[[], None]
    acts: bool = True
    deciders: Mapping[str, Decide] = field(default_factory=lambda: DECIDERS)
    price: Callable[[nodes_.Node], int | None] = lambda node: node.price_microdollars
    policy: solve.Policy = field(default_factory=solve.Policy)
    catalogue: Mapping[str, Collection[str]] = field(default_factory=dict)  # node label -> values
    receivers: frozenset[str] = frozenset()  # of notices
    views: views_.Views = field(init=False)
    volumes: volumes_.Volumes = field(init=False)
    tally: tally_.Tally = field(init=False)
    designs: designs_.Designs = field(init=False)
    plan: workload.Plan | None = None  # of the last cycle in which anything waited
    _memo: solve.Memo = field(default_factory=solve.Memo)
    _holds: Mapping[TaskKey, str] = field(default_factory=dict)  # the last plan's
    _look_at: int | None = None  # the last plan's
    _wakes: wakes_.Wakes = field(default_factory=wakes_.Wakes)
    _placements: dict[Key, action.Placement] = field(default_factory=dict)
    _rests: dict[Key, float] = field(default_factory=dict)  # looked at long -> rests until
    _resting: set[Key] = field(default_factory=set)  # rang while they rest
    _unsaid: set[TaskKey] = field(default_factory=set)  # waiting pods that do not say yet why
    _per_node: set[Key] = field(default_factory=set)  # hang on the nodes, not on their pods alone
    _led: bool = False
    _cycle: int = 0

    def __post_init__(self) -> None:
        self.views = views_.Views(self.cache, self.admissions, self.receivers)
        self.volumes = volumes_.Volumes(self.cache.state, self.cache.storage)
        self.designs = designs_.Designs(self.cache, self.admissions, self.catalogue)
        self.tally = tally_.Tally(self.clock, self.cache, self.metrics, self.price)

    async def run(self) -> None:
        """Cycle until cancelled."""
        while True:
            batch = await self.inbox.window(self.clock.monotonic() + self.due_in())  # 1. wait
            self.beat()
            self.cycle(batch)

    def cycle(self, batch: inbox_.Batch) -> None:
        """One decision. A standby decides nothing; a new leader looks at everything."""
        if not self.leads():
            self._led = False
            return
        if not self._led:
            self._led = True
            batch = inbox_.Batch(frozenset(self.cache.resources), placement=True)
            self._release_orphans()
            self.designs.forget_gone()
            self._holds = {
                key: pod.nominated
                for key, pod in self.cache.state.unplaced.items()
                if pod.nominated
            }
        self._cycle += 1
        with self.metrics.cycle_seconds.time():
            self._decide(batch)

    def _decide(self, batch: inbox_.Batch) -> None:
        now = self.clock.now()
        due = self._due(batch, now)
        again = self._look_at is not None and self._look_at <= now
        if not (due or batch.placement or again):
            return
        wanted: dict[TaskKey, _Wanted] = {}
        for key in due:  # 2. what should run
            for one in self._look(key, now):
                wanted[one.resource.namespace, one.task.name] = one
        if self.cache.strays:  # many may go at once: one search serves them all
            self._release_orphans()
        waiting = self.volumes.cooled(self._waiting(wanted), now)
        if not waiting:
            self._look_at = None
            self._settle({})
            return
        snapshot = self.cache.snapshot()  # 3. freeze what is known
        with self.metrics.solve_seconds.time():  # 4, 5. order and place
            plan = solve.solve(snapshot, waiting, now, self.policy, self._memo, holds=self._holds)
        plan, choices = self.volumes.parted(plan, waiting, wanted.keys())
        turns = (plan.look_at, self.volumes.look_at(now))
        self._look_at = min((turn for turn in turns if turn is not None), default=None)
        self.plan, self._holds = plan, plan.holds
        self._choose(choices)
        self._carry_out(plan, wanted, now)  # 6, 7. assume and write
        self._explain(plan, wanted)  # 8. say the truth

    def _waiting(self, wanted: Mapping[TaskKey, _Wanted]) -> list[workload.Waiting]:
        """New tasks, and pods that exist without a node."""
        new = waiting_.tasks((key, one.task, one.kind) for key, one in wanted.items())
        unplaced = refused_.bindable(self.cache.refusals, self.cache.state.unplaced.values())
        old = waiting_.pods(unplaced, self.cache.by_uid)
        return waiting_.gangs_whole([*new, *old])

    def _look(self, key: Key, now: int) -> Iterable[_Wanted]:
        """Reconcile, and let what took long rest before the next look."""
        began = self.clock.monotonic()
        found = self._reconcile(key, now)
        ended = self.clock.monotonic()
        rest = min((ended - began) / _LOOKS_SHARE, _LONGEST_REST_SECONDS)
        if rest > inbox_.MOST_SECONDS:
            self._rests[key] = ended + rest
        return found

    def _reconcile(self, key: Key, now: int) -> Iterable[_Wanted]:
        """Ask the pure function; hand over all it says but the tasks, which it returns."""
        resource = self.cache.resources.get(key)
        if resource is None:
            self._drop(key)
            return ()
        self.tally.look(resource)
        self.designs.look(resource)
        if not self.acts and resource.spec is not None:
            self.admissions.presume(resource)
        view = self.views.of(
            resource, self._placements.get(key), functools.partial(self._homes, resource)
        )
        (self._per_node.add if placing.per_node(resource) else self._per_node.discard)(key)
        pods = self.cache.state.owned(resource.uid)
        left = self.cache.left_behind(resource)
        pods = {**left, **pods} if left else pods
        try:
            outcome = self.deciders[resource.kind](resource, pods, view, now)
        except Exception:  # noqa: BLE001  see the next line
            # One resource that trips over a defect of ours must not stop all the others.
            self.metrics.reconcile_errors.inc()
            telemetry.logger().exception(
                "reconcile failed", extra={"fields": {"resource": "/".join(key)}}
            )
            self._wakes.set(key, now + DEFECT_SECONDS)
            return ()
        self._wakes.set(key, outcome.wake_at)
        if not self.acts:
            return self._tasks(resource, outcome.tasks)
        if outcome.probe:
            self.admissions.ask(resource)
        self.writer.carry_out(resource, outcome)
        return self._tasks(resource, outcome.tasks)

    def _homes(
        self, resource: Resource, template_hash: str, template: Mapping[str, Any] | None
    ) -> homes.Homes:
        """On which nodes a service with one instance on each has those of a template."""
        _, kind = self.designs.of(resource, template, template_hash)
        self._is_certain(resource, template, template_hash)
        return homes.of(kind, self._memo.table(self.cache.snapshot()))

    def _tasks(self, resource: Resource, tasks: Iterable[action.Task]) -> list[_Wanted]:
        if not tasks:
            return []
        found = []
        for task in refused_.allowed(self.cache.refusals, resource, tasks):
            of_task = task.labels.get(names.TEMPLATE_HASH, resource.template_hash)
            blueprint, kind = self.designs.of(resource, task.template, of_task)
            if not self._is_certain(resource, task.template, of_task):
                continue  # it rings once the server has answered
            found.append(_Wanted(resource, task, blueprint, waiting_.claiming(kind, task)))
        return found

    def _is_certain(
        self, resource: Resource, template: Mapping[str, Any] | None, template_hash: str
    ) -> bool:
        """Whether it is known what the server makes of such pods; else it is asked."""
        if self.admissions.certain(resource, template_hash):
            return True
        self.admissions.ask(resource, template, template_hash)
        return False

    def _carry_out(self, plan: workload.Plan, wanted: Mapping[TaskKey, _Wanted], now: int) -> None:
        self._say_placed(plan, wanted)
        for key, node in plan.placements.items():
            if key not in wanted:
                self._bind(self.cache.state.unplaced[key], node)
        # New pods choose among the places that those which have one already left.
        free = places.Places(
            self.cache.state.nodes, lambda uid: self.cache.state.owned(uid).values()
        )
        for key, node in plan.placements.items():
            if key in wanted:
                self._create(wanted[key], node, now, free)
        unsaid, self._unsaid = self._unsaid, set()
        for refused in plan.refused:
            sentence = explain.sentence(refused.funnel)
            for key in refused.keys:
                if key in wanted:
                    # An autoscaler would buy a node for it, which then wants an instance too.
                    if wanted[key].resource.key not in self._per_node:
                        self._create(wanted[key], "", now, free)
                elif not refused.funnel.making:
                    held = plan.holds.get(key, "")
                    self._mark(self.cache.state.unplaced[key], sentence, held, unsaid)

    def _say_placed(self, plan: workload.Plan, wanted: Mapping[TaskKey, _Wanted]) -> None:
        """Log where the new pods of each resource go."""
        nodes: dict[Key, dict[TaskKey, str]] = {}
        for key, node in plan.placements.items():
            if key in wanted:
                nodes.setdefault(wanted[key].resource.key, {})[key] = node
        for refused in plan.refused:
            for key in refused.keys:
                if key in wanted and wanted[key].resource.key not in self._per_node:
                    nodes.setdefault(wanted[key].resource.key, {})[key] = ""
        telemetry.say_placed(self._cycle, nodes)

    def _create(self, wanted: _Wanted, node: str, now: int, free: places.Places) -> None:
        """Born placed, or unplaced and soon marked Unschedulable so that autoscalers buy."""
        resource, task = wanted.resource, wanted.task
        if self.volumes.late(resource.namespace, wanted.kind.constraints):
            node = ""
        taken = free.take(resource.uid, wanted.blueprint, node)
        numbered = {
            cap.label: str(number) for cap, number in zip(wanted.blueprint.caps, taken, strict=True)
        }
        planned = pods_.Pod(
            namespace=resource.namespace,
            name=task.name,
            node=node,
            scheduler=names.SCHEDULER,
            request=wanted.kind.request,
            constraints=wanted.kind.constraints,
            labels={**dict(wanted.kind.labels), **task.labels, **numbered},
            annotations=task.annotations,
            priority=wanted.kind.priority,
            owner=pods_.Owner(resource.kind, resource.name, resource.uid),
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
        self.cache.assume(planned)
        self.writer.create(resource, planned, body)

    def _bind(self, pod: pods_.Pod, node: str) -> None:
        telemetry.say(logging.INFO, "bind", cycle=self._cycle, pod="/".join(pod.key), node=node)
        if self.acts:
            self.cache.assume(replace(pod, node=node))
            self.writer.bind(action.Bind(pod.namespace, pod.name, pod.uid, node))

    def _choose(self, choices: Iterable[action.SelectNode]) -> None:
        for wanted in choices:
            claim = f"{wanted.namespace}/{wanted.claim}"
            telemetry.say(logging.INFO, "choose", cycle=self._cycle, claim=claim, node=wanted.node)
            if self.acts:
                self.writer.select(wanted)

    def _mark(self, pod: pods_.Pod, sentence: str, held: str, unsaid: Collection[TaskKey]) -> None:
        """Have it said on the pod; also when it is there by now and something else was wanted."""
        said = pod.says(sentence, held)
        if not said:
            self._unsaid.add(pod.key)
        if self.acts and (not said or pod.key in unsaid):
            wanted = action.MarkUnschedulable(pod.namespace, pod.name, pod.uid, sentence, held)
            self.writer.mark(wanted)

    def _explain(self, plan: workload.Plan, wanted: Mapping[TaskKey, _Wanted]) -> None:
        """Keep, per resource, what of it waits and why; ring where that changed."""
        told: dict[Key, action.Placement] = {}
        for refused in plan.refused:
            for key, count in self._owners(refused.keys, wanted).items():
                before = told.get(key)
                told[key] = action.Placement(
                    pending=count + (before.pending if before else 0),
                    since=min(refused.waiting.since, before.since)
                    if before
                    else refused.waiting.since,
                    funnel=before.funnel if before else refused.funnel,
                )
        self._settle(told)

    def _owners(self, keys: Iterable[TaskKey], wanted: Mapping[TaskKey, _Wanted]) -> dict[Key, int]:
        """How many of these tasks belong to each of our resources; foreign pods to none."""
        counts: dict[Key, int] = {}
        for key in keys:
            if key in wanted:
                owner = wanted[key].resource.key
            else:
                pod = self.cache.state.pods.get(key)
                if pod is None or pod.owner is None:
                    continue
                owner = (pod.owner.kind, pod.namespace, pod.owner.name)
            counts[owner] = counts.get(owner, 0) + 1
        return counts

    def _settle(self, told: Mapping[Key, action.Placement]) -> None:
        pending: dict[str, int] = {}
        for key in self._placements.keys() | told.keys():
            before, after = self._placements.get(key), told.get(key)
            if after is None:
                del self._placements[key]
            else:
                self._placements[key] = after
                for refusal in after.funnel.refusals[:1]:
                    word = refusal.reason.value
                    pending[word] = pending.get(word, 0) + after.pending
            if before != after and key in self.cache.resources:
                self.inbox.mark(key)
        self.metrics.pending.clear()
        for word, count in pending.items():
            self.metrics.pending.labels(word).set(count)

    def _due(self, batch: inbox_.Batch, now: int) -> list[Key]:
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

    def created(self, key: Key, planned: pods_.Pod, stored: pods_.Pod) -> None:
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
            telemetry.say(
                logging.WARNING, "take back", pod="/".join(stored.key), node=stored.node, why=why
            )
            self.writer.delete(action.DeletePod(stored.namespace, stored.name, stored.uid, why))

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        """A write was refused. Of a pod's CREATE, what the dry run said is no longer so."""
        telemetry.say(
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
        self._placements.pop(key, None)
        self.tally.forget(key)

    def _release_orphans(self) -> None:
        """Take our finalizer off pods that nobody will account for."""
        self.cache.strays = False
        if self.acts:
            stranded = self.cache.orphans.stranded(self.cache.state.pods, self.cache.by_uid)
            for release in tidy.release_orphans(stranded):
                self.writer.release(release)
