"""The auditor finds planted faults, each under its own number, and lets pass what is right."""

import datetime as dt
from typing import Any

import pytest

from tests.audit import amounts, targets
from tests.audit.auditor import Auditor
from tests.audit.world import LAG

T0 = 1_700_000_000  # 2023-11-14T22:13:20Z


def stamp(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_node(name: str = "n1", *, cpu: str = "2", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": {"pool": "a"}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def make_owner(kind: str, name: str = "o", **spec: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"namespace": "ns", "name": name, "uid": name, "creationTimestamp": stamp(T0)},
        "spec": spec,
        "status": {},
    }


def make_pod(name: str, owner: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """`at` is its creation, `run`, `attempt` and `slot` its labels, `phase` and `code` its end."""
    reference = []
    if owner is not None:
        reference = [
            {
                "apiVersion": "bayplan.dev/v1alpha1",
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ]
    words = {"run": given.get("run"), "attempt": given.get("attempt"), "slot": given.get("slot")}
    labels = {f"bayplan.dev/{word}": str(value) for word, value in words.items() if value}
    if "task" in given:
        labels["bayplan.dev/task-index"] = str(given["task"])
    phase = given.get("phase", "Pending")
    state: dict[str, Any] = {"running": {}} if phase == "Running" else {}
    if phase in {"Succeeded", "Failed"}:
        ended = {"finishedAt": stamp(given.get("ended", T0)), "exitCode": given.get("code", 0)}
        state = {"terminated": ended}
    ready = {"type": "Ready", "status": "True" if given.get("ready") else "False"}
    trigger = given.get("trigger", "Schedule" if "slot" in given else "")
    metadata = {
        "namespace": "ns",
        "name": name,
        "uid": given.get("uid", name),
        "labels": labels,
        "annotations": {
            **({"bayplan.dev/trigger": trigger} if trigger else {}),
            **({"bayplan.dev/tasks": str(given["tasks"])} if "tasks" in given else {}),
        },
        "ownerReferences": reference,
        "creationTimestamp": stamp(given.get("at", T0)),
        **({"deletionTimestamp": stamp(T0)} if given.get("leaving") else {}),
    }
    request = {"requests": {"cpu": given.get("cpu", "1")}}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "schedulerName": "bayplan",
            "containers": [{"name": "main", "resources": request}],
            **({"nodeName": given["node"]} if "node" in given else {}),
            **given.get("spec", {}),
        },
        "status": {
            "phase": phase,
            "conditions": [ready],
            "containerStatuses": [{"name": "main", "state": state}],
        },
    }


class Tape:
    """Events a second apart, and what the auditor says in the end."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.auditor = Auditor()
        self.at = 1000.0
        self.play(*bodies)

    def play(self, *bodies: dict[str, Any], event: str = "MODIFIED") -> None:
        for body in bodies:
            self.at += 1
            self.auditor.see(event, body, self.at)

    def found(self, *, later: float = LAG, wall: int = T0) -> list[str]:
        return [one.rule for one in self.auditor.judge(self.at + later, wall)]


JOB = make_owner("BatchJob", schedule=f"R/{stamp(T0)}/PT10S", retryPolicy={"delaySeconds": 5})
SERVICE = make_owner("LongService", replicas=2)


def test_an_over_committed_node_is_found() -> None:
    """I1: three cores asked of two, by pods that still run."""
    tape = Tape(make_node(cpu="2"), SERVICE)
    tape.play(*(make_pod(f"p{n}", SERVICE, node="n1") for n in range(3)))

    assert ["I1"] == tape.found()


def test_ended_pods_take_no_room() -> None:
    """I1: what has ended or gone does not count; what is only leaving does."""
    tape = Tape(make_node(cpu="2"), make_pod("a", node="n1"), make_pod("b", node="n1"))
    tape.play(make_pod("a", node="n1", phase="Succeeded"), make_pod("c", node="n1"))
    tape.play(make_pod("b", node="n1"), event="DELETED")
    tape.play(make_pod("d", node="n1"))
    right = tape.found()
    tape.play(make_pod("c", node="n1", leaving=True), make_pod("e", node="n1"))

    assert ([], ["I1"]) == (right, tape.found())


def test_a_node_that_shrank_just_now_is_no_fault() -> None:
    """I1: a decision is right when it was right a moment ago."""
    tape = Tape(make_node(cpu="2"), make_node(cpu="1"), make_pod("a", node="n1", cpu="2"))

    assert [] == tape.found()


@pytest.mark.parametrize(
    ("node", "spec"),
    [
        ({"unschedulable": True}, {}),
        ({"taints": [{"key": "k", "effect": "NoSchedule"}]}, {}),
        ({}, {"nodeSelector": {"pool": "b"}}),
    ],
)
def test_a_pod_where_it_may_not_be_is_found(node: dict[str, Any], spec: dict[str, Any]) -> None:
    """I2: cordons, taints and selectors hold for pods that are born placed, too."""
    tape = Tape(make_node(**node))
    tape.at += 2 * LAG
    tape.play(make_pod("a", node="n1", spec=spec))

    assert ["I2"] == tape.found()


def test_two_pods_on_one_host_port_are_found() -> None:
    """I2: a host port is taken once."""
    container = {"name": "main", "ports": [{"hostPort": 80}]}
    tape = Tape(make_node())
    tape.play(*(make_pod(n, node="n1", spec={"containers": [container]}) for n in "ab"))

    assert ["I2"] == tape.found()


def test_an_instance_beyond_the_surge_is_found() -> None:
    """I3: two replicas and a quarter give three during an update, not four."""
    tape = Tape(make_node(cpu="8"), SERVICE)
    tape.play(*(make_pod(f"p{n}", SERVICE, node="n1") for n in range(3)))
    right = tape.found()
    tape.play(make_pod("p3", SERVICE, node="n1"))

    assert ([], ["I3"]) == (right, tape.found())


@pytest.mark.parametrize(
    ("pods", "later"),
    [(1, make_node(cpu="8")), (4, make_owner("LongService", replicas=4))],
    ids=["uncordoned", "scaled up"],
)
def test_a_stream_that_is_behind_is_waited_for(pods: int, later: dict[str, Any]) -> None:
    """I2, I3: what was the reason may be heard after what followed from it."""
    tape = Tape(make_node(cpu="8", unschedulable=pods == 1), make_owner("LongService", replicas=2))
    tape.at += 2 * LAG
    tape.play(*(make_pod(f"p{n}", SERVICE, node="n1") for n in range(pods)))
    tape.play(later)

    assert [] == tape.found()


def test_instances_on_a_node_that_was_cordoned_just_now_are_no_surge() -> None:
    """I3: their replacements were on their way when it was uncordoned."""
    tape = Tape(make_node(cpu="8"), make_node("n2", cpu="8"), SERVICE)
    tape.play(*(make_pod(f"p{n}", SERVICE, node="n1") for n in range(2)))
    tape.play(make_node(cpu="8", unschedulable=True), make_node(cpu="8"))
    tape.play(*(make_pod(f"r{n}", SERVICE, node="n2") for n in range(2)))
    right = tape.found()
    tape.at += 2 * LAG
    tape.play(make_pod("r2", SERVICE, node="n2"))

    assert ([], ["I3"]) == (right, tape.found())


@pytest.mark.parametrize("late", [False, True])
def test_instances_of_a_node_that_was_replaced_are_no_surge(*, late: bool) -> None:
    """I3: a node of the same name took its place at once; they are lost, also when told late."""
    tape = Tape(make_node(cpu="8"), make_node("n2", cpu="8"), SERVICE)
    tape.play(*(make_pod(f"p{n}", SERVICE, node="n1") for n in range(2)))
    replacements = [make_pod(f"r{n}", SERVICE, node="n2") for n in range(2)]
    tape.play(*(replacements if late else ()))
    tape.play(make_node(cpu="8"), event="DELETED")
    tape.play(make_node(cpu="8"))
    tape.play(*(() if late else replacements))

    assert [] == tape.found()


def test_a_second_instance_on_a_node_is_found() -> None:
    """I3: with one on each node the old one has gone before its successor comes."""
    agent = {**SERVICE, "spec": {**SERVICE["spec"], "mode": "PerNode", "replicas": 1}}
    tape = Tape(make_node("n1"), make_node("n2"), make_node("n3"), agent)
    tape.play(*(make_pod(f"p{n}", agent, node=f"n{n}") for n in (1, 2, 3)))
    tape.play(make_pod("p1", agent, node="n1", leaving=True))
    right = tape.found()
    tape.play(make_pod("p4", agent, node="n1"))

    assert ([], ["I3"]) == (right, tape.found())


def test_too_few_healthy_instances_are_found() -> None:
    """I3: of two replicas none may go before another is ready; a disruption is not our act."""
    tape = Tape(make_node(cpu="8"), SERVICE)
    tape.play(*(make_pod(n, SERVICE, node="n1", ready=True) for n in "ab"))
    tape.play({"kind": "Namespace", "metadata": {"name": "ns", "uid": "ns"}})
    gone = make_pod("a", SERVICE, node="n1", ready=True, leaving=True)
    evicted = {**gone, "metadata": {**gone["metadata"], "name": "b", "uid": "b"}}
    evicted["status"] = {
        **gone["status"],
        "conditions": [
            *gone["status"]["conditions"],
            {"type": "DisruptionTarget", "status": "True"},
        ],
    }
    tape.play(evicted)
    right = tape.found()
    tape.play(gone)

    assert ([], ["I3"]) == (right, tape.found())


@pytest.mark.parametrize(("seconds", "found"), [(1, []), (LAG + 1, ["I3"])])
@pytest.mark.parametrize("turned", ["a", "b"])
def test_health_is_known_a_moment_late(turned: str, seconds: float, found: list[str]) -> None:
    """I3: who has just become ready was chosen as unready; who has just fallen ill was to stay."""
    tape = Tape(make_node(cpu="8"), make_owner("LongService", replicas=1))
    tape.play({"kind": "Namespace", "metadata": {"name": "ns", "uid": "ns"}})
    tape.play(*(make_pod(n, SERVICE, node="n1", ready=turned == "b") for n in "ab"))
    tape.play(make_pod(turned, SERVICE, node="n1", ready=turned == "a"))
    tape.at += seconds - 1
    tape.play(make_pod("a", SERVICE, node="n1", ready=True, leaving=True))

    assert found == tape.found()


@pytest.mark.parametrize("late", [False, True])
def test_instances_of_a_node_that_was_replaced_may_go(*, late: bool) -> None:
    """I3: they are lost with the node before, also where that is told late."""
    tape = Tape(make_node(cpu="8"), SERVICE)
    tape.play(*(make_pod(n, SERVICE, node="n1", ready=True) for n in "ab"))
    tape.play({"kind": "Namespace", "metadata": {"name": "ns", "uid": "ns"}})
    leaving = [make_pod("a", SERVICE, node="n1", ready=True, leaving=True)]
    tape.play(*(leaving if late else ()))
    tape.play(make_node(cpu="8"), event="DELETED")
    tape.play(make_node(cpu="8"))
    tape.play(*(() if late else leaving))

    assert [] == tape.found(later=1 if late else LAG)


def test_an_orphan_is_found() -> None:
    """I4: a pod whose owner has been gone for a minute."""
    tape = Tape(SERVICE, make_pod("a", SERVICE))
    tape.play(SERVICE, event="DELETED")

    assert ([], ["I4"]) == (tape.found(later=50), tape.found(later=70))


def test_a_higher_priority_that_is_passed_over_is_found() -> None:
    """I6: room that a higher one waits for is not given to a lower one."""
    tape = Tape(make_node(), make_pod("high", spec={"priority": 10}))
    tape.at += 2 * LAG
    tape.play(make_pod("low", node="n1"))

    assert ["I6"] == tape.found()


def run(name: str, **given: Any) -> dict[str, Any]:
    return make_pod(name, JOB, **{"node": "n1", "cpu": "100m", **given})


def test_a_doubled_run_is_found() -> None:
    """P2: a pod that ran and comes again under the same name."""
    tape = Tape(make_node(), JOB, run("r-0", run="s1", slot=T0))
    tape.play(run("r-0", run="s1", slot=T0, phase="Succeeded"))
    tape.play(run("r-0", run="s1", slot=T0, phase="Succeeded"), event="DELETED")
    tape.play(run("r-0", run="s1", slot=T0, uid="another"))

    assert ["P2"] == tape.found()


def test_two_attempts_at_once_are_found() -> None:
    """P2: attempt 1 while attempt 0 runs."""
    tape = Tape(make_node(), JOB, run("r-0", run="s1", slot=T0, phase="Running"))
    tape.play(run("r-1", run="s1", attempt=1, slot=T0))

    assert ["P2"] == tape.found()


@pytest.mark.parametrize(("placed", "expected"), [({"node": "n1"}, ["P2"]), ({}, [])])
def test_a_leaving_attempt_runs_if_it_has_a_node(
    placed: dict[str, str], expected: list[str]
) -> None:
    """P2: nothing binds a pod that is being deleted, so one without a node never runs."""
    job = make_owner("BatchJob", retryPolicy={"delaySeconds": 0})
    tape = Tape(make_node(), job, make_pod("a-0", job, run="s1", leaving=True, **placed))
    tape.play(make_pod("a-1", job, run="s1", attempt=1))

    assert expected == tape.found()


@pytest.mark.parametrize(("later", "expected"), [(0, []), (LAG, ["P2"])])
def test_an_attempt_on_a_node_that_came_back_is_found(later: float, expected: list[str]) -> None:
    """An operator acts on what was true a moment ago; after that the node counts again."""
    job, node = make_owner("BatchJob", retryPolicy={"delaySeconds": 0}), make_node()
    tape = Tape(node, job, make_pod("a-0", job, run="s1", phase="Running", node="n1"))
    tape.play(node, event="DELETED")
    tape.play(node)
    tape.at += later
    tape.play(make_pod("a-1", job, run="s1", attempt=1))

    assert expected == tape.found()


def test_an_early_start_is_found() -> None:
    """P3: nothing begins before its slot."""
    tape = Tape(make_node(), JOB, run("r-0", run="s1", slot=T0 + 10, at=T0 + 9))

    assert ["P3"] == tape.found()


def test_overlapping_runs_are_found() -> None:
    """P4: with Forbid the next run waits for the containers of the one before."""
    tape = Tape(make_node(), JOB, run("r-0", run="s1", slot=T0, phase="Running"))
    tape.play(run("q-0", run="s2", slot=T0 + 10, at=T0 + 10))

    assert ["P4"] == tape.found()


def test_hasty_and_needless_retries_are_found() -> None:
    """P6: a retry waits its delay, and nothing is tried after a success."""
    failed = run("r-0", run="s1", slot=T0, phase="Failed", code=1, ended=T0 + 1)
    hasty = Tape(make_node(), JOB, failed, run("r-1", run="s1", attempt=1, slot=T0, at=T0 + 5))
    right = Tape(make_node(), JOB, failed, run("r-1", run="s1", attempt=1, slot=T0, at=T0 + 6))
    succeeded = run("r-0", run="s1", slot=T0, phase="Succeeded")
    needless = Tape(make_node(), JOB, succeeded, run("r-1", run="s1", attempt=1, slot=T0))

    assert (["P6"], [], ["P6"]) == (hasty.found(), right.found(), needless.found())


def test_tasks_of_one_run_are_one_run() -> None:
    """P4, P10: they run side by side, and make one success when all have succeeded."""
    once = make_owner("BatchJob")
    tape = Tape(once)
    both = [
        make_pod(f"a{n}", once, run="s1", task=n, tasks=2, phase="Succeeded", ended=T0)
        for n in (0, 1)
    ]
    tape.play(*(make_pod(f"a{n}", once, run="s1", task=n, tasks=2) for n in (0, 1)), both[0])

    assert [] == tape.found(wall=T0 + 100)

    tape.play(both[1])

    assert ["P10"] == tape.found(wall=T0 + 100)


CHILD = make_owner("BatchJob", "child", parents=[{"name": "o"}])


def test_a_child_before_its_parent_is_found() -> None:
    """P5: the parent has failed and has not succeeded yet."""
    tape = Tape(JOB, CHILD, make_pod("a", JOB, run="s1", phase="Failed", code=1))
    tape.play(make_pod("c1", CHILD, run="p1", trigger="Parents"))

    assert ["P5"] == tape.found()


def test_a_child_that_runs_twice_for_one_success_is_found() -> None:
    """P5: one success, one run, however often that is tried; two successes, two runs."""
    tape = Tape(JOB, CHILD, make_pod("a", JOB, run="s1", phase="Succeeded"))
    first = make_pod("c1-0", CHILD, run="p1", trigger="Parents", phase="Failed", code=1)
    tape.play(first, make_pod("c1-1", CHILD, run="p1", attempt=1, trigger="Parents", at=T0 + 60))

    assert [] == tape.found()

    tape.play(make_pod("c1-1", CHILD, run="p1", attempt=1, trigger="Parents", phase="Succeeded"))
    tape.play(make_pod("c2-0", CHILD, run="p2", trigger="Parents"))

    assert ["P5"] == tape.found()


def test_a_run_of_no_slot_is_found() -> None:
    """P7: a run belongs to one of the schedule's slots."""
    tape = Tape(make_node(), JOB, run("r-0", run="s1", slot=T0 + 3, at=T0 + 3))

    assert ["P7"] == tape.found()


def test_a_pod_for_a_deleted_owner_is_found() -> None:
    """P8: nothing new for what is being deleted."""
    tape = Tape(make_node(), {**JOB, "metadata": {**JOB["metadata"], "deletionTimestamp": "x"}})
    tape.at += 2 * LAG
    tape.play(run("r-0", run="s1", slot=T0))

    assert ["P8"] == tape.found()


def test_a_missed_slot_is_found_unless_it_is_reported() -> None:
    """P1: of three slots one ran and one is counted as missed: one is lost without a word."""
    spec = {"schedule": f"R3/{stamp(T0)}/PT10S"}
    job = make_owner("BatchJob", **spec)
    tape = Tape(make_node(), job, run("r-0", run="s1", slot=T0))
    tape.play({**job, "status": {"statistics": {"missed": 1}}})
    early, late = tape.found(wall=T0 + 30), tape.found(wall=T0 + 60)

    assert ([], ["P1"]) == (early, late)


def test_dishonest_counters_are_found() -> None:
    """P10: counters never fall, and successes are as many as there were."""
    counted = {**JOB, "status": {"statistics": {"successes": 2}}}
    tape = Tape(make_node(), JOB, counted, JOB)

    assert ["P10"] == tape.found(wall=T0 - 1)


def test_amounts_are_exact() -> None:
    """Binary and decimal suffixes, exponents, init containers by their maximum, sidecars added."""
    pod = {
        "spec": {
            "containers": [{"resources": {"requests": {"cpu": "100m"}}}],
            "initContainers": [
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"resources": {"requests": {"cpu": "1"}}},
            ],
        }
    }

    assert [1.5 * 1024**3, 2000, 0.25] == [
        float(amounts.amount(t)) for t in ("1.5Gi", "2e3", "250m")
    ]
    assert {"cpu": 1050, "pods": 1000} == amounts.asked(pod)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"R2/{stamp(T0)}/PT10S", {T0, T0 + 10}),
        (f"R/{stamp(T0 - 35)}/PT20S", {T0 + 5, T0 + 25, T0 + 45}),
        ("R1//PT1H", {T0}),
        ("* * * * *", {T0 + 40}),
        ("14 22 * * TUE", None),
        ("0 0 * * *", set()),
    ],
)
def test_targets_are_read_again(text: str, expected: set[int] | None) -> None:
    """Slots of a schedule within 45 seconds; names of days are not read."""
    assert expected == targets.targets(text, T0, T0 + 45)


def database(replicas: int) -> tuple[Tape, dict[str, Any]]:
    """A service whose instances have volumes of their own; all are ready."""
    owner = make_owner("LongService", replicas=replicas, volumeClaimTemplates=[{}])
    tape = Tape(make_node(cpu="8"), owner)
    tape.play({"kind": "Namespace", "metadata": {"name": "ns", "uid": "ns"}})
    tape.play(*(make_pod(f"o-{n}", owner, node="n1", ready=True) for n in range(replicas)))
    return tape, owner


def test_of_instances_with_volumes_one_may_be_without() -> None:
    """I3: the old one goes before its successor comes; at 100 % one at a time."""
    tape, owner = database(3)
    tape.play(make_pod("o-0", owner, node="n1", ready=True, leaving=True))
    right = tape.found()
    tape.play(make_pod("o-1", owner, node="n1", ready=True, leaving=True))

    assert ([], ["I3"]) == (right, tape.found())


def test_of_instances_with_volumes_there_is_no_surge() -> None:
    """I3: never one more than replicas."""
    tape, owner = database(3)
    right = tape.found()
    tape.play(make_pod("o-3", owner, node="n1"))

    assert ([], ["I3"]) == (right, tape.found())


def moved(*begun: int, **spec: Any) -> dict[str, Any]:
    """A service whose status tells of moves, `begun` seconds after T0."""
    service = make_owner("LongService", replicas=2, **spec)
    moves = [{"pod": f"p{at}", "uid": f"u{at}", "time": stamp(T0 + at)} for at in begun]
    return {**service, "status": {"recentMoves": moves}}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([(0,), (0, 60), (60, 3600)], []),
        ([(0,), (0, 60), (0, 60, 3599)], ["I7"]),
        ([(0,), (60,), (120,)], ["I7"]),
    ],
    ids=["two an hour", "three", "three, told one by one"],
)
def test_more_moves_than_an_hour_allows_are_found(
    statuses: list[tuple[int, ...]], expected: list[str]
) -> None:
    """I7: those count too that the status has forgotten."""
    allowed = {"rebalance": {"maxMovesPerHour": 2}}
    tape = Tape(moved(**allowed), *(moved(*each, **allowed) for each in statuses))

    assert expected == tape.found()


@pytest.mark.parametrize(
    ("between", "expected"), [([], ["I8"]), ([make_node(cpu="3")], []), ([make_node()], ["I8"])]
)
def test_a_status_that_is_written_on_and_on_is_found(
    between: list[dict[str, Any]], expected: list[str]
) -> None:
    """I8: back and forth while nothing else happens; what a node says again is no news."""
    states = [{**SERVICE, "status": {"readyReplicas": number % 2}} for number in range(30)]
    tape = Tape(make_node(), SERVICE, *states[:12])
    tape.play(*between, *states[12 : 12 + 3])

    assert expected == tape.found()


def test_a_few_late_statuses_are_no_fault() -> None:
    """A deadline that passes, or an instance that has been healthy for long enough."""
    tape = Tape(make_node(), SERVICE)
    tape.at += 60
    tape.play(*({**SERVICE, "status": {"observedGeneration": number}} for number in range(3)))

    assert [] == tape.found()
