"""Live through the profile: requests, a nemesis, quiet, and one final reading.

Two replicas of the operator, each with a door of its own to a real API server and started again
when it ends, as a kubelet would do. Their lease is 6/4/1 seconds: who leads is replaced within
about eight. Jobs run on kwok's nodes; a run's times are its container's.
"""

import contextlib
import datetime as dt
import http.client
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from localcluster import Cluster
from tests.audit.watcher import Watcher
from tests.cluster import read
from tests.cluster.kube import Kube, Objects, RefusedError
from tests.cluster.manifests import make_job
from tests.cluster.under_test import Site
from tests.faults.nursery import Child, Nursery
from tests.faults.proxy import Call, Host, Proxy, Rule, Upstream, everything, hang
from tests.faults.world import Ground, World
from tests.jepsen import generator
from tests.jepsen.checker import Report, check
from tests.jepsen.history import FORGIVENESS_SECONDS, Fault, History, Job, Run, Term

LEASE = ("6", "4", "1")
AGAIN_SECONDS = 0.5  # until a replica that ended is started again
LASTS_SECONDS = 12.0  # a replica that is stopped or cut off
LEADS_SECONDS = 60.0  # from the start of both to the first leader
SETTLE_SECONDS = 90.0
_LAST_CALLS = 30  # told of a replica that did not lead
Tell = Callable[[float, str], None]  # seconds since the beginning, what is going on


@dataclass(frozen=True, slots=True)
class Profile:
    """How long, how often, and how much later than Jepsen's windows runs may begin."""

    busy_seconds: float = 450.0  # requests and faults
    quiet_seconds: float = 400.0
    every_seconds: float = generator.EVERY_SECONDS
    rest_seconds: tuple[float, float] = (8.0, 20.0)  # between two faults
    widened: int = 0  # seconds, until half a minute after the last fault
    seed: int = 1


@dataclass(slots=True, eq=False)
class Verdict:
    """What the checker says, what the auditor says, and of what."""

    report: Report
    violations: list[str]
    history: History
    requests: int = 0
    unsure: int = 0  # jobs of which a request was not acknowledged: nobody knows what holds
    restarts: int = 0
    family: Mapping[str, int] = field(default_factory=dict)  # successes of parent and child

    @property
    def wrong(self) -> list[str]:
        return [*self.report.wrong, *self.violations]


def live(profile: Profile, folder: Path, tell: Tell = lambda _at, _what: None) -> Verdict:
    """One whole history on a cluster of its own."""
    with (
        contextlib.ExitStack() as lives,
        Cluster.start() as local,
        Host(Upstream(local.server, local.ca)) as host,
        Nursery() as nursery,
    ):
        site = Site(Kube(local.kubeconfig), local, folder).prepare()
        watcher = lives.enter_context(Watcher(local.kubeconfig))
        ground = Ground(site, host, nursery, watcher, lanes=1)
        with ground.world(seed=profile.seed) as world, _replicas(world) as pair:
            return _Play(profile, world, pair, tell).live()


class _Replica:
    """An operator under one identity, started again whenever it ends."""

    def __init__(self, world: World, name: str, door: Proxy) -> None:
        self.name, self.door = name, door
        self.starts = 0
        self.codes: list[int | None] = []  # how it ended each time
        self._world = world
        self._child: Child | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        while self._thread.is_alive():
            self.send(signal.SIGKILL)
            self._thread.join(0.05)

    def send(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send(number)

    def _keep(self) -> None:
        while not self._closing.is_set():
            self._child = self._world.operator(self.name, proxy=self.door, lease=LEASE)
            self.starts += 1
            self._child.ended.wait()
            self.codes.append(self._child.code)
            self._closing.wait(AGAIN_SECONDS)


@contextlib.contextmanager
def _replicas(world: World) -> Iterator[Mapping[str, _Replica]]:
    other = world.ground.door(world.namespace, world.lane)
    pair = {
        name: _Replica(world, name, door) for name, door in (("one", world.proxy), ("two", other))
    }
    try:
        for replica in pair.values():
            replica.start()
        yield pair
    finally:
        for replica in pair.values():
            replica.door.heal()
            replica.close()
        other.close()


class _Nemesis:
    """One fault after the other, each kind once before any comes again; the seed decides."""

    def __init__(self, world: World, pair: Mapping[str, _Replica], profile: Profile) -> None:
        self.faults: list[Fault] = []
        self.failed: list[BaseException] = []
        self._world, self._pair = world, pair
        self._rest = profile.rest_seconds
        self._dice = random.Random(profile.seed)  # noqa: S311  dice, not keys
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What it does it brings to an end; then all is healed."""
        self._over.set()
        self._thread.join()
        if self.failed:
            raise self.failed[0]

    def _run(self) -> None:
        kinds = (self.kill, self.stop, self.restart, self.cut_off, self.cut_watches)
        try:
            while True:
                for kind in self._dice.sample(kinds, len(kinds)):
                    if self._over.wait(self._dice.uniform(*self._rest)):
                        return
                    began = time.time()
                    kind(self._leader())
                    self.faults.append(Fault(kind.__name__, began, time.time()))
        except BaseException as error:  # noqa: BLE001  told where it is waited for
            self.failed.append(error)

    def kill(self, leader: _Replica) -> None:
        leader.send(signal.SIGKILL)

    def stop(self, leader: _Replica) -> None:
        leader.send(signal.SIGSTOP)
        self._over.wait(LASTS_SECONDS)
        leader.send(signal.SIGCONT)

    def restart(self, _: _Replica) -> None:
        local = self._world.ground.site.local
        assert local is not None
        local.restart_apiserver()

    def cut_off(self, leader: _Replica) -> None:
        """The API server cannot be reached by this replica."""
        leader.door.script(Rule(everything, hang))
        leader.door.cut_all()
        self._over.wait(LASTS_SECONDS)
        leader.door.heal(cut=True)

    def cut_watches(self, _: _Replica) -> None:
        """Everything that is open is reset, at both."""
        for replica in self._pair.values():
            replica.door.cut_all()

    def _leader(self) -> _Replica:
        """Whoever holds the lease; anyone when nobody does."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._world.namespace}/leases/bayplan"
        holder = self._world.ground.site.kube.get(path)["spec"].get("holderIdentity", "")
        return self._pair.get(holder) or next(iter(self._pair.values()))


class _Play:
    def __init__(
        self, profile: Profile, world: World, pair: Mapping[str, _Replica], tell: Tell
    ) -> None:
        self._profile, self._world, self._pair, self._tell = profile, world, pair, tell
        self._kube = world.ground.site.kube
        self._path = read.jobs(world.namespace)
        self._jobs: dict[str, Job] = {}
        self._unsure: set[str] = set()
        self._requests = 0
        self._began = time.monotonic()
        self._calm = threading.Event()  # never set: to wait on

    def live(self) -> Verdict:
        profile = self._profile
        self._led()
        self._family()
        with _Nemesis(self._world, self._pair, profile) as nemesis:
            for request in generator.requests(
                profile.seed, profile.busy_seconds, every=profile.every_seconds
            ):
                self._until(request.after, "requests and faults")
                self._ask(request)
            self._until(profile.busy_seconds, "requests and faults")
        self._until(profile.busy_seconds + profile.quiet_seconds, "quiet")
        read_at = time.time()
        self._settle()
        return self._judged(nemesis.faults, read_at)

    def _led(self) -> None:
        """Wait until one of them leads, whichever is faster; else say what they said."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._world.namespace}/leases"

        def met(leases: Objects) -> bool:
            return any(one["spec"].get("holderIdentity") in self._pair for one in leases.values())

        try:
            self._kube.until(path, met, within=LEADS_SECONDS)
        except AssertionError as error:
            for replica in self._pair.values():
                error.add_note(f"{replica.name}, started {replica.starts}, ended {replica.codes}:")
                error.add_note("\n".join(map(_in_words, replica.door.calls[-_LAST_CALLS:])))
                error.add_note(self._world.log(replica.name)[-4000:])
            raise

    def _until(self, seconds: float, what: str) -> None:
        while (left := self._began + seconds - time.monotonic()) > 0:
            self._tell(seconds - left, what)
            self._calm.wait(min(left, 1.0))

    # ── what people ask for ──────────────────────────────────────────────────────────────────

    def _family(self) -> None:
        """A parent, its child, and a job that always fails once: for the auditor's P5 and P6."""
        space, first = self._world.namespace, _time(time.time() + generator.HEAD_START_SECONDS)
        late: dict[str, Any] = {"missedRunPolicy": "RunAll", "cpu": "1m", "memory": "1Mi"}
        retries = {"limit": 1, "delaySeconds": 5}
        for job in (
            make_job("parent", space, schedule=f"R/{first}/PT20S", seconds=2, **late),
            make_job("child", space, parents=[{"name": "parent"}], seconds=2, cpu="1m"),
            make_job(
                "fails",
                space,
                schedule=f"R/{first}/PT40S",
                seconds=1,
                code=7,
                retryPolicy=retries,
                **late,
            ),
        ):
            self._kube.create(self._path, job)

    def _ask(self, request: generator.Request) -> None:
        """As Jepsen's client: what is not acknowledged is not judged."""
        self._requests += 1
        asked = time.time()
        start = int(asked) + generator.HEAD_START_SECONDS
        schedule = f"R{request.count}/{_time(start)}/PT{request.interval}S"
        try:
            if request.verb == "create":
                self._kube.create(self._path, self._manifest(request, schedule))
            elif request.verb == "edit":
                self._kube.patch(f"{self._path}/{request.name}", {"spec": {"schedule": schedule}})
            else:
                self._kube.delete(f"{self._path}/{request.name}")
        except (OSError, http.client.HTTPException, RefusedError):
            self._unsure.add(request.name)
            return
        told = time.time()
        term = Term(start, request.interval, request.count, told)
        if request.verb == "create":
            self._jobs[request.name] = Job(request.name, request.duration, request.epsilon, [term])
            return
        if request.name in self._unsure:
            return
        job = self._jobs[request.name]
        ended = replace(job.terms[-1], end_asked=asked, end_told=told)
        more = [] if request.verb == "delete" else [term]
        self._jobs[request.name] = replace(
            job, terms=[*job.terms[:-1], ended, *more], deleted=not more
        )

    def _manifest(self, request: generator.Request, schedule: str) -> dict[str, Any]:
        return make_job(
            request.name,
            self._world.namespace,
            schedule=schedule,
            missedRunPolicy="RunAll",
            startingDeadlineSeconds=request.epsilon + FORGIVENESS_SECONDS + self._profile.widened,
            seconds=request.duration,
            cpu="1m",
            memory="1Mi",
        )

    # ── the final reading ────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        """No new run, and all there were are accounted for."""
        for name in self._kube.listed(self._path):
            self._kube.patch(f"{self._path}/{name}", {"spec": {"suspend": True}})

        def idle(jobs: Objects) -> bool:
            return not any(
                one.get("status", {}).get("active")
                or one.get("status", {}).get("observedGeneration") != one["metadata"]["generation"]
                for one in jobs.values()
            )

        def released(pods: Objects) -> bool:
            return not any(one["metadata"].get("finalizers") for one in pods.values())

        self._kube.until(self._path, idle, within=SETTLE_SECONDS)
        self._kube.until(read.pods(self._world.namespace), released, within=SETTLE_SECONDS)

    def _judged(self, faults: list[Fault], read_at: float) -> Verdict:
        space, watcher = self._world.namespace, self._world.ground.auditor
        watcher.judged()
        pods = watcher.auditor.pods(space)
        statistics = {
            name: one.get("status", {}).get("statistics", {})
            for name, one in self._kube.listed(self._path).items()
        }
        sure = {name: job for name, job in self._jobs.items() if name not in self._unsure}
        others = self._unsure | {"parent", "child", "fails"}
        runs = [_run(pod) for pod in pods]
        history = History(
            list(sure.values()),
            [run for run in runs if run is not None and run.job not in others],
            faults,
            {name: one.get("missed", 0) for name, one in statistics.items()},
            {name: one.get("successes", 0) for name, one in statistics.items()},
            read_at,
        )
        return Verdict(
            check(history, widened=self._profile.widened),
            [str(one) for one in watcher.auditor.of([space])],
            history,
            self._requests,
            len(self._unsure),
            sum(replica.starts - 1 for replica in self._pair.values()),
            {name: history.successes.get(name, 0) for name in ("parent", "child")},
        )


def _in_words(call: Call) -> str:
    return f"{call.at:.1f} {call.label} {call.path}: stored {call.stored}, answered {call.code}"


def _run(pod: Mapping[str, Any]) -> Run | None:
    """By its container's own times; None when none ever began, or it is no slot's."""
    labels = pod["metadata"].get("labels", {})
    slot = labels.get("bayplan.dev/slot")
    states = [one.get("state", {}) for one in pod["status"].get("containerStatuses", ())]
    state = states[0] if states else {}
    ended = state.get("terminated", {})
    start = ended.get("startedAt") or state.get("running", {}).get("startedAt")
    if slot is None or start is None:
        return None
    end = ended.get("finishedAt")
    return Run(
        labels["bayplan.dev/job"],
        int(slot),
        int(labels["bayplan.dev/attempt"]),
        _seconds(start),
        None if end is None else _seconds(end),
        succeeded=pod["status"].get("phase") == "Succeeded",
    )


def _seconds(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())


def _time(at: float) -> str:
    return dt.datetime.fromtimestamp(int(at), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
