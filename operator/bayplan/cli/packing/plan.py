"""`bayplan plan`: what the operator would do now, on the live cluster. Nothing is written."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli.output import data, formatted, is_data, now, plain, table
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.scheduler.dry_run import Session


@click.command(short_help="What Bayplan would do now; nothing is written.")
@targeted(everywhere=True)
@click.option("--node-selector", default="", help="The operator's own setting; empty: all nodes.")
@formatted
def plan(node_selector: str, target: Target, output: str) -> None:
    """Run one cycle of the operator's own loop on the live cluster, and print instead of writing.

    Lists pods that would be created, bound or deleted, and what waits and why. Without a namespace
    the whole cluster. Exit code: 0 everything has a place, 1 something waits for room, 3 the
    cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.scheduler import dry_run  # --help answers at once

    with client.connected(target) as cluster:
        found = dry_run.session(cluster, now(), node_selector)
    told = changes(found, target.namespace or "")
    if is_data(output):
        data(output, "plan", told)
    else:
        _print(told, wide=output == "wide")
    click.get_current_context().exit(1 if told["waiting"] else 0)


def changes(found: "Session", namespace: str) -> dict[str, Any]:
    """The plan as data; of one namespace unless it is empty."""
    from bayplan.model import wording

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


def _owners(found: "Session", keys: tuple[tuple[str, str], ...], namespace: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for where, name in keys:
        if namespace and where != namespace:
            continue
        made = found.notes.created.get((where, name))
        counts[_title(made[0]) if made is not None else _owner(found, where, name)] += 1
    return counts


def _owner(found: "Session", namespace: str, name: str) -> str:
    pod = found.cache.state.pods.get((namespace, name))
    if pod is None or pod.owner is None:
        return f"Pod {namespace}/{name}"
    return f"{pod.owner.kind} {namespace}/{pod.owner.name}"


def _node(found: "Session", namespace: str, name: str) -> str:
    pod = found.cache.state.pods.get((namespace, name))
    return pod.node if pod is not None else ""


def _title(key: tuple[str, str, str]) -> str:
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}"


def _print(told: dict[str, Any], *, wide: bool) -> None:
    """Pods of one workload that go to one node are one line; wide: each its own."""
    if wide:
        rows = [
            (one["action"], one["of"], f"{one['namespace']}/{one['pod']}", one["node"] or "-")
            for one in told["changes"]
        ]
        headings = ("action", "workload", "pod", "node")
    else:
        groups = Counter((one["action"], one["of"], one["node"] or "-") for one in told["changes"])
        rows = [(what, of, str(count), node) for (what, of, node), count in groups.items()]
        headings = ("action", "workload", "pods", "node")
    if rows:
        click.echo(table(headings, rows), nl=False)
    else:
        click.echo("Nothing to do.")
    for one in told["waiting"]:
        click.echo(plain(f"no room for {one['pods']} of {one['of']}: {one['message']}"))
    for name in told["unreadable"]:
        click.echo(plain(f"left out, cannot be read: {name}"), err=True)
