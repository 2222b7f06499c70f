"""Translates Marathon's apps, groups and pods into LongServices, and an Ingress for their hosts.

Pods have their own addresses, so host ports are dropped unless the app required them. The port in
PORT0 is the port on which the container listens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.cli.importers import marathon_apps, marathon_pods, marathon_variables
from bayplan.cli.importers.marathon_shared import GROUP, Whole, absolute
from bayplan.cli.importers.reading import Note, Taking, UnreadableError


@dataclass(slots=True)
class Import(Whole):
    """An import of apps, groups and pods; `manifests` grows as they are read."""

    manifests: list[dict[str, Any]] = field(default_factory=list)

    def read(self, body: Any) -> None:
        """Translate an app, a pod, a group, a list of them, or an answer of the REST API."""
        found = list(_found(body, "/", self))
        for kind, path, one in found:
            if kind != "group":
                self.services.update(marathon_variables.dns_names(path, one.body))
                above = path
                while above not in {"", "/"}:
                    above = above.rpartition("/")[0]
                    self.members.setdefault(above or "/", []).append(path)
        inherited: dict[str, list[str]] = {}
        for kind, path, one in found:
            if kind == "group":
                try:
                    inherited[path] = [absolute(to, path) for to in one.texts("dependencies")]
                except UnreadableError as error:
                    self.faults.append(error.note)
                one.end(GROUP)
        for kind, path, one in found:
            if kind != "group":
                wanted = [
                    to
                    for group, targets in inherited.items()
                    if path.startswith(group.rstrip("/") + "/")
                    for to in targets
                ]
                make = marathon_apps.manifest if kind == "app" else marathon_pods.manifest
                try:
                    self.manifests.append(make(self, one, path, wanted))
                except UnreadableError as error:
                    self.faults.append(error.note)
        self.manifests += self.beside
        self.beside.clear()


def _found(body: Any, above: str, whole: Whole) -> Iterator[tuple[str, str, Taking]]:
    """The apps, pods and groups in `body`, with absolute ids; a group precedes its members.

    Faults go to `whole.faults`.
    """
    if isinstance(body, list):
        for one in body:
            yield from _found(one, above, whole)
        return
    try:
        kind, path, one = _identified(body, above, whole.notes)
        inner = [
            *([one.listed(key) for key in ("apps", "pods", "groups")] if kind == "group" else []),
            *([body["app"]] if kind == "answer" else []),
        ]
    except UnreadableError as error:
        whole.faults.append(error.note)
        return
    if kind != "answer":
        yield kind, path, one
    for each in inner:
        yield from _found(each, path, whole)


def _identified(body: Any, above: str, notes: list[Note]) -> tuple[str, str, Taking]:
    """Which of the four it is (app, pod, group, or an answer with an app), and its absolute id."""
    one = Taking(above, body if isinstance(body, Mapping) else {}, notes)
    if not isinstance(body, Mapping):
        raise one.wrong("", "an app, a pod or a group", body)
    of = one.take("id", "")
    if not isinstance(of, str):
        raise one.wrong("id", "an id such as /shop/web", of)
    if isinstance(body.get("app"), Mapping) and "id" not in body:
        return "answer", above, one
    path = absolute(of, above) if of else above
    one.of = path
    if "apps" in body or "groups" in body or ("pods" in body and "containers" not in body):
        return "group", path, one
    if not of:
        raise one.wrong("id", "an id such as /shop/web", None)
    return ("pod" if "containers" in body else "app"), path, one
