"""`bayplan explain`: why a pod, job or service waits or is where it is; a Pool, a node."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bayplan.api.kinds import KINDS
from bayplan.cli import name_completion
from bayplan.cli.errors import Refused
from bayplan.cli.named_object import FOREIGN, WORDS, controllers, kind_of
from bayplan.cli.packing import explain_page, node_page, pool_objects
from bayplan.cli.printing import data, formatted, is_data, now, plain
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_BY_WORD = {  # the kind of a word before a slash
    **WORDS,
    **dict.fromkeys(("node", "nodes", "no"), "Node"),
    **dict.fromkeys(("pool", "pools"), "Pool"),
}
_OTHERS = ("cronjob", "deployment", "job.batch", "replicaset", "statefulset")


def _kinds(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes the KIND/ of the name that the user types, and then the name."""
    del parameter
    kind, slash, name = typed.rpartition("/")
    if slash:
        known = _BY_WORD.get(kind.lower())
        found = name_completion.completed(context, name, known) if known else []
        return [CompletionItem(f"{kind}/{one.value}") for one in found]
    words = (*(kind.word for kind in KINDS), *_OTHERS, "node", "pod", "pool")
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

    So it does for a Deployment, StatefulSet, ReplicaSet, Job or CronJob whose pods Bayplan places.
    job/NAME is a BatchJob if there is one with the name, else a Job; job.batch/NAME is a Job.

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
        click.echo("\n".join(map(plain, explain_page.lines(told))))
    click.get_current_context().exit(1 if told["waiting"] or told["trouble"] else 0)


def explained(
    cluster: "ApiClient", kind: str, body: dict[str, Any], node_selector: str
) -> dict[str, Any]:
    """Everything that is known about a workload or a Pod, as data."""
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
    makers = controllers(cluster, kind, body) if kind in FOREIGN else ()
    return {**account(found, kind, body, _events(cluster, body), makers), **runs}


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
