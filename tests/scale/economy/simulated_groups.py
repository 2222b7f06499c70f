"""A Pool with Auto Scaling groups in virtual time: what it costs beside one with NodeClaims.

`python -m tests.scale.economy.simulated_groups --pods 1000` fills an empty Pool with ReplicaSets,
once through NodeClaims and once through groups, one group for each type of the market in each zone,
and lets half of the pods leave. It prints both costs, and how often AWS was called. The optimiser's
time is of CPU and its answers may differ a little, so that several seeds say more than one.
"""

import argparse
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.cloud.prices import Book, Market, Price
from bayplan.model import resources
from bayplan.model.groups import Instance
from bayplan.model.nodes import INSTANCE_TYPE, ZONE, Node
from bayplan.provisioning.group_offers import group_offers
from tests.builders import make_node
from tests.double.loop import run
from tests.scale.economy import halving, market
from tests.scale.economy.simulated import City, operated
from tests.scale.economy.start_states import halved
from tests.unit.scheduler.group_town import TAG, GroupTown, make_group
from tests.unit.scheduler.test_pool_buying import TAINT

_FILLED_WITHIN, _SETTLE_SECONDS = 300, 120
_HALVED_SECONDS = 600


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """Dollars an hour when every pod runs, and ten minutes after half of them have left.

    `calls` are those until all pods ran, `nodes` what was bought by then.
    """

    full: float
    half: float
    nodes: int
    calls: Mapping[str, int]
    all_calls: Mapping[str, int]
    broken: int

    @property
    def calls_per_hundred(self) -> dict[str, float]:
        return {name: round(count * 100 / self.nodes, 1) for name, count in self.calls.items()}


class GroupCity(City, GroupTown):
    """A city whose nodes are instances of groups."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        every = [
            make_group(kind, zone, most=500) for kind in market.prices() for zone in market.ZONES
        ]
        GroupTown.__init__(
            self,
            every,
            consolidation=rules,
            retirement={"emptySeconds": halving.EMPTY_SECONDS},
        )
        self.prepare()
        self.cache.pools.market = None
        prices = {kind: Price(one, "test") for kind, one in market.prices().items()}
        self.cache.pools.book = Book(prices)

    def _join(self, one: Instance, at: int) -> Node:
        (offer,) = group_offers("batch", [make_group(one.type, one.zone)], {}, Book(), Market())
        labels = {TAG: "batch", INSTANCE_TYPE: one.type, ZONE: one.zone}
        node = dataclasses.replace(
            make_node(f"n-{one.id}", labels=labels, taints=(TAINT,)),
            uid=f"uid-n-{one.id}",
            allocatable=offer.room,
            provider_id=one.provider_id,
            created_at=at,
            price_microdollars=market.prices()[one.type],
        )
        self.again(node)
        return node


def spent(pods: int, seed: int, rules: Mapping[str, Any], *, groups: bool) -> Spent:
    """Fill, settle, halve, and live for ten minutes."""
    kinds = market.demand(pods, seed)
    city = GroupCity(rules) if groups else City(rules)
    for kind, (cpu, memory, _) in zip(kinds, market.requests(kinds).tolist(), strict=True):
        request = resources.Vector({"cpu": cpu, "memory": memory, "pods": 1})
        city.replica_set(kind.name, kind.pods, cpu, request=request)
    at_full: list[tuple[float, int, Counter[str]]] = []

    def calls() -> Counter[str]:
        made = city.aws.calls if isinstance(city, GroupCity) else ()
        return Counter(name for name, _ in made)

    async def story() -> None:
        for _ in range(_FILLED_WITHIN):
            await city.living(1)
            if len(city.moments.running) >= pods:
                break
        at_full.append((*city.paid()[::2], calls()))
        await city.living(_SETTLE_SECONDS)
        for kind in halved(kinds):
            city.scale(kind.name, kind.pods)
        await city.living(_HALVED_SECONDS)

    run(operated(city, story()))
    ((full, nodes, made),) = at_full
    return Spent(full, city.paid()[0], nodes, made, calls(), len(city.broken))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1_000)
    parser.add_argument("--seed", type=int, action="append", help="else 23")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    results = {}
    for seed in asked.seed or (23,):
        claims, groups = (
            spent(asked.pods, seed, halving.RULES, groups=each) for each in (False, True)
        )
        print(f"{asked.pods} pods, seed {seed}")
        for name, one in (("NodeClaims", claims), ("groups", groups)):
            print(f"  {name}: ${one.full:.2f}/h on {one.nodes} nodes, ${one.half:.2f}/h after half")
        print(f"  groups cost {100 * (groups.full / claims.full - 1):+.2f} % when full")
        print(f"  groups cost {100 * (groups.half / claims.half - 1):+.2f} % after half")
        print(f"  calls until full: {dict(groups.calls)}, for 100 nodes {groups.calls_per_hundred}")
        print(f"  calls in all: {dict(groups.all_calls)}; broken promises: {groups.broken}")
        results[seed] = {
            "NodeClaims": dataclasses.asdict(claims),
            "groups": dataclasses.asdict(groups),
        }
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
