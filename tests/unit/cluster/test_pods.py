"""How a pod fares and how it ended, as its status says; odd pods are counted all the same."""

import datetime as dt
from typing import Any

import pytest

from bayplan.cluster import pods, wire
from bayplan.cluster.pods import pod_from_dict
from bayplan.model.pods import FRESH, Ending, Owner, Phase
from tests.unit.cluster.written import container, pod

SIDECAR = {"initContainers": [{"name": "init"}, container("side", always=True)]}


class TestFate:
    """How a pod fares and how it ended."""

    def ending(self, *statuses: dict[str, Any], **spec: Any) -> Ending:
        return pod(spec, {"containerStatuses": list(statuses)}).ending

    def test_failed_tells(self) -> None:
        """The container that failed tells, the times span all."""
        ended = self.ending(
            {"name": "a", "state": {"terminated": {
                "exitCode": 0, "reason": "Completed",
                "startedAt": "2026-11-23T06:00:00Z", "finishedAt": "2026-11-23T06:00:30Z"}}},
            {"name": "b", "restartCount": 2, "state": {"terminated": {
                "exitCode": 137, "reason": "OOMKilled", "message": "boom",
                "startedAt": "2026-11-23T06:00:05Z", "finishedAt": "2026-11-23T06:00:20Z"}}},
        )  # fmt: skip
        start = wire.epoch("2026-11-23T06:00:00Z") or 0

        assert Ending(137, "OOMKilled", "boom", start, start + 30, 2) == ended

    def test_crash_loop(self) -> None:
        """A container that waits to be started again tells how it ended before."""
        ended = self.ending(
            {
                "name": "a",
                "restartCount": 5,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
            }
        )

        assert (3, "Error", "CrashLoopBackOff", 5) == (
            ended.exit_code,
            ended.reason,
            ended.waiting,
            ended.restarts,
        )

    def test_starting_is_not_waiting(self) -> None:
        """The ordinary course of starting is no news; a failed pull is."""
        starting = self.ending({"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}})
        pulling = self.ending({"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff"}}})

        assert FRESH is starting
        assert "ImagePullBackOff" == pulling.waiting

    def test_init_failure_tells_and_sidecars_do_not(self) -> None:
        """A failed init container tells; a sidecar is stopped with a code that tells nothing."""
        ended = {"name": "main", "state": {"terminated": {"exitCode": 0}}}
        stopped = {"name": "x", "state": {"terminated": {"exitCode": 143}}}
        codes = [
            pod(
                {"initContainers": [container("x", always=sidecar)]},
                {"containerStatuses": [ended], "initContainerStatuses": [stopped]},
            ).ending.exit_code
            for sidecar in (False, True)
        ]

        assert [143, 0] == codes

    def test_what_keeps_containers_from_starting(self) -> None:
        """The kubelet's word and sentence, of any container; ordinary starting is none."""

        def waits(name: str, reason: str, message: str = "") -> dict[str, Any]:
            return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}

        def found(inits: list[dict[str, Any]], *main: dict[str, Any]) -> tuple[str, str]:
            status = {"initContainerStatuses": inits, "containerStatuses": [*main]}
            ending = pod(SIDECAR, {"phase": "Pending", **status}).ending
            return ending.waiting, ending.said

        idle = waits("main", "PodInitializing")
        missing = waits("main", "CreateContainerConfigError", 'secret "x" not found')
        crashed = {"exitCode": 3, "reason": "Error", "message": "no port"}
        looping = {**waits("side", "CrashLoopBackOff", "back-off 40s"), "restartCount": 4}
        looping["lastState"] = {"terminated": crashed}
        between = {"name": "side", "state": {"terminated": crashed}, "restartCount": 4}
        again = {"name": "side", "state": {"running": {}}, "restartCount": 4}
        running = {"name": "main", "state": {"running": {"startedAt": "2026-11-23T06:00:00Z"}}}
        loop = ("CrashLoopBackOff", "container side: exit code 3: no port")

        assert ("", "") == found([], waits("main", "ContainerCreating"))
        assert ("CreateContainerConfigError", 'container main: secret "x" not found') == found(
            [], missing
        )
        assert ("ErrImagePull", "container init: no such image") == found(
            [waits("init", "ErrImagePull", "no such image")], idle
        )
        assert loop == found([looping], idle) == found([between], idle)
        assert loop[0] == found([again], idle)[0]
        assert ("", "") == found([again], running)

    def test_what_has_started(self) -> None:
        """All main containers, some of them, or at least one that prepares."""
        at = "2026-11-23T06:00:00Z"
        done = {"name": "init", "state": {"terminated": {"startedAt": at, "finishedAt": at}}}
        idle = {"name": "b", "state": {"waiting": {"reason": "ContainerCreating"}}}
        running = {"name": "a", "state": {"running": {"startedAt": at}}}
        again = {**idle, "restartCount": 1, "lastState": done["state"]}

        def ending(*main: dict[str, Any], inits: Any = ()) -> tuple[bool, bool]:
            status = {"initContainerStatuses": [*inits], "containerStatuses": [*main]}
            found = pod(SIDECAR, status).ending
            return found.began, found.complete

        assert (False, False) == ending(idle)
        assert (True, False) == ending(idle, inits=[done])
        assert (True, False) == ending(running, idle)
        assert (True, True) == ending(running)
        assert (True, True) == ending(running, again)

    def test_init_containers_at_work(self) -> None:
        """One that runs is told from those that have ended well, and when the last of them did."""
        at, later = "2026-11-23T06:00:00Z", "2026-11-23T06:20:00Z"

        def one(name: str, **state: Any) -> dict[str, Any]:
            return {"name": name, "state": state}

        def ending(*inits: dict[str, Any]) -> tuple[bool, int | None]:
            found = pod(SIDECAR, {"initContainerStatuses": [*inits]}).ending
            return found.preparing, found.prepared_at

        done = one("init", terminated={"exitCode": 0, "startedAt": at, "finishedAt": later})
        failed = one("init", terminated={"exitCode": 1, "startedAt": at, "finishedAt": later})
        moment = int(dt.datetime(2026, 11, 23, 6, 20, tzinfo=dt.UTC).timestamp())

        assert (True, None) == ending(one("init", running={"startedAt": at}))
        assert (False, moment) == ending(done)
        assert (False, None) == ending(failed)
        assert (False, None) == ending(one("side", running={"startedAt": at}))

    def test_a_container_that_never_started(self) -> None:
        """A kubelet writes the epoch as its start: it has none, and no end but a real one."""
        never, at = "1970-01-01T00:00:00Z", "2026-11-23T06:00:00Z"
        dead = {"exitCode": 128, "reason": "StartError", "startedAt": never}
        status = {"name": "a", "state": {"terminated": {**dead, "finishedAt": at}}}
        other = {"name": "b", "state": {"terminated": {**dead, "finishedAt": never}}}
        running = {"name": "b", "state": {"running": {"startedAt": at}}}

        def ending(*each: dict[str, Any]) -> Ending:
            return pod({}, {"phase": "Failed", "containerStatuses": [*each]}).ending

        assert (128, "StartError") == (ending(status).exit_code, ending(status).reason)
        assert (None, wire.epoch(at)) == (ending(status).started_at, ending(status).finished_at)
        assert (None, None) == (ending(other).started_at, ending(other).finished_at)
        assert wire.epoch(at) == ending(status, running).started_at

    def test_conditions(self) -> None:
        """Ready since when, why not scheduled, what disrupts it."""
        since = "2026-11-23T06:00:00Z"
        found = pod(
            {"schedulingGates": [{"name": "g"}]},
            {
                "phase": "Running",
                "nominatedNodeName": "n9",
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": since},
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                    },
                ],
            },
        )

        assert (True, wire.epoch(since)) == (found.ready, found.ready_since)
        assert "Unschedulable" == found.scheduled_reason
        assert "PreemptionByScheduler" == found.disrupted
        assert "n9" == found.nominated
        assert found.gated

    def test_metadata(self) -> None:
        """Owner is the controller; annotations are ours alone; deletion is when its grace ends."""
        found = pod(
            {"schedulerName": "bayplan", "priority": 5, "nodeName": "n1"},
            {"phase": "Failed", "reason": "OutOfcpu", "message": "no"},
            uid="u",
            resourceVersion="77",
            creationTimestamp="1970-01-01T00:01:00Z",
            deletionTimestamp="1970-01-01T00:02:00Z",
            deletionGracePeriodSeconds=30,
            annotations={"bayplan.dev/trigger": "s5", "other/one": "x"},
            finalizers=["bayplan.dev/run-tracking"],
            ownerReferences=[
                {"kind": "Node", "name": "n", "uid": "1"},
                {"kind": "BatchJob", "name": "report", "uid": "2", "controller": True},
            ],
        )

        assert Owner("BatchJob", "report", "2") == found.owner
        assert {"bayplan.dev/trigger": "s5"} == found.annotations
        assert (60, 120, 90) == (found.created_at, found.deleted_at, found.asked_at)
        assert (5, "n1", "bayplan", "77") == (
            found.priority,
            found.node,
            found.scheduler,
            found.resource_version,
        )
        assert (Phase.FAILED, "OutOfcpu") == (found.phase, found.reason)
        assert found.terminal


class TestOdd:
    """The API server serves valid objects; people's files and other servers do not."""

    @pytest.mark.parametrize(
        "body",
        [
            {"metadata": {"name": "p", "labels": None, "annotations": None, "finalizers": None}},
            {"metadata": {"name": "p", "ownerReferences": [{"apiVersion": None, "kind": None}]}},
            {"metadata": {"name": "p"}, "spec": None, "status": None},
            {"metadata": {"name": "p"}, "spec": {"containers": None, "affinity": None}},
            {"metadata": {"name": "p"}, "spec": {"affinity": 5, "tolerations": "x"}},
            {"metadata": {"name": "p"}, "status": {"phase": "Dancing", "conditions": None}},
            {"metadata": {"name": "p", "creationTimestamp": "yesterday", "unknown": {"a": [1]}}},
            {"metadata": {"name": "p"}, "spec": {"priority": "7", "nodeName": None}},
            {"metadata": {"name": "p", "labels": {"a": 1, "b": "x"}}},
        ],
    )
    def test_read_as_far_as_it_goes(self, body: dict[str, Any]) -> None:
        """Nulls, unknown fields and wrong types in parts leave a pod that is counted."""
        found = pod_from_dict(body)

        assert ("default", "p") == found.key
        assert 1 == found.request.amount("pods")

    @pytest.mark.parametrize(
        "raw", [b"", b"7", b"[]", b"{}", b'{"metadata":7}', b"\xff", b"{" * 9000]
    )
    def test_unreadable(self, raw: bytes) -> None:
        """What is no pod is said to be none."""
        with pytest.raises(wire.DecodeError):
            pods.pod(raw)

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01T00:00:01.999999Z", 1),
            ("1970-01-01T01:00:01+01:00", 1),
            ("2106-02-07T06:28:16Z", 2**32),
            ("1970-01-01T00:00:00Z", None),  # a container that never started
            ("1970-01-01T01:00:00+01:00", None),
            ("0001-01-01T00:00:00Z", None),  # the zero of Go
            ("", None),
            (None, None),
            ("soon", None),
        ],
    )
    def test_epoch(self, text: str | None, moment: int | None) -> None:
        """RFC 3339 to whole epoch seconds."""
        assert moment == wire.epoch(text)


@pytest.mark.parametrize(
    ("probes", "code", "reason", "unexplained"),
    [
        ({"livenessProbe": {"tcpSocket": {"port": 1}}}, 137, "Error", True),
        ({"startupProbe": {"tcpSocket": {"port": 1}}}, 143, "Error", True),
        ({"livenessProbe": {"tcpSocket": {"port": 1}}}, 137, "OOMKilled", False),
        ({"livenessProbe": {"tcpSocket": {"port": 1}}}, 1, "Error", False),
        ({"readinessProbe": {"tcpSocket": {"port": 1}}}, 137, "Error", False),
        ({"livenessProbe": None}, 137, "Error", False),
        ({}, 137, "Error", False),
    ],
)
def test_an_end_that_a_probe_may_have_caused(
    probes: dict[str, Any], code: int, reason: str, *, unexplained: bool
) -> None:
    """The status says only that a signal has ended the container."""
    ended = {"name": "main", "state": {"terminated": {"exitCode": code, "reason": reason}}}
    body = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", **probes}]},
        "status": {"phase": "Failed", "containerStatuses": [ended]},
    }

    assert unexplained == pod_from_dict(body).ending.unexplained
