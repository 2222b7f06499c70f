"""Laws of ordering: an order holds its pods, whatever type comes, and no order is needless."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.model import resources
from bayplan.model.companions import Companions
from bayplan.model.nodes import CAPACITY_TYPE, ZONE, Node
from bayplan.model.pods import Spread, Toleration
from bayplan.model.snapshot import DaemonSet
from bayplan.model.workloads import Backlog, PodClass, Waiting
from bayplan.optimizer.problem import Budget
from bayplan.optimizer.purchase import purchase
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Bought, Order, Site, Terms, orders, question
from tests.builders import make_class, make_constraints, make_snapshot, make_term, make_vector

ZONES = ("eu-1a", "eu-1b", "eu-1c")
AGENT = DaemonSet("kube-system", "agent", "ds", make_vector(100, 1))
TERMS = Terms(alternatives=3, premium_percent=15)


def offer(name: str, cpu: int, gib: int, price: int, **more: object) -> Offer:
    """An offer of Pool `batch`, with room for 20 pods."""
    room = resources.Vector({"cpu": cpu, "memory": gib << 30, "pods": 20})
    stated = {"labels": ((names.POOL, "batch"),), "zones": ZONES, **more}
    return Offer(name, "amd64", room, price, "test", **stated)  # type: ignore[arg-type]


MENU = (
    offer("c.small", 2000, 4, 80),
    offer("m.small", 2000, 8, 100),
    offer("m.medium", 4000, 16, 200),
    offer("r.medium", 4000, 32, 220),
    offer("m.large", 8000, 32, 400),
)

TWINS = (
    *(offer(f"{letter}.small", 2000, 8, 100 + at) for at, letter in enumerate("abc")),
    *(offer(f"{letter}.large", 8000, 32, 390 + at) for at, letter in enumerate("abc")),
)


def bought(
    waiting: Sequence[Waiting],
    *,
    menu: Sequence[Offer] = MENU,
    site: Site | None = None,
    now: Sequence[Waiting] | None = None,
    daemonsets: Sequence[DaemonSet] = (),
    terms: Callable[[str], Terms] = lambda _: TERMS,
) -> list[Order]:
    """What is ordered; `now` is what waits when the answer comes."""
    found = answered(waiting, menu=menu, site=site, now=now, daemonsets=daemonsets, terms=terms)
    return [] if found is None else list(found.orders)


def answered(
    waiting: Sequence[Waiting],
    *,
    menu: Sequence[Offer] = MENU,
    site: Site | None = None,
    now: Sequence[Waiting] | None = None,
    daemonsets: Sequence[DaemonSet] = (),
    terms: Callable[[str], Terms] = lambda _: TERMS,
) -> Bought | None:
    """The whole answer; None where nothing lacks room."""
    asked_at = site or Site(make_snapshot(*daemonsets), waiting, 0)
    shop = Shop(menu, ZONES, daemonsets, {})
    asked = question(asked_at, asked_at.placed()[0], shop)
    if asked is None:
        return None
    ticks = itertools.count()
    answer = purchase(asked.problem, Budget(seconds=1, spent=lambda: next(ticks) / 50))
    later = asked_at if now is None else dataclasses.replace(asked_at, waiting=now)
    return orders(asked, answer, later, shop, terms)


def waiting(count: int, cpu: int = 1000, app: str = "web", **more: object) -> Waiting:
    kind = make_class(cpu, labels={"app": app}, **more)
    return Waiting(kind, tuple(("default", f"{app}-{cpu}-{number}") for number in range(count)))


def planned(made: Sequence[Order]) -> Counter[PodClass]:
    total: Counter[PodClass] = Counter()
    for order in made:
        total.update(order.pods)
    return total


demands = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from([50, 300, 900, 1500, 3500])),
    min_size=1,
    max_size=5,
    unique_by=lambda pair: pair[1],
).map(lambda pairs: [waiting(count, cpu) for count, cpu in pairs])


@given(demands, st.booleans())
def test_every_type_of_an_order_holds_its_pods_beside_the_daemonsets(
    demand: list[Waiting], agents: bool
) -> None:
    daemonsets = (AGENT,) if agents else ()
    made = bought(demand, daemonsets=daemonsets)
    rooms = {one.name: one.room for one in MENU}
    for order in made:
        asked = [kind.request.times(count) for kind, count in order.pods.items()]
        asked += [one.request for one in daemonsets]
        total = sum(asked, start=resources.NOTHING)
        assert order.types
        assert all(total.fits(rooms[kind]) for kind in order.types)


@given(demands)
def test_whatever_waits_is_ordered_for_once(demand: list[Waiting]) -> None:
    made = bought(demand)
    assert planned(made) == Counter({group.kind: len(group.keys) for group in demand})


@given(demands, st.sampled_from(["batch", "other"]), st.booleans())
def test_of_pools_with_the_same_price_the_one_with_more_weight_buys(
    demand: list[Waiting], heavy: str, first: bool
) -> None:
    others = tuple(dataclasses.replace(one, labels=((names.POOL, "other"),)) for one in MENU)
    menu = (*others, *MENU) if first else (*MENU, *others)
    weights = {"batch": 10, "other": 10, heavy: 11}
    made = bought(
        demand, menu=menu, terms=lambda pool: dataclasses.replace(TERMS, weight=weights[pool])
    )
    assert {heavy} == {order.pool for order in made}
    assert planned(made) == Counter({group.kind: len(group.keys) for group in demand})


def test_a_cheaper_pool_buys_whatever_its_weight() -> None:
    dear = tuple(
        dataclasses.replace(one, labels=((names.POOL, "dear"),), price=one.price + 1)
        for one in MENU
    )
    heavy = {"batch": 1, "dear": 100}
    made = bought(
        [waiting(20)],
        menu=(*dear, *MENU),
        terms=lambda pool: dataclasses.replace(TERMS, weight=heavy[pool]),
    )
    assert {"batch"} == {order.pool for order in made}


@given(demands)
def test_no_type_costs_more_than_the_premium_above_the_planned_type(demand: list[Waiting]) -> None:
    prices = {one.name: one.price for one in MENU}
    for order in bought(demand):
        cheapest = min(prices[kind] for kind in order.types)
        assert order.price == cheapest
        assert max(prices[kind] for kind in order.types) <= cheapest * 1.15
        assert len(order.types) <= TERMS.alternatives


@given(
    demands,
    st.lists(
        st.frozensets(st.sampled_from(ZONES), min_size=1),
        min_size=len(TWINS),
        max_size=len(TWINS),
    ),
)
def test_nothing_is_named_that_is_not_offered(
    demand: list[Waiting], holes: list[frozenset[str]]
) -> None:
    """B4: a type that was refused in a zone is not asked for there by the way."""
    menu = [
        dataclasses.replace(one, zones=tuple(sorted(zones)))
        for one, zones in zip(TWINS, holes, strict=True)
    ]
    offered = {(one.name, zone) for one in menu for zone in one.zones}
    for order in bought(demand, menu=menu):
        assert order.zones
        assert set(itertools.product(order.types, order.zones)) <= offered


@given(demands)
def test_what_nodes_under_way_hold_is_not_bought_again(demand: list[Waiting]) -> None:
    first = bought(demand)
    coming = tuple(order.node(f"~{index}") for index, order in enumerate(first))
    shares: dict[PodClass, dict[str, int]] = {}
    for node, order in zip(coming, first, strict=True):
        for kind, count in order.pods.items():
            shares.setdefault(kind, {})[node.name] = count
    known = Backlog(frozenset(node.name for node in coming), shares)
    again = Site(make_snapshot(), demand, 0, coming, known)
    assert bought(demand, site=again) == []
    forgotten = Site(make_snapshot(), demand, 0, coming)  # after a restart
    dearest = max(one.price for one in MENU)
    more = sum(order.price for order in bought(demand, site=forgotten))
    assert more <= sum(order.price for order in first) / 2 + dearest


@given(demands, st.integers(1, 40))
def test_each_pod_is_planned_for_a_node(demand: list[Waiting], more: int) -> None:
    """Also one that has room on a node under way: else others could take that room."""
    coming = tuple(order.node(f"~{index}") for index, order in enumerate(bought(demand)))
    both = [*demand, waiting(more, 700, "late")]
    site = Site(make_snapshot(), both, 0, coming)
    found = answered(both, site=site)
    made, absorbed = (found.orders, found.absorbed) if found is not None else ((), site.placed()[1])
    everywhere = planned(made)
    for node in coming:
        pods = absorbed[node.name]
        everywhere.update(pods)
        asked = [kind.request.times(count) for kind, count in pods.items()]
        assert sum(asked, start=resources.NOTHING).fits(node.allocatable)
    assert everywhere == Counter({group.kind: len(group.keys) for group in both})


@given(demands, st.data())
def test_pods_that_have_gone_meanwhile_are_not_ordered_for(
    demand: list[Waiting], data: st.DataObject
) -> None:
    left = [
        dataclasses.replace(group, keys=group.keys[: data.draw(st.integers(1, len(group.keys)))])
        for group in demand
    ]
    made = bought(demand, now=left)
    assert planned(made) == Counter({group.kind: len(group.keys) for group in left})
    assert all(order.pods for order in made)


@given(demands, st.integers(1, 40))
def test_pods_that_have_come_meanwhile_are_not_ordered_for(
    demand: list[Waiting], more: int
) -> None:
    grown = [*demand, waiting(more, 2300, "late")]
    made = bought(demand, now=grown)
    assert planned(made) == Counter({group.kind: len(group.keys) for group in demand})


def test_pods_that_spread_over_zones_get_nodes_in_each() -> None:
    spread = make_constraints(spread=(Spread(ZONE, make_term(app="web")),))
    made = bought([waiting(9, 1500, constraints=spread)])
    assert planned(made).total() == 9
    assert {order.zones for order in made} == {(zone,) for zone in ZONES}


def test_a_zone_is_named_only_where_a_pod_cares() -> None:
    assert {order.zones for order in bought([waiting(3)])} == {ZONES}
    there = make_constraints(selector=((ZONE, "eu-1b"),))
    assert {order.zones for order in bought([waiting(3, constraints=there)])} == {("eu-1b",)}


SPOT = offer("m.small", 2000, 8, 30, spot=True, on_request=True)


@pytest.mark.parametrize(
    ("constraints", "capacity"),
    [
        (make_constraints(), "on-demand"),
        (make_constraints(selector=((CAPACITY_TYPE, "spot"),)), "spot"),
        (make_constraints(tolerations=(Toleration(CAPACITY_TYPE, "Exists"),)), "spot"),
    ],
)
def test_spot_is_bought_for_pods_that_name_the_capacity_type(
    constraints: object, capacity: str
) -> None:
    made = bought([waiting(1, constraints=constraints)], menu=(*MENU, SPOT))
    assert [order.capacity_type for order in made] == [capacity]


def test_an_order_has_one_capacity_type() -> None:
    """A spot node costs a third, so pods that may use it all go there, and no type on demand."""
    there = make_constraints(tolerations=(Toleration(CAPACITY_TYPE, "Exists"),))
    made = bought([waiting(1, constraints=there), waiting(1, 1500, "db")], menu=(*MENU, SPOT))
    assert {kind for order in made for kind in order.types} == {"m.small", "c.small"}


def test_the_node_of_an_order_has_the_room_that_each_of_its_types_has() -> None:
    twins = (offer("a", 2000, 8, 100), offer("b", 2200, 7, 101))
    (order,) = bought([waiting(1)], menu=twins)
    node: Node = order.node("~1")
    assert order.types == ("a", "b")
    assert node.allocatable == resources.Vector({"cpu": 2000, "memory": 7 << 30, "pods": 20})


@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from((500, 1900, 3900)))
def test_nodes_are_ordered_for_companions_too(drivers: int, count: int, cpu: int) -> None:
    """All that is ordered together has room for each driver and for all of its companions."""
    asked = Companions(count, make_vector(cpu, 1))
    kind = make_class(1000, companions=asked)
    waiting = Waiting(kind, tuple(("default", f"d{at}") for at in range(drivers)))
    made = bought([waiting])
    planned = sum((Counter(one.pods) for one in made), start=Counter[PodClass]())

    assert drivers == planned.pop(kind)
    assert drivers * count == planned.total()
    for one in made:
        total = sum((each.request.times(n) for each, n in one.pods.items()), make_vector(pods=0))
        assert total.fits(one.room)
