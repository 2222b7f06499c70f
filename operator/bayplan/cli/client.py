"""The client of a cluster: every request of every command goes through it.

It reads lists in pages, repeats the requests that are safe to repeat, and turns errors into the
one-line errors of the command line. Commands import it late: aiohttp takes a tenth of a
second. Requests go through a `Wire`, so that a test can replay recorded answers.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import click

from bayplan.cli.errors import Changed, Negative, NoAnswer, NoCluster, NotThere, Refused
from bayplan.cli.target import Target
from bayplan.cluster import errors, requests, transport
from bayplan.model import intents
from bayplan.model.pods import Pod
from bayplan.model.requirements import Term

MERGE = transport.MERGE_PATCH
JSON = transport.JSON
_CHUNK = 500
_MOST_EXPIRED = 5  # times that a list may expire between two of its pages
_PATIENCE_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 1.0
_TOGETHER = 20  # requests under way

Body = dict[str, Any]
Outcome = bytes | errors.ClusterError
T = TypeVar("T")

_EXIT_ERRORS: tuple[tuple[type[errors.ClusterError], type[NoCluster]], ...] = (
    (errors.NotFound, NotThere),
    (errors.Conflict, Changed),
    (errors.Rejected, Refused),
    (errors.ClusterError, NoAnswer),
)


class Wire(Protocol):
    """Sends requests and returns bytes, or raises an error of `cluster.errors`; also the clock."""

    def send(self, request: transport.Request) -> bytes: ...

    def stream(self, request: transport.Request) -> Iterator[bytes]: ...

    def send_all(self, wanted: Sequence[transport.Request]) -> list[Outcome]:
        """The outcome of each request, in the same order."""
        return [_outcome(self.send, request) for request in wanted]

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def monotonic(self) -> float:
        return time.monotonic()

    def interrupt(self) -> None:
        """End what another thread asks, until `resume`: it gets asyncio's CancelledError."""

    def resume(self) -> None:
        """Requests are sent again."""


Connect = Callable[[Target], Wire]


def _outcome(send: Callable[[transport.Request], bytes], request: transport.Request) -> Outcome:
    try:
        return send(request)
    except errors.ClusterError as error:
        return error


class _Http(Wire):
    """The real `Wire`: a private event loop that runs while requests are under way."""

    def __init__(self, target: Target) -> None:
        self._runner = asyncio.Runner()
        self._task: asyncio.Task[Any] | None = None  # what runs, or has run last
        self._interrupted = False
        path = str(target.kubeconfig) if target.kubeconfig is not None else None
        try:
            self._wire = self._runner.run(
                transport.HttpTransport.connect(path, target.context, connections=_TOGETHER)
            )
        except BaseException:
            self._runner.close()
            raise

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        async def known() -> T:
            self._task = asyncio.current_task()
            if self._interrupted:
                work.close()
                raise asyncio.CancelledError
            return await work

        return self._runner.run(known())

    def interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None:
            self._runner.get_loop().call_soon_threadsafe(self._task.cancel)

    def resume(self) -> None:
        self._interrupted = False

    def send(self, request: transport.Request) -> bytes:
        return self._run(self._wire.send(request))

    def send_all(self, wanted: Sequence[transport.Request]) -> list[Outcome]:
        limit = asyncio.Semaphore(_TOGETHER)

        async def sent(request: transport.Request) -> Outcome:
            async with limit:
                try:
                    return await self._wire.send(request)
                except errors.ClusterError as error:
                    return error

        async def all_sent() -> list[Outcome]:
            return list(await asyncio.gather(*map(sent, wanted)))

        return self._run(all_sent())

    def stream(self, request: transport.Request) -> Iterator[bytes]:
        source = self._wire.stream(request).__aiter__()

        async def following() -> bytes | None:
            return await anext(source, None)

        while (chunk := self._runner.run(following())) is not None:
            yield chunk

    def close(self) -> None:
        self._runner.run(self._wire.close())
        self._runner.close()


@contextmanager
def connected(target: Target, patience: float = _PATIENCE_SECONDS) -> Iterator["ApiClient"]:
    """A client; its errors end the command with one line and exit code 3.

    `patience` says for how many seconds a cluster that answered before may stay silent. If you call
    the commands from Python, you can give another `Connect` function as `obj=` of click.
    """
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context is not None else None
    wire: Any = None
    try:
        try:
            wire = given(target) if given is not None else _Http(target)
        except errors.ClusterError as error:
            raise _exit_error(error) from error
        yield ApiClient(wire, target, patience)
    except OSError as error:
        raise NoCluster(str(error)) from error
    finally:
        if isinstance(wire, _Http):
            wire.close()


class ApiClient:
    """The requests of commands; objects are plain mappings as the API server sent them.

    Raises the errors of `cli.errors`: `NotThere`, `Changed`, `Refused` and `NoAnswer`.
    """

    def __init__(self, wire: Wire, target: Target, patience: float = _PATIENCE_SECONDS) -> None:
        self._wire, self.target, self._patience = wire, target, patience
        self._has_answered = False
        self.pause, self.monotonic = wire.pause, wire.monotonic
        self.interrupt, self.resume = wire.interrupt, wire.resume

    def send(self, request: transport.Request) -> bytes:
        """The answer to a request, which is repeated within `patience` if that is safe."""
        [outcome] = self._sent([request])
        if isinstance(outcome, bytes):
            return outcome
        raise _exit_error(outcome) from outcome

    def _sent(self, wanted: Sequence[transport.Request]) -> list[Outcome]:
        """The only place that repeats requests: an unavailable server may answer in `patience`."""
        began = self._wire.monotonic()
        found = self._noted(self._wire.send_all(wanted))
        while again := [
            at
            for at, outcome in enumerate(found)
            if isinstance(outcome, errors.Unavailable) and self._may_repeat(wanted[at], outcome)
        ]:
            wait = max(_delay(found[at]) for at in again)
            if self._wire.monotonic() - began + wait > self._patience:
                break
            self._wire.pause(wait)
            repeated = self._noted(self._wire.send_all([wanted[at] for at in again]))
            for at, outcome in zip(again, repeated, strict=True):
                found[at] = outcome
        return found

    def _noted(self, found: list[Outcome]) -> list[Outcome]:
        """Note whether a cluster is there: any HTTP answer shows that the address is right."""
        if any(isinstance(outcome, bytes) or outcome.status for outcome in found):
            self._has_answered = True
        return found

    def _may_repeat(self, request: transport.Request, error: errors.Unavailable) -> bool:
        """A read, always; a write, only if the server says that it did not carry the write out."""
        if request.method == "GET":
            if error.status == 0:  # no answer at all
                return self._has_answered
            return error.status != 401  # noqa: PLR2004  reloading the credentials did not help
        return error.status == 429 or (  # noqa: PLR2004  Too Many Requests
            error.status == 503 and error.retry_after_seconds is not None  # noqa: PLR2004
        )

    def ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str = JSON,
        *,
        verb: str = "",
        kind: str = "",
    ) -> Any:
        """Any request; the JSON of its answer. `verb` and `kind` name it for metrics and tests."""
        data = None if body is None else json.dumps(body).encode()
        request = transport.Request(
            method, path, tuple(query), data, content_type, verb=verb, kind=kind
        )
        return json.loads(self.send(request) or b"null")

    def text(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        request = transport.Request("GET", path, tuple(query), accept="*/*")
        return self.send(request).decode(errors="replace")

    def stream(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Iterator[bytes]:
        request = transport.Request("GET", path, tuple(query), accept="*/*")
        try:
            yield from self._wire.stream(request)
        except errors.ClusterError as error:
            raise _exit_error(error) from error

    def get(self, kind: str, name: str, namespace: str | None = None) -> Body:
        """An object; `Negative` if it does not exist."""
        where = self.target.chosen if namespace is None else namespace
        found = self.find(kind, name, where)
        if found is None:
            place = f" in namespace {where}" if where else ""
            raise Negative(f"no {kind} {name!r}{place}")
        return found

    def find(self, kind: str, name: str, namespace: str) -> Body | None:
        try:
            path = requests.path(kind, namespace, quote(name, safe=""))
            found: Body = self.ask("GET", path, verb="get", kind=kind)
        except NotThere:
            return None
        return {**found, "kind": kind}

    def listed(
        self,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        fields: str = "",
        *,
        partial: bool = False,
    ) -> list[Body]:
        """Every object of a kind, in `namespace` (empty: all) or else in the target's.

        `partial`: only their metadata.
        """
        where = self.target.chosen if namespace is None else namespace
        return self.collection(requests.path(kind, where), kind, selector, fields, partial=partial)

    def pods(self, selector: str, namespace: str | None = None) -> list[Pod]:
        """The pods with these labels, as the operator reads them; `namespace` as for `listed`."""
        from bayplan.cluster.pods import pod_from_dict

        return [pod_from_dict(body) for body in self.listed("Pod", namespace, selector)]

    def volume_terms(self, name: str) -> tuple[Term, ...]:
        """The node affinity of a PersistentVolume; empty without any, or without the volume."""
        from bayplan.cluster.volumes import terms_from_dict

        body = self.find("PersistentVolume", name, "")
        return terms_from_dict(body) if body is not None else ()

    def collection(
        self,
        path: str,
        kind: str = "",
        selector: str = "",
        fields: str = "",
        *,
        partial: bool = False,
    ) -> list[Body]:
        chosen = [("labelSelector", selector)] if selector else []
        chosen += [("fieldSelector", fields)] if fields else []
        accept = transport.PARTIAL_LIST if partial else transport.JSON

        def page(token: str) -> transport.Request:
            query = [("limit", str(_CHUNK)), *chosen, *([("continue", token)] if token else [])]
            return transport.Request(
                "GET", path, tuple(query), accept=accept, verb="list", kind=kind, timeout_seconds=60
            )

        def read(answer: bytes) -> tuple[list[Body], str]:
            whole = json.loads(answer)
            token = (whole.get("metadata") or {}).get("continue") or ""
            return whole.get("items") or [], token

        found = [one for items in self.pages(page, read) for one in items]
        return [{**one, "kind": kind or one.get("kind", "")} for one in found]

    def pages(
        self,
        page: Callable[[str], transport.Request],
        read: Callable[[bytes], tuple[T, str]],
    ) -> list[T]:
        """All pages of a list: `page` makes the request for a token, `read` returns the next token.

        If the server has forgotten the version of the first page (410), the list starts again.
        """
        found: list[T] = []
        token = ""
        expired = 0
        while True:
            [answer] = self._sent([page(token)])
            if isinstance(answer, errors.Gone) and token and expired < _MOST_EXPIRED:
                expired += 1
                found, token = [], ""
                continue
            if not isinstance(answer, bytes):
                raise _exit_error(answer) from answer
            content, token = read(answer)
            found.append(content)
            if not token:
                return found

    def patch(self, kind: str, body: Body, change: Mapping[str, Any], part: str = "") -> Body:
        """A merge patch of the object that was read; refused if a new object has its name now."""
        about = body["metadata"]
        change = {**change, "metadata": {**change.get("metadata", {}), "uid": about["uid"]}}
        path = requests.path(kind, about["namespace"], about["name"], part)
        query = (("fieldManager", "bayplan-cli"),)
        answer: Body = self.ask("PATCH", path, query, change, MERGE)
        return answer

    def annotate(self, kind: str, body: Body, notes: Mapping[str, str | None]) -> Body:
        """Set annotations of the object that was read; the value None removes an annotation."""
        return self.patch(kind, body, {"metadata": {"annotations": dict(notes)}})

    def create(self, kind: str, body: Mapping[str, Any]) -> None:
        path = requests.path(kind, body["metadata"]["namespace"])
        self.ask("POST", path, body=body, verb="create", kind=kind)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self.ask("DELETE", requests.path(kind, namespace, name), verb="delete", kind=kind)

    def cordon(self, node: str) -> None:
        """Mark the node so that no new pod is placed on it."""
        path = requests.path("Node", name=node)
        change = {"spec": {"unschedulable": True}}
        self.ask("PATCH", path, (), change, MERGE, verb="cordon", kind="Node")

    def evict(self, pods: Sequence[tuple[str, str, str]]) -> list[NoCluster | None]:
        """Evict each pod (namespace, name, uid); returns the error of each, or None."""
        return self._each([requests.evict(*pod) for pod in pods])

    def release(self, pods: Sequence[intents.ReleasePod]) -> list[NoCluster | None]:
        """Remove our finalizer from each pod; returns the error of each, or None."""
        return self._each([requests.release_pod(pod) for pod in pods])

    def _each(self, wanted: Sequence[transport.Request]) -> list[NoCluster | None]:
        found = self._sent(wanted)
        return [None if isinstance(one, bytes) else _exit_error(one) for one in found]


def _delay(outcome: Outcome) -> float:
    """Seconds until a request is sent again: the server's Retry-After, at least a second."""
    wanted = outcome.retry_after_seconds if isinstance(outcome, errors.Unavailable) else None
    return max(_ASK_AGAIN_SECONDS, wanted or 0.0)


def _exit_error(error: errors.ClusterError) -> NoCluster:
    """The error of the command line for an error of the cluster, with the server's message."""
    raised = next(raised for kind, raised in _EXIT_ERRORS if isinstance(error, kind))
    return raised(str(error) or type(error).__name__)
