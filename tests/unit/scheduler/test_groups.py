"""Pools that buy through Auto Scaling groups, whole and in virtual time."""

import dataclasses
from typing import Any

import pytest

from bayplan.cloud.auto_scaling_errors import RefusedError
from bayplan.model.groups import Group, Instance
from bayplan.model.intents import RetireNode
from bayplan.reconcile.pool.launches import Launch, stored
from tests.unit.scheduler.group_town import (
    GroupTown,
    dying,
    filled,
    make_group,
    throttled,
    unanswered,
)
from tests.unit.scheduler.test_pool_buying import ZONES


def town_of(*groups: Group, **spec: Any) -> GroupTown:
    return GroupTown(groups, **{"mode": "Buy", "retirement": {"emptySeconds": 30}, **spec})


def advise(town: GroupTown) -> None:
    """A person turns the Pool to Advise."""
    spec = {"mode": "Advise", "autoScalingGroups": {}}
    town._stored = {**town._stored, "spec": spec}  # noqa: SLF001
    town.see("Pool", "batch", town._stored, "")  # noqa: SLF001


def test_pods_get_nodes_and_empty_nodes_end() -> None:
    """What Karpenter's claims do, through groups: nothing is left, and each call was made once."""
    town = filled()

    assert (12, 0, []) == (town.placed, len(town.cache.state.nodes), town.broken)
    assert (0, 0) == (sum(one.desired for one in town.aws.groups.values()), len(town.aws.instances))
    assert town.aws.count("terminate") == town.bought == len(town.aws.ended)
    assert town.aws.count("set_desired") == 0
    assert [] == list(town.status["launches"])


def test_equal_orders_are_one_call() -> None:
    """A hundred nodes take a few launches and descriptions."""
    town = town_of(make_group("m5.large", most=200))

    async def story() -> None:
        town.pods(100, cpu=1500)
        await town.living(40)

    town.play(story)

    assert 100 == town.aws.serial
    assert town.aws.count("launch") <= 4
    assert town.aws.count("describe") <= 10


def test_a_launch_is_repeated_with_its_token_by_the_next_process() -> None:
    """The token stands in the status before the first call."""
    town = filled(lambda aws: aws.troubles.append(dying("after")))
    launches = [about for name, about in town.aws.calls if name == "launch"]

    assert 1 == town.deaths
    assert len(launches) > len(set(launches))
    assert (12, []) == (town.placed, town.broken)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"template": False}, "NoLaunchTemplate"),
        ({"types": ("m5.large", "m5.xlarge"), "sizes": {(1, 1), (2, 2)}}, "SeveralSizes"),
        ({"by_attributes": True}, "SeveralSizes"),
        ({"types": ()}, "NoInstanceType"),
        ({"unknown": ("m99.large",)}, "UnknownType"),
        ({"weighted": True}, "Weighted"),
        ({"spot": None}, "SeveralMarkets"),
        ({"zones": ZONES}, "SeveralZones"),
        ({"suspended": frozenset()}, "Rebalances"),
        ({"protects": False}, "Unprotected"),
        (
            {"tags": {"bayplan.dev/pool": "batch", "k8s.io/cluster-autoscaler/enabled": "true"}},
            "AutoscalerToo",
        ),
        ({"deleting": True}, "Deleting"),
    ],
)
def test_unfit_groups_are_never_touched(change: dict[str, Any], reason: str) -> None:
    """A4: the condition names the group and the reason; buying goes on in the others."""
    bad = dataclasses.replace(make_group("m5.large", name="bad"), **change)
    there = Instance("i-old", "m5.large", ZONES[0])
    bad = dataclasses.replace(bad, instances=(there,), desired=1)
    good = make_group("m5.2xlarge", name="good")
    town = town_of(bad, good)

    async def story() -> None:
        town.pods(4)
        await town.living(1200)

    town.play(story)
    told = town.condition("GroupsUnfit")

    assert ("True", reason) == (told["status"], told["reason"])
    assert "Group bad: " in told["message"]
    assert 4 == sum(bool(pod.node) for pod in town.cache.state.pods.values())
    assert {"good"} == {str(about[0]) for name, about in town.aws.calls if name == "launch"}
    assert there.id in town.aws.instances
    assert 0 == town.aws.count("terminate")


def test_a_pool_without_a_fit_group_says_so() -> None:
    town = town_of(make_group(zones=ZONES, name="wide"))

    async def story() -> None:
        town.pods(2)
        await town.living(30)

    town.play(story)

    assert ("False", "GroupsUnfit") == (
        town.condition("Ready")["status"],
        town.condition("Ready")["reason"],
    )
    assert "wide" in town.condition("Ready")["message"]
    assert 0 == town.aws.serial


def test_without_groups_the_tag_is_named() -> None:
    town = town_of(make_group(tags={"bayplan.dev/pool": "other"}))

    async def story() -> None:
        await town.living(10)

    town.play(story)

    assert "GroupsMissing" == town.condition("Ready")["reason"]
    assert "bayplan.dev/pool" in town.condition("Ready")["message"]


def test_a_sold_out_type_is_left_alone_and_another_is_bought() -> None:
    """A5 (B4): an error of a launch closes the offering as a refused claim does."""
    town = town_of(make_group("m5.large"), make_group("m5.xlarge"))
    town.aws.sold_out["m5.large"] = "InsufficientInstanceCapacity"

    async def story() -> None:
        town.pods(1, cpu=1500)
        await town.living(60)

    town.play(story)
    launches = [about[0] for name, about in town.aws.calls if name == "launch"]

    assert ["m5.large-a", "m5.xlarge-a"] == launches
    assert [("m5.large", ZONES[0])] == [
        (one["type"], one["zone"]) for one in town.status["unavailable"]
    ]
    assert 1 == town.status["claims"]["refused"]
    assert 1 == sum(bool(pod.node) for pod in town.cache.state.pods.values())


def test_limits_and_greatest_sizes_hold() -> None:
    """A5 (B2): of the Pool, and of each group."""
    town = town_of(make_group("m5.large", most=2), make_group("m5.xlarge"), limits={"nodes": 3})

    async def story() -> None:
        town.pods(9, cpu=1500)
        await town.living(200)

    town.play(story)

    assert 3 == town.aws.serial
    assert town.aws.groups["m5.large-a"].desired <= 2
    assert "True" == town.condition("LimitReached")["status"]


def test_an_instance_that_never_joins_ends() -> None:
    """A5 (B5): after a quarter of an hour, once, and its offering is put away."""
    town = town_of(make_group("m5.large"))
    town.aws.joins = False

    async def story() -> None:
        town.pods(1)
        await town.living(880)
        before.append(town.aws.count("terminate"))
        await town.living(60)

    before: list[int] = []
    town.play(story)

    assert ([0], 1) == (before, town.aws.count("terminate"))
    assert 1 == len(town.status["unavailable"])


def test_advice_writes_nothing() -> None:
    """A5 (B8)."""
    town = town_of(mode="Advise")

    async def story() -> None:
        town.pods(4)
        await town.living(120)

    town.play(story)

    assert {"describe"} == {name for name, _ in town.aws.calls}
    assert {kind for kind, count in town.writes.items() if count} <= {"status"}


def test_throttling_rests_every_call() -> None:
    town = town_of()
    town.aws.troubles += [throttled()] * 3

    async def story() -> None:
        town.pods(2)
        await town.living(200)

    town.play(story)

    assert 4 == town.aws.count("launch")
    assert 1 == town.aws.serial
    assert [] == town.broken


def test_a_refused_write_is_told_and_backs_off() -> None:
    town = town_of(make_group("m5.large"))
    refusal = RefusedError("You are not authorized to perform autoscaling:LaunchInstances")
    town.aws.troubles += [("before", refusal)] * 50

    async def story() -> None:
        town.pods(1)
        await town.living(300)

    town.play(story)

    assert town.aws.count("launch") <= 8
    assert "WritesRefused" == town.condition("Degraded")["reason"]
    assert "autoscaling:LaunchInstances" in town.condition("Degraded")["message"]


def test_a_group_keeps_its_least_size() -> None:
    town = town_of(make_group("m5.large", least=1))

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        await town.living(120)

    town.play(story)

    assert 0 == town.aws.count("terminate")
    assert "MinSize" in town.condition("Degraded")["message"]


def test_half_of_the_instances_leave_and_nodes_go_back() -> None:
    """Consolidation through groups; every service has its minimum at every second."""
    town = GroupTown()
    town.buy("m5.xlarge", 5)
    for number in range(5):
        town.serve(f"s{number}", 6)

    async def story() -> None:
        before.append(town.cost())
        for number in range(5):
            town.scale(f"s{number}", 3)
        await town.living(500)

    before: list[int] = []
    town.play(story)

    assert town.cost() <= before[0] * 5 // 8
    assert [] == town.broken
    assert 5 - len(town.cache.state.nodes) <= len(town.aws.ended)


def test_a_launch_reads_back_from_the_status() -> None:
    launch = Launch(7, 1_790_000_000, "m5.large-a", 12, 3)

    assert (launch,) == stored({"launches": [launch.to_status(), {"serial": "x"}, None]})
    assert launch.token("uid") != dataclasses.replace(launch, serial=8).token("uid")
    assert len(set(launch.claims("batch", "uid"))) == 12


def test_nodes_that_do_not_name_their_pool_make_a_group_unfit() -> None:
    """Else a node would be bought for each pod again and again."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.buy("m5.large")
        (node,) = town.cache.state.nodes.values()
        town.again(dataclasses.replace(node, labels={}))
        await town.living(20)

    town.play(story)

    assert "LabelMissing" == town.condition("GroupsUnfit")["reason"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_end_without_an_answer_waits_for_a_description(when: str) -> None:
    """A3: whether or not AWS has carried it out, the instance ends once."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.pods(3, cpu=1500)
        await town.living(60)
        town.aws.troubles += [unanswered(when)] * 3
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        await town.living(200)

    town.play(story)

    assert [] == town.aws.hasty()
    assert [1, 1, 1] == list(town.aws.ended.values())
    assert (0, []) == (town.aws.groups["m5.large-a"].desired, town.broken)


def test_aws_that_cannot_be_asked_holds_up_nobody_else() -> None:
    """The Pool says why; other Pools are known, and pods are left to others."""
    town = town_of(make_group("m5.large"))
    town.aws.unreadable = True

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        told.append((town.condition("Ready")["reason"], town.condition("Ready")["message"]))
        known.append(town.cache.pools.known)
        town.aws.unreadable = False
        await town.living(120)
        town.aws.unreadable = True
        await town.living(120)

    told: list[tuple[str, str]] = []
    known: list[bool] = []
    town.play(story)

    assert ("GroupsUnknown", [True]) == (told[0][0], known)
    assert "autoscaling:DescribeAutoScalingGroups" in told[0][1]
    assert 1 == town.aws.serial
    assert "GroupsUnknown" == town.condition("Degraded")["reason"]
    assert town.aws.count("describe") < 25


@pytest.mark.parametrize("least", [0, 1])
def test_the_end_of_an_instance_that_never_joins_may_be_refused(least: int) -> None:
    """It is counted once, and AWS is not asked every second."""
    town = town_of(make_group("m5.large", least=least))
    town.aws.joins = False
    refusal = RefusedError("not authorized to perform autoscaling:TerminateInstance…")

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        town.aws.troubles += [("before", refusal)] * 50
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        await town.living(1200)

    town.play(story)

    assert town.aws.count("terminate") <= 8
    assert 1 == town.status["claims"]["refused"]


def test_a_process_that_begins_counts_launches_before_it_describes_groups() -> None:
    """A2: who looks at what is there meanwhile must not order the same again."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        launch = Launch(3, town.clock.wall, "m5.large-a", 2, 0)
        town.write_pool_status(
            town.cache.pools.pools["batch"], {"launches": [launch.to_status()], "launchSerial": 3}
        )
        town.replace_operator()
        await town.buying.groups.step()
        counted.extend(claim.group for claim in town.cache.pools.claims.values())

    counted: list[str] = []
    town.play(story)

    assert ["m5.large-a"] * 2 == counted


def test_nothing_ends_in_a_group_whose_size_rises() -> None:
    """A2 without LaunchInstances: the next process would raise it by what has ended too."""
    town = town_of(make_group("m5.large"))
    town.aws.lacks_launch = True

    async def story() -> None:
        town.pods(3, cpu=1500)
        await town.living(60)
        town.aws.sold_out["m5.large"] = "InsufficientInstanceCapacity"
        town.pods(5, cpu=1500)
        await town.living(20)
        for pod in list(town.cache.state.pods.values()):
            if pod.node:
                town._end(pod)  # noqa: SLF001  what a person does
        await town.living(100)
        town.replace_operator()
        await town.living(60)

    town.play(story)
    sizes = [about[1] for name, about in town.aws.calls if name == "set_desired"]

    assert [3, 5] == sizes
    assert [] == town.broken


def test_an_unanswered_end_is_not_repeated_with_advice() -> None:
    """A5 (B8)."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        town.aws.troubles += [unanswered("before")] * 50
        while not town.aws.count("terminate"):
            await town.living(1)
        advise(town)
        await town.living(200)

    town.play(story)

    assert 1 == town.aws.count("terminate")


def test_an_unanswered_launch_is_not_repeated_with_advice() -> None:
    """A5 (B8)."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.aws.troubles += [unanswered("before")] * 50
        town.pods(1)
        while not town.aws.count("launch"):
            await town.living(1)
        advise(town)
        await town.living(200)

    town.play(story)

    assert 1 == town.aws.count("launch")


def test_a_node_that_may_take_pods_again_is_not_ended() -> None:
    """Between the decision and its turn somebody may have taken the taint off."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        (node,) = town.cache.state.nodes.values()
        (claim,) = town.cache.pools.claims.values()
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        town.buying.groups.retire(RetireNode(claim.name, claim.uid, ""))
        assert not node.given_back
        await town.living(5)

    town.play(story)

    assert 0 == town.aws.count("terminate")


def test_ends_without_an_answer_come_more_and_more_seldom() -> None:
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.pods(1)
        await town.living(60)
        for pod in list(town.cache.state.pods.values()):
            town._end(pod)  # noqa: SLF001  what a person does
        town.aws.troubles += [unanswered("before")] * 200
        await town.living(240)

    town.play(story)

    assert 2 <= town.aws.count("terminate") <= 7


@pytest.mark.parametrize("step", [7200, -7200])
def test_a_clock_that_is_set_ends_nothing_and_delays_nothing(step: int) -> None:
    """Neither an instance that has yet to join nor a launch without an answer is given up."""
    town = town_of(make_group("m5.large"))

    async def story() -> None:
        town.aws.joins = False
        town.pods(1)
        await town.living(20)
        town.aws.troubles += [unanswered("before")]
        town.pods(5)
        await town.living(3)
        town.clock.wall += step
        await town.living(60)
        counted.append((town.aws.count("terminate"), len(town.status["unavailable"])))
        described.append(town.aws.count("describe"))
        await town.living(130)
        described.append(town.aws.count("describe"))

    counted: list[tuple[int, int]] = []
    described: list[int] = []
    town.play(story)

    assert [(0, 0)] == counted
    assert described[0] < described[1]
