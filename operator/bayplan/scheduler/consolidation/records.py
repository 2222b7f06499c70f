"""What consolidation has done and does in each Pool: log lines, metrics, and the facts to tell."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bayplan import logs
from bayplan.cluster.cache import Cache
from bayplan.model.nodes import Node
from bayplan.provisioning.consolidation.scene import Blocked, Group
from bayplan.reconcile.pool.facts import BlockedNode, Cause, Consolidating, LeavingNode
from bayplan.reconcile.pool.quiet import Problem
from bayplan.reconcile.pool.vacating.vacancies import Memory, NodeState, Step
from bayplan.scheduler.pools.pool_metrics import PoolMetrics

_HOUR, _DAY = 3600, 86_400
_WORDS = {NodeState.OPEN: "open", NodeState.CLOSING: "close", NodeState.DRAINING: "drain"}


@dataclass(slots=True)
class _Past:
    """The moves and savings of the last day: when, and what."""

    moves: deque[tuple[int, Cause, int]] = field(default_factory=deque)
    saved: deque[tuple[int, int]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Records:
    """`told` has the facts for the status of each Pool; `price` gives microdollars an hour."""

    cache: Cache
    price: Callable[[Node], int | None]
    measured: PoolMetrics
    told: dict[str, Consolidating] = field(default_factory=dict)
    _past: dict[str, _Past] = field(default_factory=dict)

    def forget(self, pools: Iterable[str]) -> None:
        """Keep nothing of Pools that are not among these."""
        for known in (self.told, self._past):
            for gone in known.keys() - set(pools):
                del known[gone]

    def resume(self, pool: str, moved: int, now: int) -> None:
        """So many pods had moved within an hour before this process took over."""
        if moved and pool not in self._past:
            self._past[pool] = _Past(deque([(now, Cause.CONSOLIDATION, moved)]))

    def took(self, pool: str, step: Step, before: Memory, now: int) -> None:
        """A step was taken: log what has changed, and count the moves."""
        for name, told in sorted(step.states.items()):
            word = _WORDS.get(told.state)
            if told.changed and word is not None:
                node = self.cache.state.nodes.get(name)
                price = (self.price(node) if node is not None else None) or 0
                dollars = round(price / 1e6, 4)
                logs.say(
                    logging.INFO,
                    word,
                    pool=pool,
                    node=name,
                    why=told.why,
                    moves=told.left,
                    dollars_per_hour=dollars,
                )
        forced = {
            each.move.uid
            for one in before.nodes.values()
            if one.state is NodeState.FORCED
            for each in one.moves
        }
        causes = Counter(
            Cause.INTERRUPTION if move.uid in forced else Cause.CONSOLIDATION for move in step.moved
        )
        past = self._past.setdefault(pool, _Past())
        for cause, count in causes.items():
            self.measured.moved(pool, cause, count)
            past.moves.append((now, cause, count))
        for move in step.moved:
            pod = "/".join(move.pod)
            logs.say(logging.INFO, "move", pool=pool, pod=pod, node=move.target)

    def done(self, pool: str, group: Group, bought: Sequence[Node], now: int) -> None:
        """A group was carried out: its nodes have gone, and these were bought for it."""
        spent = sum(self.price(node) or 0 for node in bought)
        saved = sum(one.price for one in group.vacatings) - spent
        logs.say(
            logging.INFO,
            "consolidated",
            pool=pool,
            nodes=",".join(one.node for one in group.vacatings),
            moves=group.moves,
            dollars_per_hour=round(saved / 1e6, 4),
            promised=round(group.saving / 1e6, 4),
        )
        self.measured.saved(pool, saved)
        self._past.setdefault(pool, _Past()).saved.append((now, saved))

    def tell(
        self,
        pool: str,
        step: Step,
        groups: Sequence[Group],
        *,
        blocked: Sequence[Blocked] | None,
        frozen: Problem | None,
        now: int,
    ) -> None:
        """Note what the status is to say; `blocked` is None before the first plan."""
        past = self._past.setdefault(pool, _Past())
        for known in (past.moves, past.saved):
            while known and known[0][0] <= now - _DAY:
                known.popleft()
        leaving = {
            state: tuple(self._leaving(step, groups, state, now))
            for state in (NodeState.CLOSING, NodeState.DRAINING)
        }
        draining = leaving[NodeState.DRAINING]
        by_cause = Counter[Cause]()
        for _, cause, count in past.moves:
            by_cause[cause] += count
        self.told[pool] = Consolidating(
            moves_last_hour=sum(n for at, _, n in past.moves if at > now - _HOUR),
            moves_last_day=sum(by_cause.values()),
            moves_by_cause=by_cause,
            closing=leaving[NodeState.CLOSING],
            draining=draining,
            blocked=tuple(
                BlockedNode(one.node, one.pod, one.reason, one.price) for one in blocked or ()
            ),
            promised=sum(one.saving for each in leaving.values() for one in each),
            saved=sum(amount for _, amount in past.saved),
            frozen=frozen,
            planned=blocked is not None,
            opened={
                name: told.why
                for name, told in step.states.items()
                if told.state is NodeState.OPEN and told.why
            },
        )

    def _leaving(
        self, step: Step, groups: Sequence[Group], state: NodeState, now: int
    ) -> Iterable[LeavingNode]:
        """The nodes in a state, in the order of their names; empty ones are still being emptied."""
        shares = _shares(groups)
        for name, told in sorted(step.states.items()):
            found = NodeState.DRAINING if told.state is NodeState.EMPTY else told.state
            node = self.cache.state.nodes.get(name)
            if found is not state or node is None:
                continue
            saving, moves = shares.get(name, (self.price(node) or 0, told.left))
            runs = [pod for pod in self.cache.state.on_node.get(name, {}).values() if pod.is_run]
            ends = [pod.ends_at for pod in runs]
            known = [at for at in ends if at is not None]
            yield LeavingNode(
                node=name,
                saving=saving,
                runs=len(runs),
                ends_in=max(max(known) - now, 0) if known and len(known) == len(ends) else None,
                moves=max(moves, told.left),
                moved=max(moves, told.left) - told.left,
                why=told.why,
            )


def _shares(groups: Sequence[Group]) -> Mapping[str, tuple[int, int]]:
    """What the end of each node saves, without its part of what is bought, and its moves."""
    found = {}
    for group in groups:
        total = sum(one.price for one in group.vacatings) or 1
        for one in group.vacatings:
            found[one.node] = group.saving * one.price // total, len(one.moves)
    return found
