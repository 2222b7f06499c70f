"""`bayplan import marathon|chronos`: translates their JSON into manifests, and lists the rest."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli import printing
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.importers.reading import Note

_IMAGE = "busybox:1.36"
_MOST_BYTES = 64 << 20


@click.group("import", short_help="Translate Marathon's or Chronos' JSON into manifests.")
def import_() -> None:
    """Translate apps, groups, pods and jobs; list what has no counterpart, with the reason."""


def _translating(function: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.argument("files", nargs=-1, metavar="[FILE|-]...", required=True, type=click.Path()),
        click.option(
            "-n", "--namespace", default="", help="Namespace of the manifests; by default none."
        ),
        click.option(
            "--image", default=_IMAGE, show_default=True, help="Image for work that had none."
        ),
        click.option("--strict", is_flag=True, help="End with exit code 1 if anything is listed."),
        click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml"),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@import_.command(short_help="Translate apps, groups and pods into LongServices.")
@click.option(
    "--balancer",
    type=click.Choice(["kubernetes", "aws"]),
    default="kubernetes",
    show_default=True,
    help="What reads a Service of type LoadBalancer and an Ingress; aws: the AWS Load Balancer "
    "Controller, with annotations for it.",
)
@_translating
def marathon(
    files: tuple[str, ...],
    *,
    namespace: str,
    image: str,
    balancer: str,
    strict: bool,
    output: str,
) -> None:
    """Read apps, groups and pods: alone, in lists, or as answers of GET /v2/apps and /v2/groups.

    Labels of marathon-lb (HAPROXY_…) become an Ingress for virtual hosts and a Service of type
    LoadBalancer for other ports.

    Manifests go to standard output. Settings without a counterpart are listed on standard error,
    and in the data with -o json. Exit code: 0 done, 1 with --strict if anything is listed, 2 if
    something cannot be read; everything else is written in any case.
    """
    from bayplan.cli.importers.marathon import Import  # --help answers at once

    whole = Import(image, namespace, aws=balancer == "aws")
    for file in files:
        whole.read(_json(file))
    _tell(whole.manifests, whole.notes, whole.faults, output, strict=strict)


@import_.command(short_help="Translate jobs into BatchJobs.")
@_translating
def chronos(files: tuple[str, ...], namespace: str, image: str, strict: bool, output: str) -> None:
    """Read jobs of version 2 and 3: alone, or as the answer of GET /v1/scheduler/jobs.

    Manifests go to standard output. Settings without a counterpart are listed on standard error,
    and in the data with -o json. Exit code: 0 done, 1 with --strict if anything is listed, 2 if
    something cannot be read; everything else is written in any case.
    """
    from bayplan.cli.importers.chronos import Import  # --help answers at once

    whole = Import(image, namespace)
    for file in files:
        body = _json(file)
        for job in body if isinstance(body, list) else [body]:
            if not isinstance(job, Mapping):
                raise InputError(file, "expected a job, or a list of jobs")
            whole.read(job)
    _tell(whole.manifests, whole.notes, whole.faults, output, strict=strict)


def _json(file: str) -> Any:
    try:
        if file == "-":
            text = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with open(file, "rb") as stream:  # noqa: PTH123
                text = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(file, error.strerror or "cannot be read") from error
    if len(text) > _MOST_BYTES:
        raise InputError(file, f"larger than {_MOST_BYTES >> 20} MiB")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(file, f"is not JSON: {error}") from error


def _tell(
    manifests: list[dict[str, Any]],
    notes: "list[Note]",
    unread: "list[Note]",
    output: str,
    *,
    strict: bool,
) -> None:
    """Print the manifests and what is wrong; `unread` are errors of items without a manifest."""
    from bayplan.api import kinds
    from bayplan.api.resource import parse_resource  # pydantic
    from bayplan.cli.importers.reading import Note
    from bayplan.cli.lint import structural

    wrong = list(unread)
    seen: dict[str, str] = {}
    for body in manifests:
        about = body["metadata"]
        of = about["annotations"]["bayplan.dev/imported-from"]
        if body["kind"] not in kinds.BY_NAME:
            continue  # an Ingress has the name of its LongService
        if about["name"] in seen:
            message = f"{seen[about['name']]} has this name too; rename one of the two"
            wrong.append(Note(of, "metadata.name", message))
        seen[about["name"]] = of
        faults = structural.faults(body["kind"], body)
        wrong += [Note(of, structural.dotted(one.path), one.message) for one in faults]
        if not faults:
            wrong += [Note(of, one.field, one.message) for one in parse_resource(body).problems]
    if output == "json":
        told = [{"of": one.of, "field": one.field, "message": one.message} for one in notes]
        refused = [{"of": one.of, "field": one.field, "message": one.message} for one in wrong]
        printing.data("json", "import", {"manifests": manifests, "notes": told, "errors": refused})
    else:
        import yaml

        class Plain(yaml.SafeDumper):
            """Writes equal parts out again, without YAML references."""

            def ignore_aliases(self, data: object) -> bool:
                del data
                return True

        text = yaml.dump_all(
            manifests,
            Dumper=Plain,
            sort_keys=False,
            explicit_start=True,
            allow_unicode=True,
            width=100,
        )
        click.echo(text, nl=False)
        for one in notes:
            click.echo(printing.plain(f"{one.of}: {one.field}: {one.message}"), err=True)
        for one in wrong:
            click.echo(printing.plain(f"error: {one.of}: {one.field}: {one.message}"), err=True)
        listed = f", {len(notes)} things listed above" if notes else ""
        click.echo(f"{len(manifests)} manifests{listed}", err=True)
    click.get_current_context().exit(2 if unread else 1 if wrong or (strict and notes) else 0)
