"""What must be true of any BatchJob that anybody stores: nothing escapes, all is told.

Two judges. Alone: read, reconciled, and reconciled again an hour later with the status that came of
it; no exception, 50 ms of CPU at the most, a status of our own schema; what cannot work says which
field is wrong. Together: those
that the schema lets in, in the real loop beside one good job, which gets its run
as if it were alone, and no defect is counted.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayplan.api import names
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.resource import Key, Resource, parse_resource
from bayplan.cluster import cache, errors, pods, wire
from bayplan.metrics import Metrics
from bayplan.model import intents, state
from bayplan.model.admission import Admission
from bayplan.model.nodes import HOSTNAME, Taint
from bayplan.model.pods import Pod
from bayplan.reconcile.batchjob import reconcile
from bayplan.reconcile.view import View
from bayplan.scheduler import admission, inbox, loop
from tests.builders import make_node, make_vector
from tests.double.bell import Bell
from tests.hostile import specs
from tests.schemas import schema_of, violations

MOST_SECONDS = 0.05
LONGEST_MESSAGE = 4096
_HOUR = 3600
_ANSWERED_SECONDS = 60  # all dry runs of a loop; takes milliseconds
_SPEC = schema_of(names.BATCHJOB, "spec")
_GOOD = "good"
_KEPT = "kept-for-the-good-one"  # a taint that nobody else tolerates
Decide = Callable[..., intents.Outcome]


@dataclass
class Findings:
    """What was seen of many; `broken` says seed and what is wrong."""

    accepted: int = 0  # by the written schema; CEL rules apart
    told: int = 0  # have a condition that says what is wrong
    tasks: int = 0
    slowest: float = 0.0  # seconds of CPU
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        self.accepted += other.accepted
        self.told += other.told
        self.tasks += other.tasks
        self.slowest = max(self.slowest, other.slowest)
        self.broken += other.broken


def tried(seeds: Iterable[int], decide: Decide = reconcile.reconcile) -> Findings:
    """All of these, alone and then together."""
    found, bodies = Findings(), []
    for seed in seeds:
        bodies.append(specs.batchjob(seed))
        alone(seed, bodies[-1], found, decide)
    stored = [body for body in bodies if _is_accepted(body["spec"])]
    if stored:
        found.broken += beside_a_good_one(stored, decide)
    return found


def alone(seed: int, body: Mapping[str, Any], found: Findings, decide: Decide) -> None:
    """One of them; whatever is wrong is added to `found`."""
    found.accepted += _is_accepted(body["spec"])
    try:
        spent = _timed(body, decide)
        if spent > MOST_SECONDS:  # a page fault or a collection is no fault of the spec
            spent = min(_timed(body, decide) for _ in range(3))
        found.slowest = max(found.slowest, spent)
        if spent > MOST_SECONDS:
            found.broken.append(f"{seed}: took {1000 * spent:.0f} ms")
        _judge(seed, body, found, decide)
    except Exception as error:  # noqa: BLE001  any that escapes is what is looked for
        found.broken.append(f"{seed}: {type(error).__name__}: {str(error)[:200]}")


def _is_accepted(spec: object) -> bool:
    try:
        return isinstance(spec, dict) and not violations(_SPEC, spec)
    except UnicodeEncodeError:  # a surrogate, which JSON cannot carry
        return False


def _timed(body: Mapping[str, Any], decide: Decide) -> float:
    """CPU seconds of this thread from the stored object to the decision and the one after it."""
    gc.disable()
    began = time.thread_time()
    try:
        _decided(body, decide)
        return time.thread_time() - began
    finally:
        gc.enable()


def _decided(body: Mapping[str, Any], decide: Decide) -> list[tuple[Resource, intents.Outcome]]:
    """At its creation, and an hour later with the status that came of it."""
    made: list[tuple[Resource, intents.Outcome]] = []
    status: Mapping[str, Any] = {}
    for now in (specs.START, specs.START + _HOUR):
        job = parse_resource({**body, "status": status})
        request = make_vector(100)
        known = Admission(job.template_hash, request=request, checked_at=now)
        view = View(nodes={"n1": make_node("n1")}, admission=known)
        outcome = decide(job, {}, view, now)
        status = status if outcome.status is None else outcome.status
        made.append((job, outcome))
    return made


def _judge(seed: int, body: Mapping[str, Any], found: Findings, decide: Decide) -> None:
    for job, outcome in _decided(body, decide):
        found.tasks += len(outcome.tasks)
        if outcome.status is None:
            continue
        BatchJobStatus.model_validate(outcome.status)
        stalled = [
            one
            for one in outcome.status.get("conditions", ())
            if one["type"] == "Stalled" and one["status"] == "True"
        ]
        wrong = job.spec is None or bool(job.problems)
        found.told += bool(stalled)
        if wrong and not stalled:
            found.broken.append(f"{seed}: does not say what is wrong: {job.problems[:1]}")
        if wrong and outcome.tasks:
            found.broken.append(f"{seed}: runs although it cannot work")
        if wrong and stalled and job.problems[0].field not in stalled[0]["message"]:
            found.broken.append(f"{seed}: names no field: {stalled[0]['message'][:200]}")
        for one in stalled:
            if not 0 < len(one["message"]) <= LONGEST_MESSAGE:
                found.broken.append(f"{seed}: a message of {len(one['message'])} characters")
        for task in outcome.tasks:
            if len(task.name) > 63:
                found.broken.append(f"{seed}: pod named {task.name}")


def beside_a_good_one(bodies: list[dict[str, Any]], decide: Decide) -> list[str]:
    """They and a good job in one loop: what is wrong with it or with the loop afterwards."""
    return asyncio.run(_together(bodies, decide))


@dataclass
class _Clock:
    def now(self) -> int:
        return specs.START + _HOUR

    def monotonic(self) -> float:
        return 0.0


@dataclass
class _Writer:
    """Remembers what was created; nothing comes of it."""

    created: list[Pod] = field(default_factory=list)
    asked: int = 0  # templates that the API server is asked about, less those it has answered
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def carry_out(self, _: Resource, outcome: intents.Outcome) -> None:
        self.asked += outcome.probe

    def answer(self, _: Key) -> None:
        self.asked -= 1
        if self.asked == 0:
            self.answered.set()

    def create(self, _: Resource, planned: Pod, __: Mapping[str, Any]) -> None:
        self.created.append(planned)

    def bind(self, wanted: intents.Bind) -> None: ...

    def select(self, wanted: intents.SelectNode) -> None: ...

    def mark(self, wanted: intents.MarkUnschedulable) -> None: ...

    def delete(self, wanted: intents.DeletePod) -> None: ...

    def release(self, wanted: intents.ReleasePod) -> None: ...


async def _together(bodies: list[dict[str, Any]], decide: Decide) -> list[str]:
    clock, writer, metrics = _Clock(), _Writer(), Metrics()
    known = cache.Cache(state.State(), Bell())
    room: dict[str, Any] = {"cpu": 10**9, "memory": 2**20, "pods": 10**6}
    taint = Taint(_KEPT)
    nodes = make_node("n1", **room), make_node("n2", **room)
    for node in (*nodes, make_node(_KEPT, taints=(taint,), **room)):
        known.upsert("Node", wire.Seen("", node.name, node.name, 1, node))
    tolerated = {"tolerations": [{"key": _KEPT, "operator": "Exists"}]}
    good = {
        **specs.batchjob(0),
        "spec": {"template": {"spec": {"containers": [{"name": "main"}], **tolerated}}},
    }
    good["spec"]["template"]["spec"]["nodeSelector"] = {HOSTNAME: _KEPT}
    good["metadata"] = {**good["metadata"], "name": _GOOD, "uid": "good-uid", "annotations": {}}
    middle = len(bodies) // 2
    broken: list[str] = []
    admissions = admission.Admissions(_stored, pods.pod_from_dict, clock.now, writer.answer, 1e9)
    cycles = loop.Loop(
        clock=clock,
        inbox=inbox.Inbox(clock=clock.monotonic),
        cache=known,
        writer=writer,
        admissions=admissions,
        metrics=metrics,
        leads=lambda: True,
        beat=lambda: None,
        deciders={names.BATCHJOB: decide},
    )
    try:
        for body in [*bodies[:middle], good, *bodies[middle:]]:
            known.put_resource(body)
        everything = inbox.Batch(frozenset(known.resources), placement=True)
        cycles.cycle(everything)
        if writer.asked:
            await asyncio.wait_for(writer.answered.wait(), _ANSWERED_SECONDS)
        cycles.cycle(everything)
    except Exception as error:  # noqa: BLE001  any that escapes is what is looked for
        broken.append(f"{_span(bodies)}: the cycle ended: {type(error).__name__}: {error}")
    finally:
        await admissions.close()
    defects = metrics.registry.get_sample_value("bayplan_reconcile_errors_total")
    if defects:
        broken.append(f"{_span(bodies)}: {defects:.0f} defects")
    placed = [pod.node for pod in writer.created if pod.owner and pod.owner.name == _GOOD]
    if placed != [_KEPT]:
        broken.append(f"{_span(bodies)}: the good job's runs are on {placed}")
    return broken


async def _stored(body: Mapping[str, Any], *, strict: bool) -> Pod:
    """The API server's answer to a dry run: what cannot be a pod is refused."""
    try:
        return replace(pods.pod_from_dict(body), uid="dry-run")
    except Exception as error:  # the server's own judgement stands in for this
        raise errors.Rejected(str(error)[:200], status=422) from error


def _span(bodies: list[dict[str, Any]]) -> str:
    first, last = (body["metadata"]["name"].rpartition("-")[2] for body in (bodies[0], bodies[-1]))
    return f"{first}-{last}"
