"""What the operator would do now: pods to create, bind and delete, and why pods wait."""

from collections import Counter
from typing import Any

from bayplan.model import wording
from bayplan.scheduler.dry_run import Session


def changes(found: Session, namespace: str) -> dict[str, Any]:
    """The plan as data, for a namespace; for all namespaces if it is empty."""

    def meant(where: str) -> bool:
        return not namespace or where == namespace

    creates = [
        {"action": "Create", "pod": name, "namespace": where, "of": _title(key), "node": pod.node}
        for (where, name), (key, pod) in sorted(found.notes.created.items())
        if meant(where)
    ]
    binds = [
        {
            "action": "Bind",
            "pod": one.name,
            "namespace": one.namespace,
            "of": _owner(found, one.namespace, one.name),
            "node": one.node,
        }
        for one in found.notes.bound
        if meant(one.namespace)
    ]
    deletes = [
        {
            "action": "Delete",
            "pod": one.name,
            "namespace": one.namespace,
            "of": _title(key),
            "node": _node(found, one.namespace, one.name),
            "reason": one.why,
        }
        for key, outcome in sorted(found.notes.outcomes.items())
        for one in outcome.deletes
        if meant(one.namespace)
    ]
    waiting = [
        {
            "of": of,
            "pods": count,
            "message": wording.sentence(refused.funnel),
        }
        for refused in found.refused
        for of, count in sorted(_owners(found, refused.keys, namespace).items())
    ]
    return {
        "changes": [*creates, *binds, *deletes],
        "waiting": waiting,
        "unreadable": list(found.unreadable),
    }


def _owners(found: Session, keys: tuple[tuple[str, str], ...], namespace: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for where, name in keys:
        if namespace and where != namespace:
            continue
        made = found.notes.created.get((where, name))
        counts[_title(made[0]) if made is not None else _owner(found, where, name)] += 1
    return counts


def _owner(found: Session, namespace: str, name: str) -> str:
    pod = found.cache.state.pods.get((namespace, name))
    if pod is None or pod.owner is None:
        return f"Pod {namespace}/{name}"
    return f"{pod.owner.kind} {namespace}/{pod.owner.name}"


def _node(found: Session, namespace: str, name: str) -> str:
    pod = found.cache.state.pods.get((namespace, name))
    return pod.node if pod is not None else ""


def _title(key: tuple[str, str, str]) -> str:
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}"
