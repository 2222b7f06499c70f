"""The writes by which a node empties: its annotation, evictions, deletion costs."""

import json
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cluster import decode, wire
from bayplan.cluster.move_writes import PRICES_PER_SECOND
from bayplan.model import intents
from bayplan.model.nodes import CLOSING
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.test_node_writes import FORBIDDEN, node
from tests.double.test_node_writes import stored as as_stored
from tests.double.test_writer import (
    BUSY,
    CONFLICT,
    GONE,
    LATE,
    ODD,
    SPENT,
    TWICE,
    Desk,
    stored,
)
from tests.double.transport import Answer, NoAnswer, Reply

DEAD = Answer(
    encoded(bodies.status(500, "InternalError", 'failed calling webhook "guard": refused')), 500
)


def sent(desk: Desk, verb: str) -> list[Any]:
    return [json.loads(request.body or b"") for request in desk.double.asked(verb)]


class TestClose:
    def desk(self, *replies: Reply) -> Desk:
        desk = Desk()
        desk.cache.upsert("Node", decode.kind_of("Node").decode(wire.Raw(encoded(node()))))
        desk.double.reply("close", "Node", *replies)
        return desk

    def close(self, desk: Desk, plan: str = "plan-1") -> None:
        desk.writer.close(intents.CloseNode("n1", "uid-n1", plan))

    def annotated(self, plan: str | None) -> Answer:
        body = node(11)
        body["metadata"]["annotations"] = {CLOSING: plan} if plan else {}
        return as_stored(body)

    @pytest.mark.parametrize(("plan", "value"), [("plan-1", "plan-1"), ("", None)])
    def test_only_the_annotation(self, plan: str, value: str | None) -> None:
        """It comes or goes on this very node; the answer counts like an event."""
        desk = self.desk(self.annotated(value))
        desk.work(lambda: self.close(desk, plan))
        (body,) = sent(desk, "close")

        assert {"metadata": {"uid": "uid-n1", "annotations": {CLOSING: value}}} == body
        assert plan == desk.cache.state.nodes["n1"].closing

    @pytest.mark.parametrize("lost", [NoAnswer(), BUSY, LATE, ODD])
    def test_the_answer_is_lost(self, lost: Reply) -> None:
        """It is sent again."""
        desk = self.desk(lost, self.annotated("plan-1"))
        desk.work(lambda: self.close(desk))

        assert 2 == len(desk.double.asked("close"))
        assert "plan-1" == desk.cache.state.nodes["n1"].closing

    @pytest.mark.parametrize("refusal", [FORBIDDEN, DEAD])
    def test_refused(self, refusal: Reply) -> None:
        """It waits, and the refusal is told."""
        desk = self.desk(refusal)
        desk.work(lambda: self.close(desk), seconds=0.5)
        desk.work(lambda: self.close(desk), seconds=0.1)

        assert 1 == len(desk.double.asked("close"))
        assert ["close"] == [one.verb for one in desk.cache.refusals.of(("Node", "", "n1"))]

    def test_the_node_has_gone(self) -> None:
        desk = self.desk(GONE)
        desk.work(lambda: self.close(desk))

        assert {} == desk.cache.state.nodes


class TestEvict:
    def desk(self, *replies: Reply) -> Desk:
        desk = Desk(bodies.pod(node="n1"))
        desk.double.reply("evict", "Pod", *replies)
        return desk

    def evict(self, desk: Desk) -> None:
        desk.writer.evict_pod(intents.EvictPod("default", "p1", "uid-p1", "node n1 goes back"))

    @pytest.mark.parametrize(
        ("answer", "look", "leaves"),
        [
            (Answer(), None, True),
            (SPENT, None, False),
            (GONE, stored(owner="uid-web"), False),  # the budget's 404
            (CONFLICT, stored(owner="uid-web"), False),
            (FORBIDDEN, None, False),
            (TWICE, None, False),
            (BUSY, None, False),
            (NoAnswer(), None, False),
        ],
    )
    def test_answers(self, answer: Reply, look: Answer | None, leaves: bool) -> None:
        """One request; whatever refuses it, the pod lives on and is not deleted otherwise."""
        desk = self.desk(answer)
        if look is not None:
            desk.double.reply("get", "Pod", look)
        desk.work(lambda: self.evict(desk))
        (body,) = sent(desk, "evict")
        pod = desk.pod()

        assert {"uid": "uid-p1"} == body["deleteOptions"]["preconditions"]
        assert [] == desk.double.asked("delete")
        assert pod is not None
        assert leaves == pod.terminating

    def test_it_has_gone(self) -> None:
        desk = self.desk(GONE)
        desk.double.reply("get", "Pod", GONE)
        desk.work(lambda: self.evict(desk))

        assert desk.pod() is None

    def test_another_pod_has_the_name(self) -> None:
        """A new pod of that name stays as it is."""
        desk = self.desk(CONFLICT)
        desk.double.reply("get", "Pod", stored(owner="uid-web", uid="uid-new"))
        desk.work(lambda: self.evict(desk))
        pod = desk.pod()

        assert pod is not None
        assert ("uid-new", False) == (pod.uid, pod.terminating)

    def test_it_counts_at_once(self) -> None:
        """Before the server has answered, so that nobody evicts the next pod of its owner."""
        desk = self.desk(Answer(after=5))
        counted: list[bool] = []

        def act() -> None:
            self.evict(desk)
            pod = desk.pod()
            assert pod is not None
            counted.append(pod.terminating)

        desk.work(act)
        assert [True] == counted

    def test_a_refusal_backs_off(self) -> None:
        """However often it is asked for: what refuses for good waits longer each time."""
        desk = self.desk(*[FORBIDDEN] * 30)

        def again() -> None:
            for _ in range(20):
                self.evict(desk)

        desk.look = again
        desk.work(again, seconds=100)

        assert 8 >= len(desk.double.asked("evict"))
        told = desk.cache.refusals.of(("Pod", "default", "p1"))
        assert ["evict"] == [one.verb for one in told]

    def test_the_lease_is_lost(self) -> None:
        desk = self.desk(Answer())
        desk.may_write = False
        desk.work(lambda: self.evict(desk))
        pod = desk.pod()

        assert [] == desk.double.seen
        assert pod is not None
        assert not pod.terminating


class TestPrice:
    def desk(self, *, count: int = 1, cost: str = "", ours: str = "") -> Desk:
        made = [bodies.pod(f"p{number}", node="n1") for number in range(1, count + 1)]
        for body in made:
            notes = {names.DELETION_COST: cost, names.PRICED: ours}
            body["metadata"]["annotations"] = {key: told for key, told in notes.items() if told}
        desk = Desk(*made)
        desk.double.reply("price", "Pod", stored(owner="uid-web"))
        return desk

    def price(self, desk: Desk, cost: int | None, number: int = 1) -> None:
        wanted = intents.PriceDeletion("default", f"p{number}", f"uid-p{number}", cost)
        desk.writer.price_deletion(wanted)

    @pytest.mark.parametrize(("cost", "told"), [(-100, "-100"), (None, None)])
    def test_both_annotations(self, cost: int | None, told: str | None) -> None:
        """The cost, and beside it that the cost is ours."""
        desk = self.desk(cost="-7", ours="-7")
        desk.work(lambda: self.price(desk, cost))
        (body,) = sent(desk, "price")

        notes = {names.DELETION_COST: told, names.PRICED: told}
        assert {"metadata": {"uid": "uid-p1", "annotations": notes}} == body

    @pytest.mark.parametrize("ours", ["", "-9"])
    def test_a_cost_of_others_stays(self, ours: str) -> None:
        """Somebody has set it, perhaps after us."""
        desk = self.desk(cost="-7", ours=ours)
        desk.work(lambda: self.price(desk, -100))

        assert [] == desk.double.seen

    def test_the_pace(self) -> None:
        """No more than so many a second, and the newest of a pod."""
        desk = self.desk(count=30)

        def act() -> None:
            for cost in (-1, -2):
                for number in range(1, 31):
                    self.price(desk, cost, number)

        desk.work(act)
        times = desk.double.times
        told = [body["metadata"]["annotations"][names.PRICED] for body in sent(desk, "price")]

        assert ["-1", *["-2"] * 30] == told
        assert all(
            sum(start <= at < start + 1 for at in times) <= PRICES_PER_SECOND + 1 for start in times
        )
