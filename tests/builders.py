"""One line per test subject: what a test does not name gets a plain, valid value."""

from collections.abc import Mapping
from typing import Any

from bayplan.model import node as nodes_
from bayplan.model import pod as pods_
from bayplan.model import requirement, resources, snapshot, state, workload

GIB = 1 << 30
NOON = 1_790_000_000  # any moment does


def make_vector(
    cpu: int = 0, memory: int = 0, pods: int = 1, extended: Mapping[str, int] | None = None
) -> resources.Vector:
    """Milli-CPU, GiB and counts as an amount of resources."""
    return resources.Vector({"cpu": cpu, "memory": memory * GIB, "pods": pods, **(extended or {})})


def make_node(name: str = "n1", cpu: int = 4000, memory: int = 16, **more: Any) -> nodes_.Node:
    """A ready node with `cpu` milli-CPU, `memory` GiB; it has its hostname label.

    `pods` (110), `extended`, `labels` and `zone` add to that; anything else is a field of Node.
    """
    labels = {nodes_.HOSTNAME: name, **more.pop("labels", {})}
    zone = more.pop("zone", None)
    if zone is not None:
        labels[nodes_.ZONE] = zone
    room = make_vector(cpu, memory, more.pop("pods", 110), more.pop("extended", None))
    return nodes_.Node(**{"name": name, "labels": labels, "allocatable": room, **more})


def make_pod(name: str = "p1", node: str = "", cpu: int = 100, **more: Any) -> pods_.Pod:
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
        "phase": pods_.Phase.RUNNING if node else pods_.Phase.PENDING,
        "owner": None if uid is None else pods_.Owner(kind, uid, uid),
    }
    return pods_.Pod(**{**seen, **more})


def make_constraints(**fields: Any) -> pods_.Constraints:
    """Fields of Constraints; `selector` may be a dict."""
    if isinstance(fields.get("selector"), dict):
        fields["selector"] = tuple(sorted(fields["selector"].items()))
    return pods_.Constraints(**fields)


def make_term(**labels: str) -> requirement.Term:
    """Labels that must be equal; `__` in a key stands for `/`, as in `app__name`."""
    return requirement.Term(
        tuple(
            (key.replace("__", "/"), requirement.requirement("In", [value]))
            for key, value in sorted(labels.items())
        )
    )


def make_class(cpu: int = 100, **more: Any) -> workload.PodClass:
    """Tasks of one kind. `memory` in GiB, `labels` a dict; fields of PodClass and Constraints."""
    names = set(workload.PodClass.__dataclass_fields__)
    own = {name: more.pop(name) for name in list(more) if name in names and name != "constraints"}
    own["labels"] = tuple(sorted(own.get("labels", {}).items()))
    request = make_vector(cpu, more.pop("memory", 0), 1, more.pop("extended", None))
    constraints = more.pop("constraints", None) or make_constraints(**more)
    return workload.PodClass(
        **{"namespace": "default", "request": request, "constraints": constraints, **own}
    )


def make_waiting(
    kind: workload.PodClass | None = None, count: int = 1, name: str = "w", **more: Any
) -> workload.Waiting:
    """`count` tasks NAME-0, NAME-1 … of one class."""
    kind = kind or make_class()
    keys = tuple((kind.namespace, f"{name}-{index}") for index in range(count))
    return workload.Waiting(**{"kind": kind, "keys": keys, **more})


def make_state(*things: nodes_.Node | pods_.Pod | snapshot.DaemonSet) -> state.State:
    """A book that knows these nodes, pods and DaemonSets."""
    book = state.State()
    for thing in things:
        match thing:
            case nodes_.Node():
                book.set_node(thing)
            case pods_.Pod():
                book.set_pod(thing)
            case _:
                book.set_daemonset(thing)
    return book


def make_snapshot(*things: nodes_.Node | pods_.Pod | snapshot.DaemonSet) -> snapshot.Snapshot:
    """What one cycle sees of these."""
    return make_state(*things).snapshot()
