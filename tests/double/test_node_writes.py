"""Claims, taints and the statuses of Pools: nothing is bought twice, and nothing of others goes."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bayplan.cluster import decode, errors, wire
from bayplan.cluster.claim_line import MOST_UNLAUNCHED
from bayplan.model import intents
from bayplan.model.node_claims import ClaimState, NodeClaim
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.loop import run
from tests.double.test_writer import BUSY, CONFLICT, GONE, LATE, ODD, Desk
from tests.double.transport import Answer, Double, NoAnswer, Reply

CLAIM, NODE = "NodeClaim", "Node"
TAKEN = Answer(encoded(bodies.status(409, "AlreadyExists", "nodeclaims c1 already exists")), 409)
FORBIDDEN = Answer(
    encoded(bodies.status(403, "Forbidden", "nodeclaims.karpenter.sh is forbidden")), 403
)
INVALID = Answer(
    encoded(bodies.status(422, "Invalid", "spec.requirements[0].key: Invalid value: denied")), 422
)
NOT_SERVED = Answer(b"404 page not found\n", 404)
MORE: Any = {"token": "more"}  # the chunk is not the last one


def claim(version: int = 20, **more: Any) -> dict[str, Any]:
    """The claim c1 of the Pool `batch`; `uid`, `pool`, `deleting` are shorthands."""
    metadata = {
        "name": (name := more.pop("name", "c1")),
        "uid": more.pop("uid", f"uid-{name}"),
        "resourceVersion": str(version),
        "labels": {"bayplan.dev/pool": more.pop("pool", "batch")},
    }
    if more.pop("deleting", False):
        metadata["deletionTimestamp"] = "2026-11-23T06:10:00Z"
    return {"kind": CLAIM, "metadata": metadata, "spec": {}, "status": more}


def pool(
    version: int = 10, generation: int = 1, mode: str = "Advise", **status: Any
) -> dict[str, Any]:
    metadata = {"name": "batch", "uid": "uid-batch", "generation": generation}
    return {
        "kind": "Pool",
        "metadata": {**metadata, "resourceVersion": str(version)},
        "spec": {"mode": mode, "nodePoolRef": {"name": "of-batch"}},
        "status": status,
    }


def node(version: int = 10, *taints: Mapping[str, str], uid: str = "uid-n1") -> dict[str, Any]:
    metadata = {"name": "n1", "uid": uid, "resourceVersion": str(version)}
    return {"kind": "Node", "metadata": metadata, "spec": {"taints": list(taints)}}


def stored(body: Mapping[str, Any]) -> Answer:
    return Answer(encoded(body))


class Buyer(Desk):
    """The desk of the Pool `batch`; what became of each launch is in `told`."""

    def __init__(self, *seen: tuple[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.told: list[str | None] = []
        self.pools = self.cache.pools
        self.see("Pool", pool())
        for kind, body in seen:
            self.see(kind, body)
        self.bell.silence()

    def see(self, kind: str, body: Mapping[str, Any]) -> None:
        read = decode.kind_of(kind).decode(wire.Raw(encoded(body)))
        self.cache.upsert(kind, read)

    def launch(self, *types: str, name: str = "c1") -> None:
        kinds = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [*types]}
        body = {
            "metadata": {"name": name, "labels": {"bayplan.dev/pool": "batch"}},
            "spec": {"requirements": [kinds]},
        }
        self.writer.launch(intents.LaunchNode("batch", body), self.told.append)

    def retire(self, uid: str = "uid-c1") -> None:
        self.writer.retire(intents.RetireNode("c1", uid, "it is empty"))

    def withdraw(self) -> None:
        self.writer.retire(intents.RetireNode("c1", "uid-c1", "it is stuck", unlaunched=True))

    def taint(self, *, present: bool = True) -> None:
        wanted = intents.TaintNode("n1", "uid-n1", "bayplan.dev/draining", "batch", present=present)
        self.writer.taint(wanted)

    @property
    def c1(self) -> NodeClaim | None:
        return self.pools.claims.get("c1")


class TestLaunch:
    def test_stored(self) -> None:
        """It counts from the decision on; the answer is seen like an event."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, Answer(encoded(claim()), after=5))
        counted: list[tuple[str, bool]] = []

        def act() -> None:
            desk.launch()
            assert desk.c1 is not None
            counted.append((desk.c1.pool, desk.c1.assumed))

        desk.work(act)
        assert [("batch", True)] == counted
        assert desk.c1 is not None
        assert ("uid-c1", False, ClaimState.REQUESTED) == (
            desk.c1.uid,
            desk.c1.assumed,
            desk.c1.state,
        )
        assert [None] == desk.told
        (sent,) = desk.double.asked("create")
        assert ("POST", "/apis/karpenter.sh/v1/nodeclaims") == (sent.method, sent.path)

    def test_few_claims_are_without_an_instance(self) -> None:
        """The others wait in line, and count; the next goes out when one has its instance."""
        desk = Buyer(("Pool", pool(11, 2, mode="Buy")))
        desk.double.reply(
            "create", CLAIM, *(stored(claim(20 + n, name=f"c{n}")) for n in range(45))
        )
        sent: list[int] = []

        def act() -> None:
            for number in range(45):
                desk.launch(name=f"c{number}")

            asyncio.get_running_loop().call_later(20, launched)

        def launched() -> None:
            sent.append(len(desk.double.asked("create")))
            for number in range(3):
                seen = claim(100 + number, name=f"c{number}", providerID=f"i-{number}")
                desk.see(CLAIM, seen)

        desk.work(act)
        sent.append(len(desk.double.asked("create")))

        assert 45 == len(desk.pools.claims)
        assert [MOST_UNLAUNCHED, MOST_UNLAUNCHED + 3] == sent

    def test_an_order_in_line_goes_with_the_mode(self) -> None:
        """Nothing is bought for a Pool that was set to Advise while its orders waited."""
        desk = Buyer(("Pool", pool(11, 2, mode="Buy")))
        desk.double.reply(
            "create", CLAIM, *(stored(claim(20 + n, name=f"c{n}")) for n in range(41))
        )

        def act() -> None:
            for number in range(41):
                desk.launch(name=f"c{number}")

            asyncio.get_running_loop().call_later(20, advise)

        def advise() -> None:
            desk.see("Pool", pool(12, 3, mode="Advise"))
            desk.see(CLAIM, claim(99, name="c0", providerID="i-0"))

        desk.work(act)

        assert MOST_UNLAUNCHED == len(desk.double.asked("create"))
        assert "Pool batch does not buy any more" == desk.told[-1]
        assert "c40" not in desk.pools.claims

    @pytest.mark.parametrize("lost", [NoAnswer(), NoAnswer(None), BUSY, LATE, ODD])
    @pytest.mark.parametrize("arrived", [True, False])
    def test_the_answer_is_lost(self, lost: Reply, arrived: bool) -> None:
        """It is sent again under the same name, and one node is bought."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, lost, TAKEN if arrived else stored(claim()))
        desk.double.reply("get", CLAIM, stored(claim(21)))
        desk.work(desk.launch)

        assert [None] == desk.told
        assert desk.c1 is not None
        assert "uid-c1" == desk.c1.uid
        assert 2 == len(desk.double.asked("create"))
        assert 1 == len({request.body for request in desk.double.asked("create")})
        assert [] == desk.reports.refusals

    def test_no_answer_for_an_hour(self) -> None:
        """Nobody knows whether it was bought: it counts, and is asked for until that is known."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, NoAnswer())
        desk.work(desk.launch, seconds=3600)

        assert [] == desk.told
        assert desk.c1 is not None
        assert desk.c1.assumed
        assert len(desk.double.asked("create")) > 100

    def test_seen_before_the_answer(self) -> None:
        """The watch shows it while its CREATE is repeated: nothing more is sent."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, NoAnswer(after=1))

        def act() -> None:
            desk.launch()
            asyncio.get_running_loop().call_later(0.5, desk.see, CLAIM, claim())

        desk.work(act)
        assert ([None], 1) == (desk.told, len(desk.double.asked("create")))

    def test_come_and_gone_before_the_answer(self) -> None:
        """The cloud refused it at once: it must not come again, and that is handed over."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, NoAnswer(after=1))

        def ended() -> None:
            desk.see(CLAIM, claim())
            desk.cache.delete(CLAIM, ("", "c1"), "uid-c1", 30)

        def act() -> None:
            desk.launch()
            asyncio.get_running_loop().call_later(0.5, ended)

        desk.work(act)
        assert 1 == len(desk.double.asked("create"))
        assert ["the claim has come and gone meanwhile"] == desk.told
        assert ["c1"] == [one.name for one in desk.pools.gone]
        assert desk.c1 is None

    def test_the_name_is_used_again(self) -> None:
        """While the CREATE of the former claim has no answer yet: the new order is sent."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, NoAnswer(after=1), stored(claim(40, uid="uid-new")))

        def ended() -> None:
            desk.see(CLAIM, claim())
            desk.cache.delete(CLAIM, ("", "c1"), "uid-c1", 30)
            desk.launch("c5.large")

        def act() -> None:
            desk.launch("m5.large")
            asyncio.get_running_loop().call_later(0.5, ended)

        desk.work(act)
        assert ["the claim has come and gone meanwhile", None] == desk.told
        first, second = [request.body or b"" for request in desk.double.asked("create")]
        assert b"m5.large" in first
        assert b"c5.large" in second
        assert desk.c1 is not None
        assert "uid-new" == desk.c1.uid

    def test_the_answer_comes_after_its_end(self) -> None:
        """Late news brings nothing back."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, Answer(encoded(claim()), after=2))

        def ended() -> None:
            desk.see(CLAIM, claim())
            desk.cache.delete(CLAIM, ("", "c1"), "uid-c1", 30)

        def act() -> None:
            desk.launch()
            asyncio.get_running_loop().call_later(0.5, ended)

        desk.work(act)
        assert (None, ["c1"]) == (desk.c1, [one.name for one in desk.pools.gone])

    def test_the_name_is_taken(self) -> None:
        """Another's claim stays, and is no node of ours."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, TAKEN)
        desk.double.reply("get", CLAIM, stored(claim(pool="")))
        desk.work(desk.launch)

        assert [("create", 409, "NameTaken")] == desk.reports.refusals
        assert ["a NodeClaim of this name exists and is not of Pool batch: c1"] == desk.told
        assert desk.c1 is not None
        assert "" == desk.c1.pool

    def test_the_name_is_being_freed(self) -> None:
        """A claim of ours that is being deleted is no success."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, TAKEN)
        desk.double.reply("get", CLAIM, stored(claim(deleting=True)))
        desk.work(desk.launch)

        assert ["the NodeClaim c1 is being deleted"] == desk.told

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (FORBIDDEN, "nodeclaims.karpenter.sh is forbidden"),
            (INVALID, "spec.requirements[0].key"),
            (NOT_SERVED, "karpenter.sh/v1 is not served"),
        ],
    )
    def test_refused(self, answer: Answer, told: str) -> None:
        """It counts no more, the reason is told, and it is tried ever more rarely."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, answer)
        rings: list[int] = []

        def ring() -> None:
            rings.append(1)
            if not desk.writer.nodes.held_back("batch"):
                desk.launch()

        def act() -> None:
            desk.pools.ring = ring
            desk.launch()

        desk.work(act, seconds=3600)
        assert desk.c1 is None
        assert desk.told
        assert all(told in (words or "") for words in desk.told)
        assert 18 <= len(desk.double.asked("create")) <= 22
        assert len(rings) < 100
        (refusal,) = desk.cache.refusals.of(("Pool", "", "batch"))
        assert ("create", CLAIM, "c1") == (refusal.verb, refusal.kind, refusal.name)

    def test_one_is_tried_first(self) -> None:
        """While claims are refused a batch of them is one write; the others hear why."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, FORBIDDEN)
        asked: list[str] = []

        def more() -> None:
            asked.append(desk.writer.nodes.held_back("batch"))
            for name in ("c2", "c3", "c4"):
                body = {"metadata": {"name": name, "labels": {"bayplan.dev/pool": "batch"}}}
                desk.writer.launch(intents.LaunchNode("batch", body), desk.told.append)

        def act() -> None:
            desk.launch()
            asyncio.get_running_loop().call_later(0.5, more)
            asyncio.get_running_loop().call_later(1.5, more)

        desk.work(act)
        assert ["nodeclaims.karpenter.sh is forbidden", ""] == asked
        assert 2 == len(desk.double.asked("create"))
        assert 7 == len(desk.told)
        assert {} == desk.pools.claims

    def test_another_spec_is_tried_at_once(self) -> None:
        """What was refused of the former spec says nothing of the new one."""
        desk = Buyer()
        desk.double.reply("create", CLAIM, *[FORBIDDEN] * 6, stored(claim()))
        for wait in range(6):
            desk.work(desk.launch, seconds=2.0**wait + 1)
        desk.see("Pool", pool(11, generation=2))
        desk.work(desk.launch, seconds=1)

        assert None is desk.told[-1]

    def test_the_lease_is_lost(self) -> None:
        """Nothing is sent."""
        desk = Buyer()
        desk.may_write = False
        desk.work(desk.launch)

        assert [] == desk.double.seen
        assert (None, 1) == (desk.c1, len(desk.told))


class TestRetire:
    def desk(self, *replies: Reply, **more: Any) -> Buyer:
        desk = Buyer((CLAIM, claim(**more)))
        desk.double.reply("delete", CLAIM, *replies)
        return desk

    def test_accepted(self) -> None:
        """It counts as leaving; the DELETE names the uid."""
        desk = self.desk(stored(claim(21, deleting=True)))
        desk.work(desk.retire)
        (sent,) = desk.double.asked("delete")

        assert sent.body is not None
        assert {"uid": "uid-c1"} == json.loads(sent.body)["preconditions"]
        assert desk.c1 is not None
        assert ClaimState.RETIRING is desk.c1.state

    @pytest.mark.parametrize("lost", [NoAnswer(), NoAnswer(None), BUSY, LATE, ODD])
    def test_the_answer_is_lost(self, lost: Reply) -> None:
        """It is sent again; that it has gone meanwhile is a success."""
        desk = self.desk(lost, GONE)
        desk.work(desk.retire)

        assert desk.c1 is None
        assert 2 == len(desk.double.asked("delete"))
        assert [] == desk.reports.refusals

    def test_withdrawn(self) -> None:
        """A claim that has no instance goes: it is read anew before."""
        desk = self.desk(stored(claim(21, deleting=True)))
        desk.double.reply("get", CLAIM, stored(claim(20)))
        desk.work(desk.withdraw)

        assert 1 == len(desk.double.asked("delete"))

    def test_launched_before_it_was_withdrawn(self) -> None:
        """The watch was late: pods may run on its node, so it stays."""
        desk = self.desk()
        desk.double.reply("get", CLAIM, stored(claim(21, providerID="i-1")))
        counted: list[bool] = []

        def act() -> None:
            desk.withdraw()
            assert desk.c1 is not None
            counted.append(desk.c1.deleting)

        desk.work(act)

        assert [False] == counted
        assert [] == desk.double.asked("delete")
        assert desk.c1 is not None
        assert ClaimState.LAUNCHED is desk.c1.state

    def test_gone_already(self) -> None:
        """Nothing is left to do, and nothing was refused by the cloud."""
        desk = self.desk(GONE)
        desk.work(desk.retire)

        assert desk.c1 is None
        assert ([], []) == (desk.reports.refusals, desk.pools.gone)

    def test_gone_at_once(self) -> None:
        """Nobody's finalizer keeps it: the answer is no claim."""
        status = {"kind": "Status", "metadata": {}, "status": "Success", "details": {"name": "c1"}}
        desk = self.desk(stored(status))
        desk.work(desk.retire)

        assert desk.c1 is None
        assert ([], [], []) == (desk.reports.refusals, desk.reports.defects, desk.pools.gone)

    def test_another_claim_has_the_name(self) -> None:
        """It stays."""
        desk = self.desk(CONFLICT)
        desk.double.reply("get", CLAIM, stored(claim(30, uid="uid-new")))
        desk.work(desk.retire)

        assert desk.c1 is not None
        assert ("uid-new", ClaimState.REQUESTED) == (desk.c1.uid, desk.c1.state)

    def test_refused(self) -> None:
        """The claim stays as it was, and the DELETE waits."""
        desk = self.desk(FORBIDDEN)
        desk.work(desk.retire, seconds=0.5)
        assert desk.c1 is not None
        assert ClaimState.REQUESTED is desk.c1.state
        assert [("delete", 403, "Forbidden")] == desk.reports.refusals
        desk.work(desk.retire, seconds=0.1)

        assert 1 == len(desk.double.asked("delete"))
        (refusal,) = desk.cache.refusals.of(("Pool", "", "batch"))
        assert ("delete", CLAIM, "c1") == (refusal.verb, refusal.kind, refusal.name)

    def test_decided_twice(self) -> None:
        """The same decision is one write."""
        desk = self.desk(stored(claim(21, deleting=True)))

        def act() -> None:
            desk.retire()
            desk.retire()

        desk.work(act)
        assert 1 == len(desk.double.asked("delete"))


OTHER = {"key": "team", "value": "a", "effect": "NoSchedule", "timeAdded": "2026-11-23T06:00:00Z"}
LEAVES = {"key": "bayplan.dev/draining", "value": "batch", "effect": "NoSchedule"}


class TestTaint:
    def patched(self, desk: Buyer) -> list[Any]:
        """The bodies that were sent."""
        return [json.loads(request.body or b"") for request in desk.double.asked("taint")]

    @pytest.mark.parametrize(
        ("before", "present", "after"),
        [
            ([], True, [LEAVES]),
            ([OTHER], True, [OTHER, LEAVES]),
            ([{**LEAVES, "value": "old"}, OTHER], True, [OTHER, LEAVES]),
            ([OTHER, LEAVES], True, None),
            ([OTHER, LEAVES], False, [OTHER]),
            ([OTHER], False, None),
            ([{**LEAVES, "effect": "NoExecute"}], False, None),
        ],
    )
    def test_others_stay(self, before: list[Any], present: bool, after: list[Any] | None) -> None:
        """Only our taint comes or goes, against the version that was read."""
        desk = Buyer((NODE, node()))
        desk.double.reply("get", NODE, stored(node(12, *before)))
        desk.double.reply("taint", NODE, stored(node(13, *(after or before))))
        desk.work(lambda: desk.taint(present=present))

        if after is None:
            assert [] == self.patched(desk)
        else:
            (sent,) = self.patched(desk)
            assert {"uid": "uid-n1", "resourceVersion": "12"} == sent["metadata"]
            assert {"taints": after} == sent["spec"]
        found = {taint.key for taint in desk.cache.state.nodes["n1"].taints}
        assert {taint["key"] for taint in (before if after is None else after)} == found

    @pytest.mark.parametrize("first", [CONFLICT, NoAnswer(), BUSY, LATE, ODD])
    def test_somebody_was_faster(self, first: Reply) -> None:
        """The node is read again, and what was added meanwhile stays."""
        desk = Buyer((NODE, node()))
        desk.double.reply("get", NODE, stored(node(12)), stored(node(13, OTHER)))
        desk.double.reply("taint", NODE, first, stored(node(14, OTHER, LEAVES)))
        desk.work(desk.taint)

        sent = self.patched(desk)
        assert ["12", "13"] == [body["metadata"]["resourceVersion"] for body in sent]
        assert [OTHER, LEAVES] == sent[-1]["spec"]["taints"]

    @pytest.mark.parametrize("answer", [GONE, stored(node(50, uid="uid-new"))])
    def test_the_node_has_gone(self, answer: Answer) -> None:
        """A namesake is not touched."""
        desk = Buyer((NODE, node()))
        desk.double.reply("get", NODE, answer)
        desk.work(desk.taint)

        assert "n1" not in desk.cache.state.nodes
        assert ([], []) == (self.patched(desk), desk.reports.refusals)

    def test_refused(self) -> None:
        """It is tried ever more rarely."""
        desk = Buyer((NODE, node()))
        desk.double.reply("get", NODE, stored(node(12)))
        desk.double.reply("taint", NODE, FORBIDDEN)

        def act() -> None:
            desk.pools.ring = desk.taint
            desk.taint()

        desk.work(act, seconds=3600)
        assert 18 <= len(self.patched(desk)) <= 22

    def test_a_refusal_is_the_pools(self) -> None:
        """Its status tells what the server says."""
        ours = node()
        ours["metadata"]["labels"] = {"bayplan.dev/pool": "batch"}
        desk = Buyer((NODE, ours))
        desk.double.reply("get", NODE, stored(ours))
        desk.double.reply("taint", NODE, FORBIDDEN)
        desk.work(desk.taint, seconds=0.5)

        (refusal,) = desk.cache.refusals.of(("Pool", "", "batch"))
        assert ("taint", NODE, "n1") == (refusal.verb, refusal.kind, refusal.name)

    def test_the_newest_decision_counts(self) -> None:
        """Tainted and freed before the first was sent: the second alone is carried out."""
        desk = Buyer((NODE, node()))
        desk.double.reply("get", NODE, stored(node(12)))

        def act() -> None:
            desk.taint()
            desk.taint(present=False)

        desk.work(act)
        assert [] == self.patched(desk)


class TestPodsOn:
    def asked(self, desk: Buyer) -> list[str]:
        """The names of the pods on n1."""

        async def body() -> list[str]:
            return [pod.name for pod in await desk.writer.pods_on("n1")]

        desk.work(lambda: None, seconds=0)
        return run(body())

    def test_all_chunks(self) -> None:
        """Whatever the watch has shown; what is found is known then."""
        desk = Buyer()
        desk.double.reply(
            "list",
            "Pod",
            Answer(bodies.listed(bodies.pod("p1", node="n1"), **MORE)),
            Answer(bodies.listed(bodies.pod("p2", node="n1"))),
        )

        assert ["p1", "p2"] == self.asked(desk)
        first, second = desk.double.asked("list")
        assert ("fieldSelector", "spec.nodeName=n1") in first.query
        assert ("continue", "more") in second.query
        assert ("default", "p2") in desk.cache.state.pods

    @pytest.mark.parametrize(
        "answer",
        [
            NoAnswer(),
            FORBIDDEN,
            Answer(b"[]"),
            Answer(bodies.listed({"metadata": {"name": "odd"}, "spec": 7})),
            Answer(bodies.listed({"metadata": 7})),
        ],
    )
    def test_no_complete_answer(self, answer: Reply) -> None:
        """The node must not be taken for empty."""
        desk = Buyer()
        desk.double.reply("list", "Pod", answer)
        with pytest.raises(errors.ClusterError):
            self.asked(desk)


class TestPoolStatus:
    def write(self, desk: Buyer, **status: Any) -> None:
        desk.writer.write_pool_status(desk.pools.pools["batch"], status)

    def patches(self, double: Double) -> list[Any]:
        return [json.loads(request.body or b"") for request in double.asked("status")]

    def test_stored(self) -> None:
        """The difference is written, against the version that it was computed from."""
        desk = Buyer()
        desk.double.reply("status", "Pool", stored(pool(11, nodes=3)))
        desk.work(lambda: self.write(desk, nodes=3))

        (sent,) = desk.double.asked("status")
        assert "/apis/bayplan.dev/v1alpha1/pools/batch/status" == sent.path
        assert [{"metadata": {"resourceVersion": "10"}, "status": {"nodes": 3}}] == self.patches(
            desk.double
        )
        desk.work(lambda: self.write(desk, nodes=3))
        assert 1 == len(self.patches(desk.double))

    def test_at_most_one_a_second(self) -> None:
        """And the newest wins."""
        desk = Buyer()
        wanted = iter(range(1, 1000))
        versions = iter(range(11, 1000))

        def answer(request: Any) -> Answer:
            return stored(pool(next(versions), **json.loads(request.body)["status"]))

        desk.double.reply("status", "Pool", answer)

        def again() -> None:
            self.write(desk, nodes=next(wanted))
            asyncio.get_running_loop().call_later(0.1, again)

        desk.work(again, seconds=10.05)
        sent = self.patches(desk.double)
        assert 10 <= len(sent) <= 11
        assert sent[-1]["status"]["nodes"] > 80

    def test_changed_meanwhile(self) -> None:
        """It is looked at again."""
        desk = Buyer()
        desk.double.reply("status", "Pool", CONFLICT)
        desk.work(lambda: self.write(desk, nodes=3), seconds=0.5)
        assert desk.bell.placement

        stale = desk.pools.pools["batch"]
        desk.see("Pool", pool(12))
        desk.bell.silence()
        desk.work(lambda: desk.writer.write_pool_status(stale, {"nodes": 3}), seconds=5)
        assert (1, 1) == (desk.bell.placement, len(self.patches(desk.double)))

    @pytest.mark.parametrize("answer", [FORBIDDEN, GONE])
    def test_refused(self, answer: Answer) -> None:
        """It is computed anew when it may be tried again; the Pool stays known."""
        desk = Buyer()
        desk.double.reply("status", "Pool", answer)

        def act() -> None:
            desk.pools.ring = lambda: self.write(desk, nodes=3)
            self.write(desk, nodes=3)

        desk.work(act, seconds=3600)
        assert 18 <= len(self.patches(desk.double)) <= 22
        assert "batch" in desk.pools.pools
        assert () == desk.cache.refusals.of(("Pool", "", "batch"))

    def test_a_field_that_the_server_leaves_out(self) -> None:
        """Its schema is older than ours: the field is not written for ever."""
        desk = Buyer()
        desk.double.reply("status", "Pool", stored(pool(11)))

        def again() -> None:
            self.write(desk, nodes=3)
            asyncio.get_running_loop().call_later(2, again)

        desk.work(again, seconds=60)
        assert 1 == len(self.patches(desk.double))
