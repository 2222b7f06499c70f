"""A large backlog waits a moment for the optimiser's plan of which nodes to use.

A cycle never waits: it asks, leaves the tasks out, and places everything else. The answer, or the
end of the time for it, rings, and the next cycle places the tasks: by the plan, or by score if
there is no answer in time. What comes later is placed by score on the plan's nodes first, until the
plan is old. Each task waits for one question only, and what was refused a node waits for none.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bayplan import logs
from bayplan.api.resource import Key
from bayplan.model.nodes import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import NO_BACKLOG, Backlog, Plan, PodClass, TaskKey, Waiting
from bayplan.optimizer.existing_nodes import Use
from bayplan.placement.solve import Memo
from bayplan.provisioning import backlog
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.inbox import Inbox
from bayplan.scheduler.wanted import Wanted

Ask = Callable[[backlog.Question], Awaitable[Use | None]]

ANSWER_SECONDS = 1.0  # a backlog waits no longer …
START_SECONDS = 2.0  # … but when the optimiser's process may have to be started for it
SEARCH_SECONDS = 0.6  # for the optimiser, of these
_PLAN_SECONDS = 10.0  # after that a plan is old


@dataclass(slots=True, eq=False)
class Backlogs:
    """`ask` is None where there is no optimiser to ask; then nothing ever waits.

    `failed` is called with a defect of ours.
    """

    clock: Clock
    inbox: Inbox
    price: Callable[[Node], int | None]
    ask: Ask | None
    failed: Callable[[Exception], None]
    _asking: asyncio.Task[None] | None = None
    _classes: frozenset[PodClass] = frozenset()  # that wait for the answer
    _owners: set[Key] = field(default_factory=set)  # resources to look at again then
    _asked: frozenset[TaskKey] = frozenset()  # tasks of the last question
    _started: bool = False  # whether the optimiser's process has been asked and lives
    _plan: Backlog = NO_BACKLOG
    _old_at: float = 0.0  # monotonic seconds

    @property
    def planned(self) -> Backlog:
        """The last plan, without what has landed by it; nothing when it is old."""
        return self._plan if self.clock.monotonic() < self._old_at else NO_BACKLOG

    def forget(self) -> None:
        """Another process has led meanwhile: what was asked and planned does not count."""
        self._classes, self._asking = frozenset(), None
        self._plan, self._asked = NO_BACKLOG, frozenset()

    def parted(
        self,
        waiting: list[Waiting],
        wanted: Mapping[TaskKey, Wanted],
        before: Plan | None,
        snapshot: Snapshot,
        memo: Memo,
    ) -> list[Waiting]:
        """The groups to place now; asks about the others if that pays. `before`: the last plan."""
        if self.ask is None:
            return waiting
        if self._asking is None and backlog.may_pay(snapshot, waiting):
            try:
                found = self._question(waiting, before, snapshot, memo)
            except Exception as error:  # noqa: BLE001  without a plan all is placed by score
                self.failed(error)
                return waiting
            if found is not None:
                self._owners = set()
                self._classes = found.classes
                self._asked = frozenset(
                    key for group in waiting if group.kind in self._classes for key in group.keys
                )
                running = asyncio.get_running_loop()
                self._asking = running.create_task(self._answered(self.ask(found), found))
        if self._asking is None:
            return waiting
        now: list[Waiting] = []
        for group in waiting:
            if group.kind in self._classes:
                ours = (wanted[key] for key in group.keys if key in wanted)
                self._owners.update(one.resource.key for one in ours)
            else:
                now.append(group)
        return now

    def landed(self, waiting: Iterable[Waiting], plan: Plan) -> None:
        """Take what has landed off the shares: later tasks of a class have no part in them."""
        if not self._plan.shares:
            return
        shares = dict(self._plan.shares)
        for group in waiting:
            share = shares.get(group.kind)
            if share is not None:
                nodes = Counter(
                    plan.placements[key] for key in group.keys if key in plan.placements
                )
                left = {name: count - nodes[name] for name, count in share.items()}
                shares[group.kind] = {name: count for name, count in left.items() if count > 0}
        self._plan = Backlog(self._plan.nodes, {kind: one for kind, one in shares.items() if one})

    def _question(
        self,
        waiting: Sequence[Waiting],
        before: Plan | None,
        snapshot: Snapshot,
        memo: Memo,
    ) -> backlog.Question | None:
        """What to ask about the tasks that nobody was asked about and no plan refused."""
        refused = before.refused if before is not None else ()
        old = {*self._asked, *(key for one in refused for key in one.keys)}
        fresh = [group for group in waiting if old.isdisjoint(group.keys)]
        return backlog.question(snapshot, fresh, memo, self.price)

    async def _answered(self, asked: Awaitable[Use | None], question: backlog.Question) -> None:
        """Wait for the answer or the end of its time; then ring for all that waits for it."""
        planned = None
        try:
            planned = await self._in_time(asked, question)
        except Exception as error:  # noqa: BLE001  without a plan all is placed by score
            self.failed(error)
        if self._asking is not asyncio.current_task():
            return
        tasks = int(question.demand.sum())
        logs.say(logging.INFO, "backlog", tasks=tasks, planned=planned is not None)
        if planned is not None:
            self._plan, self._old_at = planned, self.clock.monotonic() + _PLAN_SECONDS
        self._asking, self._classes = None, frozenset()
        for key in self._owners:
            self.inbox.mark(key)
        self.inbox.mark_placement()

    async def _in_time(
        self, asked: Awaitable[Use | None], question: backlog.Question
    ) -> Backlog | None:
        """The plan if it comes in time and saves something. A question cannot be taken back."""
        within = ANSWER_SECONDS + (0.0 if self._started else START_SECONDS)
        self._started = True
        try:
            use = await asyncio.wait_for(asyncio.shield(asked), within)
        except TimeoutError:
            return None
        self._started = use is not None
        return question.answered(use) if use is not None else None
