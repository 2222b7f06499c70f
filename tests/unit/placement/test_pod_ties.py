"""What ties pods to pods, as kube-scheduler has it: objects in the API's form, decisions out.

Expected values are those of kube-scheduler 1.34's filters (pkg/scheduler/framework/plugins:
interpodaffinity, podtopologyspread, nodeaffinity, nodeunschedulable).
"""

from typing import Any

import pytest

from tests.clusters import body, cached, node, placed, planned, pod, see, why

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
RUN = "bayplan.dev/run"
HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


def term(key: str, **more: Any) -> dict[str, Any]:
    """Pods with `app: x`, or what is given as `labelSelector`."""
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "x"}}, **more}


def near(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAffinity": {HARD: list(terms)}}}


def apart(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {HARD: list(terms)}}}


def even(key: str, selector: Any, **more: Any) -> dict[str, Any]:
    constraint = {
        "topologyKey": key,
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
        **more,
    }
    return {"topologySpreadConstraints": [constraint]}


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return body("Namespace", name, metadata={"labels": labels})


X = {"labels": {"app": "x"}}
TWO = (node("n1"), node("n2"))


class TestNamespaces:
    SPACES = (namespace("default", team="a"), namespace("other", team="b"))
    THERE = pod("there", "n1", metadata={**X, "namespace": "other"})
    DECOY = pod("decoy", "n2", metadata=X)

    @pytest.mark.parametrize(
        ("where", "nodes"),
        [
            ({}, {"n2"}),
            ({"namespaces": ["other"]}, {"n1"}),
            ({"namespaces": []}, {"n2"}),
            ({"namespaceSelector": {}}, {"n1", "n2"}),
            ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, {"n1"}),
            ({"namespaceSelector": {"matchLabels": {"team": "z"}}}, set()),
            (
                {
                    "namespaceSelector": {"matchLabels": {"team": "b"}},
                    "namespaces": ["default"],
                },
                {"n1", "n2"},
            ),
            (
                {
                    "namespaceSelector": {
                        "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]
                    }
                },
                {"n1"},
            ),
        ],
    )
    def test_to_be_near(self, where: dict[str, Any], nodes: set[str]) -> None:
        """The pod may go where the pods of the namespaces meant are, and nowhere else."""
        for at in ("n1", "n2"):
            wanted = near(term(HOST, **where))
            only = pod("p", **wanted, nodeSelector={HOST: at})
            found = placed(*TWO, *self.SPACES, self.THERE, self.DECOY, only)

            assert ({"p": at} if at in nodes else {}) == found

    def test_to_be_apart(self) -> None:
        """From pods of namespaces with that label alone, whichever the own one is."""
        wanted = apart(term(HOST, namespaceSelector={"matchLabels": {"team": "b"}}))

        assert {"p": "n2"} == placed(
            node("n1"), node("n2"), *self.SPACES, self.THERE, self.DECOY, pod("p", **wanted)
        )
        alone = pod("p", metadata={**X, "namespace": "other"}, **wanted)
        assert {"p": "n1"} == placed(
            node("n1"), *self.SPACES, pod("decoy", "n1", metadata=X), alone
        )

    def test_of_a_pod_that_runs(self) -> None:
        """Its anti-affinity keeps off pods of the namespaces that it selects."""
        wanted = apart(term(HOST, namespaceSelector={"matchLabels": {"team": "b"}}))
        guard = pod("guard", "n1", **wanted)

        assert {} == placed(
            node("n1"), *self.SPACES, guard, pod("p", metadata=self.THERE["metadata"])
        )
        assert {"p": "n1"} == placed(node("n1"), *self.SPACES, guard, pod("p", metadata=X))

    def test_news_of_labels(self) -> None:
        """A namespace that gets the label is looked at from then on; one that goes no more."""
        wanted = near(term(HOST, namespaceSelector={"matchLabels": {"team": "z"}}))
        cache = cached(node("n1"), *self.SPACES, self.THERE, pod("p", **wanted))

        assert not planned(cache).placements
        see(cache, namespace("other", team="z"), 100)
        assert planned(cache).placements
        cache.delete("Namespace", ("", "other"), "", 101)
        assert not planned(cache).placements

    def test_by_name(self) -> None:
        """Every namespace has the label of its name, also where no namespace has been seen."""
        selector = {"matchLabels": {"kubernetes.io/metadata.name": "other"}}
        wanted = near(term(HOST, namespaceSelector=selector))

        assert {"p": "n1"} == placed(*TWO, self.THERE, self.DECOY, pod("p", **wanted))


class TestNodesThatAreNotOurs:
    NODES = (
        node("ours1", {ZONE: "z1", "pool": "b"}),
        node("ours2", {ZONE: "z2", "pool": "b"}),
        node("other", {ZONE: "z1"}),
    )

    def test_near_a_pod_there(self) -> None:
        """In its zone, on a node of ours."""
        there, p = pod("there", "other", metadata=X), pod("p", **near(term(ZONE)))

        assert {"p": "ours1"} == placed(*self.NODES, there, p, ours="pool=b")

    def test_apart_from_a_pod_there(self) -> None:
        """Not in its zone, also for one that is like it."""
        for labels in ({}, X):
            p = pod("p", metadata=labels, **apart(term(ZONE)))
            there = pod("there", "other", metadata=X)

            assert {"p": "ours2"} == placed(*self.NODES, there, p, ours="pool=b")

    def test_a_pod_there_that_wants_to_be_apart(self) -> None:
        """Its zone is closed to whom it shuns."""
        there, p = pod("there", "other", **apart(term(ZONE))), pod("p", metadata=X)

        assert {"p": "ours2"} == placed(*self.NODES, there, p, ours="pool=b")

    def test_spread_counts_pods_there(self) -> None:
        """Two stand in the first zone: with five more the zones differ by one."""
        running = [pod(f"w{at}", "other", metadata=X) for at in range(2)]
        waiting = [
            pod(f"p{at}", metadata=X, **even(ZONE, {"matchLabels": {"app": "x"}}))
            for at in range(5)
        ]
        found = [*placed(*self.NODES, *running, *waiting, ours="pool=b").values()]

        assert 5 == len(found)
        assert 1 == abs(2 + found.count("ours1") - found.count("ours2"))

    def test_spread_counts_zones_that_have_none_of_ours(self) -> None:
        """As kube-scheduler: the least is that zone's, but for a pod that asks for our nodes."""
        far = node("far", {ZONE: "z3"})
        wanted = even(ZONE, {"matchLabels": {"app": "x"}})
        running = [pod("w1", "ours1", metadata=X), pod("w2", "ours2", metadata=X)]
        plain = pod("p", metadata=X, **wanted)
        ours = pod("p", metadata=X, **wanted, nodeSelector={"pool": "b"})

        assert {} == placed(*self.NODES, far, *running, plain, ours="pool=b")
        assert ["p"] == [*placed(*self.NODES, far, *running, ours, ours="pool=b")]

    def test_nothing_lands_there(self) -> None:
        """Whatever counts there."""
        there, p = pod("there", "other", metadata=X), pod("p", **near(term(HOST)))

        assert {} == placed(*self.NODES, there, p, ours="pool=b")


def test_a_daemonset_pod_that_runs_wants_to_be_apart() -> None:
    """It keeps off what it shuns, though its controller named its node in its affinity."""
    owner = {"kind": "DaemonSet", "name": "d", "uid": "d", "controller": True}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]
    wanted = {
        "nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchFields": fields}]}},
        **apart(term(HOST))["affinity"],
    }
    agent = pod("agent", "n1", metadata={"ownerReferences": [owner]}, affinity=wanted)

    assert {"p": "n2"} == placed(*TWO, agent, pod("p", metadata=X))
    assert {"q": "n1"} == placed(node("n1"), agent, pod("q"))


class TestTheFirstOfASeries:
    NODES = (node("n1", {"rack": "r1"}), node("n2"))

    def test_its_like_stands_where_the_key_is_absent(self) -> None:
        """It is the first of those that have a rack; without the key it may not be."""
        there = pod("there", "n2", metadata=X)
        waiting = [pod(f"p{at}", metadata=X, **near(term("rack"))) for at in range(3)]

        assert ["n1"] * 3 == [*placed(*self.NODES, there, *waiting).values()]
        assert {} == placed(node("n2"), there, waiting[0])

    def test_one_of_two_keys_is_there(self) -> None:
        """Then a series has begun: it goes nowhere but there."""
        there = pod("there", "n2", metadata=X)
        p = pod("p", metadata=X, **near(term("rack"), term(HOST)))

        assert {} == placed(*self.NODES, there, p)

    def test_it_is_not_like_what_it_asks_for(self) -> None:
        """Then it waits for one."""
        assert {} == placed(
            *self.NODES, pod("there", "n2", metadata=X), pod("p", **near(term("rack")))
        )


class TestSelectorsOfSpread:
    NODES = (node("n1", {ZONE: "z1"}), node("n2", {ZONE: "z2"}), node("n3"))
    RUNNING = tuple(pod(f"w{at}", "n1", metadata=X) for at in range(3))

    @pytest.mark.parametrize("selector", [{}, None, {"matchLabels": {}}, {"matchExpressions": []}])
    def test_an_empty_one_counts_nobody(self, selector: Any) -> None:
        """Whatever stands there; but a node without the key is refused."""
        for at, expected in (("n1", {"p": "n1"}), ("n2", {"p": "n2"}), ("n3", {})):
            p = pod("p", metadata=X, **even(ZONE, selector), nodeSelector={HOST: at})

            assert expected == placed(*self.NODES, *self.RUNNING, p)

    def test_of_an_affinity_an_empty_one_means_everybody(self) -> None:
        """And none at all means nobody."""
        everybody = pod("p", **near(term(ZONE, labelSelector={})))
        nobody = pod("p", **near({"topologyKey": ZONE}))

        assert {"p": "n1"} == placed(*self.NODES, *self.RUNNING, everybody)
        assert {} == placed(*self.NODES, *self.RUNNING, nobody)


class TestLabelsOfARun:
    def of_run(self, run: str, **wanted: Any) -> dict[str, Any]:
        return {"metadata": {"labels": {"app": "x", RUN: run}}, **wanted}

    def test_apart_within_a_run(self) -> None:
        """Two of one run on two nodes, others beside them."""
        selector = {"matchLabels": {"app": "x", RUN: "r1"}}
        mine = self.of_run("r1", **apart(term(HOST, labelSelector=selector)))
        waiting = [pod("p0", **mine), pod("p1", **mine), pod("q", **self.of_run("r2"))]
        found = placed(*TWO, *waiting)

        assert {"n1", "n2"} == {found["p0"], found["p1"]}
        assert "q" in found
        assert {} == placed(node("n1"), pod("r", "n1", **self.of_run("r1")), waiting[0])

    def test_a_pod_that_runs_shuns_a_run(self) -> None:
        """Its anti-affinity names the label; who waits did not ask for it."""
        selector = {"matchLabels": {RUN: "r1"}}
        guard = pod("guard", "n1", **apart(term(HOST, labelSelector=selector)))

        assert {} == placed(node("n1"), guard, pod("p", **self.of_run("r1")))
        assert {"p": "n1"} == placed(node("n1"), guard, pod("p", **self.of_run("r2")))

    def test_one_that_waits_shuns_a_run_that_waits(self) -> None:
        """Neither has a node yet: they do not get the same."""
        selector = {"matchLabels": {RUN: "r1"}}
        guard = pod("guard", **apart(term(HOST, labelSelector=selector)))

        assert 1 == len(placed(node("n1"), guard, pod("p", **self.of_run("r1"))))
        assert 2 == len(placed(node("n1"), guard, pod("p", **self.of_run("r2"))))

    def test_spread_of_each_run(self) -> None:
        """By `matchLabelKeys`: two runs of four, each evenly over two nodes."""
        wanted = even(HOST, {"matchLabels": {"app": "x"}}, matchLabelKeys=[RUN])
        waiting = [
            pod(f"p{at}", **self.of_run("r1" if at % 2 else "r2", **wanted)) for at in range(8)
        ]
        found = placed(*TWO, *waiting)
        by_run = [sorted(found[f"p{at}"] for at in range(first, 8, 2)) for first in (0, 1)]

        assert [["n1", "n1", "n2", "n2"]] * 2 == by_run

    def test_near_its_run(self) -> None:
        """Each run in one zone, whichever."""
        nodes = [node("n1", {ZONE: "z1"}), node("n2", {ZONE: "z2"})]
        selector = {"matchLabels": {RUN: "r1"}}
        there = pod("there", "n2", **self.of_run("r1"))
        p = pod("p", **self.of_run("r1", **near(term(ZONE, labelSelector=selector))))

        assert {"p": "n2"} == placed(*nodes, there, p)


@pytest.mark.parametrize(
    ("value", "operator", "bound", "lands"),
    [
        ("9223372036854775807", "Gt", "5", True),
        ("9223372036854775808", "Gt", "5", False),
        ("-9223372036854775808", "Lt", "5", True),
        ("-9223372036854775809", "Lt", "5", False),
        ("00000000000000000000000000000006", "Gt", "5", True),
        ("+6", "Gt", "5", True),
        ("6.0", "Gt", "5", False),
        ("0x6", "Gt", "5", False),
        ("1_0", "Gt", "5", False),
        ("٦", "Gt", "5", False),
        ("6", "Gt", "9223372036854775808", False),
        ("6", "Lt", "9223372036854775808", False),
    ],
)
def test_labels_that_are_numbers(value: str, operator: str, bound: str, lands: bool) -> None:
    """What strconv.ParseInt of 64 bits cannot read is no number."""
    expression = {"key": "gen", "operator": operator, "values": [bound]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    p = pod("p", affinity={"nodeAffinity": {HARD: terms}})

    assert ({"p": "n1"} if lands else {}) == placed(node("n1", {"gen": value}), p)


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        ("NotIn", []),
        ("NotIn", ["-3"]),
        ("NotIn", ["a" * 64]),
        ("In", ["there", "a b"]),
        ("Exists", ["there"]),
        ("DoesNotExist", ["x"]),
        ("Gt", ["-5"]),
        ("Gt", ["1", "2"]),
        ("Gt", []),
    ],
)
def test_expressions_that_cannot_be(operator: str, values: list[str]) -> None:
    """What kube-scheduler cannot read matches no node; another term may."""
    key = "absent" if operator == "DoesNotExist" else "gen"
    odd = {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    plain = {"matchExpressions": [{"key": "gen", "operator": "Exists"}]}
    there = node("n1", {"gen": "there" if operator in {"In", "Exists"} else "7"})

    for terms, expected in (([odd], {}), ([odd, plain], {"p": "n1"})):
        affinity = {"nodeAffinity": {HARD: {"nodeSelectorTerms": terms}}}
        assert expected == placed(there, pod("p", affinity=affinity))


class TestMadeRoomForOthers:
    """A pod of kube-scheduler's that has preempted others is nominated to their node."""

    def nominated(self, priority: int, **more: Any) -> dict[str, Any]:
        containers = [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]
        return pod(
            "preemptor",
            **{
                "containers": containers,
                "schedulerName": "default-scheduler",
                "priority": priority,
                "status": {"phase": "Pending", "nominatedNodeName": "n1"},
                **more,
            },
        )

    def asking(self, **more: Any) -> dict[str, Any]:
        containers = [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]
        return pod("p", containers=containers, **more)

    def test_its_room_is_taken(self) -> None:
        """For who comes after it; there is room elsewhere, or the pod is told."""
        nodes = node("n1", cpu="2"), node("n2", cpu="2")

        assert {"p": "n2"} == placed(*nodes, self.nominated(1000), self.asking())
        assert {} == placed(nodes[0], self.nominated(1000), self.asking())
        assert "held for another task" in why(nodes[0], self.nominated(1000), self.asking())

    def test_who_comes_before_it(self) -> None:
        """A higher priority takes the room, as it would in kube-scheduler."""
        p = self.asking(priority=2000)

        assert {"p": "n1"} == placed(node("n1", cpu="2"), self.nominated(1000), p)

    def test_it_gets_its_node_or_goes(self) -> None:
        """Then it is nominated no more."""
        cache = cached(node("n1", cpu="2"), self.nominated(1000), self.asking())
        assert not planned(cache).placements
        cache.delete("Pod", ("default", "preemptor"), "", 100)

        assert planned(cache).placements

    def test_holds_of_ours_are_not_such(self) -> None:
        """A pod that we hold a node for names it too; that is the solve's own business."""
        ours = self.nominated(0, schedulerName="bayplan")

        assert "preemptor" in placed(node("n1", cpu="2"), ours)


class TestNodesThatLeave:
    """Plain pods know what they tolerate, as in Kubernetes; our workloads start nothing there."""

    EVERYTHING = ({"operator": "Exists"},)

    def leaving(self, **spec: Any) -> dict[str, Any]:
        return {**node("n1"), "spec": spec}

    def silent(self) -> dict[str, Any]:
        there = node("n1")
        conditions = [{"type": "Ready", "status": "Unknown"}]
        return {**there, "status": {**there["status"], "conditions": conditions}}

    def test_a_cordon_that_is_tolerated(self) -> None:
        """By everything, or by its own taint; not by another."""
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        there = self.leaving(unschedulable=True, taints=[taint])
        named = ({**taint, "operator": "Exists"},)
        other = ({"key": "gpu", "operator": "Exists"},)

        assert {"p": "n1"} == placed(there, pod("p", tolerations=self.EVERYTHING))
        assert {"p": "n1"} == placed(there, pod("p", tolerations=named))
        assert {} == placed(there, pod("p", tolerations=other))
        assert {} == placed(there, pod("p"))

    def test_silence_that_is_tolerated(self) -> None:
        """By the taints that stand for it; the usual tolerations of NoExecute are none."""
        usual = [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
            for key in ("not-ready", "unreachable")
        ]

        assert {"p": "n1"} == placed(self.silent(), pod("p", tolerations=self.EVERYTHING))
        assert {} == placed(self.silent(), pod("p", tolerations=usual))

    @pytest.mark.parametrize("sign", ["cordon", "silence", "disruption"])
    def test_ours_start_nothing_there(self, sign: str) -> None:
        """Whatever their template tolerates: a service would go on moving to nodes that end."""
        there = {
            "cordon": self.leaving(unschedulable=True),
            "silence": self.silent(),
            "disruption": self.leaving(
                taints=[{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]
            ),
        }[sign]
        owner = {"kind": "LongService", "name": "s", "uid": "s", "controller": True}
        ours = {"metadata": {"ownerReferences": [owner]}, "tolerations": self.EVERYTHING}

        assert {} == placed(there, pod("p", **ours))
        assert {"p": "n1"} == placed(there, pod("p", tolerations=self.EVERYTHING))

    def test_a_node_that_is_being_deleted(self) -> None:
        """Nobody lands there."""
        there = node("n1")
        there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

        assert {} == placed(there, pod("p", tolerations=self.EVERYTHING))
