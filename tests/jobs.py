"""BatchJobs as test subjects, and the smallest cluster that carries out what is decided of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bayplan.api import names
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.resource import Resource, parse_resource
from bayplan.api.times import rfc3339
from bayplan.model import intents
from bayplan.model.admission import Admission
from bayplan.model.nodes import Node
from bayplan.model.pods import Ending, Phase, Pod
from bayplan.reconcile.batchjob import reconcile
from bayplan.reconcile.view import ALONE, Parents, View
from tests.builders import make_node, make_vector

START = 1_789_999_200  # 2026-09-21T14:00:00Z: a full hour
UID = "a1b2c3d4-0000"
PREFIX = "report-a1b2c-"
TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}


def make_job(
    *,
    name: str = "report",
    status: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    created_at: int = START,
    generation: int = 1,
    deleting: bool = False,
    managed: Sequence[Mapping[str, Any]] = (),
    **spec: Any,
) -> Resource:
    """A BatchJob as the API server stores it; `spec` in the wire's words."""
    metadata: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "uid": UID,
        "generation": generation,
        "resourceVersion": "1",
        "creationTimestamp": rfc3339(created_at),
        "annotations": dict(annotations or {}),
        "managedFields": [*managed],
    }
    if deleting:
        metadata["deletionTimestamp"] = rfc3339(created_at)
    body = {
        "kind": names.BATCHJOB,
        "metadata": metadata,
        "spec": {"template": TEMPLATE, **spec},
        "status": dict(status or {}),
    }
    return parse_resource(body)


def make_admission(job: Resource, **more: Any) -> Admission:
    """The API server accepts the job's template, checked at START."""
    request = make_vector(100, 1)
    fields = {"template_hash": job.template_hash, "request": request, "checked_at": START}
    return Admission(**{**fields, **more})


def make_view(job: Resource, *nodes: Node, **more: Any) -> View:
    """A cluster with these nodes (n1 when none) that has accepted the template."""
    known = {node.name: node for node in nodes or (make_node("n1"),)}
    return View(**{"nodes": known, "admission": make_admission(job), **more})


def make_run_pod(run: str, attempt: int = 0, **more: Any) -> Pod:
    """The pod of an attempt of `report`, running on n1 since START."""
    name = f"{PREFIX}{run}-{attempt}"
    fields: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "uid": f"uid-{name}",
        "node": "n1",
        "finalizers": (names.RUN_TRACKING,),
        "created_at": START,
        "phase": Phase.RUNNING,
        "ending": Ending(started_at=START),
    }
    return Pod(**{**fields, **more})


def ended(pod: Pod, at: int, exit_code: int = 0, **more: Any) -> Pod:
    """The pod after its container ended with this code."""
    ending = replace(
        pod.ending,
        exit_code=exit_code,
        reason="Error" if exit_code else "Completed",
        finished_at=at,
    )
    phase = Phase.FAILED if exit_code else Phase.SUCCEEDED
    return replace(pod, **{"phase": phase, "ending": ending, "ready": False, **more})


class Crash(Exception):  # noqa: N818 -- what happens, not what is wrong
    """The operator dies between two writes."""


@dataclass
class World:
    """One BatchJob, its pods and nodes at a server, and what the operator sees of them.

    Each `step` reconciles once and carries the outcome out in the order of the writer: CREATEs,
    status, releases, deletes. `before_write` may raise Crash. The operator sees pods at once, and
    the status when `status_lag` steps have passed; a status write computed from an older one than
    the stored is refused, as the resourceVersion has it.
    """

    spec: dict[str, Any]
    now: int = START
    nodes: dict[str, Node] = field(default_factory=lambda: {"n1": make_node("n1")})
    annotations: dict[str, str] = field(default_factory=dict)
    created_at: int = START
    generation: int = 1
    status: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    seen: tuple[int, Mapping[str, Any]] = (1, {})
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    admitted: bool = True
    refusal: Admission | None = None
    deleting: bool = False
    managed: list[Mapping[str, Any]] = field(default_factory=list)  # who edited what, and when
    parents: Parents = ALONE
    receivers: frozenset[str] = frozenset()
    created: list[tuple[int, str]] = field(default_factory=list)  # when, pod
    writes: list[str] = field(default_factory=list)
    events: list[intents.EmitEvent] = field(default_factory=list)
    notices: list[intents.Notice] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)
    before_write: Callable[[str], None] = lambda _: None
    audit: Callable[[str, Pod], None] = lambda _, __: None  # of each CREATE and release
    hindered: Ending | None = None  # new pods do not start, and this is said of them
    lost_status: bool = False  # status writes never arrive
    slow_creates: bool = False  # pods are only counted on until `arrive` or `forget`
    outcome: intents.Outcome = field(default_factory=intents.Outcome)

    @property
    def job(self) -> Resource:
        """The BatchJob as the operator sees it."""
        return make_job(
            status=self.seen[1],
            annotations=self.annotations,
            created_at=self.created_at,
            generation=self.generation,
            deleting=self.deleting,
            managed=self.managed,
            **self.spec,
        )

    def view(self) -> View:
        job = self.job
        admission = self.refusal or make_admission(job, checked_at=self.now)
        known = admission if self.admitted else None
        return View(
            nodes=self.nodes, admission=known, parents=self.parents, receivers=self.receivers
        )

    def edit(self, at: int | None = None, **fields: Any) -> None:
        """A person edits the spec, now unless told; the API server notes when."""
        self.spec = {**self.spec, **fields}
        self.generation += 1
        own = {"f:spec": {f"f:{name}": {} for name in fields}}
        self._manage("kubectl-edit", own, self.now if at is None else at)

    def annotate(self, name: str, value: str, at: int | None = None) -> None:
        """A person writes an annotation, now unless told."""
        self.annotations = {**self.annotations, name: value}
        own = {"f:metadata": {"f:annotations": {f"f:{name}": {}}}}
        self._manage("kubectl-annotate", own, self.now if at is None else at)

    def _manage(self, manager: str, fields: Mapping[str, Any], at: int) -> None:
        entry = {"manager": manager, "operation": "Update", "time": rfc3339(at), "fieldsV1": fields}
        self.managed = [one for one in self.managed if one["manager"] != manager] + [entry]

    def look(self) -> None:
        """The operator sees the stored status."""
        self.seen = (self.version, self.status)

    def step(self, *, look: bool = True) -> intents.Outcome:
        """Reconcile once; all writes arrive unless `before_write` raises."""
        if look:
            self.look()
        outcome = self.outcome = reconcile.reconcile(self.job, self.pods, self.view(), self.now)
        for task in outcome.tasks:
            self._write(f"create {task.name}")
            self._create(task)
        if outcome.status is not None:
            self._write("status")
            self._store(outcome)
        for release in outcome.releases:
            self._write(f"release {release.name}")
            self._release(release)
        for delete in outcome.deletes:
            self._write(f"delete {delete.name}")
            self._delete(delete)
        return outcome

    def settle(self, limit: int = 250) -> None:
        """Reconcile until nothing is written any more; fails when that never happens."""
        for _ in range(limit):
            before = len(self.writes)
            self.step()
            if len(self.writes) == before:
                return
        raise AssertionError(f"never at rest: {self.writes[-10:]}")

    def wait(self, seconds: int) -> None:
        """Let time pass, reconciling at every moment that the operator asked to be woken at."""
        until = self.now + seconds
        self.settle()
        while (wake := self.outcome.wake_at) is not None and wake <= until:
            assert wake > self.now
            self.now = wake
            self.settle()
        self.now = until
        self.settle()

    def finish(self, exit_code: int = 0, name: str | None = None, **more: Any) -> None:
        """The live pod's containers end now."""
        pod = self.live() if name is None else self.pods["default", name]
        self.pods[pod.key] = ended(pod, self.now, exit_code, **more)

    def live(self) -> Pod:
        """The one pod that has not ended."""
        [pod] = [pod for pod in self.pods.values() if not pod.terminal]
        return pod

    def arrive(self) -> None:
        """CREATEs on their way are committed."""
        for pod in list(self.pods.values()):
            if pod.assumed:
                self.created.append((self.now, pod.name))
                uid = f"uid-{pod.name}-{len(self.created)}"
                self.pods[pod.key] = replace(pod, uid=uid)

    def forget(self) -> None:
        """CREATEs on their way have failed, or the operator that made them is gone."""
        for pod in list(self.pods.values()):
            if pod.assumed:
                del self.pods[pod.key]

    def stop(self, *, overdue: bool = False) -> None:
        """Kubelets end terminating pods, or only those whose grace is over."""
        for pod in list(self.pods.values()):
            if overdue and self.now < (pod.deleted_at or 0):
                continue
            if pod.terminating and pod.node and not pod.terminal and self._answers(pod):
                self.pods[pod.key] = ended(pod, min(self.now, pod.deleted_at or 0), 143)
                self._collect(pod.key)

    def _answers(self, pod: Pod) -> bool:
        node = self.nodes.get(pod.node)
        return node is not None and node.ready

    def delete_by_person(self, name: str | None = None) -> None:
        """As kubectl does it: the pod is terminating until its container has stopped."""
        pod = self.live() if name is None else self.pods["default", name]
        self.pods[pod.key] = replace(pod, deleted_at=self.now + 30)

    def history(self) -> list[tuple[str, str]]:
        """(run, outcome) of the stored history, the newest first."""
        return [(one["run"], one["outcome"]) for one in self.status.get("history", [])]

    def condition(self, type_: str) -> tuple[str, str]:
        """(status, reason) of a stored condition; empty when absent."""
        for one in self.status.get("conditions", []):
            if one["type"] == type_:
                return one["status"], one["reason"]
        return "", ""

    def _write(self, what: str) -> None:
        self.before_write(what)
        self.writes.append(what)

    def _create(self, task: intents.Task) -> None:
        key = ("default", task.name)
        if key in self.pods:
            return  # AlreadyExists, ours
        room = sorted(
            name for name, node in self.nodes.items() if node.ready and name not in task.avoid
        )
        pod = Pod(
            namespace="default",
            name=task.name,
            node=room[0] if room else "",
            labels=task.labels,
            annotations=task.annotations,
            finalizers=(names.RUN_TRACKING,),
            created_at=self.now,
            phase=Phase.RUNNING if room else Phase.PENDING,
            ending=Ending(started_at=self.now if room else None),
        )
        if self.hindered is not None:
            pod = replace(pod, phase=Phase.PENDING, ending=self.hindered)
        self.audit("create", pod)
        self.pods[key] = pod
        if not self.slow_creates:
            self.arrive()

    def _store(self, outcome: intents.Outcome) -> None:
        assert outcome.status is not None
        BatchJobStatus.model_validate(outcome.status)
        if self.lost_status or self.seen[0] != self.version:
            return  # 409: computed from an older one
        stored = self.status.get("lastSlotTime", "")
        assert stored <= outcome.status.get("lastSlotTime", ""), "the CRD refuses this"
        self.status = outcome.status
        self.version += 1
        self.statuses.append(outcome.status)
        for event in outcome.events:
            if isinstance(event, intents.Notice):
                self.notices.append(event)
            else:
                self.events.append(event)

    def _release(self, release: intents.ReleasePod) -> None:
        pod = self.pods.get((release.namespace, release.name))
        if pod is not None and pod.uid == release.uid:
            self.audit("release", pod)
            self.pods[pod.key] = replace(pod, finalizers=release.finalizers)
            self._collect(pod.key)

    def _delete(self, delete: intents.DeletePod) -> None:
        pod = self.pods.get((delete.namespace, delete.name))
        if pod is not None and pod.uid == delete.uid:
            grace = 0 if pod.terminal or not pod.node else 30
            self.pods[pod.key] = replace(pod, deleted_at=self.now + grace)
            self._collect(pod.key)

    def _collect(self, key: tuple[str, str]) -> None:
        """A terminating pod goes once nothing holds it and nothing of it runs."""
        pod = self.pods[key]
        if pod.terminating and not pod.finalizers and (pod.terminal or not pod.node):
            del self.pods[key]
