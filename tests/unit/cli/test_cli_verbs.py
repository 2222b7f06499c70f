"""Verbs of jobs and services on recorded objects: what each writes, refuses, and says."""

import json
from typing import Any

import pytest

from bayplan.api import names, run_names
from tests.recorded import Recorded, make_job, make_service, run, told

DAY = "2026-01-01T00:00:00Z"
ACTIVE = {"run": "r12345678", "attempt": 1, "startTime": DAY, "retryTime": None}
FAILED = {"run": "s1", "outcome": "Failed", "reason": "ExitCode", "exitCode": 3, "attempts": 3,
          "startTime": DAY, "endTime": "2026-01-01T00:01:05Z", "slotTime": DAY}  # fmt: skip
GOOD = {**FAILED, "run": "s2", "outcome": "Succeeded", "reason": "Completed", "exitCode": 0}
STATUS = {"active": [ACTIVE], "history": [GOOD, FAILED]}


def job(**spec: Any) -> dict[str, Any]:
    return make_job("report", schedule="@daily", status=STATUS, **spec)


def test_run_writes_a_token_and_what_the_run_gets() -> None:
    """A new token each time; arguments and variables as the operator reads them; its run named."""
    cluster = Recorded(job())
    words = ("run", "report", "-o", "json", "-e", "DAY=2026-01-31", "--", "-v", "--all")
    body = json.loads(run(cluster, *words).stdout)
    notes = cluster.annotations()

    assert run_names.token_run(notes[names.RUN_NOW]) == body["run"]
    assert {"args": ["-v", "--all"], "env": {"DAY": "2026-01-31"}} == json.loads(
        notes[names.RUN_NOW_ARGS]
    )
    assert notes[names.RUN_NOW] != told(Recorded(job()), "run", "report")["token"]


def test_run_without_arguments_takes_those_of_an_earlier_run_off() -> None:
    """Else the next run would get them too."""
    cluster = Recorded(job())
    run(cluster, "run", "report")

    assert cluster.annotations()[names.RUN_NOW_ARGS] is None


def test_a_write_is_of_the_object_that_was_read() -> None:
    """The uid goes with it, so that a namesake made meanwhile is left alone."""
    cluster = Recorded(job())
    run(cluster, "pause", "report")
    [(_, path, body)] = cluster.written

    assert "/apis/bayplan.dev/v1alpha1/namespaces/default/batchjobs/report" == path
    assert "uid-0" == body["metadata"]["uid"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pause", "report"], {names.PAUSED_UNTIL: "9999-12-31T23:59:59Z"}),
        (["pause", "report", "--until", "2026-05-01"],
         {names.PAUSED_UNTIL: "2026-05-01T00:00:00Z"}),
        (["pause", "report", "--until", "2026-05-01T06:00+02:00"],
         {names.PAUSED_UNTIL: "2026-05-01T04:00:00Z"}),
        (["resume", "report"], {names.PAUSED_UNTIL: "1970-01-01T00:00:00Z"}),
        (["cancel", "report"], {names.CANCEL_RUN: "r12345678"}),
        (["cancel", "report", "r12345678"], {names.CANCEL_RUN: "r12345678"}),
        (["mark-success", "report", "s1"], {names.MARK_SUCCESS: "s1"}),
        (["mark-success", "job/report", "s1"], {names.MARK_SUCCESS: "s1"}),
        (["retry", "report"], {names.RETRY: "s1"}),
        (["retry", "report", "s1"], {names.RETRY: "s1"}),
        (["backfill", "report", "--from", "2025-12-30", "--to", "2025-12-31"],
         {names.BACKFILL: "2025-12-30T00:00:00Z/2025-12-31T00:00:00Z"}),
        (["backfill", "report", "--from", "2025-12-30T01:00", "--to", "2025-12-31T12:00+12:00",
          "--tz", "Europe/Berlin"], {names.BACKFILL: "2025-12-30T00:00:00Z/2025-12-31T00:00:00Z"}),
        (["backfill", "report", "--stop"], {names.BACKFILL: "stop"}),
    ],
)  # fmt: skip
def test_verbs_of_jobs_are_annotations(words: list[str], expected: dict[str, str]) -> None:
    """One annotation each, as the reference says them."""
    cluster = Recorded(job())
    run(cluster, *words)

    assert expected == cluster.annotations()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["cancel", "report", "s1"], 1, "unfinished runs of report: r12345678"),
        (["mark-success", "report", "s9"], 1, "known runs of report: r12345678, s2, s1"),
        (["cancel", "nothing"], 1, "no BatchJob 'nothing' in namespace default"),
        (["pause", "report", "--until", "soon"], 2, "write 2026-01-31"),
        (["run", "report", "-e", "X"], 2, "is not NAME=VALUE"),
        (["run", "report", "--", "x" * 5000], 2, "longer than 4096 characters"),
        (["scale", "web", "--", "-1"], 2, "is not in the range"),
        (["run"], 2, "Missing argument"),
        (["retry", "report", "s2"], 1, "failed or cancelled runs of report: s1"),
        (["backfill", "report", "--from", "2024-01-01"], 2, "more than 100 scheduled times"),
        (["backfill", "report", "--from", "2025-12-31", "--to", "2025-12-30"], 2, "or in the fut"),
        (["backfill", "report", "--from", "2026-01-01"], 1, "has had a run"),
        (["backfill", "report", "--from", "soon"], 2, "write 2026-01-31"),
        (["backfill", "report", "--from", "2025-12-31", "--tz", "Mars"], 2, "--tz"),
        (["backfill", "report"], 2, "Give --from, or --stop"),
        (["backfill", "once", "--from", "2025-12-31"], 1, "see `bayplan run`"),
    ],
)
def test_what_cannot_be_asked(words: list[str], code: int, part: str) -> None:
    """One line, the right exit code, nothing written."""
    cluster = Recorded(job(), make_service("web"), make_job("once"))

    assert part in run(cluster, *words, code=code).output
    assert not cluster.written


def test_a_backfill_says_what_will_run() -> None:
    """By the operator's own arithmetic; with --dry-run nothing is written."""
    cluster = Recorded(job())
    words = ("backfill", "report", "--from", "2025-12-30", "--to", "2026-01-05", "--dry-run")

    assert ["2025-12-30T00:00:00Z", "2025-12-31T00:00:00Z"] == told(cluster, *words)["slots"]
    assert not cluster.written


def test_resume_says_when_the_spec_suspends() -> None:
    """A resumed job that still does not run is not left unexplained."""
    assert "suspend: true" in run(Recorded(job(suspend=True)), "resume", "report").output


def test_run_waits_for_the_end() -> None:
    """Exit code 1 when the run failed; the status is what tells."""

    class Ending(Recorded):
        """The run ends as soon as it was asked for."""

        def send(self, request: Any) -> bytes:
            answer = super().send(request)
            for method, path, body in self.written[:1]:
                assert method == "PATCH"
                token = body["metadata"]["annotations"][names.RUN_NOW]
                ended = {**FAILED, "run": run_names.token_run(token)}
                self.objects[path]["status"] = {"history": [ended]}
            return answer

    assert "Failed" == told(Ending(job()), "run", "report", "--wait", code=1)["outcome"]


def test_runs_are_listed_newest_first() -> None:
    """Unfinished ones above; how long it took; exit code and node when asked for."""
    cluster = Recorded(job())
    lines = run(cluster, "runs", "report", "-o", "wide").output.splitlines()

    assert ["r12345678", "s2", "s1"] == [line.split()[0] for line in lines[1:]]
    assert "65s" in lines[3]
    assert ["Running", "Succeeded", "Failed"] == [
        one["state"] for one in told(cluster, "runs", "report")["runs"]
    ]
    assert "No run yet.\n" == run(Recorded(make_job("new")), "runs", "new").output


FAMILY = [
    make_job("load", schedule="@daily", status=STATUS),
    make_job("clean", parents=[{"name": "load"}]),
    make_job("mail", parents=[{"name": "clean"}, {"name": "load"}, {"name": "gone"}]),
    make_job("alone", schedule="@daily"),
]


def test_graph_in_each_form() -> None:
    """Chronos' csv lines; dot; a tree; a parent that is not there is told."""
    cluster = Recorded(*FAMILY)

    assert [
        "node,clean,fresh,idle",
        "node,gone,absent,absent",
        "node,load,success,1 running",
        "node,mail,fresh,idle",
        "link,load,clean",
        "link,clean,mail",
        "link,load,mail",
        "link,gone,mail",
    ] == run(cluster, "graph", "-o", "csv").output.splitlines()
    assert '  "load" -> "clean";' in run(cluster, "graph", "-o", "dot").output
    assert [
        "gone  absent, absent",
        "└─ mail  fresh, idle",
        "load  success, 1 running",
        "├─ clean  fresh, idle",
        "│  └─ mail  (see above)",
        "└─ mail  (see above)",
    ] == run(cluster, "graph").output.splitlines()


def test_graph_of_one_job_and_of_a_circle() -> None:
    """What it waits for and what waits for it; a circle is drawn once and ends."""
    ring = [make_job("a", parents=[{"name": "b"}]), make_job("b", parents=[{"name": "a"}])]

    assert {"clean", "load", "mail"} == {
        one["name"] for one in told(Recorded(*FAMILY), "graph", "clean")["nodes"]
    }
    assert 3 == len(run(Recorded(*ring), "graph").output.splitlines())


def revision(number: int, image: str) -> dict[str, Any]:
    return {
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"web-{number}",
            "namespace": "default",
            "ownerReferences": [{"uid": "uid-0"}],
        },
        "revision": number,
        "data": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}},
    }


def service(reason: str = "RolledOut", ready: str = "True", **status: Any) -> dict[str, Any]:
    conditions = [
        {"type": "Progressing", "status": "True", "reason": reason, "message": "as it is"},
        {"type": "Ready", "status": ready, "reason": "Ready", "message": ""},
    ]
    base = {"observedGeneration": 1, "updateRevision": "web-3", "conditions": conditions}
    return make_service("web", replicas=3, status={**base, **status})


@pytest.mark.parametrize(
    ("body", "state", "code"),
    [
        (service(), "Done", 0),
        (service(ready="False"), "Updating", 1),
        (service(observedGeneration=0), "Updating", 1),
        (service("RollingOut"), "Updating", 1),
        (service("Paused"), "Paused", 1),
        (service("StepReached"), "Waiting", 1),
        (service("RolledBack"), "Failed", 1),
        (service("ProgressDeadlineExceeded"), "Failed", 1),
    ],
)
def test_rollout_status(body: dict[str, Any], state: str, code: int) -> None:
    """Done only when the newest spec was seen, rolled out, and is ready."""
    assert state == told(Recorded(body), "rollout", "status", "web", code=code)["state"]
    assert "as it is" in run(Recorded(body), "rollout", "status", "web", code=code).output


def test_rollout_status_watches_until_the_end() -> None:
    """It looks again until the update has ended."""

    class Moving(Recorded):
        def send(self, request: Any) -> bytes:
            answer = super().send(request)
            where = "/apis/bayplan.dev/v1alpha1/namespaces/default/longservices/web"
            self.objects[where]["status"] = service()["status"]
            return answer

    assert "Done" == told(Moving(service("RollingOut")), "rollout", "status", "web", "-w")["state"]


def test_history_and_undo() -> None:
    """The last good template before the wanted one, or the one named by number or name."""
    bad = [{"revision": "web-2", "reason": "ProgressDeadlineExceeded"}]
    bodies = [service(badRevisions=bad), *(revision(n, f"x:{n}") for n in (1, 2, 3))]
    listed = told(Recorded(*bodies), "rollout", "history", "web")["revisions"]

    assert [3, 2, 1] == [one["number"] for one in listed]
    assert ["wanted", "given up: ProgressDeadlineExceeded", ""] == [one["note"] for one in listed]
    for words, expected in (([], "web-1"), (["--to", "2"], "web-2"), (["--to", "web-1"], "web-1")):
        cluster = Recorded(*bodies)
        run(cluster, "rollout", "undo", "web", *words)

        assert {names.ROLLBACK_TO: expected} == cluster.annotations()
    assert (
        "kept are 3" in run(Recorded(*bodies), "rollout", "undo", "web", "--to", "9", code=1).output
    )
    assert "x:1" in run(Recorded(*bodies), "rollout", "history", "web", "--revision", "1").output


def test_undo_without_an_earlier_template() -> None:
    """Said, and nothing written."""
    cluster = Recorded(service(), revision(3, "x"))
    run(cluster, "rollout", "undo", "web", code=1)

    assert not cluster.written


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rollout", "pause", "web"], {"updateStrategy": {"paused": True}}),
        (["rollout", "resume", "web"], {"updateStrategy": {"paused": None}}),
        (["scale", "web", "7"], {"replicas": 7}),
    ],
)
def test_verbs_that_change_a_spec(words: list[str], expected: dict[str, Any]) -> None:
    """One field, and scaling through the subresource that autoscalers use."""
    cluster = Recorded(service())
    run(cluster, *words)
    [(_, path, body)] = cluster.written

    assert expected == body["spec"]
    assert path.endswith("/longservices/web/scale" if words[0] == "scale" else "/longservices/web")


def test_promote_only_where_a_step_waits() -> None:
    """A new value each time; elsewhere it would pass a later step unseen."""
    cluster = Recorded(service("StepReached"))
    run(cluster, "rollout", "promote", "web")

    assert cluster.annotations()[names.PROMOTE].startswith("cli-")
    run(Recorded(service("RollingOut")), "rollout", "promote", "web", code=1)


def test_restart_is_an_annotation_with_the_time() -> None:
    """As kubectl's, so that a template stays what Git says."""
    cluster = Recorded(service())
    run(cluster, "restart", "web")

    assert [names.RESTARTED_AT] == list(cluster.annotations())


def test_a_run_that_never_started_has_no_start() -> None:
    """A kubelet's 1970, as older operators stored it: neither a time nor 20,000 days."""
    never = {**FAILED, "reason": "StartError", "startTime": "1970-01-01T00:00:00Z"}
    cluster = Recorded(make_job("report", schedule="@daily", status={"history": [never]}))
    shown = run(cluster, "runs", "report").output

    assert "1970" not in shown
    assert "d " not in shown.splitlines()[1].partition("Failed")[2].partition(DAY)[2]
    assert ["startTime" in one for one in told(cluster, "runs", "report")["runs"]] == [False]
