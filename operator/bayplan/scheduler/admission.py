"""What a template really asks for: one dry-run CREATE of one pod asks the API server.

The answer includes what LimitRange, mutating webhooks, sidecars and overhead add, so the plan is
made from what would be stored and not from what was written. A stored resource may hold fields that
no pod has, because its schema passes on fields that it does not list. Only a strict CREATE refuses
them. So the strict CREATE comes first; if it names such fields, a second CREATE asks what would be
stored without them. Answers are kept in memory; the status keeps the requests and a fingerprint of
the rest. The server is asked again before a pod is placed in two cases: after a restart, where the
status differs from what follows from the template; and for the template of an older revision.
Reconcile asks for a new answer after an hour.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bayplan import logs, units
from bayplan.api import compiled_rules, names, placement_rules, pod_builder
from bayplan.api.meta import MOST_UNKNOWN_FIELDS
from bayplan.api.resource import Key, Resource
from bayplan.api.times import epoch_of
from bayplan.cluster import errors
from bayplan.cluster.refusals import relief
from bayplan.model import resources
from bayplan.model.admission import Admission
from bayplan.model.backoff import delay_after
from bayplan.model.limits import NO_LIMITS, Limits
from bayplan.model.pods import Pod
from bayplan.model.workloads import PodClass
from bayplan.reconcile import conditions
from bayplan.scheduler import samples

FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300
# Nothing tells when a ServiceAccount comes or a webhook is mended, so a refused template is asked
# about this often, as long as that takes no more than this part of the questions in a second.
FEW_RETRY_SECONDS = 10
RETRIES_PART = 0.75
_MOST_AT_ONCE = 20  # questions that wait for an answer: a webhook may take long to fail
_FINAL = "InvalidTemplate"  # nothing but an edit ends it
_MOST_FORMER = 5  # answers about former templates that are kept for each resource

_STRICT = "strict decoding error: "  # k8s.io/apimachinery, runtime.NewStrictDecodingError


class DryRun(Protocol):
    """Gives the pod that would be stored; a strict call raises `Rejected` for an unknown field."""

    def __call__(self, body: Mapping[str, Any], *, strict: bool) -> Awaitable[Pod]: ...


Read = Callable[[Mapping[str, Any]], Pod]
Template = Mapping[str, Any] | None  # None: the resource's own template


@dataclass(slots=True)
class _Known:
    """What is known of one resource's template."""

    template_hash: str
    admission: Admission
    answer: "_Answer | None" = None  # of the API server; None when only the status is the source
    refusals: int = 0  # in a row; only the creation of a pod resets it
    wait: int = 0  # seconds from the last refusal to the next question

    def of(self, resource: Resource) -> bool:
        return self.template_hash == resource.template_hash


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the API server made of a sample; it is valid for all pods that are built like it."""

    question: str  # names the sample
    pod: Pod


@dataclass(slots=True)
class _Shapes:
    """Classes by template hash, for one spec and namespace; `certain`: hashes not to ask about."""

    generation: int
    limits: Limits
    default_pool: str
    classes: dict[str, PodClass] = field(default_factory=dict)
    certain: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Admissions:
    """Answers by resource uid. `dry_run` raises the errors of `cluster.errors`.

    `read` decodes a pod that was built but not stored: after a restart it is needed before the
    server is asked again. `now` is epoch seconds; `answered` rings for the resource. `limits` gives
    the limits of a namespace. `priority` gives the priority of a priority class; for an empty name,
    the priority of pods without a class. `default_pool` gives the name of the Pool that is
    tolerated by resources that name none. Where `asks` is False the server is never asked: the
    class is what follows from the template, or what `owned` pods of the resource (by its uid) with
    the same template have.
    """

    dry_run: DryRun
    read: Read
    now: Callable[[], int]
    answered: Callable[[Key], None]
    per_second: float = 20
    limits: Callable[[str], Limits] = lambda _: NO_LIMITS
    priority: Callable[[str], int] = lambda _: 0
    default_pool: Callable[[], str] = lambda: ""
    asks: bool = True
    owned: Callable[[str], Iterable[Pod]] = lambda _: ()
    _known: dict[str, _Known] = field(default_factory=dict)
    # uid -> hash of a former template -> the answer; None: the server gave no usable answer
    _former: dict[str, dict[str, _Answer | None]] = field(default_factory=dict)
    _shapes: dict[str, _Shapes] = field(default_factory=dict)
    _asking: dict[str, set[str]] = field(default_factory=dict)  # uid -> template hashes
    _refused: set[str] = field(default_factory=set)  # uids of refused templates, not for good
    _relieved: set[str] = field(default_factory=set)  # uids that will soon be asked about
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _next_at: float = 0.0
    _under_way: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_AT_ONCE))

    def of(self, resource: Resource) -> Admission | None:
        """What is known of the present template: from a recent answer, or from the status."""
        known = self._known.get(resource.uid)
        if known is not None and known.template_hash == resource.template_hash:
            return known.admission
        told = _told_by_status(resource)
        if told is not None:
            self._known[resource.uid] = _Known(resource.template_hash, told)
        return told

    def shape(self, resource: Resource, template: Template, template_hash: str) -> PodClass:
        """The class of a resource's tasks of one template, as far as it is known."""
        shapes = self._shapes_of(resource)
        shape = shapes.classes.get(template_hash)
        if shape is None:
            shape, certain = self._shaped(resource, template, template_hash)
            shapes.classes[template_hash] = shape
            if certain:
                shapes.certain.add(template_hash)
        return shape

    def certain(self, resource: Resource, template_hash: str) -> bool:
        """Whether a class is as the API server stores such pods; if not, `ask` before placing one.

        What follows from the template counts as certain where the last answer of the server added
        nothing to it, and where the server gives no answer for a former revision.
        """
        return not self.asks or template_hash in self._shapes_of(resource).certain

    def _shapes_of(self, resource: Resource) -> _Shapes:
        shapes = self._shapes.get(resource.uid)
        told = resource.generation, self.limits(resource.namespace), self.default_pool()
        if shapes is None or (shapes.generation, shapes.limits, shapes.default_pool) != told:
            shapes = self._shapes[resource.uid] = _Shapes(*told)
        return shapes

    def _shaped(
        self, resource: Resource, template: Template, template_hash: str
    ) -> tuple[PodClass, bool]:
        body = self._sample(resource, template, template_hash)
        request, placing_, former = resources.NOTHING, "", self._former.get(resource.uid, {})
        known, answer = self._known.get(resource.uid), former.get(template_hash)
        certain = template_hash in former
        if known is not None and known.template_hash == template_hash:
            request, placing_ = known.admission.request, known.admission.placing
            answer, certain = known.answer, False
        if answer is not None and answer.question == samples.question(body):
            pod, certain = answer.pod, True
        else:
            pod = self._expected(body)
            if answer is not None:  # that answer is about pods that were built differently
                request, certain = pod.request, False
            elif placing_:
                certain = samples.fingerprint(pod) == placing_
            if not (certain or self.asks):
                pod = samples.like(pod, self.owned(resource.uid), resource, template_hash)
        rules = placement_rules.rules(resource, template_hash)
        return PodClass(
            namespace=resource.namespace,
            request=request or pod.request,
            constraints=compiled_rules.stripped(pod.constraints, rules),
            labels=tuple(sorted(one for one in pod.labels.items() if one[0] not in names.ADDED)),
            priority=pod.priority,
            workload=f"{resource.kind}/{resource.namespace}/{resource.name}",
            placement=rules,
            companions=pod.companions,
        ), certain

    def _sample(self, resource: Resource, template: Template, template_hash: str) -> dict[str, Any]:
        blueprint = pod_builder.blueprint(
            resource,
            template,
            revision=template_hash,
            limits=self.limits(resource.namespace),
            default_pool=self.default_pool(),
        )
        return samples.sample(resource, blueprint, template_hash)

    def _expected(self, body: Mapping[str, Any]) -> Pod:
        """The pod that the API server stores when it adds only the usual defaults."""
        priority = self.priority(str(body["spec"].get("priorityClassName") or ""))
        return samples.with_defaults(self.read(body), priority)

    def presume(self, resource: Resource) -> None:
        """Plan from the template as written: for an observer, which never asks the server."""
        told = _told_by_status(resource)
        if told is None:
            pod = self._expected(self._sample(resource, None, resource.template_hash))
            told = Admission(
                template_hash=resource.template_hash,
                request=pod.request,
                checked_at=self.now(),
                placing=samples.fingerprint(pod),
            )
        self._known[resource.uid] = _Known(resource.template_hash, told)

    def ask(self, resource: Resource, template: Template = None, template_hash: str = "") -> None:
        """Start to ask the API server, unless this question is on its way already."""
        template_hash = template_hash or resource.template_hash
        if resource.spec is None or self._asks(resource, template_hash):
            return
        self._asking.setdefault(resource.uid, set()).add(template_hash)
        task = asyncio.get_running_loop().create_task(self._ask(resource, template, template_hash))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def make_certain(self, resource: Resource, template: Template, template_hash: str) -> None:
        """Start to ask what the API server makes of pods that are to be placed.

        It does not ask about the present template where nothing is known of it or where it was
        refused: for those, reconcile decides when to ask.
        """
        known = self.of(resource)
        if template_hash != resource.template_hash or (known is not None and not known.refusal):
            self.ask(resource, template, template_hash)

    def refuse(
        self, resource: Resource, error: errors.ClusterError, *, asked: bool = False
    ) -> None:
        """A real CREATE was refused: the answer of the dry run is no longer valid.

        `asked`: the dry run itself was refused, so that asking again will tell when that ends.
        """
        before = self._known.get(resource.uid)
        if before is not None and not before.of(resource):
            before = None
        refusals = before.refusals + 1 if before is not None else 1
        now, word = self.now(), _word(error)
        if word == _FINAL:
            self._refused.discard(resource.uid)
        else:
            self._refused.add(resource.uid)
        wait = self._wait(refusals, asked=asked)
        self._known[resource.uid] = _Known(
            resource.template_hash,
            Admission(
                template_hash=resource.template_hash,
                refusal=word,
                message=_clear(error),
                checked_at=now,
                retry_at=now + wait,
            ),
            answer=before.answer if before is not None else None,
            refusals=refusals,
            wait=wait,
        )
        told = before.admission if before is not None else None
        if told is None or (told.refusal, told.message) != (word, _clear(error)):
            logs.say(
                logging.WARNING,
                "template refused",
                resource="/".join(resource.key),
                reason=word,
                message=_clear(error),
            )
        self.answered(resource.key)

    def learn(self, resource: Resource, pod: Pod, template_hash: str) -> None:
        """A stored pod asks for something other than planned: plan the next pods with its request.

        If the pod has another template than the present one (a rollout keeps some of the former
        pods), only the class of that template changes.
        """
        shapes = self._shapes_of(resource)
        shape = shapes.classes.get(template_hash)
        if shape is not None:
            shapes.classes[template_hash] = replace(shape, request=pod.request)
        known = self._known.get(resource.uid)
        if template_hash == resource.template_hash and known is not None:
            admission = replace(known.admission, request=pod.request, checked_at=self.now())
            self._known[resource.uid] = replace(known, admission=admission)
            self.answered(resource.key)

    def _wait(self, refusals: int, *, asked: bool) -> int:
        """Seconds until a template is asked about again, after so many refusals in a row."""
        longest = LONGEST_RETRY_SECONDS
        if asked:
            spread = int(len(self._refused) / (RETRIES_PART * self.per_second))
            longest = min(max(FEW_RETRY_SECONDS, spread), longest)
        return delay_after(refusals, FIRST_RETRY_SECONDS, longest)

    def retry_namespace(self, namespace: str, held: Mapping[str, Resource]) -> None:
        """A quota, a LimitRange or the namespace changed: ask again about refused templates.

        It asks at once, or as soon as the last answer is a few seconds old: a quota changes with
        every write.
        """
        for uid, known in self._known.items():
            resource = held.get(uid)
            if resource is None or resource.namespace != namespace or not known.admission.refusal:
                continue
            asked = self.now() - known.admission.checked_at
            rest = relief(known.wait) - asked
            if rest <= 0:
                self.ask(resource)
            elif uid not in self._relieved:
                self._relieved.add(uid)
                asyncio.get_running_loop().call_later(rest, self._relieve, resource)

    def _relieve(self, resource: Resource) -> None:
        self._relieved.discard(resource.uid)
        known = self._known.get(resource.uid)
        if known is not None and known.of(resource) and known.admission.refusal:
            self.ask(resource)

    def succeed(self, resource: Resource) -> None:
        """A pod was created: the next refusal is the first in a row."""
        known = self._known.get(resource.uid)
        if known is not None:
            known.refusals = 0

    def forget(self, uid: str) -> None:
        """The resource has gone; answers to open questions about it are dropped."""
        self._asking.pop(uid, None)
        self._known.pop(uid, None)
        self._refused.discard(uid)
        self._former.pop(uid, None)
        self._shapes.pop(uid, None)

    @property
    def asking(self) -> int:
        """Number of questions that have no answer yet."""
        return sum(map(len, self._asking.values()))

    def _asks(self, resource: Resource, template_hash: str) -> bool:
        return template_hash in self._asking.get(resource.uid, ())

    @property
    def size(self) -> int:
        """Number of answers and classes that are kept."""
        shapes = sum(len(one.classes) for one in self._shapes.values())
        return len(self._known) + shapes + sum(map(len, self._former.values()))

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, resource: Resource, template: Template, template_hash: str) -> None:
        present = template_hash == resource.template_hash
        try:
            await self._turn()
            sample = self._sample(resource, template, template_hash)
            unknown: tuple[str, ...] = ()
            async with self._under_way:
                try:
                    pod = await self.dry_run(sample, strict=True)
                except errors.Rejected as error:
                    unknown = _unknown_fields(error)
                    if not unknown:
                        raise
                    pod = await self.dry_run(sample, strict=False)
        except errors.ClusterError as error:
            if not self._asks(resource, template_hash):
                return
            if present:
                self.refuse(resource, error, asked=True)
            elif isinstance(error, errors.Rejected):
                self._remember(resource, template_hash, None)
            else:
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                self.answered(resource.key)
        else:
            answer = _Answer(samples.question(sample), pod)
            if not self._asks(resource, template_hash):
                return
            if present:
                self._accept(resource, answer, unknown)
            else:
                self._remember(resource, template_hash, answer)
        finally:
            self._asked(resource.uid, template_hash)

    def _asked(self, uid: str, template_hash: str) -> None:
        asking = self._asking.get(uid, set())
        asking.discard(template_hash)
        if not asking:
            self._asking.pop(uid, None)

    def _remember(self, resource: Resource, template_hash: str, answer: _Answer | None) -> None:
        """Keep the answer for a former template; only the last few are kept."""
        former = self._former.setdefault(resource.uid, {})
        former.pop(template_hash, None)
        former[template_hash] = answer
        for oldest in list(former)[:-_MOST_FORMER]:
            del former[oldest]
        self._forget_shape(resource.uid, template_hash)
        self.answered(resource.key)

    def _forget_shape(self, uid: str, template_hash: str) -> None:
        shapes = self._shapes.get(uid)
        if shapes is not None:
            shapes.classes.pop(template_hash, None)
            shapes.certain.discard(template_hash)

    async def _turn(self) -> None:
        """At most `per_second` questions a second, in the order in which they were asked."""
        loop = asyncio.get_running_loop()
        mine = max(self._next_at, loop.time())
        self._next_at = mine + 1 / self.per_second
        await asyncio.sleep(mine - loop.time())

    def _accept(self, resource: Resource, answer: _Answer, unknown_fields: tuple[str, ...]) -> None:
        admission = Admission(
            template_hash=resource.template_hash,
            request=answer.pod.request,
            checked_at=self.now(),
            unknown_fields=unknown_fields,
            placing=samples.fingerprint(answer.pod),
        )
        before = self._known.get(resource.uid)
        if before is not None and before.template_hash != resource.template_hash and before.answer:
            self._remember(resource, before.template_hash, before.answer)
        # A dry run does not meet everything that can refuse a CREATE.
        refusals = before.refusals if before is not None and before.of(resource) else 0
        self._refused.discard(resource.uid)
        self._known[resource.uid] = _Known(resource.template_hash, admission, answer, refusals)
        self._forget_shape(resource.uid, resource.template_hash)
        self.answered(resource.key)


def _told_by_status(resource: Resource) -> Admission | None:
    """The record in the status, if it is readable and belongs to the present template."""
    record = resource.status.get("effectiveRequests")
    if not isinstance(record, Mapping) or record.get("templateHash") != resource.template_hash:
        return None
    requests = record.get("requests")
    if not isinstance(requests, Mapping):
        return None
    try:
        request = resources.Vector(
            {
                str(name): min(units.amount(str(name), str(text)), resources.MOST)
                for name, text in requests.items()
            }
        )
        checked_at = epoch_of(str(record.get("checkedTime", "")))
    except ValueError:
        return None
    unknown = record.get("unknownFields")
    return Admission(
        template_hash=resource.template_hash,
        request=request + resources.ONE_POD if not request.amount(resources.PODS) else request,
        checked_at=checked_at,
        unknown_fields=tuple(map(str, unknown)) if isinstance(unknown, list) else (),
        placing=str(record.get("placementHash", "")),
    )


def _unknown_fields(error: errors.ClusterError) -> tuple[str, ...]:
    """The fields that a strict CREATE names, as paths of the resource; empty: another refusal.

    Sorted, because the server names them in any order. Each name is cut, because a user may write
    names of any length.
    """
    _, strict, found = str(error).partition(_STRICT)
    if not strict:
        return ()
    fields = (one.partition('"')[0] for one in found.split('unknown field "')[1:])
    paths = sorted(conditions.cut(f"spec.template.{field}") for field in fields)
    return tuple(paths[:MOST_UNKNOWN_FIELDS])


def _word(error: errors.ClusterError) -> str:
    """The reason of a refusal, from a closed list; only a fault of the template itself is final."""
    if isinstance(error, errors.WebhookSilent):
        return "WebhookUnavailable"
    if not isinstance(error, errors.Rejected):
        return "ApiServerUnavailable"
    if error.status in {400, 422}:
        return _FINAL
    return "QuotaExceeded" if "exceeded quota" in str(error) else "TemplateRefused"


def _clear(error: errors.ClusterError) -> str:
    """The server's own text, cut to 1000 characters: it names the field, and no code parses it."""
    return str(error)[:1000]
