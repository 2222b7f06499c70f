"""A large backlog waits a moment for the optimiser's plan of which nodes to use.

A cycle never waits: it asks, leaves the tasks out, and places everything else. The answer, or the
end of the time for it, rings, and the next cycle places the tasks: by the plan, or by score if
there is no answer in time. Tasks of the same classes that come during a question wait too: if they
are many, they are the next question. What comes later is placed by score on the plan's nodes first,
until the plan is old. Nobody is asked about a task twice, or about a task that was refused a node.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
_STREAM_SECONDS = 1.0  # tasks that came within this time are one backlog


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
    _ended: frozenset[PodClass] = frozenset()  # its classes, until the next cycle after its end
    _started: bool = False  # whether the optimiser's process has been asked and lives
    _plan: Backlog = NO_BACKLOG
    _old_at: float = 0.0  # monotonic seconds
    _landed: deque[tuple[float, int]] = field(default_factory=deque)  # when, how many tasks

    @property
    def planned(self) -> Backlog:
        """The last plan, without what has landed by it; nothing when it is old."""
        return self._plan if self.clock.monotonic() < self._old_at else NO_BACKLOG

    def forget(self) -> None:
        """Another process has led meanwhile: what was asked and planned does not count."""
        self._classes, self._ended, self._asking = frozenset(), frozenset(), None
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
        if self._asking is not None and self._asking.done():  # it met a defect or was cancelled
            self._asking, self._classes = None, frozenset()
        lately = self._lately()
        if self._ended:
            now, later = self._told_apart(waiting)
            if sum(len(group.keys) for group in later) >= backlog.least(lately):
                self._keep(later, wanted)
                self._ring()
                return now
        if self._asking is None and backlog.may_pay(snapshot, waiting, lately):
            try:
                found = self._question(waiting, before, snapshot, memo, lately)
            except Exception as error:  # noqa: BLE001  without a plan all is placed by score
                self.failed(error)
                return waiting
            if found is not None:
                self._classes = found.classes
                self._asked = frozenset(
                    key for group in waiting if group.kind in self._classes for key in group.keys
                )
                running = asyncio.get_running_loop()
                self._asking = running.create_task(self._answered(self.ask(found), found))
        if self._asking is None:
            return waiting
        self._keep([group for group in waiting if group.kind in self._classes], wanted)
        return [group for group in waiting if group.kind not in self._classes]

    def landed(self, waiting: Iterable[Waiting], plan: Plan) -> None:
        """Take what has landed off the shares: later tasks of a class have no part in them."""
        if self.ask is not None and plan.placements:
            self._landed.append((self.clock.monotonic(), len(plan.placements)))
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

    def _lately(self) -> int:
        """How many tasks have been placed in the last second."""
        since = self.clock.monotonic() - _STREAM_SECONDS
        while self._landed and self._landed[0][0] < since:
            self._landed.popleft()
        return sum(count for _, count in self._landed)

    def _told_apart(self, waiting: Iterable[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
        """All that waited before the last question, or waits by itself; what came during it."""
        now: list[Waiting] = []
        later: list[Waiting] = []
        for group in waiting:
            new = tuple(key for key in group.keys if key not in self._asked)
            if group.kind not in self._ended or not new:
                now.append(group)
                continue
            later.append(replace(group, keys=new))
            if len(new) < len(group.keys):
                now.append(replace(group, keys=tuple(k for k in group.keys if k in self._asked)))
        self._ended = frozenset()
        return now, later

    def _keep(self, held: Iterable[Waiting], wanted: Mapping[TaskKey, Wanted]) -> None:
        """Remember which resources to look at again, because their tasks have no pods yet."""
        for group in held:
            self._owners.update(wanted[key].resource.key for key in group.keys if key in wanted)

    def _ring(self) -> None:
        for key in self._owners:
            self.inbox.mark(key)
        self._owners.clear()
        self.inbox.mark_placement()

    def _question(
        self,
        waiting: Sequence[Waiting],
        before: Plan | None,
        snapshot: Snapshot,
        memo: Memo,
        lately: int,
    ) -> backlog.Question | None:
        """What to ask about the tasks that nobody was asked about and no plan refused."""
        refused = before.refused if before is not None else ()
        old = {*self._asked, *(key for one in refused for key in one.keys)}
        fresh = [group for group in waiting if old.isdisjoint(group.keys)]
        return backlog.question(snapshot, fresh, memo, self.price, lately)

    async def _answered(self, asked: Awaitable[Use | None], question: backlog.Question) -> None:
        """Wait for the answer or the end of its time; then ring for all that waits for it."""
        planned = None
        try:
            planned = await self._in_time(asked, question)
        except Exception as error:  # noqa: BLE001  without a plan all is placed by score
            self.failed(error)
        if self._asking is not asyncio.current_task():
            return
        if planned is not None:
            self._plan, self._old_at = planned, self.clock.monotonic() + _PLAN_SECONDS
        self._asking, self._ended, self._classes = None, self._classes, frozenset()
        self._ring()
        tasks = int(question.demand.sum())
        logs.say(logging.INFO, "backlog", tasks=tasks, planned=planned is not None)

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
