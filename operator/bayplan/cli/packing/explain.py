"""`bayplan explain`: why a pod, job or service waits or is where it is; a Pool, a node."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bayplan.api.kinds import KINDS
from bayplan.cli import name_completion
from bayplan.cli.errors import Refused
from bayplan.cli.named_object import kind_of
from bayplan.cli.packing import node_page, pool_objects
from bayplan.cli.printing import data, formatted, is_data, now, plain
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_BY_WORD = {  # the kind of a word before a slash
    **{word: kind.name for kind in KINDS for word in kind.words},
    **dict.fromkeys(("pod", "pods", "po"), "Pod"),
    **dict.fromkeys(("node", "nodes", "no"), "Node"),
    **dict.fromkeys(("pool", "pools"), "Pool"),
}
_MOST_LINES = 8  # of pods


def _kinds(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes the KIND/ of the name that the user types, and then the name."""
    del parameter
    kind, slash, name = typed.rpartition("/")
    if slash:
        known = _BY_WORD.get(kind.lower())
        found = name_completion.completed(context, name, known) if known else []
        return [CompletionItem(f"{kind}/{one.value}") for one in found]
    words = (*(kind.word for kind in KINDS), "node", "pod", "pool")
    return [CompletionItem(f"{word}/") for word in words if word.startswith(typed.lower())]


@click.command(
    short_help="Explain why a pod, job or service waits or is where it is; a Pool; a node."
)
@click.argument("words", metavar="[KIND/]NAME", nargs=-1, required=True, shell_complete=_kinds)
@targeted()
@click.option("--node-selector", default="", help="As set for the operator; empty means all nodes.")
@formatted
def explain(words: tuple[str, ...], node_selector: str, target: Target, output: str) -> None:
    """Say everything that is known about a BatchJob, LongService or Pod, and why it waits.

    For waiting pods it shows a funnel: each node counts for the first reason that holds, so the
    numbers add up to the nodes considered. Below it are changes that would make the pod fit, each
    tried with the operator's own engine.

    For pool/NAME it shows what the Pool is, what hinders it and how to mend that, its nodes, what
    they cost and should cost, what comes next, which instance types cannot be had until when, and
    how much of each limit is in use.

    For node/NAME it shows why the node stays or goes, which pods keep it and why they may not move,
    and what that costs an hour. The exit code is 0 then. KIND NAME means the same as KIND/NAME.

    Exit code: 0 nothing waits or has failed, 1 something waits or has failed, 3 the cluster
    refused.
    """
    from bayplan.cli import client  # --help answers at once

    name = _named(words)
    if pool_objects.is_pool(name):
        _explain_pool(name, target, output)
        return
    if node_page.is_node(name):
        _explain_node(name, target, output)
        return
    with client.connected(target) as cluster:
        kind, body = kind_of(cluster, name)
        told = explained(cluster, kind, body, node_selector)
    if is_data(output):
        data(output, "explain", told)
    else:
        click.echo("\n".join(map(plain, lines(told))))
    click.get_current_context().exit(1 if told["waiting"] or told["trouble"] else 0)


def explained(
    cluster: "ApiClient", kind: str, body: dict[str, Any], node_selector: str
) -> dict[str, Any]:
    """Everything that is known about a BatchJob, LongService or Pod, as data."""
    from bayplan.reports.explain import account
    from bayplan.reports.live_jobs import as_now
    from bayplan.reports.runs import unfinished
    from bayplan.scheduler import dry_run

    found = dry_run.session(cluster, now(), node_selector)
    runs: dict[str, Any] = {}
    if kind == "BatchJob":
        pods = [pod for pod in found.cache.state.pods.values() if not pod.assumed]
        [body] = as_now([body], pods, now())
        runs = {"runs": unfinished(body, pods, now())}
    return {**account(found, kind, body, _events(cluster, body)), **runs}


def _named(words: tuple[str, ...]) -> str:
    """KIND/NAME, also if it was written as two words."""
    if len(words) == 1:
        return words[0]
    if len(words) > len(("KIND", "NAME")) or "/" in "".join(words):
        raise click.UsageError(
            f"{' '.join(words)!r}: give one name, as NAME, KIND/NAME or KIND NAME"
        )
    return "/".join(words)


def _explain_node(name: str, target: Target, output: str) -> None:
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        told = node_page.account(cluster, name)
    if is_data(output):
        data(output, "explain", told)
    else:
        click.echo("\n".join(map(plain, node_page.lines(told, wide=output == "wide"))))


def _explain_pool(name: str, target: Target, output: str) -> None:
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.packing import pool_page

    with client.connected(target) as cluster:
        told = pool_page.account(cluster, name)
    if is_data(output):
        data(output, "explain", told)
    else:
        click.echo("\n".join(map(plain, pool_page.lines(told, wide=output == "wide"))))
    hindered = told["trouble"] or not told["served"]
    click.get_current_context().exit(1 if told["waitingPods"] or hindered else 0)


def _events(cluster: "ApiClient", body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Events about the object; empty if the user may not read events."""
    about = body["metadata"]
    uid = about.get("uid", "")
    if not uid:
        return []
    try:
        return cluster.listed("Event", about["namespace"], fields=f"regarding.uid={uid}")
    except Refused:
        return []


def _stands(run: Mapping[str, Any]) -> str:
    """Where an unfinished run stands: `runs on n1 since …, attempt 2`."""
    node = f" on {run['node']}" if run.get("node") else ""
    why = f" ({run['reason']})" if run.get("reason") else ""
    number = run.get("attempt", 0) + 1
    if run.get("retryTime"):
        return f"attempt {number} comes at {run['retryTime']}{why}"
    if run["state"] == "Running":
        return f"runs{node} since {run['startTime']}, attempt {number}{why}"
    return f"attempt {number} waits for {f'its containers{node}' if node else 'a node'}{why}"


def lines(told: Mapping[str, Any]) -> list[str]:
    """The account as lines of text."""
    said = [f"{told['kind']} {told['namespace']}/{told['name']}"]
    for one in told["conditions"]:
        tail = f": {one['message']}" if one["message"] else ""
        said.append(f"  {one['type']}={one['status']} ({one['reason']}){tail}")
    said += [f"trouble: {one}" for one in told["trouble"]]
    said += [f"run {one['run']}: {_stands(one)}" for one in told.get("runs", ())]
    if told.get("drifted"):
        cure = (
            "spec.rebalance moves them where there is room"
            if told["rebalances"]
            else "they stay; spec.rebalance.maxMovesPerHour would move them"
        )
        said.append(f"drifted: {told['drifted']} break placement as it is now; {cure}")
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
