"""Marathon's apps, groups and pods as LongServices.

Pods have addresses of their own, so host ports are gone unless they were required: what Marathon
put into PORT0 is the port that the container listens on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.cli import marathonapps, marathonpods
from bayplan.cli.marathonshared import GROUP, Whole, absolute
from bayplan.cli.taking import Note, Taking


@dataclass(slots=True)
class Import(Whole):
    """`manifests` grow as things are read."""

    manifests: list[dict[str, Any]] = field(default_factory=list)

    def read(self, body: Any) -> None:
        """An app, a pod, a group, lists of them, and what the REST API answered."""
        found = list(_found(body, "/", self.notes))
        for kind, path, _ in found:
            if kind != "group":
                above = path
                while above not in {"", "/"}:
                    above = above.rpartition("/")[0]
                    self.members.setdefault(above or "/", []).append(path)
        inherited: dict[str, list[str]] = {}
        for kind, path, one in found:
            if kind == "group":
                inherited[path] = [absolute(to, path) for to in one.texts("dependencies")]
                one.end(GROUP)
        for kind, path, one in found:
            if kind != "group":
                wanted = [
                    to
                    for group, targets in inherited.items()
                    if path.startswith(group.rstrip("/") + "/")
                    for to in targets
                ]
                make = marathonapps.manifest if kind == "app" else marathonpods.manifest
                self.manifests.append(make(self, one, path, wanted))


def _found(body: Any, above: str, notes: list[Note]) -> Iterator[tuple[str, str, Taking]]:
    """What is inside, with absolute ids; a group before its members."""
    if isinstance(body, list):
        for one in body:
            yield from _found(one, above, notes)
        return
    one = Taking(above, body if isinstance(body, Mapping) else {}, notes)
    of = one.text("id")
    if not isinstance(body, Mapping):
        raise one.wrong("", "an app, a pod or a group", body)
    if isinstance(body.get("app"), Mapping) and "id" not in body:
        yield from _found(body["app"], above, notes)
        return
    path = absolute(of, above) if of else above
    one.of = path
    if "apps" in body or "groups" in body or ("pods" in body and "containers" not in body):
        one.take("id")
        yield "group", path, one
        for key in ("apps", "pods", "groups"):
            yield from _found(one.listed(key), path, notes)
        return
    if not of:
        raise one.wrong("id", "an id such as /shop/web", None)
    yield ("pod" if "containers" in body else "app"), path, one
