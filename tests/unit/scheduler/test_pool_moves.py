"""Nodes that are ordered for pods that still run elsewhere, and what freezes their moves."""

from bayplan.api.pool import PoolSpec
from bayplan.model.departures import Move, Vacating
from bayplan.model.workloads import PodClass
from bayplan.provisioning.consolidation.scene import Group
from bayplan.provisioning.orders import Order
from bayplan.reconcile.pool.vacating.vacancies import Memory
from bayplan.scheduler.consolidation.calm import Calm
from bayplan.scheduler.consolidation.pursued import Pursued, Targets
from tests.builders import make_class
from tests.double.loop import run
from tests.unit.scheduler.pool_town import Town
from tests.unit.scheduler.test_pool_buying import AT_HOME

KIND = make_class(cpu=500, constraints=AT_HOME)


def group_of(town: Town, node: str) -> Group:
    """One pod of a node is to move to a new node."""
    menus = town.buying.menus.current(town.clock.now())
    offer = menus.everything["batch", "m5.large"]
    zones = tuple(sorted(offer.zones))
    order = Order("batch", offer, ("m5.large",), zones, {KIND: 1}, offer.room, offer.price)
    move = Move(("default", "p"), "uid-p", "owner", KIND, "~0")
    vacating = Vacating(node, f"uid-{node}", 192_000, (move,))
    return Group((vacating,), (order,), 96_000, 0)


def targets_of(town: Town) -> Targets:
    return Targets(town.cache, town.buying.buyer.orderer, town.buying.under_way)


def held(town: Town, *, coming: bool) -> dict[PodClass, dict[str, int]]:
    found = town.buying.under_way.planned(coming=coming).held
    return {kind: dict(by) for kind, by in found.items()}


def test_room_on_what_is_ordered_is_kept_until_it_is_held_otherwise() -> None:
    """First on the claim, then on its node; other pods that wait get none of it."""
    town = Town()
    (node,) = town.buy("m5.xlarge")
    one, targets = Pursued.of(group_of(town, node)), targets_of(town)
    before = targets.carried(one, 0)
    targets.order(one, town.buying.menus.current(town.clock.now()), 0)
    (claim,) = one.claims
    coming = held(town, coming=True)
    town.store()
    on_its_way = targets.carried(one, 0)
    joined = town.join(town.cache.pools.claims[claim])
    there = targets.carried(one, 5)

    assert [False, False, True] == [
        found is not None and found.usable for found in (before, on_its_way, there)
    ]
    assert {KIND: {f"~{claim}": 1}} == coming
    assert {KIND: {joined.name: 1}} == held(town, coming=False)
    assert there is not None
    assert [joined.name] == [move.target for each in there.vacatings for move in each.moves]
    targets.keep_only([one], begun={f"uid-{node}"})
    assert {} == held(town, coming=True)


def test_a_group_fails_with_its_claim_or_when_nobody_uses_it() -> None:
    town = Town()
    (node,) = town.buy("m5.xlarge")
    menus = town.buying.menus.current(town.clock.now())
    targets = targets_of(town)
    refused, unused = (Pursued.of(group_of(town, node)) for _ in range(2))
    for one in (refused, unused):
        targets.order(one, menus, 0)
    town.store()
    town.cache.delete("NodeClaim", ("", refused.claims[0]), "", 10**6)
    town.version = 10**6
    town.join(town.cache.pools.claims[unused.claims[0]])
    targets.carried(unused, 60)

    assert targets.carried(refused, 60) is None
    assert refused.failed
    assert [False, True] == [unused.late(now) for now in (179, 180)]


def test_all_orders_of_a_group_or_none() -> None:
    town = Town(limits={"nodes": 1})
    (node,) = town.buy("m5.xlarge")
    one = Pursued.of(group_of(town, node))
    targets_of(town).order(one, town.buying.menus.current(town.clock.now()), 0)

    assert (one.claims, town.launched) == ((), {})
    assert one.failed


def test_what_freezes_moves() -> None:
    """Each cause with its word; a refusal of long ago freezes nothing."""
    town = Town()
    buying, now = town.buying, town.clock.now()
    calm = Calm(town.cache, buying.buyer, buying.keeper.refused)
    spec = town.cache.pools.pools["batch"].spec
    assert isinstance(spec, PoolSpec)
    found = [calm.hindrance("batch", now), calm.still(spec, Memory(), now)]
    spent = calm.still(spec, Memory(moves=((now - 10, 600),)), now)
    late = calm.still(spec, Memory(moves=((now - 3600, 600),)), now)
    buying.buyer.orderer.refused_writes["batch"] = "quota"
    refusals = [calm.hindrance("batch", at) for at in (now, now + 599, now + 600)]

    assert [None, None] == found
    assert ("MovesSpent", None) == (spent and spent.reason, late)
    assert ["ApiDegraded", "ApiDegraded", None] == [one and one.reason for one in refusals]


def test_without_prices_nothing_moves() -> None:
    town = Town()
    town.cache.pools.market = None
    calm = Calm(town.cache, town.buying.buyer, town.buying.keeper.refused)
    found = calm.hindrance("batch", town.clock.now())

    assert found is not None
    assert "PricesUnknown" == found.reason
    assert calm.halts(found) is False


def test_pods_that_wait_come_first() -> None:
    town = Town()

    async def story() -> None:
        town.pods(3)
        town.cycle()

    run(story())
    calm = Calm(town.cache, town.buying.buyer, town.buying.keeper.refused)
    found = calm.hindrance("batch", town.clock.now())

    assert found is not None
    assert "PodsWait" == found.reason
