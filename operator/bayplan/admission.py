"""What a template really asks for: the API server is asked once, by a dry-run CREATE of one pod.

LimitRange, mutating webhooks, sidecars and overhead are in its answer, so the plan is made from
what would be stored and not from what was written. Fields that no pod has, which a stored resource
may hold as its schema passes on what it does not list, are refused by a strict CREATE alone: that
is asked first, and where it names such fields, what would be stored without them. Answers are
kept in memory and, through the status, over restarts; reconcile asks for a new one after an hour.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bayplan import telemetry, units
from bayplan.api import build, placing
from bayplan.api.meta import MOST_UNKNOWN_FIELDS, epoch_of
from bayplan.api.resource import Key, Resource
from bayplan.cluster import errors
from bayplan.model import pod as pods_
from bayplan.model import resources, workload
from bayplan.reconcile import action, conditions

FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300

_STRICT = "strict decoding error: "  # k8s.io/apimachinery, runtime.NewStrictDecodingError


class DryRun(Protocol):
    """What would be stored of a pod; a strict one is `Rejected` where a field is unknown."""

    def __call__(self, body: Mapping[str, Any], *, strict: bool) -> Awaitable[pods_.Pod]: ...


Read = Callable[[Mapping[str, Any]], pods_.Pod]


@dataclass(slots=True)
class _Known:
    """What is known of one resource's template."""

    template_hash: str
    admission: action.Admission
    pod: pods_.Pod | None = None  # the API server's answer; None when only the status told
    refusals: int = 0


@dataclass(slots=True, eq=False)
class Admissions:
    """Answers by resource uid. `dry_run` raises the errors of `cluster.errors`.

    `read` decodes a pod that was only built, for what a restart has to know before it has asked
    again. `now` is epoch seconds; `answered` rings for the resource.
    """

    dry_run: DryRun
    read: Read
    now: Callable[[], int]
    answered: Callable[[Key], None]
    per_second: float = 20
    _known: dict[str, _Known] = field(default_factory=dict)
    # uid -> generation, template hash -> class
    _shapes: dict[str, tuple[int, dict[str, workload.PodClass]]] = field(default_factory=dict)
    _asking: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _next_at: float = 0.0

    def of(self, resource: Resource) -> action.Admission | None:
        """What is known of the present template: asked lately, or told by the status."""
        known = self._known.get(resource.uid)
        if known is not None and known.template_hash == resource.template_hash:
            return known.admission
        told = _told_by_status(resource)
        if told is not None:
            self._known[resource.uid] = _Known(resource.template_hash, told)
        return told

    def shape(
        self, resource: Resource, blueprint: build.Blueprint, template_hash: str
    ) -> workload.PodClass:
        """The class of a resource's tasks of one template: as the API server would store them."""
        generation, known = self._shapes.get(resource.uid, (-1, {}))
        if generation != resource.generation:
            known = {}
            self._shapes[resource.uid] = resource.generation, known
        shape = known.get(template_hash)
        if shape is None:
            shape = known[template_hash] = self._shaped(resource, blueprint, template_hash)
        return shape

    def _shaped(
        self, resource: Resource, blueprint: build.Blueprint, template_hash: str
    ) -> workload.PodClass:
        known = self._known.get(resource.uid)
        request, pod = resources.NOTHING, None
        if known is not None and known.template_hash == template_hash:
            request, pod = known.admission.request, known.pod
        if pod is None:
            pod = self.read(_sample(resource, blueprint, template_hash))
        rules = placing.rules(resource, template_hash)
        return workload.PodClass(
            namespace=resource.namespace,
            request=request or pod.request,
            constraints=placing.stripped(pod.constraints, rules),
            labels=tuple(sorted(pod.labels.items())),
            priority=pod.priority,
            workload=f"{resource.kind}/{resource.namespace}/{resource.name}",
            placement=rules,
        )

    def presume(self, resource: Resource) -> None:
        """Plan from the template as written: for an observer, which asks the server nothing."""
        sample = _sample(resource, build.blueprint(resource), resource.template_hash)
        self._known[resource.uid] = _Known(
            resource.template_hash,
            action.Admission(
                template_hash=resource.template_hash,
                request=self.read(sample).request,
                checked_at=self.now(),
            ),
        )

    def ask(self, resource: Resource) -> None:
        """Have the API server asked, unless it is being asked already."""
        if resource.uid in self._asking or resource.spec is None:
            return
        self._asking.add(resource.uid)
        task = asyncio.get_running_loop().create_task(self._ask(resource))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refuse(self, resource: Resource, error: errors.ClusterError) -> None:
        """A real CREATE was refused: what the dry run said is no longer so."""
        before = self._known.get(resource.uid)
        refusals = before.refusals + 1 if before is not None else 1
        now = self.now()
        wait = min(FIRST_RETRY_SECONDS * 2 ** (refusals - 1), LONGEST_RETRY_SECONDS)
        word = _word(error)
        self._known[resource.uid] = _Known(
            resource.template_hash,
            action.Admission(
                template_hash=resource.template_hash,
                refusal=word,
                message=_clear(error),
                checked_at=now,
                retry_at=now + wait,
            ),
            pod=before.pod if before is not None else None,
            refusals=refusals,
        )
        telemetry.say(
            logging.WARNING,
            "template refused",
            resource="/".join(resource.key),
            reason=word,
            message=_clear(error),
        )
        self.answered(resource.key)

    def learn(self, resource: Resource, pod: pods_.Pod, template_hash: str) -> None:
        """A stored pod asks for something else than planned: plan the next ones with that.

        One of another template than the present one (a rollout keeps some of the former) tells of
        that template alone.
        """
        if template_hash == resource.template_hash:
            admission = self.of(resource)
            self._accept(resource, pod, admission.unknown_fields if admission is not None else ())
            return
        _, known = self._shapes.get(resource.uid, (-1, {}))
        shape = known.get(template_hash)
        if shape is not None:
            known[template_hash] = replace(shape, request=pod.request)

    def retry_namespace(self, namespace: str, held: Mapping[str, Resource]) -> None:
        """A quota, a LimitRange or the namespace changed: ask again at once where refused."""
        for uid, known in self._known.items():
            resource = held.get(uid)
            if resource is not None and resource.namespace == namespace and known.admission.refusal:
                self.ask(resource)

    def forget(self, uid: str) -> None:
        """The resource has gone."""
        self._known.pop(uid, None)
        self._shapes.pop(uid, None)

    @property
    def size(self) -> int:
        """Answers and classes that are kept."""
        return len(self._known) + sum(len(shapes) for _, shapes in self._shapes.values())

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, resource: Resource) -> None:
        try:
            await self._turn()
            blueprint = build.blueprint(resource)
            sample = _sample(resource, blueprint, resource.template_hash)
            unknown: tuple[str, ...] = ()
            try:
                pod = await self.dry_run(sample, strict=True)
            except errors.Rejected as error:
                unknown = _unknown_fields(error)
                if not unknown:
                    raise
                pod = await self.dry_run(sample, strict=False)
        except errors.ClusterError as error:
            self.refuse(resource, error)
        else:
            self._accept(resource, pod, unknown)
        finally:
            self._asking.discard(resource.uid)

    async def _turn(self) -> None:
        """At most `per_second` questions a second, in the order in which they were asked."""
        loop = asyncio.get_running_loop()
        mine = max(self._next_at, loop.time())
        self._next_at = mine + 1 / self.per_second
        await asyncio.sleep(mine - loop.time())

    def _accept(self, resource: Resource, pod: pods_.Pod, unknown_fields: tuple[str, ...]) -> None:
        admission = action.Admission(
            template_hash=resource.template_hash,
            request=pod.request,
            checked_at=self.now(),
            unknown_fields=unknown_fields,
        )
        self._known[resource.uid] = _Known(resource.template_hash, admission, pod)
        self._shapes.pop(resource.uid, None)
        self.answered(resource.key)


def _sample(resource: Resource, blueprint: build.Blueprint, template_hash: str) -> dict[str, Any]:
    """A pod like the resource's real ones; its name can be no real one's."""
    digest = hashlib.sha256(f"{resource.uid}/{template_hash}".encode()).hexdigest()[:10]
    return blueprint.pod(
        f"{resource.name[:40].rstrip('-.')}-{digest}-dry-run",
        labels=placing.peer_labels(resource, template_hash),
        annotations={},
        environment={},
    )


def _told_by_status(resource: Resource) -> action.Admission | None:
    """The status' own record, when it is of this template and readable."""
    record = resource.status.get("effectiveRequests")
    if not isinstance(record, Mapping) or record.get("templateHash") != resource.template_hash:
        return None
    requests = record.get("requests")
    if not isinstance(requests, Mapping):
        return None
    try:
        request = resources.Vector(
            {str(name): units.amount(str(name), text) for name, text in requests.items()}
        )
        checked_at = epoch_of(str(record.get("checkedTime", "")))
    except ValueError:
        return None
    unknown = record.get("unknownFields")
    return action.Admission(
        template_hash=resource.template_hash,
        request=request + resources.ONE_POD if not request.amount(resources.PODS) else request,
        checked_at=checked_at,
        unknown_fields=tuple(map(str, unknown)) if isinstance(unknown, list) else (),
    )


def _unknown_fields(error: errors.ClusterError) -> tuple[str, ...]:
    """The fields that a strict CREATE names, as paths of the resource; none: it refuses else.

    Sorted, as the server names them in any order; a name may be as long as somebody likes.
    """
    _, strict, found = str(error).partition(_STRICT)
    if not strict:
        return ()
    fields = (one.partition('"')[0] for one in found.split('unknown field "')[1:])
    paths = sorted(conditions.cut(f"spec.template.{field}") for field in fields)
    return tuple(paths[:MOST_UNKNOWN_FIELDS])


def _word(error: errors.ClusterError) -> str:
    """The closed reason of a refusal; only what the template itself causes is final."""
    if isinstance(error, errors.Rejected):
        if error.status in {400, 422}:
            return "InvalidTemplate"
        if "exceeded quota" in str(error):
            return "QuotaExceeded"
    return "TemplateRefused"


def _clear(error: errors.ClusterError) -> str:
    """The server's own text, bounded: it names the field; what it says is never interpreted."""
    return str(error)[:1000]
