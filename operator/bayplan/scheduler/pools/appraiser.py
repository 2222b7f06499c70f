"""Appraises the Pools every half a minute: what their nodes cost, and what the least would be."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.cluster.cache import Cache
from bayplan.model.nodes import Node
from bayplan.provisioning.pool_appraisal import PoolAppraisal, pool_appraisal, sentences
from bayplan.reconcile.pool.facts import Costs
from bayplan.reconcile.pool.states import rows
from bayplan.scheduler.pools.buyer import Ask
from bayplan.scheduler.pools.menus import MenuKeeper

_SECONDS, _SOLVE_SECONDS = 30.0, 2.0


@dataclass(frozen=True, slots=True)
class Appraised:
    """`changes` says how the best plan differs from what there is, in sentences."""

    costs: Costs = field(default_factory=Costs)
    changes: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Appraiser:
    """`known` has the last answer of each Pool. `ask` asks the solver process."""

    cache: Cache
    menus: MenuKeeper
    ask: Ask
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    known: dict[str, Appraised] = field(default_factory=dict)
    _least: dict[str, tuple[bytes, int, int, tuple[str, ...]]] = field(default_factory=dict)

    async def run(self) -> NoReturn:
        """Appraise for ever."""
        while True:
            await asyncio.sleep(_SECONDS)
            if not self.leads():
                continue
            for pool in tuple(self.cache.pools.pools.values()):
                try:
                    self.known[pool.name] = await self._appraised(pool)
                except Exception as error:  # noqa: BLE001  figures are not worth the process
                    self.failed(error)
            self.known = {
                name: one for name, one in self.known.items() if name in self.cache.pools.pools
            }

    async def _appraised(self, pool: PoolResource) -> Appraised:
        shop = self.menus.shop_of(pool)
        nodes = nodes_of(pool, self.cache)
        asked = pool_appraisal(self.cache.snapshot(), nodes, shop, self.menus.price)
        if asked is None:
            return Appraised()
        least = await self._answered(pool.name, asked)
        if least is None:
            return Appraised(Costs(asked.cost + asked.kept))
        bound, planned, changes = least
        costs = Costs(asked.cost + asked.kept, bound + asked.kept, planned + asked.kept)
        return Appraised(costs, changes if planned < asked.cost else ())

    async def _answered(
        self, pool: str, asked: PoolAppraisal
    ) -> tuple[int, int, tuple[str, ...]] | None:
        """Bound and cost of the best plan, in microdollars an hour, and how it differs."""
        if asked.problem is None:
            return 0, 0, ()
        digest = asked.digest
        known = self._least.get(pool)
        if known is not None and known[0] == digest:
            return known[1:]
        answer = await self.ask(asked.problem, _SOLVE_SECONDS)
        if answer is None:
            return None
        said = tuple(sentences(asked.changes(answer), max(asked.cost - answer.cost, 0)))
        self._least[pool] = digest, answer.bound, answer.cost, said
        return answer.bound, answer.cost, said


def nodes_of(pool: PoolResource, cache: Cache) -> list[Node]:
    """The nodes of a Pool; of a Pool without NodePool or groups, all of ours without a Pool."""
    nodes: Iterable[Node] = cache.snapshot().nodes
    if pool.node_pool or pool.groups_tag:
        found = rows(pool.name, pool.node_pool, cache.pools.claims.values(), nodes)
        return [row.node for row in found if row.node is not None and not row.node.deleting]
    return [node for node in nodes if not node.deleting and names.POOL not in node.labels]
