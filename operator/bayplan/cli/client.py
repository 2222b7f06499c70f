"""The one client of a cluster: what every command asks and writes goes through it.

It knows how a list is read in pages, what may be asked again, and which error ends a command in one
line. Loaded when a command needs a cluster: kubernetes and aiohttp take half a second. Requests go
through a `Wire`, so a command can be shown what a cluster once said.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import click

from bayplan.cli.errors import Changed, Negative, NoAnswer, NoCluster, NotThere, Refused
from bayplan.cli.target import Target
from bayplan.cluster import errors, requests, transport
from bayplan.model import intents

MERGE = transport.MERGE_PATCH
JSON = transport.JSON
_CHUNK = 500
_MOST_EXPIRED = 5  # of the pages of one list
_PATIENCE_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 1.0
_TOGETHER = 20  # requests under way

Body = dict[str, Any]
Outcome = bytes | errors.ClusterError
T = TypeVar("T")

_AS_TOLD: tuple[tuple[type[errors.ClusterError], type[NoCluster]], ...] = (
    (errors.NotFound, NotThere),
    (errors.Conflict, Changed),
    (errors.Rejected, Refused),
    (errors.ClusterError, NoAnswer),
)


class Wire(Protocol):
    """Requests out, bytes back; raises the errors of `cluster.errors`. And the time that passes."""

    def send(self, request: transport.Request) -> bytes: ...

    def stream(self, request: transport.Request) -> Iterator[bytes]: ...

    def send_all(self, wanted: Sequence[transport.Request]) -> list[Outcome]:
        """What became of each, in their order."""
        return [_outcome(self.send, request) for request in wanted]

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def monotonic(self) -> float:
        return time.monotonic()


Connect = Callable[[Target], Wire]


def _outcome(send: Callable[[transport.Request], bytes], request: transport.Request) -> Outcome:
    try:
        return send(request)
    except errors.ClusterError as error:
        return error


class _Http(Wire):
    """The real one: a private event loop that runs while requests are under way."""

    def __init__(self, target: Target) -> None:
        self._runner = asyncio.Runner()
        path = str(target.kubeconfig) if target.kubeconfig is not None else None
        try:
            self._wire = self._runner.run(
                transport.HttpTransport.connect(path, target.context, connections=_TOGETHER)
            )
        except BaseException:
            self._runner.close()
            raise

    def send(self, request: transport.Request) -> bytes:
        return self._runner.run(self._wire.send(request))

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

        return self._runner.run(all_sent())

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
    """A cluster to ask; its refusals end the command with one line and exit code 3.

    `patience` is for how many seconds a cluster that has answered before may be silent. Who calls
    the commands from Python may hand over another way to connect: `obj=` of click.
    """
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context is not None else None
    wire: Any = None
    try:
        try:
            wire = given(target) if given is not None else _Http(target)
        except errors.ClusterError as error:
            raise _as_told(error) from error
        yield ApiClient(wire, target, patience)
    except OSError as error:
        raise NoCluster(str(error)) from error
    finally:
        if isinstance(wire, _Http):
            wire.close()


class ApiClient:
    """What commands ask; objects are plain mappings as the API server sent them.

    Errors are those of `cli.errors`: `NotThere`, `Changed`, `Refused` and `NoAnswer`.
    """

    def __init__(self, wire: Wire, target: Target, patience: float = _PATIENCE_SECONDS) -> None:
        self._wire, self.target, self._patience = wire, target, patience
        self._has_answered = False
        self.pause, self.monotonic = wire.pause, wire.monotonic

    def send(self, request: transport.Request) -> bytes:
        """The answer to a request; asked again where that is safe, for as long as patience goes."""
        [outcome] = self._sent([request])
        if isinstance(outcome, bytes):
            return outcome
        raise _as_told(outcome) from outcome

    def _sent(self, wanted: Sequence[transport.Request]) -> list[Outcome]:
        """The one rule of asking again: what is silent now may answer within `patience`."""
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
        """Any HTTP answer shows that the address is right: such a cluster is waited for."""
        if any(isinstance(one, bytes) or one.status for one in found):
            self._has_answered = True
        return found

    def _may_repeat(self, request: transport.Request, error: errors.Unavailable) -> bool:
        """A question always; a write only where the server says that it did not carry it out."""
        if request.method == "GET":
            if error.status == 0:  # no answer at all
                return self._has_answered
            return error.status != 401  # noqa: PLR2004  credentials were loaded anew in vain
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
        """Any request; the JSON of its answer. `verb` and `kind` name it to who listens."""
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
            raise _as_told(error) from error

    def get(self, kind: str, name: str, namespace: str | None = None) -> Body:
        """One object; that it is not there is the answer no."""
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
        """Every object of a kind, in the target's namespace unless another (empty: all) is told.

        `partial`: only their metadata.
        """
        where = self.target.chosen if namespace is None else namespace
        return self.collection(requests.path(kind, where), kind, selector, fields, partial=partial)

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
        """All pages of a list: `page` asks for the one of a token, `read` says the next token.

        A server that has forgotten the moment of the first page (410) is asked for all anew.
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
                raise _as_told(answer) from answer
            one, token = read(answer)
            found.append(one)
            if not token:
                return found

    def patch(self, kind: str, body: Body, change: Mapping[str, Any], part: str = "") -> Body:
        """A merge patch of the object that was read; refused if another has taken its name."""
        about = body["metadata"]
        change = {**change, "metadata": {**change.get("metadata", {}), "uid": about["uid"]}}
        path = requests.path(kind, about["namespace"], about["name"], part)
        query = (("fieldManager", "bayplan-cli"),)
        answer: Body = self.ask("PATCH", path, query, change, MERGE)
        return answer

    def annotate(self, kind: str, body: Body, notes: Mapping[str, str | None]) -> Body:
        """Set annotations of the object that was read; None takes one off."""
        return self.patch(kind, body, {"metadata": {"annotations": dict(notes)}})

    def create(self, kind: str, body: Mapping[str, Any]) -> None:
        path = requests.path(kind, body["metadata"]["namespace"])
        self.ask("POST", path, body=body, verb="create", kind=kind)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self.ask("DELETE", requests.path(kind, namespace, name), verb="delete", kind=kind)

    def cordon(self, node: str) -> None:
        """No pod is to be placed on the node any more."""
        path = requests.path("Node", name=node)
        change = {"spec": {"unschedulable": True}}
        self.ask("PATCH", path, (), change, MERGE, verb="cordon", kind="Node")

    def evict(self, pods: Sequence[tuple[str, str, str]]) -> list[NoCluster | None]:
        """Ask for each pod (namespace, name, uid) to go; answers what stands against it."""
        return self._each([requests.evict(*pod) for pod in pods])

    def release(self, pods: Sequence[intents.ReleasePod]) -> list[NoCluster | None]:
        """Take our finalizer off each pod; answers what stands against it."""
        return self._each([requests.release_pod(pod) for pod in pods])

    def _each(self, wanted: Sequence[transport.Request]) -> list[NoCluster | None]:
        found = self._sent(wanted)
        return [None if isinstance(one, bytes) else _as_told(one) for one in found]


def _delay(outcome: Outcome) -> float:
    """Seconds until a request is sent again: what the server says, or a second."""
    told = outcome.retry_after_seconds if isinstance(outcome, errors.Unavailable) else None
    return max(_ASK_AGAIN_SECONDS, told or 0.0)


def _as_told(error: errors.ClusterError) -> NoCluster:
    """The error of the command line for one of the cluster; its message is the server's own."""
    told = next(told for kind, told in _AS_TOLD if isinstance(error, kind))
    return told(str(error) or type(error).__name__)
