"""Questions to a cluster and small writes, one after the other, for commands.

Loaded when a command needs a cluster: kubernetes and aiohttp take half a second. Everything goes
through `ApiClient.send`, so a command can be shown what a cluster once said. What Bayplan itself
decides is not here.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import click

from bayplan.api import kinds
from bayplan.cli.errors import Negative, NoCluster
from bayplan.cli.target import Target
from bayplan.cluster import errors, requests, transport

MERGE = transport.MERGE_PATCH
JSON = transport.JSON
_CHUNK = 500

Body = dict[str, Any]
T = TypeVar("T")


class Wire(Protocol):
    """One request out, bytes back; raises the errors of `cluster.errors`."""

    def send(self, request: transport.Request) -> bytes: ...

    def stream(self, request: transport.Request) -> Iterator[bytes]: ...


Connect = Callable[[Target], Wire]


class _Http:
    """The real one: a private event loop that runs while a request is under way."""

    def __init__(self, target: Target) -> None:
        self._runner = asyncio.Runner()
        path = str(target.kubeconfig) if target.kubeconfig is not None else None
        self._wire = self._runner.run(
            transport.HttpTransport.connect(path, target.context, connections=4)
        )

    def send(self, request: transport.Request) -> bytes:
        return self._runner.run(self._wire.send(request))

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
def connected(target: Target) -> Iterator["ApiClient"]:
    """A cluster to ask; its refusals end the command with one line and exit code 3.

    Who calls the commands from Python may hand over another way to connect: `obj=` of click.
    """
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context is not None else None
    wire: Any = None
    try:
        wire = given(target) if given is not None else _Http(target)
        yield ApiClient(wire, target)
    except errors.ClusterError as error:
        raise NoCluster(str(error) or type(error).__name__) from error
    except OSError as error:
        raise NoCluster(str(error)) from error
    finally:
        if isinstance(wire, _Http):
            wire.close()


class ApiClient:
    """What commands ask; objects are plain mappings as the API server sent them."""

    def __init__(self, wire: Wire, target: Target) -> None:
        self.wire, self.target = wire, target

    def ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str = JSON,
    ) -> Any:
        """Any request; the JSON of its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = transport.Request(method, path, tuple(query), data, content_type)
        return json.loads(self.wire.send(request) or b"null")

    def text(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        request = transport.Request("GET", path, tuple(query), accept="*/*")
        return self.wire.send(request).decode(errors="replace")

    def stream(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Iterator[bytes]:
        request = transport.Request("GET", path, tuple(query), accept="*/*")
        return self.wire.stream(request)

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
            found: Body = self.ask("GET", requests.path(kind, namespace, quote(name, safe="")))
        except errors.NotFound:
            return None
        return {**found, "kind": kind}

    def listed(
        self, kind: str, namespace: str | None = None, selector: str = "", fields: str = ""
    ) -> list[Body]:
        """Every object of a kind, in the target's namespace unless another (empty: all) is told."""
        where = self.target.chosen if namespace is None else namespace
        return self.collection(requests.path(kind, where), kind, selector, fields)

    def collection(
        self, path: str, kind: str = "", selector: str = "", fields: str = ""
    ) -> list[Body]:
        found: list[Body] = []
        token = ""
        while True:
            query = [("limit", str(_CHUNK))]
            query += [("labelSelector", selector)] if selector else []
            query += [("fieldSelector", fields)] if fields else []
            query += [("continue", token)] if token else []
            answer = self.ask("GET", path, query)
            found += [{**one, "kind": kind or one.get("kind", "")} for one in answer["items"] or ()]
            token = (answer.get("metadata") or {}).get("continue") or ""
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


def kind_of(server: ApiClient, word: str) -> tuple[str, Body]:
    """What `web`, `job/web` or `LongService/web` names: its kind and the object."""
    named, slash, name = word.rpartition("/")
    if slash:
        kind = KINDS.get(named.lower())
        if kind is None:
            known = f"{', '.join(kind.word for kind in kinds.KINDS)} or pod"
            raise Negative(f"{word!r}: {named!r} is no kind known here; write {known}")
        return kind, server.get(kind, name)
    namespace = server.target.chosen
    for kind in (*kinds.NAMES, "Pod"):
        found = server.find(kind, word, namespace)
        if found is not None:
            return kind, found
    raise Negative(f"no {', '.join(kinds.NAMES)} or Pod {word!r} in namespace {namespace}")


KINDS: Mapping[str, str] = {
    **{word: kind.name for kind in kinds.KINDS for word in kind.words},
    **dict.fromkeys(("pod", "pods", "po"), "Pod"),
}
