"""Which cluster and namespace a command uses: every command has the same options as kubectl."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bayplan.cli.errors import NoCluster
from bayplan.model.untyped import mapping

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_FILE = click.Path(path_type=Path, dir_okay=False)

Command = Callable[..., None]


def _namespace_names(*asked: Any) -> list[Any]:
    from bayplan.cli import name_completion  # it needs this module

    return name_completion.namespaces(*asked)


def _context_names(*asked: Any) -> list[Any]:
    from bayplan.cli import name_completion

    return name_completion.contexts(*asked)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A cluster, and a namespace: None means the namespace of the context, empty means all."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None

    @property
    def chosen(self) -> str:
        """The namespace to use; empty for all."""
        return named_by_context(self) if self.namespace is None else self.namespace


def targeted(
    *,
    everywhere: bool = False,
    short: bool = True,
    of_namespace: str = "Namespace; by default that of the context.",
    of_all: str = "Use all namespaces.",
    of_cluster: str = "",
) -> Callable[[Command], Command]:
    """Adds --namespace, --context and --kubeconfig; the command gets them as `target`.

    `everywhere` adds -A as well, `short` says whether -n means the namespace. `of_namespace` and
    `of_all` are the help of -n and -A for commands with a special meaning; `of_cluster` is
    appended to the help of the other two.
    """
    flags = ("-n", "--namespace") if short else ("--namespace",)

    def wrap(function: Command) -> Command:
        @functools.wraps(function)
        def called(
            *args: Any,
            namespace: str | None,
            cluster_context: str | None,
            kubeconfig: Path | None,
            all_namespaces: bool = False,
            **rest: Any,
        ) -> None:
            if namespace == "":
                raise click.UsageError("--namespace is empty; name one, or leave it out")
            chosen = "" if all_namespaces else namespace
            function(*args, target=Target(chosen, cluster_context, kubeconfig), **rest)

        options = [
            click.option(
                *flags,
                "namespace",
                metavar="NAME",
                help=of_namespace,
                shell_complete=_namespace_names,
            ),
            click.option(
                "--context",
                "cluster_context",
                metavar="NAME",
                help=f"Context of the kubeconfig.{of_cluster}",
                shell_complete=_context_names,
            ),
            click.option(
                "--kubeconfig",
                type=_FILE,
                metavar="FILE",
                help=f"By default $KUBECONFIG, else ~/.kube/config.{of_cluster}",
            ),
        ]
        if everywhere:
            options.insert(1, click.option("-A", "--all-namespaces", is_flag=True, help=of_all))
        for option in reversed(options):
            called = option(called)
        return called

    return wrap


def installed(more: str = "") -> Callable[[Command], Command]:
    """Adds --operator; the command gets its namespace and name as `operator`."""

    def read(_context: click.Context, _option: click.Parameter, given: str) -> tuple[str, str]:
        namespace, _, name = given.partition("/")
        if not (namespace and name):
            raise click.UsageError(f"--operator {given!r}: write it as NAMESPACE/NAME")
        return namespace, name

    words = f"Deployment of the operator; its lease has the same name.{more}"
    return click.option(
        "--operator",
        metavar="NAMESPACE/NAME",
        default="bayplan-system/bayplan",
        show_default=True,
        callback=read,
        help=words,
    )


def contexts(target: Target) -> dict[str, str]:
    """The contexts of the kubeconfig, and the namespace of each."""
    return _contexts(target)[1]


def context_name(target: Target) -> str:
    """The context that is used; empty if the kubeconfig names none."""
    return _contexts(target)[0]


def named_by_context(target: Target) -> str:
    """The namespace of the context, else of the pod that runs this command, else `default`."""
    current, found = _contexts(target)
    if current in found:
        return found[current] or "default"
    if _ACCOUNT.is_file():
        return _ACCOUNT.read_text().strip() or "default"
    return "default"


def _contexts(target: Target) -> tuple[str, dict[str, str]]:
    """The name of the current context, and the namespaces of all."""
    from bayplan import kubeconfig_files  # yaml: --help does not need it

    try:
        found = kubeconfig_files.read(kubeconfig_files.paths(target.kubeconfig))
    except kubeconfig_files.UnreadableKubeconfig as error:
        raise NoCluster(str(error)) from error
    contexts = {name: mapping(inner) for name, (inner, _) in found.contexts.items()}
    namespaces = {name: str(inner.get("namespace") or "") for name, inner in contexts.items()}
    return target.context or found.current, namespaces
