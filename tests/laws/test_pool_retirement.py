"""Law B6 of Pools: a node goes only if it was empty long enough, and no pod of ours can be on it.

The world: binds of ours are sent to nodes that we see open, and are answered late; a pod shows in
our cache later than it is stored; pods of others may come whenever they like; our operator dies.
"""

import dataclasses
from dataclasses import dataclass, field

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bayplan.model.intents import RetireNode, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import Pod
from bayplan.reconcile.pool.retirement import FreshList, Memory, Now, Rules, Seen, step
from tests.builders import NOON, make_node, make_pod

RULES = Rules(5)
DRAINING = Taint("bayplan.dev/draining", "retiring")
CLAIM = NodeClaim("c", "uid-c", "b", node="n1", provider_id="i", initialized=True)
EVENTS = (
    *("bind", "bind late", "stranger", "leave", "die", "want", "do not want"),
    *("slow", "fast", "blind", "sees", "lists late"),
)
STORY = settings(max_examples=1500, deadline=None, phases=[Phase.generate])


@dataclass
class World:
    """One node. `stored` is the truth; `shown` what our cache has, some seconds later."""

    now: int = NOON
    lag: int = 1  # seconds until what was sent is stored
    blind: bool = False  # the watch brings nothing; answers to our own writes still come
    tainted: bool = False
    tainted_at: int = 0
    shows_taint: bool = False
    pods: dict[str, Pod] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)
    shown: dict[str, Pod] = field(default_factory=dict)
    wanted: bool = False
    lists_late: int = 0  # seconds until a list has its answer
    sent: list[tuple[int, str]] = field(default_factory=list)  # binds, and when they are answered
    writes: list[tuple[int, TaintNode]] = field(default_factory=list)
    last_empty: int = NOON  # since when the truth has no pod
    answers: list[tuple[int, FreshList]] = field(default_factory=list)
    memory: Memory = field(default_factory=dict)
    deleted: bool = False

    @property
    def node(self) -> Node:
        return make_node("n1", uid="u", taints=(DRAINING,) if self.shows_taint else ())

    def settle(self, *, dead: bool = False) -> None:
        """What was sent some seconds ago happens, and its answer is seen.

        The writes of a dead sender happen at once, or never.
        """
        if dead:
            self.sent, self.writes = [(self.now, name) for _, name in self.sent[:1]], []
        for at, name in list(self.sent):
            if self.now >= at:
                self.sent.remove((at, name))
                self.pods[name] = self.shown[name] = make_pod(name, "n1")
        for at, write in list(self.writes):
            if self.now - at >= self.lag:
                self.writes.remove((at, write))
                if write.present and not self.tainted:
                    self.tainted_at = self.now
                self.tainted = write.present
        if self.pods:
            self.last_empty = self.now
        if not self.blind:
            self.shown, self.shows_taint = dict(self.pods), self.tainted

    def event(self, what: str) -> None:
        name = f"p{self.now}"
        match what:
            case "bind" | "bind late" if not self.shows_taint:
                self.sent.append((self.now + (1 if what == "bind" else 25), name))
                self.ours.add(name)
            case "stranger":
                self.pods[name] = make_pod(name, "n1", scheduler="other")
            case "leave":
                self.pods.clear()
            case "slow" | "fast":
                self.lag = 20 if what == "slow" else 1
            case "blind" | "sees":
                self.blind = what == "blind"
            case "die":
                self.settle(dead=True)
                self.memory, self.answers, self.shown = {}, [], dict(self.pods)
                self.shows_taint = self.tainted
            case "want" | "do not want":
                self.wanted = what == "want"
            case "lists late":
                self.lists_late = 8

    def operator(self) -> None:
        assumed = [make_pod(name, "n1", uid="") for _, name in self.sent]
        seen = Seen(self.node, CLAIM, [*self.shown.values(), *assumed])
        here = [answer for due, answer in self.answers if self.now >= due]
        fresh = {"n1": here[-1]} if here else {}
        self.answers = [(due, answer) for due, answer in self.answers if self.now < due]
        now = Now(self.now, wanted={"n1"} if self.wanted else (), fresh=fresh)
        found = step([seen], self.memory, RULES, now)
        self.memory = found.memory
        for intent in found.intents:
            if isinstance(intent, RetireNode):
                self.retire(fresh.get("n1"))
            else:
                self.writes.append((self.now, intent))
        if found.lists:
            listed = FreshList(self.now, tuple(self.pods.values()))
            self.answers.append((self.now + 1 + self.lists_late, listed))
            self.lists_late = 0

    def retire(self, fresh: FreshList | None) -> None:
        """The law."""
        self.deleted = True
        assert self.tainted
        assert not self.wanted
        assert fresh is not None
        assert self.now - fresh.asked_at <= 5
        assert not self.sent
        assert self.now - self.tainted_at >= 10
        late = {name for name in self.pods if int(name[1:]) >= fresh.asked_at}
        assert late == self.pods.keys()
        assert late.isdisjoint(self.ours)
        assert late or self.now - self.last_empty >= 10


@STORY
@given(st.dictionaries(st.integers(1, 45), st.sampled_from(EVENTS), max_size=10))
def test_only_empty_nodes_go(story: dict[int, str]) -> None:
    """B6: in every order of binds, strangers, slow news and deaths, by the second of each."""
    world = World()
    for second in range(70):
        world.now += 1
        world.settle()
        world.event(story.get(second, ""))
        world.operator()
        if world.deleted:
            break


@given(st.lists(st.sampled_from(("bind", "stranger", "nothing")), max_size=20))
def test_a_quiet_node_goes_in_the_end(events: list[str]) -> None:
    """After the last pod has left, and without deaths, the node is given back within a minute."""
    world = World()
    for event in events:
        world.now += 1
        world.settle()
        world.event(event)
        world.operator()
    for _ in range(60):
        world.now += 1
        world.settle()
        world.event("leave")
        if not world.deleted:
            world.operator()

    assert world.deleted


@given(st.booleans(), st.booleans(), st.integers(0, 200))
def test_advise_writes_nothing(tainted: bool, used: bool, seconds: int) -> None:
    """B8: without mode Buy no node gets a taint or goes; a taint of ours is taken off again."""
    world = World(shows_taint=tainted)
    rules = dataclasses.replace(RULES, buying=False)
    pods = [make_pod("p", "n1")] if used else []
    memory: Memory = {}
    for second in range(seconds):
        now = Now(NOON + second, fresh={"n1": FreshList(NOON + second)})
        found = step([Seen(world.node, CLAIM, pods)], memory, rules, now)
        memory = found.memory
        assert not found.lists
        assert all(isinstance(one, TaintNode) and not one.present for one in found.intents)
        assert tainted or not found.intents
