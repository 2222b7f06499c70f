"""Laws B1, B2, B4 and B5 of Pools: whatever Karpenter does, and wherever our operator dies."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bayplan.api.times import time_of
from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.reconcile.pool.refusals import FIRST_SECONDS
from tests.laws.pool_world import LAUNCH_SECONDS, MENU, Bounds, Died, Operator, World, accepted

FATES = st.sampled_from(("launch", "launch", "slow", "refuse", "stick"))
# A story is too long to be worth shrinking.
EXAMPLES = settings(max_examples=80, deadline=None, phases=[Phase.generate])


class Story:
    """Two minutes of a world; hypothesis chooses fates, deaths and delays as it goes."""

    def __init__(self, data: st.DataObject, bounds: Bounds | None = None) -> None:
        self.data = data
        self.wanted = 0
        self.deaths = data.draw(st.sets(st.integers(0, 150), max_size=4), label="dies at writes")
        self.writes = 0
        self.fates: dict[str, str] = {}
        self.world = World(bounds or Bounds(), self.fate)
        self.operator: Operator | None = None

    def fate(self, claim: NodeClaim) -> str:
        if claim.uid not in self.fates:
            self.fates[claim.uid] = self.data.draw(FATES, label=f"fate of {claim.uid}")
        return self.fates[claim.uid]

    def dies(self) -> None:
        self.writes += 1
        if self.writes in self.deaths:
            raise Died

    def run(self, wanted: int) -> None:
        self.wanted = wanted
        for _ in range(120):
            self.world.now += 1
            self.world.store(self.data.draw(st.integers(0, 3), label="stored"))
            self.world.karpenter()
            self.look()
            if self.operator is None:
                self.operator = Operator(self.world.server, self.world.bounds, self.dies)
                self.operator.start(self.world.now)
                self.started()
            self.operator.watch(self.world.now)
            try:
                self.operator.step(wanted, 2, self.world.now)
            except Died:
                self.operator = None
                self.world.bury()
            else:
                self.stepped(self.operator)

    def look(self) -> None:
        """Whether the law holds for what is stored."""

    def started(self) -> None:
        """A life of the operator begins."""

    def stepped(self, operator: Operator) -> None:
        """The operator has lived through a step."""


@EXAMPLES
@given(st.data(), st.integers(1, 5))
def test_nothing_is_bought_twice(data: st.DataObject, wanted: int) -> None:
    """B1: never more claims than nodes wanted, over deaths between any two writes.

    A claim that is being deleted has been replaced, so it does not count.
    """

    class Once(Story):
        def look(self) -> None:
            assert wanted >= sum(not one.deleting for one in self.world.server.claims.values())

    Once(data).run(wanted)


@EXAMPLES
@given(st.data(), st.integers(0, 4), st.integers(0, 12), st.integers(0, 12))
def test_limits_hold(data: st.DataObject, nodes: int, cpu: int, dollars: int) -> None:
    """B2: what exists and what is ordered stays within every limit at every moment."""

    class Bounded(Story):
        def look(self) -> None:
            load = self.world.load()
            assert load.nodes <= nodes
            assert load.capacity.amount("cpu") <= cpu * 1000
            assert load.microdollars <= dollars * 1_000_000

    Bounded(data, Bounds(nodes, str(cpu), None, dollars * 1_000_000)).run(6)


class Spared(Story):
    """What was refused is known in one life, and in the next as far as the status had told it.

    It is forgotten when a claim that was stored since then has got an instance of it.
    """

    def __init__(self, data: st.DataObject) -> None:
        super().__init__(data)
        self.refused: dict[Offering, int] = {}  # and when
        self.known: dict[str, NodeClaim] = {}
        self.ordered: set[int] = set()

    def put_away(self, claim: NodeClaim) -> None:
        for offering in accepted(claim):
            self.refused.setdefault(offering, self.world.now)

    def look(self) -> None:
        there = self.world.server.claims
        for name, claim in self.known.items():
            gone = name not in there or there[name].uid != claim.uid
            if gone and not claim.provider_id:
                self.put_away(claim)
        for name, claim in there.items():
            got = claim.got
            news = got is not None and (name not in self.known or not self.known[name].got)
            if got is not None and news and claim.created_at >= self.refused.get(got, 0):
                self.refused.pop(got, None)
        self.known = dict(there)

    def started(self) -> None:
        told = self.world.server.unavailable
        self.refused = {
            (str(one["type"]), str(one["zone"]), str(one["capacityType"])): (
                (time_of(one["until"]) or 0) - FIRST_SECONDS
            )
            for one in told
        }

    def stepped(self, operator: Operator) -> None:
        for claim in self.world.server.claims.values():
            if claim.deleting and not claim.provider_id:
                self.put_away(claim)
        orders = {id(claim): claim for claim in operator.assumed.values()}
        for one in orders.keys() - self.ordered:
            assert accepted(orders[one]).isdisjoint(self.refused)
        self.ordered = set(orders)
        living = sum(not claim.deleting for claim in operator.known.values())
        assert living == self.wanted or operator.memory.closed(self.world.now) >= MENU


@EXAMPLES
@given(st.data(), st.integers(1, 4))
def test_a_refused_offering_is_left_alone(data: st.DataObject, wanted: int) -> None:
    """B4: not asked again before its time; while another may be asked for, that is.

    The two minutes are less than the first back-off.
    """
    Spared(data).run(wanted)


@EXAMPLES
@given(st.data(), st.integers(1, 5))
def test_no_claim_waits_for_long(data: st.DataObject, wanted: int) -> None:
    """B5: our claims get an instance, or a delete, within the launch seconds and ten more."""

    class Prompt(Story):
        def look(self) -> None:
            for claim in self.world.server.claims.values():
                waited = self.world.now - claim.created_at
                assert claim.provider_id or claim.deleting or waited <= LAUNCH_SECONDS + 10

    Prompt(data).run(wanted)
