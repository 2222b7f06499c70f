"""`bayplan explain`: why a pod, a job or a service is where it is, or waits. Read only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bayplan.api.kinds import KINDS
from bayplan.cli.errors import Refused
from bayplan.cli.named_object import kind_of
from bayplan.cli.output import data, formatted, is_data, now, plain
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.scheduler.dry_run import Session

_MOST_LINES = 8  # of runs, events and failures


def _kinds(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """How a shell may go on with the kind of a name that is typed."""
    del context, parameter
    words = (*(kind.word for kind in KINDS), "pod")
    return [CompletionItem(f"{word}/") for word in words if word.startswith(typed.lower())]


@click.command(short_help="Why a pod, a job or a service waits or is where it is.")
@click.argument("name", metavar="[KIND/]NAME", shell_complete=_kinds)
@targeted()
@click.option("--node-selector", default="", help="The operator's own setting; empty: all nodes.")
@formatted
def explain(name: str, node_selector: str, target: Target, output: str) -> None:
    """Say in full what is known of a BatchJob, LongService or Pod, and why it waits.

    What waits is shown as a funnel: each node is charged to the first reason that holds, so the
    numbers add up to the nodes considered. Below it stands what would make it fit, each tried with
    the operator's own engine. Exit code: 0 nothing waits or has failed, 1 something does, 3 the
    cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.scheduler import dry_run  # --help answers at once

    with client.connected(target) as cluster:
        kind, body = kind_of(cluster, name)
        found = dry_run.session(cluster, now(), node_selector)
        told = account(cluster, found, kind, body)
    if is_data(output):
        data(output, "explain", told)
    else:
        click.echo("\n".join(map(plain, lines(told))))
    click.get_current_context().exit(1 if told["waiting"] or told["trouble"] else 0)


def account(
    server: "ApiClient", found: "Session", kind: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that is told, as data."""
    about = body["metadata"]
    namespace, name = about["namespace"], about["name"]
    status = body.get("status") or {}
    told: dict[str, Any] = {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "conditions": [
            {key: one.get(key, "") for key in ("type", "status", "reason", "message")}
            for one in status.get("conditions") or ()
        ],
        "trouble": list(_trouble(kind, status)),
        "pods": _pods(found, kind, namespace, name),
        "waiting": _waiting(found, kind, namespace, name),
        "events": _events(server, namespace, str(about.get("uid", ""))),
    }
    if kind != "Pod":
        told["next"] = _next(found, (kind, namespace, name))
    if kind == "LongService":
        told["drifted"] = status.get("driftedReplicas")  # none: it has no constraints
        told["rebalances"] = bool((body.get("spec") or {}).get("rebalance"))
    return told


def _trouble(kind: str, status: Mapping[str, Any]) -> list[str]:
    """What is wrong by the status' own words, besides waiting for room."""
    said = []
    for one in status.get("conditions") or ():
        bad = (one["type"] in {"Stalled", "Failed"} and one["status"] == "True") or (
            one["type"] in {"LastRunSucceeded", "Available"} and one["status"] == "False"
        )
        if bad:
            said.append(f"{one['type']}: {one.get('reason', '')}: {one.get('message', '')}")
    if kind == "LongService" and status.get("lastFailure"):
        last = status["lastFailure"]
        code = f", exit code {last['exitCode']}" if last.get("exitCode") is not None else ""
        said.append(
            f"last failure at {last.get('time', '?')}: {last.get('reason', '?')}{code} of "
            f"{last.get('pod', '?')}: {last.get('message', '')}"
        )
    return said


def _pods(found: "Session", kind: str, namespace: str, name: str) -> list[dict[str, Any]]:
    rows = []
    for key, pod in sorted(found.cache.state.pods.items()):
        mine = key == (namespace, name) if kind == "Pod" else (
            pod.owner is not None
            and (pod.owner.kind, pod.namespace, pod.owner.name) == (kind, namespace, name)
        )  # fmt: skip
        if mine:
            node = found.cache.state.nodes.get(pod.node)
            labels = node.labels if node is not None else {}
            rows.append(
                {
                    "name": pod.name,
                    "node": pod.node,
                    "nominatedNode": pod.nominated,
                    "zone": labels.get("topology.kubernetes.io/zone", ""),
                    "instanceType": labels.get("node.kubernetes.io/instance-type", ""),
                    "request": _amounts(pod.request),
                }
            )
    return rows


def _amounts(request: Mapping[str, int]) -> dict[str, str]:
    from bayplan.model import wording

    return {name: wording.amount(name, value) for name, value in request.items() if name != "pods"}


def _waiting(found: "Session", kind: str, namespace: str, name: str) -> list[dict[str, Any]]:
    """The funnel of each class of its tasks that found no room, and what would help."""
    from bayplan.model import wording
    from bayplan.provisioning import demand, offerings, suggestions  # numpy
    from bayplan.provisioning.prices import MODELLED

    told = []
    for refused in found.refused:
        mine = [key for key in refused.keys if _is_of(found, key, kind, namespace, name)]
        if not mine:
            continue
        book = found.cache.state
        zones = offerings.zones_of(book.nodes.values()) or offerings.zones_in()
        store = demand.Shop(offerings.offers((), MODELLED), zones, (), book.claims)
        offer = next((offer for offer, _ in store.more(refused.waiting.kind, 1)), None)
        status = wording.status(len(mine), refused.waiting.since, refused.funnel)
        told.append(
            {
                **status,
                "wouldFit": list(
                    suggestions.hints(book, refused.waiting.kind, refused.funnel, offer, zones)
                ),
            }
        )
    return told


def _is_of(found: "Session", key: tuple[str, str], kind: str, namespace: str, name: str) -> bool:
    if kind == "Pod":
        return key == (namespace, name)
    made = found.notes.created.get(key)
    if made is not None:
        return made[0] == (kind, namespace, name)
    pod = found.cache.state.pods.get(key)
    owner = pod.owner if pod is not None else None
    return owner is not None and (owner.kind, key[0], owner.name) == (kind, namespace, name)


def _next(found: "Session", key: tuple[str, str, str]) -> dict[str, Any]:
    """What the operator would do with it now."""
    from bayplan.api.times import rfc3339

    outcome = found.notes.outcomes.get(key)
    creates = [pod.name for of, pod in found.notes.created.values() if of == key]
    wake = outcome.wake_at if outcome is not None else None
    return {
        "creates": creates,
        "deletes": [
            {"name": one.name, "why": one.why} for one in (outcome.deletes if outcome else ())
        ],
        "lookedAtAgain": rfc3339(wake) if wake is not None else None,
    }


def _events(server: "ApiClient", namespace: str, uid: str) -> list[dict[str, str]]:
    try:
        listed = server.listed("Event", namespace, fields=f"regarding.uid={uid}") if uid else []
    except Refused:  # may not be read by everybody, and is beside the point
        return []
    rows = [
        {
            "time": str(
                (one.get("series") or {}).get("lastObservedTime")
                or one.get("eventTime")
                or one.get("deprecatedLastTimestamp")
                or ""
            ),
            "type": str(one.get("type", "")),
            "reason": str(one.get("reason", "")),
            "message": str(one.get("note", "")),
        }
        for one in listed
    ]
    return sorted(rows, key=lambda row: row["time"])[-_MOST_LINES:]


def lines(told: Mapping[str, Any]) -> list[str]:
    """The account for people."""
    said = [f"{told['kind']} {told['namespace']}/{told['name']}"]
    for one in told["conditions"]:
        tail = f": {one['message']}" if one["message"] else ""
        said.append(f"  {one['type']}={one['status']} ({one['reason']}){tail}")
    said += [f"trouble: {one}" for one in told["trouble"]]
    if told.get("drifted"):
        cure = (
            "spec.rebalance moves them where there is room"
            if told["rebalances"]
            else "they stay; spec.rebalance.maxMovesPerHour would move them"
        )
        said.append(f"drifted: {told['drifted']} break placement.constraints as it is now; {cure}")
    for one in told["waiting"]:
        said.append(f"{one['pendingTasks']} waiting since {one['pendingSince']}: {one['message']}")
        left = one["nodesConsidered"]
        for refusal in one["refusals"]:
            detail = f" {refusal['detail']}" if "detail" in refusal else ""
            left -= refusal["nodes"]
            said.append(f"  {refusal['nodes']:>6} {refusal['reason']}{detail} ({left} left)")
        said += [f"  would fit {hint}" for hint in one["wouldFit"]]
    placed = [one for one in told["pods"] if one["node"]]
    for one in placed[:_MOST_LINES]:
        place = ", ".join(filter(None, (one["instanceType"], one["zone"])))
        asks = ", ".join(f"{amount} {name}" for name, amount in one["request"].items())
        said.append(f"on {one['node']} ({place or 'no labels'}): {one['name']}, asks {asks}")
    if len(placed) > _MOST_LINES:
        said.append(f"… and {len(placed) - _MOST_LINES} more pods that have a node")
    held = [one for one in told["pods"] if not one["node"] and one["nominatedNode"]]
    said += [f"a place is held for {one['name']} on {one['nominatedNode']}" for one in held]
    coming = told.get("next")
    if coming is not None:
        said += [f"would create {name}" for name in coming["creates"][:_MOST_LINES]]
        said += [f"would delete {one['name']}: {one['why']}" for one in coming["deletes"]]
        if coming["lookedAtAgain"]:
            said.append(f"looked at again at {coming['lookedAtAgain']}")
    for one in told["events"]:
        said.append(f"event {one['time']} {one['type']} {one['reason']}: {one['message']}")
    return said
