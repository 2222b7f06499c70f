"""One cycle of the operator's own loop on what a cluster holds now; its writer only takes notes.

So `plan` and `explain` say what the operator would do, with the same code, and write nothing. What
a template really asks for comes from the status, where the operator has asked the API server, and
otherwise from the template as written.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bayplan import metrics, settings
from bayplan.api.resource import Key, Resource
from bayplan.cloud import catalogue
from bayplan.cluster import decode, lists, pods, requests, transport
from bayplan.cluster.cache import Cache
from bayplan.inputs import InputError
from bayplan.model import intents, state
from bayplan.model.nodes import INSTANCE_TYPE
from bayplan.model.pods import Pod
from bayplan.model.reasons import Funnel
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import TaskKey, Waiting
from bayplan.provisioning.prices import price_of
from bayplan.reconcile.view import View
from bayplan.scheduler import admission, inbox, loop
from bayplan.scheduler.deciders import DECIDERS, Decide

_CHUNK = 500


class Lister(Protocol):
    """Lists all pages from a cluster, and starts again where the server forgot the first page."""

    def pages(
        self,
        page: Callable[[str], transport.Request],
        read: Callable[[bytes], tuple[lists.Chunk, str]],
    ) -> list[lists.Chunk]:
        """`page` asks for the page of a token (empty: the first), `read` gives the next token."""


@dataclasses.dataclass
class Notes:
    """What the loop asked the writer to write."""

    outcomes: dict[Key, intents.Outcome] = dataclasses.field(default_factory=dict)
    created: dict[TaskKey, tuple[Key, Pod]] = dataclasses.field(default_factory=dict)
    bound: list[intents.Bind] = dataclasses.field(default_factory=list)
    marked: list[intents.MarkUnschedulable] = dataclasses.field(default_factory=list)

    def carry_out(self, resource: Resource, outcome: intents.Outcome) -> None:
        self.outcomes[resource.key] = outcome

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        del body
        self.created[planned.key] = resource.key, planned

    def bind(self, wanted: intents.Bind) -> None:
        self.bound.append(wanted)

    def select(self, wanted: intents.SelectNode) -> None:
        """Nothing to note: the pod that waits for the volume shows the node."""

    def mark(self, wanted: intents.MarkUnschedulable) -> None:
        self.marked.append(wanted)

    def delete(self, wanted: intents.DeletePod) -> None:
        """Nothing to note: pods are taken back after an answer of the server, and none is asked."""

    def release(self, wanted: intents.ReleasePod) -> None:
        """Nothing to note: these are pods of resources that are gone, which no plan shows."""


class _Bell:
    """Rings nobody: the only listener has asked already."""

    def mark(self, key: Key) -> None: ...

    def mark_placement(self) -> None: ...

    def mark_namespace(self, namespace: str) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Clock:
    moment: int

    def now(self) -> int:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Tasks of one class that found no room, and the reason."""

    waiting: Waiting
    keys: tuple[TaskKey, ...]
    funnel: Funnel


@dataclasses.dataclass(slots=True)
class Session:
    """What the cluster holds, and what one cycle would do with it."""

    cache: Cache
    notes: Notes
    refused: tuple[Refused, ...]
    placements: Mapping[TaskKey, str]
    unreadable: tuple[str, ...]  # objects that were left out
    before: Snapshot  # the nodes and pods as they are, before the cycle


def session(cluster: Lister, now: int, node_selector: str) -> Session:
    """List everything that the operator watches, and decide once.

    `node_selector` is the operator's own setting: which nodes it fills.
    """
    try:
        ours = settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error
    cache = Cache(state.State(eligible=lambda node: settings.is_ours(node, ours)), _Bell())
    unreadable = _fill(cache, cluster)
    before = cache.snapshot()
    notes = Notes()
    admissions = admission.Admissions(
        dry_run=_never,
        read=pods.pod_from_dict,
        now=lambda: now,
        answered=_Bell().mark,
        limits=cache.defaults.limits,
        priority=cache.defaults.priority,
        default_pool=lambda: cache.pools.default,
        asks=False,
        owned=lambda uid: cache.state.owned(uid).values(),
    )
    for resource in cache.resources.values():
        if resource.spec is not None and not resource.problems and not admissions.of(resource):
            admissions.presume(resource)
    deciding = loop.Loop(
        clock=_Clock(now),
        inbox=inbox.Inbox(time.monotonic),
        cache=cache,
        writer=notes,
        admissions=admissions,
        metrics=metrics.Metrics(),
        leads=lambda: True,
        beat=lambda: None,
        price=price_of,
        catalogue={INSTANCE_TYPE: frozenset(catalogue.load())},
        deciders={kind: _without_probe(decide) for kind, decide in DECIDERS.items()},
    )
    deciding.cycle(inbox.Batch(frozenset(cache.resources), placement=True))
    plan = deciding.plan
    return Session(
        cache,
        notes,
        refused=tuple(
            Refused(one.waiting, tuple(one.keys), one.funnel)
            for one in (plan.refused if plan is not None else ())
        ),
        placements=plan.placements if plan is not None else {},
        unreadable=tuple(unreadable),
        before=before,
    )


def _without_probe(decide: Decide) -> Decide:
    """The same decision without a probe: a reader never asks the API server for a dry run."""

    def decided(
        resource: Resource, pods: Mapping[TaskKey, Pod], view: View, now: int
    ) -> intents.Outcome:
        return dataclasses.replace(decide(resource, pods, view, now), probe=False)

    return decided


async def _never(body: Mapping[str, Any], *, strict: bool) -> Pod:  # noqa: ARG001
    raise RuntimeError(f"a dry run of {body.get('kind')} was asked for by a reader")


def _fill(cache: Cache, cluster: Lister) -> list[str]:
    unreadable: list[str] = []
    for kind in decode.KINDS.values():

        def page(token: str, kind: decode.Kind = kind) -> transport.Request:
            return requests.list_chunk(kind.name, limit=_CHUNK, token=token, partial=kind.partial)

        def read(answer: bytes, kind: decode.Kind = kind) -> tuple[lists.Chunk, str]:
            chunk = lists.chunk(kind, answer)
            return chunk, chunk.token

        for chunk in cluster.pages(page, read):
            for seen in chunk.seen:
                cache.upsert(kind.name, seen)
            unreadable += [
                " ".join([kind.name, "/".join(filter(None, key))]) for key in chunk.unreadable
            ]
        cache.sync(kind.name)
    return unreadable
