"""Names that a shell completes: of objects in the cluster, of runs of a job, of contexts.

Each function is the `shell_complete` of a parameter. Where the cluster cannot be asked there are no
names, and no error between the words that somebody types.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from bayplan.api import names
from bayplan.cli import target

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_OF_THE_CLUSTER = frozenset({"Node", "Namespace", "Pool"})


def completed(context: click.Context, typed: str, kind: str) -> list[CompletionItem]:
    """The names of a kind that begin as typed, in the namespace that the options choose."""

    def ask(cluster: "ApiClient") -> list[str]:
        where = "" if kind in _OF_THE_CLUSTER else None
        return sorted(
            {str(one["metadata"]["name"]) for one in cluster.listed(kind, where, partial=True)}
        )

    return _beginning(_asked(context, ask), typed)


def of_kind(kind: str) -> Complete:
    """Completes the names of a kind."""

    def complete(
        context: click.Context, parameter: click.Parameter, typed: str
    ) -> list[CompletionItem]:
        del parameter
        return completed(context, typed, kind)

    return complete


jobs, services = of_kind(names.BATCHJOB), of_kind(names.LONGSERVICE)
nodes, pools, namespaces = of_kind("Node"), of_kind("Pool"), of_kind("Namespace")


def runs(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The runs in the status of the job that was typed before, unfinished ones first."""
    del parameter
    job = str(context.params.get("job") or "").rpartition("/")[2]
    if not job:
        return []

    def ask(cluster: "ApiClient") -> list[str]:
        status = cluster.get(names.BATCHJOB, job).get("status") or {}
        known = (*(status.get("active") or ()), *(status.get("history") or ()))
        return list(dict.fromkeys(str(one.get("run")) for one in known))

    return _beginning(_asked(context, ask), typed)


def contexts(
    context: click.Context, parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """The contexts of the kubeconfig."""
    del parameter
    chosen = target.Target(kubeconfig=context.params.get("kubeconfig"))
    try:
        return _beginning(sorted(target.contexts(chosen)), typed)
    except click.ClickException:
        return []


def _asked(context: click.Context, ask: Callable[["ApiClient"], list[str]]) -> list[str]:
    """What the cluster that the options choose answers; nothing if it refuses."""
    from bayplan.cli import client  # --help answers at once

    given = context.params
    namespace = "" if given.get("all_namespaces") else given.get("namespace")
    chosen = target.Target(namespace, given.get("cluster_context"), given.get("kubeconfig"))
    try:
        with context.scope(cleanup=False), client.connected(chosen, patience=0) as cluster:
            return ask(cluster)
    except click.ClickException:
        return []


def _beginning(found: Iterable[str], typed: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in found if name.startswith(typed)]
