"""One line per test subject: what a test does not name gets a plain, valid value."""

from collections.abc import Mapping
from typing import Any

from bayplan.model import requirements, resources, snapshot, state
from bayplan.model.nodes import HOSTNAME, ZONE, Node
from bayplan.model.pods import Constraints, Owner, Phase, Pod
from bayplan.model.workloads import PodClass, Waiting

GIB = 1 << 30
NOON = 1_790_000_000  # any moment does


def make_vector(
    cpu: int = 0, memory: int = 0, pods: int = 1, extended: Mapping[str, int] | None = None
) -> resources.Vector:
    """Milli-CPU, GiB and counts as an amount of resources."""
    return resources.Vector({"cpu": cpu, "memory": memory * GIB, "pods": pods, **(extended or {})})


def make_node(name: str = "n1", cpu: int = 4000, memory: int = 16, **more: Any) -> Node:
    """A ready node with `cpu` milli-CPU, `memory` GiB; it has its hostname label.

    `pods` (110), `extended`, `labels` and `zone` add to that; anything else is a field of Node.
    """
    labels = {HOSTNAME: name, **more.pop("labels", {})}
    zone = more.pop("zone", None)
    if zone is not None:
        labels[ZONE] = zone
    room = make_vector(cpu, memory, more.pop("pods", 110), more.pop("extended", None))
    return Node(**{"name": name, "labels": labels, "allocatable": room, **more})


def make_pod(name: str = "p1", node: str = "", cpu: int = 100, **more: Any) -> Pod:
    """A pod seen at the API server (it has a uid); running when it has a node.

    `memory` in GiB, `extended`, `owner_uid` and `owner_kind` are shorthands; anything else is a
    field of Pod.
    """
    request = make_vector(cpu, more.pop("memory", 0), 1, more.pop("extended", None))
    uid, kind = more.pop("owner_uid", None), more.pop("owner_kind", "LongService")
    seen = {
        "namespace": "default",
        "name": name,
        "uid": f"uid-{name}",
        "node": node,
        "scheduler": "bayplan",
        "request": request,
        "phase": Phase.RUNNING if node else Phase.PENDING,
        "owner": None if uid is None else Owner(kind, uid, uid),
    }
    return Pod(**{**seen, **more})


def make_constraints(**fields: Any) -> Constraints:
    """Fields of Constraints; `selector` may be a dict."""
    if isinstance(fields.get("selector"), dict):
        fields["selector"] = tuple(sorted(fields["selector"].items()))
    return Constraints(**fields)


def make_term(**labels: str) -> requirements.Term:
    """Labels that must be equal; `__` in a key stands for `/`, as in `app__name`."""
    return requirements.Term(
        tuple(
            (key.replace("__", "/"), requirements.requirement("In", [value]))
            for key, value in sorted(labels.items())
        )
    )


def make_class(cpu: int = 100, **more: Any) -> PodClass:
    """Tasks of one kind. `memory` in GiB, `labels` a dict; fields of PodClass and Constraints."""
    names = set(PodClass.__dataclass_fields__)
    own = {name: more.pop(name) for name in list(more) if name in names and name != "constraints"}
    own["labels"] = tuple(sorted(own.get("labels", {}).items()))
    request = make_vector(cpu, more.pop("memory", 0), 1, more.pop("extended", None))
    constraints = more.pop("constraints", None) or make_constraints(**more)
    return PodClass(
        **{"namespace": "default", "request": request, "constraints": constraints, **own}
    )


def make_waiting(
    kind: PodClass | None = None, count: int = 1, name: str = "w", **more: Any
) -> Waiting:
    """`count` tasks NAME-0, NAME-1 … of one class."""
    kind = kind or make_class()
    keys = tuple((kind.namespace, f"{name}-{index}") for index in range(count))
    return Waiting(**{"kind": kind, "keys": keys, **more})


def make_state(*things: Node | Pod | snapshot.DaemonSet) -> state.State:
    """A book that knows these nodes, pods and DaemonSets."""
    book = state.State()
    for thing in things:
        match thing:
            case Node():
                book.set_node(thing)
            case Pod():
                book.set_pod(thing)
            case _:
                book.set_daemonset(thing)
    return book


def make_snapshot(*things: Node | Pod | snapshot.DaemonSet) -> snapshot.Snapshot:
    """What one cycle sees of these."""
    return make_state(*things).snapshot()
