"""The cycle: look, decide on a frozen copy, count on the decision, write, explain.

One cycle is one synchronous decision between two waits; nothing in it blocks on the network or
on a long solve. Level, not edge: a ring only says where to look, the truth is in the cache.
State (next slot, retry, deadline) says when to look again, never a timer that a restart would
lose.
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bayplan.api import names
from bayplan.api.resource import Key
from bayplan.cluster import errors, refusals
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import (
    Backlog,
    EligibleNodes,
    Plan,
    PodClass,
    Refused,
    TaskKey,
    Waiting,
)
from bayplan.placement import eligible_nodes, solve
from bayplan.reconcile.batchjob import cleanup, known_runs
from bayplan.scheduler import classes, refused_writes
from bayplan.scheduler.admission import Admissions
from bayplan.scheduler.answers import Answers
from bayplan.scheduler.backlogs import Ask, Backlogs
from bayplan.scheduler.commit import Commit
from bayplan.scheduler.cycle_metrics import Clock, CycleMetrics
from bayplan.scheduler.deciders import DECIDERS, Decide
from bayplan.scheduler.explain_status import ExplainStatus
from bayplan.scheduler.inbox import Batch, Inbox
from bayplan.scheduler.node_buying import NodeBuying
from bayplan.scheduler.pod_templates import PodTemplates
from bayplan.scheduler.queue import Queue
from bayplan.scheduler.reconciler import Reconciler
from bayplan.scheduler.set_aside import DEFECT_SECONDS, Guard, SetAside
from bayplan.scheduler.views import Views
from bayplan.scheduler.volume_binding import VolumeBinding
from bayplan.scheduler.wanted import Wanted
from bayplan.scheduler.writing import Writing


@dataclass(slots=True, eq=False)
class Loop:
    """`leads` says whether this process may write; `acts` is False in `--mode Observe`."""

    clock: Clock
    inbox: Inbox
    cache: Cache
    writer: Writing
    admissions: Admissions
    metrics: Metrics
    leads: Callable[[], bool]
    beat: Callable[[], None]
    acts: bool = True
    deciders: Mapping[str, Decide] = field(default_factory=lambda: DECIDERS)
    price: Callable[[Node], int | None] = lambda node: node.price_microdollars
    policy: solve.Policy = field(default_factory=solve.Policy)
    catalogue: Mapping[str, Collection[str]] = field(default_factory=dict)  # node label -> values
    receivers: frozenset[str] = frozenset()  # where notices can go
    ask: Ask | None = None  # the optimiser, for a large backlog
    buying: NodeBuying | None = None  # buys nodes for what finds no room; None: nobody does
    queue: Queue = field(init=False)
    reconciler: Reconciler = field(init=False)
    commit: Commit = field(init=False)
    answers: Answers = field(init=False)
    explain_status: ExplainStatus = field(init=False)
    volume_binding: VolumeBinding = field(init=False)
    pod_templates: PodTemplates = field(init=False)
    views: Views = field(init=False)
    set_aside: SetAside = field(init=False)
    backlogs: Backlogs = field(init=False)
    cycle_metrics: CycleMetrics = field(init=False)
    plan: Plan | None = None  # of the last cycle in which anything waited
    _memo: solve.Memo = field(default_factory=solve.Memo)
    _holds: Mapping[TaskKey, str] = field(default_factory=dict)  # of the last plan
    _rooms: Mapping[TaskKey, Mapping[str, int]] = field(default_factory=dict)  # likewise
    _look_at: int | None = None  # of the last plan
    _led: bool = False
    _cycle: int = 0

    def __post_init__(self) -> None:
        cache, admissions = self.cache, self.admissions
        self.queue = Queue(self.clock, self.inbox)
        self.explain_status = ExplainStatus(cache, self.inbox, self.metrics)
        self.volume_binding = VolumeBinding(cache.state, cache.storage)
        self.pod_templates = PodTemplates(cache, admissions, self.catalogue)
        self.views = Views(cache, admissions, self.receivers)
        self.set_aside = SetAside(cache, self.metrics)
        self.cycle_metrics = CycleMetrics(self.clock, cache, self.metrics, self.price)
        failed = functools.partial(self.defect, "backlog", "all")
        self.backlogs = Backlogs(self.clock, self.inbox, self.price, self.ask, failed)
        self.reconciler = Reconciler(
            cache=cache,
            writer=self.writer,
            admissions=admissions,
            queue=self.queue,
            views=self.views,
            pod_templates=self.pod_templates,
            explain_status=self.explain_status,
            cycle_metrics=self.cycle_metrics,
            set_aside=self.set_aside,
            deciders=self.deciders,
            eligible=self._eligible,
            acts=self.acts,
        )
        self.commit = Commit(
            cache=cache,
            writer=self.writer,
            metrics=self.metrics,
            cycle_metrics=self.cycle_metrics,
            set_aside=self.set_aside,
            volume_binding=self.volume_binding,
            acts=self.acts,
        )
        if self.buying is not None:
            self.commit.patience = self.buying.patience
            self.views.departures = self.buying.departures
        self.answers = Answers(cache, admissions, self.writer)

    async def run(self) -> None:
        """Cycle until cancelled."""
        while True:
            batch = await self.queue.window(leads=self._led)  # 1. wait
            self.beat()
            self.cycle(batch)

    def cycle(self, batch: Batch) -> None:
        """Make one decision. A standby decides nothing; a new leader looks at everything."""
        if not self.leads():
            self._led = False
            return
        if not self._led:
            self._led = True
            batch = self._begin_to_lead()
        self._cycle += 1
        with self.metrics.cycle_seconds.time():
            now = self.clock.now()
            due = self.queue.due(batch, now, self.reconciler.on_nodes)
            try:
                self._decide(batch, due, now)
            except Exception as error:  # noqa: BLE001  see the next lines
                # No single resource is to blame, and a new start would end here too. What was
                # looked at in vain is looked at again later; work decided by itself goes on.
                self.set_aside.tell("cycle", "all", error, now)
                self._look_at = now + DEFECT_SECONDS
                for key in due:
                    self.queue.wake_times.by(key, self._look_at)

    def _begin_to_lead(self) -> Batch:
        self._release_orphans()
        self.pod_templates.forget_gone()
        self.backlogs.forget()
        unplaced = self.cache.state.unplaced
        self._holds = {key: pod.nominated for key, pod in unplaced.items() if pod.nominated}
        return Batch(frozenset(self.cache.resources), placement=True)

    def _decide(self, batch: Batch, due: list[Key], now: int) -> None:
        again = self._look_at is not None and self._look_at <= now
        if not (due or batch.placement or again):
            return
        wanted: dict[TaskKey, Wanted] = {}
        for key in due:  # 2. what should run
            began = self.clock.monotonic()
            for one in self.reconciler.look(key, now):
                wanted[one.resource.namespace, one.task.name] = one
            self.queue.looked(key, began)
        if self.cache.orphans.suspected:  # many may go at once: one search is enough
            self._release_orphans()
        guard = self.set_aside.guard("class", now)
        waiting, resting = self.set_aside.parted(self._waiting(wanted, guard, now), now)
        if not (waiting or resting or guard.lost):
            self._look_at = None
            self.explain_status.settle({})
            if self.buying is not None:
                self.buying.see((), None)
            return
        snapshot = self.cache.snapshot()  # 3. freeze what is known
        waiting = self.backlogs.parted(waiting, wanted, self.plan, snapshot, self._memo)
        with self.metrics.solve_seconds.time():  # 4, 5. order and place
            plan = solve.solve(
                snapshot,
                waiting,
                now,
                self.policy,
                self._memo,
                holds=self._holds,
                planned=self._planned(),
                rooms=self._rooms,
            )
        self.backlogs.landed(waiting, plan)
        parted = self.volume_binding.parted
        plan, choices = self.set_aside.volumes(plan, waiting, wanted.keys(), parted)
        self.set_aside.put(plan.faults, now)
        plan = replace(plan, refused=(*plan.refused, *self.set_aside.refused(resting)))
        turns = (plan.look_at, self.volume_binding.look_at(now), self.set_aside.next_at())
        self.plan, self._holds, self._rooms = plan, plan.holds, plan.rooms
        self.commit.choose(choices, self._cycle)  # 6, 7. assume and write
        unwritten = self.commit.carry_out(plan, wanted, self.reconciler.on_nodes, now, self._cycle)
        ends = self.commit.patience_ends
        self._look_at = min((turn for turn in (*turns, ends) if turn is not None), default=None)
        if self.buying is not None:
            self.buying.see(waiting, plan)
        lost = self._lost([*unwritten, *guard.lost], wanted, now)
        owners = {key: one.resource.key for key, one in wanted.items()}
        self.explain_status.explain((*lost, *plan.refused), owners)  # explain what waits

    def _waiting(
        self,
        wanted: Mapping[TaskKey, Wanted],
        guard: Guard,
        now: int,
        coming: Collection[Pod] = (),
    ) -> list[Waiting]:
        """Everything without a node, by class: new tasks, existing pods and those `coming`."""
        there = (*self.cache.state.unplaced.values(), *coming)
        whole = classes.groups(
            [(key, one.task, one.kind) for key, one in wanted.items()],
            refused_writes.bindable(self.cache.refusals, there),
            self.cache.by_uid,
            self.cache.state.aversions,
            guard,
        )
        if not coming:
            whole = self._without_half_gangs(whole, wanted)
        with guard(("", "volumes")):
            return self.volume_binding.cooled(whole, now)
        return whole

    def _without_half_gangs(
        self, waiting: list[Waiting], wanted: Mapping[TaskKey, Wanted]
    ) -> list[Waiting]:
        """Without gangs of which pods are still being created, or may not be created now."""
        known: dict[tuple[str, str], Counter[str]] = {}  # namespace, gang
        for one in waiting:
            if one.gang:
                gang = known.setdefault((one.kind.namespace, one.gang), Counter())
                gang["there"] += len(one.keys)
                gang["all"] = max(gang["all"], self._tasks_of(one, wanted))
        if not known:
            return waiting
        return [
            one
            for one in waiting
            if not one.gang
            or (gang := known[one.kind.namespace, one.gang])["there"] >= gang["all"]
            or not wanted.keys().isdisjoint(one.keys)  # else they would never be created
            or gang["there"] + self._placed(one) >= gang["all"]
        ]

    def _tasks_of(self, one: Waiting, wanted: Mapping[TaskKey, Wanted]) -> int:
        """How many pods the gang has in all."""
        key = one.keys[0]
        of = wanted[key].task if key in wanted else self.cache.state.pods[key]
        return known_runs.count_of(of.annotations.get(names.TASKS, ""))

    def _placed(self, one: Waiting) -> int:
        """How many pods of the gang's present attempt have a node."""
        pod = next(filter(None, map(self.cache.state.pods.get, one.keys)), None)
        if pod is None or pod.owner is None:
            return 0
        there = self.cache.state.owned(pod.owner.uid).values()
        of = one.gang, pod.labels.get(names.ATTEMPT)
        told = (each.labels for each in there if each.node)
        return sum((each.get(names.RUN), each.get(names.ATTEMPT)) == of for each in told)

    def _planned(self) -> Backlog:
        """What is planned for a backlog, and for nodes that were bought."""
        backlog = self.backlogs.planned
        return backlog | self.buying.planned() if self.buying is not None else backlog

    def unplaced(self, now: int) -> list[Waiting]:
        """The pods that wait for a node, by class, without those that met a defect lately.

        Those of ours count whose CREATE is on its way: thousands take seconds, and a plan for all
        is cheaper than a plan for each second's. Pods that were left to autoscalers do not count.
        """
        guard, state = self.set_aside.guard("class", now), self.cache.state
        coming = [state.pods[key] for key, node in state.assumed.items() if not node]
        waiting = self.set_aside.parted(self._waiting({}, guard, now, coming), now)[0]
        left = self.commit.left_to_autoscalers(now)
        if not left:
            return waiting
        kept = ((group, tuple(key for key in group.keys if key not in left)) for group in waiting)
        return [replace(group, keys=keys) for group, keys in kept if keys]

    def successors(self, pods: Iterable[Pod]) -> dict[TaskKey, PodClass]:
        """The class that the successor of each of these pods will have while it waits."""
        alike: dict[object, list[Pod]] = {}  # pods that were read as the same objects
        for pod in pods:
            uid = pod.owner.uid if pod.owner is not None else pod.uid
            told = id(pod.labels), id(pod.constraints), id(pod.request), pod.priority
            alike.setdefault((uid, *told), []).append(pod)
        guard = self.set_aside.guard("class", self.clock.now())
        state = self.cache.state
        asked = (*state.unplaced.values(), *(group[0] for group in alike.values()))
        groups = classes.groups((), asked, self.cache.by_uid, state.aversions, guard)
        kinds = {key: group.kind for group in groups for key in group.keys}
        return {
            pod.key: kinds[group[0].key]
            for group in alike.values()
            if group[0].key in kinds
            for pod in group
        }

    def _eligible(self, kind: PodClass) -> EligibleNodes:
        return eligible_nodes.eligible(kind, self._memo.table(self.cache.snapshot()))

    def _lost(
        self, keys: Collection[TaskKey], wanted: Mapping[TaskKey, Wanted], now: int
    ) -> tuple[Refused, ...]:
        """Tasks that met a defect, one by one: shown on their resources and tried again later."""
        if not keys:
            return ()
        again = now + DEFECT_SECONDS
        self._look_at = again if self._look_at is None else min(self._look_at, again)
        lost: list[Waiting] = []
        for key in keys:
            one, pod = wanted.get(key), self.cache.state.unplaced.get(key)
            if one is not None:
                self.queue.wake_times.by(one.resource.key, again)
                lost.append(Waiting(one.kind, (key,), one.task.since))
            elif pod is not None:
                kind = PodClass(pod.namespace, resources.NOTHING)
                lost.append(Waiting(kind, (key,), pod.created_at))
        return self.set_aside.refused(lost)

    def _release_orphans(self) -> None:
        """Take our finalizer off pods that no job will account for any more."""
        self.cache.orphans.suspected = False
        if self.acts:
            stranded = self.cache.orphans.stranded(self.cache.state.pods, self.cache.by_uid)
            for release in cleanup.release_orphans(stranded):
                self.writer.release(release)

    # Called from outside: answers of the API server, gauges, what was learned about Karpenter.

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        """The API server answered a pod's CREATE."""
        self.answers.created(key, planned, stored)

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        """The API server refused a write."""
        self.answers.refused(write, error)

    def defect(self, stage: str, what: str, error: Exception) -> None:
        """A defect of Bayplan was met outside the cycle."""
        self.set_aside.tell(stage, what, error, self.clock.now())

    def measure(self, backlog: Mapping[str, int]) -> None:
        """Refresh the gauges, and ring resources of which the cluster keeps too many finished pods.

        `backlog` gives the number of waiting writes of each verb.
        """
        now = self.clock.now()
        with self.set_aside.guard("gauges", now)(("", "all")):
            self.cycle_metrics.measure()
            self.metrics.show_backlog(backlog)
            for key in self.views.overfull(now):
                self.inbox.mark(key)

    def tell_timed(self, *, timed: bool) -> None:
        """Set whether a protection from autoscalers may name its time."""
        self.views.timed = timed
        self.pod_templates.tell_timed(timed=timed)
