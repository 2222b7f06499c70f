"""`explain node NAME`: why a node of a recorded cluster stays or goes, and what that costs."""

import datetime as dt
from typing import Any

import pytest
from click.testing import CliRunner

from bayplan.cli.main import main
from bayplan.model.nodes import PRICE
from tests.recorded import Body, Recorded, make_node, make_pod, run, told
from tests.unit.cli.test_cli_pools import LABEL, condition, make_pool, make_status

DAY = 86_400


def ago(seconds: int) -> str:
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str = "n1", *, taint: str = "", age: int = DAY, pool: str = "batch",
         **annotations: str) -> Body:  # fmt: skip
    """A node of the Pool `batch` that costs $0.38 an hour; underscores are slashes and dashes."""
    made = make_node(name, **({LABEL: pool} if pool else {}))
    made["metadata"]["creationTimestamp"] = ago(age)
    made["metadata"]["annotations"] = {PRICE: "0.38", **annotations}
    if taint:
        draining = {"key": "bayplan.dev/draining", "value": taint, "effect": "NoSchedule"}
        made["spec"]["taints"] = [draining]
    return made


def pod(name: str, kind: str = "ReplicaSet", owner: str = "web", *, age: int = DAY,
        at: str = "n1", **annotations: str) -> Body:  # fmt: skip
    made = make_pod(name, node=at)
    made["metadata"] |= {
        "creationTimestamp": ago(age),
        "labels": {"app": owner},
        "annotations": annotations,
        "ownerReferences": [
            {"apiVersion": "x/v1", "kind": kind, "name": owner, "uid": f"uid-{owner}",
             "controller": True}
        ],
    }  # fmt: skip
    made["status"] |= {
        "startTime": ago(age),
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return made


def pool(mode: str = "BuyAndConsolidate", **status: Any) -> Body:
    conditions = [condition("Consolidating", "True", "Settled", "No plan saves enough.")]
    return make_pool(mode=mode, status=make_status(**{"conditions": conditions, **status}))


PAIR = (pod("web-1"), pod("web-2", at="n2"), make_node("n2"))


def page(*bodies: Body, of: Body | None = None, name: str = "n1") -> str:
    found = Recorded(pool() if of is None else of, *bodies)
    return run(found, "explain", "node", name).output


def why(*bodies: Body, of: Body | None = None) -> list[str]:
    found = Recorded(pool() if of is None else of, *bodies)
    lines: list[str] = told(found, "explain", "node/n1")["why"]
    return lines


def test_a_node_whose_pods_may_move() -> None:
    """It stays because nothing is saved by moving them; what it costs is in the first line."""
    text = page(node(), *PAIR)

    assert (
        "Node n1 of Pool batch, mode BuyAndConsolidate (m5.xlarge, $0.3800 an hour): Open, 1 pod"
    ) in text
    assert "It stays: its pods may move, but no plan was found that saves enough" in text
    assert "may move: 1 pod\n  default/web-1 (ReplicaSet web)" in text


def test_why_pods_that_may_move_stay() -> None:
    """The sums of what they ask for and of what the other nodes of the Pool have free."""
    alone = why(node(), *PAIR)
    roomy = why(node(), *PAIR[:2], node("n2"), node("n3"), node("n4", taint="moving"))

    assert "the other nodes have no room for them, and what would be bought" in alone[0]
    assert alone[0].endswith(
        "ask for 1.0 CPUs and 0.0 GiB; the other nodes of the Pool have 0.0 CPUs and 0.0 GiB free "
        "in all."
    )
    assert "not each of them fits onto another node, or a plan" in roomy[0]
    assert "the other nodes of the Pool have 7.0 CPUs and 32.0 GiB free in all" in roomy[0]


def test_moves_that_cost_more_than_they_save() -> None:
    """The sum is shown, so that the price of a move can be judged."""
    made = pool()
    made["spec"]["consolidation"] = {"moveMicrodollars": 1_000_000, "horizonSeconds": 1800}

    [line] = why(node(), *PAIR, of=made)

    assert (
        "It stays: to give it back saves $0.1900 in 1800 seconds, and its moves (1) count $1.5000 "
        "(half as much again as 1 × spec.consolidation.moveMicrodollars)."
    ) == line


@pytest.mark.parametrize(
    ("guest", "words"),
    [
        (pod("web-1", **{"karpenter.sh/do-not-disrupt": "true"}), "karpenter.sh/do-not-disrupt"),
        (pod("web-1", **{"bayplan.dev/move": "Never"}), "bayplan.dev/move: Never"),
        (
            pod("web-1", **{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}),
            "safe-to-evict",
        ),
        (pod("solo", owner="solo"), "is the only pod of ReplicaSet solo"),
        (pod("r-1", "BatchJob", "report"), "is a run of BatchJob report, which is not interrupted"),
        (make_pod("bare", node="n1"), "has no controller that would replace it"),
        (pod("web-1", age=60), "for less than 1800 seconds"),
    ],
)
def test_a_pod_that_keeps_its_node(guest: Body, words: str) -> None:
    """It is named with the reason, and what the node costs an hour because of it."""
    guest["metadata"].setdefault("creationTimestamp", ago(DAY))
    text = page(node(), guest, make_node("n2"), pod("web-2", at="n2"))

    assert "pods on it may not move (1; see below). It costs $0.38 an hour while it stays." in text
    [line] = [one for one in text.splitlines() if one.startswith(f"  default/{_name(guest)} ")]
    assert words in line


def _name(body: Body) -> str:
    return str(body["metadata"]["name"])


def test_a_service_that_is_updated_stays() -> None:
    """Its instances move anyway."""
    pods = [pod(f"s-{at}", "LongService", "s", at=f"n{at}") for at in (1, 2)]
    for number, one in enumerate(pods):
        one["metadata"]["labels"]["bayplan.dev/revision"] = f"s-{number}"

    assert "s-1 is of LongService s, which gets another template" in page(
        node(), make_node("n2"), *pods
    )


def budget(allowed: int, **selector: Any) -> Body:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"maxUnavailable": 0, "selector": selector or {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed, "expectedPods": 2, "desiredHealthy": 2},
    }


@pytest.mark.parametrize(
    ("one", "held"),
    [
        (budget(0), True),
        (budget(1), False),
        (budget(0, matchLabels={"app": "other"}), False),
        (budget(0, matchExpressions=[{"key": "app", "operator": "Exists"}]), True),
        (budget(1) | {"status": {}}, True),
    ],
)
def test_a_budget_that_lets_no_pod_go(one: Body, held: bool) -> None:
    """It is named, if it selects the pod."""
    assert held == ("PodDisruptionBudget default/web" in page(node(), *PAIR, one))


def test_two_budgets_let_no_pod_go() -> None:
    """The Eviction API evicts no pod that has two, whatever they allow; the operator knows that."""
    two = budget(1), budget(1) | {"metadata": {"name": "all", "namespace": "default"}}

    assert "may not leave now by PodDisruptionBudget default/all, default/web" in page(
        node(), *PAIR, *two
    )


def test_a_budget_whose_status_is_old_lets_no_pod_go() -> None:
    """As the Eviction API has it: nobody has counted for the new spec yet."""
    old = budget(1)
    old["metadata"]["generation"] = 2
    old["status"]["observedGeneration"] = 1

    assert "may not leave now by PodDisruptionBudget default/web" in page(node(), *PAIR, old)


def test_a_pod_that_is_not_ready_carries_nobody() -> None:
    """Its controller's one ready pod stays, as the operator says."""
    other = pod("web-2", at="n2")
    other["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    assert "default/web-1 is the only pod of ReplicaSet web" in page(
        node(), pod("web-1"), other, make_node("n2")
    )


def test_a_run_that_may_be_interrupted_may_move() -> None:
    """If its BatchJob says so."""
    job: Body = {
        "kind": "BatchJob",
        "metadata": {"name": "report", "namespace": "default", "uid": "uid-report"},
        "spec": {"interruptible": True},
    }

    assert "may move: 1 pod" in page(node(), pod("r-1", "BatchJob", "report"), job)


def test_runs_that_end_soon_are_waited_for() -> None:
    """They do not keep the node: with nothing else on it, it goes by itself."""
    soon = pod("r-1", "BatchJob", "report", age=60, **{"bayplan.dev/expected-seconds": "300"})
    text = page(node(), soon)

    assert "end by themselves: 1 pod\n  default/r-1 ends in about 4 minutes" in text
    assert "It goes when it has had no pods for 60 seconds" in text


def taken() -> Body:
    """A node that Karpenter is about to end."""
    made = node()
    made["spec"]["taints"] = [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]
    return made


@pytest.mark.parametrize(
    ("one", "state", "words"),
    [
        (node(**{"bayplan.dev/closing": "p7"}), "Closing", "Node n1 closes: "),
        (node(taint="moving"), "Draining", "It goes: pods that have still to move: 1; that saves"),
        (node(taint="retiring"), "Retiring", "It goes: it is empty and is being given back"),
        (node(taint="by hand"), "Leaving", "somebody takes it away (taint bayplan.dev/draining)"),
        (taken(), "Leaving", "(taint karpenter.sh/disrupted); pods that have still to leave: 1."),
    ],
)
def test_a_node_that_goes(one: Body, state: str, words: str) -> None:
    """How far it is, and what its end saves."""
    text = page(one, *PAIR)

    assert f": {state}, 1 pod" in text
    assert words in text
    assert ("$0.38 an hour" in text) == (state != "Leaving")


def test_a_node_that_closes_says_what_it_waits_for() -> None:
    """The last of its runs decides when it goes."""
    runs = [
        pod(f"r-{at}", "BatchJob", "report", age=60, **{"bayplan.dev/expected-seconds": seconds})
        for at, seconds in enumerate(("100", "300"))
    ]

    assert ["Node n1 closes: its 2 runs end in about 4 min; that saves $0.38 an hour."] == why(
        node(**{"bayplan.dev/closing": "p7"}), *runs
    )


def test_a_node_that_a_person_keeps() -> None:
    """The annotation is named, and what it costs."""
    [line] = why(node(**{"bayplan.dev/keep": "true"}), *PAIR)

    assert "kept by its annotation bayplan.dev/keep. Remove the annotation" in line
    assert line.endswith("It costs $0.38 an hour while it stays.")


def test_a_node_that_somebody_has_cordoned() -> None:
    """It is left to them."""
    made = node()
    made["spec"]["unschedulable"] = True
    [line] = why(made, *PAIR)

    assert "somebody has cordoned it" in line
    assert "`kubectl uncordon n1` lets the Pool decide. It costs $0.38" in line


def test_what_the_operator_says_of_the_node() -> None:
    """The plan would give it back but for a pod: the words are those of the Pool's status."""
    row = {"node": "n1", "pod": "a/b", "reason": "is the only pod of X", "dollarsPerHour": "0.40"}
    others = {**row, "node": "n2"}

    [line] = why(node(), *PAIR, of=pool(blocked=[row, others]))

    assert (
        "The last plan would give it back. Node n1 stays: pod a/b is the only pod of X; it costs "
        "$0.40 an hour."
    ) == line


def test_why_nothing_moves_now() -> None:
    """In the words of the condition; also where nobody has written a status."""
    frozen = [condition("Consolidating", "False", "PodsWait", "No move begins. Pods wait.")]
    silent = make_pool(mode="BuyAndConsolidate", status={})

    assert ["For now no pod of the Pool begins to move: No move begins. Pods wait."] == why(
        node(), *PAIR, of=pool(conditions=frozen)
    )
    assert "`bayplan doctor` says more" in why(node(), *PAIR, of=silent)[0]


def test_a_young_node() -> None:
    """The field that says how long is named."""
    [line] = why(node(age=60), *PAIR)

    assert (
        "It stays for now: it is younger than 600 seconds (spec.consolidation."
        "minimumNodeAgeSeconds)."
    ) == line


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("Advise", "Pool batch only advises. Set its spec.mode to Buy"),
        ("Buy", "no pods for 60 seconds: Pool batch has mode Buy. Set spec.mode to BuyAndCons"),
    ],
)
def test_a_pool_that_moves_nothing(mode: str, words: str) -> None:
    """What to change is named."""
    [line] = why(node(), *PAIR, of=pool(mode))

    assert words in line


def test_a_node_of_no_pool() -> None:
    """Bayplan has nothing to do with it; the Pools that there are are named."""
    found = Recorded(pool(), node(pool=""), *PAIR)
    data = told(found, "explain", "node/n1")
    alone = Recorded(node(pool=""), refuse={"/apis/bayplan.dev/v1alpha1/pools": 404})

    assert ("", "") == (data["pool"], data["mode"])
    assert "it is in no Pool, and Bayplan gives back nodes of Pools only" in data["why"][0]
    assert data["why"][0].endswith("There are Pools: batch.")
    assert run(alone, "explain", "node/n1").output.rstrip().endswith("There is no Pool.")


def test_a_node_of_a_pool_that_is_gone() -> None:
    """Its label names a Pool that does not exist."""
    [line] = why(node(pool="gone"), *PAIR)

    assert "its label bayplan.dev/pool names Pool gone, which does not exist" in line


def test_a_pool_whose_spec_cannot_be_used() -> None:
    """It gives nothing back."""
    broken = make_pool(mode="BuyAndConsolidate", limits={"cpu": "many"})
    [line] = why(node(), *PAIR, of=broken)

    assert "the spec of Pool batch cannot be used" in line


def test_pods_of_daemonsets_go_with_the_node() -> None:
    """They keep no node."""
    agent = pod("agent-1", "DaemonSet", "agent")

    assert "go with the node: 1 pod\n  default/agent-1 (DaemonSet agent)" in page(node(), agent)


def test_many_pods_are_cut_and_wide_shows_all() -> None:
    """The first few by name are enough to see what there is."""
    found = Recorded(pool(), node(), *(pod(f"web-{at:02}") for at in range(12)))

    assert "  … and 4 more; -o wide shows all" in run(found, "explain", "node/n1").output
    assert "web-11" in run(found, "explain", "node/n1", "-o", "wide").output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ip-10-0-0-12", "no Node 'ip-10-0-0-12'; did you mean ip-10-0-0-11?"),
        ("x", "no Node 'x'; `kubectl get nodes` lists the 1 that there are"),
    ],
)
def test_a_node_that_is_not_there(name: str, words: str) -> None:
    """Names that are near are offered."""
    found = Recorded(make_node("ip-10-0-0-11"))

    assert words in run(found, "explain", "node", name, code=1).output


def test_two_words_are_one_name() -> None:
    """As kubectl takes them; three are too many."""
    found = Recorded(pool(), node(), *PAIR)
    pages = [
        run(found, "explain", *words).output
        for words in (["node", "n1"], ["node/n1"], ["no", "n1"], ["Nodes", "n1"])
    ]

    assert 1 == len(set(pages))
    assert "Pool batch" in run(found, "explain", "pool", "batch", code=1).output
    for words in (["node", "n1", "n2"], ["node/n1", "n2"]):
        result = CliRunner().invoke(main, ["explain", *words], obj=found)

        assert 2 == result.exit_code
        assert "give one name, as NAME, KIND/NAME or KIND NAME" in result.output


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("/apis/policy", "PodDisruptionBudget"),
        ("/apis/bayplan.dev/v1alpha1/batchjobs", "BatchJob"),
    ],
)
def test_what_the_user_may_not_read_is_left_out(start: str, kind: str) -> None:
    """That is said, and the rest is told all the same."""
    found = Recorded(pool(), node(), *PAIR, refuse={start: 403})
    result = run(found, "explain", "node/n1")

    assert "may move: 1 pod" in result.stdout
    assert f"without each {kind} of the cluster: " in result.stderr


def test_who_may_not_read_pools_hears_so() -> None:
    """Nobody can tell then whether the node is in a Pool."""
    found = Recorded(node(), *PAIR, refuse={"/apis/bayplan.dev/v1alpha1/pools": 403})

    assert "refused" in run(found, "explain", "node/n1", code=3).output
