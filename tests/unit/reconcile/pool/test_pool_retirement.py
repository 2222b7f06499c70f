"""Empty nodes go back, in the order taint, quiet, fresh list, delete; any pod opens them again."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from bayplan.model.intents import RetireNode, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import Phase
from bayplan.reconcile.pool import retirement
from bayplan.reconcile.pool.retirement import FreshList, Memory, Now, Rules, Seen, Step, step
from tests.builders import NOON, make_node, make_pod

OURS = Taint("bayplan.dev/draining", "retiring")
POOLS = Taint("bayplan.dev/pool", "b")
RULES = Rules(60, frozenset({"bayplan.dev/pool"}))
CLAIM = NodeClaim(
    "b-1", "uid-c", pool="b", node="n1", created_at=NOON - 1000, provider_id="i", initialized=True
)
TAINT = TaintNode("n1", "uid-n", "bayplan.dev/draining", "retiring")
OPEN = dataclasses.replace(TAINT, present=False)
RETIRE = RetireNode("b-1", "uid-c", "node n1 has had no pods for 11 s")
POD = make_pod("p", "n1")


def node(*taints: Taint, **more: Any) -> Node:
    return make_node("n1", uid="uid-n", taints=(POOLS, *taints), **more)


def look(memory: Memory, at: int, *taints: Taint, pods: Sequence[Any] = (), **more: Any) -> Step:
    """One step, `at` seconds after noon."""
    seen = Seen(node(*taints), more.pop("claim", CLAIM), pods)
    return step([seen], memory, more.pop("rules", RULES), Now(NOON + at, **more))


def tainted(at: int = 0) -> Memory:
    """What is remembered after the taint was seen at that second."""
    return look({}, at, OURS).memory


def test_the_whole_way() -> None:
    """Empty for a minute: taint. More than 10 s later: a list. If that is empty: the delete."""
    first = look({}, 0)
    early = look(first.memory, 59)
    taint = look(early.memory, 60)
    seen = look(taint.memory, 61, OURS)
    quiet = look(seen.memory, 71, OURS)
    ask = look(quiet.memory, 72, OURS)
    fresh = {"n1": FreshList(NOON + 72)}
    last = look(ask.memory, 73, OURS, fresh=fresh)

    assert ((), ()) == (first.intents, early.intents)
    assert (TAINT,) == taint.intents
    assert () == seen.intents
    assert ((), ()) == (quiet.intents, quiet.lists)
    assert ((), ("n1",)) == (ask.intents, ask.lists)
    assert (RetireNode("b-1", "uid-c", "node n1 has had no pods for 73 s"),) == last.intents
    assert (
        () == look(last.memory, 74, OURS, claim=dataclasses.replace(CLAIM, deleting=True)).intents
    )


def test_daemons_and_static_pods_do_not_count() -> None:
    """A node with these alone is empty, and so is its fresh list."""
    residents = [
        make_pod("d", "n1", owner_uid="d", owner_kind="DaemonSet"),
        make_pod("m", "n1", owner_uid="n", owner_kind="Node"),
        make_pod("over", "n1", phase=Phase.SUCCEEDED),
    ]
    memory = look(look({}, 0, pods=residents).memory, 60, OURS, pods=residents).memory

    last = look(memory, 71, OURS, pods=residents, fresh={"n1": FreshList(NOON + 71, residents)})

    assert ["b-1"] == [intent.claim for intent in last.intents if isinstance(intent, RetireNode)]


def test_a_run_that_is_not_accounted_for_keeps_its_node() -> None:
    """Its pod has ended, but the status of its job does not say so yet."""
    over = make_pod("over", "n1", phase=Phase.FAILED, finalizers=("bayplan.dev/run-tracking",))

    assert () == look(look({}, 0, pods=[over]).memory, 100, pods=[over]).intents


@pytest.mark.parametrize(
    "more",
    [
        {"pods": [POD]},
        {"pods": [make_pod("assumed", "n1", uid="")]},
        {"pods": [make_pod("going", "n1", deleted_at=NOON)]},
        {"in_flight": {"n1"}},
        {"wanted": {"n1"}},
        {"rules": dataclasses.replace(RULES, buying=False)},
        {"fresh": {"n1": FreshList(NOON + 11, [POD])}},
    ],
)
def test_whatever_appears_opens_the_node_again(more: dict[str, Any]) -> None:
    """A pod, a bind on its way, a plan, or the end of mode Buy: the taint goes, no claim does."""
    opened = look(tainted(), 12, OURS, **more)
    later = look(opened.memory, 13, OURS, fresh={"n1": FreshList(NOON + 13)})
    after = look(later.memory, 90, OURS, fresh={"n1": FreshList(NOON + 90)})

    assert (OPEN,) == opened.intents
    assert () == later.intents
    assert (OPEN,) == after.intents


@pytest.mark.parametrize(
    "more",
    [
        {"pods": [POD]},
        {"in_flight": {"n1"}},
        {"wanted": {"n1"}},
        {"rules": dataclasses.replace(RULES, buying=False)},
        {"claim": dataclasses.replace(CLAIM, deleting=True)},
        {"claim": dataclasses.replace(CLAIM, initialized=False, created_at=NOON - 800)},
    ],
)
def test_nodes_that_stay(more: dict[str, Any]) -> None:
    """Used, wanted, joining and leaving nodes get no taint, and neither does any with Advise."""
    first = look({}, 0, **more)

    assert () == first.intents
    assert () == look(first.memory, 60, **more).intents


def test_a_node_that_never_becomes_ready_goes_back() -> None:
    """After Karpenter's own patience it counts as empty."""
    claim = dataclasses.replace(CLAIM, initialized=False, created_at=NOON)

    assert () == look(look({}, 0, claim=claim).memory, 899, claim=claim).intents
    assert (TAINT,) == look(look({}, 0, claim=claim).memory, 900, claim=claim).intents


@pytest.mark.parametrize("value", ["", "me"])
def test_what_others_intend_is_left(value: str) -> None:
    """A cordon, a foreign taint or a draining taint of a person: the node is theirs."""
    draining = Taint("bayplan.dev/draining", value)
    foreign = Taint("example.com/hands-off", value)
    for taint in (draining, foreign):
        assert () == look(look({}, 0, taint).memory, 100, taint).intents
    cordoned = Seen(node(unschedulable=True), CLAIM)
    memory = step([cordoned], {}, RULES, Now(NOON)).memory
    assert () == step([cordoned], memory, RULES, Now(NOON + 100)).intents
    assert (OPEN,) == look(tainted(), 20, OURS, foreign).intents


def test_an_opened_node_goes_back_later_under_the_taint_of_moves() -> None:
    """That it was opened once is over as soon as it was seen open."""
    moving, rules = (
        Taint("bayplan.dev/draining", "moving"),
        dataclasses.replace(RULES, consolidating=True),
    )
    opened = look(tainted(), 1, OURS, pods=[POD], rules=rules)
    there = look(opened.memory, 2, pods=[POD], rules=rules)
    moved = look(there.memory, 3, moving, pods=[POD], rules=rules)

    empty = look(moved.memory, 300, moving, rules=rules)

    assert (OPEN,) == opened.intents
    assert ((), ()) == (moved.intents, empty.intents)


def test_taints_of_kubernetes_do_not_keep_a_node() -> None:
    """A lost node without pods, or one under pressure, is as empty as another."""
    for key in ("node.kubernetes.io/unreachable", "node.kubernetes.io/disk-pressure"):
        assert (TAINT,) == look(look({}, 0, Taint(key)).memory, 60, Taint(key)).intents


def test_a_restart_goes_through_the_whole_fence_again() -> None:
    """A tainted node without a memory waits its ten seconds, and an older list is no proof."""
    first = look({}, 1000, OURS, fresh={"n1": FreshList(NOON + 1000)})
    ask = look(first.memory, 1011, OURS, fresh={"n1": FreshList(NOON + 1008)})

    assert ((), ()) == (first.intents, first.lists)
    assert ((), ("n1",)) == (ask.intents, ask.lists)


def test_an_old_list_is_asked_for_again() -> None:
    """More than five seconds lie between a list and now: it proves nothing."""
    ask = look(tainted(), 11, OURS)
    again = look(ask.memory, 17, OURS, fresh={"n1": FreshList(NOON + 11)})

    assert (("n1",), ("n1",), ()) == (ask.lists, again.lists, again.intents)


def test_acts_without_effect_back_off() -> None:
    """A taint or delete that does not come about is tried again after 5, 10, 20 … seconds."""
    memory, taints, deletes = look({}, 0).memory, [], []
    for second in range(60, 140):
        found = look(memory, second)
        memory = found.memory
        taints += [second] * len(found.intents)
    memory = tainted()
    for second in range(11, 100):
        found = look(memory, second, OURS, fresh={"n1": FreshList(NOON + second)})
        memory = found.memory
        deletes += [second] * len(found.intents)

    assert [60, 65, 75, 95, 135] == taints
    assert [11, 16, 26, 46, 86] == deletes


def test_only_so_many_leave_at_once() -> None:
    """The dearest nodes go first, and the others wait for them."""
    nodes = [
        Seen(
            make_node(f"n{n}", uid=f"u{n}", price_microdollars=n),
            dataclasses.replace(CLAIM, name=f"c{n}", node=f"n{n}"),
        )
        for n in range(60)
    ]
    memory = step(nodes, {}, Rules(0), Now(NOON)).memory
    found = step(nodes, memory, Rules(0), Now(NOON + 1))
    first = step(nodes, {}, Rules(0), Now(NOON))

    assert [f"n{n}" for n in range(59, 9, -1)] == [
        intent.node for intent in first.intents if isinstance(intent, TaintNode)
    ]
    assert 10 == len(found.intents)


class TestMoving:
    """A node whose pods move has its taint before it is empty."""

    MOVES = Taint("bayplan.dev/draining", "moving")
    RULES = dataclasses.replace(RULES, consolidating=True)
    OPEN = dataclasses.replace(OPEN, value="moving")

    def look(self, memory: Memory, at: int, **more: Any) -> Step:
        return look(memory, at, self.MOVES, **{"rules": self.RULES, **more})

    def test_it_is_left_alone_while_it_has_pods(self) -> None:
        """Pods, binds on their way, even a list that shows what the watch does not."""
        for more in ({"pods": [POD]}, {"in_flight": {"n1"}}):
            first = self.look({}, 0, **more)
            assert () == first.intents == self.look(first.memory, 100, **more).intents
        empty = self.look(self.look({}, 0).memory, 12).memory
        late = self.look(empty, 12, fresh={"n1": FreshList(NOON + 12, [POD])})

        assert () == late.intents

    def test_empty_it_goes_through_the_fence_under_the_same_taint(self) -> None:
        """It is never without a taint, and 10 s of quiet count from its last pod."""
        used = self.look({}, 0, pods=[POD])
        first = self.look(used.memory, 50)
        early = self.look(first.memory, 60)
        ask = self.look(early.memory, 61)
        last = self.look(ask.memory, 62, fresh={"n1": FreshList(NOON + 61)})

        assert ((), ()) == (early.intents, early.lists)
        assert ("n1",) == ask.lists
        assert () == (*used.intents, *first.intents, *early.intents, *ask.intents)
        assert (RetireNode("b-1", "uid-c", "node n1 has had no pods for 12 s"),) == last.intents

    @pytest.mark.parametrize(
        "more", [{"wanted": {"n1"}}, {"rules": dataclasses.replace(RULES, buying=False)}]
    )
    def test_empty_it_may_open_again(self, more: dict[str, Any]) -> None:
        assert (self.OPEN,) == self.look({}, 0, **more).intents

    @pytest.mark.parametrize("pods", [[], [POD]])
    def test_somebody_keeps_it(self, pods: list[Any]) -> None:
        """With pods on it that is for `vacating`; empty it opens here."""
        seen = Seen(node(self.MOVES, kept="bayplan.dev/keep"), CLAIM, pods)
        found = step([seen], {}, self.RULES, Now(NOON))

        assert (() if pods else (self.OPEN,)) == found.intents

    def test_the_pool_does_not_consolidate(self) -> None:
        """Nobody moves the pods any more: the node opens, used or not."""
        assert (self.OPEN,) == self.look({}, 0, rules=RULES, pods=[POD]).intents
        assert (self.OPEN,) == retirement.reopened([node(self.MOVES)])

    def test_it_is_no_room_to_come(self) -> None:
        """A node that is about to go for want of pods opens for new ones; this one does not."""
        assert retirement.reopens(node(OURS))
        assert not retirement.reopens(node(self.MOVES))

    def test_it_is_none_of_those_that_are_tainted_for_being_empty(self) -> None:
        """So it does not count towards the most that leave at once."""
        moving = [
            Seen(make_node(f"m{number}", uid=f"m{number}", taints=(self.MOVES,)), CLAIM, [POD])
            for number in range(retirement.MOST_LEAVING)
        ]
        memory = step([*moving, Seen(node(), CLAIM)], {}, self.RULES, Now(NOON)).memory

        assert (TAINT,) == step(
            [*moving, Seen(node(), CLAIM)], memory, self.RULES, Now(NOON + 60)
        ).intents


def test_kept() -> None:
    """Whoever annotates an empty node keeps it; a taint of ours goes."""
    kept = Seen(node(kept="bayplan.dev/keep"), CLAIM)
    memory = step([kept], {}, RULES, Now(NOON)).memory
    leaving = Seen(node(OURS, kept="bayplan.dev/keep"), CLAIM)

    assert () == step([kept], memory, RULES, Now(NOON + 100)).intents
    assert (OPEN,) == step([leaving], {}, RULES, Now(NOON)).intents


def test_reopened() -> None:
    """When the Pool no longer buys, its own taints go, and those of others stay."""
    theirs = make_node("n2", taints=(Taint("bayplan.dev/draining"),))

    assert (OPEN,) == retirement.reopened([node(OURS), theirs, node(OURS, deleting=True)])


def test_template_taints() -> None:
    """Taints and startup taints of the NodePool belong to its nodes."""
    spec = {"taints": [{"key": "a"}, "x"], "startupTaints": [{"key": "b"}]}

    found = retirement.template_taints({"spec": {"template": {"spec": spec}}})

    assert {"a", "b"} == found
    assert frozenset() == retirement.template_taints({})
