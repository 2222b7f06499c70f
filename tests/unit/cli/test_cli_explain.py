"""`explain` on recorded objects: the reason first and once, and workloads of Kubernetes."""

from typing import Any

import pytest

from bayplan.model import wording
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from tests.recorded import Body, Recorded, make_job, make_node, make_pod, make_service, run, told

OLD = wording.sentence(
    Funnel(1, (Refusal(Reason.RESOURCES, "cpu"),), Nearest("a", {"cpu": 500}, Reason.RESOURCES))
)


def controlled(body: Body, kind: str, uid: str, name: str = "web") -> Body:
    """The same object, made by this controller."""
    owner = {"apiVersion": "x/v1", "kind": kind, "name": name, "uid": uid, "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    return body


def workload(kind: str, name: str = "web", uid: str = "top", **more: Any) -> Body:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default", "uid": uid}, **more}


def deployment(*pods: Body) -> Recorded:
    """A Deployment of which these are the pods, and one node of 4 CPUs."""
    middle = controlled(workload("ReplicaSet", "web-1", "rs"), "Deployment", "top")
    return Recorded(
        make_node("a"),
        workload("Deployment", spec={"replicas": 3}, status={"readyReplicas": 1}),
        middle,
        *(controlled(pod, "ReplicaSet", "rs", "web-1") for pod in pods),
        make_pod("other", cpu="9"),
    )


@pytest.mark.parametrize("name", ["deployment/web", "Deployment/web", "deploy/web", "web",
                                  "deployment.apps/web", "deployments/web"])  # fmt: skip
def test_a_deployment(name: str) -> None:
    """Its pods through its ReplicaSets, why they wait, and what would help; no other pods."""
    found = deployment(make_pod("one", node="a", cpu="3"), make_pod("two", cpu="3"))
    text = run(found, "explain", name, code=1).output

    assert text.startswith("Deployment default/web: 1 of 3 pods ready\n")
    assert "1 waiting since" in text
    assert "nearest a lacks 2 cpu\n" in text
    assert "on a (m5.xlarge): one, asks 3 cpu\n" in text
    assert "other" not in text


@pytest.mark.parametrize(
    ("kind", "name"),
    [("StatefulSet", "sts/web"), ("StatefulSet", "statefulset.apps/web"), ("Job", "job/web"),
     ("Job", "job.batch/web"), ("ReplicaSet", "rs/web"), ("StatefulSet", "web")],
)  # fmt: skip
def test_other_workloads_of_kubernetes(kind: str, name: str) -> None:
    """Their pods are their own; exit code 0 if nothing waits."""
    pods = [controlled(make_pod(one, node="a"), kind, "top") for one in ("p", "q")]
    found = Recorded(make_node("a"), workload(kind), *pods)

    assert ["p", "q"] == [one["name"] for one in told(found, "explain", name)["pods"]]


def test_a_cron_job() -> None:
    """Its pods through its Jobs."""
    job = controlled(workload("Job", "web-1", "job"), "CronJob", "top")
    pod = controlled(make_pod("p", cpu="9"), "Job", "job", "web-1")
    found = Recorded(make_node("a"), workload("CronJob"), job, pod)

    assert 1 == told(found, "explain", "cronjob/web", code=1)["waiting"][0]["pendingTasks"]


def test_a_job_is_a_batchjob_first() -> None:
    """`job.batch` names the other."""
    found = Recorded(make_node("a"), workload("Job"), make_job("web", schedule="@daily"))

    assert "BatchJob" == told(found, "explain", "job/web")["kind"]
    assert "Job" == told(found, "explain", "job.batch/web")["kind"]


def test_who_may_not_read_deployments() -> None:
    """A name that is nowhere else is not there; with the kind before it the refusal is told."""
    found = Recorded(make_node("a"), refuse={"/apis/apps/v1/namespaces": 403})

    assert "no BatchJob, LongService or Pod 'x'" in run(found, "explain", "x", code=1).output
    assert "refused" in run(found, "explain", "deployment/x", code=3).output


def test_pods_of_another_scheduler() -> None:
    """It is said that Bayplan does not place them, and which scheduler does."""
    pod = make_pod("one")
    pod["spec"]["schedulerName"] = "default-scheduler"
    text = run(deployment(pod), "explain", "deployment/web").output

    assert "1 pod waits for the scheduler default-scheduler" in text


@pytest.mark.parametrize(
    ("reason", "code"),
    [("StepReached", 0), ("Paused", 0), ("RollingOut", 0), ("InstancesFailing", 1)],
)
def test_what_waits_for_a_person_is_no_trouble(reason: str, code: int) -> None:
    """A canary that holds at its step does what it was asked to do."""
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": "So it is."}
    body = make_service("web", replicas=0, status={"conditions": [ready]})

    text = run(Recorded(make_node("a"), body), "explain", "web", code=code).output

    assert ("trouble" in text) == bool(code)


def waiting_service() -> Recorded:
    """A service that found no room some time ago, when another sentence was true."""
    message = f"0 of 1 instances are available; 1 instance found no room: {OLD}."
    conditions = [
        {"type": kind, "status": status, "reason": "NoRoom", "message": message}
        for kind, status in (("Ready", "False"), ("Placed", "False"), ("Reconciling", "True"))
    ]
    return Recorded(
        make_node("a"),
        make_service("web", cpu="9", replicas=1, status={"conditions": conditions}),
    )


def test_a_sentence_is_said_once() -> None:
    """The funnel is today's; the conditions keep their reasons, and repeat nothing."""
    text = run(waiting_service(), "explain", "web", code=1).output

    assert 1 == text.count("0/1 nodes: ")
    assert 1 == text.count("found no room")
    assert 1 == text.count(" lacks ")
    assert "lacks 5 cpu" in text
    assert "Reconciling=True (NoRoom)\n" in text


def test_a_pod_that_does_not_exist_is_not_listed() -> None:
    """What would be created now is told as such, on no node."""
    found = Recorded(make_node("a"), make_service("web", replicas=2))
    body = told(found, "explain", "web")

    assert [] == body["pods"]
    assert 2 == len(body["next"]["creates"])
    text = run(found, "explain", "web").output
    assert "on a " not in text
    assert "would create 2 pods: web-" in text


def test_a_pod_that_is_not_bound_yet_is_on_no_node() -> None:
    """Where it would go is told as such."""
    [pod] = told(Recorded(make_node("a"), make_pod("p")), "explain", "pod/p")["pods"]

    assert ("", "a") == (pod["node"], pod["wouldGo"])
    assert (
        "would go to a now: p\n"
        in run(Recorded(make_node("a"), make_pod("p")), "explain", "pod/p").output
    )


def test_equal_pods_are_told_together() -> None:
    """By node; three of their names."""
    pods = [make_pod(f"p{at}", node="a", cpu="500m") for at in range(5)]
    text = run(deployment(*pods, make_pod("big", node="a")), "explain", "deployment/web").output

    assert "on a (m5.xlarge): 5 pods, asks 500m cpu each: p0, p1, p2 and 2 more\n" in text
    assert "on a (m5.xlarge): big, asks 1 cpu\n" in text


def test_an_instance_type_that_would_help() -> None:
    """Also a larger type than a general pool has; before the advice to ask for a tenth."""
    helps = told(Recorded(make_node("a"), make_pod("p", cpu="64")), "explain", "pod/p", code=1)
    first, second = helps["waiting"][0]["wouldFit"]

    assert first.startswith("with one more ")
    assert "if it asked for 60 cpu less" == second


def test_a_node_with_the_label_that_is_selected() -> None:
    """No instance type has it: the label is told with the type."""
    pod = make_pod("p")
    pod["spec"]["nodeSelector"] = {"disk": "ssd"}
    [waiting] = told(Recorded(make_node("a"), pod), "explain", "pod/p", code=1)["waiting"]

    assert "without node selector disk=ssd" == waiting["wouldFit"][0]
    assert " node that has the label disk=ssd ($" in waiting["wouldFit"][1]


def test_equal_events_are_told_once() -> None:
    """With their number and the last time."""
    about = {"namespace": "default"}
    events = [
        {"kind": "Event", "metadata": {**about, "name": f"e{at}"}, "type": "Warning",
         "reason": "Slow", "note": "so slow", "eventTime": f"2026-01-01T00:00:0{at}Z"}
        for at in range(3)
    ]  # fmt: skip
    found = Recorded(make_node("a"), make_job("report", schedule="@daily"), *events)

    assert "event 2026-01-01T00:00:02Z Warning Slow: so slow (3 times)\n" in (
        run(found, "explain", "report").output
    )
