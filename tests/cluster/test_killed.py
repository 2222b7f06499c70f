"""The operator killed again and again: everything ends as if nobody had ever touched it.

Two clusters get the same manifests and the same edits at the same time. On one of them the
operator is killed with SIGKILL ten times, each time after a number of pod events that a seed
chooses, and started again with the same identity. What is left must be equal: every run of every
slot with its outcome, the counters, instances, revisions, children. A watch of its own tells that
no pod of a run was ever made twice.
"""

import collections
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bayplan.api.times import epoch_of, rfc3339
from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube, Objects, RefusedError
from tests.cluster.manifests import SLEEPER, make_job, make_service
from tests.cluster.under_test import NAMESPACE, Site

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(420),
    pytest.mark.skipif(
        "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
        reason="it compares two local clusters",
    ),
]

SEED = int(os.environ.get("BAYPLAN_TEST_SEED", "20"))
KILLS = 10
_MOST_EVENTS = 12  # of pods, between the operator's return and its next end
_IDLE_SECONDS = 4  # a moment without events is a moment too
_APPLIED_SECONDS = 15  # both sets are applied before their first slot
_SETTLED_SECONDS = 150
_SLOTS, _PERIOD_SECONDS = 7, 10
_COUNTERS = ("runs", "successes", "failures", "cancelled", "missed", "lost")
_TOKENS = ("one", "two", "three")
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"

Digest = dict[str, Any]
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """One of the two clusters."""

    site: Site
    namespace: str

    @property
    def kube(self) -> Kube:
        return self.site.kube

    def manifests(self, start: int) -> list[dict[str, Any]]:
        """What a small data company runs; its schedules begin at `start` and end by themselves."""
        crawler = {
            "schedule": f"R{_SLOTS}/{rfc3339(start)}/PT{_PERIOD_SECONDS}S",
            "missedRunPolicy": "RunAll",
            "history": {"successful": 2, "failed": 1},
            "retryPolicy": {"limit": 1, "delaySeconds": 1},
        }
        here = self.namespace
        quick = {"limit": 2, "delaySeconds": 2, "backoffPercent": 0}
        return [
            *(make_job(f"crawl-{each}", here, seconds=each, **crawler) for each in range(1, 6)),
            make_job("crawl-broken", here, seconds=1, code=3, **crawler),
            *(make_job(f"once-{each}", here, seconds=4 * each) for each in range(1, 6)),
            make_job("once-broken", here, seconds=2, code=7, retryPolicy=quick),
            make_job("asked", here, seconds=2, schedule="0 0 1 1 *", suspend=True),
            make_service("api", here, replicas=3, ready_delay="1s"),
            make_service("front", here, replicas=6, ready_delay="1s", termination="1s"),
        ]


# ── what happens ─────────────────────────────────────────────────────────────────────────────────


def ask(on: Subject, token: str) -> None:
    """A token that is overwritten unread asks for nothing, so the one before must be a run."""
    count = _TOKENS.index(token)
    on.kube.until(
        read.jobs(on.namespace),
        lambda found: len(found["asked"].get("status", {}).get("handledTokens", [])) >= count,
    )
    note = {"metadata": {"annotations": {"bayplan.dev/run-now": token}}}
    on.kube.patch(f"{read.jobs(on.namespace)}/asked", note)


def scale(on: Subject, name: str, replicas: int) -> None:
    on.kube.patch(f"{read.services(on.namespace)}/{name}", {"spec": {"replicas": replicas}})


def rollout(on: Subject, name: str, version: int) -> None:
    """A template that is overwritten unread is no revision, so the one before must be stored."""
    on.kube.until(
        f"/apis/apps/v1/namespaces/{on.namespace}/controllerrevisions",
        lambda found: version - 1 in {r["revision"] for r in found.values() if owner(r) == name},
    )
    labels = {"metadata": {"labels": {"version": str(version)}}}
    path = f"{read.services(on.namespace)}/{name}"
    on.kube.patch(path, {"spec": {"template": labels}})


# What people do meanwhile, by the kill after which it happens. The operator is dead at that moment
# where nothing has to be awaited, else it has just come back.
EDITS: Mapping[int, Callable[[Subject], None]] = {
    0: lambda on: ask(on, "one"),
    1: lambda on: rollout(on, "front", 2),
    3: lambda on: ask(on, "two"),
    4: lambda on: scale(on, "api", 5),
    5: lambda on: rollout(on, "front", 3),
    6: lambda on: ask(on, "three"),
    7: lambda on: rollout(on, "api", 2),
    8: lambda on: scale(on, "front", 4),
}


def course(on: Subject, start: Callable[[], int], pauses: Sequence[int], *, kill: bool) -> Digest:
    """Apply, edit, kill or not, and tell what is left when all has ended.

    `start` waits for the other course to be as far, and says when the schedules of both begin.
    """
    with on.site.operator() as operator, recorded(on) as pods:
        await_leading(on, after="")
        begins = start()
        on.kube.apply(*on.manifests(begins))
        for number, pause in enumerate(pauses):
            await_events(on, pause)
            if kill:
                assert operator.running, operator.log()[-4000:]
                operator.kill()
                led = lease(on)
                operator.start()
            EDITS.get(number, lambda _: None)(on)
            if kill:
                await_leading(on, after=led)
        await_end(on)
        return digest(on, begins) | {"made": made(pods)}


def lease(on: Subject) -> str:
    return str(on.kube.listed(_LEASES)["bayplan"]["metadata"]["resourceVersion"])


def await_leading(on: Subject, *, after: str) -> str:
    """Until the lease is written by the operator that has come back."""

    def written(found: Objects) -> str:
        version = found["bayplan"]["metadata"]["resourceVersion"] if "bayplan" in found else after
        return "" if version == after else str(version)

    return on.kube.until(_LEASES, written, within=60)


def await_events(on: Subject, count: int) -> None:
    """Until that many events of pods were seen, or none for a while."""
    left = iter(range(count))
    with contextlib.suppress(AssertionError):
        on.kube.until(
            read.pods(on.namespace), lambda _: next(left, None) is None, within=_IDLE_SECONDS
        )


def await_end(on: Subject) -> None:
    """Until every run has finished, every instance is ready and every pod to be deleted is gone."""
    runs = {"asked": len(_TOKENS)}
    # `history.failed` keeps the pods of so many failed runs, and of so many attempts before them.
    kept = {"asked": 3, "api": 5, "front": 4, "crawl-broken": 2, "once-broken": 3}

    def finished(found: Objects) -> bool:
        return all(
            job.get("status", {}).get("statistics", {}).get("runs", 0)
            >= runs.get(name, _SLOTS if name.startswith("crawl") else 1)
            for name, job in found.items()
        )

    def settled(found: Objects) -> bool:
        finish_deletions(on, found.values())
        owners = collections.Counter(map(owner, found.values()))
        wanted = {name: kept.get(name, 2 if name.startswith("crawl") else 1) for name in owners}
        quiet = not any(
            "deletionTimestamp" in pod["metadata"] or "finalizers" in pod["metadata"]
            for pod in found.values()
        )
        return quiet and wanted == owners

    on.kube.until(read.jobs(on.namespace), finished, within=_SETTLED_SECONDS)
    for name in ("api", "front"):
        on.kube.until(
            read.services(on.namespace),
            lambda found, name=name: (
                read.holds(found, name, "Ready")
                and found[name]["status"]["updatedReplicas"] == kept[name]
            ),
            within=_SETTLED_SECONDS,
        )
    on.kube.until(read.pods(on.namespace), settled, within=_SETTLED_SECONDS)


def finish_deletions(on: Subject, pods: Iterable[Object]) -> None:
    """As a kubelet does and kwok does not: end deletions that the API server left half done.

    It writes twice to delete a pod that has ended, and stops in between when its client is gone.
    """
    for pod in pods:
        metadata = pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds") == 0 and "finalizers" not in metadata:
            with contextlib.suppress(RefusedError):  # it has gone meanwhile
                same = {"preconditions": {"uid": metadata["uid"]}}
                on.kube.delete(f"{read.pods(on.namespace)}/{metadata['name']}", same)


# ── what is left ─────────────────────────────────────────────────────────────────────────────────


def digest(on: Subject, begins: int) -> Digest:
    """All that must not depend on what the operator went through.

    Without what differs by chance: names made of uids, nodes, times but those of slots.
    """
    apps, policy = "/apis/apps/v1/namespaces", "/apis/policy/v1/namespaces"
    jobs = on.kube.listed(read.jobs(on.namespace))
    services = on.kube.listed(read.services(on.namespace))
    pods = on.kube.listed(read.pods(on.namespace))
    revisions = on.kube.listed(f"{apps}/{on.namespace}/controllerrevisions")
    budgets = on.kube.listed(f"{policy}/{on.namespace}/poddisruptionbudgets")
    return {
        "jobs": {name: of_job(job, begins) for name, job in jobs.items()},
        "services": {name: of_service(service) for name, service in services.items()},
        "pods": collections.Counter(of_pod(pod, begins) for pod in pods.values()),
        "revisions": sorted(
            (owner(one), one["revision"], one["metadata"]["labels"]["bayplan.dev/template-hash"])
            for one in revisions.values()
        ),
        "budgets": {name: one["spec"].get("minAvailable") for name, one in budgets.items()},
    }


def of_job(job: Object, begins: int) -> Digest:
    status = job["status"]
    plain = ("remainingRuns", "running", "active", "placement", "handledTokens")
    told = ("outcome", "reason", "exitCode", "attempts")
    return {
        **{name: status.get(name) for name in plain},
        # How long runs took and waited is a matter of the moment; how many there were is not.
        "statistics": {name: status["statistics"].get(name) for name in _COUNTERS},
        "lastSlot": slot(job, status.get("lastSlotTime"), begins),
        "conditions": conditions(job),
        "history": [
            (slot(job, run.get("slotTime"), begins), *(run.get(word) for word in told))
            for run in status["history"]
        ],
    }


def of_service(service: Object) -> Digest:
    status = service["status"]
    plain = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    told = ("restartBackoff", "lastFailure", "placement")
    return {
        **{name: status.get(name) for name in (*plain, *told)},
        "conditions": conditions(service),
        "updated": status["currentRevision"] == status["updateRevision"],
    }


def of_pod(pod: Object, begins: int) -> tuple[object, ...]:
    labels = pod["metadata"]["labels"]
    due = labels.get("bayplan.dev/slot")
    return (
        owner(pod),
        slot(pod, due and rfc3339(int(due)), begins),
        labels.get("bayplan.dev/attempt"),
        labels["bayplan.dev/template-hash"],
        pod["status"]["phase"],
    )


def slot(one: Object, time_text: str | None, begins: int) -> int | None:
    """Seconds since the schedules began; a run without a schedule belongs to its job's creation."""
    name = owner(one) if "ownerReferences" in one["metadata"] else one["metadata"]["name"]
    if time_text is None or not name.startswith("crawl"):
        return None
    return epoch_of(time_text) - begins


def conditions(one: Object) -> Mapping[str, tuple[str, str]]:
    found = one["status"]["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in found}


def owner(one: Object) -> str:
    return str(one["metadata"]["ownerReferences"][0]["name"])


@contextlib.contextmanager
def recorded(on: Subject) -> Iterator[Mapping[str, set[str]]]:
    """The uids that were seen under each name of a pod, as long as the block lasts."""
    seen: dict[str, set[str]] = collections.defaultdict(set)
    over = threading.Event()

    def look(found: Objects) -> bool:
        for name, pod in found.items():
            seen[name].add(pod["metadata"]["uid"])
        return over.is_set()

    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(on.kube.until, read.pods(on.namespace), look, within=400)
        try:
            yield seen
        finally:
            over.set()
            last = {"metadata": {"name": "last"}, "spec": {"containers": [SLEEPER]}}
            on.kube.create(read.pods(on.namespace), last)  # the event after which it ends
            watch.result()


def made(pods: Mapping[str, set[str]]) -> Mapping[tuple[str, str], int]:
    """How often each pod of a run was made: job and trigger with attempt -> times.

    The trigger of a run without a schedule holds its job's creation time, so it is cut to a word.
    """
    found = {}
    for name, uids in pods.items():
        if name.startswith(("crawl", "once", "asked")):
            *job, _, trigger, attempt = name.split("-")
            word = "once" if name.startswith("once") else trigger
            found["-".join(job), f"{word}-{attempt}"] = len(uids)
    return found


# ── the test ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def subjects(tmp_path: Path) -> Iterator[tuple[Subject, Subject]]:
    """Two equal clusters, one to be left alone."""
    with contextlib.ExitStack() as stack:
        ready = []
        for name in ("calm", "killed"):
            local = stack.enter_context(
                Cluster.start(kwok="m5.2xlarge:us-east-1a=2,m5.xlarge:us-east-1b=2")
            )
            folder = tmp_path / name
            folder.mkdir()
            site = Site(Kube(local.kubeconfig), local, folder).prepare()
            ready.append(Subject(site, site.namespace()))
        calm, killed = ready
        yield calm, killed


def test_ten_kills_leave_no_trace(subjects: tuple[Subject, Subject]) -> None:
    """Killed at ten random moments, the operator ends where it would have ended undisturbed.

    No pod of a run is ever made twice, and every slot has exactly the attempts that it would have.
    """
    calm, killed = subjects
    starts: list[int] = []
    together = threading.Barrier(2, lambda: starts.append(int(time.time()) + _APPLIED_SECONDS))

    def start() -> int:
        together.wait(60)
        return starts[0]

    pauses = random.Random(SEED).choices(range(_MOST_EVENTS), k=KILLS)  # noqa: S311  no secret
    with ThreadPoolExecutor(2) as pool:
        undisturbed = pool.submit(course, calm, start, pauses, kill=False)
        disturbed = pool.submit(course, killed, start, pauses, kill=True)
        expected, found = undisturbed.result(), disturbed.result()

    assert expected == found
    assert {1} == set(expected["made"].values())
    assert _SLOTS * 5 <= sum("broken" not in job for job, _ in expected["made"])
