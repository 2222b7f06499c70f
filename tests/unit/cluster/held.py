"""A cache of which a test says what is seen, and its bell."""

from typing import Any

from bayplan.cluster import cache
from bayplan.cluster.wire import Seen
from bayplan.model import state
from bayplan.model.pods import Owner
from tests.builders import make_node, make_pod
from tests.double.bell import Bell

WEB = ("LongService", "default", "web")
OWNER = Owner("LongService", "web", "uid-web")


class Held:
    """A cache and its bell."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.cache = cache.Cache(state.State(), self.bell)

    def pod(self, version: int = 10, name: str = "p1", **more: Any) -> bool:
        pod = make_pod(name, **{"owner": OWNER, "resource_version": str(version), **more})
        return self.cache.upsert("Pod", Seen("default", name, pod.uid, version, pod))

    def node(self, version: int = 10, name: str = "n1", **more: Any) -> bool:
        node = make_node(name, **{"resource_version": str(version), **more})
        return self.cache.upsert("Node", Seen("", name, node.uid, version, node))

    def put(
        self, kind: str, name: str, value: Any, version: int = 10, namespace: str = "default"
    ) -> None:
        self.cache.upsert(kind, Seen(namespace, name, f"uid-{name}", version, value))

    def gone(self, kind: str, name: str, version: int = 99, namespace: str = "default") -> bool:
        return self.cache.delete(kind, (namespace, name), f"uid-{name}", version)
