"""A cluster in the API's own form, and what the operator's path from there to a decision says.

Objects are read by the informers' decoders, kept by the cache, grouped and solved as a cycle does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bayplan import settings
from bayplan.cluster import decode
from bayplan.cluster.cache import Cache
from bayplan.model import state, wording
from bayplan.model.workloads import Plan
from bayplan.placement.solve import Policy, solve
from bayplan.scheduler import classes

Body = Mapping[str, Any]


class _Bell:
    """Nobody listens."""

    def mark(self, key: object) -> None: ...

    def mark_placement(self) -> None: ...

    def mark_namespace(self, namespace: str) -> None: ...


def cached(*objects: Body, ours: str = "") -> Cache:
    """A cache that has seen these, one after the other. `ours` selects the nodes to fill."""
    term = settings.node_term(ours)
    book = state.State(eligible=lambda node: settings.is_ours(node, term))
    found = Cache(book, _Bell())
    for version, body in enumerate(objects, start=1):
        see(found, body, version)
    return found


def see(cache: Cache, body: Body, version: int) -> None:
    kind = decode.KINDS[body["kind"]]
    told = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
    cache.upsert(kind.name, kind.decode(msgspec.Raw(msgspec.json.encode(told))))


def planned(cache: Cache) -> Plan:
    """Where the pods that wait would go, all at once."""
    state_ = cache.state
    groups = classes.groups((), state_.unplaced.values(), lambda _: None, state_.aversions)
    return solve(cache.snapshot(), groups, 0, Policy())


def placed(*objects: Body, ours: str = "") -> dict[str, str]:
    """Pod -> node, of those that found one."""
    plan = planned(cached(*objects, ours=ours))
    return {name: node for (_, name), node in plan.placements.items()}


def why(*objects: Body, ours: str = "") -> str:
    """The sentence of the first pods that found no room; empty when all did."""
    refused = planned(cached(*objects, ours=ours)).refused
    return wording.sentence(refused[0].funnel) if refused else ""


def body(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object by kind and name; `metadata` adds to that."""
    metadata = {"name": name, "uid": f"uid-{name}", **more.pop("metadata", {})}
    return {"kind": kind, "metadata": metadata, **more}


def node(name: str, labels: Mapping[str, str] | None = None, cpu: str = "8") -> dict[str, Any]:
    """A ready node."""
    return body(
        "Node",
        name,
        metadata={"labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        status={
            "allocatable": {"cpu": cpu, "memory": "32Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )


def pod(name: str, on: str = "", **spec: Any) -> dict[str, Any]:
    """A pod of ours to place, or one that runs on a node. `metadata` and `status` add to it."""
    more = {key: spec.pop(key) for key in ("metadata", "status") if key in spec}
    containers = [{"name": "c", "image": "i", "resources": {}}]
    wanted = {"containers": containers, "schedulerName": "bayplan", **spec}
    if on:
        wanted["nodeName"] = on
    about = {"namespace": "default", **more.get("metadata", {})}
    status = more.get("status", {"phase": "Running" if on else "Pending"})
    return body("Pod", name, metadata=about, spec=wanted, status=status)


def mounting(*claims: str) -> Sequence[dict[str, Any]]:
    """`spec.volumes` with these claims."""
    return [
        {"name": f"v{at}", "persistentVolumeClaim": {"claimName": claim}}
        for at, claim in enumerate(claims)
    ]
