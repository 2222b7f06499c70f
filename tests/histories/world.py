"""The cluster around the operator, in virtual time: kubelets, garbage collection, lease, people.

Everything random comes from the seed and everything waits on the loop, so that a seed gives the
same history again. The auditor is told of every change before anybody else.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names
from bayplan.api.times import rfc3339
from bayplan.cluster.transport import Request
from bayplan.cluster.wire import epoch
from bayplan.runtime.supervisor import Ended
from tests.histories.auditor import Auditor, cpu_of, owner_of
from tests.histories.replica import Line, Replica
from tests.histories.store import Body, Key, Store, encode, is_terminal

START = 1_789_999_200  # 2026-09-21T14:00:00Z: a full hour
SPACE = "default"
LEASE_SECONDS, RENEW_DEADLINE_SECONDS = 15, 10
MOST_SKEW_SECONDS = 5
_DETECTED_SECONDS = 5  # a silent node is seen; 40 s in a real cluster
COLLECTED_SECONDS = 3

Node = tuple[int, int]  # thousandths of a CPU, pods


@dataclass(slots=True)
class Fate:
    """How a run's pod fares: seconds to start, to run, and the code it ends with.

    A `stuck` one never starts by itself.
    """

    start: float
    run: float
    code: int = 0
    stuck: bool = False


@dataclass(slots=True, eq=False)
class World:
    """One history's cluster. `bend` is put into every replica."""

    seed: int
    bend: Callable[[Replica], None] = lambda _: None
    chance: random.Random = field(init=False)
    store: Store = field(init=False)
    auditor: Auditor = field(init=False)
    offset: float = 0.0  # steps of everybody's wall clock
    calm: bool = False  # all runs succeed, quickly
    lines: list[Line] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)  # nodes whose kubelet does not speak
    capacity: dict[str, Node] = field(default_factory=dict)
    _holder: str = ""
    _asking: list[Replica] = field(default_factory=list)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)  # id of line -> process
    _others: set[asyncio.Task[None]] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311  a history, not a secret
        self.store = Store(self.now, self._told)
        self.auditor = Auditor(self)

    # ---- clocks -----------------------------------------------------------------------------

    def now(self) -> int:
        """The API server's clock, and every kubelet's."""
        return int(START + self.time() + self.offset)

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self, line: Line) -> float:
        """A replica's clock. One that is off by more than it may be decides nothing by it."""
        shown = START + self.time() + self.offset + line.skew
        if abs(line.skew) <= MOST_SKEW_SECONDS:
            self.auditor.latest = max(self.auditor.latest, shown)
        return shown

    def say(self, words: str) -> None:
        self.told.append(f"{self.time():8.3f} {words}")

    # ---- replicas ---------------------------------------------------------------------------

    def start(self, identity: str) -> Line:
        line = Line(self, random.Random(self.chance.random()), identity)  # noqa: S311
        self.lines.append(line)
        replica = self.replica(line)
        self.say(f"start {identity}")
        self._tasks[id(line)] = self.spawn(self._process(replica))
        return line

    def replica(self, line: Line) -> Replica:
        return Replica(line, self.bend)

    async def _process(self, replica: Replica) -> None:
        line = replica.line
        try:
            await replica.live()
        except Ended as ended:
            self.say(f"ended {line.identity}: {ended}")
            self.auditor.ended(str(ended))
            self._gone(line)
        except asyncio.CancelledError:
            pass

    def died(self, line: Line) -> None:
        """SIGKILL, now."""
        task = self._tasks.pop(id(line), None)
        if task is None:
            return
        line.dead = True
        self.say(f"killed {line.identity}")
        task.cancel()
        self._gone(line)

    def _gone(self, line: Line) -> None:
        """Its container starts again; meanwhile another may take over, once the lease is over."""
        self._tasks.pop(id(line), None)
        if line in self.lines:
            self.lines.remove(line)
        self._asking = [one for one in self._asking if one.line is not line]
        delay = self.chance.choice([1.0, 2.0, 20.0])
        self.later(delay, lambda: self.start(line.identity))
        if self._holder == line.identity:
            self.later(LEASE_SECONDS, lambda: self._take_over(line.identity))

    def _take_over(self, before: str) -> None:
        """A lease that was not renewed goes to who asks."""
        alive = any(one.identity == before and not one.dead for one in self.lines)
        if self._holder == before and not alive:
            self._holder = ""
            self._grant()

    def ask_for_lease(self, replica: Replica) -> None:
        self._asking.append(replica)
        self._grant()

    def _grant(self) -> None:
        for one in self._asking:
            if not one.line.dead and self._holder in {"", one.line.identity}:
                self._holder = one.line.identity
                self.say(f"leads {self._holder}")
                one.gain()
                return

    def depose(self) -> None:
        """The leader hears nothing more and goes on by what it knew, as long as its lease lasts.

        It writes nothing after its renew deadline; another one leads when the lease has run out,
        and may itself have heard nothing for a while.
        """
        leader = next((one for one in self.lines if one.identity == self._holder), None)
        if leader is None or len(self._asking) < 2:
            return
        self.say(f"deaf {leader.identity}")
        leader.held_until = self.time() + LEASE_SECONDS
        for other in self.lines:
            if other is not leader and self.chance.random() < 0.5:
                self.say(f"deaf {other.identity}")
                other.held_until = self.time() + LEASE_SECONDS + self.chance.choice([1, 5, 12])
        self.later(RENEW_DEADLINE_SECONDS, lambda: self.died(leader))

    def holds(self, line: Line) -> bool:
        return not line.dead and line.identity == self._holder

    def wrote(self, line: Line, request: Request) -> None:
        if request.method != "GET" and request.kind != "Event" and request.verb != "dry-run":
            self.say(f"{line.identity} {request.verb} {request.path.rpartition('default/')[2]}")
            self.auditor.writes += 1

    # ---- tasks ------------------------------------------------------------------------------

    def spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._others.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._others.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.auditor.defect(task.exception())

    def later(self, seconds: float, what: Callable[[], Any]) -> None:
        asyncio.get_running_loop().call_later(seconds, what)

    # ---- nodes ------------------------------------------------------------------------------

    def add_node(self, name: str, size: Node) -> None:
        self.capacity[name] = size
        self.silent.discard(name)
        allocatable = {"cpu": f"{size[0]}m", "memory": "8Gi", "pods": str(size[1])}
        body = object_of("v1", "Node", name, "")
        body["metadata"]["labels"] = {"kubernetes.io/hostname": name}
        body["status"] = {"allocatable": allocatable, "conditions": [self._ready("True")]}
        self.store.create("Node", body)
        for key, pod in list(self.store.of("Pod").items()):
            if pod["spec"].get("nodeName") == name and not is_terminal(pod):
                self._found(key, pod)

    def _found(self, key: Key, pod: Body) -> None:
        """A new kubelet of an old name has none of the containers that its pods should have."""
        if pod["status"]["phase"] == "Running":
            self._end(key, pod["metadata"]["uid"], 137)
        else:
            self._care(pod)

    def _ready(self, status: str) -> Body:
        at = rfc3339(self.now())
        return {"type": "Ready", "status": status, "lastTransitionTime": at}

    def silence(self, name: str) -> None:
        if ("", name) in self.store.of("Node"):
            self.auditor.trouble(name)
            self.silent.add(name)
            self.later(_DETECTED_SECONDS, lambda: self._set_ready(name, "Unknown"))

    def hear(self, name: str) -> None:
        """The kubelet speaks again; what it ran meanwhile has gone on."""
        if name in self.silent:
            self.silent.discard(name)
            self._set_ready(name, "True")
            for pod in list(self.store.of("Pod").values()):
                if pod["spec"].get("nodeName") == name:
                    self._care(pod)

    def _set_ready(self, name: str, status: str) -> None:
        if ("", name) in self.store.of("Node") and (status == "True") is (name not in self.silent):
            node = self.store.copy("Node", ("", name))
            node["status"]["conditions"] = [self._ready(status)]
            self.store.replace("Node", ("", name), node, "kubelet")

    def lose(self, name: str) -> None:
        """The node vanishes with all it runs; its pods are collected a little later."""
        if ("", name) in self.store.of("Node"):
            self.auditor.trouble(name)
            self.silent.discard(name)
            self.store.delete("Node", ("", name), {}, "cloud")
            self.later(COLLECTED_SECONDS * 4, self._collect_lost)

    def _collect_lost(self) -> None:
        for key, pod in list(self.store.of("Pod").items()):
            node = pod["spec"].get("nodeName")
            if not node or ("", node) in self.store.of("Node"):
                continue
            if not is_terminal(pod):
                body = self.store.copy("Pod", key)
                body["status"]["phase"] = "Failed"
                body["status"]["conditions"] = [
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
                ]
                self.store.replace("Pod", key, body, "gc")
            self._remove(key, pod["metadata"]["uid"])

    # ---- pods -------------------------------------------------------------------------------

    def _told(
        self, kind: str, key: Key, before: Body | None, after: Body | None, verb: str
    ) -> None:
        self.auditor.told(kind, key, before, after, verb)
        if kind == "Pod" and after is not None:
            self._care(after)
            self.later(COLLECTED_SECONDS, lambda: self._collect_orphan(key, after))
        if kind == names.BATCHJOB and after is None:
            self.later(COLLECTED_SECONDS, lambda: self._collect_of(before))

    def _collect_of(self, job: Body | None) -> None:
        for key, pod in list(self.store.of("Pod").items()):
            if job is not None and owner_of(pod) == job["metadata"]["uid"]:
                self._collect_orphan(key, pod)

    def _collect_orphan(self, key: Key, pod: Body) -> None:
        jobs = self.store.of(names.BATCHJOB).values()
        if all(job["metadata"]["uid"] != owner_of(pod) for job in jobs):
            self._remove(key, pod["metadata"]["uid"], grace=None)

    def _remove(self, key: Key, uid: str, grace: int | None = 0) -> None:
        options: dict[str, Any] = {"preconditions": {"uid": uid}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        with contextlib.suppress(Exception):
            self.store.delete("Pod", key, options, "gc")

    def _care(self, pod: Body) -> None:
        """What the pod's kubelet does next, if it speaks."""
        node, key = pod["spec"].get("nodeName"), key_of(pod)
        if not node or is_terminal(pod) or node in self.silent:
            return
        if ("", node) not in self.store.of("Node"):
            self.later(COLLECTED_SECONDS * 4, self._collect_lost)
            return
        uid = pod["metadata"]["uid"]
        if pod["metadata"].get("deletionTimestamp"):
            self.later(1.0, lambda: self._end(key, uid, 143))
        elif pod["status"]["phase"] == "Pending":
            fate = self.fate(pod)
            then = self._hinder if fate.stuck else self._run
            self.later(fate.start, lambda: then(key, uid))
        else:
            began = epoch(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"])
            fate = self.fate(pod)
            left = max((began or 0) + fate.run - self.now(), 0.0)
            self.later(left + 0.05, lambda: self._end(key, uid, fate.code))

    def fate(self, pod: Body) -> Fate:
        """The same for one pod whenever it is asked."""
        notes = pod["metadata"]["annotations"]
        longest, failing = float(notes["sim/seconds"]), float(notes["sim/failing"])
        dice = random.Random(f"{self.seed} {pod['metadata']['name']}")  # noqa: S311
        start, run = dice.random() * 2, dice.random() * longest
        failed, stuck = dice.random() < failing, dice.random() < float(notes["sim/stuck"])
        if self.calm:
            return Fate(start / 4, min(run, 2.0))
        return Fate(start, run, dice.choice([1, 1, 7]) if failed else 0, stuck)

    def _alive(self, key: Key, uid: str) -> Body | None:
        """The pod, while its kubelet speaks and it has not ended."""
        stored = self.store.of("Pod").get(key)
        if stored is None or stored["metadata"]["uid"] != uid or is_terminal(stored):
            return None
        node = stored["spec"]["nodeName"]
        if node in self.silent or ("", node) not in self.store.of("Node"):
            return None
        return self.store.copy("Pod", key)

    def _hinder(self, key: Key, uid: str) -> None:
        """The kubelet cannot start it, and says so."""
        pod = self._alive(key, uid)
        if pod is not None and pod["status"]["phase"] == "Pending":
            state = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
            pod["status"]["containerStatuses"] = [
                {"name": "main", "state": state, "restartCount": 0}
            ]
            self.store.replace("Pod", key, pod, "kubelet")

    def _run(self, key: Key, uid: str) -> None:
        pod = self._alive(key, uid)
        if pod is None or pod["status"]["phase"] != "Pending":
            return
        if pod["metadata"].get("deletionTimestamp"):
            return
        if self._refuses(pod):
            pod["status"] |= {"phase": "Failed", "reason": "OutOfcpu"}
            self.auditor.refused(key)
        else:
            at = rfc3339(self.now())
            state = {"running": {"startedAt": at}}
            pod["status"] |= {
                "phase": "Running",
                "containerStatuses": [{"name": "main", "state": state, "restartCount": 0}],
            }
        self.store.replace("Pod", key, pod, "kubelet")

    def _refuses(self, pod: Body) -> bool:
        """The kubelet's own admission: what runs there already, and this one."""
        node = pod["spec"]["nodeName"]
        there = [
            one
            for one in self.store.of("Pod").values()
            if one["spec"].get("nodeName") == node and one["status"]["phase"] == "Running"
        ]
        cpu = sum(cpu_of(one) for one in [*there, pod])
        return cpu > self.capacity[node][0] or len(there) + 1 > self.capacity[node][1]

    def _end(self, key: Key, uid: str, code: int) -> None:
        pod = self._alive(key, uid)
        if pod is None:
            return
        if pod["metadata"].get("deletionTimestamp"):
            code = 143
        status = pod["status"]
        began = status.get("containerStatuses")
        if began and "running" in began[0]["state"]:
            started = began[0]["state"]["running"]["startedAt"]
            ended = {
                "exitCode": code,
                "reason": "Error" if code else "Completed",
                "startedAt": started,
                "finishedAt": rfc3339(self.now()),
            }
            began[0]["state"] = {"terminated": ended}
        status["phase"] = "Failed" if code else "Succeeded"
        self.store.replace("Pod", key, pod, "kubelet")
        if pod["metadata"].get("deletionTimestamp"):
            self._remove(key, uid)

    # ---- people -----------------------------------------------------------------------------

    def add_job(
        self,
        name: str,
        spec: Mapping[str, Any],
        *,
        cpu: int,
        seconds: float,
        failing: float,
        stuck: float = 0.0,
    ) -> None:
        notes = {
            "sim/seconds": str(seconds),
            "sim/failing": str(failing),
            "sim/stuck": str(stuck),
        }
        container = {
            "name": "main",
            "image": "busybox",
            "resources": {"requests": {"cpu": f"{cpu}m", "memory": "64Mi"}},
        }
        body = object_of(names.API_VERSION, names.BATCHJOB, name, SPACE)
        body["spec"] = {
            **spec,
            "template": {"metadata": {"annotations": notes}, "spec": {"containers": [container]}},
        }
        self.say(f"add {name} {encode(spec).decode()}")
        self.store.create(names.BATCHJOB, body)

    def edit(self, name: str, kind: str = names.BATCHJOB, **fields: Any) -> None:
        """Set fields of the spec; `annotations` are the metadata's."""
        key = SPACE, name
        if key not in self.store.of(kind):
            return
        self.say(f"edit {name} {fields}")
        job = self.store.copy(kind, key)
        for word, text in fields.pop("annotations", {}).items():
            job["metadata"].setdefault("annotations", {})[word] = text
            self._note(job, "f:metadata", {"f:annotations": {f"f:{word}": {}}})
        job["spec"] |= fields
        if fields:
            self._note(job, "f:spec", {f"f:{field}": {} for field in fields})
        self.store.replace(kind, key, job, "person")

    def _note(self, job: Body, part: str, fields: Body) -> None:
        """As the API server does: who has set what, and when."""
        entry = {
            "manager": f"person-{part}",
            "operation": "Update",
            "time": rfc3339(self.now()),
            "fieldsV1": {part: fields},
        }
        known = job["metadata"].get("managedFields", [])
        others = [one for one in known if one["manager"] != entry["manager"]]
        job["metadata"]["managedFields"] = [*others, entry]

    def remove(self, kind: str, name: str) -> None:
        if (SPACE, name) in self.store.of(kind):
            self.say(f"delete {kind} {name}")
            self.store.delete(kind, (SPACE, name), {}, "person")


def object_of(version: str, kind: str, name: str, space: str) -> Body:
    metadata: Body = {"name": name, "annotations": {}}
    if space:
        metadata["namespace"] = space
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def key_of(body: Body) -> Key:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]
